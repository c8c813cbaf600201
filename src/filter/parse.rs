//! Reads an expression, from left to right, by recursion.

use std::borrow::Cow;

use regex::bytes::Regex;
use regex::bytes::RegexBuilder;

use crate::filter::Expression;
use crate::filter::Filter;
use crate::filter::condition::Comparison;
use crate::filter::condition::Condition;
use crate::filter::condition::FieldCondition;
use crate::filter::condition::Pattern;
use crate::filter::condition::Wanted;
use crate::filter::error::FilterError;
use crate::filter::error::FilterErrorReason as Reason;
use crate::filter::operator::Operator;
use crate::filter::operator::operator;
use crate::limits::FILTER_BYTES_MAX;
use crate::limits::FILTER_CONDITIONS_MAX;
use crate::limits::FILTER_DEPTH_MAX;
use crate::limits::FILTER_REGEX_BYTES_MAX;
use crate::limits::FILTER_REGEXES_MAX;
use crate::logfmt::escape;
use crate::logfmt::quantity::Quantity;
use crate::logfmt::unit::Unit;
use crate::syslog::severity;

pub(crate) fn parse(expression: &str) -> Result<Filter, FilterError> {
    let mut parser = Parser {
        whole: expression,
        rest: expression,
        depth: 0,
        condition_count: 0,
        regex_count: 0,
        fields: Vec::new(),
    };
    let read = parser.whole_expression();
    read.map(|expression| Filter {
        expression,
        fields: parser.fields.into_boxed_slice(),
    })
    .map_err(|fault| {
        let (before, at) = expression
            .split_at_checked(fault.index)
            .unwrap_or((expression, ""));
        FilterError {
            character: 1 + before.chars().count(),
            part: at
                .chars()
                .take_while(|letter| !letter.is_whitespace())
                .take(PART_CHARACTERS_MAX)
                .collect(),
            reason: fault.reason,
        }
    })
}

/// More of what is wrong helps nobody to find it.
const PART_CHARACTERS_MAX: usize = 40;

/// What is wrong at a byte.
struct Fault {
    index: usize,
    reason: Reason,
}

struct Parser<'e> {
    whole: &'e str,
    /// Invariant: an end of `whole`.
    rest: &'e str,
    depth: usize,
    condition_count: usize,
    regex_count: usize,
    fields: Vec<FieldCondition>,
}

impl<'e> Parser<'e> {
    fn whole_expression(&mut self) -> Result<Expression, Fault> {
        if FILTER_BYTES_MAX < self.whole.len() {
            return Err(self.fault(FILTER_BYTES_MAX, Reason::TooLong));
        }
        let expression = self.any()?;
        match self.rest {
            "" => Ok(expression),
            _ => Err(self.fault_here(Reason::NotOpened)),
        }
    }

    /// All that is joined by OR.
    fn any(&mut self) -> Result<Expression, Fault> {
        let mut any = vec![self.all()?];
        while self.takes_word("OR") {
            any.push(self.all()?);
        }
        Ok(in_order(any, Expression::Any))
    }

    /// All up to OR, `)` or the end.
    fn all(&mut self) -> Result<Expression, Fault> {
        let mut all = vec![self.negated()?];
        while self.takes_word("AND") || !self.is_at_end_of_all() {
            all.push(self.negated()?);
        }
        Ok(in_order(all, Expression::All))
    }

    fn is_at_end_of_all(&mut self) -> bool {
        self.skip_spaces();
        self.rest.is_empty() || self.rest.starts_with(')') || self.word() == "OR"
    }

    fn negated(&mut self) -> Result<Expression, Fault> {
        self.skip_spaces();
        if self.takes_word("NOT") || self.takes("-") {
            let negated = self.deeper(Self::negated)?;
            return Ok(Expression::Not(Box::new(negated)));
        }
        let opened = self.index();
        if !self.takes("(") {
            return self.condition();
        }
        let inner = self.deeper(Self::any)?;
        if !self.takes(")") {
            return Err(self.fault(opened, Reason::NotClosed));
        }
        self.ended()?;
        Ok(inner)
    }

    fn deeper(
        &mut self,
        read: fn(&mut Self) -> Result<Expression, Fault>,
    ) -> Result<Expression, Fault> {
        self.depth += 1;
        if FILTER_DEPTH_MAX < self.depth {
            return Err(self.fault_here(Reason::TooDeep));
        }
        let read = read(self);
        self.depth -= 1;
        read
    }

    fn condition(&mut self) -> Result<Expression, Fault> {
        let word = self.word();
        let is_missing = self.rest.is_empty() || self.rest.starts_with([')', ' ']);
        if is_missing || matches!(word, "OR" | "AND") {
            return Err(self.fault_here(Reason::Missing));
        }
        self.condition_count += 1;
        if FILTER_CONDITIONS_MAX < self.condition_count {
            return Err(self.fault_here(Reason::TooMany));
        }
        let begin = self.index();
        let read = if self.rest.starts_with('"') {
            let text = self.phrase()?;
            self.regex(begin, Condition::Text, &text_pattern(&text), true)
        } else if self.rest.starts_with('/') {
            self.regex_count += 1;
            if FILTER_REGEXES_MAX < self.regex_count {
                return Err(self.fault_here(Reason::TooManyRegexes));
            }
            let pattern = self.pattern()?;
            let ignores_case = self.takes("i");
            self.regex(begin, Condition::Regex, pattern, ignores_case)
        } else if let Some((name, operator, sign)) = operator(word) {
            self.field(name, operator, sign)
        } else {
            self.skip(word.len());
            self.regex(begin, Condition::Text, &regex::escape(word), true)
        }?;
        self.ended()?;
        Ok(read)
    }

    /// Up to and with the closing quote.
    fn phrase(&mut self) -> Result<Cow<'e, [u8]>, Fault> {
        let opened = self.index();
        let Some(length) = closing(self.rest, '"') else {
            return Err(self.fault(opened, Reason::QuoteNotClosed));
        };
        let raw = self.rest.get(1..length).unwrap_or_default();
        if raw.is_empty() {
            return Err(self.fault(opened, Reason::Missing));
        }
        self.skip(length + 1);
        Ok(escape::decode(raw.as_bytes()))
    }

    /// Up to and with the closing slash.
    fn pattern(&mut self) -> Result<&'e str, Fault> {
        let opened = self.index();
        let Some(length) = closing(self.rest, '/') else {
            return Err(self.fault(opened, Reason::RegexNotClosed));
        };
        let pattern = self.rest.get(1..length).unwrap_or_default();
        if pattern.is_empty() {
            return Err(self.fault(opened, Reason::Missing));
        }
        self.skip(length + 1);
        Ok(pattern)
    }

    /// What stands from `begin` on, as a condition by a regular expression. For texts, too: its
    /// search knows bytes that are rare, and takes no longer than the line where a text nearly
    /// stands at every place of it.
    fn regex(
        &self,
        begin: usize,
        condition: fn(Regex) -> Condition,
        pattern: &str,
        ignores_case: bool,
    ) -> Result<Expression, Fault> {
        let regex = RegexBuilder::new(pattern)
            .case_insensitive(ignores_case)
            .size_limit(FILTER_REGEX_BYTES_MAX)
            .dfa_size_limit(FILTER_REGEX_BYTES_MAX)
            .build();
        match regex {
            Ok(regex) => Ok(Expression::Condition(condition(regex))),
            Err(regex::Error::CompiledTooBig(_)) => Err(self.fault(begin, Reason::RegexTooGreat)),
            Err(error) => Err(self.fault(begin, Reason::Regex(last_line(&error.to_string())))),
        }
    }

    /// A name, its operator as written, and the value that follows.
    fn field(
        &mut self,
        name: &'e str,
        operator: Operator,
        sign: &str,
    ) -> Result<Expression, Fault> {
        if name.is_empty() || name == "." {
            return Err(self.fault_here(Reason::NameMissing));
        }
        let begin = self.index();
        self.skip(name.len() + sign.len());
        let value_index = self.index();
        // A slip of the hand that would be a condition nothing fulfils.
        if self.rest.starts_with(['=', '<', '>']) {
            return Err(self.fault_here(Reason::OperatorTwice));
        }
        if operator == Operator::Fits && self.rest.starts_with("//") {
            return Err(self.fault(begin, Reason::Address));
        }
        let (value, is_quoted) = self.value()?;
        let read = match name {
            "source" => own("source", operator, &value, is_quoted, Condition::Source),
            "ps" => own("ps", operator, &value, is_quoted, Condition::Ps),
            "severity" => severity(operator, &value),
            _ => wanted(operator, &value, is_quoted).map(|wanted| {
                let key = name.strip_prefix('.').unwrap_or(name);
                self.field_condition(key, wanted)
            }),
        };
        read.map_err(|reason| match reason {
            Reason::NoOrder { .. } => self.fault(begin, reason),
            _ => self.fault(value_index, reason),
        })
    }

    fn field_condition(&mut self, key: &str, wanted: Wanted) -> Expression {
        self.fields.push(FieldCondition {
            key: Box::from(key.as_bytes()),
            wanted,
        });
        Expression::Field(self.fields.len() - 1)
    }

    /// A value, and whether it stands in quotes.
    fn value(&mut self) -> Result<(Cow<'e, [u8]>, bool), Fault> {
        if self.rest.starts_with("\"\"") {
            self.skip(2);
            return Ok((Cow::Borrowed(&[]), true));
        }
        if self.rest.starts_with('"') {
            return Ok((self.phrase()?, true));
        }
        let word = self.word();
        if word.is_empty() {
            return Err(self.fault_here(Reason::ValueMissing));
        }
        self.skip(word.len());
        Ok((Cow::Borrowed(word.as_bytes()), false))
    }

    /// What is here up to a space, a parenthesis or a quote.
    fn word(&self) -> &'e str {
        let ends = |char: char| char.is_ascii_whitespace() || matches!(char, '(' | ')' | '"');
        self.rest.split(ends).next().unwrap_or_default()
    }

    /// Behind a condition comes a space, a `)` or the end.
    fn ended(&self) -> Result<(), Fault> {
        match self.rest.chars().next() {
            None | Some(')') => Ok(()),
            Some(char) if char.is_ascii_whitespace() => Ok(()),
            Some(_) => Err(self.fault_here(Reason::SpaceMissing)),
        }
    }

    fn skip_spaces(&mut self) {
        self.rest = self.rest.trim_ascii_start();
    }

    fn skip(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or_default();
    }

    fn takes(&mut self, text: &str) -> bool {
        let behind = self.rest.strip_prefix(text);
        self.rest = behind.unwrap_or(self.rest);
        behind.is_some()
    }

    /// Takes `word` if it stands here by itself.
    fn takes_word(&mut self, word: &str) -> bool {
        self.skip_spaces();
        let is_here = self.word() == word;
        if is_here {
            self.skip(word.len());
        }
        is_here
    }

    const fn index(&self) -> usize {
        self.whole.len() - self.rest.len()
    }

    const fn fault(&self, index: usize, reason: Reason) -> Fault {
        Fault { index, reason }
    }

    const fn fault_here(&self, reason: Reason) -> Fault {
        self.fault(self.index(), reason)
    }
}

/// What costs less comes first.
fn in_order(mut each: Vec<Expression>, joined: fn(Vec<Expression>) -> Expression) -> Expression {
    if each.len() == 1
        && let Some(only) = each.pop()
    {
        return only;
    }
    each.sort_by_key(cost);
    joined(each)
}

fn cost(expression: &Expression) -> u8 {
    match expression {
        Expression::All(each) | Expression::Any(each) => {
            each.iter().map(cost).max().unwrap_or_default()
        }
        Expression::Not(not) => cost(not),
        Expression::Condition(condition) => condition.cost(),
        Expression::Field(_) => FieldCondition::COST,
    }
}

/// The expression is UTF-8, and so is what escapes in it stand for.
fn text_pattern(text: &[u8]) -> String {
    regex::escape(&String::from_utf8_lossy(text))
}

/// Where the `mark` is that closes the one in front. A backslash keeps one from it.
fn closing(text: &str, mark: char) -> Option<usize> {
    let mut is_escaped = false;
    for (index, char) in text.char_indices().skip(1) {
        if char == mark && !is_escaped {
            return Some(index);
        }
        is_escaped = char == '\\' && !is_escaped;
    }
    None
}

fn pattern(operator: Operator, value: &[u8], is_quoted: bool) -> Pattern {
    if operator == Operator::Fits && !is_quoted {
        Pattern::with_stars(value)
    } else {
        Pattern::exactly(value)
    }
}

/// A condition on the message's own field.
fn own(
    name: &'static str,
    operator: Operator,
    value: &[u8],
    is_quoted: bool,
    condition: fn(Pattern) -> Condition,
) -> Result<Expression, Reason> {
    let condition = Expression::Condition(condition(pattern(operator, value, is_quoted)));
    match operator {
        Operator::Fits | Operator::Is => Ok(condition),
        Operator::Compares(Comparison::NotEqual) => Ok(Expression::Not(Box::new(condition))),
        Operator::Compares(_) => Err(Reason::NoOrder { name }),
    }
}

fn severity(operator: Operator, value: &[u8]) -> Result<Expression, Reason> {
    let severity = match value {
        [digit @ b'0'..=b'7'] => digit - b'0',
        name => severity::of_name(name).ok_or(Reason::UnknownSeverity)?,
    };
    let comparison = match operator {
        Operator::Fits | Operator::Is => Comparison::Equal,
        Operator::Compares(comparison) => comparison,
    };
    Ok(Expression::Condition(Condition::Severity(
        comparison, severity,
    )))
}

fn wanted(operator: Operator, value: &[u8], is_quoted: bool) -> Result<Wanted, Reason> {
    let pattern = pattern(operator, value, is_quoted);
    match operator {
        Operator::Fits | Operator::Is => Ok(Wanted::Pattern(pattern)),
        Operator::Compares(Comparison::NotEqual) => Ok(Wanted::Other(pattern)),
        Operator::Compares(comparison) => {
            let limit = Quantity::parse(value).map_err(|_| Reason::NotANumber)?;
            let is_known = matches!(limit.unit, b"" | b"%") || Unit::named(limit.unit).is_some();
            if !is_known {
                return Err(Reason::UnknownUnit);
            }
            Ok(Wanted::Compared {
                comparison,
                number: limit.number,
                unit: Box::from(limit.unit),
            })
        }
    }
}

/// The regular expressions' crate draws the place over several lines and says what it is in the last.
fn last_line(text: &str) -> String {
    let line = text.lines().last().unwrap_or_default();
    line.trim_start_matches("error: ").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(expression: &str, character: usize, reason: Reason) {
        let error = parse(expression).unwrap_err();
        let found = (error.character, error.reason);
        assert_eq!(found, (character, reason), "{expression}");
    }

    #[test]
    fn errors_point_at_the_character() {
        check("", 1, Reason::Missing);
        check("   ", 4, Reason::Missing);
        check("a OR", 5, Reason::Missing);
        check("a OR )", 6, Reason::Missing);
        check("OR a", 1, Reason::Missing);
        check("a OR OR b", 6, Reason::Missing);
        check("a AND", 6, Reason::Missing);
        check("a -", 4, Reason::Missing);
        check("a NOT OR", 7, Reason::Missing);
        check("()", 2, Reason::Missing);
        check("a \"\"", 3, Reason::Missing);
        check("a //", 3, Reason::Missing);
        check("é (a", 3, Reason::NotClosed);
        check("é a) b", 4, Reason::NotOpened);
        check("é \"a", 3, Reason::QuoteNotClosed);
        check("k=\"a\\\"", 3, Reason::QuoteNotClosed);
        check("a\"b\"", 2, Reason::SpaceMissing);
        check("\"a\"b", 4, Reason::SpaceMissing);
        check("a(b)", 2, Reason::SpaceMissing);
        check("(a)b", 4, Reason::SpaceMissing);
        check("/a/b", 4, Reason::SpaceMissing);
        check("/api", 1, Reason::RegexNotClosed);
        check("a /b\\/", 3, Reason::RegexNotClosed);
        check("a k=", 5, Reason::ValueMissing);
        check("a k>= b", 6, Reason::ValueMissing);
        check("a =b", 3, Reason::NameMissing);
        check("a .=b", 3, Reason::NameMissing);
        check("a k>=b", 6, Reason::NotANumber);
        check("a k<1.2.3", 5, Reason::NotANumber);
        check("a ps>1", 3, Reason::NoOrder { name: "ps" });
        check("source<a", 1, Reason::NoOrder { name: "source" });
        check("a severity:bad", 12, Reason::UnknownSeverity);
        check("severity>=8", 11, Reason::UnknownSeverity);
    }

    #[test]
    fn what_would_match_nothing_is_refused() {
        check("a status:>=500", 10, Reason::OperatorTwice);
        check("a status=>500", 10, Reason::OperatorTwice);
        check("status==503", 8, Reason::OperatorTwice);
        check("status!==503", 9, Reason::OperatorTwice);
        check("status>==503", 9, Reason::OperatorTwice);
        check("status<>503", 8, Reason::OperatorTwice);
        check("ps:=web", 4, Reason::OperatorTwice);
        check("status>=5oo", 9, Reason::UnknownUnit);
        check("size>1M", 6, Reason::UnknownUnit);
        check("bytes>1K", 7, Reason::UnknownUnit);
        check("service>1seconds", 9, Reason::UnknownUnit);
        check("a https://example.com/a", 3, Reason::Address);
        for right in [
            "k:\"=a\"",
            "k=\">1\"",
            "k=a=b",
            "k=//a",
            "k:\"//a\"",
            "k:a//b",
            "\"https://example.com/a\"",
            "k>-1 k<90% k<=1.5kB k>=2h",
        ] {
            assert!(parse(right).is_ok(), "{right}");
        }
    }

    #[test]
    fn regular_expressions_say_what_is_wrong() {
        check("a /b(/", 3, Reason::Regex("unclosed group".to_owned()));
        check("a /(a{99}){99}{99}/", 3, Reason::RegexTooGreat);
    }

    #[test]
    fn everything_has_a_bound() {
        for letter in ["a", "s", "é"] {
            let long = letter.repeat(FILTER_BYTES_MAX / letter.len());
            assert!(parse(&long).is_ok());
        }
        let long = "a".repeat(FILTER_BYTES_MAX + 1);
        check(&long, FILTER_BYTES_MAX + 1, Reason::TooLong);
        let many = "a ".repeat(FILTER_CONDITIONS_MAX);
        assert!(parse(&many).is_ok());
        check(&(many.clone() + "a"), many.len() + 1, Reason::TooMany);
        let many = "/a/ ".repeat(FILTER_REGEXES_MAX);
        assert!(Filter::parse(&many).is_ok());
        check(
            &(many.clone() + "/a/"),
            many.len() + 1,
            Reason::TooManyRegexes,
        );
        for deep in ["(", "-"] {
            let most = deep.repeat(FILTER_DEPTH_MAX);
            let close = ")".repeat(if deep == "(" { FILTER_DEPTH_MAX } else { 0 });
            assert!(parse(&format!("{most}a{close}")).is_ok());
            check(
                &format!("{most}{deep}a"),
                FILTER_DEPTH_MAX + 2,
                Reason::TooDeep,
            );
        }
    }

    #[test]
    fn the_message_names_the_place() {
        let error = parse("status>=abc").unwrap_err();
        assert_eq!(
            error.to_string(),
            "at character 9, \"abc\": no number: only numbers can be compared, like 500, 1.5s or 10kB"
        );
        for (expression, part) in [
            ("é (a b", "at character 3, \"(a\": "),
            ("a OR ", "at character 6, the end: "),
            (&("k>".to_owned() + &"9x".repeat(99)), &"9x".repeat(20)),
        ] {
            let error = parse(expression).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
        let error = parse("é\tk>a").unwrap_err();
        assert_eq!(error.drawn("é\tk>a"), "  é k>a\n      ^");
    }

    #[test]
    fn what_costs_less_is_asked_first() {
        let filter = parse("/a/ b k=1 severity:err source:a").unwrap();
        let Expression::All(all) = filter.expression else {
            unreachable!("five conditions");
        };
        assert!(all.is_sorted_by_key(cost));
    }
}
