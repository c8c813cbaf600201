//! The door as its users see it, with a recording node behind it.

mod door;
mod twin;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use crate::channel::WhenFull;
use crate::control::{Control, ControlSettings, Effects};
use crate::id::{ChannelId, DrainId, Source, Token};
use crate::registry::{ChannelEntry, DrainEntry, DrainUrl, TokenEntry, WhenFullSetting};
use crate::store::Store;

/// What a node would run.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Running {
    pub(crate) channels: BTreeMap<String, (bool, bool, Policy)>,
    pub(crate) tokens: BTreeMap<String, (String, String)>,
    pub(crate) drains: BTreeMap<u64, (String, Option<String>)>,
}

pub(crate) type Policy = &'static str;

#[derive(Clone, Default)]
pub(crate) struct Recorder(Arc<Mutex<Running>>);

impl Recorder {
    pub(crate) fn running(&self) -> Running {
        self.0.lock().unwrap().clone()
    }
}

pub(crate) fn drain_row(drain: &DrainEntry) -> (String, Option<String>) {
    let url = drain.url.as_ref().map(|url| url.expose().to_owned());
    (drain.channel.to_string(), url)
}

impl Effects for Recorder {
    fn put_channel(&self, channel: &ChannelEntry, when_full: WhenFull) {
        let when_full = match when_full {
            WhenFull::Lose => "lose",
            WhenFull::Wait => "wait",
        };
        let row = (channel.no_tail, channel.no_redis, when_full);
        let mut running = self.0.lock().unwrap();
        running.channels.insert(channel.id.to_string(), row);
    }
    fn remove_channel(&self, id: &ChannelId) {
        let mut running = self.0.lock().unwrap();
        running.channels.remove(id.as_str()).unwrap();
        assert!(
            running
                .tokens
                .values()
                .all(|(channel, _)| channel != id.as_str())
        );
        assert!(
            running
                .drains
                .values()
                .all(|(channel, _)| channel != id.as_str())
        );
    }
    fn put_token(&self, token: &TokenEntry) {
        let mut running = self.0.lock().unwrap();
        assert!(running.channels.contains_key(token.channel.as_str()));
        let row = (token.channel.to_string(), token.source.to_string());
        running.tokens.insert(token.token.expose().to_owned(), row);
    }
    fn remove_token(&self, token: &Token) {
        self.0
            .lock()
            .unwrap()
            .tokens
            .remove(token.expose())
            .unwrap();
    }
    fn put_drain(&self, drain: &DrainEntry) {
        let mut running = self.0.lock().unwrap();
        assert!(running.channels.contains_key(drain.channel.as_str()));
        running.drains.insert(drain.id.value(), drain_row(drain));
    }
    fn remove_drain(&self, id: DrainId) {
        self.0.lock().unwrap().drains.remove(&id.value()).unwrap();
    }
}

pub(crate) fn start(dir: &Path, settings: ControlSettings) -> (Control, Recorder) {
    let recorder = Recorder::default();
    let store = Store::open(dir).unwrap();
    let control = Control::start_with(store, recorder.clone(), settings).unwrap();
    (control, recorder)
}

pub(crate) fn channel_id(text: &str) -> ChannelId {
    ChannelId::new(text).unwrap()
}

pub(crate) fn source(text: &str) -> Source {
    Source::new(text).unwrap()
}

pub(crate) fn url(text: &str) -> Option<DrainUrl> {
    Some(DrainUrl::parse(text).unwrap())
}

/// What the directory says, in the recorder's terms; credentials apart.
pub(crate) fn listed(control: &Control) -> Running {
    let directory = control.directory();
    let mut listed = Running::default();
    for channel in directory.channels_page(None, usize::MAX) {
        let when_full = match channel.when_full {
            WhenFullSetting::Wait => "wait",
            WhenFullSetting::Lose | WhenFullSetting::Default => "lose",
        };
        let id = channel.id.to_string();
        for token in directory.tokens_of(&channel.id) {
            let row = (id.clone(), token.source.to_string());
            listed.tokens.insert(token.token.expose().to_owned(), row);
        }
        for drain in directory.drains_of(&channel.id) {
            assert_eq!(
                drain_row(&directory.drain(drain.id).unwrap()),
                drain_row(&drain)
            );
            listed.drains.insert(drain.id.value(), drain_row(&drain));
        }
        listed
            .channels
            .insert(id, (channel.no_tail, channel.no_redis, when_full));
    }
    let counts = directory.counts();
    assert_eq!(counts.channels, listed.channels.len());
    assert_eq!(counts.tokens, listed.tokens.len());
    assert_eq!(counts.drains, listed.drains.len());
    listed
}
