//! Fuzz target: the body of a `POST /logs`, from its packed bytes to the channel.
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
use crate::clock::UnixMicros;
use crate::id::{ChannelId, CredentialId, Source, Token};
use crate::ingest::gather::ReadTime;
use crate::ingest::intake::Tally;
use crate::ingest::request::{Body, Refusal, Sender};
use crate::ingest::unpack::{Packing, Unpacker};
use crate::registry::{Grant, Permission};
use crate::route::{Route, RouteTable};
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
                created: UnixMicros::default(),
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
    use proptest::prelude::any;
    use proptest::prelude::prop;
    use proptest::proptest;

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
}
