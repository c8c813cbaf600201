//! The grammar of STRUCTURED-DATA (RFC 5424, 6.3), as far as it tells structured data from a
//! message that begins with `[`.

use memchr::memchr3;

use crate::limits::SD_BYTES_MAX;
use crate::limits::SD_NAME_BYTES_MAX;
use crate::limits::SD_STRICT_ELEMENTS_MAX;

/// How many bytes of structured data `bytes` begin with: all elements that follow each other. `None`
/// when there are none, when one breaks off or breaks the grammar, or when they are longer than
/// `SD_BYTES_MAX`.
///
/// ```text
/// elements = 1*element
/// element  = "[" name *( " " name "=" %d34 value %d34 ) "]"
/// name     = 1*32 visible ASCII but "=" "]" and the quote
/// value    = any bytes; the quote, "\" and "]" only behind a "\"
/// ```
/// An element without parameters is one only when its name holds `@` or is one that RFC 5424
/// itself defines: `[GIN] 200` and `[DATABASE] …` are text.
#[must_use]
pub fn sd_bytes(bytes: &[u8]) -> Option<usize> {
    let mut scanner = Scanner { rest: bytes };
    while scanner.rest.first() == Some(&b'[') {
        scanner.element()?;
    }
    let length = bytes.len() - scanner.rest.len();
    (0 < length && length <= SD_BYTES_MAX).then_some(length)
}

/// Whether `sd` is nothing but structured data as RFC 5424 allows it: UTF-8 (6.3.3), and no element
/// of the name of another (6.3.2). Of more than `SD_STRICT_ELEMENTS_MAX` elements it is not said.
#[must_use]
pub fn is_strict(sd: &[u8]) -> bool {
    let mut scanner = Scanner { rest: sd };
    // Where names begin: slices of them would be a kilobyte to clear for each message.
    let mut begins = [0_u16; SD_STRICT_ELEMENTS_MAX];
    for index in 0..=begins.len() {
        let begin = sd.len() - scanner.rest.len() + 1;
        if scanner.rest.is_empty() {
            return 0 < index && str::from_utf8(sd).is_ok();
        }
        let (Some(name), Ok(begin)) = (scanner.element(), u16::try_from(begin)) else {
            return false;
        };
        let (known, free) = begins.split_at_mut(index);
        match free.first_mut() {
            Some(slot) if !known.iter().any(|&known| is_named(sd, known, name)) => *slot = begin,
            _ => return false,
        }
    }
    false
}

/// Whether the name that begins at `begin` of well-formed `sd` is `name`.
fn is_named(sd: &[u8], begin: u16, name: &[u8]) -> bool {
    let behind = sd
        .get(usize::from(begin)..)
        .and_then(|name_on| name_on.strip_prefix(name));
    matches!(behind, Some([b' ' | b']', ..]))
}

struct Scanner<'a> {
    rest: &'a [u8],
}

impl<'a> Scanner<'a> {
    /// The element's name. Each step is `None` where the grammar is broken.
    fn element(&mut self) -> Option<&'a [u8]> {
        self.byte(b'[')?;
        let name = self.name()?;
        let mut has_parameter = false;
        while self.byte(b' ').is_some() {
            self.name()?;
            self.byte(b'=')?;
            self.byte(b'"')?;
            self.value()?;
            has_parameter = true;
        }
        self.byte(b']')?;
        (has_parameter || stands_alone(name)).then_some(name)
    }

    fn byte(&mut self, wanted: u8) -> Option<()> {
        let (&first, rest) = self.rest.split_first()?;
        (first == wanted).then(|| self.rest = rest)
    }

    fn name(&mut self) -> Option<&'a [u8]> {
        let length = self
            .rest
            .iter()
            .take(SD_NAME_BYTES_MAX + 1)
            .take_while(|&&byte| byte.is_ascii_graphic() && !matches!(byte, b'=' | b']' | b'"'))
            .count();
        if !(1..=SD_NAME_BYTES_MAX).contains(&length) {
            return None;
        }
        let (name, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(name)
    }

    /// Up to and with the closing quote. A backslash keeps whatever follows it from meaning
    /// anything; before other bytes it is one itself (6.3.3), which comes to the same here.
    fn value(&mut self) -> Option<()> {
        loop {
            let index = memchr3(b'"', b'\\', b']', self.rest)?;
            let (&special, behind) = self.rest.get(index..)?.split_first()?;
            self.rest = behind;
            match special {
                b'"' => return Some(()),
                b'\\' => self.rest = self.rest.get(1..)?,
                _ => return None,
            }
        }
    }
}

/// Names that say by themselves that an element is one: private ones (6.3.2) and those of section 7.
fn stands_alone(name: &[u8]) -> bool {
    name.contains(&b'@') || matches!(name, b"timeQuality" | b"origin" | b"meta")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::Strategy;
    use proptest::prelude::prop;
    use proptest::prop_assert_eq;
    use proptest::prop_oneof;
    use proptest::proptest;

    #[track_caller]
    fn check(text: &str, sd: Option<&str>) {
        let found = sd_bytes(text.as_bytes()).and_then(|length| text.get(..length));
        assert_eq!(found, sd, "{text}");
    }

    #[test]
    fn elements_are_found() {
        check("[a@1 x=\"1\"]", Some("[a@1 x=\"1\"]"));
        check("[a x=\"1\"] text", Some("[a x=\"1\"]"));
        check(
            "[a x=\"\" y=\"2\"][b z=\"3\"]x",
            Some("[a x=\"\" y=\"2\"][b z=\"3\"]"),
        );
        check("[a x=\"\\\"\\\\\\]\\n\"]", Some("[a x=\"\\\"\\\\\\]\\n\"]"));
        check("[a x=\" [ = zażółć\"]", Some("[a x=\" [ = zażółć\"]"));
        check(
            "[a@1][meta][origin][timeQuality] x",
            Some("[a@1][meta][origin][timeQuality]"),
        );
    }

    #[test]
    fn text_in_brackets_is_no_structured_data() {
        for text in [
            "",
            "-",
            "text",
            "[",
            "[]",
            "[] x",
            "[GIN] 200",
            "[DATABASE] [7-1]  sql",
            "[info] x",
            "[a x=1]",
            "[a x=\"1\"",
            "[a x=\"1]",
            "[a x=\"1\\\"]",
            "[a x=\"]\"]",
            "[a  x=\"1\"]",
            "[a x=\"1\" ]",
            "[a x=\"1\"y=\"2\"]",
            "[a x =\"1\"]",
            "[ a x=\"1\"]",
            "[a =\"1\"]",
            "[a x=\"1\"][b]",
            "[a x=\"1\"][b",
            "[é x=\"1\"]",
            "[a\" x=\"1\"]",
            "[a=b x=\"1\"]",
            "[a x=\"\\",
        ] {
            check(text, None);
        }
    }

    #[test]
    fn lengths_have_bounds() {
        let name = "n".repeat(SD_NAME_BYTES_MAX);
        check(
            &format!("[{name} {name}=\"\"]"),
            Some(&format!("[{name} {name}=\"\"]")),
        );
        check(&format!("[{name}n x=\"\"]"), None);
        check(&format!("[x {name}n=\"\"]"), None);
        let value = "v".repeat(SD_BYTES_MAX - "[a b=\"\"]".len());
        check(
            &format!("[a b=\"{value}\"]"),
            Some(&format!("[a b=\"{value}\"]")),
        );
        check(&format!("[a b=\"{value}v\"]"), None);
    }

    #[test]
    fn strict_is_each_name_once() {
        let many = |count| (0..count).map(|n| format!("[n{n}@1]")).collect::<String>();
        for (sd, expected) in [
            ("[a@1]".to_owned(), true),
            ("[a@1 x=\"1\" x=\"1\"][b@1 x=\"1\"]".to_owned(), true),
            ("[a@1][a@2][A@1][a@11]".to_owned(), true),
            ("[a@1][a@1]".to_owned(), false),
            ("[a@1 x=\"1\"][b@1][a@1 y=\"2\"]".to_owned(), false),
            (many(SD_STRICT_ELEMENTS_MAX), true),
            (many(SD_STRICT_ELEMENTS_MAX + 1), false),
            (many(10_000), false),
            (String::new(), false),
            ("-".to_owned(), false),
            ("[a@1] ".to_owned(), false),
            ("[a@1".to_owned(), false),
        ] {
            assert_eq!(is_strict(sd.as_bytes()), expected, "{sd:.60}");
        }
        assert!(!is_strict(b"[a@1 x=\"\xff\"]"));
    }

    /// The grammar read off the RFC, one byte at a time, every state by its name.
    fn naive(bytes: &[u8]) -> Option<usize> {
        #[derive(Clone, Copy, PartialEq)]
        enum At {
            Open,
            Id,
            Name,
            Quote,
            Value,
            Escaped,
            Behind,
        }
        let mut at = At::Open;
        let mut name = Vec::new();
        let mut id = Vec::new();
        let mut parameters = 0;
        for (index, &byte) in bytes.iter().enumerate() {
            let is_name = (33..=126).contains(&byte) && !b"=]\"".contains(&byte);
            at = match (at, byte) {
                (At::Open, b'[') => {
                    id.clear();
                    parameters = 0;
                    At::Id
                }
                (At::Open, _) => return (0 < index).then_some(index),
                (At::Id, b' ') if !id.is_empty() => {
                    name.clear();
                    At::Name
                }
                (At::Id, b']') | (At::Behind, b']') => {
                    let known: [&[u8]; 3] = [b"timeQuality", b"origin", b"meta"];
                    let alone = id.contains(&b'@') || known.contains(&id.as_slice());
                    if parameters == 0 && !alone {
                        return None;
                    }
                    At::Open
                }
                (At::Id, _) if is_name && id.len() < 32 => {
                    id.push(byte);
                    At::Id
                }
                (At::Name, b'=') if !name.is_empty() => At::Quote,
                (At::Name, _) if is_name && name.len() < 32 => {
                    name.push(byte);
                    At::Name
                }
                (At::Quote, b'"') => At::Value,
                (At::Value, b'"') => {
                    parameters += 1;
                    At::Behind
                }
                (At::Value, b'\\') => At::Escaped,
                (At::Value, b']') => return None,
                (At::Value | At::Escaped, _) => At::Value,
                (At::Behind, b' ') => {
                    name.clear();
                    At::Name
                }
                _ => return None,
            };
        }
        (at == At::Open && !bytes.is_empty()).then_some(bytes.len())
    }

    fn nearly_sd() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            6 => "\\[[a-b@]{1,2}( [a-c]{1,2}=\"[a ]{0,2}(\\\\.)?\"){0,2}\\]",
            2 => "\\[(meta|origin|timeQuality|[a-z]{30,33})( x=\"1\")?\\]",
            2 => "[\\[\\]\"\\\\ =a@é]{1,3}",
        ];
        prop::collection::vec(piece, 0..5).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn the_scanner_is_the_grammar(text in nearly_sd()) {
            prop_assert_eq!(sd_bytes(text.as_bytes()), naive(text.as_bytes()));
        }
    }
}
