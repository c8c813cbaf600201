//! How many messages were lost in the last day, by hours. Pure: the caller brings the time.

use crate::clock::UnixMicros;

/// Counts of the hour that has begun and of the 24 before it. Made with a drain's first loss: most
/// have none.
#[derive(Clone, Debug)]
pub(crate) struct Hours {
    /// The newest hour counted, since 1970.
    newest: u64,
    /// By hour modulo their number.
    counts: [u64; COUNT],
}

impl Hours {
    /// No losses, at `now`.
    pub(crate) const fn new(now: UnixMicros) -> Self {
        Self {
            newest: hour(now),
            counts: [0; COUNT],
        }
    }

    /// `count` messages were lost at `now`.
    pub(crate) fn add(&mut self, count: u64, now: UnixMicros) {
        let now = hour(now);
        // Hours in which nothing was lost; a clock set back counts into the newest.
        let gone = now.saturating_sub(self.newest).min(COUNT_U64);
        for back in 0..gone {
            if let Some(slot) = self.slot(now - back) {
                *slot = 0;
            }
        }
        self.newest = self.newest.max(now);
        if let Some(slot) = self.slot(self.newest) {
            *slot = slot.saturating_add(count);
        }
    }

    /// How many were lost in the 24 hours before `now`, and in the rest of the hour in which they
    /// began.
    pub(crate) fn sum(&self, now: UnixMicros) -> u64 {
        let oldest = hour(now).saturating_sub(COUNT_U64 - 1);
        (0..COUNT_U64)
            .filter_map(|back| self.newest.checked_sub(back))
            .filter(|hour| oldest <= *hour)
            .filter_map(|hour| self.counts.get(index(hour)))
            .fold(0, |sum, count| sum.saturating_add(*count))
    }

    fn slot(&mut self, hour: u64) -> Option<&mut u64> {
        self.counts.get_mut(index(hour))
    }
}

const fn hour(time: UnixMicros) -> u64 {
    time.value() / 3_600_000_000
}

fn index(hour: u64) -> usize {
    usize::try_from(hour % COUNT_U64).unwrap_or(0)
}

const COUNT: usize = 25;
const COUNT_U64: u64 = COUNT as u64;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(hour: u64) -> UnixMicros {
        UnixMicros::new(hour * 3_600_000_000 + 1)
    }

    #[test]
    fn a_day_is_counted_and_no_more() {
        let mut hours = Hours::new(at(1_000));
        hours.add(3, at(1_000));
        hours.add(4, at(1_010));
        assert_eq!(hours.sum(at(1_010)), 7);
        assert_eq!(hours.sum(at(1_024)), 7);
        assert_eq!(hours.sum(at(1_025)), 4);
        assert_eq!(hours.sum(at(1_034)), 4);
        assert_eq!(hours.sum(at(1_035)), 0);
        hours.add(1, at(5_000));
        assert_eq!(hours.sum(at(5_000)), 1);
        // The clock was set back.
        hours.add(1, at(4_000));
        assert_eq!(hours.sum(at(5_000)), 2);
    }

    proptest! {
        #[test]
        fn as_a_list_counts(steps in proptest::collection::vec((0_u64..30, 0_u64..5), 1..60)) {
            let mut hours = Hours::new(at(1_000));
            let mut list = Vec::new();
            let mut now = 1_000;
            for (step, count) in steps {
                now += step;
                hours.add(count, at(now));
                list.push((now, count));
                let expected: u64 = list
                    .iter()
                    .filter(|(hour, _)| now - 24 <= *hour)
                    .map(|(_, count)| count)
                    .sum();
                prop_assert_eq!(hours.sum(at(now)), expected);
            }
        }
    }
}
