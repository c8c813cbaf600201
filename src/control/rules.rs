//! What each request may do and which change it comes to. Looks at the directory, draws ids and
//! secrets; changes nothing itself.

use std::collections::BTreeSet;

use crate::clock;
use crate::clock::UnixMicros;
use crate::control::ChannelPatch;
use crate::control::error::ControlError;
use crate::filter::Filter;
use crate::id::{ChannelId, CredentialId, DrainId, DrainToken, Secret, Source, Token};
use crate::limits::{
    CHANNEL_NAME_BYTES_MAX, CHANNELS_MAX, CREDENTIAL_PERMISSIONS_MAX, CREDENTIALS_MAX,
    TOKENS_PER_CHANNEL_MAX,
};
use crate::registry::{
    Change, ChannelEntry, Counters, CredentialEntry, Directory, DrainEntry, DrainOptions, DrainUrl,
    Permission, TokenEntry, random_secret,
};

/// A checked request: what it changes, if anything, and its answer.
type Checked<T> = Result<(Option<Change>, T), ControlError>;

/// The rules, with the numbers that are given out one by one.
pub(crate) struct Rules {
    counters: Counters,
    drains_per_channel_max: usize,
    /// Channels and credentials that this batch makes: the directory does not count them yet.
    channels_new: usize,
    credentials_new: usize,
    numbered: Option<ChannelId>,
}

impl Rules {
    pub(crate) const fn new(counters: Counters, drains_per_channel_max: usize) -> Self {
        Self {
            counters,
            drains_per_channel_max,
            channels_new: 0,
            credentials_new: 0,
            numbered: None,
        }
    }

    /// The directory knows all that was checked before.
    pub(crate) const fn begin_batch(&mut self) {
        self.channels_new = 0;
        self.credentials_new = 0;
    }

    /// The id that `create_numbered_channel` has just chosen.
    pub(crate) const fn take_numbered(&mut self) -> Option<ChannelId> {
        self.numbered.take()
    }

    pub(crate) fn create_numbered_channel(
        &mut self,
        directory: &Directory,
        name: Option<String>,
        sources: &[Source],
    ) -> Checked<(ChannelEntry, Vec<TokenEntry>)> {
        check_name(name.as_deref())?;
        check_token_count(sources.len())?;
        self.check_room_for_channel(directory)?;
        let now = clock::wall();
        let (number, id) = self.next_number(directory);
        let mut channel = ChannelEntry::new(id.clone(), now);
        channel.name = name;
        let tokens = make_tokens(&id, sources, now);
        self.channels_new += 1;
        self.numbered = Some(id);
        let change = Change::PutChannel {
            channel: channel.clone(),
            number: Some(number),
            tokens: tokens.clone(),
            tokens_removed: Vec::new(),
        };
        Ok((Some(change), (channel, tokens)))
    }

    pub(crate) fn put_channel(
        &mut self,
        directory: &Directory,
        id: ChannelId,
        sources: Vec<Source>,
        patch: ChannelPatch,
    ) -> Checked<(bool, Vec<TokenEntry>)> {
        let mut seen = BTreeSet::new();
        let mut sources = sources;
        sources.retain(|source| seen.insert(source.clone()));
        check_token_count(sources.len())?;
        let known = directory.channel(&id);
        if known.is_none() {
            self.check_room_for_channel(directory)?;
        }
        let now = clock::wall();
        let is_new = known.is_none();
        let before = known.clone();
        let channel = patched(
            known.unwrap_or_else(|| ChannelEntry::new(id.clone(), now)),
            patch,
        )?;
        let (kept, removed): (Vec<_>, Vec<_>) = directory
            .tokens_of(&id)
            .into_iter()
            .partition(|token| seen.contains(&token.source));
        sources.retain(|source| kept.iter().all(|token| token.source != *source));
        let made = make_tokens(&id, &sources, after(&kept, now));
        let mut tokens = kept;
        tokens.extend_from_slice(&made);
        check_token_count(tokens.len())?;
        if made.is_empty() && removed.is_empty() && before.as_ref() == Some(&channel) {
            return Ok((None, (false, tokens)));
        }
        self.channels_new += usize::from(is_new);
        let change = Change::PutChannel {
            channel,
            number: None,
            tokens: made,
            tokens_removed: removed.into_iter().map(|token| token.token).collect(),
        };
        Ok((Some(change), (is_new, tokens)))
    }

    pub(crate) fn patch_channel(
        &self,
        directory: &Directory,
        id: &ChannelId,
        patch: ChannelPatch,
    ) -> Checked<ChannelEntry> {
        let before = directory.channel(id).ok_or(ControlError::UnknownChannel)?;
        let channel = patched(before.clone(), patch)?;
        let change = (before != channel).then(|| Change::PutChannel {
            channel: channel.clone(),
            number: None,
            tokens: Vec::new(),
            tokens_removed: Vec::new(),
        });
        Ok((change, channel))
    }

    pub(crate) fn delete_channel(&self, directory: &Directory, id: ChannelId) -> Checked<()> {
        directory.channel(&id).ok_or(ControlError::UnknownChannel)?;
        let tokens = directory.tokens_of(&id);
        let drains = directory.drains_of(&id);
        let change = Change::RemoveChannel {
            id,
            tokens: tokens.into_iter().map(|token| token.token).collect(),
            drains: drains.into_iter().map(|drain| drain.id).collect(),
        };
        Ok((Some(change), ()))
    }

    pub(crate) fn create_token(
        &self,
        directory: &Directory,
        channel: ChannelId,
        source: Source,
    ) -> Checked<TokenEntry> {
        directory
            .channel(&channel)
            .ok_or(ControlError::UnknownChannel)?;
        let tokens = directory.tokens_of(&channel);
        check_token_count(tokens.len() + 1)?;
        let token = TokenEntry {
            token: Token::random(),
            source,
            channel,
            created: after(&tokens, clock::wall()),
        };
        Ok((Some(Change::PutToken(token.clone())), token))
    }

    pub(crate) fn delete_token(
        &self,
        directory: &Directory,
        channel: &ChannelId,
        token: Token,
    ) -> Checked<()> {
        directory
            .channel(channel)
            .ok_or(ControlError::UnknownChannel)?;
        if !directory.has_token(channel, &token) {
            return Err(ControlError::UnknownToken);
        }
        let channel = channel.clone();
        Ok((Some(Change::RemoveToken { channel, token }), ()))
    }

    pub(crate) fn create_drain(
        &mut self,
        directory: &Directory,
        channel: ChannelId,
        url: Option<DrainUrl>,
        options: DrainOptions,
    ) -> Checked<DrainEntry> {
        directory
            .channel(&channel)
            .ok_or(ControlError::UnknownChannel)?;
        check_options(&options, url.as_ref())?;
        let drains = directory.drains_of(&channel);
        check_duplicate(&drains, None, url.as_ref())?;
        if self.drains_per_channel_max <= drains.len() {
            return Err(ControlError::TooManyDrains);
        }
        self.counters.drain_last += 1;
        let drain = DrainEntry {
            id: DrainId::new(self.counters.drain_last),
            token: DrainToken::random(),
            channel,
            url,
            options: options.shared(),
            created: clock::wall(),
        };
        Ok((Some(Change::PutDrain(Box::new(drain.clone()))), drain))
    }

    pub(crate) fn update_drain(
        &self,
        directory: &Directory,
        channel: &ChannelId,
        id: DrainId,
        url: Option<DrainUrl>,
        merge: impl FnOnce(DrainOptions) -> Result<DrainOptions, ControlError>,
    ) -> Checked<DrainEntry> {
        let before = drain_of(directory, channel, id)?;
        let mut drain = before.clone();
        drain.url = url.or(drain.url);
        drain.options = merge(DrainOptions::clone(&drain.options))?.shared();
        check_options(&drain.options, drain.url.as_ref())?;
        let drains = directory.drains_of(channel);
        check_duplicate(&drains, Some(id), drain.url.as_ref())?;
        let change = (before != drain).then(|| Change::PutDrain(Box::new(drain.clone())));
        Ok((change, drain))
    }

    pub(crate) fn delete_drain(
        &self,
        directory: &Directory,
        channel: &ChannelId,
        id: DrainId,
    ) -> Checked<DrainEntry> {
        let drain = drain_of(directory, channel, id)?;
        Ok((Some(Change::RemoveDrain(id)), drain))
    }

    pub(crate) fn put_credential(
        &mut self,
        directory: &Directory,
        id: CredentialId,
        secret: Option<Secret>,
        mut permissions: Vec<Permission>,
    ) -> Checked<(CredentialEntry, Option<Secret>)> {
        if CREDENTIAL_PERMISSIONS_MAX < permissions.len() {
            return Err(ControlError::TooManyPermissions);
        }
        let mut seen = BTreeSet::new();
        permissions.retain(|permission| seen.insert(permission.to_string()));
        if directory.credential(&id).is_none() {
            if CREDENTIALS_MAX <= directory.counts().credentials + self.credentials_new {
                return Err(ControlError::Full);
            }
            self.credentials_new += 1;
        }
        let (made, given) = match secret {
            Some(secret) => (None, secret),
            None => {
                let secret = random_secret();
                (Some(Secret::new(secret.expose())), secret)
            }
        };
        // Not before what it is for: a channel made later is another one (`Grant::role_in`).
        let apps = permissions
            .iter()
            .filter_map(|permission| permission.role()?.1);
        let made_last = apps.filter_map(|app| Some(directory.channel(app)?.created.value()));
        let now = clock::wall().value();
        let created = UnixMicros::new(made_last.max().map_or(now, |last| now.max(last)));
        let entry = CredentialEntry::new(id, &given, permissions, created);
        Ok((Some(Change::PutCredential(entry.clone())), (entry, made)))
    }

    pub(crate) fn delete_credential(&self, directory: &Directory, id: CredentialId) -> Checked<()> {
        directory
            .credential(&id)
            .ok_or(ControlError::UnknownCredential)?;
        Ok((Some(Change::RemoveCredential(id)), ()))
    }

    fn check_room_for_channel(&self, directory: &Directory) -> Result<(), ControlError> {
        if directory.counts().channels + self.channels_new < CHANNELS_MAX {
            Ok(())
        } else {
            Err(ControlError::Full)
        }
    }

    /// The next number that no channel has as its id. Ends: there are fewer channels than numbers.
    fn next_number(&mut self, directory: &Directory) -> (u64, ChannelId) {
        loop {
            self.counters.number_last += 1;
            let id = ChannelId::from(self.counters.number_last);
            if directory.channel(&id).is_none() {
                return (self.counters.number_last, id);
            }
        }
    }
}

fn patched(mut channel: ChannelEntry, patch: ChannelPatch) -> Result<ChannelEntry, ControlError> {
    check_name(patch.name.as_deref())?;
    channel.no_tail = patch.no_tail.unwrap_or(channel.no_tail);
    channel.no_redis = patch.no_redis.unwrap_or(channel.no_redis);
    channel.when_full = patch.when_full.unwrap_or(channel.when_full);
    channel.name = patch.name.or(channel.name);
    Ok(channel)
}

fn check_name(name: Option<&str>) -> Result<(), ControlError> {
    match name {
        Some(name) if CHANNEL_NAME_BYTES_MAX < name.len() => {
            Err(ControlError::NameTooLong { bytes: name.len() })
        }
        _ => Ok(()),
    }
}

const fn check_token_count(count: usize) -> Result<(), ControlError> {
    if count <= TOKENS_PER_CHANNEL_MAX {
        Ok(())
    } else {
        Err(ControlError::TooManyTokens)
    }
}

fn check_options(options: &DrainOptions, url: Option<&DrainUrl>) -> Result<(), ControlError> {
    match url {
        Some(url) => options.check(url)?,
        None => options.check_alone()?,
    }
    if let Some(filter) = &options.filter {
        Filter::parse(filter)?;
    }
    Ok(())
}

/// Refuses a URL that another drain than `id` sends to.
fn check_duplicate(
    drains: &[DrainEntry],
    id: Option<DrainId>,
    url: Option<&DrainUrl>,
) -> Result<(), ControlError> {
    let Some(url) = url else { return Ok(()) };
    let is_taken = drains
        .iter()
        .filter(|drain| Some(drain.id) != id)
        .filter_map(|drain| drain.url.as_ref())
        .any(|taken| taken.is_same_target(url));
    if is_taken {
        Err(ControlError::DuplicateDrainUrl)
    } else {
        Ok(())
    }
}

fn drain_of(
    directory: &Directory,
    channel: &ChannelId,
    id: DrainId,
) -> Result<DrainEntry, ControlError> {
    directory
        .channel(channel)
        .ok_or(ControlError::UnknownChannel)?;
    directory
        .drain(id)
        .filter(|drain| drain.channel == *channel)
        .ok_or(ControlError::UnknownDrain)
}

/// `now`, or just after the newest of `tokens`: the time orders a channel's tokens.
fn after(tokens: &[TokenEntry], now: UnixMicros) -> UnixMicros {
    let newest = tokens.iter().map(|token| token.created.value()).max();
    newest.map_or(now, |newest| UnixMicros::new(now.value().max(newest + 1)))
}

fn make_tokens(channel: &ChannelId, sources: &[Source], first: UnixMicros) -> Vec<TokenEntry> {
    (first.value()..)
        .zip(sources)
        .map(|(created, source)| TokenEntry {
            token: Token::random(),
            source: source.clone(),
            channel: channel.clone(),
            created: UnixMicros::new(created),
        })
        .collect()
}
