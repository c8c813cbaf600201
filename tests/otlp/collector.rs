//! A receiver of OTLP over HTTP that takes apart what it gets with OpenTelemetry's own types.

use std::io::Read;
use std::iter;

use flate2::read::GzDecoder;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsPartialSuccess;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceResponse;
use opentelemetry_proto::tonic::common::v1::AnyValue;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use prost::Message;

use crate::support::sinks::HttpSink;
use crate::support::sinks::Post;
use crate::support::sinks::Reply;

/// A collector that answers by `script`, and then that it has everything.
pub(crate) async fn start(script: impl IntoIterator<Item = Reply>) -> HttpSink {
    HttpSink::start(script.into_iter().chain(iter::repeat_n(ok(), 5_000))).await
}

/// 200, and everything was taken.
pub(crate) fn ok() -> Reply {
    answer(200, "", &ExportLogsServiceResponse::default())
}

/// 200, but some records were not taken.
pub(crate) fn partly(rejected: i64, message: &str) -> Reply {
    let partial = ExportLogsPartialSuccess {
        rejected_log_records: rejected,
        error_message: message.to_owned(),
    };
    let body = ExportLogsServiceResponse {
        partial_success: Some(partial),
    };
    answer(200, "", &body)
}

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Status {
    #[prost(int32, tag = "1")]
    pub(crate) code: i32,
    #[prost(string, tag = "2")]
    pub(crate) message: String,
}

/// Not taken, for a reason.
pub(crate) fn refused(status: u16, message: &str) -> Reply {
    let body = Status {
        code: 3,
        message: message.to_owned(),
    };
    answer(status, "", &body)
}

/// An answer with `body` and further headers.
pub(crate) fn answer(status: u16, headers: &str, body: &impl Message) -> Reply {
    // Numbers below 128 and short texts: what is encoded is text, too.
    let body = String::from_utf8(body.encode_to_vec()).unwrap();
    Reply::Raw(format!(
        "HTTP/1.1 {status} X\r\nContent-Type: application/x-protobuf\r\n{headers}\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    ))
}

/// A record with its resource.
#[derive(Debug)]
pub(crate) struct Record {
    /// The attributes of its resource.
    pub(crate) resource: Vec<KeyValue>,
    pub(crate) record: LogRecord,
}

impl Record {
    /// The text of its body.
    pub(crate) fn body(&self) -> &str {
        text(self.record.body.as_ref().unwrap())
    }

    /// An attribute of its resource.
    pub(crate) fn resource(&self, key: &str) -> Option<&str> {
        find(&self.resource, key).map(text)
    }

    /// An attribute of its own.
    pub(crate) fn attribute(&self, key: &str) -> Option<&str> {
        find(&self.record.attributes, key).map(text)
    }
}

pub(crate) fn find<'a>(pairs: &'a [KeyValue], key: &str) -> Option<&'a AnyValue> {
    let mut found = pairs.iter().filter(|pair| pair.key == key);
    let first = found.next();
    assert!(found.next().is_none(), "{key} is there twice");
    first.and_then(|pair| pair.value.as_ref())
}

fn text(value: &AnyValue) -> &str {
    match value.value.as_ref().unwrap() {
        Value::StringValue(text) => text,
        other => panic!("no text: {other:?}"),
    }
}

/// The request of a post.
pub(crate) fn request(post: &Post) -> ExportLogsServiceRequest {
    assert_eq!(
        post.header("content-type").as_deref(),
        Some("application/x-protobuf")
    );
    let mut body = Vec::new();
    match post.header("content-encoding").as_deref() {
        Some("gzip") => {
            GzDecoder::new(&post.body[..])
                .read_to_end(&mut body)
                .unwrap();
        }
        None => body.clone_from(&post.body),
        other => panic!("{other:?}"),
    }
    ExportLogsServiceRequest::decode(&body[..]).unwrap()
}

/// The records of a post.
pub(crate) fn records(post: &Post) -> Vec<Record> {
    let mut records = Vec::new();
    for logs in request(post).resource_logs {
        let resource = logs.resource.unwrap().attributes;
        for record in logs
            .scope_logs
            .into_iter()
            .flat_map(|logs| logs.log_records)
        {
            records.push(Record {
                resource: resource.clone(),
                record,
            });
        }
    }
    records
}
