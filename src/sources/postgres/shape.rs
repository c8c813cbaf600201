//! Events as Heroku Postgres' messages: what Postgres' own syslog destination sends with Heroku's
//! `log_line_prefix`, and the attachment's name in front of it.
//!
//! ```text
//! [DATABASE] [7-1]  sql_error_code = 42P01 time_ms = "…" pid="42" … ERROR:  relation "x" does
//! [DATABASE] [7-2] \tnot exist at character 15
//! [DATABASE] [7-3]  sql_error_code = 42P01 time_ms = "…" pid="42" … STATEMENT:  select * from x
//! ```
//!
//! One event has one number (7), its lines are counted (1, 2, 3). Lines after the first of a text
//! begin with a tab, and a line over the limit goes on as the next one.

use std::fmt::Write;

use crate::limits::POSTGRES_CHUNK_BYTES_MAX;
use crate::sources::postgres::entry::Entry;
use crate::sources::postgres::entry::Field;
use crate::sources::postgres::entry::Header;

/// The event's lines as messages of the attachment `name`, numbered `seq`.
#[must_use]
pub fn messages(name: &str, seq: u64, entry: &Entry) -> Vec<String> {
    number(name, seq, &text(entry))
}

/// `text`'s lines as messages.
#[must_use]
pub(crate) fn number(name: &str, seq: u64, text: &str) -> Vec<String> {
    let numbered = |(index, chunk)| format!("[{name}] [{seq}-{}] {chunk}", index + 1);
    chunks(text).into_iter().enumerate().map(numbered).collect()
}

/// The event's text, prefix and all.
fn text(entry: &Entry) -> String {
    let prefix = prefix(&entry.header);
    let mut text = String::new();
    let first = (entry.severity.word(), &entry.message);
    let others = entry.parts.iter().map(|(label, text)| (label.word(), text));
    for (word, said) in std::iter::once(first).chain(others) {
        let said = said.replace('\n', "\n\t");
        // Writing to a `String` cannot fail.
        if writeln!(text, "{prefix}{word}:  {said}").is_err() { /* see above */ }
    }
    text
}

/// Heroku's prefix, without what is not known.
fn prefix(header: &Header) -> String {
    let mut prefix = String::from(" ");
    for field in Field::ALL {
        let Some(value) = header.get(field) else {
            continue;
        };
        let written = match field {
            Field::State => write!(prefix, "{} = {value} ", field.key()),
            Field::Time => write!(prefix, "{} = \"{value}\" ", field.key()),
            _ => write!(prefix, "{}=\"{value}\" ", field.key()),
        };
        // Writing to a `String` cannot fail.
        if written.is_err() { /* see above */ }
    }
    prefix
}

/// The lines of `text`, none empty, none over the limit. One over it is divided at its last white
/// space within, which begins the next; if there is none, in front of a character.
#[must_use]
pub(crate) fn chunks(text: &str) -> Vec<&str> {
    let mut chunks = Vec::new();
    for mut line in text.split('\n') {
        while !line.is_empty() {
            let (chunk, rest) = line.split_at(cut(line));
            chunks.push(chunk);
            line = rest;
        }
    }
    chunks
}

/// Where the first chunk of `line` ends; 0 only if there is none.
fn cut(line: &str) -> usize {
    if line.len() <= POSTGRES_CHUNK_BYTES_MAX {
        return line.len();
    }
    let end = line.floor_char_boundary(POSTGRES_CHUNK_BYTES_MAX);
    let (within, behind) = line.split_at(end);
    if behind.starts_with(is_space) {
        return end;
    }
    match within.rfind(is_space) {
        // A chunk that were empty would not get on.
        Some(0) | None => end,
        Some(space) => space,
    }
}

/// C's `isspace`.
const fn is_space(letter: char) -> bool {
    matches!(letter, ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use regex::Regex;

    use super::*;
    use crate::sources::postgres::entry::Label;
    use crate::sources::postgres::entry::Severity;

    fn entry() -> Entry {
        let mut header = Header::default();
        for (field, text) in [
            (Field::State, "42P01"),
            (Field::Time, "2026-11-20 17:46:48.383 UTC"),
            (Field::Pid, "6442"),
            (Field::Start, "2026-11-20 17:46:40 UTC"),
            (Field::Session, "691f54c0.192a"),
            (Field::Vxid, "3/12"),
            (Field::Txid, "0"),
            (Field::Line, "7"),
            (Field::Database, "shop"),
            (Field::Source, "127.0.0.1(40112)"),
            (Field::User, "anna"),
            (Field::Application, "psql"),
        ] {
            header.set(field, text);
        }
        Entry {
            header,
            severity: Severity::Error,
            message: "relation \"x\" does not exist at character 15".to_owned(),
            parts: vec![(Label::Statement, "select *\n\nfrom x".to_owned())],
        }
    }

    #[test]
    fn an_event_looks_like_herokus() {
        let prefix = " sql_error_code = 42P01 time_ms = \"2026-11-20 17:46:48.383 UTC\" \
                      pid=\"6442\" proc_start_time=\"2026-11-20 17:46:40 UTC\" \
                      session_id=\"691f54c0.192a\" vtid=\"3/12\" tid=\"0\" log_line=\"7\" \
                      database=\"shop\" connection_source=\"127.0.0.1(40112)\" user=\"anna\" \
                      application_name=\"psql\" ";
        assert_eq!(
            messages("DATABASE", 7, &entry()),
            [
                format!(
                    "[DATABASE] [7-1] {prefix}ERROR:  relation \"x\" does not exist at character 15"
                ),
                format!("[DATABASE] [7-2] {prefix}STATEMENT:  select *"),
                "[DATABASE] [7-3] \t".to_owned(),
                "[DATABASE] [7-4] \tfrom x".to_owned(),
            ]
        );
    }

    #[test]
    fn what_reads_herokus_messages_reads_these() {
        // What pganalyze's collector expects: of every line, and of the prefix.
        let line = Regex::new(r"^\[(\w+)\] \[(\d+)-(\d+)\](?: (.+))?").unwrap();
        let time = r"(\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}(?:\.\d+)? [\-+]?\w+)";
        let prefix = Regex::new(&format!(
            "^ sql_error_code = (\\w{{5}}) time_ms = \"{time}\" pid=\"(\\d+)\" \
             proc_start_time=\"{time}\" session_id=\"(\\w+\\.\\w+)\" vtid=\"(\\d+/\\d+)?\" \
             tid=\"(\\d+)\" log_line=\"(\\d+)\" (?:database=\"(\\S*)\" \
             connection_source=\"(.+(?:\\(\\d+\\))?)?\" user=\"(\\S*)\" \
             application_name=\"(.*)\" )?(\\w+):\\s+(.*\\n?)$"
        ))
        .unwrap();
        for (index, message) in messages("DATABASE", 7, &entry()).iter().enumerate() {
            let found = line.captures(message).unwrap();
            assert_eq!(&found[1], "DATABASE");
            assert_eq!(&found[2], "7");
            assert_eq!(found[3].parse(), Ok(index + 1));
            if !found[4].starts_with('\t') {
                let read = prefix.captures(&found[4]).unwrap();
                assert_eq!(&read[3], "6442");
            }
        }
        let mut background = entry();
        background.header = Header::default();
        for field in &Field::ALL[..8] {
            let text = entry().header.get(*field).unwrap().to_owned();
            background.header.set(*field, &text);
        }
        let message = &messages("DATABASE", 7, &background)[0];
        assert!(prefix.is_match(&line.captures(message).unwrap()[4]));
    }

    #[test]
    fn long_lines_are_divided_as_postgres_divides_them() {
        let check = |text: &str, lengths: &[usize]| {
            let found: Vec<usize> = chunks(text).iter().map(|chunk| chunk.len()).collect();
            assert_eq!(found, lengths, "{text:?}");
        };
        let word = "x".repeat(POSTGRES_CHUNK_BYTES_MAX);
        check(&word, &[900]);
        check(&format!("{word}y"), &[900, 1]);
        check(&format!("{word} y"), &[900, 2]);
        check(&format!(" {word}"), &[900, 1]);
        check(&format!("a {word}"), &[1, 900, 1]);
        check(&format!("a {} b", "x".repeat(897)), &[899, 2]);
        check("", &[]);
        check("\n\na\n\tb\n", &[1, 2]);
        // A letter of two bytes across the limit goes to the next chunk.
        check(&format!("{}ä", "x".repeat(899)), &[899, 2]);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_by_dividing(text in "([a-zäß€ \t]{0,30}|\n|x{890}|ä{500}){0,12}") {
            let chunks = chunks(&text);
            prop_assert_eq!(chunks.concat(), text.replace('\n', ""));
            for chunk in chunks {
                prop_assert!((1..=POSTGRES_CHUNK_BYTES_MAX).contains(&chunk.len()));
            }
        }
    }
}
