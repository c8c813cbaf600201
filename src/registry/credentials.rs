//! Who may use the API, for what.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Deserializer, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::clock::UnixMicros;
use crate::id::{ChannelId, CredentialId, Secret};
use crate::registry::channels::ChannelEntry;
use crate::registry::keys::Role;

/// One thing a credential may do. As text: `full_api`, `any_channel`, `channel:ID`, `read:ID`,
/// `write:ID`, `admin:ID`.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(into = "String")]
pub enum Permission {
    /// Use the whole API. Does not include writing messages.
    FullApi,
    /// Write messages to every channel.
    AnyChannel,
    /// Write messages to this channel.
    Channel(ChannelId),
    /// Have this role in the app whose channel this is. Does not include writing messages.
    App(Role, ChannelId),
}

impl Permission {
    /// The permission that `text` names, if any.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "full_api" => Some(Self::FullApi),
            "any_channel" => Some(Self::AnyChannel),
            _ => {
                let (kind, id) = text.split_once(':')?;
                let id = ChannelId::new(id).ok()?;
                match kind {
                    "channel" => Some(Self::Channel(id)),
                    _ => Role::parse(kind).map(|role| Self::App(role, id)),
                }
            }
        }
    }
}

impl Permission {
    /// The role that it gives, and in which app: `None` is all of them.
    #[must_use]
    pub const fn role(&self) -> Option<(Role, Option<&ChannelId>)> {
        match self {
            Self::FullApi => Some((Role::Admin, None)),
            Self::App(role, id) => Some((*role, Some(id))),
            Self::AnyChannel | Self::Channel(_) => None,
        }
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FullApi => f.write_str("full_api"),
            Self::AnyChannel => f.write_str("any_channel"),
            Self::Channel(id) => write!(f, "channel:{id}"),
            Self::App(role, id) => write!(f, "{role}:{id}"),
        }
    }
}

impl From<Permission> for String {
    fn from(permission: Permission) -> Self {
        permission.to_string()
    }
}

/// All permissions, for errors.
pub(crate) const PERMISSIONS: &str = "\"full_api\", \"any_channel\", \"channel:ID\", \
                                      \"read:ID\", \"write:ID\", \"admin:ID\"";

/// What is kept of a secret: SHA-256 over 16 random bytes and the secret.
///
/// One fast hash is enough for generated secrets (256 random bits: nothing to guess) and keeps
/// authentication cheap; secrets that people choose are as strong as they choose them.
/// As text: salt and digest in base64url, joined by `$`.
#[derive(Clone, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct SecretHash {
    salt: [u8; SALT_BYTES],
    digest: [u8; DIGEST_BYTES],
}

impl SecretHash {
    /// Hashes `secret` with a fresh salt.
    #[must_use]
    pub fn new(secret: &Secret) -> Self {
        let mut salt = [0; SALT_BYTES];
        fill_random(&mut salt);
        Self {
            salt,
            digest: digest(&salt, secret),
        }
    }

    /// Whether `secret` is the one; takes the same time for every secret of one length.
    #[must_use]
    pub fn matches(&self, secret: &Secret) -> bool {
        digest(&self.salt, secret).ct_eq(&self.digest).into()
    }

    /// A hash that no secret matches: what is compared when the id is unknown, so that the answer
    /// takes as long as for a known one.
    #[must_use]
    pub const fn none() -> Self {
        Self {
            salt: [0; SALT_BYTES],
            digest: [0; DIGEST_BYTES],
        }
    }
}

impl TryFrom<String> for SecretHash {
    type Error = SecretHashError;

    fn try_from(text: String) -> Result<Self, SecretHashError> {
        let (salt, digest) = text.split_once('$').ok_or(SecretHashError::Malformed)?;
        Ok(Self {
            salt: decode(salt)?,
            digest: decode(digest)?,
        })
    }
}

impl From<SecretHash> for String {
    fn from(hash: SecretHash) -> Self {
        format!(
            "{}${}",
            URL_SAFE_NO_PAD.encode(hash.salt),
            URL_SAFE_NO_PAD.encode(hash.digest)
        )
    }
}

/// Why a stored hash could not be read.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SecretHashError {
    /// It is not `SALT$DIGEST` in base64url.
    #[error("a stored secret's hash is malformed")]
    Malformed,
}

/// A credential as it is kept: no secret, only its salted hash.
#[derive(Clone, Deserialize, Serialize)]
pub struct CredentialEntry {
    /// Its public id.
    pub id: CredentialId,
    /// What it may do.
    #[serde(deserialize_with = "known_permissions")]
    pub permissions: Vec<Permission>,
    /// When it was made.
    pub created: UnixMicros,
    hash: SecretHash,
}

impl CredentialEntry {
    /// The entry for `secret`, which is not kept.
    #[must_use]
    pub fn new(
        id: CredentialId,
        secret: &Secret,
        permissions: Vec<Permission>,
        created: UnixMicros,
    ) -> Self {
        Self {
            id,
            permissions,
            created,
            hash: SecretHash::new(secret),
        }
    }

    /// What is compared when somebody presents a secret.
    #[must_use]
    pub const fn hash(&self) -> &SecretHash {
        &self.hash
    }
}

/// Reads stored permissions and leaves out what this version does not know: a store written by a
/// later version must stay readable, and less may be done then, not more.
fn known_permissions<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Permission>, D::Error> {
    let stored = Vec::<String>::deserialize(from)?;
    let known = stored.iter().filter_map(|text| Permission::parse(text));
    Ok(known.collect())
}

/// What an authenticated credential may do.
#[derive(Clone, Debug)]
pub struct Grant {
    /// Whose it is.
    pub id: CredentialId,
    /// What it may do.
    pub permissions: Arc<[Permission]>,
    /// When the credential was made.
    pub created: UnixMicros,
}

impl Grant {
    /// Whether it may use the whole API.
    #[must_use]
    pub fn has_full_api(&self) -> bool {
        self.permissions.contains(&Permission::FullApi)
    }

    /// Whether it may write messages to every channel.
    #[must_use]
    pub fn may_write_any(&self) -> bool {
        self.permissions.contains(&Permission::AnyChannel)
    }

    /// Whether it may write messages to `channel`.
    #[must_use]
    pub fn may_write(&self, channel: &ChannelId) -> bool {
        self.permissions.iter().any(|permission| match permission {
            Permission::FullApi | Permission::App(..) => false,
            Permission::AnyChannel => true,
            Permission::Channel(id) => id == channel,
        })
    }

    /// Whether there is a channel it may write messages to.
    #[must_use]
    pub fn may_write_some(&self) -> bool {
        self.permissions
            .iter()
            .any(|permission| matches!(permission, Permission::AnyChannel | Permission::Channel(_)))
    }

    /// The greatest role it has in the app of `channel`, if any. A channel that was made after the
    /// credential is another one than what was named to it, though it has the same id.
    #[must_use]
    pub fn role_in(&self, channel: &ChannelEntry) -> Option<Role> {
        let roles = self.permissions.iter().filter_map(|permission| {
            let (role, id) = permission.role()?;
            let is_named = id.is_none_or(|id| {
                *id == channel.id && channel.created.value() <= self.created.value()
            });
            is_named.then_some(role)
        });
        roles.max()
    }
}

/// A new secret of 256 random bits, in base64url.
#[must_use]
pub(crate) fn random_secret() -> Secret {
    let mut bytes = [0; 32];
    fill_random(&mut bytes);
    Secret::new(&URL_SAFE_NO_PAD.encode(bytes))
}

fn fill_random(bytes: &mut [u8]) {
    // Fails only where the kernel has no source of randomness at all; going on with a guessable
    // secret would be worse than stopping.
    getrandom::fill(bytes).expect("the kernel gives random bytes");
}

fn digest(salt: &[u8; SALT_BYTES], secret: &Secret) -> [u8; DIGEST_BYTES] {
    Sha256::new()
        .chain_update(salt)
        .chain_update(secret.expose().as_bytes())
        .finalize()
        .into()
}

fn decode<const N: usize>(text: &str) -> Result<[u8; N], SecretHashError> {
    URL_SAFE_NO_PAD
        .decode(text)
        .ok()
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or(SecretHashError::Malformed)
}

const SALT_BYTES: usize = 16;
const DIGEST_BYTES: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(permissions: &[&str]) -> Grant {
        Grant {
            id: CredentialId::new("c").unwrap(),
            permissions: permissions
                .iter()
                .map(|text| Permission::parse(text).unwrap())
                .collect(),
            created: UnixMicros::new(5),
        }
    }

    #[test]
    fn permissions_have_one_text_each() {
        for text in [
            "full_api",
            "any_channel",
            "channel:app-1",
            "channel:a:b",
            "read:app-1",
            "write:a:b",
            "admin:7",
        ] {
            assert_eq!(Permission::parse(text).unwrap().to_string(), text);
        }
        for text in [
            "",
            "fullapi",
            "channel:",
            "channel:a/b",
            "channel",
            "FULL_API",
            "read",
            "read:",
            "Read:a",
            "owner:a",
            ":a",
        ] {
            assert_eq!(Permission::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_grant_allows_what_it_names() {
        let (a, b) = (ChannelId::new("a").unwrap(), ChannelId::new("b").unwrap());
        // permissions, full api, write any, write a, write b, write some
        let table: [(&[&str], [bool; 5]); 6] = [
            (&[], [false; 5]),
            (&["full_api"], [true, false, false, false, false]),
            (&["any_channel"], [false, true, true, true, true]),
            (&["channel:a"], [false, false, true, false, true]),
            (&["admin:a", "write:b"], [false; 5]),
            (&["full_api", "channel:b"], [true, false, false, true, true]),
        ];
        for (permissions, expected) in table {
            let grant = grant(permissions);
            let seen = [
                grant.has_full_api(),
                grant.may_write_any(),
                grant.may_write(&a),
                grant.may_write(&b),
                grant.may_write_some(),
            ];
            assert_eq!(seen, expected, "{permissions:?}");
        }
    }

    #[test]
    fn a_role_is_of_the_apps_named_and_no_later_ones() {
        let channel = |id: &str, created| {
            ChannelEntry::new(ChannelId::new(id).unwrap(), UnixMicros::new(created))
        };
        // permissions, then the roles in `a`, `b`, and an `a` made after the credential
        let table: [(&[&str], [Option<Role>; 3]); 5] = [
            (&["any_channel", "channel:a"], [None; 3]),
            (&["read:a"], [Some(Role::Read), None, None]),
            (
                &["write:a", "admin:b", "read:b"],
                [Some(Role::Write), Some(Role::Admin), None],
            ),
            (&["read:a:b"], [None; 3]),
            (&["full_api"], [Some(Role::Admin); 3]),
        ];
        for (permissions, expected) in table {
            let grant = grant(permissions);
            let channels = [channel("a", 5), channel("b", 1), channel("a", 6)];
            let seen = channels.map(|channel| grant.role_in(&channel));
            assert_eq!(seen, expected, "{permissions:?}");
        }
    }

    #[test]
    fn a_later_version_s_entry_stays_readable() {
        let secret = random_secret();
        let id = CredentialId::new("c").unwrap();
        let permissions = vec![Permission::AnyChannel];
        let entry = CredentialEntry::new(id, &secret, permissions, UnixMicros::new(1));
        let stored = serde_json::to_string(&entry).unwrap();
        let stored = stored.replace("\"any_channel\"", "\"read:a\",\"from_the_future\"");
        let entry: CredentialEntry = serde_json::from_str(&stored).unwrap();
        let expected = [Permission::parse("read:a").unwrap()];
        assert_eq!(entry.permissions, expected);
        assert!(entry.hash().matches(&secret));
    }

    #[test]
    fn only_the_secret_matches_its_hash() {
        let secret = random_secret();
        assert_eq!(secret.expose().len(), 43);
        let hash = SecretHash::new(&secret);
        assert!(hash.matches(&secret));
        assert!(!hash.matches(&random_secret()));
        assert!(!hash.matches(&Secret::new("")));
        let text = String::from(hash.clone());
        assert!(!text.contains(secret.expose()));
        assert_ne!(
            text,
            String::from(SecretHash::new(&secret)),
            "salts must differ"
        );
        let again = SecretHash::try_from(text.clone()).unwrap();
        assert!(again.matches(&secret));
        assert!(!SecretHash::none().matches(&secret));
        let short = text.strip_suffix(|_: char| true).unwrap();
        for bad in ["", "$", "a$b", short, &format!("{text}A")] {
            assert!(SecretHash::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }
}
