//! Batches between collector and sender.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::sources::ship::batch::Batch;

/// Room for one batch: it is made while another is on its way.
#[derive(Default)]
pub(crate) struct Outbox {
    state: Mutex<State>,
    filled: Notify,
    emptied: Notify,
}

#[derive(Default)]
struct State {
    batch: Option<Batch>,
    is_closed: bool,
}

impl Outbox {
    /// Waits until a batch can be put. For one waiter. Cancel safe.
    pub(crate) async fn room(&self) {
        while self.lock().batch.is_some() {
            self.emptied.notified().await;
        }
    }

    /// Puts a batch where there is room.
    pub(crate) fn put(&self, batch: Batch) {
        let old = self.lock().batch.replace(batch);
        debug_assert!(old.is_none(), "the collector waited for room");
        self.filled.notify_one();
    }

    /// No batch follows.
    pub(crate) fn close(&self) {
        self.lock().is_closed = true;
        self.filled.notify_one();
    }

    /// The next batch; `None` when there is none and none follows. For one waiter. Cancel safe.
    pub(crate) async fn next(&self) -> Option<Batch> {
        loop {
            {
                let mut state = self.lock();
                if let Some(batch) = state.batch.take() {
                    self.emptied.notify_one();
                    return Some(batch);
                }
                if state.is_closed {
                    return None;
                }
            }
            self.filled.notified().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
