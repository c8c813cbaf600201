//! What a value is worth: a number and its unit, `18ms`, `-0.5`, `16377904.0kB`, `99.9%`.

use std::cmp::Ordering;

use crate::logfmt::unit::Dimension;
use crate::logfmt::unit::Unit;

/// A number and the unit written behind it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quantity<'a> {
    /// How many.
    pub number: Number,
    /// Of what, as written; empty where there is no unit.
    pub unit: &'a [u8],
}

/// A finite number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// Written without point and exponent, and small enough to be exact.
    Integer(i64),
    /// Any other. Invariant: finite.
    Decimal(f64),
}

/// Why a value is no quantity.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NumberError {
    /// There are no bytes that could be one.
    #[error("nothing is there")]
    Missing,
    /// It is something else.
    #[error("not a number")]
    NotANumber,
    /// It says that it is infinite or no number, or is above what a double can hold.
    #[error("not finite")]
    NotFinite,
}

impl<'a> Quantity<'a> {
    /// The one unitless thing that a metric without a value counts.
    pub const ONE: Self = Self {
        number: Number::Integer(1),
        unit: &[],
    };

    /// Reads all of `bytes`; spaces around it and in front of the unit are allowed.
    ///
    /// ```text
    /// quantity = [ "+" / "-" ] ( 1*digit [ "." *digit ] / "." 1*digit ) [ exponent ] *SP [ unit ]
    /// exponent = ( "e" / "E" ) [ "+" / "-" ] 1*digit
    /// unit     = ( letter / "%" / "/" / byte above 127 ) *( any byte above 32 but digits )
    /// ```
    /// A unit holds no digit, so that no part of `1.2.3`, `1,234`, `0x10`, `1m30s`, an address or
    /// an id is taken for a number.
    ///
    /// # Errors
    /// When there is nothing, something else, or a number that is not finite.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, NumberError> {
        let bytes = bytes.trim_ascii();
        if bytes.is_empty() {
            return Err(NumberError::Missing);
        }
        let length = number_bytes(bytes).ok_or_else(|| not_a_number(bytes))?;
        let (number, unit) = bytes
            .split_at_checked(length)
            .ok_or(NumberError::NotANumber)?;
        let unit = unit.trim_ascii_start();
        if !is_unit(unit) {
            return Err(NumberError::NotANumber);
        }
        let number = Number::parse(number)?;
        Ok(Self { number, unit })
    }

    /// How it stands to `limit`. Units of time, and of size, are converted. Where `limit` has no
    /// unit only the numbers count; where it has one of size and this has none, this is bytes.
    /// `None` where the units cannot be compared.
    #[must_use]
    pub fn compare(&self, limit: &Quantity<'_>) -> Option<Ordering> {
        if limit.unit.is_empty() || self.unit == limit.unit {
            return self.number.compare(limit.number);
        }
        let limit_unit = Unit::named(limit.unit)?;
        let unit = match self.unit {
            [] if limit_unit.dimension == Dimension::Size => Unit::BYTE,
            unit => Unit::named(unit)?,
        };
        if unit.dimension != limit_unit.dimension {
            return None;
        }
        let limit = limit.number.to_f64() * limit_unit.factor;
        (self.number.to_f64() * unit.factor).partial_cmp(&limit)
    }
}

impl Number {
    /// Reads what `number_bytes` has measured.
    fn parse(bytes: &[u8]) -> Result<Self, NumberError> {
        let text = str::from_utf8(bytes).map_err(|_| NumberError::NotANumber)?;
        if let Ok(integer) = text.parse() {
            return Ok(Self::Integer(integer));
        }
        match text.parse::<f64>() {
            Ok(decimal) if decimal.is_finite() => Ok(Self::Decimal(decimal)),
            Ok(_) => Err(NumberError::NotFinite),
            Err(_) => Err(NumberError::NotANumber),
        }
    }

    fn compare(self, other: Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Integer(number), Self::Integer(other)) => Some(number.cmp(&other)),
            _ => self.to_f64().partial_cmp(&other.to_f64()),
        }
    }

    /// The nearest double.
    #[must_use]
    pub const fn to_f64(self) -> f64 {
        match self {
            Self::Integer(integer) => integer as f64,
            Self::Decimal(decimal) => decimal,
        }
    }
}

/// How many bytes of a number `bytes` begin with.
fn number_bytes(bytes: &[u8]) -> Option<usize> {
    let sign = sign_bytes(bytes);
    let whole = digits(bytes, sign);
    let mut end = sign + whole;
    if bytes.get(end) == Some(&b'.') {
        let fraction = digits(bytes, end + 1);
        if whole + fraction == 0 {
            return None;
        }
        end += 1 + fraction;
    } else if whole == 0 {
        return None;
    }
    Some(end + exponent_bytes(bytes.get(end..).unwrap_or_default()))
}

/// An `e` without digits behind it begins a unit.
fn exponent_bytes(bytes: &[u8]) -> usize {
    let Some((b'e' | b'E', behind)) = bytes.split_first() else {
        return 0;
    };
    let sign = sign_bytes(behind);
    match digits(behind, sign) {
        0 => 0,
        count => 1 + sign + count,
    }
}

fn sign_bytes(bytes: &[u8]) -> usize {
    usize::from(matches!(bytes.first(), Some(b'+' | b'-')))
}

fn digits(bytes: &[u8], from: usize) -> usize {
    let rest = bytes.get(from..).unwrap_or_default();
    rest.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

fn is_unit(unit: &[u8]) -> bool {
    let begins = unit.first().is_none_or(|&first| {
        first.is_ascii_alphabetic() || matches!(first, b'%' | b'/') || !first.is_ascii()
    });
    begins
        && unit
            .iter()
            .all(|byte| b' ' < *byte && !byte.is_ascii_digit())
}

/// Why there is no digit at the front.
fn not_a_number(bytes: &[u8]) -> NumberError {
    let word = bytes.get(sign_bytes(bytes)..).unwrap_or_default();
    let is_not_finite = [b"nan".as_slice(), b"inf", b"infinity"]
        .iter()
        .any(|name| word.eq_ignore_ascii_case(name));
    if is_not_finite {
        NumberError::NotFinite
    } else {
        NumberError::NotANumber
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::any;
    use proptest::prop_assert_eq;
    use proptest::proptest;

    #[track_caller]
    fn check(text: &str, expected: Result<(Number, &str), NumberError>) {
        let found = Quantity::parse(text.as_bytes());
        let expected = expected.map(|(number, unit)| Quantity {
            number,
            unit: unit.as_bytes(),
        });
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn integers_are_exact() {
        for (text, integer, unit) in [
            ("0", 0, ""),
            ("18ms", 18, "ms"),
            ("-5ms", -5, "ms"),
            ("+5", 5, ""),
            ("007", 7, ""),
            ("9223372036854775807", i64::MAX, ""),
            ("-9223372036854775808", i64::MIN, ""),
            ("26219348792bytes", 26_219_348_792, "bytes"),
            ("348836pages", 348_836, "pages"),
            ("12%", 12, "%"),
            ("12 ms", 12, "ms"),
            (" 12 ms ", 12, "ms"),
            ("1req/s", 1, "req/s"),
            ("5/s", 5, "/s"),
            ("3°C", 3, "°C"),
            ("5e", 5, "e"),
            ("5E", 5, "E"),
            ("5em", 5, "em"),
        ] {
            check(text, Ok((Number::Integer(integer), unit)));
        }
    }

    #[test]
    fn decimals_have_point_or_exponent_or_are_great() {
        for (text, decimal, unit) in [
            ("2.46", 2.46, ""),
            ("16377904.0kB", 16_377_904.0, "kB"),
            (".5s", 0.5, "s"),
            ("-.5", -0.5, ""),
            ("5.", 5.0, ""),
            ("5.ms", 5.0, "ms"),
            ("1e3", 1_000.0, ""),
            ("1E-3s", 0.001, "s"),
            ("1e+3ms", 1_000.0, "ms"),
            ("1.5e3", 1_500.0, ""),
            ("2.342342342342344e+18", 2.342_342_342_342_344e18, ""),
            ("9223372036854775808", 9_223_372_036_854_775_808.0, ""),
            ("1e-999", 0.0, ""),
        ] {
            check(text, Ok((Number::Decimal(decimal), unit)));
        }
    }

    #[test]
    fn nothing_is_a_number_in_part() {
        for text in [
            ".",
            "-",
            "+",
            "-.",
            "ms",
            "ms12",
            ".ms",
            "e3",
            "--5",
            "+-5",
            "1.2.3",
            "1.5.2ms",
            "1,234",
            "1_000",
            "0x10",
            "1m30s",
            "10.10.10.1",
            "2012-10-11",
            "8601b555-6a83",
            "1:2",
            "528M(103.3%)",
            "5 things left",
            "5\tms x",
            "1e3e5",
            "1=2",
            "5\\u00b0C",
            "5-",
            "5.-",
            "web.1",
            "true",
            "١",
        ] {
            check(text, Err(NumberError::NotANumber));
        }
        for text in ["", " "] {
            check(text, Err(NumberError::Missing));
        }
        for text in [
            "NaN",
            "nan",
            "-Inf",
            "+inf",
            "Infinity",
            "1e999",
            "-1e999",
            "2342342342342344e1818",
        ] {
            check(text, Err(NumberError::NotFinite));
        }
        check("infinite", Err(NumberError::NotANumber));
    }

    #[track_caller]
    fn check_order(text: &str, limit: &str, expected: Option<Ordering>) {
        let quantity = Quantity::parse(text.as_bytes()).unwrap();
        let limit = Quantity::parse(limit.as_bytes()).unwrap();
        assert_eq!(quantity.compare(&limit), expected, "{text} {limit:?}");
    }

    #[test]
    fn quantities_of_one_dimension_have_an_order() {
        check_order("500", "499.5", Some(Ordering::Greater));
        check_order("-1", "0", Some(Ordering::Less));
        // Doubles of these are equal.
        check_order(
            "9007199254740993",
            "9007199254740992",
            Some(Ordering::Greater),
        );
        check_order("18ms", "1s", Some(Ordering::Less));
        check_order("1000ms", "1s", Some(Ordering::Equal));
        check_order("1.5min", "90s", Some(Ordering::Equal));
        check_order("2µs", "1999ns", Some(Ordering::Greater));
        check_order("1kB", "1024bytes", Some(Ordering::Equal));
        check_order("21.22MB", "0.5GB", Some(Ordering::Less));
        check_order("21.22MB", "21000kB", Some(Ordering::Greater));
        check_order("7pages", "6pages", Some(Ordering::Greater));
        check_order("12%", "12.5%", Some(Ordering::Less));
    }

    #[test]
    fn a_limit_without_a_unit_is_the_number_as_written() {
        check_order("18ms", "17", Some(Ordering::Greater));
        check_order("2048", "1kB", Some(Ordering::Greater));
        check_order("18", "1s", None);
        check_order("18ms", "1kB", None);
        check_order("7pages", "1kB", None);
        check_order("7pages", "7leaves", None);
    }

    #[test]
    fn integers_become_doubles() {
        assert_eq!(Number::Integer(-3).to_f64().to_bits(), (-3.0_f64).to_bits());
        assert_eq!(Number::Decimal(0.5).to_f64().to_bits(), 0.5_f64.to_bits());
    }

    proptest! {
        #[test]
        fn what_rust_writes_is_read(integer in any::<i64>(), decimal in any::<f64>()) {
            let text = integer.to_string() + "kB";
            let read = Quantity::parse(text.as_bytes());
            prop_assert_eq!(read.map(|q| q.number), Ok(Number::Integer(integer)));
            let text = format!("{decimal:e} s");
            let read = Quantity::parse(text.as_bytes()).map(|q| q.number.to_f64());
            let expected = if decimal.is_finite() { Ok(decimal) } else { Err(NumberError::NotFinite) };
            if decimal.is_finite() {
                prop_assert_eq!(read, expected);
            }
        }
    }
}
