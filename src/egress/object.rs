//! A message as a line of JSON: all that is known of it, for readers that are programs. Pure.

use std::borrow::Cow;

use serde::Serialize;

use crate::channel::Record;
use crate::syslog::message::NO_TIME_TEXT;

/// `null` is what the message does not say. Bytes that are no UTF-8 become U+FFFD.
#[derive(Default, Serialize)]
struct Line<'a> {
    /// As the sender wrote it.
    time: Option<Cow<'a, str>>,
    /// When it came to the router.
    arrival: Option<String>,
    source: Option<Cow<'a, str>>,
    ps: Option<Cow<'a, str>>,
    facility: Option<&'static str>,
    severity: Option<&'static str>,
    hostname: Option<Cow<'a, str>>,
    msgid: Option<Cow<'a, str>>,
    /// Structured data, as the sender wrote it.
    sd: Option<Cow<'a, str>>,
    /// Without the newline at its end.
    message: Cow<'a, str>,
    /// Whether the router cut it at a limit.
    truncated: bool,
}

/// Appends `record` as an object and a newline.
pub(crate) fn line(record: &Record<'_>, out: &mut Vec<u8>) {
    let message = record.message();
    let mut room = NO_TIME_TEXT;
    let text = message.text.strip_suffix(b"\n").unwrap_or(message.text);
    let pri = usize::from(message.pri.value());
    let line = Line {
        time: given(message.timestamp.text(&mut room)),
        arrival: Some(record.arrival.to_micros_text()),
        source: given(message.app_name),
        ps: given(message.procid),
        facility: FACILITIES.get(pri / 8).copied(),
        severity: SEVERITIES.get(pri % 8).copied(),
        hostname: given(message.hostname),
        msgid: given(message.msgid),
        sd: given(message.sd),
        message: String::from_utf8_lossy(text),
        truncated: message.is_truncated,
    };
    append(&line, out);
}

/// A line that the router has to say itself, `TIME TEXT`: no source sent it.
pub(crate) fn own_line(text: &str) -> Vec<u8> {
    let text = text.trim_end();
    let (time, message) = text.split_once(' ').unwrap_or(("", text));
    let line = Line {
        time: given(time.as_bytes()),
        message: Cow::Borrowed(message),
        ..Line::default()
    };
    let mut out = Vec::new();
    append(&line, &mut out);
    out
}

fn append(line: &Line<'_>, out: &mut Vec<u8>) {
    // Texts alone: serde has nothing to refuse, and a vector takes all.
    if serde_json::to_writer(&mut *out, line).is_err() { /* see above */ }
    out.push(b'\n');
}

/// Nil (RFC 5424, 6) is nothing.
fn given(field: &[u8]) -> Option<Cow<'_, str>> {
    (!matches!(field, b"" | b"-")).then(|| String::from_utf8_lossy(field))
}

/// RFC 5424, table 2, by the names that syslog daemons know.
const SEVERITIES: [&str; 8] = [
    "emerg", "alert", "crit", "err", "warning", "notice", "info", "debug",
];

/// RFC 5424, table 1, likewise.
const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv",
    "ftp", "ntp", "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4",
    "local5", "local6", "local7",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_router_says_has_no_source() {
        let line = own_line("T Logplex: Error L20 (Tail sessions forbidden) x.\n");
        let line: serde_json::Value = serde_json::from_slice(&line).unwrap();
        assert_eq!(line["time"], "T");
        assert_eq!(
            line["message"],
            "Logplex: Error L20 (Tail sessions forbidden) x."
        );
        assert!(line["source"].is_null() && line["severity"].is_null());
    }

    #[test]
    fn nil_is_nothing() {
        assert_eq!(given(b"-"), None);
        assert_eq!(given(b"--").as_deref(), Some("--"));
        assert_eq!(given(b"\xff").as_deref(), Some("\u{fffd}"));
    }
}
