//! Latency at a steady rate, from the sender's write to the sink's read.

use std::io::Write;
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::book::Book;
use crate::load::{Block, quantile, syslog_sink};
use crate::plan::Plan;
use crate::program::Program;
use crate::speed::{FRAME_BYTES, per_million, settle};

/// The scenario, as it stands in the table.
pub(crate) const STEADY: &str = "20,000 messages/s, one drain";

/// Messages in a second.
const RATE: u64 = 20_000;

/// Messages before anything is measured: all connections stand then.
const WARM: u64 = 1_000;

/// One channel, one drain, each message written on its own.
pub(crate) fn steady(plan: &Plan, book: &mut Book) {
    let programs = plan.present(&[
        Program::CopyFloor,
        Program::RouteFloor,
        Program::Rsyslog,
        Program::SyslogNg,
        Program::LogboomWait,
    ]);
    for _ in 0..plan.rounds {
        for &program in &programs {
            round(plan, book, program);
        }
    }
}

fn round(plan: &Plan, book: &mut Book, program: Program) {
    let latencies = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&latencies);
    let (port, seen) = syslog_sink(move |nanos| kept.lock().unwrap().push(nanos));
    let running = program.start(plan, &[vec![port]]);
    let mut block = Block::new(&running.tokens, FRAME_BYTES, FRAME_BYTES);
    let mut socket = TcpStream::connect(&running.input).unwrap();
    socket.set_nodelay(true).unwrap();
    pace(&mut socket, &mut block, RATE, WARM);
    settle(&[Arc::clone(&seen)], WARM);
    latencies.lock().unwrap().clear();
    let before = running.usage();
    let messages = RATE * plan.by_mode(1, 5);
    pace(&mut socket, &mut block, RATE, messages);
    settle(&[Arc::clone(&seen)], WARM + messages);
    let cpu_seconds = running.usage().cpu_seconds - before.cpu_seconds;
    let name = program.name();
    let mut sorted = std::mem::take(&mut *latencies.lock().unwrap());
    sorted.sort_unstable();
    let mut add = |unit, value| book.add(STEADY, name, unit, value);
    add("CPU s/million", per_million(cpu_seconds, messages));
    for (unit, part) in [("p50 ms", 0.5), ("p99 ms", 0.99), ("max ms", 1.0)] {
        add(unit, quantile(&sorted, part) as f64 / 1e6);
    }
    assert_eq!(sorted.len() as u64, messages, "{name}: nothing is lost");
    book.keep_latencies(name, sorted);
}

/// Writes `messages` messages at `rate` a second. Sleeps between them: with two cores, a sender
/// that spins would take the core of a program or a sink. Late ones go out at once.
pub(crate) fn pace(socket: &mut TcpStream, block: &mut Block, rate: u64, messages: u64) {
    let started = Instant::now();
    for number in 0..messages {
        let due = started + Duration::from_nanos(number * 1_000_000_000 / rate);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        socket.write_all(block.next()).unwrap();
    }
}
