//! JSON's escapes (RFC 8259, 7). What is none stays as it is, so decoding loses nothing.

use std::borrow::Cow;

use memchr::memchr;

/// The bytes that `raw` means. Borrowed when nothing in it is an escape.
pub(crate) fn decode(raw: &[u8]) -> Cow<'_, [u8]> {
    let mut decoded = Vec::new();
    let mut kept = 0;
    let mut from = 0;
    while let Some(at) = backslash(raw, from) {
        from = at + 1;
        if let Some((char, length)) = escape(raw.get(at..).unwrap_or_default()) {
            decoded.extend_from_slice(raw.get(kept..at).unwrap_or_default());
            decoded.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
            from = at + length;
            kept = from;
        }
    }
    if kept == 0 {
        return Cow::Borrowed(raw);
    }
    decoded.extend_from_slice(raw.get(kept..).unwrap_or_default());
    Cow::Owned(decoded)
}

fn backslash(raw: &[u8], from: usize) -> Option<usize> {
    Some(from + memchr(b'\\', raw.get(from..)?)?)
}

/// The bytes that are meant, one by one.
#[derive(Clone, Debug)]
pub struct Decoded<'a> {
    rest: &'a [u8],
    has_escapes: bool,
    /// UTF-8 of an escaped character; what is left of it stands from `char_index` on.
    char: [u8; 4],
    char_index: u8,
    char_bytes: u8,
}

impl<'a> Decoded<'a> {
    /// `raw` means itself.
    pub(crate) const fn plain(raw: &'a [u8]) -> Self {
        Self {
            rest: raw,
            has_escapes: false,
            char: [0; 4],
            char_index: 0,
            char_bytes: 0,
        }
    }

    /// Escapes in `raw` mean what they stand for.
    pub(crate) const fn escaped(raw: &'a [u8]) -> Self {
        Self {
            has_escapes: true,
            ..Self::plain(raw)
        }
    }

    fn char_byte(&mut self) -> Option<u8> {
        if self.char_bytes <= self.char_index {
            return None;
        }
        let byte = self.char.get(usize::from(self.char_index)).copied();
        self.char_index += 1;
        byte
    }
}

impl Iterator for Decoded<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        if let Some(byte) = self.char_byte() {
            return Some(byte);
        }
        let (&first, behind) = self.rest.split_first()?;
        if first == b'\\'
            && self.has_escapes
            && let Some((char, length)) = escape(self.rest)
        {
            self.rest = self.rest.get(length..).unwrap_or_default();
            self.char_bytes = u8::try_from(char.encode_utf8(&mut self.char).len()).ok()?;
            self.char_index = 0;
            return self.char_byte();
        }
        self.rest = behind;
        Some(first)
    }
}

/// The character that the escape at the front of `bytes` stands for, and the escape's length.
fn escape(bytes: &[u8]) -> Option<(char, usize)> {
    let char = match bytes.get(1)? {
        b'"' => '"',
        b'\\' => '\\',
        b'/' => '/',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => return utf16(bytes),
        _ => return None,
    };
    Some((char, 2))
}

/// `\uXXXX`, or two of them where the first is half of a character. Half a character is none.
fn utf16(bytes: &[u8]) -> Option<(char, usize)> {
    let first = unit(bytes)?;
    if let Some(char) = char::from_u32(u32::from(first)) {
        return Some((char, 6));
    }
    let second = unit(bytes.get(6..)?)?;
    let char = char::decode_utf16([first, second]).next()?.ok()?;
    Some((char, 12))
}

/// The number of the `\uXXXX` at the front of `bytes`.
fn unit(bytes: &[u8]) -> Option<u16> {
    let digits = bytes.strip_prefix(br"\u")?.first_chunk::<4>()?;
    let mut number = 0;
    for &digit in digits {
        let digit = char::from(digit).to_digit(16)?;
        number = number * 16 + u16::try_from(digit).ok()?;
    }
    Some(number)
}

/// Appends `text` so that `decode` gives it back, and so that neither a bare quote nor a control
/// character stands in it.
pub(crate) fn encode(text: &[u8], out: &mut Vec<u8>) {
    for &byte in text {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(br"\n"),
            b'\r' => out.extend_from_slice(br"\r"),
            b'\t' => out.extend_from_slice(br"\t"),
            0..0x20 => {
                let digit = |half: u8| match half {
                    0..10 => b'0' + half,
                    _ => b'a' - 10 + half,
                };
                out.extend_from_slice(br"\u00");
                out.extend_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
            }
            _ => out.push(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::any;
    use proptest::prelude::prop;
    use proptest::prop_assert_eq;
    use proptest::proptest;

    #[track_caller]
    fn check(raw: &str, text: &str) {
        assert_eq!(decode(raw.as_bytes()), text.as_bytes(), "{raw}");
        let bytes: Vec<u8> = Decoded::escaped(raw.as_bytes()).collect();
        assert_eq!(bytes, text.as_bytes(), "{raw}");
    }

    #[test]
    fn escapes_are_json_s() {
        check("", "");
        check("no escape", "no escape");
        check(r#"\"\\\/\b\f\n\r\t"#, "\"\\/\u{8}\u{c}\n\r\t");
        check(r"\u0041\u00e9\u20AC\u0000", "Aé€\0");
        check(r"a\ud83d\ude00b", "a😀b");
        check(r"\\u0041", r"\u0041");
    }

    #[test]
    fn what_is_no_escape_stays() {
        for raw in [
            r"\",
            r"a\",
            r"\a",
            r"\x41",
            r"\u",
            r"\u004",
            r"\u00g1",
            r"\u+041",
            r"\U0041",
            r"\ud83d",
            r"\ud83d\n0000",
            r"\ude00",
        ] {
            let expected = raw.replace(r"\n", "\n");
            check(raw, &expected);
        }
        check(r"\ud83d\u0041", r"\ud83dA");
        check(r"\ud83d\ud83d\ude00", r"\ud83d😀");
        check(r"\a\n", "\\a\n");
    }

    #[test]
    fn bytes_that_mean_themselves_are_borrowed() {
        for raw in [b"abc".as_slice(), br"\a", b"\xff"] {
            assert!(matches!(decode(raw), Cow::Borrowed(_)));
        }
        assert_eq!(Decoded::plain(br"a\n").collect::<Vec<u8>>(), br"a\n");
    }

    #[test]
    fn controls_are_escaped() {
        let mut out = Vec::new();
        encode(b"a \"\\\n\r\t\x00\x1f\x7f\xff", &mut out);
        assert_eq!(out, b"a \\\"\\\\\\n\\r\\t\\u0000\\u001f\x7f\xff");
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(text in prop::collection::vec(any::<u8>(), 0..40)) {
            let mut raw = Vec::new();
            encode(&text, &mut raw);
            prop_assert_eq!(&*decode(&raw), &*text);
            prop_assert_eq!(Decoded::escaped(&raw).collect::<Vec<u8>>(), text);
        }
    }
}
