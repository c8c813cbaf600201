//! The log against its safe twin, and many threads against arithmetic.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::too_many_lines,
    reason = "a test may stop at the first surprise"
)]

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use proptest::prelude::*;

use crate::channel::cursor::ReadOutcome;
use crate::channel::log::Log;
use crate::channel::pool::Sizes;
use crate::channel::twin::{CURSORS, Op, check, fuzz_log, log, message};
use crate::clock::UnixMicros;
use crate::id::Seq;
use crate::syslog::message::{Message, Pri, Timestamp};

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
    fn the_fuzz_target_takes_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        fuzz_log(&bytes);
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
        log.append([given, given].into_iter(), UnixMicros::new(u64::MAX), || u64::MAX);
        let mut seen = 0;
        log.read(&mut cursor, |record| {
            let back = record.message();
            assert_eq!(record.arrival, UnixMicros::new(u64::MAX));
            assert_eq!((back.pri, back.is_truncated), (given.pri, is_truncated));
            assert_eq!(back.timestamp.text(&mut Default::default()), fields[0]);
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
            let (writer, number) = parse(record.message().text);
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
                    let count = log.append(run, UnixMicros::new(7), || u64::MAX).count;
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
