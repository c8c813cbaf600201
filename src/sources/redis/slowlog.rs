//! A server's log of slow commands (`SLOWLOG GET`): each entry once, as a line.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

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
    run: Option<Run>,
    next: u64,
}

/// The server's run that was seen last.
#[derive(Debug)]
struct Run {
    id: String,
    seen: Instant,
}

/// What an answer brought.
#[derive(Debug, Default, Eq, PartialEq)]
pub struct News {
    /// Entries that were not seen before, oldest first.
    pub entries: Vec<Entry>,
    /// How many were gone before they were seen.
    pub missed: u64,
    /// Whether it is of another server than the last one, whose entries up to now are old.
    pub is_of_another: bool,
}

impl Seen {
    /// Takes the answer of the server's run `id`, which began `uptime` ago. What is there when a
    /// server is seen for the first time is old. One that was started since the last look counts
    /// from 0 again, and all it has is new; one that is older is another server that has taken over
    /// the address.
    pub fn take(
        &mut self,
        id: &str,
        uptime: Option<Duration>,
        now: Instant,
        reply: &Reply,
    ) -> News {
        let list = reply.list().unwrap_or_default();
        let mut entries: Vec<Entry> = list.iter().filter_map(Entry::parse).collect();
        entries.sort_by_key(|entry| entry.id);
        let run = Run {
            id: id.to_owned(),
            seen: now,
        };
        let last = self.run.replace(run);
        let is_same = last.as_ref().is_some_and(|last| last.id == id);
        let was_started = last.as_ref().zip(uptime).is_some_and(|(last, uptime)| {
            uptime <= now.saturating_duration_since(last.seen) + UPTIME_STEP
        });
        if !is_same {
            self.next = 0;
        }
        let next = self.next;
        if let Some(newest) = entries.last() {
            self.next = next.max(newest.id + 1);
        }
        if !is_same && !was_started {
            return News {
                is_of_another: last.is_some(),
                ..News::default()
            };
        }
        entries.retain(|entry| next <= entry.id);
        // Ids grow by one: what is between was there.
        let missed = entries.first().map_or(0, |first| first.id - next);
        News {
            entries,
            missed,
            is_of_another: false,
        }
    }
}

/// A server counts its uptime in whole seconds, by when each began.
const UPTIME_STEP: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

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
        let start = clock::now();
        let mut take = |run: &str, uptime: u64, at: u64, reply: &Reply| {
            let now = start + Duration::from_secs(at);
            seen.take(run, Some(Duration::from_secs(uptime)), now, reply)
        };
        assert_eq!(take("a", 50, 0, &list(&[3, 4])), News::default());
        assert_eq!(take("a", 55, 5, &list(&[3, 4])), News::default());
        assert_eq!(ids(&take("a", 60, 10, &list(&[3, 4, 5, 6]))), [5, 6]);
        assert_eq!(take("a", 65, 15, &list(&[])), News::default());
        let news = take("a", 70, 20, &list(&[9, 10]));
        assert_eq!((ids(&news), news.missed), (vec![9, 10], 2));
        // Restarted.
        let news = take("b", 6, 25, &list(&[0, 1]));
        assert_eq!((ids(&news), news.missed), (vec![0, 1], 0));
        assert_eq!(take("b", 9, 28, &Reply::Nil), News::default());
        // Another one answers at the same address, and then the first again.
        let other = News {
            is_of_another: true,
            ..News::default()
        };
        assert_eq!(take("c", 900, 33, &list(&[700, 701])), other);
        let news = take("c", 905, 38, &list(&[701, 702]));
        assert_eq!((ids(&news), news.missed), (vec![702], 0));
        assert_eq!(take("b", 24, 43, &list(&[0, 1, 2])), other);
        assert_eq!(ids(&take("b", 29, 48, &list(&[1, 2, 3]))), [3]);
        let unknown = seen.take("d", None, start + Duration::from_secs(50), &list(&[1]));
        assert_eq!(unknown, other);
    }
}
