//! Where the last n matching messages begin, and the last n messages as `application/logplex-1`.

use std::ops::ControlFlow;
use std::time::Duration;

use bytes::Bytes;

use crate::channel::Channel;
use crate::clock;
use crate::clock::UnixMicros;
use crate::filter::Filter;
use crate::id::Seq;
use crate::limits::HISTORY_WINDOW_MAX;
use crate::limits::TAIL_FRAME_BYTES_MAX;
use crate::limits::TAIL_SCAN_RECORDS_MAX;
use crate::syslog::encode;

/// The sequence of the first message kept that arrived at `from` or later; the channel's end when
/// there is none. Looks at some twenty records. Messages that two connections brought in the same
/// moment may stand in either order; of these the first may be missed.
#[must_use]
pub fn since(channel: &Channel, from: UnixMicros) -> Seq {
    let (mut lower, mut upper) = (oldest(channel), channel.end_seq());
    while lower < upper {
        let middle = lower.plus(upper.since(lower) / 2);
        if is_older(channel, middle, from) {
            lower = middle.plus(1);
        } else {
            upper = middle;
        }
    }
    lower
}

/// How many messages a second arrived between `from` and `now`; of a shorter time where less is kept.
#[must_use]
pub fn rate(channel: &Channel, from: UnixMicros, now: UnixMicros) -> f64 {
    let first = since(channel, from);
    let count = channel.end_seq().since(first);
    let mut begin = from;
    if first == channel.first_seq() && 0 < first.value() {
        let mut cursor = channel.cursor_at(first);
        channel.read(&mut cursor, |record| {
            begin = record.arrival;
            ControlFlow::Break(())
        });
    }
    let micros = now
        .value()
        .saturating_sub(begin.value())
        .max(RATE_MICROS_MIN);
    #[expect(
        clippy::cast_precision_loss,
        reason = "a rate is rough; counts are far below 2^52"
    )]
    let rate = count as f64 / Duration::from_micros(micros).as_secs_f64();
    rate
}

/// A rate of less time than this says nothing.
const RATE_MICROS_MIN: u64 = 1_000;

/// Whether the message `seq` arrived before `from`, or is gone; not, if it is not yet written.
fn is_older(channel: &Channel, seq: Seq, from: UnixMicros) -> bool {
    let mut is_before = false;
    let mut cursor = channel.cursor_at(seq);
    let outcome = channel.read(&mut cursor, |record| {
        is_before = record.arrival < from;
        ControlFlow::Break(())
    });
    is_before || 0 < outcome.lost
}

/// The sequence of the first of the last `lines` messages between `first` and `end` that pass
/// `filter`; of the oldest that passes when there are fewer; `end` when there is none.
///
/// Looks back in windows that double, so that a few lines of a long channel cost little, keeps at
/// most one window of sequences, and lets other tasks run meanwhile.
pub async fn start(
    channel: &Channel,
    filter: Option<&Filter>,
    lines: u64,
    first: Seq,
    end: Seq,
) -> Seq {
    let Some(filter) = filter else {
        return back(end, lines).max(oldest(channel)).max(first).min(end);
    };
    let mut search = Search::new(lines, end);
    while let Some((lower, upper)) = search.window(oldest(channel).max(first)) {
        search.found(&matches_between(channel, filter, lower, upper).await);
    }
    search.start
}

/// The first message that may be shown: still kept, and not older than history is shown.
fn oldest(channel: &Channel) -> Seq {
    channel.cursor_history(u64::MAX, clock::wall()).seq()
}

fn back(end: Seq, lines: u64) -> Seq {
    Seq::new(end.value().saturating_sub(lines))
}

/// Sequences in `lower..upper` whose messages pass `filter`, in order.
async fn matches_between(channel: &Channel, filter: &Filter, lower: Seq, upper: Seq) -> Vec<Seq> {
    let mut matches = Vec::new();
    let mut cursor = channel.cursor_at(lower);
    loop {
        let mut scanned = 0;
        let outcome = channel.read(&mut cursor, |record| {
            if upper <= record.seq || scanned == TAIL_SCAN_RECORDS_MAX {
                return ControlFlow::Break(());
            }
            scanned += 1;
            if filter.matches(&record.message()) {
                matches.push(record.seq);
            }
            ControlFlow::Continue(())
        });
        // A filter may take its time: others want to run, too.
        tokio::task::yield_now().await;
        // Lapped while looking: what is gone cannot be shown; go on with what is there.
        if outcome.lost == 0 && scanned < TAIL_SCAN_RECORDS_MAX {
            return matches;
        }
    }
}

/// The search backwards, without the channel.
struct Search {
    wanted: u64,
    /// Everything from here on has been looked at.
    upper: Seq,
    /// The oldest match that counts.
    start: Seq,
    window: u64,
}

impl Search {
    fn new(lines: u64, end: Seq) -> Self {
        Self {
            wanted: lines,
            upper: end,
            start: end,
            window: lines.clamp(WINDOW_MIN, HISTORY_WINDOW_MAX),
        }
    }

    /// What to look at next, given the oldest kept; `None` when done.
    fn window(&mut self, first: Seq) -> Option<(Seq, Seq)> {
        if self.wanted == 0 || self.upper <= first {
            return None;
        }
        let upper = self.upper;
        let lower = back(upper, self.window).max(first);
        self.upper = lower;
        self.window = (2 * self.window).min(HISTORY_WINDOW_MAX);
        Some((lower, upper))
    }

    /// These of the last window match.
    fn found(&mut self, matches: &[Seq]) {
        let wanted = usize::try_from(self.wanted).unwrap_or(usize::MAX);
        let skipped = matches.len().saturating_sub(wanted);
        if let Some(&oldest) = matches.get(skipped) {
            self.start = oldest;
        }
        let taken = u64::try_from(matches.len() - skipped).unwrap_or(u64::MAX);
        self.wanted = self.wanted.saturating_sub(taken);
    }
}

/// Fewer records than this are not worth a window of their own.
const WINDOW_MIN: u64 = 512;

/// Messages as octet-counted frames.
pub struct Frames {
    /// How many messages there are.
    pub count: u64,
    /// Their frames, in order, cut anywhere.
    pub chunks: Vec<Bytes>,
}

/// The last `lines` messages that stand in the channel now, oldest first.
///
/// They are encoded before the first is sent, because their count goes ahead of them and the
/// channel may let the oldest go meanwhile; the channel's budget bounds what this holds.
pub async fn frames(channel: &Channel, lines: u64) -> Frames {
    let end = channel.end_seq();
    let mut cursor = channel.cursor_at(back(end, lines).max(oldest(channel)).min(end));
    let mut frames = Frames {
        count: 0,
        chunks: Vec::new(),
    };
    while cursor.seq() < end {
        let mut chunk = Vec::with_capacity(TAIL_FRAME_BYTES_MAX);
        let mut scanned = 0;
        let outcome = channel.read(&mut cursor, |record| {
            let is_full = TAIL_FRAME_BYTES_MAX <= chunk.len() || scanned == TAIL_SCAN_RECORDS_MAX;
            if end <= record.seq || is_full {
                return ControlFlow::Break(());
            }
            encode::logplex_http(&record, &mut chunk);
            scanned += 1;
            ControlFlow::Continue(())
        });
        frames.count += outcome.read;
        if !chunk.is_empty() {
            frames.chunks.push(Bytes::from(chunk));
        }
        if outcome.read == 0 && outcome.lost == 0 {
            // A writer has claimed this place and not yet written it.
            let written = tokio::time::timeout(WRITER_WAIT_MAX, channel.readable(&cursor)).await;
            if written.is_err() || channel.is_closed() {
                break;
            }
        }
        tokio::task::yield_now().await;
    }
    frames
}

/// A writer fills the place it claimed without waiting for anything; this is far more than it needs.
const WRITER_WAIT_MAX: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn search(kept: &[bool], first: u64, lines: u64) -> (u64, u64) {
        let end = first + kept.len() as u64;
        let mut search = Search::new(lines, Seq::new(end));
        let mut looked_at = 0;
        while let Some((lower, upper)) = search.window(Seq::new(first)) {
            let matches: Vec<Seq> = (lower.value()..upper.value())
                .filter(|seq| kept[usize::try_from(seq - first).unwrap()])
                .map(Seq::new)
                .collect();
            looked_at += upper.since(lower);
            search.found(&matches);
        }
        (search.start.value(), looked_at)
    }

    proptest! {
        #[test]
        fn the_start_is_what_a_full_scan_finds(
            kept in proptest::collection::vec(proptest::bool::weighted(0.2), 0..3_000),
            first in 0_u64..1_000_000,
            lines in 0_u64..800,
        ) {
            let matches: Vec<u64> = kept
                .iter()
                .enumerate()
                .filter(|(_, matches)| **matches)
                .map(|(index, _)| first + index as u64)
                .collect();
            let skipped = matches.len().saturating_sub(usize::try_from(lines).unwrap());
            let end = first + kept.len() as u64;
            let naive = matches[skipped..].first().copied().unwrap_or(end);
            prop_assert_eq!(search(&kept, first, lines).0, naive);
        }
    }

    #[test]
    fn a_few_lines_of_a_long_channel_cost_little() {
        let (start, looked_at) = search(&vec![true; 100_000], 5, 3);
        assert_eq!(start, 5 + 100_000 - 3);
        assert_eq!(looked_at, WINDOW_MIN);
    }
}
