//! A drain's place in its channel: what is read, what is on its way, what is confirmed.
//!
//! ```text
//!            confirmed            cursor                 end
//!    ……………………………|==== batch ====|------- lag grows -----|
//! ```
//! Without a batch both places are one. A batch ends confirmed, lost or rewound; nothing else moves
//! the confirmed place but messages that were lapped or filtered out with no batch before them.

use std::ops::ControlFlow;

use bytes::Bytes;

use crate::channel::{Channel, Cursor, Record};
use crate::clock::UnixMicros;
use crate::egress::drain::batch::Batch;
use crate::egress::drain::ledger::{Counts, Ledger, Loss, LossReason, Totals};
use crate::egress::drain::plan::Plan;
use crate::id::{FrameId, Seq};
use crate::limits::FILTERED_RUN_MAX;
use crate::registry::Compression;
use crate::syslog::encode;
use crate::syslog::message::{Fields as _, Message};

/// What a look into the channel found.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Filled {
    /// A batch is ready.
    Batch,
    /// Messages were lost or not wanted; there may be more.
    Passed {
        /// Messages that the channel had let go.
        lapped: Loss,
    },
    /// There is nothing to read.
    Nothing,
}

/// A drain's places, its book and its batch.
pub(crate) struct Machine {
    cursor: Cursor,
    confirmed: Cursor,
    ledger: Ledger,
    batch: Option<Box<Batch>>,
    /// Buffer of the last batch; freed when the drain comes to rest.
    spare: Vec<u8>,
    /// When the channel was last read to its end: whatever is lapped was lost after that.
    read_at: UnixMicros,
}

impl Machine {
    /// A drain that waits for what comes next in `channel`.
    pub(crate) fn new(channel: &Channel, now: UnixMicros) -> Self {
        let cursor = channel.cursor_at_end();
        Self {
            cursor,
            confirmed: cursor,
            ledger: Ledger::default(),
            batch: None,
            spare: Vec::new(),
            read_at: now,
        }
    }

    /// Where the next message will be read.
    pub(crate) const fn cursor(&self) -> &Cursor {
        &self.cursor
    }

    /// Everything before this place is settled.
    pub(crate) const fn confirmed(&self) -> &Cursor {
        &self.confirmed
    }

    /// What became of the messages.
    pub(crate) const fn totals(&self) -> Totals {
        self.ledger.totals()
    }

    /// The batch on its way.
    pub(crate) fn batch(&self) -> Option<&Batch> {
        self.batch.as_deref()
    }

    /// The batch on its way, to be compressed.
    pub(crate) fn batch_mut(&mut self) -> Option<&mut Batch> {
        self.batch.as_deref_mut()
    }

    /// Makes a batch of everything that waits, up to `bytes_max`; a message larger than that makes
    /// a batch of its own. With a batch on its way it changes nothing.
    pub(crate) fn fill(
        &mut self,
        channel: &Channel,
        plan: &Plan,
        bytes_max: usize,
        now: UnixMicros,
    ) -> Filled {
        if self.batch.is_some() {
            return Filled::Batch;
        }
        let mut draft = Draft::new(plan, std::mem::take(&mut self.spare), bytes_max);
        draft.loss = self.ledger.pending();
        draft.now = now;
        let outcome = channel.read(&mut self.cursor, |record| draft.take(&record));
        let since = std::mem::replace(&mut self.read_at, now);
        if 0 < outcome.lost {
            let lapped = Loss::new(outcome.lost, since);
            self.ledger.lapped(lapped);
            self.pass(draft);
            return Filled::Passed { lapped };
        }
        if 0 < draft.messages {
            let announced = self.ledger.announce();
            self.batch = Some(Box::new(draft.finish(announced)));
            return Filled::Batch;
        }
        if 0 < draft.filtered {
            self.pass(draft);
            return Filled::Passed {
                lapped: Loss::default(),
            };
        }
        Filled::Nothing
    }

    /// Settles what was read without making a batch.
    fn pass(&mut self, draft: Draft<'_>) {
        self.ledger.filtered(draft.filtered);
        self.spare = draft.out;
        self.confirmed = self.cursor;
    }

    /// Whether the channel keeps nothing of the batch any more.
    pub(crate) fn is_overwritten(&self, first_kept: Seq) -> bool {
        self.batch.is_some() && self.cursor.seq() <= first_kept
    }

    /// The destination has the batch.
    pub(crate) fn confirm(&mut self) {
        if let Some(batch) = self.end_batch() {
            self.ledger.confirmed(batch.counts);
            self.spare = batch.into_buffer();
        }
    }

    /// The destination has the batch but for `refused` of its messages; says what was lost with
    /// them, as `lose` does.
    pub(crate) fn confirm_partly(&mut self, refused: u64, now: UnixMicros) -> Loss {
        let Some(batch) = self.end_batch() else {
            return Loss::default();
        };
        let refused = refused.min(batch.counts.messages);
        self.ledger.confirmed_partly(batch.counts, refused, now);
        let told = refused.saturating_sub(batch.notices);
        self.spare = batch.into_buffer();
        Loss::new(told, now)
    }

    /// The batch is given up; says what was lost with it, notices of drains left out: a lost notice
    /// that led to the next notice would never end.
    pub(crate) fn lose(&mut self, reason: LossReason, now: UnixMicros) -> Loss {
        let Some(batch) = self.end_batch() else {
            return Loss::default();
        };
        self.ledger.lost(batch.counts, reason, now);
        let told = batch.counts.messages.saturating_sub(batch.notices);
        self.spare = batch.into_buffer();
        Loss::new(told, now)
    }

    /// Takes the batch apart, so that its messages are read again.
    pub(crate) fn rewind(&mut self) {
        if let Some(batch) = self.batch.take() {
            self.ledger.rewound(batch.counts);
            self.cursor = self.confirmed;
            self.spare = batch.into_buffer();
        }
    }

    /// Frees what only a busy drain needs.
    pub(crate) fn rest(&mut self) {
        self.spare = Vec::new();
    }

    fn end_batch(&mut self) -> Option<Batch> {
        let batch = self.batch.take()?;
        self.confirmed = self.cursor;
        Some(*batch)
    }
}

/// A batch in the making.
struct Draft<'a> {
    plan: &'a Plan,
    out: Vec<u8>,
    bytes_max: usize,
    loss: Loss,
    now: UnixMicros,
    messages: u64,
    filtered: u64,
    notices: u64,
}

impl<'a> Draft<'a> {
    fn new(plan: &'a Plan, out: Vec<u8>, bytes_max: usize) -> Self {
        Self {
            plan,
            out,
            bytes_max,
            loss: Loss::default(),
            now: UnixMicros::default(),
            messages: 0,
            filtered: 0,
            notices: 0,
        }
    }

    /// Takes one record in, passes over it, or leaves it for the next batch.
    fn take(&mut self, record: &Record<'_>) -> ControlFlow<()> {
        if !self.plan.wants(record) {
            if self.filtered == FILTERED_RUN_MAX {
                return ControlFlow::Break(());
            }
            self.filtered += 1;
            return ControlFlow::Continue(());
        }
        if self.messages == 0 && 0 < self.loss.count() {
            self.encode_loss();
        }
        let before_bytes = self.out.len();
        self.plan.encode(record, &mut self.out);
        if 0 < self.messages && self.bytes_max < self.out.len() {
            self.out.truncate(before_bytes);
            return ControlFlow::Break(());
        }
        self.messages += 1;
        self.notices += u64::from(is_loss_notice(record));
        ControlFlow::Continue(())
    }

    fn encode_loss(&mut self) {
        let text = encode::l10_text(self.loss.count(), self.loss.since());
        let message = notice(self.now, &text);
        self.plan.encode_notice(&message, self.now, &mut self.out);
    }

    fn finish(self, announced: Loss) -> Batch {
        Batch {
            id: FrameId::next(),
            body: Bytes::from(self.plan.finished(self.out)),
            encoding: Compression::None,
            counts: Counts {
                messages: self.messages,
                filtered: self.filtered,
                announced,
            },
            notices: self.notices,
        }
    }
}

/// A message of the router's own that says `text`, as Logplex signs them.
pub(crate) fn notice(now: UnixMicros, text: &str) -> Message<'_> {
    let pri = encode::NOTICE_PRI;
    encode::notice(pri, now, NOTICE_SOURCE, NOTICE_PROCID, text.as_bytes())
}

/// Whether `record` is a drain's word on its losses.
fn is_loss_notice(record: &Record<'_>) -> bool {
    record.pri() == encode::NOTICE_PRI
        && record.app_name() == NOTICE_SOURCE
        && record.procid() == NOTICE_PROCID
        && record.text().starts_with(b"Error L10 ")
}

const NOTICE_SOURCE: &[u8] = b"heroku";
const NOTICE_PROCID: &[u8] = b"logplex";
