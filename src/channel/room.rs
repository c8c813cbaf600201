//! Back-pressure as a channel's writers meet it: whether to pause, until when, and for what room.

use std::pin::pin;
use std::sync::Arc;

use tokio::time::Instant;

use crate::channel::pressure::{Ahead, Reserved};
use crate::channel::wake::Bell;
use crate::channel::{Channel, HAD_DRAINS, WAITS};

/// Why there is no room for messages in a channel that waits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NoRoom {
    /// A drain is too far behind.
    Now,
    /// They are more than the channel holds.
    Ever,
}

/// Room for records that are about to be appended to a channel that waits; given back when it is
/// dropped, which is to be after the append.
#[must_use]
pub struct Reservation {
    channel: Arc<Channel>,
    bytes: u64,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.channel.pressure.release(self.bytes);
        // Who looked before saw them as taken.
        self.channel.wake_writers();
    }
}

impl Channel {
    /// True when `when_full` is `Wait` and a drain is more than half the budget behind that has
    /// moved within `wait_max`. HTTP answers 429 then. Once a drain stood still for that long,
    /// nobody waits for it until it moves again.
    #[must_use]
    pub fn is_pressed(&self) -> bool {
        self.pressed_until().is_some()
    }

    /// Ends when `is_pressed` is false. Cancel safe.
    pub async fn room(&self) {
        self.until_free(|| self.pressed_until()).await;
    }

    /// Room for `bytes` bytes of records that are about to be appended, so that they overwrite
    /// nothing that a drain is awaited for; `None` where nobody has to wait.
    ///
    /// # Errors
    ///
    /// There is no room now, or there never is.
    pub fn reserve(self: &Arc<Self>, bytes: usize) -> Result<Option<Reservation>, NoRoom> {
        if !self.has(WAITS) || !self.pressure.has_drains() {
            return Ok(None);
        }
        let bytes_max = self.pool().channel_bytes_max();
        if bytes_max < bytes {
            return Err(NoRoom::Ever);
        }
        let bytes = bytes as u64;
        let fits = |ahead| self.pause(ahead, bytes_max).is_none();
        match self.pressure.reserve(bytes, fits) {
            Reserved::Yes => {}
            Reserved::No => return Err(NoRoom::Now),
            Reserved::TakenBack => {
                self.wake_writers();
                return Err(NoRoom::Now);
            }
        }
        let channel = Arc::clone(self);
        Ok(Some(Reservation { channel, bytes }))
    }

    /// Ends when `bytes` bytes could be reserved, or never can. Cancel safe.
    pub async fn room_for(&self, bytes: usize) {
        self.until_free(|| {
            // Read at each look: a changed budget wakes who waits.
            let bytes_max = self.pool().channel_bytes_max();
            let bytes = bytes.min(bytes_max) as u64;
            self.pause(self.pressure.reserved() + bytes, bytes_max)
        })
        .await;
    }

    fn pressed_until(&self) -> Option<Instant> {
        self.pause(0, self.pool().channel_bytes_max() / 2)
    }

    /// Ends when `pause` gives none any more, at the moment it gives at the latest.
    async fn until_free(&self, pause: impl Fn() -> Option<Instant>) {
        loop {
            let mut moved = pin!(self.bells.listen(Bell::Room));
            let Some(until) = pause() else {
                return;
            };
            tokio::select! {
                () = &mut moved => {}
                () = tokio::time::sleep_until(until) => {}
            }
        }
    }

    /// Bytes that a drain that could run is behind, at most: the writer should yield in time.
    #[must_use]
    pub fn runnable_backlog(&self) -> u64 {
        if !self.has(HAD_DRAINS) {
            return 0;
        }
        self.pressure.runnable_backlog(|| self.log.end())
    }

    /// Until when a writer pauses, if it does, so that no drain is more than `bytes_max` behind
    /// once `ahead` bytes more were appended.
    fn pause(&self, ahead: u64, bytes_max: usize) -> Option<Instant> {
        if !self.has(WAITS) || self.is_closed() {
            return None;
        }
        let end = self.log.end().bytes;
        self.pressure.pause(
            Ahead { end, ahead },
            bytes_max as u64,
            self.pool().wait_max(),
        )
    }

    /// The byte from which on the log keeps its records longer than its budget, for drains that
    /// writers wait for.
    pub(in crate::channel) fn awaited_from(&self) -> u64 {
        if !self.has(WAITS) {
            return u64::MAX;
        }
        self.pressure.awaited_from(self.pool().wait_max())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use super::*;
    use crate::channel::tests::tokio_test_free::poll_once;
    use crate::channel::tests::{append, channel};
    use crate::channel::{Budget, ChannelFlags, Node, Progress, WhenFull};
    use crate::id::Seq;
    use crate::telemetry::Telemetry;

    /// A channel that waits, with a drain that stands at its beginning.
    fn pressed() -> (Arc<Channel>, Arc<Progress>) {
        let channel = Arc::new(channel(4096));
        channel.set_when_full(WhenFull::Wait);
        let progress = Arc::new(Progress::default());
        channel.add_progress(Arc::clone(&progress));
        assert_eq!(channel.runnable_backlog(), 0, "has not confirmed yet");
        progress.confirm(&channel, &channel.cursor_at_end());
        append(&channel, "x", 64);
        assert!(!channel.is_pressed(), "half is not more than half");
        append(&channel, "x", 1);
        (channel, progress)
    }

    #[tokio::test(start_paused = true)]
    async fn writers_pause_until_the_slowest_drain_is_near() {
        let (channel, progress) = pressed();
        assert!(channel.is_pressed());
        assert_eq!(channel.runnable_backlog(), 65 * 32);
        let mut room = pin!(channel.room());
        assert!(!poll_once(room.as_mut()).await);
        progress.confirm(&channel, &channel.cursor_at(Seq::new(1)));
        assert!(poll_once(room.as_mut()).await);
        progress.set_stalled(true);
        assert_eq!(channel.runnable_backlog(), 0);
        append(&channel, "x", 10);
        assert!(channel.is_pressed());
        channel.set_when_full(WhenFull::Lose);
        assert!(!channel.is_pressed());
        channel.set_when_full(WhenFull::Wait);
        channel.remove_progress(&progress);
        assert!(!channel.is_pressed());
    }

    #[tokio::test(start_paused = true)]
    async fn writers_give_up_on_a_drain_that_stands_still() {
        let (channel, progress) = pressed();
        let began = crate::clock::now();
        channel.room().await;
        assert_eq!(began.elapsed().as_secs(), 30);
        progress.confirm(&channel, &channel.cursor_at(Seq::new(0)));
        append(&channel, "x", 10);
        assert!(!channel.is_pressed(), "not again before it moves");
        progress.confirm(&channel, &channel.cursor_at_end());
        assert!(!channel.is_pressed());
        append(&channel, "x", 65);
        assert!(channel.is_pressed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_dead_drain_releases_nobody_from_waiting_for_a_slow_one() {
        let (channel, dead) = pressed();
        dead.set_stalled(true);
        let slow = Arc::new(Progress::default());
        slow.confirm(&channel, &channel.cursor_at(Seq::new(0)));
        channel.add_progress(Arc::clone(&slow));
        let advance = async |seconds| {
            tokio::time::advance(Duration::from_secs(seconds)).await;
        };
        assert!(channel.is_pressed());
        advance(20).await;
        append(&channel, "x", 10);
        slow.confirm(&channel, &channel.cursor_at(Seq::new(5)));
        assert!(channel.is_pressed());
        advance(20).await;
        assert!(channel.is_pressed(), "the slow one has moved");
        slow.confirm(&channel, &channel.cursor_at_end());
        assert!(!channel.is_pressed(), "the dead one is given up");
        dead.confirm(&channel, &channel.cursor_at(Seq::new(2)));
        assert!(!channel.is_pressed(), "what it was robbed of is no move");
        dead.set_stalled(false);
        dead.confirm(&channel, &channel.cursor_at(Seq::new(3)));
        assert!(channel.is_pressed(), "it is alive again");
    }

    /// A channel that waits, with a drain that has everything.
    fn idle() -> (Arc<Channel>, Arc<Progress>) {
        let channel = Arc::new(channel(4096));
        channel.set_when_full(WhenFull::Wait);
        let progress = Arc::new(Progress::default());
        channel.add_progress(Arc::clone(&progress));
        progress.confirm(&channel, &channel.cursor_at_end());
        (channel, progress)
    }

    /// What is reserved fits, whatever the sizes of records, and nothing of it is overwritten.
    #[tokio::test(start_paused = true)]
    async fn what_is_reserved_is_kept_for_the_slowest_drain() {
        let channel = Arc::new(channel(4096));
        channel.set_when_full(WhenFull::Wait);
        assert!(matches!(channel.reserve(9_999), Ok(None)), "no drain yet");
        let progress = Arc::new(Progress::default());
        channel.add_progress(Arc::clone(&progress));
        progress.confirm(&channel, &channel.cursor_at_end());
        assert_eq!(channel.reserve(4097).err(), Some(NoRoom::Ever));
        // Two of these do not fit one segment of 1,024 bytes: a third of it stays unused.
        let text = "x".repeat(640);
        let bytes = 24 + 640;
        for count in 1..=6 {
            let _room = channel.reserve(bytes).unwrap().unwrap();
            append(&channel, &text, 1);
            assert_eq!(channel.lag(&channel.cursor_at(Seq::new(0))).0, count);
        }
        let mut cursor = channel.cursor_at(Seq::new(0));
        assert_eq!(channel.reserve(bytes).err(), Some(NoRoom::Now));
        assert_eq!(channel.first_seq(), Seq::new(0), "nothing was overwritten");
        let mut room = pin!(channel.room_for(bytes));
        assert!(!poll_once(room.as_mut()).await);
        let outcome = channel.read(&mut cursor, |record| {
            if record.seq == Seq::new(1) {
                std::ops::ControlFlow::Break(())
            } else {
                std::ops::ControlFlow::Continue(())
            }
        });
        assert_eq!((outcome.lost, outcome.read), (0, 1));
        progress.confirm(&channel, &cursor);
        assert!(poll_once(room.as_mut()).await);
        let held = channel.reserve(bytes).unwrap();
        assert!(held.is_some());
        assert_eq!(
            channel.reserve(bytes).err(),
            Some(NoRoom::Now),
            "it is taken"
        );
        let mut room = pin!(channel.room_for(bytes));
        assert!(!poll_once(room.as_mut()).await);
        drop(held);
        assert!(poll_once(room.as_mut()).await);
        assert!(channel.reserve(bytes).is_ok());
    }

    /// Another one's reservation that came to nothing is no sign that the drain stands still.
    #[tokio::test(start_paused = true)]
    async fn a_drain_with_nothing_to_do_is_not_given_up() {
        let (channel, _progress) = idle();
        let first = channel.reserve(3_000).unwrap();
        assert_eq!(channel.reserve(3_000).err(), Some(NoRoom::Now));
        drop(first);
        tokio::time::advance(Duration::from_secs(31)).await;
        append(&channel, "x", 100);
        assert!(channel.is_pressed());
    }

    #[test]
    fn what_is_awaited_takes_twice_the_budget_at_most() {
        let (channel, _progress) = idle();
        append(&channel, "x", 5_000);
        assert!(channel.log().bytes() <= 2 * 4096);
    }

    /// Who asks for too much takes nothing from who asks for what there is.
    #[test]
    fn a_refused_reservation_is_seen_by_nobody() {
        let (channel, _progress) = idle();
        append(&channel, "x", 60);
        let is_over = AtomicBool::new(false);
        let refused = std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    assert_eq!(channel.reserve(4_000).err(), Some(NoRoom::Now));
                }
            });
            let refused = (0..50_000)
                .filter(|_| channel.reserve(2_000).is_err())
                .count();
            is_over.store(true, Ordering::Relaxed);
            refused
        });
        assert_eq!(refused, 0);
    }

    /// Nobody waits for ever, and what is kept for nobody goes.
    #[tokio::test(start_paused = true)]
    async fn a_drain_that_stands_still_is_kept_nothing_for() {
        let (channel, progress) = pressed();
        append(&channel, "x", 63);
        assert_eq!(channel.reserve(64).err(), Some(NoRoom::Now));
        let began = crate::clock::now();
        channel.room_for(64).await;
        assert_eq!(began.elapsed().as_secs(), 30);
        assert!(channel.reserve(64).is_ok());
        append(&channel, "x", 1_000);
        assert!(
            Seq::new(900) < channel.first_seq(),
            "the budget holds again"
        );
        drop(progress);
    }

    /// Who raises the budget wants paused senders to go on.
    #[tokio::test(start_paused = true)]
    async fn a_raised_budget_is_room() {
        let budget = |channel_bytes_max| Budget {
            channel_bytes_max,
            node_bytes_max: 1 << 30,
            history_age_max: Duration::from_secs(60),
            wait_max: Duration::from_secs(30),
        };
        let node = Node::new(budget(512 * 1024), Telemetry::new().unwrap());
        let channel = node.open(&1.into(), ChannelFlags::default(), WhenFull::Wait);
        let progress = Arc::new(Progress::default());
        channel.add_progress(Arc::clone(&progress));
        progress.confirm(&channel, &channel.cursor_at_end());
        append(&channel, &"x".repeat(100_000), 5);
        assert_eq!(channel.reserve(100_000).err(), Some(NoRoom::Now));
        let began = crate::clock::now();
        let raise = async {
            tokio::task::yield_now().await;
            node.set_budget(budget(4 << 20));
        };
        tokio::join!(channel.room_for(100_000), raise);
        assert_eq!(began.elapsed(), Duration::ZERO);
        assert!(channel.reserve(100_000).is_ok());
    }
}
