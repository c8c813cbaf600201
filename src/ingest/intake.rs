//! What the frames of one read become, on every syslog input alike: parsed, routed and gathered.

use std::sync::Arc;

use tokio::time::Instant;

use crate::clock;
use crate::id::Token;
use crate::ingest::gather::After;
use crate::ingest::gather::Gather;
use crate::ingest::gather::Limiting;
use crate::ingest::gather::ReadTime;
use crate::ingest::gather::Shortage;
use crate::route::RouteTable;
use crate::route::Target;
use crate::syslog::message::Message;
use crate::syslog::parse::{parse_any, parse_rfc3164, parse_rfc5424, whole_header, without_token};
use crate::telemetry::{DropReason, Input, Telemetry};

/// What was counted during one read; added to the router's counters once.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Tally {
    pub(crate) bytes: u64,
    pub(crate) frames: u64,
    pub(crate) truncated: u64,
    pub(crate) routed: u64,
    pub(crate) unknown_token: u64,
    pub(crate) no_token: u64,
    pub(crate) malformed: u64,
    pub(crate) rate_limited: u64,
    pub(crate) forbidden: u64,
    pub(crate) empty: u64,
}

impl Tally {
    /// Adds everything to `telemetry`.
    pub(crate) fn add_to(&self, telemetry: &Telemetry, input: Input) {
        let counters = telemetry.input(input);
        counters.bytes.increment(self.bytes);
        counters.frames.increment(self.frames);
        for (counter, count) in [
            (&telemetry.routed, self.routed),
            (&telemetry.truncated, self.truncated),
        ] {
            if 0 < count {
                counter.increment(count);
            }
        }
        for (reason, count) in [
            (DropReason::UnknownToken, self.unknown_token),
            (DropReason::NoToken, self.no_token),
            (DropReason::Malformed, self.malformed),
            (DropReason::RateLimited, self.rate_limited),
            (DropReason::Forbidden, self.forbidden),
            (DropReason::Empty, self.empty),
        ] {
            if 0 < count {
                telemetry.dropped(reason, count);
            }
        }
    }
}

/// Where the messages of one input go: shared by its connections.
#[derive(Clone)]
pub(crate) struct Intake {
    /// The tokens.
    pub(crate) table: Arc<RouteTable>,
    /// The router's counters.
    pub(crate) telemetry: Telemetry,
    /// Which counters are meant.
    pub(crate) input: Input,
    /// The token that everything belongs to, whatever it is.
    pub(crate) token: Option<Token>,
}

impl Intake {
    /// Begins a read: the clock and the bound token are looked at once.
    pub(crate) fn begin(&self) -> Read {
        let token = self.token.as_ref();
        Read {
            time: ReadTime {
                arrival: clock::wall(),
                now: clock::now(),
            },
            bound: token.map(|token| self.table.route(token.expose().as_bytes())),
        }
    }
}

/// What holds for all frames of one read.
pub(crate) struct Read {
    time: ReadTime,
    /// Outer `None`: not bound. Inner `None`: bound to a token that is gone.
    bound: Option<Option<Arc<Target>>>,
}

impl Read {
    /// When the read was.
    pub(crate) fn now(&self) -> Instant {
        self.time.now
    }
}

/// The frames of one read on their way into channels.
pub(crate) struct Batch<'r> {
    intake: &'r Intake,
    read: &'r Read,
    cache: &'r mut TokenCache,
    gather: Gather<'r>,
    after: After,
    /// What was counted so far.
    pub(crate) tally: Tally,
}

impl<'r> Batch<'r> {
    /// An empty batch.
    pub(crate) fn new(intake: &'r Intake, read: &'r Read, cache: &'r mut TokenCache) -> Self {
        // Before the first look-up, so that a change during the read is seen at the next one.
        cache.refresh(intake.table.generation());
        Self {
            intake,
            read,
            cache,
            gather: Gather::new(),
            after: After::default(),
            tally: Tally::default(),
        }
    }

    /// Takes one frame: its message is gathered, or counted as dropped.
    pub(crate) fn take(&mut self, frame: &'r [u8], is_truncated: bool) {
        self.tally.frames += 1;
        self.tally.truncated += u64::from(is_truncated);
        match &self.read.bound {
            Some(bound) => self.take_bound(bound.as_ref(), frame, is_truncated),
            None => self.take_routed(frame, is_truncated),
        }
    }

    /// Whether it has as many messages as it should before they are delivered.
    pub(crate) fn is_full(&self) -> bool {
        self.gather.is_full() || self.gather.fills_a_channel()
    }

    fn take_bound(&mut self, bound: Option<&'r Arc<Target>>, frame: &'r [u8], is_truncated: bool) {
        let (Some(target), Some(token)) = (bound, &self.intake.token) else {
            self.tally.unknown_token += 1;
            return;
        };
        let source = target.source().as_str().as_bytes();
        let token = token.expose().as_bytes();
        let message = message_of_channel(frame, token, source, &self.read.time);
        let message = Message {
            is_truncated,
            ..message
        };
        self.gather.push(target, message, frame.len());
    }

    fn take_routed(&mut self, frame: &'r [u8], is_truncated: bool) {
        match whole_header(frame) {
            Some(message) if Token::is_begun_by(message.app_name) => {
                self.route(message, frame, is_truncated);
            }
            _ => self.take_rare(frame, is_truncated),
        }
    }

    #[cold]
    fn take_rare(&mut self, frame: &'r [u8], is_truncated: bool) {
        match message_with_token(frame, &self.read.time) {
            Some(message) => self.route(message, frame, is_truncated),
            None => self.tally.no_token += 1,
        }
    }

    #[inline(always)] // See `Gather::push`.
    fn route(&mut self, message: Message<'r>, frame: &'r [u8], is_truncated: bool) {
        let message = Message {
            is_truncated,
            ..message
        };
        let Some(target) = self.cache.route(message.app_name, &self.intake.table) else {
            self.tally.unknown_token += 1;
            return;
        };
        self.gather.push(target, message, frame.len());
    }

    /// Delivers what is gathered if every channel that waits has room for it; else forgets it.
    pub(crate) fn deliver_if_room(&mut self) -> Result<(), Shortage> {
        match self.gather.reserve() {
            Ok(_reserved) => {
                self.deliver();
                Ok(())
            }
            Err(shortage) => {
                self.gather.clear();
                Err(shortage)
            }
        }
    }

    /// Delivers what is gathered, whether there is room or not.
    pub(crate) fn deliver(&mut self) {
        let table = &self.intake.table;
        let after = self
            .gather
            .deliver(table, Limiting::Drop, self.read.time, &mut self.tally);
        self.after.behind = self.after.behind.max(after.behind);
        self.after.pressed.extend(after.pressed);
    }

    /// Delivers what is gathered and adds the counts to the router's.
    pub(crate) fn finish(mut self) -> After {
        self.deliver();
        self.tally.add_to(&self.intake.telemetry, self.intake.input);
        self.after
    }
}

/// The message in `frame` and, as its APP-NAME, its token; RFC 3164's tag can be one too
/// (`logger --rfc3164 -t t.TOKEN`).
pub(crate) fn message_with_token<'a>(frame: &'a [u8], time: &ReadTime) -> Option<Message<'a>> {
    let has_token = |message: &Message<'_>| Token::is_begun_by(message.app_name);
    match parse_rfc5424(frame) {
        Some(message) if has_token(&message) => Some(message),
        _ => parse_rfc3164(frame, time.arrival).filter(has_token),
    }
}

/// The message in `frame`, which belongs to the channel of `token` whatever it is. A header with
/// the token as its APP-NAME is read leniently, as where nothing else names the channel: taken for a
/// bare line, it would show the token in the text. Any other APP-NAME stays (`postgres[6442]`), but
/// the token is hidden wherever in the header it stands.
pub(crate) fn message_of_channel<'a>(
    frame: &'a [u8],
    token: &[u8],
    source: &'a [u8],
    time: &ReadTime,
) -> Message<'a> {
    let message = parse_rfc5424(frame)
        .filter(|message| message.app_name == token)
        .unwrap_or_else(|| parse_any(frame, source, time.arrival));
    without_token(message, token, source)
}

/// The last tokens that a connection used: most connections use one, or a few over and over, and a
/// relay's brings those of many apps. It grows while tokens are not found in it.
#[derive(Default)]
pub(crate) struct TokenCache {
    generation: u64,
    /// Empty until the first look-up, so that a silent connection costs nothing; a power of two else.
    slots: Vec<Option<Arc<Target>>>,
    /// The slot of the last hit: neighbours often have the same token.
    last: usize,
    /// Look-ups in the table since it has as many slots.
    misses: usize,
}

impl TokenCache {
    /// Forgets everything when routes have changed since the last read.
    pub(crate) fn refresh(&mut self, generation: u64) {
        if self.generation != generation {
            self.generation = generation;
            self.slots.clear();
            self.misses = 0;
        }
    }

    /// Gives back what it has grown by.
    pub(crate) fn shrink(&mut self) {
        if CACHE_SLOTS_MIN < self.slots.len() {
            self.slots = Vec::new();
            self.misses = 0;
        }
    }

    /// Where messages with `token` go, if it is known.
    pub(crate) fn route(&mut self, token: &[u8], table: &RouteTable) -> Option<&Arc<Target>> {
        let is_hit = |slot: Option<&Option<Arc<Target>>>| {
            slot.is_some_and(|slot| slot.as_ref().is_some_and(|target| target.is_of(token)))
        };
        if !is_hit(self.slots.get(self.last)) {
            self.last = slot_index(token, self.slots.len());
            if !is_hit(self.slots.get(self.last)) {
                // An unknown token leaves the slot to the known one.
                let target = table.route(token)?;
                self.make_room();
                self.last = slot_index(token, self.slots.len());
                *self.slots.get_mut(self.last)? = Some(target);
            }
        }
        self.slots.get(self.last)?.as_ref()
    }

    /// Notes a look-up in the table: once there were more of them than slots, there are too few.
    fn make_room(&mut self) {
        self.misses += 1;
        let count = self.slots.len();
        let is_short = count < self.misses && count < CACHE_SLOTS_MAX;
        if is_short {
            let wanted = (count * CACHE_GROWTH).clamp(CACHE_SLOTS_MIN, CACHE_SLOTS_MAX);
            // What they hold is found again where it belongs now.
            self.slots.clear();
            self.slots.resize_with(wanted, || None);
            self.misses = 0;
        }
    }
}

/// One of `count` slots, a power of two or none. Mixes both ends of the token: they are random in
/// most, and tokens made by hand differ at least in one of them.
fn slot_index(token: &[u8], count: usize) -> usize {
    let mixed = match (token.first_chunk(), token.last_chunk()) {
        (Some(first), Some(last)) => {
            u64::from_le_bytes(*first) ^ u64::from_le_bytes(*last).rotate_left(32)
        }
        // Shorter than eight bytes.
        _ => token
            .iter()
            .fold(0, |mixed, byte| mixed << 8 | u64::from(*byte)),
    };
    // By the golden ratio, whose product is well mixed at its top.
    let mixed = mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    usize::try_from(mixed).unwrap_or(0) & count.wrapping_sub(1)
}

/// Tokens that a connection remembers at first: 256 bytes.
const CACHE_SLOTS_MIN: usize = 32;

/// By which it grows.
const CACHE_GROWTH: usize = 8;

/// Tokens that it remembers at most: 128 KiB, half of what a busy connection reads at once.
const CACHE_SLOTS_MAX: usize = 16_384;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::channel::Budget;
    use crate::channel::ChannelFlags;
    use crate::channel::Node;
    use crate::channel::WhenFull;
    use crate::id::ChannelId;
    use crate::id::Source;
    use crate::route::Route;

    fn token(number: usize) -> String {
        format!("t.0f8fad5b-d9cb-469f-a165-{number:012}")
    }

    /// A table with `count` tokens, each named by its number.
    fn table(count: usize) -> RouteTable {
        let budget = Budget {
            channel_bytes_max: 1 << 20,
            node_bytes_max: 1 << 20,
            history_age_max: Duration::from_secs(1),
            wait_max: Duration::from_secs(1),
        };
        let node = Node::new(budget, Telemetry::new().unwrap());
        let id = ChannelId::new("app").unwrap();
        let channel = node.open(&id, ChannelFlags::default(), WhenFull::Lose);
        let table = RouteTable::new();
        for number in 0..count {
            let route = Route {
                channel: Arc::clone(&channel),
                source: Source::new(&format!("s{number}")).unwrap(),
            };
            table.insert(&Token::new(&token(number)).unwrap(), route);
        }
        table
    }

    /// Asks for `tokens` in turn, `turns` times, and checks each answer.
    fn ask(cache: &mut TokenCache, table: &RouteTable, tokens: usize, turns: usize) {
        for number in (0..turns).flat_map(|_| 0..tokens) {
            let found = cache.route(token(number).as_bytes(), table).unwrap();
            assert_eq!(found.source().as_str(), format!("s{number}"));
        }
    }

    #[test]
    fn few_tokens_keep_it_small_and_many_let_it_grow() {
        let table = table(20_000);
        let mut cache = TokenCache::default();
        for (tokens, slots) in [(1, 32), (4, 32), (1_000, 2_048), (20_000, 16_384)] {
            ask(&mut cache, &table, tokens, 4);
            assert_eq!(cache.slots.len(), slots, "{tokens}");
        }
        cache.shrink();
        assert_eq!(cache.slots.capacity(), 0);
        ask(&mut cache, &table, 3, 3);
        assert_eq!(cache.slots.len(), 32);
    }

    #[test]
    fn a_grown_one_is_seldom_asked_in_vain() {
        let table = table(1_000);
        let mut cache = TokenCache::default();
        ask(&mut cache, &table, 1_000, 20);
        let before = cache.misses;
        ask(&mut cache, &table, 1_000, 1);
        let misses = cache.misses - before;
        assert!(misses < 250, "{misses} of 1,000");
    }

    #[test]
    fn unknown_tokens_and_changed_routes_leave_nothing_behind() {
        let table = table(2);
        let mut cache = TokenCache::default();
        ask(&mut cache, &table, 2, 1);
        for number in 2..1_000 {
            assert!(cache.route(token(number).as_bytes(), &table).is_none());
        }
        assert_eq!(cache.slots.len(), 32);
        ask(&mut cache, &table, 2, 1);
        table.remove(&Token::new(&token(1)).unwrap());
        cache.refresh(table.generation());
        assert!(cache.route(token(1).as_bytes(), &table).is_none());
        ask(&mut cache, &table, 1, 1);
    }
}
