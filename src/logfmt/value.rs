//! One pair of a line and the three things a value can be.

use std::borrow::Cow;

use crate::logfmt::escape;
use crate::logfmt::escape::Decoded;
use crate::logfmt::quantity::NumberError;
use crate::logfmt::quantity::Quantity;

/// A key and what stands behind it, as slices of the line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Pair<'a> {
    /// At least one byte, none of them a separator, `=` or `"`.
    pub key: &'a [u8],
    /// What the key has.
    pub value: Value<'a>,
}

/// What a key has. `k`, `k=` and `k=""` are three different things; what they mean is the reader's
/// to say.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Value<'a> {
    /// `k`: there is no `=`.
    Flag,
    /// `k=v`, or `k=` when empty: the bytes up to the next separator mean themselves.
    Plain(&'a [u8]),
    /// `k="v"`: bytes with escapes.
    Quoted(Quoted<'a>),
}

/// A value between quotes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Quoted<'a> {
    /// Invariant: the quote stands in it only behind a `\`.
    raw: &'a [u8],
    /// Invariant: whether a `\` stands in `raw`.
    has_escapes: bool,
    is_truncated: bool,
}

impl<'a> Value<'a> {
    /// The bytes as they stand in the line, without the quotes around them. A flag has none.
    #[must_use]
    #[inline]
    pub const fn raw(self) -> &'a [u8] {
        match self {
            Self::Flag => &[],
            Self::Plain(raw) | Self::Quoted(Quoted { raw, .. }) => raw,
        }
    }

    /// The bytes that are meant. Allocates only where there are escapes.
    #[must_use]
    pub fn text(self) -> Cow<'a, [u8]> {
        match self {
            Self::Quoted(quoted) if quoted.has_escapes => escape::decode(quoted.raw),
            _ => Cow::Borrowed(self.raw()),
        }
    }

    /// The bytes that are meant, one by one: nothing is allocated.
    #[must_use]
    pub fn bytes(self) -> Decoded<'a> {
        match self {
            Self::Quoted(quoted) if quoted.has_escapes => Decoded::escaped(quoted.raw),
            _ => Decoded::plain(self.raw()),
        }
    }

    /// Whether `raw` is not what is meant, because it holds escapes.
    #[must_use]
    #[inline]
    pub const fn has_escapes(self) -> bool {
        matches!(
            self,
            Self::Quoted(Quoted {
                has_escapes: true,
                ..
            })
        )
    }

    /// Whether the line ended before the closing quote: the value is what there is of it.
    #[must_use]
    #[inline]
    pub const fn is_truncated(self) -> bool {
        matches!(
            self,
            Self::Quoted(Quoted {
                is_truncated: true,
                ..
            })
        )
    }

    /// The number, with its unit. Quotes around it do not matter (`"12 ms"`).
    ///
    /// # Errors
    /// When there is nothing to be a number, or when what there is is none.
    pub fn quantity(self) -> Result<Quantity<'a>, NumberError> {
        Quantity::parse(self.raw())
    }
}

impl<'a> Quoted<'a> {
    /// What stands between two quotes, `is_truncated` when the second is missing.
    #[inline]
    pub(crate) const fn new(raw: &'a [u8], has_escapes: bool, is_truncated: bool) -> Self {
        Self {
            raw,
            has_escapes,
            is_truncated,
        }
    }

    #[inline]
    pub(crate) const fn is_truncated(self) -> bool {
        self.is_truncated
    }
}
