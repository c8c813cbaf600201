//! Server-sent events, as the HTML standard (9.2.6) has a reader cut them. Pure.

use std::time::Duration;

/// One event with data.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Event {
    /// The id to resume after, if the stream ever named one.
    pub(crate) id: Option<String>,
    /// The lines of its data, joined by newlines.
    pub(crate) data: Vec<u8>,
}

/// Cuts a stream into events, however its bytes are split over reads.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    line: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    /// Id of the last whole event.
    id: Option<String>,
    /// Id that the event being read will have.
    id_coming: Option<String>,
    retry: Option<Duration>,
    after_cr: bool,
}

impl Parser {
    /// A reader that goes on after `id`.
    pub(crate) fn after(id: Option<String>) -> Self {
        Self {
            id_coming: id.clone(),
            id,
            ..Self::default()
        }
    }

    /// Takes `bytes` and calls `each` with every event that they complete. Lines and events above
    /// `EVENT_BYTES_MAX` are cut.
    ///
    /// # Errors
    /// The first error of `each`; the rest of `bytes` is then lost.
    pub(crate) fn feed<E>(
        &mut self,
        bytes: &[u8],
        mut each: impl FnMut(Event) -> Result<(), E>,
    ) -> Result<(), E> {
        for &byte in bytes {
            let ends_crlf = self.after_cr && byte == b'\n';
            self.after_cr = byte == b'\r';
            if ends_crlf {
                continue;
            }
            if byte != b'\n' && byte != b'\r' {
                if self.line.len() < EVENT_BYTES_MAX {
                    self.line.push(byte);
                }
                continue;
            }
            if let Some(event) = self.end_line() {
                each(event)?;
            }
        }
        Ok(())
    }

    /// The id of the last whole event, for `Last-Event-ID`.
    pub(crate) fn last_id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// How long the stream asks to wait before connecting again.
    pub(crate) const fn retry(&self) -> Option<Duration> {
        self.retry
    }

    /// Ends the line gathered so far; an empty one ends the event.
    fn end_line(&mut self) -> Option<Event> {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            self.id.clone_from(&self.id_coming);
            let data = std::mem::take(&mut self.data);
            let had_data = std::mem::take(&mut self.has_data);
            return had_data.then(|| Event {
                id: self.id.clone(),
                data,
            });
        }
        let mut halves = line.splitn(2, |&byte| byte == b':');
        let field = halves.next().unwrap_or_default();
        let value = halves.next().unwrap_or_default();
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"data" => self.add_data(value),
            b"id" if !value.contains(&0) => {
                self.id_coming = Some(String::from_utf8_lossy(value).into_owned());
            }
            b"retry" => {
                let ms = std::str::from_utf8(value)
                    .ok()
                    .and_then(|ms| ms.parse().ok());
                self.retry = ms.map(Duration::from_millis).or(self.retry);
            }
            // Comments have an empty field; other fields mean nothing here.
            _ => {}
        }
        None
    }

    fn add_data(&mut self, value: &[u8]) {
        if self.has_data {
            self.data.push(b'\n');
        }
        self.has_data = true;
        let room = EVENT_BYTES_MAX.saturating_sub(self.data.len());
        self.data.extend(value.iter().take(room));
    }
}

/// Longest line and longest event: well above the greatest frame.
const EVENT_BYTES_MAX: usize = 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn events(chunks: &[&[u8]]) -> (Vec<(Option<String>, String)>, Parser) {
        let mut parser = Parser::default();
        let mut found = Vec::new();
        for chunk in chunks {
            let fed: Result<(), ()> = parser.feed(chunk, |event| {
                let text = String::from_utf8_lossy(&event.data).into_owned();
                found.push((event.id, text));
                Ok(())
            });
            assert_eq!(fed, Ok(()));
        }
        (found, parser)
    }

    fn check(stream: &str, expected: &[(Option<&str>, &str)]) {
        let (found, _) = events(&[stream.as_bytes()]);
        let found: Vec<(Option<&str>, &str)> = found
            .iter()
            .map(|(id, data)| (id.as_deref(), data.as_str()))
            .collect();
        assert_eq!(found, expected, "{stream:?}");
    }

    #[test]
    fn streams_are_cut_into_events() {
        check("id: 1\ndata: a b\n\n", &[(Some("1"), "a b")]);
        check("data:a\r\n\r\ndata:  b\r\r", &[(None, "a"), (None, " b")]);
        check("data: a\ndata: b\n\n", &[(None, "a\nb")]);
        check("data\n\n", &[(None, "")]);
        check(":\n\n: keep\n\n", &[]);
        check("data: cut", &[]);
        check("data: cut\n", &[]);
        check("id: 1\n\ndata: x\n\n", &[(Some("1"), "x")]);
        check("event: other\ndata: x\nnonsense\n\n", &[(None, "x")]);
        check("id: 1\0\ndata: x\n\n", &[(None, "x")]);
        check(
            "id: 5\ndata: x\n\ndata: y\n\n",
            &[(Some("5"), "x"), (Some("5"), "y")],
        );
    }

    #[test]
    fn retry_and_id_are_kept() {
        let (_, parser) = events(&[b"retry: 10\nid: 7-9\n\nretry: soon\n\n"]);
        assert_eq!(parser.retry(), Some(Duration::from_millis(10)));
        assert_eq!(parser.last_id(), Some("7-9"));
        // An event that was cut is not done with.
        let (_, parser) = events(&[b"id: 1\ndata: a\n\nid: 2\ndata: b"]);
        assert_eq!(parser.last_id(), Some("1"));
    }

    #[test]
    fn events_are_bounded() {
        let mut stream = b"data: ".to_vec();
        stream.resize(2 * EVENT_BYTES_MAX, b'x');
        stream.extend(b"\n\n");
        let (found, _) = events(&[&stream]);
        assert!(found.iter().all(|(_, data)| data.len() <= EVENT_BYTES_MAX));
        assert_eq!(found.len(), 1);
    }

    proptest! {
        #[test]
        fn cuts_do_not_matter(stream in "(data: [a-c]{0,3}|id: [0-9]|:|\r\n|\n|\r){0,20}", at in 0usize..100) {
            let bytes = stream.as_bytes();
            let (left, right) = bytes.split_at(at.min(bytes.len()));
            prop_assert_eq!(events(&[bytes]).0, events(&[left, right]).0);
        }
    }
}
