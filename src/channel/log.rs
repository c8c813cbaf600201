//! One channel's log: runs of messages in at the end, records out at any cursor.
//!
//! No thread ever waits for another here: every loop goes round again only because another thread
//! has got on.

use std::ops::ControlFlow;
use std::sync::atomic::Ordering;

use crate::channel::cursor::{Cursor, ReadOutcome};
use crate::channel::pool::Pool;
use crate::channel::record::Record;
use crate::channel::segment::{Claim, Claimed, Position, Segment};
use crate::channel::sync::{Arc, AtomicU64};
use crate::channel::table::{Table, TableCell};
use crate::clock::UnixMicros;
use crate::id::Seq;
use crate::syslog::message::Message;

/// What an append did.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Appended {
    /// Sequence of the run's first message. The others follow it in order, but not without gaps:
    /// where the run goes on in another segment, other writers' messages may stand between.
    pub first_seq: Seq,
    /// Messages appended: all of the run.
    pub count: u64,
}

/// The segments of one channel.
pub(crate) struct Log {
    table: TableCell,
    /// Greatest arrival so far, in microseconds.
    touched: AtomicU64,
    pool: std::sync::Arc<Pool>,
}

impl Log {
    /// An empty log; `table` must be an empty one.
    pub(crate) fn new(pool: std::sync::Arc<Pool>, table: Arc<Table>) -> Self {
        Self {
            table: TableCell::new(table),
            touched: AtomicU64::new(0),
            pool,
        }
    }

    /// Where segments take their buffers from.
    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Appends a run in order. `run` is iterated twice. Where the channel's budget is used up,
    /// records from `keep_from` on, counted in bytes, may take as much again before they go.
    pub(crate) fn append<'m, I>(
        &self,
        mut run: I,
        arrival: UnixMicros,
        keep_from: impl Fn() -> u64,
    ) -> Appended
    where
        I: Iterator<Item = Message<'m>> + Clone,
    {
        // Before the claim, whose Release half publishes it: see `evict_older`.
        if self.touched() < arrival {
            self.touched.fetch_max(arrival.value(), Ordering::Relaxed);
        }
        let mut appended = Appended::default();
        loop {
            let table = self.table.load();
            let Some(last) = table.last() else {
                let Some(message) = run.clone().next() else {
                    return appended;
                };
                if self.pool.is_drowned() {
                    self.pass_over(&table, &mut run, &mut appended);
                    continue;
                }
                let capacity = self.capacity(None, Segment::bytes_for(&message), arrival);
                self.install(table.end(), capacity, arrival, keep_from());
                continue;
            };
            match last.claim(run.clone()) {
                Claimed::Nothing => return appended,
                Claimed::Full { bytes } => {
                    let capacity = self.capacity(Some(last), bytes, arrival);
                    self.install(last.end(), capacity, arrival, keep_from());
                }
                Claimed::Room(claim) => {
                    if appended.count == 0 {
                        appended.first_seq = Seq::new(claim.first_seq());
                    }
                    appended.count += u64::from(claim.records());
                    fill(claim, &mut run, arrival);
                }
            }
        }
    }

    /// Gives records in order to `visit` until it breaks or the end is met; see `Channel::read`.
    pub(crate) fn read(
        &self,
        cursor: &mut Cursor,
        mut visit: impl FnMut(Record<'_>) -> ControlFlow<()>,
    ) -> ReadOutcome {
        let table = self.table.load();
        let lost = cursor.settle(&table);
        if 0 < lost {
            return ReadOutcome { lost, read: 0 };
        }
        let mut read = 0;
        while let Some(view) = cursor.record(&table) {
            let record = Record {
                seq: cursor.seq(),
                arrival: view.arrival,
                packed: view.packed,
            };
            if visit(record).is_break() {
                break;
            }
            cursor.pass(&view);
            read += 1;
        }
        ReadOutcome { lost, read }
    }

    /// Whether a read at `cursor` would give a record or report a loss.
    pub(crate) fn is_readable(&self, cursor: &Cursor) -> bool {
        let table = self.table.load();
        let mut cursor = *cursor;
        0 < cursor.settle(&table) || cursor.record(&table).is_some()
    }

    /// Where the oldest segment kept starts.
    pub(crate) fn first(&self) -> Position {
        self.table.load().first()
    }

    /// What follows the last message.
    pub(crate) fn end(&self) -> Position {
        self.table.load().end()
    }

    pub(crate) fn cursor_at_end(&self) -> Cursor {
        Cursor::at_end(&self.table.load())
    }

    pub(crate) fn cursor_at(&self, seq: Seq) -> Cursor {
        Cursor::at(&self.table.load(), seq.value())
    }

    /// `count` messages back from the end, or at the oldest kept.
    pub(crate) fn cursor_back(&self, count: u64) -> Cursor {
        let table = self.table.load();
        let seq = table.end().seq.saturating_sub(count);
        Cursor::at(&table, seq.max(table.first().seq))
    }

    /// The same, but behind messages in front that arrived before `begin`.
    pub(crate) fn cursor_back_to(&self, count: u64, begin: UnixMicros) -> Cursor {
        let mut cursor = self.cursor_back(count);
        let table = self.table.load();
        // A loss between the two loads needs no report: nothing was promised yet.
        let _lost = cursor.settle(&table);
        cursor.pass_older(&table, begin);
        cursor
    }

    /// Greatest arrival of a message so far.
    pub(crate) fn touched(&self) -> UnixMicros {
        UnixMicros::new(self.touched.load(Ordering::Relaxed))
    }

    /// Capacity of the segments kept, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.table.load().bytes()
    }

    /// Lets the oldest segment go unless it is the one that is written to.
    pub(crate) fn evict_oldest(&self) -> bool {
        let number = self.first().number + 1;
        self.table.update(|table| table.without(number))
    }

    /// Lets every segment go. Sequences go on.
    pub(crate) fn evict_all(&self) -> bool {
        let table = self.table.load();
        let Some(last) = table.last() else {
            return false;
        };
        last.seal();
        let number = last.end().number;
        self.table.update(|table| table.without(number))
    }

    /// Lets segments go whose messages all arrived before `begin`. What seems to have arrived after
    /// `now`, by a clock that was set back since, counts as having arrived now.
    pub(crate) fn evict_older(&self, begin: UnixMicros, now: UnixMicros) {
        if now < self.touched() {
            self.touched.fetch_min(now.value(), Ordering::Relaxed);
        }
        let table = self.table.load();
        let mut number = table.first().number;
        // A segment's messages came before the run that opened the next one.
        for next in table.segments().skip(1) {
            if now < next.opened() {
                continue;
            }
            if begin <= next.opened() {
                break;
            }
            number = next.base().number;
        }
        if let Some(last) = table.last()
            // Seen in this order, a claim that the seal would cover also shows its arrival.
            && last.seal_if(|| self.touched() < begin)
            // Again, for a seal by a writer that has not put the next segment there yet: what
            // filled this one may be fresh.
            && self.touched() < begin
        {
            number = last.end().number;
        }
        self.table.update(|table| table.without(number));
    }

    /// Counts the rest of `run` without keeping it, as if it had been let go at once; `seen` is
    /// without segments. Does nothing when another writer came first.
    fn pass_over<'m, I>(&self, seen: &Table, run: &mut I, appended: &mut Appended)
    where
        I: Iterator<Item = Message<'m>> + Clone,
    {
        let count = run.clone().count() as u64;
        let start = seen.end();
        if !self.table.update(|table| table.passing(start, count)) {
            return;
        }
        if appended.count == 0 {
            appended.first_seq = Seq::new(start.seq);
        }
        appended.count += count;
        // Nothing of the run is left.
        run.by_ref().for_each(drop);
    }

    /// A good capacity for the segment after `last` whose first record takes `bytes`.
    fn capacity(&self, last: Option<&Segment>, bytes: usize, arrival: UnixMicros) -> usize {
        self.pool.planned(last, arrival).max(bytes)
    }

    /// Puts the segment that starts at `base` there, unless another writer was first. The oldest
    /// go when the channel's budget is passed, and one goes when the node's is passed by far.
    fn install(&self, base: Position, capacity: usize, arrival: UnixMicros, keep_from: u64) {
        if self.pool.is_flooded() {
            self.evict_oldest();
        }
        let segment = Arc::new(Segment::new(base, capacity, arrival, &self.pool));
        let bytes_max = self.pool.channel_bytes_max();
        self.table
            .update(|table| table.with(&segment, bytes_max, keep_from));
    }
}

fn fill<'m>(
    mut claim: Claim<'_>,
    run: &mut impl Iterator<Item = Message<'m>>,
    arrival: UnixMicros,
) {
    for _ in 0..claim.records() {
        let is_written = run.next().is_some_and(|m| claim.write(&m, arrival));
        debug_assert!(is_written, "the run changed between its two iterations");
    }
}
