//! Requests in protobuf's JSON mapping, with OTLP's changes: ids in hexadecimal, enumerators as
//! numbers. 64-bit numbers may be strings, `null` is a field that is not there, unknown fields are
//! passed over.
//!
//! Lists of records are kept as text at first and read one record at a time, as the binary format is.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use opentelemetry_proto::tonic::common::v1 as proto;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::resource::v1::Resource;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::limits::OTLP_RECORD_BYTES_MAX;
use crate::otlp::import::needed;
use crate::otlp::request::{RequestError, Stopped};

/// See `request::each_record`.
pub(crate) fn each_record<E>(
    body: &[u8],
    take: &mut impl FnMut(&Resource, Option<LogRecord>) -> Result<(), E>,
) -> Result<(), Stopped<E>> {
    let request: RequestView<'_> = read(body)?;
    for logs in request.resource_logs.into_iter().flatten() {
        let logs: ResourceLogsView<'_> = read(logs.get().as_bytes())?;
        let resource = match logs.resource {
            Some(raw) if OTLP_RECORD_BYTES_MAX < raw.get().len() => {
                return Err(RequestError::ResourceTooLong.into());
            }
            Some(raw) => read::<Option<ResourceView>>(raw.get().as_bytes())?
                .map(ResourceView::resource)
                .transpose()?
                .map(|resource| needed(&resource))
                .unwrap_or_default(),
            None => Resource::default(),
        };
        for scope in logs.scope_logs.into_iter().flatten() {
            let scope: ScopeLogsView<'_> = read(scope.get().as_bytes())?;
            for record in scope.log_records.into_iter().flatten() {
                let is_short = record.get().len() <= OTLP_RECORD_BYTES_MAX;
                let decoded = is_short.then(|| {
                    read::<RecordView>(record.get().as_bytes()).and_then(RecordView::record)
                });
                take(&resource, decoded.transpose()?).map_err(Stopped::Taker)?;
            }
        }
    }
    Ok(())
}

fn read<'b, T: Deserialize<'b>>(bytes: &'b [u8]) -> Result<T, RequestError> {
    // Serde would take a list for a message, its fields one after the other.
    if bytes.trim_ascii_start().starts_with(b"[") {
        return Err(RequestError::Value {
            field: "a message",
            expected: "an object",
        });
    }
    serde_json::from_slice(bytes).map_err(RequestError::Json)
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RequestView<'b> {
    #[serde(borrow)]
    resource_logs: Option<Vec<&'b RawValue>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ResourceLogsView<'b> {
    #[serde(borrow)]
    resource: Option<&'b RawValue>,
    #[serde(borrow)]
    scope_logs: Option<Vec<&'b RawValue>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ScopeLogsView<'b> {
    #[serde(borrow)]
    log_records: Option<Vec<&'b RawValue>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ResourceView {
    attributes: Option<Vec<PairView>>,
}

impl ResourceView {
    fn resource(self) -> Result<Resource, RequestError> {
        Ok(Resource {
            attributes: pairs(self.attributes)?,
            ..Resource::default()
        })
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RecordView {
    time_unix_nano: Option<Number>,
    observed_time_unix_nano: Option<Number>,
    severity_number: Option<Number>,
    severity_text: Option<String>,
    body: Option<ValueView>,
    attributes: Option<Vec<PairView>>,
    dropped_attributes_count: Option<Number>,
    trace_id: Option<String>,
    span_id: Option<String>,
    event_name: Option<String>,
}

impl RecordView {
    fn record(self) -> Result<LogRecord, RequestError> {
        Ok(LogRecord {
            time_unix_nano: number("timeUnixNano", self.time_unix_nano)?,
            observed_time_unix_nano: number("observedTimeUnixNano", self.observed_time_unix_nano)?,
            severity_number: number("severityNumber", self.severity_number)?,
            severity_text: self.severity_text.unwrap_or_default(),
            body: self.body.map(ValueView::value).transpose()?,
            attributes: pairs(self.attributes)?,
            dropped_attributes_count: number(
                "droppedAttributesCount",
                self.dropped_attributes_count,
            )?,
            trace_id: id("traceId", self.trace_id)?,
            span_id: id("spanId", self.span_id)?,
            event_name: self.event_name.unwrap_or_default(),
            ..LogRecord::default()
        })
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PairView {
    key: Option<String>,
    value: Option<ValueView>,
}

fn pairs(pairs: Option<Vec<PairView>>) -> Result<Vec<proto::KeyValue>, RequestError> {
    pairs
        .into_iter()
        .flatten()
        .map(|pair| {
            Ok(proto::KeyValue {
                key: pair.key.unwrap_or_default(),
                value: pair.value.map(ValueView::value).transpose()?,
                ..proto::KeyValue::default()
            })
        })
        .collect()
}

/// One of the fields is there; where several are, the first one counts.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ValueView {
    string_value: Option<String>,
    bool_value: Option<bool>,
    int_value: Option<Number>,
    double_value: Option<Number>,
    array_value: Option<ListView<ValueView>>,
    kvlist_value: Option<ListView<PairView>>,
    bytes_value: Option<String>,
}

#[derive(Deserialize)]
struct ListView<T> {
    #[serde(default = "none")]
    values: Option<Vec<T>>,
}

const fn none<T>() -> Option<T> {
    None
}

impl ValueView {
    fn value(self) -> Result<proto::AnyValue, RequestError> {
        use proto::any_value::Value;
        let value = if let Some(text) = self.string_value {
            Some(Value::StringValue(text))
        } else if let Some(is_so) = self.bool_value {
            Some(Value::BoolValue(is_so))
        } else if let Some(given) = self.int_value {
            Some(Value::IntValue(number("intValue", Some(given))?))
        } else if let Some(given) = self.double_value {
            Some(Value::DoubleValue(given.double()?))
        } else if let Some(list) = self.array_value {
            let values = list.values.into_iter().flatten();
            let values = values.map(Self::value).collect::<Result<_, _>>()?;
            Some(Value::ArrayValue(proto::ArrayValue { values }))
        } else if let Some(list) = self.kvlist_value {
            let values = pairs(list.values)?;
            Some(Value::KvlistValue(proto::KeyValueList { values }))
        } else if let Some(text) = self.bytes_value {
            Some(Value::BytesValue(base64(&text)?))
        } else {
            None
        };
        Ok(proto::AnyValue { value })
    }
}

/// A number as it may be written: as one, or as a string with one.
#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum Number {
    Unsigned(u64),
    Signed(i64),
    Double(f64),
    Text(String),
}

impl Number {
    /// The whole number, if it is one.
    pub(crate) fn whole(&self) -> Option<i128> {
        match self {
            Self::Unsigned(number) => Some(i128::from(*number)),
            Self::Signed(number) => Some(i128::from(*number)),
            Self::Double(number) => whole(*number),
            Self::Text(text) => text
                .parse()
                .ok()
                .or_else(|| whole(text.parse::<f64>().ok()?)),
        }
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "the field is a double, whatever was written"
    )]
    fn double(&self) -> Result<f64, RequestError> {
        let double = match self {
            Self::Unsigned(number) => Some(*number as f64),
            Self::Signed(number) => Some(*number as f64),
            Self::Double(number) => Some(*number),
            // `NaN`, `Infinity` and `-Infinity` among them.
            Self::Text(text) => text.parse().ok(),
        };
        double.ok_or(RequestError::Value {
            field: "doubleValue",
            expected: "a number",
        })
    }
}

/// `1e3` and `5.0` are whole numbers, too.
fn whole(number: f64) -> Option<i128> {
    let is_whole = number.fract() == 0.0 && number.abs() < 1e19;
    is_whole
        .then(|| format!("{number:.0}").parse().ok())
        .flatten()
}

fn number<T: TryFrom<i128> + Default>(
    field: &'static str,
    given: Option<Number>,
) -> Result<T, RequestError> {
    let Some(given) = given else {
        return Ok(T::default());
    };
    given
        .whole()
        .and_then(|number| T::try_from(number).ok())
        .ok_or(RequestError::Value {
            field,
            expected: "a whole number in range",
        })
}

fn id(field: &'static str, given: Option<String>) -> Result<Vec<u8>, RequestError> {
    let text = given.unwrap_or_default();
    let digits: Option<Vec<u8>> = text
        .chars()
        .map(|digit| u8::try_from(digit.to_digit(16)?).ok())
        .collect();
    digits
        .filter(|digits| digits.len() % 2 == 0)
        .map(|digits| {
            let pairs = digits.chunks_exact(2);
            pairs
                .map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit))
                .collect()
        })
        .ok_or(RequestError::Value {
            field,
            expected: "an even number of hexadecimal digits",
        })
}

fn base64(text: &str) -> Result<Vec<u8>, RequestError> {
    STANDARD
        .decode(text)
        .or_else(|_| URL_SAFE.decode(text))
        .map_err(|_| RequestError::Value {
            field: "bytesValue",
            expected: "base64",
        })
}
