//! A server's log of slow commands (`SLOWLOG GET`): each entry once, as a line.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::UnixMicros;
use crate::sources::outlet::Event;
use crate::sources::redis::resp::Reply;
use crate::sources::samples::Samples;
use crate::syslog::message::Pri;

/// A slow command.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Entry {
    id: u64,
    time: UnixMicros,
    duration: Duration,
    command: String,
    client: Option<String>,
    client_name: Option<String>,
}

impl Entry {
    /// Reads one; `None` when it is none. Redis before 4 has no clients in it.
    fn parse(reply: &Reply) -> Option<Self> {
        let [id, time, micros, words, client @ ..] = reply.list()? else {
            return None;
        };
        let number = |reply: &Reply| u64::try_from(reply.number()?).ok();
        let words: Option<Vec<String>> = words.list()?.iter().map(Reply::text).collect();
        Some(Self {
            id: number(id)?,
            time: UnixMicros::new(number(time)?.saturating_mul(1_000_000)),
            duration: Duration::from_micros(number(micros)?),
            command: words?.join(" "),
            client: client.first().and_then(Reply::text),
            client_name: client.get(1).and_then(Reply::text),
        })
    }

    /// `source=REDIS addon=… at=slowlog id=7 duration=12.345ms client=… command="KEYS *"`
    #[must_use]
    pub fn event(&self, name: &str, addon: &str) -> Event {
        let mut line = Samples::new(name, addon);
        line.pair("at", "slowlog");
        line.pair("id", &self.id.to_string());
        let millis = format!("{:.3}ms", self.duration.as_secs_f64() * 1e3);
        line.pair("duration", &millis);
        for (key, value) in [("client", &self.client), ("client-name", &self.client_name)] {
            if let Some(value) = value.as_ref().filter(|value| !value.is_empty()) {
                line.pair(key, value);
            }
        }
        line.pair("command", &self.command);
        Event {
            time: self.time,
            pri: NOTICE,
            procid: Arc::from("redis"),
            lines: vec![String::from_utf8_lossy(&line.into_line()).into_owned()],
        }
    }
}

/// local0.notice
const NOTICE: Pri = Pri::or_default(16 * 8 + 5);

/// Which entries were seen.
#[derive(Debug, Default)]
pub struct Seen {
    run: Option<String>,
    next: u64,
}

/// What an answer brought.
#[derive(Debug, Default, Eq, PartialEq)]
pub struct News {
    /// Entries that were not seen before, oldest first.
    pub entries: Vec<Entry>,
    /// How many were overwritten before they were seen.
    pub missed: u64,
}

impl Seen {
    /// Takes the answer of the server's run `run`. What is there when a server is seen for the first
    /// time is old; a server that was restarted counts from 0 again, and all it has is new.
    pub fn take(&mut self, run: &str, reply: &Reply) -> News {
        let list = reply.list().unwrap_or_default();
        let mut entries: Vec<Entry> = list.iter().filter_map(Entry::parse).collect();
        entries.sort_by_key(|entry| entry.id);
        let is_first = self.run.is_none();
        if self.run.as_deref() != Some(run) {
            self.run = Some(run.to_owned());
            self.next = 0;
        }
        let next = self.next;
        if let Some(last) = entries.last() {
            self.next = next.max(last.id + 1);
        }
        if is_first {
            return News::default();
        }
        entries.retain(|entry| next <= entry.id);
        // Ids grow by one: what is between was there.
        let missed = entries.first().map_or(0, |first| first.id - next);
        News { entries, missed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Reply {
        Reply::Text(text.as_bytes().to_vec())
    }

    fn entry(id: i64) -> Reply {
        Reply::List(vec![
            Reply::Number(id),
            Reply::Number(1_700_000_000),
            Reply::Number(12_345),
            Reply::List(vec![text("KEYS"), text("*")]),
            text("127.0.0.1:5123"),
            text(""),
        ])
    }

    fn ids(news: &News) -> Vec<u64> {
        news.entries.iter().map(|entry| entry.id).collect()
    }

    #[test]
    fn an_entry_is_a_line() {
        let event = Entry::parse(&entry(7)).unwrap().event("REDIS", "redis-a");
        assert_eq!(
            event.lines,
            [
                "source=REDIS addon=redis-a at=slowlog id=7 duration=12.345ms client=127.0.0.1:5123 \
              command=\"KEYS *\""
            ]
        );
        assert_eq!(event.time.value(), 1_700_000_000_000_000);
        for bad in [Reply::Nil, Reply::List(vec![Reply::Number(1)])] {
            assert_eq!(Entry::parse(&bad), None);
        }
    }

    #[test]
    fn each_entry_is_seen_once() {
        let mut seen = Seen::default();
        let list = |ids: &[i64]| Reply::List(ids.iter().rev().map(|id| entry(*id)).collect());
        assert_eq!(seen.take("a", &list(&[3, 4])), News::default());
        assert_eq!(seen.take("a", &list(&[3, 4])), News::default());
        assert_eq!(ids(&seen.take("a", &list(&[3, 4, 5, 6]))), [5, 6]);
        assert_eq!(seen.take("a", &list(&[])), News::default());
        let news = seen.take("a", &list(&[9, 10]));
        assert_eq!((ids(&news), news.missed), (vec![9, 10], 2));
        // Restarted.
        let news = seen.take("b", &list(&[0, 1]));
        assert_eq!((ids(&news), news.missed), (vec![0, 1], 0));
        assert_eq!(seen.take("b", &Reply::Nil), News::default());
    }
}
