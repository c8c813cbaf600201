//! Bytes that come in pieces into lines, or into parts of lines too long for one frame. Pure.

use bytes::{Bytes, BytesMut};
use memchr::memchr;

use crate::syslog::split::{Split, Splitter, Taken};

/// A line, or a part of one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Piece {
    /// A frame's text, with its marks when it is a part.
    pub(crate) text: Bytes,
    /// Whether a line begins with it.
    pub(crate) begins: bool,
    /// Whether a line ends with it.
    pub(crate) ends: bool,
    /// Bytes of the source that it was made of, line end included.
    pub(crate) source_bytes: usize,
}

/// Cuts lines. Holds no more than one read and one part.
pub(crate) struct Cutter {
    splitter: Splitter,
    buffer: BytesMut,
    /// The buffer's first bytes hold no line end.
    searched_bytes: usize,
    is_continued: bool,
}

impl Cutter {
    /// A source at its start.
    pub(crate) fn new(splitter: Splitter) -> Self {
        Self {
            splitter,
            buffer: BytesMut::new(),
            searched_bytes: 0,
            is_continued: false,
        }
    }

    /// Takes what was read.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Bytes taken that are in no piece yet.
    #[cfg(test)]
    pub(crate) fn held_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// The next piece, if it is whole.
    pub(crate) fn next(&mut self) -> Option<Piece> {
        let unsearched = self.buffer.get(self.searched_bytes..).unwrap_or_default();
        let end = memchr(b'\n', unsearched).map(|at| self.searched_bytes + at);
        let line_bytes = end.map_or(self.buffer.len(), |at| at + self.kept_end_bytes());
        let line = self.buffer.get(..line_bytes).unwrap_or_default();
        match (self.splitter.take(line, self.is_continued), end) {
            (Taken::Part(bytes), _) => Some(self.part(bytes)),
            (Taken::Rest(_), Some(at)) => Some(self.whole(line_bytes, at + 1)),
            (Taken::Rest(_), None) => {
                self.searched_bytes = self.buffer.len();
                None
            }
        }
    }

    /// What is left when the source has ended: a last line without its end. Call when `next` has
    /// nothing more.
    pub(crate) fn end(&mut self) -> Option<Piece> {
        let bytes = self.buffer.len();
        (0 < bytes || self.is_continued).then(|| self.whole(bytes, bytes))
    }

    /// How many bytes of a line's end belong to its text.
    fn kept_end_bytes(&self) -> usize {
        match self.splitter.split() {
            Split::Marked => 0,
            Split::Plain => 1,
        }
    }

    fn part(&mut self, bytes: usize) -> Piece {
        let piece = self.buffer.split_to(bytes).freeze();
        self.searched_bytes = self.searched_bytes.saturating_sub(bytes);
        let begins = !self.is_continued;
        self.is_continued = true;
        Piece {
            text: self.splitter.marked(&piece, !begins, true),
            begins,
            ends: false,
            source_bytes: bytes,
        }
    }

    /// The last part of a line, or all of it: `text_bytes` of the `bytes` that it takes.
    fn whole(&mut self, text_bytes: usize, bytes: usize) -> Piece {
        let mut taken = self.buffer.split_to(bytes).freeze();
        taken.truncate(text_bytes);
        self.searched_bytes = 0;
        let begins = !std::mem::take(&mut self.is_continued);
        Piece {
            text: self.splitter.marked(&taken, !begins, false),
            begins,
            ends: true,
            source_bytes: bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::any;
    use proptest::prelude::prop;
    use proptest::proptest;

    fn pieces(chunks: &[&[u8]], bytes_max: usize, split: Split) -> Vec<Bytes> {
        let mut cutter = Cutter::new(Splitter::new(bytes_max, split));
        let mut found = Vec::new();
        let mut bytes = 0;
        for chunk in chunks {
            cutter.feed(chunk);
            while let Some(piece) = cutter.next() {
                bytes += piece.source_bytes;
                found.push(piece.text);
            }
            assert!(cutter.held_bytes() <= bytes_max);
        }
        if let Some(piece) = cutter.end() {
            bytes += piece.source_bytes;
            found.push(piece.text);
        }
        assert_eq!(cutter.end(), None);
        assert_eq!(bytes, chunks.concat().len());
        found
    }

    #[test]
    fn lines_are_cut_out_of_pieces() {
        let check = |chunks: &[&str], expected: &[&str]| {
            let chunks: Vec<_> = chunks.iter().map(|chunk| chunk.as_bytes()).collect();
            assert_eq!(pieces(&chunks, 10, Split::Marked), expected, "{chunks:?}");
        };
        check(&[], &[]);
        check(&["a\nb\n"], &["a", "b"]);
        check(&["a\n\nb"], &["a", "", "b"]);
        check(&["a", "b", "\n", "c"], &["ab", "c"]);
        check(&["01234", "56789", "\n"], &["0123456789"]);
        check(&["01234", "56789", "a\n"], &["0123456…", "…789a"]);
    }

    proptest! {
        /// However the bytes come, the pieces are the parts of the lines.
        #[test]
        fn pieces_are_the_parts_of_lines(
            chunks in prop::collection::vec(
                prop::collection::vec(proptest::prop_oneof![any::<u8>(), 9..12_u8], 0..30),
                0..12,
            ),
            bytes_max in 10..40_usize,
        ) {
            let chunks: Vec<&[u8]> = chunks.iter().map(Vec::as_slice).collect();
            let all = chunks.concat();
            for split in [Split::Marked, Split::Plain] {
                let splitter = Splitter::new(bytes_max, split);
                let expected: Vec<Bytes> = all
                    .split_inclusive(|&byte| byte == b'\n')
                    .flat_map(|line| splitter.parts(&Bytes::copy_from_slice(line)))
                    .collect();
                assert_eq!(pieces(&chunks, bytes_max, split), expected);
            }
        }
    }
}
