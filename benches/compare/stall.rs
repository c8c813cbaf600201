//! A destination that stops reading among ten on one channel: what the others notice of it, and
//! whether it is told exactly what it lost.

use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::book::Book;
use crate::latency::pace;
use crate::load::{Block, Router, Seen, quantile, syslog_sink};
use crate::plan::Plan;
use crate::speed::{FRAME_BYTES, settle};

/// The scenario, as it stands in the table.
pub(crate) const STALL: &str = "a drain that stalls for 10 s among ten on one channel";

const DRAINS: usize = 10;

/// Messages in a second, each to ten drains.
const RATE: u64 = 5_000;

/// Small, so that a stall of some seconds costs messages beyond what sockets hold.
const CHANNEL_BYTES: &str = "1MiB";

/// Messages before anything is measured: all connections stand then.
const WARM: u64 = 500;

pub(crate) fn one_of_ten(plan: &Plan, book: &mut Book) {
    for _ in 0..plan.rounds {
        round(plan, book);
    }
}

fn round(plan: &Plan, book: &mut Book) {
    let data = tempfile::tempdir().unwrap();
    let environment = [("LOGBOOM_CHANNEL_BYTES_MAX", CHANNEL_BYTES)];
    let router = Router::start_in(data, &plan.router, &environment);
    let token = router.channel("bench", "lose");
    let latencies = Arc::new(Mutex::new(Vec::new()));
    let is_stalled = Arc::new(AtomicBool::new(false));
    let mut seen: Vec<Arc<Seen>> = Vec::new();
    for number in 0..DRAINS {
        let (kept, stalled) = (Arc::clone(&latencies), Arc::clone(&is_stalled));
        let (port, sees) = if number == 0 {
            syslog_sink(move |_| rest_while(&stalled))
        } else {
            syslog_sink(move |nanos| kept.lock().unwrap().push(nanos))
        };
        router.drain("bench", &format!("syslog://127.0.0.1:{port}"), "");
        seen.push(sees);
    }
    let mut blocks = [Block::new(&[token], FRAME_BYTES, FRAME_BYTES)];
    let mut socket = TcpStream::connect(&router.syslog_tcp).unwrap();
    socket.set_nodelay(true).unwrap();
    pace(&mut socket, &mut blocks, RATE, WARM);
    settle(&seen, WARM);
    let period = RATE * plan.by_mode(1, 10);
    let mut sent = WARM;
    let mut p99 = [0.0; 2];
    let (before, started) = (router.usage(), Instant::now());
    for (is_stalled_now, p99) in [false, true].into_iter().zip(&mut p99) {
        latencies.lock().unwrap().clear();
        is_stalled.store(is_stalled_now, Ordering::Relaxed);
        pace(&mut socket, &mut blocks, RATE, period);
        sent += period;
        settle(&seen[1..], sent);
        let mut sorted = std::mem::take(&mut *latencies.lock().unwrap());
        sorted.sort_unstable();
        *p99 = quantile(&sorted, 0.99) as f64 / 1e6;
    }
    let cores = (router.usage().cpu_seconds - before.cpu_seconds) / started.elapsed().as_secs_f64();
    is_stalled.store(false, Ordering::Relaxed);
    // One more: a loss is told in front of the next batch.
    pace(&mut socket, &mut blocks, RATE, 1);
    sent += 1;
    settle(&seen, sent);
    book.add(STALL, "the other nine", "p99 ms before", p99[0]);
    book.add(STALL, "the other nine", "p99 ms meanwhile", p99[1]);
    book.add(STALL, "all ten", "cores", cores);
    account(book, &seen[0], sent);
    for other in &seen[1..] {
        assert_eq!(
            other.messages.load(Ordering::Relaxed),
            sent,
            "another drain lost messages"
        );
    }
}

fn rest_while(is_stalled: &AtomicBool) {
    while is_stalled.load(Ordering::Relaxed) {
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// What the stalled sink got of `sent` messages, and what it was told.
fn account(book: &mut Book, seen: &Seen, sent: u64) {
    let twice = seen.disordered.load(Ordering::Relaxed);
    let came = seen.messages.load(Ordering::Relaxed) - twice;
    let told = seen.told_lost.load(Ordering::Relaxed);
    let name = "the stalled one";
    book.add(STALL, name, "messages lost", (sent - came) as f64);
    book.add(STALL, name, "messages told by L10", told as f64);
    book.add(STALL, name, "messages that came twice", twice as f64);
    book.add(STALL, name, DIFFERENCE, (sent - came).abs_diff(told) as f64);
}

/// The figure that has to be 0.
pub(crate) const DIFFERENCE: &str = "difference of lost and told";
