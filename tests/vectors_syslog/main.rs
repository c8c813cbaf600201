//! Runs the test vectors in `tests/vectors/` (their provenance stands in each file) through the
//! syslog layer. A result that differs from the vector's stands in a table with its reason.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may stop at the first surprise"
)]

mod differences;
mod framing;
mod go_syslog;
mod notices;
mod oracle;
mod senders;
mod transcripts;

use std::fs;
use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use logboom::clock::UnixMicros;
use logboom::syslog::frame::BodyFrames;
use logboom::syslog::frame::Cut;
use logboom::syslog::frame::Framer;
use logboom::syslog::message::Message;
use logboom::syslog::parse::parse_rfc5424;
use serde_json::Value;

/// 2012-11-16T22:40:48.123456Z, when everything here arrives.
pub const ARRIVAL: UnixMicros = UnixMicros::new(1_353_105_648_123_456);

/// The cases of one file of vectors.
pub fn cases(file: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/vectors")
        .join(file);
    let vectors: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    vectors["cases"].as_array().unwrap().clone()
}

/// A text, or bytes in base64 where a text cannot hold them.
pub fn bytes(value: &Value) -> Vec<u8> {
    match value {
        Value::String(text) => text.clone().into_bytes(),
        _ => BASE64_STANDARD
            .decode(value["base64"].as_str().unwrap())
            .unwrap(),
    }
}

/// `case[key]`, or `case[key_base64]` decoded.
pub fn bytes_of(case: &Value, key: &str) -> Vec<u8> {
    match &case[format!("{key}_base64")] {
        Value::String(text) => BASE64_STANDARD.decode(text).unwrap(),
        _ => case[key].as_str().unwrap().as_bytes().to_vec(),
    }
}

/// What bytes look like in a failed assertion.
pub fn shown(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

/// Frames of a connection that sent `chunks`; `is_over` when it was closed then. `None` stands for
/// a malformed end.
pub fn frames(chunks: &[Vec<u8>], bytes_max: usize, is_over: bool) -> Vec<Option<Vec<u8>>> {
    let mut framer = Framer::new(bytes_max);
    let mut waiting = Vec::new();
    let mut frames = Vec::new();
    let ends = chunks.iter().map(Some).chain(is_over.then_some(None));
    for chunk in ends {
        waiting.extend_from_slice(chunk.map_or(&[], Vec::as_slice));
        let mut position = 0;
        loop {
            let rest = &waiting[position..];
            let cut = match chunk {
                Some(_) => framer.cut(rest),
                None => framer.cut_at_end(rest),
            };
            match cut {
                Cut::Frame { frame, used, .. } => {
                    frames.push(Some(frame.to_vec()));
                    position += used;
                }
                Cut::Skip { used } => position += used,
                Cut::Malformed { used } => {
                    frames.push(None);
                    position += used;
                }
                Cut::Incomplete => break,
            }
        }
        waiting.drain(..position);
    }
    frames
}

/// What an encoder appends.
pub fn encoded(encode: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    encode(&mut out);
    out
}

/// Logplex's HTTP drain frames as ours are: every one ends in a newline, which is counted.
/// (Receivers that split the body at newlines need it; Logplex added none.)
pub fn with_newlines(logplex_frames: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for frame in BodyFrames::new(logplex_frames, usize::MAX) {
        let mut frame = frame.unwrap().frame.to_vec();
        if !frame.ends_with(b"\n") {
            frame.push(b'\n');
        }
        out.extend_from_slice(format!("{} ", frame.len()).as_bytes());
        out.extend_from_slice(&frame);
    }
    out
}

/// The header of `frame`, which must have one.
#[track_caller]
pub fn parsed(frame: &[u8]) -> Message<'_> {
    parse_rfc5424(frame).unwrap_or_else(|| panic!("no header in {}", shown(frame)))
}
