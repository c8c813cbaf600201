//! One channel per app: an append-only log in memory, and the cursors that read it.
//!
//! ```text
//! Node ── Channel ── Log ── Table ── Segment, Segment, Segment ◄── append (one claim per run)
//!            │                          ▲
//!            ├─ Waiters, Pressure       └── Cursor: tail, drain, history (plain data)
//!            └─ Pool: budget and free buffers, shared by all channels
//! ```
//! A writer never waits for a reader, nor one thread for another. A reader that was overtaken is
//! told exactly how many messages it lost. Filters, batches and protocols are the readers' matter.

mod cursor;
mod fit;
mod log;
mod node;
mod pool;
mod pressure;
mod record;
mod room;
#[expect(
    unsafe_code,
    reason = "readers slice records in place while writers fill the same buffer"
)]
mod segment;
mod state;
mod sync;
mod table;
mod wake;

#[cfg(all(test, logboom_loom))]
mod loom_tests;
#[cfg(all(test, not(logboom_loom)))]
mod model_tests;
#[cfg(any(test, fuzzing))]
mod twin;

pub use cursor::{Cursor, ReadOutcome};
pub use log::Appended;
pub use node::Node;
pub use pool::Budget;
pub use pressure::Progress;
pub use record::Record;
pub use room::{NoRoom, Reservation};
#[cfg(any(test, fuzzing))]
pub use twin::fuzz_log;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::channel::log::Log;
use crate::channel::pool::Pool;
use crate::channel::pressure::Pressure;
use crate::channel::segment::Segment;
use crate::channel::table::Table;
use crate::channel::wake::{Bell, Bells, Waiters};
use crate::clock::UnixMicros;
use crate::id::{ChannelId, Seq};
use crate::syslog::message::Message;

/// What happens to messages when a drain is too slow for the budget.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WhenFull {
    /// The oldest go, counted.
    #[default]
    Lose,
    /// Writers pause, at most `wait_max`; then the oldest go.
    Wait,
}

/// What a channel is told not to do.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct ChannelFlags {
    /// Live tails are refused.
    pub no_tail: bool,
    /// History is refused (Logplex kept it in Redis; the flag's name is part of its API).
    pub no_redis: bool,
}

/// One app's channel.
pub struct Channel {
    id: ChannelId,
    log: Log,
    waiters: Waiters,
    bells: Bells,
    pressure: Pressure,
    /// `NO_TAIL`, `NO_REDIS`, `WAITS`, `CLOSED`, `HAD_DRAINS`.
    bits: AtomicU8,
}

impl Channel {
    fn new(id: ChannelId, pool: &Arc<Pool>, empty: sync::Arc<Table>) -> Self {
        Self {
            id,
            log: Log::new(Arc::clone(pool), empty),
            waiters: Waiters::default(),
            bells: Bells::default(),
            pressure: Pressure::default(),
            bits: AtomicU8::new(0),
        }
    }

    /// The channel's id.
    #[must_use]
    pub fn id(&self) -> &ChannelId {
        &self.id
    }

    /// Appends a run in order and wakes readers once; returns how many messages were appended,
    /// which is all. See `append_run`.
    pub fn append<'m, I>(&self, run: I, arrival: UnixMicros) -> u64
    where
        I: Iterator<Item = Message<'m>> + Clone,
    {
        self.append_run(run, arrival).count
    }

    /// Appends a run in order: one claim for as many records as fit a segment, the rest in the
    /// next ones. `run` is iterated twice (sizes, then bytes) and must give the same messages both
    /// times. Never waits and allocates only segments, not per message.
    pub fn append_run<'m, I>(&self, run: I, arrival: UnixMicros) -> Appended
    where
        I: Iterator<Item = Message<'m>> + Clone,
    {
        let appended = self.log.append(run, arrival, || self.awaited_from());
        if self.waiters.any() {
            self.bells.ring(Bell::Appended);
        }
        appended
    }

    /// Bytes that `message` takes in a log; at most the `channel_bytes_max` of any channel.
    #[must_use]
    pub fn bytes_of(message: &Message<'_>) -> usize {
        Segment::bytes_for(message)
    }

    /// The first sequence still kept.
    #[must_use]
    pub fn first_seq(&self) -> Seq {
        Seq::new(self.log.first().seq)
    }

    /// The sequence the next message gets: how many messages were ever appended.
    #[must_use]
    pub fn end_seq(&self) -> Seq {
        Seq::new(self.log.end().seq)
    }

    /// Greatest arrival of a message so far; 1970 when there was none.
    #[must_use]
    pub fn last_arrival(&self) -> UnixMicros {
        self.log.touched()
    }

    /// A cursor that reads only what comes from now on.
    #[must_use]
    pub fn cursor_at_end(&self) -> Cursor {
        self.log.cursor_at_end()
    }

    /// A cursor `count` messages back from the end, or at the oldest kept.
    #[must_use]
    pub fn cursor_back(&self, count: u64) -> Cursor {
        self.log.cursor_back(count)
    }

    /// Like `cursor_back`, but behind the messages in front that are older than
    /// `history_age_max` at `now`: for whoever shows history.
    #[must_use]
    pub fn cursor_history(&self, count: u64, now: UnixMicros) -> Cursor {
        let begin = self.pool().history_begin(now);
        self.log.cursor_back_to(count, begin)
    }

    /// A cursor at `seq`. If that is no longer kept the first read tells what was lost; if it is
    /// yet to come the cursor is at the end.
    #[must_use]
    pub fn cursor_at(&self, seq: Seq) -> Cursor {
        self.log.cursor_at(seq)
    }

    /// Gives records in order to `visit` until it breaks (the breaking record is not consumed) or
    /// the end is met. Never waits. If the cursor was lapped, it reports the exact loss first:
    /// it returns at once with `lost` above 0 and `read` 0, and the cursor is at the oldest kept.
    ///
    /// While it runs, the segments that were kept when it began stay in memory: `visit` should
    /// only look and copy.
    pub fn read(
        &self,
        cursor: &mut Cursor,
        visit: impl FnMut(Record<'_>) -> ControlFlow<()>,
    ) -> ReadOutcome {
        self.log.read(cursor, visit)
    }

    /// Ends when there is something to read at `cursor`, or it was lapped. Cancel safe.
    pub async fn readable(&self, cursor: &Cursor) {
        while !self.log.is_readable(cursor) {
            // Made before the reader is counted and looks again; `Waiters` says why.
            let appended = self.bells.listen(Bell::Appended);
            let _waiting = self.waiters.join();
            if self.log.is_readable(cursor) {
                return;
            }
            appended.await;
        }
    }

    /// Messages and bytes between `cursor` and the end, lost ones included in the messages.
    #[must_use]
    pub fn lag(&self, cursor: &Cursor) -> (u64, u64) {
        let end = self.log.end();
        let messages = Seq::new(end.seq).since(cursor.seq());
        let first = self.log.first().bytes;
        (
            messages,
            end.bytes.saturating_sub(cursor.bytes().max(first)),
        )
    }

    /// Registers a drain's progress for back-pressure.
    pub fn add_progress(&self, progress: Arc<Progress>) {
        self.set(HAD_DRAINS, true);
        self.pressure.add(&progress);
    }

    /// Forgets a drain's progress, and wakes writers that waited for it.
    pub fn remove_progress(&self, progress: &Arc<Progress>) {
        self.pressure.remove(progress);
        self.wake_writers();
    }

    /// What happens to messages when a drain is too slow.
    #[must_use]
    pub fn when_full(&self) -> WhenFull {
        if self.has(WAITS) {
            WhenFull::Wait
        } else {
            WhenFull::Lose
        }
    }

    /// Changes what happens to messages when a drain is too slow; wakes writers that wait.
    pub fn set_when_full(&self, when_full: WhenFull) {
        self.set(WAITS, when_full == WhenFull::Wait);
        self.wake_writers();
    }

    /// The channel's flags.
    #[must_use]
    pub fn flags(&self) -> ChannelFlags {
        ChannelFlags {
            no_tail: self.has(NO_TAIL),
            no_redis: self.has(NO_REDIS),
        }
    }

    /// Changes the channel's flags.
    pub fn set_flags(&self, flags: ChannelFlags) {
        self.set(NO_TAIL, flags.no_tail);
        self.set(NO_REDIS, flags.no_redis);
    }

    /// Ends when the channel was deleted: tails end, drains stop. Cancel safe.
    pub async fn closed(&self) {
        while !self.is_closed() {
            let closing = self.bells.listen(Bell::Closing);
            if self.is_closed() {
                return;
            }
            closing.await;
        }
    }

    /// Whether the channel was deleted.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.has(CLOSED)
    }

    /// Tells readers and waiting writers that the channel was deleted.
    fn close(&self) {
        self.set(CLOSED, true);
        self.bells.ring(Bell::Closing);
        self.wake_writers();
    }

    fn log(&self) -> &Log {
        &self.log
    }

    fn pool(&self) -> &Pool {
        self.log.pool()
    }

    /// Lets everybody who waits for room look again.
    fn wake_writers(&self) {
        self.bells.ring(Bell::Room);
    }

    fn has(&self, bit: u8) -> bool {
        // Acquire: pairs with `set`; who sees the channel closed sees what came before.
        self.bits.load(Ordering::Acquire) & bit != 0
    }

    fn set(&self, bit: u8, is_set: bool) {
        // AcqRel: pairs with `has`.
        if is_set {
            self.bits.fetch_or(bit, Ordering::AcqRel);
        } else {
            self.bits.fetch_and(!bit, Ordering::AcqRel);
        }
    }
}

const NO_TAIL: u8 = 1;
const NO_REDIS: u8 = 2;
const WAITS: u8 = 4;
const CLOSED: u8 = 8;
/// It has or had a drain: where there never was one, nobody need look how far they are.
const HAD_DRAINS: u8 = 16;

#[cfg(test)]
pub(crate) mod tests {
    use std::pin::pin;

    use super::*;
    use crate::channel::pool::Sizes;
    use crate::channel::twin::{message, pool};
    use tokio_test_free::poll_once;

    /// Polls a future once, to put it where a task would be when something happens.
    pub(in crate::channel) mod tokio_test_free {
        use std::future::{Future, poll_fn};
        use std::pin::Pin;
        use std::task::Poll;

        pub(in crate::channel) async fn poll_once<F: Future<Output = ()>>(
            mut future: Pin<&mut F>,
        ) -> bool {
            poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_ready())).await
        }
    }

    pub(in crate::channel) fn channel(channel_bytes_max: usize) -> Channel {
        let pool = pool(
            channel_bytes_max,
            Sizes {
                min: 256,
                max: 1024,
            },
        );
        let empty = sync::Arc::new(Table::empty());
        Channel::new(ChannelId::from(1), &pool, empty)
    }

    pub(in crate::channel) fn append(channel: &Channel, text: &str, count: usize) -> Appended {
        let run = std::iter::repeat_n(message(text.as_bytes()), count);
        channel.append_run(run, UnixMicros::new(1))
    }

    /// Texts of everything from `cursor` on.
    pub(crate) fn texts(channel: &Channel, cursor: &mut Cursor) -> Vec<String> {
        let mut texts = Vec::new();
        channel.read(cursor, |record| {
            texts.push(String::from_utf8_lossy(record.message().text).into_owned());
            ControlFlow::Continue(())
        });
        texts
    }

    #[test]
    fn a_read_goes_from_the_cursor_to_the_end() {
        let channel = channel(1 << 20);
        let mut cursor = channel.cursor_at_end();
        assert_eq!(texts(&channel, &mut cursor), [""; 0]);
        let appended = append(&channel, "a", 2);
        assert_eq!((appended.first_seq, appended.count), (Seq::new(0), 2));
        append(&channel, "b", 1);
        assert_eq!(channel.lag(&cursor), (3, 3 * 32));
        assert_eq!(texts(&channel, &mut cursor), ["a", "a", "b"]);
        assert_eq!(channel.lag(&cursor), (0, 0));
        assert_eq!(texts(&channel, &mut cursor), [""; 0]);
        assert_eq!(append(&channel, "", 0).count, 0);
    }

    #[test]
    fn the_breaking_record_is_read_again() {
        let channel = channel(1 << 20);
        append(&channel, "a", 3);
        let mut cursor = channel.cursor_back(3);
        let outcome = channel.read(&mut cursor, |record| {
            if record.seq == Seq::new(1) {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        assert_eq!(outcome, ReadOutcome { lost: 0, read: 1 });
        assert_eq!(cursor.seq(), Seq::new(1));
        assert_eq!(texts(&channel, &mut cursor).len(), 2);
    }

    #[test]
    fn a_lapped_cursor_learns_its_loss_first() {
        let channel = channel(1024);
        let mut cursor = channel.cursor_at_end();
        append(&channel, "x", 100);
        let first = channel.first_seq().value();
        assert!(0 < first && first < 100);
        let outcome = channel.read(&mut cursor, |_| unreachable!());
        assert_eq!((outcome.lost, outcome.read), (first, 0));
        assert_eq!(texts(&channel, &mut cursor).len() as u64, 100 - first);
        let mut gone = channel.cursor_at(Seq::new(first - 1));
        assert_eq!(channel.read(&mut gone, |_| unreachable!()).lost, 1);
        assert_eq!(gone.seq().value(), first);
    }

    #[test]
    fn cursors_start_where_they_are_asked_to() {
        let channel = channel(1 << 20);
        append(&channel, "x", 100);
        let back = |count| channel.cursor_back(count).seq().value();
        assert_eq!((back(0), back(1), back(100), back(101)), (100, 99, 0, 0));
        for seq in 0..=100 {
            let mut cursor = channel.cursor_at(Seq::new(seq));
            assert_eq!(channel.lag(&cursor), (100 - seq, (100 - seq) * 32));
            assert_eq!(texts(&channel, &mut cursor).len() as u64, 100 - seq);
        }
        assert_eq!(channel.cursor_at(Seq::new(101)).seq().value(), 100);
    }

    #[test]
    fn another_channels_cursor_is_a_sequence() {
        let (one, other) = (channel(1 << 20), channel(1 << 20));
        append(&one, "x", 50);
        append(&other, "yy yy yy yy", 60);
        let mut cursor = one.cursor_at_end();
        assert_eq!(texts(&other, &mut cursor).len(), 10);
        assert_eq!(cursor.seq(), Seq::new(60));
        let mut ahead = cursor;
        assert_eq!(texts(&one, &mut ahead), [""; 0]);
    }

    #[test]
    fn a_record_greater_than_the_plan_gets_its_segment() {
        let text = "x".repeat(10_000);
        let fill = |channel: &Channel| {
            append(channel, "a", 1);
            append(channel, &text, 1);
            append(channel, "b", 1);
        };
        let roomy = channel(1 << 20);
        fill(&roomy);
        let mut cursor = roomy.cursor_back(3);
        assert_eq!(texts(&roomy, &mut cursor), ["a", text.as_str(), "b"]);
        // Greater than the channel's whole budget too: kept alone until the next segment comes.
        let tight = channel(4096);
        append(&tight, "a", 1);
        append(&tight, &text, 1);
        let mut cursor = tight.cursor_back(2);
        assert_eq!(cursor.seq(), Seq::new(1));
        assert_eq!(texts(&tight, &mut cursor), [text.as_str()]);
        append(&tight, "b", 1);
        assert_eq!(tight.first_seq(), Seq::new(2));
        assert_eq!(texts(&tight, &mut cursor), ["b"]);
    }

    #[tokio::test]
    async fn readers_are_woken_by_appends_only() {
        let channel = channel(1 << 20);
        let cursor = channel.cursor_at_end();
        let mut readable = pin!(channel.readable(&cursor));
        assert!(!poll_once(readable.as_mut()).await);
        assert!(channel.waiters.any());
        append(&channel, "a", 1);
        assert!(poll_once(readable.as_mut()).await);
        {
            let end = channel.cursor_at_end();
            let mut left = pin!(channel.readable(&end));
            assert!(!poll_once(left.as_mut()).await);
        }
        assert!(!channel.waiters.any(), "who left is not counted");
    }

    #[tokio::test]
    async fn closing_ends_waiting() {
        let channel = channel(1 << 20);
        let mut closed = pin!(channel.closed());
        assert!(!poll_once(closed.as_mut()).await);
        channel.close();
        assert!(poll_once(closed.as_mut()).await);
        assert!(channel.is_closed());
    }
}
