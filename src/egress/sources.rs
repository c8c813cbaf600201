//! Who wrote into a channel, how much and when last: read out of what the channel keeps, when it is
//! asked for. The message path counts nothing for it.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::Duration;

use crate::channel::Channel;
use crate::channel::Record;
use crate::clock;
use crate::clock::UnixMicros;
use crate::limits::SURVEY_SOURCES_MAX;
use crate::limits::TAIL_SCAN_RECORDS_MAX;
use crate::syslog::message::Fields;

/// What a channel keeps of one source.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Wrote {
    /// Messages kept.
    pub messages: u64,
    /// When the first of them came.
    pub first: UnixMicros,
    /// When the last of them came.
    pub last: UnixMicros,
    /// Longest time between two of them.
    pub gap_max: Duration,
    /// Most messages that came within one minute of the clock.
    pub minute_messages_max: u64,
    /// Most bytes of texts that came within one.
    pub minute_bytes_max: u64,
    minute: u64,
    minute_messages: u64,
    minute_bytes: u64,
}

/// All of a channel.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Survey {
    /// Sources by name, at most `SURVEY_SOURCES_MAX`.
    pub sources: BTreeMap<String, Wrote>,
    /// Messages over a rate limit, as the router told the channel.
    pub rate_limited: u64,
}

/// Looks through what `channel` keeps and has come since `from`; lets other tasks run meanwhile.
pub async fn survey(channel: &Channel, from: UnixMicros) -> Survey {
    let end = channel.end_seq();
    let mut cursor = channel.cursor_history(u64::MAX, clock::wall());
    let mut survey = Survey::default();
    loop {
        let mut scanned = 0;
        let outcome = channel.read(&mut cursor, |record| {
            if end <= record.seq || scanned == TAIL_SCAN_RECORDS_MAX {
                return ControlFlow::Break(());
            }
            scanned += 1;
            survey.add(&record, from);
            ControlFlow::Continue(())
        });
        tokio::task::yield_now().await;
        // Lapped while looking: what is gone is no longer kept.
        if outcome.lost == 0 && scanned < TAIL_SCAN_RECORDS_MAX {
            return survey;
        }
    }
}

impl Survey {
    fn add(&mut self, record: &Record<'_>, from: UnixMicros) {
        let (source, text) = (record.app_name(), record.text());
        if from <= record.arrival && source == b"heroku" && record.procid() == b"logplex" {
            self.rate_limited = self.rate_limited.saturating_add(told_dropped(text));
        }
        let name = String::from_utf8_lossy(source);
        if let Some(wrote) = self.sources.get_mut(name.as_ref()) {
            wrote.add(record.arrival, text.len());
        } else if self.sources.len() < SURVEY_SOURCES_MAX {
            let mut wrote = Wrote {
                first: record.arrival,
                last: record.arrival,
                ..Wrote::default()
            };
            wrote.add(record.arrival, text.len());
            self.sources.insert(name.into_owned(), wrote);
        }
    }
}

impl Wrote {
    fn add(&mut self, arrival: UnixMicros, bytes: usize) {
        let gap = arrival.value().saturating_sub(self.last.value());
        self.gap_max = self.gap_max.max(Duration::from_micros(gap));
        self.last = self.last.max(arrival);
        self.messages += 1;
        let minute = arrival.value() / 60_000_000;
        if self.minute != minute {
            self.minute = minute;
            self.minute_messages = 0;
            self.minute_bytes = 0;
        }
        self.minute_messages += 1;
        self.minute_bytes += u64::try_from(bytes).unwrap_or(u64::MAX);
        self.minute_messages_max = self.minute_messages_max.max(self.minute_messages);
        self.minute_bytes_max = self.minute_bytes_max.max(self.minute_bytes);
    }
}

/// How many messages the router's notice of a rate limit says were dropped; see `route/notice.rs`.
fn told_dropped(text: &[u8]) -> u64 {
    let said = || {
        let rest = text.strip_prefix(b"Rate limit: ")?;
        let digits = rest.split(|byte| !byte.is_ascii_digit()).next()?;
        std::str::from_utf8(digits).ok()?.parse().ok()
    };
    said().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_routers_words_are_counted() {
        for (text, expected) in [
            (
                "Rate limit: 17 messages dropped since T. reason=rate_limited source=app",
                17,
            ),
            ("Rate limit: messages dropped", 0),
            ("rate limit: 17 messages", 0),
            ("", 0),
        ] {
            assert_eq!(told_dropped(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn gaps_and_busiest_minutes_are_found() {
        let second = |number: u64| UnixMicros::new(number * 1_000_000);
        let mut wrote = Wrote {
            first: second(30),
            last: second(30),
            ..Wrote::default()
        };
        for (at, bytes) in [(30, 10), (59, 10), (60, 5), (200, 100), (190, 1)] {
            wrote.add(second(at), bytes);
        }
        assert_eq!(wrote.messages, 5);
        assert_eq!(wrote.last, second(200));
        assert_eq!(wrote.gap_max, Duration::from_secs(140));
        assert_eq!(wrote.minute_messages_max, 2);
        assert_eq!(wrote.minute_bytes_max, 101);
    }
}
