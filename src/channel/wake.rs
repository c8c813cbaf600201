//! Waking who waits for a channel, at the cost of one load when nobody does.

use std::sync::OnceLock;
use std::sync::atomic::Ordering;

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use crate::channel::sync::{AtomicU64, fence_total};

/// How many readers wait.
///
/// No wake-up is lost: a writer publishes, fences, and looks here; a reader joins, fences, and
/// looks for records. Whichever fence comes second in the one order of all such fences, its thread
/// sees what the other did before its own: either the reader sees the record and does not wait, or
/// the writer sees the reader and notifies. A reader gets its `Notified` before it joins, and Tokio
/// promises that from then on it hears of every `notify_waiters`.
#[derive(Default)]
pub(crate) struct Waiters(AtomicU64);

/// A reader that waits, for as long as this lives.
pub(crate) struct Waiting<'w>(&'w Waiters);

impl Waiters {
    /// Counts the caller as waiting. What it looks at afterwards is not older than what a writer
    /// had done when it found nobody waiting.
    pub(crate) fn join(&self) -> Waiting<'_> {
        self.0.fetch_add(1, Ordering::Relaxed);
        // Pairs with the fence in `any`.
        fence_total();
        Waiting(self)
    }

    /// Whether anybody waits who may not have seen what the caller did before.
    pub(crate) fn any(&self) -> bool {
        // Pairs with the fence in `join`.
        fence_total();
        self.0.load(Ordering::Relaxed) != 0
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a channel tells those who wait for it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bell {
    /// Records were appended.
    Appended,
    /// The channel was closed.
    Closing,
    /// A writer that waits for room should look again.
    Room,
}

/// A channel's bells, which are made when somebody first listens: most channels rest.
///
/// No ring is lost: whoever rings changes something, fences, and looks for the bells; whoever
/// listens makes them, fences, and looks at what changes. If the first fence in the one order of
/// all such fences is the listener's, the bells are found and rung, and Tokio promises that this
/// is heard or seen; otherwise the listener sees what was changed.
#[derive(Default)]
pub(crate) struct Bells(OnceLock<Box<Made>>);

#[derive(Default)]
struct Made {
    appended: Notify,
    closing: Notify,
    room: Notify,
}

impl Bells {
    /// Wakes everybody who listens.
    pub(crate) fn ring(&self, bell: Bell) {
        // Pairs with the fence in `listen`.
        fence_total();
        if let Some(made) = self.0.get() {
            made.bell(bell).notify_waiters();
        }
    }

    /// Ends when `bell` rings after this call. To be made before looking at what it announces.
    pub(crate) fn listen(&self, bell: Bell) -> Notified<'_> {
        let made = self.0.get_or_init(Box::default);
        // Pairs with the fence in `ring`.
        fence_total();
        made.bell(bell).notified()
    }
}

impl Made {
    const fn bell(&self, bell: Bell) -> &Notify {
        match bell {
            Bell::Appended => &self.appended,
            Bell::Closing => &self.closing,
            Bell::Room => &self.room,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::atomic::{AtomicBool, AtomicUsize};
    use std::task::{Context, Waker};

    use super::*;

    fn is_heard(notified: Notified<'_>) -> bool {
        pin!(notified)
            .poll(&mut Context::from_waker(Waker::noop()))
            .is_ready()
    }

    #[test]
    fn each_bell_is_heard_by_those_who_listen_to_it() {
        let bells = Bells::default();
        bells.ring(Bell::Room);
        assert!(bells.0.get().is_none(), "nobody has listened");
        let [appended, closing, room] =
            [Bell::Appended, Bell::Closing, Bell::Room].map(|bell| bells.listen(bell));
        bells.ring(Bell::Closing);
        assert!(is_heard(closing));
        assert!(!is_heard(appended));
        bells.ring(Bell::Room);
        assert!(is_heard(room));
        assert!(!is_heard(bells.listen(Bell::Room)), "only what comes later");
    }

    /// The first who listens makes the bells while somebody rings them.
    #[test]
    fn no_first_ring_is_lost() {
        let rounds: Vec<(Bells, AtomicBool)> = (0..ROUNDS).map(|_| Default::default()).collect();
        let arrived = AtomicUsize::new(0);
        // Both begin a round within a few nanoseconds of each other.
        let meet = |round: usize| {
            arrived.fetch_add(1, Ordering::AcqRel);
            let mut spins = 0;
            while arrived.load(Ordering::Acquire) < 2 * (round + 1) {
                spins += 1;
                if spins % 1_000 == 0 {
                    // The other one has no processor.
                    std::thread::yield_now();
                }
                std::hint::spin_loop();
            }
        };
        let missed = std::thread::scope(|scope| {
            scope.spawn(|| {
                for (round, (bells, is_done)) in rounds.iter().enumerate() {
                    meet(2 * round);
                    is_done.store(true, Ordering::Relaxed);
                    bells.ring(Bell::Room);
                    meet(2 * round + 1);
                }
            });
            let is_missed = |(round, (bells, is_done)): (usize, &(Bells, AtomicBool))| {
                meet(2 * round);
                let heard = bells.listen(Bell::Room);
                let is_seen = is_done.load(Ordering::Relaxed);
                meet(2 * round + 1);
                !is_seen && !is_heard(heard)
            };
            rounds
                .iter()
                .enumerate()
                .filter(|&each| is_missed(each))
                .count()
        });
        assert_eq!(missed, 0);
    }

    const ROUNDS: usize = 20_000;
}
