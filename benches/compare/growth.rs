//! What a message costs beside many channels, connections and drains, and what each of them costs.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::book::Book;
use crate::load::{Block, Router, Seen, frame, syslog_sink};
use crate::plan::Plan;
use crate::speed::{FRAME_BYTES, WRITE_BYTES, per_million, send, settle};
use crate::store::{Entries, fill};

/// Scenarios, as they stand in the table.
pub(crate) const GROWTH: &str = "cost over numbers";
pub(crate) const START: &str = "start with 100,000 channels, 200,000 tokens, 50,000 drains";

/// Figures.
pub(crate) const BUSY: &str = "CPU s/million, one busy channel and drain";
pub(crate) const SPREAD: &str = "CPU s/million, spread over all channels, no drain";
pub(crate) const EACH: &str = "bytes each, idle";
pub(crate) const READY: &str = "s until ready";

/// Channels of the curve.
pub(crate) const CHANNELS: [u64; 3] = [1, 1_000, 100_000];

const MANY: u64 = 10_000;
/// How long many connections may take to be read.
const PATIENCE: Duration = Duration::from_secs(30);

const DRAINS_PER_CHANNEL: u64 = 100;

/// The curve, each case with a router of its own.
pub(crate) fn curve(plan: &Plan, book: &mut Book) {
    for _ in 0..plan.rounds {
        let mut alone_bytes = 0;
        for count in CHANNELS.map(|count| plan.by_mode(count.min(2_000), count)) {
            let case = Case::start(plan, idle(count));
            let bytes = case.router.usage().memory_bytes;
            let name = channels_name(count);
            if count == 1 {
                alone_bytes = bytes;
            } else {
                let each = bytes.saturating_sub(alone_bytes) as f64 / (count - 1) as f64;
                book.add(GROWTH, &name, EACH, each);
            }
            book.add(GROWTH, &name, BUSY, case.busy(plan));
            book.add(GROWTH, &name, SPREAD, case.spread(plan));
        }
        let many = plan.by_mode(200, MANY);
        connections(plan, book, many.min(files_max()));
        drains(plan, book, many, alone_bytes);
    }
}

/// Reads a store of the size that a big installation has.
pub(crate) fn start(plan: &Plan, book: &mut Book) {
    let channels = plan.by_mode(1_000, 100_000);
    for _ in 0..plan.rounds {
        let entries = Entries {
            channels,
            tokens_each: 2,
            drains: channels / 2,
        };
        let case = Case::start(plan, entries);
        book.add(START, "Logboom", READY, case.ready_seconds);
        let mib = case.router.usage().memory_bytes as f64 / 1_048_576.0;
        book.add(START, "Logboom", "MiB when ready", mib);
    }
}

pub(crate) fn channels_name(count: u64) -> String {
    format!("channels: {count}")
}

fn idle(channels: u64) -> Entries {
    Entries {
        channels,
        tokens_each: 1,
        drains: 0,
    }
}

fn connections(plan: &Plan, book: &mut Book, count: u64) {
    let case = Case::start(plan, idle(1));
    let before = case.router.usage().memory_bytes;
    let message = frame(&case.tokens[0], FRAME_BYTES, 0, 0);
    let open = |_| {
        let mut socket = TcpStream::connect(&case.router.syslog_tcp).unwrap();
        socket.write_all(&message).unwrap();
        socket
    };
    let _open: Vec<TcpStream> = (0..count).map(open).collect();
    case.routed(count);
    // What the messages take is not theirs.
    let bytes = case.router.usage().memory_bytes.saturating_sub(before);
    let bytes = bytes.saturating_sub(case.router.metric("logboom_segment_bytes"));
    let name = format!("idle connections: {count}");
    book.add(GROWTH, &name, EACH, bytes as f64 / count as f64);
    book.add(GROWTH, &name, BUSY, case.busy(plan));
}

fn drains(plan: &Plan, book: &mut Book, count: u64, alone_bytes: u64) {
    let entries = Entries {
        channels: count.div_ceil(DRAINS_PER_CHANNEL),
        tokens_each: 1,
        drains: count,
    };
    let case = Case::start(plan, entries);
    let bytes = case.router.usage().memory_bytes;
    let name = format!("idle drains: {count}");
    book.add(
        GROWTH,
        &name,
        EACH,
        bytes.saturating_sub(alone_bytes) as f64 / count as f64,
    );
    book.add(GROWTH, &name, BUSY, case.busy(plan));
}

/// Connections that this process may hold; `ulimit -n` decides, less what else is open.
fn files_max() -> u64 {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().nth(3)?.parse::<u64>().ok());
    // None: unlimited.
    let most = soft.unwrap_or(u64::MAX).saturating_sub(200);
    if most < MANY {
        println!("`ulimit -n` allows {most} connections of {MANY} at most");
    }
    most
}

/// A router beside whose entries a channel is busy.
struct Case {
    router: Router,
    /// Of the entries.
    tokens: Vec<String>,
    ready_seconds: f64,
    /// Where the entries' drains point to; nobody answers, and nothing is sent.
    _nowhere: TcpListener,
}

impl Case {
    fn start(plan: &Plan, entries: Entries) -> Self {
        let nowhere = TcpListener::bind("127.0.0.1:0").unwrap();
        let (data, tokens) = fill(entries, nowhere.local_addr().unwrap().port());
        let environment = [
            ("LOGBOOM_WHEN_FULL", "wait"),
            ("LOGBOOM_CONNECTIONS_MAX", "20000"),
        ];
        let started = Instant::now();
        let router = Router::start_in(data, &plan.router, &environment);
        Self {
            router,
            tokens,
            ready_seconds: started.elapsed().as_secs_f64(),
            _nowhere: nowhere,
        }
    }

    /// A channel with a drain, its token and what the drain's sink sees.
    fn channel(&self, id: &str) -> (String, Arc<Seen>) {
        let token = self.router.channel(id, "wait");
        let (port, seen) = syslog_sink(|_| {});
        self.router
            .drain(id, &format!("syslog://127.0.0.1:{port}"), "");
        (token, seen)
    }

    /// CPU s/million of full speed through one channel.
    fn busy(&self, plan: &Plan) -> f64 {
        let (token, seen) = self.channel("busy");
        let seen = [seen];
        let mut block = Block::new(&[token], FRAME_BYTES, WRITE_BYTES);
        let mut socket = TcpStream::connect(&self.router.syslog_tcp).unwrap();
        let warm = send(&mut socket, &mut block, 1);
        settle(&seen, warm);
        let before = self.router.usage();
        let sent = send(&mut socket, &mut block, plan.messages);
        settle(&seen, warm + sent);
        let cpu_seconds = self.router.usage().cpu_seconds - before.cpu_seconds;
        per_million(cpu_seconds, sent)
    }

    /// CPU s/million of messages to all channels in turn. The last message goes to a channel with a
    /// drain, on the same connection: when it comes, all others have been routed.
    fn spread(&self, plan: &Plan) -> f64 {
        let (token, seen) = self.channel("last");
        let mut block = Block::new(&self.tokens, FRAME_BYTES, WRITE_BYTES);
        let mut socket = TcpStream::connect(&self.router.syslog_tcp).unwrap();
        // The first time makes each channel's first segment.
        send(&mut socket, &mut block, 1);
        socket.write_all(&frame(&token, FRAME_BYTES, 0, 0)).unwrap();
        settle(&[Arc::clone(&seen)], 1);
        let before = self.router.usage();
        let sent = send(&mut socket, &mut block, plan.messages / 3);
        socket.write_all(&frame(&token, FRAME_BYTES, 1, 0)).unwrap();
        settle(&[seen], 2);
        per_million(self.router.usage().cpu_seconds - before.cpu_seconds, sent)
    }

    /// Waits until `count` messages have been routed.
    fn routed(&self, count: u64) {
        let deadline = Instant::now() + PATIENCE;
        while self.router.metric("logboom_routed_messages_total") < count {
            assert!(Instant::now() < deadline, "messages of idle connections");
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }
}
