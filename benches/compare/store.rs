//! A data directory with many entries, made without the API.

use logboom::clock::UnixMicros;
use logboom::id::{ChannelId, DrainId, DrainToken, Source, Token};
use logboom::registry::{Change, ChannelEntry, DrainEntry, DrainOptions, DrainUrl, TokenEntry};
use logboom::store::Store;

/// How many entries of each kind.
#[derive(Clone, Copy)]
pub(crate) struct Entries {
    pub(crate) channels: u64,
    pub(crate) tokens_each: usize,
    /// Over all channels, in turn.
    pub(crate) drains: u64,
}

/// Makes the directory; gives a token of each channel, too. Drains point to `port`.
pub(crate) fn fill(entries: Entries, port: u16) -> (tempfile::TempDir, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let mut store = Store::open(folder.path()).unwrap();
    let mut changes = Vec::new();
    let mut first_tokens = Vec::new();
    for number in 1..=entries.channels {
        let id = ChannelId::from(number);
        let created = UnixMicros::new(number);
        let token = |index: usize| TokenEntry {
            token: Token::random(),
            source: Source::new(["app", "heroku"][index]).unwrap(),
            channel: id.clone(),
            created,
        };
        let tokens: Vec<TokenEntry> = (0..entries.tokens_each).map(token).collect();
        first_tokens.push(tokens[0].token.expose().to_owned());
        changes.push(Change::PutChannel {
            channel: ChannelEntry::new(id, created),
            number: None,
            tokens,
            tokens_removed: Vec::new(),
        });
    }
    for number in 1..=entries.drains {
        let url = format!("http://127.0.0.1:{port}/{number}");
        changes.push(Change::PutDrain(Box::new(DrainEntry {
            id: DrainId::new(number),
            token: DrainToken::random(),
            channel: ChannelId::from(1 + number % entries.channels),
            url: Some(DrainUrl::parse(&url).unwrap()),
            options: DrainOptions::default().shared(),
            created: UnixMicros::new(number),
        })));
    }
    for some in changes.chunks(5_000) {
        store.commit(some).unwrap();
    }
    (folder, first_tokens)
}
