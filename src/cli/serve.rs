//! `logboom serve`: the router until a signal ends it.

use std::num::NonZero;
use std::process::ExitCode;

use tokio::signal::unix::Signal;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;
use tracing::error;
use tracing::info;
use tracing::warn;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::Registry;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt;

use crate::app::Addresses;
use crate::app::App;
use crate::cli::arguments::Serve;
use crate::cli::error::CliError;
use crate::cli::logs::INTERRUPTED_CODE;
use crate::cli::output::Out;
use crate::config::Config;
use crate::config::Effect;
use crate::config::Environment;
use crate::config::Flags;

/// Runs the router; returns when it was asked to end and has ended.
pub(crate) fn run(
    serve: &Serve,
    environment: &Environment,
    out: &Out,
) -> Result<ExitCode, CliError> {
    let flags = flags(serve);
    let config = Config::load(environment, &flags)?;
    let log = LogLevel::install(&config.log);
    runtime(&config)?.block_on(async {
        // Before the ready line: who reads it may send a signal at once.
        let mut signals = Signals::new().map_err(CliError::Runtime)?;
        let mut config = config;
        let app = App::start(config.clone()).await?;
        out.line(&ready_line(&app.addresses()))?;
        while let Asked::Reload = signals.next().await {
            reload_config(&app, &mut config, environment, &flags, &log).await;
        }
        info!("stopping");
        tokio::select! {
            () = app.stopped() => Ok(ExitCode::SUCCESS),
            () = signals.stop_again() => {
                warn!("a second signal: ending at once");
                std::process::exit(INTERRUPTED_CODE.into())
            }
        }
    })
}

/// The runtime that the configuration asks for.
///
/// By itself it takes half of the processors. The kernel does as much for the same messages on the
/// others; and where readers and writers share a thread, a message is still in its processor's cache
/// when it goes out, and no thread has to be woken for it.
pub(crate) fn runtime(config: &Config) -> Result<tokio::runtime::Runtime, CliError> {
    let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
    let threads = match usize::try_from(config.worker_threads) {
        Ok(threads @ 1..) => threads,
        Ok(0) | Err(_) => processors.div_ceil(2),
    };
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .thread_name("logboom")
        .build()
        .map_err(CliError::Runtime)
}

/// `logboom ready http=… syslog_tcp=…`: what is off is left out.
fn ready_line(addresses: &Addresses) -> String {
    let mut line = format!("logboom ready http={}", addresses.http);
    let others = [
        ("syslog_tcp", addresses.syslog_tcp),
        ("syslog_udp", addresses.syslog_udp),
        ("syslog_tls", addresses.syslog_tls),
        ("api", addresses.api),
    ];
    for (name, address) in others {
        if let Some(address) = address {
            line.push_str(&format!(" {name}={address}"));
        }
    }
    for (protocol, address) in &addresses.bound {
        line.push_str(&format!(" listener_{}={address}", protocol.name()));
    }
    line
}

fn flags(serve: &Serve) -> Flags {
    let given = [
        ("--data-dir", "data_dir", &serve.data_dir),
        ("--http", "http", &serve.http),
        ("--syslog-tcp", "syslog_tcp", &serve.syslog_tcp),
        ("--syslog-udp", "syslog_udp", &serve.syslog_udp),
        ("--syslog-tls", "syslog_tls", &serve.syslog_tls),
    ];
    Flags {
        file: serve.config.clone(),
        values: given
            .into_iter()
            .filter_map(|(flag, key, value)| Some((flag, key, value.clone()?)))
            .collect(),
    }
}

/// Takes over what can change; a faulty configuration changes nothing.
async fn reload_config(
    app: &App,
    config: &mut Config,
    environment: &Environment,
    flags: &Flags,
    log: &LogLevel,
) {
    let newer = match Config::load(environment, flags) {
        Ok(newer) => newer,
        Err(faults) => {
            for fault in faults.faults() {
                error!(%fault, "configuration not reloaded");
            }
            return;
        }
    };
    if let Err(reason) = app.reload(newer.clone()).await {
        error!(key = reason.key, %reason, "configuration not reloaded, all stays as it was");
        return;
    }
    log.set(&newer.log);
    for key in config.changes(&newer) {
        match key.effect {
            Effect::Running => info!(key = key.name, "key changed"),
            Effect::Start => warn!(key = key.name, "key changed, heeded at the next start"),
        }
    }
    *config = newer;
    info!("configuration and certificates reloaded");
}

/// What a signal asks for.
enum Asked {
    Stop,
    Reload,
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// The next thing asked for. Cancel safe.
    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.interrupt.recv() => Asked::Stop,
            _ = self.hang_up.recv() => Asked::Reload,
        }
    }

    /// Ends when the end is asked for once more. Cancel safe.
    async fn stop_again(&mut self) {
        while let Asked::Reload = self.next().await {}
    }
}

/// The router's own log: logfmt on stderr, its level changeable.
pub(crate) struct LogLevel {
    handle: Option<reload::Handle<EnvFilter, Registry>>,
}

impl LogLevel {
    /// Installs the log for the whole process; only the first call does.
    pub(crate) fn install(directives: &str) -> Self {
        let (filter, handle) = reload::Layer::new(EnvFilter::new(directives));
        let lines = tracing_subscriber::fmt::layer()
            .event_format(tracing_logfmt::EventsFormatter::default())
            .fmt_fields(tracing_logfmt::FieldsFormatter::default())
            .with_writer(std::io::stderr);
        let installed = tracing_subscriber::registry()
            .with(filter)
            .with(lines)
            .try_init();
        Self {
            handle: installed.ok().map(|()| handle),
        }
    }

    fn set(&self, directives: &str) {
        if let Some(handle) = &self.handle
            && let Err(reason) = handle.reload(EnvFilter::new(directives))
        {
            warn!(%reason, "log level not changed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Protocol;
    use std::net::SocketAddr;

    #[test]
    fn the_ready_line_names_what_listens() {
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let mut addresses = Addresses {
            http: at(8601),
            api: None,
            syslog_tcp: Some(at(6001)),
            syslog_udp: None,
            syslog_tls: None,
            bound: Vec::new(),
        };
        assert_eq!(
            ready_line(&addresses),
            "logboom ready http=127.0.0.1:8601 syslog_tcp=127.0.0.1:6001"
        );
        addresses.syslog_tls = Some(at(6514));
        addresses.api = Some(at(8602));
        addresses.bound.push((Protocol::Udp, at(5140)));
        assert_eq!(
            ready_line(&addresses),
            "logboom ready http=127.0.0.1:8601 syslog_tcp=127.0.0.1:6001 \
             syslog_tls=127.0.0.1:6514 api=127.0.0.1:8602 listener_udp=127.0.0.1:5140"
        );
    }
}
