//! An event as the columns of csvlog or the keys of jsonlog name it.

use crate::sources::postgres::entry::Entry;
use crate::sources::postgres::entry::Field;
use crate::sources::postgres::entry::Header;
use crate::sources::postgres::entry::Label;
use crate::sources::postgres::entry::Severity;

/// The columns that are used. What is empty is as good as absent.
#[derive(Debug, Default)]
pub(crate) struct Row {
    pub(crate) time: String,
    pub(crate) user: String,
    pub(crate) database: String,
    pub(crate) pid: String,
    /// As `%r` writes it: `host(port)`, or `[local]`.
    pub(crate) source: String,
    pub(crate) session: String,
    pub(crate) line: String,
    pub(crate) start: String,
    pub(crate) vxid: String,
    pub(crate) txid: String,
    pub(crate) severity: String,
    pub(crate) state: String,
    pub(crate) message: String,
    pub(crate) detail: String,
    pub(crate) hint: String,
    pub(crate) query: String,
    pub(crate) query_position: String,
    pub(crate) context: String,
    pub(crate) statement: String,
    pub(crate) position: String,
    pub(crate) location: String,
    pub(crate) application: String,
}

impl Row {
    /// The event; `None` when its severity or its process is none.
    pub(crate) fn into_entry(mut self) -> Option<Entry> {
        let severity = Severity::parse(&self.severity)?;
        if self.pid.parse::<u32>().is_err() {
            return None;
        }
        if self.state.is_empty() {
            self.state = "00000".to_owned();
        }
        if !self.location.is_empty() {
            // Only `log_error_verbosity = verbose` brings it, and then the state stands here, too.
            self.message = format!("{}: {}", self.state, self.message);
        }
        let position = [&self.position, &self.query_position];
        if let Some(position) = position.into_iter().find(|text| 0 < number(text)) {
            self.message.push_str(&format!(" at character {position}"));
        }
        let header = self.header();
        let parts = [
            (Label::Detail, self.detail),
            (Label::Hint, self.hint),
            (Label::Query, self.query),
            (Label::Context, self.context),
            (Label::Location, self.location),
            (Label::Statement, self.statement),
        ];
        Some(Entry {
            header,
            severity,
            message: self.message,
            parts: parts
                .into_iter()
                .filter(|(_, text)| !text.is_empty())
                .collect(),
        })
    }

    /// The fields in front of it. Those of a session are there for a process that serves one, with
    /// Postgres' word for what is not known of it.
    fn header(&self) -> Header {
        let mut header = Header::default();
        for (field, text) in [
            (Field::State, &self.state),
            (Field::Time, &self.time),
            (Field::Pid, &self.pid),
            (Field::Start, &self.start),
            (Field::Session, &self.session),
            (Field::Vxid, &self.vxid),
            (Field::Txid, &self.txid),
            (Field::Line, &self.line),
        ] {
            header.set(field, text);
        }
        let of_session = [
            (Field::Database, &self.database),
            (Field::Source, &self.source),
            (Field::User, &self.user),
            (Field::Application, &self.application),
        ];
        // A background process has an application name when it belongs to a parallel query, but
        // neither a user nor a peer.
        let has_session = !self.source.is_empty() || !self.user.is_empty();
        for (field, text) in of_session.into_iter().filter(|_| has_session) {
            let is_unknown = text.is_empty() && field != Field::Source;
            header.set(field, if is_unknown { "[unknown]" } else { text });
        }
        header
    }
}

fn number(text: &str) -> u64 {
    text.parse().unwrap_or(0)
}
