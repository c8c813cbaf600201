//! jsonlog (Postgres 15 and later): an object a line.

use serde::Deserialize;

use crate::sources::postgres::entry::Entry;
use crate::sources::postgres::row::Row;

/// The event of one line; `None` when it is none.
#[must_use]
pub fn parse(line: &[u8]) -> Option<Entry> {
    // The file holds the database's bytes, of whatever encoding.
    let text = String::from_utf8_lossy(line);
    let keys: Keys = serde_json::from_str(&text).ok()?;
    keys.into_row().into_entry()
}

#[derive(Deserialize)]
struct Keys {
    timestamp: String,
    pid: u32,
    error_severity: String,
    #[serde(default)]
    user: String,
    #[serde(default)]
    dbname: String,
    #[serde(default)]
    remote_host: String,
    remote_port: Option<Port>,
    #[serde(default)]
    session_id: String,
    line_num: Option<u64>,
    #[serde(default)]
    session_start: String,
    #[serde(default)]
    vxid: String,
    txid: Option<u64>,
    #[serde(default)]
    state_code: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    detail: String,
    #[serde(default)]
    hint: String,
    #[serde(default)]
    internal_query: String,
    internal_position: Option<u64>,
    #[serde(default)]
    context: String,
    #[serde(default)]
    statement: String,
    cursor_position: Option<u64>,
    #[serde(default)]
    func_name: String,
    #[serde(default)]
    file_name: String,
    file_line_num: Option<u64>,
    #[serde(default)]
    application_name: String,
}

/// A number in Postgres 15, a string in others.
#[derive(Deserialize)]
#[serde(untagged)]
enum Port {
    Number(u32),
    Text(String),
}

impl Keys {
    fn into_row(self) -> Row {
        let location = self.location();
        let source = match &self.remote_port {
            Some(Port::Number(port)) => format!("{}({port})", self.remote_host),
            Some(Port::Text(port)) if !port.is_empty() => format!("{}({port})", self.remote_host),
            _ => self.remote_host,
        };
        Row {
            time: self.timestamp,
            user: self.user,
            database: self.dbname,
            pid: self.pid.to_string(),
            source,
            session: self.session_id,
            line: text(self.line_num),
            start: self.session_start,
            vxid: self.vxid,
            txid: text(self.txid),
            severity: self.error_severity,
            state: self.state_code,
            message: self.message,
            detail: self.detail,
            hint: self.hint,
            query: self.internal_query,
            query_position: text(self.internal_position),
            context: self.context,
            statement: self.statement,
            position: text(self.cursor_position),
            location,
            application: self.application_name,
        }
    }

    /// `function, file:line`, or what there is of it.
    fn location(&self) -> String {
        let Some(line) = self.file_line_num.filter(|_| !self.file_name.is_empty()) else {
            return String::new();
        };
        let place = format!("{}:{line}", self.file_name);
        if self.func_name.is_empty() {
            return place;
        }
        format!("{}, {place}", self.func_name)
    }
}

fn text(number: Option<u64>) -> String {
    number.map_or_else(String::new, |number| number.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::postgres::entry::Field;
    use crate::sources::postgres::entry::Label;
    use crate::sources::postgres::entry::Severity;

    const LINE: &str = r#"{"timestamp":"2026-11-20 17:46:48.383 UTC","user":"anna","dbname":"shop","pid":6442,"remote_host":"127.0.0.1","remote_port":40112,"session_id":"691f54c0.192a","line_num":7,"ps":"SELECT","session_start":"2026-11-20 17:46:40 UTC","vxid":"3/12","txid":0,"error_severity":"ERROR","state_code":"42P01","message":"relation \"x\" does not exist","hint":"look\nagain","statement":"select *\nfrom x","cursor_position":15,"application_name":"psql","backend_type":"client backend","query_id":0}"#;

    #[test]
    fn a_line_is_an_event() {
        let entry = parse(LINE.as_bytes()).unwrap();
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
            (Field::State, "42P01"),
            (Field::Pid, "6442"),
            (Field::Line, "7"),
            (Field::Source, "127.0.0.1(40112)"),
            (Field::Application, "psql"),
        ] {
            assert_eq!(entry.header.get(field), Some(expected));
        }
    }

    #[test]
    fn a_background_process_has_no_session() {
        let line = r#"{"timestamp":"t","pid":1,"error_severity":"LOG","message":"m","application_name":"a"}"#;
        let entry = parse(line.as_bytes()).unwrap();
        assert_eq!(entry.header.get(Field::State), Some("00000"));
        assert_eq!(entry.header.get(Field::Vxid), Some(""));
        assert_eq!(entry.header.get(Field::User), None);
        assert_eq!(entry.header.get(Field::Application), None);
        let line = r#"{"timestamp":"t","pid":1,"remote_host":"[local]","error_severity":"LOG"}"#;
        let entry = parse(line.as_bytes()).unwrap();
        assert_eq!(entry.header.get(Field::Source), Some("[local]"));
        assert_eq!(entry.header.get(Field::User), Some("[unknown]"));
    }

    #[test]
    fn verbose_events_say_where_in_the_source() {
        let line = r#"{"timestamp":"t","pid":1,"error_severity":"LOG","message":"m","func_name":"f","file_name":"a.c","file_line_num":12}"#;
        let entry = parse(line.as_bytes()).unwrap();
        assert_eq!(entry.message, "00000: m");
        assert_eq!(entry.parts, [(Label::Location, "f, a.c:12".to_owned())]);
    }

    #[test]
    fn other_lines_are_none() {
        for bad in [
            "",
            "{",
            "[]",
            "{}",
            "null",
            r#"{"timestamp":"t","pid":-1,"error_severity":"LOG"}"#,
            r#"{"timestamp":"t","pid":1,"error_severity":"LAUT"}"#,
        ] {
            assert_eq!(parse(bad.as_bytes()), None, "{bad}");
        }
    }
}
