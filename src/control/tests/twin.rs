//! Random sequences of requests against a naive twin, across restarts.

use std::collections::BTreeSet;

use proptest::prelude::*;

use crate::control::tests::{Running, channel_id, drain_row, listed, source, start, url};
use crate::control::{ChannelPatch, Control, ControlError, ControlSettings};
use crate::id::{ChannelId, DrainId, Token};
use crate::registry::{DrainOptions, TokenEntry};

#[derive(Clone, Debug)]
enum Step {
    Number(Vec<&'static str>),
    Put(&'static str, Vec<&'static str>, Option<bool>),
    Delete(&'static str),
    Token(&'static str, &'static str),
    /// A token of a channel, by its place; through another channel's path perhaps.
    TokenDelete(&'static str, usize),
    Drain(&'static str, Option<&'static str>),
    DrainUpdate(&'static str, u64, &'static str),
    DrainDelete(&'static str, u64),
}

const IDS: [&str; 5] = ["1", "2", "3", "4", "app"];
const SOURCES: [&str; 3] = ["app", "web", "heroku"];
const URLS: [&str; 4] = [
    "syslog://h",
    "syslog://h:601",
    "http://h/",
    "https://u:p@h/",
];

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let id = prop::sample::select(&IDS[..]);
    let one = prop::sample::select(&SOURCES[..]);
    let several = prop::collection::vec(one.clone(), 0..4);
    let url = prop::sample::select(&URLS[..]);
    let step = prop_oneof![
        2 => several.clone().prop_map(Step::Number),
        4 => (id.clone(), several, any::<Option<bool>>()).prop_map(|(i, s, f)| Step::Put(i, s, f)),
        1 => id.clone().prop_map(Step::Delete),
        3 => (id.clone(), one).prop_map(|(i, s)| Step::Token(i, s)),
        2 => (id.clone(), 0..8usize).prop_map(|(i, n)| Step::TokenDelete(i, n)),
        4 => (id.clone(), prop::option::of(url.clone())).prop_map(|(i, u)| Step::Drain(i, u)),
        3 => (id.clone(), 0..9u64, url).prop_map(|(i, n, u)| Step::DrainUpdate(i, n, u)),
        2 => (id, 0..9u64).prop_map(|(i, n)| Step::DrainDelete(i, n)),
    ];
    prop::collection::vec(step, 1..40)
}

/// The naive twin: plain rows, every rule written out by search.
#[derive(Default)]
struct Model {
    running: Running,
    number_last: u64,
    drain_last: u64,
}

const DRAINS_MAX: usize = 3;

impl Model {
    fn has(&self, id: &str) -> bool {
        self.running.channels.contains_key(id)
    }

    fn target(url: &str) -> &str {
        if url == "syslog://h" {
            "syslog://h:601"
        } else {
            url
        }
    }

    fn has_drain_to(&self, id: &str, url: &str, but: u64) -> bool {
        self.running
            .drains
            .iter()
            .any(|(&number, (channel, taken))| {
                number != but && channel == id && taken.as_deref() == Some(Self::target(url))
            })
    }

    async fn step(&mut self, control: &Control, step: Step) {
        match step {
            Step::Number(sources) => {
                let sources = sources.into_iter().map(source).collect();
                let made = control.create_numbered_channel(None, sources).await;
                let (channel, tokens) = made.unwrap();
                self.number_last += 1;
                while self.has(&self.number_last.to_string()) {
                    self.number_last += 1;
                }
                assert_eq!(channel.id, ChannelId::from(self.number_last));
                self.running
                    .channels
                    .insert(channel.id.to_string(), (false, false, "lose"));
                self.add_tokens(&tokens);
            }
            Step::Put(id, names, no_tail) => self.put(control, id, names, no_tail).await,
            Step::Delete(id) => {
                let deleted = control.delete_channel(channel_id(id)).await;
                assert_eq!(deleted.is_ok(), self.has(id));
                self.running.channels.remove(id);
                self.running.tokens.retain(|_, row| row.0 != id);
                self.running.drains.retain(|_, row| row.0 != id);
            }
            Step::Token(id, name) => {
                let made = control.create_token(channel_id(id), source(name)).await;
                assert_eq!(made.is_ok(), self.has(id));
                self.add_tokens(&made.into_iter().collect::<Vec<_>>());
            }
            Step::TokenDelete(id, place) => {
                let Some((text, row)) = self.running.tokens.iter().nth(place) else {
                    return;
                };
                let (text, owner) = (text.clone(), row.0.clone());
                let token = Token::new(&text).unwrap();
                let deleted = control.delete_token(channel_id(id), token).await;
                assert_eq!(deleted.is_ok(), owner == id);
                if owner == id {
                    self.running.tokens.remove(&text);
                }
            }
            Step::Drain(..) | Step::DrainUpdate(..) | Step::DrainDelete(..) => {
                self.drain_step(control, step).await;
            }
        }
    }

    async fn put(
        &mut self,
        control: &Control,
        id: &'static str,
        names: Vec<&'static str>,
        no_tail: Option<bool>,
    ) {
        let patch = ChannelPatch {
            no_tail,
            ..ChannelPatch::default()
        };
        let sources = names.iter().copied().map(source).collect();
        let put = control.put_channel(channel_id(id), sources, patch).await;
        let (is_new, tokens) = put.unwrap();
        assert_eq!(is_new, !self.has(id));
        let row = self.running.channels.entry(id.to_owned());
        let row = row.or_insert((false, false, "lose"));
        row.0 = no_tail.unwrap_or(row.0);
        let names: BTreeSet<&str> = names.into_iter().collect();
        self.running
            .tokens
            .retain(|_, (channel, name)| channel != id || names.contains(name.as_str()));
        for token in self.running.tokens.iter().filter(|(_, row)| row.0 == id) {
            assert!(tokens.iter().any(|kept| kept.token.expose() == token.0));
        }
        assert_eq!(
            tokens
                .iter()
                .map(|t| t.source.as_str())
                .collect::<BTreeSet<_>>(),
            names
        );
        self.add_tokens(&tokens);
    }

    async fn drain_step(&mut self, control: &Control, step: Step) {
        match step {
            Step::Drain(id, given) => self.drain(control, id, given).await,
            Step::DrainUpdate(id, number, given) => {
                let drain = DrainId::new(number);
                let updated = control
                    .update_drain(channel_id(id), drain, url(given), Ok)
                    .await;
                let owner = self.running.drains.get(&number).map(|row| row.0.clone());
                let is_right =
                    owner.as_deref() == Some(id) && !self.has_drain_to(id, given, number);
                assert_eq!(updated.is_ok(), is_right);
                if is_right {
                    let shown = Some(Self::target(given).to_owned());
                    self.running.drains.insert(number, (id.to_owned(), shown));
                }
            }
            Step::DrainDelete(id, number) => {
                let deleted = control
                    .delete_drain(channel_id(id), DrainId::new(number))
                    .await;
                let is_right = self
                    .running
                    .drains
                    .get(&number)
                    .is_some_and(|row| row.0 == id);
                assert_eq!(deleted.is_ok(), is_right);
                if is_right {
                    self.running.drains.remove(&number);
                }
            }
            _ => {}
        }
    }

    async fn drain(&mut self, control: &Control, id: &str, given: Option<&str>) {
        let options = DrainOptions::default();
        let made = control
            .create_drain(channel_id(id), given.and_then(url), options)
            .await;
        let count = self
            .running
            .drains
            .values()
            .filter(|row| row.0 == id)
            .count();
        match made {
            Ok(drain) => {
                self.drain_last += 1;
                assert_eq!(drain.id.value(), self.drain_last);
                assert!(self.has(id) && count < DRAINS_MAX);
                assert!(given.is_none_or(|url| !self.has_drain_to(id, url, 0)));
                self.running
                    .drains
                    .insert(self.drain_last, drain_row(&drain));
            }
            Err(ControlError::UnknownChannel) => assert!(!self.has(id)),
            Err(ControlError::DuplicateDrainUrl) => {
                assert!(self.has_drain_to(id, given.unwrap(), 0));
            }
            Err(ControlError::TooManyDrains) => assert_eq!(count, DRAINS_MAX),
            Err(error) => panic!("{error}"),
        }
    }

    fn add_tokens(&mut self, tokens: &[TokenEntry]) {
        for token in tokens {
            let row = (token.channel.to_string(), token.source.to_string());
            self.running
                .tokens
                .insert(token.token.expose().to_owned(), row);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_sequence_does_what_the_naive_twin_does(steps in steps(), restart in 0..40usize) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let settings = ControlSettings {
            drains_per_channel_max: DRAINS_MAX,
            ..ControlSettings::default()
        };
        runtime.block_on(async {
            let (mut control, mut recorder) = start(dir.path(), settings);
            let mut model = Model::default();
            for (index, step) in steps.into_iter().enumerate() {
                model.step(&control, step).await;
                assert_eq!(listed(&control), model.running);
                assert_eq!(recorder.running(), model.running);
                if index == restart {
                    control.stop().await;
                    (control, recorder) = start(dir.path(), settings);
                }
            }
            control.stop().await;
            let (control, recorder) = start(dir.path(), settings);
            assert_eq!(listed(&control), model.running);
            assert_eq!(recorder.running(), model.running);
            control.stop().await;
        });
    }
}
