//! Which requests were delivered lately, so that a sender's retry does not deliver twice. Pure
//! but for the keys of its hashes.
//!
//! A request is remembered in the moment in which nothing can refuse it any more. So a refused
//! one may be sent again, and of two equal ones at the same moment one is delivered.
//!
//! When there is no room left, who has most requests remembered loses the oldest. So a sender may
//! use all the room that others leave, and shortens nobody's window but its own: of `n` senders
//! none loses a request while it has fewer than an `n`th of the room.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::HashMap;
use std::collections::HashSet;
use std::collections::VecDeque;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use tokio::time::Instant;

/// What makes two requests the same: a keyed hash over who sent it, its id and its body.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct RequestKey {
    /// A keyed hash over who sent it alone.
    sender: u64,
    request: u128,
}

/// Makes keys. The hashes' own keys are random, so that nobody can aim at a collision.
#[derive(Default)]
pub(crate) struct KeyMaker {
    low: RandomState,
    high: RandomState,
}

impl KeyMaker {
    /// The key of a request. Its id is in both halves, its body, which is long, in one: bodies only
    /// have to be told apart where one sender uses one id for several.
    pub(crate) fn key(&self, sender: &[u8], request_id: &[u8], body: &[u8]) -> RequestKey {
        let hash = |state: &RandomState, parts: &[&[u8]]| {
            let mut hasher = state.build_hasher();
            for part in parts {
                hasher.write_usize(part.len());
                hasher.write(part);
            }
            hasher.finish()
        };
        let high = hash(&self.high, &[sender, request_id]);
        let low = hash(&self.low, &[sender, request_id, body]);
        RequestKey {
            sender: hash(&self.low, &[sender]),
            request: u128::from(high) << 64 | u128::from(low),
        }
    }
}

/// The requests delivered lately. Each step costs the logarithm of their count, however many
/// senders they are of.
#[derive(Default)]
pub(crate) struct Delivered {
    known: HashSet<RequestKey>,
    /// The same by number, the oldest first, each with the time from which it is forgotten.
    ages: BTreeMap<u64, (Instant, RequestKey)>,
    /// Each sender's numbers, oldest first. Invariant: none is empty.
    queues: HashMap<u64, VecDeque<u64>>,
    /// One for each queue; the last is whose sender makes room.
    ranks: BTreeSet<Rank>,
    number_next: u64,
}

/// A queue's length, and its oldest number: of equally long ones the oldest number goes.
type Rank = (usize, Reverse<Option<u64>>);

/// Whether a request was delivered before.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Claim {
    /// It was not, and is remembered as delivered from now on.
    New,
    /// It was.
    Duplicate,
}

impl Delivered {
    /// Whether `key` was delivered within the window.
    pub(crate) fn has(&self, key: RequestKey) -> bool {
        self.known.contains(&key)
    }

    /// Remembers `key` for `window`; of more than `keys_max` the oldest of the busiest sender goes.
    pub(crate) fn claim(
        &mut self,
        key: RequestKey,
        now: Instant,
        window: Duration,
        keys_max: usize,
    ) -> Claim {
        self.forget(now);
        if keys_max == 0 {
            return Claim::New;
        }
        if !self.known.insert(key) {
            return Claim::Duplicate;
        }
        self.append(key, now + window);
        while keys_max < self.ages.len() {
            let Some(sender) = self.busiest() else { break };
            self.forget_oldest(sender);
        }
        Claim::New
    }

    /// Forgets what is older than its window.
    pub(crate) fn forget(&mut self, now: Instant) {
        while let Some((_, &(end, key))) = self.ages.first_key_value() {
            if now < end {
                return;
            }
            self.forget_oldest(key.sender);
        }
    }

    fn append(&mut self, key: RequestKey, end: Instant) {
        let number = self.number_next;
        self.number_next += 1;
        self.ages.insert(number, (end, key));
        let queue = self.queues.entry(key.sender).or_default();
        self.ranks.remove(&rank(queue));
        queue.push_back(number);
        self.ranks.insert(rank(queue));
    }

    /// Who has most requests remembered.
    fn busiest(&self) -> Option<u64> {
        let &(_, Reverse(oldest)) = self.ranks.last()?;
        let (_, key) = self.ages.get(&oldest?)?;
        Some(key.sender)
    }

    /// Forgets the oldest request of `sender`, which has one.
    fn forget_oldest(&mut self, sender: u64) {
        let Some(queue) = self.queues.get_mut(&sender) else {
            return;
        };
        self.ranks.remove(&rank(queue));
        let oldest = queue.pop_front();
        if queue.is_empty() {
            self.queues.remove(&sender);
        } else {
            // Else every sender that was once busy kept the room of its busiest time.
            if queue.len() < queue.capacity() / 4 {
                queue.shrink_to(queue.len() * 2);
            }
            self.ranks.insert(rank(queue));
        }
        if let Some((_, key)) = oldest.and_then(|number| self.ages.remove(&number)) {
            self.known.remove(&key);
        }
    }
}

fn rank(queue: &VecDeque<u64>) -> Rank {
    (queue.len(), Reverse(queue.front().copied()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::prop;
    use proptest::prop_assert_eq;
    use proptest::proptest;

    use super::*;

    const WINDOW: Duration = Duration::from_secs(300);

    fn key(sender: u64, request: u128) -> RequestKey {
        RequestKey { sender, request }
    }

    #[test]
    fn a_key_is_of_sender_id_and_body() {
        let maker = KeyMaker::default();
        let key = maker.key(b"t.a", b"id", b"body");
        assert_eq!(key, maker.key(b"t.a", b"id", b"body"));
        assert_ne!(key, maker.key(b"t.b", b"id", b"body"));
        assert_ne!(key, maker.key(b"t.a", b"i", b"dbody"));
        assert_ne!(key, maker.key(b"t.a", b"id", b"bodY"));
        assert_eq!(key.sender, maker.key(b"t.a", b"other", b"other").sender);
    }

    #[test]
    fn remembered_for_the_window_and_no_longer() {
        let start = crate::clock::now();
        let mut delivered = Delivered::default();
        let key = key(1, 1);
        assert_eq!(delivered.claim(key, start, WINDOW, 10), Claim::New);
        assert!(delivered.has(key));
        let just_before = start + WINDOW - Duration::from_nanos(1);
        assert_eq!(
            delivered.claim(key, just_before, WINDOW, 10),
            Claim::Duplicate
        );
        assert_eq!(delivered.claim(key, start + WINDOW, WINDOW, 10), Claim::New);
    }

    #[test]
    fn the_oldest_go_first() {
        let now = crate::clock::now();
        let mut delivered = Delivered::default();
        for request in 0..4 {
            assert_eq!(delivered.claim(key(1, request), now, WINDOW, 3), Claim::New);
        }
        assert!(!delivered.has(key(1, 0)));
        assert!(delivered.has(key(1, 1)));
        assert_eq!(delivered.ages.len(), 3);
        assert_eq!(delivered.known.len(), 3);
    }

    #[test]
    fn a_busy_sender_makes_room_itself() {
        let now = crate::clock::now();
        let mut delivered = Delivered::default();
        let mut claim = |key| assert_eq!(delivered.claim(key, now, WINDOW, 10), Claim::New);
        (0..3).for_each(|request| claim(key(1, request)));
        (0..1_000).for_each(|request| claim(key(2, request)));
        assert!((0..3).all(|request| delivered.has(key(1, request))));
        assert!((993..1_000).all(|request| delivered.has(key(2, request))));
        assert_eq!(delivered.known.len(), 10);
    }

    #[test]
    fn many_senders_leave_nothing_behind() {
        let now = crate::clock::now();
        let mut delivered = Delivered::default();
        for sender in 0..1_000 {
            for request in 0..100 {
                delivered.claim(key(sender, request), now, WINDOW, 100);
            }
        }
        assert_eq!(delivered.known.len(), 100);
        let room: usize = delivered.queues.values().map(VecDeque::capacity).sum();
        assert!(room <= 1_000, "{room}");
        delivered.forget(now + WINDOW);
        assert!(delivered.known.is_empty() && delivered.ages.is_empty());
        assert!(delivered.queues.is_empty() && delivered.ranks.is_empty());
    }

    /// The same, as one list that is searched.
    #[derive(Default)]
    struct Twin(Vec<(Instant, RequestKey)>);

    impl Twin {
        fn claim(&mut self, key: RequestKey, now: Instant, keys_max: usize) -> Claim {
            self.0.retain(|&(end, _)| now < end);
            if keys_max == 0 {
                return Claim::New;
            }
            if self.0.iter().any(|&(_, known)| known == key) {
                return Claim::Duplicate;
            }
            self.0.push((now + WINDOW, key));
            if keys_max < self.0.len() {
                let count = |sender| self.0.iter().filter(|(_, k)| k.sender == sender).count();
                let most = self.0.iter().map(|(_, k)| count(k.sender)).max();
                let index = self
                    .0
                    .iter()
                    .position(|(_, k)| Some(count(k.sender)) == most);
                self.0.remove(index.unwrap());
            }
            Claim::New
        }
    }

    proptest! {
        #[test]
        fn it_is_a_searched_list(
            keys_max in 0_usize..12,
            steps in prop::collection::vec((0_u64..4, 0_u128..8, 0_u64..60), 0..200),
        ) {
            let mut now = crate::clock::now();
            let mut delivered = Delivered::default();
            let mut twin = Twin::default();
            for (sender, request, seconds) in steps {
                now += Duration::from_secs(seconds);
                let key = key(sender, request);
                let claim = delivered.claim(key, now, WINDOW, keys_max);
                prop_assert_eq!(claim, twin.claim(key, now, keys_max));
                let known: Vec<_> = delivered.ages.values().copied().collect();
                prop_assert_eq!(&known, &twin.0);
                prop_assert_eq!(delivered.known.len(), known.len());
                prop_assert_eq!(delivered.ranks.len(), delivered.queues.len());
            }
        }
    }
}
