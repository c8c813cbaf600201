//! Fuzz targets: the body of a `POST /logs`, from its packed bytes to the channel, and that of a
//! `POST /v1/logs`.
#![allow(
    clippy::unwrap_used,
    reason = "a fuzz target stops at the first surprise"
)]

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::channel::{Budget, Channel, ChannelFlags, Node, WhenFull};
use crate::clock;
use crate::id::{ChannelId, CredentialId, Source, Token};
use crate::ingest::gather::ReadTime;
use crate::ingest::intake::Tally;
use crate::ingest::request::{Body, Refusal, Sender};
use crate::ingest::unpack::{Packing, Unpacker};
use crate::otlp::import::Frames;
use crate::otlp::request::{Encoding, each_record};
use crate::registry::{Grant, Permission};
use crate::route::{Route, RouteTable};
use crate::syslog::frame::BodyFrames;
use crate::telemetry::Telemetry;

/// Fuzz target: the first byte chooses sender and packing, the second the size of the pieces in
/// which the rest, the body, arrives.
///
/// Unpacking must not depend on the pieces, and must undo packing. A body that is taken must grow
/// the channel by its messages; one that is refused, by nothing.
pub fn fuzz_logs(bytes: &[u8]) {
    let [kind, piece_bytes, rest @ ..] = bytes else {
        return;
    };
    let packing = match kind % 3 {
        0 => Packing::Identity,
        1 => Packing::Gzip,
        _ => Packing::Zstd,
    };
    let has_plain_bytes = kind & 64 != 0;
    let packed = match has_plain_bytes {
        true => pack(packing, rest),
        false => rest.to_vec(),
    };
    let whole = unpack(packing, &packed, packed.len().max(1));
    let pieces = unpack(packing, &packed, usize::from(*piece_bytes).max(1));
    assert_eq!(whole, pieces, "what comes out depends on the pieces");
    let Some(body) = whole else {
        assert!(!has_plain_bytes || BODY_BYTES_MAX < rest.len());
        return;
    };
    assert!(body.len() <= BODY_BYTES_MAX);
    assert!(!has_plain_bytes || body == rest);
    STAGE.with(|stage| stage.deliver(&body, kind & 128 != 0));
}

/// Fuzz target: the first byte chooses the encoding, the rest is the body of a `POST /v1/logs`.
///
/// What is a request becomes well-formed frames, one for each record; nothing panics.
pub fn fuzz_otlp(bytes: &[u8]) {
    let [kind, body @ ..] = bytes else {
        return;
    };
    let encoding = match kind % 2 {
        0 => Encoding::Protobuf,
        _ => Encoding::Json,
    };
    let mut frames = Frames::new(b"t.1", clock::wall());
    let mut count = 0;
    let outcome = each_record(encoding, body, |resource, record| {
        if let Some(record) = record {
            frames.push(resource, &record);
            count += 1;
        }
        Ok::<_, std::convert::Infallible>(())
    });
    if outcome.is_ok() {
        STAGE.with(|stage| stage.deliver(frames.bytes(), false));
        let all = BodyFrames::new(frames.bytes(), usize::MAX);
        assert_eq!(all.filter(Result::is_ok).count(), count);
    }
}

fn pack(packing: Packing, bytes: &[u8]) -> Vec<u8> {
    match packing {
        Packing::Identity => bytes.to_vec(),
        Packing::Gzip => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        Packing::Zstd => zstd::stream::encode_all(bytes, 1).unwrap(),
    }
}

/// `None` when it was refused: for which of several reasons may depend on the pieces.
fn unpack(packing: Packing, packed: &[u8], piece_bytes: usize) -> Option<Vec<u8>> {
    let mut unpacker = Unpacker::new(packing, Vec::new(), BODY_BYTES_MAX).ok()?;
    for piece in packed.chunks(piece_bytes) {
        unpacker.feed(piece).ok()?;
    }
    unpacker.finish().ok()
}

const BODY_BYTES_MAX: usize = 4096;

const FRAME_BYTES_MAX: usize = 512;

thread_local! {
    static STAGE: Stage = Stage::new();
}

/// One channel, its token, and a credential for any channel.
struct Stage {
    channel: Arc<Channel>,
    table: RouteTable,
    token: Sender,
    credential: Sender,
}

impl Stage {
    fn new() -> Self {
        let budget = Budget {
            channel_bytes_max: 1 << 20,
            node_bytes_max: 1 << 24,
            history_age_max: Duration::MAX,
            wait_max: Duration::ZERO,
        };
        let node = Node::new(budget, Telemetry::new().unwrap());
        let id = ChannelId::from(1);
        let channel = node.open(&id, ChannelFlags::default(), WhenFull::Lose);
        let token = Token::new("t.1").unwrap();
        let table = RouteTable::new();
        let route = Route {
            channel: Arc::clone(&channel),
            source: Source::new("app").unwrap(),
        };
        table.insert(&token, route);
        Self {
            token: Sender::Token {
                token: Box::from(token.expose().as_bytes()),
                target: table.route(token.expose().as_bytes()).unwrap(),
            },
            credential: Sender::Credential(Grant {
                id: CredentialId::new("any").unwrap(),
                permissions: [Permission::AnyChannel].into(),
            }),
            channel,
            table,
        }
    }

    fn deliver(&self, bytes: &[u8], has_credential: bool) {
        let body = Body {
            bytes,
            sender: match has_credential {
                true => &self.credential,
                false => &self.token,
            },
            table: &self.table,
            frame_bytes_max: FRAME_BYTES_MAX,
            time: ReadTime {
                arrival: clock::wall(),
                now: clock::now(),
            },
        };
        let begin = self.channel.end_seq().value();
        let Ok(checked) = body.check() else {
            return;
        };
        let count = checked.frame_count();
        let mut tally = Tally::default();
        assert_eq!(checked.deliver(&mut tally, || false), Ok(false));
        assert_eq!(self.channel.end_seq().value(), begin, "was not claimed");
        let checked = body.check().unwrap();
        assert_eq!(checked.deliver(&mut tally, || true), Ok::<_, Refusal>(true));
        assert_eq!(tally.frames, count);
        assert_eq!(tally.routed, self.channel.end_seq().value() - begin);
        assert_eq!(tally.routed + tally.no_token + tally.unknown_token, count);
        assert!(has_credential || tally.routed == count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
    use opentelemetry_proto::tonic::common::v1::any_value::Value::StringValue as Text;
    use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
    use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
    use proptest::prelude::Strategy;
    use proptest::prelude::any;
    use proptest::prelude::prop;
    use proptest::proptest;
    use prost::Message as _;

    proptest! {
        #[test]
        fn any_body_is_taken_or_refused(
            kind in any::<u8>(),
            piece_bytes in any::<u8>(),
            body in "([1-3]?[0-9] <1>1 - - (t\\.1|t\\.2|x) - - -  hello){0,4}",
            tail in prop::collection::vec(any::<u8>(), 0..20),
        ) {
            fuzz_logs(&[&[kind, piece_bytes], body.as_bytes(), &tail].concat());
        }
    }

    /// A request in protobuf, some of its bytes changed or cut off.
    fn damaged() -> impl Strategy<Value = Vec<u8>> {
        let record = |text: String, number: i32, id: Vec<u8>| LogRecord {
            severity_number: number,
            body: Some(AnyValue {
                value: Some(Text(text.clone())),
            }),
            attributes: vec![KeyValue {
                key: text,
                ..KeyValue::default()
            }],
            trace_id: id,
            ..LogRecord::default()
        };
        let records = prop::collection::vec(
            (any::<String>(), any::<i32>(), any::<Vec<u8>>())
                .prop_map(move |(text, number, id)| record(text, number, id)),
            0..4,
        );
        let change = (any::<prop::sample::Index>(), any::<u8>());
        let changes = prop::collection::vec(change, 0..3);
        (
            records,
            changes,
            any::<prop::sample::Index>(),
            any::<bool>(),
        )
            .prop_map(|(log_records, changes, end, is_cut)| {
                let request = ExportLogsServiceRequest {
                    resource_logs: vec![ResourceLogs {
                        scope_logs: vec![ScopeLogs {
                            log_records,
                            ..ScopeLogs::default()
                        }],
                        ..ResourceLogs::default()
                    }],
                };
                let mut bytes = vec![0];
                request.encode(&mut bytes).unwrap();
                if 1 < bytes.len() {
                    for (at, byte) in changes {
                        let at = 1 + at.index(bytes.len() - 1);
                        bytes[at] = byte;
                    }
                }
                if is_cut {
                    bytes.truncate(1 + end.index(bytes.len()));
                }
                bytes
            })
    }

    proptest! {
        #[test]
        fn any_request_of_opentelemetry_is_taken_or_refused(
            bytes in damaged(),
            rest in prop::collection::vec(any::<u8>(), 0..40),
            text in "\\{?(\"(resourceLogs|scopeLogs|logRecords|body|stringValue|timeUnixNano)\":[\\[{1\"]?){0,6}[\\]}]{0,9}",
        ) {
            fuzz_otlp(&bytes);
            fuzz_otlp(&rest);
            fuzz_otlp(&[&[1], text.as_bytes()].concat());
        }

        #[test]
        fn any_record_in_json_becomes_a_frame(
            body in any::<String>(),
            key in any::<String>(),
            nanos in any::<u64>(),
            severity in any::<i32>(),
            number in any::<i64>(),
        ) {
            let request = serde_json::json!({"resourceLogs": [{"scopeLogs": [{"logRecords": [{
                "timeUnixNano": nanos.to_string(), "severityNumber": severity,
                "body": {"stringValue": body},
                "attributes": [{"key": key, "value": {"intValue": number}}]
            }]}]}]});
            fuzz_otlp(&[&[1], request.to_string().as_bytes()].concat());
        }
    }
}
