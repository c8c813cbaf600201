//! Assembly: a configuration becomes a running router, from the bottom rank up, and is ended from
//! the top down: stop accepting, let requests end, flush drains, close the store.

mod admin;
mod gate;
mod listeners;
mod settings;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use axum::routing::any;
use metrics_exporter_prometheus::BuildError;
use tracing::info;
use tracing::warn;

use crate::api;
use crate::api::ApiState;
use crate::api::Counting;
use crate::api::Health;
use crate::api::HealthState;
use crate::app::listeners::Listeners;
use crate::channel::Node;
use crate::clock;
use crate::config::Config;
use crate::config::Protocol;
use crate::control::ChannelPatch;
use crate::control::Control;
use crate::control::ControlError;
use crate::egress::drain::Drains;
use crate::egress::metrics;
use crate::ingest::http::LogsInput;
use crate::ingest::http::LogsMode;
use crate::ingest::http::logs;
use crate::ingest::otlp::otlp_logs;
use crate::net::http::HttpEnds;
use crate::net::listen::ListenError;
use crate::net::tls::Renewed;
use crate::net::tls::TlsError;
use crate::registry::sessions::Sessions;
use crate::route::Firehose;
use crate::route::RouteTable;
use crate::shutdown::Shutdown;
use crate::store::Store;
use crate::store::StoreError;
use crate::telemetry::Telemetry;

pub use admin::ADMIN_CREDENTIAL_FILE;
pub use admin::AdminError;

/// Where the router listens; port 0 is filled in.
#[derive(Clone, Debug)]
pub struct Addresses {
    /// HTTP.
    pub http: SocketAddr,
    /// The API, when it has a listener of its own.
    pub api: Option<SocketAddr>,
    /// Syslog over TCP.
    pub syslog_tcp: Option<SocketAddr>,
    /// Syslog over UDP.
    pub syslog_udp: Option<SocketAddr>,
    /// Syslog over TLS.
    pub syslog_tls: Option<SocketAddr>,
    /// Syslog bound to one token, in the configuration's order.
    pub bound: Vec<(Protocol, SocketAddr)>,
}

/// Why a router did not start.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The recorder of the router's own numbers refused its buckets.
    #[error("telemetry: {0}")]
    Telemetry(#[from] BuildError),
    /// An address could not be bound.
    #[error("{0}")]
    Listen(#[from] ListenError),
    /// A certificate or key was not taken.
    #[error("{0}")]
    Tls(#[from] TlsError),
    /// The store could not be opened or read.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// There is no credential to begin with.
    #[error("{0}")]
    Admin(#[from] AdminError),
    /// A channel that the configuration names was not taken.
    #[error("{0}")]
    Control(#[from] ControlError),
}

/// Why a new configuration was not taken.
#[derive(Debug, thiserror::Error)]
#[error("{cause}")]
pub struct ReloadError {
    /// The key that could not be taken over.
    pub key: &'static str,
    /// What is in the way.
    #[source]
    cause: AppError,
}

impl ReloadError {
    pub(crate) fn new(key: &'static str, cause: impl Into<AppError>) -> Self {
        Self {
            key,
            cause: cause.into(),
        }
    }
}

/// A running router.
pub struct App {
    listeners: Listeners,
    node: Arc<Node>,
    routes: Arc<RouteTable>,
    drains: Arc<Drains>,
    logs: Arc<LogsInput>,
    api: Arc<ApiState>,
    /// Connections, requests, streams, and the listeners of syslog.
    intake: Shutdown,
    /// The listeners of HTTP: until the end they say that it comes.
    listening: Shutdown,
    /// Tasks that tidy and measure.
    upkeep: Shutdown,
    /// What is in force now, but for what only a start heeds.
    config: ArcSwap<Config>,
}

impl App {
    /// Binds every address, reads the store and starts everything.
    ///
    /// # Errors
    /// `AppError` with the first thing that failed; nothing is left running then.
    pub async fn start(config: Config) -> Result<Self, AppError> {
        let ends = HttpEnds::default();
        let started = Self::start_within(&config, ends.clone()).await;
        if started.is_err() {
            ends.requests.request();
            ends.listening.request();
        }
        started
    }

    async fn start_within(config: &Config, ends: HttpEnds) -> Result<Self, AppError> {
        let telemetry = Telemetry::new()?;
        let node = Node::new(settings::budget(config), telemetry.clone());
        let routes = Arc::new(RouteTable::new());
        routes.set_limits(settings::rates(config));
        routes.set_firehose(firehose(config, &node));
        let mut listeners = Listeners::bind(config, &telemetry)?;
        let gates = listeners.serve_http(config, &ends, &telemetry);

        let drains = Drains::new(settings::drains(config), telemetry.clone(), Shutdown::new());
        let store = Store::open(&config.data_dir)?;
        let control = Control::start(
            store,
            Arc::clone(&node),
            Arc::clone(&routes),
            Arc::clone(&drains),
            settings::control(config),
        )?;
        admin::ensure(config, &control).await?;
        ensure_channels(config, &control).await?;
        warn_of_unknown_tokens(config, &control);
        // Only now: what a start needs is made in every mode.
        control.set_mode(config.mode);

        let logs = Arc::new(LogsInput::new(
            Arc::clone(&routes),
            Arc::clone(control.directory()),
            settings::logs(config),
            telemetry.clone(),
        ));
        let api = Arc::new(ApiState {
            directory: Arc::clone(control.directory()),
            control,
            node: Arc::clone(&node),
            drains: Arc::clone(&drains),
            sessions: Arc::new(Sessions::new(
                usize::try_from(config.sessions_max).unwrap_or(usize::MAX),
            )),
            telemetry: telemetry.clone(),
            health: Arc::new(Health::new()),
            shutdown: ends.requests.clone(),
            certificates: listeners.certificates(),
            counting: Counting::default(),
            settings: ArcSwap::from_pointee(settings::api(config)),
        });
        let app = Self {
            node,
            routes,
            drains,
            logs,
            api,
            intake: ends.requests,
            listening: ends.listening,
            upkeep: Shutdown::new(),
            config: ArcSwap::from_pointee(config.clone()),
            listeners,
        };
        app.begin(config, gates, &telemetry);
        Ok(app)
    }

    /// Starts what runs beside the listeners, then opens the doors.
    fn begin(&self, config: &Config, gates: listeners::Gates, telemetry: &Telemetry) {
        let (node, routes) = (Arc::clone(&self.node), Arc::clone(&self.routes));
        self.upkeep.spawn(node.maintain(self.upkeep.clone()));
        self.upkeep.spawn(routes.tell_limited(self.upkeep.clone()));
        if let Some(id) = config.metrics_channel.clone() {
            let (node, api) = (Arc::clone(&self.node), Arc::clone(&self.api));
            let render = move || api.render_metrics();
            let name = self.addresses().http.to_string();
            self.upkeep
                .spawn(metrics::feed(node, id, name, render, self.upkeep.clone()));
        }
        self.listeners
            .serve_syslog(config, &self.routes, &self.intake, telemetry);
        self.set_logs_mode(config);
        self.api.health.set(HealthState::Serving);
        let input = Router::new()
            .route("/logs", any(logs))
            .route("/logs/", any(logs))
            .route("/v1/logs", any(otlp_logs))
            .with_state(Arc::clone(&self.logs));
        match gates.api {
            Some(gate) => {
                gate.open(api::router(Arc::clone(&self.api)));
                gates
                    .http
                    .open(api::open_router(Arc::clone(&self.api)).merge(input));
            }
            None => gates
                .http
                .open(api::router(Arc::clone(&self.api)).merge(input)),
        }
        info!(channels = self.node.channel_count(), "started");
    }

    /// Where it listens.
    #[must_use]
    pub fn addresses(&self) -> Addresses {
        self.listeners.addresses()
    }

    /// Takes over the keys that can change while it runs and reads the certificates again: all of
    /// it or nothing.
    ///
    /// # Errors
    /// `ReloadError` when a certificate or key file is not taken, or the thread that makes changes
    /// takes no more; nothing has changed then.
    pub async fn reload(&self, config: Config) -> Result<(), ReloadError> {
        // First what can fail, the door last, which acts at once.
        let renewed = self.listeners.read_certificates()?;
        if config.when_full != self.config.load().when_full {
            let set = self.api.control.set_default_when_full(config.when_full);
            set.await
                .map_err(|error| ReloadError::new("when_full", error))?;
        }
        // From here on nothing fails.
        renewed.into_iter().for_each(Renewed::put_in_force);
        self.api.control.set_mode(config.mode);
        self.node.set_budget(settings::budget(&config));
        self.drains.set_settings(settings::drains(&config));
        self.routes.set_limits(settings::rates(&config));
        self.api.settings.store(Arc::new(settings::api(&config)));
        self.set_logs_mode(&config);
        self.config.store(Arc::new(config));
        Ok(())
    }

    /// Ends it in order; returns when all has ended. Takes at most `shutdown_grace`, and a moment.
    /// Requests get at most half of it: a stuck one shall not cost the drains their flush.
    pub async fn stopped(&self) {
        let began = clock::now();
        let grace = self.config.load().shutdown_grace;
        self.api.health.set(HealthState::Stopping);
        self.logs.set_mode(LogsMode::Stopping);
        self.intake.request();
        // Half of it at most: a reader that does not read any more never ends its stream, and the
        // time is for the drains as well.
        if !self.intake.finished(grace / 2).await {
            let open = self.intake.running_count();
            warn!(
                open,
                "connections are still open, drains are flushed all the same"
            );
        }
        let left = grace.saturating_sub(began.elapsed());
        self.drains.flush(left).await;
        self.listening.request();
        self.upkeep.request();
        let ended = tokio::join!(
            self.listening.finished(UPKEEP_GRACE),
            self.upkeep.finished(UPKEEP_GRACE)
        );
        if ended != (true, true) {
            warn!("listeners or upkeep did not end in time");
        }
        self.api.control.stop().await;
        info!("stopped");
    }

    fn set_logs_mode(&self, config: &Config) {
        let mode = if config.deny_logs_ingress {
            LogsMode::Denied
        } else {
            LogsMode::Open
        };
        self.logs.set_mode(mode);
    }
}

fn firehose(config: &Config, node: &Arc<Node>) -> Option<Firehose> {
    let channels = config.firehose_channels.clone();
    let sources = config.firehose_tokens.iter().cloned().collect();
    (!channels.is_empty()).then(|| Firehose::new(Arc::clone(node), channels, sources))
}

/// Makes the channels that the configuration names for the router's own use.
async fn ensure_channels(config: &Config, control: &Control) -> Result<(), ControlError> {
    for id in config
        .metrics_channel
        .iter()
        .chain(&config.firehose_channels)
    {
        if control.directory().channel(id).is_none() {
            let (sources, patch) = (Vec::new(), ChannelPatch::default());
            control.put_channel(id.clone(), sources, patch).await?;
        }
    }
    Ok(())
}

/// A listener whose token is unknown drops all that arrives; its token may still be made later.
fn warn_of_unknown_tokens(config: &Config, control: &Control) {
    for listener in &config.listener {
        if !control.directory().knows_token(&listener.token) {
            let (protocol, address) = (listener.protocol, listener.address);
            // Not the token: it is a secret.
            warn!(?protocol, %address, "the token of this [[listener]] is unknown: what arrives there is dropped");
        }
    }
}

/// For tasks that only have to notice that they are asked.
const UPKEEP_GRACE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests;
