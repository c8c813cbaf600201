//! The load tool of the benches: a router process of its own, senders with prebuilt bytes, sinks
//! that check order and measure latency, and the router's cost read from the kernel.
//!
//! Blocking sockets and plain threads, so that the tool itself costs little and shows up as
//! little as possible on a machine with two cores.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::disallowed_methods,
    clippy::string_slice,
    reason = "a bench may stop at the first surprise, and each bench uses its own part"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A router in a process of its own, with a temporary data directory.
pub struct Router {
    child: Child,
    /// `host:port` of the HTTP listener.
    pub http: String,
    /// `host:port` of the syslog TCP listener.
    pub syslog_tcp: String,
    _data: tempfile::TempDir,
}

/// What the router process has used so far.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// Processor seconds, user and system together.
    pub cpu_seconds: f64,
    /// Resident memory, in bytes.
    pub memory_bytes: u64,
    /// Greatest resident memory so far, in bytes.
    pub memory_bytes_max: u64,
}

const CREDENTIAL: &str = "bench:bench";

impl Router {
    /// Starts the router `binary` on free ports.
    pub fn start(binary: &str) -> Self {
        let data = tempfile::tempdir().unwrap();
        let mut child = Command::new(binary)
            .args([
                "serve",
                "--http",
                "127.0.0.1:0",
                "--syslog-tcp",
                "127.0.0.1:0",
            ])
            .args(["--syslog-udp", "127.0.0.1:0", "--data-dir"])
            .arg(data.path())
            .env("LOGBOOM_ADMIN_CREDENTIAL", CREDENTIAL)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut ready = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut ready)
            .unwrap();
        let address = |name: &str| {
            let word = ready.split_whitespace().find_map(|w| w.strip_prefix(name));
            word.unwrap_or_else(|| panic!("no {name} in {ready:?}"))
                .to_owned()
        };
        Self {
            http: address("http="),
            syslog_tcp: address("syslog_tcp="),
            child,
            _data: data,
        }
    }

    /// One API call; the answer's body as JSON.
    pub fn call(&self, method: &str, path: &str, body: &str) -> serde_json::Value {
        let mut socket = TcpStream::connect(&self.http).unwrap();
        let authorization = base64(CREDENTIAL.as_bytes());
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Basic {authorization}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        socket.write_all(head.as_bytes()).unwrap();
        socket.write_all(body.as_bytes()).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        assert!(
            answer.starts_with("HTTP/1.1 2"),
            "{method} {path}: {answer}"
        );
        let body = answer.split("\r\n\r\n").nth(1).unwrap();
        serde_json::from_str(body).unwrap_or(serde_json::Value::Null)
    }

    /// Makes a channel and gives back its token.
    pub fn channel(&self, id: &str, when_full: &str) -> String {
        let body = format!(r#"{{"tokens":["app"],"when_full":"{when_full}"}}"#);
        let channel = self.call("PUT", &format!("/v3/channels/{id}"), &body);
        channel["tokens"]["app"].as_str().unwrap().to_owned()
    }

    /// Attaches a drain and gives back its id.
    pub fn drain(&self, channel: &str, url: &str, options: &str) -> u64 {
        let body = format!(r#"{{"url":"{url}"{options}}}"#);
        let drain = self.call("POST", &format!("/v3/channels/{channel}/drains"), &body);
        drain["id"].as_u64().unwrap()
    }

    /// The drain's state as the API shows it.
    pub fn drain_status(&self, channel: &str, id: u64) -> serde_json::Value {
        self.call("GET", &format!("/v3/channels/{channel}/drains/{id}"), "")["status"].clone()
    }

    /// Processor time and memory so far, from `/proc`.
    pub fn usage(&self) -> Usage {
        usage_of(self.child.id())
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// Processor time and memory of process `pid`, from `/proc`. The time is that of the threads that
/// live (the kernel's ticks of 10 ms would be too coarse for a short round): the router's workers
/// live as long as it does.
pub fn usage_of(pid: u32) -> Usage {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let nanos: u64 = threads
        .filter_map(|thread| {
            let path = thread.unwrap().path().join("schedstat");
            // A helper thread may have ended since the folder was read.
            let text = std::fs::read_to_string(path).ok()?;
            text.split(' ').next()?.parse::<u64>().ok()
        })
        .sum();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let bytes = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        let kilobytes: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        kilobytes * 1024
    };
    Usage {
        cpu_seconds: nanos as f64 / 1e9,
        memory_bytes: bytes("VmRSS:"),
        memory_bytes_max: bytes("VmHWM:"),
    }
}

/// An octet-counted frame of exactly `bytes` bytes (count not included) for `token`, whose text
/// begins with `number` (12 digits) and `sent` (20 digits, nanoseconds).
pub fn frame(token: &str, bytes: usize, number: u64, sent: u64) -> Vec<u8> {
    let head = format!(
        "<134>1 2026-11-20T12:00:00.123456+00:00 host {token} web.1 - - {number:012} {sent:020} "
    );
    let mut text = head.into_bytes();
    assert!(
        text.len() <= bytes,
        "a frame of {bytes} bytes has no room for its header"
    );
    let filler = b"at=info method=GET path=\"/items/42\" dyno=web.1 connect=1ms service=18ms ";
    while text.len() < bytes {
        text.push(filler[text.len() % filler.len()]);
    }
    let mut frame = format!("{bytes} ").into_bytes();
    frame.extend_from_slice(&text);
    frame
}

/// `count` frames in a row, numbered from `first`.
pub fn frames(token: &str, bytes: usize, first: u64, count: u64) -> Vec<u8> {
    (first..first + count)
        .flat_map(|number| frame(token, bytes, number, 0))
        .collect()
}

/// What a sink has seen. Shared with the thread that reads.
#[derive(Default)]
pub struct Seen {
    /// Messages, loss notices not among them.
    pub messages: AtomicU64,
    /// Messages that loss notices told of.
    pub told_lost: AtomicU64,
    /// Messages that came out of order.
    pub disordered: AtomicU64,
    /// Bytes read from the sockets.
    pub bytes: AtomicU64,
}

impl Seen {
    /// Waits until messages and told losses together are `count`; panics after `patience`.
    pub fn wait_for(&self, count: u64, patience: Duration) {
        let deadline = Instant::now() + patience;
        loop {
            let messages = self.messages.load(Ordering::Relaxed);
            let lost = self.told_lost.load(Ordering::Relaxed);
            if count <= messages + lost {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{messages} came and {lost} were lost of {count}"
            );
            std::thread::park_timeout(Duration::from_millis(1));
        }
    }
}

/// Starts a sink that speaks octet-counted syslog; gives its port and what it sees. Each
/// message's latency (nanoseconds, if `sent` is not 0) is given to `latency`.
pub fn syslog_sink(latency: impl FnMut(u64) + Send + 'static) -> (u16, Arc<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let seen = Arc::new(Seen::default());
    let shared = Arc::clone(&seen);
    std::thread::spawn(move || {
        let mut latency = latency;
        for socket in listener.incoming() {
            read_frames(socket.unwrap(), &shared, &mut latency);
        }
    });
    (port, seen)
}

fn read_frames(mut socket: TcpStream, seen: &Seen, latency: &mut impl FnMut(u64)) {
    let mut buffer = vec![0; 1024 * 1024];
    let mut filled = 0;
    let mut checker = Checker::default();
    loop {
        let read = socket.read(&mut buffer[filled..]).unwrap_or(0);
        if read == 0 {
            return;
        }
        filled += read;
        seen.bytes.fetch_add(read as u64, Ordering::Relaxed);
        let used = checker.take(&buffer[..filled], seen, latency);
        buffer.copy_within(used..filled, 0);
        filled -= used;
    }
}

/// Checks order and counts; per connection.
#[derive(Default)]
pub struct Checker {
    next: u64,
}

impl Checker {
    /// Takes all whole frames of `bytes`; says how many bytes they were.
    pub fn take(&mut self, bytes: &[u8], seen: &Seen, latency: &mut impl FnMut(u64)) -> usize {
        let (mut used, mut messages, mut told, mut disordered) = (0, 0, 0, 0);
        let mut now = 0;
        while let Some((frame, next)) = cut(bytes, used) {
            used = next;
            if let Some(lost) = lost_in(frame) {
                told += lost;
                continue;
            }
            let Some((number, sent)) = stamp(frame) else {
                continue;
            };
            messages += 1;
            disordered += u64::from(number < self.next);
            self.next = number + 1;
            if sent != 0 {
                if now == 0 {
                    now = nanos();
                }
                latency(now.saturating_sub(sent));
            }
        }
        seen.messages.fetch_add(messages, Ordering::Relaxed);
        seen.told_lost.fetch_add(told, Ordering::Relaxed);
        seen.disordered.fetch_add(disordered, Ordering::Relaxed);
        used
    }
}

fn cut(bytes: &[u8], start: usize) -> Option<(&[u8], usize)> {
    let mut length = 0;
    let mut at = start;
    loop {
        match bytes.get(at)? {
            b' ' => break,
            digit => length = length * 10 + usize::from(digit - b'0'),
        }
        at += 1;
    }
    let end = at + 1 + length;
    Some((bytes.get(at + 1..end)?, end))
}

/// Messages that an L10 in `frame` tells of.
fn lost_in(frame: &[u8]) -> Option<u64> {
    if !frame.starts_with(b"<172>") {
        return None;
    }
    let text = String::from_utf8_lossy(frame);
    let tail = text.split("overflow): ").nth(1)?;
    if tail.starts_with("drain ") {
        return Some(0); // the channel's own notice: told to its owner, not to this sink
    }
    tail.split(' ').next()?.parse().ok()
}

/// Number and send time at the head of the text, which both logplex formats end in `- `.
fn stamp(frame: &[u8]) -> Option<(u64, u64)> {
    let text = frame
        .windows(2)
        .take(200)
        .rposition(|pair| pair == b"- ")
        .map(|at| at + 2)?;
    let digits = |from: usize, to: usize| -> Option<u64> {
        frame
            .get(text + from..text + to)?
            .iter()
            .try_fold(0u64, |sum, &byte| {
                byte.is_ascii_digit()
                    .then(|| sum * 10 + u64::from(byte - b'0'))
            })
    };
    Some((digits(0, 12)?, digits(13, 33)?))
}

/// Starts a sink that answers 204 to every POST; gives its port and what it sees.
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

fn answer_posts(socket: TcpStream, seen: &Seen) {
    let mut writer = socket.try_clone().unwrap();
    let mut reader = BufReader::with_capacity(1024 * 1024, socket);
    let mut checker = Checker::default();
    let mut body = Vec::new();
    loop {
        let mut length = 0;
        let mut line = String::new();
        loop {
            line.clear();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            let lower = line.to_ascii_lowercase();
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if line == "\r\n" {
                break;
            }
        }
        body.resize(length, 0);
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        seen.bytes.fetch_add(length as u64, Ordering::Relaxed);
        checker.take(&body, seen, &mut |_| {});
        if writer
            .write_all(b"HTTP/1.1 204 No Content\r\n\r\n")
            .is_err()
        {
            return;
        }
    }
}

/// Nanoseconds of a clock that sender and sink, being one process, share.
pub fn nanos() -> u64 {
    use std::sync::OnceLock;
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_nanos() as u64 + 1
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// The `quantile` (0 to 1) of `sorted`.
pub fn quantile(sorted: &[u64], quantile: f64) -> u64 {
    let index = ((sorted.len().saturating_sub(1)) as f64 * quantile).round() as usize;
    sorted.get(index).copied().unwrap_or(0)
}

/// What the rounds measured, by case and unit, in the order in which they first came.
#[derive(Default)]
pub struct Figures(Vec<(String, Vec<f64>)>);

impl Figures {
    /// Notes one round's figure, and prints it.
    pub fn add(&mut self, case: &str, unit: &str, value: f64) {
        let name = format!("{case}: {unit}");
        println!("{name:<46} {value:>14.3}");
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, values)) => values.push(value),
            None => self.0.push((name, vec![value])),
        }
    }

    /// Prints a table of all figures: median, least and greatest of the rounds, and the goal of
    /// those that have one. A goal is met by the median: a rate above it, anything else below it.
    pub fn print(&self, goals: &[(&str, f64)]) {
        println!("\n| figure | median | min | max | goal |\n|---|---:|---:|---:|---|");
        for (name, values) in &self.0 {
            let mut sorted = values.clone();
            sorted.sort_unstable_by(f64::total_cmp);
            let median = sorted[sorted.len() / 2];
            let goal = goals.iter().find(|(named, _)| named == name);
            let goal = goal.map_or(String::new(), |(_, goal)| {
                let is_reached = if name.ends_with("/s") {
                    *goal <= median
                } else {
                    median <= *goal
                };
                format!(
                    "{goal}: {}",
                    if is_reached { "reached" } else { "not reached" }
                )
            });
            let [median, min, max] = [median, sorted[0], sorted[sorted.len() - 1]].map(shown);
            println!("| {name} | {median} | {min} | {max} | {goal} |");
        }
    }
}

/// Three significant digits, or whole where there are more.
fn shown(value: f64) -> String {
    if value < 10.0 {
        format!("{value:.3}")
    } else if value < 1_000.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.0}")
    }
}
