//! Sizes and durations as people write them: `65536`, `64KiB`, `500ms`, `7d`. Pure.

use std::time::Duration;

use crate::id::IdError;

/// Why a value is not what its key asks for.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Problem {
    /// A list, a table or a bare word where something else must stand.
    #[error("it is {0}")]
    WrongType(&'static str),
    /// No number stands at its beginning, or it is no whole number where one is needed.
    #[error("it is no number")]
    NotANumber,
    /// What follows the number is no unit.
    #[error("`{0}` is no unit")]
    UnknownUnit(String),
    /// Below the least allowed value.
    #[error("it is below {0}")]
    TooSmall(String),
    /// Above the greatest allowed value.
    #[error("it is above {0}")]
    TooGreat(String),
    /// None of the words that are allowed.
    #[error("it is none of the allowed words")]
    UnknownWord,
    /// No `ADDRESS:PORT`.
    #[error("it is no address with a port")]
    NotAnAddress,
    /// No URL of the scheme that is needed.
    #[error("it is no http or https URL")]
    NotAUrl,
    /// A name or token that breaks its rules.
    #[error(transparent)]
    BadId(#[from] IdError),
    /// A credential without `:` or with an empty secret.
    #[error("it lacks `:` or one of its halves")]
    NotACredential,
    /// The text is empty.
    #[error("it is empty")]
    Empty,
    /// A list's element or a table's field is wrong.
    #[error("its element {index}: {problem}")]
    InElement {
        /// 0-based position in the list.
        index: usize,
        /// What is wrong there.
        problem: Box<Problem>,
    },
    /// A field of a table is missing.
    #[error("it lacks `{0}`")]
    NoField(&'static str),
    /// A field of a table is not known.
    #[error("`{0}` is no field of it")]
    UnknownField(String),
}

/// The number of bytes that `text` names: digits, then `B`, `KiB`, `MiB`, `GiB` (powers of 1024),
/// `kB`, `MB`, `GB` (powers of 1000) or nothing.
///
/// # Errors
/// `Problem` when the number or its unit cannot be read, or the product is beyond 64 bits.
pub(crate) fn bytes(text: &str) -> Result<u64, Problem> {
    let (number, unit) = number_and_unit(text)?;
    let factor = match unit {
        "" | "B" => 1,
        "KiB" | "K" | "k" => 1 << 10,
        "MiB" | "M" => 1 << 20,
        "GiB" | "G" => 1 << 30,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        _ => return Err(Problem::UnknownUnit(unit.to_owned())),
    };
    number
        .checked_mul(factor)
        .ok_or_else(|| Problem::TooGreat("2^64 bytes".to_owned()))
}

/// The time that `text` names: digits, then `ms`, `s`, `m`, `h`, `d` or nothing (seconds).
///
/// # Errors
/// `Problem` when the number or its unit cannot be read, or the product is beyond 64 bits.
pub(crate) fn duration(text: &str) -> Result<Duration, Problem> {
    let (number, unit) = number_and_unit(text)?;
    let factor = match unit {
        "ms" => 1,
        "" | "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(Problem::UnknownUnit(unit.to_owned())),
    };
    number
        .checked_mul(factor)
        .map(Duration::from_millis)
        .ok_or_else(|| Problem::TooGreat("2^64 ms".to_owned()))
}

/// `65536` as `64KiB`: the greatest unit that leaves a whole number.
#[must_use]
pub(crate) fn bytes_text(bytes: u64) -> String {
    scaled(
        bytes,
        &[(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")],
        "B",
    )
}

/// `604800 s` as `7d`: the greatest unit that leaves a whole number.
#[must_use]
pub(crate) fn duration_text(duration: Duration) -> String {
    let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let units = [
        (86_400_000, "d"),
        (3_600_000, "h"),
        (60_000, "m"),
        (1_000, "s"),
    ];
    scaled(ms, &units, "ms")
}

fn scaled(value: u64, units: &[(u64, &str)], rest: &str) -> String {
    units
        .iter()
        .find(|(factor, _)| value != 0 && value.is_multiple_of(*factor))
        .map_or_else(
            || format!("{value}{rest}"),
            |(factor, unit)| format!("{}{unit}", value / factor),
        )
}

fn number_and_unit(text: &str) -> Result<(u64, &str), Problem> {
    let text = text.trim();
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '_')
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at_checked(end).ok_or(Problem::NotANumber)?;
    let number = digits
        .replace('_', "")
        .parse()
        .map_err(|_| Problem::NotANumber)?;
    Ok((number, unit.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read() {
        for (text, expected) in [
            ("0", Ok(0)),
            ("65536", Ok(65_536)),
            ("65_536", Ok(65_536)),
            ("64KiB", Ok(65_536)),
            (" 16 MiB ", Ok(16 << 20)),
            ("4GiB", Ok(4 << 30)),
            ("100kB", Ok(100_000)),
            (
                "12 parsecs",
                Err(Problem::UnknownUnit("parsecs".to_owned())),
            ),
            ("MiB", Err(Problem::NotANumber)),
            ("-1", Err(Problem::NotANumber)),
            ("1.5MiB", Err(Problem::UnknownUnit(".5MiB".to_owned()))),
            ("", Err(Problem::NotANumber)),
            ("99999999999999999999", Err(Problem::NotANumber)),
            (
                "18446744073709551615GiB",
                Err(Problem::TooGreat("2^64 bytes".to_owned())),
            ),
            ("1é", Err(Problem::UnknownUnit("é".to_owned()))),
        ] {
            assert_eq!(bytes(text), expected, "{text:?}");
        }
    }

    #[test]
    fn durations_are_read() {
        for (text, expected_ms) in [
            ("30", Some(30_000)),
            ("30s", Some(30_000)),
            ("250ms", Some(250)),
            ("5m", Some(300_000)),
            ("5h", Some(18_000_000)),
            ("7d", Some(604_800_000)),
            ("7 days", None),
            ("s", None),
            ("18446744073709551615d", None),
        ] {
            let expected = expected_ms.map(Duration::from_millis);
            assert_eq!(duration(text).ok(), expected, "{text:?}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        for value in [0, 1, 1_000, 1_024, 65_536, 100 * 1_024, 16 << 20, 1 << 40] {
            assert_eq!(bytes(&bytes_text(value)), Ok(value));
            let time = Duration::from_millis(value);
            assert_eq!(duration(&duration_text(time)), Ok(time));
        }
        assert_eq!(bytes_text(65_536), "64KiB");
        assert_eq!(duration_text(Duration::from_secs(604_800)), "7d");
        assert_eq!(duration_text(Duration::ZERO), "0ms");
    }
}
