//! Sender -> router process -> drain sink over loopback: messages/s, processor seconds of the
//! router per million messages, peak memory, loss, latency at a steady 20,000 messages/s, and what
//! an idle connection and an idle drain cost.
//!
//! `cargo bench --bench end_to_end [-- --messages N] [--rounds N] [--router FILE]`; with `--test`
//! (as `./check` runs it) a small round of each, which still asserts that nothing is lost or
//! disordered. `--router` measures another build of the router, to compare two of them.
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
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use load::Figures;
use load::Router;
use load::Seen;

const FRAME_BYTES: usize = 300;
const PATIENCE: Duration = Duration::from_secs(120);

/// What is wanted, on a quiet machine with two cores: the figure and how far it is to go at most
/// (or, for a rate, at least).
const GOALS: [(&str, f64); 5] = [
    ("tcp -> syslog, wait: messages/s", 2_000_000.0),
    ("tcp -> syslog, wait: CPU s/million", 0.36),
    ("tcp -> syslog, lose: CPU s/million", 0.36),
    ("http -> http, 100 a request: CPU s/million", 0.45),
    ("tcp -> syslog at 20,000/s: p50 ms", 0.1),
];

struct Plan {
    router: String,
    messages: u64,
    rounds: u32,
    latency_seconds: u64,
    idle: u64,
}

fn main() {
    let plan = plan();
    let mut figures = Figures::default();
    for _ in 0..plan.rounds {
        tcp_to_syslog(&plan, "wait", &mut figures);
        tcp_to_syslog(&plan, "lose", &mut figures);
        http_to_http(&plan, &mut figures);
        latency(&plan, &mut figures);
        idle_connections(&plan, &mut figures);
        idle_drains(&plan, &mut figures);
    }
    figures.print(&GOALS);
}

fn plan() -> Plan {
    let arguments: Vec<String> = std::env::args().collect();
    let value = |name: &str| {
        let at = arguments.iter().position(|a| a == name)?;
        arguments.get(at + 1).cloned()
    };
    let number = |name: &str| value(name).map(|text| text.parse().unwrap());
    let is_test = arguments.iter().any(|a| a == "--test");
    let by_mode = |quick, full| if is_test { quick } else { full };
    Plan {
        router: value("--router").unwrap_or(env!("CARGO_BIN_EXE_logboom").to_owned()),
        messages: number("--messages").unwrap_or(by_mode(50_000, 3_000_000)),
        rounds: number("--rounds").unwrap_or(by_mode(1, 5)) as u32,
        latency_seconds: by_mode(1, 5),
        idle: by_mode(100, 1_000),
    }
}

/// A case at work: what the router had used when it began.
struct Case<'r> {
    name: &'static str,
    router: &'r Router,
    before: load::Usage,
    started: Instant,
}

impl<'r> Case<'r> {
    fn begin(name: &'static str, router: &'r Router) -> Self {
        Self {
            name,
            router,
            before: router.usage(),
            started: Instant::now(),
        }
    }

    /// Notes what the router spent on `messages` since the case began.
    fn end(self, messages: u64, figures: &mut Figures) {
        let seconds = self.started.elapsed().as_secs_f64();
        let after = self.router.usage();
        let cpu_seconds = after.cpu_seconds - self.before.cpu_seconds;
        let name = self.name;
        figures.add(name, "messages/s", messages as f64 / seconds);
        figures.add(name, "CPU s/million", cpu_seconds / messages as f64 * 1e6);
        figures.add(name, "peak MiB", after.memory_bytes_max as f64 / 1048576.0);
    }
}

/// Octet-counted syslog over TCP in, one syslog drain out.
fn tcp_to_syslog(plan: &Plan, when_full: &str, figures: &mut Figures) {
    let router = Router::start(&plan.router);
    let token = router.channel("bench", when_full);
    let (port, seen) = load::syslog_sink(|_| {});
    let drain = router.drain("bench", &format!("syslog://127.0.0.1:{port}"), "");
    let block = 1_000;
    let bytes = load::frames(&token, FRAME_BYTES, 0, block);
    // The drain starts at the channel's end: one block first, so that connections stand.
    let mut socket = TcpStream::connect(&router.syslog_tcp).unwrap();
    socket.write_all(&bytes).unwrap();
    seen.wait_for(block, PATIENCE);
    let name = match when_full {
        "wait" => "tcp -> syslog, wait",
        _ => "tcp -> syslog, lose",
    };
    let case = Case::begin(name, &router);
    for _ in 0..plan.messages / block {
        socket.write_all(&bytes).unwrap();
    }
    let total = plan.messages / block * block + block;
    let told = settle(&router, &seen, drain, total);
    case.end(total - block, figures);
    figures.add(name, "lost %", told as f64 / total as f64 * 100.0);
    if when_full == "wait" {
        assert_eq!(told, 0, "wait loses nothing here");
    }
    // What the router itself says in the channel about losses can be lost like any message.
    let settled = seen.messages.load(Ordering::Relaxed) + told;
    assert!((total..=total + NOTICES_MAX).contains(&settled));
}

/// Notices about losses that a round can make: one a minute at most, and a round is shorter.
const NOTICES_MAX: u64 = 3;

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
fn http_to_http(plan: &Plan, figures: &mut Figures) {
    let router = Router::start(&plan.router);
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
    let case = Case::begin("http -> http, 100 a request", &router);
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
    case.end(requests * 100, figures);
    assert_eq!(seen.messages.load(Ordering::Relaxed), requests * 100);
}

/// A steady 20,000 messages/s, each stamped with its send time and written on its own, to one
/// syslog drain. The sender sleeps between messages: with two cores, one that spins would take the
/// router's.
fn latency(plan: &Plan, figures: &mut Figures) {
    const RATE: u64 = 20_000;
    const NAME: &str = "tcp -> syslog at 20,000/s";
    let router = Router::start(&plan.router);
    let token = router.channel("bench", "lose");
    let latencies = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&latencies);
    let (port, seen) = load::syslog_sink(move |nanos| kept.lock().unwrap().push(nanos));
    router.drain("bench", &format!("syslog://127.0.0.1:{port}"), "");
    let mut socket = TcpStream::connect(&router.syslog_tcp).unwrap();
    socket.set_nodelay(true).unwrap();
    let case = Case::begin(NAME, &router);
    let total = RATE * plan.latency_seconds;
    for number in 0..total {
        let due = case.started + Duration::from_nanos(number * 1_000_000_000 / RATE);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let frame = load::frame(&token, FRAME_BYTES, number, load::nanos());
        socket.write_all(&frame).unwrap();
    }
    seen.wait_for(total, PATIENCE);
    case.end(total, figures);
    let mut sorted = latencies.lock().unwrap().clone();
    sorted.sort_unstable();
    for (unit, q) in [("p50 ms", 0.5), ("p99 ms", 0.99), ("max ms", 1.0)] {
        figures.add(NAME, unit, load::quantile(&sorted, q) as f64 / 1e6);
    }
    assert_eq!(seen.messages.load(Ordering::Relaxed), total);
    assert_eq!(seen.disordered.load(Ordering::Relaxed), 0, "order is kept");
}

/// Connections that each sent one message and then nothing.
fn idle_connections(plan: &Plan, figures: &mut Figures) {
    let router = Router::start(&plan.router);
    let token = router.channel("bench", "lose");
    let (port, seen) = load::syslog_sink(|_| {});
    router.drain("bench", &format!("syslog://127.0.0.1:{port}"), "");
    let connect = |number| {
        let mut socket = TcpStream::connect(&router.syslog_tcp).unwrap();
        let frame = load::frame(&token, FRAME_BYTES, number, 0);
        socket.write_all(&frame).unwrap();
        seen.wait_for(number + 1, PATIENCE);
        socket
    };
    // The first ones pay for what is made once.
    let mut kept: Vec<TcpStream> = (0..50).map(connect).collect();
    let before = router.usage().memory_bytes;
    kept.extend((50..50 + plan.idle).map(connect));
    let bytes = router.usage().memory_bytes.saturating_sub(before);
    figures.add(
        "idle connection",
        "KiB",
        bytes as f64 / 1024.0 / plan.idle as f64,
    );
}

/// Drains that wait for a first message.
fn idle_drains(plan: &Plan, figures: &mut Figures) {
    const PER_CHANNEL: u64 = 100;
    let router = Router::start(&plan.router);
    let sink = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = sink.local_addr().unwrap().port();
    let channels = plan.idle / PER_CHANNEL;
    for channel in 0..=channels {
        router.channel(&format!("bench{channel}"), "lose");
    }
    let attach = |channel: u64| {
        for number in 0..PER_CHANNEL {
            // Two drains of a channel may not have the same URL.
            let url = format!("http://127.0.0.1:{port}/{number}");
            router.drain(&format!("bench{channel}"), &url, "");
        }
    };
    attach(0);
    let before = router.usage().memory_bytes;
    (1..=channels).for_each(attach);
    let bytes = router.usage().memory_bytes.saturating_sub(before);
    let drains = (channels * PER_CHANNEL) as f64;
    figures.add("idle drain", "KiB", bytes as f64 / 1024.0 / drains);
}
