//! Back-pressure: how far a channel's drains are, and whether writers should pause for them.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
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
    bytes: AtomicU64,
    /// `bytes` as the drain itself reached it: what the channel took from it meanwhile is no
    /// progress.
    reached: AtomicU64,
    is_stalled: AtomicBool,
    stood: Mutex<Option<Stood>>,
}

/// What became of a reservation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Reserved {
    Yes,
    No,
    /// No, but for a moment others saw it: writers are to be woken.
    TakenBack,
}

/// How far the log will reach.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ahead {
    /// Bytes of all records so far.
    pub(crate) end: u64,
    /// Bytes that are about to be appended.
    pub(crate) ahead: u64,
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
        self.bytes.store(cursor.bytes(), Ordering::Relaxed);
        if !self.is_stalled.load(Ordering::Relaxed) {
            self.reached.store(cursor.bytes(), Ordering::Relaxed);
        }
        channel.wake_writers();
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

    /// Until when writers pause for this drain, if they do: once `ahead` bytes more were appended it
    /// would be more than `bytes_max` behind, and it has not stood still for `wait_max`. One that
    /// has counts again once it moves.
    fn pause(&self, at: Ahead, bytes_max: u64, wait_max: Duration) -> Option<Instant> {
        let confirmed = self.bytes.load(Ordering::Relaxed);
        if at.end.saturating_add(at.ahead).saturating_sub(confirmed) <= bytes_max {
            return None;
        }
        let now = clock::now();
        if at.end <= confirmed {
            // It has everything: others are about to append.
            return now.checked_add(wait_max);
        }
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
    }

    /// How many bytes before `end` a drain that could run has not confirmed, at most.
    pub(crate) fn runnable_backlog(&self, end: impl FnOnce() -> Position) -> u64 {
        let drains = self.drains.load();
        let Some(drains) = drains.as_deref() else {
            return 0;
        };
        let end = end().bytes;
        let runnable = drains
            .iter()
            .filter(|drain| !drain.is_stalled.load(Ordering::Relaxed));
        let backlogs =
            runnable.map(|drain| end.saturating_sub(drain.bytes.load(Ordering::Relaxed)));
        backlogs.max().unwrap_or(0)
    }

    /// Whether there is any drain.
    pub(crate) fn has_drains(&self) -> bool {
        self.drains.load().is_some()
    }

    /// Until when writers pause, if they do: a drain would be more than `bytes_max` behind and has
    /// moved within `wait_max`. Each drain is judged alone: a dead one releases nobody from waiting
    /// for a slow one.
    pub(crate) fn pause(&self, at: Ahead, bytes_max: u64, wait_max: Duration) -> Option<Instant> {
        let drains = self.drains.load();
        let pauses = drains
            .as_deref()?
            .iter()
            .filter_map(|drain| drain.pause(at, bytes_max, wait_max));
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

    /// Adds `bytes` to what is about to be appended, if the sum of it `fits`. What does not is seen
    /// by nobody else, or as `TakenBack` says.
    pub(crate) fn reserve(&self, bytes: u64, fits: impl Fn(u64) -> bool) -> Reserved {
        let mut reserved = self.reserved();
        loop {
            let ahead = reserved + bytes;
            if !fits(ahead) {
                return Reserved::No;
            }
            // Acquire: pairs with `release`. What another writer has reserved is still in the sum,
            // or the end that is looked at next holds what it appended.
            let swapped = self.reserved.compare_exchange_weak(
                reserved,
                ahead,
                Ordering::Acquire,
                Ordering::Acquire,
            );
            match swapped {
                // Again: one may have appended and another reserved the same meanwhile.
                Ok(_) if fits(ahead) => return Reserved::Yes,
                Ok(_) => {
                    self.release(bytes);
                    return Reserved::TakenBack;
                }
                Err(changed) => reserved = changed,
            }
        }
    }

    /// Takes `bytes` from what is about to be appended, since they were, or will not be. Writers
    /// are to be woken: who looked before saw them as taken.
    pub(crate) fn release(&self, bytes: u64) {
        // Release: pairs with `reserve`.
        self.reserved.fetch_sub(bytes, Ordering::Release);
    }

    /// What is about to be appended.
    pub(crate) fn reserved(&self) -> u64 {
        self.reserved.load(Ordering::Acquire)
    }
}
