//! All channels of the process, and the upkeep of their memory.

use std::borrow::Borrow;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;
use tokio::time::MissedTickBehavior;
use tracing::warn;

use crate::channel::pool::{Budget, Pool, Sizes};
use crate::channel::table::Table;
use crate::channel::{Channel, ChannelFlags, WhenFull};
use crate::clock;
use crate::clock::UnixMicros;
use crate::id::ChannelId;
use crate::limits::{FREE_INTERVAL_MIN, MEASURE_INTERVAL, SWEEP_INTERVAL};
use crate::shutdown::Shutdown;
use crate::telemetry::Telemetry;

/// A channel, found by its id, which is kept in it alone.
struct ById(Arc<Channel>);

impl Deref for ById {
    type Target = Arc<Channel>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Borrow<ChannelId> for ById {
    fn borrow(&self) -> &ChannelId {
        self.id()
    }
}

impl Hash for ById {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // As the id by which it is looked up.
        self.id().hash(state);
    }
}

impl PartialEq for ById {
    fn eq(&self, other: &Self) -> bool {
        self.id() == other.id()
    }
}

impl Eq for ById {}

/// All channels of this process and their memory.
pub struct Node {
    channels: DashMap<ById, ()>,
    pool: Arc<Pool>,
    /// Shared by all channels without messages.
    empty: crate::channel::sync::Arc<Table>,
    started: UnixMicros,
    telemetry: Telemetry,
}

impl Node {
    /// A node without channels.
    #[must_use]
    pub fn new(budget: Budget, telemetry: Telemetry) -> Arc<Self> {
        Arc::new(Self {
            channels: DashMap::with_shard_amount(CHANNEL_SHARDS),
            pool: Arc::new(Pool::new(budget, Sizes::default())),
            empty: crate::channel::sync::Arc::new(Table::empty()),
            started: clock::wall(),
            telemetry,
        })
    }

    /// Changes the bounds. What is above them now goes with the next append or round of upkeep;
    /// writers that wait for room look again.
    pub fn set_budget(&self, budget: Budget) {
        self.pool.set_budget(budget);
        for channel in &self.channels {
            channel.key().wake_writers();
        }
    }

    /// Wall time at which this node started: with a sequence it names a message for good (SSE ids).
    #[must_use]
    pub fn started(&self) -> UnixMicros {
        self.started
    }

    /// The channel `id`, made if it is not there, with these flags in either case.
    pub fn open(&self, id: &ChannelId, flags: ChannelFlags, when_full: WhenFull) -> Arc<Channel> {
        let set = |channel: &Channel| {
            channel.set_flags(flags);
            channel.set_when_full(when_full);
        };
        if let Some(channel) = self.channel(id) {
            set(&channel);
            return channel;
        }
        let channel = Channel::new(id.clone(), &self.pool, self.empty.clone());
        // Before anybody sees it.
        set(&channel);
        match self.channels.entry(ById(Arc::new(channel))) {
            Entry::Occupied(first) => {
                set(first.key());
                Arc::clone(first.key())
            }
            Entry::Vacant(entry) => {
                self.telemetry.channels.increment(1.0);
                Arc::clone(entry.insert(()).key())
            }
        }
    }

    /// The channel `id`, if it is open.
    #[must_use]
    pub fn channel(&self, id: &ChannelId) -> Option<Arc<Channel>> {
        self.channels.get(id).map(|found| Arc::clone(found.key()))
    }

    /// Closes and forgets the channel. Its segments go at once: an idle connection may hold the
    /// channel for long, and no round of freeing would find them any more.
    pub fn close(&self, id: &ChannelId) {
        if let Some((channel, ())) = self.channels.remove(id) {
            channel.close();
            channel.log().evict_all();
            self.telemetry.channels.decrement(1.0);
        }
    }

    /// How many channels are open.
    #[must_use]
    pub fn channel_count(&self) -> usize {
        self.channels.len()
    }

    /// Bytes of all segments; at most 8 MiB of free buffers (`POOL_BUFFERS_MAX`) are not counted.
    #[must_use]
    pub fn segment_bytes(&self) -> u64 {
        self.pool.bytes() as u64
    }

    /// Lets messages go that are older than `history_age_max`, and the oldest segments of the
    /// idlest channels when the node's budget is short. Runs until `shutdown`.
    pub async fn maintain(self: Arc<Self>, shutdown: Shutdown) {
        let mut sweep = tokio::time::interval(SWEEP_INTERVAL);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut measure = tokio::time::interval(MEASURE_INTERVAL);
        measure.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let must_sweep = tokio::select! {
                () = shutdown.requested() => return,
                _ = sweep.tick() => true,
                _ = measure.tick() => false,
                () = self.pool.overfull() => false,
            };
            if must_sweep || self.pool.is_overfull() {
                self.clone().keep_up(must_sweep).await;
                // The next round waits even if writers ask for it: they drop their own oldest.
                pause(FREE_INTERVAL_MIN, &shutdown).await;
            }
            self.telemetry.segment_bytes.set(self.pool.bytes() as f64);
            self.telemetry.settle();
        }
    }

    /// One round, on a thread of its own: with a million channels it takes a while.
    async fn keep_up(self: Arc<Self>, must_sweep: bool) {
        let round = tokio::task::spawn_blocking(move || {
            if must_sweep {
                self.sweep(clock::wall());
            }
            if self.pool.is_overfull() {
                self.free();
            }
        });
        if let Err(error) = round.await {
            warn!(%error, "a round of memory upkeep ended early");
        }
    }

    /// Lets go what is too old at `now`.
    fn sweep(&self, now: UnixMicros) {
        let begin = self.pool.history_begin(now);
        for channel in &self.channels {
            channel.key().log().evict_older(begin, now);
        }
    }

    /// Lets segments go until a sixteenth of the budget is free: of the idlest channel the oldest
    /// first and at last the newest too, then of the next one.
    fn free(&self) {
        let mut idlest: Vec<(UnixMicros, Arc<Channel>)> = self
            .channels
            .iter()
            .filter(|channel| 0 < channel.key().log().bytes())
            .map(|channel| (channel.key().log().touched(), Arc::clone(channel.key())))
            .collect();
        idlest.sort_unstable_by_key(|(touched, _)| *touched);
        for (_, channel) in &idlest {
            while self.pool.is_short() && channel.log().evict_oldest() {}
            if !self.pool.is_short() {
                return;
            }
            channel.log().evict_all();
        }
    }
}

/// Waits, but not beyond the wish to stop.
async fn pause(time: Duration, shutdown: &Shutdown) {
    tokio::select! {
        () = shutdown.requested() => {}
        () = tokio::time::sleep(time) => {}
    }
}

/// Locks of the map: with a million channels a round of upkeep holds each for microseconds only.
const CHANNEL_SHARDS: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::Progress;
    use crate::channel::tests::texts;
    use crate::channel::twin::message;

    fn budget() -> Budget {
        Budget {
            channel_bytes_max: 512 * 1024,
            node_bytes_max: 1 << 30,
            history_age_max: Duration::from_secs(60),
            wait_max: Duration::from_secs(30),
        }
    }

    fn node(node_bytes_max: usize) -> Arc<Node> {
        let budget = Budget {
            node_bytes_max,
            ..budget()
        };
        Node::new(budget, Telemetry::new().unwrap())
    }

    fn open(node: &Node, id: u64) -> Arc<Channel> {
        node.open(&id.into(), ChannelFlags::default(), WhenFull::Lose)
    }

    #[test]
    fn all_who_open_a_channel_get_the_same_one() {
        let node = node(1 << 30);
        for id in 0..500 {
            let start = std::sync::Barrier::new(2);
            let open = || {
                start.wait();
                open(&node, id)
            };
            let (one, other) = std::thread::scope(|scope| {
                let (one, other) = (scope.spawn(open), scope.spawn(open));
                (one.join().unwrap(), other.join().unwrap())
            });
            assert!(Arc::ptr_eq(&one, &other));
            assert!(Arc::ptr_eq(&one, &node.channel(&id.into()).unwrap()));
        }
        assert_eq!(node.channel_count(), 500);
        node.close(&ChannelId::from(7));
        assert!(node.channel(&ChannelId::from(7)).is_none());
        assert_eq!(node.channel_count(), 499);
    }

    #[test]
    fn a_clock_set_back_does_not_keep_messages_for_good() {
        let node = node(1 << 30);
        let channel = open(&node, 1);
        let at = |seconds: u64| UnixMicros::new(seconds * 1_000_000);
        let text = "x".repeat(3_000);
        for _ in 0..4 {
            channel.append(std::iter::once(message(text.as_bytes())), at(1_000_000));
        }
        assert!(0 < channel.log().bytes());
        node.sweep(at(100));
        assert_eq!(channel.log().end().seq - channel.log().first().seq, 4);
        node.sweep(at(161));
        assert_eq!(channel.log().bytes(), 0, "a minute after they were seen");
    }

    #[test]
    fn a_clock_set_back_under_a_busy_channel_does_not_keep_its_messages() {
        let node = node(1 << 30);
        let channel = open(&node, 1);
        let at = |seconds: u64| UnixMicros::new(seconds * 1_000_000);
        let text = "x".repeat(3_000);
        let append = |seconds| {
            channel.append(std::iter::once(message(text.as_bytes())), at(seconds));
        };
        (0..60).for_each(|_| append(1_000_000));
        node.sweep(at(100));
        (0..80).for_each(|number| append(100 + 2 * number));
        assert_eq!(channel.log().first().seq, 0);
        node.sweep(at(260));
        let first = channel.log().first().seq;
        // The first of the last minute is the 110th.
        assert!((60..=110).contains(&first), "{first}");
    }

    #[test]
    fn a_channel_is_opened_once_and_closed_for_all() {
        let node = node(1 << 20);
        let first = open(&node, 1);
        let flags = ChannelFlags {
            no_tail: true,
            no_redis: false,
        };
        let again = node.open(&1.into(), flags, WhenFull::Wait);
        assert!(Arc::ptr_eq(&first, &again));
        assert_eq!((first.flags(), first.when_full()), (flags, WhenFull::Wait));
        assert_eq!(node.channel_count(), 1);
        node.close(&1.into());
        assert!(first.is_closed() && node.channel(&1.into()).is_none());
    }

    /// What each of four channels keeps, in bytes before and after a round of freeing, when the
    /// node's budget is `percent` of what they keep. The later ones were busy later.
    fn kept_by_four(percent: usize) -> Vec<(usize, usize)> {
        let node = node(1 << 30);
        let text = vec![b'x'; 3_000];
        let channels: Vec<_> = (0..4).map(|id| open(&node, id)).collect();
        for (index, channel) in channels.iter().enumerate() {
            let arrival = UnixMicros::new(index as u64 + 1);
            for _ in 0..80 {
                channel.append([message(&text)].into_iter(), arrival);
            }
        }
        let before: Vec<usize> = channels.iter().map(|c| c.log().bytes()).collect();
        node.set_budget(Budget {
            node_bytes_max: before.iter().sum::<usize>() * percent / 100,
            ..budget()
        });
        node.free();
        assert!(!node.pool.is_short());
        for channel in &channels {
            assert_eq!(channel.end_seq().value(), 80, "sequences go on");
        }
        let after = channels.iter().map(|c| c.log().bytes());
        before.into_iter().zip(after).collect()
    }

    #[test]
    fn the_idlest_channels_pay_first() {
        for percent in [99, 75, 50, 30] {
            let kept = kept_by_four(percent);
            let payers = kept.iter().take_while(|(before, after)| after < before);
            let payers = payers.count();
            assert!(0 < payers, "{kept:?}");
            let (paid, spared) = kept.split_at(payers);
            assert!(spared.iter().all(|(before, after)| before == after));
            let (_last, emptied) = paid.split_last().unwrap();
            assert!(emptied.iter().all(|(_, after)| *after == 0), "{kept:?}");
        }
        let kept = kept_by_four(99);
        assert!(0 < kept[0].1, "its newest are kept if that is enough");
    }

    #[test]
    fn when_the_node_is_flooded_new_channels_take_no_memory() {
        let node = node(64 * 1024);
        let append = |channel: &Channel| {
            channel.append_run([message(b"m"); 3].into_iter(), UnixMicros::new(1))
        };
        let mut made = 0;
        while !node.pool.is_drowned() {
            append(&open(&node, made));
            made += 1;
        }
        let bytes = node.segment_bytes();
        assert!(bytes <= 64 * 1024 * 5 / 4, "{bytes}");
        let channel = open(&node, made);
        let mut cursor = channel.cursor_at_end();
        let appended = append(&channel);
        assert_eq!((appended.first_seq.value(), appended.count), (0, 3));
        assert_eq!(append(&channel).first_seq.value(), 3);
        assert_eq!(node.segment_bytes(), bytes, "nothing was kept");
        assert_eq!(channel.read(&mut cursor, |_| unreachable!()).lost, 6);
        node.free();
        append(&channel);
        assert_eq!(texts(&channel, &mut cursor), ["m", "m", "m"]);
        assert_eq!(cursor.seq().value(), 9);
    }

    #[tokio::test(start_paused = true)]
    async fn a_greater_budget_makes_room_at_once() {
        let node = node(1 << 30);
        let channel = node.open(&1.into(), ChannelFlags::default(), WhenFull::Wait);
        let progress = Arc::new(Progress::default());
        channel.add_progress(Arc::clone(&progress));
        progress.confirm(&channel, &channel.cursor_at_end());
        let text = vec![b'x'; 100_000];
        channel.append([message(&text); 4].into_iter(), UnixMicros::new(1));
        assert!(channel.is_pressed());
        let started = clock::now();
        let raise = async {
            tokio::task::yield_now().await;
            node.set_budget(Budget {
                channel_bytes_max: 1 << 20,
                ..budget()
            });
        };
        tokio::join!(channel.room(), raise);
        assert_eq!(started.elapsed(), Duration::ZERO);
    }

    #[test]
    fn a_closed_channel_keeps_no_memory_however_long_it_is_held() {
        let node = node(1 << 20);
        let held = open(&node, 1);
        held.append([message(b"m")].into_iter(), UnixMicros::new(1));
        assert!(0 < node.segment_bytes());
        node.close(&1.into());
        assert_eq!(node.segment_bytes(), 0);
    }

    #[test]
    fn old_messages_go_and_sequences_go_on() {
        let node = node(1 << 20);
        let channel = open(&node, 1);
        channel.append([message(b"old")].into_iter(), UnixMicros::new(1_000_000));
        let mut cursor = channel.cursor_back(1);
        node.sweep(UnixMicros::new(61_000_000));
        assert_eq!(channel.first_seq().value(), 0, "not older than 60 s yet");
        node.sweep(UnixMicros::new(61_000_001));
        assert_eq!((channel.first_seq().value(), node.segment_bytes()), (1, 0));
        channel.append([message(b"new")].into_iter(), UnixMicros::new(61_000_002));
        assert_eq!(channel.read(&mut cursor, |_| unreachable!()).lost, 1);
        assert_eq!(texts(&channel, &mut cursor), ["new"]);
        assert_eq!(cursor.seq().value(), 2);
    }

    #[test]
    fn history_leaves_out_what_is_too_old() {
        let node = node(1 << 20);
        let channel = open(&node, 1);
        for second in 1..=5 {
            channel.append(
                [message(b"m")].into_iter(),
                UnixMicros::new(second * 1_000_000),
            );
        }
        let from = |count, now| {
            channel
                .cursor_history(count, UnixMicros::new(now))
                .seq()
                .value()
        };
        assert_eq!(from(100, 62_000_000), 1);
        assert_eq!(from(2, 62_000_000), 3);
        assert_eq!(from(100, 90_000_000), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn maintenance_frees_memory_and_stops() {
        let node = node(64 * 1024);
        let shutdown = Shutdown::new();
        shutdown.spawn(Arc::clone(&node).maintain(shutdown.clone()));
        let text = vec![b'x'; 1_000];
        for id in 0..40 {
            open(&node, id).append([message(&text)].into_iter(), clock::wall());
        }
        assert!(node.pool.is_overfull());
        while node.pool.is_overfull() {
            tokio::time::advance(FREE_INTERVAL_MIN).await;
        }
        shutdown.request();
        assert!(shutdown.finished(Duration::from_secs(5)).await);
    }
}
