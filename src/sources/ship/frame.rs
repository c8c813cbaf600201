//! Frames as log-shuttle writes them: `LEN <PRI>VERSION TIME HOST APP-NAME PROCID MSGID TEXT`.

use std::io::Write as _;

use crate::clock::UnixMicros;
use crate::limits::PROCID_BYTES_MAX;
use crate::sources::ship::ShipSettings;
use crate::sources::ship::book::{Loss, Losses};
use crate::sources::ship::line::{Body, Line};
use crate::syslog::encode::NOTICE_PRI;
use crate::syslog::message::{NO_TIME_TEXT, Pri};
use crate::syslog::split::{Split, Splitter};
use crate::syslog::timestamp;

/// Writes frames one behind the other, and counts them.
pub(crate) struct Writer<'s> {
    settings: &'s ShipSettings,
    app_name: &'s str,
    header: Vec<u8>,
    body: Vec<u8>,
    frames: u64,
}

impl<'s> Writer<'s> {
    /// Frames under `app_name`.
    pub(crate) fn new(settings: &'s ShipSettings, app_name: &'s str) -> Self {
        Self {
            settings,
            app_name,
            header: Vec::new(),
            body: Vec::new(),
            frames: 0,
        }
    }

    /// The frames, and how many they are.
    pub(crate) fn finish(self) -> (Vec<u8>, u64) {
        (self.body, self.frames)
    }

    /// Writes the notices of `losses`, in log-shuttle's words.
    pub(crate) fn announce(&mut self, losses: Losses, now: UnixMicros) {
        let kinds = [
            (losses.dropped, "L12", "dropped"),
            (losses.lost, "L13", "lost"),
        ];
        for (Loss { lines, since }, code, word) in kinds {
            if lines == 0 {
                continue;
            }
            let since = since.to_micros_text();
            let text = format!("Error {code}: {lines} messages {word} since {since}\n");
            self.begin(NOTICE_PRI, now, NOTICE_HOSTNAME, NOTICE_PROCID);
            self.end(text.as_bytes(), b"");
        }
    }

    /// Writes `body` as a frame, or as several when its text is too long for one.
    pub(crate) fn body(&mut self, body: &Body) {
        match body {
            Body::Line(line) => self.line(line),
            Body::Frame(frame) => {
                self.header.clear();
                self.end(frame, self.line_end(frame));
            }
        }
    }

    fn line(&mut self, line: &Line) {
        let splitter = Splitter::new(self.settings.line_bytes_max, self.settings.split);
        for part in splitter.parts(&line.text) {
            self.begin(line.pri, line.time, &self.settings.hostname, &line.procid);
            self.end(&part, self.line_end(&part));
        }
    }

    /// What `text` lacks at its end.
    fn line_end(&self, text: &[u8]) -> &'static [u8] {
        match self.settings.split {
            Split::Marked if !text.ends_with(b"\n") => b"\n",
            Split::Marked | Split::Plain => b"",
        }
    }

    fn begin(&mut self, pri: Pri, time: UnixMicros, hostname: &str, procid: &str) {
        let mut room = NO_TIME_TEXT;
        let time = timestamp::in_micros(time);
        self.header.clear();
        self.header.push(b'<');
        push_number(&mut self.header, usize::from(pri.value()));
        self.header.push(b'>');
        let fields = [
            self.settings.version.as_bytes(),
            time.text(&mut room),
            hostname.as_bytes(),
            self.app_name.as_bytes(),
        ];
        for field in fields {
            self.header.extend_from_slice(field);
            self.header.push(b' ');
        }
        push_field(&mut self.header, procid);
        self.header.push(b' ');
        self.header
            .extend_from_slice(self.settings.msgid.as_bytes());
        self.header.push(b' ');
    }

    fn end(&mut self, text: &[u8], line_end: &[u8]) {
        let bytes = self.header.len() + text.len() + line_end.len();
        push_number(&mut self.body, bytes);
        self.body.push(b' ');
        self.body.extend_from_slice(&self.header);
        self.body.extend_from_slice(text);
        self.body.extend_from_slice(line_end);
        self.frames += 1;
    }
}

fn push_number(out: &mut Vec<u8>, number: usize) {
    write!(out, "{number}").expect("a vector takes everything");
}

/// The PROCID, which a program may have made of anything: what a header cannot hold becomes `_`.
fn push_field(out: &mut Vec<u8>, field: &str) {
    if field.is_empty() {
        out.push(b'-');
    }
    let bytes = field.bytes().take(PROCID_BYTES_MAX);
    out.extend(bytes.map(|byte| if byte.is_ascii_graphic() { byte } else { b'_' }));
}

/// HOSTNAME of notices.
const NOTICE_HOSTNAME: &str = "heroku";

/// PROCID of notices.
const NOTICE_PROCID: &str = "log-shuttle";

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde_json::Value;

    use crate::clock;
    use crate::registry::DrainUrl;
    use crate::sources::ship::lines::{Lines, Now};
    use crate::sources::ship::reader::{Format, Reading, WhenFull};
    use std::time::Duration;

    fn bytes(value: &Value, name: &str) -> Vec<u8> {
        match value[name].as_str() {
            Some(text) => text.as_bytes().to_vec(),
            None => {
                let encoded = value[format!("{name}_base64")].as_str().unwrap();
                STANDARD.decode(encoded).unwrap()
            }
        }
    }

    fn settings(config: &Value, line_bytes_max: usize) -> ShipSettings {
        let text = |name: &str| config[name].as_str().unwrap().to_owned();
        ShipSettings {
            url: DrainUrl::parse("http://h/logs").unwrap(),
            bearer: None,
            app_name: text("appname"),
            hostname: text("hostname"),
            msgid: text("msgid"),
            version: text("version"),
            is_gzip: false,
            is_insecure: false,
            batch_lines_max: 500,
            wait: Duration::ZERO,
            timeout: Duration::ZERO,
            attempts_max: None,
            queue_lines_max: 500,
            line_bytes_max,
            split: Split::Plain,
            spool: None,
            places: None,
        }
    }

    /// 2013-11-04T21:31:32.125756Z
    const LINE_TIME: UnixMicros = UnixMicros::new(1_383_600_692_125_756);

    /// The time at which the notice in `body` was written.
    fn notice_time(body: &[u8]) -> UnixMicros {
        let text = std::str::from_utf8(body).unwrap();
        let time = text.split(' ').nth(2).unwrap();
        let format = &time::format_description::well_known::Rfc3339;
        let time = time::OffsetDateTime::parse(time, format).unwrap();
        UnixMicros::new(u64::try_from(time.unix_timestamp_nanos() / 1_000).unwrap())
    }

    fn check(case: &Value) {
        let config = &case["config"];
        let line_bytes_max = usize::try_from(case["max_line_length"].as_u64().unwrap()).unwrap();
        let settings = settings(config, line_bytes_max);
        let format = match case["input_format"].as_str().unwrap() {
            "raw" => Format::Raw,
            "rfc5424" => Format::Rfc5424,
            "length_prefixed_rfc5424" => Format::LengthPrefixed,
            other => panic!("{other}"),
        };
        let reading = Reading {
            pri: Pri::or_default(config["prival"].as_str().unwrap().parse().unwrap()),
            procid: Arc::from(config["procid"].as_str().unwrap()),
            when_full: WhenFull::Drop,
            splitter: Splitter::new(line_bytes_max, Split::Plain),
            format,
            join: None,
        };
        let count = |name: &str| {
            let count = case["headers"][name].as_str();
            count.map_or(0, |count| count.parse().unwrap())
        };
        let loss = |name: &str| Loss {
            lines: count(name),
            since: LINE_TIME,
        };
        let losses = Losses {
            dropped: loss("Logplex-Drop-Count"),
            lost: loss("Logplex-Lost-Count"),
        };
        let expected = bytes(case, "body");
        let mut writer = Writer::new(&settings, &settings.app_name);
        if !losses.is_empty() {
            writer.announce(losses, notice_time(&expected));
        }
        let now = Now {
            wall: LINE_TIME,
            instant: clock::now(),
        };
        let mut lines = Lines::new(reading, 0);
        let source: Vec<u8> = case["lines"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|line| bytes(line, "line"))
            .collect();
        let mut bodies = lines.feed(&source, now).bodies;
        bodies.extend(lines.end(now).bodies);
        for (body, _) in &bodies {
            writer.body(body);
        }
        let (body, frames) = writer.finish();
        let name = &case["name"];
        assert_eq!(
            String::from_utf8_lossy(&body),
            String::from_utf8_lossy(&expected),
            "{name}"
        );
        assert!(body == expected, "{name}");
        assert_eq!(frames, count("Logplex-Msg-Count"), "{name}");
    }

    #[test]
    fn frames_are_log_shuttles() {
        let vectors = include_str!("../../../tests/vectors/log_shuttle_frames.json");
        let vectors: Value = serde_json::from_str(vectors).unwrap();
        let cases = vectors["cases"].as_array().unwrap();
        assert_eq!(cases.len(), 14);
        cases.iter().for_each(check);
    }

    #[test]
    fn a_procid_is_one_field_whatever_it_was() {
        let check = |procid: &str, expected: &str| {
            let mut out = Vec::new();
            push_field(&mut out, procid);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        };
        check("web.1", "web.1");
        check("", "-");
        check("my prog\n", "my_prog_");
        check("é", "__");
        check(&"x".repeat(300), &"x".repeat(PROCID_BYTES_MAX));
    }
}
