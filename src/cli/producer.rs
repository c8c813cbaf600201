//! What commands that report on a server have in common: a shipper, tasks that feed it until a signal
//! comes, and an end at which as much as possible is delivered.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use crate::cli::error::CliError;
use crate::cli::logs::INTERRUPTED_CODE;
use crate::cli::serve::LogLevel;
use crate::cli::ship::Stop;
use crate::cli::ship::flags::ShipFlags;
use crate::cli::ship::verdict;
use crate::cli::small_runtime;
use crate::clock;
use crate::config::Environment;
use crate::shutdown::Shutdown;
use crate::sources::outlet::Marks;
use crate::sources::outlet::Outlet;
use crate::sources::ship;
use crate::sources::ship::Report;
use crate::sources::ship::Shipment;

/// Runs what `start` spawns in a group that is asked to stop when a signal comes. `reached` is told
/// the marks up to which all was delivered.
pub(crate) fn run<M, S, R>(
    flags: &ShipFlags,
    environment: &Environment,
    start: S,
    reached: R,
) -> Result<ExitCode, CliError>
where
    M: Clone + Send + 'static,
    S: FnOnce(&Outlet<M>, &Shutdown) -> Result<(), CliError>,
    R: Fn(M),
{
    let settings = flags.settings(environment)?;
    LogLevel::install(flags.log_level());
    let runtime = small_runtime()?;
    let report = runtime.block_on(async {
        let mut stop = Stop::new().map_err(CliError::Runtime)?;
        let shipping = Shutdown::new();
        let (intake, shipment) = ship::start(settings, &shipping)?;
        let feeding = Shutdown::new();
        let (outlet, marks) = Outlet::start(intake, &feeding);
        let producers = Shutdown::new();
        start(&outlet, &producers)?;
        drop(outlet);
        tokio::select! {
            () = wait(&mut stop, &shipment, &marks, &reached) => {}
            never = flags.stats.tell(&shipment) => match never {},
        }
        producers.request();
        let ending = end(flags, &producers, &feeding, shipment, &marks, &reached);
        Ok::<Report, CliError>(tokio::select! {
            report = Box::pin(ending) => report,
            () = stop.asked() => std::process::exit(INTERRUPTED_CODE.into()),
        })
    });
    // A file may hold its thread for ever.
    runtime.shutdown_background();
    Ok(verdict(&report?))
}

/// Until a signal comes.
async fn wait<M>(
    stop: &mut Stop,
    shipment: &Shipment,
    marks: &Arc<Marks<M>>,
    reached: &impl Fn(M),
) {
    let mut ticks = tokio::time::interval(MARK_INTERVAL);
    loop {
        tokio::select! {
            () = stop.asked() => return,
            _ = ticks.tick() => {}
        }
        if let Some(mark) = marks.reached(&shipment.report()) {
            reached(mark);
        }
    }
}

/// Everything in turn, all within the grace period.
async fn end<M>(
    flags: &ShipFlags,
    producers: &Shutdown,
    feeding: &Shutdown,
    shipment: Shipment,
    marks: &Arc<Marks<M>>,
    reached: &impl Fn(M),
) -> Report {
    let deadline = clock::now() + flags.grace();
    let left = || deadline.saturating_duration_since(clock::now());
    // What does not end in time is dropped, and counted by the shipper.
    if producers.finished(left()).await && !feeding.finished(left()).await { /* see above */ }
    let before = shipment.report();
    let report = shipment.finish(left()).await;
    if let Some(mark) = marks.reached_at_end(&before, &report) {
        reached(mark);
    }
    report
}

/// How often what was delivered is looked at, to be remembered.
const MARK_INTERVAL: Duration = Duration::from_secs(1);
