//! The memory that bodies on their way in share.

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::ingest::answer::Fault;
use crate::ingest::http::LogsSettings;
use crate::ingest::share::{Share, Shares};
use crate::limits::{LOGS_BODIES_STEP_BYTES, LOGS_SHARES};

/// One body's share of the memory for bodies; given back when it is dropped.
pub(crate) struct Room<'a> {
    steps: &'a Semaphore,
    share: Share<'a>,
    permit: Option<SemaphorePermit<'a>>,
}

impl<'a> Room<'a> {
    pub(crate) const fn new(steps: &'a Semaphore, share: Share<'a>) -> Self {
        Self {
            steps,
            share,
            permit: None,
        }
    }

    /// Makes the room reach `bytes`, unless the sender or the node has not so much left.
    pub(crate) fn reach(&mut self, bytes: usize) -> Result<(), Fault> {
        let wanted = bytes.div_ceil(LOGS_BODIES_STEP_BYTES);
        if !self.share.reaches(wanted) {
            return Err(Fault::Share);
        }
        let held = self.permit.as_ref().map_or(0, SemaphorePermit::num_permits);
        let missing = u32::try_from(wanted.saturating_sub(held));
        let missing = missing.map_err(|_| Fault::Unavailable)?;
        let more = self.steps.try_acquire_many(missing);
        let more = more.map_err(|_| Fault::Unavailable)?;
        match &mut self.permit {
            Some(permit) => permit.merge(more),
            None => self.permit = Some(more),
        }
        Ok(())
    }
}

/// Steps of memory for all bodies.
pub(crate) fn bodies_steps(settings: &LogsSettings) -> usize {
    let steps = settings.bodies_bytes_max.div_ceil(LOGS_BODIES_STEP_BYTES);
    steps
        .max(steps_of_one(settings))
        .min(Semaphore::MAX_PERMITS)
}

/// A vector's capacity grows by doubling, so the greatest body may hold twice its size.
const fn steps_of_one(settings: &LogsSettings) -> usize {
    let one_body = settings.body_bytes_max.saturating_mul(2);
    one_body.div_ceil(LOGS_BODIES_STEP_BYTES) + 1
}

/// The part of all bodies that one sender may have, but at least one body.
pub(crate) fn shares(settings: &LogsSettings) -> Shares {
    let bodies_max = settings.bodies_max / LOGS_SHARES;
    let steps_max = bodies_steps(settings) / LOGS_SHARES;
    Shares::new(bodies_max.max(1), steps_max.max(steps_of_one(settings)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_share_their_memory_and_give_it_back() {
        let settings = LogsSettings {
            body_bytes_max: 4 * LOGS_BODIES_STEP_BYTES,
            bodies_bytes_max: 10 * LOGS_BODIES_STEP_BYTES,
            ..LogsSettings::default()
        };
        let steps = Semaphore::new(bodies_steps(&settings));
        let shares = shares(&settings);
        let room = |sender| Room::new(&steps, shares.enter(sender).unwrap());
        let (mut great, mut small) = (room(b"t.a"), room(b"t.b"));
        assert!(small.reach(1).is_ok() && small.reach(2).is_ok());
        assert_eq!(great.reach(8 * LOGS_BODIES_STEP_BYTES), Ok(()));
        assert_eq!(steps.available_permits(), 1);
        let more = 2 * LOGS_BODIES_STEP_BYTES + 1;
        assert_eq!(small.reach(more), Err(Fault::Unavailable));
        assert_eq!(room(b"t.a").reach(more), Err(Fault::Share));
        drop(great);
        assert_eq!(small.reach(8 * LOGS_BODIES_STEP_BYTES), Ok(()));
        let wide = LogsSettings {
            bodies_bytes_max: 800 * LOGS_BODIES_STEP_BYTES,
            ..settings.clone()
        };
        let (steps, shares) = (Semaphore::new(bodies_steps(&wide)), super::shares(&wide));
        let mut one = Room::new(&steps, shares.enter(b"t.a").unwrap());
        assert_eq!(one.reach(100 * LOGS_BODIES_STEP_BYTES), Ok(()));
        let more = 100 * LOGS_BODIES_STEP_BYTES + 1;
        assert_eq!(one.reach(more), Err(Fault::Share), "an eighth");
        let none = LogsSettings {
            bodies_bytes_max: 0,
            ..settings
        };
        assert!(8 <= bodies_steps(&none), "one body always has room");
    }
}
