//! Messages that went through Logplex's own code: what its drains and tails made of them.

use logboom::id::DrainToken;
use logboom::syslog::encode::logplex_http;
use logboom::syslog::encode::logplex_syslog;
use logboom::syslog::encode::rfc5424;
use logboom::syslog::encode::tail_line;
use logboom::syslog::encode::without_framing;
use logboom::syslog::parse::parse_rfc5424;

use crate::ARRIVAL;
use crate::bytes_of;
use crate::cases;
use crate::encoded;
use crate::parsed;
use crate::shown;
use crate::with_newlines;

/// Where we differ: a piece of the input, our tail line's text from its start, and why.
const DIFFERENT: &[(&str, &str, &str)] = &[
    (
        "[exampleSDID@32473 iut=\"3\" eventSource= \"Application\" eventID=\"1011\"][ex",
        "[exampleSDID@32473",
        BLANK,
    ),
    (
        "[exampleSDID@32473 iut=\"3\" eventSource= \"Application\" eventID=\"1011\"] Try",
        "[exampleSDID@32473",
        BLANK,
    ),
    ("- [empty] qwerty", "[empty] qwerty", BARE_NAME),
    (
        "[non_empty x=\"1\"][empty] qwerty",
        "[non_empty x=\"1\"][empty]",
        BARE_NAME,
    ),
    (
        "[non_empty x=\"\"][empty] qwerty",
        "[non_empty x=\"\"][empty]",
        BARE_NAME,
    ),
    ("[sdid] some_message", "[sdid] some_message", BARE_NAME),
    ("[GIN] 2022/06/13", "[GIN] 2022/06/13", BARE_NAME),
    ("[meta escape=\"\"\"] ", "[meta escape=", ESCAPE),
    ("[meta escape=\"a\"\"] ", "[meta escape=", ESCAPE),
    ("[meta escape=\"\"b\"] ", "[meta escape=", ESCAPE),
    ("[meta escape=\"\\\"] ", "[meta escape=", ESCAPE),
    ("[meta escape=\"a\\\"] ", "[meta escape=", ESCAPE),
    ("<192>1 ", "pri out of range", HIGH_PRI),
    ("<999>1 ", "pri 999", HIGH_PRI),
];

const BLANK: &str = "a blank behind `=` breaks the grammar, so it is text";
const BARE_NAME: &str =
    "an element without parameters and without `@` is text: it may be a line's first word";
const ESCAPE: &str = "a quote or `]` that is not escaped breaks the grammar, so it is text";
const HIGH_PRI: &str = "PRI above 191 is carried as 13";

#[test]
fn readers_get_what_logplex_s_readers_got() {
    let drain: DrainToken =
        serde_json::from_str("\"d.00000000-0000-0000-0000-000000000000\"").unwrap();
    let mut different_count = 0;
    for case in cases("logplex_oracle_messages.json") {
        let input = bytes_of(&case, "input");
        let logplex = &case["logplex"];
        if logplex["tail_parse"].is_null() {
            continue;
        }
        let Some(message) = parse_rfc5424(&input) else {
            panic!("no header in {}", shown(&input));
        };
        let tail = encoded(|out| tail_line(&message, out));
        let text = String::from_utf8_lossy(&input).into_owned();
        if let Some((_, ours, why)) = DIFFERENT.iter().find(|(piece, _, _)| text.contains(piece)) {
            assert!(
                message.text.starts_with(ours.as_bytes()),
                "{}",
                shown(message.text)
            );
            assert_eq!(
                *why == HIGH_PRI,
                tail == bytes_of(logplex, "tail_line"),
                "{text}"
            );
            assert!(*why != HIGH_PRI || message.pri.value() == 13);
            different_count += 1;
            continue;
        }
        assert_eq!(
            shown(&tail),
            shown(&bytes_of(logplex, "tail_line")),
            "{text}"
        );
        if logplex["http_drain_frame"].is_null() {
            continue; // a VERSION other than 1: Logplex showed it in tails only
        }
        let http = encoded(|out| logplex_http(&message, out));
        let theirs = with_newlines(&bytes_of(logplex, "http_drain_frame"));
        assert_eq!(shown(&http), shown(&theirs), "{text}");
        let syslog = encoded(|out| logplex_syslog(&message, &drain, out));
        assert_eq!(
            shown(&syslog),
            shown(&bytes_of(logplex, "tcp_drain_frame")),
            "{text}"
        );
    }
    assert_eq!(
        different_count,
        DIFFERENT.len(),
        "each difference has its case"
    );
}

/// Logplex dropped these silently: no SD field, no space behind it, a header out of form. We carry
/// whatever names an app in its fourth field, and make a strict header of it.
#[test]
fn what_logplex_dropped_is_carried() {
    let (mut carried_count, mut headless_count) = (0, 0);
    for case in cases("logplex_oracle_messages.json") {
        if !case["logplex"]["tail_parse"].is_null() {
            continue;
        }
        let input = bytes_of(&case, "input");
        let Some(message) = parse_rfc5424(&input) else {
            headless_count += 1;
            continue;
        };
        carried_count += 1;
        let strict = encoded(|out| rfc5424(&message, ARRIVAL, out));
        let again = parsed(without_framing(&strict));
        let text = message.text.strip_suffix(b"\n").unwrap_or(message.text);
        assert_eq!(shown(again.text), shown(text));
        assert_eq!(again.pri, message.pri);
    }
    // The headless have fewer than four fields, or one longer than any field may be.
    assert_eq!((carried_count, headless_count), (574, 69));
}
