//! Postgres' syslog destination: each line of an event is a datagram of its own, marked
//! `[SEQ-CHUNK]`. Those of several processes come mixed; here they are put together again, so that
//! an event stays one.
//!
//! ```text
//! <134>Nov 20 17:46:48 postgres[6442]: [10-1] … LOG:  statement: select *
//! <134>Nov 20 17:46:48 postgres[6442]: [10-2] \tfrom x
//! ```

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::clock::UnixMicros;
use crate::limits::POSTGRES_EVENT_BYTES_MAX;
use crate::limits::POSTGRES_EVENTS_OPEN_MAX;
use crate::sources::outlet::Event;
use crate::sources::postgres::entry::LOCAL0;
use crate::sources::postgres::shape;
use crate::syslog::message::Pri;
use crate::syslog::parse::parse_any;

/// Events of which more lines may come, one for each process.
#[derive(Debug)]
pub struct Assembler {
    name: String,
    open: HashMap<Arc<str>, Open>,
    /// Counts what was opened, to tell who is oldest.
    opened: u64,
}

#[derive(Debug)]
struct Open {
    seq: u64,
    /// Number of its last line: one that is not greater begins another event, of a process that has
    /// the same number by chance.
    chunk: u64,
    opened: u64,
    touched: Instant,
    bytes: usize,
    event: Event,
}

/// A datagram, taken apart.
#[derive(Debug, Eq, PartialEq)]
struct Part {
    pri: Pri,
    procid: Arc<str>,
    /// Number of the event and of the line in it; none if it is of another program.
    place: Option<(u64, Option<u64>)>,
    text: String,
}

impl Assembler {
    /// For the attachment `name`.
    #[must_use]
    pub fn new(name: String) -> Self {
        Self {
            name,
            open: HashMap::new(),
            opened: 0,
        }
    }

    /// Takes one datagram; gives the events that it ends. `arrival` is their time: a time of
    /// RFC 3164 is local, in whole seconds.
    pub fn take(&mut self, datagram: &[u8], arrival: UnixMicros, now: Instant) -> Vec<Event> {
        let part = part(datagram, arrival);
        let mut ended = Vec::new();
        let lines = match part.place {
            Some((seq, Some(chunk))) => {
                vec![format!("[{}] [{seq}-{chunk}] {}", self.name, part.text)]
            }
            Some((seq, None)) => shape::number(&self.name, seq, &part.text),
            None => vec![part.text],
        };
        let bytes: usize = lines.iter().map(String::len).sum();
        let seq = part.place.map(|(seq, _)| seq);
        let chunk = part.place.and_then(|(_, chunk)| chunk).unwrap_or(1);
        if let Some(open) = self.open.get_mut(&part.procid) {
            let has_room = open.bytes + bytes <= POSTGRES_EVENT_BYTES_MAX;
            if Some(open.seq) == seq && open.chunk < chunk && has_room {
                open.chunk = chunk;
                open.event.lines.extend(lines);
                open.bytes += bytes;
                open.touched = now;
                return ended;
            }
            ended.extend(self.close(&part.procid.clone()));
        }
        let event = Event {
            time: arrival,
            pri: part.pri,
            procid: part.procid,
            lines,
        };
        match seq {
            None => ended.push(event),
            Some(seq) => {
                if POSTGRES_EVENTS_OPEN_MAX <= self.open.len() {
                    ended.extend(self.close_oldest());
                }
                self.opened += 1;
                let open = Open {
                    seq,
                    chunk,
                    opened: self.opened,
                    touched: now,
                    bytes,
                    event,
                };
                self.open.insert(open.event.procid.clone(), open);
            }
        }
        ended
    }

    /// Whether the event is a server's, and its first line does not say its SQLSTATE.
    #[must_use]
    pub fn lacks_state(&self, event: &Event) -> bool {
        let text = event.lines.first().map_or("", String::as_str);
        let is_ours = text
            .strip_prefix('[')
            .and_then(|text| text.strip_prefix(self.name.as_str()))
            .is_some_and(|text| text.starts_with("] ["));
        is_ours && !text.contains("sql_error_code = ")
    }

    /// The events of which no line has come for `QUIET`, oldest first.
    pub fn quiet(&mut self, now: Instant) -> Vec<Event> {
        let is_quiet = |open: &Open| QUIET <= now.saturating_duration_since(open.touched);
        self.close_all(is_quiet)
    }

    /// All events, oldest first.
    pub fn end(&mut self) -> Vec<Event> {
        self.close_all(|_| true)
    }

    /// Whether any event waits for its end.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        !self.open.is_empty()
    }

    fn close_all(&mut self, is_over: impl Fn(&Open) -> bool) -> Vec<Event> {
        let over = self.open.iter().filter(|(_, open)| is_over(open));
        let mut over: Vec<_> = over
            .map(|(procid, open)| (open.opened, procid.clone()))
            .collect();
        over.sort();
        let procids = over.into_iter().map(|(_, procid)| procid);
        procids.filter_map(|procid| self.close(&procid)).collect()
    }

    fn close_oldest(&mut self) -> Option<Event> {
        let oldest = self.open.iter().min_by_key(|(_, open)| open.opened);
        let procid = oldest?.0.clone();
        self.close(&procid)
    }

    fn close(&mut self, procid: &Arc<str>) -> Option<Event> {
        self.open.remove(procid).map(|open| open.event)
    }
}

/// How long an event's next line may take: they are sent without a pause.
pub const QUIET: Duration = Duration::from_millis(100);

/// What a datagram says. The severity is Postgres', the facility ours.
fn part(datagram: &[u8], arrival: UnixMicros) -> Part {
    // Some senders end a datagram as they would a line or a string of C.
    let end = datagram.iter().rposition(|byte| !matches!(byte, b'\n' | 0));
    let datagram = datagram
        .get(..end.map_or(0, |end| end + 1))
        .unwrap_or_default();
    let message = parse_any(datagram, b"-", arrival);
    let text = String::from_utf8_lossy(message.text);
    let lossy = |bytes| String::from_utf8_lossy(bytes).into_owned();
    let pid = message.procid;
    let app = lossy(message.app_name);
    let is_numbered = pid.iter().all(u8::is_ascii_digit);
    let pri = Pri::or_default(LOCAL0 + u32::from(message.pri.severity()));
    if let Some((place, rest)) = place(text.trim_start_matches(' ')).filter(|_| is_numbered) {
        return Part {
            pri,
            procid: format!("postgres.{}", lossy(pid)).into(),
            place: Some(place),
            text: rest.to_owned(),
        };
    }
    Part {
        pri: message.pri,
        procid: if pid == b"-" {
            app.into()
        } else {
            format!("{app}.{}", lossy(pid)).into()
        },
        place: None,
        text: text.into_owned(),
    }
}

/// `[SEQ-CHUNK] ` at the front of a text, or `[SEQ] ` where `syslog_split_messages` is off.
fn place(text: &str) -> Option<((u64, Option<u64>), &str)> {
    let (inside, rest) = text.strip_prefix('[')?.split_once(']')?;
    let rest = rest.strip_prefix(' ').unwrap_or(rest);
    match inside.split_once('-') {
        Some((seq, chunk)) => Some(((seq.parse().ok()?, Some(chunk.parse().ok()?)), rest)),
        None => Some(((inside.parse().ok()?, None), rest)),
    }
}

/// Takes anything as datagrams, each as long as its first byte says.
#[cfg(any(fuzzing, test))]
pub fn fuzz_syslog(mut bytes: &[u8]) {
    let mut assembler = Assembler::new("A".to_owned());
    let now = crate::clock::now();
    let mut lines = 0;
    while let Some((&length, rest)) = bytes.split_first() {
        let (datagram, behind) = rest.split_at(rest.len().min(length.into()));
        let ended = assembler.take(datagram, UnixMicros::new(0), now);
        lines += ended.iter().map(|event| event.lines.len()).sum::<usize>();
        bytes = behind;
    }
    lines += assembler
        .end()
        .iter()
        .map(|event| event.lines.len())
        .sum::<usize>();
    assert!(!assembler.is_waiting() && lines < usize::MAX);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::clock;

    fn take(assembler: &mut Assembler, text: &str) -> Vec<Vec<String>> {
        let ended = assembler.take(text.as_bytes(), UnixMicros::new(1), clock::now());
        ended.into_iter().map(|event| event.lines).collect()
    }

    #[test]
    fn lines_of_several_processes_are_put_together() {
        let mut assembler = Assembler::new("DATABASE".to_owned());
        let none: [Vec<String>; 0] = [];
        for datagram in [
            "<134>Nov 20 17:46:48 postgres[7]: [10-1] LOG:  a",
            "<132>Nov 20 17:46:48 postgres[8]: [10-1] ERROR:  b",
            "<134>Nov 20 17:46:48 postgres[7]: [10-2] \tc",
            "<134>Nov 20 17:46:48 postgres[7]: [10-3] \t",
        ] {
            assert_eq!(take(&mut assembler, datagram), none);
        }
        let ended = take(
            &mut assembler,
            "<134>Nov 20 17:46:48 postgres[7]: [11-1] LOG:  d",
        );
        let expected = [
            "[DATABASE] [10-1] LOG:  a",
            "[DATABASE] [10-2] \tc",
            "[DATABASE] [10-3] \t",
        ];
        assert_eq!(ended, [expected]);
        let again = take(
            &mut assembler,
            "<134>Nov 20 17:46:48 postgres[7]: [11-1] LOG:  e",
        );
        assert_eq!(again, [["[DATABASE] [11-1] LOG:  d"]]);
        let now = clock::now();
        assert_eq!(assembler.quiet(now - QUIET), []);
        let rest = assembler.quiet(now + QUIET);
        assert_eq!(rest[0].lines, ["[DATABASE] [10-1] ERROR:  b"]);
        assert_eq!(rest[0].pri.value(), 132);
        assert_eq!(&*rest[1].procid, "postgres.7");
        assert!(!assembler.is_waiting());
    }

    #[test]
    fn other_forms_are_understood() {
        let mut assembler = Assembler::new("A".to_owned());
        let check = |assembler: &mut Assembler, datagram: &str, procid: &str, lines: &[&str]| {
            let mut events = assembler.take(datagram.as_bytes(), UnixMicros::new(1), clock::now());
            events.extend(assembler.end());
            assert_eq!(events.len(), 1, "{datagram}");
            assert_eq!(&*events[0].procid, procid);
            assert_eq!(events[0].lines, lines);
        };
        let whole = "<134>Nov 20 17:46:48 host postgres[7]: [10] LOG:  a\n\tb\n";
        let lines = ["[A] [10-1] LOG:  a", "[A] [10-2] \tb"];
        check(&mut assembler, whole, "postgres.7", &lines);
        let new = "<14>1 2026-11-20T17:46:48Z host postgres 7 - - [3-1] LOG:  a";
        check(&mut assembler, new, "postgres.7", &["[A] [3-1] LOG:  a"]);
        let other = "<30>Nov 20 17:46:48 cron[9]: [x] tick";
        check(&mut assembler, other, "cron.9", &["[x] tick"]);
        check(&mut assembler, "hello", "-", &["hello"]);
    }

    #[test]
    fn a_prefix_without_the_state_is_noticed() {
        let mut assembler = Assembler::new("A".to_owned());
        for (datagram, expected) in [
            (
                "<134>Nov 20 17:46:48 postgres[7]: [1-1] 2026 [7] LOG:  a",
                true,
            ),
            (
                "<134>Nov 20 17:46:48 postgres[7]: [1-1]  sql_error_code = 00000 LOG:  a",
                false,
            ),
            ("<30>Nov 20 17:46:48 cron[9]: tick", false),
        ] {
            let mut events = assembler.take(datagram.as_bytes(), UnixMicros::new(1), clock::now());
            events.extend(assembler.end());
            assert_eq!(assembler.lacks_state(&events[0]), expected, "{datagram}");
        }
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut assembler = Assembler::new("A".to_owned());
        for pid in 0..POSTGRES_EVENTS_OPEN_MAX {
            let ended = take(
                &mut assembler,
                &format!("<134>Nov 20 17:46:48 p[{pid}]: [1-1] x"),
            );
            assert!(ended.is_empty());
        }
        let ended = take(&mut assembler, "<134>Nov 20 17:46:48 p[x]: [1-1] x");
        assert_eq!(ended, [["[1-1] x"]]);
        let ended = take(&mut assembler, "<134>Nov 20 17:46:48 p[999999]: [1-1] y");
        assert_eq!(ended, [["[A] [1-1] x"]]);
        let long = "x".repeat(POSTGRES_EVENT_BYTES_MAX);
        let ended = take(
            &mut assembler,
            &format!("<134>Nov 20 17:46:48 p[999999]: [1-2] {long}"),
        );
        assert_eq!(ended, [["[A] [1-1] y"]]);
    }

    proptest! {
        #[test]
        fn any_datagrams_are_taken(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            fuzz_syslog(&bytes);
        }
    }
}
