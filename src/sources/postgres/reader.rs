//! Events out of the bytes of a log file, whichever of Postgres' three formats it has.

use crate::sources::postgres::csvlog;
use crate::sources::postgres::entry::Entry;
use crate::sources::postgres::jsonlog;
use crate::sources::postgres::prefix::Prefix;
use crate::sources::postgres::prefix::Start;
use crate::sources::postgres::prefix::Word;

/// How a log file is read.
#[derive(Clone, Debug)]
pub enum Reader {
    /// jsonlog
    Json,
    /// csvlog
    Csv,
    /// stderr, by its `log_line_prefix`.
    Stderr(Prefix),
}

/// What stands at the front of some bytes.
#[derive(Debug, Eq, PartialEq)]
pub enum Found {
    /// An event.
    Event(Box<Entry>),
    /// A line that no server process wrote: what a command of the server's printed, say.
    Foreign(String),
    /// Something that should have been an event.
    Unreadable,
}

impl Reader {
    /// What stands at the front of `bytes`, and how many of them it takes; `None` when more are
    /// needed. `is_quiet` says that no more have come for a while: an event in the stderr format
    /// has no end of its own.
    #[must_use]
    pub fn next(&self, bytes: &[u8], is_quiet: bool) -> Option<(Found, usize)> {
        match self {
            Self::Json => {
                let end = line_end(bytes)?;
                let line = bytes.get(..end)?;
                Some((found(jsonlog::parse(line)), end))
            }
            Self::Csv => csv(bytes),
            Self::Stderr(prefix) => plain(prefix, bytes, is_quiet),
        }
    }

    /// Whether an event may begin with `line`, a whole one: where to go on after one that was skipped.
    #[must_use]
    pub fn begins(&self, line: &[u8]) -> bool {
        match self {
            Self::Json => line.starts_with(b"{"),
            // A date and a time; statements are seldom indented by those.
            Self::Csv => {
                let is_like = |(byte, wanted): (&u8, &u8)| match wanted {
                    b'0' => byte.is_ascii_digit(),
                    _ => byte == wanted,
                };
                let wanted = b"0000-00-00 00:00:00";
                wanted.len() <= line.len() && line.iter().zip(wanted).all(is_like)
            }
            Self::Stderr(prefix) => {
                let line = line.strip_suffix(b"\n").unwrap_or(line);
                let begins = |start: Start<'_>| matches!(start.word, Word::Severity(_));
                prefix.read(line).is_some_and(begins)
            }
        }
    }

    /// What the names of its files end in.
    #[must_use]
    pub const fn extension(&self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Csv => "csv",
            Self::Stderr(_) => "log",
        }
    }
}

fn found(entry: Option<Entry>) -> Found {
    entry.map_or(Found::Unreadable, |entry| Found::Event(Box::new(entry)))
}

/// A record begins with its year. What does not is the rest of a torn one: skipped by lines, so that
/// a quote in it does not turn the meaning of all that follow.
fn csv(bytes: &[u8]) -> Option<(Found, usize)> {
    if !bytes.first()?.is_ascii_digit() {
        return Some((Found::Unreadable, line_end(bytes)?));
    }
    let end = csvlog::record(bytes)?;
    match csvlog::parse(bytes.get(..end)?) {
        Some(entry) => Some((found(Some(entry)), end)),
        None => Some((Found::Unreadable, line_end(bytes)?)),
    }
}

/// The first line says what it is; those behind it that begin with a tab or with a label of the
/// same process belong to it.
fn plain(prefix: &Prefix, bytes: &[u8], is_quiet: bool) -> Option<(Found, usize)> {
    let mut used = line_end(bytes)?;
    let first = line(bytes, 0, used)?;
    let Some(Start {
        header,
        word: Word::Severity(severity),
        text,
    }) = prefix.read(first)
    else {
        return Some((Found::Foreign(lossy(first)), used));
    };
    let mut entry = Entry {
        header,
        severity,
        message: lossy(text),
        parts: Vec::new(),
    };
    loop {
        let rest = bytes.get(used..)?;
        let Some(end) = line_end(rest) else {
            let is_over = is_quiet && rest.is_empty();
            return is_over.then(|| (found(Some(entry)), used));
        };
        let next = line(bytes, used, used + end)?;
        if !append(&mut entry, prefix, next) {
            return Some((found(Some(entry)), used));
        }
        used += end;
    }
}

/// Adds a line to the event if it belongs there; says whether it does.
fn append(entry: &mut Entry, prefix: &Prefix, line: &[u8]) -> bool {
    if let Some(more) = line.strip_prefix(b"\t") {
        let last = entry.parts.last_mut().map(|(_, text)| text);
        let text = last.unwrap_or(&mut entry.message);
        text.push('\n');
        text.push_str(&String::from_utf8_lossy(more));
        return true;
    }
    match prefix.read(line) {
        Some(Start {
            header,
            word: Word::Label(label),
            text,
        }) if header.pid() == entry.header.pid() => {
            entry.parts.push((label, lossy(text)));
            true
        }
        _ => false,
    }
}

/// How many bytes the first line takes, its newline included.
fn line_end(bytes: &[u8]) -> Option<usize> {
    Some(memchr::memchr(b'\n', bytes)? + 1)
}

/// The line from `start` to `end`, without its newline.
fn line(bytes: &[u8], start: usize, end: usize) -> Option<&[u8]> {
    bytes.get(start..end)?.strip_suffix(b"\n")
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Reads anything as each format, in pieces as large as its first byte says, and shapes what it is.
#[cfg(any(fuzzing, test))]
pub fn fuzz_postgres(bytes: &[u8]) {
    use crate::sources::postgres::shape;
    let Some((&step, bytes)) = bytes.split_first() else {
        return;
    };
    let setting = String::from_utf8_lossy(bytes.get(..12).unwrap_or_default());
    let prefixes = [Prefix::parse("%m [%p] %q%u@%d "), Prefix::parse(&setting)];
    let plain = prefixes.into_iter().flatten().map(Reader::Stderr);
    for reader in plain.chain([Reader::Json, Reader::Csv]) {
        let mut rest = bytes;
        let mut reach = 0;
        while reach < rest.len() {
            reach = (reach + usize::from(step) + 1).min(rest.len());
            let is_quiet = reach == rest.len();
            while let Some((found, used)) =
                reader.next(rest.get(..reach).unwrap_or_default(), is_quiet)
            {
                assert!((1..=reach).contains(&used));
                if let Found::Event(entry) = found {
                    assert!(!shape::messages("A", 1, &entry).is_empty());
                }
                rest = rest.get(used..).unwrap_or_default();
                reach -= used;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sources::postgres::entry::Label;

    fn stderr() -> Reader {
        Reader::Stderr(Prefix::parse("%m [%p] ").unwrap())
    }

    const AT: &str = "2026-11-20 17:46:48.383 UTC";

    #[test]
    fn a_plain_event_ends_where_another_begins_or_all_is_quiet() {
        let event = format!(
            "{AT} [7] ERROR:  a\n\tb\n{AT} [7] DETAIL:  c\n{AT} [7] STATEMENT:  d\n\t\n\te\n"
        );
        let reader = stderr();
        assert_eq!(reader.next(event.as_bytes(), false), None);
        let (found, used) = reader.next(event.as_bytes(), true).unwrap();
        assert_eq!(used, event.len());
        let Found::Event(entry) = found else {
            panic!("{found:?}");
        };
        assert_eq!(entry.message, "a\nb");
        let expected = [
            (Label::Detail, "c".to_owned()),
            (Label::Statement, "d\n\ne".to_owned()),
        ];
        assert_eq!(entry.parts, expected);
        for behind in [
            format!("{AT} [7] LOG:  x\n"),
            format!("{AT} [8] DETAIL:  x\n"),
            "foreign\n".to_owned(),
        ] {
            let bytes = format!("{event}{behind}");
            let (_, used) = reader.next(bytes.as_bytes(), false).unwrap();
            assert_eq!(used, event.len(), "{behind}");
        }
        let half = format!("{event}{AT} [7] LO");
        assert_eq!(
            reader.next(half.as_bytes(), true),
            None,
            "half a line may be a label"
        );
    }

    #[test]
    fn where_an_event_begins_is_seen() {
        let plain = format!("{AT} [7] LOG:  a\n");
        let label = format!("{AT} [7] DETAIL:  a\n");
        for (reader, line, expected) in [
            (Reader::Json, "{\"timestamp\"", true),
            (Reader::Json, "x\"}", false),
            (Reader::Csv, "2026-11-20 17:46:48.383 UTC,", true),
            (Reader::Csv, "2026-11-20", false),
            (Reader::Csv, "  from x\n", false),
            (stderr(), &plain, true),
            (stderr(), &label, false),
            (stderr(), "\tfrom x\n", false),
        ] {
            assert_eq!(reader.begins(line.as_bytes()), expected, "{line}");
        }
    }

    #[test]
    fn foreign_lines_are_kept_and_torn_ones_skipped() {
        let foreign = Found::Foreign("cp: no".to_owned());
        assert_eq!(stderr().next(b"cp: no\nx", false), Some((foreign, 7)));
        let torn = Some((Found::Unreadable, 4));
        assert_eq!(Reader::Json.next(b"e\"}\n{", false), torn);
        assert_eq!(Reader::Csv.next(b"b\",\n2026", false), torn);
        assert_eq!(Reader::Csv.next(b"2,x\n2026", false), torn);
        for reader in [Reader::Json, Reader::Csv, stderr()] {
            assert_eq!(reader.next(b"", true), None);
            assert_eq!(reader.next(b"2026", true), None);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            fuzz_postgres(&bytes);
        }

        #[test]
        fn likely_bytes_are_read(
            lines in prop::collection::vec(
                "(2026-11-20 17:46:48.383 UTC \\[[78]\\] (LOG|DETAIL|ERROR):  )?[\ta\",{}:]{0,5}\n",
                0..9,
            ),
        ) {
            fuzz_postgres(format!("\u{3}{}", lines.concat()).as_bytes());
        }
    }
}
