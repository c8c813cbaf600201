//! Bytes to messages and back: a connection's bytes cut and parsed, and messages encoded for each
//! kind of reader.
#![allow(
    missing_docs,
    reason = "criterion's macros make undocumented functions"
)]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use logboom::clock::UnixMicros;
use logboom::id::DrainToken;
use logboom::syslog::encode;
use logboom::syslog::frame::{Cut, Framer};
use logboom::syslog::message::Message;
use logboom::syslog::parse::{parse_any, parse_rfc5424, with_source};

const FRAMES: usize = 1_000;
const TOKEN: &str = "t.1493aebe-afe1-4dd5-921d-208643584dd6";
const ARRIVAL: UnixMicros = UnixMicros::new(1_353_105_648_123_456);

/// A router's line of `bytes` bytes.
fn line(bytes: usize) -> String {
    let mut line = format!("<134>1 2012-11-16T22:40:48.123456+00:00 host {TOKEN} web.1 - - ");
    let filler = "at=info method=GET path=\"/items/42\" dyno=web.1 connect=1ms service=18ms ";
    while line.len() < bytes {
        line.push_str(filler);
    }
    line.truncate(bytes);
    line
}

fn old_line() -> String {
    "<134>Nov 16 22:40:48 db postgres[6442]: duration: 12.3 ms  statement: SELECT 1".to_owned()
}

/// Cuts `bytes` into frames and gives each to `visit`; says how many there were.
fn cut_all(bytes: &[u8], mut visit: impl FnMut(&[u8])) -> usize {
    let mut framer = Framer::new(64 * 1024);
    let (mut rest, mut count) = (bytes, 0);
    while let Cut::Frame { frame, used, .. } = framer.cut(rest) {
        visit(frame);
        rest = rest.get(used..).unwrap_or_default();
        count += 1;
    }
    count
}

fn frames(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("frame_and_parse");
    group.throughput(Throughput::Elements(FRAMES as u64));
    for bytes in [100, 300, 2_000] {
        let line = line(bytes);
        for (framing, frame) in [
            ("counted", format!("{bytes} {line}")),
            ("newline", line.clone() + "\n"),
        ] {
            let read = frame.repeat(FRAMES);
            group.bench_function(BenchmarkId::new(framing, bytes), |bencher| {
                bencher.iter(|| {
                    let count = cut_all(black_box(read.as_bytes()), |frame| {
                        let message = parse_rfc5424(frame);
                        black_box(message.map(|m| with_source(m, TOKEN.as_bytes(), b"app")));
                    });
                    assert_eq!(count, FRAMES);
                });
            });
        }
    }
    let read = (old_line() + "\n").repeat(FRAMES);
    group.bench_function("rfc3164", |bencher| {
        bencher.iter(|| {
            cut_all(black_box(read.as_bytes()), |frame| {
                black_box(parse_any(frame, b"app", ARRIVAL));
            })
        });
    });
    group.finish();
}

/// Writes a message for a reader.
type Encode<'e> = &'e dyn Fn(&Message<'_>, &mut Vec<u8>);

fn encoders(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode");
    group.throughput(Throughput::Elements(FRAMES as u64));
    let line = line(300);
    let message = parse_any(line.as_bytes(), b"app", ARRIVAL);
    let drain = DrainToken::random();
    let cases: [(&str, Encode<'_>); 5] = [
        ("logplex_http", &|message, out| {
            encode::logplex_http(message, out)
        }),
        ("logplex_syslog", &|message, out| {
            encode::logplex_syslog(message, &drain, out);
        }),
        ("rfc5424", &|message, out| {
            encode::rfc5424(message, ARRIVAL, out);
        }),
        ("rfc5424_sd", &|message, out| {
            let message = Message {
                sd: b"[a@1 x=\"1\" y=\"some value\"][origin ip=\"10.0.0.1\"]",
                ..*message
            };
            encode::rfc5424(&message, ARRIVAL, out);
        }),
        ("tail_line", &|message, out| encode::tail_line(message, out)),
    ];
    for (name, encode) in cases {
        let mut out = Vec::new();
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                out.clear();
                for _ in 0..FRAMES {
                    encode(black_box(&message), &mut out);
                }
                out.len()
            });
        });
    }
    group.finish();
}

criterion_group!(benches, frames, encoders);
criterion_main!(benches);
