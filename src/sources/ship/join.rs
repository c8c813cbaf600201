//! Lines that belong together into one message: a stack trace, a statement over several lines. Pure.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use regex::bytes::Regex;
use tokio::time::Instant;

use crate::clock::UnixMicros;

/// How it is told which lines belong together.
#[derive(Clone, Debug)]
pub enum JoinRule {
    /// A line that matches begins a message; all others belong to the one before.
    Pattern(Regex),
    /// A line that begins with a space or a tab belongs to the one before.
    Indent,
}

/// Which lines are joined, and for how long.
#[derive(Clone, Debug)]
pub struct Join {
    /// The rule.
    pub rule: JoinRule,
    /// A message is whole when no line has come for this long.
    pub time: Duration,
}

/// A message, whole as far as is known.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Joined {
    pub(crate) text: Bytes,
    /// When its first line came.
    pub(crate) time: UnixMicros,
    /// Where its last line ended.
    pub(crate) end: u64,
}

/// Joins the lines of one source.
pub(crate) struct Joiner {
    join: Join,
    bytes_max: usize,
    held: Option<Held>,
}

struct Held {
    text: BytesMut,
    time: UnixMicros,
    end: u64,
    due: Instant,
}

impl Joiner {
    /// Nothing held. A message of more than `bytes_max` bytes is ended by the line that would bring
    /// it there.
    pub(crate) const fn new(join: Join, bytes_max: usize) -> Self {
        Self {
            join,
            bytes_max,
            held: None,
        }
    }

    /// Adds a line; gives the message that it ends, by beginning another.
    pub(crate) fn add(&mut self, line: Joined, now: Instant) -> Option<Joined> {
        let due = now + self.join.time;
        if let Some(held) = &mut self.held
            && !self.join.rule.begins(&line.text)
            && held.text.len() + 1 + line.text.len() <= self.bytes_max
        {
            if !held.text.ends_with(b"\n") {
                held.text.extend_from_slice(b"\n");
            }
            held.text.extend_from_slice(&line.text);
            held.end = line.end;
            held.due = due;
            return None;
        }
        let whole = self.take();
        self.held = Some(Held {
            text: BytesMut::from(&*line.text),
            time: line.time,
            end: line.end,
            due,
        });
        whole
    }

    /// When what is held is whole; `None` when nothing is.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.held.as_ref().map(|held| held.due)
    }

    /// What is held.
    pub(crate) fn take(&mut self) -> Option<Joined> {
        self.held.take().map(|held| Joined {
            text: held.text.freeze(),
            time: held.time,
            end: held.end,
        })
    }
}

impl JoinRule {
    fn begins(&self, line: &[u8]) -> bool {
        match self {
            Self::Pattern(pattern) => pattern.is_match(line),
            Self::Indent => !matches!(line.first(), Some(b' ' | b'\t')),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use proptest::prelude::prop;
    use proptest::proptest;

    fn joined(rule: JoinRule, bytes_max: usize, lines: &[&str]) -> Vec<String> {
        let join = Join {
            rule,
            time: Duration::from_millis(500),
        };
        let mut joiner = Joiner::new(join, bytes_max);
        let now = clock::now();
        let mut found = Vec::new();
        for line in lines {
            let line = Joined {
                text: Bytes::copy_from_slice(line.as_bytes()),
                time: UnixMicros::default(),
                end: 0,
            };
            found.extend(joiner.add(line, now));
            assert_eq!(joiner.due(), Some(now + Duration::from_millis(500)));
        }
        found.extend(joiner.take());
        let text = |joined: &Joined| String::from_utf8(joined.text.to_vec()).unwrap();
        found.iter().map(text).collect()
    }

    #[test]
    fn lines_that_belong_together_are_one() {
        let dated = || JoinRule::Pattern(Regex::new(r"^\d{4}-").unwrap());
        for (rule, bytes_max, lines, expected) in [
            (JoinRule::Indent, 99, vec![], vec![]),
            (JoinRule::Indent, 99, vec!["a", "b"], vec!["a", "b"]),
            (
                JoinRule::Indent,
                99,
                vec![" x", "a", " b", "\tc", "", "d"],
                vec![" x", "a\n b\n\tc", "", "d"],
            ),
            (
                JoinRule::Indent,
                5,
                vec!["a", " b", " c"],
                vec!["a\n b", " c"],
            ),
            (
                dated(),
                99,
                vec!["at x", "2026-1", "at y", "", "2026-2"],
                vec!["at x", "2026-1\nat y\n", "2026-2"],
            ),
        ] {
            assert_eq!(joined(rule, bytes_max, &lines), expected, "{lines:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_is_lost(lines in prop::collection::vec("[ a]{0,8}", 0..20), bytes_max in 8..30_usize) {
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            let found = joined(JoinRule::Indent, bytes_max, &lines);
            assert_eq!(found.join("\n"), lines.join("\n"));
            assert!(found.iter().all(|message| message.len() <= bytes_max));
            let begins = lines.iter().filter(|line| !line.starts_with(' ')).count();
            assert!(begins <= found.len());
        }
    }
}
