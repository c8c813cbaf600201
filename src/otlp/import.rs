//! Log records as the frames of a `POST /logs`, so that all that follows is the same for both.
//!
//! ```text
//!   PRI        severity_number, else severity_text, else info; attribute syslog.facility, else local7
//!   TIMESTAMP  time_unix_nano, else observed_time_unix_nano, else the arrival
//!   HOSTNAME   resource host.name
//!   PROCID     attribute syslog.procid, else resource service.instance.id, heroku.dyno,
//!              service.name, process.pid
//!   MSGID      attribute syslog.msgid, else event_name
//!   MSG        body, then trace_id, span_id and the attributes as logfmt
//! ```

use std::borrow::Cow;

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::resource::v1::Resource;

use crate::clock::UnixMicros;
use crate::limits::{HOSTNAME_BYTES_MAX, MSGID_BYTES_MAX, OTLP_ATTRIBUTES_MAX, PROCID_BYTES_MAX};
use crate::logfmt::write::{Key, Writer};
use crate::otlp::severity::severity;
use crate::otlp::value;
use crate::syslog;
use crate::syslog::message::NO_TIME_TEXT;
use crate::syslog::timestamp;

/// Octet-counted frames of the records of one request.
pub struct Frames<'a> {
    /// What stands in their APP-NAME.
    token: &'a [u8],
    arrival: UnixMicros,
    bytes: Vec<u8>,
    frame: Vec<u8>,
}

impl<'a> Frames<'a> {
    /// No frames yet; theirs will be `token`, and what has no time will be of `arrival`.
    #[must_use]
    pub const fn new(token: &'a [u8], arrival: UnixMicros) -> Self {
        Self {
            token,
            arrival,
            bytes: Vec::new(),
            frame: Vec::new(),
        }
    }

    /// The frames so far.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Appends `record` of `resource`.
    pub fn push(&mut self, resource: &Resource, record: &LogRecord) {
        self.frame.clear();
        self.write_header(resource, record);
        write_text(record, &mut self.frame);
        let count = self.frame.len().to_string();
        for part in [count.as_bytes(), b" ", &self.frame] {
            self.bytes.extend_from_slice(part);
        }
    }

    fn write_header(&mut self, resource: &Resource, record: &LogRecord) {
        let of_resource = |key| find(&resource.attributes, key);
        let of_record = |key| find(&record.attributes, key);
        let mut room = NO_TIME_TEXT;
        let time = timestamp::in_micros(time(record).unwrap_or(self.arrival));
        // What was a syslog message before has its own, or none.
        let procid = match of_record(APP_NAME) {
            Some(_) => of_record(PROCID),
            None => of_record(PROCID).or_else(|| process(resource)),
        };
        let msgid = of_record(MSGID).or_else(|| given(&record.event_name));
        let pri = pri(record).to_string();
        for part in [
            b"<",
            pri.as_bytes(),
            b">1 ",
            time.text(&mut room),
            b" ",
            &field(of_resource(HOST_NAME), HOSTNAME_BYTES_MAX),
            b" ",
            self.token,
            b" ",
            &field(procid, PROCID_BYTES_MAX),
            b" ",
            &field(msgid, MSGID_BYTES_MAX),
            b" - ",
        ] {
            self.frame.extend_from_slice(part);
        }
    }
}

/// `resource` with nothing but what headers may need of it, so that records in great numbers cost the
/// same whatever it holds.
pub(crate) fn needed(resource: &Resource) -> Resource {
    let attributes = std::iter::once(HOST_NAME).chain(PROCESS).filter_map(|key| {
        let text = find(&resource.attributes, key)?;
        let start: String = text.chars().take(HOSTNAME_BYTES_MAX).collect();
        Some(KeyValue {
            key: key.to_owned(),
            value: Some(AnyValue {
                value: Some(Value::StringValue(start)),
            }),
            ..KeyValue::default()
        })
    });
    Resource {
        attributes: attributes.collect(),
        ..Resource::default()
    }
}

/// What tells a process of a service from others.
fn process(resource: &Resource) -> Option<Cow<'_, str>> {
    PROCESS
        .into_iter()
        .filter_map(|key| find(&resource.attributes, key))
        // The service's name, as an SDK says that was told none.
        .find(|text| !text.starts_with("unknown_service"))
}

/// Body, ids and attributes.
fn write_text(record: &LogRecord, out: &mut Vec<u8>) {
    let mut is_first = true;
    if let Some(body) = value::text(record.body.as_ref()) {
        out.extend_from_slice(body.as_bytes());
        is_first = body.is_empty();
    }
    let mut pair = |key: &str, value: Option<Cow<'_, str>>| {
        if !std::mem::take(&mut is_first) {
            out.push(b' ');
        }
        let key = key_of(key);
        let Ok(key) = Key::new(key.as_bytes()) else {
            return;
        };
        let mut writer = Writer::new(out);
        match value {
            Some(value) => writer.pair(key, value.as_bytes()),
            None => writer.empty(key),
        }
    };
    for (key, id, bytes) in [
        ("trace_id", &record.trace_id, 16),
        ("span_id", &record.span_id, 8),
    ] {
        // Of another length, or all zeros, it is none.
        if id.len() == bytes && id.iter().any(|&byte| byte != 0) {
            let digits: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
            pair(key, Some(Cow::Owned(digits)));
        }
    }
    let mut left = 0_u32;
    let told = record.attributes.iter().filter(|pair| !is_of_header(pair));
    for (index, attribute) in told.enumerate() {
        if index < OTLP_ATTRIBUTES_MAX {
            pair(&attribute.key, value::text(attribute.value.as_ref()));
        } else {
            left = left.saturating_add(1);
        }
    }
    let dropped = record.dropped_attributes_count.saturating_add(left);
    if 0 < dropped {
        // OpenTelemetry's own name for it where there is no field.
        let count = Some(Cow::Owned(dropped.to_string()));
        pair("otel.dropped_attributes_count", count);
    }
}

/// Whether the attribute is part of the header, or its APP-NAME, which the token decides on.
fn is_of_header(pair: &KeyValue) -> bool {
    [FACILITY, PROCID, MSGID, APP_NAME].contains(&pair.key.as_str())
}

/// A key of logfmt: what would end it is replaced.
fn key_of(key: &str) -> Cow<'_, str> {
    if Key::new(key.as_bytes()).is_ok() {
        Cow::Borrowed(key)
    } else if key.is_empty() {
        Cow::Borrowed("_")
    } else {
        let ends = |c: char| c <= ' ' || c == '=' || c == '"';
        Cow::Owned(key.replace(ends, "_"))
    }
}

/// PRI: local7 is what Heroku's programs log as.
fn pri(record: &LogRecord) -> u32 {
    let severity = severity(record.severity_number)
        .or_else(|| syslog::severity::of_name(record.severity_text.as_bytes()))
        .unwrap_or(SEVERITY_DEFAULT);
    let facility = record.attributes.iter().find(|pair| pair.key == FACILITY);
    let facility = facility.and_then(|pair| match pair.value.as_ref()?.value {
        Some(Value::IntValue(number)) => u32::try_from(number).ok(),
        _ => None,
    });
    let facility = facility.filter(|&facility| facility <= FACILITY_LOCAL7);
    facility.unwrap_or(FACILITY_LOCAL7) * 8 + u32::from(severity)
}

/// When it was, if the record says so.
fn time(record: &LogRecord) -> Option<UnixMicros> {
    [record.time_unix_nano, record.observed_time_unix_nano]
        .into_iter()
        .find(|&nanos| nanos != 0)
        .map(|nanos| UnixMicros::new(nanos / 1_000))
}

fn find<'a>(pairs: &'a [KeyValue], key: &str) -> Option<Cow<'a, str>> {
    let pair = pairs.iter().find(|pair| pair.key == key)?;
    value::text(pair.value.as_ref()).filter(|text| !text.is_empty())
}

fn given(text: &str) -> Option<Cow<'_, str>> {
    (!text.is_empty()).then_some(Cow::Borrowed(text))
}

/// A field of a strict header (RFC 5424, 6): what it does not allow is replaced, and what is too long
/// is cut.
fn field(text: Option<Cow<'_, str>>, bytes_max: usize) -> Vec<u8> {
    match text {
        None => b"-".to_vec(),
        Some(text) => text
            .chars()
            .map(|c| u8::try_from(c).ok().filter(u8::is_ascii_graphic))
            .map(|byte| byte.unwrap_or(b'_'))
            .take(bytes_max)
            .collect(),
    }
}

const HOST_NAME: &str = "host.name";
const PROCESS: [&str; 4] = [
    "service.instance.id",
    "heroku.dyno",
    "service.name",
    "process.pid",
];

const FACILITY: &str = "syslog.facility";
const PROCID: &str = "syslog.procid";
const MSGID: &str = "syslog.msgid";
const APP_NAME: &str = "syslog.appname";

const FACILITY_LOCAL7: u32 = 23;

/// info
const SEVERITY_DEFAULT: u8 = 6;

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(key: &str, text: &str) -> KeyValue {
        KeyValue {
            key: key.to_owned(),
            value: Some(AnyValue {
                value: Some(Value::StringValue(text.to_owned())),
            }),
            ..KeyValue::default()
        }
    }

    #[test]
    fn of_a_resource_only_what_headers_need_is_kept() {
        let mut attributes = vec![KeyValue::default(); 10_000];
        attributes.extend([
            pair("host.name", &"h".repeat(10_000)),
            pair("host.name", "second"),
            pair("service.name", "shop"),
            pair("other", "text"),
        ]);
        let resource = Resource {
            attributes,
            ..Resource::default()
        };
        let expected = [
            pair("host.name", &"h".repeat(HOSTNAME_BYTES_MAX)),
            pair("service.name", "shop"),
        ];
        assert_eq!(needed(&resource).attributes, expected);
    }
}
