//! `logboom ship`: lines from stdin to a router, as log-shuttle does it, and more.

pub(crate) mod flags;

use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;

use crate::cli::error::CliError;
use crate::cli::logs::INTERRUPTED_CODE;
use crate::cli::output;
use crate::cli::serve::LogLevel;
use crate::cli::ship::flags::ShipFlags;
use crate::cli::small_runtime;
use crate::config::Environment;
use crate::limits::PRI_MAX;
use crate::shutdown::Shutdown;
use crate::sources::ship;
use crate::sources::ship::Format;
use crate::sources::ship::Intake;
use crate::sources::ship::Reading;
use crate::sources::ship::Report;
use crate::sources::ship::Splitter;
use crate::syslog::message::Pri;

/// Flags of `ship`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Ship {
    /// PROCID of the messages
    #[arg(long, value_name = "NAME", default_value = "shuttle")]
    procid: String,
    /// PRI of the messages: facility * 8 + severity
    #[arg(long, value_name = "N", default_value_t = 190, value_parser = clap::value_parser!(u8).range(..=i64::from(PRI_MAX)))]
    prival: u8,
    #[command(flatten)]
    flags: ShipFlags,
}

/// Ships what stdin says; returns when it has ended and is delivered.
pub(crate) fn run(given: &Ship, environment: &Environment) -> Result<ExitCode, CliError> {
    let settings = given.flags.settings(environment)?;
    LogLevel::install(given.flags.log_level());
    let runtime = small_runtime()?;
    let report = runtime.block_on(async {
        let mut stop = Stop::new().map_err(CliError::Runtime)?;
        let shutdown = Shutdown::new();
        let (intake, shipment) = ship::start(settings, &shutdown)?;
        tokio::select! {
            () = stop.asked() => {}
            read = read(given, &intake) => {
                if let Err(error) = read {
                    output::note(&format_args!("logboom: cannot read stdin: {error}"));
                }
            }
        }
        drop(intake);
        let finished = Box::pin(shipment.finish(given.flags.grace()));
        Ok::<Report, CliError>(tokio::select! {
            report = finished => report,
            () = stop.asked() => std::process::exit(INTERRUPTED_CODE.into()),
        })
    });
    // A read of stdin may hold its thread for ever.
    runtime.shutdown_background();
    Ok(verdict(&report?))
}

async fn read(given: &Ship, intake: &Intake) -> std::io::Result<()> {
    let flags = &given.flags;
    let reading = Reading {
        pri: Pri::or_default(given.prival.into()),
        procid: Arc::from(given.procid.as_str()),
        when_full: flags.when_full(),
        splitter: Splitter::new(flags.line_bytes_max(), flags.split()),
        format: Format::Raw,
        join: None,
    };
    ship::read_lines(tokio::io::stdin(), &reading, intake).await
}

/// Says what was not delivered. Good is an end at which every line is at the router or on the disk.
pub(crate) fn verdict(report: &Report) -> ExitCode {
    let Report { dropped, lost, .. } = *report;
    if dropped == 0 && lost == 0 {
        return ExitCode::SUCCESS;
    }
    let told = |untold| match untold {
        0 => "the router was told",
        _ => "the router was not told of all",
    };
    output::note(&format_args!(
        "logboom: delivered={} dropped={dropped} lost={lost} spooled={}: not every line was delivered; {}",
        report.delivered,
        report.spooled,
        told(report.untold_dropped + report.untold_lost),
    ));
    ExitCode::FAILURE
}

/// Signals that ask for the end.
pub(crate) struct Stop {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Stop {
    /// Listens from now on.
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Ends when one has come. Cancel safe.
    pub(crate) async fn asked(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
