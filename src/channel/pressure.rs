//! Back-pressure: how far a channel's drains are, and whether writers should pause for them.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::channel::Channel;
use crate::channel::cursor::Cursor;
use crate::channel::segment::Position;
use crate::clock;

/// Where a drain's destination has confirmed up to; the channel sees how far the slowest is.
///
/// A fresh one counts as not behind until it confirms for the first time: confirm the drain's
/// first cursor as soon as it is known.
#[derive(Debug)]
pub struct Progress {
    seq: AtomicU64,
    bytes: AtomicU64,
    /// `bytes` as the drain itself reached it: what the channel took from it meanwhile is no
    /// progress.
    reached: AtomicU64,
    is_stalled: AtomicBool,
    stood: Mutex<Option<Stood>>,
}

/// Where a drain that is too far behind was seen first, and when.
#[derive(Clone, Copy, Debug)]
struct Stood {
    reached: u64,
    since: Instant,
}

impl Default for Progress {
    fn default() -> Self {
        Self {
            seq: AtomicU64::new(u64::MAX),
            bytes: AtomicU64::new(u64::MAX),
            reached: AtomicU64::new(0),
            is_stalled: AtomicBool::new(false),
            stood: Mutex::default(),
        }
    }
}

impl Progress {
    /// Everything before `cursor` is confirmed. Wakes writers that wait for room.
    pub fn confirm(&self, channel: &Channel, cursor: &Cursor) {
        // Statistics: a writer that sees one of them early pauses or goes on a moment early.
        self.seq.store(cursor.seq().value(), Ordering::Relaxed);
        self.bytes.store(cursor.bytes(), Ordering::Relaxed);
        if !self.is_stalled.load(Ordering::Relaxed) {
            self.reached.store(cursor.bytes(), Ordering::Relaxed);
        }
        channel.pressure().wake();
    }

    /// Says whether the drain backs off: what it has not sent yet is then no reason to yield to it.
    pub fn set_stalled(&self, is_stalled: bool) {
        self.is_stalled.store(is_stalled, Ordering::Relaxed);
    }

    /// Where the drain's unconfirmed records begin, unless it has stood still for `wait_max`.
    fn awaited(&self, now: Instant, wait_max: Duration) -> Option<u64> {
        let reached = self.reached.load(Ordering::Relaxed);
        let stood = self.stood.lock().unwrap_or_else(PoisonError::into_inner);
        let is_given_up =
            stood.is_some_and(|stood| reached <= stood.reached && stood.since + wait_max <= now);
        (!is_given_up).then(|| self.bytes.load(Ordering::Relaxed))
    }

    /// Until when writers pause for this drain, if they do: it is more than `bytes_max` behind
    /// `end` and has not stood still for `wait_max`. One that has counts again once it moves.
    fn pause(&self, end: u64, bytes_max: u64, wait_max: Duration) -> Option<Instant> {
        if end.saturating_sub(self.bytes.load(Ordering::Relaxed)) <= bytes_max {
            return None;
        }
        let now = clock::now();
        let reached = self.reached.load(Ordering::Relaxed);
        let mut stood = self.stood.lock().unwrap_or_else(PoisonError::into_inner);
        let since = stood
            .filter(|stood| reached <= stood.reached)
            .map_or(now, |stood| stood.since);
        *stood = Some(Stood { reached, since });
        since.checked_add(wait_max).filter(|until| now < *until)
    }
}

/// The drains of one channel and what they mean to its writers.
#[derive(Default)]
pub(crate) struct Pressure {
    drains: ArcSwapOption<Vec<Arc<Progress>>>,
    moved: Notify,
    /// Bytes that writers are about to append.
    reserved: AtomicU64,
}

impl Pressure {
    pub(crate) fn add(&self, progress: &Arc<Progress>) {
        self.drains.rcu(|drains| {
            let mut drains = drains.as_deref().cloned().unwrap_or_default();
            drains.push(Arc::clone(progress));
            Some(Arc::new(drains))
        });
    }

    pub(crate) fn remove(&self, progress: &Arc<Progress>) {
        self.drains.rcu(|drains| {
            let mut drains = drains.as_deref().cloned().unwrap_or_default();
            drains.retain(|kept| !Arc::ptr_eq(kept, progress));
            (!drains.is_empty()).then(|| Arc::new(drains))
        });
        self.wake();
    }

    /// Lets everybody who waits for room look again.
    pub(crate) fn wake(&self) {
        self.moved.notify_waiters();
    }

    /// Hears of every `wake` from now on.
    pub(crate) fn moved(&self) -> impl Future<Output = ()> {
        self.moved.notified()
    }

    /// Whether a drain that could run has not confirmed everything before `end`.
    pub(crate) fn has_runnable_backlog(&self, end: impl FnOnce() -> Position) -> bool {
        let drains = self.drains.load();
        let Some(drains) = drains.as_deref() else {
            return false;
        };
        let end = end().seq;
        drains.iter().any(|drain| {
            !drain.is_stalled.load(Ordering::Relaxed) && drain.seq.load(Ordering::Relaxed) < end
        })
    }

    /// Whether there is any drain.
    pub(crate) fn has_drains(&self) -> bool {
        self.drains.load().is_some()
    }

    /// Until when writers pause, if they do: a drain is more than `bytes_max` behind the byte `end`
    /// and has moved within `wait_max`. Each drain is judged alone: a dead one releases nobody from
    /// waiting for a slow one.
    pub(crate) fn pause(&self, end: u64, bytes_max: u64, wait_max: Duration) -> Option<Instant> {
        let drains = self.drains.load();
        let pauses = drains
            .as_deref()?
            .iter()
            .filter_map(|drain| drain.pause(end, bytes_max, wait_max));
        pauses.max()
    }

    /// The byte from which on records are still awaited by a drain for which writers pause.
    pub(crate) fn awaited_from(&self, wait_max: Duration) -> u64 {
        let now = clock::now();
        let drains = self.drains.load();
        let awaited = drains
            .iter()
            .flat_map(|drains| drains.iter())
            .filter_map(|drain| drain.awaited(now, wait_max));
        awaited.min().unwrap_or(u64::MAX)
    }

    /// Adds `bytes` to what is about to be appended; returns the sum of it.
    pub(crate) fn reserve(&self, bytes: u64) -> u64 {
        // Acquire: pairs with `release`. Either what another writer has reserved is still in the
        // sum, or the end that is looked at next holds what it appended.
        self.reserved.fetch_add(bytes, Ordering::Acquire) + bytes
    }

    /// Takes `bytes` from what is about to be appended, since they were, or will not be.
    pub(crate) fn release(&self, bytes: u64) {
        // Release: pairs with `reserve`.
        self.reserved.fetch_sub(bytes, Ordering::Release);
    }

    /// What is about to be appended.
    pub(crate) fn reserved(&self) -> u64 {
        self.reserved.load(Ordering::Acquire)
    }
}
