//! Why a change was refused or failed.

use std::sync::Arc;

use crate::filter::FilterError;
use crate::limits::{
    CHANNEL_NAME_BYTES_MAX, CHANNELS_MAX, CREDENTIAL_PERMISSIONS_MAX, CREDENTIALS_MAX,
    TOKENS_PER_CHANNEL_MAX,
};
use crate::registry::DrainOptionsError;
use crate::store::StoreError;

/// Why a change was refused or failed; the API maps each to a status.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ControlError {
    /// No such channel.
    #[error("no such channel")]
    UnknownChannel,
    /// The channel has no such drain.
    #[error("no such drain in this channel")]
    UnknownDrain,
    /// The channel has no such token.
    #[error("no such token in this channel")]
    UnknownToken,
    /// No such credential.
    #[error("no such credential")]
    UnknownCredential,
    /// A credential of this id is there already.
    #[error("there is a credential of this id already")]
    DuplicateCredential,
    /// Another drain of the channel sends there already.
    #[error("the channel has a drain to this URL already")]
    DuplicateDrainUrl,
    /// The options are wrong, or do not fit the URL.
    #[error(transparent)]
    BadDrainOptions(#[from] DrainOptionsError),
    /// The drain's filter is none.
    #[error("filter: {0}")]
    BadDrainFilter(#[from] FilterError),
    /// The options that were given cannot be laid over those that are there.
    #[error("{0}")]
    UnreadableDrainOptions(String),
    /// The channel has as many drains as it may.
    #[error("the channel has as many drains as it may")]
    TooManyDrains,
    /// The channel would have more tokens than it may.
    #[error("a channel can have at most {TOKENS_PER_CHANNEL_MAX} tokens")]
    TooManyTokens,
    /// The credential would have more permissions than it may.
    #[error("a credential can have at most {CREDENTIAL_PERMISSIONS_MAX} permissions")]
    TooManyPermissions,
    /// The channel's name is too long.
    #[error(
        "the channel's name is {bytes} bytes long, at most {CHANNEL_NAME_BYTES_MAX} are allowed"
    )]
    NameTooLong {
        /// Its length.
        bytes: usize,
    },
    /// The node has as many channels or credentials as it may.
    #[error("the node is full: at most {CHANNELS_MAX} channels and {CREDENTIALS_MAX} credentials")]
    Full,
    /// More changes wait than may; try again.
    #[error("too many changes are waiting, try again")]
    Busy,
    /// The door is in read-only mode.
    #[error("the router is in read-only mode")]
    ReadOnly,
    /// The door is shut.
    #[error("the router's API is disabled")]
    Disabled,
    /// The router is ending.
    #[error("the router is stopping")]
    Stopping,
    /// The store failed. Whether the change was made is unknown until it works again; the router
    /// then finds out and follows the file.
    #[error("the change could not be stored: {0}")]
    Store(Arc<StoreError>),
}
