//! Lines that begin with a `log_line_prefix`, read by that setting.
//!
//! The setting is made into one regular expression: what stands in it word for word, a group for
//! each escape, and behind them the severity or label. Users choose names that hold anything, so the
//! expression of a name takes as little as it can for the rest to fit.

use regex::bytes::Captures;
use regex::bytes::Regex;
use regex::bytes::RegexBuilder;

use crate::limits::POSTGRES_PREFIX_BYTES_MAX;
use crate::limits::POSTGRES_PREFIX_REGEX_BYTES_MAX;
use crate::sources::postgres::entry::Field;
use crate::sources::postgres::entry::Header;
use crate::sources::postgres::entry::Label;
use crate::sources::postgres::entry::Severity;

/// The prefix that Heroku's servers have.
pub(crate) const HEROKU: &str = " sql_error_code = %e time_ms = \"%m\" pid=\"%p\" \
    proc_start_time=\"%s\" session_id=\"%c\" vtid=\"%v\" tid=\"%x\" log_line=\"%l\" \
    %qdatabase=\"%d\" connection_source=\"%r\" user=\"%u\" application_name=\"%a\" ";

/// A compiled `log_line_prefix`.
#[derive(Clone, Debug)]
pub struct Prefix {
    regex: Regex,
    /// Of the groups, in order; whether spaces may stand around it.
    fields: Vec<(Field, bool)>,
}

/// Why a text is no `log_line_prefix` that can be read.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PrefixError {
    /// It does not say which process a line comes from.
    #[error("it has neither %p nor %c, and lines without a process cannot be put together")]
    NoProcess,
    /// It is absurdly long.
    #[error("it is longer than {POSTGRES_PREFIX_BYTES_MAX} bytes")]
    TooLong,
}

/// What a line begins with, and its text.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Start<'a> {
    pub(crate) header: Header,
    pub(crate) word: Word,
    pub(crate) text: &'a [u8],
}

/// What stands in front of the text.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Word {
    /// An event begins.
    Severity(Severity),
    /// The event goes on.
    Label(Label),
}

impl Prefix {
    /// Compiles the setting.
    ///
    /// # Errors
    /// When lines so marked could not be put together to events.
    pub fn parse(setting: &str) -> Result<Self, PrefixError> {
        if POSTGRES_PREFIX_BYTES_MAX < setting.len() {
            return Err(PrefixError::TooLong);
        }
        let (pattern, fields) = pattern(setting);
        let names_process = |(field, _): &_| matches!(field, Field::Pid | Field::Session);
        if !fields.iter().any(names_process) {
            return Err(PrefixError::NoProcess);
        }
        let regex = RegexBuilder::new(&pattern)
            .size_limit(POSTGRES_PREFIX_REGEX_BYTES_MAX)
            .unicode(false)
            .build()
            .map_err(|_| PrefixError::TooLong)?;
        Ok(Self { regex, fields })
    }

    /// Whether lines say their SQLSTATE: without it messages are not quite Heroku's.
    #[must_use]
    pub(crate) fn has_state(&self) -> bool {
        self.fields.iter().any(|(field, _)| *field == Field::State)
    }

    /// What `line` begins with; `None` when it begins nothing.
    #[must_use]
    pub(crate) fn read<'a>(&self, line: &'a [u8]) -> Option<Start<'a>> {
        let found = self.regex.captures(line)?;
        let word = str::from_utf8(found.name("word")?.as_bytes()).ok()?;
        let word = match Severity::parse(word) {
            Some(severity) => Word::Severity(severity),
            None => Word::Label(Label::parse(word)?),
        };
        let text = line.get(found.get(0)?.end()..)?;
        Some(Start {
            header: self.header(&found),
            word,
            text,
        })
    }

    /// The header of one line. A process is known from the session's id, too: it is its second part.
    fn header(&self, found: &Captures<'_>) -> Header {
        let mut header = Header::default();
        for (index, (field, is_padded)) in self.fields.iter().enumerate() {
            if let Some(group) = found.get(index + 1) {
                let text = String::from_utf8_lossy(group.as_bytes());
                header.set(
                    *field,
                    if *is_padded {
                        text.trim_matches(' ')
                    } else {
                        &text
                    },
                );
            }
        }
        if header.get(Field::Pid).is_none()
            && let Some((_, pid)) = header.get(Field::Session).and_then(|id| id.split_once('.'))
            && let Ok(pid) = u32::from_str_radix(pid, 16)
        {
            header.set(Field::Pid, &pid.to_string());
        }
        // A session has a word for what is not known of it; where nothing stands is no session.
        let named = [Field::User, Field::Database, Field::Application];
        if named.iter().any(|field| header.get(*field) == Some("")) {
            header.unset(&[named.as_slice(), &[Field::Source]].concat());
        }
        header
    }
}

/// The regular expression and the fields of its groups.
fn pattern(setting: &str) -> (String, Vec<(Field, bool)>) {
    let mut pattern = String::from("^");
    let mut fields = Vec::new();
    let mut open_count = 0;
    let mut rest = setting;
    while let Some((front, behind)) = rest.split_once('%') {
        pattern.push_str(&regex::escape(front));
        // A width may stand between: `%-10u`; the text is then filled up with spaces.
        let escape = behind.trim_start_matches(|c: char| c == '-' || c.is_ascii_digit());
        let is_padded = escape.len() != behind.len();
        let mut letters = escape.chars();
        match letters.next() {
            Some('%') => pattern.push('%'),
            Some('q') => {
                pattern.push_str("(?:");
                open_count += 1;
            }
            Some(letter) => {
                let (field, text) = escape_pattern(letter);
                let text = if is_padded {
                    format!(" *{text} *")
                } else {
                    text.to_owned()
                };
                match field {
                    Some(field) => {
                        fields.push((field, is_padded));
                        pattern.push_str(&format!("({text})"));
                    }
                    None => pattern.push_str(&format!("(?:{text})")),
                }
            }
            None => {}
        }
        rest = letters.as_str();
    }
    pattern.push_str(&regex::escape(rest));
    pattern.push_str(&")?".repeat(open_count));
    pattern.push_str("(?P<word>[A-Z]+[1-5]?):  ");
    (pattern, fields)
}

/// Which field an escape is, if it is kept, and what its text looks like.
fn escape_pattern(letter: char) -> (Option<Field>, &'static str) {
    const TIME: &str = r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:]{8}(?:\.[0-9]+)? [-+A-Za-z0-9:_/]+";
    match letter {
        'e' => (Some(Field::State), "[0-9A-Z]{5}"),
        'm' | 't' => (Some(Field::Time), TIME),
        'p' => (Some(Field::Pid), "[0-9]+"),
        's' => (Some(Field::Start), TIME),
        'c' => (Some(Field::Session), r"[0-9a-f]+\.[0-9a-f]+"),
        'v' => (Some(Field::Vxid), "(?:[0-9]+/[0-9]+)?"),
        'x' => (Some(Field::Txid), "[0-9]+"),
        'l' => (Some(Field::Line), "[0-9]+"),
        'd' => (Some(Field::Database), "[^\n]*?"),
        'r' => (Some(Field::Source), "[^\n]*?"),
        'u' => (Some(Field::User), "[^\n]*?"),
        'a' => (Some(Field::Application), "[^\n]*?"),
        'n' => (None, r"[0-9]+\.[0-9]+"),
        'P' | 'Q' => (None, "-?[0-9]*"),
        // %h, %b, %i, and what later versions have: anything.
        _ => (None, "[^\n]*?"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(setting: &str, line: &str, expected: &[(Field, &str)], text: &str) {
        let prefix = Prefix::parse(setting).unwrap();
        let start = prefix.read(line.as_bytes()).expect(line);
        for field in Field::ALL {
            let wanted = expected.iter().find(|(known, _)| *known == field);
            assert_eq!(
                start.header.get(field),
                wanted.map(|(_, text)| *text),
                "{line}"
            );
        }
        assert_eq!(str::from_utf8(start.text), Ok(text), "{line}");
    }

    #[test]
    fn lines_are_read_by_the_setting() {
        let time = "2026-11-20 17:46:48.383 UTC";
        check(
            "%m [%p] ",
            "2026-11-20 17:46:48.383 UTC [42] LOG:  hello",
            &[(Field::Time, time), (Field::Pid, "42")],
            "hello",
        );
        check(
            "%m [%p] %q%u@%d ",
            "2026-11-20 17:46:48.383 UTC [42] LOG:  hello: LOG:  x",
            &[(Field::Time, time), (Field::Pid, "42")],
            "hello: LOG:  x",
        );
        check(
            "%m [%p] %q%u@%d ",
            "2026-11-20 17:46:48.383 UTC [42] an@na@shop STATEMENT:  select",
            &[
                (Field::Time, time),
                (Field::Pid, "42"),
                (Field::User, "an"),
                (Field::Database, "na@shop"),
            ],
            "select",
        );
        check(
            "%p|%-8u|%5d|%% ",
            "42|anna    | shop|% DEBUG5:  ",
            &[
                (Field::Pid, "42"),
                (Field::User, "anna"),
                (Field::Database, "shop"),
            ],
            "",
        );
        check(
            "%p %u@%d:%r ",
            "42 @: FATAL:  x",
            &[(Field::Pid, "42")],
            "x",
        );
        check(
            "%t %c ",
            "2026-11-20 17:46:48 +03 691f54c0.192a LOG:  x",
            &[
                (Field::Time, "2026-11-20 17:46:48 +03"),
                (Field::Pid, "6442"),
                (Field::Session, "691f54c0.192a"),
            ],
            "x",
        );
    }

    #[test]
    fn what_begins_nothing_is_told() {
        let prefix = Prefix::parse("%m [%p] ").unwrap();
        for other in [
            "",
            "\tgoes on",
            "LOG:  no prefix",
            "2026-11-20 17:46:48.383 UTC [42] LOUD:  x",
            "2026-11-20 17:46:48.383 UTC [x] LOG:  x",
            "cp: cannot stat 'x'",
        ] {
            assert_eq!(prefix.read(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn settings_that_cannot_be_read_are_refused() {
        assert_eq!(Prefix::parse("").err(), Some(PrefixError::NoProcess));
        assert_eq!(Prefix::parse("%m %u ").err(), Some(PrefixError::NoProcess));
        let long = "x".repeat(POSTGRES_PREFIX_BYTES_MAX);
        let refused = Prefix::parse(&format!("%p{long}")).err();
        assert_eq!(refused, Some(PrefixError::TooLong));
        let many = "%p%-9a%d%t".repeat(POSTGRES_PREFIX_BYTES_MAX / 10);
        assert!(Prefix::parse(&many).is_ok(), "the bounds fit each other");
    }

    /// Writes a line as Postgres would.
    fn written(setting: &str, values: &[(char, String)], has_session: bool) -> String {
        let mut line = String::new();
        let mut letters = setting.chars();
        while let Some(letter) = letters.next() {
            if letter != '%' {
                line.push(letter);
                continue;
            }
            match letters.next() {
                Some('q') if !has_session => break,
                Some('q') => {}
                escape => {
                    let value = values.iter().find(|(name, _)| Some(*name) == escape);
                    line.push_str(&value.unwrap().1);
                }
            }
        }
        line
    }

    proptest! {
        #[test]
        fn what_a_server_writes_is_read(
            user in "[a-z_\" ]{1,8}",
            database in "[a-z\\[\\]]{1,8}",
            port in "\\([0-9]{1,5}\\)",
            vxid in "([0-9]{1,2}/[0-9]{1,4})?",
            text in "[ -~]{0,20}",
            has_session in any::<bool>(),
        ) {
            let values = [
                ('e', "42P01".to_owned()),
                ('m', "2026-11-20 17:46:48.383 CET".to_owned()),
                ('p', "77".to_owned()),
                ('s', "2026-11-20 17:46:48 CET".to_owned()),
                ('c', "691f54c0.4d".to_owned()),
                ('v', vxid.clone()),
                ('x', "0".to_owned()),
                ('l', "3".to_owned()),
                ('d', database.clone()),
                ('r', format!("::1{port}")),
                ('u', user.clone()),
                ('a', "[unknown]".to_owned()),
            ];
            let line = format!("{}ERROR:  {text}", written(HEROKU, &values, has_session));
            let prefix = Prefix::parse(HEROKU).unwrap();
            let start = prefix.read(line.as_bytes()).unwrap();
            prop_assert_eq!(start.text, text.as_bytes());
            prop_assert_eq!(start.word, Word::Severity(Severity::Error));
            prop_assert_eq!(start.header.get(Field::Vxid), Some(vxid.as_str()));
            let of_session = |text: &str| has_session.then(|| text.to_owned());
            let found = start.header.get(Field::Database).map(str::to_owned);
            prop_assert_eq!(found, of_session(&database));
            let found = start.header.get(Field::User).map(str::to_owned);
            prop_assert_eq!(found, of_session(&user));
        }
    }
}
