//! A destination that takes logs over HTTP.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::load::{Checker, Seen, nanos};

/// Starts a sink that answers 204 to every POST; gives its port and what it sees. Messages of
/// compressed bodies are counted as their headers say, others one by one.
pub fn http_sink() -> (u16, Arc<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let seen = Arc::new(Seen::default());
    let shared = Arc::clone(&seen);
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            answer_posts(socket.unwrap(), &shared);
        }
    });
    (port, seen)
}

/// What a request's headers say of its body.
#[derive(Default)]
struct Head {
    length: usize,
    messages: u64,
    is_encoded: bool,
}

fn answer_posts(socket: TcpStream, seen: &Seen) {
    let mut writer = socket.try_clone().unwrap();
    let mut reader = BufReader::with_capacity(1024 * 1024, socket);
    let mut checker = Checker::default();
    let mut body = Vec::new();
    while let Some(head) = read_head(&mut reader) {
        body.resize(head.length, 0);
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        seen.bytes.fetch_add(head.length as u64, Ordering::Relaxed);
        if head.is_encoded {
            seen.last_nanos.store(nanos(), Ordering::Relaxed);
            seen.messages.fetch_add(head.messages, Ordering::Release);
        } else {
            checker.take(&body, seen, &mut |_| {});
        }
        let answer = b"HTTP/1.1 204 No Content\r\n\r\n";
        if writer.write_all(answer).is_err() {
            return;
        }
    }
}

/// The next request's head; nothing when the connection ended.
fn read_head(reader: &mut impl BufRead) -> Option<Head> {
    let mut head = Head::default();
    let mut line = String::new();
    loop {
        line.clear();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return None;
        }
        if line == "\r\n" {
            return Some(head);
        }
        line.make_ascii_lowercase();
        let Some((name, value)) = line.split_once(':') else {
            continue;
        };
        match name {
            "content-length" => head.length = value.trim().parse().unwrap(),
            "logplex-msg-count" => head.messages = value.trim().parse().unwrap(),
            "content-encoding" => head.is_encoded = value.trim() != "identity",
            _ => {}
        }
    }
}
