//! Latency at a steady rate, from the sender's write to the sink's read.

use std::io::Write;
use std::net::TcpStream;
use std::slice;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::book::Book;
use crate::load::{Block, Seen, quantile, syslog_sink};
use crate::plan::Plan;
use crate::program::Program;
use crate::speed::{FRAME_BYTES, per_million, settle};

/// Scenarios, as they stand in the table.
pub(crate) const STEADY: &str = "20,000 messages/s, one drain";

const STEADY_TEN: &str = "20,000 messages/s, ten channels with a drain each";

/// Messages in a second.
const RATE: u64 = 20_000;

/// Messages before anything is measured: all connections stand then.
const WARM: u64 = 1_000;

/// One channel, one drain.
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
            let sorted = round(plan, book, STEADY, program, 1);
            book.keep_latencies(program.name(), sorted);
        }
    }
}

/// Ten channels in turn, a drain each: what a write and a wake-up for each message cost.
pub(crate) fn steady_ten(plan: &Plan, book: &mut Book) {
    let programs = plan.present(&[Program::RouteFloor, Program::Rsyslog, Program::LogboomWait]);
    for _ in 0..plan.rounds {
        for &program in &programs {
            round(plan, book, STEADY_TEN, program, 10);
        }
    }
}

/// Gives all latencies, sorted.
fn round(
    plan: &Plan,
    book: &mut Book,
    scenario: &'static str,
    program: Program,
    channels: usize,
) -> Vec<u64> {
    let latencies = Arc::new(Mutex::new(Vec::new()));
    let sink = || {
        let kept = Arc::clone(&latencies);
        let (port, seen) = syslog_sink(move |nanos| kept.lock().unwrap().push(nanos));
        (vec![port], seen)
    };
    let (ports, seen): (Vec<Vec<u16>>, Vec<Arc<Seen>>) = (0..channels).map(|_| sink()).unzip();
    let running = program.start(plan, &ports);
    let block = |token: &String| Block::new(slice::from_ref(token), FRAME_BYTES, FRAME_BYTES);
    let mut blocks: Vec<Block> = running.tokens.iter().map(block).collect();
    let mut socket = TcpStream::connect(&running.input).unwrap();
    socket.set_nodelay(true).unwrap();
    pace(&mut socket, &mut blocks, RATE, WARM);
    settle(&seen, WARM / channels as u64);
    latencies.lock().unwrap().clear();
    let before = running.usage();
    let messages = RATE * plan.by_mode(1, 5);
    pace(&mut socket, &mut blocks, RATE, messages);
    settle(&seen, (WARM + messages) / channels as u64);
    let cpu_seconds = running.usage().cpu_seconds - before.cpu_seconds;
    let name = program.name();
    let mut sorted = std::mem::take(&mut *latencies.lock().unwrap());
    sorted.sort_unstable();
    let mut add = |unit, value| book.add(scenario, name, unit, value);
    add("CPU s/million", per_million(cpu_seconds, messages));
    for (unit, part) in [("p50 ms", 0.5), ("p99 ms", 0.99), ("max ms", 1.0)] {
        add(unit, quantile(&sorted, part) as f64 / 1e6);
    }
    assert_eq!(sorted.len() as u64, messages, "{name}: nothing is lost");
    sorted
}

/// Writes `messages` messages at `rate` a second, blocks in turn, each on its own. Sleeps between them: with two cores, a sender
/// that spins would take the core of a program or a sink. Late ones go out at once.
pub(crate) fn pace(socket: &mut TcpStream, blocks: &mut [Block], rate: u64, messages: u64) {
    let started = Instant::now();
    for number in 0..messages {
        let due = started + Duration::from_nanos(number * 1_000_000_000 / rate);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let turn = number as usize % blocks.len();
        socket.write_all(blocks[turn].next()).unwrap();
    }
}
