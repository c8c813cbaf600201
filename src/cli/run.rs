//! `logboom run`: starts a process, ships what it prints, ends as it ends.

use std::ffi::OsString;
use std::io;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use crate::cli::error::CliError;
use crate::cli::output;
use crate::cli::output::Out;
use crate::cli::serve::LogLevel;
use crate::cli::ship;
use crate::cli::ship::flags::ShipFlags;
use crate::cli::ship::join::JoinFlags;
use crate::cli::small_runtime;
use crate::config;
use crate::config::Environment;
use crate::config::LOGPLEX_URL_VARIABLE;
use crate::config::LOGS_URL_VARIABLE;
use crate::config::PLATFORM_TOKEN_VARIABLE;
use crate::id::Token;
use crate::limits::PRI_MAX;
use crate::shutdown::Shutdown;
use crate::sources::run;
use crate::sources::run::Command;
use crate::sources::run::RunError;
use crate::sources::run::RunSettings;
use crate::sources::run::Signals;
use crate::sources::run::Stream;
use crate::sources::run::Tee;
use crate::sources::run::Watch;
use crate::sources::ship::Format;
use crate::sources::ship::Reading;
use crate::sources::ship::Shipment;
use crate::sources::ship::Splitter;
use crate::syslog::message::Pri;

/// Flags of `run`.
#[derive(Args, Clone, Debug)]
#[command(after_help = FOOT)]
pub(crate) struct Run {
    /// PROCID of the messages
    #[arg(long, value_name = "NAME", default_value = "run.1", value_parser = ship::flags::word)]
    procid: String,
    /// PRI of what is printed on stdout: facility * 8 + severity
    #[arg(long, value_name = "N", default_value_t = 190, value_parser = pri())]
    prival: u8,
    /// PRI of what is printed on stderr
    #[arg(long, value_name = "N", default_value_t = 187, value_parser = pri())]
    stderr_prival: u8,
    /// Pass stdout and stderr through as well
    #[arg(long)]
    tee: bool,
    /// Tell what becomes of the process, and its metrics, with this token [env: LOGBOOM_PLATFORM_TOKEN]
    #[arg(long, value_name = "TOKEN")]
    platform_token: Option<String>,
    /// How often load and memory are told; 0: never
    #[arg(long, value_name = "TIME", default_value = "20s", value_parser = interval)]
    metrics_interval: Duration,
    /// How long the output is read after the process's end, where others still hold it
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = interval)]
    linger: Duration,
    /// Leave LOGS_URL and the tokens in the process's environment
    #[arg(long)]
    keep_env: bool,
    #[command(flatten)]
    join: JoinFlags,
    #[command(flatten)]
    flags: ShipFlags,
    /// What to run
    #[arg(required = true, trailing_var_arg = true, value_name = "CMD")]
    command: Vec<OsString>,
}

/// Runs the process; its exit status is the command's.
pub(crate) fn run(given: &Run, environment: &Environment, out: &Out) -> Result<ExitCode, CliError> {
    let shipping = given.flags.settings(environment)?;
    let settings = given.settings(environment, out)?;
    // Before there are threads, which would take the signals.
    let signals = Signals::block().map_err(CliError::Runtime)?;
    LogLevel::install(given.flags.log_level());
    let runtime = small_runtime()?;
    let ran = runtime.block_on(async {
        let mut signals = signals.watch().map_err(CliError::Runtime)?;
        let shutdown = Shutdown::new();
        let (intake, shipment) = crate::sources::ship::start(shipping, &shutdown)?;
        let has_ended = || shipment.open_up();
        let ran = tokio::select! {
            ran = Box::pin(run::run(settings, &mut signals, intake, has_ended)) => ran,
            never = given.flags.stats.tell(&shipment) => match never {},
        };
        finish(shipment, given.flags.grace(), &mut signals).await;
        Ok::<_, CliError>(ran)
    });
    // A terminal that was stopped may hold a thread that passes output through.
    runtime.shutdown_background();
    match ran? {
        Ok(status) => Ok(status.into()),
        Err(RunError::Start(error)) => {
            output::note(&format_args!("logboom: {error}"));
            Ok(error.status().into())
        }
        Err(RunError::System(error)) => Err(CliError::Runtime(error)),
    }
}

/// Sends what waits, and says what could not be sent.
async fn finish(shipment: Shipment, grace: Duration, signals: &mut Watch) {
    let hurry = shipment.hurry();
    let finished = shipment.finish(grace);
    tokio::pin!(finished);
    let report = tokio::select! {
        report = &mut finished => report,
        () = signals.end_asked() => {
            hurry.end_now();
            finished.await
        }
    };
    // The exit status is the process's.
    if ship::verdict(&report) != ExitCode::SUCCESS { /* it was said */ }
}

impl Run {
    fn settings(&self, environment: &Environment, out: &Out) -> Result<RunSettings, CliError> {
        let (program, arguments) = self
            .command
            .split_first()
            .expect("the grammar wants one at least");
        Ok(RunSettings {
            command: Command {
                program: program.clone(),
                arguments: arguments.to_vec(),
                variables: config::inherited_variables(self.hidden_variables()),
            },
            reading: Reading {
                pri: Pri::or_default(self.prival.into()),
                procid: Arc::from(self.procid.as_str()),
                when_full: self.flags.when_full(),
                splitter: Splitter::new(self.flags.line_bytes_max(), self.flags.split()),
                format: Format::Raw,
                join: self.join.join(),
            },
            stderr_pri: Pri::or_default(self.stderr_prival.into()),
            tee: self.tee.then(|| tee(out.clone())),
            platform_token: self.platform_token(environment)?,
            metrics_interval: Some(self.metrics_interval).filter(|time| !time.is_zero()),
            linger: self.linger,
        })
    }

    /// Who has the token can write into the channel: a program that prints its environment, or sends
    /// it somewhere with an error, would give that away.
    const fn hidden_variables(&self) -> &'static [&'static str] {
        if self.keep_env {
            return &[];
        }
        &[
            LOGS_URL_VARIABLE,
            LOGPLEX_URL_VARIABLE,
            PLATFORM_TOKEN_VARIABLE,
        ]
    }

    fn platform_token(&self, environment: &Environment) -> Result<Option<Token>, CliError> {
        let given = [
            ("--platform-token", self.platform_token.as_deref()),
            (
                PLATFORM_TOKEN_VARIABLE,
                environment.value(PLATFORM_TOKEN_VARIABLE),
            ),
        ];
        let Some((origin, text)) = given
            .into_iter()
            .find_map(|(origin, text)| Some((origin, text?)))
        else {
            return Ok(None);
        };
        let token = Token::new(text);
        token.map(Some).map_err(|error| CliError::BadToken {
            origin,
            reason: error,
        })
    }
}

fn tee(out: Out) -> Tee {
    Arc::new(move |stream, bytes| match stream {
        Stream::Stdout => out.write_bytes(bytes).map_err(|error| match error {
            CliError::Output(error) => error,
            _ => io::ErrorKind::BrokenPipe.into(),
        }),
        Stream::Stderr => io::stderr().lock().write_all(bytes),
    })
}

fn pri() -> clap::builder::RangedI64ValueParser<u8> {
    clap::value_parser!(u8).range(..=i64::from(PRI_MAX))
}

/// A time of a day at most.
fn interval(text: &str) -> Result<Duration, String> {
    match config::duration(text) {
        Ok(found) if Duration::from_secs(86_400) < found => Err("it must be at most 1d".to_owned()),
        Ok(found) => Ok(found),
        Err(problem) => Err(format!("{problem}; a time is such as 500ms, 20s or 1m")),
    }
}

const FOOT: &str = "\
Examples:
  logboom run --procid web.1 -- bundle exec puma
  logboom run --tee --procid clock.1 -- ./clock

The exit status is that of CMD: 128 and the number for a signal, 127 when it is not found, 126 when \
it cannot be run. Signals are passed on. What cannot be sent is said at the end; CMD never waits for \
it, unless with --block.";
