//! What a filter costs a message: a router's line of some 250 bytes, and what is asked of it.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "criterion's macros make undocumented functions; a bench may stop at the first surprise"
)]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use logboom::filter::Filter;
use logboom::syslog::message::Message;
use logboom::syslog::parse::parse_rfc5424;

const MESSAGES: u64 = 1_000;

/// From what costs least to what costs most.
const EXPRESSIONS: [(&str, &str); 9] = [
    ("severity", "severity>=warning"),
    ("source_and_ps", "source:heroku ps:router"),
    ("word_missing", "deadlock"),
    ("phrase_at_the_end", "\"tls_version=tls1.3\""),
    ("field", "code=H12"),
    ("number", "service>1s"),
    ("pattern", "path:/api/*/edit"),
    ("regex", "/status=5\\d\\d/"),
    (
        "all_of_them",
        "source:heroku ps:router status>=500 service>1s path:/api/* -level:debug (code=H12 OR code=H13)",
    ),
];

/// Lines of which no two are alike, and none is wanted.
fn frames() -> Vec<String> {
    (0..MESSAGES)
        .map(|number| {
            format!(
                "<158>1 2012-11-16T22:40:48.123456+00:00 host heroku router - - at=info method=GET \
                 path=\"/api/items/{number}\" host=app-{}.example.com \
                 request_id=8601b555-6a83-4c12-8269-{number:012x} fwd=\"204.204.{}.{}\" dyno=web.{} \
                 connect=1ms service={}ms status=200 bytes={} protocol=http1.1 tls=true tls_version=tls1.3",
                number * 7 % 1_000,
                number % 256,
                number * 31 % 256,
                number % 17,
                number * 37 % 900,
                number * number % 100_000,
            )
        })
        .collect()
}

fn filters(criterion: &mut Criterion) {
    let frames = frames();
    let messages: Vec<Message<'_>> = frames
        .iter()
        .map(|frame| parse_rfc5424(frame.as_bytes()).unwrap())
        .collect();
    let mut group = criterion.benchmark_group("filter");
    group.throughput(Throughput::Elements(MESSAGES));
    for (name, expression) in EXPRESSIONS {
        let filter = Filter::parse(expression).unwrap();
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            bencher.iter(|| {
                let wanted = messages
                    .iter()
                    .filter(|message| filter.matches(black_box(message)));
                wanted.count()
            });
        });
    }
    group.bench_function("compile", |bencher| {
        let (_, expression) = EXPRESSIONS.last().unwrap();
        bencher.iter(|| Filter::parse(black_box(expression)).unwrap());
    });
    group.finish();
}

criterion_group!(benches, filters);
criterion_main!(benches);
