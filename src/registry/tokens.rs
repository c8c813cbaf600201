//! The entry of a token.

use serde::{Deserialize, Serialize};

use crate::clock::UnixMicros;
use crate::id::{ChannelId, Source, Token};

/// The right to write to one channel under one name. Holds a secret: no `Debug`.
#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
pub struct TokenEntry {
    /// The secret, unique on the node.
    pub token: Token,
    /// The name that replaces it in messages; several tokens of a channel may share one.
    pub source: Source,
    /// The channel it writes to.
    pub channel: ChannelId,
    /// When it was made; differs between the tokens of one channel, so that it orders them.
    pub created: UnixMicros,
}
