//! How a drain behaves when the router ends and everything is to be sent.

use crate::limits::FAILING_ATTEMPTS_MIN;
use crate::net::outcome::Failure;

/// How a drain behaves in a flush.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Flush {
    /// It has not met one.
    Unmet,
    /// It was well, or failed only a few times: it goes on until the grace period ends, unless it
    /// turns out that nobody is there.
    Patient,
    /// It had long been failing: one more try, then it ends and holds nobody up.
    LastTry,
}

impl Flush {
    /// How a drain that failed `attempts` times in a row meets a flush.
    pub(crate) fn met_after(attempts: u64) -> Self {
        if attempts < FAILING_ATTEMPTS_MIN {
            Self::Patient
        } else {
            Self::LastTry
        }
    }

    /// Whether a patient drain ends after `attempts` failures in a row, the last by `failure`: at as
    /// many as had ended its patience before the flush, and only where waiting has no sense. One
    /// that is slow or busy is there, and is waited for.
    pub(crate) fn is_given_up(attempts: u64, failure: &Failure) -> bool {
        FAILING_ATTEMPTS_MIN <= attempts && (failure.is_nobody_there() || failure.is_lasting())
    }
}
