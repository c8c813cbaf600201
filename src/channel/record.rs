//! How a message is laid out in a segment.
//!
//! ```text
//! word 0   length u32 | structured data's length u16 | PRI u8 | flags u8
//! word 1   arrival, microseconds
//! word 2   lengths of timestamp, hostname, app-name, procid, msgid, a byte each; 3 spare bytes
//! then     those five fields, structured data, text; up to the next multiple of 8 bytes
//! ```
//! The length counts header and bytes, not the padding. A nil field (`-`) takes no bytes.

use crate::clock::UnixMicros;
use crate::id::Seq;
use crate::limits::{FIELD_BYTES_MAX, SD_BYTES_MAX, SEGMENT_BYTES_MAX};
use crate::syslog::message::{Message, Pri, Timestamp};

/// Bytes of a record before its first field.
pub(crate) const HEADER_BYTES: usize = 24;

/// A message as it stands in the log.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Its number in the channel.
    pub seq: Seq,
    /// When the read that brought it was made.
    pub arrival: UnixMicros,
    /// The message; its slices point into the segment.
    pub message: Message<'a>,
}

/// A message's parts, cut to what a header can say.
pub(crate) struct Layout<'a> {
    fields: [&'a [u8]; 5],
    sd: &'a [u8],
    text: &'a [u8],
    /// Length of the record without its padding.
    bytes: usize,
    pri: u8,
    is_truncated: bool,
}

impl<'a> Layout<'a> {
    /// The layout of `message`. Fields above their bound are cut, structured data above its bound
    /// becomes nil (half of it would be no structured data), and a text that makes the record
    /// greater than any segment is cut; all three mark the record as truncated.
    ///
    /// Inlined, so that whoever only measures does not make the message first: see `append_run`.
    #[inline]
    pub(crate) fn of(message: &'a Message<'_>) -> Self {
        let mut is_truncated = message.is_truncated;
        let mut field = |bytes: &'a [u8]| {
            let kept = bytes.get(..FIELD_BYTES_MAX).unwrap_or(bytes);
            is_truncated |= kept.len() < bytes.len();
            not_nil(kept)
        };
        let fields = [
            field(message.timestamp.as_bytes()),
            field(message.hostname),
            field(message.app_name),
            field(message.procid),
            field(message.msgid),
        ];
        let mut sd = not_nil(message.sd);
        if SD_BYTES_MAX < sd.len() {
            sd = b"";
            is_truncated = true;
        }
        let before: usize = fields.iter().map(|bytes| bytes.len()).sum::<usize>() + sd.len();
        let room = SEGMENT_BYTES_MAX - HEADER_BYTES - before;
        let text = message.text.get(..room).unwrap_or(message.text);
        Self {
            fields,
            sd,
            text,
            bytes: HEADER_BYTES + before + text.len(),
            pri: message.pri.value(),
            is_truncated: is_truncated || text.len() < message.text.len(),
        }
    }

    /// Length of the record without its padding; at most `SEGMENT_BYTES_MAX`.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The bytes after the header, in order.
    pub(crate) fn parts(&self) -> [&'a [u8]; 7] {
        let [timestamp, hostname, app_name, procid, msgid] = self.fields;
        [
            timestamp, hostname, app_name, procid, msgid, self.sd, self.text,
        ]
    }

    /// Word 0: never zero, since the length counts the header.
    pub(crate) fn head(&self) -> u64 {
        let flags = if self.is_truncated { FLAG_TRUNCATED } else { 0 };
        (self.bytes() as u64)
            | (self.sd.len() as u64) << SD_SHIFT
            | u64::from(self.pri) << PRI_SHIFT
            | flags
    }

    /// Word 2.
    pub(crate) fn field_lengths(&self) -> u64 {
        let mut word = 0;
        for field in self.fields.iter().rev() {
            word = word << 8 | field.len() as u64;
        }
        word
    }
}

/// Length of the record whose word 0 is `head`, without its padding.
pub(crate) fn record_bytes(head: u64) -> usize {
    low(head, 32)
}

/// `bytes` and the padding after them.
pub(crate) const fn padded(bytes: usize) -> usize {
    bytes.next_multiple_of(8)
}

/// The message of a record: its words 0 and 2, and the bytes after its header.
pub(crate) fn message_of(head: u64, field_lengths: u64, body: &[u8]) -> Message<'_> {
    let mut rest = body;
    let mut cut = |bytes: usize| {
        let (part, after) = rest.split_at_checked(bytes).unwrap_or((rest, b""));
        rest = after;
        part
    };
    let mut field = |index: u32| nil_if_empty(cut(low(field_lengths >> (8 * index), 8)));
    let timestamp = Timestamp::Given(field(0));
    let hostname = field(1);
    let app_name = field(2);
    let procid = field(3);
    let msgid = field(4);
    let sd = nil_if_empty(cut(low(head >> SD_SHIFT, 16)));
    Message {
        pri: Pri::or_default(u32::try_from(low(head >> PRI_SHIFT, 8)).unwrap_or_default()),
        is_truncated: head & FLAG_TRUNCATED != 0,
        timestamp,
        hostname,
        app_name,
        procid,
        msgid,
        sd,
        text: rest,
    }
}

fn not_nil(field: &[u8]) -> &[u8] {
    if field == b"-" { b"" } else { field }
}

fn nil_if_empty(field: &[u8]) -> &[u8] {
    if field.is_empty() { b"-" } else { field }
}

/// The lowest `bits` (at most 32) bits of `word`.
#[expect(
    clippy::cast_possible_truncation,
    reason = "at most 32 bits are left, and a usize holds 64 on every target we build for"
)]
fn low(word: u64, bits: u32) -> usize {
    (word & ((1 << bits) - 1)) as usize
}

const SD_SHIFT: u32 = 32;
const PRI_SHIFT: u32 = 48;
const FLAG_TRUNCATED: u64 = 1 << 56;

const _: () = assert!(HEADER_BYTES + 5 * FIELD_BYTES_MAX + SD_BYTES_MAX < SEGMENT_BYTES_MAX);
const _: () = assert!(SEGMENT_BYTES_MAX <= u32::MAX as usize);

#[cfg(test)]
mod tests {
    use super::*;

    fn message<'a>(text: &'a [u8], sd: &'a [u8], hostname: &'a [u8]) -> Message<'a> {
        Message {
            pri: Pri::or_default(191),
            is_truncated: false,
            timestamp: Timestamp::Given(b"2026-01-02T03:04:05Z"),
            hostname,
            app_name: b"app",
            procid: b"web.1",
            msgid: b"-",
            sd,
            text,
        }
    }

    /// What comes back after a message went through the layout: (hostname, sd, text, truncated).
    fn check(message: &Message<'_>, hostname: &[u8], sd: &[u8], text: &[u8], truncated: bool) {
        let layout = Layout::of(message);
        let body = layout.parts().concat();
        assert_eq!(layout.bytes(), HEADER_BYTES + body.len());
        assert_eq!(record_bytes(layout.head()), layout.bytes());
        let back = message_of(layout.head(), layout.field_lengths(), &body);
        assert_eq!(back.hostname, hostname);
        assert_eq!(back.sd, sd);
        assert!(back.text == text);
        assert_eq!(back.is_truncated, truncated);
        assert_eq!(back.pri, message.pri);
        assert_eq!(back.timestamp.as_bytes(), message.timestamp.as_bytes());
        assert_eq!(
            (back.app_name, back.procid, back.msgid),
            (&b"app"[..], &b"web.1"[..], &b"-"[..])
        );
    }

    #[test]
    fn every_byte_comes_back() {
        check(
            &message(b"\xff\0\n ", b"[a@1 b=\"c\"]", b"h"),
            b"h",
            b"[a@1 b=\"c\"]",
            b"\xff\0\n ",
            false,
        );
        check(&message(b"", b"-", b"-"), b"-", b"-", b"", false);
        check(&message(b"-", b"", b""), b"-", b"-", b"-", false);
    }

    #[test]
    fn what_is_too_long_is_cut_and_marked() {
        let long = vec![b'x'; SEGMENT_BYTES_MAX];
        check(
            &message(b"t", b"-", &long[..FIELD_BYTES_MAX]),
            &long[..FIELD_BYTES_MAX],
            b"-",
            b"t",
            false,
        );
        check(
            &message(b"t", b"-", &long[..=FIELD_BYTES_MAX]),
            &long[..FIELD_BYTES_MAX],
            b"-",
            b"t",
            true,
        );
        check(
            &message(b"t", &long[..SD_BYTES_MAX], b"h"),
            b"h",
            &long[..SD_BYTES_MAX],
            b"t",
            false,
        );
        check(
            &message(b"t", &long[..=SD_BYTES_MAX], b"h"),
            b"h",
            b"-",
            b"t",
            true,
        );
        let over = message(&long, b"-", b"h");
        assert_eq!(Layout::of(&over).bytes(), SEGMENT_BYTES_MAX);
        let room = SEGMENT_BYTES_MAX - HEADER_BYTES - (20 + 1 + 3 + 5);
        check(&over, b"h", b"-", &long[..room], true);
    }
}
