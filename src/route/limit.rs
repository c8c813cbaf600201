//! Rate limits of a token: two token buckets (messages, bytes) and what was dropped over them.
//!
//! Pure: time is an argument. A demand greater than a whole burst passes when the bucket is full
//! and leaves it in debt, so that no message or request is too big to ever pass.

use std::time::Duration;

use tokio::time::Instant;

use crate::clock::UnixMicros;

/// How fast, and how much at once.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rate {
    /// Units that flow in per second; 0 is taken as 1.
    pub per_second: u64,
    /// Units that a full bucket holds; 0 is taken as 1.
    pub burst: u64,
}

/// The limits of every token; `None` is no limit.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct RateLimits {
    /// Messages.
    pub messages: Option<Rate>,
    /// Bytes of frames.
    pub bytes: Option<Rate>,
}

impl RateLimits {
    /// Whether nothing is limited.
    #[must_use]
    pub const fn is_off(&self) -> bool {
        self.messages.is_none() && self.bytes.is_none()
    }

    /// Whether `demand` is within one burst. One above it may be taken in one piece, in debt; but
    /// a run of messages that happened to be read at once is to be taken message by message.
    #[must_use]
    pub fn is_within_burst(&self, demand: Demand) -> bool {
        let is_within =
            |rate: Option<Rate>, count| rate.is_none_or(|rate| count <= rate.burst.max(1));
        is_within(self.messages, demand.messages) && is_within(self.bytes, demand.bytes)
    }
}

/// What one read or request wants to pass.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Demand {
    /// Messages.
    pub messages: u64,
    /// Bytes of their frames.
    pub bytes: u64,
}

/// One bucket. Its level counts millionths of a unit, so that slow rates lose no fraction.
#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    /// Level and when it was right; `None` is a full bucket that nobody has used.
    level: Option<(i128, Instant)>,
}

impl Bucket {
    fn level(&self, rate: Rate, now: Instant) -> i128 {
        let full = i128::from(rate.burst.max(1)) * UNIT;
        let Some((level, at)) = self.level else {
            return full;
        };
        let micros = now.saturating_duration_since(at).as_micros();
        // One unit per second is one millionth of a unit per microsecond.
        let inflow = i128::try_from(micros)
            .unwrap_or(i128::MAX)
            .saturating_mul(i128::from(rate.per_second.max(1)));
        level.saturating_add(inflow).min(full)
    }

    /// How long until `count` pass; zero when they pass now.
    fn wait(&self, rate: Rate, count: u64, now: Instant) -> Duration {
        let needed = i128::from(count.min(rate.burst.max(1))) * UNIT;
        let missing = needed - self.level(rate, now);
        let micros = u128::try_from(missing)
            .unwrap_or(0)
            .div_ceil(u128::from(rate.per_second.max(1)));
        Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }

    fn move_by(&mut self, rate: Rate, units: i128, now: Instant) {
        let full = i128::from(rate.burst.max(1)) * UNIT;
        let level = self.level(rate, now).saturating_add(units * UNIT).min(full);
        self.level = Some((level, now));
    }
}

/// Both buckets of one token, and what was dropped over them since it was last told.
#[derive(Debug, Default)]
pub struct Limiter {
    messages: Bucket,
    bytes: Bucket,
    dropped: u64,
    dropped_since: UnixMicros,
    told: Option<Instant>,
    is_listed: bool,
}

/// What a notice has to say.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Loss {
    /// Messages dropped.
    pub messages: u64,
    /// When the first of them was.
    pub since: UnixMicros,
}

impl Limiter {
    /// Takes all of `demand`, or nothing.
    ///
    /// # Errors
    /// How long until it would pass.
    pub fn take(
        &mut self,
        limits: &RateLimits,
        demand: Demand,
        now: Instant,
    ) -> Result<(), Duration> {
        let wait = |bucket: &Bucket, rate: Option<Rate>, count: u64| {
            rate.map_or(Duration::ZERO, |rate| bucket.wait(rate, count, now))
        };
        let longest = wait(&self.messages, limits.messages, demand.messages).max(wait(
            &self.bytes,
            limits.bytes,
            demand.bytes,
        ));
        if !longest.is_zero() {
            return Err(longest);
        }
        self.move_by(limits, demand, -1, now);
        Ok(())
    }

    /// Gives back what `take` took for something that was then not delivered.
    pub fn refund(&mut self, limits: &RateLimits, demand: Demand, now: Instant) {
        self.move_by(limits, demand, 1, now);
    }

    fn move_by(&mut self, limits: &RateLimits, demand: Demand, sign: i128, now: Instant) {
        if let Some(rate) = limits.messages {
            let units = sign * i128::from(demand.messages);
            self.messages.move_by(rate, units, now);
        }
        if let Some(rate) = limits.bytes {
            self.bytes
                .move_by(rate, sign * i128::from(demand.bytes), now);
        }
    }

    /// Notes that `messages` were dropped. True when the caller has to list this limiter for a
    /// later notice, because it is not listed yet.
    #[must_use]
    pub fn drop_messages(&mut self, messages: u64, at: UnixMicros) -> bool {
        if self.dropped == 0 {
            self.dropped_since = at;
        }
        self.dropped = self.dropped.saturating_add(messages);
        !std::mem::replace(&mut self.is_listed, true)
    }

    /// What is to be told now: nothing when nothing was dropped or the last notice is too young.
    pub fn loss_to_tell(&mut self, now: Instant) -> Option<Loss> {
        let is_young = self
            .told
            .is_some_and(|told| now.saturating_duration_since(told) < NOTICE_INTERVAL);
        if self.dropped == 0 || is_young {
            return None;
        }
        self.told = Some(now);
        Some(Loss {
            messages: std::mem::take(&mut self.dropped),
            since: self.dropped_since,
        })
    }

    /// Takes the limiter off the list of those with something to tell; false when it must stay.
    pub fn unlist(&mut self) -> bool {
        self.is_listed = self.dropped != 0;
        !self.is_listed
    }
}

/// Shortest time between two notices of one token.
pub const NOTICE_INTERVAL: Duration = Duration::from_secs(10);

/// Parts of one unit that a bucket counts.
const UNIT: i128 = 1_000_000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn messages(messages: u64) -> Demand {
        Demand { messages, bytes: 0 }
    }

    fn limits(per_second: u64, burst: u64) -> RateLimits {
        RateLimits {
            messages: Some(Rate { per_second, burst }),
            bytes: None,
        }
    }

    #[test]
    fn a_burst_passes_and_then_the_rate_holds() {
        let start = crate::clock::now();
        let limits = limits(10, 5);
        let mut limiter = Limiter::default();
        assert_eq!(limiter.take(&limits, messages(5), start), Ok(()));
        assert_eq!(
            limiter.take(&limits, messages(1), start),
            Err(Duration::from_millis(100))
        );
        let later = start + Duration::from_millis(100);
        assert_eq!(limiter.take(&limits, messages(1), later), Ok(()));
        assert!(limiter.take(&limits, messages(1), later).is_err());
        // However long it rests, it holds no more than the burst.
        let much_later = start + Duration::from_secs(3600);
        assert_eq!(limiter.take(&limits, messages(5), much_later), Ok(()));
        assert!(limiter.take(&limits, messages(1), much_later).is_err());
    }

    #[test]
    fn what_is_greater_than_the_burst_passes_once_and_leaves_a_debt() {
        let start = crate::clock::now();
        let limits = limits(10, 5);
        let mut limiter = Limiter::default();
        assert_eq!(limiter.take(&limits, messages(25), start), Ok(()));
        assert_eq!(
            limiter.take(&limits, messages(1), start),
            Err(Duration::from_millis(2_100))
        );
    }

    #[test]
    fn either_bucket_refuses_and_then_neither_is_charged() {
        let start = crate::clock::now();
        let limits = RateLimits {
            messages: Some(Rate {
                per_second: 1,
                burst: 10,
            }),
            bytes: Some(Rate {
                per_second: 1,
                burst: 100,
            }),
        };
        let mut limiter = Limiter::default();
        let big = Demand {
            messages: 1,
            bytes: 60,
        };
        assert!(limiter.take(&limits, big, start).is_ok());
        assert!(limiter.take(&limits, big, start).is_err());
        assert!(limiter.take(&limits, messages(9), start).is_ok());
        assert!(limiter.take(&limits, messages(1), start).is_err());
        limiter.refund(&limits, messages(9), start);
        assert!(limiter.take(&limits, messages(9), start).is_ok());
    }

    #[test]
    fn notices_are_ten_seconds_apart_and_lose_no_count() {
        let start = crate::clock::now();
        let mut limiter = Limiter::default();
        assert_eq!(limiter.loss_to_tell(start), None);
        assert!(limiter.drop_messages(3, UnixMicros::new(7)));
        assert!(!limiter.drop_messages(1, UnixMicros::new(8)));
        let loss = |messages, since| {
            Some(Loss {
                messages,
                since: UnixMicros::new(since),
            })
        };
        assert_eq!(limiter.loss_to_tell(start), loss(4, 7));
        assert!(!limiter.drop_messages(2, UnixMicros::new(9)));
        assert_eq!(limiter.loss_to_tell(start), None);
        assert!(!limiter.unlist());
        assert_eq!(limiter.loss_to_tell(start + NOTICE_INTERVAL), loss(2, 9));
        assert!(limiter.unlist());
        assert!(limiter.drop_messages(1, UnixMicros::new(10)));
    }

    proptest! {
        /// What passes in any time never exceeds the burst and what flowed in.
        #[test]
        fn never_more_than_burst_and_inflow(
            steps in proptest::collection::vec((0_u64..5_000, 1_u64..4), 1..200),
            per_second in 1_u64..50,
            burst in 4_u64..40,
        ) {
            let start = crate::clock::now();
            let limits = limits(per_second, burst);
            let (mut limiter, mut now, mut passed) = (Limiter::default(), start, 0);
            for (millis, count) in steps {
                now += Duration::from_millis(millis);
                if limiter.take(&limits, messages(count), now).is_ok() {
                    passed += count;
                }
                let millis_total = u64::try_from((now - start).as_millis()).unwrap();
                prop_assert!(passed * 1_000 <= burst * 1_000 + per_second * millis_total);
            }
        }
    }
}
