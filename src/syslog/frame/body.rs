//! Cuts frames out of the body of `POST /logs` (`application/logplex-1`): octet-counted frames, one
//! behind the other, and nothing else.

use crate::limits::{FRAME_COUNT_DIGITS_MAX, FRAME_COUNT_MAX};
use crate::syslog::frame::connection::count_prefix;

/// The frames of a body, in order. The first error ends them: what follows cannot be trusted.
///
/// Unlike on a connection a count is a count whatever follows it (`5 hello` is a frame), and
/// nothing may stand between frames: log-shuttle counts each message's newline.
#[derive(Clone, Debug)]
pub struct BodyFrames<'a> {
    body: &'a [u8],
    frame_bytes_max: usize,
    /// Invariant: at most `body.len()`; equal to it when the frames are over.
    position: usize,
}

/// One frame of a body.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct BodyFrame<'a> {
    /// The frame without its count.
    pub frame: &'a [u8],
    /// Whether it was kept only up to the limit.
    pub is_truncated: bool,
}

/// Why a body holds no further frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BodyError {
    /// Bytes at `offset` are no octet count.
    #[error("the bytes at offset {offset} are no octet count")]
    Malformed {
        /// Where the count should stand.
        offset: usize,
    },
    /// The body ends inside the frame that starts at `offset`.
    #[error("the body ends inside the frame at offset {offset}")]
    Incomplete {
        /// Where the frame's count stands.
        offset: usize,
    },
}

impl<'a> BodyFrames<'a> {
    /// The frames of `body`, each kept up to `frame_bytes_max` bytes.
    #[must_use]
    pub const fn new(body: &'a [u8], frame_bytes_max: usize) -> Self {
        Self {
            body,
            frame_bytes_max,
            position: 0,
        }
    }

    fn cut(&mut self) -> Result<BodyFrame<'a>, BodyError> {
        let offset = self.position;
        self.position = self.body.len();
        let rest = self.body.get(offset..).unwrap_or_default();
        if !matches!(rest.first(), Some(b'1'..=b'9')) {
            return Err(BodyError::Malformed { offset });
        }
        let (digit_count, count) = short_count(rest).unwrap_or_else(|| count_prefix(rest));
        match rest.get(digit_count) {
            _ if FRAME_COUNT_DIGITS_MAX < digit_count || FRAME_COUNT_MAX < count => {
                return Err(BodyError::Malformed { offset });
            }
            Some(b' ') => {}
            Some(_) => return Err(BodyError::Malformed { offset }),
            None => return Err(BodyError::Incomplete { offset }),
        }
        let prefix_bytes = digit_count + 1;
        let Some(frame) = rest.get(prefix_bytes..prefix_bytes + count) else {
            return Err(BodyError::Incomplete { offset });
        };
        self.position = offset + prefix_bytes + count;
        let kept = frame.get(..self.frame_bytes_max).unwrap_or(frame);
        Ok(BodyFrame {
            frame: kept,
            is_truncated: kept.len() < frame.len(),
        })
    }
}

impl<'a> Iterator for BodyFrames<'a> {
    type Item = Result<BodyFrame<'a>, BodyError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        (self.position < self.body.len()).then(|| self.cut())
    }
}

/// The same as `count_prefix` for counts as short as nearly all are, and in a few instructions.
#[inline]
fn short_count(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut count = 0;
    for (digit_count, byte) in bytes.iter().take(SHORT_COUNT_DIGITS + 1).enumerate() {
        match byte {
            b'0'..=b'9' => count = count * 10 + usize::from(byte - b'0'),
            _ => return Some((digit_count, count)),
        }
    }
    None
}

/// Digits of a count up to 9,999.
const SHORT_COUNT_DIGITS: usize = 4;

/// Fuzz target: frames are inside the body, in order, within the limit, and end.
#[cfg(any(test, fuzzing))]
pub fn fuzz_body(bytes: &[u8]) {
    let frame_bytes_max = 64;
    let mut kept_bytes = 0;
    for frame in BodyFrames::new(bytes, frame_bytes_max) {
        match frame {
            Ok(BodyFrame { frame, .. }) => {
                assert!(frame.len() <= frame_bytes_max);
                kept_bytes += frame.len() + 2;
            }
            Err(BodyError::Malformed { offset } | BodyError::Incomplete { offset }) => {
                assert!(kept_bytes <= offset && offset < bytes.len());
            }
        }
    }
    assert!(kept_bytes <= bytes.len());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::any;
    use proptest::prelude::prop;
    use proptest::prop_assert_eq;
    use proptest::proptest;

    /// Frames as text, `~` behind a truncated one; then the error, if any.
    #[track_caller]
    fn check(body: &[u8], expected: &[&str], error: Option<BodyError>) {
        let mut texts = Vec::new();
        let mut seen = None;
        for frame in BodyFrames::new(body, 8) {
            assert_eq!(seen, None, "nothing follows an error");
            match frame {
                Ok(BodyFrame {
                    frame,
                    is_truncated,
                }) => texts.push(
                    String::from_utf8(frame.to_vec()).unwrap()
                        + if is_truncated { "~" } else { "" },
                ),
                Err(error) => seen = Some(error),
            }
        }
        assert_eq!(texts, expected);
        assert_eq!(seen, error);
    }

    fn malformed(offset: usize) -> Option<BodyError> {
        Some(BodyError::Malformed { offset })
    }

    fn incomplete(offset: usize) -> Option<BodyError> {
        Some(BodyError::Incomplete { offset })
    }

    #[test]
    fn frames_follow_each_other() {
        check(b"", &[], None);
        check(b"5 hello", &["hello"], None);
        check(b"5 hello3 <1>", &["hello", "<1>"], None);
        check(b"6 hello\n3 \n\n\n", &["hello\n", "\n\n\n"], None);
        check(b"8 12345678", &["12345678"], None);
        check(b"9 1234567892 ab", &["12345678~", "ab"], None);
    }

    #[test]
    fn other_bytes_are_malformed() {
        check(b"<1>\n", &[], malformed(0));
        check(b"\n", &[], malformed(0));
        check(b"03 abc", &[], malformed(0));
        check(b"0 ", &[], malformed(0));
        check(b"1a a", &[], malformed(0));
        check(b"3 abc\n3 abc", &["abc"], malformed(5));
        check(b"3 abcgarbage\n", &["abc"], malformed(5));
        check(b"1234567890 abc", &[], malformed(0));
        check(b"1234567890", &[], malformed(0));
        check(b"16777217 abc", &[], malformed(0));
        check(b"18446744073709551617 abc", &[], malformed(0));
    }

    #[test]
    fn a_body_may_end_inside_a_frame() {
        check(b"3 ab", &[], incomplete(0));
        check(b"3 abc3", &["abc"], incomplete(5));
        check(b"3 abc3 ", &["abc"], incomplete(5));
        check(b"16777216 abc", &[], incomplete(0));
        check(b"20 123456789", &[], incomplete(0));
    }

    proptest! {
        #[test]
        fn what_is_counted_comes_out(
            frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..9),
        ) {
            let mut body = Vec::new();
            for frame in &frames {
                body.extend_from_slice(format!("{} ", frame.len()).as_bytes());
                body.extend_from_slice(frame);
            }
            let cut: Vec<Vec<u8>> = BodyFrames::new(&body, 1000)
                .map(|frame| frame.unwrap().frame.to_vec())
                .collect();
            prop_assert_eq!(cut, frames);
        }

        #[test]
        fn any_bytes_are_survived(bytes in "([1-9]{0,2} ?[a-z\n]{0,9}){0,5}") {
            fuzz_body(bytes.as_bytes());
        }
    }
}
