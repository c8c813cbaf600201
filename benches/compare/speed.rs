//! Full speed: octet-counted syslog over TCP in, syslog drains out.

use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::book::Book;
use crate::load::{Block, Seen, nanos, syslog_sink, usage_of};
use crate::plan::Plan;
use crate::program::Program;

/// Scenarios, as they stand in the table.
pub(crate) const ONE: &str = "TCP in, one syslog drain out";
pub(crate) const TEN_CHANNELS_ONE: &str = "one channel, beside ten";
pub(crate) const TEN_CHANNELS: &str = "ten channels, a drain each";
pub(crate) const TEN_DRAINS_ONE: &str = "one drain, beside ten";
pub(crate) const TEN_DRAINS: &str = "ten drains on one channel";

/// What one drain more costs.
pub(crate) const FURTHER: &str = "CPU s/million, each further drain";

const MANY: usize = 10;

/// Bytes of each message, its octet count not among them.
pub(crate) const FRAME_BYTES: usize = 300;

/// What one write of the sender carries.
pub(crate) const WRITE_BYTES: usize = 256 * 1024;

/// Nothing came for so long: what did not come by then is lost.
const SILENCE: Duration = Duration::from_secs(10);

/// One channel, one drain.
pub(crate) fn one_drain(plan: &Plan, book: &mut Book) {
    let programs = plan.present(&[
        Program::CopyFloor,
        Program::RouteFloor,
        Program::Rsyslog,
        Program::SyslogNg,
        Program::LogboomWait,
        Program::LogboomLose,
    ]);
    for _ in 0..plan.rounds {
        tool(plan, book);
        for &program in &programs {
            full_speed(plan, book, ONE, program, [1, 1]);
        }
    }
}

/// Ten channels that take turns message by message on one connection, a drain each; one channel
/// beside it, for the ratio of the same run.
pub(crate) fn ten_channels(plan: &Plan, book: &mut Book) {
    let programs = plan.present(&[
        Program::RouteFloor,
        Program::Rsyslog,
        Program::RsyslogIsolated,
        Program::SyslogNg,
        Program::LogboomWait,
    ]);
    for _ in 0..plan.rounds {
        for &program in &programs {
            full_speed(plan, book, TEN_CHANNELS_ONE, program, [1, 1]);
            full_speed(plan, book, TEN_CHANNELS, program, [MANY, 1]);
        }
    }
}

/// Ten drains on one channel; one drain beside it, for what each further one costs.
pub(crate) fn ten_drains(plan: &Plan, book: &mut Book) {
    let programs = plan.present(&[
        Program::CopyFloor,
        Program::RouteFloor,
        Program::Rsyslog,
        Program::SyslogNg,
        Program::LogboomWait,
    ]);
    for _ in 0..plan.rounds {
        for &program in &programs {
            let one = full_speed(plan, book, TEN_DRAINS_ONE, program, [1, 1]);
            let ten = full_speed(plan, book, TEN_DRAINS, program, [1, MANY]);
            let further = (ten - one) / (MANY - 1) as f64;
            book.add(TEN_DRAINS, program.name(), FURTHER, further);
        }
    }
}

/// Sender and sink alone: what the load tool itself costs.
fn tool(plan: &Plan, book: &mut Book) {
    let (port, seen) = syslog_sink(|_| {});
    let tokens = crate::program::tokens(1);
    let mut block = Block::new(&tokens, FRAME_BYTES, WRITE_BYTES);
    let mut socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let before = usage_of(std::process::id()).cpu_seconds;
    let started = nanos();
    let sent = send(&mut socket, &mut block, plan.messages);
    drop(socket);
    settle(&[Arc::clone(&seen)], sent);
    let cpu_seconds = usage_of(std::process::id()).cpu_seconds - before;
    let name = "load tool alone";
    book.add(ONE, name, "messages/s", rate(&[seen], sent, started));
    book.add(ONE, name, "CPU s/million", per_million(cpu_seconds, sent));
}

/// One round of `program` with so many channels and drains of each; gives its CPU s/million.
fn full_speed(
    plan: &Plan,
    book: &mut Book,
    scenario: &'static str,
    program: Program,
    [channels, drains_each]: [usize; 2],
) -> f64 {
    let sinks: Vec<(u16, Arc<Seen>)> = (0..channels * drains_each)
        .map(|_| syslog_sink(|_| {}))
        .collect();
    let (ports, seen): (Vec<u16>, Vec<Arc<Seen>>) = sinks.into_iter().unzip();
    let ports: Vec<Vec<u16>> = ports.chunks(drains_each).map(<[u16]>::to_vec).collect();
    let running = program.start(plan, &ports);
    let mut block = Block::new(&running.tokens, FRAME_BYTES, WRITE_BYTES);
    let mut socket = TcpStream::connect(&running.input).unwrap();
    // The first block on its own: a drain begins at its channel's end, so connections must stand.
    let warm = send(&mut socket, &mut block, 1);
    settle(&seen, warm / channels as u64);
    let before = (running.usage(), usage_of(std::process::id()));
    let started = nanos();
    let sent = send(&mut socket, &mut block, program.share(plan.messages));
    let each = (warm + sent) / channels as u64;
    settle(&seen, each);
    let after = (running.usage(), usage_of(std::process::id()));
    let cpu_seconds = after.0.cpu_seconds - before.0.cpu_seconds;
    let tool_seconds = after.1.cpu_seconds - before.1.cpu_seconds;
    let name = program.name();
    let mut add = |unit, value| book.add(scenario, name, unit, value);
    add("CPU s/million", per_million(cpu_seconds, sent));
    add("messages/s", rate(&seen, sent, started));
    add("peak MiB", after.0.memory_bytes_max as f64 / 1_048_576.0);
    add("tool's CPU s/million", per_million(tool_seconds, sent));
    check(program, &seen, each, &mut add);
    per_million(cpu_seconds, sent)
}

/// Notes what was lost; nothing may be, silently.
fn check(program: Program, seen: &[Arc<Seen>], each: u64, add: &mut impl FnMut(&'static str, f64)) {
    let sum = |count: &dyn Fn(&Seen) -> u64| -> u64 { seen.iter().map(|seen| count(seen)).sum() };
    let total = each * seen.len() as u64;
    let came = sum(&|seen| seen.messages.load(Ordering::Relaxed));
    let told = sum(&|seen| seen.told_lost.load(Ordering::Relaxed));
    let disordered = sum(&|seen| seen.disordered.load(Ordering::Relaxed));
    add(
        "lost %",
        total.saturating_sub(came) as f64 / total as f64 * 100.0,
    );
    assert_eq!(disordered, 0, "{}: order is kept", program.name());
    match program {
        // Its own notices in the channel can be lost, too, and are then told with the rest.
        Program::LogboomLose => {
            let notices_max = 3 * seen.len() as u64;
            assert!((total..=total + notices_max).contains(&(came + told)));
        }
        Program::LogboomWait => assert_eq!((came, told), (total, 0), "wait loses nothing"),
        _ => {}
    }
}

/// Writes whole blocks until at least `messages` are sent; says how many were.
pub(crate) fn send(socket: &mut TcpStream, block: &mut Block, messages: u64) -> u64 {
    let mut sent = 0;
    while sent < messages {
        socket.write_all(block.next()).unwrap();
        sent += block.messages();
    }
    sent
}

/// Waits until each sink has `each` messages or knows them lost, or nothing comes any more.
pub(crate) fn settle(seen: &[Arc<Seen>], each: u64) {
    let mut last = (0, Instant::now());
    while seen.iter().any(|seen| seen.settled() < each) {
        let settled = seen.iter().map(|seen| seen.settled()).sum();
        if last.0 != settled {
            last = (settled, Instant::now());
        }
        if SILENCE < last.1.elapsed() {
            return;
        }
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

/// Messages taken in a second, until the last sink had its last.
pub(crate) fn rate(seen: &[Arc<Seen>], sent: u64, started: u64) -> f64 {
    let last = seen
        .iter()
        .map(|seen| seen.last_nanos.load(Ordering::Relaxed))
        .max()
        .unwrap();
    sent as f64 / (last.saturating_sub(started) as f64 / 1e9)
}

/// Seconds for each million of messages.
pub(crate) fn per_million(seconds: f64, messages: u64) -> f64 {
    seconds / messages as f64 * 1e6
}
