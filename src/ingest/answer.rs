//! What a refused `POST /logs` or `POST /v1/logs` is answered.

use std::time::Duration;

use axum::body::Body as RequestBody;
use axum::response::Response;
use hyper::StatusCode;
use hyper::ext::ReasonPhrase;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};

use crate::ingest::request::Refusal;
use crate::ingest::unpack::UnpackError;
use crate::otlp::answer;
use crate::otlp::request::Encoding;

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
        let text = match self {
            // Logplex's have no words.
            Self::Unavailable | Self::Share | Self::Method | Self::Unauthorized | Self::Slow(_) => {
                ""
            }
            _ => self.words(),
        };
        let answer = match text {
            "" => status(self.code()),
            text => said(self.code(), text),
        };
        self.with_header(answer)
    }

    /// The answer that says so to a sender of OpenTelemetry, in the words `words` where they are to
    /// be others.
    pub(crate) fn answer_otlp(
        self,
        encoding: Encoding,
        words: Option<&str>,
    ) -> Response<RequestBody> {
        let body = answer::refused(words.unwrap_or_else(|| self.words()), encoding);
        self.with_header(encoded(self.code(), encoding, body))
    }

    fn code(self) -> StatusCode {
        match self {
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Share | Self::Slow(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::ForbiddenAll | Self::Forbidden => StatusCode::FORBIDDEN,
            Self::Circle => StatusCode::CONFLICT,
            Self::MediaType | Self::Encoding => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLong | Self::TooGreat => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::BodyBroken | Self::Damaged | Self::Malformed | Self::CountMismatch => {
                StatusCode::BAD_REQUEST
            }
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::Unavailable => "The router takes nothing just now.",
            Self::Share => "Too many requests of this sender are on their way in.",
            Self::Method => "Only POST is known here.",
            Self::Unauthorized => {
                "No known token; send it as `Authorization: Bearer t.…` or as Basic `token:t.…`."
            }
            Self::Slow(_) => "The channel is full, or its token over its rate limit.",
            Self::ForbiddenAll => "Credential not permitted to write to any channel.",
            Self::Forbidden => "Credential not permitted to write to a channel of these messages.",
            Self::Circle => "These messages come from a drain of the channel they are sent to.",
            Self::MediaType => "Content-Type must be application/logplex-1",
            Self::Encoding => "Content-Encoding must be identity, gzip or zstd",
            Self::TooLong => "Body too large",
            Self::TooGreat => {
                "These messages are more than their channel holds while its drains wait for them; \
                 send fewer in a request."
            }
            Self::BodyTimeout => "Body too slow",
            Self::BodyBroken => "Body ended early",
            Self::Damaged => "Body does not match its Content-Encoding",
            Self::Malformed => "Malformed log messages",
            Self::CountMismatch => "Message count mismatch",
        }
    }

    fn with_header(self, answer: Response<RequestBody>) -> Response<RequestBody> {
        let (name, value) = match self {
            Self::Unavailable => (RETRY_AFTER, seconds(UNAVAILABLE_RETRY)),
            Self::Share => (RETRY_AFTER, seconds(PRESSED_RETRY)),
            Self::Slow(wait) => (RETRY_AFTER, seconds(wait)),
            Self::Method => (ALLOW, HeaderValue::from_static("POST")),
            Self::Unauthorized => (
                WWW_AUTHENTICATE,
                HeaderValue::from_static("Basic realm=Logplex"),
            ),
            _ => return answer,
        };
        with(answer, name, value)
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

/// An answer to a sender of OpenTelemetry.
pub(crate) fn encoded(
    code: StatusCode,
    encoding: Encoding,
    body: Vec<u8>,
) -> Response<RequestBody> {
    let mut response = Response::new(RequestBody::from(body));
    *response.status_mut() = code;
    let media_type = HeaderValue::from_static(encoding.media_type());
    with(response, CONTENT_TYPE, media_type)
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
