//! What anyone may see of a drain: written by its task, once per step, read by the API.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use crate::channel::{Channel, Cursor};
use crate::clock;
use crate::clock::UnixMicros;
use crate::egress::drain::DrainStatus;
use crate::egress::drain::ledger::Totals;
use crate::limits::{FAILING_AFTER, FAILING_ATTEMPTS_MIN};
use crate::net::outcome::Failure;
use crate::telemetry::DRAIN_STATES;

/// What a drain is doing.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Phase {
    /// Waiting for messages.
    #[default]
    Idle,
    /// Making a connection.
    Connecting,
    /// Sending, or waiting for the answer.
    Sending,
}

/// A drain's state, in the order of `DRAIN_STATES`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum State {
    Idle,
    Connecting,
    Sending,
    Retrying,
    Failing,
}

impl State {
    /// The state's place in `DRAIN_STATES` and in the telemetry's gauges.
    pub(crate) const fn index(self) -> usize {
        self as usize
    }

    /// The state as the API names it.
    pub(crate) fn name(self) -> &'static str {
        DRAIN_STATES.get(self.index()).copied().unwrap_or("")
    }
}

/// What has gone wrong since the last success.
#[derive(Clone, Copy, Debug, Default)]
struct Trouble {
    attempts: u64,
    since: Option<Instant>,
    is_refused: bool,
    is_lasting: bool,
}

impl Trouble {
    fn is_any(&self) -> bool {
        0 < self.attempts || self.is_refused
    }

    fn is_failing(&self, now: Instant) -> bool {
        self.is_refused
            || self.is_lasting
            || FAILING_ATTEMPTS_MIN <= self.attempts
            || self
                .since
                .is_some_and(|since| FAILING_AFTER < now.saturating_duration_since(since))
    }
}

/// How a drain is.
#[derive(Debug)]
struct Health {
    phase: Phase,
    trouble: Trouble,
    totals: Totals,
    confirmed: Cursor,
    last_status: Option<u16>,
    last_error: Option<String>,
    last_at: Option<UnixMicros>,
    next_try: Option<UnixMicros>,
}

impl Health {
    fn state(&self, now: Instant) -> State {
        if self.trouble.is_failing(now) {
            State::Failing
        } else if 0 < self.trouble.attempts {
            State::Retrying
        } else {
            match self.phase {
                Phase::Idle => State::Idle,
                Phase::Connecting => State::Connecting,
                Phase::Sending => State::Sending,
            }
        }
    }
}

/// Where a drain's task shows how it is.
#[derive(Debug)]
pub(crate) struct Board {
    health: Mutex<Health>,
}

impl Board {
    /// A drain that has done nothing yet.
    pub(crate) fn new(confirmed: Cursor) -> Self {
        Self {
            health: Mutex::new(Health {
                phase: Phase::default(),
                trouble: Trouble::default(),
                totals: Totals::default(),
                confirmed,
                last_status: None,
                last_error: None,
                last_at: None,
                next_try: None,
            }),
        }
    }

    /// The drain does this now.
    pub(crate) fn show(&self, phase: Phase) {
        self.lock().phase = phase;
    }

    /// Messages were settled up to `confirmed`.
    pub(crate) fn settle(&self, totals: Totals, confirmed: Cursor) {
        let mut health = self.lock();
        health.totals = totals;
        health.confirmed = confirmed;
    }

    /// A batch was confirmed; says whether that ended a trouble.
    pub(crate) fn succeed(&self, status: Option<u16>, at: UnixMicros) -> bool {
        let mut health = self.lock();
        let has_recovered = health.trouble.is_any();
        health.trouble = Trouble::default();
        health.last_status = status;
        health.last_error = None;
        health.last_at = Some(at);
        health.next_try = None;
        has_recovered
    }

    /// A batch was refused, or some of it, for the reason `why`; says whether a trouble began with
    /// it.
    pub(crate) fn refuse(&self, status: u16, why: String, at: UnixMicros) -> bool {
        let mut health = self.lock();
        let is_first = !health.trouble.is_any();
        health.trouble = Trouble {
            is_refused: true,
            ..Trouble::default()
        };
        health.last_status = Some(status);
        health.last_error = Some(why);
        health.last_at = Some(at);
        health.next_try = None;
        is_first
    }

    /// A try failed; says how many in a row that makes.
    pub(crate) fn fail(&self, failure: &Failure, at: UnixMicros) -> u64 {
        let mut health = self.lock();
        health.trouble.attempts = health.trouble.attempts.saturating_add(1);
        health.trouble.is_refused = false;
        health.trouble.is_lasting = failure.is_lasting();
        health.trouble.since.get_or_insert_with(clock::now);
        health.last_status = failure.status();
        health.last_error = Some(failure.to_string());
        health.last_at = Some(at);
        health.trouble.attempts
    }

    /// When the next try will be made; `None` when it is being made.
    pub(crate) fn set_next_try(&self, next_try: Option<UnixMicros>) {
        self.lock().next_try = next_try;
    }

    /// The entry has changed: what went wrong before says nothing any more.
    pub(crate) fn forget_trouble(&self) {
        let mut health = self.lock();
        health.trouble = Trouble::default();
        health.next_try = None;
    }

    /// The state, and how far behind the drain is, in messages and bytes.
    pub(crate) fn measure(&self, channel: &Channel) -> (State, (u64, u64)) {
        let (state, confirmed) = {
            let health = self.lock();
            (health.state(clock::now()), health.confirmed)
        };
        (state, channel.lag(&confirmed))
    }

    /// Everything.
    pub(crate) fn status(&self, channel: &Channel) -> DrainStatus {
        // Under one lock: lag and totals belong to the same place.
        let health = self.lock();
        let (lag_messages, lag_bytes) = channel.lag(&health.confirmed);
        let totals = health.totals;
        DrainStatus {
            state: health.state(clock::now()).name(),
            lag_messages,
            lag_bytes,
            delivered: totals.delivered,
            filtered: totals.filtered,
            lost: BTreeMap::from([("lapped", totals.lapped), ("refused", totals.refused)]),
            reported: totals.reported,
            last_status: health.last_status,
            last_error: health.last_error.clone(),
            last_at: health.last_at,
            attempts: health.trouble.attempts,
            next_try: health.next_try,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn trouble_becomes_failure_by_count_by_time_and_by_kind() {
        let now = clock::now();
        let check = |attempts: u64, seconds: u64, is_refused: bool, is_lasting: bool| {
            Trouble {
                attempts,
                since: Some(now),
                is_refused,
                is_lasting,
            }
            .is_failing(now + Duration::from_secs(seconds))
        };
        assert!(!check(1, 0, false, false));
        assert!(!check(4, 60, false, false));
        assert!(check(5, 0, false, false));
        assert!(check(1, 61, false, false));
        assert!(check(0, 0, true, false));
        assert!(check(1, 0, false, true));
        assert!(!Trouble::default().is_any());
    }

    #[test]
    fn states_have_their_names() {
        assert_eq!(State::Idle.name(), "idle");
        assert_eq!(State::Connecting.name(), "connecting");
        assert_eq!(State::Sending.name(), "sending");
        assert_eq!(State::Retrying.name(), "retrying");
        assert_eq!(State::Failing.name(), "failing");
    }
}
