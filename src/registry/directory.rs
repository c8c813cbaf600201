//! The entries as everybody reads them.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use crate::id::{ChannelId, CredentialId, DrainId, Secret, Token};
use crate::registry::change::Change;
use crate::registry::channels::ChannelEntry;
use crate::registry::credentials::{CredentialEntry, Grant, SecretHash};
use crate::registry::drains::DrainEntry;
use crate::registry::entries::{Entries, EntryCounts};
use crate::registry::tokens::TokenEntry;

/// The entries under one lock, which is held for look-ups and for applying a change, never for
/// I/O or hashing. Only `control` changes them. The message path does not come here.
pub struct Directory {
    entries: RwLock<Entries>,
}

impl Directory {
    /// A directory of `entries`.
    #[must_use]
    pub const fn new(entries: Entries) -> Self {
        Self {
            entries: RwLock::new(entries),
        }
    }

    /// What the credential `id` may do, if `secret` is its secret. Unknown ids take as long.
    #[must_use]
    pub fn authenticate(&self, id: &str, secret: &Secret) -> Option<Grant> {
        let found = CredentialId::new(id)
            .ok()
            .and_then(|id| self.credential(&id));
        let none = SecretHash::none();
        let is_right = found
            .as_ref()
            .map_or(&none, CredentialEntry::hash)
            .matches(secret);
        let entry = found.filter(|_| is_right)?;
        Some(Grant {
            id: entry.id,
            permissions: Arc::from(entry.permissions),
            created: entry.created,
        })
    }

    /// The channel called `id`.
    #[must_use]
    pub fn channel(&self, id: &ChannelId) -> Option<ChannelEntry> {
        self.read().channel(id)
    }

    /// The channels named `name`, which need not be one; looks at all of them.
    #[must_use]
    pub fn channels_named(&self, name: &str) -> Vec<ChannelEntry> {
        self.read().channels_named(name).collect()
    }

    /// The tokens of a channel, oldest first.
    #[must_use]
    pub fn tokens_of(&self, id: &ChannelId) -> Vec<TokenEntry> {
        self.read().tokens_of(id).collect()
    }

    /// The drains of a channel by id, reserved ones included.
    #[must_use]
    pub fn drains_of(&self, id: &ChannelId) -> Vec<DrainEntry> {
        self.read().drains_of(id).cloned().collect()
    }

    /// Whether a drain of the channel `id` is called `token`.
    #[must_use]
    pub fn has_drain(&self, id: &ChannelId, token: &[u8]) -> bool {
        let entries = self.read();
        let mut drains = entries.drains_of(id);
        drains.any(|drain| drain.token.as_str().as_bytes() == token)
    }

    /// The drain numbered `id`.
    #[must_use]
    pub fn drain(&self, id: DrainId) -> Option<DrainEntry> {
        self.read().drain(id).cloned()
    }

    /// A drain that `is_it`; looks at all of them.
    #[must_use]
    pub fn find_drain(&self, is_it: impl Fn(&DrainEntry) -> bool) -> Option<DrainEntry> {
        self.read().drains(None).find(|drain| is_it(drain)).cloned()
    }

    /// Whether `token` is one of the channel `id`.
    #[must_use]
    pub fn has_token(&self, id: &ChannelId, token: &Token) -> bool {
        self.read().has_token(id, token)
    }

    /// Whether `token` is one of any channel; looks at all of them.
    #[must_use]
    pub fn knows_token(&self, token: &Token) -> bool {
        self.read().knows_token(token)
    }

    /// The credential called `id`.
    #[must_use]
    pub fn credential(&self, id: &CredentialId) -> Option<CredentialEntry> {
        self.read().credential(id).cloned()
    }

    /// A page of the channels in order of their ids: those after `after`, at most `rows`.
    #[must_use]
    pub fn channels_page(&self, after: Option<&ChannelId>, rows: usize) -> Vec<ChannelEntry> {
        self.read().channels(after).take(rows).collect()
    }

    /// A page of the drains in order of their ids: those after `after`, at most `rows`.
    #[must_use]
    pub fn drains_page(&self, after: Option<DrainId>, rows: usize) -> Vec<DrainEntry> {
        self.read().drains(after).take(rows).cloned().collect()
    }

    /// A page of the credentials in order of their ids: those after `after`, at most `rows`.
    #[must_use]
    pub fn credentials_page(
        &self,
        after: Option<&CredentialId>,
        rows: usize,
    ) -> Vec<CredentialEntry> {
        self.read().credentials(after).take(rows).cloned().collect()
    }

    /// How many entries there are.
    #[must_use]
    pub fn counts(&self) -> EntryCounts {
        self.read().counts()
    }

    /// Makes `change` true for all readers at once.
    pub(crate) fn apply(&self, change: &Change) {
        self.entries
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .apply(change);
    }

    fn read(&self) -> RwLockReadGuard<'_, Entries> {
        // `apply` does not panic, so a poisoned lock still guards whole entries.
        self.entries.read().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::UnixMicros;
    use crate::registry::credentials::Permission;

    #[test]
    fn only_id_and_secret_together_authenticate() {
        let directory = Directory::new(Entries::default());
        let secret = Secret::new("password");
        let id = CredentialId::new("local").unwrap();
        directory.apply(&Change::PutCredential(CredentialEntry::new(
            id,
            &secret,
            vec![Permission::FullApi],
            UnixMicros::new(1),
        )));
        assert!(
            directory
                .authenticate("local", &secret)
                .unwrap()
                .has_full_api()
        );
        for (id, secret) in [
            ("local", "passwor"),
            ("local", ""),
            ("nobody", "password"),
            ("", "password"),
            ("lo:cal", "password"),
        ] {
            assert!(
                directory.authenticate(id, &Secret::new(secret)).is_none(),
                "{id}"
            );
        }
    }

    #[test]
    fn pages_go_on_where_the_last_one_ended() {
        let directory = Directory::new(Entries::default());
        for name in ["c", "a", "e", "b", "d"] {
            directory.apply(&Change::PutChannel {
                channel: ChannelEntry::new(ChannelId::new(name).unwrap(), UnixMicros::new(1)),
                number: None,
                tokens: Vec::new(),
                tokens_removed: Vec::new(),
            });
        }
        let mut seen = Vec::new();
        let mut after = None;
        loop {
            let page = directory.channels_page(after.as_ref(), 2);
            assert!(page.len() <= 2);
            let Some(last) = page.last() else { break };
            after = Some(last.id.clone());
            seen.extend(page.into_iter().map(|channel| channel.id.to_string()));
        }
        assert_eq!(seen, ["a", "b", "c", "d", "e"]);
        assert_eq!(directory.counts().channels, 5);
    }
}
