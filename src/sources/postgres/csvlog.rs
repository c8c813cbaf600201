//! csvlog: a record an event, 23 columns (Postgres 12) to 26 (14 and later). Between quotes a field
//! may hold newlines, so that a record spans lines, and a quote stands for itself twice.

use crate::sources::postgres::entry::Entry;
use crate::sources::postgres::row::Row;

/// How many of `bytes` the first record takes, its newline included; `None` while it has no end.
#[must_use]
pub fn record(bytes: &[u8]) -> Option<usize> {
    let mut is_quoted = false;
    for at in memchr::memchr2_iter(b'"', b'\n', bytes) {
        match bytes.get(at) {
            // A doubled quote ends the field and begins it again: nothing lies between.
            Some(b'"') => is_quoted = !is_quoted,
            _ if !is_quoted => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// The event of one record; `None` when it is none.
#[must_use]
pub fn parse(record: &[u8]) -> Option<Entry> {
    let text = String::from_utf8_lossy(record);
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let mut fields = fields(text)?.into_iter();
    let mut next = || fields.next();
    let row = Row {
        time: next()?,
        user: next()?,
        database: next()?,
        pid: next()?,
        source: source(&next()?),
        session: next()?,
        line: next()?,
        start: {
            let _command = next()?;
            next()?
        },
        vxid: next()?,
        txid: next()?,
        severity: next()?,
        state: next()?,
        message: next()?,
        detail: next()?,
        hint: next()?,
        query: next()?,
        query_position: next()?,
        context: next()?,
        statement: next()?,
        position: next()?,
        location: next()?,
        application: next()?,
    };
    row.into_entry()
}

/// `host:port` as `%r` writes it.
fn source(connection: &str) -> String {
    match connection.rsplit_once(':') {
        Some((host, port)) => format!("{host}({port})"),
        None => connection.to_owned(),
    }
}

/// The fields of a record; `None` when a quote stands where none may.
fn fields(record: &str) -> Option<Vec<String>> {
    let mut fields = Vec::new();
    let mut rest = record;
    loop {
        let (field, behind) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_field(quoted)?,
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                let (field, behind) = rest.split_at(end);
                if field.contains('"') {
                    return None;
                }
                (field.to_owned(), behind)
            }
        };
        fields.push(field);
        if behind.is_empty() {
            return Some(fields);
        }
        rest = behind.strip_prefix(',')?;
    }
}

/// A field whose first quote was read, and what stands behind its last.
fn quoted_field(mut rest: &str) -> Option<(String, &str)> {
    let mut field = String::new();
    loop {
        let (part, behind) = rest.split_once('"')?;
        field.push_str(part);
        match behind.strip_prefix('"') {
            Some(more) => {
                field.push('"');
                rest = more;
            }
            None => return Some((field, behind)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sources::postgres::entry::Field;
    use crate::sources::postgres::entry::Label;
    use crate::sources::postgres::entry::Severity;

    const RECORD: &str = "2026-11-20 17:46:48.383 UTC,\"anna\",\"shop\",6442,\"127.0.0.1:40112\",\
        691f54c0.192a,7,\"SELECT\",2026-11-20 17:46:40 UTC,3/12,0,ERROR,42P01,\
        \"relation \"\"x\"\" does not exist\",,\"look\nagain\",,,,\"select *\nfrom x\",15,,\"psql\",\
        \"client backend\",,0\n";

    #[test]
    fn a_record_is_an_event() {
        let more = format!("{RECORD}2026");
        assert_eq!(record(more.as_bytes()), Some(RECORD.len()));
        let entry = parse(RECORD.as_bytes()).unwrap();
        assert_eq!(entry.severity, Severity::Error);
        assert_eq!(
            entry.message,
            "relation \"x\" does not exist at character 15"
        );
        let expected = [
            (Label::Hint, "look\nagain".to_owned()),
            (Label::Statement, "select *\nfrom x".to_owned()),
        ];
        assert_eq!(entry.parts, expected);
        for (field, expected) in [
            (Field::Start, "2026-11-20 17:46:40 UTC"),
            (Field::Vxid, "3/12"),
            (Field::Source, "127.0.0.1(40112)"),
            (Field::Application, "psql"),
        ] {
            assert_eq!(entry.header.get(field), Some(expected));
        }
    }

    #[test]
    fn other_records_are_none() {
        let short: String = RECORD.split_inclusive(',').take(12).collect();
        let misquoted = RECORD.replacen("anna\"", "anna\"x", 1);
        for bad in ["", "\n", ",\n", "\"", "a\"b", &short, &misquoted] {
            assert_eq!(parse(bad.as_bytes()), None, "{bad}");
        }
        for unfinished in ["", "a,b", "\"a\n", "\"a\"\"\n"] {
            assert_eq!(record(unfinished.as_bytes()), None, "{unfinished}");
        }
    }

    /// Letter by letter, with a word for where it stands.
    fn naive(text: &str) -> Option<(usize, Vec<String>)> {
        #[derive(PartialEq)]
        enum At {
            Start,
            Bare,
            Quoted,
            Quote,
        }
        let mut fields = vec![String::new()];
        let mut at = At::Start;
        for (index, letter) in text.char_indices() {
            let field = fields.last_mut().unwrap();
            at = match (at, letter) {
                (At::Quoted, '"') => At::Quote,
                (At::Quoted, letter) => {
                    field.push(letter);
                    At::Quoted
                }
                (At::Quote, '"') => {
                    field.push('"');
                    At::Quoted
                }
                (_, '\n') => return Some((index + 1, fields)),
                (_, ',') => {
                    fields.push(String::new());
                    At::Start
                }
                (At::Start, '"') => At::Quoted,
                (At::Quote, _) | (_, '"') => return None,
                (_, letter) => {
                    field.push(letter);
                    At::Bare
                }
            };
        }
        None
    }

    proptest! {
        #[test]
        fn records_are_read_as_the_naive_reader_reads_them(text in "[a\",\nä]{0,24}") {
            if let Some((end, expected)) = naive(&text) {
                prop_assert_eq!(record(text.as_bytes()), Some(end));
                prop_assert_eq!(fields(text.split_at(end - 1).0), Some(expected));
            }
        }

        #[test]
        fn what_is_written_is_read(
            written in prop::collection::vec(("[a\",\n ]{0,6}", any::<bool>()), 1..9),
            behind in "[a\",\n]{0,5}",
        ) {
            let row: Vec<String> = written
                .iter()
                .map(|(field, is_quoted)| {
                    if *is_quoted || field.contains(['"', ',', '\n']) {
                        format!("\"{}\"", field.replace('"', "\"\""))
                    } else {
                        field.clone()
                    }
                })
                .collect();
            let row = row.join(",");
            let end = record(format!("{row}\n{behind}").as_bytes());
            prop_assert_eq!(end, Some(row.len() + 1));
            let expected: Vec<String> = written.into_iter().map(|(field, _)| field).collect();
            prop_assert_eq!(fields(&row), Some(expected));
        }
    }
}
