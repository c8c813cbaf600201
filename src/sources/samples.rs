//! The line in which an add-on's monitor reports: `source=DATABASE addon=… sample#key=value …`.
//!
//! What could not be read has no key in it. Numbers look as Heroku's do, since what reads such
//! lines was written for those: fractions have five decimals, rates five significant digits.

use std::fmt::Display;

use crate::logfmt::write::Key;
use crate::logfmt::write::Writer;

/// A line that is being written.
#[derive(Debug)]
pub struct Samples {
    line: Vec<u8>,
}

impl Samples {
    /// Begins the line of the add-on `addon`, attached under the name `source`.
    #[must_use]
    pub fn new(source: &str, addon: &str) -> Self {
        let mut samples = Self { line: Vec::new() };
        samples.pair("source", source);
        samples.pair("addon", addon);
        samples
    }

    /// `key=value`, without `sample#`.
    pub fn pair(&mut self, key: &str, value: &str) {
        if !self.line.is_empty() {
            self.line.push(b' ');
        }
        if let Ok(key) = Key::new(key.as_bytes()) {
            Writer::new(&mut self.line).pair(key, value.as_bytes());
        }
    }

    /// A sample with its unit behind it, which may be empty.
    pub fn number<N: Display>(&mut self, key: &str, value: Option<N>, unit: &str) {
        if let Some(value) = value {
            self.pair(&format!("sample#{key}"), &format!("{value}{unit}"));
        }
    }

    /// A part of a whole, 0 to 1, with five decimals.
    pub fn fraction(&mut self, key: &str, value: Option<f64>) {
        let text = value.filter(|value| value.is_finite());
        self.number(key, text.map(|value| format!("{value:.5}")), "");
    }

    /// A rate with five significant digits and no zeros at its end.
    pub fn rate(&mut self, key: &str, value: Option<f64>) {
        let text = value.filter(|value| value.is_finite());
        self.number(key, text.map(significant), "");
    }

    /// The whole line.
    #[must_use]
    pub fn into_line(self) -> Vec<u8> {
        self.line
    }
}

/// `value` rounded to five significant digits, as C's `%.5g` writes it where that takes no exponent.
fn significant(value: f64) -> String {
    let mut decimals = 4_usize;
    let mut reach = 10.0;
    while reach <= value.abs() && 0 < decimals {
        reach *= 10.0;
        decimals -= 1;
    }
    let mut reach = 1.0;
    while value.abs() < reach && value != 0.0 && decimals < DECIMALS_MAX {
        reach /= 10.0;
        decimals += 1;
    }
    let text = format!("{value:.decimals$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// Smaller numbers are as good as nothing, and would be written with an exponent.
const DECIMALS_MAX: usize = 9;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_have_five_digits_as_herokus_have() {
        for (value, expected) in [
            (0.0, "0"),
            (1.0, "1"),
            (302.483, "302.48"),
            (12.0379, "12.038"),
            (2.597, "2.597"),
            (0.345, "0.345"),
            (0.009_677_42, "0.0096774"),
            (0.001_307_91, "0.0013079"),
            (0.582_641, "0.58264"),
            (9.999_99, "10"),
            (99_999.4, "99999"),
            (1_234_567.8, "1234568"),
            (1e-12, "0"),
        ] {
            assert_eq!(significant(value), expected, "{value}");
        }
    }

    #[test]
    fn what_is_not_known_has_no_key() {
        let mut samples = Samples::new("DATABASE", "postgresql-a 1");
        samples.number("db_size", Some(12_u64), "bytes");
        samples.number("tables", None::<u64>, "");
        samples.fraction("index-cache-hit-rate", Some(0.5));
        samples.fraction("table-cache-hit-rate", Some(f64::NAN));
        samples.rate("load-avg-1m", Some(0.25));
        assert_eq!(
            String::from_utf8(samples.into_line()).unwrap(),
            "source=DATABASE addon=\"postgresql-a 1\" sample#db_size=12bytes \
             sample#index-cache-hit-rate=0.50000 sample#load-avg-1m=0.25"
        );
    }
}
