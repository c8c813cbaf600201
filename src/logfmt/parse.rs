//! Reads a line's pairs, in order, without copying: whatever the line, there is an answer.
//!
//! ```text
//! line    = *( separator / pair / prose / nameless )
//! pair    = key [ "=" value ]
//! key     = 1*( any byte but separators, "=" and the quote )
//! value   = quoted / *( any byte but separators ), not beginning with the quote
//! quoted  = %d34 *( any byte but the quote and "\" / "\" any byte ) %d34, or to the line's end
//! prose   = quoted, where a key could begin: nothing is looked for in it
//! nameless = "=" value: nobody could ask for it
//! ```
//! Separators are all bytes up to the space (32). A quote where a key could begin that has no
//! partner separates, too. A closing quote needs no separator behind it.

#[cfg(any(test, fuzzing))]
use crate::logfmt::naive;
use crate::logfmt::value::Pair;
use crate::logfmt::value::Quoted;
use crate::logfmt::value::Value;
#[cfg(any(test, fuzzing))]
use crate::logfmt::write::Key;
#[cfg(any(test, fuzzing))]
use crate::logfmt::write::Writer;
use crate::logfmt::write::ends_key;

/// The pairs of `line`, repeated keys and all.
#[must_use]
pub const fn pairs(line: &[u8]) -> Pairs<'_> {
    Pairs {
        rest: line,
        has_lone_quote: false,
    }
}

/// The pairs of a line; see `pairs`.
#[derive(Clone, Debug)]
pub struct Pairs<'a> {
    rest: &'a [u8],
    /// A quote was seen that has no partner. Whether a quote can close does not depend on where one
    /// opens, so no later one has a partner either, and the rest is searched for it only once.
    has_lone_quote: bool,
}

impl<'a> Iterator for Pairs<'a> {
    type Item = Pair<'a>;

    #[inline]
    fn next(&mut self) -> Option<Pair<'a>> {
        loop {
            let (&first, behind) = self.rest.split_first()?;
            match first {
                0..=b' ' => self.rest = behind,
                b'=' | b'"' => self.leave_out(),
                _ => return self.pair(),
            }
        }
    }
}

impl<'a> Pairs<'a> {
    #[inline]
    fn pair(&mut self) -> Option<Pair<'a>> {
        let (key, behind) = self.rest.split_at_checked(key_bytes(self.rest))?;
        self.rest = behind;
        let value = match behind.split_first() {
            Some((b'=', behind)) => {
                self.rest = behind;
                self.value()
            }
            _ => Value::Flag,
        };
        Some(Pair { key, value })
    }

    /// What stands behind a `=`.
    #[inline]
    fn value(&mut self) -> Value<'a> {
        if let Some((b'"', behind)) = self.rest.split_first() {
            self.rest = behind;
            return Value::Quoted(self.quoted());
        }
        let length = plain_bytes(self.rest);
        let (plain, behind) = self.rest.split_at_checked(length).unwrap_or_default();
        self.rest = behind;
        Value::Plain(plain)
    }

    /// What stands behind a quote.
    #[inline]
    fn quoted(&mut self) -> Quoted<'a> {
        let (length, has_escapes) = quoted_bytes(self.rest);
        let (raw, behind) = self.rest.split_at_checked(length).unwrap_or_default();
        let closed = behind.split_first();
        self.rest = closed.map_or(&[], |(_, behind)| behind);
        Quoted::new(raw, has_escapes, closed.is_none())
    }

    /// Steps over a value without a key, over prose, or over a quote without a partner. Kept out of
    /// line: a line of pairs has none of them.
    #[cold]
    fn leave_out(&mut self) {
        let Some((&first, behind)) = self.rest.split_first() else {
            return;
        };
        self.rest = behind;
        if first == b'=' {
            self.value();
        } else if !self.has_lone_quote && self.quoted().is_truncated() {
            self.has_lone_quote = true;
            self.rest = behind;
        }
    }
}

/// How many bytes in front of the first that ends a key.
#[inline]
fn key_bytes(bytes: &[u8]) -> usize {
    find(
        bytes,
        |word| up_to_space(word) | equal(word, b'=') | equal(word, b'"'),
        ends_key,
    )
}

/// How many bytes in front of the first separator.
#[inline]
fn plain_bytes(bytes: &[u8]) -> usize {
    find(bytes, up_to_space, |byte| byte <= b' ')
}

/// How many bytes in front of the closing quote, and whether there are escapes among them.
#[inline]
fn quoted_bytes(bytes: &[u8]) -> (usize, bool) {
    let special = |bytes| {
        find(
            bytes,
            |word| equal(word, b'"') | equal(word, b'\\'),
            |byte| matches!(byte, b'"' | b'\\'),
        )
    };
    let mut end = special(bytes);
    let mut has_escapes = false;
    while bytes.get(end) == Some(&b'\\') {
        has_escapes = true;
        let behind = bytes.get(end + 2..).unwrap_or_default();
        end = bytes.len() - behind.len() + special(behind);
    }
    (end, has_escapes)
}

/// How many bytes in front of the first wanted one. Keys and values are short: eight bytes at a
/// time cost less than the call of a search that is made for long texts.
///
/// `in_word` sets the top bit of the first wanted byte, and none of a byte in front of it.
#[inline]
fn find(bytes: &[u8], in_word: impl Fn(u64) -> u64, is_wanted: impl Fn(u8) -> bool) -> usize {
    let mut rest = bytes;
    while let Some((word, behind)) = rest.split_first_chunk::<8>() {
        let found = in_word(u64::from_le_bytes(*word));
        if found != 0 {
            return bytes.len() - rest.len() + found.trailing_zeros() as usize / 8;
        }
        rest = behind;
    }
    let found = rest.iter().position(|&byte| is_wanted(byte));
    bytes.len() - rest.len() + found.unwrap_or(rest.len())
}

const EACH: u64 = u64::from_ne_bytes([1; 8]);
const TOP_BITS: u64 = EACH << 7;

/// Bytes up to 32 borrow when 33 is taken from them, into their top bit. Bytes above the first such
/// one may be wrong, it is not.
#[inline]
const fn up_to_space(word: u64) -> u64 {
    word.wrapping_sub(EACH * (b' ' + 1) as u64) & !word & TOP_BITS
}

/// A byte that is `byte` becomes zero, and the only one that borrows for a 1; see `up_to_space`.
#[inline]
const fn equal(word: u64, byte: u8) -> u64 {
    let word = word ^ (EACH * byte as u64);
    word.wrapping_sub(EACH) & !word & TOP_BITS
}

/// Fuzz target: any line is read as its naive twin reads it, and what is read and written again
/// reads the same.
#[cfg(any(test, fuzzing))]
pub fn fuzz_logfmt(line: &[u8]) {
    let read: Vec<Pair<'_>> = pairs(line).collect();
    let owned: Vec<naive::Pair> = read.iter().map(owned).collect();
    assert!(owned == naive::pairs(line), "{}", line.escape_ascii());
    let mut out = Vec::new();
    let mut writer = Writer::new(&mut out);
    for Pair { key, value } in &read {
        let key = Key::new(key).expect("what was read as a key can be one");
        match value {
            Value::Flag => writer.flag(key),
            Value::Plain([]) => writer.empty(key),
            value => writer.pair(key, &value.text()),
        }
        assert!(value.bytes().eq(value.text().iter().copied()));
        assert!(value.has_escapes() || value.raw() == &*value.text());
        assert!(
            value
                .quantity()
                .is_ok_and(|q| q.number.to_f64().is_finite())
                || value.quantity().is_err()
        );
    }
    // How a value stands there may change (`k="v"` is written `k=v`), what it says does not.
    let meaning = |pair: &Pair<'_>| {
        let text = (pair.value != Value::Flag).then(|| pair.value.text().into_owned());
        (pair.key.to_vec(), text, pair.value == Value::Plain(&[]))
    };
    assert!(
        pairs(&out)
            .map(|pair| meaning(&pair))
            .eq(read.iter().map(meaning))
    );
}

#[cfg(any(test, fuzzing))]
fn owned(pair: &Pair<'_>) -> naive::Pair {
    let form = match pair.value {
        Value::Flag => return (pair.key.to_vec(), None),
        Value::Plain(_) => "plain",
        value if value.is_truncated() => "truncated",
        Value::Quoted(_) => "quoted",
    };
    (
        pair.key.to_vec(),
        Some((form, pair.value.text().into_owned())),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logfmt::quantity::NumberError;
    use proptest::prelude::Strategy;
    use proptest::prelude::any;
    use proptest::prelude::prop;
    use proptest::prop_assert_eq;
    use proptest::prop_oneof;
    use proptest::proptest;

    /// Pairs as `key`, `key=plain`, `key="quoted"`, `key="truncated…`, a `|` between any two.
    fn show(line: &[u8]) -> String {
        let shown = |pair: Pair<'_>| {
            let key = pair.key.escape_ascii();
            let text = pair.value.text().escape_ascii().to_string();
            match pair.value {
                Value::Flag => format!("{key}"),
                Value::Plain(_) => format!("{key}={text}"),
                value if value.is_truncated() => format!("{key}=\"{text}…"),
                Value::Quoted(_) => format!("{key}=\"{text}\""),
            }
        };
        pairs(line).map(shown).collect::<Vec<_>>().join("|")
    }

    #[track_caller]
    fn check(line: &str, expected: &str) {
        assert_eq!(show(line.as_bytes()), expected, "{line}");
    }

    #[test]
    fn a_router_s_line() {
        check(
            "at=error code=H12 desc=\"Request timeout\" method=GET path=\"/?a=b\" host=h fwd=\"1.2.3.4\" \
             dyno= connect= service= status=503 bytes=0 protocol=https",
            "at=error|code=H12|desc=\"Request timeout\"|method=GET|path=\"/?a=b\"|host=h|\
             fwd=\"1.2.3.4\"|dyno=|connect=|service=|status=503|bytes=0|protocol=https",
        );
    }

    #[test]
    fn flag_empty_and_quoted_empty_are_three_things() {
        check("k", "k");
        check("k=", "k=");
        check("k=\"\"", "k=\"\"");
        check("k k= k=\"\" k", "k|k=|k=\"\"|k");
    }

    #[test]
    fn every_byte_up_to_the_space_separates() {
        for separator in 0..=b' ' {
            let line = [
                b'a', separator, b'=', separator, b'b', b'=', separator, b'c',
            ];
            assert_eq!(show(&line), "a|b=|c", "{separator}");
        }
        check("a\u{7f}=\u{a0}", "a\\x7f=\\xc2\\xa0");
        check("  a=1\r\n", "a=1");
        check(" \t\n", "");
        check("", "");
    }

    #[test]
    fn plain_values_hold_anything_but_separators() {
        check(
            "u=https://h/?q=\"z\"&b=\\n j={\"a\":\"b\"} e===",
            "u=https://h/?q=\\\"z\\\"&b=\\\\n|j={\\\"a\\\":\\\"b\\\"}|e===",
        );
    }

    #[test]
    fn quoted_values_end_at_a_quote_without_a_backslash() {
        check("k=\"a b\\\"c\" d", "k=\"a b\\\"c\"|d");
        check("k=\"a\\\\\" d", "k=\"a\\\\\"|d");
        check("k=\"a\"b=c", "k=\"a\"|b=c");
        check("k=\"a\"\"b\"c", "k=\"a\"|c");
        check("k=\"12345678\" d", "k=\"12345678\"|d");
        check("k=\"1234567\\\"\" d", "k=\"1234567\\\"\"|d");
    }

    #[test]
    fn what_is_cut_off_is_kept_and_said() {
        check("a=1 k=\"b c=2", "a=1|k=\"b c=2…");
        check("k=\"b\\\" c", "k=\"b\\\" c…");
        check("k=\"b\\", "k=\"b\\\\…");
        check("k=\"", "k=\"…");
    }

    #[test]
    fn no_pairs_are_taken_out_of_prose() {
        check("He said \"a=b c=d\" then x=1", "He|said|then|x=1");
        check("\"a\\\"b=c\" x=1", "x=1");
        check("\"k\"=v \"k\"=\"v w\" x", "x");
        check("{\"k\":\"v\",\"w\":1}", "{|:|,|:1}");
    }

    #[test]
    fn a_quote_without_a_partner_separates() {
        check("15\" wide=1", "15|wide=1");
        check("\"a=1 b=2", "a=1|b=2");
        check("k\"ey=bar", "k|ey=bar");
        check("\"a \\\"b \\\"c=d", "a|\\\\|b|\\\\|c=d");
    }

    #[test]
    fn values_without_a_key_are_left_out() {
        check("=v a=1 =\"b c\" = d =\"e", "a=1|d");
    }

    #[test]
    fn the_rest_is_searched_for_a_partner_only_once() {
        // A megabyte: searched again for each quote it would take an hour.
        let line = "\"".to_owned() + &" \\\"".repeat(400_000);
        assert_eq!(pairs(line.as_bytes()).count(), 400_000);
    }

    #[test]
    fn quotes_do_not_matter_to_numbers() {
        for line in ["k=18ms", "k=\"18ms\"", "k=\"18 ms\""] {
            let value = pairs(line.as_bytes()).next().unwrap().value;
            assert_eq!(value.quantity().unwrap().unit, b"ms", "{line}");
        }
        let value = pairs(b"k").next().unwrap().value;
        assert_eq!(value.quantity(), Err(NumberError::Missing));
    }

    fn nearly_logfmt() -> impl Strategy<Value = Vec<u8>> {
        let word = prop_oneof![
            4 => "[a-z]{1,9}=", 3 => "[ -~]{0,20}", 4 => " ", 2 => "\"", 1 => "\\\\",
            1 => "\\\\u[0-9a-d]{3,5}", 1 => "\\\\ud83d\\\\ude0[0-f]", 1 => "\\\\[nbtfr/a]",
            1 => "[+-]?[0-9]{0,3}[.e]?[0-9]{0,3}(ms|%)?", 1 => "\\PC{0,3}", 1 => "[\0-\x20]",
        ];
        let bytes = prop_oneof![
            9 => word.prop_map(String::into_bytes), 1 => prop::collection::vec(any::<u8>(), 1..4),
        ];
        prop::collection::vec(bytes, 0..24).prop_map(|words| words.concat())
    }

    proptest! {
        #[test]
        fn any_line_is_read_as_by_the_twin(line in nearly_logfmt()) {
            fuzz_logfmt(&line);
        }

        #[test]
        fn what_is_written_is_read(
            written in prop::collection::vec(
                ("[!#-<>-~é]{1,9}", prop::option::of(prop::collection::vec(any::<u8>(), 0..20))),
                0..6,
            ),
        ) {
            let mut out = Vec::new();
            let mut writer = Writer::new(&mut out);
            for (key, value) in &written {
                let key = Key::new(key.as_bytes()).unwrap();
                match value {
                    Some(value) => writer.pair(key, value),
                    None => writer.flag(key),
                }
            }
            let read: Vec<_> = pairs(&out)
                .map(|Pair { key, value }| {
                    let text = (value != Value::Flag).then(|| value.text().into_owned());
                    (String::from_utf8(key.to_vec()).unwrap(), text)
                })
                .collect();
            prop_assert_eq!(read, written);
        }
    }
}
