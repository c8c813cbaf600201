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
    is_stalled: AtomicBool,
}

impl Default for Progress {
    fn default() -> Self {
        Self {
            seq: AtomicU64::new(u64::MAX),
            bytes: AtomicU64::new(u64::MAX),
            is_stalled: AtomicBool::new(false),
        }
    }
}

impl Progress {
    /// Everything before `cursor` is confirmed. Wakes writers that wait for room.
    pub fn confirm(&self, channel: &Channel, cursor: &Cursor) {
        // Statistics: a writer that sees one of them early pauses or goes on a moment early.
        self.seq.store(cursor.seq().value(), Ordering::Relaxed);
        self.bytes.store(cursor.bytes(), Ordering::Relaxed);
        channel.pressure().wake();
    }

    /// Says whether the drain backs off: what it has not sent yet is then no reason to yield to it.
    pub fn set_stalled(&self, is_stalled: bool) {
        self.is_stalled.store(is_stalled, Ordering::Relaxed);
    }
}

/// Whether writers pause.
#[derive(Clone, Copy, Default)]
enum State {
    /// The slowest drain is near enough.
    #[default]
    Clear,
    /// It is far behind and stood at `bytes` since `since`.
    Waiting { since: Instant, bytes: u64 },
    /// It stood still for too long; nobody waits for it until it is near again.
    GivenUp,
}

/// The drains of one channel and what they mean to its writers.
#[derive(Default)]
pub(crate) struct Pressure {
    drains: ArcSwapOption<Vec<Arc<Progress>>>,
    moved: Notify,
    state: Mutex<State>,
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

    /// Until when writers pause, if they do: the slowest drain is more than `bytes_max` behind
    /// `end` and has moved within `wait_max`.
    pub(crate) fn pause(
        &self,
        end: Position,
        bytes_max: usize,
        wait_max: Duration,
    ) -> Option<Instant> {
        let slowest = self.slowest().unwrap_or(u64::MAX);
        let is_behind = (bytes_max as u64) < end.bytes.saturating_sub(slowest);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !is_behind {
            *state = State::Clear;
            return None;
        }
        let now = clock::now();
        let since = match *state {
            State::GivenUp => return None,
            State::Waiting { since, bytes } if slowest <= bytes => since,
            State::Clear | State::Waiting { .. } => now,
        };
        let until = since.checked_add(wait_max).filter(|until| now < *until);
        *state = until.map_or(State::GivenUp, |_| State::Waiting {
            since,
            bytes: slowest,
        });
        until
    }

    fn slowest(&self) -> Option<u64> {
        let drains = self.drains.load();
        let drains = drains.as_deref()?;
        let confirmed = drains
            .iter()
            .map(|drain| drain.bytes.load(Ordering::Relaxed));
        confirmed.min()
    }
}
