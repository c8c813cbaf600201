//! One buffer of a channel's log, and the only unsafe code of the program.
//!
//! A segment is zeroed when made. `state` says how many records were claimed, how many bytes they
//! take, and whether the segment is sealed. A writer claims room for a run with one
//! compare-and-swap, copies, and publishes each record by storing its first word last. Records
//! follow each other without gaps and start at multiples of 8 bytes, so the next claim begins where
//! the last one ended, and the first word of a record that is not written yet is zero.
//!
//! Why readers and writers do not race, in three sentences. A word that is the first of a record
//! is only ever touched as an atomic. Every other word of a record is written by the one claim it
//! belongs to, before the Release store of that record's first word, and never again. A reader
//! touches them only after it saw that store with an Acquire load, and finds the first words only
//! through a `Place`, which nobody but this file can make.
//!
//! None of that rests on the order of accesses to `state`, which is one word and so always tells a
//! count and the seal of one moment. A claim releases, and a look at `state` acquires, for what
//! the log does beside it: who sees a claim sees how old its messages may be (`Log::evict_older`).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64 as Word, Ordering};

use crate::channel::fit::Fit;
use crate::channel::pool::Pool;
use crate::channel::record::{HEADER_BYTES, Layout, Packed, bytes_of, cut, padded, record_bytes};
use crate::channel::state::{SEALED, State};
use crate::channel::sync::AtomicU64;
use crate::clock::UnixMicros;
use crate::syslog::message::{Message, NO_TIME_TEXT};

/// Where a segment stands in its channel.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Position {
    /// Number of the segment in the channel, from 1, without gaps.
    pub(crate) number: u64,
    /// Sequence of its first record.
    pub(crate) seq: u64,
    /// Bytes of all records before its first.
    pub(crate) bytes: u64,
}

/// A fixed-size buffer of records.
pub(crate) struct Segment {
    base: Position,
    opened: UnixMicros,
    stamp: u64,
    state: AtomicU64,
    buffer: Buffer,
    pool: Arc<Pool>,
}

/// The start of a record in one segment, or of any segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    stamp: u64,
    /// Invariant: 0, or the end of a record of the segment with this stamp.
    offset: usize,
}

impl Place {
    /// Where every segment starts.
    pub(crate) const START: Self = Self {
        stamp: 0,
        offset: 0,
    };

    /// Whether this is where any segment starts.
    pub(crate) fn is_start(self) -> bool {
        self.offset == 0
    }
}

/// What stands at a place.
pub(crate) enum Step<'s> {
    /// A record.
    Record(View<'s>),
    /// Nothing yet: not claimed, or claimed and still being written.
    Pending,
    /// Nothing, for good: the next record is the first of the next segment.
    End,
}

/// A record in its segment.
pub(crate) struct View<'s> {
    /// The message.
    pub(crate) packed: Packed<'s>,
    /// When it arrived.
    pub(crate) arrival: UnixMicros,
    /// Where the next record starts.
    pub(crate) next: Place,
    /// Bytes from this record to the next.
    pub(crate) bytes: usize,
}

/// What asking for room came to.
pub(crate) enum Claimed<'s> {
    /// There was nothing to write.
    Nothing,
    /// Room for the first records of the run.
    Room(Claim<'s>),
    /// The segment is sealed; the first record needs this many bytes elsewhere.
    Full {
        /// Padded length of the first record.
        bytes: usize,
    },
}

/// Room that one writer, and nobody else, may fill, front to back.
pub(crate) struct Claim<'s> {
    segment: &'s Segment,
    first_seq: u64,
    /// Records still to be written.
    records: u32,
    /// Invariant: `offset..end` was claimed by this claim and nothing of it is published.
    offset: usize,
    end: usize,
}

impl Segment {
    /// A new segment at `base` for at least `bytes` bytes; `opened` is when its first run arrived.
    pub(crate) fn new(base: Position, bytes: usize, opened: UnixMicros, pool: &Arc<Pool>) -> Self {
        Self {
            base,
            opened,
            // Counter: the stamps need only differ. 0 is the stamp of no segment.
            stamp: STAMP.fetch_add(1, Ordering::Relaxed),
            state: AtomicU64::new(0),
            buffer: pool.take(bytes),
            pool: Arc::clone(pool),
        }
    }

    /// Least capacity of a segment that takes `message`.
    pub(crate) fn bytes_for(message: &Message<'_>) -> usize {
        padded(bytes_of(message))
    }

    /// Where the segment starts.
    pub(crate) fn base(&self) -> Position {
        self.base
    }

    /// Arrival of the run that opened the segment.
    pub(crate) fn opened(&self) -> UnixMicros {
        self.opened
    }

    /// Size of the buffer.
    pub(crate) fn capacity(&self) -> usize {
        self.buffer.capacity()
    }

    /// What follows the last claimed record: the next segment's base once this one is sealed.
    pub(crate) fn end(&self) -> Position {
        let state = self.load();
        Position {
            number: self.base.number + 1,
            seq: self.base.seq + u64::from(state.records()),
            bytes: self.base.bytes + state.bytes() as u64,
        }
    }

    /// The end as a place, with its sequence and its bytes from the channel's beginning.
    pub(crate) fn end_place(&self) -> (Place, Position) {
        let state = self.load();
        let end = Position {
            number: self.base.number,
            seq: self.base.seq + u64::from(state.records()),
            bytes: self.base.bytes + state.bytes() as u64,
        };
        (self.place(state.bytes()), end)
    }

    /// Whether the segment takes no more records.
    pub(crate) fn is_sealed(&self) -> bool {
        self.load().is_sealed()
    }

    /// Ends the segment if `is_old` still holds when nothing was claimed meanwhile.
    pub(crate) fn seal_if(&self, is_old: impl Fn() -> bool) -> bool {
        let state = self.load();
        state.is_sealed() || (is_old() && self.exchange(state, state.sealed()))
    }

    /// Ends the segment.
    pub(crate) fn seal(&self) {
        // Relaxed: the final counts are in the same word, and there is nothing else to show. What
        // the claims before it released stays visible through it, since it is a read-modify-write.
        self.state.fetch_or(SEALED, Ordering::Relaxed);
    }

    /// Claims room for as many records of `run` as fit, or seals the segment when the first does
    /// not. Lock-free: a failed exchange means that another writer went on.
    pub(crate) fn claim<'m>(&self, run: impl Iterator<Item = Message<'m>> + Clone) -> Claimed<'_> {
        loop {
            let state = self.load();
            let room = self.capacity() - state.bytes();
            let fit = Fit::of(run.clone(), if state.is_sealed() { 0 } else { room });
            if fit.first_bytes == 0 {
                return Claimed::Nothing;
            }
            if state.is_sealed() {
                let bytes = fit.first_bytes;
                return Claimed::Full { bytes };
            }
            if fit.records == 0 {
                // The seal holds the exact count, so everybody knows where the next segment
                // begins. Whether it was ours, or a claim came first, the next look tells.
                let _is_ours = self.exchange(state, state.sealed());
                continue;
            }
            if self.exchange(state, state.plus(fit.records, fit.bytes)) {
                return Claimed::Room(Claim {
                    segment: self,
                    first_seq: self.base.seq + u64::from(state.records()),
                    records: fit.records,
                    offset: state.bytes(),
                    end: state.bytes() + fit.bytes,
                });
            }
        }
    }

    /// Whether `place` is in this segment.
    pub(crate) fn has(&self, place: Place) -> bool {
        place.is_start() || place.stamp == self.stamp
    }

    /// What stands at `place`. A place of another segment has nothing here.
    #[inline(always)] // See `Cursor::record`.
    pub(crate) fn step(&self, place: Place) -> Step<'_> {
        if !self.has(place) {
            return Step::Pending;
        }
        if let Some(view) = self.view(place.offset) {
            return Step::Record(view);
        }
        let state = self.load();
        if place.offset < state.bytes() {
            // Claimed, perhaps published between the two loads.
            return self.view(place.offset).map_or(Step::Pending, Step::Record);
        }
        if state.is_sealed() {
            Step::End
        } else {
            Step::Pending
        }
    }

    /// The published record at `offset`, which must be that of a place of this segment.
    #[inline(always)] // See `Cursor::record`.
    fn view(&self, offset: usize) -> Option<View<'_>> {
        let head = self.buffer.head(offset)?;
        if head == 0 {
            return None;
        }
        let bytes = record_bytes(head);
        let arrival = self.buffer.word(offset + 8);
        let field_lengths = self.buffer.word(offset + 16);
        // The head was not zero, so the record's claim has published it (see the top).
        let body = self
            .buffer
            .published(offset + HEADER_BYTES, bytes - HEADER_BYTES);
        Some(View {
            packed: Packed {
                head,
                field_lengths,
                body,
            },
            arrival: UnixMicros::new(arrival),
            next: self.place(offset + padded(bytes)),
            bytes: padded(bytes),
        })
    }

    fn place(&self, offset: usize) -> Place {
        Place {
            stamp: self.stamp,
            offset,
        }
    }

    fn load(&self) -> State {
        // Acquire: pairs with the Release in `exchange`.
        State(self.state.load(Ordering::Acquire))
    }

    fn exchange(&self, from: State, to: State) -> bool {
        // Release: pairs with `load`; who sees a claim sees what its writer did before. No Acquire:
        // no value comes twice, so it finds the very store that `load` saw and acquired, or fails.
        self.state
            .compare_exchange(from.0, to.0, Ordering::Release, Ordering::Relaxed)
            .is_ok()
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        let used = self.load().bytes();
        let buffer = std::mem::take(&mut self.buffer);
        self.pool.give(buffer, used);
    }
}

impl Claim<'_> {
    /// Sequence of the claim's first record.
    pub(crate) fn first_seq(&self) -> u64 {
        self.first_seq
    }

    /// How many records are still to be written.
    pub(crate) fn records(&self) -> u32 {
        self.records
    }

    /// Copies `message` into the next place and publishes it. Says no when the claim has no room
    /// for it, which means that the run gave other messages than when it was measured.
    pub(crate) fn write(&mut self, message: &Message<'_>, arrival: UnixMicros) -> bool {
        let cut = cut(message);
        let message = cut.as_ref().unwrap_or(message);
        let mut room = NO_TIME_TEXT;
        let layout = Layout::of(message, &mut room);
        let next = self.offset + padded(layout.bytes());
        if self.records == 0 || self.end < next {
            return false;
        }
        let buffer = &self.segment.buffer;
        buffer.set_word(self.offset + 8, arrival.value());
        buffer.set_word(self.offset + 16, layout.field_lengths());
        let body = self.offset + HEADER_BYTES;
        // SAFETY: the bytes end at `next`, which is not above `end`, so they lie in this claim;
        // nothing of it from `offset` on is published, so nobody reads them, and claims do not
        // overlap, so nobody else writes them. The slice is gone before the record is published.
        layout.write(unsafe { buffer.room(body, next - body) });
        buffer.publish(self.offset, layout.head());
        self.offset = next;
        self.records -= 1;
        true
    }
}

/// Pairs with `SEE`; who sees a record's first word sees the record.
const PUBLISH: Ordering = Ordering::Release;

/// Pairs with `PUBLISH`.
const SEE: Ordering = Ordering::Acquire;

/// Stamp of the next segment.
static STAMP: Word = Word::new(1);

/// Zeroed memory for records. Plain atomics, so that whatever is not a bulk copy is safe code; a
/// relaxed access to one costs what a plain access costs.
#[derive(Default)]
pub(crate) struct Buffer {
    words: Box<[Word]>,
    #[cfg(logboom_loom)]
    shadow: shadow::Shadow,
}

impl Buffer {
    /// A zeroed buffer of at least `bytes` bytes.
    pub(crate) fn zeroed(bytes: usize) -> Self {
        // Asking the allocator for zeros leaves untouched pages of a great buffer unmapped.
        let zeros = vec![0_u64; bytes.div_ceil(8)].into_boxed_slice();
        let words = Box::into_raw(zeros) as *mut [Word];
        Self {
            // SAFETY: the pointer comes from a `Box` of as many `u64`s, and an atomic has the size,
            // alignment (on 64-bit targets, asserted below) and bit validity of its integer.
            words: unsafe { Box::from_raw(words) },
            #[cfg(logboom_loom)]
            shadow: shadow::Shadow::new(bytes.div_ceil(8)),
        }
    }

    /// Size in bytes.
    pub(crate) fn capacity(&self) -> usize {
        self.words.len() * 8
    }

    /// Zeroes the first `used` bytes.
    pub(crate) fn clear(&mut self, used: usize) {
        for word in self.words.iter_mut().take(used.div_ceil(8)) {
            *word.get_mut() = 0;
        }
    }

    /// A record's first word; none when `offset` is the buffer's end.
    fn head(&self, offset: usize) -> Option<u64> {
        #[cfg(logboom_loom)]
        return self.shadow.head(offset / 8);
        #[cfg(not(logboom_loom))]
        Some(self.words.get(offset / 8)?.load(SEE))
    }

    fn publish(&self, offset: usize, head: u64) {
        #[cfg(logboom_loom)]
        self.shadow.publish(offset / 8, head);
        #[cfg(not(logboom_loom))]
        if let Some(word) = self.words.get(offset / 8) {
            word.store(head, PUBLISH);
        }
    }

    /// A word of a record that is neither its first nor text. Ordered by the first one.
    fn word(&self, offset: usize) -> u64 {
        #[cfg(logboom_loom)]
        self.shadow.read(offset, 8);
        let word = self.words.get(offset / 8);
        word.map_or(0, |word| word.load(Ordering::Relaxed))
    }

    fn set_word(&self, offset: usize, value: u64) {
        #[cfg(logboom_loom)]
        self.shadow.write(offset, 8);
        if let Some(word) = self.words.get(offset / 8) {
            word.store(value, Ordering::Relaxed);
        }
    }

    /// `bytes` bytes at `offset`, to be written.
    ///
    /// # Safety
    /// Nobody else reads or writes these bytes while the slice lives, nor ever writes them after.
    #[expect(
        clippy::mut_from_ref,
        reason = "the words are atomics, and the caller has these bytes to itself"
    )]
    unsafe fn room(&self, offset: usize, bytes: usize) -> &mut [u8] {
        assert!(offset + bytes <= self.capacity());
        #[cfg(logboom_loom)]
        self.shadow.write(offset, bytes);
        let from = self.words.as_ptr().cast::<u8>().wrapping_add(offset);
        // SAFETY: the bytes lie in `words` (asserted above), inside `UnsafeCell`s, and were
        // initialised when it was zeroed; by this function's contract nobody else touches them.
        unsafe { std::slice::from_raw_parts_mut(from.cast_mut(), bytes) }
    }

    /// `bytes` bytes at `offset`, which must belong to the body of a published record: the callers
    /// (this file) have seen its first word.
    fn published(&self, offset: usize, bytes: usize) -> &[u8] {
        assert!(offset + bytes <= self.capacity());
        #[cfg(logboom_loom)]
        self.shadow.read(offset, bytes);
        let from = self.words.as_ptr().cast::<u8>().wrapping_add(offset);
        // SAFETY: the bytes lie in `words` (asserted above), were initialised when it was zeroed,
        // and are never written again once the record's first word was seen; `clear` takes `&mut`.
        unsafe { std::slice::from_raw_parts(from, bytes) }
    }
}

const _: () = assert!(align_of::<Word>() == align_of::<u64>());
const _: () = assert!(size_of::<usize>() == 8);

/// What Loom watches in place of the buffer: first words as its atomics, and a cell for each other
/// word, whose accesses must be ordered.
#[cfg(logboom_loom)]
mod shadow {
    use loom::cell::UnsafeCell;
    use loom::sync::atomic::AtomicU64;

    use crate::channel::segment::PUBLISH;
    use crate::channel::segment::SEE;

    #[derive(Default)]
    pub(crate) struct Shadow {
        heads: Vec<AtomicU64>,
        cells: Vec<Watched>,
    }

    struct Watched(UnsafeCell<()>);

    // SAFETY: the cell holds nothing; it is there so that Loom reports accesses without an order.
    unsafe impl Sync for Watched {}

    impl Shadow {
        pub(crate) fn new(words: usize) -> Self {
            Self {
                heads: (0..words).map(|_| AtomicU64::new(0)).collect(),
                cells: (0..words).map(|_| Watched(UnsafeCell::new(()))).collect(),
            }
        }

        pub(crate) fn head(&self, index: usize) -> Option<u64> {
            Some(self.heads.get(index)?.load(SEE))
        }

        pub(crate) fn publish(&self, index: usize, head: u64) {
            if let Some(word) = self.heads.get(index) {
                word.store(head, PUBLISH);
            }
        }

        pub(crate) fn read(&self, offset: usize, bytes: usize) {
            for cell in self.touched(offset, bytes) {
                cell.0.with(|_| ());
            }
        }

        pub(crate) fn write(&self, offset: usize, bytes: usize) {
            for cell in self.touched(offset, bytes) {
                cell.0.with_mut(|_| ());
            }
        }

        fn touched(&self, offset: usize, bytes: usize) -> impl Iterator<Item = &Watched> {
            let end = (offset + bytes).div_ceil(8);
            self.cells.iter().take(end).skip(offset / 8)
        }
    }
}
