//! The entry of a channel.

use serde::{Deserialize, Serialize};

use crate::clock::UnixMicros;
use crate::id::ChannelId;

/// One app's channel, as the control plane keeps it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ChannelEntry {
    /// Its id, unique on the node.
    pub id: ChannelId,
    /// A name for people; the numbered API takes one.
    #[serde(default)]
    pub name: Option<String>,
    /// Live tails of it are refused (L20).
    #[serde(default)]
    pub no_tail: bool,
    /// Its sessions carry the warning that history is discarded; the flag is named as in Logplex.
    #[serde(default)]
    pub no_redis: bool,
    /// What happens when its budget is full.
    #[serde(default)]
    pub when_full: WhenFullSetting,
    /// When it was made.
    pub created: UnixMicros,
}

impl ChannelEntry {
    /// A channel with every setting at its default.
    #[must_use]
    pub const fn new(id: ChannelId, created: UnixMicros) -> Self {
        Self {
            id,
            name: None,
            no_tail: false,
            no_redis: false,
            when_full: WhenFullSetting::Default,
            created,
        }
    }
}

/// A channel's own choice between losing and waiting, or none.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum WhenFullSetting {
    /// The oldest messages go, counted.
    Lose,
    /// The senders wait for the slowest drain, up to a limit.
    Wait,
    /// As the node is configured; follows the configuration while running.
    #[default]
    Default,
}
