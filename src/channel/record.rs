//! How a message is laid out in a segment.
//!
//! ```text
//! word 0   length u32 | structured data's length u16 | PRI u8 | flags u8
//! word 1   arrival, microseconds
//! word 2   lengths of timestamp, hostname, app-name, procid, msgid, a byte each; 3 spare bytes
//! then     those five fields, structured data, text; up to the next multiple of 8 bytes
//! ```
//! The length counts header and bytes, not the padding. Nil is a byte like any other (`-`).

use crate::clock::UnixMicros;
use crate::id::Seq;
use crate::limits::{FIELD_BYTES_MAX, SD_BYTES_MAX, SEGMENT_BYTES_MAX};
use crate::syslog::copy::put;
use crate::syslog::message::{Fields, Message, Pri, TimeText, Timestamp};

/// Bytes of a record before its first field.
pub(crate) const HEADER_BYTES: usize = 24;

/// A message as it stands in the log.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Its number in the channel.
    pub seq: Seq,
    /// When the read that brought it was made.
    pub arrival: UnixMicros,
    pub(in crate::channel) packed: Packed<'a>,
}

impl<'a> Record<'a> {
    /// The whole message; its slices point into the segment. Whoever needs only some of its fields
    /// takes them from the record itself.
    #[inline]
    #[must_use]
    pub fn message(&self) -> Message<'a> {
        self.packed.message()
    }
}

impl Fields for Record<'_> {
    #[inline]
    fn pri(&self) -> Pri {
        self.packed.pri()
    }

    #[inline]
    fn time<'t>(&'t self, _room: &'t mut TimeText) -> &'t [u8] {
        self.packed.part(0, self.packed.length(0))
    }

    #[inline]
    fn app_name(&self) -> &[u8] {
        let packed = &self.packed;
        packed.part(packed.length(0) + packed.length(1), packed.length(2))
    }

    #[inline]
    fn procid(&self) -> &[u8] {
        let packed = &self.packed;
        let before = packed.length(0) + packed.length(1) + packed.length(2);
        packed.part(before, packed.length(3))
    }

    #[inline]
    fn text(&self) -> &[u8] {
        let packed = &self.packed;
        let before = (0..5).map(|index| packed.length(index)).sum::<usize>() + packed.sd_length();
        packed.body.get(before..).unwrap_or_default()
    }
}

/// Length of the record that `message` becomes, without its padding; at most `SEGMENT_BYTES_MAX`.
///
/// Inlined, so that whoever only measures does not make the message first: see `append_run`.
#[inline]
pub(crate) fn bytes_of(message: &Message<'_>) -> usize {
    let cut = cut(message);
    whole_bytes(cut.as_ref().unwrap_or(message))
}

/// The message as a record can hold it, if it cannot hold all: fields above their bound are cut,
/// structured data above its bound becomes nil (half of it would be no structured data), and a text
/// that makes the record greater than any segment is cut; each marks it as truncated.
#[inline]
pub(crate) fn cut<'a>(message: &Message<'a>) -> Option<Message<'a>> {
    // One look at all lengths: none has a bit above the bound's.
    let longest = message.timestamp.bytes()
        | message.hostname.len()
        | message.app_name.len()
        | message.procid.len()
        | message.msgid.len();
    let is_whole = longest <= FIELD_BYTES_MAX
        && message.sd.len() <= SD_BYTES_MAX
        && whole_bytes(message) <= SEGMENT_BYTES_MAX;
    if is_whole {
        None
    } else {
        Some(cut_out(message))
    }
}

#[cold]
fn cut_out<'a>(message: &Message<'a>) -> Message<'a> {
    let field = |field: &'a [u8]| field.get(..FIELD_BYTES_MAX).unwrap_or(field);
    let mut message = Message {
        is_truncated: true,
        timestamp: match message.timestamp {
            Timestamp::Given(time) => Timestamp::Given(field(time)),
            made @ Timestamp::Made(_) => made,
        },
        hostname: field(message.hostname),
        app_name: field(message.app_name),
        procid: field(message.procid),
        msgid: field(message.msgid),
        sd: match message.sd.len() {
            0..=SD_BYTES_MAX => message.sd,
            _ => b"-",
        },
        ..*message
    };
    let before = whole_bytes(&message) - message.text.len();
    let text = message.text.get(..SEGMENT_BYTES_MAX - before);
    message.text = text.unwrap_or(message.text);
    message
}

/// Length of the record of a message of which nothing is cut.
#[inline]
fn whole_bytes(message: &Message<'_>) -> usize {
    HEADER_BYTES
        + message.timestamp.bytes()
        + message.hostname.len()
        + message.app_name.len()
        + message.procid.len()
        + message.msgid.len()
        + message.sd.len()
        + message.text.len()
}

/// How a message that a record can hold is laid out. Its parts stay where they are: copies of just
/// written slices have to wait for their lengths to reach the cache.
pub(crate) struct Layout<'a> {
    message: &'a Message<'a>,
    time: &'a [u8],
}

impl<'a> Layout<'a> {
    /// The layout of `message`, which needs no `cut`; `room` holds its TIMESTAMP if that was made
    /// here.
    #[inline]
    pub(crate) fn of(message: &'a Message<'_>, room: &'a mut TimeText) -> Self {
        let time = message.timestamp.text(room);
        debug_assert!(
            ![
                time,
                message.hostname,
                message.app_name,
                message.procid,
                message.msgid,
                message.sd
            ]
            .contains(&&b""[..]),
            "nil is a byte"
        );
        Self { message, time }
    }

    /// Length of the record without its padding; at most `SEGMENT_BYTES_MAX`.
    #[inline]
    pub(crate) fn bytes(&self) -> usize {
        whole_bytes(self.message)
    }

    /// Writes the bytes after the header, in order; `room` must hold them.
    #[inline]
    pub(crate) fn write(&self, room: &mut [u8]) {
        let message = self.message;
        debug_assert!(self.bytes() <= HEADER_BYTES + room.len(), "all has room");
        let room = put(room, self.time);
        let room = put(room, message.hostname);
        let room = put(room, message.app_name);
        let room = put(room, message.procid);
        let room = put(room, message.msgid);
        let room = put(room, message.sd);
        let _padding = put(room, message.text);
    }

    /// Word 0: never zero, since the length counts the header.
    #[inline]
    pub(crate) fn head(&self) -> u64 {
        let flags = match self.message.is_truncated {
            true => FLAG_TRUNCATED,
            false => 0,
        };
        (self.bytes() as u64)
            | (self.message.sd.len() as u64) << SD_SHIFT
            | u64::from(self.message.pri.value()) << PRI_SHIFT
            | flags
    }

    /// Word 2.
    #[inline]
    pub(crate) fn field_lengths(&self) -> u64 {
        let message = self.message;
        let word = self.time.len()
            | message.hostname.len() << 8
            | message.app_name.len() << 16
            | message.procid.len() << 24
            | message.msgid.len() << 32;
        word as u64
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

/// A message as a record holds it: words 0 and 2, and the bytes after the header.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packed<'a> {
    pub(crate) head: u64,
    pub(crate) field_lengths: u64,
    pub(crate) body: &'a [u8],
}

impl<'a> Packed<'a> {
    #[inline]
    pub(crate) fn message(&self) -> Message<'a> {
        let mut at = 0;
        let mut next = |bytes: usize| {
            let from = at;
            at += bytes;
            self.part(from, bytes)
        };
        let timestamp = Timestamp::Given(next(self.length(0)));
        let hostname = next(self.length(1));
        let app_name = next(self.length(2));
        let procid = next(self.length(3));
        let msgid = next(self.length(4));
        let sd = next(self.sd_length());
        Message {
            pri: self.pri(),
            is_truncated: self.head & FLAG_TRUNCATED != 0,
            timestamp,
            hostname,
            app_name,
            procid,
            msgid,
            sd,
            text: self.body.get(at..).unwrap_or_default(),
        }
    }

    #[inline]
    fn pri(&self) -> Pri {
        Pri::or_default(u32::try_from(low(self.head >> PRI_SHIFT, 8)).unwrap_or_default())
    }

    /// Length of the field with this index, 0 to 4.
    #[inline]
    fn length(&self, index: u32) -> usize {
        low(self.field_lengths >> (8 * index), 8)
    }

    #[inline]
    fn sd_length(&self) -> usize {
        low(self.head >> SD_SHIFT, 16)
    }

    #[inline]
    fn part(&self, begin: usize, bytes: usize) -> &'a [u8] {
        self.body.get(begin..begin + bytes).unwrap_or_default()
    }
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
// See `cut`.
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
        let kept = cut(message).unwrap_or(*message);
        let layout = Layout::of(&kept, &mut room);
        let mut body = vec![0; layout.bytes() - HEADER_BYTES];
        layout.write(&mut body);
        assert_eq!(bytes_of(message), layout.bytes());
        assert_eq!(record_bytes(layout.head()), layout.bytes());
        let packed = Packed {
            head: layout.head(),
            field_lengths: layout.field_lengths(),
            body: &body,
        };
        let back = packed.message();
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
        let record = Record {
            seq: Seq::default(),
            arrival: UnixMicros::default(),
            packed,
        };
        assert_eq!(record.pri(), back.pri);
        assert_eq!(record.time(&mut sent), back.time(&mut read));
        assert_eq!(
            (record.app_name(), record.procid()),
            (back.app_name, back.procid)
        );
        assert!(record.text() == back.text);
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
        check(&message(b"-", b"-", b"-"), b"-", b"-", b"-", false);
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
        let room = SEGMENT_BYTES_MAX - HEADER_BYTES - (20 + 1 + 3 + 5 + 1 + 1);
        check(&over, b"h", b"-", &long[..room], true);
    }
}
