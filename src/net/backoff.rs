//! How long to wait before the next try. Pure: the caller brings chance and time.

use std::time::{Duration, SystemTime};

use crate::clock::UnixMicros;
use crate::limits::RETRY_AFTER_MAX;

/// The wait after `failures` in a row (at least 1): a random time between half and all of
/// `delay_min * 2^failures`, of at most `delay_max`. So the first one is at least `delay_min`, and
/// drains that failed together do not come back together. `random` is any number, evenly spread.
#[must_use]
pub fn delay(failures: u64, delay_min: Duration, delay_max: Duration, random: u64) -> Duration {
    let doublings = u32::try_from(failures)
        .unwrap_or(u32::MAX)
        .min(DOUBLINGS_MAX);
    let whole = delay_min.saturating_mul(1 << doublings).min(delay_max);
    let half = whole / 2;
    // The upper half of the number is chance enough, and a fraction of it is exact in `u32`s.
    let steps = u32::try_from(random >> 32).unwrap_or(u32::MAX);
    half + half.mul_f64(f64::from(steps) / f64::from(u32::MAX))
}

/// What a `Retry-After` asks for (RFC 9110, 10.2.3): seconds or a date, at most `RETRY_AFTER_MAX`;
/// `None` when it is neither.
#[must_use]
pub fn retry_after(value: &str, now: UnixMicros) -> Option<Duration> {
    let value = value.trim();
    let asked = if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // Too many digits for a number are still a long time.
        Duration::from_secs(value.parse().unwrap_or(u64::MAX))
    } else {
        let date = httpdate::parse_http_date(value).ok()?;
        let since_epoch = date.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        since_epoch.saturating_sub(Duration::from_micros(now.value()))
    };
    Some(asked.min(RETRY_AFTER_MAX))
}

/// Far beyond any `delay_max`, far below what a shift can do.
const DOUBLINGS_MAX: u32 = 24;

#[cfg(test)]
mod tests {
    use super::*;

    const MIN: Duration = Duration::from_millis(100);
    const MAX: Duration = Duration::from_secs(60);

    #[test]
    fn waits_double_up_to_the_bound_and_vary_by_half() {
        let check = |failures: u64, least_ms: u64, most_ms: u64| {
            let least = delay(failures, MIN, MAX, 0);
            let most = delay(failures, MIN, MAX, u64::MAX);
            assert_eq!(least, Duration::from_millis(least_ms), "{failures}");
            assert_eq!(most, Duration::from_millis(most_ms), "{failures}");
            let between = delay(failures, MIN, MAX, u64::MAX / 3);
            assert!(least < between && between < most, "{failures}: {between:?}");
        };
        check(1, 100, 200);
        check(2, 200, 400);
        check(3, 400, 800);
        check(9, 25_600, 51_200);
        check(10, 30_000, 60_000);
        check(1_000, 30_000, 60_000);
        check(u64::MAX, 30_000, 60_000);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        // 1994-11-06T08:49:37Z
        let now = UnixMicros::new(784_111_777_000_000);
        let check = |value: &str, expected: Option<u64>| {
            assert_eq!(
                retry_after(value, now),
                expected.map(Duration::from_secs),
                "{value:?}"
            );
        };
        check("0", Some(0));
        check("1", Some(1));
        check(" 120 ", Some(120));
        check("3600", Some(3_600));
        check("3601", Some(3_600));
        check("99999999999999999999999", Some(3_600));
        check("Sun, 06 Nov 1994 08:50:37 GMT", Some(60));
        check("Sun, 06 Nov 1994 08:49:36 GMT", Some(0));
        check("Mon, 06 Nov 1995 08:49:36 GMT", Some(3_600));
        check("", None);
        check("-1", None);
        check("1.5", None);
        check("soon", None);
    }
}
