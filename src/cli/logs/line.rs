//! A line of a channel, and how it is printed. Pure.

use std::fmt::Write;

use serde::Deserialize;
use serde::Serialize;

use crate::cli::sse::Event;
use crate::logfmt::write::Key;
use crate::logfmt::write::Writer;

/// What is known of a message; `null` in JSON is what it does not say.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub(crate) struct Line {
    /// Id of its channel.
    pub(crate) channel: String,
    /// Its event's id, to go on after.
    pub(crate) id: Option<String>,
    /// As the sender wrote it.
    pub(crate) time: Option<String>,
    /// When it came to the router.
    pub(crate) arrival: Option<String>,
    /// Name of the token with which it was sent; none when the router itself says it.
    pub(crate) source: Option<String>,
    /// Process.
    pub(crate) ps: Option<String>,
    /// Facility, by name.
    pub(crate) facility: Option<String>,
    /// Severity, by name.
    pub(crate) severity: Option<String>,
    /// Machine.
    pub(crate) hostname: Option<String>,
    /// MSGID.
    pub(crate) msgid: Option<String>,
    /// Structured data as it came.
    pub(crate) sd: Option<String>,
    /// Text.
    pub(crate) message: String,
    /// Whether the router cut the text.
    pub(crate) truncated: bool,
}

impl Line {
    /// The line that `event` of `channel` holds: an object, or, from a router that does not know of
    /// objects, `TIME SOURCE[PS]: TEXT`. One of another shape is all text.
    pub(crate) fn of(channel: &str, event: Event) -> Self {
        let object: Option<Self> = event
            .data
            .starts_with(b"{")
            .then(|| serde_json::from_slice(&event.data).ok())
            .flatten();
        let line = object.unwrap_or_else(|| Self::of_text(&String::from_utf8_lossy(&event.data)));
        Self {
            channel: channel.to_owned(),
            id: event.id,
            ..line
        }
    }

    fn of_text(text: &str) -> Self {
        let split = || {
            let (time, rest) = text.split_once(' ')?;
            let (head, message) = rest.split_once("]:")?;
            let (source, ps) = head.split_once('[')?;
            let message = message.strip_prefix(' ').unwrap_or(message);
            Some([time, source, ps, message].map(str::to_owned))
        };
        match split() {
            Some([time, source, ps, message]) => Self {
                time: Some(time),
                source: Some(source),
                ps: Some(ps),
                message,
                ..Self::default()
            },
            None => Self {
                message: text.to_owned(),
                ..Self::default()
            },
        }
    }

    /// `SOURCE[PS]:`; nothing where no source is known.
    pub(crate) fn name(&self) -> String {
        match (&self.source, &self.ps) {
            (None, None) => String::new(),
            (source, ps) => {
                let or_nil = |field: &Option<String>| field.clone().unwrap_or("-".to_owned());
                format!("{}[{}]:", or_nil(source), or_nil(ps))
            }
        }
    }

    /// `TIME SOURCE[PS]: TEXT`, as the router writes lines.
    pub(crate) fn raw(&self) -> String {
        let mut text = String::new();
        if let Some(time) = &self.time {
            text.push_str(time);
            text.push(' ');
        }
        let name = self.name();
        if !name.is_empty() {
            text.push_str(&name);
            text.push(' ');
        }
        text.push_str(&self.message);
        text
    }

    /// One object.
    pub(crate) fn json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Pairs of what is there, the text last.
    pub(crate) fn logfmt(&self) -> Vec<u8> {
        let fields = [
            ("time", &self.time),
            ("arrival", &self.arrival),
            ("source", &self.source),
            ("ps", &self.ps),
            ("facility", &self.facility),
            ("severity", &self.severity),
            ("hostname", &self.hostname),
            ("msgid", &self.msgid),
            ("sd", &self.sd),
        ];
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out);
        let mut pair = |name: &str, value: &str| {
            if let Ok(key) = Key::new(name.as_bytes()) {
                writer.pair(key, value.as_bytes());
            }
        };
        pair("channel", &self.channel);
        for (name, value) in fields {
            if let Some(value) = value {
                pair(name, value);
            }
        }
        if self.truncated {
            pair("truncated", "true");
        }
        pair("message", &self.message);
        out
    }
}

/// `text` with `front` before each of its lines.
pub(crate) fn with_front(front: &str, text: &str) -> String {
    let mut all = String::new();
    for (index, line) in text.split('\n').enumerate() {
        let end = if index == 0 { "" } else { "\n" };
        // Writing to a String cannot fail.
        if write!(all, "{end}{front}{line}").is_err() { /* see above */ }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(data: &str) -> Line {
        let event = Event {
            id: Some("7".to_owned()),
            data: data.as_bytes().to_vec(),
        };
        Line::of("shop", event)
    }

    #[test]
    fn texts_are_taken_apart_and_put_together() {
        for text in [
            "T app[web.1]: a [b]: c",
            "odd",
            "T Logplex: Error L20",
            "T app[web.1]: {\"a\":1}",
            "{\"cut",
        ] {
            assert_eq!(line(text).raw(), text);
        }
        let found = line("T app[web.1]: a [b]: c");
        assert_eq!(found.name(), "app[web.1]:");
        assert_eq!(found.message, "a [b]: c");
        assert_eq!(line("odd").name(), "");
    }

    #[test]
    fn objects_are_read_and_printed_whole() {
        let object = r#"{"time":"T","arrival":"A","source":"app","ps":null,"severity":"err","message":"a\nb=\"c\"","truncated":true,"later":1}"#;
        let found = line(object);
        assert_eq!(found.raw(), "T app[-]: a\nb=\"c\"");
        let json: serde_json::Value = serde_json::from_str(&found.json()).unwrap();
        assert_eq!(
            [
                &json["channel"],
                &json["id"],
                &json["source"],
                &json["message"]
            ],
            ["shop", "7", "app", "a\nb=\"c\""]
        );
        assert!(json["ps"].is_null() && json["truncated"] == true);
        assert_eq!(
            String::from_utf8(found.logfmt()).unwrap(),
            r#"channel=shop time=T arrival=A source=app severity=err truncated=true message="a\nb=\"c\"""#
        );
    }

    #[test]
    fn every_line_has_its_front() {
        assert_eq!(with_front("a | ", "x\ny"), "a | x\na | y");
        assert_eq!(with_front("a | ", ""), "a | ");
    }
}
