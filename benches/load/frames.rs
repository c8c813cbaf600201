//! Messages as senders write them: frames made beforehand, numbered and stamped in place.

use crate::load::nanos;

/// Digits of a message's number.
pub const NUMBER_DIGITS: usize = 12;

/// Digits of its send time, in nanoseconds; all 0 where it has none.
pub const TIME_DIGITS: usize = 20;

/// An octet-counted frame of exactly `bytes` bytes (count not included) for `token`, whose text
/// begins with `number` (12 digits) and `sent` (20 digits, nanoseconds) and goes on with words as
/// logs have them: gzip makes them about a fifth.
pub fn frame(token: &str, bytes: usize, number: u64, sent: u64) -> Vec<u8> {
    let mut frame = format!("{bytes} ").into_bytes();
    let count_bytes = frame.len();
    frame.extend_from_slice(head(token).as_bytes());
    frame.extend_from_slice(format!("{number:012} {sent:020} ").as_bytes());
    assert!(
        frame.len() - count_bytes <= bytes,
        "a frame of {bytes} bytes has no room for its header"
    );
    let mut random = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    while frame.len() - count_bytes < bytes {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let words = format!(
            "at=info method=GET path=\"/items/{}\" connect={}ms service={}ms request_id={random:016x} ",
            random % 1_000,
            random % 7,
            random % 311
        );
        frame.extend_from_slice(words.as_bytes());
    }
    frame.truncate(count_bytes + bytes);
    frame
}

fn head(token: &str) -> String {
    format!("<134>1 2026-11-20T12:00:00.123456+00:00 host {token} web.1 - - ")
}

/// `count` frames in a row, numbered from `first`.
pub fn frames(token: &str, bytes: usize, first: u64, count: u64) -> Vec<u8> {
    (first..first + count)
        .flat_map(|number| frame(token, bytes, number, 0))
        .collect()
}

/// Frames that are written again and again, with new numbers each time: what one write carries.
///
/// Frames of several tokens take turns; each token's are numbered for themselves, from 0.
pub struct Block {
    bytes: Vec<u8>,
    /// Where each frame's number begins.
    stamps: Vec<usize>,
    /// By how much numbers grow from one time to the next.
    step: u64,
    is_fresh: bool,
}

impl Block {
    /// About `block_bytes` of frames of `frame_bytes` bytes, as many for each token.
    pub fn new(tokens: &[String], frame_bytes: usize, block_bytes: usize) -> Self {
        let rounds = (block_bytes / frame_bytes / tokens.len()).max(1);
        let mut bytes = Vec::new();
        let mut stamps = Vec::new();
        for number in 0..rounds {
            for token in tokens {
                let frame = frame(token, frame_bytes, number as u64, 0);
                let count_bytes = frame.len() - frame_bytes;
                stamps.push(bytes.len() + count_bytes + head(token).len());
                bytes.extend_from_slice(&frame);
            }
        }
        Self {
            bytes,
            stamps,
            step: rounds as u64,
            is_fresh: true,
        }
    }

    /// Messages in it.
    pub fn messages(&self) -> u64 {
        self.stamps.len() as u64
    }

    /// The bytes to write now: numbered on, the first frame stamped with the time.
    pub fn next(&mut self) -> &[u8] {
        if !self.is_fresh {
            for &at in &self.stamps {
                add(&mut self.bytes[at..at + NUMBER_DIGITS], self.step);
            }
        }
        self.is_fresh = false;
        let first = self.stamps[0] + NUMBER_DIGITS + 1;
        write_digits(&mut self.bytes[first..first + TIME_DIGITS], nanos());
        &self.bytes
    }
}

/// Adds to a decimal number in place: most times only its last digits change.
fn add(digits: &mut [u8], mut value: u64) {
    for digit in digits.iter_mut().rev() {
        if value == 0 {
            return;
        }
        value += u64::from(*digit - b'0');
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

fn write_digits(digits: &mut [u8], mut value: u64) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
}
