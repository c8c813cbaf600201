//! A channel as it is kept in memory. There are many, and most of them rest: what few of them
//! have takes no room in the others.

use std::sync::Arc;

use crate::clock::UnixMicros;
use crate::id::{ChannelId, DrainId, Source, Token};
use crate::registry::channels::{ChannelEntry, WhenFullSetting};
use crate::registry::tokens::TokenEntry;

/// A channel's settings and what belongs to it; its id is kept beside it.
pub(crate) struct Member {
    tokens: Tokens,
    created: UnixMicros,
    rare: Option<Box<Rare>>,
    no_tail: bool,
    no_redis: bool,
    when_full: WhenFullSetting,
}

/// What only some channels have.
#[derive(Default)]
struct Rare {
    name: Option<String>,
    /// Invariant: ordered; the ids of the channel's drains.
    drains: Vec<DrainId>,
}

/// A token as its channel keeps it.
struct TokenRow {
    token: Token,
    /// A thin pointer to what many tokens share.
    source: Arc<Source>,
    created: UnixMicros,
}

/// Invariant: ordered by time, then token.
enum Tokens {
    /// As most channels have.
    One(TokenRow),
    Many(Vec<TokenRow>),
}

impl Member {
    /// A channel to which nothing belongs yet.
    pub(crate) fn new(entry: ChannelEntry) -> Self {
        let mut member = Self {
            tokens: Tokens::Many(Vec::new()),
            created: entry.created,
            rare: None,
            no_tail: false,
            no_redis: false,
            when_full: WhenFullSetting::Default,
        };
        member.set(entry);
        member
    }

    /// Takes the settings of `entry`; what belongs to the channel stays.
    pub(crate) fn set(&mut self, entry: ChannelEntry) {
        let ChannelEntry {
            id: _,
            name,
            no_tail,
            no_redis,
            when_full,
            created,
        } = entry;
        self.created = created;
        self.no_tail = no_tail;
        self.no_redis = no_redis;
        self.when_full = when_full;
        if self.rare.is_some() || name.is_some() {
            self.rare.get_or_insert_default().name = name;
            self.trim();
        }
    }

    /// Its name for people.
    pub(crate) fn name(&self) -> Option<&str> {
        self.rare.as_ref()?.name.as_deref()
    }

    /// The entry of this channel, which is called `id`.
    pub(crate) fn entry(&self, id: &ChannelId) -> ChannelEntry {
        ChannelEntry {
            id: id.clone(),
            name: self.rare.as_ref().and_then(|rare| rare.name.clone()),
            no_tail: self.no_tail,
            no_redis: self.no_redis,
            when_full: self.when_full,
            created: self.created,
        }
    }

    /// The entries of the tokens, oldest first; `id` is the channel's.
    pub(crate) fn tokens(&self, id: &ChannelId) -> impl Iterator<Item = TokenEntry> {
        self.tokens.rows().iter().map(|row| TokenEntry {
            token: row.token.clone(),
            source: Source::clone(&row.source),
            channel: id.clone(),
            created: row.created,
        })
    }

    /// Whether it has this token.
    pub(crate) fn has_token(&self, token: &str) -> bool {
        let mut rows = self.tokens.rows().iter();
        rows.any(|row| row.token.expose() == token)
    }

    /// How many tokens it has.
    pub(crate) fn token_count(&self) -> usize {
        self.tokens.rows().len()
    }

    /// Adds or replaces a token, whose name is `source`.
    pub(crate) fn put_token(&mut self, entry: TokenEntry, source: Arc<Source>) {
        self.remove_token(&entry.token);
        self.tokens.insert(TokenRow {
            token: entry.token,
            source,
            created: entry.created,
        });
    }

    /// Forgets a token.
    pub(crate) fn remove_token(&mut self, token: &Token) {
        match &mut self.tokens {
            Tokens::One(row) if row.token == *token => self.tokens = Tokens::Many(Vec::new()),
            Tokens::One(_) => {}
            Tokens::Many(rows) => rows.retain(|row| row.token != *token),
        }
    }

    /// The ids of its drains, in order.
    pub(crate) fn drains(&self) -> &[DrainId] {
        self.rare.as_ref().map_or(&[], |rare| &rare.drains)
    }

    /// Adds a drain.
    pub(crate) fn put_drain(&mut self, id: DrainId) {
        let drains = &mut self.rare.get_or_insert_default().drains;
        if let Err(place) = drains.binary_search(&id) {
            if drains.is_empty() {
                drains.reserve_exact(1);
            }
            drains.insert(place, id);
        }
    }

    /// Forgets a drain.
    pub(crate) fn remove_drain(&mut self, id: DrainId) {
        if let Some(rare) = &mut self.rare {
            rare.drains.retain(|&kept| kept != id);
        }
        self.trim();
    }

    /// Gives back the room for what it does not have.
    fn trim(&mut self) {
        let is_rare = |rare: &Rare| rare.name.is_some() || !rare.drains.is_empty();
        if !self.rare.as_deref().is_some_and(is_rare) {
            self.rare = None;
        }
    }
}

impl Tokens {
    fn rows(&self) -> &[TokenRow] {
        match self {
            Self::One(row) => std::slice::from_ref(row),
            Self::Many(rows) => rows,
        }
    }

    fn insert(&mut self, row: TokenRow) {
        let mut rows = match std::mem::replace(self, Self::Many(Vec::new())) {
            Self::One(first) => {
                let mut rows = Vec::with_capacity(2);
                rows.push(first);
                rows
            }
            Self::Many(rows) => rows,
        };
        if rows.is_empty() {
            *self = Self::One(row);
            return;
        }
        let place = rows.partition_point(|kept| kept.key() < row.key());
        rows.insert(place, row);
        *self = Self::Many(rows);
    }
}

impl TokenRow {
    fn key(&self) -> (UnixMicros, &str) {
        (self.created, self.token.expose())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channel() -> ChannelEntry {
        ChannelEntry::new(ChannelId::new("app").unwrap(), UnixMicros::new(7))
    }

    fn put(member: &mut Member, token: &str, created: u64) {
        let source = Source::new("app").unwrap();
        let entry = TokenEntry {
            token: Token::new(token).unwrap(),
            source: source.clone(),
            channel: channel().id,
            created: UnixMicros::new(created),
        };
        member.put_token(entry, Arc::new(source));
    }

    fn tokens(member: &Member) -> Vec<String> {
        let id = channel().id;
        let rows = member.tokens(&id);
        rows.map(|entry| entry.token.expose().to_owned()).collect()
    }

    /// There may be millions.
    #[test]
    fn a_member_is_small() {
        assert_eq!(size_of::<Member>(), 56);
    }

    #[test]
    fn tokens_stand_in_their_order_however_they_came() {
        let mut member = Member::new(channel());
        assert_eq!(tokens(&member), [""; 0]);
        put(&mut member, "t.b", 2);
        assert_eq!(tokens(&member), ["t.b"]);
        put(&mut member, "t.c", 1);
        put(&mut member, "t.a", 2);
        assert_eq!(tokens(&member), ["t.c", "t.a", "t.b"]);
        put(&mut member, "t.c", 3);
        assert_eq!(tokens(&member), ["t.a", "t.b", "t.c"]);
        assert!(member.has_token("t.b") && !member.has_token("t.d"));
        for (gone, count) in [("t.b", 2), ("t.b", 2), ("t.a", 1), ("t.c", 0)] {
            member.remove_token(&Token::new(gone).unwrap());
            assert_eq!(member.token_count(), count);
        }
        put(&mut member, "t.b", 1);
        put(&mut member, "t.b", 2);
        assert_eq!(tokens(&member), ["t.b"]);
        member.remove_token(&Token::new("t.b").unwrap());
        assert_eq!(member.token_count(), 0);
    }

    #[test]
    fn settings_and_drains_do_not_disturb_each_other() {
        let mut member = Member::new(channel());
        assert!(member.entry(&channel().id) == channel());
        for id in [3, 1, 2, 2] {
            member.put_drain(DrainId::new(id));
        }
        let mut named = channel();
        named.name = Some("shop".to_owned());
        named.no_tail = true;
        named.when_full = WhenFullSetting::Wait;
        member.set(named.clone());
        assert!(member.entry(&named.id) == named);
        assert_eq!(member.drains(), [1, 2, 3].map(DrainId::new));
        member.remove_drain(DrainId::new(2));
        member.set(channel());
        assert!(member.entry(&named.id) == channel());
        assert_eq!(member.drains(), [1, 3].map(DrainId::new));
        assert!(member.rare.is_some());
        member.remove_drain(DrainId::new(1));
        member.remove_drain(DrainId::new(3));
        assert!(member.rare.is_none(), "nothing rare is left");
    }
}
