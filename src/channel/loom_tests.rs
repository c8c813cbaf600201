//! Every interleaving of a few threads on a tiny log.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may stop at the first surprise"
)]

use std::ops::ControlFlow;

use loom::sync::{Condvar, Mutex};
use loom::thread;

use crate::channel::Cursor;
use crate::channel::log::Log;
use crate::channel::pool::Sizes;
use crate::channel::sync::Arc;
use crate::channel::table::Table;
use crate::channel::twin::{message, pool};
use crate::channel::wake::Waiters;
use crate::clock::UnixMicros;

/// A record with a text of 8 bytes takes 32: two fill a segment.
const SIZES: Sizes = Sizes { min: 64, max: 64 };

fn check(test: impl Fn() + Sync + Send + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(test);
}

fn log(channel_bytes_max: usize) -> Arc<Log> {
    let empty = Arc::new(Table::empty());
    Arc::new(Log::new(pool(channel_bytes_max, SIZES), empty))
}

fn append(log: &Log, text: u8, count: usize) {
    let text = [text; 8];
    let run = std::iter::repeat_n(message(&text), count);
    assert_eq!(log.append(run, UnixMicros::new(1)).count, count as u64);
}

/// What is there to read at `cursor`: first bytes of the texts, and the loss before them.
fn read(log: &Log, cursor: &mut Cursor) -> (u64, Vec<u8>) {
    let mut texts = Vec::new();
    let mut visit = |record: crate::channel::Record<'_>| {
        assert!(
            record
                .message
                .text
                .iter()
                .all(|b| *b == record.message.text[0])
        );
        texts.push(record.message.text[0]);
        ControlFlow::Continue(())
    };
    let lost = log.read(cursor, &mut visit).lost;
    if 0 < lost {
        log.read(cursor, &mut visit);
    }
    (lost, texts)
}

#[test]
fn loom_two_appenders_share_a_segment() {
    check(|| {
        let log = log(1 << 20);
        let mut cursor = log.cursor_at_end();
        let other = Arc::clone(&log);
        let thread = thread::spawn(move || append(&other, b'a', 1));
        append(&log, b'b', 1);
        thread.join().unwrap();
        let (lost, mut texts) = read(&log, &mut cursor);
        texts.sort_unstable();
        assert_eq!((lost, &texts[..]), (0, &b"ab"[..]));
    });
}

#[test]
fn loom_a_reader_sees_whole_records() {
    check(|| {
        let log = log(1 << 20);
        let mut cursor = log.cursor_at_end();
        let other = Arc::clone(&log);
        let thread = thread::spawn(move || append(&other, b'a', 2));
        let (_, mut texts) = read(&log, &mut cursor);
        thread.join().unwrap();
        texts.extend(read(&log, &mut cursor).1);
        assert_eq!(texts, b"aa");
    });
}

#[test]
fn loom_appenders_race_over_a_seal() {
    check(|| {
        let log = log(1 << 20);
        append(&log, b'0', 1);
        let mut cursor = log.cursor_at_end();
        let other = Arc::clone(&log);
        let thread = thread::spawn(move || append(&other, b'a', 2));
        append(&log, b'b', 1);
        thread.join().unwrap();
        let (lost, mut texts) = read(&log, &mut cursor);
        texts.sort_unstable();
        assert_eq!((lost, &texts[..]), (0, &b"aab"[..]));
        assert_eq!((log.end().seq, log.end().bytes), (4, 4 * 32));
    });
}

#[test]
fn loom_a_loss_is_exact_when_eviction_races() {
    check(|| {
        let log = log(64);
        append(&log, b'0', 2);
        let mut cursor = log.cursor_back(2);
        let other = Arc::clone(&log);
        let thread = thread::spawn(move || append(&other, b'a', 1));
        let (lost_before, texts_before) = read(&log, &mut cursor);
        thread.join().unwrap();
        let (lost_after, texts_after) = read(&log, &mut cursor);
        let read = (texts_before.len() + texts_after.len()) as u64;
        assert_eq!(lost_before + lost_after + read, 3);
    });
}

#[test]
fn loom_ageing_and_appending_race() {
    check(|| {
        let log = log(1 << 20);
        append(&log, b'0', 1);
        let mut cursor = log.cursor_back(1);
        let other = Arc::clone(&log);
        let thread = thread::spawn(move || {
            let run = std::iter::once(message(b"aaaaaaaa"));
            other.append(run, UnixMicros::new(5))
        });
        log.evict_older(UnixMicros::new(2), UnixMicros::new(5));
        let appended = thread.join().unwrap();
        assert_eq!((appended.first_seq.value(), log.end().seq), (1, 2));
        let (lost, texts) = read(&log, &mut cursor);
        assert_eq!(lost + texts.len() as u64, 2);
        assert_eq!(texts.last(), Some(&b'a'), "a fresh message is not too old");
    });
}

#[test]
fn loom_no_wake_up_is_lost() {
    check(|| {
        let log = log(1 << 20);
        let cursor = log.cursor_at_end();
        // Stands for Tokio's `Notify`: a count of calls, taken before the reader joins.
        let notify = Arc::new((Waiters::default(), Mutex::new(0_u32), Condvar::new()));
        let (other, others) = (Arc::clone(&log), Arc::clone(&notify));
        let thread = thread::spawn(move || {
            append(&other, b'a', 1);
            let (waiters, calls, changed) = &*others;
            if waiters.any() {
                *calls.lock().unwrap() += 1;
                changed.notify_all();
            }
        });
        let (waiters, calls, changed) = &*notify;
        let seen = *calls.lock().unwrap();
        let waiting = waiters.join();
        if !log.is_readable(&cursor) {
            let mut now = calls.lock().unwrap();
            // Loom reports a deadlock when nobody ever calls.
            while *now == seen {
                now = changed.wait(now).unwrap();
            }
            drop(now);
            assert!(log.is_readable(&cursor));
        }
        drop(waiting);
        thread.join().unwrap();
    });
}
