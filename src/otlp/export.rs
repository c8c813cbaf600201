//! Messages as an `ExportLogsServiceRequest`.
//!
//! A batch grows by one message at a time and may give its last one back, so each is written as a
//! request of its own: protobuf reads requests behind each other as one. `grouped` brings records of
//! one resource together when the batch is whole.

use std::collections::HashMap;
use std::collections::HashSet;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message as _;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::clock::UnixMicros;
use crate::limits::OTLP_ATTRIBUTES_MAX;
use crate::logfmt::parse::pairs;
use crate::otlp::request::{LOG_RECORDS, RESOURCE, RESOURCE_LOGS, RequestError, SCOPE, SCOPE_LOGS};
use crate::otlp::severity;
use crate::otlp::wire::Fields;
use crate::syslog;
use crate::syslog::message::{Message, NO_TIME_TEXT};

/// Writes the messages of one channel.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Exporter {
    /// Its id: `service.name` and `heroku.app.id`.
    pub channel: String,
    /// Whether the pairs of a text become attributes.
    pub reads_logfmt: bool,
}

impl Exporter {
    /// Appends `message`, which arrived at `arrival`, as a request with one record.
    pub fn append(&self, message: &Message<'_>, arrival: UnixMicros, out: &mut Vec<u8>) {
        let request = ExportLogsServiceRequest {
            resource_logs: vec![ResourceLogs {
                resource: Some(self.resource(message)),
                scope_logs: vec![ScopeLogs {
                    scope: Some(scope()),
                    log_records: vec![self.record(message, arrival)],
                    ..ScopeLogs::default()
                }],
                ..ResourceLogs::default()
            }],
        };
        out.reserve(request.encoded_len());
        if request.encode(out).is_err() {
            debug_assert!(false, "a vector has room");
        }
    }

    fn resource(&self, message: &Message<'_>) -> Resource {
        let mut attributes = vec![
            text("service.name", self.channel.as_bytes()),
            text("heroku.app.id", self.channel.as_bytes()),
        ];
        attributes.extend(given("service.instance.id", message.procid));
        attributes.extend(given("host.name", message.hostname));
        Resource {
            attributes,
            ..Resource::default()
        }
    }

    fn record(&self, message: &Message<'_>, arrival: UnixMicros) -> LogRecord {
        let mut attributes = vec![
            attribute(
                "syslog.facility",
                Value::IntValue(i64::from(message.pri.value() / 8)),
            ),
            text("syslog.appname", message.app_name),
        ];
        attributes.extend(given("syslog.procid", message.procid));
        attributes.extend(given("syslog.msgid", message.msgid));
        attributes.extend(given("syslog.structured_data", message.sd));
        let mut dropped = 0;
        if self.reads_logfmt {
            dropped = add_pairs(message.text, &mut attributes);
        }
        let severity = message.pri.severity();
        let body = message.text.strip_suffix(b"\n").unwrap_or(message.text);
        LogRecord {
            time_unix_nano: nanos_of(message),
            observed_time_unix_nano: arrival.value().saturating_mul(1_000),
            severity_number: severity::number(severity).into(),
            severity_text: syslog::severity::name(severity).to_owned(),
            body: Some(string(body)),
            attributes,
            dropped_attributes_count: dropped,
            ..LogRecord::default()
        }
    }
}

/// The same records as in `requests`, written by `append`, those of one resource together: resources
/// by their first record, records of one in their order.
///
/// # Errors
/// `RequestError`: these are no such requests.
pub fn grouped(requests: &[u8]) -> Result<Vec<u8>, RequestError> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    let mut places: HashMap<&[u8], usize> = HashMap::new();
    let mut all = Fields::new(requests);
    while let Some(logs) = all.next()? {
        let mut resource = &b""[..];
        let mut parts = Fields::new(logs.bytes);
        while let Some(part) = parts.next()? {
            if part.number == RESOURCE {
                resource = part.bytes;
                continue;
            }
            let place = *places.entry(resource).or_insert(groups.len());
            if place == groups.len() {
                groups.push(Group::new(resource));
            }
            if let Some(group) = groups.get_mut(place) {
                group.take(part.bytes)?;
            }
        }
    }
    let mut out = Vec::with_capacity(requests.len());
    for group in &groups {
        group.write(&mut out);
    }
    Ok(out)
}

/// The records of one resource.
struct Group<'a> {
    resource: &'a [u8],
    scope: &'a [u8],
    records: Vec<&'a [u8]>,
}

impl<'a> Group<'a> {
    const fn new(resource: &'a [u8]) -> Self {
        Self {
            resource,
            scope: b"",
            records: Vec::new(),
        }
    }

    fn take(&mut self, scope_logs: &'a [u8]) -> Result<(), RequestError> {
        let mut parts = Fields::new(scope_logs);
        while let Some(part) = parts.next()? {
            match part.number {
                SCOPE => self.scope = part.bytes,
                _ => self.records.push(part.bytes),
            }
        }
        Ok(())
    }

    fn write(&self, out: &mut Vec<u8>) {
        let records = self.records.iter();
        let records_bytes: usize = records
            .map(|record| field_bytes(LOG_RECORDS, record.len()))
            .sum();
        let scope_bytes = field_bytes(SCOPE, self.scope.len()) + records_bytes;
        let resource_bytes = field_bytes(RESOURCE, self.resource.len());
        begin(
            RESOURCE_LOGS,
            resource_bytes + field_bytes(SCOPE_LOGS, scope_bytes),
            out,
        );
        begin(RESOURCE, self.resource.len(), out);
        out.extend_from_slice(self.resource);
        begin(SCOPE_LOGS, scope_bytes, out);
        begin(SCOPE, self.scope.len(), out);
        out.extend_from_slice(self.scope);
        for record in &self.records {
            begin(LOG_RECORDS, record.len(), out);
            out.extend_from_slice(record);
        }
    }
}

/// Key and length of a field with a length.
fn begin(number: u32, bytes: usize, out: &mut Vec<u8>) {
    encode_key(number, WireType::LengthDelimited, out);
    encode_varint(wide(bytes), out);
}

/// What a field of `bytes` bytes takes, key and length included.
fn field_bytes(number: u32, bytes: usize) -> usize {
    key_len(number) + encoded_len_varint(wide(bytes)) + bytes
}

fn wide(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

fn scope() -> InstrumentationScope {
    InstrumentationScope {
        name: "logboom".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    }
}

/// Nanoseconds of a TIMESTAMP since 1970; 0, which means unknown, where it is no time.
fn nanos_of(message: &Message<'_>) -> u64 {
    let mut room = NO_TIME_TEXT;
    std::str::from_utf8(message.timestamp.text(&mut room))
        .ok()
        .and_then(|text| OffsetDateTime::parse(text, &Rfc3339).ok())
        .and_then(|moment| u64::try_from(moment.unix_timestamp_nanos()).ok())
        .unwrap_or_default()
}

/// Adds the pairs of `line`, as strings: a number today may be a word tomorrow. Keys are unique, so
/// the first of a name stays. Gives how many were left out.
fn add_pairs(line: &[u8], attributes: &mut Vec<KeyValue>) -> u32 {
    let mut seen: HashSet<String> = attributes.iter().map(|pair| pair.key.clone()).collect();
    let mut dropped = 0;
    for pair in pairs(line) {
        // Words of prose are no pairs.
        if pair.value == crate::logfmt::value::Value::Flag {
            continue;
        }
        let key = String::from_utf8_lossy(pair.key);
        if OTLP_ATTRIBUTES_MAX <= attributes.len() || !seen.insert(key.clone().into_owned()) {
            dropped += 1;
            continue;
        }
        attributes.push(text(&key, &pair.value.text()));
    }
    dropped
}

/// The field as an attribute, unless it is nil.
fn given(key: &str, field: &[u8]) -> Option<KeyValue> {
    (field != b"-").then(|| text(key, field))
}

fn text(key: &str, bytes: &[u8]) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(string(bytes)),
        ..KeyValue::default()
    }
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

/// Protobuf's strings are UTF-8: what is not is replaced.
fn string(bytes: &[u8]) -> AnyValue {
    let text = String::from_utf8_lossy(bytes).into_owned();
    AnyValue {
        value: Some(Value::StringValue(text)),
    }
}
