//! The HTTP API: Logplex's three faces (legacy, v2, v3), what is new in v3, Heroku's Platform API,
//! log streams, health.
//!
//! A handler parses, asks `control` or reads the directory, and answers. Authentication comes
//! before everything else (`auth`); causes become statuses in `error`. The input `/logs` is not
//! here: the assembly merges its router with this one.

mod auth;
mod body;
mod channels;
mod credentials;
mod drains;
mod error;
mod extract;
#[cfg(any(test, fuzzing))]
mod fuzz;
mod health;
mod keys;
mod legacy;
mod logs;
mod platform;
mod request;
mod sessions;
mod tokens;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use axum::middleware::from_fn;
use axum::middleware::from_fn_with_state;
use axum::routing::any;
use axum::routing::delete;
use axum::routing::get;
use axum::routing::post;

use crate::channel::Node;
use crate::control::Control;
use crate::egress::drain::Drains;
use crate::id::Secret;
use crate::registry::Directory;
use crate::registry::sessions::Sessions;
use crate::shutdown::Shutdown;
use crate::telemetry::Telemetry;

#[cfg(any(test, fuzzing))]
pub use fuzz::fuzz_api_body;
pub use health::Health;
pub use health::HealthState;
pub use request::OverTls;

/// What an operator may set for the API; may change while running.
#[derive(Clone)]
pub struct ApiSettings {
    /// Beginning of the URLs that are given out (`https://logs.example.com`); the request's own
    /// `Host` when there is none.
    pub public_url: Option<String>,
    /// Whether `POST /v3/sessions` is refused.
    pub deny_tail_sessions: bool,
    /// A secret that is accepted verbatim as `Authorization: Basic SECRET` (Logplex's auth key).
    pub auth_key: Option<Arc<Secret>>,
    /// A comment goes out on event streams when nothing else did for so long.
    pub tail_keepalive: Duration,
}

impl Default for ApiSettings {
    fn default() -> Self {
        Self {
            public_url: None,
            deny_tail_sessions: false,
            auth_key: None,
            tail_keepalive: Duration::from_secs(20),
        }
    }
}

/// Everything the handlers use.
pub struct ApiState {
    /// The door for changes.
    pub control: Control,
    /// The entries.
    pub directory: Arc<Directory>,
    /// The channels.
    pub node: Arc<Node>,
    /// The running drains.
    pub drains: Arc<Drains>,
    /// The sessions.
    pub sessions: Arc<Sessions>,
    /// The counters.
    pub telemetry: Telemetry,
    /// How the router is.
    pub health: Arc<Health>,
    /// Ends the streams.
    pub shutdown: Shutdown,
    /// What the operator set.
    pub settings: ArcSwap<ApiSettings>,
}

impl ApiState {
    /// All numbers in Prometheus' text, the gauges read afresh.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        reason = "a gauge is a float; 2^53 channels or bytes are out of reach"
    )]
    pub fn render_metrics(&self) -> String {
        self.drains.measure();
        self.telemetry
            .channels
            .set(self.node.channel_count() as f64);
        self.telemetry
            .segment_bytes
            .set(self.node.segment_bytes() as f64);
        self.telemetry.render()
    }
}

/// The whole API, with the fallbacks (404, 405) of the listener: what is merged into it has none of
/// its own. A TLS listener adds `Extension(OverTls)`, so that URLs given out begin with `https`.
pub fn router(state: Arc<ApiState>) -> Router {
    let routes = Router::new()
        .merge(legacy_writes(&state))
        .merge(legacy_reads(&state))
        .merge(v3(&state))
        .merge(platform::routes(&state))
        .merge(open());
    finished(routes, state)
}

/// What needs no credential, for the public listener of a router whose API has one of its own.
pub fn open_router(state: Arc<ApiState>) -> Router {
    finished(open(), state)
}

fn finished(routes: Routes, state: Arc<ApiState>) -> Router {
    routes
        .fallback(error::not_found)
        .method_not_allowed_fallback(error::method_not_allowed)
        .with_state(state)
}

type Routes = Router<Arc<ApiState>>;

/// Legacy and v2, what read-only mode refuses (and what it lets pass because it only reads).
fn legacy_writes(state: &Arc<ApiState>) -> Routes {
    Router::new()
        .route("/channels", post(legacy::create_channel))
        .route("/channels/{id}", delete(legacy::delete_channel))
        .route("/channels/{id}/info", get(legacy::show_channel))
        .route("/channels/{id}/token", post(legacy::create_token))
        .route("/channels/{id}/drains/tokens", post(legacy::reserve_drain))
        .route("/sessions", post(sessions::create_legacy))
        .route(
            "/v2/channels/{id}",
            get(legacy::show_channel_v2).delete(legacy::delete_channel_v2),
        )
        .route("/v2/channels/{id}/tokens", post(legacy::create_token_v2))
        .route("/v2/channels/{id}/drains", post(legacy::create_drain_v2))
        .route(
            "/v2/channels/{id}/drains/{drain}",
            post(legacy::update_drain_v2).delete(legacy::delete_drain_v2),
        )
        .route("/v2/sessions", post(sessions::create_v2))
        .method_not_allowed_fallback(error::method_not_allowed)
        .route_layer(from_fn_with_state(Arc::clone(state), auth::guard_legacy))
}

/// Legacy and v2, what read-only mode lets pass although it is a `POST`.
fn legacy_reads(state: &Arc<ApiState>) -> Routes {
    Router::new()
        .route("/channels/{id}/drains", any(legacy::drains_are_gone))
        .route(
            "/channels/{id}/drains/{drain}",
            any(legacy::drains_are_gone),
        )
        .route("/v2/canary-sessions", post(sessions::create_canary))
        .method_not_allowed_fallback(error::method_not_allowed)
        .route_layer(from_fn_with_state(
            Arc::clone(state),
            auth::guard_legacy_reads,
        ))
}

fn v3(state: &Arc<ApiState>) -> Routes {
    let drains = post(drains::create).get(drains::list);
    let sessions = post(sessions::create_v3);
    Router::new()
        .route("/v3/channels", get(channels::list))
        .route(
            "/v3/channels/{id}",
            get(channels::show)
                .put(channels::put)
                .patch(channels::patch)
                .delete(channels::delete),
        )
        .route(
            "/v3/channels/{id}/tokens",
            get(tokens::list).post(tokens::create),
        )
        .route("/v3/channels/{id}/tokens/{token}", delete(tokens::delete))
        .route("/v3/channels/{id}/drains", drains.clone())
        .route("/v3/channels/{id}/drains/", drains)
        .route(
            "/v3/channels/{id}/drains/{drain}",
            get(drains::show).put(drains::put).delete(drains::delete),
        )
        .route("/v3/channels/{id}/logs", get(logs::show))
        .route("/v3/drains", get(drains::list_all))
        .route("/v3/sessions", sessions.clone())
        .route("/v3/sessions/", sessions.clone())
        .route("/v3/sessions/{id}", sessions)
        .route(
            "/v3/credentials",
            get(credentials::list).post(credentials::create),
        )
        .route(
            "/v3/credentials/{id}",
            get(credentials::show).delete(credentials::delete),
        )
        .route("/v3/keys", get(keys::list).post(keys::create))
        .route("/v3/keys/{id}", delete(keys::delete))
        .route_layer(from_fn(request::with_media))
        // Here, so that a wrong method is told to who is known only, before any media type.
        .method_not_allowed_fallback(error::method_not_allowed)
        .route_layer(from_fn_with_state(Arc::clone(state), auth::guard_v3))
        .route_layer(from_fn(request::with_id))
}

/// What needs no credential: the session's id is the secret, the rest names nobody.
fn open() -> Routes {
    Router::new()
        .route("/healthcheck", get(health::show))
        .route("/v3/healthcheck", get(health::show_v3))
        .route("/metrics", get(health::metrics))
        .route("/sessions/{id}", get(sessions::fetch))
        .route("/v2/canary-fetch/{id}", get(sessions::fetch))
}
