//! How the router is, and its numbers; open to everybody, names nobody.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::IntoResponse;
use axum::response::Response;

use crate::api::ApiState;
use crate::api::error::ApiError;
use crate::api::error::DISABLED;
use crate::api::error::STARTING;
use crate::api::error::STOPPING;
use crate::control::Mode;

/// Where in its life the router stands.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum HealthState {
    /// Entries are being read; nothing is served yet.
    #[default]
    Starting,
    /// At work.
    Serving,
    /// Asked to end.
    Stopping,
}

/// The router's state as whoever watches it sees it.
#[derive(Debug, Default)]
pub struct Health {
    state: Mutex<HealthState>,
}

impl Health {
    /// Just starting.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The router went on to `state`.
    pub fn set(&self, state: HealthState) {
        *self.held() = state;
    }

    /// Where the router stands.
    #[must_use]
    pub fn state(&self) -> HealthState {
        *self.held()
    }

    fn held(&self) -> MutexGuard<'_, HealthState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ApiState {
    /// Why nothing can be served now, if so.
    pub(crate) fn refusal(&self) -> Option<&'static str> {
        match self.health.state() {
            HealthState::Starting => Some(STARTING),
            HealthState::Stopping => Some(STOPPING),
            HealthState::Serving if self.control.mode() == Mode::Disabled => Some(DISABLED),
            HealthState::Serving => None,
        }
    }
}

/// `GET /healthcheck`. Logplex wanted a credential here and told nothing more; load balancers have none.
pub(crate) async fn show(State(state): State<Arc<ApiState>>) -> Response {
    let (status, word) = match (unhealthy(&state), state.control.mode()) {
        (Some(cause), _) => (StatusCode::SERVICE_UNAVAILABLE, cause),
        (None, Mode::ReadOnly) => (StatusCode::OK, "read_only"),
        (None, _) => (StatusCode::OK, "normal"),
    };
    (status, Json(serde_json::json!({ "status": word }))).into_response()
}

/// `GET /v3/healthcheck`.
pub(crate) async fn show_v3(State(state): State<Arc<ApiState>>) -> Response {
    match unhealthy(&state) {
        Some(cause) => ApiError::text(StatusCode::SERVICE_UNAVAILABLE, cause).into_response(),
        None => "OK".into_response(),
    }
}

fn unhealthy(state: &ApiState) -> Option<&'static str> {
    let is_broken = state.control.is_store_broken();
    state
        .refusal()
        .or(is_broken.then_some("the store does not take changes"))
}

/// `GET /metrics`.
pub(crate) async fn metrics(State(state): State<Arc<ApiState>>) -> Response {
    let kind = [(
        header::CONTENT_TYPE,
        "text/plain; version=0.0.4; charset=utf-8",
    )];
    (kind, state.render_metrics()).into_response()
}
