//! The memory of all segments of a node: its budget, what is used of it, and free buffers.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use crossbeam_queue::ArrayQueue;
use tokio::sync::Notify;

use crate::channel::segment::{Buffer, Segment};
use crate::clock::UnixMicros;
use crate::limits::{GROW_WITHIN, POOL_BUFFERS_MAX, SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN};

/// Bounds of the node's memory; may change while running.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Segments of one channel.
    pub channel_bytes_max: usize,
    /// Segments of all channels.
    pub node_bytes_max: usize,
    /// Older messages are not kept.
    pub history_age_max: Duration,
    /// How long a writer to a channel with `when_full = wait` waits for a drain that stands still.
    pub wait_max: Duration,
}

/// Sizes of segments: the least, and the greatest that growth reaches.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub(crate) min: usize,
    pub(crate) max: usize,
}

impl Default for Sizes {
    fn default() -> Self {
        Self {
            min: SEGMENT_BYTES_MIN,
            max: SEGMENT_BYTES_MAX,
        }
    }
}

/// Where segments take their buffers from. Its numbers are counters: nothing is ordered by them.
pub(crate) struct Pool {
    channel_bytes_max: AtomicUsize,
    node_bytes_max: AtomicUsize,
    history_age_max_micros: AtomicU64,
    wait_max_micros: AtomicU64,
    sizes: Sizes,
    bytes: AtomicUsize,
    free: ArrayQueue<Buffer>,
    overfull: Notify,
}

impl Pool {
    /// A pool with nothing taken.
    pub(crate) fn new(budget: Budget, sizes: Sizes) -> Self {
        let pool = Self {
            channel_bytes_max: AtomicUsize::default(),
            node_bytes_max: AtomicUsize::default(),
            history_age_max_micros: AtomicU64::default(),
            wait_max_micros: AtomicU64::default(),
            sizes,
            bytes: AtomicUsize::default(),
            free: ArrayQueue::new(POOL_BUFFERS_MAX),
            overfull: Notify::new(),
        };
        pool.set_budget(budget);
        pool
    }

    pub(crate) fn set_budget(&self, budget: Budget) {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.channel_bytes_max
            .store(budget.channel_bytes_max, Ordering::Relaxed);
        self.node_bytes_max
            .store(budget.node_bytes_max, Ordering::Relaxed);
        self.history_age_max_micros
            .store(micros(budget.history_age_max), Ordering::Relaxed);
        self.wait_max_micros
            .store(micros(budget.wait_max), Ordering::Relaxed);
        self.overfull.notify_one();
    }

    pub(crate) fn channel_bytes_max(&self) -> usize {
        self.channel_bytes_max.load(Ordering::Relaxed)
    }

    pub(crate) fn wait_max(&self) -> Duration {
        Duration::from_micros(self.wait_max_micros.load(Ordering::Relaxed))
    }

    /// Messages that arrived before this moment are too old at `now`.
    pub(crate) fn history_begin(&self, now: UnixMicros) -> UnixMicros {
        let age_max = self.history_age_max_micros.load(Ordering::Relaxed);
        now.minus(Duration::from_micros(age_max))
    }

    /// Bytes of all segments, those included that a reader still looks at.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Whether the node's budget is used up.
    pub(crate) fn is_overfull(&self) -> bool {
        self.node_bytes_max.load(Ordering::Relaxed) < self.bytes()
    }

    /// Whether the budget is passed by so much that a writer must not wait for maintenance.
    pub(crate) fn is_flooded(&self) -> bool {
        let bytes_max = self.node_bytes_max.load(Ordering::Relaxed);
        bytes_max.saturating_add(bytes_max / 16) < self.bytes()
    }

    /// Whether it is passed by twice as much: writers then have nothing of their own left to drop,
    /// and channels without messages keep none.
    pub(crate) fn is_drowned(&self) -> bool {
        let bytes_max = self.node_bytes_max.load(Ordering::Relaxed);
        bytes_max.saturating_add(bytes_max / 8) < self.bytes()
    }

    /// Whether maintenance, once begun, should go on: it frees a sixteenth more than it must, so
    /// that it need not begin again at once.
    pub(crate) fn is_short(&self) -> bool {
        let bytes_max = self.node_bytes_max.load(Ordering::Relaxed);
        bytes_max - bytes_max / 16 < self.bytes()
    }

    /// Ends when the budget was found used up, or was changed. Cancel safe.
    pub(crate) async fn overfull(&self) {
        self.overfull.notified().await;
    }

    /// A good size for the segment after `last`: twice as great while the channel is busy and the
    /// node is not flooded, and never so great that the channel's budget holds less than four.
    pub(crate) fn planned(&self, last: Option<&Segment>, now: UnixMicros) -> usize {
        let Some(last) = last else {
            return self.sizes.min;
        };
        let is_busy = now.minus(GROW_WITHIN) <= last.opened() && !self.is_flooded();
        let grown = last.capacity() * if is_busy { 2 } else { 1 };
        let bytes_max = self.sizes.max.min(self.channel_bytes_max() / 4);
        grown.min(bytes_max).max(self.sizes.min)
    }

    /// A zeroed buffer of at least `bytes` bytes.
    pub(crate) fn take(&self, bytes: usize) -> Buffer {
        let buffer = if bytes == self.sizes.max {
            self.free.pop()
        } else {
            None
        };
        let buffer = buffer.unwrap_or_else(|| Buffer::zeroed(bytes));
        self.bytes.fetch_add(buffer.capacity(), Ordering::Relaxed);
        if self.is_overfull() {
            self.overfull.notify_one();
        }
        buffer
    }

    /// Takes back a buffer of which `used` bytes were written.
    pub(crate) fn give(&self, mut buffer: Buffer, used: usize) {
        self.bytes.fetch_sub(buffer.capacity(), Ordering::Relaxed);
        // Loom's watchers would not know that the memory starts anew.
        if buffer.capacity() != self.sizes.max || self.free.is_full() || cfg!(logboom_loom) {
            return;
        }
        buffer.clear(used);
        if self.free.push(buffer).is_err() { /* full by now: the allocator takes it */ }
    }
}
