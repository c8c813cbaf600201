//! `/v3/node`: what concerns all channels of this router.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::response::Response;
use serde::Serialize;

use crate::api::ApiState;
use crate::clock::UnixMicros;
use crate::route::limit::Rate;

/// When the certificate of a listener ends.
#[derive(Serialize)]
struct CertificateView {
    listener: &'static str,
    not_after: Option<String>,
}

/// What every token may send; `null` is as much as it likes.
#[derive(Serialize)]
struct LimitsView {
    messages_per_second: Option<u64>,
    bytes_per_second: Option<u64>,
}

/// `GET /v3/node`.
pub(crate) async fn show(State(state): State<Arc<ApiState>>) -> Response {
    #[derive(Serialize)]
    struct Node {
        version: &'static str,
        started: String,
        limits: LimitsView,
        certificates: Vec<CertificateView>,
    }
    let per_second = |rate: Option<Rate>| rate.map(|rate| rate.per_second);
    let limits = state.settings.load().rate_limits;
    let certificates = state.certificates.iter().map(|(listener, server)| {
        let not_after = server.not_after().map(UnixMicros::to_micros_text);
        CertificateView {
            listener,
            not_after,
        }
    });
    let node = Node {
        version: env!("CARGO_PKG_VERSION"),
        started: state.node.started().to_micros_text(),
        limits: LimitsView {
            messages_per_second: per_second(limits.messages),
            bytes_per_second: per_second(limits.bytes),
        },
        certificates: certificates.collect(),
    };
    Json(node).into_response()
}
