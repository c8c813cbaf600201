//! Waking readers that have caught up, at the cost of one load when there are none.

use std::sync::atomic::Ordering;

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
