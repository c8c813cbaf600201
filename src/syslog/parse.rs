//! Reads the header of a frame: RFC 5424 leniently, RFC 3164, or what a bare line lacks.
//!
//! Nothing is copied: a message's fields are slices of the frame. What the standards forbid is
//! carried on where it can be, so that no message is lost for its form.

use std::cmp::Ordering;

use memchr::memchr;
use memchr::memmem;
use wide::u8x16;

use crate::clock::UnixMicros;
use crate::id::Token;
use crate::limits::FIELD_BYTES_MAX;
use crate::syslog::message::Message;
#[cfg(any(test, fuzzing))]
use crate::syslog::message::NO_TIME_TEXT;
use crate::syslog::message::Pri;
use crate::syslog::message::Timestamp;
use crate::syslog::sd;
use crate::syslog::timestamp;

/// The header by single spaces (RFC 5424, 6, leniently).
///
/// ```text
/// <PRI>VERSION TIMESTAMP HOSTNAME APP-NAME PROCID MSGID SD MSG
/// ```
/// - PRI 13 where it is missing, above 191 or no number; VERSION may be anything.
/// - The bytes of TIMESTAMP are kept, whatever they are. An empty field becomes `-`.
/// - What is missing behind APP-NAME is nil, and the text empty.
/// - SD is `-`, or elements as `sd::sd_bytes` knows them, with a space or the end behind it;
///   anything else is already the text, and SD is nil.
/// - A PROCID or MSGID longer than `FIELD_BYTES_MAX` is taken for text, and both are nil.
///
/// `app_name` is as it came (perhaps a token). `None` when there is no fourth field, or one of the
/// first four is too long.
#[must_use]
pub fn parse_rfc5424(frame: &[u8]) -> Option<Message<'_>> {
    whole_header(frame).or_else(|| short_header(frame))
}

/// `parse_rfc5424` of a frame that has a space behind each of its first six fields, none of which
/// is empty or too long: nearly every frame. `None` for any other.
#[inline(always)] // What a call gives back is copied, and has to be waited for.
#[must_use]
pub fn whole_header(frame: &[u8]) -> Option<Message<'_>> {
    let [first, timestamp, hostname, app_name, procid, msgid] = spaces(frame)?;
    let field = |before: usize, end: usize| frame.get(before + 1..end);
    let version_on = frame.get(..first)?;
    let fields = [
        field(first, timestamp)?,
        field(timestamp, hostname)?,
        field(hostname, app_name)?,
        field(app_name, procid)?,
        field(procid, msgid)?,
    ];
    // One look at all lengths: none has a bit above the bound's, nor has one less than it.
    let (mut longest, mut shortest) = (version_on.len(), 0);
    for field in fields {
        longest |= field.len();
        shortest |= field.len().wrapping_sub(1);
    }
    if FIELD_BYTES_MAX < longest | shortest {
        return None;
    }
    let (sd, text) = sd_and_text(frame.get(msgid + 1..)?);
    let [timestamp, hostname, app_name, procid, msgid] = fields;
    Some(Message {
        pri: Pri::read(version_on).map_or(Pri::DEFAULT, |(pri, _)| pri),
        is_truncated: false,
        timestamp: Timestamp::Given(timestamp),
        hostname,
        app_name,
        procid,
        msgid,
        sd,
        text,
    })
}

/// `parse_rfc5424` of any frame, field by field.
fn short_header(frame: &[u8]) -> Option<Message<'_>> {
    let (first, rest) = header_field(frame)?;
    let (timestamp, rest) = header_field(rest?)?;
    let (hostname, rest) = header_field(rest?)?;
    let (app_name, rest) = header_field(rest?)?;
    let tail = tail(rest.unwrap_or_default());
    Some(Message {
        pri: Pri::read(first).map_or(Pri::DEFAULT, |(pri, _)| pri),
        is_truncated: false,
        timestamp: Timestamp::Given(or_nil(timestamp)),
        hostname: or_nil(hostname),
        app_name: or_nil(app_name),
        procid: tail.procid,
        msgid: tail.msgid,
        sd: tail.sd,
        text: tail.text,
    })
}

/// RFC 3164 as it is sent today: PRI may be missing, the time may be one of RFC 3339 (rsyslog) and
/// the host may be left out (the local socket's form, Postgres).
///
/// ```text
/// <PRI>Mmm dd hh:mm:ss [HOST ]TAG[PID]: TEXT
/// ```
/// The time becomes one in UTC, in the year that brings it nearest to `arrival`. A word behind the
/// host is a TAG when a colon ends it, or when it is a token; else it is the first of the text, and
/// `app_name` nil. `None` when no time stands where it should, or a field is too long.
#[must_use]
pub fn parse_rfc3164(frame: &[u8], arrival: UnixMicros) -> Option<Message<'_>> {
    let (pri, rest) = Pri::read(frame).unwrap_or((Pri::DEFAULT, frame));
    let (timestamp, rest) = old_or_new_time(rest, arrival)?;
    let rest = rest.strip_prefix(b" ")?;
    let (first_word, behind_first) = header_field(rest)?;
    let (hostname, rest) = if tag(rest).is_some_and(|tag| tag.ends_with_colon) {
        (NIL, rest)
    } else {
        (or_nil(first_word), behind_first.unwrap_or_default())
    };
    let tag = tag(rest).unwrap_or(Tag {
        name: NIL,
        procid: NIL,
        text: rest,
        ends_with_colon: false,
    });
    if FIELD_BYTES_MAX < tag.name.len() || FIELD_BYTES_MAX < tag.procid.len() {
        return None;
    }
    Some(Message {
        pri,
        is_truncated: false,
        timestamp,
        hostname,
        app_name: tag.name,
        procid: tag.procid,
        msgid: NIL,
        sd: NIL,
        text: tag.text,
    })
}

/// Any line where the channel is known: RFC 5424 when PRI, a version and a time (or nil) stand at
/// its front; else RFC 3164; else a bare line, whose header is made here from `source` and
/// `arrival` and whose text is the line, without its `<PRI>` if it has one.
#[must_use]
pub fn parse_any<'a>(frame: &'a [u8], source: &'a [u8], arrival: UnixMicros) -> Message<'a> {
    let headed = if is_rfc5424(frame) {
        parse_rfc5424(frame)
    } else {
        None
    };
    let (pri, text) = match headed.or_else(|| parse_rfc3164(frame, arrival)) {
        Some(message) => return message,
        None => Pri::read(frame).unwrap_or((Pri::DEFAULT, frame)),
    };
    Message {
        pri,
        is_truncated: false,
        timestamp: timestamp::in_micros(arrival),
        hostname: NIL,
        app_name: source,
        procid: NIL,
        msgid: NIL,
        sd: NIL,
        text,
    }
}

/// The message with its APP-NAME replaced by `source`, and with nil in place of every other header
/// field that holds `token`, so that readers never see it. The text stays as it is.
#[must_use]
pub fn with_source<'a>(mut message: Message<'a>, token: &[u8], source: &'a [u8]) -> Message<'a> {
    hide(&mut message, token);
    message.app_name = source;
    message
}

/// Whether `hide` may change something: mostly the token is the longest field by far.
#[inline]
#[must_use]
pub fn may_hide(message: &Message<'_>, token: &[u8]) -> bool {
    let longest = message.timestamp.bytes().max(message.hostname.len());
    let longest = longest.max(message.procid.len()).max(message.msgid.len());
    token.len() <= longest.max(message.sd.len())
}

/// Puts nil in place of every header field but APP-NAME that holds `token`.
pub fn hide(message: &mut Message<'_>, token: &[u8]) {
    if let Timestamp::Given(time) = &mut message.timestamp
        && holds(time, token)
    {
        *time = NIL;
    }
    let Message {
        hostname,
        procid,
        msgid,
        sd,
        ..
    } = message;
    for field in [hostname, procid, msgid, sd] {
        if holds(field, token) {
            *field = NIL;
        }
    }
}

/// The message for a channel that is known without its APP-NAME, which therefore stays unless
/// `token` stands in it; in every other header field `with_source` hides it.
#[must_use]
pub fn without_token<'a>(message: Message<'a>, token: &[u8], source: &'a [u8]) -> Message<'a> {
    let app_name = match holds(message.app_name, token) {
        true => source,
        false => message.app_name,
    };
    with_source(message, token, app_name)
}

/// NILVALUE (RFC 5424, 6).
const NIL: &[u8] = b"-";

/// Six fields of the greatest length, each with its space.
const SIX_FIELDS_BYTES_MAX: usize = 6 * (FIELD_BYTES_MAX + 1);

// See `whole_header`.
const _: () = assert!((FIELD_BYTES_MAX + 1).is_power_of_two());

/// What stands behind APP-NAME.
struct Tail<'a> {
    procid: &'a [u8],
    msgid: &'a [u8],
    sd: &'a [u8],
    text: &'a [u8],
}

fn tail(bytes: &[u8]) -> Tail<'_> {
    let Some((procid, msgid, rest)) = procid_and_msgid(bytes) else {
        return Tail {
            procid: NIL,
            msgid: NIL,
            sd: NIL,
            text: bytes,
        };
    };
    let (sd, text) = sd_and_text(rest);
    Tail {
        procid: or_nil(procid),
        msgid: or_nil(msgid),
        sd,
        text,
    }
}

/// PROCID, MSGID and what follows; `None` when one is too long to be one.
fn procid_and_msgid(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (procid, rest) = header_field(bytes)?;
    let (msgid, rest) = header_field(rest.unwrap_or_default())?;
    Some((procid, msgid, rest.unwrap_or_default()))
}

/// A line end at the end of the frame is an end too, and stays text.
fn sd_and_text(bytes: &[u8]) -> (&[u8], &[u8]) {
    let sd_bytes = match bytes.first() {
        Some(b'-') => 1,
        Some(b'[') => sd::sd_bytes(bytes).unwrap_or(0),
        _ => 0,
    };
    let (sd, behind) = bytes.split_at_checked(sd_bytes).unwrap_or((&[], bytes));
    match behind {
        _ if sd.is_empty() => (NIL, bytes),
        [b' ', text @ ..] => (sd, text),
        b"" | b"\n" | b"\r\n" => (sd, behind),
        _ => (NIL, bytes),
    }
}

/// A field and what stands behind its space, if one follows. A line end that ends the frame is no
/// part of its last field. `None` when the field is longer than `FIELD_BYTES_MAX`.
fn header_field(bytes: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    // No further than a field may reach: a frame may be long and hold no space at all.
    let window = bytes.get(..=FIELD_BYTES_MAX).unwrap_or(bytes);
    match space(window) {
        Some(index) => {
            let (field, behind) = bytes.split_at_checked(index)?;
            Some((field, behind.get(1..)))
        }
        None if window.len() <= FIELD_BYTES_MAX => Some((without_line_end(bytes), None)),
        None => None,
    }
}

/// Where the first space is.
fn space(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|&byte| byte == b' ')
}

/// Where the first six spaces are; `None` when there are fewer, or they are further away than six
/// fields reach. One way over the header, a block at a time: fields are so short that a search for
/// each would spend its time on beginning and ending.
#[inline]
fn spaces(bytes: &[u8]) -> Option<[usize; 6]> {
    let window = bytes.get(..SIX_FIELDS_BYTES_MAX).unwrap_or(bytes);
    let mut blocks = window.chunks(BLOCK_BYTES).map(spaces_of);
    let mut found = [0; 6];
    let (mut end, mut here) = (0, 0_u64);
    for slot in &mut found {
        while here == 0 {
            here = blocks.next()?;
            end += BLOCK_BYTES;
        }
        *slot = end - BLOCK_BYTES + here.trailing_zeros() as usize;
        here &= here - 1;
    }
    Some(found)
}

/// A bit for each byte of `chunk`, which is a block or the last part of one: whether it is a space.
#[inline]
fn spaces_of(chunk: &[u8]) -> u64 {
    if let Ok(block) = chunk.try_into() {
        return spaces_in(block);
    }
    let mut block = [0; BLOCK_BYTES];
    for (byte, filled) in chunk.iter().zip(&mut block) {
        *filled = *byte;
    }
    spaces_in(&block)
}

#[inline]
fn spaces_in(block: &[u8; BLOCK_BYTES]) -> u64 {
    let (parts, _) = block.as_chunks::<16>();
    parts.iter().rev().fold(0, |bits, part| {
        let spaces = u8x16::new(*part).simd_eq(u8x16::splat(b' '));
        bits << 16 | u64::from(spaces.to_bitmask())
    })
}

/// As many bytes as a word has bits.
const BLOCK_BYTES: usize = 64;

fn without_line_end(bytes: &[u8]) -> &[u8] {
    match bytes {
        [field @ .., b'\r', b'\n'] | [field @ .., b'\n'] => field,
        _ => bytes,
    }
}

const fn or_nil(field: &[u8]) -> &[u8] {
    if field.is_empty() { NIL } else { field }
}

/// Whether `<PRI>VERSION ` and a time or nil stand at the front. Less is not enough where any line
/// may come: four words make no header.
fn is_rfc5424(frame: &[u8]) -> bool {
    let Some((_, behind)) = Pri::read(frame) else {
        return false;
    };
    let version_bytes = behind.iter().take_while(|b| b.is_ascii_digit()).count();
    let is_version = (1..=3).contains(&version_bytes) && behind.first() != Some(&b'0');
    match behind.get(version_bytes..) {
        Some([b' ', b'-', b' ', ..]) => is_version,
        Some([b' ', y1, y2, y3, y4, b'-', ..]) => {
            is_version && [y1, y2, y3, y4].into_iter().all(u8::is_ascii_digit)
        }
        _ => false,
    }
}

/// The time of an RFC 3164 header and what follows; one of RFC 3339 is kept as it came.
fn old_or_new_time(bytes: &[u8], arrival: UnixMicros) -> Option<(Timestamp<'_>, &[u8])> {
    if let Some(found) = timestamp::rfc3164(bytes, arrival) {
        return Some(found);
    }
    let (word, _) = header_field(bytes)?;
    timestamp::strict(word)?;
    Some((Timestamp::Given(word), bytes.get(word.len()..)?))
}

struct Tag<'a> {
    name: &'a [u8],
    procid: &'a [u8],
    text: &'a [u8],
    ends_with_colon: bool,
}

/// `TAG: TEXT`, `TAG[PID]: TEXT`, or a token and a space. The tag, visible ASCII,
/// ends with the first `[`, `:` or space; of the text's leading spaces one is the header's.
fn tag(bytes: &[u8]) -> Option<Tag<'_>> {
    let window = bytes.get(..=FIELD_BYTES_MAX).unwrap_or(bytes);
    let name_bytes = window
        .iter()
        .position(|byte| matches!(byte, b'[' | b':' | b' '))?;
    let (name, behind) = bytes.split_at_checked(name_bytes)?;
    let (procid, behind) = match behind.strip_prefix(b"[") {
        Some(pid_on) => {
            let pid_bytes = memchr(b']', pid_on)?;
            let (pid, behind) = pid_on.split_at_checked(pid_bytes)?;
            (pid, behind.get(1..)?)
        }
        None => (NIL, behind),
    };
    let colon_behind = behind.strip_prefix(b":");
    let is_token = Token::is_begun_by(name);
    let is_word = !name.is_empty() && name.iter().all(u8::is_ascii_graphic);
    if !is_word || procid.contains(&b' ') || (colon_behind.is_none() && !is_token) {
        return None;
    }
    let text = colon_behind.unwrap_or(behind);
    // `fe80::1` is a host: behind the colon of a tag comes a space, or nothing.
    if !matches!(text.first(), None | Some(b' ' | b'\n' | b'\r')) {
        return None;
    }
    Some(Tag {
        name,
        procid: or_nil(procid),
        text: text.strip_prefix(b" ").unwrap_or(text),
        ends_with_colon: colon_behind.is_some(),
    })
}

/// Whether `token` stands in `field`; an empty token stands nowhere.
#[inline]
fn holds(field: &[u8], token: &[u8]) -> bool {
    // Nearly every field is too short for it, or is the token itself.
    match field.len().cmp(&token.len()) {
        _ if token.is_empty() => false,
        Ordering::Less => false,
        Ordering::Equal => field == token,
        Ordering::Greater => memmem::find(field, token).is_some(),
    }
}

/// Fuzz target: any bytes are read without a panic, the fields have their lengths, and a token
/// taken out is gone from all of them.
#[cfg(any(test, fuzzing))]
pub fn fuzz_message(bytes: &[u8]) {
    let arrival = UnixMicros::new(1_353_105_648_123_456);
    if let Some(message) = whole_header(bytes) {
        let again = short_header(bytes);
        assert_eq!(
            Some(format!("{message:?}")),
            again.map(|m| format!("{m:?}"))
        );
    }
    let any = parse_any(bytes, b"app", arrival);
    for message in [
        parse_rfc5424(bytes),
        parse_rfc3164(bytes, arrival),
        Some(any),
    ]
    .into_iter()
    .flatten()
    {
        let token = message.app_name.to_vec();
        let clean = with_source(message, &token, b"source");
        let mut room = NO_TIME_TEXT;
        for field in [
            message.timestamp.text(&mut room),
            message.hostname,
            message.app_name,
            message.procid,
            message.msgid,
        ] {
            assert!((1..=FIELD_BYTES_MAX).contains(&field.len()));
        }
        assert!(message.sd == NIL || sd::sd_bytes(message.sd) == Some(message.sd.len()));
        for field in [clean.hostname, clean.procid, clean.msgid, clean.sd] {
            assert!(field == NIL || !holds(field, &token));
        }
        assert!(clean.text == message.text && clean.app_name == b"source");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::Strategy;
    use proptest::prelude::any;
    use proptest::prelude::prop;
    use proptest::prop_oneof;
    use proptest::proptest;

    /// 2012-11-16T22:40:48.123456Z
    const NOVEMBER: UnixMicros = UnixMicros::new(1_353_105_648_123_456);

    /// `PRI|TIMESTAMP|HOSTNAME|APP-NAME|PROCID|MSGID|SD|MSG`.
    fn show(message: &Message<'_>) -> String {
        let mut room = NO_TIME_TEXT;
        let fields = [
            message.timestamp.text(&mut room),
            message.hostname,
            message.app_name,
            message.procid,
            message.msgid,
            message.sd,
            message.text,
        ]
        .map(|field| String::from_utf8_lossy(field).into_owned());
        format!("{}|{}", message.pri.value(), fields.join("|"))
    }

    #[track_caller]
    fn check(frame: &str, expected: &str) {
        let shown = parse_rfc5424(frame.as_bytes()).map(|message| show(&message));
        assert_eq!(shown.as_deref(), Some(expected), "{frame}");
    }

    #[track_caller]
    fn check_rfc3164(frame: &str, expected: Option<&str>) {
        let shown = parse_rfc3164(frame.as_bytes(), NOVEMBER).map(|message| show(&message));
        assert_eq!(shown.as_deref(), expected, "{frame}");
    }

    #[track_caller]
    fn check_any(frame: &str, expected: &str) {
        assert_eq!(
            show(&parse_any(frame.as_bytes(), b"src", NOVEMBER)),
            expected,
            "{frame}"
        );
    }

    #[test]
    fn a_whole_header() {
        check("<134>1 T h t.x web.1 - - hi", "134|T|h|t.x|web.1|-|-|hi");
        check("<134>1 T h t.x web.1 ID - hi", "134|T|h|t.x|web.1|ID|-|hi");
        check(
            "<1>1 T h t.x p - [a@1 x=\"1 2\"][b y=\"\\]\"] hi",
            "1|T|h|t.x|p|-|[a@1 x=\"1 2\"][b y=\"\\]\"]|hi",
        );
        check("<1>1 T h a p - -   hi ", "1|T|h|a|p|-|-|  hi ");
        check("<1>1 T h a p - - l1\nl2\0\n", "1|T|h|a|p|-|-|l1\nl2\0\n");
    }

    #[test]
    fn pri_and_version_are_lenient() {
        for (first, pri) in [
            ("<0>1", 0),
            ("<191>1", 191),
            ("<00134>1", 134),
            ("<192>1", 13),
            ("<999>1", 13),
            ("<99999999999999999999>1", 13),
            ("<>1", 13),
            ("<-1>1", 13),
            ("<a>1", 13),
            ("<1", 13),
            ("1", 13),
            ("", 13),
            ("<7>", 7),
            ("<7>2", 7),
            ("<7>x", 7),
        ] {
            check(
                &format!("{first} T h a p m - x"),
                &format!("{pri}|T|h|a|p|m|-|x"),
            );
        }
    }

    #[test]
    fn what_is_missing_behind_the_app_name_is_nil() {
        check("<1>1 T h t.x", "1|T|h|t.x|-|-|-|");
        check("<1>1 T h t.x\r\n", "1|T|h|t.x|-|-|-|");
        check("<1>1 T h t.x ", "1|T|h|t.x|-|-|-|");
        check("<1>1 T h t.x p", "1|T|h|t.x|p|-|-|");
        check("<1>1 T h t.x p\n", "1|T|h|t.x|p|-|-|");
        check("<1>1 T h t.x p m", "1|T|h|t.x|p|m|-|");
        check("<1>1 T h t.x p m ", "1|T|h|t.x|p|m|-|");
        check("<1>1 T h t.x p m -", "1|T|h|t.x|p|m|-|");
        check("<1>1 T h t.x p m - ", "1|T|h|t.x|p|m|-|");
        check("<1>1 T h t.x p m -\n", "1|T|h|t.x|p|m|-|\n");
        check("<1>1 T h t.x p m [a@1]", "1|T|h|t.x|p|m|[a@1]|");
        for frame in ["", "<1>1", "<1>1 T", "<1>1 T h", "hello world"] {
            assert!(parse_rfc5424(frame.as_bytes()).is_none(), "{frame}");
        }
    }

    #[test]
    fn what_is_no_structured_data_is_text() {
        check(
            "<1>1 T h t.x web.1 - just one dash",
            "1|T|h|t.x|web.1|-|-|just one dash",
        );
        check("<1>1 T h t.x p - [GIN] 200", "1|T|h|t.x|p|-|-|[GIN] 200");
        check(
            "<1>1 T h t.x p - [DATABASE] [7-1] x",
            "1|T|h|t.x|p|-|-|[DATABASE] [7-1] x",
        );
        check("<1>1 T h t.x p - - [info] x", "1|T|h|t.x|p|-|-|[info] x");
        check("<1>1 T h t.x p - -x", "1|T|h|t.x|p|-|-|-x");
        check("<1>1 T h t.x p - --", "1|T|h|t.x|p|-|-|--");
        check(
            "<1>1 T h t.x p - [a x=\"1\"]x",
            "1|T|h|t.x|p|-|-|[a x=\"1\"]x",
        );
        check("<1>1 T h t.x p - [a x=\"1\"]", "1|T|h|t.x|p|-|[a x=\"1\"]|");
    }

    #[test]
    fn empty_fields() {
        check("<1>1  h t.x p m - x", "1|-|h|t.x|p|m|-|x");
        check("<1>1 T  h  t.x p", "1|T|-|h|-|t.x|-|p");
        check("<1>1 T h t.x  m - x", "1|T|h|t.x|-|m|-|x");
    }

    #[test]
    fn fields_have_a_bound() {
        let most = "f".repeat(FIELD_BYTES_MAX);
        check(
            &format!("<1>1 {most} {most} {most} {most} {most} - x"),
            &format!("1|{most}|{most}|{most}|{most}|{most}|-|x"),
        );
        check(
            &format!("<1>1 T h t.x {most}f m - x"),
            &format!("1|T|h|t.x|-|-|-|{most}f m - x"),
        );
        check(
            &format!("<1>1 T h t.x p {most}f - x"),
            &format!("1|T|h|t.x|-|-|-|p {most}f - x"),
        );
        check(
            &format!("<1>1 T h t.x {most}f"),
            &format!("1|T|h|t.x|-|-|-|{most}f"),
        );
        for frame in [
            format!("<1>1{most} T h t.x p m - x"),
            format!("<1>1 {most}f h t.x p m - x"),
            format!("<1>1 T {most}f t.x p m - x"),
            format!("<1>1 T h {most}f p m - x"),
            format!("<1>1 T h {most}f"),
        ] {
            assert!(parse_rfc5424(frame.as_bytes()).is_none());
        }
    }

    #[test]
    fn rfc3164_with_and_without_its_parts() {
        let time = "2012-11-20T17:46:48+00:00";
        for (frame, expected) in [
            (
                "<34>Nov 20 17:46:48 h su: 'su root'",
                "34|TIME|h|su|-|-|-|'su root'",
            ),
            ("<34>Nov 20 17:46:48 h su[7]: x", "34|TIME|h|su|7|-|-|x"),
            (
                "<134>Nov 20 17:46:48 postgres[6442]: [10-1] x",
                "134|TIME|-|postgres|6442|-|-|[10-1] x",
            ),
            ("<13>Nov 20 17:46:48 kernel: x", "13|TIME|-|kernel|-|-|-|x"),
            (
                "<13>Nov 20 17:46:48 vm t.tok: x",
                "13|TIME|vm|t.tok|-|-|-|x",
            ),
            ("<13>Nov 20 17:46:48 vm t.tok x", "13|TIME|vm|t.tok|-|-|-|x"),
            (
                "<13>Nov 20 17:46:48 10.0.0.9 Use the BFG!",
                "13|TIME|10.0.0.9|-|-|-|-|Use the BFG!",
            ),
            (
                "<13>Nov 20 17:46:48 fe80::1 su: x",
                "13|TIME|fe80::1|su|-|-|-|x",
            ),
            (
                "<13>Nov 20 17:46:48 h a[b c]: x",
                "13|TIME|h|-|-|-|-|a[b c]: x",
            ),
            ("<13>Nov 20 17:46:48 h a\nb: x", "13|TIME|h|-|-|-|-|a\nb: x"),
            ("<13>Nov 20 17:46:48 h é: x", "13|TIME|h|-|-|-|-|é: x"),
            ("<13>Nov 20 17:46:48 h a[]: x", "13|TIME|h|a|-|-|-|x"),
            ("<13>Nov 20 17:46:48 h a:", "13|TIME|h|a|-|-|-|"),
            ("<13>Nov 20 17:46:48 h a:   x", "13|TIME|h|a|-|-|-|  x"),
            ("<13>Nov 20 17:46:48 h", "13|TIME|h|-|-|-|-|"),
            ("Nov 20 17:46:48 h a: x", "13|TIME|h|a|-|-|-|x"),
            ("<999>Nov 20 17:46:48 h a: x", "13|TIME|h|a|-|-|-|x"),
            (
                "<13>2012-11-20T17:46:48+00:00 h a: x",
                "13|TIME|h|a|-|-|-|x",
            ),
        ] {
            check_rfc3164(frame, Some(&expected.replace("TIME", time)));
        }
        for frame in [
            "",
            "<13>",
            "<13>Nov 20 17:46:48",
            "<13>Nov 20 17:46:48x",
            "<13>hello you",
        ] {
            check_rfc3164(frame, None);
        }
    }

    #[test]
    fn rfc3164_fields_have_a_bound() {
        let most = "f".repeat(FIELD_BYTES_MAX);
        let time = "2012-11-20T17:46:48+00:00";
        let head = "<13>Nov 20 17:46:48";
        check_rfc3164(
            &format!("{head} {most} a: x"),
            Some(&format!("13|{time}|{most}|a|-|-|-|x")),
        );
        check_rfc3164(&format!("{head} {most}f a: x"), None);
        check_rfc3164(
            &format!("{head} h {most}: x"),
            Some(&format!("13|{time}|h|{most}|-|-|-|x")),
        );
        check_rfc3164(
            &format!("{head} h {most}f: x"),
            Some(&format!("13|{time}|h|-|-|-|-|{most}f: x")),
        );
        check_rfc3164(
            &format!("{head} h a[{most}]: x"),
            Some(&format!("13|{time}|h|a|{most}|-|-|x")),
        );
        check_rfc3164(&format!("{head} h a[{most}f]: x"), None);
    }

    #[test]
    fn any_line_becomes_a_message() {
        let now = "2012-11-16T22:40:48.123456+00:00";
        check_any(
            "<134>1 2012-11-20T17:46:48Z h a p m - x",
            "134|2012-11-20T17:46:48Z|h|a|p|m|-|x",
        );
        check_any("<134>1 - - a - - - x", "134|-|-|a|-|-|-|x");
        check_any(
            "<134>Nov 20 17:46:48 h a: x",
            "134|2012-11-20T17:46:48+00:00|h|a|-|-|-|x",
        );
        check_any(
            "a line of four words",
            &format!("13|{now}|-|src|-|-|-|a line of four words"),
        );
        check_any(
            "<134>a line of words",
            &format!("134|{now}|-|src|-|-|-|a line of words"),
        );
        check_any(
            "<134>1 of a line",
            &format!("134|{now}|-|src|-|-|-|1 of a line"),
        );
        check_any("<134>1 - -", &format!("134|{now}|-|src|-|-|-|1 - -"));
        check_any("<b>bold</b>", &format!("13|{now}|-|src|-|-|-|<b>bold</b>"));
        check_any("", &format!("13|{now}|-|src|-|-|-|"));
    }

    #[test]
    fn the_token_is_in_no_field_but_the_text() {
        let frame = b"<1>1 t.x t.x t.x a.t.x t.x.1 [a@1 x=\"t.x\"] text t.x";
        let message = with_source(parse_rfc5424(frame).unwrap(), b"t.x", b"app");
        assert_eq!(show(&message), "1|-|-|app|-|-|-|text t.x");
        let frame = b"<1>1 T h t.x p m [a@1 x=\"1\"] text";
        let message = with_source(parse_rfc5424(frame).unwrap(), b"t.x", b"app");
        assert_eq!(show(&message), "1|T|h|app|p|m|[a@1 x=\"1\"]|text");
        let message = with_source(parse_rfc5424(frame).unwrap(), b"", b"app");
        assert_eq!(show(&message), "1|T|h|app|p|m|[a@1 x=\"1\"]|text");
    }

    fn nearly_syslog() -> impl Strategy<Value = Vec<u8>> {
        let word = prop_oneof![
            4 => "<[0-9]{0,4}>1?", 3 => " ", 1 => " ?-", 1 => "Nov 20 17:46:48",
            1 => "2012-11-20T17:46:48Z", 2 => "[a-c]{1,3}(\\[[a-c]{0,2}\\])?:?", 1 => "t\\.x",
            1 => "\\[a@1 x=\"(1|t\\.x)\"\\]", 1 => "f{250,260}", 1 => "\\PC{0,3}",
        ];
        prop::collection::vec(word, 0..16).prop_map(|words| words.concat().into_bytes())
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            fuzz_message(&bytes);
        }

        #[test]
        fn the_first_space_is_found(bytes in prop::collection::vec(prop_oneof![any::<u8>(), 30..34_u8, 158..162_u8], 0..40)) {
            assert_eq!(space(&bytes), bytes.iter().position(|&byte| byte == b' '));
        }

        #[test]
        fn spaces_are_found_wherever_they_are(bytes in prop::collection::vec(prop_oneof![3 => any::<u8>(), 1 => 30..34_u8, 1 => 158..162_u8], 0..200)) {
            let naive: Vec<usize> = (0..bytes.len()).filter(|&at| bytes[at] == b' ').take(6).collect();
            let found = spaces(&bytes).map(Vec::from);
            assert_eq!(found, (naive.len() == 6).then_some(naive));
        }

        #[test]
        fn nearly_syslog_is_survived(bytes in nearly_syslog()) {
            fuzz_message(&bytes);
        }
    }
}
