//! Where an expression is wrong, and how.

use std::fmt;

use crate::limits::FILTER_BYTES_MAX;
use crate::limits::FILTER_CONDITIONS_MAX;
use crate::limits::FILTER_DEPTH_MAX;
use crate::limits::FILTER_REGEX_BYTES_MAX;
use crate::limits::FILTER_REGEXES_MAX;

/// Why an expression is no filter.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("at character {character}, {}: {reason}", Part(part))]
pub struct FilterError {
    /// The character it begins with, counted from 1; one more than there are where something is
    /// missing at the end.
    pub character: usize,
    /// What stands there, up to the next space; empty at the end, cut when it is long.
    pub part: String,
    /// What is wrong with it.
    pub reason: FilterErrorReason,
}

impl FilterError {
    /// `expression` in a line of its own, and under it a mark at the character.
    #[must_use]
    pub fn drawn(&self, expression: &str) -> String {
        let line = expression.replace(char::is_control, " ");
        let place = " ".repeat(self.character - 1);
        format!("  {line}\n  {place}^")
    }
}

/// A part as it is shown: in quotes, or named where there is none.
struct Part<'a>(&'a str);

impl fmt::Display for Part<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            "" => f.write_str("the end"),
            part => write!(f, "{part:?}"),
        }
    }
}

/// What is wrong with an expression.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum FilterErrorReason {
    /// There is nothing to look for: at the end, in front of a `)` or of an OR.
    #[error("a condition is missing here")]
    Missing,
    /// `(` without `)`.
    #[error("this parenthesis is not closed")]
    NotClosed,
    /// `)` without `(`.
    #[error("there is no parenthesis to close")]
    NotOpened,
    /// A quote without another.
    #[error("this quote is not closed")]
    QuoteNotClosed,
    /// Something follows a quote or a regular expression without a space.
    #[error("a space is missing here")]
    SpaceMissing,
    /// A slash without another.
    #[error(
        "this regular expression is not closed by `/`; put a text that begins with a slash in quotes"
    )]
    RegexNotClosed,
    /// The pattern means nothing.
    #[error("no regular expression: {0}")]
    Regex(String),
    /// The pattern takes too much memory.
    #[error("the regular expression takes more than {FILTER_REGEX_BYTES_MAX} bytes when compiled")]
    RegexTooGreat,
    /// Nothing stands behind an operator.
    #[error("a value is missing here")]
    ValueMissing,
    /// Nothing stands in front of an operator.
    #[error("a name is missing in front of the operator; put a text that holds one in quotes")]
    NameMissing,
    /// A comparison needs a number.
    #[error("no number: only numbers can be compared, like 500, 1.5s or 10kB")]
    NotANumber,
    /// The number's unit cannot be converted, so nothing could be compared with it.
    #[error(
        "no unit that can be compared; there are ns, us, ms, s, min, h, d, B, kB, MB, GB, TB and %; \
         a number without a unit is compared with any"
    )]
    UnknownUnit,
    /// Another operator follows the first.
    #[error(
        "two operators; write one of `:` `=` `!=` `>` `>=` `<` `<=`, and put a value that begins like \
         one in quotes"
    )]
    OperatorTwice,
    /// An address, whose scheme would be a name.
    #[error(
        "a value that begins with `//`; put an address in quotes, like \"https://example.com/\""
    )]
    Address,
    /// The operator does not go with the name.
    #[error("`{name}` can only be asked by `:`, `=` and `!=`")]
    NoOrder {
        /// `source` or `ps`.
        name: &'static str,
    },
    /// No severity has this name.
    #[error(
        "no severity; there are emerg, alert, crit, err, warning, notice, info and debug, or 0 to 7"
    )]
    UnknownSeverity,
    /// The expression is too long.
    #[error("more than {FILTER_BYTES_MAX} bytes")]
    TooLong,
    /// There are too many regular expressions.
    #[error("more than {FILTER_REGEXES_MAX} regular expressions")]
    TooManyRegexes,
    /// There are too many conditions.
    #[error("more than {FILTER_CONDITIONS_MAX} conditions")]
    TooMany,
    /// Parentheses or negations stand too deep.
    #[error("more than {FILTER_DEPTH_MAX} parentheses or negations within each other")]
    TooDeep,
}
