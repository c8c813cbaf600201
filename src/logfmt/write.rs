//! Pairs to a line that `parse` reads back as the same pairs.

use crate::logfmt::escape;

/// Bytes that can stand in front of a `=`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Key<'a>(&'a [u8]);

/// Why bytes cannot be a key. Keys have no quotes and no escapes, so there is no way to write them.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum KeyError {
    /// There are none.
    #[error("a key has at least one byte")]
    Empty,
    /// This one would end the key: a separator (32 and below), `=` or `"`.
    #[error("a key cannot hold the byte {byte:#04x}")]
    Ends {
        /// The byte.
        byte: u8,
    },
}

impl<'a> Key<'a> {
    /// Any bytes but those that end a key.
    ///
    /// # Errors
    /// When there are none, or one of them ends it.
    pub const fn new(bytes: &'a [u8]) -> Result<Self, KeyError> {
        let mut rest = bytes;
        if rest.is_empty() {
            return Err(KeyError::Empty);
        }
        while let [byte, behind @ ..] = rest {
            if ends_key(*byte) {
                return Err(KeyError::Ends { byte: *byte });
            }
            rest = behind;
        }
        Ok(Self(bytes))
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(self) -> &'a [u8] {
        self.0
    }
}

/// Whether a key ends in front of `byte`.
#[inline]
pub(crate) const fn ends_key(byte: u8) -> bool {
    matches!(byte, 0..=b' ' | b'=' | b'"')
}

/// Appends pairs to a line, a space between any two.
#[derive(Debug)]
pub struct Writer<'o> {
    out: &'o mut Vec<u8>,
    is_first: bool,
}

impl<'o> Writer<'o> {
    /// Appends to what `out` holds, without a space in front of the first pair.
    #[must_use]
    pub const fn new(out: &'o mut Vec<u8>) -> Self {
        Self {
            out,
            is_first: true,
        }
    }

    /// `key`
    pub fn flag(&mut self, key: Key<'_>) {
        if !self.is_first {
            self.out.push(b' ');
        }
        self.is_first = false;
        self.out.extend_from_slice(key.0);
    }

    /// `key=`
    pub fn empty(&mut self, key: Key<'_>) {
        self.flag(key);
        self.out.push(b'=');
    }

    /// `key=value`, or `key="value"` where the value is empty or holds what other readers than ours
    /// would stumble on, too: a separator, a quote or `=`. Any bytes can be a value.
    pub fn pair(&mut self, key: Key<'_>, value: &[u8]) {
        self.empty(key);
        if !value.is_empty() && !value.iter().copied().any(ends_key) {
            self.out.extend_from_slice(value);
            return;
        }
        self.out.push(b'"');
        escape::encode(value, self.out);
        self.out.push(b'"');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn key(bytes: &[u8]) -> Key<'_> {
        Key::new(bytes).unwrap()
    }

    #[test]
    fn pairs_stand_between_spaces() {
        let mut out = b"head: ".to_vec();
        let mut writer = Writer::new(&mut out);
        writer.pair(key(b"at"), b"info");
        writer.flag(key(b"secure"));
        writer.empty(key(b"dyno"));
        writer.pair(key(b"sample#load"), b"0.5");
        assert_eq!(out, b"head: at=info secure dyno= sample#load=0.5");
    }

    #[test]
    fn values_are_quoted_where_it_takes_quotes() {
        for (value, expected) in [
            (b"".as_slice(), b"k=\"\"".as_slice()),
            (b"a b", b"k=\"a b\""),
            (b"a=b", b"k=\"a=b\""),
            (b"a\"b", b"k=\"a\\\"b\""),
            (b"a\nb", b"k=\"a\\nb\""),
            (b"\\ \0", b"k=\"\\\\ \\u0000\""),
            (b"a\\b", b"k=a\\b"),
            (b"'/?\xff\x7f", b"k='/?\xff\x7f"),
        ] {
            let mut out = Vec::new();
            Writer::new(&mut out).pair(key(b"k"), value);
            assert_eq!(out, expected, "{}", value.escape_ascii());
        }
    }

    #[test]
    fn keys_hold_nothing_that_ends_them() {
        assert_eq!(Key::new(b""), Err(KeyError::Empty));
        for byte in 0..=u8::MAX {
            let bytes = [b'k', byte];
            let ends = matches!(byte, 0..=32 | b'=' | b'"');
            let expected = if ends {
                Err(KeyError::Ends { byte })
            } else {
                Ok(Key(&bytes))
            };
            assert_eq!(Key::new(&bytes), expected);
        }
        assert_eq!(key(b"sample#a.b").as_bytes(), b"sample#a.b");
    }
}
