//! Which requests were delivered lately, so that a sender's retry does not deliver twice. Pure
//! but for the keys of its hash.
//!
//! A request is remembered in the moment in which nothing can refuse it any more. So a refused
//! one may be sent again, and of two equal ones at the same moment one is delivered.

use std::collections::HashSet;
use std::collections::VecDeque;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

use tokio::time::Instant;

/// What makes two requests the same: a keyed hash over who sent it, its id and its body.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct RequestKey(u128);

/// Makes keys. The hashes' own keys are random, so that nobody can aim at a collision.
#[derive(Default)]
pub(crate) struct KeyMaker {
    low: RandomState,
    high: RandomState,
}

impl KeyMaker {
    /// The key of a request.
    pub(crate) fn key(&self, sender: &[u8], request_id: &[u8], body: &[u8]) -> RequestKey {
        let half = |state: &RandomState| {
            let mut hasher = state.build_hasher();
            for part in [sender, request_id, body] {
                hasher.write_usize(part.len());
                hasher.write(part);
            }
            u128::from(hasher.finish())
        };
        RequestKey(half(&self.high) << 64 | half(&self.low))
    }
}

/// The requests delivered lately.
#[derive(Default)]
pub(crate) struct Delivered {
    known: HashSet<RequestKey>,
    /// The same, oldest first, each with the time from which it is forgotten.
    ages: VecDeque<(Instant, RequestKey)>,
}

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

    /// Remembers `key` for `window`; of more than `keys_max` the oldest go.
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
        self.ages.push_back((now + window, key));
        while keys_max < self.ages.len() {
            if let Some((_, oldest)) = self.ages.pop_front() {
                self.known.remove(&oldest);
            }
        }
        Claim::New
    }

    /// Forgets what is older than its window.
    pub(crate) fn forget(&mut self, now: Instant) {
        while let Some(&(end, key)) = self.ages.front() {
            if now < end {
                return;
            }
            self.ages.pop_front();
            self.known.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(300);

    #[test]
    fn a_key_is_of_sender_id_and_body() {
        let maker = KeyMaker::default();
        let key = maker.key(b"t.a", b"id", b"body");
        assert_eq!(key, maker.key(b"t.a", b"id", b"body"));
        assert_ne!(key, maker.key(b"t.b", b"id", b"body"));
        assert_ne!(key, maker.key(b"t.a", b"i", b"dbody"));
        assert_ne!(key, maker.key(b"t.a", b"id", b"bodY"));
    }

    #[test]
    fn remembered_for_the_window_and_no_longer() {
        let start = crate::clock::now();
        let mut delivered = Delivered::default();
        let key = RequestKey(1);
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
        for key in 0..4 {
            assert_eq!(delivered.claim(RequestKey(key), now, WINDOW, 3), Claim::New);
        }
        assert!(!delivered.has(RequestKey(0)));
        assert!(delivered.has(RequestKey(1)));
        assert_eq!(delivered.ages.len(), 3);
        assert_eq!(delivered.known.len(), 3);
    }
}
