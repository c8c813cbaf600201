//! Destinations that speak octet-counted syslog, and what they see: loss, order, latency.

use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::load::frames::{NUMBER_DIGITS, TIME_DIGITS};
use crate::load::nanos;

/// What a sink has seen. Shared with the thread that reads.
#[derive(Default)]
pub struct Seen {
    /// Messages, loss notices not among them.
    pub messages: AtomicU64,
    /// Messages that loss notices told of.
    pub told_lost: AtomicU64,
    /// Messages whose number is not above the one before: out of order, or come twice.
    pub disordered: AtomicU64,
    /// Numbers left out.
    pub missing: AtomicU64,
    /// Bytes read from the sockets.
    pub bytes: AtomicU64,
    /// When the last message came (`nanos`).
    pub last_nanos: AtomicU64,
}

impl Seen {
    /// Messages and told losses together.
    pub fn settled(&self) -> u64 {
        self.messages.load(Ordering::Relaxed) + self.told_lost.load(Ordering::Relaxed)
    }

    /// Waits until messages and told losses together are `count`; panics after `patience`.
    pub fn wait_for(&self, count: u64, patience: Duration) {
        let deadline = Instant::now() + patience;
        while self.settled() < count {
            assert!(
                Instant::now() < deadline,
                "{} of {count} came or were told lost",
                self.settled()
            );
            std::thread::park_timeout(Duration::from_millis(1));
        }
    }
}

/// Starts a sink that speaks octet-counted syslog; gives its port and what it sees. Each
/// message's latency (nanoseconds, if `sent` is not 0) is given to `latency`.
///
/// Connections are read one after the other, each to its end.
pub fn syslog_sink(latency: impl FnMut(u64) + Send + 'static) -> (u16, Arc<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let seen = Arc::new(Seen::default());
    let shared = Arc::clone(&seen);
    std::thread::spawn(move || {
        let mut latency = latency;
        let mut checker = Checker::default();
        for socket in listener.incoming() {
            read_frames(socket.unwrap(), &shared, &mut checker, &mut latency);
        }
    });
    (port, seen)
}

fn read_frames(
    mut socket: TcpStream,
    seen: &Seen,
    checker: &mut Checker,
    latency: &mut impl FnMut(u64),
) {
    let mut buffer = vec![0; 1024 * 1024];
    let mut filled = 0;
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

/// Checks order and counts, of one sender's messages.
#[derive(Default)]
pub struct Checker {
    next: u64,
    /// Where in a frame the number stood last: a program writes all its headers alike.
    number_at: usize,
}

impl Checker {
    /// Takes all whole frames of `bytes`; says how many bytes they were.
    pub fn take(&mut self, bytes: &[u8], seen: &Seen, latency: &mut impl FnMut(u64)) -> usize {
        let (mut used, mut messages, mut told) = (0, 0, 0);
        let (mut disordered, mut missing) = (0, 0);
        let mut now = 0;
        while let Some((frame, next)) = cut(bytes, used) {
            used = next;
            let Some((number, sent)) = self.stamp(frame) else {
                told += lost_in(frame);
                continue;
            };
            messages += 1;
            disordered += u64::from(number < self.next);
            missing += number.saturating_sub(self.next);
            self.next = number + 1;
            if sent != 0 {
                if now == 0 {
                    now = nanos();
                }
                latency(now.saturating_sub(sent));
            }
        }
        seen.told_lost.fetch_add(told, Ordering::Relaxed);
        seen.disordered.fetch_add(disordered, Ordering::Relaxed);
        seen.missing.fetch_add(missing, Ordering::Relaxed);
        if 0 < messages {
            seen.last_nanos.store(nanos(), Ordering::Relaxed);
        }
        // Release: who sees this count (and stops waiting) shall see the others.
        seen.messages.fetch_add(messages, Ordering::Release);
        used
    }

    /// Number and send time at the head of the text, wherever a program puts the text.
    fn stamp(&mut self, frame: &[u8]) -> Option<(u64, u64)> {
        stamp_at(frame, self.number_at).or_else(|| {
            let at = (0..frame.len()).find(|&at| stamp_at(frame, at).is_some())?;
            self.number_at = at;
            stamp_at(frame, at)
        })
    }
}

fn cut(bytes: &[u8], start: usize) -> Option<(&[u8], usize)> {
    let mut length = 0;
    let mut at = start;
    loop {
        match bytes.get(at)? {
            b' ' => break,
            digit if digit.is_ascii_digit() => length = length * 10 + usize::from(digit - b'0'),
            _ => panic!("no octet count: {}", shown(&bytes[start..])),
        }
        at += 1;
    }
    let end = at + 1 + length;
    Some((bytes.get(at + 1..end)?, end))
}

fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned()
}

/// Messages that an L10 in `frame` tells this sink of.
fn lost_in(frame: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(frame);
    let told = text.split("overflow): ").nth(1);
    // `drain 'd.…' dropped N` is the channel's own notice: told to its owner, not to this sink.
    let count = told.and_then(|told| told.split(' ').next()?.parse().ok());
    count.unwrap_or(0)
}

const NO_TIME: [u8; TIME_DIGITS] = [b'0'; TIME_DIGITS];

fn stamp_at(frame: &[u8], at: usize) -> Option<(u64, u64)> {
    let (number, rest) = frame.get(at..)?.split_first_chunk::<NUMBER_DIGITS>()?;
    let (sent, end) = rest
        .strip_prefix(b" ")?
        .split_first_chunk::<TIME_DIGITS>()?;
    if end.first() != Some(&b' ') {
        return None;
    }
    let sent = if *sent == NO_TIME { 0 } else { digits(sent)? };
    Some((digits(number)?, sent))
}

fn digits(text: &[u8]) -> Option<u64> {
    text.iter().try_fold(0u64, |sum, &byte| {
        let digit = byte.wrapping_sub(b'0');
        (digit < 10).then(|| sum.wrapping_mul(10).wrapping_add(u64::from(digit)))
    })
}
