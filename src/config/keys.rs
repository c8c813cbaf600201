//! Every key of the configuration, once: name, type, bounds, default, meaning, and whether it can
//! change while the router runs. The `Config` struct, the reference file and the tests come from
//! this one table.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use crate::channel::WhenFull;
use crate::config::kind::Account;
use crate::config::kind::Address;
use crate::config::kind::Bytes;
use crate::config::kind::Channel;
use crate::config::kind::Choice;
use crate::config::kind::Count;
use crate::config::kind::Credential;
use crate::config::kind::Flag;
use crate::config::kind::Hidden;
use crate::config::kind::HiddenText;
use crate::config::kind::Kind;
use crate::config::kind::ListOf;
use crate::config::kind::LogFilter;
use crate::config::kind::Maybe;
use crate::config::kind::Origin;
use crate::config::kind::Place;
use crate::config::kind::SourceName;
use crate::config::kind::Span;
use crate::config::layers::Reader;
use crate::config::listener::Listener;
use crate::config::listener::Listeners;
use crate::control::Mode;
use crate::id::ChannelId;
use crate::id::Source;
use crate::limits::BATCH_BYTES_LIMIT;
use crate::limits::CHANNEL_BYTES_LIMIT_MIN;
use crate::limits::DRAINS_PER_CHANNEL_MAX;
use crate::limits::FRAME_BYTES_LIMIT;
use crate::limits::SESSIONS_MAX;

/// When a changed value takes effect.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Effect {
    /// At SIGHUP, while the router runs.
    Running,
    /// At the next start.
    Start,
}

/// What a key is when nobody gives it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fallback {
    /// This TOML value.
    Given(&'static str),
    /// Nothing; the TOML value is an example.
    Unset(&'static str),
}

/// One key, for people and for the reference file.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// The heading it stands under.
    pub section: &'static str,
    /// Its name in the file; in the environment `LOGBOOM_` and this in capitals.
    pub name: &'static str,
    /// What it is when nobody gives it.
    pub fallback: Fallback,
    /// When a changed value takes effect.
    pub effect: Effect,
    /// One line of meaning.
    pub meaning: &'static str,
    /// What a value may be: type, unit and bounds.
    pub wanted: fn() -> String,
}

macro_rules! keys {
    ($( [ $section:literal ] $(
        $name:ident: $type:ty, $kind:expr, $fallback:expr, $effect:ident, $meaning:literal;
    )+ )+) => {
        /// The whole configuration: every key, read and checked. Has no `Debug`: it holds secrets.
        #[derive(Clone, PartialEq)]
        pub struct Config {
            $($( #[doc = $meaning] pub $name: $type, )+)+
        }

        /// Every key, in the order of the reference file.
        pub const KEYS: &[Key] = &[$($( Key {
            section: $section,
            name: stringify!($name),
            fallback: $fallback,
            effect: Effect::$effect,
            meaning: $meaning,
            wanted: || $kind.wanted(),
        }, )+)+];

        impl Config {
            /// Reads every key; `None` when one could not be read (the reader then knows why).
            pub(crate) fn read(reader: &mut Reader) -> Option<Self> {
                $($( let $name = reader.value(stringify!($name), &$kind); )+)+
                Some(Self { $($( $name: $name?, )+)+ })
            }

            /// The keys whose values differ between `self` and `newer`.
            #[must_use]
            pub fn changes(&self, newer: &Self) -> Vec<&'static Key> {
                let differs = [$($( self.$name != newer.$name, )+)+];
                KEYS.iter()
                    .zip(differs)
                    .filter_map(|(key, differs)| differs.then_some(key))
                    .collect()
            }
        }

    };
}

const fn given(toml: &'static str) -> Fallback {
    Fallback::Given(toml)
}

const fn unset(toml: &'static str) -> Fallback {
    Fallback::Unset(toml)
}

const SECOND_MS: u64 = 1_000;
const HOUR_MS: u64 = 3_600 * SECOND_MS;
const DAY_MS: u64 = 24 * HOUR_MS;

const MODES: Choice<Mode> = Choice(&[
    ("normal", Mode::Normal),
    ("read_only", Mode::ReadOnly),
    ("disabled", Mode::Disabled),
]);

const WHEN_FULL: Choice<WhenFull> = Choice(&[("lose", WhenFull::Lose), ("wait", WhenFull::Wait)]);

/// Least `batch_bytes_max`: a request of a few messages.
const BATCH_BYTES_LIMIT_MIN: usize = 1_024;

const SESSIONS_LIMIT: u64 = SESSIONS_MAX as u64;

const DRAINS_LIMIT: u64 = DRAINS_PER_CHANNEL_MAX as u64;

keys! {
    ["The node"]
    data_dir: PathBuf, Place, given("\"./logboom-data\""), Start,
        "Folder of the store and of `admin-credential`; made when it is missing.";
    log: String, LogFilter, given("\"info\""), Running,
        "How much the router itself logs to stderr.";
    worker_threads: u64, Count(0, 1_024), given("0"), Start,
        "Threads that run the router; 0: one for every two processors.";
    mode: Mode, MODES, given("\"normal\""), Running,
        "`read_only` refuses changes through the API, `disabled` the whole API, with 503.";
    shutdown_grace: Duration, Span(0, HOUR_MS), given("\"10s\""), Running,
        "How long an ending router waits for requests and flushes its drains.";
    admin_credential: Option<Credential>, Maybe(Account), unset("\"admin:secret\""), Start,
        "Credential with full_api and any_channel made at each start; without it the first start makes a random one in `DATA/admin-credential`.";
    auth_key: Option<HiddenText>, Maybe(Hidden), unset("\"secret\""), Running,
        "Text that the API takes as it is after `Authorization: Basic`, with full_api and any_channel, as LOGPLEX_AUTH_KEY was.";
    ["Where it listens"]
    http: SocketAddr, Address, given("\"127.0.0.1:8601\""), Start,
        "HTTP: POST /logs, sessions, health, metrics, and the API unless it has a listener of its own. Port 0: any free one.";
    api: Option<SocketAddr>, Maybe(Address), unset("\"127.0.0.1:8602\""), Start,
        "Own listener for the API; `http` then no longer answers it.";
    public_url: Option<Url>, Maybe(Origin), unset("\"https://logs.example.com\""), Running,
        "What session URLs begin with; without it, what the client asked for in its Host header.";
    http_tls_certificate: Option<PathBuf>, Maybe(Place), unset("\"/etc/logboom/http.crt\""), Start,
        "PEM certificate chain: the HTTP listeners then speak TLS, with HTTP/2 by ALPN. SIGHUP reads the file again.";
    http_tls_key: Option<PathBuf>, Maybe(Place), unset("\"/etc/logboom/http.key\""), Start,
        "PEM private key of `http_tls_certificate`. SIGHUP reads the file again.";
    syslog_tcp: Option<SocketAddr>, Maybe(Address), given("\"127.0.0.1:6001\""), Start,
        "Syslog over TCP, octet-counted or newline-ended.";
    syslog_udp: Option<SocketAddr>, Maybe(Address), given("\"127.0.0.1:6001\""), Start,
        "Syslog over UDP, a message in each datagram.";
    syslog_tls: Option<SocketAddr>, Maybe(Address), unset("\"127.0.0.1:6514\""), Start,
        "Syslog over TLS; on at 127.0.0.1:6514 when only `tls_certificate` is named.";
    tls_certificate: Option<PathBuf>, Maybe(Place), unset("\"/etc/logboom/syslog.crt\""), Start,
        "PEM certificate chain of syslog over TLS. SIGHUP reads the file again.";
    tls_key: Option<PathBuf>, Maybe(Place), unset("\"/etc/logboom/syslog.key\""), Start,
        "PEM private key of `tls_certificate`. SIGHUP reads the file again.";
    tls_client_ca: Option<PathBuf>, Maybe(Place), unset("\"/etc/logboom/clients.crt\""), Start,
        "PEM certificates: a sender over TLS must then show a certificate signed by one of them. SIGHUP reads the file again.";
    listener: Vec<Listener>, Listeners, given("[]"), Start,
        "Syslog listeners bound to one token: whatever arrives there, RFC 5424, RFC 3164 or a bare line, is its channel's.";
    ["Connections"]
    connections_max: u64, Count(1, 1_000_000), given("10_000"), Start,
        "Connections open at once on each listener; further ones are closed at once and counted.";
    idle_timeout: Duration, Span(SECOND_MS, 7 * DAY_MS), given("\"1h\""), Start,
        "A syslog connection that sent nothing for so long is closed.";
    half_frame_timeout: Duration, Span(SECOND_MS, HOUR_MS), given("\"30s\""), Start,
        "How long a sender may take to send the rest of a frame it began.";
    http_head_timeout: Duration, Span(100, HOUR_MS), given("\"75s\""), Start,
        "How long an HTTP client may take until the head of its next request is there, and so how long its connection may be idle.";
    tls_handshake_timeout: Duration, Span(100, HOUR_MS), given("\"10s\""), Start,
        "How long a TLS handshake may take.";
    keepalive: Duration, Span(0, DAY_MS), given("\"60s\""), Start,
        "Idle time before TCP asks whether the sender is still there; 0: never.";
    socket_receive_bytes: usize, Bytes(0, 1 << 30), given("0"), Start,
        "Receive buffer of each socket; 0: as the system has it.";
    socket_send_bytes: usize, Bytes(0, 1 << 30), given("0"), Start,
        "Send buffer of each socket; 0: as the system has it.";
    ["What may come in"]
    frame_bytes_max: usize, Bytes(480, FRAME_BYTES_LIMIT), given("\"64KiB\""), Start,
        "Longest message; the rest of a longer one is cut off and counted.";
    logs_body_bytes_max: usize, Bytes(1_024, 256 << 20), given("8_000_000"), Start,
        "Longest body of POST /logs, after decompression.";
    dedup_window: Duration, Span(0, DAY_MS), given("\"5m\""), Start,
        "How long a POST /logs that comes again is recognised and not delivered twice, of the last 100,000 at most; beyond, the busiest sender's oldest are forgotten first. 0: never.";
    rate_messages_per_second: u64, Count(0, 1_000_000_000), given("0"), Running,
        "Messages per second that a token may send; 0: any number.";
    rate_bytes_per_second: usize, Bytes(0, 1 << 40), given("0"), Running,
        "Bytes per second that a token may send; 0: any number.";
    rate_burst_seconds: u64, Count(1, 3_600), given("10"), Running,
        "A token that was quiet may send what this many seconds allow at once.";
    deny_logs_ingress: bool, Flag, given("false"), Running,
        "Answers every POST /logs with 503.";
    ["What channels keep"]
    channel_bytes_max: usize, Bytes(CHANNEL_BYTES_LIMIT_MIN, 1 << 40), given("\"16MiB\""), Running,
        "Memory of one channel's log; its oldest messages go first. One that waits may take as much again while a drain is behind.";
    node_bytes_max: usize, Bytes(0, 1 << 44), given("0"), Running,
        "Memory of all logs together; the oldest of the idlest channels go first. 0: half the machine's memory, at most 4GiB.";
    history_age_max: Duration, Span(SECOND_MS, 3_650 * DAY_MS), given("\"7d\""), Running,
        "Older messages are let go.";
    when_full: WhenFull, WHEN_FULL, given("\"lose\""), Running,
        "For channels that do not say it themselves: `lose` the oldest messages, or make senders `wait` for the slowest drain; datagrams never wait.";
    wait_max: Duration, Span(0, HOUR_MS), given("\"30s\""), Running,
        "How long senders wait at most before messages are lost all the same.";
    ["Sessions and tails"]
    sessions_max: u64, Count(1, SESSIONS_LIMIT), given("100_000"), Start,
        "Sessions that wait to be opened or are open; a further one is refused.";
    tail_keepalive: Duration, Span(SECOND_MS, HOUR_MS), given("\"20s\""), Running,
        "A quiet stream of server-sent events gets a comment this often.";
    deny_tail_sessions: bool, Flag, given("false"), Running,
        "`POST /v3/sessions` is refused with 503.";
    ["Drains"]
    batch_bytes_max: usize, Bytes(BATCH_BYTES_LIMIT_MIN, BATCH_BYTES_LIMIT), given("\"100KiB\""), Running,
        "Most that one request or write carries, for drains that do not say it themselves.";
    drains_per_channel_max: u64, Count(1, DRAINS_LIMIT), given("100"), Start,
        "Drains that one channel may have.";
    drain_connect_timeout: Duration, Span(100, HOUR_MS), given("\"5s\""), Running,
        "How long connecting may take; a TLS handshake has as long again.";
    drain_request_timeout: Duration, Span(100, HOUR_MS), given("\"5s\""), Running,
        "How long an HTTP destination may take to answer.";
    drain_write_timeout: Duration, Span(100, HOUR_MS), given("\"4s\""), Running,
        "How long a syslog destination may not read.";
    retry_delay_min: Duration, Span(1, HOUR_MS), given("\"100ms\""), Running,
        "Pause after the first failure; it doubles, with jitter, up to `retry_delay_max`.";
    retry_delay_max: Duration, Span(1, DAY_MS), given("\"60s\""), Running,
        "Longest pause between two tries.";
    drain_http_idle_max: Duration, Span(SECOND_MS, DAY_MS), given("\"144s\""), Running,
        "An HTTP connection that carried nothing for so long is closed.";
    drain_syslog_idle_max: Duration, Span(SECOND_MS, DAY_MS), given("\"240s\""), Running,
        "A syslog connection that carried nothing for so long is closed.";
    drain_age_max: Duration, Span(SECOND_MS, 7 * DAY_MS), given("\"5h\""), Running,
        "A connection this old is replaced by a new one.";
    drain_deny_loopback: bool, Flag, given("false"), Running,
        "Refuses loopback addresses, by the address actually connected to.";
    drain_deny_link_local: bool, Flag, given("false"), Running,
        "Refuses link-local addresses (cloud metadata services among them).";
    drain_deny_private: bool, Flag, given("false"), Running,
        "Refuses private address ranges.";
    notice_interval: Duration, Span(SECOND_MS, DAY_MS), given("\"60s\""), Running,
        "A drain's losses are told in its own channel at most this often.";
    ["Firehose and the router's own numbers"]
    firehose_channels: Vec<ChannelId>, ListOf(Channel), given("[]"), Start,
        "Channels that get copies of the messages of `firehose_tokens`; each goes to one of them. Those that are missing are made at start.";
    firehose_tokens: Vec<Source>, ListOf(SourceName), given("[]"), Start,
        "Names of the tokens whose messages are copied there; without any, nothing is.";
    metrics_channel: Option<ChannelId>, Maybe(Channel), unset("\"logboom-metrics\""), Start,
        "Channel that gets the router's own counters as logfmt lines each minute; made at start when it is missing.";
}
