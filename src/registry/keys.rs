//! Keys: what somebody may do with single apps, as the Platform API asks it.
//!
//! A key is a credential whose permissions are roles in apps (`read:ID`, `write:ID`, `admin:ID`), and
//! its text is the `ID:SECRET` of any credential. So what credentials have is true of keys without a
//! word more: hashed at rest, looked up at each request and hence gone once deleted, counted, paged,
//! stored in one table that earlier entries share. A credential with `full_api` is a key for every app.
//! A table of their own would have doubled all that, for entries that differ in nothing.

use std::fmt;

/// What a key may do with an app; each includes those before it.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Role {
    /// See it, its messages and its drains.
    Read,
    /// Make and remove its drains.
    Write,
    /// All else there is for it: its tokens, its settings, its end.
    Admin,
}

impl Role {
    /// The role called `text`, if any.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "read" => Some(Self::Read),
            "write" => Some(Self::Write),
            "admin" => Some(Self::Admin),
            _ => None,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        })
    }
}
