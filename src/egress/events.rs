//! Server-sent events (WHATWG HTML, 9.2) as log readers use them. Pure.

use crate::clock::UnixMicros;
use crate::id::Seq;

/// Names a message for good: the node's life and the sequence, as `HEX-DECIMAL`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct EventId {
    /// When the node started.
    pub node_started: UnixMicros,
    /// The message.
    pub seq: Seq,
}

impl EventId {
    /// The id written as `text`, if it is one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (started, seq) = text.trim().split_once('-')?;
        Some(Self {
            node_started: UnixMicros::new(u64::from_str_radix(started, 16).ok()?),
            seq: Seq::new(seq.parse().ok()?),
        })
    }
}

/// Appends an event that holds `line` (without its final newline). A CR ends a line for an event
/// stream as a LF does, so both begin a further `data:` field.
pub fn event(id: EventId, line: &[u8], out: &mut Vec<u8>) {
    let id = format!("id: {:x}-{}\n", id.node_started.value(), id.seq);
    out.extend_from_slice(id.as_bytes());
    let mut rest = line.strip_suffix(b"\n").unwrap_or(line);
    loop {
        out.extend_from_slice(b"data: ");
        let end = memchr::memchr2(b'\r', b'\n', rest);
        let (text, after) = rest.split_at(end.unwrap_or(rest.len()));
        out.extend_from_slice(text);
        out.push(b'\n');
        let Some(next) = after
            .strip_prefix(b"\r\n")
            .or_else(|| after.strip_prefix(b"\r"))
            .or_else(|| after.strip_prefix(b"\n"))
        else {
            break;
        };
        rest = next;
    }
    out.push(b'\n');
}

/// Appends a comment, which readers skip and which keeps the line alive.
pub fn comment(out: &mut Vec<u8>) {
    out.extend_from_slice(b":\n\n");
}

/// Appends the wish to be asked again after 10 ms: a reader of history then ends without delay
/// (Heroku's CLI waits so long after the end).
pub fn retry_soon(out: &mut Vec<u8>) {
    out.extend_from_slice(b"retry: 10\n\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> EventId {
        EventId {
            node_started: UnixMicros::new(0xabc),
            seq: Seq::new(7),
        }
    }

    #[test]
    fn lines_become_events() {
        let table: [(&[u8], &str); 7] = [
            (b"T app[web.1]: m\n", "data: T app[web.1]: m\n"),
            (b"no newline", "data: no newline\n"),
            (b"", "data: \n"),
            (b"a\nb\n", "data: a\ndata: b\n"),
            (b"a\r\nb\rc\n", "data: a\ndata: b\ndata: c\n"),
            (b"a\n\n", "data: a\ndata: \n"),
            (b"a\r\n", "data: a\ndata: \n"),
        ];
        for (line, data) in table {
            let mut out = Vec::new();
            event(id(), line, &mut out);
            let expected = format!("id: abc-7\n{data}\n");
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{line:?}");
        }
    }

    #[test]
    fn ids_are_read_back() {
        assert_eq!(EventId::parse("abc-7"), Some(id()));
        assert_eq!(EventId::parse(" abc-7 "), Some(id()));
        for bad in [
            "",
            "7",
            "abc-",
            "-7",
            "xyz-7",
            "abc--7",
            "abc-99999999999999999999",
        ] {
            assert_eq!(EventId::parse(bad), None, "{bad}");
        }
    }
}
