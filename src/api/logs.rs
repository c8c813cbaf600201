//! `GET /v3/channels/:id/logs`: the last messages as `application/logplex-1`.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderName;
use axum::http::HeaderValue;
use axum::http::header;
use axum::response::IntoResponse;
use axum::response::Response;
use bytes::Bytes;
use http_body::Frame;
use serde::Deserialize;

use crate::api::ApiState;
use crate::api::channels;
use crate::api::error::ApiError;
use crate::api::error::CHANNEL_NOT_FOUND;
use crate::api::extract::Path;
use crate::api::extract::Query;
use crate::api::request::LOGPLEX;
use crate::api::sessions;
use crate::egress::history;
use crate::limits::SESSION_LINES_DEFAULT;

#[derive(Deserialize)]
pub(crate) struct LogsQuery {
    num: Option<String>,
}

/// `GET /v3/channels/:id/logs?num=N`: exactly the last N (100), oldest first, rightly counted.
pub(crate) async fn show(
    State(state): State<Arc<ApiState>>,
    Path(id): Path<String>,
    Query(query): Query<LogsQuery>,
) -> Result<Response, ApiError> {
    let lines = match query.num.as_deref() {
        None => SESSION_LINES_DEFAULT,
        Some(text) => sessions::lines(text)
            .ok_or_else(|| ApiError::bad_request("num must be a number of lines, 0 or more"))?,
    };
    let id = channels::known(&state, &id)?.id;
    let Some(channel) = state.node.channel(&id) else {
        return Err(ApiError::missing(CHANNEL_NOT_FOUND));
    };
    let frames = history::frames(&channel, lines).await;
    let chunks = Chunks(VecDeque::from(frames.chunks));
    let mut response = Body::new(chunks).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(LOGPLEX));
    headers.insert(MSG_COUNT, HeaderValue::from(frames.count));
    Ok(response)
}

const MSG_COUNT: HeaderName = HeaderName::from_static("logplex-msg-count");

/// A body of pieces that are there already; each is freed as it is sent.
struct Chunks(VecDeque<Bytes>);

impl http_body::Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(|chunk| Ok(Frame::data(chunk))))
    }
}
