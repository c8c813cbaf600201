//! Reading logfmt: ours beside the crates that read it, on lines as a platform writes them.
//!
//! Each reads every pair and adds up what it found. What the crates give differs: `logfmt` copies
//! into strings, `logfmt-zerocopy` leaves out flags and escapes, `tpt-logfmt-parse` decodes escapes
//! and ends with an error at a lone quote. Not here are `vrl` (its `parse_logfmt` brings a whole
//! language) and `std-logger-parser` (it reads its own logger's fields only).
#![allow(
    missing_docs,
    reason = "criterion's macros make undocumented functions"
)]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use logboom::logfmt::metric::Metric;
use logboom::logfmt::parse::pairs;
use logboom::logfmt::write::{Key, Writer};
use logfmt_zerocopy::Logfmt;
use tpt_logfmt_parse::LogfmtParser;

/// So many that the processor cannot learn where each line's words end.
const LINES: u32 = 1_000;

/// Numbers without a pattern, the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(1);
        (self.0 >> 33) % bound
    }
}

fn router(numbers: &mut Numbers) -> String {
    let path = "/api/v2/items?page=".repeat(1 + usize::from(numbers.below(4) == 0));
    let (dyno, connect, service, status) = match numbers.below(20) {
        0 => (String::new(), String::new(), 30_000, 503),
        _ => (
            format!("web.{}", numbers.below(20)),
            format!("{}ms", numbers.below(3)),
            numbers.below(2_000),
            200 + numbers.below(300),
        ),
    };
    format!(
        "at=info method=GET path=\"{path}{}\" host=app-{}.example.com request_id={:08x}-{:04x}-{:04x}-{:04x}-{:012x} \
         fwd=\"{}.{}.{}.{}\" dyno={dyno} connect={connect} service={service}ms status={status} bytes={} \
         protocol=http1.1 tls=true tls_version=tls1.3",
        numbers.below(1_000_000),
        numbers.below(1_000),
        numbers.below(1 << 31),
        numbers.below(1 << 16),
        numbers.below(1 << 16),
        numbers.below(1 << 16),
        numbers.below(1 << 31),
        numbers.below(256),
        numbers.below(256),
        numbers.below(256),
        numbers.below(256),
        numbers.below(100_000),
    )
}

fn samples(numbers: &mut Numbers) -> String {
    format!(
        "source=web.{} dyno=heroku.2808254.d97d0ea7-cf3d-411b-b453-d2943a50b456 \
         sample#memory_total={}.{}MB sample#memory_rss={}.{}MB sample#memory_cache=0.00MB \
         sample#memory_swap=0.00MB sample#memory_pgpgin={}pages sample#memory_pgpgout={}pages \
         sample#memory_quota=512.00MB",
        numbers.below(20),
        numbers.below(512),
        numbers.below(100),
        numbers.below(512),
        numbers.below(100),
        numbers.below(1 << 20),
        numbers.below(1 << 20),
    )
}

fn application(numbers: &mut Numbers) -> String {
    format!(
        "time=2012-11-16T22:40:48.{:06}Z level=info msg=\"finished \\\"{}\\\" after {} steps, nothing left to do\" \
         duration={}us user={} cached",
        numbers.below(1_000_000),
        "job".repeat(1 + usize::from(numbers.below(3) == 0)),
        numbers.below(100),
        numbers.below(100_000),
        numbers.below(10_000),
    )
}

/// Reads a line; gives how much it found.
type Read = fn(&str) -> usize;

const READERS: [(&str, Read); 4] = [
    ("ours", |line| {
        pairs(line.as_bytes())
            .map(|pair| pair.key.len() + pair.value.raw().len())
            .sum()
    }),
    ("logfmt", |line| {
        logfmt::parse(line)
            .iter()
            .map(|pair| pair.key.len() + pair.val.as_ref().map_or(0, String::len))
            .sum()
    }),
    ("logfmt-zerocopy", |line| {
        line.logfmt()
            .map(|(key, value)| key.len() + value.len())
            .sum()
    }),
    ("tpt-logfmt-parse", |line| {
        LogfmtParser::new(line)
            .map_while(Result::ok)
            .map(|(key, value)| key.len() + value.len())
            .sum()
    }),
];

/// Makes a line.
type Make = fn(&mut Numbers) -> String;

fn read(criterion: &mut Criterion) {
    let kinds: [(&str, Make); 3] = [
        ("router", router),
        ("samples", samples),
        ("application", application),
    ];
    for (kind, line) in kinds {
        let mut numbers = Numbers(1);
        let lines: Vec<String> = (0..LINES).map(|_| line(&mut numbers)).collect();
        let mut group = criterion.benchmark_group(format!("read_{kind}"));
        group.throughput(Throughput::Bytes(
            lines.iter().map(|line| line.len() as u64).sum(),
        ));
        for (name, read) in READERS {
            group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
                bencher.iter(|| {
                    lines
                        .iter()
                        .map(|line| read(black_box(line)))
                        .sum::<usize>()
                });
            });
        }
        group.finish();
    }
}

/// The metrics of lines, with what they are worth; and lines out of pairs.
fn use_and_write(criterion: &mut Criterion) {
    let mut numbers = Numbers(1);
    let lines: Vec<String> = (0..LINES).map(|_| samples(&mut numbers)).collect();
    let mut group = criterion.benchmark_group("use");
    group.throughput(Throughput::Bytes(
        lines.iter().map(|line| line.len() as u64).sum(),
    ));
    group.bench_function("metrics", |bencher| {
        bencher.iter(|| {
            let metrics = lines
                .iter()
                .flat_map(|line| pairs(black_box(line).as_bytes()))
                .filter_map(|pair| Metric::of(&pair)?.quantity.ok());
            metrics
                .map(|quantity| quantity.number.to_f64())
                .sum::<f64>()
        });
    });
    let mut out = Vec::new();
    group.bench_function("write", |bencher| {
        bencher.iter(|| {
            out.clear();
            let mut writer = Writer::new(&mut out);
            let found = lines
                .iter()
                .flat_map(|line| pairs(black_box(line).as_bytes()));
            for pair in found {
                if let Ok(key) = Key::new(pair.key) {
                    writer.pair(key, pair.value.raw());
                }
            }
            out.len()
        });
    });
    group.finish();
}

criterion_group!(benches, read, use_and_write);
criterion_main!(benches);
