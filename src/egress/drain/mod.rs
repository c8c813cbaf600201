//! Drains: configured destinations that a channel's messages are sent to.
//!
//! ```text
//!   channel ──cursor──► machine ──batch──► sink ──► destination
//!                          ▲                 │
//!                          └──── outcome ────┘
//! ```
//! One machine serves every kind: it keeps the place, the batch and the book (`machine`, `ledger`,
//! `batch`), pace and trouble (`task`, `health`, `notice`). What differs is the sink
//! (`http`, `syslog`, `udp`): connect, send a batch, notice the end of a connection. OTLP is HTTP
//! with other bodies and another reading of answers (`otlp`).
//! Delivery is at least once; a batch's `Logplex-Frame-Id` tells a second delivery from a first.

mod attempt;
mod batch;
mod flush;
mod health;
mod http;
mod ledger;
mod machine;
mod notice;
mod orders;
mod otlp;
mod plan;
mod refusal;
mod sink;
mod supervisor;
mod syslog;
mod task;
mod udp;
mod wait;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize as _;

use crate::clock::UnixMicros;
use crate::net::connect::DenyRules;

pub use supervisor::Drains;

/// Settings all drains share; may change while running.
#[derive(Clone, Debug)]
pub struct DrainSettings {
    /// Bytes of a batch before compression, for drains that name no number of their own.
    pub batch_bytes_max: usize,
    /// For resolving and connecting together; the TLS handshake has as long again.
    pub connect_timeout: Duration,
    /// From sending a request to the head of its answer.
    pub request_timeout: Duration,
    /// For writing a batch to a syslog destination.
    pub write_timeout: Duration,
    /// Shortest wait after the first failure in a row.
    pub retry_delay_min: Duration,
    /// Longest wait between tries, unless `Retry-After` asks for more.
    pub retry_delay_max: Duration,
    /// An HTTP connection unused for this long is closed.
    pub http_idle_max: Duration,
    /// A syslog connection unused for this long is closed.
    pub syslog_idle_max: Duration,
    /// A connection this old is closed when it is next idle.
    pub connection_age_max: Duration,
    /// Whether destinations on this machine are refused.
    pub deny_loopback: bool,
    /// Whether link-local, multicast and broadcast destinations are refused.
    pub deny_link_local: bool,
    /// Whether destinations in private networks are refused.
    pub deny_private: bool,
    /// A drain tells its channel of losses at most once in this time, and of certificates too.
    pub notice_interval: Duration,
}

impl DrainSettings {
    fn deny_rules(&self) -> DenyRules {
        DenyRules {
            denies_loopback: self.deny_loopback,
            denies_link_local: self.deny_link_local,
            denies_private: self.deny_private,
        }
    }
}

/// A drain as anyone may see it.
#[derive(Clone, Debug, serde::Serialize)]
pub struct DrainStatus {
    /// `idle`, `connecting`, `sending`, `retrying` or `failing`.
    pub state: &'static str,
    /// Messages between the last confirmed one and the channel's end. A batch that the channel
    /// let go while the drain backs off counts here until the next try is due; then as lapped.
    pub lag_messages: u64,
    /// Their bytes, as they lie in the channel.
    pub lag_bytes: u64,
    /// Messages that the destination has confirmed.
    pub delivered: u64,
    /// Messages that the drain's filter does not want.
    pub filtered: u64,
    /// Messages lost, by reason: `lapped`, `refused`.
    pub lost: BTreeMap<&'static str, u64>,
    /// Of the lost ones, those that the destination was told of.
    pub reported: u64,
    /// Status of the last answer.
    pub last_status: Option<u16>,
    /// What went wrong, if the last try did not succeed. Holds no password.
    pub last_error: Option<String>,
    /// When the last try ended.
    #[serde(serialize_with = "as_text")]
    pub last_at: Option<UnixMicros>,
    /// Failures in a row.
    pub attempts: u64,
    /// When the next try is due, if the drain waits for one.
    #[serde(serialize_with = "as_text")]
    pub next_try: Option<UnixMicros>,
}

/// A bare number would not say its unit.
#[expect(clippy::ref_option, reason = "serde passes the field like this")]
fn as_text<S: serde::Serializer>(
    time: &Option<UnixMicros>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    time.map(UnixMicros::to_micros_text).serialize(serializer)
}
