//! What a drain's task waits for, why a wait is over, and whether the task goes on.

use tokio::time::{Instant, sleep_until};

use crate::egress::drain::orders::Order;

/// Whether the task goes on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Next {
    /// It does.
    Go,
    /// It ends.
    End,
}

/// What a drain without a batch waits for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Waits {
    /// There is nothing to send.
    ForMessages,
    /// A request for the few messages that there are would come too early.
    ForRequest,
}

/// Why a wait is over.
pub(crate) enum Woken {
    /// The drain is to end.
    End,
    /// Its entry has changed.
    Replan,
    /// What is there is to be sent, and then the drain ends.
    Flush,
    /// There is something to do, or to look at again.
    Go,
    /// The time has come for something to be told, for a try, or for a request.
    Due,
}

impl From<Order> for Woken {
    fn from(order: Order) -> Self {
        match order {
            Order::End => Self::End,
            Order::Replan => Self::Replan,
        }
    }
}

/// Ends at `instant`, or never. Cancel safe.
pub(crate) async fn until(instant: Option<Instant>) {
    match instant {
        // Boxed: most drains have nothing to wait for.
        Some(instant) => Box::pin(sleep_until(instant)).await,
        None => std::future::pending().await,
    }
}
