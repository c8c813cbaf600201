//! Sessions: made by who may use the API, opened by whoever has the URL.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;

use axum::Json;
use axum::body::Body;
use axum::extract::Request;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::HeaderName;
use axum::http::HeaderValue;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::IntoResponse;
use axum::response::Response;
use bytes::Bytes;
use http_body::Frame;
use serde_json::Value;
use serde_json::json;
use tokio_util::sync::WaitForCancellationFutureOwned;

use crate::api::ApiState;
use crate::api::auth::Caller;
use crate::api::body;
use crate::api::body::Object;
use crate::api::error::ApiError;
use crate::api::error::CHANNEL_NOT_FOUND;
use crate::api::error::NOT_FOUND;
use crate::api::extract::Path;
use crate::api::request;
use crate::api::request::EVENTS;
use crate::api::request::Place;
use crate::clock;
use crate::clock::UnixMicros;
use crate::egress::events::EventId;
use crate::egress::tail::Tail;
use crate::egress::tail::TailBody;
use crate::egress::tail::TailFormat;
use crate::egress::tail::TailRequest;
use crate::filter::Filter;
use crate::id::ChannelId;
use crate::id::SessionId;
use crate::limits::FIELD_BYTES_MAX;
use crate::limits::SESSION_LINES_DEFAULT;
use crate::limits::SESSION_LINES_MAX;
use crate::registry::sessions::OpenSession;
use crate::registry::sessions::SessionEntry;
use crate::registry::sessions::Sessions;

/// `POST /sessions`: 201 and the bare URL.
pub(crate) async fn create_legacy(
    State(state): State<Arc<ApiState>>,
    request: Request,
) -> Result<Response, ApiError> {
    let missing = ApiError::text(StatusCode::NOT_FOUND, NOT_FOUND);
    let url = create(&state, request, missing).await?;
    Ok((StatusCode::CREATED, url).into_response())
}

/// `POST /v2/sessions`: 201 and `{"url": …}`.
pub(crate) async fn create_v2(
    State(state): State<Arc<ApiState>>,
    request: Request,
) -> Result<Response, ApiError> {
    let url = create(&state, request, ApiError::missing("Not Found")).await?;
    Ok((StatusCode::CREATED, Json(json!({ "url": url }))).into_response())
}

/// `POST /v2/canary-sessions`: 201 and `{"url": PATH}`.
pub(crate) async fn create_canary(
    State(state): State<Arc<ApiState>>,
    request: Request,
) -> Result<Response, ApiError> {
    let (head, body) = request.into_parts();
    let object = body::object(body).await?;
    let caller = head.extensions.get();
    let (id, is_tail) = grant(&state, caller, &object, ApiError::missing("Not Found"))?;
    let url = format!("/v2/canary-fetch/{}{}", id.expose(), query(is_tail));
    Ok((StatusCode::CREATED, Json(json!({ "url": url }))).into_response())
}

/// `POST /v3/sessions`: 201, `{"url": …}` and the same as `Location`.
pub(crate) async fn create_v3(
    State(state): State<Arc<ApiState>>,
    request: Request,
) -> Result<Response, ApiError> {
    check_allowed(&state)?;
    // Not 404: the path is right, what the body names is not (as Logplex has it).
    let missing = ApiError::unprocessable(CHANNEL_NOT_FOUND);
    let url = create(&state, request, missing).await?;
    let location = HeaderValue::from_str(&url);
    let mut response = (StatusCode::CREATED, Json(json!({ "url": url }))).into_response();
    if let Ok(location) = location {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

async fn create(state: &ApiState, request: Request, missing: ApiError) -> Result<String, ApiError> {
    let (head, body) = request.into_parts();
    let object = body::object(body).await?;
    let (id, is_tail) = grant(state, head.extensions.get(), &object, missing)?;
    let place = Place::of(&head.uri, &head.headers, &head.extensions);
    Ok(url(state, &place, id, is_tail))
}

/// Where a session's stream is.
pub(crate) fn url(state: &ApiState, place: &Place, id: SessionId, is_tail: bool) -> String {
    let base = request::base_url(state, place);
    format!("{base}/sessions/{}{}", id.expose(), query(is_tail))
}

/// Older Heroku CLIs take "is this a tail" from the URL; a `srv` key would make them read plain text.
fn query(is_tail: bool) -> &'static str {
    if is_tail { "?tail=true" } else { "" }
}

fn grant(
    state: &ApiState,
    caller: Option<&Caller>,
    object: &Object,
    missing: ApiError,
) -> Result<(SessionId, bool), ApiError> {
    let entry = wanted(object)?;
    let channel = state.directory.channel(&entry.channel);
    let (Some(channel), Some(caller)) = (channel, caller) else {
        return Err(missing);
    };
    if caller.role_in(&channel).is_none() {
        return Err(missing);
    }
    let is_tail = entry.is_tail;
    Ok((begin(state, caller, entry, channel.created)?, is_tail))
}

/// Makes a session of `caller`, for the channel that was made at `channel_created`.
pub(crate) fn begin(
    state: &ApiState,
    caller: &Caller,
    entry: SessionEntry,
    channel_created: UnixMicros,
) -> Result<SessionId, ApiError> {
    let entry = SessionEntry {
        credential: caller.credential().cloned(),
        ..entry
    };
    let begun = state.sessions.create(entry, channel_created, clock::now());
    begun.map_err(|full| ApiError::new(StatusCode::SERVICE_UNAVAILABLE, full.to_string()))
}

/// 503 where the operator wants no sessions.
pub(crate) fn check_allowed(state: &ApiState) -> Result<(), ApiError> {
    if state.settings.load().deny_tail_sessions {
        return Err(ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "sessions are denied by the router's configuration",
        ));
    }
    Ok(())
}

/// What a session is asked for; fields that nobody knows are skipped, as Logplex's callers are used to.
pub(crate) fn wanted(object: &Object) -> Result<SessionEntry, ApiError> {
    Ok(SessionEntry {
        channel: channel(object)?,
        lines: line_count(object, "num")?,
        is_tail: is_tail(object.get("tail")),
        source: exactly(object, "source")?,
        ps: exactly(object, "ps")?,
        filter: expression(object)?,
        credential: None,
    })
}

fn channel(object: &Object) -> Result<ChannelId, ApiError> {
    match object.get("channel_id") {
        None | Some(Value::Null) => Err(ApiError::bad_request("'channel_id' missing")),
        Some(Value::String(id)) => Ok(ChannelId::new(id)?),
        Some(Value::Number(number)) => match number.as_u64() {
            Some(number) => Ok(ChannelId::from(number)),
            None => Err(ApiError::unprocessable(
                "channel_id must be a string or a whole number",
            )),
        },
        Some(other) => Err(body::wrong("channel_id", "a string or a number", other)),
    }
}

/// The number of lines in field `name`; Logplex's 100 when it is not there.
pub(crate) fn line_count(object: &Object, name: &str) -> Result<u64, ApiError> {
    let found = match object.get(name) {
        None | Some(Value::Null) => Some(SESSION_LINES_DEFAULT),
        Some(Value::String(text)) => lines(text),
        Some(Value::Number(number)) => lines(&number.to_string()),
        Some(_) => None,
    };
    let wrong = || format!("{name} must be a number of lines, 0 or more");
    found.ok_or_else(|| ApiError::unprocessable(wrong()))
}

/// A number of lines: digits only. More than any channel holds is as good as all.
pub(crate) fn lines(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u64::MAX).min(SESSION_LINES_MAX))
}

/// Whether a tail is wanted. The key alone says yes, as it did in Logplex, where clients send `""`;
/// a value that says no is no.
fn is_tail(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null | Value::Bool(false)) => false,
        Some(Value::Number(number)) => number.as_f64() != Some(0.0),
        Some(Value::String(text)) => !matches!(text.as_str(), "false" | "0"),
        Some(_) => true,
    }
}

/// A name to look for: what could not stand in a message is refused here, an empty one is none.
pub(crate) fn exactly(object: &Object, name: &str) -> Result<Option<String>, ApiError> {
    match body::text(object, name)? {
        None | Some("") => Ok(None),
        Some(text) if FIELD_BYTES_MAX < text.len() => Err(ApiError::unprocessable(format!(
            "{name} is {} bytes long, at most {FIELD_BYTES_MAX} are allowed",
            text.len()
        ))),
        Some(text) => Ok(Some(text.to_owned())),
    }
}

/// A filter's expression, which is one; an empty one is none.
pub(crate) fn expression(object: &Object) -> Result<Option<String>, ApiError> {
    match body::text(object, "filter")? {
        None | Some("") => Ok(None),
        Some(text) => {
            Filter::parse(text)?;
            Ok(Some(text.to_owned()))
        }
    }
}

/// `GET /sessions/:id`: the stream, to whoever has the URL. 404 at once for what is unknown or
/// expired: a reader that comes back must not wait for its end.
pub(crate) async fn fetch(
    State(state): State<Arc<ApiState>>,
    id: Result<Path<String>, ApiError>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    if let Some(cause) = state.refusal() {
        return Err(ApiError::text(StatusCode::SERVICE_UNAVAILABLE, cause));
    }
    let missing = || ApiError::text(StatusCode::NOT_FOUND, NOT_FOUND);
    let Path(id) = id.map_err(|_| missing())?;
    let id = SessionId::parse(&id).ok_or_else(missing)?;
    // A channel deleted and made again is another one: its messages were not granted, and the place
    // that a reader comes back with is none of its own.
    let created_of = |channel: &ChannelId| Some(state.directory.channel(channel)?.created);
    let OpenSession { entry, ended } = state
        .sessions
        .open(id, created_of, clock::now())
        .ok_or_else(missing)?;
    let lease = Lease {
        sessions: Arc::clone(&state.sessions),
        id,
    };
    // It may have been made just when its credential went.
    let credential = entry.credential.as_ref();
    if credential.is_some_and(|id| state.directory.credential(id).is_none()) {
        return Err(missing());
    }
    let channel = state.node.channel(&entry.channel).ok_or_else(missing)?;
    let is_warned = channel.flags().no_redis;
    let request = tail_request(&state, &entry, &headers)?;
    let media = match request.format {
        TailFormat::Lines => "text/plain; charset=utf-8",
        TailFormat::Events { .. } => EVENTS,
    };
    let tail = Tail::new(
        channel,
        state.node.started(),
        request,
        state.telemetry.clone(),
        state.shutdown.clone(),
    );
    let body = Leased {
        body: tail.into_body(),
        ended: Box::pin(ended.cancelled_owned()),
        _lease: lease,
    };
    let mut response = Body::new(body).into_response();
    let answer = response.headers_mut();
    answer.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    answer.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // A proxy that gathers the stream would hold back what a tail is for.
    answer.insert(BUFFERING, HeaderValue::from_static("no"));
    if is_warned {
        answer.insert(WARNING, HeaderValue::from_static(HISTORY_WARNING));
    }
    Ok(response)
}

fn tail_request(
    state: &ApiState,
    entry: &SessionEntry,
    headers: &HeaderMap,
) -> Result<TailRequest, ApiError> {
    let format = if request::asks_for(headers, EVENTS) {
        TailFormat::Events {
            keepalive: state.settings.load().tail_keepalive,
        }
    } else {
        TailFormat::Lines
    };
    let last_event = headers
        .get("last-event-id")
        .and_then(|value| value.to_str().ok())
        .and_then(EventId::parse);
    // Read when the session was made, too; what it compiles to is kept only while it is open.
    let filter = Filter::of(
        entry.source.as_deref(),
        entry.ps.as_deref(),
        entry.filter.as_deref(),
    )?;
    Ok(TailRequest {
        filter,
        lines: entry.lines,
        is_tail: entry.is_tail,
        format,
        last_event,
    })
}

const WARNING: HeaderName = HeaderName::from_static("x-heroku-warning");

const BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// Logplex's words for a `no_redis` channel; what is there is shown all the same, as it did.
const HISTORY_WARNING: &str = "Warning: log history discarded due to excessive volume.";

/// Keeps the session alive until the stream ends, however it ends.
struct Lease {
    sessions: Arc<Sessions>,
    id: SessionId,
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.sessions.close(self.id, clock::now());
    }
}

struct Leased {
    body: TailBody,
    ended: Pin<Box<WaitForCancellationFutureOwned>>,
    _lease: Lease,
}

impl http_body::Body for Leased {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if self.ended.as_mut().poll(context).is_ready() {
            return Poll::Ready(None);
        }
        Pin::new(&mut self.body).poll_frame(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &str, expected: Result<(&str, u64, bool), u16>) {
        let object = body::parse(body.as_bytes()).unwrap();
        let found = wanted(&object);
        let found = match &found {
            Ok(entry) => Ok((entry.channel.as_str(), entry.lines, entry.is_tail)),
            Err(ApiError::Json { status, .. } | ApiError::Text { status, .. }) => {
                Err(status.as_u16())
            }
        };
        assert_eq!(found, expected, "{body}");
    }

    #[test]
    fn a_session_is_checked_when_it_is_made() {
        check(r#"{"channel_id":"app"}"#, Ok(("app", 100, false)));
        check(r#"{"channel_id":1,"num":5}"#, Ok(("1", 5, false)));
        check(r#"{"channel_id":"1","num":"0"}"#, Ok(("1", 0, false)));
        let huge = r#"{"channel_id":"1","num":"99999999999999999999999"}"#;
        check(huge, Ok(("1", SESSION_LINES_MAX, false)));
        check(r#"{"channel_id":"1","num":null}"#, Ok(("1", 100, false)));
        for num in [r#""""#, r#""abc""#, "-1", r#""-1""#, "1.5", "true", "[]"] {
            check(&format!(r#"{{"channel_id":"1","num":{num}}}"#), Err(422));
        }
        check("{}", Err(400));
        check(r#"{"channel_id":null}"#, Err(400));
        check(r#"{"channel_id":[1]}"#, Err(422));
        check(r#"{"channel_id":-1}"#, Err(422));
        check(r#"{"channel_id":"a/b"}"#, Err(422));
        check(r#"{"channel_id":"1","ps":1}"#, Err(422));
        check(r#"{"channel_id":"1","filter":"k>"}"#, Err(422));
        check(
            r#"{"channel_id":"1","filter":"k>1"}"#,
            Ok(("1", 100, false)),
        );
        check(r#"{"channel_id":"1","unknown":"x"}"#, Ok(("1", 100, false)));
    }

    #[test]
    fn what_says_yes_to_a_tail() {
        for tail in ["true", "\"true\"", "1", "\"1\"", "\"\"", "{}"] {
            let body = format!(r#"{{"channel_id":"1","tail":{tail}}}"#);
            check(&body, Ok(("1", 100, true)));
        }
        for tail in ["false", "\"false\"", "0", "\"0\"", "null", "0.0"] {
            let body = format!(r#"{{"channel_id":"1","tail":{tail}}}"#);
            check(&body, Ok(("1", 100, false)));
        }
    }
}
