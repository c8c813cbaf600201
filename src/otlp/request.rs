//! The records of an `ExportLogsServiceRequest`, in either encoding, one after the other.

use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message as _;

use crate::limits::OTLP_RECORD_BYTES_MAX;
use crate::otlp::import::needed;
use crate::otlp::json;
use crate::otlp::wire::Fields;

/// How a request's body, and its answer's, is encoded.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Encoding {
    /// Protobuf's binary format.
    Protobuf,
    /// Protobuf's JSON mapping, with OTLP's changes.
    Json,
}

impl Encoding {
    /// Reads a `Content-Type`; `None` when it is neither.
    #[must_use]
    pub fn parse(content_type: &[u8]) -> Option<Self> {
        let essence = content_type.split(|&b| b == b';').next()?.trim_ascii();
        [Self::Protobuf, Self::Json]
            .into_iter()
            .find(|encoding| essence.eq_ignore_ascii_case(encoding.media_type().as_bytes()))
    }

    /// The `Content-Type` that says so.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Protobuf => "application/x-protobuf",
            Self::Json => "application/json",
        }
    }
}

/// Why bytes are no request.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// A message is none.
    #[error("not a protobuf ExportLogsServiceRequest: {0}")]
    Protobuf(#[from] prost::DecodeError),
    /// A field is longer than what is left of its message.
    #[error("not a protobuf ExportLogsServiceRequest: a field ends behind its message")]
    CutOff,
    /// Not JSON, or of another shape.
    #[error("not a JSON ExportLogsServiceRequest: {0}")]
    Json(#[from] serde_json::Error),
    /// A value of a JSON body cannot be what its field holds.
    #[error("not a JSON ExportLogsServiceRequest: {field} must be {expected}")]
    Value {
        /// The field.
        field: &'static str,
        /// What it would have to be.
        expected: &'static str,
    },
    /// A resource with too much to it.
    #[error("a resource is longer than {OTLP_RECORD_BYTES_MAX} bytes")]
    ResourceTooLong,
}

/// Why the records were not all gone through.
#[derive(Debug)]
pub enum Stopped<E> {
    /// The body is no request.
    Malformed(RequestError),
    /// Who takes the records wants no more.
    Taker(E),
}

impl<E> From<RequestError> for Stopped<E> {
    fn from(error: RequestError) -> Self {
        Self::Malformed(error)
    }
}

/// Goes through the records of `body` in their order; `take` is given each with its resource. A
/// record longer than `OTLP_RECORD_BYTES_MAX` is not decoded: `None` is given.
///
/// # Errors
/// `Stopped::Malformed` when the body is no request; records in front of the fault were taken.
/// `Stopped::Taker` with what `take` gave.
pub fn each_record<E>(
    encoding: Encoding,
    body: &[u8],
    mut take: impl FnMut(&Resource, Option<LogRecord>) -> Result<(), E>,
) -> Result<(), Stopped<E>> {
    match encoding {
        Encoding::Protobuf => each_of_protobuf(body, &mut take),
        Encoding::Json => json::each_record(body, &mut take),
    }
}

fn each_of_protobuf<E>(
    body: &[u8],
    take: &mut impl FnMut(&Resource, Option<LogRecord>) -> Result<(), E>,
) -> Result<(), Stopped<E>> {
    let mut request = Fields::new(body);
    while let Some(field) = request.next()? {
        if field.number != RESOURCE_LOGS {
            continue;
        }
        let resource = resource(field.bytes)?;
        let mut parts = Fields::new(field.bytes);
        while let Some(part) = parts.next()? {
            if part.number != SCOPE_LOGS {
                continue;
            }
            let mut records = Fields::new(part.bytes);
            while let Some(record) = records.next()? {
                if record.number == LOG_RECORDS {
                    let is_short = record.bytes.len() <= OTLP_RECORD_BYTES_MAX;
                    let decoded = is_short.then(|| LogRecord::decode(record.bytes));
                    let decoded = decoded.transpose().map_err(RequestError::from)?;
                    take(&resource, decoded).map_err(Stopped::Taker)?;
                }
            }
        }
    }
    Ok(())
}

/// The resource of a `ResourceLogs`, which need not be its first field.
fn resource(resource_logs: &[u8]) -> Result<Resource, RequestError> {
    let mut resource = Resource::default();
    let mut parts = Fields::new(resource_logs);
    while let Some(part) = parts.next()? {
        if part.number == RESOURCE {
            if OTLP_RECORD_BYTES_MAX < part.bytes.len() {
                return Err(RequestError::ResourceTooLong);
            }
            resource.merge(part.bytes)?;
        }
    }
    Ok(needed(&resource))
}

/// `ExportLogsServiceRequest.resource_logs`.
pub(crate) const RESOURCE_LOGS: u32 = 1;

/// `ResourceLogs.resource`.
pub(crate) const RESOURCE: u32 = 1;

/// `ResourceLogs.scope_logs`.
pub(crate) const SCOPE_LOGS: u32 = 2;

/// `ScopeLogs.scope`.
pub(crate) const SCOPE: u32 = 1;

/// `ScopeLogs.log_records`.
pub(crate) const LOG_RECORDS: u32 = 2;
