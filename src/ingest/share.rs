//! How much of the room for bodies one sender holds, so that nobody can take all of it.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

/// What all senders hold just now. Bounded: each entry is one of a body on its way in.
pub(crate) struct Shares {
    held: Mutex<HashMap<Box<[u8]>, Held>>,
    bodies_max: usize,
    steps_max: usize,
}

/// What one sender holds.
#[derive(Default)]
struct Held {
    bodies: usize,
    steps: usize,
}

/// One body's part of its sender's share; given back when it is dropped.
pub(crate) struct Share<'a> {
    shares: &'a Shares,
    sender: Box<[u8]>,
    steps: usize,
}

impl Shares {
    /// Shares of at most `bodies_max` bodies and `steps_max` steps of memory for each sender.
    pub(crate) fn new(bodies_max: usize, steps_max: usize) -> Self {
        Self {
            held: Mutex::default(),
            bodies_max,
            steps_max,
        }
    }

    /// One body more of `sender`; `None` when it has as many as it may.
    pub(crate) fn enter(&self, sender: &[u8]) -> Option<Share<'_>> {
        let mut all = self.held();
        if let Some(held) = all.get_mut(sender) {
            if self.bodies_max <= held.bodies {
                return None;
            }
            held.bodies += 1;
        } else {
            let held = Held {
                bodies: 1,
                steps: 0,
            };
            all.insert(Box::from(sender), held);
        }
        drop(all);
        Some(Share {
            shares: self,
            sender: Box::from(sender),
            steps: 0,
        })
    }

    fn held(&self) -> MutexGuard<'_, HashMap<Box<[u8]>, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Share<'_> {
    /// Makes the body's part reach `steps`; false when the sender would hold too much.
    pub(crate) fn reaches(&mut self, steps: usize) -> bool {
        let more = steps.saturating_sub(self.steps);
        if more == 0 {
            return true;
        }
        let mut all = self.shares.held();
        let Some(held) = all.get_mut(&self.sender) else {
            return false;
        };
        if self.shares.steps_max < held.steps.saturating_add(more) {
            return false;
        }
        held.steps += more;
        self.steps = steps;
        true
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        let mut all = self.shares.held();
        if let Some(held) = all.get_mut(&self.sender) {
            held.bodies -= 1;
            held.steps -= self.steps;
            if held.bodies == 0 {
                all.remove(&self.sender);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_takes_more_than_a_share() {
        let shares = Shares::new(2, 10);
        let mut first = shares.enter(b"t.a").unwrap();
        let mut second = shares.enter(b"t.a").unwrap();
        assert!(shares.enter(b"t.a").is_none());
        assert!(first.reaches(7) && first.reaches(5) && second.reaches(3));
        assert!(!second.reaches(4));
        let mut other = shares.enter(b"t.b").unwrap();
        assert!(other.reaches(10));
        drop(first);
        assert!(second.reaches(10));
        assert!(shares.enter(b"t.a").is_some());
        drop((second, other));
        assert!(shares.held().is_empty());
    }
}
