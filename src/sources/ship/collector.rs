//! Makes batches out of lines, one ahead of the sender.

use std::sync::Arc;

use crate::sources::ship::ShipSettings;
use crate::sources::ship::batch::Batch;
use crate::sources::ship::book::Book;
use crate::sources::ship::outbox::Outbox;
use crate::sources::ship::queue::Queue;

/// The task between queue and outbox.
pub(crate) struct Collector {
    pub(crate) settings: Arc<ShipSettings>,
    pub(crate) queue: Arc<Queue>,
    pub(crate) book: Arc<Book>,
    pub(crate) outbox: Arc<Outbox>,
}

impl Collector {
    /// Runs until the queue is closed and empty.
    pub(crate) async fn run(self) {
        loop {
            // First the room: what comes while there is none makes the next batch greater.
            self.outbox.room().await;
            if !self.queue.ripe(self.settings.wait).await {
                break;
            }
            let items = self.queue.take();
            let batch = Batch::new(&items, &self.settings, &self.book).await;
            self.outbox.put(batch).await;
        }
        self.outbox.close();
    }
}
