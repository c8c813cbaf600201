//! Which segments a channel keeps: an immutable list, replaced whole when one comes or goes.
//!
//! Segments are found by number, not linked to each other, so a reader keeps only those of the
//! table it is looking at, and only while it looks.

use crate::channel::segment::{Position, Segment};
use crate::channel::sync::Arc;

/// The segments kept, oldest first, with consecutive numbers.
#[derive(Clone)]
pub(crate) struct Table {
    segments: Box<[Arc<Segment>]>,
    /// Where the next segment starts when there is none.
    start: Position,
    /// Capacity of all segments.
    bytes: usize,
}

impl Table {
    /// No segments, and the first to come has number 1 and sequence 0.
    pub(crate) fn empty() -> Self {
        Self {
            segments: Box::default(),
            start: Position {
                number: 1,
                seq: 0,
                bytes: 0,
            },
            bytes: 0,
        }
    }

    /// The segment writers append to, unless it is sealed.
    pub(crate) fn last(&self) -> Option<&Segment> {
        self.segments.last().map(|segment| &**segment)
    }

    /// The segment with `number`.
    pub(crate) fn segment(&self, number: u64) -> Option<&Segment> {
        let index = number.checked_sub(self.first().number)?;
        let segment = self.segments.get(usize::try_from(index).ok()?)?;
        Some(&**segment)
    }

    /// The segment that holds `seq`, which must be one that is kept.
    pub(crate) fn segment_of(&self, seq: u64) -> Option<&Segment> {
        let after = self
            .segments
            .partition_point(|segment| segment.base().seq <= seq);
        let segment = self.segments.get(after.checked_sub(1)?)?;
        Some(&**segment)
    }

    /// Where the oldest segment kept starts, or the next one will.
    pub(crate) fn first(&self) -> Position {
        let first = self.segments.first();
        first.map_or(self.start, |segment| segment.base())
    }

    /// What follows the last claimed record; its number is the next segment's.
    pub(crate) fn end(&self) -> Position {
        self.last().map_or(self.start, Segment::end)
    }

    /// All segments, oldest first.
    pub(crate) fn segments(&self) -> impl ExactSizeIterator<Item = &Segment> + DoubleEndedIterator {
        self.segments.iter().map(|segment| &**segment)
    }

    /// Capacity of all segments, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// This table with `segment` at the end and without the oldest ones that then make it greater
    /// than `bytes_max`. Those with records from `keep_from` on, counted in bytes, stay until it is
    /// twice as great. None when another writer has already put a segment there.
    pub(crate) fn with(
        &self,
        segment: &Arc<Segment>,
        bytes_max: usize,
        keep_from: u64,
    ) -> Option<Self> {
        if self.end().number != segment.base().number {
            return None;
        }
        let mut bytes = self.bytes + segment.capacity();
        let mut dropped_count = 0;
        for oldest in self.segments() {
            let is_wanted = keep_from < oldest.end().bytes;
            if bytes <= bytes_max || (is_wanted && bytes <= bytes_max.saturating_mul(2)) {
                break;
            }
            bytes -= oldest.capacity();
            dropped_count += 1;
        }
        let kept = self.segments.iter().skip(dropped_count);
        Some(Self {
            segments: kept.chain([segment]).cloned().collect(),
            start: segment.base(),
            bytes,
        })
    }

    /// A table without segments, like this one, whose next segment starts `count` records later.
    /// None when this one has segments or does not start its next one at `start`.
    pub(crate) fn passing(&self, start: Position, count: u64) -> Option<Self> {
        let is_same = self.segments.is_empty() && self.start == start;
        is_same.then(|| Self {
            segments: Box::default(),
            start: Position {
                seq: start.seq + count,
                ..start
            },
            bytes: 0,
        })
    }

    /// This table without the segments before `number`; the last one stays unless it is sealed,
    /// since only a sealed one says where the next begins. None when nothing would go.
    pub(crate) fn without(&self, number: u64) -> Option<Self> {
        let gone = |segment: &Segment| segment.base().number < number;
        let last_is_open = self.last().is_some_and(|last| !last.is_sealed());
        let mut dropped_count = self.segments().take_while(|segment| gone(segment)).count();
        if dropped_count == self.segments.len() && last_is_open {
            dropped_count -= 1;
        }
        if dropped_count == 0 {
            return None;
        }
        let dropped = self.segments().take(dropped_count);
        Some(Self {
            segments: self.segments.iter().skip(dropped_count).cloned().collect(),
            start: self.end(),
            bytes: self.bytes - dropped.map(Segment::capacity).sum::<usize>(),
        })
    }
}

/// The place where a channel's present table stands.
#[cfg(not(logboom_loom))]
pub(crate) struct TableCell(arc_swap::ArcSwap<Table>);

#[cfg(not(logboom_loom))]
impl TableCell {
    /// A cell that holds `table`.
    pub(crate) fn new(table: Arc<Table>) -> Self {
        Self(arc_swap::ArcSwap::new(table))
    }

    /// The present table. Never waits.
    pub(crate) fn load(&self) -> impl std::ops::Deref<Target = Arc<Table>> + use<> {
        self.0.load()
    }

    /// Replaces the table by what `change` makes of it, again if another thread came first, until
    /// it makes nothing. Lock-free.
    pub(crate) fn update(&self, change: impl Fn(&Table) -> Option<Table>) -> bool {
        let mut current = self.0.load();
        while let Some(next) = change(&current) {
            let previous = self.0.compare_and_swap(&*current, Arc::new(next));
            if Arc::ptr_eq(&current, &previous) {
                return true;
            }
            current = previous;
        }
        false
    }
}

/// Loom knows no `ArcSwap`: a lock stands for it.
#[cfg(logboom_loom)]
pub(crate) struct TableCell(loom::sync::Mutex<Arc<Table>>);

#[cfg(logboom_loom)]
impl TableCell {
    pub(crate) fn new(table: Arc<Table>) -> Self {
        Self(loom::sync::Mutex::new(table))
    }

    pub(crate) fn load(&self) -> impl std::ops::Deref<Target = Arc<Table>> + use<> {
        let table = self.0.lock().expect("no thread panics with it").clone();
        Box::new(table)
    }

    pub(crate) fn update(&self, change: impl Fn(&Table) -> Option<Table>) -> bool {
        let mut table = self.0.lock().expect("no thread panics with it");
        let next = change(&table);
        let is_changed = next.is_some();
        if let Some(next) = next {
            *table = Arc::new(next);
        }
        is_changed
    }
}
