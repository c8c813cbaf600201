//! Messages of one read or request, gathered per channel, so that each channel gets one append.
//!
//! Gathering ends before anything is waited for, so the vectors are the thread's, not the
//! connection's: an idle connection keeps none, and none are made on the way of a message.

use std::cell::RefCell;
use std::sync::Arc;

use tokio::time::Instant;

use crate::channel::{Channel, NoRoom, Reservation, WhenFull};
use crate::clock::UnixMicros;
use crate::id::Token;
use crate::ingest::chains::{Chains, NONE, Part, Run, at};
use crate::ingest::intake::Tally;
use crate::limits::{CHANNEL_BYTES_LIMIT_MIN, FRAME_BYTES_LIMIT, RECORD_OVERHEAD_BYTES_MAX};
use crate::route::Firehose;
use crate::route::RouteTable;
use crate::route::Target;
use crate::route::limit::Demand;
use crate::route::limit::RateLimits;
use crate::route::notice;
use crate::syslog::message::Message;
use crate::syslog::parse::{hide, may_hide};

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
    chains: Chains<'a>,
    /// The run and the part of the last message: the next one is often of the same.
    last: (usize, u32),
    /// Of all frames.
    bytes: usize,
}

impl<'a> Gather<'a> {
    /// An empty one, in vectors that this thread used before.
    pub(crate) fn new() -> Self {
        Self {
            chains: SPARE.with(|spare| std::mem::take(&mut *spare.borrow_mut())),
            last: (0, NONE),
            bytes: 0,
        }
    }

    /// Whether it holds as many messages as it should before they are delivered.
    pub(crate) fn is_full(&self) -> bool {
        GATHERED_MESSAGES_MAX <= self.chains.entries.len()
    }

    /// Whether one message more might be more than the smallest channel has room for.
    pub(crate) fn fills_a_channel(&self) -> bool {
        let messages = self.chains.entries.len();
        KEPT_BYTES_MAX <= self.bytes + messages * RECORD_OVERHEAD_BYTES_MAX
    }

    /// Adds `message`, whose frame had `bytes` bytes, for `target`.
    #[inline(always)] // The message is made where it is kept.
    pub(crate) fn push(&mut self, target: &Arc<Target>, message: Message<'a>, bytes: usize) {
        if Token::is_begun_by(message.app_name) && may_hide(&message, message.app_name) {
            self.push_hidden(target, message, bytes);
        } else {
            self.push_clean(target, message, bytes);
        }
    }

    #[cold]
    fn push_hidden(&mut self, target: &Arc<Target>, mut message: Message<'a>, bytes: usize) {
        let token = message.app_name;
        hide(&mut message, token);
        self.push_clean(target, message, bytes);
    }

    #[inline(always)] // See `push`.
    fn push_clean(&mut self, target: &Arc<Target>, message: Message<'a>, bytes: usize) {
        if !self.is_last(target) {
            let run_index = self.chains.run_of(target.channel());
            self.last = (run_index, self.chains.part_of(run_index, target));
        }
        let (run_index, part_index) = self.last;
        self.chains.push(run_index, part_index, message, bytes);
        self.bytes += bytes;
    }

    fn is_last(&self, target: &Arc<Target>) -> bool {
        let part = self.chains.part(self.last.1);
        part.is_some_and(|part| Arc::ptr_eq(&part.target, target))
    }

    /// Every token's part, over all channels.
    pub(crate) fn parts(&self) -> impl Iterator<Item = &Part> {
        self.chains.parts.iter()
    }

    /// Every channel that waits, and the bytes that its messages take in its log.
    pub(crate) fn needs(&self) -> impl Iterator<Item = (&Arc<Channel>, usize)> {
        self.waiting()
            .map(|(channel, run)| (channel, self.chains.bytes(run)))
    }

    /// The same with as many bytes or more, and without looking at each message.
    pub(crate) fn needs_at_most(&self) -> impl Iterator<Item = (&Arc<Channel>, usize)> {
        self.waiting()
            .map(|(channel, run)| (channel, self.chains.bytes_at_most(run)))
    }

    /// The runs of channels that wait. Nothing of the others is measured.
    fn waiting(&self) -> impl Iterator<Item = (&Arc<Channel>, &Run)> {
        self.chains.runs.iter().filter_map(|run| {
            let waits = |channel: &&Arc<Channel>| channel.when_full() == WhenFull::Wait;
            Some((self.chains.channel(run).filter(waits)?, run))
        })
    }

    /// Room for all messages in channels that wait; to be kept until they were delivered.
    pub(crate) fn reserve(&self) -> Result<Vec<Reservation>, Shortage> {
        // Measuring each message costs something, and there is mostly room enough.
        self.reserve_by(|run| self.chains.bytes_at_most(run))
            .or_else(|_| self.reserve_by(|run| self.chains.bytes(run)))
    }

    fn reserve_by(&self, measure: impl Fn(&Run) -> usize) -> Result<Vec<Reservation>, Shortage> {
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
        self.chains.clear();
        self.last = (0, NONE);
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
        let firehose = table.firehose();
        let mut after = After::default();
        for index in 0..self.chains.runs.len() {
            let Some(run) = self.chains.runs.get(index).copied() else {
                break;
            };
            if let Some(limits) = &limits {
                tally.rate_limited += limit(&mut self.chains, &run, limits, table, time);
            }
            let Some(channel) = self.chains.channel(&run) else {
                continue;
            };
            tally.routed += channel.append(self.chains.messages(&run), time.arrival);
            after.ask(channel);
            if let Some(firehose) = &firehose
                && let Some(copied_to) = copy_to(firehose, &self.chains, &run, time.arrival)
            {
                after.ask(&copied_to);
            }
        }
        self.clear();
        after
    }
}

impl Drop for Gather<'_> {
    fn drop(&mut self) {
        let spare = std::mem::take(&mut self.chains).recycle();
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

/// The channel that messages of `run` were copied to, if any were.
fn copy_to(
    firehose: &Firehose,
    chains: &Chains<'_>,
    run: &Run,
    arrival: UnixMicros,
) -> Option<Arc<Channel>> {
    let mut parts = chains.parts_of(run);
    if !parts.any(|(_, part)| firehose.takes(&part.target)) {
        return None;
    }
    let to = firehose.next_channel(chains.channel(run)?)?;
    to.append(
        chains.messages_of(run, |target| firehose.takes(target)),
        arrival,
    );
    Some(to)
}

/// Marks the messages of `run` that are over their token's limit; returns how many.
fn limit(
    chains: &mut Chains<'_>,
    run: &Run,
    limits: &RateLimits,
    table: &RouteTable,
    time: ReadTime,
) -> u64 {
    let mut dropped_total = 0;
    let Chains { entries, parts, .. } = chains;
    let mut link = run.first_part;
    while let Some(part) = parts.get(at(link)) {
        let mut limiter = part.target.limiter();
        let is_let_through = limits.is_within_burst(part.demand)
            && limiter.take(limits, part.demand, time.now).is_ok();
        let mut dropped = 0;
        let mut next = if is_let_through {
            NONE
        } else {
            run.first_entry
        };
        while let Some(entry) = entries.get_mut(at(next)) {
            next = entry.next;
            if entry.part != link {
                continue;
            }
            let demand = Demand {
                messages: 1,
                bytes: u64::from(entry.bytes),
            };
            if limiter.take(limits, demand, time.now).is_err() {
                entry.part = NONE;
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
        link = part.next;
    }
    dropped_total
}

thread_local! {
    /// Emptied vectors of this thread.
    static SPARE: RefCell<Chains<'static>> = RefCell::default();
}

/// Messages gathered before they are delivered: about one greatest read of short ones.
const GATHERED_MESSAGES_MAX: usize = 8_192;

/// What they may take in their channels' logs before one more is added.
const KEPT_BYTES_MAX: usize =
    CHANNEL_BYTES_LIMIT_MIN - FRAME_BYTES_LIMIT - RECORD_OVERHEAD_BYTES_MAX;
