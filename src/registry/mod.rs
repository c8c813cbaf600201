//! Entries of the control plane and their rules: channels, tokens, drains, credentials. Pure.
//!
//! A mutation is one [`Change`], which names every entry it touches. [`Entries`] are the maps a
//! change is applied to; the [`Directory`] is the one copy of them that everybody reads. Who
//! decides on changes is `control`; where they are kept is `store`.

mod change;
mod channels;
mod credentials;
mod directory;
mod drain_options;
pub mod drain_url;
mod drains;
mod entries;
mod keys;
mod members;
pub mod sessions;
mod tokens;

pub use change::Change;
pub use channels::{ChannelEntry, WhenFullSetting};
pub use credentials::{CredentialEntry, Grant, Permission, SecretHash};
pub(crate) use credentials::{PERMISSIONS, random_secret};
pub use directory::Directory;
pub use drain_options::{Attributes, Compression, DrainOptions, DrainOptionsError, Format};
pub use drain_url::{DrainUrl, DrainUrlError, Scheme};
pub use drains::DrainEntry;
pub use entries::{Counters, Entries, EntryCounts};
pub use keys::Role;
pub use tokens::TokenEntry;
