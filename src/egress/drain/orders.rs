//! What a drain's task is told from outside: the plan in force, and that it has to end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use arc_swap::ArcSwap;
use tokio::sync::Notify;

use crate::egress::drain::plan::Plan;

/// Given by the supervisor, followed by one task.
pub(crate) struct Orders {
    plan: ArcSwap<Plan>,
    /// `CHANGED`, `OVER`.
    bits: AtomicU8,
    given: Notify,
}

/// What the task has to do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Order {
    /// To end.
    End,
    /// To take over the changed plan.
    Replan,
}

impl Orders {
    /// Orders to follow `plan`.
    pub(crate) fn new(plan: Plan) -> Self {
        Self {
            plan: ArcSwap::from_pointee(plan),
            bits: AtomicU8::new(0),
            given: Notify::new(),
        }
    }

    /// The plan in force; from now on only a later one is an order.
    pub(crate) fn take_plan(&self) -> Arc<Plan> {
        // AcqRel: pairs with `give`. The mark goes first: a plan given in between is taken twice.
        self.bits.fetch_and(!CHANGED, Ordering::AcqRel);
        self.plan.load_full()
    }

    /// The plan in force, for comparing.
    pub(crate) fn plan(&self) -> Arc<Plan> {
        self.plan.load_full()
    }

    /// Puts `plan` in force.
    pub(crate) fn change(&self, plan: Plan) {
        self.plan.store(Arc::new(plan));
        self.give(CHANGED);
    }

    /// Ends the task.
    pub(crate) fn end(&self) {
        self.give(OVER);
    }

    fn give(&self, bit: u8) {
        // AcqRel: pairs with `waiting` and `take_plan`; who sees the mark sees the plan.
        self.bits.fetch_or(bit, Ordering::AcqRel);
        self.given.notify_waiters();
    }

    fn waiting(&self) -> Option<Order> {
        let bits = self.bits.load(Ordering::Acquire);
        if bits & OVER != 0 {
            Some(Order::End)
        } else {
            (bits & CHANGED != 0).then_some(Order::Replan)
        }
    }

    /// Ends when there is an order. Cancel safe: it stands until the plan is taken.
    pub(crate) async fn next(&self) -> Order {
        loop {
            // Before looking: from then on it hears of every order.
            let given = self.given.notified();
            match self.waiting() {
                Some(order) => return order,
                None => given.await,
            }
        }
    }

    /// Ends when the task has to. Cancel safe.
    pub(crate) async fn over(&self) {
        loop {
            let given = self.given.notified();
            if self.waiting() == Some(Order::End) {
                return;
            }
            given.await;
        }
    }
}

const CHANGED: u8 = 1;
const OVER: u8 = 2;

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;
    use crate::clock::UnixMicros;
    use crate::id::{ChannelId, DrainId, DrainToken};
    use crate::registry::{DrainEntry, DrainOptions, DrainUrl};

    fn plan(url: &str) -> Plan {
        Plan::new(&DrainEntry {
            id: DrainId::new(1),
            token: DrainToken::random(),
            channel: ChannelId::new("app").unwrap(),
            url: Some(DrainUrl::parse(url).unwrap()),
            options: DrainOptions::default().shared(),
            created: UnixMicros::default(),
        })
        .unwrap()
        .unwrap()
    }

    fn now<T>(future: impl Future<Output = T>) -> Poll<T> {
        pin!(future).poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_changed_plan_is_an_order_until_it_is_taken() {
        let orders = Orders::new(plan("http://one/"));
        assert_eq!(now(orders.next()), Poll::Pending);
        orders.change(plan("http://two/"));
        orders.change(plan("http://three/"));
        assert_eq!(now(orders.next()), Poll::Ready(Order::Replan));
        assert_eq!(now(orders.next()), Poll::Ready(Order::Replan));
        assert_eq!(now(orders.over()), Poll::Pending);
        assert_eq!(orders.take_plan().url.host(), "three");
        assert_eq!(now(orders.next()), Poll::Pending);
    }

    #[test]
    fn the_end_goes_before_a_change() {
        let orders = Orders::new(plan("http://one/"));
        orders.change(plan("http://two/"));
        orders.end();
        assert_eq!(now(orders.next()), Poll::Ready(Order::End));
        assert_eq!(now(orders.over()), Poll::Ready(()));
        orders.take_plan();
        assert_eq!(now(orders.next()), Poll::Ready(Order::End));
    }

    #[test]
    fn who_waits_is_woken() {
        let orders = Orders::new(plan("http://one/"));
        let (mut next, mut over) = (pin!(orders.next()), pin!(orders.over()));
        let mut context = Context::from_waker(Waker::noop());
        assert!(next.as_mut().poll(&mut context).is_pending());
        assert!(over.as_mut().poll(&mut context).is_pending());
        orders.change(plan("http://two/"));
        assert!(over.as_mut().poll(&mut context).is_pending());
        assert_eq!(next.poll(&mut context), Poll::Ready(Order::Replan));
        orders.end();
        assert!(over.poll(&mut context).is_ready());
    }
}
