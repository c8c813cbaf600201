//! Which messages a reader wants, in one small language for tails, drains and history:
//! `source:heroku ps:router status>=500 service>1s -level:debug (code=H12 OR code=H13)`.
//!
//! `parse` turns an expression into conditions, once, or says at which character it is wrong;
//! `condition` knows what each asks of a message. Nothing is allocated while messages are asked,
//! but for what a regular expression remembers, which has a bound.

mod condition;
mod error;
mod operator;
mod parse;

use crate::filter::condition::Condition;
use crate::filter::condition::FieldCondition;
use crate::filter::condition::Pattern;
use crate::logfmt::parse::pairs;
use crate::syslog::message::Message;

pub use error::FilterError;
pub use error::FilterErrorReason;

/// A compiled expression.
///
/// ```text
/// expression = all *( "OR" all )
/// all        = 1*negated                          each next to the other: all of them hold
/// negated    = *( "-" / "NOT" ) ( "(" expression ")" / condition )
/// condition  = word / phrase / regex / field
/// phrase     = quoted as in JSON                  the text holds it, in upper or lower case
/// regex      = "/" pattern "/" [ "i" ]            the text matches; `\/` is a slash
/// field      = name operator ( value / phrase )
/// operator   = ":" / "=" / "!=" / ">" / ">=" / "<" / "<="
/// ```
/// - `source` is the message's source and `ps` its process, `web` for every `web.*`; `severity` is a
///   word or number of RFC 5424, and `severity>=warning` is warnings and what is graver.
/// - Any other name is a key of the text's logfmt, with a dot in front (`.source=DATABASE`) also one
///   of the three. Of a repeated key any may do, and so may any for `!=`: the key is there with
///   another value. `-` is what wants messages without the key.
/// - `=` wants exactly the value; for `:` a `*` stands for any bytes: `path:/api/*`, `code:*`.
/// - The others want a number, whose unit is converted: `service>1s`.
#[derive(Debug)]
pub struct Filter {
    expression: Expression,
    /// The fields' conditions; `Expression::Field` is an index into them.
    fields: Box<[FieldCondition]>,
}

/// Invariant: not deeper than `FILTER_DEPTH_MAX` allows.
#[derive(Debug)]
enum Expression {
    All(Vec<Expression>),
    Any(Vec<Expression>),
    Not(Box<Expression>),
    Condition(Condition),
    Field(usize),
}

impl Filter {
    /// Compiles an expression.
    ///
    /// # Errors
    /// At which character it is wrong, and how.
    pub fn parse(expression: &str) -> Result<Self, FilterError> {
        parse::parse(expression)
    }

    /// What wants all of these: the source `source`, the process `ps` (`web` for every `web.*`) and
    /// what `expression` says. Without any, `None`: every message is wanted.
    ///
    /// # Errors
    /// At which character `expression` is wrong, and how.
    pub fn of(
        source: Option<&str>,
        ps: Option<&str>,
        expression: Option<&str>,
    ) -> Result<Option<Self>, FilterError> {
        let exactly = |text: &str| Pattern::exactly(text.as_bytes());
        let mut all: Vec<Expression> = [
            source.map(|source| Condition::Source(exactly(source))),
            ps.map(|ps| Condition::Ps(exactly(ps))),
        ]
        .into_iter()
        .flatten()
        .map(Expression::Condition)
        .collect();
        let read = expression.map(Self::parse).transpose()?;
        if all.is_empty() {
            return Ok(read);
        }
        let mut fields = Box::default();
        if let Some(read) = read {
            all.push(read.expression);
            fields = read.fields;
        }
        let expression = Expression::All(all);
        Ok(Some(Self { expression, fields }))
    }

    /// Whether the reader wants `message`.
    #[must_use]
    pub fn matches(&self, message: &Message<'_>) -> bool {
        let mut asked = Asked {
            message,
            fields: &self.fields,
            held: None,
        };
        asked.holds(&self.expression)
    }
}

/// One message while it is asked.
struct Asked<'a> {
    message: &'a Message<'a>,
    fields: &'a [FieldCondition],
    /// A bit for each field's condition that holds, once one was asked for.
    held: Option<u64>,
}

impl Asked<'_> {
    fn holds(&mut self, expression: &Expression) -> bool {
        match expression {
            Expression::All(all) => all.iter().all(|each| self.holds(each)),
            Expression::Any(any) => any.iter().any(|each| self.holds(each)),
            Expression::Not(not) => !self.holds(not),
            Expression::Condition(condition) => condition.holds(self.message),
            Expression::Field(index) => {
                let (text, fields) = (self.message.text, self.fields);
                let held = self.held.get_or_insert_with(|| held(text, fields));
                *held & (1 << index) != 0
            }
        }
    }
}

/// Reads the text once for all fields, and no further than until all hold.
fn held(text: &[u8], fields: &[FieldCondition]) -> u64 {
    let all = u64::MAX >> (u64::BITS as usize - fields.len());
    let mut held = 0;
    for pair in pairs(text) {
        for (index, field) in fields.iter().enumerate() {
            if pair.key == &*field.key && field.holds(pair.value) {
                held |= 1 << index;
            }
        }
        if held == all {
            break;
        }
    }
    held
}

/// Fuzz target: any expression is a filter or is wrong at one of its characters, and a filter asks
/// any message without a panic. The first line is the expression, the rest the message's text.
#[cfg(any(test, fuzzing))]
pub fn fuzz_filter(bytes: &[u8]) {
    let mut lines = bytes.splitn(2, |byte| *byte == b'\n');
    let (expression, text) = (lines.next(), lines.next());
    let expression = String::from_utf8_lossy(expression.unwrap_or_default());
    let message = condition::message(b"app", b"web.1", text.unwrap_or_default());
    match Filter::parse(&expression) {
        Ok(filter) => match Filter::parse(&format!("-({expression})")) {
            Ok(negated) => assert!(negated.matches(&message) != filter.matches(&message)),
            Err(error) => {
                use FilterErrorReason::{TooDeep, TooLong};
                assert!(matches!(error.reason, TooDeep | TooLong), "{error}");
            }
        },
        Err(error) => assert!((1..=expression.chars().count() + 1).contains(&error.character)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::condition::message;
    use crate::syslog::message::Pri;
    use proptest::prelude::Strategy;
    use proptest::prelude::prop;
    use proptest::prop_oneof;
    use proptest::proptest;

    const ROUTER: &str = "at=error code=H12 desc=\"Request timeout\" method=GET path=\"/api/v2\" \
                          dyno= connect= service=30000ms status=503 bytes=2048 tag=a tag=b secure";

    #[track_caller]
    fn check_text(expression: &str, text: &str, expected: bool) {
        let filter = Filter::parse(expression).unwrap();
        let matches = filter.matches(&message(b"heroku", b"router", text.as_bytes()));
        assert_eq!(matches, expected, "{expression}");
    }

    /// On a router's line.
    #[track_caller]
    fn check(expression: &str, expected: bool) {
        check_text(expression, ROUTER, expected);
    }

    #[test]
    fn the_examples() {
        check(
            "source:heroku ps:router status>=500 service>1s path:/api/* -level:debug (code=H12 OR code=H13)",
            true,
        );
        check("source:heroku ps:router status>=500 service>1min", false);
    }

    #[test]
    fn words_and_phrases_are_found_in_any_case() {
        check("timeout", true);
        check("TIMEOUT request", true);
        check("\"request timeout\"", true);
        check("\"timeout request\"", false);
        check("missing", false);
        check("\"service=30000\"", true);
        check_text("\"\\u00c4 \\\"x\\\"\"", "ein Ä \"X\"", true);
        check_text("é", "É", true);
        check_text("a", "", false);
        check_text("ab", "aab", true);
        check_text("[0]", "x[0]", true);
    }

    #[test]
    fn regular_expressions_match_the_text() {
        check("/code=H1[23] /", true);
        check("/CODE/", false);
        check("/CODE/i", true);
        check("/path=\"\\/api/", true);
        check("/^code/", false);
        check("( /x y/ OR /^at=\\w+/ )", true);
    }

    #[test]
    fn sources_and_processes() {
        for (expression, ps, expected) in [
            ("ps:web", "web", true),
            ("ps:web", "web.1", true),
            ("ps:web", "webs.1", false),
            ("ps:web.1", "web.1", true),
            ("ps:web.1", "web.12", false),
            ("ps:web.1", "web", false),
            ("ps:w*.1", "web.1", true),
            ("ps=w*", "web.1", false),
            ("ps!=web", "web.1", false),
            ("ps!=web", "run.1", true),
            ("source:app", "web.1", true),
            ("source=app", "web.1", true),
            ("source:a*", "web.1", true),
            ("source:other", "web.1", false),
            ("source!=other", "web.1", true),
        ] {
            let filter = Filter::parse(expression).unwrap();
            let message = message(b"app", ps.as_bytes(), b"");
            assert_eq!(filter.matches(&message), expected, "{expression} {ps}");
        }
    }

    #[track_caller]
    fn check_of(options: [Option<&str>; 3], message_of: (&str, &str), expected: bool) {
        let [source, ps, expression] = options;
        let filter = Filter::of(source, ps, expression).unwrap();
        let message = message(message_of.0.as_bytes(), message_of.1.as_bytes(), b"k=1");
        let matches = filter.is_none_or(|filter| filter.matches(&message));
        assert_eq!(matches, expected, "{options:?} {message_of:?}");
    }

    #[test]
    fn options_are_exact_and_all_hold() {
        check_of([None, None, None], ("app", "web.1"), true);
        check_of([Some("app"), None, None], ("app", "web.1"), true);
        check_of([Some("app"), None, None], ("heroku", "router"), false);
        check_of([Some("app"), None, None], ("app2", "web.1"), false);
        check_of([Some("a*"), None, None], ("app", "web.1"), false);
        check_of([None, Some("web"), None], ("app", "web"), true);
        check_of([None, Some("web"), None], ("app", "web.1"), true);
        check_of([None, Some("web"), None], ("app", "web.12"), true);
        check_of([None, Some("web"), None], ("app", "webs.1"), false);
        check_of([None, Some("web"), None], ("app", "worker.1"), false);
        check_of([None, Some("web"), None], ("app", "we"), false);
        check_of([None, Some("web.1"), None], ("app", "web.1"), true);
        check_of([None, Some("web.1"), None], ("app", "web.12"), false);
        check_of([None, Some("web.1"), None], ("app", "web.1.2"), false);
        check_of([None, Some("web.1"), None], ("app", "web"), false);
        check_of([Some("app"), Some("web"), None], ("app", "web.1"), true);
        check_of([Some("app"), Some("web"), None], ("other", "web.1"), false);
        check_of([None, None, Some("k=1")], ("app", "web.1"), true);
        check_of([None, None, Some("k=2")], ("app", "web.1"), false);
        check_of(
            [Some("app"), Some("web"), Some("k=1")],
            ("app", "web"),
            true,
        );
        check_of(
            [Some("app"), Some("web"), Some("k=2")],
            ("app", "web"),
            false,
        );
        check_of([Some("b"), None, Some("k=1 OR k=2")], ("app", "web"), false);
        assert!(Filter::of(None, None, None).unwrap().is_none());
    }

    #[test]
    fn severities_have_an_order() {
        for (expression, pri, expected) in [
            ("severity:err", 3, true),
            ("severity=3", 3, true),
            ("severity!=Error", 3, false),
            ("severity:err", 134, false),
            ("severity>=warning", 3, true),
            ("severity>=warning", 4, true),
            ("severity>=warning", 5, false),
            ("severity>warning", 4, false),
            ("severity<info", 7, true),
            ("severity<=info", 134, true),
        ] {
            let filter = Filter::parse(expression).unwrap();
            let message = Message {
                pri: Pri::or_default(pri),
                ..message(b"app", b"web.1", b"")
            };
            assert_eq!(filter.matches(&message), expected, "{expression} {pri}");
        }
    }

    #[test]
    fn fields_have_values() {
        check("code=H12", true);
        check("at=error code=H12", true);
        check("code=H12 at=error", true);
        check("code=h12", false);
        check("code=H1*", false);
        check("code:H1*", true);
        check("code:*2", true);
        check("code:\"H1*\"", false);
        check("desc=\"Request timeout\"", true);
        check("desc:Req*out", true);
        check("path:/api/*", true);
        check("dyno=\"\"", true);
        check("tag=b", true);
        check("tag!=a", true);
        check("-tag=a", false);
        check("missing!=a", false);
        check("-missing=a", true);
        check("code:*", true);
        check("secure:*", true);
        check("missing:*", false);
        check_text("k:a*c", "k=\"a\\nc\"", true);
        check_text("k=\"a\\nc\"", "k=\"a\\nc\"", true);
        check_text(".source=DATABASE -.ps:*", "source=DATABASE", true);
        check_text("source=DATABASE", "source=DATABASE", false);
    }

    #[test]
    fn numbers_have_an_order_and_units() {
        check("status>=503 status<=503 status<504", true);
        check("status>503", false);
        check("service>29.9s service<=0.5min", true);
        check("service>29999", true);
        check("bytes>=2kB", true);
        check("bytes>1s", false);
        check("connect>0", false);
        check("code>0", false);
        check("secure>0", false);
    }

    #[test]
    fn conditions_are_joined() {
        check("timeout missing", false);
        check("timeout OR missing", true);
        check("missing OR timeout code=H13", false);
        check("(missing OR timeout) code=H12", true);
        check("timeout AND NOT missing", true);
        check("- -timeout", true);
        check("NOT (missing OR (timeout code=H13))", true);
        check("-(timeout)", false);
    }

    #[test]
    fn a_filter_asks_as_many_conditions_as_it_may() {
        let fields = ["tag=b"; crate::limits::FILTER_CONDITIONS_MAX];
        check(&fields.join(" "), true);
        check(&(fields.join(" ").replacen("tag=b", "tag=c", 1)), false);
    }

    fn nearly_filter() -> impl Strategy<Value = String> {
        let word = prop_oneof![
            "[a-c]{1,2}",
            "[a-c]{1,2}(:|=|!=|>=|<)[a-c*0-9]{0,2}(ms)?",
            "source:[ab*]",
            "severity(>|:)(err|x)",
            "\"[a-c\\\\]{0,3}\"",
            "/[a-c*\\[\\]\\\\]{1,3}/i?",
            "OR",
            "AND",
            "NOT ",
            "-",
            "\\(",
            "\\)",
            "\\PC",
        ];
        let line = "( ?[a-c]{1,2}(=[a-c0-9\"]{0,3}(ms)?)?){0,4}";
        (prop::collection::vec((word, " ?"), 0..8), line).prop_map(|(words, line)| {
            let words: String = words
                .into_iter()
                .map(|(word, space)| word + &space)
                .collect();
            words + "\n" + &line
        })
    }

    proptest! {
        #[test]
        fn any_expression_is_read(bytes in nearly_filter()) {
            fuzz_filter(bytes.as_bytes());
        }
    }
}
