//! Connections cut by Logplex's own parser and by go-syslog's.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use logboom::limits::FRAME_BYTES_DEFAULT;
use logboom::syslog::parse::parse_rfc5424;
use serde_json::Value;

use crate::bytes;
use crate::cases;
use crate::frames;
use crate::shown;

/// Cases in which Logplex counts bytes that are no syslog message as a frame: `28 xxx`. Digits
/// without `<` behind them are a line for us, since bare lines may begin with a number.
const COUNTED_WITHOUT_PRI: [&str; 4] = ["random 9", "random 10", "random 19", "random 20"];

/// What Logplex calls malformed and drops, a line, is a frame for us; whether it holds a message
/// is for others to see.
#[test]
fn connections_are_cut_as_logplex_cut_them() {
    let mut different_count = 0;
    for case in cases("logplex_oracle_framing.json") {
        let name = case["name"].as_str().unwrap();
        let chunks: Vec<Vec<u8>> = case["chunks_base64"]
            .as_array()
            .unwrap()
            .iter()
            .map(|chunk| BASE64_STANDARD.decode(chunk.as_str().unwrap()).unwrap())
            .collect();
        let ours: Vec<String> = frames(&chunks, 10_240, false)
            .into_iter()
            .map(|frame| frame.map_or_else(|| "malformed".to_owned(), |frame| shown(&frame)))
            .collect();
        let mut theirs = Vec::new();
        for push in case["pushes"].as_array().unwrap() {
            for item in push["messages"].as_array().unwrap() {
                theirs.extend(item.as_object().unwrap().values().map(|v| shown(&bytes(v))));
            }
        }
        if COUNTED_WITHOUT_PRI.contains(&name) {
            assert_ne!(ours, theirs, "{name}");
            different_count += 1;
        } else if name == "length 10241 falls back to newline" {
            // A line above the limit: kept up to it, where Logplex had no limit for lines.
            let [first, second] = theirs.as_slice() else {
                panic!("two items");
            };
            assert_eq!(ours, [first.get(..10_240).unwrap(), second]);
            different_count += 1;
        } else if name == "huge length falls back to newline" {
            // Malformed for both, but ours is only counted, not shown.
            let [_line, second] = theirs.as_slice() else {
                panic!("two items");
            };
            assert_eq!(ours, ["malformed", second]);
            different_count += 1;
        } else {
            // What is no frame behind a counted one is only counted, not shown as a line.
            let is_same = |(ours, theirs): (&String, &String)| {
                ours == theirs || (ours == "malformed" && !theirs.starts_with('<'))
            };
            assert_eq!(ours.len(), theirs.len(), "{name}");
            assert!(
                ours.iter().zip(&theirs).all(is_same),
                "{name}: {ours:?} {theirs:?}"
            );
        }
    }
    assert_eq!(different_count, 2 + COUNTED_WITHOUT_PRI.len());
}

/// Where we differ from go-syslog's octet counting: the case, the PRI of our frames (`None` for a
/// malformed end), and why.
type Different = (&'static str, &'static [Option<u8>], &'static str);

const OCTETS_DIFFERENT: &[Different] = &[
    ("empty", &[], "a connection may close without a message"),
    (
        "1st ko//incomplete SYSLOGMSG",
        &[None],
        "half a counted frame at the end is malformed",
    ),
    (
        "MSGLEN gt max message length",
        &[Some(1)],
        "a frame too long is kept up to the limit",
    ),
    (
        "1st uf/2nd ok//incomplete SYSLOGMSG/notdetectable",
        &[Some(1), None],
        "what a wrong count leaves over is skipped to the next newline, and counted",
    ),
];

#[test]
fn counted_streams_are_cut_as_go_syslog_cuts_them() {
    let mut different_count = 0;
    for case in cases("rfc6587_octetcounting_go_syslog.json") {
        let name = case["descr"].as_str().unwrap();
        let bytes_max = match case["max_message_length"].as_u64() {
            Some(bytes_max) => usize::try_from(bytes_max).unwrap(),
            None => FRAME_BYTES_DEFAULT,
        };
        let ours = pris(case["input"].as_str().unwrap(), bytes_max);
        match OCTETS_DIFFERENT
            .iter()
            .find(|(different, _, _)| *different == name)
        {
            Some((_, expected, _)) => {
                assert_eq!(ours, *expected, "{name}");
                different_count += 1;
            }
            None => assert_eq!(ours, their_pris(&case), "{name}"),
        }
    }
    assert_eq!(
        different_count,
        OCTETS_DIFFERENT.len(),
        "each difference has its case"
    );
}

#[test]
fn lines_are_cut_as_go_syslog_cuts_them() {
    for case in cases("rfc6587_nontransparent_go_syslog.json") {
        let name = case["descr"].as_str().unwrap();
        let text = case["input_lf"]
            .as_str()
            .or(case["input"].as_str())
            .unwrap();
        let ours = pris(text, FRAME_BYTES_DEFAULT);
        if name == "1st ok//incomplete/2nd ok//incomplete" {
            // `<1>1` alone names no app: a frame, but no message.
            assert_eq!(ours, [None, None]);
        } else {
            assert_eq!(ours, their_pris(&case), "{name}");
        }
        let Some(text) = case["input_nul"].as_str() else {
            continue;
        };
        // A NUL ends no line, for it may stand in a message: all of this is one line.
        let chunks = [text.as_bytes().to_vec()];
        let frames = frames(&chunks, FRAME_BYTES_DEFAULT, true);
        assert_eq!(frames, [Some(text.as_bytes().to_vec())], "{name}");
    }
}

fn their_pris(case: &Value) -> Vec<Option<u8>> {
    let results = case["best_effort_results"].as_array().unwrap();
    let pri = |result: &Value| {
        let pri = result["message"]["priority"].as_u64()?;
        Some(u8::try_from(pri).unwrap())
    };
    results.iter().map(pri).collect()
}

/// PRI of each frame; `None` for one that holds no message, and for a malformed end.
fn pris(input: &str, bytes_max: usize) -> Vec<Option<u8>> {
    frames(&[input.as_bytes().to_vec()], bytes_max, true)
        .into_iter()
        .map(|frame| parse_rfc5424(&frame?).map(|message| message.pri.value()))
        .collect()
}
