//! Cuts frames out of a connection's bytes: octet counting and newlines, told apart frame by frame
//! (RFC 6587, 3.4).
//!
//! What a frame says is not looked at: a line that is no syslog message is a frame too. Bodies of
//! `POST /logs` have a stricter cutter, `BodyFrames`.

use memchr::memchr;

use crate::limits::{FRAME_COUNT_DIGITS_MAX, FRAME_COUNT_MAX};

/// Where a connection stands between two calls. It owns no buffer: whoever reads keeps the bytes
/// and drops what a cut has used. A buffer of `frame_bytes_max + FRAME_PREFIX_BYTES_MAX` bytes is
/// always enough for the next cut.
#[derive(Clone, Debug)]
pub struct Framer {
    frame_bytes_max: usize,
    state: State,
}

/// What stands at the front of the bytes.
#[derive(Debug, Eq, PartialEq)]
pub enum Cut<'a> {
    /// A frame; drop `used` bytes.
    Frame {
        /// The frame without its count, or without its line end.
        frame: &'a [u8],
        /// Bytes to drop, framing included.
        used: usize,
        /// Whether it was kept only up to the limit; the rest is skipped by the next cuts.
        is_truncated: bool,
    },
    /// The first `used` bytes (at least 1) hold nothing: empty lines, NULs, or the rest of a frame
    /// too long. Drop them and go on.
    Skip {
        /// Bytes to drop.
        used: usize,
    },
    /// Half an octet-counted frame at the end of the source; or the begin of a line whose rest is
    /// skipped by the next cuts, since its count is that of no frame, or the count before it was
    /// wrong. Drop `used` bytes and count it.
    Malformed {
        /// Bytes to drop.
        used: usize,
    },
    /// More bytes are needed. From `cut_at_end`: nothing is left.
    Incomplete,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// At the first byte of a frame.
    Start,
    /// Right behind an octet-counted frame. What is no frame here is left over from that one.
    Behind,
    /// Inside a line whose first `searched_bytes` hold no LF: they are not searched again.
    Line { searched_bytes: usize },
    /// Inside an octet-counted frame too long, of which `left_bytes` are to be skipped.
    SkipCounted { left_bytes: usize },
    /// Inside a line too long, to be skipped up to its LF.
    SkipLine,
}

/// How the frame at the front of some bytes is framed.
enum Start {
    Counted {
        prefix_bytes: usize,
        count: usize,
    },
    /// A frame by its looks, but its count is a mistake.
    Miscounted {
        prefix_bytes: usize,
    },
    Line,
    Undecided,
}

impl Framer {
    /// A connection at its start, whose frames are kept up to `frame_bytes_max` bytes.
    #[must_use]
    pub const fn new(frame_bytes_max: usize) -> Self {
        Self {
            frame_bytes_max,
            state: State::Start,
        }
    }

    /// The next frame of `bytes`, which begin where the last cut ended. After `Incomplete` the same
    /// bytes must come again, with more behind them.
    ///
    /// Takes time in proportion to the bytes used, however small the pieces they come in.
    #[inline]
    pub fn cut<'a>(&mut self, bytes: &'a [u8]) -> Cut<'a> {
        if let State::Start | State::Behind = self.state
            && let Some((frame, used)) = whole_frame(bytes)
            && frame.len() <= self.frame_bytes_max
        {
            self.state = State::Behind;
            return Cut::Frame {
                frame,
                used,
                is_truncated: false,
            };
        }
        self.cut_any(bytes)
    }

    fn cut_any<'a>(&mut self, bytes: &'a [u8]) -> Cut<'a> {
        match self.state {
            _ if bytes.is_empty() => Cut::Incomplete,
            State::Start => self.cut_start(bytes),
            State::Behind => self.cut_behind(bytes),
            State::Line { searched_bytes } => self.cut_line(bytes, searched_bytes),
            State::SkipCounted { left_bytes } => {
                let used = left_bytes.min(bytes.len());
                self.state = match left_bytes - used {
                    0 => State::Behind,
                    left_bytes => State::SkipCounted { left_bytes },
                };
                Cut::Skip { used }
            }
            State::SkipLine => match memchr(b'\n', bytes) {
                Some(index) => {
                    self.state = State::Start;
                    Cut::Skip { used: index + 1 }
                }
                None => Cut::Skip { used: bytes.len() },
            },
        }
    }

    /// As `cut`, for the bytes left when the source has ended: a last line without its newline is a
    /// frame, half an octet-counted frame is malformed. Call until `Incomplete`.
    pub fn cut_at_end<'a>(&mut self, bytes: &'a [u8]) -> Cut<'a> {
        match self.cut(bytes) {
            Cut::Incomplete if bytes.is_empty() => Cut::Incomplete,
            Cut::Incomplete => {
                let is_behind = matches!(self.state, State::Behind);
                self.state = State::Start;
                if is_behind || matches!(start(bytes), Start::Counted { .. }) {
                    return Cut::Malformed { used: bytes.len() };
                }
                self.line_frame(bytes, bytes.len())
            }
            cut => cut,
        }
    }

    /// Senders that count one frame count the next, or go on with lines that begin with a PRI. The
    /// rest of a text whose length was too small may hold anything, the sender's token included.
    fn cut_behind<'a>(&mut self, bytes: &'a [u8]) -> Cut<'a> {
        let is_frame = match (start(bytes), bytes) {
            (
                Start::Counted {
                    prefix_bytes,
                    count,
                },
                _,
            ) => return self.cut_counted(bytes, prefix_bytes, count),
            (Start::Undecided, _) | (Start::Line, [b'<']) => return Cut::Incomplete,
            (Start::Miscounted { .. }, _) | (Start::Line, [b'<', b'0'..=b'9', ..]) => true,
            (Start::Line, _) => bytes.first().is_some_and(|&first| is_blank(first)),
        };
        if is_frame {
            self.state = State::Start;
            return self.cut_start(bytes);
        }
        self.state = State::SkipLine;
        Cut::Malformed { used: 1 }
    }

    fn cut_start<'a>(&mut self, bytes: &'a [u8]) -> Cut<'a> {
        let blank_count = bytes.iter().take_while(|&&byte| is_blank(byte)).count();
        if 0 < blank_count {
            return Cut::Skip { used: blank_count };
        }
        match start(bytes) {
            Start::Counted {
                prefix_bytes,
                count,
            } => self.cut_counted(bytes, prefix_bytes, count),
            Start::Miscounted { prefix_bytes } => {
                self.state = State::SkipLine;
                Cut::Malformed { used: prefix_bytes }
            }
            Start::Line => self.cut_line(bytes, 0),
            Start::Undecided => Cut::Incomplete,
        }
    }

    /// A frame too long is given out as soon as the part to keep is there, so that nobody has to
    /// hold all of it.
    fn cut_counted<'a>(&mut self, bytes: &'a [u8], prefix_bytes: usize, count: usize) -> Cut<'a> {
        let kept_bytes = count.min(self.frame_bytes_max);
        let used = prefix_bytes + kept_bytes;
        let Some(frame) = bytes.get(prefix_bytes..used) else {
            return Cut::Incomplete;
        };
        let is_truncated = kept_bytes < count;
        self.state = match count - kept_bytes {
            0 => State::Behind,
            left_bytes => State::SkipCounted { left_bytes },
        };
        Cut::Frame {
            frame,
            used,
            is_truncated,
        }
    }

    fn cut_line<'a>(&mut self, bytes: &'a [u8], searched_bytes: usize) -> Cut<'a> {
        // The longest line that is kept whole ends in CR LF right behind the limit.
        let line_bytes_max = self.frame_bytes_max.saturating_add(2);
        let window = bytes.get(..line_bytes_max).unwrap_or(bytes);
        let unsearched = window.get(searched_bytes..).unwrap_or_default();
        if let Some(index) = memchr(b'\n', unsearched) {
            self.state = State::Start;
            let line_bytes = searched_bytes + index;
            let line = window.get(..line_bytes).unwrap_or_default();
            return self.line_frame(line, line_bytes + 1);
        }
        if window.len() < line_bytes_max {
            self.state = State::Line {
                searched_bytes: window.len(),
            };
            return Cut::Incomplete;
        }
        self.state = State::SkipLine;
        Cut::Frame {
            frame: window.get(..self.frame_bytes_max).unwrap_or_default(),
            used: self.frame_bytes_max,
            is_truncated: true,
        }
    }

    fn line_frame<'a>(&self, line: &'a [u8], used: usize) -> Cut<'a> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let kept = line.get(..self.frame_bytes_max).unwrap_or(line);
        Cut::Frame {
            frame: kept,
            used,
            is_truncated: kept.len() < line.len(),
        }
    }
}

/// Between frames: line ends of empty lines and of frames that were counted without theirs, and the
/// NUL some senders end a message with (RFC 6587, 3.4.2).
const fn is_blank(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r' | 0)
}

/// `LEN SP <` is octet-counted, LEN without leading zero. Digits with anything else behind them are
/// the beginning of a line, such as a date. A LEN too great is believed to be one only in front of
/// what may be a PRI, and then it is not followed: it would swallow the frames behind it.
fn start(bytes: &[u8]) -> Start {
    if !matches!(bytes.first(), Some(b'1'..=b'9')) {
        return Start::Line;
    }
    let (digit_count, count) = count_prefix(bytes);
    let behind = bytes.get(digit_count..).unwrap_or_default();
    match behind {
        _ if FRAME_COUNT_DIGITS_MAX < digit_count => Start::Line,
        [] | [b' '] => Start::Undecided,
        [b' ', b'<', next @ ..] if FRAME_COUNT_MAX < count => match next {
            [] => Start::Undecided,
            [b'0'..=b'9', ..] => Start::Miscounted {
                prefix_bytes: digit_count + 1,
            },
            _ => Start::Line,
        },
        [b' ', b'<', ..] => Start::Counted {
            prefix_bytes: digit_count + 1,
            count,
        },
        _ => Start::Line,
    }
}

/// The octet-counted frame that `bytes` begin with, if all of it is there and its count is as short
/// as nearly all are; and the bytes that it and its count take.
#[inline]
fn whole_frame(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let front = bytes.first_chunk::<{ SHORT_COUNT_DIGITS + 2 }>()?;
    if front.first() == Some(&b'0') {
        return None;
    }
    let mut count = 0;
    let mut digit_count = 0;
    while let Some(byte @ b'0'..=b'9') = front.get(digit_count) {
        count = count * 10 + usize::from(byte - b'0');
        digit_count += 1;
    }
    match front.get(digit_count..) {
        Some([b' ', b'<', ..]) if 0 < digit_count => {}
        _ => return None,
    }
    let end = digit_count + 1 + count;
    Some((bytes.get(digit_count + 1..end)?, end))
}

/// Digits of a count up to 99,999.
const SHORT_COUNT_DIGITS: usize = 5;

/// How many digits `bytes` begin with, and the number they write. Looks at no more than one digit
/// beyond `FRAME_COUNT_DIGITS_MAX`; the number counts only when there are no more than that.
pub(in crate::syslog::frame) fn count_prefix(bytes: &[u8]) -> (usize, usize) {
    bytes
        .iter()
        .take(FRAME_COUNT_DIGITS_MAX + 1)
        .take_while(|byte| byte.is_ascii_digit())
        .fold((0, 0), |(digit_count, number): (usize, usize), byte| {
            let digit = usize::from(byte - b'0');
            (
                digit_count + 1,
                number.saturating_mul(10).saturating_add(digit),
            )
        })
}

/// Fuzz target: the first byte sets the size of the pieces, the rest is a connection's bytes. Cuts
/// must stay inside them, go forward, respect the limit and not depend on the pieces.
#[cfg(any(test, fuzzing))]
pub fn fuzz_frame(bytes: &[u8]) {
    let Some((&first, bytes)) = bytes.split_first() else {
        return;
    };
    let frame_bytes_max = 64;
    let whole = cut_in_pieces(bytes, bytes.len().max(1), frame_bytes_max);
    let pieces = cut_in_pieces(bytes, usize::from(first).max(1), frame_bytes_max);
    assert_eq!(whole, pieces, "frames depend on the pieces they came in");
}

/// Frames (and whether each was truncated) of a connection that delivers `piece_bytes` at a time;
/// `None` stands for something malformed.
#[cfg(any(test, fuzzing))]
fn cut_in_pieces(
    bytes: &[u8],
    piece_bytes: usize,
    frame_bytes_max: usize,
) -> Vec<Option<(Vec<u8>, bool)>> {
    let mut framer = Framer::new(frame_bytes_max);
    let mut frames = Vec::new();
    let mut position = 0;
    let mut arrived_bytes = 0;
    loop {
        let is_end = bytes.len() <= arrived_bytes;
        let rest = bytes.get(position..arrived_bytes).unwrap_or_default();
        let cut = match is_end {
            false => framer.cut(rest),
            true => framer.cut_at_end(rest),
        };
        match cut {
            Cut::Frame {
                frame,
                used,
                is_truncated,
            } => {
                assert!(frame.len() <= frame_bytes_max && 0 < used && used <= rest.len());
                frames.push(Some((frame.to_vec(), is_truncated)));
                position += used;
            }
            Cut::Skip { used } => {
                assert!(0 < used && used <= rest.len());
                position += used;
            }
            Cut::Malformed { used } => {
                assert!(0 < used && used <= rest.len());
                frames.push(None);
                position += used;
            }
            Cut::Incomplete if is_end => return frames,
            Cut::Incomplete => arrived_bytes = (arrived_bytes + piece_bytes).min(bytes.len()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::Just;
    use proptest::prelude::Strategy;
    use proptest::prelude::any;
    use proptest::prelude::prop;
    use proptest::prop_assert_eq;
    use proptest::prop_oneof;
    use proptest::proptest;

    const LIMIT: usize = 8;

    /// Frames as text, a truncated one with `~` behind it, a malformed one as `!`; the same for
    /// every size of pieces.
    #[track_caller]
    fn check(input: &[u8], expected: &[&str]) {
        for piece_bytes in 1..=input.len().max(1) {
            let frames: Vec<String> = cut_in_pieces(input, piece_bytes, LIMIT)
                .into_iter()
                .map(|frame| match frame {
                    None => "!".to_owned(),
                    Some((frame, false)) => String::from_utf8(frame).unwrap(),
                    Some((frame, true)) => String::from_utf8(frame).unwrap() + "~",
                })
                .collect();
            assert_eq!(frames, expected, "in pieces of {piece_bytes}");
        }
    }

    #[test]
    fn both_framings_are_told_apart_frame_by_frame() {
        check(b"", &[]);
        check(b"3 <1>4 <2>a", &["<1>", "<2>a"]);
        check(b"<1>a\n<2>b\r\n", &["<1>a", "<2>b"]);
        check(b"3 <1><2>b\n4 <3>c\nx", &["<1>", "<2>b", "<3>c", "x"]);
        check(b"5 <1>\n\n3 <2>", &["<1>\n\n", "<2>"]);
    }

    #[test]
    fn what_lies_between_frames_is_skipped() {
        check(b"\n\r\n\0\r3 <1>\n\0\n3 <2>\r\n", &["<1>", "<2>"]);
        check(b"a\n\n\0\nb\n", &["a", "b"]);
    }

    #[test]
    fn digits_without_a_pri_are_a_line() {
        check(b"3 men\n3 <1>", &["3 men", "<1>"]);
        check(b"2026-01\n", &["2026-01"]);
        check(b"03 <1>\n3 <2>", &["03 <1>", "<2>"]);
        check(b"0 <1>\n", &["0 <1>"]);
        check(b"12\n3\r\n4 \n", &["12", "3", "4 "]);
        check(b"123456789 x", &["12345678~"]);
        check(b"99999999 <a>\n3 <1>", &["99999999~", "<1>"]);
        check(b"99999999 <", &["99999999~"]);
        check(b"123456789012345678901 <1>\n3 <1>", &["12345678~", "<1>"]);
    }

    #[test]
    fn a_counted_frame_too_long_is_skipped_by_its_count() {
        check(b"8 <1>45678\n", &["<1>45678"]);
        check(b"9 <1>4567893 <2>", &["<1>45678~", "<2>"]);
        check(b"12 <1>45678\n\n1\n3 <2>", &["<1>45678~", "<2>"]);
    }

    #[test]
    fn a_line_too_long_is_skipped_to_its_end() {
        check(b"12345678\n1\n", &["12345678", "1"]);
        check(b"12345678\r\n1\n", &["12345678", "1"]);
        check(b"a2345678\r", &["a2345678"]);
        check(b"a23456789\na\n", &["a2345678~", "a"]);
        check(b"a23456789\r\na\n", &["a2345678~", "a"]);
        check(b"a23456789abcdefghi\na\n", &["a2345678~", "a"]);
        check(b"a2345678\r\ra\n3 <1>", &["a2345678~", "<1>"]);
        check(b"a23456789", &["a2345678~"]);
    }

    #[test]
    fn a_wrong_length_resynchronises_at_the_next_newline() {
        check(b"4 <1>abc\n4 <2>d", &["<1>a", "!", "<2>d"]);
        check(b"4 <1>a3 men\n4 <2>d", &["<1>a", "!", "<2>d"]);
        check(b"4 <1>a<b>\n4 <2>d", &["<1>a", "!", "<2>d"]);
        check(b"4 <1>a\nbc\n4 <2>d", &["<1>a", "bc", "<2>d"]);
        check(b"6 <1>a4 <2>b\n4 <3>c", &["<1>a4 ", "<2>b", "<3>c"]);
        check(b"9 <1>45678bcd\n4 <2>d", &["<1>45678~", "!", "<2>d"]);
        check(b"4 <1>abc", &["<1>a", "!"]);
        check(b"4 <1>a12", &["<1>a", "!"]);
        check(b"4 <1>a<", &["<1>a", "!"]);
    }

    #[test]
    fn a_count_beyond_any_frame_is_not_followed() {
        check(b"16777217 <1>a\n3 <2>", &["!", "<2>"]);
        check(b"999999999 <1>abcdefghijkl\n<2>b\n", &["!", "<2>b"]);
        check(b"1234567890 <1>\n3 <1>", &["!", "<1>"]);
        check(b"18446744073709551617 <1>a", &["!"]);
        check(b"16777216 <1>abcdefghijkl\n3 <2>", &["<1>abcde~"]);
    }

    #[test]
    fn the_end_of_the_source_ends_a_line_and_breaks_a_count() {
        check(b"abc", &["abc"]);
        check(b"12", &["12"]);
        check(b"12 ", &["12 "]);
        check(b"5 <1>", &["!"]);
        check(b"3 <1>5 <", &["<1>", "!"]);
        check(b"20 <1>4567", &["!"]);
        check(b"20 <1>45678", &["<1>45678~"]);
    }

    #[test]
    fn a_line_is_searched_once_however_it_arrives() {
        let line = [b'a'; 100];
        let mut framer = Framer::new(1000);
        for arrived_bytes in 1..=line.len() {
            assert_eq!(framer.cut(&line[..arrived_bytes]), Cut::Incomplete);
            let State::Line { searched_bytes } = framer.state else {
                panic!("not in a line");
            };
            assert_eq!(searched_bytes, arrived_bytes);
        }
    }

    fn wire() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            Just(b"\n".to_vec()),
            Just(b"\r\n".to_vec()),
            Just(b"\0".to_vec()),
            Just(b" ".to_vec()),
            "[0-9]{1,11}".prop_map(String::into_bytes),
            "[1-9]{1,2} <".prop_map(String::into_bytes),
            "<[0-9]{1,3}>1 [a-z]{0,100}".prop_map(String::into_bytes),
            prop::collection::vec(any::<u8>(), 0..4),
            "[a-z]{0,100}".prop_map(|text| format!("{} <{text}", text.len() + 1).into_bytes()),
        ];
        prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn pieces_do_not_change_the_frames(bytes in wire(), piece_bytes in any::<u8>()) {
            let mut input = vec![piece_bytes];
            input.extend_from_slice(&bytes);
            fuzz_frame(&input);
        }

        #[test]
        fn what_is_counted_comes_out(texts in prop::collection::vec("[^\\PC]{0,40}|\n|[0-9]", 0..9)) {
            let frames: Vec<String> = texts.iter().map(|text| format!("<1>{text}")).collect();
            let wire: String = frames.iter().map(|f| format!("{} {f}", f.len())).collect();
            let expected: Vec<_> = frames.into_iter().map(|f| Some((f.into_bytes(), false))).collect();
            prop_assert_eq!(cut_in_pieces(wire.as_bytes(), 7, 1000), expected);
        }
    }
}
