//! How a drain behaves when the router ends and everything is to be sent.

use crate::limits::FAILING_ATTEMPTS_MIN;

/// How a drain behaves in a flush.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Flush {
    /// It has not met one.
    Unmet,
    /// It was well, or failed only a few times: it goes on until the grace period ends.
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
}
