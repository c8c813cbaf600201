//! The one place that reads the time.
//!
//! Waiting is measured with `Instant` (monotonic, and stopped by Tokio's paused time in tests);
//! what people and messages see is `UnixMicros`.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use tokio::time::Instant;

/// Wall-clock time: microseconds since 1970-01-01T00:00:00Z.
#[derive(
    Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize,
)]
pub struct UnixMicros(u64);

impl UnixMicros {
    /// The bare number as a time.
    #[must_use]
    pub const fn new(micros: u64) -> Self {
        Self(micros)
    }

    /// The bare number.
    #[must_use]
    pub const fn value(self) -> u64 {
        self.0
    }

    /// The time `ago` earlier, not before 1970.
    #[must_use]
    pub fn minus(self, ago: std::time::Duration) -> Self {
        Self(
            self.0
                .saturating_sub(u64::try_from(ago.as_micros()).unwrap_or(u64::MAX)),
        )
    }

    /// The time `later`, or the last one there is.
    #[must_use]
    pub fn plus(self, later: std::time::Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(later.as_micros()).unwrap_or(u64::MAX)),
        )
    }

    /// `YYYY-MM-DDTHH:MM:SS+00:00`, as Logplex writes times in its notices.
    #[must_use]
    pub fn to_seconds_text(self) -> String {
        self.date_time()
            .format(format_description!(
                "[year]-[month]-[day]T[hour]:[minute]:[second]+00:00"
            ))
            .unwrap_or_default()
    }

    /// `YYYY-MM-DDTHH:MM:SS.ffffff+00:00`, the TIMESTAMP of a message made here (RFC 5424, 6.2.3).
    #[must_use]
    pub fn to_micros_text(self) -> String {
        self.date_time()
            .format(format_description!(
                "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]+00:00"
            ))
            .unwrap_or_default()
    }

    /// The moment that `text` names (RFC 3339), not before 1970.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let parsed = OffsetDateTime::parse(text, &Rfc3339).ok()?;
        let micros = parsed.unix_timestamp_nanos() / 1_000;
        Some(Self(u64::try_from(micros).ok()?))
    }

    /// The same moment as a calendar date and time in UTC; the last representable one when the
    /// number is absurdly great.
    #[must_use]
    pub fn date_time(self) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000)
            .unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }
}

/// Monotonic now.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the clock")]
pub fn now() -> Instant {
    Instant::now()
}

/// Wall-clock now.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the clock")]
pub fn wall() -> UnixMicros {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    UnixMicros(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_logplex_and_the_rfc_write_them() {
        let time = UnixMicros::new(1_353_105_648_123_456);
        assert_eq!(time.to_seconds_text(), "2012-11-16T22:40:48+00:00");
        assert_eq!(time.to_micros_text(), "2012-11-16T22:40:48.123456+00:00");
    }
}
