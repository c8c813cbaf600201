//! What a check looks at, as the API tells it. Times are of the router's clock.

use serde::Deserialize;

use crate::clock::UnixMicros;

/// One drain.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Drain {
    pub(crate) id: u64,
    /// None while it is only reserved.
    pub(crate) url: Option<String>,
    pub(crate) tls: Option<Tls>,
    /// None when it does not run.
    pub(crate) status: Option<Status>,
}

/// When a drain's certificates end.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Tls {
    pub(crate) not_after: Option<String>,
    pub(crate) client_not_after: Option<String>,
}

/// How a drain fares.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Status {
    pub(crate) state: String,
    pub(crate) lag_messages: u64,
    pub(crate) delivered: u64,
    pub(crate) lost_last_day: u64,
    pub(crate) last_status: Option<u16>,
    pub(crate) last_error: Option<String>,
}

/// Who writes.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Sources {
    pub(crate) now: String,
    pub(crate) sources: Vec<Source>,
    pub(crate) rate_limited_last_day: u64,
}

/// One source, by what the channel keeps of it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Source {
    pub(crate) source: String,
    pub(crate) has_token: bool,
    pub(crate) messages: u64,
    pub(crate) last_at: Option<String>,
    pub(crate) gap_ms_max: u64,
    pub(crate) minute_messages_max: u64,
    pub(crate) minute_bytes_max: u64,
}

/// The router.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Node {
    pub(crate) version: String,
    pub(crate) started: String,
    pub(crate) limits: Limits,
    pub(crate) certificates: Vec<Certificate>,
}

/// What every token may send.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Limits {
    pub(crate) messages_per_second: Option<u64>,
    pub(crate) bytes_per_second: Option<u64>,
}

/// A listener's certificate.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Certificate {
    pub(crate) listener: String,
    pub(crate) not_after: Option<String>,
}

/// All of a channel.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    pub(crate) channel: String,
    pub(crate) drains: Vec<Drain>,
    pub(crate) sources: Sources,
    pub(crate) node: Node,
}

impl Facts {
    /// The router's time; 1970 if it did not tell.
    pub(crate) fn now(&self) -> UnixMicros {
        UnixMicros::parse(&self.sources.now).unwrap_or_default()
    }
}
