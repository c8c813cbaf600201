//! Frames as log-shuttle writes them: `LEN <PRI>VERSION TIME HOST APP-NAME PROCID MSGID TEXT`.

use std::io::Write as _;

use crate::clock::UnixMicros;
use crate::limits::PROCID_BYTES_MAX;
use crate::sources::ship::ShipSettings;
use crate::sources::ship::book::{Loss, Losses};
use crate::sources::ship::line::{Item, Line};
use crate::sources::ship::split::{Split, Splitter};
use crate::syslog::encode::NOTICE_PRI;
use crate::syslog::message::{NO_TIME_TEXT, Pri};
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

    /// Writes `item` as a frame, or as several when its text is too long for one.
    pub(crate) fn item(&mut self, item: &Item) {
        match item {
            Item::Line(line) => self.line(line),
            Item::Frame(frame) => {
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
