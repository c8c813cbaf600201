//! Room in memory for one batch: it is made while another is on its way.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tracing::warn;

use crate::clock;
use crate::sources::ship::batch::Batch;
use crate::sources::ship::book::Book;
use crate::sources::ship::follow;
use crate::sources::ship::places;
use crate::sources::ship::places::Places;

/// The room.
pub(crate) struct Slot {
    state: Mutex<State>,
    filled: Notify,
    emptied: Notify,
    book: Arc<Book>,
    places: Option<Arc<Places>>,
}

#[derive(Default)]
struct State {
    batch: Option<Batch>,
    is_closed: bool,
}

impl Slot {
    /// An empty one.
    pub(crate) fn new(book: Arc<Book>, places: Option<Arc<Places>>) -> Self {
        Self {
            state: Mutex::default(),
            filled: Notify::new(),
            emptied: Notify::new(),
            book,
            places,
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

    pub(crate) async fn ready(&self) -> bool {
        loop {
            match self.look() {
                (true, _) => return true,
                (false, true) => return false,
                (false, false) => self.filled.notified().await,
            }
        }
    }

    /// Whether there is a batch, and whether none follows.
    fn look(&self) -> (bool, bool) {
        let state = self.lock();
        (state.batch.is_some(), state.is_closed)
    }

    pub(crate) fn take(&self) -> Option<Batch> {
        let taken = self.lock().batch.take();
        if taken.is_some() {
            self.emptied.notify_one();
        }
        taken
    }

    /// Remembers how far `batch` brings files.
    pub(crate) async fn settle(&self, batch: &Batch) {
        if let Some(places) = self.places.clone()
            && !batch.marks.is_empty()
        {
            places.advance(&batch.marks);
            places::on_disk(move || places.save_in_time()).await;
        }
    }

    /// Remembers how far all batches brought files.
    pub(crate) async fn leave(&self) {
        if let Some(places) = self.places.clone() {
            places::on_disk(move || places.save()).await;
        }
    }

    /// Loses `taken` and all that still comes, but for what can be read again.
    pub(crate) async fn give_up(&self, taken: Batch) {
        let mut taken = Some(taken);
        while let Some(batch) = taken {
            // What is still in its file is read there by the next shipper.
            let held = self.held(&batch).await;
            self.book.spool(held);
            let lost = batch.lines.saturating_sub(held);
            if held < batch.runs.iter().map(|run| run.lines).sum() {
                warn!(
                    lost,
                    "lines are lost: the file that they were read from holds them no more"
                );
            }
            self.book.lose(lost, batch.told, clock::wall());
            taken = match self.ready().await {
                true => self.take(),
                false => None,
            };
        }
    }

    /// How many lines of `batch` the next shipper finds in their files.
    async fn held(&self, batch: &Batch) -> u64 {
        let Some(places) = self.places.clone().filter(|_| !batch.runs.is_empty()) else {
            return 0;
        };
        let runs = batch.runs.clone();
        let held = tokio::task::spawn_blocking(move || follow::held_lines(&places, &runs));
        held.await.unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
