//! Messages for receivers that do not take any bytes: mended, and in frames of a bounded length.
//!
//! The frames themselves are written by the encoders of `frames`; what is already as it should be
//! is not copied for them.

use std::borrow::Cow;

use memchr::memchr2;

use crate::clock::UnixMicros;
use crate::id::DrainToken;
use crate::syslog::encode::frames;
use crate::syslog::message::Message;
use crate::syslog::message::NO_TIME_TEXT;
use crate::syslog::message::Timestamp;
use crate::syslog::split::Split;
use crate::syslog::split::whole_characters;
use crate::syslog::timestamp;

/// Which encoder writes the frames.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Form {
    /// `logplex_http`.
    LogplexHttp,
    /// `logplex_syslog`.
    LogplexSyslog,
    /// `rfc5424`.
    Rfc5424,
}

/// What is mended in each message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Mending {
    /// How the frames are written.
    pub form: Form,
    /// A frame is one line with something in it: each `\n` but the last byte and each `\r` is
    /// written `#012` and `#015`, as rsyslog has them; an empty text is a space.
    pub is_newline_escaped: bool,
    /// The text is UTF-8: U+FFFD stands for each run of bytes that is none.
    pub is_utf8_replaced: bool,
    /// TIMESTAMP is in UTC with `+00:00`, in microseconds; the arrival where there was no time.
    pub is_time_normal: bool,
    /// Most bytes of a frame, its newline included, its count not. A longer text goes on in a
    /// further frame with the same header; `…` is where it was cut.
    pub frame_bytes_max: Option<usize>,
}

impl Mending {
    /// Appends `message`; says in how many frames.
    ///
    /// In fields of the header a `?` stands for each byte that may not be there, so that they stay
    /// as short as they were. Structured data that takes more than half of a frame to be split is
    /// the text's beginning.
    pub fn encode(
        &self,
        message: &Message<'_>,
        arrival: UnixMicros,
        drain: &DrainToken,
        out: &mut Vec<u8>,
    ) -> u64 {
        let mut room = NO_TIME_TEXT;
        let time = self.field(message.timestamp.text(&mut room));
        let timestamp = if self.is_time_normal {
            timestamp::normal(&time).unwrap_or_else(|| timestamp::in_micros(arrival))
        } else {
            Timestamp::Given(&time)
        };
        let (sd, text) = self.sd_and_text(message);
        let text = self.text(&text);
        let mended = Message {
            timestamp,
            app_name: &self.field(message.app_name),
            procid: &self.field(message.procid),
            sd: &sd,
            text: &text,
            ..*message
        };
        let write = |message: &Message<'_>, out: &mut Vec<u8>| match self.form {
            Form::LogplexHttp => frames::logplex_http(message, out),
            Form::LogplexSyslog => frames::logplex_syslog(message, drain, out),
            Form::Rfc5424 => frames::rfc5424(message, arrival, out),
        };
        let before = out.len();
        write(&mended, out);
        let bytes = frames::without_count(out.get(before..).unwrap_or_default()).len();
        match self.frame_bytes_max {
            Some(bytes_max) if bytes_max < bytes => {
                out.truncate(before);
                let header_bytes = bytes - mended.text.len() - frames::line_end(mended.text).len();
                self.split(&mended, header_bytes, bytes_max, |part| write(part, out))
            }
            _ => 1,
        }
    }

    /// The structured data that the form shows, and the text with what else there was of it.
    fn sd_and_text<'m>(&self, message: &Message<'m>) -> (Cow<'m, [u8]>, Cow<'m, [u8]>) {
        let text = Cow::Borrowed(message.text);
        if self.form != Form::Rfc5424 {
            return (Cow::Borrowed(frames::NIL), text);
        }
        match frames::strict_sd(message.sd, message.text) {
            // Line ends stand in values only, where any characters may.
            (sd, b"", _) if self.is_newline_escaped => (escaped(sd), text),
            (sd, b"", _) => (Cow::Borrowed(sd), text),
            (nil, sd_text, gap) => {
                let text = [sd_text, gap, message.text].concat();
                (Cow::Borrowed(nil), Cow::Owned(text))
            }
        }
    }

    fn text<'t>(&self, text: &'t [u8]) -> Cow<'t, [u8]> {
        let text = match self.is_utf8_replaced {
            true => with_utf8(text),
            false => Cow::Borrowed(text),
        };
        match text {
            text if !self.is_newline_escaped => text,
            Cow::Borrowed(text) => one_line(text),
            Cow::Owned(text) => Cow::Owned(one_line(&text).into_owned()),
        }
    }

    fn field<'f>(&self, field: &'f [u8]) -> Cow<'f, [u8]> {
        if field.iter().all(u8::is_ascii_graphic) {
            return Cow::Borrowed(field);
        }
        let mut mended = Vec::with_capacity(field.len());
        for chunk in field.utf8_chunks() {
            mended.extend(chunk.valid().bytes().map(|byte| match byte {
                b'\n' | b'\r' if self.is_newline_escaped => b'?',
                _ => byte,
            }));
            mended.extend(chunk.invalid().iter().map(|byte| match byte {
                _ if self.is_utf8_replaced => b'?',
                _ => *byte,
            }));
        }
        Cow::Owned(mended)
    }

    /// Gives `write` the parts of `message`, whose header takes `header_bytes`; says how many.
    fn split(
        &self,
        message: &Message<'_>,
        header_bytes: usize,
        bytes_max: usize,
        mut write: impl FnMut(&Message<'_>),
    ) -> u64 {
        let room = bytes_max.saturating_sub(header_bytes + b"\n".len());
        if room < bytes_max / 2 && message.sd != frames::NIL {
            let sd_bytes = message.sd.len();
            let text = [message.sd, b" ", message.text].concat();
            let message = Message {
                sd: frames::NIL,
                text: &text,
                ..*message
            };
            let header_bytes = header_bytes + frames::NIL.len() - sd_bytes;
            return self.split(&message, header_bytes, bytes_max, write);
        }
        let mark = Split::Marked.mark();
        let (mut rest, end) = match message.text.strip_suffix(b"\n") {
            Some(line) => (line, &b"\n"[..]),
            None => (message.text, &b""[..]),
        };
        let mut count = 0;
        let mut part = Vec::with_capacity(room + end.len());
        loop {
            part.clear();
            part.extend_from_slice(if count == 0 { b"" } else { mark });
            let room = room.saturating_sub(part.len());
            let is_last = rest.len() <= room;
            let bytes = match is_last {
                true => rest.len(),
                false => self.cut(rest, room.saturating_sub(mark.len()).max(1)),
            };
            let (here, behind) = rest.split_at_checked(bytes).unwrap_or((rest, b""));
            part.extend_from_slice(here);
            part.extend_from_slice(if is_last { end } else { mark });
            write(&Message {
                text: &part,
                ..*message
            });
            count += 1;
            if is_last {
                return count;
            }
            rest = behind;
        }
    }

    /// Where to cut `text`, at `bytes_max` at most: in no character, and in nothing escaped.
    fn cut(&self, text: &[u8], bytes_max: usize) -> usize {
        let at = whole_characters(text, bytes_max);
        if !self.is_newline_escaped {
            return at;
        }
        let is_escape = |from: usize| {
            let escape = text.get(from..from + LINE_FEED.len());
            escape == Some(LINE_FEED) || escape == Some(CARRIAGE_RETURN)
        };
        let inside = at.saturating_sub(LINE_FEED.len() - 1).max(1)..at;
        inside.rev().find(|&from| is_escape(from)).unwrap_or(at)
    }
}

const LINE_FEED: &[u8] = b"#012";
const CARRIAGE_RETURN: &[u8] = b"#015";

fn with_utf8(text: &[u8]) -> Cow<'_, [u8]> {
    match String::from_utf8_lossy(text) {
        Cow::Borrowed(_) => Cow::Borrowed(text),
        Cow::Owned(replaced) => Cow::Owned(replaced.into_bytes()),
    }
}

/// A line's text without its end, and with something in it.
fn one_line(text: &[u8]) -> Cow<'_, [u8]> {
    match text.strip_suffix(b"\n").unwrap_or(text) {
        b"" => Cow::Borrowed(b" "),
        line => escaped(line),
    }
}

fn escaped(text: &[u8]) -> Cow<'_, [u8]> {
    let Some(first) = memchr2(b'\n', b'\r', text) else {
        return Cow::Borrowed(text);
    };
    let (clean, rest) = text.split_at_checked(first).unwrap_or((text, b""));
    let mut escaped = Vec::with_capacity(text.len() + 16 * LINE_FEED.len());
    escaped.extend_from_slice(clean);
    for &byte in rest {
        match byte {
            b'\n' => escaped.extend_from_slice(LINE_FEED),
            b'\r' => escaped.extend_from_slice(CARRIAGE_RETURN),
            _ => escaped.push(byte),
        }
    }
    Cow::Owned(escaped)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::DRAIN_FRAME_BYTES_LIMIT_MIN;
    use crate::limits::FIELD_BYTES_MAX;
    use crate::syslog::frame::BodyFrames;
    use crate::syslog::parse::parse_any;
    use crate::syslog::parse::parse_rfc5424;
    use proptest::prelude::Strategy;
    use proptest::prelude::any;
    use proptest::prelude::prop;
    use proptest::prop_oneof;
    use proptest::proptest;

    /// 2012-11-16T22:40:48.123456Z
    const NOVEMBER: UnixMicros = UnixMicros::new(1_353_105_648_123_456);

    const OFF: Mending = Mending {
        form: Form::LogplexHttp,
        is_newline_escaped: false,
        is_utf8_replaced: false,
        is_time_normal: false,
        frame_bytes_max: None,
    };

    const FORMS: [Form; 3] = [Form::LogplexHttp, Form::LogplexSyslog, Form::Rfc5424];

    fn drain() -> DrainToken {
        serde_json::from_str("\"d.1\"").unwrap()
    }

    /// The frames of `message`, without their counts; their number is what is said.
    fn frames(mending: Mending, message: &Message<'_>) -> Vec<Vec<u8>> {
        let mut out = b"before".to_vec();
        let count = mending.encode(message, NOVEMBER, &drain(), &mut out);
        let body = out.strip_prefix(b"before").unwrap();
        let frames: Vec<_> = BodyFrames::new(body, usize::MAX)
            .map(|frame| frame.unwrap().frame.to_vec())
            .collect();
        assert_eq!(frames.len() as u64, count);
        let again: Vec<u8> = frames
            .iter()
            .flat_map(|frame| [format!("{} ", frame.len()).as_bytes(), frame].concat())
            .collect();
        assert_eq!(again, body, "the counts are right");
        frames
    }

    #[track_caller]
    fn check(mending: Mending, input: &[u8], expected: &[&[u8]]) {
        let message = parse_rfc5424(input).unwrap();
        let show = |frames: &[Vec<u8>]| -> Vec<String> {
            frames
                .iter()
                .map(|f| f.escape_ascii().to_string())
                .collect()
        };
        let expected: Vec<_> = expected.iter().map(|frame| frame.to_vec()).collect();
        assert_eq!(show(&frames(mending, &message)), show(&expected));
    }

    #[test]
    fn a_frame_becomes_one_line() {
        let lines = Mending {
            is_newline_escaped: true,
            ..OFF
        };
        for (text, expected) in [
            ("one", "one"),
            ("one\n", "one"),
            ("one\ntwo\r\n\n", "one#012two#015#012"),
            ("\none", "#012one"),
            ("", " "),
            ("\n", " "),
            ("\n\n", "#012"),
            ("#012", "#012"),
        ] {
            let input = format!("<1>1 - h a p - - {text}");
            let expected = format!("<1>1 - host a p - {expected}\n");
            check(lines, input.as_bytes(), &[expected.as_bytes()]);
        }
        check(
            lines,
            b"<1>1 x\ny h a p\r\nq - - t",
            &[b"<1>1 x?y host a p??q - t\n"],
        );
        check(
            Mending {
                form: Form::Rfc5424,
                ..lines
            },
            b"<1>1 - h a p m [a@1 x=\"1\n2\"] t",
            &[b"<1>1 - h a p m [a@1 x=\"1#0122\"] t\n"],
        );
    }

    #[test]
    fn what_is_no_utf8_is_replaced() {
        let utf8 = Mending {
            is_utf8_replaced: true,
            ..OFF
        };
        check(
            utf8,
            b"<1>1 - h a p\xff\xe2\x82q - - \xff\xfe \xe2\x82 z\xc3\xb3\n\n",
            &["<1>1 - host a p???q - \u{fffd}\u{fffd} \u{fffd} zó\n\n".as_bytes()],
        );
        check(
            Mending {
                form: Form::Rfc5424,
                ..utf8
            },
            b"<1>1 - h a p m [a@1 x=\"\xff\"] t",
            &["<1>1 - h a p m - [a@1 x=\"\u{fffd}\"] t\n".as_bytes()],
        );
    }

    #[test]
    fn times_become_normal() {
        let normal = Mending {
            is_time_normal: true,
            ..OFF
        };
        for (time, expected) in [
            ("2012-12-10T03:00:48Z", "2012-12-10T03:00:48.000000+00:00"),
            (
                "2012-12-10T03:00:48.5-08:00",
                "2012-12-10T11:00:48.500000+00:00",
            ),
            ("-", "2012-11-16T22:40:48.123456+00:00"),
            ("yesterday", "2012-11-16T22:40:48.123456+00:00"),
        ] {
            let input = format!("<1>1 {time} h a p - - t");
            let expected = format!("<1>1 {expected} host a p - t\n");
            check(normal, input.as_bytes(), &[expected.as_bytes()]);
        }
        let made = Message {
            timestamp: timestamp::in_seconds(NOVEMBER),
            ..parse_rfc5424(b"<1>1 - h a p - - t").unwrap()
        };
        let expected = b"<1>1 2012-11-16T22:40:48.000000+00:00 host a p - t\n";
        assert_eq!(frames(normal, &made), [expected.to_vec()]);
    }

    #[test]
    fn a_long_text_goes_on_in_further_frames() {
        let short = |form, is_newline_escaped| Mending {
            form,
            is_newline_escaped,
            frame_bytes_max: Some(1_024),
            ..OFF
        };
        let header = "<1>1 - host a p - ";
        let room = 1_024 - header.len() - 1;
        let texts = |form, is_newline_escaped, text: &str| -> Vec<String> {
            let input = format!("<1>1 - h a p - - {text}");
            let message = parse_rfc5424(input.as_bytes()).unwrap();
            frames(short(form, is_newline_escaped), &message)
                .into_iter()
                .map(|frame| {
                    assert!(frame.len() <= 1_024);
                    String::from_utf8(frame[header.len()..].to_vec()).unwrap()
                })
                .collect()
        };
        let http = Form::LogplexHttp;
        let whole = "x".repeat(room);
        assert_eq!(texts(http, false, &whole), [format!("{whole}\n")]);
        let whole = whole + "\n";
        assert_eq!(texts(http, false, &whole), std::slice::from_ref(&whole));
        assert_eq!(
            texts(http, false, &"x".repeat(room + 1)),
            [format!("{}…\n", "x".repeat(room - 3)), "…xxxx\n".to_owned()]
        );
        assert_eq!(
            texts(http, false, &"é".repeat(room)),
            [
                format!("{}…\n", "é".repeat((room - 3) / 2)),
                format!("…{}…\n", "é".repeat((room - 6) / 2)),
                format!("…{}\n", "é".repeat(room - (room - 3) / 2 - (room - 6) / 2)),
            ]
        );
        let before = "x".repeat(room - 5);
        assert_eq!(
            texts(http, true, &format!("{before}\nyyyy")),
            [format!("{before}…\n"), "…#012yyyy\n".to_owned()],
            "not in the middle of what is escaped"
        );
        assert_eq!(
            texts(http, false, &format!("{whole}y\n\n")).last().unwrap(),
            "…xxx\ny\n\n"
        );
    }

    #[test]
    fn long_structured_data_is_the_beginning_of_the_text() {
        let short = Mending {
            form: Form::Rfc5424,
            frame_bytes_max: Some(1_024),
            ..OFF
        };
        let split = |value_bytes: usize| {
            let sd = format!("[a@1 x=\"{}\"]", "v".repeat(value_bytes));
            let input = format!("<1>1 - h a p m {sd} {}", "t".repeat(1_000));
            frames(short, &parse_rfc5424(input.as_bytes()).unwrap())
        };
        for frame in split(400) {
            assert!(frame.starts_with(b"<1>1 - h a p m [a@1 x=\"v"));
        }
        let [first, second] = &split(600)[..] else {
            panic!("two frames");
        };
        assert!(first.starts_with(b"<1>1 - h a p m - [a@1 x=\"v"));
        assert!(second.starts_with("<1>1 - h a p m - …t".as_bytes()));
        assert!(split(4_000).iter().all(|frame| frame.len() <= 1_024));
    }

    #[test]
    fn the_longest_headers_leave_room() {
        let field = "f".repeat(FIELD_BYTES_MAX);
        let input = format!("<191>1 {field} {field} {field} {field} {field} - {field}{field}");
        let message = parse_rfc5424(input.as_bytes()).unwrap();
        for form in FORMS {
            let mending = Mending {
                form,
                frame_bytes_max: Some(DRAIN_FRAME_BYTES_LIMIT_MIN),
                ..OFF
            };
            let frames = frames(mending, &message);
            assert!(frames.len() < 10, "{form:?}: {}", frames.len());
            assert!(frames.iter().all(|frame| frame.len() <= 1_024), "{form:?}");
        }
    }

    fn mending() -> impl Strategy<Value = Mending> {
        let frame_bytes_max = prop::option::of(DRAIN_FRAME_BYTES_LIMIT_MIN..4_000_usize);
        let bools = (any::<bool>(), any::<bool>(), any::<bool>());
        (0..FORMS.len(), bools, frame_bytes_max).prop_map(|(form, bools, frame_bytes_max)| {
            let (is_newline_escaped, is_utf8_replaced, is_time_normal) = bools;
            Mending {
                form: FORMS[form],
                is_newline_escaped,
                is_utf8_replaced,
                is_time_normal,
                frame_bytes_max,
            }
        })
    }

    /// Bytes of all kinds, some of them again and again.
    fn text() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![
            any::<u8>(),
            9..14_u8,
            97..100_u8,
            0xe2..0xe3_u8,
            0x80..0x83_u8
        ];
        let piece = prop_oneof![
            3 => byte.prop_map(|byte| vec![byte]),
            1 => "#012|#015|…|é".prop_map(String::into_bytes),
        ];
        let pieces = prop::collection::vec(piece, 0..40);
        (pieces, prop_oneof![1..2_usize, 1..200_usize])
            .prop_map(|(pieces, times)| pieces.concat().repeat(times))
    }

    proptest! {
        /// Each option keeps its promise, whatever comes and however it is combined.
        #[test]
        fn any_message_is_mended(
            mending in mending(),
            head in "<[0-9]{1,3}>1 (2012-12-10T03:00:48Z|-|[a-z\n]{1,3}) ([a-cé\r\n]{1,3} ){4}((\\[[ab]@1 x=\"[a\n]{0,9}\"\\]){1,3} |- )?",
            noise in prop::collection::vec(any::<u8>(), 0..6),
            text in text(),
        ) {
            let input = [head.as_bytes(), &text].concat();
            let noisy = [&head.as_bytes()[..head.len() / 2], &noise, &input[head.len() / 2..]].concat();
            for input in [input, noisy] {
                let message = parse_any(&input, b"app", NOVEMBER);
                let frames = frames(mending, &message);
                for frame in &frames {
                    assert!(frame.ends_with(b"\n"));
                    assert!(mending.frame_bytes_max.is_none_or(|max| frame.len() <= max));
                    if mending.is_utf8_replaced {
                        std::str::from_utf8(frame).unwrap();
                    }
                    if mending.is_newline_escaped {
                        let line = frame.strip_suffix(b"\n").unwrap();
                        assert!(!line.contains(&b'\n') && !line.contains(&b'\r'));
                    }
                    if mending.is_time_normal {
                        let time = frame.split(|&byte| byte == b' ').nth(1).unwrap();
                        assert!(time.ends_with(b"+00:00") && time.len() == 32);
                    }
                }
            }
        }

        /// Nothing is lost where a text is cut.
        #[test]
        fn parts_make_the_text(
            form in 0..FORMS.len(),
            text in "[a-cé\n]{0,40}",
            times in 0..100_usize,
            frame_bytes_max in 1_024..2_000_usize,
        ) {
            let text = text.repeat(times);
            let input = format!("<1>1 - h a p - - {text}");
            let message = parse_rfc5424(input.as_bytes()).unwrap();
            let whole = Mending { form: FORMS[form], ..OFF };
            let [expected] = &frames(whole, &message)[..] else { panic!("one frame") };
            let parts = frames(Mending { frame_bytes_max: Some(frame_bytes_max), ..whole }, &message);
            let header_bytes = expected.len() - text.len() - usize::from(!text.ends_with('\n'));
            let mut joined = expected[..header_bytes].to_vec();
            let last = parts.len() - 1;
            for (index, part) in parts.iter().enumerate() {
                let mut part = part.strip_prefix(&expected[..header_bytes]).unwrap();
                if 0 < index {
                    part = part.strip_prefix("…".as_bytes()).unwrap();
                }
                if index < last {
                    part = part.strip_suffix("…\n".as_bytes()).unwrap();
                }
                joined.extend_from_slice(part);
            }
            assert_eq!(&joined, expected);
        }

        /// What was mended needs no mending.
        #[test]
        fn mending_twice_is_mending_once(mending in mending(), text in text()) {
            let mending = Mending { form: Form::Rfc5424, ..mending };
            let input = [b"<1>1 2012-12-10T03:00:48Z h a p m - ", text.as_slice()].concat();
            let message = parse_rfc5424(&input).unwrap();
            for frame in frames(mending, &message) {
                let again = parse_rfc5424(&frame).unwrap();
                assert_eq!(frames(mending, &again), std::slice::from_ref(&frame));
            }
        }
    }
}
