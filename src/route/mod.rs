//! Token to channel: the one look-up of the hot path, with what belongs to a token: its rate
//! limit and whether its messages are copied to a firehose.

pub mod limit;
pub mod notice;

use std::borrow::Borrow;
use std::collections::BTreeSet;
use std::hash::Hash;
use std::hash::Hasher;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::OnceLock;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use arc_swap::ArcSwapOption;
use dashmap::DashMap;
use dashmap::mapref::entry::Entry;

use crate::channel::Channel;
use crate::channel::Node;
use crate::clock;
use crate::id::ChannelId;
use crate::id::Source;
use crate::id::Token;
use crate::route::limit::Limiter;
use crate::route::limit::NOTICE_INTERVAL;
use crate::route::limit::RateLimits;
use crate::shutdown::Shutdown;

/// Where a token's messages go and what they are called there.
pub struct Route {
    /// The channel they are appended to.
    pub channel: Arc<Channel>,
    /// What replaces the token in them.
    pub source: Source,
}

/// A route in force: what a look-up finds. A change of the token makes a new one.
pub struct Target {
    token: Token,
    route: Route,
    /// Made when first asked for: without limits, and at rest, there is none.
    limiter: OnceLock<Box<Mutex<Limiter>>>,
}

impl Target {
    fn new(token: Token, route: Route) -> Self {
        Self {
            token,
            route,
            limiter: OnceLock::new(),
        }
    }

    /// Whether `token` is the one that leads here.
    #[must_use]
    pub fn is_of(&self, token: &[u8]) -> bool {
        self.token.expose().as_bytes() == token
    }

    /// The channel that the token's messages are appended to.
    #[must_use]
    pub fn channel(&self) -> &Arc<Channel> {
        &self.route.channel
    }

    /// What replaces the token in messages.
    #[must_use]
    pub fn source(&self) -> &Source {
        &self.route.source
    }

    /// The token's rate limiter: locked once per read or request, never across an `.await`.
    pub fn limiter(&self) -> MutexGuard<'_, Limiter> {
        // A panic under the lock leaves numbers that are at worst a little wrong.
        let limiter = self.limiter.get_or_init(Box::default);
        limiter.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Copies of the messages of some sources go to some channels, as Logplex's firehose did: each
/// run of messages to one of the channels, and never to the channel that it came for. Unlike
/// Logplex the copy carries the source, not the secret token.
pub struct Firehose {
    node: Arc<Node>,
    channels: Vec<ChannelId>,
    sources: BTreeSet<Source>,
    turn: AtomicUsize,
}

impl Firehose {
    /// A firehose from the tokens named `sources` to `channels`, which are looked up in `node`
    /// each time, so that they may be made later.
    #[must_use]
    pub fn new(node: Arc<Node>, channels: Vec<ChannelId>, sources: BTreeSet<Source>) -> Self {
        Self {
            node,
            channels,
            sources,
            turn: AtomicUsize::new(0),
        }
    }

    /// Whether messages of `target` are copied.
    #[must_use]
    pub fn takes(&self, target: &Target) -> bool {
        self.sources.contains(target.source())
    }

    /// Whether one of the channels that runs are copied to asks its writers to wait.
    #[must_use]
    pub fn is_pressed(&self) -> bool {
        let mut channels = self.channels.iter().filter_map(|id| self.node.channel(id));
        channels.any(|channel| channel.is_pressed())
    }

    /// Where the next run for `channel` is copied to, if anywhere.
    #[must_use]
    pub fn next_channel(&self, channel: &Channel) -> Option<Arc<Channel>> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let id = self
            .channels
            .get(turn.checked_rem(self.channels.len())?)
            .filter(|&id| id != channel.id())?;
        self.node.channel(id)
    }
}

/// A target, found by its token, which is kept in it alone.
struct ByToken(Arc<Target>);

impl Borrow<[u8]> for ByToken {
    fn borrow(&self) -> &[u8] {
        self.0.token.expose().as_bytes()
    }
}

impl Hash for ByToken {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // As the bytes by which it is looked up.
        <Self as Borrow<[u8]>>::borrow(self).hash(state);
    }
}

impl PartialEq for ByToken {
    fn eq(&self, other: &Self) -> bool {
        self.0.token == other.0.token
    }
}

impl Eq for ByToken {}

/// All tokens and their routes. Look-ups never wait for the control plane.
#[derive(Default)]
pub struct RouteTable {
    /// Hashed quickly: who sends can look tokens up, but only the API's users put them there, and
    /// the hash is seeded anew by each process.
    targets: DashMap<ByToken, (), foldhash::fast::RandomState>,
    generation: AtomicU64,
    limits: ArcSwapOption<RateLimits>,
    firehose: ArcSwapOption<Firehose>,
    /// Targets whose limiter may have something to tell later. Bounded: each target is in it at
    /// most once, as its limiter knows.
    limited: Mutex<Vec<Arc<Target>>>,
}

impl RouteTable {
    /// A table without tokens, limits and firehose.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Raised by every change, so that connections know when their small caches are stale. To be
    /// loaded before the look-up whose result is cached.
    pub fn generation(&self) -> u64 {
        // Acquire: pairs with the Release in `raise_generation`; who sees this number also sees
        // the change before it.
        self.generation.load(Ordering::Acquire)
    }

    fn raise_generation(&self) {
        // Release: pairs with the Acquire in `generation`.
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// Where messages with `token` go, if it is known.
    #[must_use]
    pub fn route(&self, token: &[u8]) -> Option<Arc<Target>> {
        self.targets
            .get(token)
            .map(|found| Arc::clone(&found.key().0))
    }

    /// Puts `route` in force for `token`, in place of an earlier one.
    pub fn insert(&self, token: &Token, route: Route) {
        let target = ByToken(Arc::new(Target::new(token.clone(), route)));
        match self.targets.entry(target) {
            // In one step: there is no moment at which the token is unknown.
            Entry::Occupied(entry) => drop(entry.replace_entry(())),
            Entry::Vacant(entry) => drop(entry.insert(())),
        }
        self.raise_generation();
    }

    /// Forgets `token`.
    pub fn remove(&self, token: &Token) {
        drop(self.targets.remove(token.expose().as_bytes()));
        self.raise_generation();
    }

    /// Tokens known.
    #[must_use]
    pub fn token_count(&self) -> usize {
        self.targets.len()
    }

    /// The rate limits in force for every token; `None` when nothing is limited.
    #[must_use]
    pub fn limits(&self) -> Option<Arc<RateLimits>> {
        self.limits.load_full()
    }

    /// Sets the rate limits of every token; what a token has used is kept.
    pub fn set_limits(&self, limits: RateLimits) {
        let limits = (!limits.is_off()).then(|| Arc::new(limits));
        self.limits.store(limits);
    }

    /// The firehose, if one is on.
    #[must_use]
    pub fn firehose(&self) -> Option<Arc<Firehose>> {
        self.firehose.load_full()
    }

    /// Turns the firehose on or off.
    pub fn set_firehose(&self, firehose: Option<Firehose>) {
        let firehose = firehose.filter(|firehose| !firehose.channels.is_empty());
        self.firehose.store(firehose.map(Arc::new));
    }

    /// Notes that `target` has dropped messages that `tell_limited` has to tell about later.
    pub fn list_limited(&self, target: &Arc<Target>) {
        self.limited().push(Arc::clone(target));
    }

    fn limited(&self) -> MutexGuard<'_, Vec<Arc<Target>>> {
        self.limited.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the channels of tokens over their limit what was dropped and not yet told, until
    /// `shutdown`, and once more then. Run as a task.
    pub async fn tell_limited(self: Arc<Self>, shutdown: Shutdown) {
        loop {
            let is_over = tokio::select! {
                () = shutdown.requested() => true,
                () = tokio::time::sleep(NOTICE_INTERVAL) => false,
            };
            let listed = std::mem::take(&mut *self.limited());
            for target in listed {
                notice::tell(&target, clock::now(), clock::wall());
                let is_done = target.limiter().unlist();
                if !is_done {
                    self.limited().push(target);
                }
            }
            if is_over {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::channel::Budget;
    use crate::channel::ChannelFlags;
    use crate::channel::WhenFull;
    use crate::telemetry::Telemetry;

    fn route(node: &Node, source: &str) -> Route {
        let id = ChannelId::new("app").unwrap();
        Route {
            channel: node.open(&id, ChannelFlags::default(), WhenFull::Lose),
            source: Source::new(source).unwrap(),
        }
    }

    fn node() -> Arc<Node> {
        let budget = Budget {
            channel_bytes_max: 1 << 20,
            node_bytes_max: 1 << 20,
            history_age_max: Duration::from_secs(1),
            wait_max: Duration::from_secs(1),
        };
        Node::new(budget, Telemetry::new().unwrap())
    }

    #[test]
    fn a_token_leads_to_its_last_route() {
        let (node, table) = (node(), RouteTable::new());
        let token = Token::new("t.one").unwrap();
        let source = |token: &[u8]| {
            let target = table.route(token)?;
            assert!(target.is_of(token));
            Some(target.source().to_string())
        };
        assert_eq!(source(b"t.one"), None);
        let mut generation = table.generation();
        for name in ["first", "second", "second"] {
            table.insert(&token, route(&node, name));
            assert_eq!(source(b"t.one").as_deref(), Some(name));
            assert_eq!(table.token_count(), 1);
            assert!(generation < table.generation());
            generation = table.generation();
        }
        assert_eq!(source(b"t.on"), None);
        assert_eq!(source(b"t.onee"), None);
        table.insert(&Token::new("t.two").unwrap(), route(&node, "other"));
        table.remove(&token);
        assert!(generation < table.generation());
        assert_eq!(source(b"t.one"), None);
        assert_eq!(source(b"t.two").as_deref(), Some("other"));
    }

    /// There may be millions.
    #[test]
    fn a_target_at_rest_is_small() {
        assert_eq!(size_of::<Target>(), 56);
        let target = Target::new(Token::random(), route(&node(), "app"));
        assert!(target.limiter.get().is_none());
        target.limiter().loss_to_tell(clock::now());
        assert!(target.limiter.get().is_some());
    }
}
