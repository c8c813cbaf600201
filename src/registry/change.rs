//! One mutation of the control plane.

use serde::{Deserialize, Serialize};

use crate::id::{ChannelId, CredentialId, DrainId, Token};
use crate::registry::channels::ChannelEntry;
use crate::registry::credentials::CredentialEntry;
use crate::registry::drains::DrainEntry;
use crate::registry::tokens::TokenEntry;

/// What is committed, applied and announced as one.
///
/// A change says what is true afterwards and names every entry it touches, so that it can be
/// stored without a look-up, and applying it twice does no harm. Holds secrets: no `Debug`.
#[derive(Clone, Deserialize, Serialize)]
pub enum Change {
    /// Makes or replaces a channel, adds tokens to it and takes some away.
    PutChannel {
        /// The channel as it is to be.
        channel: ChannelEntry,
        /// Its number, when the numbered API made it: smaller ones are not given again.
        number: Option<u64>,
        /// Tokens it gains.
        tokens: Vec<TokenEntry>,
        /// Tokens it loses.
        tokens_removed: Vec<Token>,
    },
    /// Ends a channel with all that belongs to it.
    RemoveChannel {
        /// The channel.
        id: ChannelId,
        /// All its tokens.
        tokens: Vec<Token>,
        /// All its drains.
        drains: Vec<DrainId>,
    },
    /// Adds a token to its channel.
    PutToken(TokenEntry),
    /// Ends a token.
    RemoveToken {
        /// The channel it writes to.
        channel: ChannelId,
        /// The token.
        token: Token,
    },
    /// Makes or replaces a drain.
    PutDrain(Box<DrainEntry>),
    /// Ends a drain.
    RemoveDrain(DrainId),
    /// Makes or replaces a credential.
    PutCredential(CredentialEntry),
    /// Ends a credential.
    RemoveCredential(CredentialId),
}
