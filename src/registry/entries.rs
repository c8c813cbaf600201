//! All entries in memory, and the pure function that changes them.

use std::collections::{BTreeMap, HashMap};

use crate::clock::UnixMicros;
use crate::id::{ChannelId, CredentialId, DrainId, Token};
use crate::registry::change::Change;
use crate::registry::channels::ChannelEntry;
use crate::registry::credentials::CredentialEntry;
use crate::registry::drains::DrainEntry;
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
    tokens: HashMap<Token, TokenEntry>,
    drains: BTreeMap<DrainId, DrainEntry>,
    credentials: BTreeMap<CredentialId, CredentialEntry>,
    counters: Counters,
}

/// A channel and what belongs to it.
struct Member {
    entry: ChannelEntry,
    /// Invariant: ordered; the keys of the channel's tokens.
    tokens: Vec<(UnixMicros, Token)>,
    /// Invariant: ordered; the ids of the channel's drains.
    drains: Vec<DrainId>,
}

impl Entries {
    /// No entries, with `counters` as they were left.
    #[must_use]
    pub fn new(counters: Counters) -> Self {
        Self {
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
                    self.remove_token(token);
                }
                for token in tokens {
                    self.put_token(token.clone());
                }
            }
            Change::RemoveChannel { id, tokens, drains } => {
                for token in tokens {
                    self.remove_token(token);
                }
                for &drain in drains {
                    self.remove_drain(drain);
                }
                let gone = self.channels.remove(id);
                debug_assert!(
                    gone.is_none_or(|member| member.tokens.is_empty() && member.drains.is_empty()),
                    "the change names all that belongs to the channel"
                );
            }
            Change::PutToken(token) => drop(self.put_token(token.clone())),
            Change::RemoveToken(token) => self.remove_token(token),
            Change::PutDrain(drain) => drop(self.put_drain(drain.as_ref().clone())),
            Change::RemoveDrain(id) => self.remove_drain(*id),
            Change::PutCredential(credential) => self.put_credential(credential.clone()),
            Change::RemoveCredential(id) => drop(self.credentials.remove(id)),
        }
    }

    /// Adds or replaces a channel; what belongs to it stays.
    pub fn put_channel(&mut self, entry: ChannelEntry) {
        match self.channels.get_mut(&entry.id) {
            Some(member) => member.entry = entry,
            None => drop(self.channels.insert(
                entry.id.clone(),
                Member {
                    entry,
                    tokens: Vec::new(),
                    drains: Vec::new(),
                },
            )),
        }
    }

    /// Adds a token; `None`, and nothing done, when its channel is unknown.
    pub fn put_token(&mut self, entry: TokenEntry) -> Option<()> {
        let member = self.channels.get_mut(&entry.channel)?;
        let key = (entry.created, entry.token.clone());
        if let Err(place) = member.tokens.binary_search(&key) {
            member.tokens.insert(place, key);
        }
        self.tokens.insert(entry.token.clone(), entry);
        Some(())
    }

    /// Adds or replaces a drain; `None`, and nothing done, when its channel is unknown.
    pub fn put_drain(&mut self, entry: DrainEntry) -> Option<()> {
        let member = self.channels.get_mut(&entry.channel)?;
        if let Err(place) = member.drains.binary_search(&entry.id) {
            member.drains.insert(place, entry.id);
        }
        self.counters.drain_last = self.counters.drain_last.max(entry.id.value());
        self.drains.insert(entry.id, entry);
        Some(())
    }

    /// Adds or replaces a credential.
    pub fn put_credential(&mut self, entry: CredentialEntry) {
        self.credentials.insert(entry.id.clone(), entry);
    }

    fn remove_token(&mut self, token: &Token) {
        let Some(entry) = self.tokens.remove(token) else {
            return;
        };
        if let Some(member) = self.channels.get_mut(&entry.channel) {
            member.tokens.retain(|(_, kept)| kept != token);
        }
    }

    fn remove_drain(&mut self, id: DrainId) {
        let Some(entry) = self.drains.remove(&id) else {
            return;
        };
        if let Some(member) = self.channels.get_mut(&entry.channel) {
            member.drains.retain(|&kept| kept != id);
        }
    }

    /// The channel called `id`.
    #[must_use]
    pub fn channel(&self, id: &ChannelId) -> Option<&ChannelEntry> {
        self.channels.get(id).map(|member| &member.entry)
    }

    /// The tokens of a channel, oldest first.
    pub fn tokens_of(&self, id: &ChannelId) -> impl Iterator<Item = &TokenEntry> {
        let keys = self.channels.get(id).map(|member| member.tokens.iter());
        keys.into_iter()
            .flatten()
            .filter_map(|(_, token)| self.tokens.get(token))
    }

    /// The drains of a channel, by id.
    pub fn drains_of(&self, id: &ChannelId) -> impl Iterator<Item = &DrainEntry> {
        let ids = self.channels.get(id).map(|member| member.drains.iter());
        ids.into_iter()
            .flatten()
            .filter_map(|drain| self.drains.get(drain))
    }

    /// The token, if there is such.
    #[must_use]
    pub fn token(&self, token: &Token) -> Option<&TokenEntry> {
        self.tokens.get(token)
    }

    /// The drain numbered `id`.
    #[must_use]
    pub fn drain(&self, id: DrainId) -> Option<&DrainEntry> {
        self.drains.get(&id)
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
    ) -> impl Iterator<Item = &'a ChannelEntry> + use<'a> {
        range_after(&self.channels, after).map(|member| &member.entry)
    }

    /// The drains behind `after`, by id.
    pub fn drains(&self, after: Option<DrainId>) -> impl Iterator<Item = &DrainEntry> + use<'_> {
        range_after(&self.drains, after.as_ref())
    }

    /// The credentials behind `after`, by id.
    pub fn credentials<'a>(
        &'a self,
        after: Option<&CredentialId>,
    ) -> impl Iterator<Item = &'a CredentialEntry> + use<'a> {
        range_after(&self.credentials, after)
    }

    /// All tokens, in no order.
    pub fn tokens(&self) -> impl Iterator<Item = &TokenEntry> {
        self.tokens.values()
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
            tokens: self.tokens.len(),
            drains: self.drains.len(),
            credentials: self.credentials.len(),
        }
    }
}

fn range_after<'a, K: Ord, V>(
    map: &'a BTreeMap<K, V>,
    after: Option<&K>,
) -> impl Iterator<Item = &'a V> + use<'a, K, V> {
    let start = after.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
    map.range((start, std::ops::Bound::Unbounded))
        .map(|(_, value)| value)
}
