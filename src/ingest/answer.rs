//! What a refused `POST /logs` is answered.

use std::time::Duration;

use axum::body::Body as RequestBody;
use axum::response::Response;
use hyper::StatusCode;
use hyper::ext::ReasonPhrase;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};

use crate::ingest::request::Refusal;
use crate::ingest::unpack::UnpackError;

/// Why a request was refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Fault {
    Unavailable,
    /// The sender has its share of bodies on their way in.
    Share,
    Method,
    Unauthorized,
    ForbiddenAll,
    Forbidden,
    Circle,
    MediaType,
    Encoding,
    TooLong,
    TooGreat,
    BodyTimeout,
    BodyBroken,
    Damaged,
    Malformed,
    CountMismatch,
    Slow(Duration),
}

impl From<UnpackError> for Fault {
    fn from(error: UnpackError) -> Self {
        match error {
            UnpackError::TooLong => Self::TooLong,
            UnpackError::Damaged => Self::Damaged,
        }
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Malformed => Self::Malformed,
            Refusal::CountMismatch => Self::CountMismatch,
            Refusal::Forbidden => Self::Forbidden,
            Refusal::RateLimited(wait) => Self::Slow(wait),
            Refusal::Pressed => Self::Slow(PRESSED_RETRY),
            Refusal::TooGreat => Self::TooGreat,
        }
    }
}

impl Fault {
    /// The answer that says so.
    pub(crate) fn answer(self) -> Response<RequestBody> {
        match self {
            Self::Unavailable => with(
                status(StatusCode::SERVICE_UNAVAILABLE),
                RETRY_AFTER,
                seconds(UNAVAILABLE_RETRY),
            ),
            Self::Share => Self::Slow(PRESSED_RETRY).answer(),
            Self::Method => with(
                status(StatusCode::METHOD_NOT_ALLOWED),
                ALLOW,
                HeaderValue::from_static("POST"),
            ),
            Self::Unauthorized => with(
                status(StatusCode::UNAUTHORIZED),
                WWW_AUTHENTICATE,
                HeaderValue::from_static("Basic realm=Logplex"),
            ),
            Self::ForbiddenAll => said(
                StatusCode::FORBIDDEN,
                "Credential not permitted to write to any channel.",
            ),
            Self::Forbidden => said(
                StatusCode::FORBIDDEN,
                "Credential not permitted to write to a channel of these messages.",
            ),
            Self::Circle => said(
                StatusCode::CONFLICT,
                "These messages come from a drain of the channel they are sent to.",
            ),
            Self::MediaType => said(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "Content-Type must be application/logplex-1",
            ),
            Self::Encoding => said(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "Content-Encoding must be identity, gzip or zstd",
            ),
            Self::TooLong => said(StatusCode::PAYLOAD_TOO_LARGE, "Body too large"),
            Self::TooGreat => said(
                StatusCode::PAYLOAD_TOO_LARGE,
                "These messages are more than their channel holds while its drains wait for them; \
                 send fewer in a request.",
            ),
            Self::BodyTimeout => said(StatusCode::REQUEST_TIMEOUT, "Body too slow"),
            Self::BodyBroken => said(StatusCode::BAD_REQUEST, "Body ended early"),
            Self::Damaged => said(
                StatusCode::BAD_REQUEST,
                "Body does not match its Content-Encoding",
            ),
            Self::Malformed => said(StatusCode::BAD_REQUEST, "Malformed log messages"),
            Self::CountMismatch => said(StatusCode::BAD_REQUEST, "Message count mismatch"),
            Self::Slow(wait) => with(
                status(StatusCode::TOO_MANY_REQUESTS),
                RETRY_AFTER,
                seconds(wait),
            ),
        }
    }
}

/// An answer without a body.
pub(crate) fn status(status: StatusCode) -> Response<RequestBody> {
    let mut response = Response::new(RequestBody::empty());
    *response.status_mut() = status;
    response
}

/// The text is the body and, as Logplex has it, the reason phrase.
fn said(code: StatusCode, text: &'static str) -> Response<RequestBody> {
    let mut response = Response::new(RequestBody::from(text));
    *response.status_mut() = code;
    response
        .extensions_mut()
        .insert(ReasonPhrase::from_static(text.as_bytes()));
    let plain = HeaderValue::from_static("text/plain");
    with(response, CONTENT_TYPE, plain)
}

fn with(
    mut response: Response<RequestBody>,
    name: HeaderName,
    value: HeaderValue,
) -> Response<RequestBody> {
    response.headers_mut().insert(name, value);
    response
}

/// Whole seconds, rounded up, at least one.
fn seconds(wait: Duration) -> HeaderValue {
    let rounded = wait.as_secs() + u64::from(wait.subsec_nanos() != 0);
    HeaderValue::from(rounded.max(1))
}

/// When to come again to an input that is closed.
const UNAVAILABLE_RETRY: Duration = Duration::from_secs(5);

/// When to come again to a channel that is full, or with one body too many.
const PRESSED_RETRY: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_say_what_logplex_said() {
        let response = Fault::CountMismatch.answer();
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        let reason = response.extensions().get::<ReasonPhrase>().unwrap();
        assert_eq!(reason.as_bytes(), b"Message count mismatch");
        let response = Fault::Slow(Duration::from_millis(1_001)).answer();
        assert_eq!(response.headers()[RETRY_AFTER], "2");
        let response = Fault::Unauthorized.answer();
        assert_eq!(response.headers()[WWW_AUTHENTICATE], "Basic realm=Logplex");
    }
}
