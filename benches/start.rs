//! Start of the control plane from its store: opens the file, reads every entry, builds the
//! directory, and hands each entry to what follows it.
//!
//! `cargo bench --bench start [-- CHANNELS]`; each channel has two tokens and every second one a
//! drain. Prints seconds for making the file, a first start and a start after an unclean end.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench talks to whoever runs it"
)]

use std::env;
use std::path::Path;
use std::time::Duration;

use logboom::channel::WhenFull;
use logboom::clock;
use logboom::clock::UnixMicros;
use logboom::control::{Control, ControlSettings, Effects};
use logboom::id::{ChannelId, DrainId, DrainToken, Source, Token};
use logboom::registry::{
    Change, ChannelEntry, DrainEntry, DrainOptions, DrainUrl, EntryCounts, TokenEntry,
};
use logboom::store::Store;

/// Channels without an argument, and under `cargo test`, where only running at all matters.
const CHANNELS_DEFAULT: u64 = 100_000;
const CHANNELS_SMALL: u64 = 1_000;

/// A node that does nothing: the node's own start is measured with the channels.
struct NoNode;

impl Effects for NoNode {
    fn put_channel(&self, _: &ChannelEntry, _: WhenFull) {}
    fn remove_channel(&self, _: &ChannelId) {}
    fn put_token(&self, _: &TokenEntry) {}
    fn remove_token(&self, _: &Token) {}
    fn put_drain(&self, _: &DrainEntry) {}
    fn remove_drain(&self, _: DrainId) {}
}

fn main() {
    let arguments: Vec<String> = env::args().collect();
    let given = arguments.iter().find_map(|text| text.parse().ok());
    let is_bench = arguments.iter().any(|text| text == "--bench");
    let channels = given.unwrap_or(if is_bench {
        CHANNELS_DEFAULT
    } else {
        CHANNELS_SMALL
    });
    let dir = tempfile::tempdir().unwrap();
    let started = clock::now();
    fill(dir.path(), channels);
    println!(
        "fill {channels} channels: {:.3} s",
        started.elapsed().as_secs_f64()
    );
    let (took, counts) = start(dir.path());
    println!("start: {:.3} s, {counts:?}", took.as_secs_f64());
    let drains = usize::try_from(channels.div_ceil(2)).unwrap();
    assert_eq!(counts.tokens, 2 * counts.channels);
    assert_eq!(counts.drains, drains);
    let crashed = tempfile::tempdir().unwrap();
    copy_of_open_file(dir.path(), crashed.path());
    let (took, after) = start(crashed.path());
    println!("start after an unclean end: {:.3} s", took.as_secs_f64());
    assert_eq!(after, counts);
}

fn start(dir: &Path) -> (Duration, EntryCounts) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let started = clock::now();
    let store = Store::open(dir).unwrap();
    let control = Control::start_with(store, NoNode, ControlSettings::default()).unwrap();
    let took = started.elapsed();
    let counts = control.directory().counts();
    runtime.block_on(control.stop());
    (took, counts)
}

/// Copies the file while the store is open: what a killed router leaves behind.
fn copy_of_open_file(from: &Path, to: &Path) {
    let mut store = Store::open(from).unwrap();
    let id = ChannelId::from(1);
    let channel = ChannelEntry::new(id, UnixMicros::new(1));
    store.commit(&[put(channel, Vec::new())]).unwrap();
    let name = store.path().file_name().unwrap().to_owned();
    std::fs::copy(store.path(), to.join(name)).unwrap();
}

fn fill(dir: &Path, channels: u64) {
    let mut store = Store::open(dir).unwrap();
    let mut changes = Vec::new();
    for number in 1..=channels {
        let id = ChannelId::from(number);
        let created = UnixMicros::new(number);
        let tokens = ["app", "heroku"].map(|name| TokenEntry {
            token: Token::random(),
            source: Source::new(name).unwrap(),
            channel: id.clone(),
            created,
        });
        let channel = ChannelEntry::new(id.clone(), created);
        changes.push(put(channel, tokens.to_vec()));
        if number % 2 == 1 {
            changes.push(Change::PutDrain(Box::new(DrainEntry {
                id: DrainId::new(number.div_ceil(2)),
                token: DrainToken::random(),
                channel: id,
                url: Some(DrainUrl::parse("https://user:password@logs.example.com/in").unwrap()),
                options: DrainOptions::default().shared(),
                created,
            })));
        }
        if 5_000 <= changes.len() {
            store.commit(&changes).unwrap();
            changes.clear();
        }
    }
    store.commit(&changes).unwrap();
}

fn put(channel: ChannelEntry, tokens: Vec<TokenEntry>) -> Change {
    Change::PutChannel {
        channel,
        number: None,
        tokens,
        tokens_removed: Vec::new(),
    }
}
