//! One input on TCP, and what each output of the real Logplex received for it.

use logboom::id::DrainToken;
use logboom::syslog::encode::logplex_http;
use logboom::syslog::encode::logplex_syslog;
use logboom::syslog::encode::tail_line;
use logboom::syslog::message::Message;
use logboom::syslog::parse::parse_rfc3164;
use logboom::syslog::parse::parse_rfc5424;
use logboom::syslog::parse::with_source;

use crate::ARRIVAL;
use crate::bytes;
use crate::cases;
use crate::differences::DIFFERENT;
use crate::encoded;
use crate::frames;
use crate::shown;
use crate::with_newlines;

const TOKENS: [(&[u8], &[u8]); 2] = [
    (b"t.02c4f351-f575-4bfe-af85-ee60a2160f25", b"app"),
    (b"t.ef50eddf-2351-4e82-bb10-e7bf0abf16b3", b"heroku"),
];

#[test]
fn outputs_are_those_of_logplex() {
    let drain: DrainToken =
        serde_json::from_str("\"d.3148ce20-9113-4b72-a085-62504209a446\"").unwrap();
    let mut different_count = 0;
    for case in cases("logplex_data_path.json") {
        let name = case["name"].as_str().unwrap();
        let (mut http, mut syslog, mut tail) = (Vec::new(), Vec::new(), Vec::new());
        let chunks: Vec<Vec<u8>> = case["input"]
            .as_array()
            .unwrap()
            .iter()
            .map(bytes)
            .collect();
        for frame in frames(&chunks, 10_240, false) {
            let Some(frame) = frame else {
                continue; // Left over by a wrong count; Logplex finds no token in it.
            };
            let Some(message) = routed(&frame) else {
                continue;
            };
            http.extend(encoded(|out| logplex_http(&message, out)));
            syslog.extend(encoded(|out| logplex_syslog(&message, &drain, out)));
            tail.extend(encoded(|out| tail_line(&message, out)));
        }
        if let Some((_, ours, _)) = DIFFERENT
            .iter()
            .find(|(different, _, _)| *different == name)
        {
            assert_eq!(
                shown(&http),
                format!("{} {}", ours.len(), shown(ours.as_bytes())),
                "{name}"
            );
            different_count += 1;
            continue;
        }
        let bodies: Vec<u8> = case["http"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(bytes)
            .collect();
        assert_eq!(
            shown(&http),
            shown(&with_newlines(&bodies)),
            "{name}: HTTP drain"
        );
        assert_eq!(
            shown(&syslog),
            shown(&bytes(&case["syslog"])),
            "{name}: syslog drain"
        );
        assert_eq!(shown(&tail), shown(&bytes(&case["tail"])), "{name}: tail");
    }
    assert_eq!(
        different_count,
        DIFFERENT.len(),
        "each difference has its transcript"
    );
}

/// As the router does it: the token is the fourth field, or the tag of RFC 3164.
fn routed(frame: &[u8]) -> Option<Message<'_>> {
    let headed = |message: Message<'_>| TOKENS.iter().find(|(token, _)| *token == message.app_name);
    let message = parse_rfc5424(frame)
        .filter(|message| headed(*message).is_some())
        .or_else(|| parse_rfc3164(frame, ARRIVAL))?;
    let (token, source) = headed(message)?;
    Some(with_source(message, token, source))
}
