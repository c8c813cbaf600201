//! Every interleaving of a few threads on a tiny log, and on its parts alone: the lock that stands
//! for the log's table orders more than the real one does, and would hide an order that is missing.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may stop at the first surprise"
)]

use std::ops::ControlFlow;
use std::sync::atomic::Ordering;

use loom::sync::{Condvar, Mutex};
use loom::thread;

use crate::channel::Cursor;
use crate::channel::log::Log;
use crate::channel::pool::Sizes;
use crate::channel::segment::{Claimed, Place, Position, Segment, Step};
use crate::channel::sync::{Arc, AtomicU64};
use crate::channel::table::Table;
use crate::channel::twin::{message, pool};
use crate::channel::wake::Waiters;
use crate::clock::UnixMicros;

/// A record with a text of 2 bytes and no other field takes 32: two fill a segment.
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
    let text = [text; 2];
    let run = std::iter::repeat_n(message(&text), count);
    assert_eq!(
        log.append(run, UnixMicros::new(1), || u64::MAX).count,
        count as u64
    );
}

/// What is there to read at `cursor`: first bytes of the texts, and the loss before them.
fn read(log: &Log, cursor: &mut Cursor) -> (u64, Vec<u8>) {
    let mut texts = Vec::new();
    let mut visit = |record: crate::channel::Record<'_>| {
        let text = record.message().text;
        assert!(text.iter().all(|b| *b == text[0]));
        texts.push(text[0]);
        ControlFlow::Continue(())
    };
    let lost = log.read(cursor, &mut visit).lost;
    if 0 < lost {
        log.read(cursor, &mut visit);
    }
    (lost, texts)
}

/// A segment that two records fill, in no table.
fn segment() -> Arc<Segment> {
    let pool = pool(1 << 20, SIZES);
    let base = Position::default();
    Arc::new(Segment::new(base, SIZES.min, UnixMicros::new(1), &pool))
}

/// Claims room for `count` records and fills it; how many there was room for.
fn put(segment: &Segment, text: u8, count: usize) -> u64 {
    let text = [text; 2];
    let Claimed::Room(mut claim) = segment.claim(std::iter::repeat_n(message(&text), count)) else {
        return 0;
    };
    let records = claim.records();
    for _ in 0..records {
        assert!(claim.write(&message(&text), UnixMicros::new(7)));
    }
    u64::from(records)
}

/// The texts from `place` on, and whether they are followed by the segment's end.
fn texts_from(segment: &Segment, place: &mut Place) -> (Vec<u8>, bool) {
    let mut texts = Vec::new();
    loop {
        match segment.step(*place) {
            Step::Record(view) => {
                let text = view.packed.message().text;
                assert_eq!((text, view.arrival.value()), (&[text[0]; 2][..], 7));
                texts.push(text[0]);
                *place = view.next;
            }
            Step::Pending => return (texts, false),
            Step::End => return (texts, true),
        }
    }
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
            let run = std::iter::once(message(b"aa"));
            other.append(run, UnixMicros::new(5), || u64::MAX)
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

#[test]
fn loom_an_end_is_not_met_before_the_last_record() {
    check(|| {
        let segment = segment();
        let other = Arc::clone(&segment);
        let thread = thread::spawn(move || {
            assert_eq!(put(&other, b'a', 2), 2);
            other.seal();
        });
        let mut place = Place::START;
        let (mut texts, is_end) = texts_from(&segment, &mut place);
        assert!(!is_end || texts == b"aa");
        thread.join().unwrap();
        let (rest, is_end) = texts_from(&segment, &mut place);
        texts.extend(rest);
        assert_eq!((&texts[..], is_end), (&b"aa"[..], true));
    });
}

#[test]
fn loom_the_end_beside_a_seal_is_final() {
    check(|| {
        let segment = segment();
        let threads = [b'a', b'b'].map(|text| {
            let other = Arc::clone(&segment);
            thread::spawn(move || put(&other, text, 1))
        });
        segment.seal();
        let end = segment.end();
        let count: u64 = threads.map(|thread| thread.join().unwrap()).iter().sum();
        assert_eq!((end.seq, end.bytes), (count, 32 * count));
        assert_eq!(segment.end(), end);
        let (texts, is_end) = texts_from(&segment, &mut { Place::START });
        assert_eq!((texts.len() as u64, is_end), (count, true));
    });
}

#[test]
fn loom_a_claim_shows_what_was_done_before_it() {
    check(|| {
        let segment = segment();
        let touched = Arc::new(AtomicU64::new(0));
        let threads = [5, 6].map(|arrival| {
            let (other, others) = (Arc::clone(&segment), Arc::clone(&touched));
            thread::spawn(move || {
                others.fetch_max(arrival, Ordering::Relaxed);
                put(&other, b'a', 1)
            })
        });
        // Without it Loom never tries a stale time beside a fresh state.
        thread::yield_now();
        let seen = segment.end().seq;
        let arrival = touched.load(Ordering::Relaxed);
        assert!([0, 5, 6][usize::try_from(seen).unwrap()] <= arrival);
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

#[test]
fn loom_a_seal_shows_what_was_done_before_the_claims_it_covers() {
    check(|| {
        let segment = segment();
        let touched = Arc::new(AtomicU64::new(0));
        let (other, others) = (Arc::clone(&segment), Arc::clone(&touched));
        let writer = thread::spawn(move || {
            others.fetch_max(5, Ordering::Relaxed);
            put(&other, b'a', 1)
        });
        let other = Arc::clone(&segment);
        let sealer = thread::spawn(move || other.seal());
        if segment.is_sealed() && segment.end().seq == 1 {
            // The last store was perhaps the seal's, which shows what the claim's does.
            assert_eq!(touched.load(Ordering::Relaxed), 5);
        }
        writer.join().unwrap();
        sealer.join().unwrap();
    });
}

#[test]
fn loom_only_an_old_segment_is_sealed_for_its_age() {
    check(|| {
        let segment = segment();
        let touched = Arc::new(AtomicU64::new(1));
        let (other, others) = (Arc::clone(&segment), Arc::clone(&touched));
        let thread = thread::spawn(move || {
            others.fetch_max(5, Ordering::Relaxed);
            put(&other, b'a', 1)
        });
        let is_sealed = segment.seal_if(|| touched.load(Ordering::Relaxed) < 2);
        // Either the seal covers no fresh record, or there is none.
        assert_eq!(thread.join().unwrap(), u64::from(!is_sealed));
    });
}

#[test]
fn loom_ageing_spares_a_segment_that_was_just_filled() {
    check(|| {
        let log = log(1 << 20);
        append(&log, b'0', 1);
        let mut cursor = log.cursor_back(1);
        let other = Arc::clone(&log);
        let thread = thread::spawn(move || {
            // One fills the segment; for the other the writer seals it and opens the next.
            let run = std::iter::repeat_n(message(b"aa"), 2);
            other.append(run, UnixMicros::new(5), || u64::MAX)
        });
        log.evict_older(UnixMicros::new(2), UnixMicros::new(5));
        thread.join().unwrap();
        let (lost, texts) = read(&log, &mut cursor);
        assert_eq!(lost + texts.len() as u64, 3);
        assert!(texts.ends_with(b"aa"), "a fresh message is not too old");
    });
}

#[test]
fn loom_a_waiter_sees_or_is_seen() {
    check(|| {
        // What is published, and the waiters; relaxed, so that only their fences order anything.
        let shared = Arc::new((AtomicU64::new(0), Waiters::default()));
        let other = Arc::clone(&shared);
        let thread = thread::spawn(move || {
            let (published, waiters) = &*other;
            published.store(1, Ordering::Relaxed);
            waiters.any()
        });
        let (published, waiters) = &*shared;
        let waiting = waiters.join();
        let sees = published.load(Ordering::Relaxed) == 1;
        let is_seen = thread.join().unwrap();
        assert!(sees || is_seen);
        drop(waiting);
    });
}

#[test]
fn loom_a_waiter_sees_a_record_or_is_seen() {
    check(|| {
        let shared = Arc::new((segment(), Waiters::default()));
        let other = Arc::clone(&shared);
        let thread = thread::spawn(move || {
            let (segment, waiters) = &*other;
            assert_eq!(put(segment, b'a', 1), 1);
            waiters.any()
        });
        let (segment, waiters) = &*shared;
        let waiting = waiters.join();
        let sees = matches!(segment.step(Place::START), Step::Record(_));
        let is_seen = thread.join().unwrap();
        assert!(sees || is_seen);
        drop(waiting);
    });
}
