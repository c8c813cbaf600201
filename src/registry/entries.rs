//! All entries in memory, and the pure function that changes them.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use crate::id::{ChannelId, CredentialId, DrainId, Source, Token};
use crate::limits::SOURCES_SHARED_MAX;
use crate::registry::change::Change;
use crate::registry::channels::ChannelEntry;
use crate::registry::credentials::CredentialEntry;
use crate::registry::drains::DrainEntry;
use crate::registry::members::Member;
use crate::registry::tokens::TokenEntry;

/// Greatest numbers given out so far; none is given twice.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Counters {
    /// The newest drain's id; 0 before the first.
    pub drain_last: u64,
    /// The newest numbered channel's id; 0 before the first.
    pub number_last: u64,
}

/// How many entries there are.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct EntryCounts {
    /// Channels.
    pub channels: usize,
    /// Tokens of all channels.
    pub tokens: usize,
    /// Drains of all channels, reserved ones included.
    pub drains: usize,
    /// Credentials.
    pub credentials: usize,
}

/// The maps. Ordered where the API pages through them.
#[derive(Default)]
pub struct Entries {
    channels: BTreeMap<ChannelId, Member>,
    drains: BTreeMap<DrainId, Box<DrainEntry>>,
    credentials: BTreeMap<CredentialId, CredentialEntry>,
    token_count: usize,
    /// Names that many tokens have, as most do.
    sources: HashSet<Arc<Source>>,
    counters: Counters,
}

impl Entries {
    /// These channels and nothing that belongs to them yet, with `counters` as they were left.
    /// Channels in order of their ids are packed more tightly than if they came one by one.
    #[must_use]
    pub fn new(counters: Counters, channels: Vec<ChannelEntry>) -> Self {
        let member = |entry: ChannelEntry| (entry.id.clone(), Member::new(entry));
        Self {
            channels: channels.into_iter().map(member).collect(),
            counters,
            ..Self::default()
        }
    }

    /// Makes `change` true.
    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::PutChannel {
                channel,
                number,
                tokens,
                tokens_removed,
            } => {
                self.put_channel(channel.clone());
                let last = &mut self.counters.number_last;
                *last = (*last).max(number.unwrap_or(0));
                for token in tokens_removed {
                    self.remove_token(&channel.id, token);
                }
                for token in tokens {
                    self.put_token(token.clone());
                }
            }
            Change::RemoveChannel { id, tokens, drains } => {
                for token in tokens {
                    self.remove_token(id, token);
                }
                for &drain in drains {
                    self.remove_drain(drain);
                }
                let gone = self.channels.remove(id);
                debug_assert!(
                    gone.is_none_or(
                        |member| member.token_count() == 0 && member.drains().is_empty()
                    ),
                    "the change names all that belongs to the channel"
                );
            }
            Change::PutToken(token) => drop(self.put_token(token.clone())),
            Change::RemoveToken { channel, token } => self.remove_token(channel, token),
            Change::PutDrain(drain) => drop(self.put_drain(drain.as_ref().clone())),
            Change::RemoveDrain(id) => self.remove_drain(*id),
            Change::PutCredential(credential) => self.put_credential(credential.clone()),
            Change::RemoveCredential(id) => drop(self.credentials.remove(id)),
        }
    }

    /// Adds or replaces a channel; what belongs to it stays.
    pub fn put_channel(&mut self, entry: ChannelEntry) {
        match self.channels.get_mut(&entry.id) {
            Some(member) => member.set(entry),
            None => {
                let id = entry.id.clone();
                self.channels.insert(id, Member::new(entry));
            }
        }
    }

    /// Adds or replaces a token; `None`, and nothing done, when its channel is unknown. Tokens are
    /// random: that another channel has the same one is not looked for.
    pub fn put_token(&mut self, entry: TokenEntry) -> Option<()> {
        let member = self.channels.get_mut(&entry.channel)?;
        let source = match self.sources.get(&entry.source) {
            Some(shared) => Arc::clone(shared),
            None => {
                let source = Arc::new(entry.source.clone());
                if self.sources.len() < SOURCES_SHARED_MAX {
                    self.sources.insert(Arc::clone(&source));
                }
                source
            }
        };
        let before = member.token_count();
        member.put_token(entry, source);
        self.token_count += member.token_count() - before;
        Some(())
    }

    /// Adds or replaces a drain; `None`, and nothing done, when its channel is unknown.
    pub fn put_drain(&mut self, mut entry: DrainEntry) -> Option<()> {
        // The channel's own id: the same text, kept once.
        let (id, _) = self.channels.get_key_value(&entry.channel)?;
        entry.channel = id.clone();
        self.channels.get_mut(&entry.channel)?.put_drain(entry.id);
        self.counters.drain_last = self.counters.drain_last.max(entry.id.value());
        self.drains.insert(entry.id, Box::new(entry));
        Some(())
    }

    /// Adds or replaces a credential.
    pub fn put_credential(&mut self, entry: CredentialEntry) {
        self.credentials.insert(entry.id.clone(), entry);
    }

    fn remove_token(&mut self, channel: &ChannelId, token: &Token) {
        if let Some(member) = self.channels.get_mut(channel) {
            let before = member.token_count();
            member.remove_token(token);
            self.token_count -= before - member.token_count();
        }
    }

    fn remove_drain(&mut self, id: DrainId) {
        let Some(entry) = self.drains.remove(&id) else {
            return;
        };
        if let Some(member) = self.channels.get_mut(&entry.channel) {
            member.remove_drain(id);
        }
    }

    /// The channel called `id`.
    #[must_use]
    pub fn channel(&self, id: &ChannelId) -> Option<ChannelEntry> {
        let (id, member) = self.channels.get_key_value(id)?;
        Some(member.entry(id))
    }

    /// The channels named `name`; looks at all of them.
    pub fn channels_named<'a>(
        &'a self,
        name: &'a str,
    ) -> impl Iterator<Item = ChannelEntry> + use<'a> {
        let members = self.channels.iter();
        members
            .filter(move |(_, member)| member.name() == Some(name))
            .map(|(id, member)| member.entry(id))
    }

    /// The tokens of a channel, oldest first.
    pub fn tokens_of<'a>(&'a self, id: &ChannelId) -> impl Iterator<Item = TokenEntry> + use<'a> {
        let found = self.channels.get_key_value(id).into_iter();
        found.flat_map(|(id, member)| member.tokens(id))
    }

    /// The drains of a channel, by id.
    pub fn drains_of<'a>(
        &'a self,
        id: &ChannelId,
    ) -> impl Iterator<Item = &'a DrainEntry> + use<'a> {
        let ids = self.channels.get(id).map(|member| member.drains());
        ids.into_iter()
            .flatten()
            .filter_map(|&drain| self.drain(drain))
    }

    /// Whether `token` is one of the channel `id`.
    #[must_use]
    pub fn has_token(&self, id: &ChannelId, token: &Token) -> bool {
        let member = self.channels.get(id);
        member.is_some_and(|member| member.has_token(token.expose()))
    }

    /// Whether `token` is one of any channel; looks at all of them.
    #[must_use]
    pub fn knows_token(&self, token: &Token) -> bool {
        let mut members = self.channels.values();
        members.any(|member| member.has_token(token.expose()))
    }

    /// The drain numbered `id`.
    #[must_use]
    pub fn drain(&self, id: DrainId) -> Option<&DrainEntry> {
        self.drains.get(&id).map(Box::as_ref)
    }

    /// The credential called `id`.
    #[must_use]
    pub fn credential(&self, id: &CredentialId) -> Option<&CredentialEntry> {
        self.credentials.get(id)
    }

    /// The channels behind `after`, by id.
    pub fn channels<'a>(
        &'a self,
        after: Option<&ChannelId>,
    ) -> impl Iterator<Item = ChannelEntry> + use<'a> {
        range_after(&self.channels, after).map(|(id, member)| member.entry(id))
    }

    /// The drains behind `after`, by id.
    pub fn drains(&self, after: Option<DrainId>) -> impl Iterator<Item = &DrainEntry> + use<'_> {
        range_after(&self.drains, after.as_ref()).map(|(_, drain)| drain.as_ref())
    }

    /// The credentials behind `after`, by id.
    pub fn credentials<'a>(
        &'a self,
        after: Option<&CredentialId>,
    ) -> impl Iterator<Item = &'a CredentialEntry> + use<'a> {
        range_after(&self.credentials, after).map(|(_, credential)| credential)
    }

    /// All tokens, channel by channel.
    pub fn tokens(&self) -> impl Iterator<Item = TokenEntry> {
        let members = self.channels.iter();
        members.flat_map(|(id, member)| member.tokens(id))
    }

    /// The numbers given out so far.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// How many entries there are.
    #[must_use]
    pub fn counts(&self) -> EntryCounts {
        EntryCounts {
            channels: self.channels.len(),
            tokens: self.token_count,
            drains: self.drains.len(),
            credentials: self.credentials.len(),
        }
    }
}

fn range_after<'a, K: Ord, V>(
    map: &'a BTreeMap<K, V>,
    after: Option<&K>,
) -> impl Iterator<Item = (&'a K, &'a V)> + use<'a, K, V> {
    let start = after.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
    map.range((start, std::ops::Bound::Unbounded))
}
