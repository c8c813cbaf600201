//! What follows a change: the node is brought to what the entries ask for.

use std::sync::Arc;

use crate::channel::{ChannelFlags, Node, WhenFull};
use crate::egress::drain::Drains;
use crate::id::{ChannelId, DrainId, Token};
use crate::registry::{
    Change, ChannelEntry, Directory, DrainEntry, Entries, TokenEntry, WhenFullSetting,
};
use crate::route::{Route, RouteTable};

/// What follows the entries. Every call says what is to be, and may be made again; a channel is
/// put before anything that belongs to it and removed after it.
pub trait Effects: Send + 'static {
    /// The channel is to be open, with these settings.
    fn put_channel(&self, channel: &ChannelEntry, when_full: WhenFull);
    /// The channel is to be closed.
    fn remove_channel(&self, id: &ChannelId);
    /// The token's messages are to go to its channel.
    fn put_token(&self, token: &TokenEntry);
    /// The token is to be unknown.
    fn remove_token(&self, token: &Token);
    /// The drain is to run as its entry says.
    fn put_drain(&self, drain: &DrainEntry);
    /// The drain is to end.
    fn remove_drain(&self, id: DrainId);
}

/// The real ones.
pub(crate) struct Live {
    node: Arc<Node>,
    routes: Arc<RouteTable>,
    drains: Arc<Drains>,
}

impl Live {
    pub(crate) const fn new(node: Arc<Node>, routes: Arc<RouteTable>, drains: Arc<Drains>) -> Self {
        Self {
            node,
            routes,
            drains,
        }
    }
}

impl Effects for Live {
    fn put_channel(&self, channel: &ChannelEntry, when_full: WhenFull) {
        let flags = ChannelFlags {
            no_tail: channel.no_tail,
            no_redis: channel.no_redis,
        };
        match self.node.channel(&channel.id) {
            Some(open) => {
                open.set_flags(flags);
                open.set_when_full(when_full);
            }
            None => drop(self.node.open(&channel.id, flags, when_full)),
        }
    }

    fn remove_channel(&self, id: &ChannelId) {
        self.node.close(id);
    }

    fn put_token(&self, token: &TokenEntry) {
        let Some(channel) = self.node.channel(&token.channel) else {
            tracing::error!(channel_id = %token.channel, "a token's channel is not open");
            return;
        };
        let source = token.source.clone();
        self.routes.insert(&token.token, Route { channel, source });
    }

    fn remove_token(&self, token: &Token) {
        self.routes.remove(token);
    }

    fn put_drain(&self, drain: &DrainEntry) {
        let Some(channel) = self.node.channel(&drain.channel) else {
            tracing::error!(drain_id = %drain.id, channel_id = %drain.channel,
                "a drain's channel is not open");
            return;
        };
        self.drains.converge(drain, &channel);
    }

    fn remove_drain(&self, id: DrainId) {
        self.drains.remove(id);
    }
}

/// Brings a fresh node to what `entries` ask for.
pub(crate) fn start(entries: &Entries, effects: &impl Effects, when_full: WhenFull) {
    for channel in entries.channels(None) {
        let when_full = resolve(channel.when_full, when_full);
        effects.put_channel(&channel, when_full);
    }
    for token in entries.tokens() {
        effects.put_token(&token);
    }
    for drain in entries.drains(None) {
        effects.put_drain(drain);
    }
}

/// Brings the node to what `change` says.
pub(crate) fn follow(change: &Change, effects: &impl Effects, when_full: WhenFull) {
    match change {
        Change::PutChannel {
            channel,
            tokens,
            tokens_removed,
            number: _,
        } => {
            effects.put_channel(channel, resolve(channel.when_full, when_full));
            for token in tokens_removed {
                effects.remove_token(token);
            }
            for token in tokens {
                effects.put_token(token);
            }
        }
        Change::RemoveChannel { id, tokens, drains } => {
            for token in tokens {
                effects.remove_token(token);
            }
            for &drain in drains {
                effects.remove_drain(drain);
            }
            effects.remove_channel(id);
        }
        Change::PutToken(token) => effects.put_token(token),
        Change::RemoveToken { channel: _, token } => effects.remove_token(token),
        Change::PutDrain(drain) => effects.put_drain(drain),
        Change::RemoveDrain(id) => effects.remove_drain(*id),
        // Looked up at each request; nothing runs for them.
        Change::PutCredential(_) | Change::RemoveCredential(_) => {}
    }
}

/// Gives all channels that follow the default the new one.
pub(crate) fn set_when_full(directory: &Directory, effects: &impl Effects, when_full: WhenFull) {
    let mut after = None;
    loop {
        // A page at a time: the lock is not held while channels are changed.
        let page = directory.channels_page(after.as_ref(), PAGE_ROWS);
        for channel in &page {
            if channel.when_full == WhenFullSetting::Default {
                effects.put_channel(channel, when_full);
            }
        }
        match page.last() {
            Some(channel) => after = Some(channel.id.clone()),
            None => return,
        }
    }
}

const fn resolve(setting: WhenFullSetting, when_full: WhenFull) -> WhenFull {
    match setting {
        WhenFullSetting::Lose => WhenFull::Lose,
        WhenFullSetting::Wait => WhenFull::Wait,
        WhenFullSetting::Default => when_full,
    }
}

const PAGE_ROWS: usize = 1_000;
