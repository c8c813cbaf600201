//! Sender -> router process -> drain sink over loopback: messages/s, processor seconds of the
//! router per million messages, peak memory, loss, and latency at a steady 20,000 messages/s.
//!
//! `cargo bench --bench end_to_end [-- --messages N] [-- --rounds N]`; with `--test` (as `./check`
//! runs it) a small round of each, which still asserts that nothing is lost or disordered.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::disallowed_methods,
    reason = "a bench may stop at the first surprise"
)]

mod load;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use load::Router;
use load::Seen;

const FRAME_BYTES: usize = 300;
const PATIENCE: Duration = Duration::from_secs(120);

struct Plan {
    messages: u64,
    rounds: u32,
    latency_seconds: u64,
}

fn main() {
    let plan = plan();
    println!(
        "{:<34} {:>12} {:>14} {:>10}",
        "case", "messages/s", "CPU s/million", "peak MiB"
    );
    for _ in 0..plan.rounds {
        tcp_to_syslog(&plan, "wait");
        tcp_to_syslog(&plan, "lose");
        http_to_http(&plan);
        latency(&plan);
    }
}

fn plan() -> Plan {
    let arguments: Vec<String> = std::env::args().collect();
    let number = |name: &str| {
        let at = arguments.iter().position(|a| a == name)?;
        arguments.get(at + 1)?.parse().ok()
    };
    if arguments.iter().any(|a| a == "--test") {
        return Plan {
            messages: 50_000,
            rounds: 1,
            latency_seconds: 1,
        };
    }
    Plan {
        messages: number("--messages").unwrap_or(3_000_000),
        rounds: number("--rounds").unwrap_or(3) as u32,
        latency_seconds: 5,
    }
}

/// Prints one row: what the router spent between `before` and now on `messages`.
fn row(case: &str, router: &Router, before: load::Usage, started: Instant, messages: u64) {
    let seconds = started.elapsed().as_secs_f64();
    let after = router.usage();
    let cpu = (after.cpu_seconds - before.cpu_seconds) / (messages as f64 / 1e6);
    println!(
        "{case:<34} {:>12.0} {cpu:>14.3} {:>10.1}",
        messages as f64 / seconds,
        after.memory_bytes_max as f64 / 1048576.0
    );
}

/// Octet-counted syslog over TCP in, one syslog drain out.
fn tcp_to_syslog(plan: &Plan, when_full: &str) {
    let router = Router::start(&[]);
    let token = router.channel("bench", when_full);
    let (port, seen) = load::syslog_sink(|_| {});
    let drain = router.drain("bench", &format!("syslog://127.0.0.1:{port}"), "");
    let block = 1_000;
    let bytes = load::frames(&token, FRAME_BYTES, 0, block);
    // The drain starts at the channel's end: one block first, so that connections stand.
    let mut socket = TcpStream::connect(&router.syslog_tcp).unwrap();
    socket.write_all(&bytes).unwrap();
    seen.wait_for(block, PATIENCE);
    let (before, started) = (router.usage(), Instant::now());
    for _ in 0..plan.messages / block {
        socket.write_all(&bytes).unwrap();
    }
    let total = plan.messages / block * block + block;
    let told = settle(&router, &seen, drain, total);
    row(
        &format!("tcp -> syslog, {when_full}"),
        &router,
        before,
        started,
        total - block,
    );
    if when_full == "wait" {
        assert_eq!(told, 0, "wait loses nothing here");
    }
    assert_eq!(seen.messages.load(Ordering::Relaxed) + told, total);
}

/// Waits until the drain has confirmed or counted lost everything; gives what it lost.
fn settle(router: &Router, seen: &Seen, drain: u64, total: u64) -> u64 {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let status = router.drain_status("bench", drain);
        let lost: u64 = status["lost"]
            .as_object()
            .unwrap()
            .values()
            .map(|v| v.as_u64().unwrap())
            .sum();
        let messages = seen.messages.load(Ordering::Relaxed);
        if total <= messages + lost {
            return lost;
        }
        assert!(
            Instant::now() < deadline,
            "{messages} came of {total}: {status}"
        );
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// `POST /logs`, 100 messages a request, one HTTP drain out.
fn http_to_http(plan: &Plan) {
    let router = Router::start(&[]);
    let token = router.channel("bench", "wait");
    let (port, seen) = load::http_sink();
    router.drain("bench", &format!("http://127.0.0.1:{port}/"), "");
    let body = load::frames(&token, FRAME_BYTES, 0, 100);
    let head = format!(
        "POST /logs HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/logplex-1\r\nLogplex-Msg-Count: 100\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    let mut socket = TcpStream::connect(&router.http).unwrap();
    socket.set_nodelay(true).unwrap();
    let request = [head.as_bytes(), &body].concat();
    let requests = (plan.messages / 4).max(1_000) / 100;
    let (before, started) = (router.usage(), Instant::now());
    let mut accepted = 0;
    let mut answer = [0; 4096];
    while accepted < requests {
        socket.write_all(&request).unwrap();
        let read = socket.read(&mut answer).unwrap();
        match &answer[..12.min(read)] {
            b"HTTP/1.1 204" => accepted += 1,
            b"HTTP/1.1 429" => std::thread::park_timeout(Duration::from_millis(5)),
            other => panic!("{}", String::from_utf8_lossy(other)),
        }
    }
    seen.wait_for(requests * 100, PATIENCE);
    row(
        "http -> http, 100 a request",
        &router,
        before,
        started,
        requests * 100,
    );
    assert_eq!(seen.messages.load(Ordering::Relaxed), requests * 100);
}

/// A steady 20,000 messages/s, each stamped with its send time, to one syslog drain.
fn latency(plan: &Plan) {
    const RATE: u64 = 20_000;
    let router = Router::start(&[]);
    let token = router.channel("bench", "lose");
    let latencies = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&latencies);
    let (port, seen) = load::syslog_sink(move |nanos| kept.lock().unwrap().push(nanos));
    router.drain("bench", &format!("syslog://127.0.0.1:{port}"), "");
    let mut socket = TcpStream::connect(&router.syslog_tcp).unwrap();
    socket.set_nodelay(true).unwrap();
    let (before, started) = (router.usage(), Instant::now());
    let total = RATE * plan.latency_seconds;
    for number in 0..total {
        let due = started + Duration::from_nanos(number * 1_000_000_000 / RATE);
        while Instant::now() < due {
            std::hint::spin_loop();
        }
        let frame = load::frame(&token, FRAME_BYTES, number, load::nanos());
        socket.write_all(&frame).unwrap();
    }
    seen.wait_for(total, PATIENCE);
    row("tcp -> syslog at 20,000/s", &router, before, started, total);
    let mut sorted = latencies.lock().unwrap().clone();
    sorted.sort_unstable();
    let [p50, p99, max] = [0.5, 0.99, 1.0].map(|q| load::quantile(&sorted, q) as f64 / 1e6);
    println!(
        "{:<34} p50 {p50:.3} ms, p99 {p99:.3} ms, max {max:.3} ms",
        "  latency"
    );
    assert_eq!(seen.messages.load(Ordering::Relaxed), total);
    assert_eq!(seen.disordered.load(Ordering::Relaxed), 0, "order is kept");
}
