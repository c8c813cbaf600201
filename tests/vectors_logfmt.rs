//! Runs the vectors of logfmt and of l2met's conventions in `tests/vectors/` (their provenance
//! stands in each file) through the logfmt layer. A result that differs from the vector's stands in
//! a table with its reason.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may stop at the first surprise"
)]

use std::fs;
use std::path::Path;

use logboom::logfmt::metric::Kind;
use logboom::logfmt::metric::Metric;
use logboom::logfmt::parse::pairs;
use logboom::logfmt::quantity::NumberError;
use logboom::logfmt::quantity::Quantity;
use logboom::logfmt::value::Pair;
use logboom::logfmt::value::Value as Logfmt;
use logboom::syslog::parse::parse_rfc5424;
use serde_json::Value;
use serde_json::json;

fn vectors(file: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/vectors")
        .join(file);
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn every_line_is_read_as_recommended() {
    let vectors = vectors("logfmt_matrix.json");
    let cases = vectors["cases"].as_array().unwrap();
    for case in cases {
        let line = case["input"].as_str().unwrap();
        let read: Vec<Value> = pairs(line.as_bytes()).map(|pair| shown(&pair)).collect();
        assert_eq!(Value::from(read), case["recommended"], "{line:?}");
    }
    assert_eq!(cases.len(), 123);
}

/// A pair as the file shows it.
fn shown(pair: &Pair<'_>) -> Value {
    let kind = match pair.value {
        Logfmt::Flag => "bare",
        Logfmt::Plain([]) => "empty",
        Logfmt::Plain(_) => "plain",
        Logfmt::Quoted(_) if pair.value.is_truncated() => "unterminated",
        Logfmt::Quoted(_) => "quoted",
    };
    let value = match pair.value {
        Logfmt::Flag => Value::Null,
        value => text(&value.text()).into(),
    };
    json!({ "key": text(pair.key), "value": value, "kind": kind })
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// What l2met reads out of these values is not what they say; the file recommends to mend the sign,
/// the exponent, the second point and the blank, and these are of the same kinds.
const MENDED: &[(&str, Expected<'_>, &str)] = &[
    ("-3", Ok((-3.0, "")), "a sign is read"),
    ("-12.5C", Ok((-12.5, "C")), "a sign is read"),
    ("1.2.3", Err("not a number"), "a number has one point"),
    ("1,234", Err("not a number"), "1 is not what it says"),
    ("1_000", Err("not a number"), "1 is not what it says"),
    ("0x10", Err("not a number"), "0 is not what it says"),
];

/// A value and its unit, or why there is none.
type Expected<'a> = Result<(f64, &'a str), &'a str>;

#[test]
fn metrics_are_l2met_s() {
    let vectors = vectors("l2met_conventions.json");
    let differences = vectors["recommended_differences"].as_array().unwrap();
    let cases = vectors["cases"].as_array().unwrap();
    let mut metric_count = 0;
    for case in cases {
        let line = case["input"].as_str().unwrap();
        let mut read = pairs(line.as_bytes()).filter_map(|pair| Some((pair, Metric::of(&pair)?)));
        for expected in case["l2met"]["metrics"].as_array().unwrap() {
            let (pair, metric) = read.next().unwrap();
            let kind = match metric.kind {
                Kind::Measure => "measurement",
                Kind::Sample => "sample",
                Kind::Count => "counter",
            };
            assert_eq!(kind, expected["type"], "{line}");
            assert_eq!(text(metric.name), expected["name"], "{line}");
            let raw = text(pair.value.raw());
            if !raw.is_empty() {
                assert_eq!(raw, expected["raw"], "{line}");
            }
            check(
                &raw,
                metric.quantity,
                recommended(&raw, expected, differences),
            );
            metric_count += 1;
        }
        assert_eq!(read.next(), None, "{line}");
        let source = pairs(line.as_bytes()).find(|pair| pair.key == b"source");
        let source = source
            .map(|pair| text(&pair.value.text()))
            .unwrap_or_default();
        assert_eq!(source, case["l2met"]["source_field"], "{line}");
    }
    assert_eq!((cases.len(), metric_count), (37, 80));
}

/// What the file recommends for a value, or what stands in `MENDED`, or l2met's own.
fn recommended<'v>(raw: &str, l2met: &'v Value, differences: &'v [Value]) -> Expected<'v> {
    let quoted = format!("\"{raw}\"");
    let difference = differences
        .iter()
        .find(|difference| difference["input_value"] == raw || difference["input_value"] == quoted);
    let mended = MENDED.iter().find(|(value, ..)| *value == raw);
    match (difference, mended) {
        (Some(difference), _) => expected(difference),
        (None, Some((_, mended, _))) => *mended,
        (None, None) => expected(l2met),
    }
}

fn expected(value: &Value) -> Expected<'_> {
    match value["error"].as_str() {
        Some("Unable to parse float.") => Err("not a number"),
        Some(error) => Err(error),
        None => Ok((
            value["value"].as_f64().unwrap(),
            value["units"].as_str().unwrap(),
        )),
    }
}

#[track_caller]
fn check(raw: &str, found: Result<Quantity<'_>, NumberError>, expected: Expected<'_>) {
    let found = found.map(|quantity| (quantity.number.to_f64(), text(quantity.unit)));
    let expected = expected.map(|(number, unit)| (number, unit.to_owned()));
    let found = found.map_err(|error| error.to_string());
    assert_eq!(found, expected.map_err(str::to_owned), "{raw}");
}

#[test]
fn recommended_differences_hold_by_themselves() {
    let vectors = vectors("l2met_conventions.json");
    for difference in vectors["recommended_differences"].as_array().unwrap() {
        let raw = difference["input_value"].as_str().unwrap();
        let line = format!("measure#a={raw}");
        let metric = Metric::of(&pairs(line.as_bytes()).next().unwrap()).unwrap();
        check(raw, metric.quantity, expected(difference));
    }
}

/// The bodies of l2met's own tests. Its third is an L10, which is prose: no pair is in it.
#[test]
fn bodies_hold_these_names() {
    let vectors = vectors("l2met_conventions.json");
    for case in vectors["upstream_tests"].as_array().unwrap() {
        let body = case["body"].as_str().unwrap().replace("\\n", "\n");
        let (_, frame) = body.split_once(' ').unwrap();
        let message = parse_rfc5424(frame.as_bytes()).unwrap();
        let names: Vec<String> = pairs(message.text)
            .filter_map(|pair| Some(text(Metric::of(&pair)?.name)))
            .collect();
        let expected = case.get("names").cloned().unwrap_or(json!([]));
        assert_eq!(Value::from(names), expected, "{}", case["name"]);
    }
}
