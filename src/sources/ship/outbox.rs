//! Batches between collector and sender: one in memory, or as many as the disk may hold.

use crate::sources::ship::batch::Batch;
use crate::sources::ship::slot::Slot;
use crate::sources::ship::spool::Spool;

/// Where batches wait. One collector puts, one sender takes.
pub(crate) enum Outbox {
    Memory(Slot),
    Disk(Spool),
}

impl Outbox {
    /// Waits until a batch may be put. Cancel safe.
    pub(crate) async fn room(&self) {
        match self {
            Self::Memory(slot) => slot.room().await,
            Self::Disk(spool) => spool.room().await,
        }
    }

    /// Puts a batch where there is room.
    pub(crate) async fn put(&self, batch: Batch) {
        match self {
            Self::Memory(slot) => slot.put(batch),
            Self::Disk(spool) => spool.put(batch).await,
        }
    }

    /// Lines that wait on the disk.
    pub(crate) fn spooled_lines(&self) -> u64 {
        match self {
            Self::Memory(_) => 0,
            Self::Disk(spool) => spool.lines(),
        }
    }

    /// No batch follows.
    pub(crate) fn close(&self) {
        match self {
            Self::Memory(slot) => slot.close(),
            Self::Disk(spool) => spool.close(),
        }
    }

    /// Waits until there is a batch; false when there is none and none follows. Cancel safe.
    pub(crate) async fn ready(&self) -> bool {
        match self {
            Self::Memory(slot) => slot.ready().await,
            Self::Disk(spool) => spool.ready().await,
        }
    }

    /// The oldest batch; on the disk it stays until it is settled. `None` when there is none, or none
    /// that can be read.
    pub(crate) async fn take(&self) -> Option<Batch> {
        match self {
            Self::Memory(slot) => slot.take(),
            Self::Disk(spool) => spool.take().await,
        }
    }

    /// The router has `batch`, which was taken, or will never have it: nobody needs it any more.
    pub(crate) async fn settle(&self, batch: &Batch) {
        match self {
            Self::Memory(slot) => slot.settle(batch).await,
            Self::Disk(spool) => spool.settle(batch).await,
        }
    }

    /// A try failed: what waits will wait for a while, and has to survive the machine, too.
    pub(crate) async fn persist(&self) {
        match self {
            Self::Memory(_) => {}
            Self::Disk(spool) => spool.persist().await,
        }
    }

    /// The router takes batches again.
    pub(crate) fn relax(&self) {
        match self {
            Self::Memory(_) => {}
            Self::Disk(spool) => spool.relax(),
        }
    }

    /// The end is near: nobody is held back any more who can be helped by it.
    pub(crate) fn open_up(&self) {
        match self {
            Self::Memory(_) => {}
            Self::Disk(spool) => spool.open_up(),
        }
    }

    /// Waits until no batch follows. Those that come meanwhile wait on the disk; in memory they are
    /// lost, and so is `taken`.
    pub(crate) async fn give_up(&self, taken: Batch) {
        match self {
            Self::Memory(slot) => slot.give_up(taken).await,
            Self::Disk(spool) => spool.give_up().await,
        }
    }

    /// Leaves `last`, which has no lines, and what is on the disk to the next shipper; says whether
    /// there is one.
    pub(crate) async fn leave(&self, last: Option<Batch>) -> bool {
        match self {
            Self::Memory(slot) => {
                slot.leave().await;
                false
            }
            Self::Disk(spool) => {
                spool.leave(last).await;
                true
            }
        }
    }
}
