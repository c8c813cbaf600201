//! What became of each message of a drain: counted once, and its loss told until it is heard.
//!
//! For every drain `accepted = delivered + filtered + lapped + refused + lag`, exactly. Losses wait
//! here until a batch that announces them is confirmed; a batch that is lost itself gives them back.

use crate::clock::UnixMicros;

/// Messages lost and when that began.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Loss {
    count: u64,
    since: UnixMicros,
}

impl Loss {
    /// `count` messages lost since `since`.
    pub(crate) const fn new(count: u64, since: UnixMicros) -> Self {
        Self { count, since }
    }

    /// How many messages.
    pub(crate) const fn count(self) -> u64 {
        self.count
    }

    /// When the first was lost.
    pub(crate) const fn since(self) -> UnixMicros {
        self.since
    }

    /// Both losses as one, which began with the earlier.
    pub(crate) fn and(self, other: Self) -> Self {
        match (self.count, other.count) {
            (0, _) => other,
            (_, 0) => self,
            _ => Self {
                count: self.count.saturating_add(other.count),
                since: self.since.min(other.since),
            },
        }
    }
}

/// Why a message was lost.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum LossReason {
    /// The channel let it go before the destination had confirmed it.
    Lapped,
    /// The destination refused it for good.
    Refused,
}

/// Messages of a drain by what became of them.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Totals {
    /// Confirmed by the destination.
    pub(crate) delivered: u64,
    /// Not wanted by the drain's filter.
    pub(crate) filtered: u64,
    /// Lost because the channel let them go.
    pub(crate) lapped: u64,
    /// Lost because the destination refused them.
    pub(crate) refused: u64,
    /// Losses whose announcement the destination has confirmed.
    pub(crate) reported: u64,
}

/// Counts of one batch that matter when it ends.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Counts {
    /// The channel's messages in it; the announcement is none of them.
    pub(crate) messages: u64,
    /// Messages passed over between its first and its last.
    pub(crate) filtered: u64,
    /// Loss announced in front of it.
    pub(crate) announced: Loss,
}

/// The book of one drain.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ledger {
    totals: Totals,
    pending: Loss,
}

impl Ledger {
    /// What became of the messages so far.
    pub(crate) const fn totals(&self) -> Totals {
        self.totals
    }

    /// Loss that no batch has announced yet.
    pub(crate) const fn pending(&self) -> Loss {
        self.pending
    }

    /// Takes the pending loss into a batch that announces it.
    pub(crate) fn announce(&mut self) -> Loss {
        std::mem::take(&mut self.pending)
    }

    /// The channel let messages go that were in no batch yet.
    pub(crate) fn lapped(&mut self, loss: Loss) {
        self.totals.lapped += loss.count;
        self.pending = self.pending.and(loss);
    }

    /// Messages that the filter did not want and that lie in no batch.
    pub(crate) fn filtered(&mut self, count: u64) {
        self.totals.filtered += count;
    }

    /// The destination has confirmed a batch.
    pub(crate) fn confirmed(&mut self, batch: Counts) {
        self.totals.delivered += batch.messages;
        self.totals.filtered += batch.filtered;
        self.totals.reported += batch.announced.count;
    }

    /// The destination has confirmed a batch but for `refused` of its messages, at `now`. Which ones
    /// it does not say, so the announcement counts as heard.
    pub(crate) fn confirmed_partly(&mut self, batch: Counts, refused: u64, now: UnixMicros) {
        self.confirmed(Counts {
            messages: batch.messages.saturating_sub(refused),
            ..batch
        });
        self.totals.refused += refused;
        self.pending = self.pending.and(Loss::new(refused, now));
    }

    /// A batch is given up at `now`: it is lost, and what it was to announce is still to be told.
    pub(crate) fn lost(&mut self, batch: Counts, reason: LossReason, now: UnixMicros) {
        match reason {
            LossReason::Lapped => self.totals.lapped += batch.messages,
            LossReason::Refused => self.totals.refused += batch.messages,
        }
        self.totals.filtered += batch.filtered;
        let own = Loss::new(batch.messages, now);
        self.pending = batch.announced.and(own).and(self.pending);
    }

    /// A batch is taken apart unsent: its messages will be read again.
    pub(crate) fn rewound(&mut self, batch: Counts) {
        self.pending = batch.announced.and(self.pending);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T1: UnixMicros = UnixMicros::new(1);
    const T2: UnixMicros = UnixMicros::new(2);

    fn batch(ledger: &mut Ledger, messages: u64) -> Counts {
        Counts {
            messages,
            filtered: 0,
            announced: ledger.announce(),
        }
    }

    /// The original's suite: a frame of 15 (3 lost) gets 404, the next (3 lost) announces 21.
    #[test]
    fn a_refused_batch_gives_its_announcement_back() {
        let mut ledger = Ledger::default();
        ledger.lapped(Loss::new(3, T1));
        let first = batch(&mut ledger, 15);
        assert_eq!(first.announced, Loss::new(3, T1));
        ledger.lost(first, LossReason::Refused, T2);
        ledger.lapped(Loss::new(3, T2));
        let second = batch(&mut ledger, 15);
        assert_eq!(second.announced, Loss::new(21, T1));
        ledger.confirmed(second);
        let expected = Totals {
            delivered: 15,
            filtered: 0,
            lapped: 6,
            refused: 15,
            reported: 21,
        };
        assert_eq!(ledger.totals(), expected);
        assert_eq!(ledger.pending().count(), 0);
    }

    #[test]
    fn what_of_a_batch_is_refused_is_told_by_the_next() {
        let mut ledger = Ledger::default();
        ledger.lapped(Loss::new(3, T1));
        let first = batch(&mut ledger, 15);
        ledger.confirmed_partly(first, 4, T2);
        let expected = Totals {
            delivered: 11,
            filtered: 0,
            lapped: 3,
            refused: 4,
            reported: 3,
        };
        assert_eq!(ledger.totals(), expected);
        assert_eq!(ledger.pending(), Loss::new(4, T2));
    }

    #[test]
    fn a_rewound_batch_is_neither_lost_nor_delivered() {
        let mut ledger = Ledger::default();
        ledger.lapped(Loss::new(2, T1));
        let unsent = batch(&mut ledger, 5);
        ledger.lapped(Loss::new(1, T2));
        ledger.rewound(unsent);
        assert_eq!(ledger.pending(), Loss::new(3, T1));
        assert_eq!(ledger.totals().lapped, 3);
        assert_eq!(ledger.totals().delivered, 0);
    }

    #[test]
    fn losses_add_up_and_keep_their_beginning() {
        assert_eq!(Loss::new(0, T1).and(Loss::new(2, T2)), Loss::new(2, T2));
        assert_eq!(Loss::new(1, T1).and(Loss::default()), Loss::new(1, T1));
        assert_eq!(Loss::new(1, T2).and(Loss::new(2, T1)), Loss::new(3, T1));
    }
}
