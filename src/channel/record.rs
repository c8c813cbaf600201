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
use crate::syslog::message::{Message, Pri, TimeText, Timestamp};

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

/// Length of the record that `message` becomes, without its padding; at most `SEGMENT_BYTES_MAX`.
///
/// Inlined, so that whoever only measures does not make the message first: see `append_run`.
#[inline]
pub(crate) fn bytes_of(message: &Message<'_>) -> usize {
    let time_bytes = match message.timestamp {
        Timestamp::Given(time) => not_nil(time).len(),
        Timestamp::Made(_) => message.timestamp.bytes(),
    };
    let fields = [
        time_bytes,
        not_nil(message.hostname).len(),
        not_nil(message.app_name).len(),
        not_nil(message.procid).len(),
        not_nil(message.msgid).len(),
    ];
    let fields_bytes: usize = fields.iter().map(|bytes| bytes.min(&FIELD_BYTES_MAX)).sum();
    let sd_bytes = match not_nil(message.sd).len() {
        0..=SD_BYTES_MAX => not_nil(message.sd).len(),
        _ => 0,
    };
    let bytes = HEADER_BYTES + fields_bytes + sd_bytes + message.text.len();
    bytes.min(SEGMENT_BYTES_MAX)
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
    /// The layout of `message`; `room` holds its TIMESTAMP if that was made here. Fields above
    /// their bound are cut, structured data above its bound becomes nil (half of it would be no
    /// structured data), and a text that makes the record greater than any segment is cut; all
    /// three mark the record as truncated.
    #[inline]
    pub(crate) fn of(message: &'a Message<'_>, room: &'a mut TimeText) -> Self {
        let fields = [
            message.timestamp.text(room),
            message.hostname,
            message.app_name,
            message.procid,
            message.msgid,
        ];
        // One look at all lengths: none has a bit above the bound's.
        let longest = fields.iter().fold(0, |bits, field| bits | field.len());
        let is_long = FIELD_BYTES_MAX < longest || SD_BYTES_MAX < message.sd.len();
        let (fields, sd) = match is_long {
            false => (all_not_nil(fields), not_nil(message.sd)),
            true => cut(fields, message.sd),
        };
        let before = fields.iter().map(|field| field.len()).sum::<usize>() + sd.len();
        let text_room = SEGMENT_BYTES_MAX - HEADER_BYTES - before;
        let text = message.text.get(..text_room).unwrap_or(message.text);
        Self {
            fields,
            sd,
            text,
            bytes: HEADER_BYTES + before + text.len(),
            pri: message.pri.value(),
            is_truncated: message.is_truncated || is_long || text.len() < message.text.len(),
        }
    }

    /// Length of the record without its padding; at most `SEGMENT_BYTES_MAX`.
    #[inline]
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The bytes after the header, in order.
    #[inline]
    pub(crate) fn parts(&self) -> [&'a [u8]; 7] {
        let [timestamp, hostname, app_name, procid, msgid] = self.fields;
        [
            timestamp, hostname, app_name, procid, msgid, self.sd, self.text,
        ]
    }

    /// Word 0: never zero, since the length counts the header.
    #[inline]
    pub(crate) fn head(&self) -> u64 {
        let flags = if self.is_truncated { FLAG_TRUNCATED } else { 0 };
        (self.bytes as u64)
            | (self.sd.len() as u64) << SD_SHIFT
            | u64::from(self.pri) << PRI_SHIFT
            | flags
    }

    /// Word 2.
    #[inline]
    pub(crate) fn field_lengths(&self) -> u64 {
        let mut word = 0;
        for field in self.fields.iter().rev() {
            word = word << 8 | field.len() as u64;
        }
        word
    }
}

/// Fields and structured data, one of which is above its bound.
#[cold]
fn cut<'a>(fields: [&'a [u8]; 5], sd: &'a [u8]) -> ([&'a [u8]; 5], &'a [u8]) {
    let cut = |field: &'a [u8]| not_nil(field.get(..FIELD_BYTES_MAX).unwrap_or(field));
    let sd = if SD_BYTES_MAX < sd.len() { b"" } else { sd };
    (fields.map(cut), not_nil(sd))
}

/// Written out, since `map` would be a call for each.
#[inline]
fn all_not_nil([timestamp, hostname, app_name, procid, msgid]: [&[u8]; 5]) -> [&[u8]; 5] {
    [
        not_nil(timestamp),
        not_nil(hostname),
        not_nil(app_name),
        not_nil(procid),
        not_nil(msgid),
    ]
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
#[inline]
pub(crate) fn message_of(head: u64, field_lengths: u64, body: &[u8]) -> Message<'_> {
    let mut at = 0;
    let mut next = |bytes: usize| {
        let from = at;
        at += bytes;
        nil_if_empty(body.get(from..at).unwrap_or_default())
    };
    let mut field = |index: u32| next(low(field_lengths >> (8 * index), 8));
    let timestamp = Timestamp::Given(field(0));
    let hostname = field(1);
    let app_name = field(2);
    let procid = field(3);
    let msgid = field(4);
    let sd = next(low(head >> SD_SHIFT, 16));
    Message {
        pri: Pri::or_default(u32::try_from(low(head >> PRI_SHIFT, 8)).unwrap_or_default()),
        is_truncated: head & FLAG_TRUNCATED != 0,
        timestamp,
        hostname,
        app_name,
        procid,
        msgid,
        sd,
        text: body.get(at..).unwrap_or_default(),
    }
}

#[inline]
fn not_nil(field: &[u8]) -> &[u8] {
    match field {
        b"-" => b"",
        _ => field,
    }
}

#[inline]
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
// See `Layout::of`.
const _: () = assert!((FIELD_BYTES_MAX + 1).is_power_of_two());

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syslog::message::NO_TIME_TEXT;

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
        let mut room = NO_TIME_TEXT;
        let layout = Layout::of(message, &mut room);
        let body = layout.parts().concat();
        assert_eq!(bytes_of(message), layout.bytes());
        assert_eq!(layout.bytes(), HEADER_BYTES + body.len());
        assert_eq!(record_bytes(layout.head()), layout.bytes());
        let back = message_of(layout.head(), layout.field_lengths(), &body);
        assert_eq!(back.hostname, hostname);
        assert_eq!(back.sd, sd);
        assert!(back.text == text);
        assert_eq!(back.is_truncated, truncated);
        assert_eq!(back.pri, message.pri);
        let (mut sent, mut read) = (NO_TIME_TEXT, NO_TIME_TEXT);
        assert_eq!(
            back.timestamp.text(&mut read),
            message.timestamp.text(&mut sent)
        );
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
        assert_eq!(bytes_of(&over), SEGMENT_BYTES_MAX);
        let room = SEGMENT_BYTES_MAX - HEADER_BYTES - (20 + 1 + 3 + 5);
        check(&over, b"h", b"-", &long[..room], true);
    }
}
