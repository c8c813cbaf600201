//! The book: what became of every line, and which losses the router was not told of yet.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::clock::UnixMicros;
use crate::sources::ship::Report;

/// Counts of lines. Every line is in exactly one of them, or on its way.
#[derive(Default)]
pub(crate) struct Book {
    pages: Mutex<Pages>,
}

#[derive(Default)]
struct Pages {
    delivered: u64,
    dropped: u64,
    lost: u64,
    spooled: u64,
    untold: Losses,
}

/// Some lines that are gone, and since when.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Loss {
    pub(crate) lines: u64,
    /// When the first was lost; of no meaning when there is none.
    pub(crate) since: UnixMicros,
}

impl Loss {
    /// Both together.
    fn and(self, other: Self) -> Self {
        match (self.lines, other.lines) {
            (_, 0) => self,
            (0, _) => other,
            _ => Self {
                lines: self.lines + other.lines,
                since: self.since.min(other.since),
            },
        }
    }
}

/// What is announced in front of a batch.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Losses {
    /// L12.
    pub(crate) dropped: Loss,
    /// L13.
    pub(crate) lost: Loss,
}

impl Losses {
    /// Whether there is nothing to announce.
    pub(crate) const fn is_empty(&self) -> bool {
        self.dropped.lines == 0 && self.lost.lines == 0
    }
}

impl Book {
    /// The router has `lines`.
    pub(crate) fn deliver(&self, lines: u64) {
        self.lock().delivered += lines;
    }

    /// `lines` found no room.
    pub(crate) fn drop_lines(&self, lines: u64, now: UnixMicros) {
        let mut pages = self.lock();
        pages.dropped += lines;
        pages.untold.dropped = pages.untold.dropped.and(Loss { lines, since: now });
    }

    /// The `lines` of a batch are gone, and what it was to announce is not told.
    pub(crate) fn lose(&self, lines: u64, told: Losses, now: UnixMicros) {
        let mut pages = self.lock();
        pages.lost += lines;
        pages.untold.lost = pages.untold.lost.and(Loss { lines, since: now });
        pages.untold = Losses {
            dropped: pages.untold.dropped.and(told.dropped),
            lost: pages.untold.lost.and(told.lost),
        };
    }

    /// `lines` are on the disk at the end.
    pub(crate) fn spool(&self, lines: u64) {
        self.lock().spooled += lines;
    }

    /// What is to be announced; from now on it is the batch's.
    pub(crate) fn take_untold(&self) -> Losses {
        std::mem::take(&mut self.lock().untold)
    }

    /// The counts.
    pub(crate) fn report(&self) -> Report {
        let pages = self.lock();
        Report {
            delivered: pages.delivered,
            dropped: pages.dropped,
            lost: pages.lost,
            spooled: pages.spooled,
            untold_dropped: pages.untold.dropped.lines,
            untold_lost: pages.untold.lost.lines,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_told_is_told_again() {
        let book = Book::default();
        let at = UnixMicros::new;
        book.drop_lines(3, at(70));
        book.drop_lines(4, at(60));
        let first = book.take_untold();
        assert_eq!((first.dropped.lines, first.dropped.since), (7, at(60)));
        assert!(book.take_untold().is_empty());
        book.drop_lines(1, at(80));
        book.lose(10, first, at(90));
        let second = book.take_untold();
        assert_eq!((second.dropped.lines, second.dropped.since), (8, at(60)));
        assert_eq!((second.lost.lines, second.lost.since), (10, at(90)));
        book.lose(0, second, at(100));
        assert_eq!(
            book.take_untold(),
            second,
            "a batch without lines loses none"
        );
        book.deliver(5);
        book.spool(6);
        let report = book.report();
        let counts = (
            report.delivered,
            report.dropped,
            report.lost,
            report.spooled,
        );
        assert_eq!(counts, (5, 8, 10, 6));
        assert_eq!((report.untold_dropped, report.untold_lost), (0, 0));
    }
}
