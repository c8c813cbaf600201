//! A message as a drain's frame or a tail's line, appended to a buffer that is used again.
//!
//! The length of a frame is summed up first, so that its count can be written in front of it; no
//! second buffer, no formatting.

use crate::clock::UnixMicros;
use crate::id::DrainToken;
use crate::limits::APP_NAME_BYTES_MAX;
use crate::limits::HOSTNAME_BYTES_MAX;
use crate::limits::MSGID_BYTES_MAX;
use crate::limits::PRI_MAX;
use crate::limits::PROCID_BYTES_MAX;
use crate::syslog::copy::digits_of;
use crate::syslog::copy::put;
use crate::syslog::copy::put_byte;
use crate::syslog::copy::put_number;
use crate::syslog::message::Fields;
use crate::syslog::message::Message;
use crate::syslog::message::NO_TIME_TEXT;
use crate::syslog::message::Pri;
use crate::syslog::sd;
use crate::syslog::timestamp;

/// `LEN <PRI>1 TIME host SOURCE PROC - MSG` and a newline unless MSG ends in one; it is counted.
///
/// As Logplex has it: literally `host`, and one dash, MSGID's, with no structured data behind it.
pub fn logplex_http(message: &impl Fields, out: &mut Vec<u8>) {
    write_logplex(message, b"host", b" - ", out);
}

/// `LEN <PRI>1 TIME DRAIN-TOKEN SOURCE PROC - - MSG` and a newline unless MSG ends in one; it is
/// counted.
pub fn logplex_syslog(message: &impl Fields, drain: &DrainToken, out: &mut Vec<u8>) {
    write_logplex(message, drain.as_str().as_bytes(), b" - - ", out);
}

/// The message as RFC 5424 (6) allows it, octet-counted, with a newline as above.
///
/// What it does not allow is mended: `arrival` stands in for a TIMESTAMP that is none, nil for a
/// field with other bytes than are allowed; a field too long is cut, and so are the digits of a
/// second beyond microseconds. Structured data that is not `sd::is_strict` is the text's beginning.
pub fn rfc5424(message: &Message<'_>, arrival: UnixMicros, out: &mut Vec<u8>) {
    let (mut room, mut made_room) = (NO_TIME_TEXT, NO_TIME_TEXT);
    let made = timestamp::in_micros(arrival);
    let (time, offset) = match message.timestamp.text(&mut room) {
        b"-" => (NIL, NOTHING),
        bytes => timestamp::strict(bytes).unwrap_or_else(|| (made.text(&mut made_room), NOTHING)),
    };
    let (sd, sd_text, gap) = strict_sd(message.sd, message.text);
    let fields: [&[u8]; 15] = [
        time,
        offset,
        b" ",
        strict_field(message.hostname, HOSTNAME_BYTES_MAX),
        b" ",
        strict_field(message.app_name, APP_NAME_BYTES_MAX),
        b" ",
        strict_field(message.procid, PROCID_BYTES_MAX),
        b" ",
        strict_field(message.msgid, MSGID_BYTES_MAX),
        b" ",
        sd,
        b" ",
        sd_text,
        gap,
    ];
    write_frame(message.pri, &fields, message.text, out);
}

/// `TIME SOURCE[PROC]: MSG` and a newline unless MSG ends in one.
pub fn tail_line(message: &impl Fields, out: &mut Vec<u8>) {
    let mut room = NO_TIME_TEXT;
    let text = message.text();
    let pieces: [&[u8]; 7] = [
        message.time(&mut room),
        b" ",
        message.app_name(),
        b"[",
        message.procid(),
        b"]: ",
        text,
    ];
    out.reserve(bytes_sum(&pieces) + 1);
    for piece in pieces {
        out.extend_from_slice(piece);
    }
    out.extend_from_slice(line_end(text));
}

/// What stands in a frame that one of the encoders above wrote, without its count and its final
/// newline: the payload of a datagram.
#[must_use]
pub fn without_framing(frame: &[u8]) -> &[u8] {
    let content = without_count(frame);
    content.strip_suffix(b"\n").unwrap_or(content)
}

/// What stands in a frame that one of the encoders above wrote: the bytes that its count counts.
pub(in crate::syslog::encode) fn without_count(frame: &[u8]) -> &[u8] {
    let digit_count = frame.iter().take_while(|b| b.is_ascii_digit()).count();
    match frame.get(digit_count..) {
        Some([b' ', content @ ..]) if 0 < digit_count => content,
        _ => frame,
    }
}

/// NILVALUE (RFC 5424, 6).
pub(in crate::syslog::encode) const NIL: &[u8] = b"-";

const NOTHING: &[u8] = b"";

/// Appends `LEN <PRI>1 TIME HOST SOURCE PROC`, `nils`, the text, and a newline unless it ends in
/// one. The header is written where it stands, without a call for each field; what was just written
/// is not read again, which would have to wait for it to reach the cache.
#[inline]
fn write_logplex(message: &impl Fields, host: &[u8], nils: &[u8], out: &mut Vec<u8>) {
    let mut time_room = NO_TIME_TEXT;
    let time = message.time(&mut time_room);
    let (source, procid, text) = (message.app_name(), message.procid(), message.text());
    let begin = begin(message.pri());
    let line_end = line_end(text);
    let fields_bytes = time.len() + host.len() + source.len() + procid.len();
    let header_bytes = begin.len() + fields_bytes + b"   ".len() + nils.len();
    let bytes = header_bytes + text.len() + line_end.len();
    let at = out.len();
    let count_bytes = digits_of(bytes) + b" ".len();
    out.reserve(count_bytes + bytes);
    out.resize(at + count_bytes + header_bytes, 0);
    let behind = out.get_mut(at..).unwrap_or_default();
    let behind = put_number(behind, bytes);
    let behind = put_byte(behind, b' ');
    let behind = put(behind, begin);
    let behind = put(behind, time);
    let behind = put_byte(behind, b' ');
    let behind = put(behind, host);
    let behind = put_byte(behind, b' ');
    let behind = put(behind, source);
    let behind = put_byte(behind, b' ');
    let behind = put(behind, procid);
    let _nothing = put(behind, nils);
    out.extend_from_slice(text);
    out.extend_from_slice(line_end);
}

/// Appends `LEN <PRI>1 `, the pieces, the text, and a newline unless it ends in one.
fn write_frame(pri: Pri, pieces: &[&[u8]], text: &[u8], out: &mut Vec<u8>) {
    let line_end = line_end(text);
    let begin = begin(pri);
    let bytes = begin.len() + bytes_sum(pieces) + text.len() + line_end.len();
    let at = out.len();
    let count_bytes = digits_of(bytes);
    out.reserve(count_bytes + b" ".len() + bytes);
    out.resize(at + count_bytes, 0);
    let _nothing = put_number(out.get_mut(at..).unwrap_or_default(), bytes);
    for piece in [b" ", begin].iter().chain(pieces) {
        out.extend_from_slice(piece);
    }
    out.extend_from_slice(text);
    out.extend_from_slice(line_end);
}

fn bytes_sum(pieces: &[&[u8]]) -> usize {
    pieces.iter().map(|piece| piece.len()).sum()
}

/// What of a line's end the text lacks.
pub(in crate::syslog::encode) fn line_end(text: &[u8]) -> &'static [u8] {
    if text.ends_with(b"\n") {
        NOTHING
    } else {
        b"\n"
    }
}

/// The field cut to `bytes_max` visible ASCII characters, nil when it holds others (RFC 5424, 6).
fn strict_field(field: &[u8], bytes_max: usize) -> &[u8] {
    if field.is_empty() || !field.iter().all(u8::is_ascii_graphic) {
        return NIL;
    }
    field.get(..bytes_max).unwrap_or(field)
}

/// What stands in the field of structured data, what of it stands in front of `text` instead, and
/// what between these.
pub(in crate::syslog::encode) fn strict_sd<'a>(
    sd: &'a [u8],
    text: &[u8],
) -> (&'a [u8], &'a [u8], &'static [u8]) {
    if sd == NIL || sd::is_strict(sd) {
        (sd, NOTHING, NOTHING)
    } else if sd.is_empty() || text.is_empty() {
        (NIL, sd, NOTHING)
    } else {
        (NIL, sd, b" ")
    }
}

/// `<PRI>1 `.
#[inline]
fn begin(pri: Pri) -> &'static [u8] {
    let (text, bytes) = BEGINS.get(usize::from(pri.value())).unwrap_or(&NO_BEGIN);
    text.get(..usize::from(*bytes)).unwrap_or_default()
}

/// A text of `begin` and its length.
type Begin = ([u8; 7], u8);

const NO_BEGIN: Begin = ([0; 7], 0);

/// The texts of `begin` by their PRI.
#[expect(
    clippy::indexing_slicing,
    reason = "computed when this is compiled: a wrong index is an error then"
)]
static BEGINS: [Begin; PRI_MAX as usize + 1] = {
    let mut begins = [NO_BEGIN; PRI_MAX as usize + 1];
    let mut pri = 0;
    while pri <= PRI_MAX {
        let [hundreds, tens, ones] = [b'0' + pri / 100, b'0' + pri / 10 % 10, b'0' + pri % 10];
        begins[pri as usize] = match pri {
            0..=9 => ([b'<', ones, b'>', b'1', b' ', 0, 0], 5),
            10..=99 => ([b'<', tens, ones, b'>', b'1', b' ', 0], 6),
            100.. => ([b'<', hundreds, tens, ones, b'>', b'1', b' '], 7),
        };
        pri += 1;
    }
    begins
};

/// Fuzz target: whatever was parsed comes out framed with a right count, ends in one line end, and
/// in strict form is read back as it was written.
#[cfg(any(test, fuzzing))]
pub fn fuzz_encode(bytes: &[u8]) {
    use crate::syslog::frame::BodyFrames;
    use crate::syslog::parse::parse_any;
    use crate::syslog::parse::parse_rfc5424;

    let arrival = UnixMicros::new(1_353_105_648_123_456);
    let message = parse_any(bytes, b"app", arrival);
    let mut out = Vec::new();
    logplex_http(&message, &mut out);
    logplex_syslog(&message, &DrainToken::random(), &mut out);
    rfc5424(&message, arrival, &mut out);
    rfc5424(&message, arrival, &mut out);
    let frames: Vec<&[u8]> = BodyFrames::new(&out, usize::MAX)
        .map_while(|frame| frame.ok().map(|frame| frame.frame))
        .collect();
    let [_, _, first, second] = frames.as_slice() else {
        panic!("four frames were written, {} read", frames.len());
    };
    assert!(first == second && frames.iter().all(|frame| frame.ends_with(b"\n")));
    let again = parse_rfc5424(first).expect("a strict frame has a header");
    assert_eq!(again.pri, message.pri);
    let (sd, sd_text, gap) = strict_sd(message.sd, message.text);
    let text = [sd_text, gap, message.text, line_end(message.text)].concat();
    assert_eq!((again.sd, again.text), (sd, text.as_slice()));
    assert_eq!(again.procid, strict_field(message.procid, PROCID_BYTES_MAX));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syslog::parse::parse_rfc5424;
    use proptest::prelude::any;
    use proptest::prelude::prop;
    use proptest::proptest;

    /// 2012-11-16T22:40:48.123456Z
    const NOVEMBER: UnixMicros = UnixMicros::new(1_353_105_648_123_456);

    #[track_caller]
    fn check(input: &[u8], http: &[u8], syslog: &[u8], tail: &[u8], strict: &[u8]) {
        let drain: DrainToken = serde_json::from_str("\"d.1\"").unwrap();
        let message = parse_rfc5424(input).unwrap();
        let show = |encode: &dyn Fn(&mut Vec<u8>)| {
            let mut out = Vec::new();
            encode(&mut out);
            out.escape_ascii().to_string()
        };
        assert_eq!(
            show(&|out| logplex_http(&message, out)),
            http.escape_ascii().to_string()
        );
        assert_eq!(
            show(&|out| logplex_syslog(&message, &drain, out)),
            syslog.escape_ascii().to_string()
        );
        assert_eq!(
            show(&|out| tail_line(&message, out)),
            tail.escape_ascii().to_string()
        );
        assert_eq!(
            show(&|out| rfc5424(&message, NOVEMBER, out)),
            strict.escape_ascii().to_string()
        );
    }

    #[test]
    fn each_form() {
        check(
            b"<134>1 2012-12-10T03:00:48Z h app web.1 ID [a@1 x=\"1\"] hello",
            b"51 <134>1 2012-12-10T03:00:48Z host app web.1 - hello\n",
            b"52 <134>1 2012-12-10T03:00:48Z d.1 app web.1 - - hello\n",
            b"2012-12-10T03:00:48Z app[web.1]: hello\n",
            b"61 <134>1 2012-12-10T03:00:48Z h app web.1 ID [a@1 x=\"1\"] hello\n",
        );
    }

    #[test]
    fn every_text_ends_in_one_newline_of_ours_at_most() {
        check(
            b"<0>1 - h a - - - x\n\n",
            b"21 <0>1 - host a - - x\n\n",
            b"22 <0>1 - d.1 a - - - x\n\n",
            b"- a[-]: x\n\n",
            b"20 <0>1 - h a - - - x\n\n",
        );
        check(
            b"<0>1 - h a - - - ",
            b"19 <0>1 - host a - - \n",
            b"20 <0>1 - d.1 a - - - \n",
            b"- a[-]: \n",
            b"18 <0>1 - h a - - - \n",
        );
    }

    #[test]
    fn strict_form_mends_what_is_not_allowed() {
        let long = "f".repeat(255);
        for (input, expected) in [
            (
                "<1>1 garbage h a p m - x".to_owned(),
                "<1>1 2012-11-16T22:40:48.123456+00:00 h a p m - x\n".to_owned(),
            ),
            (
                "<1>1 2012-12-10T03:00:48.123456789-08:00 h a p m - x".to_owned(),
                "<1>1 2012-12-10T03:00:48.123456-08:00 h a p m - x\n".to_owned(),
            ),
            (
                "<1>1 - hé a\x7f p\t m\0 - x".to_owned(),
                "<1>1 - - - - - - x\n".to_owned(),
            ),
            (
                "<1>1 - h a p m [a@1 x=\"1\"][b@1][a@1 y=\"2\"] x".to_owned(),
                "<1>1 - h a p m - [a@1 x=\"1\"][b@1][a@1 y=\"2\"] x\n".to_owned(),
            ),
            (
                "<1>1 - h a p m [a@1][a@1]".to_owned(),
                "<1>1 - h a p m - [a@1][a@1]\n".to_owned(),
            ),
            (
                "<1>1 - h a p m [a@1 x=\"1\" x=\"2\"][b@1] x".to_owned(),
                "<1>1 - h a p m [a@1 x=\"1\" x=\"2\"][b@1] x\n".to_owned(),
            ),
            (
                format!("<1>1 - {long} {long} {long} {long} - x"),
                format!(
                    "<1>1 - {long} {} {} {} - x\n",
                    "f".repeat(48),
                    "f".repeat(128),
                    "f".repeat(32)
                ),
            ),
        ] {
            let mut out = Vec::new();
            rfc5424(
                &parse_rfc5424(input.as_bytes()).unwrap(),
                NOVEMBER,
                &mut out,
            );
            let expected = format!("{} {expected}", expected.len());
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
        let mut out = Vec::new();
        let input = b"<1>1 - h a p m [a@1 x=\"\xff\"] x";
        rfc5424(&parse_rfc5424(input).unwrap(), NOVEMBER, &mut out);
        assert_eq!(out, b"31 <1>1 - h a p m - [a@1 x=\"\xff\"] x\n");
    }

    #[test]
    fn framing_comes_off_again() {
        assert_eq!(
            without_framing(b"20 <0>1 - h a - - - x\n\n"),
            b"<0>1 - h a - - - x\n"
        );
        assert_eq!(without_framing(b"<0>1 x"), b"<0>1 x");
        assert_eq!(without_framing(b""), b"");
    }

    #[test]
    fn every_pri_begins_a_frame() {
        for value in 0..=PRI_MAX.into() {
            let text = format!("<{value}>1 ");
            assert_eq!(begin(Pri::or_default(value)), text.as_bytes());
        }
    }

    #[test]
    fn headers_of_every_length() {
        for bytes in 0..400 {
            let procid = "p".repeat(bytes);
            let message = Message {
                procid: procid.as_bytes(),
                ..parse_rfc5424(b"<7>1 T h a p - - text").unwrap()
            };
            let mut out = Vec::new();
            logplex_http(&message, &mut out);
            let frame = format!("<7>1 T host a {procid} - text\n");
            let expected = format!("{} {frame}", frame.len());
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }

    proptest! {
        #[test]
        fn any_message_comes_back(
            head in "(<[0-9]{1,3}>(1 )?)?((2012-12-10T03:00:48Z|-|[a-z]{1,3}) )?([a-cé]{1,3} ){0,5}((\\[[ab]@1 x=\"1\"\\]){1,3} ?)?",
            text in prop::collection::vec(any::<u8>(), 0..20),
        ) {
            fuzz_encode(&[head.as_bytes(), &text].concat());
        }
    }
}
