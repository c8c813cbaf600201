//! When a drain tells its channel's readers what it lost. Pure: the caller brings the time.
//!
//! At most one notice of each kind in an interval: what is lost meanwhile is added up.

use std::time::Duration;

use tokio::time::Instant;

use crate::egress::drain::ledger::Loss;

/// Why messages were lost, as the notice gives it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Cause {
    /// The channel let them go.
    Lapped,
    /// The destination refused them with this status.
    Refused(u16),
}

/// What waits to be told, and when something was told last.
#[derive(Debug, Default)]
pub(crate) struct Notices {
    loss: Loss,
    has_lapped: bool,
    refused: Option<u16>,
    loss_told: Option<Instant>,
    certificate_told: Option<Instant>,
}

impl Notices {
    /// Adds a loss that readers have to be told of.
    pub(crate) fn add(&mut self, loss: Loss, cause: Cause) {
        if loss.count() == 0 {
            return;
        }
        self.loss = self.loss.and(loss);
        match cause {
            Cause::Lapped => self.has_lapped = true,
            Cause::Refused(status) => self.refused = Some(status),
        }
    }

    /// When the waiting loss may be told; `None` when none waits.
    pub(crate) fn due(&self, now: Instant, interval: Duration) -> Option<Instant> {
        (0 < self.loss.count()).then(|| self.loss_told.map_or(now, |told| told + interval))
    }

    /// The loss to tell at `now` and its reason, if its time has come.
    pub(crate) fn take(&mut self, now: Instant, interval: Duration) -> Option<(Loss, String)> {
        if self.due(now, interval).is_none_or(|due| now < due) {
            return None;
        }
        self.loss_told = Some(now);
        let lapped = std::mem::take(&mut self.has_lapped).then(|| "lapped".to_owned());
        let refused = self.refused.take().map(|status| format!("status_{status}"));
        let reasons: Vec<_> = lapped.into_iter().chain(refused).collect();
        Some((std::mem::take(&mut self.loss), reasons.join(",")))
    }

    /// Whether a certificate's failure is to be told at `now`; if so, it counts as told.
    pub(crate) fn take_certificate(&mut self, now: Instant, interval: Duration) -> bool {
        let is_due = self
            .certificate_told
            .is_none_or(|told| told + interval <= now);
        if is_due {
            self.certificate_told = Some(now);
        }
        is_due
    }
}

/// When a drain's troubles are written to the router's own log. Pure, too.
///
/// A destination that takes and refuses in turn would fill it otherwise: one trouble in an
/// interval is told, and its end; one that lasts is told as soon as its time has come.
#[derive(Debug, Default)]
pub(crate) struct Log {
    told: Option<Instant>,
    is_pending: bool,
    left_out: u64,
}

impl Log {
    /// Whether a trouble is to be told at `now`, and how many before it were not; `is_new` when it
    /// has just begun.
    pub(crate) fn trouble(
        &mut self,
        is_new: bool,
        now: Instant,
        interval: Duration,
    ) -> Option<u64> {
        if is_new {
            self.left_out += u64::from(self.is_pending);
            self.is_pending = true;
        }
        let is_due = self.told.is_none_or(|told| told + interval <= now);
        if !self.is_pending || !is_due {
            return None;
        }
        self.is_pending = false;
        self.told = Some(now);
        Some(std::mem::take(&mut self.left_out))
    }

    /// The trouble is over; whether that is to be told: only if it was told itself.
    pub(crate) fn is_recovery_told(&mut self) -> bool {
        let was_pending = std::mem::take(&mut self.is_pending);
        self.left_out += u64::from(was_pending);
        !was_pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use crate::clock::UnixMicros;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn losses_are_told_at_once_and_then_once_a_minute() {
        let start = clock::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let loss = |count: u64, since: u64| Loss::new(count, UnixMicros::new(since));
        let mut notices = Notices::default();
        assert_eq!(notices.take(at(0), MINUTE), None);
        notices.add(loss(0, 1), Cause::Lapped);
        assert_eq!(notices.due(at(0), MINUTE), None);

        notices.add(loss(3, 10), Cause::Refused(404));
        let told = notices.take(at(0), MINUTE);
        assert_eq!(told, Some((loss(3, 10), "status_404".to_owned())));

        notices.add(loss(2, 20), Cause::Lapped);
        notices.add(loss(5, 30), Cause::Refused(410));
        assert_eq!(notices.take(at(59), MINUTE), None);
        assert_eq!(notices.due(at(59), MINUTE), Some(at(60)));
        let told = notices.take(at(60), MINUTE);
        assert_eq!(told, Some((loss(7, 20), "lapped,status_410".to_owned())));
        assert_eq!(notices.due(at(200), MINUTE), None);
    }

    #[test]
    fn certificates_are_told_once_a_minute() {
        let start = clock::now();
        let mut notices = Notices::default();
        assert!(notices.take_certificate(start, MINUTE));
        assert!(!notices.take_certificate(start + MINUTE / 2, MINUTE));
        assert!(notices.take_certificate(start + MINUTE, MINUTE));
    }

    #[test]
    fn one_trouble_and_its_end_are_logged_in_an_interval() {
        let start = clock::now();
        let mut log = Log::default();
        assert_eq!(log.trouble(true, start, MINUTE), Some(0));
        assert_eq!(log.trouble(false, start + MINUTE, MINUTE), None, "once");
        assert!(log.is_recovery_told());
        let start = start + MINUTE * 2;
        assert_eq!(log.trouble(true, start, MINUTE), Some(0));
        assert!(log.is_recovery_told());
        for _ in 0..3 {
            assert_eq!(log.trouble(true, start + MINUTE / 2, MINUTE), None);
            assert!(!log.is_recovery_told());
        }
        assert_eq!(log.trouble(true, start + MINUTE / 2, MINUTE), None);
        let told = log.trouble(false, start + MINUTE, MINUTE);
        assert_eq!(told, Some(3), "one that lasts is told late");
        assert!(log.is_recovery_told());
    }
}
