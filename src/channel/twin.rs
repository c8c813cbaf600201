//! The log's safe twin: what it must do, in the plainest code, for random and fuzzed operations.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::too_many_lines,
    reason = "a model stops at the first surprise"
)]

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use crate::channel::log::Log;
use crate::channel::pool::{Budget, Pool, Sizes};
use crate::channel::sync;
use crate::channel::table::Table;
use crate::channel::{Cursor, ReadOutcome};
use crate::clock::UnixMicros;
use crate::id::Seq;
use crate::syslog::message::{Message, Pri, Timestamp};

/// One thing done to a log.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    /// Append a run of texts with these lengths.
    Append(Vec<usize>),
    /// Read at most so many records at one of the cursors.
    Read { cursor: usize, count: u64 },
    /// Put a cursor so far back.
    Back { cursor: usize, count: u64 },
    /// Put a cursor at a sequence.
    At { cursor: usize, seq: u64 },
    /// Let the oldest segment go.
    EvictOldest,
    /// Let everything go.
    EvictAll,
    /// Let go what is older than this many appends.
    EvictOlder(u64),
}

/// Readers of a log under test.
pub(crate) const CURSORS: usize = 3;

/// Fuzz target: the first byte sets the budget, the others are operations; the log and its twin
/// must agree after each.
pub fn fuzz_log(bytes: &[u8]) {
    let mut bytes = bytes.iter().copied();
    let channel_bytes_max = match bytes.next() {
        Some(first) if first < 100 => 600,
        Some(first) if first < 200 => 2_000,
        _ => 1 << 20,
    };
    let ops: Vec<Op> = std::iter::from_fn(|| op(&mut bytes)).collect();
    check(&ops, channel_bytes_max);
}

fn op(bytes: &mut impl Iterator<Item = u8>) -> Option<Op> {
    let kind = bytes.next()?;
    let mut next = || bytes.next().map_or(0, u64::from);
    Some(match kind {
        0..90 => Op::Append((0..kind / 2).map(|_| length(next())).collect()),
        90..180 => Op::Read {
            cursor: usize::from(kind) % CURSORS,
            count: next(),
        },
        180..200 => Op::Back {
            cursor: usize::from(kind) % CURSORS,
            count: next(),
        },
        200..220 => Op::At {
            cursor: usize::from(kind) % CURSORS,
            seq: next() * 4,
        },
        220..230 => Op::EvictOldest,
        230..240 => Op::EvictAll,
        240.. => Op::EvictOlder(u64::from(kind - 240)),
    })
}

/// Most texts are short; a few do not fit a segment of the usual size.
fn length(byte: u64) -> usize {
    let bytes = if byte < 230 { byte / 4 } else { byte * 3 };
    usize::try_from(bytes).unwrap()
}

/// The safe twin: what was appended, and from where on it is kept. Which segments go when is the
/// log's own affair, so the twin asks where it begins and checks everything else.
#[derive(Default)]
struct Twin {
    kept: VecDeque<Vec<u8>>,
    first: u64,
    cursors: [u64; CURSORS],
}

impl Twin {
    fn end(&self) -> u64 {
        self.first + self.kept.len() as u64
    }

    fn follow(&mut self, log: &Log) {
        let first = log.first().seq;
        assert!(self.first <= first && first <= self.end());
        self.kept
            .drain(..usize::try_from(first - self.first).unwrap());
        self.first = first;
        assert_eq!(log.end().seq, self.end());
    }

    fn read(&mut self, cursor: usize, count: u64) -> (ReadOutcome, Vec<(u64, Vec<u8>)>) {
        let seq = &mut self.cursors[cursor];
        if *seq < self.first {
            let lost = self.first - *seq;
            *seq = self.first;
            return (ReadOutcome { lost, read: 0 }, Vec::new());
        }
        let from = usize::try_from(*seq - self.first).unwrap();
        let texts = self.kept.iter().skip(from).cloned();
        let records: Vec<_> = (*seq..)
            .zip(texts)
            .take(usize::try_from(count).unwrap())
            .collect();
        let read = records.len() as u64;
        *seq += read;
        (ReadOutcome { lost: 0, read }, records)
    }
}

fn read(log: &Log, cursor: &mut Cursor, count: u64) -> (ReadOutcome, Vec<(u64, Vec<u8>)>) {
    let mut records = Vec::new();
    let outcome = log.read(cursor, |record| {
        if records.len() as u64 == count {
            return ControlFlow::Break(());
        }
        records.push((record.seq.value(), record.message().text.to_vec()));
        ControlFlow::Continue(())
    });
    (outcome, records)
}

/// A message with nothing but a text.
pub(crate) fn message(text: &[u8]) -> Message<'_> {
    Message {
        pri: Pri::DEFAULT,
        is_truncated: false,
        timestamp: Timestamp::Given(b"-"),
        hostname: b"-",
        app_name: b"-",
        procid: b"-",
        msgid: b"-",
        sd: b"-",
        text,
    }
}

pub(crate) fn pool(channel_bytes_max: usize, sizes: Sizes) -> Arc<Pool> {
    let budget = Budget {
        channel_bytes_max,
        node_bytes_max: usize::MAX,
        history_age_max: Duration::MAX,
        wait_max: Duration::from_secs(30),
    };
    Arc::new(Pool::new(budget, sizes))
}

/// An empty log.
pub(crate) fn log(channel_bytes_max: usize, sizes: Sizes) -> Log {
    let empty = sync::Arc::new(Table::empty());
    Log::new(pool(channel_bytes_max, sizes), empty)
}

/// Does `ops` to a log and to its twin, and compares the two after each.
pub(crate) fn check(ops: &[Op], channel_bytes_max: usize) {
    let log = log(channel_bytes_max, Sizes { min: 128, max: 512 });
    let mut twin = Twin::default();
    let mut cursors = [log.cursor_at_end(); CURSORS];
    let mut number = 0_u64;
    for (time, op) in (1_u64..).zip(ops) {
        match op {
            Op::Append(lengths) => {
                let texts: Vec<Vec<u8>> = lengths
                    .iter()
                    .map(|&length| {
                        number += 1;
                        let mut text = number.to_string().into_bytes();
                        text.resize(text.len() + length, b'.');
                        text
                    })
                    .collect();
                let run = texts.iter().map(|text| message(text));
                let appended = log.append(run, UnixMicros::new(time), || u64::MAX);
                assert_eq!(appended.count, texts.len() as u64);
                if !texts.is_empty() {
                    assert_eq!(appended.first_seq.value(), twin.end());
                }
                twin.kept.extend(texts);
            }
            Op::Read { cursor, count } => {
                let expected = twin.read(*cursor, *count);
                assert_eq!(read(&log, &mut cursors[*cursor], *count), expected);
            }
            Op::Back { cursor, count } => {
                cursors[*cursor] = log.cursor_back(*count);
                twin.cursors[*cursor] = twin.end().saturating_sub(*count).max(twin.first);
            }
            Op::At { cursor, seq } => {
                cursors[*cursor] = log.cursor_at(Seq::new(*seq));
                twin.cursors[*cursor] = twin.end().min(*seq);
            }
            Op::EvictOldest => {
                log.evict_oldest();
            }
            Op::EvictAll => {
                log.evict_all();
                assert_eq!((log.first(), log.bytes()), (log.end(), 0));
            }
            Op::EvictOlder(ago) => {
                let begin = UnixMicros::new(time.saturating_sub(*ago));
                log.evict_older(begin, UnixMicros::new(time));
            }
        }
        twin.follow(&log);
        for (cursor, seq) in cursors.iter().zip(twin.cursors) {
            assert_eq!(cursor.seq().value(), seq);
            assert_eq!(log.is_readable(cursor), seq < twin.end());
        }
    }
}
