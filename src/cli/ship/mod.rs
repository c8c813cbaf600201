//! `logboom ship`: lines to a router, as log-shuttle brings them, and more.

pub(crate) mod flags;
mod inputs;
pub(crate) mod join;
mod stats;

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use tokio::signal::unix::Signal;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;

use crate::cli::error::CliError;
use crate::cli::output;
use crate::cli::serve::LogLevel;
use crate::cli::ship::flags::ShipFlags;
use crate::cli::ship::inputs::InputFlags;
use crate::cli::small_runtime;
use crate::clock;
use crate::config::Environment;
use crate::limits::SHIP_LAST_READS_MAX;
use crate::shutdown::Shutdown;
use crate::sources::ship;
use crate::sources::ship::Report;
use crate::sources::ship::ShipSettings;

/// Flags of `ship`.
#[derive(Args, Clone, Debug)]
#[command(after_help = FOOT)]
pub(crate) struct Ship {
    #[command(flatten)]
    inputs: InputFlags,
    #[command(flatten)]
    flags: ShipFlags,
}

/// Ships what it is told to read; returns when that has ended and is delivered.
pub(crate) fn run(given: &Ship, environment: &Environment) -> Result<ExitCode, CliError> {
    let mut settings = given.flags.settings(environment)?;
    LogLevel::install(given.flags.log_level());
    settings.places = given.inputs.places(&given.flags)?;
    let runtime = small_runtime()?;
    let report = runtime.block_on(ship(given, settings));
    // A read of stdin may hold its thread for ever.
    runtime.shutdown_background();
    Ok(verdict(&report?))
}

async fn ship(given: &Ship, settings: ShipSettings) -> Result<Report, CliError> {
    let mut stop = Stop::new().map_err(CliError::Runtime)?;
    let places = settings.places.clone();
    // First what may fail without a trace, then the spool, whose lines count from then on.
    let inputs = given.inputs.open(&given.flags, places)?;
    let shutdown = Shutdown::new();
    let (intake, shipment) = ship::start(settings, &shutdown)?;
    let reading = Shutdown::new();
    let has_stdin = inputs.has_stdin();
    inputs.read(&intake, &reading);
    drop(intake);
    let is_asked = tokio::select! {
        () = stop.asked() => true,
        _ = reading.finished(FOREVER) => false,
        never = given.flags.stats.tell(&shipment) => match never {},
    };
    let grace = given.flags.grace();
    let due = clock::now() + grace;
    let hurry = shipment.hurry();
    let twice = Shutdown::new();
    let finished = async {
        shipment.open_up();
        if is_asked && has_stdin {
            // Who writes it may have been asked to end as well, and have last words.
            tokio::select! {
                _ = reading.finished(grace / 2) => {}
                () = twice.requested() => {}
            }
        }
        reading.request();
        // Whoever waits for room waits until the queue is closed.
        if !reading.finished(SHIP_LAST_READS_MAX).await {
            shipment.close();
            let _has_ended = reading.finished(SHIP_LAST_READS_MAX).await;
        }
        let left = due.saturating_duration_since(clock::now());
        shipment
            .finish(if twice.is_requested() {
                Duration::ZERO
            } else {
                left
            })
            .await
    };
    let mut finished = std::pin::pin!(finished);
    Ok(tokio::select! {
        report = &mut finished => report,
        () = stop.asked() => {
            // Twice asked: what is not delivered now is spooled or lost, and counted.
            twice.request();
            hurry.end_now();
            finished.await
        }
    })
}

/// Says what was not delivered. Good is an end at which every line is at the router or on the disk.
pub(crate) fn verdict(report: &Report) -> ExitCode {
    let Report {
        delivered,
        dropped,
        lost,
        spooled,
        ..
    } = *report;
    if dropped == 0 && lost == 0 {
        if 0 < spooled {
            output::note(&format_args!(
                "logboom: delivered={delivered} dropped=0 lost=0 spooled={spooled}: the rest is on the \
                 disk, and the next shipper sends it"
            ));
        }
        return ExitCode::SUCCESS;
    }
    let told = match report.untold_dropped + report.untold_lost {
        0 if spooled == 0 => "the router was told",
        0 => "the router was told, or will be by the next shipper",
        _ => "the router was not told of all",
    };
    output::note(&format_args!(
        "logboom: delivered={delivered} dropped={dropped} lost={lost} spooled={spooled}: not every \
         line was delivered; {told}"
    ));
    ExitCode::FAILURE
}

/// Signals that ask for the end.
pub(crate) struct Stop {
    terminate: Signal,
    interrupt: Signal,
    /// `None`: whoever started the program wants it ignored (`nohup`).
    hangup: Option<Signal>,
}

impl Stop {
    /// Listens from now on.
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: match is_hangup_ignored() {
                true => None,
                false => Some(signal(SignalKind::hangup())?),
            },
        })
    }

    /// Ends when one has come. Cancel safe.
    pub(crate) async fn asked(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            () = hung_up(self.hangup.as_mut()) => {}
        }
    }
}

/// Ends when the terminal is closed. Cancel safe.
async fn hung_up(hangup: Option<&mut Signal>) {
    match hangup {
        Some(hangup) => drop(hangup.recv().await),
        None => std::future::pending().await,
    }
}

/// Whether SIGHUP is ignored: the lowest bit of `SigIgn` in proc_pid_status(5).
fn is_hangup_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    ignored.is_some_and(|mask| mask & 1 == 1)
}

/// Longer than any shipper runs.
const FOREVER: Duration = Duration::from_secs(100 * 365 * 86_400);

const FOOT: &str = "\
Examples:
  my-app 2>&1 | logboom ship --procid web.1
  logboom ship --file '/var/log/my-app/*.log' --spool /var/lib/logboom-ship
  logboom ship --unix /run/my-app/log

Lines are dropped, and counted, when more wait than --back-buff; the writer waits only with --block. \
What the router does not take is sent again, in order; what it refuses (4xx but 429) is lost. Dropped \
and lost lines are told to the router (L12, L13) and counted on stderr at the end.

The end of stdin, SIGTERM, SIGHUP or Ctrl-C send what waits, at most for --grace; after a signal stdin \
is read to its end, for half of that time, since its writer may have last words. A second signal ends \
it at once. Exit code 0: every line is \
at the router or on the disk; 1: some are not.";
