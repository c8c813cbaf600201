//! The log against its safe twin, and many threads against arithmetic.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::too_many_lines,
    reason = "a test may stop at the first surprise"
)]

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use proptest::prelude::*;

use crate::channel::log::Log;
use crate::channel::pool::Sizes;
use crate::channel::table::Table;
use crate::channel::tests::{message, pool};
use crate::channel::{Cursor, ReadOutcome};
use crate::clock::UnixMicros;
use crate::id::Seq;
use crate::syslog::message::{Message, Pri, Timestamp};

/// One thing done to a log.
#[derive(Clone, Debug)]
enum Op {
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

const CURSORS: usize = 3;

fn op() -> impl Strategy<Value = Op> {
    let cursor = 0..CURSORS;
    prop_oneof![
        6 => prop::collection::vec(prop_oneof![9 => 0_usize..60, 1 => 0_usize..700], 0..40)
            .prop_map(Op::Append),
        6 => (cursor.clone(), 0_u64..60).prop_map(|(cursor, count)| Op::Read { cursor, count }),
        1 => (cursor.clone(), 0_u64..120).prop_map(|(cursor, count)| Op::Back { cursor, count }),
        1 => (cursor, 0_u64..900).prop_map(|(cursor, seq)| Op::At { cursor, seq }),
        1 => Just(Op::EvictOldest),
        1 => Just(Op::EvictAll),
        1 => (0_u64..6).prop_map(Op::EvictOlder),
    ]
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
        records.push((record.seq.value(), record.message.text.to_vec()));
        ControlFlow::Continue(())
    });
    (outcome, records)
}

fn log(channel_bytes_max: usize, sizes: Sizes) -> Log {
    Log::new(pool(channel_bytes_max, sizes), Arc::new(Table::empty()))
}

fn check(ops: &[Op], channel_bytes_max: usize) {
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
                let appended = log.append(run, UnixMicros::new(time));
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
            Op::EvictOlder(ago) => log.evict_older(UnixMicros::new(time.saturating_sub(*ago))),
        }
        twin.follow(&log);
        for (cursor, seq) in cursors.iter().zip(twin.cursors) {
            assert_eq!(cursor.seq().value(), seq);
            assert_eq!(log.is_readable(cursor), seq < twin.end());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn the_log_does_what_its_twin_does(
        ops in prop::collection::vec(op(), 1..60),
        channel_bytes_max in prop_oneof![Just(600_usize), Just(2_000), Just(1 << 20)],
    ) {
        check(&ops, channel_bytes_max);
    }

    #[test]
    fn every_field_comes_back_byte_for_byte(
        fields in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..=255), 5),
        sd in prop::collection::vec(any::<u8>(), 1..3_000),
        text in prop::collection::vec(any::<u8>(), 0..3_000),
        pri in 0_u32..192,
        is_truncated in any::<bool>(),
    ) {
        let given = Message {
            pri: Pri::or_default(pri),
            is_truncated,
            timestamp: Timestamp::Given(&fields[0]),
            hostname: &fields[1],
            app_name: &fields[2],
            procid: &fields[3],
            msgid: &fields[4],
            sd: &sd,
            text: &text,
        };
        let log = log(1 << 20, Sizes::default());
        let mut cursor = log.cursor_at_end();
        log.append([given, given].into_iter(), UnixMicros::new(u64::MAX));
        let mut seen = 0;
        log.read(&mut cursor, |record| {
            let back = record.message;
            assert_eq!(record.arrival, UnixMicros::new(u64::MAX));
            assert_eq!((back.pri, back.is_truncated), (given.pri, is_truncated));
            assert_eq!(back.timestamp.as_bytes(), fields[0]);
            assert_eq!((back.hostname, back.app_name), (given.hostname, given.app_name));
            assert_eq!((back.procid, back.msgid), (given.procid, given.msgid));
            assert_eq!((back.sd, back.text), (given.sd, given.text));
            seen += 1;
            ControlFlow::Continue(())
        });
        assert_eq!(seen, 2);
    }
}

/// What one reader makes of a log that `writers` threads fill: counts, and that each writer's
/// messages come in their order and whole.
fn follow(log: &Log, done: &AtomicBool, writers: usize, read_each: u64) -> (u64, u64) {
    let mut cursor = log.cursor_at(Seq::new(0));
    let mut next = vec![0_u64; writers];
    let (mut lost, mut read) = (0, 0);
    loop {
        // Looked at before the read: what was appended by then is read below.
        let is_last = done.load(Ordering::Acquire);
        let mut seen = 0;
        let outcome = log.read(&mut cursor, |record| {
            if seen == read_each {
                // This record is not consumed: the next read begins with it.
                return ControlFlow::Break(());
            }
            assert_eq!(record.arrival, UnixMicros::new(7));
            let (writer, number) = parse(record.message.text);
            assert!(
                next[writer] <= number,
                "writer {writer} out of order or twice"
            );
            next[writer] = number + 1;
            seen += 1;
            ControlFlow::Continue(())
        });
        assert_eq!(outcome.read, seen);
        read += seen;
        lost += outcome.lost;
        assert_eq!(cursor.seq().value(), read + lost);
        if is_last && outcome == ReadOutcome::default() && !log.is_readable(&cursor) {
            return (read, lost);
        }
        if outcome.read == 0 || read_each < 50 {
            thread::yield_now();
        }
    }
}

/// `writer number`, and after it as many `x` as `length_of` says.
fn parse(text: &[u8]) -> (usize, u64) {
    let text = std::str::from_utf8(text).unwrap();
    let mut parts = text.split(' ');
    let writer = parts.next().unwrap().parse().unwrap();
    let number = parts.next().unwrap().parse().unwrap();
    let filling = parts.next().unwrap();
    assert_eq!(filling.len() as u64, length_of(number));
    assert!(filling.bytes().all(|byte| byte == b'x'));
    (writer, number)
}

fn length_of(number: u64) -> u64 {
    number * 37 % 200
}

#[test]
fn writers_and_readers_agree_on_every_record() {
    const WRITERS: usize = 3;
    const EACH: u64 = 20_000;
    let log = Arc::new(log(
        64 * 1024,
        Sizes {
            min: 256,
            max: 4096,
        },
    ));
    let done = Arc::new(AtomicBool::new(false));
    let appended = Arc::new(AtomicU64::new(0));
    let readers: Vec<_> = [u64::MAX, 1_000, 40, 7]
        .map(|read_each| {
            let (log, done) = (Arc::clone(&log), Arc::clone(&done));
            thread::spawn(move || follow(&log, &done, WRITERS, read_each))
        })
        .into();
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (log, appended) = (Arc::clone(&log), Arc::clone(&appended));
            thread::spawn(move || {
                let mut number = 0;
                while number < EACH {
                    let count = (1 + number % 17).min(EACH - number);
                    let texts: Vec<String> = (number..number + count)
                        .map(|n| {
                            let length = usize::try_from(length_of(n)).unwrap();
                            format!("{writer} {n} {}", "x".repeat(length))
                        })
                        .collect();
                    let run = texts.iter().map(|text| message(text.as_bytes()));
                    let count = log.append(run, UnixMicros::new(7)).count;
                    appended.fetch_add(count, Ordering::Relaxed);
                    number += count;
                    if number % 5 == 0 {
                        thread::yield_now();
                    }
                }
            })
        })
        .collect();
    let evictor = {
        let (log, done) = (Arc::clone(&log), Arc::clone(&done));
        thread::spawn(move || {
            for round in 0_u64.. {
                if done.load(Ordering::Acquire) {
                    return;
                }
                match round % 64 {
                    0 => log.evict_all(),
                    _ => log.evict_oldest(),
                };
                for _ in 0..50 {
                    thread::yield_now();
                }
            }
        })
    };
    for writer in writers {
        writer.join().unwrap();
    }
    done.store(true, Ordering::Release);
    evictor.join().unwrap();
    let accepted = appended.load(Ordering::Relaxed);
    assert_eq!((accepted, log.end().seq), (EACH * WRITERS as u64, accepted));
    for reader in readers {
        let (read, lost) = reader.join().unwrap();
        assert_eq!(read + lost, accepted);
        assert!(0 < read);
    }
}
