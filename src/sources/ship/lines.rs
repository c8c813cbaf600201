//! Bytes of one source into what the queue takes, whatever their format. Pure, but for handing it
//! over.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::time::Instant;

use crate::clock;
use crate::clock::UnixMicros;
use crate::limits::SHIP_FRAME_BYTES_MAX;
use crate::sources::ship::book::Book;
use crate::sources::ship::cut::{Cutter, Piece};
use crate::sources::ship::join::{Joined, Joiner};
use crate::sources::ship::line::{Body, Item, Line};
use crate::sources::ship::places::Mark;
use crate::sources::ship::queue::Intake;
use crate::sources::ship::reader::{Format, Reading, WhenFull};
use crate::syslog::frame::{Cut, Framer};
use crate::syslog::parse::parse_any;
use crate::syslog::split::{Split, Splitter};

/// A moment, for people and for waiting.
#[derive(Clone, Copy)]
pub(crate) struct Now {
    pub(crate) wall: UnixMicros,
    pub(crate) instant: Instant,
}

/// What became of some bytes.
#[derive(Default)]
pub(crate) struct Fed {
    /// Each with the place in the source at which it ended.
    pub(crate) bodies: Vec<(Body, u64)>,
    /// Frames that were none.
    pub(crate) malformed: u64,
}

impl Fed {
    /// Puts all into `intake`, each with the mark that its place has. What is left when this is
    /// dropped is counted, unless it can be read again.
    pub(crate) async fn give(
        self,
        mark: impl Fn(u64) -> Option<Mark>,
        when_full: WhenFull,
        intake: &Intake,
    ) {
        if 0 < self.malformed {
            intake.count_dropped(self.malformed);
        }
        let items = self.bodies.into_iter().map(|(body, end)| Item {
            body,
            mark: mark(end),
        });
        let mut left = Left {
            items,
            book: intake.book(),
        };
        for item in left.items.by_ref() {
            match when_full {
                WhenFull::Drop => intake.offer_item(item),
                WhenFull::Block => intake.push_item(item).await,
            }
        }
    }
}

/// Items that were not given yet.
struct Left<'b, I: Iterator<Item = Item>> {
    items: I,
    book: &'b Book,
}

impl<I: Iterator<Item = Item>> Drop for Left<'_, I> {
    fn drop(&mut self) {
        let count = self
            .items
            .by_ref()
            .filter(|item| item.mark.is_none())
            .count();
        if 0 < count {
            let count = u64::try_from(count).unwrap_or(u64::MAX);
            self.book.drop_lines(count, clock::wall());
        }
    }
}

/// The lines of one source.
pub(crate) struct Lines {
    reading: Reading,
    cut: Cuts,
    joiner: Option<Joiner>,
    /// Bytes of the source that are in what was given or is joined.
    position: u64,
}

enum Cuts {
    Lines(Cutter),
    Frames { framer: Framer, buffer: BytesMut },
}

impl Lines {
    /// A source that is read from `position` on.
    pub(crate) fn new(reading: Reading, position: u64) -> Self {
        let cut = match reading.format {
            Format::Raw => Cuts::Lines(Cutter::new(reading.splitter)),
            Format::Rfc5424 => {
                let splitter = Splitter::new(SHIP_FRAME_BYTES_MAX, reading.splitter.split());
                Cuts::Lines(Cutter::new(splitter))
            }
            Format::LengthPrefixed | Format::Syslog => Cuts::Frames {
                framer: Framer::new(SHIP_FRAME_BYTES_MAX),
                buffer: BytesMut::new(),
            },
        };
        let joiner = reading
            .join
            .clone()
            .map(|join| Joiner::new(join, reading.splitter.bytes_max()));
        Self {
            reading,
            cut,
            joiner,
            position,
        }
    }

    /// What `bytes`, which follow those before, bring.
    pub(crate) fn feed(&mut self, bytes: &[u8], now: Now) -> Fed {
        let mut fed = Fed::default();
        match &mut self.cut {
            Cuts::Lines(cutter) => {
                cutter.feed(bytes);
                while let Some(piece) = self.next_piece() {
                    self.take_piece(piece, now, &mut fed);
                }
            }
            Cuts::Frames { buffer, .. } => {
                match self.reading.format {
                    // On a connection `syslog(3)` of the GNU C library ends a message by a NUL.
                    Format::Syslog => buffer.extend(bytes.iter().map(|&byte| match byte {
                        0 => b'\n',
                        byte => byte,
                    })),
                    _ => buffer.extend_from_slice(bytes),
                }
                self.take_frames(false, now, &mut fed);
            }
        }
        fed
    }

    /// What is left when the source has ended.
    pub(crate) fn end(&mut self, now: Now) -> Fed {
        let mut fed = Fed::default();
        if let Cuts::Lines(cutter) = &mut self.cut {
            if let Some(piece) = cutter.end() {
                self.take_piece(piece, now, &mut fed);
            }
        } else {
            self.take_frames(true, now, &mut fed);
        }
        self.take_joined(&mut fed);
        fed
    }

    /// When a joined message is whole, should nothing more come.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.joiner.as_ref()?.due()
    }

    /// The joined message whose time has come.
    pub(crate) fn take_due(&mut self) -> Fed {
        let mut fed = Fed::default();
        self.take_joined(&mut fed);
        fed
    }

    fn next_piece(&mut self) -> Option<Piece> {
        match &mut self.cut {
            Cuts::Lines(cutter) => cutter.next(),
            Cuts::Frames { .. } => None,
        }
    }

    fn take_piece(&mut self, piece: Piece, now: Now, fed: &mut Fed) {
        self.position += u64::try_from(piece.source_bytes).unwrap_or(u64::MAX);
        let end = self.position;
        if self.reading.format == Format::Rfc5424 && piece.begins {
            // What is no frame at all would only be refused.
            if !piece.text.trim_ascii().is_empty() {
                fed.bodies.push((Body::Frame(piece.text), end));
            }
            return;
        }
        let mut text = piece.text;
        // A line of Windows ends in both; what cuts as log-shuttle does keeps what it has cut.
        let is_marked = self.reading.splitter.split() == Split::Marked;
        if is_marked && piece.ends && text.ends_with(b"\r") {
            text.truncate(text.len() - 1);
        }
        let line = Joined {
            text,
            time: now.wall,
            end,
        };
        let whole = match &mut self.joiner {
            Some(joiner) if piece.begins && piece.ends => joiner.add(line, now.instant),
            // A part of a line too long for one message.
            _ => {
                self.take_joined(fed);
                Some(line)
            }
        };
        fed.bodies.extend(whole.map(|whole| self.line(whole)));
    }

    fn take_joined(&mut self, fed: &mut Fed) {
        let held = self.joiner.as_mut().and_then(Joiner::take);
        fed.bodies.extend(held.map(|held| self.line(held)));
    }

    fn line(&self, joined: Joined) -> (Body, u64) {
        let line = Line {
            pri: self.reading.pri,
            time: joined.time,
            procid: Arc::clone(&self.reading.procid),
            token: None,
            text: joined.text,
        };
        (Body::Line(line), joined.end)
    }

    fn take_frames(&mut self, is_end: bool, now: Now, fed: &mut Fed) {
        let Cuts::Frames { framer, buffer } = &mut self.cut else {
            return;
        };
        loop {
            let cut = match is_end {
                true => framer.cut_at_end(buffer),
                false => framer.cut(buffer),
            };
            let used = match cut {
                Cut::Incomplete => return,
                Cut::Skip { used } => used,
                Cut::Malformed { used } => {
                    fed.malformed += 1;
                    used
                }
                Cut::Frame { frame, used, .. } => {
                    let end = self.position + u64::try_from(used).unwrap_or(u64::MAX);
                    let body = match self.reading.format {
                        Format::Syslog => {
                            syslog_line(frame, &self.reading, now.wall).map(Body::Line)
                        }
                        _ => Some(Body::Frame(Bytes::copy_from_slice(frame))),
                    };
                    fed.bodies.extend(body.map(|body| (body, end)));
                    used
                }
            };
            self.position += u64::try_from(used).unwrap_or(u64::MAX);
            drop(buffer.split_to(used));
        }
    }
}

/// A message as programs hand it to a local syslog (RFC 3164 as `syslog(3)` writes it, or RFC 5424).
/// Its TAG and process id are the PROCID, `TAG.PID`, unless the settings have one; its time, which
/// has neither year nor zone, is that of its arrival. `None`: it says nothing.
pub(crate) fn syslog_line(frame: &[u8], reading: &Reading, now: UnixMicros) -> Option<Line> {
    let frame = frame.trim_ascii_end();
    let frame = frame.strip_suffix(b"\0").unwrap_or(frame);
    let message = parse_any(frame, b"-", now);
    if message.text.is_empty() {
        return None;
    }
    let text = |field: &[u8]| String::from_utf8_lossy(field).into_owned();
    let procid = match (message.app_name, message.procid) {
        _ if !reading.procid.is_empty() => Arc::clone(&reading.procid),
        (b"-", b"-") => Arc::from("syslog"),
        (name, b"-") => Arc::from(text(name)),
        (b"-", procid) => Arc::from(text(procid)),
        (name, procid) => Arc::from(format!("{}.{}", text(name), text(procid))),
    };
    Some(Line {
        pri: message.pri,
        time: now,
        procid,
        token: None,
        text: Bytes::copy_from_slice(message.text),
    })
}

/// Fuzz target: whatever comes, in whatever pieces, in whatever format, nothing of lines is lost.
#[cfg(any(test, fuzzing))]
pub fn fuzz_lines(bytes: &[u8]) {
    use crate::sources::ship::join::{Join, JoinRule};
    use crate::syslog::message::Pri;

    let (Some((&kind, bytes)), now) = (
        bytes.split_first(),
        Now {
            wall: UnixMicros::new(1_353_105_648_123_456),
            instant: clock::now(),
        },
    ) else {
        return;
    };
    let format = match kind % 4 {
        0 => Format::Raw,
        1 => Format::Rfc5424,
        2 => Format::LengthPrefixed,
        _ => Format::Syslog,
    };
    let is_joined = kind & 4 != 0 && format == Format::Raw;
    let reading = Reading {
        pri: Pri::DEFAULT,
        procid: Arc::from(""),
        when_full: WhenFull::Drop,
        splitter: Splitter::new(64, Split::Plain),
        format,
        join: is_joined.then_some(Join {
            rule: JoinRule::Indent,
            time: std::time::Duration::from_secs(1),
        }),
    };
    let piece_bytes = usize::from(kind >> 3) + 1;
    let mut lines = Lines::new(reading, 0);
    let mut found: Vec<(Body, u64)> = Vec::new();
    for piece in bytes.chunks(piece_bytes) {
        found.extend(lines.feed(piece, now).bodies);
    }
    found.extend(lines.end(now).bodies);
    assert!(found.is_sorted_by_key(|(_, end)| *end));
    assert_eq!(
        lines.position,
        u64::try_from(bytes.len()).unwrap_or(u64::MAX)
    );
    if format == Format::Raw {
        let joined: Vec<u8> = found
            .iter()
            .flat_map(|(body, _)| match body {
                Body::Line(line) => line.text.to_vec(),
                Body::Frame(_) => Vec::new(),
            })
            .collect();
        assert_eq!(joined, bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syslog::message::Pri;
    use proptest::prelude::any;
    use proptest::prelude::prop;
    use proptest::proptest;

    fn reading(format: Format, procid: &str) -> Reading {
        Reading {
            pri: Pri::or_default(190),
            procid: Arc::from(procid),
            when_full: WhenFull::Drop,
            splitter: Splitter::new(100, Split::Marked),
            format,
            join: None,
        }
    }

    #[test]
    fn a_line_of_windows_ends_in_both() {
        let check = |split: Split, bytes: &[u8], expected: &[&str]| {
            let reading = Reading {
                splitter: Splitter::new(100, split),
                ..reading(Format::Raw, "p")
            };
            let now = Now {
                wall: clock::wall(),
                instant: clock::now(),
            };
            let mut lines = Lines::new(reading, 0);
            let mut bodies = lines.feed(bytes, now).bodies;
            bodies.extend(lines.end(now).bodies);
            let texts: Vec<String> = bodies
                .into_iter()
                .map(|(body, _)| match body {
                    Body::Line(line) => String::from_utf8(line.text.to_vec()).unwrap(),
                    Body::Frame(_) => unreachable!("lines were read"),
                })
                .collect();
            assert_eq!(texts, expected, "{split:?}");
        };
        let both = b"one\r\n10%\r20%\r\n\r\nlast";
        check(Split::Marked, both, &["one", "10%\r20%", "", "last"]);
        check(
            Split::Plain,
            both,
            &["one\r\n", "10%\r20%\r\n", "\r\n", "last"],
        );
    }

    #[test]
    fn local_syslog_becomes_lines() {
        let check = |frame: &str, procid: &str, expected: Option<(u8, &str, &str)>| {
            let line = syslog_line(
                frame.as_bytes(),
                &reading(Format::Syslog, procid),
                clock::wall(),
            );
            let found = line.as_ref().map(|line| {
                let text = std::str::from_utf8(&line.text).unwrap();
                (line.pri.value(), &*line.procid, text)
            });
            assert_eq!(found, expected, "{frame:?}");
        };
        let time = "Nov 25 08:54:19";
        check(
            &format!("<13>{time} me[77]: hello  you\n"),
            "",
            Some((13, "me.77", "hello  you")),
        );
        check(
            &format!("<13>{time} me: hello\0"),
            "",
            Some((13, "me", "hello")),
        );
        check(
            &format!("<13>{time} me: hello"),
            "web.1",
            Some((13, "web.1", "hello")),
        );
        check("hello", "", Some((13, "syslog", "hello")));
        check(
            "<165>1 2003-10-11T22:14:15.003Z host app 8710 - - text",
            "",
            Some((165, "app.8710", "text")),
        );
        check("", "", None);
        check("<13>", "", None);
    }

    #[test]
    fn frames_are_taken_with_and_without_their_lengths() {
        let now = Now {
            wall: UnixMicros::default(),
            instant: clock::now(),
        };
        let check = |format: Format, bytes: &[u8], expected: &[&str], malformed: u64| {
            let mut lines = Lines::new(reading(format, ""), 0);
            let mut fed = lines.feed(bytes, now);
            let rest = lines.end(now);
            fed.bodies.extend(rest.bodies);
            fed.malformed += rest.malformed;
            let found: Vec<_> = fed
                .bodies
                .iter()
                .map(|(body, _)| match body {
                    Body::Frame(frame) => std::str::from_utf8(frame).unwrap(),
                    Body::Line(_) => "a line",
                })
                .collect();
            assert_eq!((&*found, fed.malformed), (expected, malformed));
        };
        check(
            Format::Rfc5424,
            b"<1>1 a\n\n<1>1 b",
            &["<1>1 a", "<1>1 b"],
            0,
        );
        check(
            Format::LengthPrefixed,
            b"7 <1>1 a\n6 <1>1 b<1>1 c\n",
            &["<1>1 a\n", "<1>1 b", "<1>1 c"],
            0,
        );
        check(
            Format::LengthPrefixed,
            b"7 <1>1 a\n6 <1>1",
            &["<1>1 a\n"],
            1,
        );
        // A frame longer than any is followed by lines.
        let long = [b"<1>1 ", &[b'x'; SHIP_FRAME_BYTES_MAX][..], b"\n"].concat();
        let mut lines = Lines::new(reading(Format::Rfc5424, ""), 0);
        let kinds: Vec<_> = lines
            .feed(&long, now)
            .bodies
            .iter()
            .map(|(body, _)| matches!(body, Body::Frame(_)))
            .collect();
        assert_eq!(kinds, [true, false]);
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_pieces(bytes in prop::collection::vec(
            proptest::prop_oneof![any::<u8>(), 9..12_u8, 48..58_u8],
            0..200,
        )) {
            fuzz_lines(&bytes);
        }
    }
}
