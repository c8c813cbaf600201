//! Many tails on one channel.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::book::Book;
use crate::latency::pace;
use crate::load::{Block, Router};
use crate::plan::Plan;
use crate::speed::FRAME_BYTES;

/// The scenario, as it stands in the table.
pub(crate) const TAILS: &str = "a thousand tails on one channel, 1,000 messages/s";

/// Messages in a second.
const RATE: u64 = 1_000;

/// How often the readers are looked at: they are sockets that are read in turn, not a wake-up each,
/// since a thousand readers would be on other machines.
const TURN: Duration = Duration::from_millis(50);

/// What comes late may take so long.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) fn many(plan: &Plan, book: &mut Book) {
    for _ in 0..plan.rounds {
        round(plan, book);
    }
}

fn round(plan: &Plan, book: &mut Book) {
    let router = Router::start(&plan.router);
    let token = router.channel("bench", "lose");
    let count = plan.by_mode(50, 1_000);
    let readers: Vec<Reader> = (0..count).map(|_| Reader::open(&router)).collect();
    let messages = RATE * plan.by_mode(1, 10);
    let mut blocks = [Block::new(&[token], FRAME_BYTES, FRAME_BYTES)];
    let mut socket = TcpStream::connect(&router.syslog_tcp).unwrap();
    let wanted = messages * count as u64;
    let (before, started) = (router.usage(), Instant::now());
    let deadline = started + Duration::from_secs(messages / RATE) + PATIENCE;
    let lines = std::thread::scope(|scope| {
        let read = scope.spawn(|| read_all(readers, wanted, deadline));
        pace(&mut socket, &mut blocks, RATE, messages);
        read.join().unwrap()
    });
    let seconds = started.elapsed().as_secs_f64();
    let after = router.usage();
    let cpu_seconds = after.cpu_seconds - before.cpu_seconds;
    let lost = wanted.saturating_sub(lines) as f64 / wanted as f64;
    book.add(TAILS, "Logboom", "cores", cpu_seconds / seconds);
    book.add(
        TAILS,
        "Logboom",
        "peak MiB",
        after.memory_bytes_max as f64 / 1_048_576.0,
    );
    book.add(TAILS, "Logboom", "lost %", lost * 100.0);
}

/// A tail that is being read, and the last byte of it.
struct Reader {
    socket: TcpStream,
    last: u8,
}

impl Reader {
    fn open(router: &Router) -> Self {
        let body = r#"{"channel_id":"bench","num":"0","tail":true}"#;
        let session = router.call("POST", "/v3/sessions", body);
        let url = session["url"].as_str().unwrap();
        let path = &url[url.find("/sessions").unwrap()..];
        let mut socket = TcpStream::connect(&router.http).unwrap();
        write!(socket, "GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n").unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            socket.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        assert!(
            head.starts_with(b"HTTP/1.1 200"),
            "{}",
            String::from_utf8_lossy(&head)
        );
        socket.set_nonblocking(true).unwrap();
        Self { socket, last: 0 }
    }

    /// Lines that came since the last time; those of the chunks' heads end in CR LF and do not count.
    fn lines(&mut self, buffer: &mut [u8]) -> u64 {
        let mut lines = 0;
        while let Ok(read) = self.socket.read(buffer)
            && read != 0
        {
            for at in memchr::memchr_iter(b'\n', &buffer[..read]) {
                let before = if at == 0 { self.last } else { buffer[at - 1] };
                lines += u64::from(before != b'\r');
            }
            self.last = buffer[read - 1];
        }
        lines
    }
}

/// Reads until `wanted` lines came or it is `deadline`.
fn read_all(mut readers: Vec<Reader>, wanted: u64, deadline: Instant) -> u64 {
    let mut buffer = vec![0; 256 * 1024];
    let mut lines = 0;
    while lines < wanted && Instant::now() < deadline {
        std::thread::sleep(TURN);
        lines += readers
            .iter_mut()
            .map(|reader| reader.lines(&mut buffer))
            .sum::<u64>();
    }
    lines
}
