//! The segment log: runs in, records out. Messages of about 300 bytes, runs of 100.
#![allow(
    missing_docs,
    reason = "criterion's macros make undocumented functions"
)]

use std::hint::black_box;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use logboom::channel::{Budget, Channel, ChannelFlags, Node, WhenFull};
use logboom::clock::UnixMicros;
use logboom::syslog::message::{Message, Pri, Timestamp};
use logboom::telemetry::Telemetry;

const RUN: usize = 100;

fn channel() -> Arc<Channel> {
    let budget = Budget {
        channel_bytes_max: 16 << 20,
        node_bytes_max: 1 << 30,
        history_age_max: Duration::from_secs(7 * 86_400),
        wait_max: Duration::from_secs(30),
    };
    let node = Node::new(budget, Telemetry::new().expect("fixed buckets"));
    node.open(&1.into(), ChannelFlags::default(), WhenFull::Lose)
}

fn message(text: &[u8]) -> Message<'_> {
    Message {
        pri: Pri::or_default(190),
        is_truncated: false,
        timestamp: Timestamp::Given(b"2026-01-02T03:04:05.678901+00:00"),
        hostname: b"host",
        app_name: b"app",
        procid: b"web.1",
        msgid: b"-",
        sd: b"-",
        text,
    }
}

fn append(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("append");
    for bytes in [100, 300, 2_000] {
        let channel = channel();
        let text = vec![b'x'; bytes];
        group.throughput(Throughput::Elements(RUN as u64));
        group.bench_function(BenchmarkId::new("run_of_100", bytes), |bencher| {
            bencher.iter(|| {
                let run = std::iter::repeat_n(message(black_box(&text)), RUN);
                channel.append(run, UnixMicros::new(1))
            });
        });
    }
    group.finish();
}

fn read(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("read");
    let channel = channel();
    let text = vec![b'x'; 300];
    channel.append(
        std::iter::repeat_n(message(&text), 10_000),
        UnixMicros::new(1),
    );
    for readers in [1_u64, 10] {
        group.throughput(Throughput::Elements(10_000 * readers));
        group.bench_function(BenchmarkId::new("readers", readers), |bencher| {
            bencher.iter(|| {
                for _ in 0..readers {
                    let mut cursor = channel.cursor_back(10_000);
                    channel.read(&mut cursor, |record| {
                        black_box(record.message().text.len());
                        ControlFlow::Continue(())
                    });
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, append, read);
criterion_main!(benches);
