//! Room in memory for one batch: it is made while another is on its way.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::clock;
use crate::sources::ship::batch::Batch;
use crate::sources::ship::book::Book;

/// The room.
pub(crate) struct Slot {
    state: Mutex<State>,
    filled: Notify,
    emptied: Notify,
    book: Arc<Book>,
}

#[derive(Default)]
struct State {
    batch: Option<Batch>,
    is_closed: bool,
}

impl Slot {
    /// An empty one.
    pub(crate) fn new(book: Arc<Book>) -> Self {
        Self {
            state: Mutex::default(),
            filled: Notify::new(),
            emptied: Notify::new(),
            book,
        }
    }

    pub(crate) async fn room(&self) {
        while self.lock().batch.is_some() {
            self.emptied.notified().await;
        }
    }

    pub(crate) fn put(&self, batch: Batch) {
        let old = self.lock().batch.replace(batch);
        debug_assert!(old.is_none(), "the collector waited for room");
        self.filled.notify_one();
    }

    pub(crate) fn close(&self) {
        self.lock().is_closed = true;
        self.filled.notify_one();
    }

    pub(crate) async fn ready(&self) {
        while !self.is_ready() {
            self.filled.notified().await;
        }
    }

    fn is_ready(&self) -> bool {
        let state = self.lock();
        state.batch.is_some() || state.is_closed
    }

    pub(crate) fn take(&self) -> Option<Batch> {
        let taken = self.lock().batch.take();
        if taken.is_some() {
            self.emptied.notify_one();
        }
        taken
    }

    /// Loses `taken` and all that still comes.
    pub(crate) async fn give_up(&self, taken: Batch) {
        let mut taken = Some(taken);
        while let Some(batch) = taken {
            self.book.lose(batch.lines, batch.told, clock::wall());
            self.ready().await;
            taken = self.take();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
