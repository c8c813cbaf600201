//! A reader's place in a channel, and how it moves.

use crate::channel::segment::{Place, Step, View};
use crate::channel::table::Table;
use crate::clock::UnixMicros;
use crate::id::Seq;

/// A reader's place. Plain data: it holds no segment, so a slow reader keeps nothing alive.
///
/// Made by one channel and meant for it; at another one it is just a sequence.
#[derive(Clone, Copy, Debug)]
pub struct Cursor {
    /// Sequence of the next record to be read.
    seq: u64,
    /// Number of the segment that `place` is in; 0 is before all.
    number: u64,
    place: Place,
    /// Records between `place` and `seq`: their lengths were not known yet.
    skip: u64,
    /// Bytes of all records before `place`.
    bytes: u64,
}

/// What one read did.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ReadOutcome {
    /// Messages overwritten before this cursor read them; the cursor already stands behind them.
    pub lost: u64,
    /// Records given to the visitor.
    pub read: u64,
}

impl Cursor {
    /// Sequence of the next message this cursor reads.
    #[must_use]
    pub fn seq(&self) -> Seq {
        Seq::new(self.seq)
    }

    /// Bytes of all records before this place, from the channel's beginning.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Behind the last claimed record.
    pub(crate) fn at_end(table: &Table) -> Self {
        let Some(last) = table.last() else {
            return Self::at_oldest(table);
        };
        let (place, end) = last.end_place();
        Self {
            seq: end.seq,
            number: end.number,
            place,
            skip: 0,
            bytes: end.bytes,
        }
    }

    /// At the oldest record kept.
    pub(crate) fn at_oldest(table: &Table) -> Self {
        let first = table.first();
        Self {
            seq: first.seq,
            number: first.number,
            place: Place::START,
            skip: 0,
            bytes: first.bytes,
        }
    }

    /// At `seq`, or at the end if there is no such record yet. Walks through at most one segment.
    pub(crate) fn at(table: &Table, seq: u64) -> Self {
        if seq < table.first().seq {
            let oldest = Self::at_oldest(table);
            return Self {
                seq,
                number: 0,
                ..oldest
            };
        }
        let end = Self::at_end(table);
        let segment = table.segment_of(seq).filter(|_| seq < end.seq);
        let Some(base) = segment.map(|segment| segment.base()) else {
            return end;
        };
        let mut cursor = Self {
            seq,
            number: base.number,
            place: Place::START,
            skip: seq - base.seq,
            bytes: base.bytes,
        };
        cursor.walk(table);
        cursor
    }

    /// Over the records in front that arrived before `begin`.
    pub(crate) fn pass_older(&mut self, table: &Table, begin: UnixMicros) {
        while let Some(view) = self.record(table).filter(|view| view.arrival < begin) {
            self.pass(&view);
        }
    }

    /// Makes the place good for `table`. Returns how many messages before the oldest kept were not
    /// read; the cursor stands at the oldest kept then.
    pub(crate) fn settle(&mut self, table: &Table) -> u64 {
        let first = table.first();
        if self.seq < first.seq {
            let lost = first.seq - self.seq;
            *self = Self::at_oldest(table);
            return lost;
        }
        let stands = match table.segment(self.number) {
            Some(segment) if self.place.is_start() => segment.base().seq + self.skip == self.seq,
            Some(segment) => segment.has(self.place),
            // Waits for a segment that is not there yet.
            None => self.number == table.end().number && self.seq == table.end().seq,
        };
        if !stands {
            *self = Self::at(table, self.seq);
        }
        0
    }

    /// The record at this cursor, if it is published. Crosses into later segments of `table`.
    #[inline(always)] // A view that a call gives back is copied, and waited for.
    pub(crate) fn record<'t>(&mut self, table: &'t Table) -> Option<View<'t>> {
        loop {
            match table.segment(self.number)?.step(self.place) {
                Step::Record(view) if self.skip == 0 => return Some(view),
                Step::Record(view) => {
                    self.skip -= 1;
                    self.step_over(&view);
                }
                Step::Pending => return None,
                Step::End => {
                    self.number += 1;
                    self.place = Place::START;
                }
            }
        }
    }

    /// Behind `view`, which `record` has just given.
    pub(crate) fn pass(&mut self, view: &View<'_>) {
        self.seq += 1;
        self.step_over(view);
    }

    /// As near to `seq` as published records allow.
    fn walk(&mut self, table: &Table) {
        // The record itself is of no interest: finding it is what moves the place.
        let _found = self.record(table).is_some();
    }

    fn step_over(&mut self, view: &View<'_>) {
        self.place = view.next;
        self.bytes += view.bytes as u64;
    }
}
