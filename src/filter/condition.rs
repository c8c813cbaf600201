//! What one condition asks of a message.

use std::cmp::Ordering;

use regex::bytes::Regex;

use crate::logfmt::quantity::Number;
use crate::logfmt::quantity::Quantity;
use crate::logfmt::value::Value;
use crate::syslog::message::Message;

/// What is asked of the message itself.
#[derive(Debug)]
pub(crate) enum Condition {
    Source(Pattern),
    /// `web` is a kind of process and wants `web` and every `web.*`.
    Ps(Pattern),
    Severity(Comparison, u8),
    /// The text holds this one, in upper or lower case.
    Text(Regex),
    Regex(Regex),
}

/// What is asked of the values of one key.
#[derive(Debug)]
pub(crate) struct FieldCondition {
    pub(crate) key: Box<[u8]>,
    pub(crate) wanted: Wanted,
}

#[derive(Debug)]
pub(crate) enum Wanted {
    Pattern(Pattern),
    Other(Pattern),
    Compared {
        comparison: Comparison,
        number: Number,
        unit: Box<[u8]>,
    },
}

/// How a number stands to its limit.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Comparison {
    Less,
    LessOrEqual,
    Equal,
    NotEqual,
    GreaterOrEqual,
    Greater,
}

impl Comparison {
    fn allows(self, ordering: Ordering) -> bool {
        match self {
            Self::Less => ordering.is_lt(),
            Self::LessOrEqual => ordering.is_le(),
            Self::Equal => ordering.is_eq(),
            Self::NotEqual => ordering.is_ne(),
            Self::GreaterOrEqual => ordering.is_ge(),
            Self::Greater => ordering.is_gt(),
        }
    }
}

impl Condition {
    pub(crate) fn holds(&self, message: &Message<'_>) -> bool {
        match self {
            Self::Source(pattern) => pattern.fits(message.app_name),
            Self::Ps(pattern) => {
                let kind = message.procid.split(|byte| *byte == b'.').next();
                pattern.fits(message.procid) || kind.is_some_and(|kind| pattern.fits(kind))
            }
            // The graver, the smaller the number (RFC 5424, 6.2.1).
            Self::Severity(comparison, severity) => {
                comparison.allows(severity.cmp(&message.pri.severity()))
            }
            Self::Text(regex) | Self::Regex(regex) => regex.is_match(message.text),
        }
    }

    /// How long it takes, by rank: what takes less is asked first.
    pub(crate) const fn cost(&self) -> u8 {
        match self {
            Self::Severity(..) => 0,
            Self::Source(_) | Self::Ps(_) => 1,
            Self::Text(_) => 2,
            Self::Regex(_) => 4,
        }
    }
}

impl FieldCondition {
    /// Between a text's and a regular expression's.
    pub(crate) const COST: u8 = 3;

    pub(crate) fn holds(&self, value: Value<'_>) -> bool {
        match &self.wanted {
            Wanted::Pattern(pattern) => pattern.fits_value(value),
            Wanted::Other(pattern) => !pattern.fits_value(value),
            Wanted::Compared {
                comparison,
                number,
                unit,
            } => {
                let limit = Quantity {
                    number: *number,
                    unit,
                };
                let ordering = value.quantity().ok().and_then(|q| q.compare(&limit));
                ordering.is_some_and(|ordering| comparison.allows(ordering))
            }
        }
    }
}

/// Bytes, with any bytes between the pieces.
#[derive(Debug)]
pub(crate) struct Pattern {
    /// Invariant: at least one.
    pieces: Box<[Box<[u8]>]>,
}

impl Pattern {
    /// Exactly these bytes.
    pub(crate) fn exactly(bytes: &[u8]) -> Self {
        Self {
            pieces: Box::new([Box::from(bytes)]),
        }
    }

    /// Any bytes where a `*` is.
    pub(crate) fn with_stars(bytes: &[u8]) -> Self {
        Self {
            pieces: bytes.split(|byte| *byte == b'*').map(Box::from).collect(),
        }
    }

    fn fits_value(&self, value: Value<'_>) -> bool {
        if !value.has_escapes() {
            return self.fits(value.raw());
        }
        self.fits_bytes(value.bytes(), value.bytes().count())
    }

    /// As `fits_bytes`, in time in proportion to the value.
    fn fits(&self, bytes: &[u8]) -> bool {
        let Some((first, behind)) = self.pieces.split_first() else {
            return false;
        };
        let Some((last, between)) = behind.split_last() else {
            return bytes == &**first;
        };
        let inside = bytes
            .strip_prefix(&**first)
            .and_then(|rest| rest.strip_suffix(&**last));
        let Some(mut rest) = inside else {
            return false;
        };
        for piece in between {
            let Some(at) = memchr::memmem::find(rest, piece) else {
                return false;
            };
            rest = rest.get(at + piece.len()..).unwrap_or_default();
        }
        true
    }

    /// The first piece is the beginning, the last the end, and each between them is taken where it
    /// first comes. Of escaped values there are no slices, so pieces are looked for in a row of
    /// bytes that can be gone over again.
    fn fits_bytes(&self, mut bytes: impl Iterator<Item = u8> + Clone, length: usize) -> bool {
        let Some((first, behind)) = self.pieces.split_first() else {
            return false;
        };
        let Some((last, between)) = behind.split_last() else {
            return length == first.len() && bytes.eq(first.iter().copied());
        };
        let Some(mut left) = length.checked_sub(first.len() + last.len()) else {
            return false;
        };
        if !bytes.by_ref().take(first.len()).eq(first.iter().copied()) {
            return false;
        }
        for piece in between {
            loop {
                if left < piece.len() {
                    return false;
                }
                let is_here = bytes.clone().take(piece.len()).eq(piece.iter().copied());
                let step = if is_here { piece.len() } else { 1 };
                left -= step;
                for _ in 0..step {
                    bytes.next();
                }
                if is_here {
                    break;
                }
            }
        }
        bytes.skip(left).eq(last.iter().copied())
    }
}

/// A message as tests ask about it.
#[cfg(any(test, fuzzing))]
pub(crate) const fn message<'a>(source: &'a [u8], procid: &'a [u8], text: &'a [u8]) -> Message<'a> {
    use crate::syslog::message::{Pri, Timestamp};
    Message {
        pri: Pri::DEFAULT,
        is_truncated: false,
        timestamp: Timestamp::Given(b"-"),
        hostname: b"-",
        app_name: source,
        procid,
        msgid: b"-",
        sd: b"-",
        text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logfmt::parse::pairs;
    use proptest::prop_assert_eq;
    use proptest::proptest;

    proptest! {
        #[test]
        fn patterns_fit_as_regular_expressions_do(
            pattern in "[ab*]{0,8}", value in "[ab]{0,10}",
        ) {
            let regex = format!("^{}$", pattern.replace('*', ".*"));
            let expected = Regex::new(&regex).unwrap().is_match(value.as_bytes());
            let fits = Pattern::with_stars(pattern.as_bytes());
            prop_assert_eq!(fits.fits(value.as_bytes()), expected);
            let escaped = format!("k=\"{}\"", value.replace('b', "\\u0062"));
            let pair = pairs(escaped.as_bytes()).next().unwrap();
            prop_assert_eq!(fits.fits_value(pair.value), expected);
        }
    }
}
