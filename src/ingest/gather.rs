//! Messages of one read or request, gathered per channel, so that each channel gets one append.
//!
//! Gathering ends before anything is waited for, so the vectors are the thread's, not the
//! connection's: an idle connection keeps none, and none are made on the way of a message.

use std::cell::RefCell;
use std::collections::HashMap;
use std::collections::hash_map::Entry::{Occupied, Vacant};
use std::sync::Arc;

use tokio::time::Instant;

use crate::channel::{Channel, NoRoom, Reservation, WhenFull};
use crate::clock::UnixMicros;
use crate::id::Token;
use crate::ingest::intake::Tally;
use crate::limits::{CHANNEL_BYTES_LIMIT_MIN, FRAME_BYTES_LIMIT, RECORD_OVERHEAD_BYTES_MAX};
use crate::route::RouteTable;
use crate::route::Target;
use crate::route::limit::Demand;
use crate::route::limit::RateLimits;
use crate::route::notice;
use crate::syslog::message::Message;
use crate::syslog::parse::hide;

/// A message with what belongs to it beside its fields.
#[derive(Clone, Copy)]
struct Entry<'a> {
    /// Its token, if it has one, is in the APP-NAME and in no other field.
    message: Message<'a>,
    /// Which of the run's parts it belongs to; `DROPPED` when it is over a limit.
    part: u32,
    /// Bytes of its frame.
    bytes: u32,
}

/// The messages of one token among those of a run.
pub(crate) struct Part {
    /// Where they go.
    pub(crate) target: Arc<Target>,
    /// How much they are.
    pub(crate) demand: Demand,
}

/// The messages of one channel, in the order in which they came.
#[derive(Default)]
struct Run<'a> {
    parts: Vec<Part>,
    entries: Vec<Entry<'a>>,
}

impl Run<'_> {
    fn channel(&self) -> Option<&Arc<Channel>> {
        self.parts.first().map(|part| part.target.channel())
    }

    /// Bytes that the messages take in the channel's log.
    fn bytes(&self) -> usize {
        let measured = self.messages().map(|message| Channel::bytes_of(&message));
        measured.sum()
    }

    /// The same or more, without looking at the messages.
    fn bytes_at_most(&self) -> usize {
        let frames: u64 = self.parts.iter().map(|part| part.demand.bytes).sum();
        usize::try_from(frames)
            .unwrap_or(usize::MAX)
            .saturating_add(self.entries.len() * RECORD_OVERHEAD_BYTES_MAX)
    }

    /// The messages as readers see them, without those over a limit.
    fn messages(&self) -> impl Iterator<Item = Message<'_>> + Clone {
        self.messages_of(|_| true)
    }

    /// The same, of those targets only that `takes` names.
    fn messages_of(
        &self,
        takes: impl Fn(&Target) -> bool + Clone,
    ) -> impl Iterator<Item = Message<'_>> + Clone {
        self.entries.iter().filter_map(move |entry| {
            let part = self.parts.get(usize::try_from(entry.part).ok()?)?;
            takes(&part.target).then(|| cooked(entry, &part.target))
        })
    }

    fn clear(&mut self) {
        self.parts.clear();
        self.entries.clear();
    }

    /// The same vectors, emptied, for messages that live elsewhere.
    fn recycle<'b>(mut self) -> Run<'b> {
        self.clear();
        Run {
            parts: self.parts,
            // Collecting an empty vector's iterator into its own type keeps the allocation.
            entries: self.entries.into_iter().map(without_entries).collect(),
        }
    }
}

/// Never called: the vector that is mapped with it is empty.
fn without_entries<'b>(_entry: Entry<'_>) -> Entry<'b> {
    unreachable!("the vector was cleared")
}

/// What a delivery asks of whoever made it.
#[derive(Default)]
pub(crate) struct After {
    /// Bytes that a reader that could run is behind, at most.
    pub(crate) behind: u64,
    /// Channels that ask their writers to wait.
    pub(crate) pressed: Vec<Arc<Channel>>,
    /// What was not delivered, because a channel has no room for it.
    pub(crate) short: Option<Shortage>,
}

impl After {
    /// Notes what `channel`, to which something was appended, asks.
    fn ask(&mut self, channel: &Arc<Channel>) {
        self.behind = self.behind.max(channel.runnable_backlog());
        if channel.is_pressed() {
            self.pressed.push(Arc::clone(channel));
        }
    }
}

/// Messages that have to wait for room.
pub(crate) struct Shortage {
    /// In which channel.
    pub(crate) channel: Arc<Channel>,
    /// For how many bytes of records.
    pub(crate) bytes: usize,
}

/// The messages gathered so far.
pub(crate) struct Gather<'a> {
    /// The first `used` ones hold messages; the others are spare.
    runs: Vec<Run<'a>>,
    used: usize,
    /// Runs behind the first `SCANNED_RUNS`, by their channels' addresses. The runs keep the
    /// channels alive, so that no address is used again meanwhile.
    further: HashMap<usize, usize>,
    /// The run and the part of the last message: the next one is often of the same.
    last: (usize, usize),
    messages: usize,
    /// Of their frames.
    bytes: usize,
}

impl<'a> Gather<'a> {
    /// An empty one, in vectors that this thread used before.
    pub(crate) fn new() -> Self {
        Self {
            runs: SPARE.with(|spare| std::mem::take(&mut *spare.borrow_mut())),
            used: 0,
            further: HashMap::new(),
            last: (0, 0),
            messages: 0,
            bytes: 0,
        }
    }

    /// Whether it holds as many messages as it should before they are delivered.
    pub(crate) fn is_full(&self) -> bool {
        GATHERED_MESSAGES_MAX <= self.messages
    }

    /// Whether one message more might be more than the smallest channel has room for.
    pub(crate) fn fills_a_channel(&self) -> bool {
        KEPT_BYTES_MAX <= self.bytes + self.messages * RECORD_OVERHEAD_BYTES_MAX
    }

    /// Adds `message`, whose frame had `bytes` bytes, for `target`.
    pub(crate) fn push(&mut self, target: &Arc<Target>, mut message: Message<'a>, bytes: usize) {
        if Token::is_begun_by(message.app_name) {
            let token = message.app_name;
            hide(&mut message, token);
        }
        if !self.is_last(target) {
            let index = self.run_index(target.channel());
            let parts = self.runs.get_mut(index).map(|run| &mut run.parts);
            self.last = (index, parts.map_or(0, |parts| part_index(parts, target)));
        }
        let (index, part_index) = self.last;
        let Some(run) = self.runs.get_mut(index) else {
            return;
        };
        if let Some(part) = run.parts.get_mut(part_index) {
            part.demand.messages += 1;
            part.demand.bytes += u64::try_from(bytes).unwrap_or(u64::MAX);
        }
        run.entries.push(Entry {
            message,
            part: u32::try_from(part_index).unwrap_or(DROPPED),
            bytes: u32::try_from(bytes).unwrap_or(u32::MAX),
        });
        self.messages += 1;
        self.bytes += bytes;
    }

    fn is_last(&self, target: &Arc<Target>) -> bool {
        let (run, part) = self.last;
        let used = self.runs.get(..self.used).unwrap_or_default();
        let part = used.get(run).and_then(|run| run.parts.get(part));
        part.is_some_and(|part| Arc::ptr_eq(&part.target, target))
    }

    /// The run of `channel`, made if it is new. Neighbours are often for the same one, and a read
    /// touches few, so a short scan over pointers beats a map; further runs stand in the map.
    fn run_index(&mut self, channel: &Arc<Channel>) -> usize {
        let is_of = |run: &Run<'_>| run.channel().is_some_and(|own| Arc::ptr_eq(own, channel));
        let used = self.runs.get(..self.used).unwrap_or_default();
        if let Some(index) = used.iter().take(SCANNED_RUNS).position(is_of) {
            return index;
        }
        let address = Arc::as_ptr(channel).addr();
        if SCANNED_RUNS <= self.used {
            match self.further.entry(address) {
                Occupied(found) => return *found.get(),
                Vacant(free) => *free.insert(self.used),
            };
        }
        if self.runs.len() == self.used {
            self.runs.push(Run::default());
        }
        self.used += 1;
        self.used - 1
    }

    /// Every token's part, over all channels.
    pub(crate) fn parts(&self) -> impl Iterator<Item = &Part> {
        // Spare runs have no parts.
        self.runs.iter().flat_map(|run| run.parts.iter())
    }

    /// Every channel that waits, and the bytes that its messages take in its log.
    pub(crate) fn needs(&self) -> impl Iterator<Item = (&Arc<Channel>, usize)> {
        self.waiting().map(|(channel, run)| (channel, run.bytes()))
    }

    /// The runs of channels that wait. Nothing of the others is measured.
    fn waiting(&self) -> impl Iterator<Item = (&Arc<Channel>, &Run<'a>)> {
        self.runs.iter().take(self.used).filter_map(|run| {
            let waits = |channel: &&Arc<Channel>| channel.when_full() == WhenFull::Wait;
            Some((run.channel().filter(waits)?, run))
        })
    }

    /// Room for all messages in channels that wait; to be kept until they were delivered.
    pub(crate) fn reserve(&self) -> Result<Vec<Reservation>, Shortage> {
        // Measuring each message costs something, and there is mostly room enough.
        self.reserve_by(|run| run.bytes_at_most())
            .or_else(|_| self.reserve_by(|run| run.bytes()))
    }

    fn reserve_by(&self, measure: fn(&Run<'_>) -> usize) -> Result<Vec<Reservation>, Shortage> {
        let reserved = self.waiting().filter_map(|(channel, run)| {
            let bytes = measure(run);
            match channel.reserve(bytes) {
                Ok(reserved) => reserved.map(Ok),
                Err(NoRoom::Now) => Some(Err(Shortage {
                    channel: Arc::clone(channel),
                    bytes,
                })),
                // Cannot be: see `fills_a_channel`. Waiting would not help.
                Err(NoRoom::Ever) => None,
            }
        });
        reserved.collect()
    }

    /// Forgets what was gathered.
    pub(crate) fn clear(&mut self) {
        self.runs.iter_mut().take(self.used).for_each(Run::clear);
        self.used = 0;
        self.further.clear();
        self.last = (0, 0);
        self.messages = 0;
        self.bytes = 0;
    }

    /// Appends everything to its channels; what is over a limit is dropped, counted and told.
    /// The vectors are empty then.
    pub(crate) fn deliver(
        &mut self,
        table: &RouteTable,
        limiting: Limiting,
        time: ReadTime,
        tally: &mut Tally,
    ) -> After {
        let limits = match limiting {
            Limiting::Drop => table.limits(),
            Limiting::Taken => None,
        };
        let mut after = After::default();
        for run in self.runs.iter_mut().take(self.used) {
            if let Some(limits) = &limits {
                tally.rate_limited += limit(run, limits, table, time);
            }
            tally.routed += append(run, time.arrival);
            if let Some(channel) = run.channel() {
                after.ask(channel);
            }
            if let Some(copied_to) = copy_to_firehose(run, table, time.arrival) {
                after.ask(&copied_to);
            }
        }
        self.clear();
        after
    }
}

impl Drop for Gather<'_> {
    fn drop(&mut self) {
        let mut runs = std::mem::take(&mut self.runs);
        runs.truncate(SPARE_RUNS_MAX);
        let mut entries = 0;
        for run in &mut runs {
            entries += run.entries.capacity();
            if SPARE_ENTRIES_MAX < entries {
                *run = Run::default();
            }
        }
        let spare = runs.into_iter().map(Run::recycle).collect();
        SPARE.with(|kept| *kept.borrow_mut() = spare);
    }
}

/// Who asked the rate limiters.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Limiting {
    /// Nobody yet: what is over the limit is dropped.
    Drop,
    /// The request was already let through as a whole.
    Taken,
}

/// The clock, read once per read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReadTime {
    /// What the messages' records say.
    pub(crate) arrival: UnixMicros,
    /// What the limiters measure with.
    pub(crate) now: Instant,
}

fn part_index(parts: &mut Vec<Part>, target: &Arc<Target>) -> usize {
    let is_same = |part: &Part| Arc::ptr_eq(&part.target, target);
    if let Some(index) = parts.iter().position(is_same) {
        return index;
    }
    parts.push(Part {
        target: Arc::clone(target),
        demand: Demand::default(),
    });
    parts.len() - 1
}

/// The entry's message as readers see it: a token in the APP-NAME gives way to its source.
#[inline]
fn cooked<'m>(entry: &'m Entry<'_>, target: &'m Target) -> Message<'m> {
    let is_token = Token::is_begun_by(entry.message.app_name);
    let source = target.source().as_str().as_bytes();
    Message {
        app_name: if is_token {
            source
        } else {
            entry.message.app_name
        },
        ..entry.message
    }
}

fn append(run: &Run<'_>, arrival: UnixMicros) -> u64 {
    run.channel()
        .map_or(0, |channel| channel.append(run.messages(), arrival))
}

/// The channel that messages of `run` were copied to, if any were.
fn copy_to_firehose(
    run: &Run<'_>,
    table: &RouteTable,
    arrival: UnixMicros,
) -> Option<Arc<Channel>> {
    let firehose = table.firehose()?;
    if !run.parts.iter().any(|part| firehose.takes(&part.target)) {
        return None;
    }
    let to = firehose.next_channel(run.channel()?)?;
    to.append(run.messages_of(|target| firehose.takes(target)), arrival);
    Some(to)
}

/// Marks the messages of `run` that are over their token's limit; returns how many.
fn limit(run: &mut Run<'_>, limits: &RateLimits, table: &RouteTable, time: ReadTime) -> u64 {
    let mut dropped_total = 0;
    for (index, part) in run.parts.iter().enumerate() {
        let mut limiter = part.target.limiter();
        if limits.is_within_burst(part.demand)
            && limiter.take(limits, part.demand, time.now).is_ok()
        {
            drop(limiter);
            notice::tell(&part.target, time.now, time.arrival);
            continue;
        }
        let mut dropped = 0;
        let own = |entry: &&mut Entry<'_>| usize::try_from(entry.part) == Ok(index);
        for entry in run.entries.iter_mut().filter(own) {
            let demand = Demand {
                messages: 1,
                bytes: u64::from(entry.bytes),
            };
            if limiter.take(limits, demand, time.now).is_err() {
                entry.part = DROPPED;
                dropped += 1;
            }
        }
        let is_to_list = 0 < dropped && limiter.drop_messages(dropped, time.arrival);
        drop(limiter);
        if is_to_list {
            table.list_limited(&part.target);
        }
        notice::tell(&part.target, time.now, time.arrival);
        dropped_total += dropped;
    }
    dropped_total
}

thread_local! {
    /// Emptied runs of this thread.
    static SPARE: RefCell<Vec<Run<'static>>> = const { RefCell::new(Vec::new()) };
}

/// The part of a message that is not to be appended.
const DROPPED: u32 = u32::MAX;

/// Messages gathered before they are delivered: about one greatest read of short ones.
const GATHERED_MESSAGES_MAX: usize = 8_192;

/// What they may take in their channels' logs before one more is added.
const KEPT_BYTES_MAX: usize =
    CHANNEL_BYTES_LIMIT_MIN - FRAME_BYTES_LIMIT - RECORD_OVERHEAD_BYTES_MAX;

/// Runs that are found by looking at each.
const SCANNED_RUNS: usize = 16;

/// Emptied runs that a thread keeps: as many channels as one read usually touches.
const SPARE_RUNS_MAX: usize = 256;

/// Room for messages that a thread keeps, over all its runs: some MiB.
const SPARE_ENTRIES_MAX: usize = 4 * GATHERED_MESSAGES_MAX;
