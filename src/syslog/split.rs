//! Lines too long for one frame: where they are cut, and how the parts can be told. Pure.

use bytes::{BufMut, Bytes, BytesMut};

/// How the parts of a line too long for one frame can be told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Split {
    /// A part that goes on ends in `…`, and one that goes on from another begins with it. Every
    /// frame ends in a newline.
    Marked,
    /// As log-shuttle does it: no mark, and a newline only where the line had one; it counts.
    Plain,
}

impl Split {
    pub(crate) const fn mark(self) -> &'static [u8] {
        match self {
            Self::Marked => "…".as_bytes(),
            Self::Plain => b"",
        }
    }
}

/// What is taken off the front of a line.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Taken {
    /// So many bytes are all the rest of it: they need not be cut.
    Rest(usize),
    /// So many bytes, and more follow in another frame.
    Part(usize),
}

/// Where lines are cut.
#[derive(Clone, Copy, Debug)]
pub struct Splitter {
    bytes_max: usize,
    split: Split,
}

impl Splitter {
    /// Frames' texts of at most `bytes_max` bytes, marks included.
    #[must_use]
    pub const fn new(bytes_max: usize, split: Split) -> Self {
        Self { bytes_max, split }
    }

    /// Longest text of a frame.
    pub(crate) const fn bytes_max(&self) -> usize {
        self.bytes_max
    }

    /// How the parts can be told.
    pub(crate) const fn split(&self) -> Split {
        self.split
    }

    /// What to take off the front of `line`, which goes on from another frame or not. At least one
    /// byte of a line that has one.
    pub(crate) fn take(&self, line: &[u8], is_continued: bool) -> Taken {
        let mark_bytes = self.split.mark().len();
        let front_bytes = if is_continued { mark_bytes } else { 0 };
        let room = self.bytes_max.saturating_sub(front_bytes);
        if line.len() <= room {
            return Taken::Rest(line.len());
        }
        let room = room.saturating_sub(mark_bytes).max(1);
        Taken::Part(whole_characters(line, room))
    }

    /// A frame's text out of a piece of a line, with its marks.
    pub(crate) fn marked(&self, piece: &Bytes, is_continued: bool, goes_on: bool) -> Bytes {
        let mark = self.split.mark();
        if mark.is_empty() || !(is_continued || goes_on) {
            return piece.clone();
        }
        let mut text = BytesMut::with_capacity(piece.len() + 2 * mark.len());
        if is_continued {
            text.put_slice(mark);
        }
        text.put_slice(piece);
        if goes_on {
            text.put_slice(mark);
        }
        text.freeze()
    }

    /// Frames' texts out of a whole line.
    pub(crate) fn parts(&self, line: &Bytes) -> Vec<Bytes> {
        let mut rest = match self.split {
            Split::Marked if line.ends_with(b"\n") => line.slice(..line.len() - 1),
            Split::Marked | Split::Plain => line.clone(),
        };
        let mut parts = Vec::new();
        loop {
            let is_continued = !parts.is_empty();
            match self.take(&rest, is_continued) {
                Taken::Rest(_) => {
                    parts.push(self.marked(&rest, is_continued, false));
                    return parts;
                }
                Taken::Part(bytes) => {
                    let piece = rest.split_to(bytes);
                    parts.push(self.marked(&piece, is_continued, true));
                }
            }
        }
    }
}

/// The longest front of `line`, of at most `bytes_max` bytes, that cuts no character of UTF-8 in
/// two; where there is none, `bytes_max`.
pub(crate) fn whole_characters(line: &[u8], bytes_max: usize) -> usize {
    let is_inside = |at: usize| line.get(at).is_some_and(|byte| byte & 0xc0 == 0x80);
    let longest = bytes_max.min(line.len());
    (longest.saturating_sub(3)..=longest)
        .rev()
        .find(|&at| 0 < at && !is_inside(at))
        .unwrap_or(longest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::any;
    use proptest::prelude::prop;
    use proptest::proptest;

    fn check(line: &str, bytes_max: usize, split: Split, expected: &[&str]) {
        let parts = Splitter::new(bytes_max, split).parts(&Bytes::copy_from_slice(line.as_bytes()));
        let parts: Vec<_> = parts
            .iter()
            .map(|part| std::str::from_utf8(part).unwrap())
            .collect();
        assert_eq!(parts, expected, "{line:?} {bytes_max} {split:?}");
    }

    #[test]
    fn long_lines_are_cut_between_characters() {
        check("", 10, Split::Marked, &[""]);
        check("0123456789\n", 10, Split::Marked, &["0123456789"]);
        check("0123456789a", 10, Split::Marked, &["0123456…", "…789a"]);
        check("0123456ééé", 10, Split::Marked, &["0123456…", "…ééé"]);
        check("012345éééé", 10, Split::Marked, &["012345…", "…éé…", "…éé"]);
        check("0123456789\n", 10, Split::Plain, &["0123456789", "\n"]);
        check("ééé\n", 4, Split::Plain, &["éé", "é\n"]);
        check("ééé", 3, Split::Plain, &["é", "é", "é"]);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_no_part_is_too_long(
            line in prop::collection::vec(any::<u8>(), 0..200),
            text in "\\PC{0,60}",
            bytes_max in 10..40_usize,
        ) {
            for line in [line, text.into_bytes()] {
                let mark = Split::Marked.mark();
                for split in [Split::Marked, Split::Plain] {
                    let parts = Splitter::new(bytes_max, split).parts(&Bytes::from(line.clone()));
                    let last = parts.len() - 1;
                    let mut joined = Vec::new();
                    for (index, part) in parts.iter().enumerate() {
                        assert!(part.len() <= bytes_max);
                        let mut piece: &[u8] = part;
                        if split == Split::Marked && 0 < index {
                            piece = piece.strip_prefix(mark).unwrap();
                        }
                        if split == Split::Marked && index < last {
                            piece = piece.strip_suffix(mark).unwrap();
                        }
                        if std::str::from_utf8(&line).is_ok() {
                            assert!(std::str::from_utf8(piece).is_ok());
                        }
                        joined.extend_from_slice(piece);
                    }
                    if split == Split::Marked && line.ends_with(b"\n") {
                        joined.push(b'\n');
                    }
                    assert_eq!(joined, line);
                }
            }
        }
    }
}
