//! What an HTTP listener answers before the router is ready: 503 to everything.
//!
//! Addresses are bound and served first, so that a fault shows at once and health checks get an
//! honest answer while the entries are being read.

use std::sync::Arc;
use std::sync::OnceLock;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::IntoResponse;
use axum::response::Response;
use tower_service::Service;

/// A place for the router that is not there yet.
#[derive(Clone, Default)]
pub(crate) struct Gate {
    inside: Arc<OnceLock<Router>>,
}

impl Gate {
    /// What a listener serves: 503 until `open`, then what it was opened with.
    pub(crate) fn router(&self) -> Router {
        Router::new().fallback(pass).with_state(self.clone())
    }

    /// From now on requests go to `router`. Only the first call counts.
    pub(crate) fn open(&self, router: Router) {
        if self.inside.set(router).is_err() {
            tracing::error!("a gate was opened twice");
        }
    }
}

async fn pass(State(gate): State<Gate>, request: Request<Body>) -> Response {
    let Some(router) = gate.inside.get() else {
        let retry = [(header::RETRY_AFTER, "1")];
        return (StatusCode::SERVICE_UNAVAILABLE, retry, "Starting").into_response();
    };
    match router.clone().call(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn status(router: &Router) -> StatusCode {
        let request = Request::builder().uri("/x").body(Body::empty()).unwrap();
        router.clone().call(request).await.unwrap().status()
    }

    #[tokio::test]
    async fn a_gate_answers_503_until_it_is_open() {
        let gate = Gate::default();
        let router = gate.router();
        assert_eq!(status(&router).await, StatusCode::SERVICE_UNAVAILABLE);
        gate.open(Router::new().route("/x", axum::routing::get(|| async { "inside" })));
        assert_eq!(status(&router).await, StatusCode::OK);
    }
}
