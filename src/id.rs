//! Names, numbers and secrets that everything else speaks of.
//!
//! Each is checked once where it enters and cannot be wrong afterwards. Secrets have no `Debug`
//! and no `Display`; whoever needs the bytes says `expose`.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use uuid::Uuid;

use crate::limits::{CHANNEL_ID_BYTES_MAX, SOURCE_BYTES_MAX, TOKEN_BYTES_MAX};

/// Number of a message in its channel: starts at 0, grows by 1, never reused.
#[derive(
    Clone, Copy, Debug, Default, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize,
)]
pub struct Seq(u64);

impl Seq {
    /// The number `value` as a sequence.
    #[must_use]
    pub const fn new(value: u64) -> Self {
        Self(value)
    }

    /// The bare number.
    #[must_use]
    pub const fn value(self) -> u64 {
        self.0
    }

    /// The sequence `count` messages later.
    #[must_use]
    pub const fn plus(self, count: u64) -> Self {
        Self(self.0.saturating_add(count))
    }

    /// How many messages lie between `earlier` and this one; 0 when `earlier` is not earlier.
    #[must_use]
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why a name, token or id was refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum IdError {
    /// The text is empty.
    #[error("{what} is empty")]
    Empty {
        /// What was being named.
        what: &'static str,
    },
    /// The text is longer than `bytes_max`.
    #[error("{what} is {bytes} bytes long, at most {bytes_max} are allowed")]
    TooLong {
        /// What was being named.
        what: &'static str,
        /// Length given, in bytes.
        bytes: usize,
        /// Greatest length, in bytes.
        bytes_max: usize,
    },
    /// A character is not allowed there.
    #[error("{what} holds the character {character:?}; allowed are {allowed}")]
    BadCharacter {
        /// What was being named.
        what: &'static str,
        /// The first refused character.
        character: char,
        /// What would be right.
        allowed: &'static str,
    },
    /// The text lacks its prefix.
    #[error("{what} must begin with {prefix:?}")]
    NoPrefix {
        /// What was being named.
        what: &'static str,
        /// The prefix that is missing.
        prefix: &'static str,
    },
}

fn check(
    what: &'static str,
    text: &str,
    bytes_max: usize,
    allowed: &'static str,
    is_allowed: impl Fn(char) -> bool,
) -> Result<(), IdError> {
    if text.is_empty() {
        return Err(IdError::Empty { what });
    }
    if bytes_max < text.len() {
        return Err(IdError::TooLong {
            what,
            bytes: text.len(),
            bytes_max,
        });
    }
    match text.chars().find(|&c| !is_allowed(c)) {
        Some(character) => Err(IdError::BadCharacter {
            what,
            character,
            allowed,
        }),
        None => Ok(()),
    }
}

/// Id of a channel: 1 to `CHANNEL_ID_BYTES_MAX` bytes of UTF-8 without `/` and control characters.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct ChannelId(Arc<str>);

impl ChannelId {
    /// Checks `text` and makes it an id.
    ///
    /// # Errors
    /// `IdError` when it is empty, too long or holds `/` or a control character.
    pub fn new(text: &str) -> Result<Self, IdError> {
        check(
            "channel id",
            text,
            CHANNEL_ID_BYTES_MAX,
            "all but '/' and control characters",
            |c| c != '/' && !c.is_control(),
        )?;
        Ok(Self(Arc::from(text)))
    }

    /// The id's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<u64> for ChannelId {
    /// The id of a channel made through the numbered (legacy) API.
    fn from(number: u64) -> Self {
        Self(Arc::from(number.to_string()))
    }
}

impl fmt::Display for ChannelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl TryFrom<String> for ChannelId {
    type Error = IdError;

    fn try_from(text: String) -> Result<Self, IdError> {
        Self::new(&text)
    }
}

impl From<ChannelId> for String {
    fn from(id: ChannelId) -> Self {
        id.0.to_string()
    }
}

/// The secret that lets a producer write to one channel: `t.` and visible ASCII,
/// at most `TOKEN_BYTES_MAX` bytes.
#[derive(Clone, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Token(Arc<str>);

impl Token {
    /// What every token begins with.
    pub const PREFIX: &str = "t.";

    /// Whether `bytes` begin as every token does.
    #[inline]
    #[must_use]
    pub const fn is_begun_by(bytes: &[u8]) -> bool {
        matches!(bytes, [b't', b'.', ..])
    }

    /// A new token: `t.` and a random UUID.
    #[must_use]
    pub fn random() -> Self {
        Self(Arc::from(format!("{}{}", Self::PREFIX, Uuid::new_v4())))
    }

    /// Checks `text` and makes it a token.
    ///
    /// # Errors
    /// `IdError` when it lacks the prefix, is too long or holds other than visible ASCII.
    pub fn new(text: &str) -> Result<Self, IdError> {
        if !text.starts_with(Self::PREFIX) {
            return Err(IdError::NoPrefix {
                what: "token",
                prefix: Self::PREFIX,
            });
        }
        check(
            "token",
            text,
            TOKEN_BYTES_MAX,
            "visible ASCII characters",
            |c| c.is_ascii_graphic(),
        )?;
        Ok(Self(Arc::from(text)))
    }

    /// The secret itself: for the wire, the store and the API's owner; never for a log line.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Token {
    type Error = IdError;

    fn try_from(text: String) -> Result<Self, IdError> {
        Self::new(&text)
    }
}

impl From<Token> for String {
    fn from(token: Token) -> Self {
        token.0.to_string()
    }
}

/// The public name of a token, which replaces it in messages: an APP-NAME of RFC 5424 (1 to 48
/// visible ASCII characters, 6.2.5).
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Source(Arc<str>);

impl Source {
    /// Checks `text` and makes it a source.
    ///
    /// # Errors
    /// `IdError` when it is empty, too long or holds other than visible ASCII.
    pub fn new(text: &str) -> Result<Self, IdError> {
        check(
            "token name",
            text,
            SOURCE_BYTES_MAX,
            "visible ASCII characters",
            |c| c.is_ascii_graphic(),
        )?;
        Ok(Self(Arc::from(text)))
    }

    /// The name's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl TryFrom<String> for Source {
    type Error = IdError;

    fn try_from(text: String) -> Result<Self, IdError> {
        Self::new(&text)
    }
}

impl From<Source> for String {
    fn from(source: Source) -> Self {
        source.0.to_string()
    }
}

/// Number of a drain on this node: starts at 1, never reused.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct DrainId(u64);

impl DrainId {
    /// The number `value` as an id.
    #[must_use]
    pub const fn new(value: u64) -> Self {
        Self(value)
    }

    /// The bare number.
    #[must_use]
    pub const fn value(self) -> u64 {
        self.0
    }
}

impl fmt::Display for DrainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Public name of a drain, which stands in its messages: `d.` and a UUID.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct DrainToken(Arc<str>);

impl DrainToken {
    /// A new name: `d.` and a random UUID.
    #[must_use]
    pub fn random() -> Self {
        Self(Arc::from(format!("d.{}", Uuid::new_v4())))
    }

    /// The name's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for DrainToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Names a batch at its destination, so that a second delivery can be told: 32 upper-case hex
/// digits, 16 drawn when the program starts and 16 counted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FrameId(u128);

impl FrameId {
    /// An id that no other batch has.
    #[must_use]
    pub fn next() -> Self {
        static START: LazyLock<u64> = LazyLock::new(|| Uuid::new_v4().as_u64_pair().1);
        static COUNT: AtomicU64 = AtomicU64::new(0);
        // Relaxed: a counter.
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        Self(u128::from(*START) << 64 | u128::from(count))
    }

    /// The id written as `text`, if it is one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_right = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = u128::from_str_radix(text, 16).ok().filter(|_| is_right)?;
        Some(Self(number))
    }
}

impl fmt::Display for FrameId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032X}", self.0)
    }
}

/// Secret id of a session: a random UUID. Whoever has it may read.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct SessionId(Uuid);

impl SessionId {
    /// A new, random id.
    #[must_use]
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }

    /// The id written as `text`, if it is one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Uuid::try_parse(text).ok().map(Self)
    }

    /// The secret itself: for the session's URL; never for a log line.
    #[must_use]
    pub fn expose(self) -> String {
        self.0.to_string()
    }
}

/// Public id of a credential: visible ASCII without `:`, so that it can be a Basic user name.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct CredentialId(Arc<str>);

impl CredentialId {
    /// Checks `text` and makes it an id.
    ///
    /// # Errors
    /// `IdError` when it is empty, longer than a source or holds `:` or other than visible ASCII.
    pub fn new(text: &str) -> Result<Self, IdError> {
        check(
            "credential id",
            text,
            SOURCE_BYTES_MAX,
            "visible ASCII characters but ':'",
            |c| c.is_ascii_graphic() && c != ':',
        )?;
        Ok(Self(Arc::from(text)))
    }

    /// The id's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl CredentialId {
    /// A new id for a key that nobody has named: `key-` and 16 random digits.
    #[must_use]
    pub fn random_key() -> Self {
        let (_, bits) = Uuid::new_v4().as_u64_pair();
        Self(Arc::from(format!("key-{bits:016x}")))
    }
}

impl fmt::Display for CredentialId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl TryFrom<String> for CredentialId {
    type Error = IdError;

    fn try_from(text: String) -> Result<Self, IdError> {
        Self::new(&text)
    }
}

impl From<CredentialId> for String {
    fn from(id: CredentialId) -> Self {
        id.0.to_string()
    }
}

/// The secret half of a credential, as it came over the wire or was just made.
pub struct Secret(Box<str>);

impl Secret {
    /// Takes `text` as a secret.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(Box::from(text))
    }

    /// The secret itself: for hashing, and once for the one it was made for.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl PartialEq for Secret {
    /// Constant time for secrets of one length.
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_checked_where_they_enter() {
        assert!(ChannelId::new("app-1").is_ok());
        assert!(ChannelId::new("a b:c").is_ok());
        assert_eq!(
            ChannelId::new(""),
            Err(IdError::Empty { what: "channel id" })
        );
        assert!(ChannelId::new("a/b").is_err());
        assert!(ChannelId::new("a\nb").is_err());
        assert!(ChannelId::new(&"x".repeat(CHANNEL_ID_BYTES_MAX)).is_ok());
        assert!(ChannelId::new(&"x".repeat(CHANNEL_ID_BYTES_MAX + 1)).is_err());
        assert!(Token::new("t.abc").is_ok());
        assert!(Token::new("x.abc").is_err());
        assert!(Token::new("t.a b").is_err());
        assert!(Source::new("heroku-postgres").is_ok());
        assert!(Source::new("my app").is_err());
        assert!(Source::new(&"s".repeat(SOURCE_BYTES_MAX + 1)).is_err());
        assert!(CredentialId::new("a:b").is_err());
    }

    #[test]
    fn a_sequence_counts_what_lies_between() {
        assert_eq!(Seq::new(7).since(Seq::new(3)), 4);
        assert_eq!(Seq::new(3).since(Seq::new(7)), 0);
        assert_eq!(Seq::new(3).plus(4), Seq::new(7));
    }

    #[test]
    fn frame_ids_are_32_upper_case_hex_digits() {
        let text = FrameId::next().to_string();
        assert_eq!(text.len(), 32);
        assert!(
            text.bytes()
                .all(|b| b.is_ascii_digit() || (b'A'..=b'F').contains(&b)),
            "{text}"
        );
        assert_ne!(text, FrameId::next().to_string());
        assert!(FrameId::parse(&text).is_some_and(|id| id.to_string() == text));
        assert_eq!(FrameId::parse("+0000000000000000000000000000001"), None);
    }
}
