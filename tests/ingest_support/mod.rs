//! A router's inputs around real channels, without the control plane.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "each test file uses a part; a test may stop at the first surprise"
)]

use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use logboom::channel::{Budget, Channel, ChannelFlags, Cursor, Node, WhenFull};
use logboom::id::{ChannelId, Source, Token};
use logboom::net::listen::{ListenSettings, Listener};
use logboom::route::{Route, RouteTable};
use logboom::shutdown::Shutdown;
use logboom::telemetry::{Input, Telemetry};

/// No test waits longer for anything.
pub const DEADLINE: Duration = Duration::from_secs(20);

pub struct Inputs {
    pub node: Arc<Node>,
    pub table: Arc<RouteTable>,
    pub telemetry: Telemetry,
    pub shutdown: Shutdown,
}

impl Inputs {
    pub fn new() -> Self {
        let telemetry = Telemetry::new().unwrap();
        let budget = Budget {
            channel_bytes_max: 16 * 1024 * 1024,
            node_bytes_max: 256 * 1024 * 1024,
            history_age_max: Duration::from_secs(3_600),
            wait_max: Duration::from_secs(30),
        };
        Self {
            node: Node::new(budget, telemetry.clone()),
            table: Arc::new(RouteTable::new()),
            telemetry,
            shutdown: Shutdown::new(),
        }
    }

    /// A channel with one token, and a reader at its begin.
    pub fn channel(&self, id: &str, token: &str, source: &str) -> Reader {
        let id = ChannelId::new(id).unwrap();
        let channel = self.node.open(&id, ChannelFlags::default(), WhenFull::Lose);
        let cursor = channel.cursor_at_end();
        self.add_token(&channel, token, source);
        Reader { channel, cursor }
    }

    pub fn add_token(&self, channel: &Arc<Channel>, token: &str, source: &str) {
        let route = Route {
            channel: Arc::clone(channel),
            source: Source::new(source).unwrap(),
        };
        self.table.insert(&Token::new(token).unwrap(), route);
    }

    pub fn listener(&self, input: Input) -> Listener {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let counters = self.telemetry.input(input).clone();
        Listener::bind(any, ListenSettings::default(), counters).unwrap()
    }

    /// Asserts that the counter line `name_and_labels` has `value`.
    pub fn assert_counted(&self, name_and_labels: &str, value: u64) {
        let text = self.telemetry.render();
        let line = format!("{name_and_labels} {value}");
        assert!(
            text.lines().any(|own| own == line),
            "no {line:?} in\n{text}"
        );
    }
}

impl Drop for Inputs {
    fn drop(&mut self) {
        self.shutdown.request();
    }
}

pub struct Reader {
    pub channel: Arc<Channel>,
    cursor: Cursor,
}

impl Reader {
    /// The next `count` messages as `SOURCE|PROCID|TEXT`; fails when they do not come.
    pub async fn next(&mut self, count: usize) -> Vec<String> {
        let mut found = Vec::new();
        while found.len() < count {
            tokio::time::timeout(DEADLINE, self.channel.readable(&self.cursor))
                .await
                .unwrap_or_else(|_| panic!("only {} of {count}: {found:?}", found.len()));
            self.read(count, &mut found);
        }
        found
    }

    pub fn cursor(&self) -> &Cursor {
        &self.cursor
    }

    /// What is there and was not read yet.
    pub fn rest(&mut self) -> Vec<String> {
        let mut found = Vec::new();
        self.read(usize::MAX, &mut found);
        found
    }

    fn read(&mut self, count: usize, found: &mut Vec<String>) {
        let outcome = self.channel.read(&mut self.cursor, |record| {
            if found.len() == count {
                return ControlFlow::Break(());
            }
            let message = record.message();
            let fields = [message.app_name, message.procid, message.text];
            found.push(fields.map(String::from_utf8_lossy).join("|"));
            ControlFlow::Continue(())
        });
        assert_eq!(outcome.lost, 0);
    }
}

pub const TOKEN_A: &str = "t.1493aebe-afe1-4dd5-921d-208643584dd6";
pub const TOKEN_B: &str = "t.2593aebe-afe1-4dd5-921d-208643584dd6";

/// One RFC 5424 message.
pub fn message(token: &str, text: &str) -> String {
    format!("<134>1 2012-12-10T03:00:48.123456Z host {token} web.1 - - {text}")
}

/// The same, octet-counted.
pub fn counted(token: &str, text: &str) -> String {
    let message = message(token, text);
    format!("{} {message}", message.len())
}
