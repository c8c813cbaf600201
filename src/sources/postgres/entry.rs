//! One event of a Postgres server's log, however it was written.

use crate::syslog::message::Pri;

/// How grave an event is, as Postgres says it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Severity {
    /// `DEBUG1` to `DEBUG5`.
    Debug(u8),
    /// `LOG`
    Log,
    /// `INFO`
    Info,
    /// `NOTICE`
    Notice,
    /// `WARNING`
    Warning,
    /// `ERROR`: a statement failed.
    Error,
    /// `FATAL`: a session ended.
    Fatal,
    /// `PANIC`: all sessions ended.
    Panic,
}

impl Severity {
    /// The severity called `word`. Servers whose `lc_messages` is not English say other words.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "LOG" => Self::Log,
            "INFO" => Self::Info,
            "NOTICE" => Self::Notice,
            "WARNING" => Self::Warning,
            "ERROR" => Self::Error,
            "FATAL" => Self::Fatal,
            "PANIC" => Self::Panic,
            "DEBUG" => Self::Debug(1),
            _ => match word.strip_prefix("DEBUG")?.as_bytes() {
                [digit @ b'1'..=b'5'] => Self::Debug(digit - b'0'),
                _ => return None,
            },
        })
    }

    /// Its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Debug(5) => "DEBUG5",
            Self::Debug(4) => "DEBUG4",
            Self::Debug(3) => "DEBUG3",
            Self::Debug(2) => "DEBUG2",
            Self::Debug(_) => "DEBUG1",
            Self::Log => "LOG",
            Self::Info => "INFO",
            Self::Notice => "NOTICE",
            Self::Warning => "WARNING",
            Self::Error => "ERROR",
            Self::Fatal => "FATAL",
            Self::Panic => "PANIC",
        }
    }

    /// The PRI under which Postgres' syslog destination sends it, facility local0.
    #[must_use]
    pub const fn pri(self) -> Pri {
        let severity = match self {
            Self::Debug(_) => 7,
            Self::Log | Self::Info => 6,
            Self::Notice | Self::Warning => 5,
            Self::Error => 4,
            Self::Fatal => 3,
            Self::Panic => 2,
        };
        Pri::or_default(LOCAL0 + severity)
    }
}

/// The facility local0, as a PRI.
pub(crate) const LOCAL0: u32 = 16 * 8;

/// What stands in front of an event's text, in the order of Heroku's `log_line_prefix`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Field {
    /// `%e`: SQLSTATE.
    State,
    /// `%m`: when.
    Time,
    /// `%p`: which process.
    Pid,
    /// `%s`: when the process started.
    Start,
    /// `%c`: the session's id.
    Session,
    /// `%v`: virtual transaction.
    Vxid,
    /// `%x`: transaction, 0 if it has none.
    Txid,
    /// `%l`: number of the event in its session.
    Line,
    /// `%d`, sessions only.
    Database,
    /// `%r`: who is connected, sessions only.
    Source,
    /// `%u`, sessions only.
    User,
    /// `%a`, sessions only.
    Application,
}

impl Field {
    /// All of them, in order.
    pub(crate) const ALL: [Self; 12] = [
        Self::State,
        Self::Time,
        Self::Pid,
        Self::Start,
        Self::Session,
        Self::Vxid,
        Self::Txid,
        Self::Line,
        Self::Database,
        Self::Source,
        Self::User,
        Self::Application,
    ];

    /// Its key in Heroku's prefix.
    #[must_use]
    pub(crate) const fn key(self) -> &'static str {
        match self {
            Self::State => "sql_error_code",
            Self::Time => "time_ms",
            Self::Pid => "pid",
            Self::Start => "proc_start_time",
            Self::Session => "session_id",
            Self::Vxid => "vtid",
            Self::Txid => "tid",
            Self::Line => "log_line",
            Self::Database => "database",
            Self::Source => "connection_source",
            Self::User => "user",
            Self::Application => "application_name",
        }
    }
}

/// The fields that are known. An empty one is known to be empty; a process that serves no client
/// has none of the last four.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Header {
    fields: [Option<Box<str>>; Field::ALL.len()],
}

impl Header {
    /// The field's text, if it is known.
    #[must_use]
    pub fn get(&self, field: Field) -> Option<&str> {
        self.fields.get(field as usize)?.as_deref()
    }

    /// Sets a field.
    pub fn set(&mut self, field: Field, text: &str) {
        if let Some(place) = self.fields.get_mut(field as usize) {
            *place = Some(text.into());
        }
    }

    /// Forgets `fields`.
    pub(crate) fn unset(&mut self, fields: &[Field]) {
        for field in fields {
            if let Some(place) = self.fields.get_mut(*field as usize) {
                *place = None;
            }
        }
    }

    /// The process, if it is known.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.get(Field::Pid)?.parse().ok()
    }
}

/// A line of an event besides its first.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Label {
    /// `DETAIL`
    Detail,
    /// `HINT`
    Hint,
    /// `QUERY`: a statement inside a function.
    Query,
    /// `CONTEXT`
    Context,
    /// `LOCATION`: in Postgres' source, with `log_error_verbosity = verbose`.
    Location,
    /// `BACKTRACE`
    Backtrace,
    /// `STATEMENT`
    Statement,
}

impl Label {
    /// All of them, in the order in which Postgres writes them.
    pub(crate) const ALL: [Self; 7] = [
        Self::Detail,
        Self::Hint,
        Self::Query,
        Self::Context,
        Self::Location,
        Self::Backtrace,
        Self::Statement,
    ];

    /// Its word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Detail => "DETAIL",
            Self::Hint => "HINT",
            Self::Query => "QUERY",
            Self::Context => "CONTEXT",
            Self::Location => "LOCATION",
            Self::Backtrace => "BACKTRACE",
            Self::Statement => "STATEMENT",
        }
    }

    /// The label called `word`.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|label| label.word() == word)
    }
}

/// An event.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Entry {
    /// What is known of where it comes from.
    pub header: Header,
    /// How grave it is.
    pub severity: Severity,
    /// What happened, with ` at character N` where that is known. Lines end in `\n`.
    pub message: String,
    /// The rest, in order.
    pub parts: Vec<(Label, String)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn severities_have_their_words_and_numbers() {
        for (word, pri) in [
            ("DEBUG5", 135),
            ("DEBUG1", 135),
            ("LOG", 134),
            ("INFO", 134),
            ("NOTICE", 133),
            ("WARNING", 133),
            ("ERROR", 132),
            ("FATAL", 131),
            ("PANIC", 130),
        ] {
            let severity = Severity::parse(word).unwrap();
            assert_eq!(severity.word(), word);
            assert_eq!(severity.pri().value(), pri, "{word}");
        }
        for bad in ["", "log", "DEBUG6", "DEBUG11", "LOGS", "HINT"] {
            assert_eq!(Severity::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn fields_have_their_places() {
        let mut header = Header::default();
        for field in Field::ALL {
            assert_eq!(header.get(field), None);
            header.set(field, field.key());
        }
        for field in Field::ALL {
            assert_eq!(header.get(field), Some(field.key()));
        }
        assert_eq!(header.pid(), None);
        header.set(Field::Pid, "17");
        assert_eq!(header.pid(), Some(17));
    }
}
