//! `POST /logs` in, one HTTP drain out, both plain or both compressed.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::book::Book;
use crate::load::{Block, Router, http_sink, nanos};
use crate::plan::Plan;
use crate::speed::{FRAME_BYTES, per_million, rate, settle};

/// The scenario, as it stands in the table.
pub(crate) const HTTP: &str = "POST /logs, 100 messages a request, one HTTP drain out";

/// Messages of a request.
const BATCH: usize = 100;

/// Prepared requests of each sender, taken in turn: no two next to each other are alike.
const BODIES: usize = 16;

/// Senders at once, each with a request in flight.
pub(crate) const SENDERS: [usize; 2] = [1, 4];

/// How bodies come and go.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Coding {
    Plain,
    Gzip,
}

/// In turn plain and compressed, with few senders and with more.
pub(crate) fn posts(plan: &Plan, book: &mut Book) {
    for _ in 0..plan.rounds {
        for senders in SENDERS {
            round(plan, book, Coding::Plain, senders);
            round(plan, book, Coding::Gzip, senders);
        }
    }
}

/// As a round stands in the table.
pub(crate) fn name(is_gzip: bool, senders: usize) -> String {
    let coding = if is_gzip { "gzip" } else { "plain" };
    format!("Logboom, {coding}, senders: {senders}")
}

fn round(plan: &Plan, book: &mut Book, coding: Coding, senders: usize) {
    let router = Router::start(&plan.router);
    let token = router.channel("bench", "wait");
    let (port, seen) = http_sink();
    let options = match coding {
        Coding::Plain => "",
        Coding::Gzip => r#","compression":"gzip""#,
    };
    router.drain("bench", &format!("http://127.0.0.1:{port}/"), options);
    let requests = requests(&token, coding);
    let seen = [seen];
    post(&router.http, &requests, 1);
    settle(&seen, BATCH as u64);
    let each = plan.messages / (3 * senders * BATCH) as u64;
    let sent = each * (senders * BATCH) as u64;
    let (before, started) = (router.usage(), nanos());
    std::thread::scope(|scope| {
        for _ in 0..senders {
            scope.spawn(|| post(&router.http, &requests, each));
        }
    });
    settle(&[Arc::clone(&seen[0])], sent + BATCH as u64);
    let cpu_seconds = router.usage().cpu_seconds - before.cpu_seconds;
    let name = name(coding == Coding::Gzip, senders);
    book.add(HTTP, &name, "CPU s/million", per_million(cpu_seconds, sent));
    book.add(HTTP, &name, "messages/s", rate(&seen, sent, started));
    assert_eq!(seen[0].settled(), sent + BATCH as u64, "nothing is lost");
}

fn requests(token: &str, coding: Coding) -> Vec<Vec<u8>> {
    let mut block = Block::new(&[token.to_owned()], FRAME_BYTES, BATCH * FRAME_BYTES);
    let mut request = || {
        let (body, encoding) = match coding {
            Coding::Plain => (block.next().to_vec(), ""),
            Coding::Gzip => (gzip(block.next()), "Content-Encoding: gzip\r\n"),
        };
        let head = format!(
            "POST /logs HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/logplex-1\r\nLogplex-Msg-Count: {BATCH}\r\n{encoding}\
             Content-Length: {}\r\n\r\n",
            body.len()
        );
        [head.as_bytes(), &body].concat()
    };
    (0..BODIES).map(|_| request()).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Posts until `count` requests are accepted, one in flight.
fn post(address: &str, requests: &[Vec<u8>], count: u64) {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_nodelay(true).unwrap();
    let mut accepted = 0;
    let mut answer = [0; 4096];
    while accepted < count {
        let request = &requests[accepted as usize % requests.len()];
        socket.write_all(request).unwrap();
        let read = socket.read(&mut answer).unwrap();
        match &answer[..read.min(12)] {
            b"HTTP/1.1 204" => accepted += 1,
            // The channel is full and waits for its drain.
            b"HTTP/1.1 429" => std::thread::park_timeout(PAUSE),
            _ => panic!("{}", String::from_utf8_lossy(&answer[..read])),
        }
    }
}

const PAUSE: Duration = Duration::from_millis(5);
