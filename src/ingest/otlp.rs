//! `POST /v1/logs`: OpenTelemetry's log records (OTLP over HTTP, protobuf and JSON).
//!
//! Each record is written as a frame, and the frames go the way of `POST /logs`: all of them are taken
//! or none, under the same limits. What cannot be decoded at all is a bad request; a record that is
//! too great is left out and said to be.

use std::sync::Arc;

use axum::body::Body as RequestBody;
use axum::extract::State;
use axum::response::Response;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Request, StatusCode};

use crate::clock;
use crate::ingest::answer::{Fault, encoded};
use crate::ingest::gather::ReadTime;
use crate::ingest::http::{Admitted, LogsInput};
use crate::ingest::request::Sender;
use crate::ingest::room::Room;
use crate::limits::OTLP_RECORD_BYTES_MAX;
use crate::otlp::answer::{self, Rejected};
use crate::otlp::import::Frames;
use crate::otlp::request::{Encoding, RequestError, Stopped, each_record};
use crate::telemetry::{DropReason, Input};

/// Answers `POST /v1/logs` (and any other method there): a handler for axum's `any`.
pub async fn otlp_logs(
    State(input): State<Arc<LogsInput>>,
    request: Request<RequestBody>,
) -> Response<RequestBody> {
    let known = encoding(request.headers());
    // Whoever sends something else is told in what a person can read.
    let encoding = known.unwrap_or(Encoding::Json);
    let outcome = input
        .admit(
            request,
            |_headers| known.is_some(),
            |admitted, room| take(&input, encoding, admitted, room),
        )
        .await;
    match outcome {
        Ok(rejected) => encoded(StatusCode::OK, encoding, answer::taken(&rejected, encoding)),
        Err(OtlpFault::Logs(fault)) => {
            let words = matches!(fault, Fault::MediaType).then_some(MEDIA_TYPES);
            fault.answer_otlp(encoding, words)
        }
        Err(OtlpFault::NoToken) => Fault::ForbiddenAll.answer_otlp(encoding, Some(NO_TOKEN)),
        Err(OtlpFault::Malformed(error)) => {
            Fault::Malformed.answer_otlp(encoding, Some(&error.to_string()))
        }
    }
}

/// Why a request was refused.
enum OtlpFault {
    /// As `POST /logs` would be.
    Logs(Fault),
    /// It came with a credential, and records do not name a channel.
    NoToken,
    /// The body is none.
    Malformed(RequestError),
}

impl From<Fault> for OtlpFault {
    fn from(fault: Fault) -> Self {
        Self::Logs(fault)
    }
}

/// From the whole body to its delivery. Never waits.
fn take(
    input: &LogsInput,
    encoding: Encoding,
    admitted: &Admitted<'_>,
    room: &mut Room<'_>,
) -> Result<Rejected, OtlpFault> {
    let Sender::Token { token, .. } = admitted.sender else {
        return Err(OtlpFault::NoToken);
    };
    let time = ReadTime {
        arrival: clock::wall(),
        now: clock::now(),
    };
    let mut frames = Frames::new(token, time.arrival);
    let mut rejected = 0;
    let bytes_max = input.settings.body_bytes_max;
    each_record(encoding, admitted.body, |resource, record| {
        let Some(record) = record else {
            rejected += 1;
            return Ok(());
        };
        frames.push(resource, &record);
        if bytes_max < frames.bytes().len() {
            return Err(Fault::TooLong);
        }
        room.reach(admitted.body.len() + frames.bytes().len())
    })
    .map_err(|stopped| match stopped {
        Stopped::Malformed(error) => OtlpFault::Malformed(error),
        Stopped::Taker(fault) => OtlpFault::Logs(fault),
    })?;
    input.take_frames(admitted, frames.bytes(), None, time)?;
    if rejected == 0 {
        return Ok(Rejected::default());
    }
    input
        .telemetry
        .input(Input::Http)
        .frames
        .increment(rejected);
    input.telemetry.dropped(DropReason::Malformed, rejected);
    Ok(Rejected {
        count: rejected,
        message: format!("records longer than {OTLP_RECORD_BYTES_MAX} bytes are not taken"),
    })
}

fn encoding(headers: &HeaderMap) -> Option<Encoding> {
    headers
        .get(CONTENT_TYPE)
        .map(HeaderValue::as_bytes)
        .and_then(Encoding::parse)
}

const MEDIA_TYPES: &str = "Content-Type must be application/x-protobuf or application/json";

const NO_TOKEN: &str =
    "Log records go to the channel of a token; send one as `Authorization: Bearer t.…`.";
