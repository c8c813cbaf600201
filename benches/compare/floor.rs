//! The least that a router must pay, as programs of their own: this binary, called with `floor`.
//!
//! `copy` writes what it reads to each destination. `route` also cuts frames, finds the token of
//! each, looks it up and writes the name in its place. One thread for a connection, 256 KiB a read,
//! one write for each destination and read: no queue, no history, no isolation of destinations.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

/// `copy` or `route`, then for each channel `TOKEN=PORT,PORT…`.
pub(crate) fn run(arguments: &[String]) {
    let (kind, channels) = arguments.split_first().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    println!("ready {}", listener.local_addr().unwrap());
    for socket in listener.incoming() {
        let socket = socket.unwrap();
        let channels: Vec<Channel> = channels.iter().map(|text| Channel::new(text)).collect();
        match kind.as_str() {
            "copy" => std::thread::spawn(move || copy(socket, channels)),
            "route" => std::thread::spawn(move || route(socket, channels)),
            _ => panic!("floor {kind}"),
        };
    }
}

const READ_BYTES: usize = 256 * 1024;

/// What a token stands for: where its messages go, and those of this read.
struct Channel {
    token: Vec<u8>,
    drains: Vec<TcpStream>,
    batch: Vec<u8>,
}

impl Channel {
    fn new(text: &str) -> Self {
        let (token, ports) = text.split_once('=').unwrap();
        let connect = |port: &str| {
            let socket = TcpStream::connect(("127.0.0.1", port.parse().unwrap())).unwrap();
            socket.set_nodelay(true).unwrap();
            socket
        };
        Self {
            token: token.as_bytes().to_vec(),
            drains: ports.split(',').map(connect).collect(),
            batch: Vec::with_capacity(2 * READ_BYTES),
        }
    }
}

fn copy(mut socket: TcpStream, mut channels: Vec<Channel>) {
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let read = socket.read(&mut buffer).unwrap_or(0);
        if read == 0 {
            return;
        }
        for drain in channels.iter_mut().flat_map(|channel| &mut channel.drains) {
            drain.write_all(&buffer[..read]).unwrap();
        }
    }
}

fn route(mut socket: TcpStream, mut channels: Vec<Channel>) {
    let tokens = channels.iter().map(|channel| channel.token.clone());
    let routes: HashMap<Vec<u8>, usize, BuildHasherDefault<FastHasher>> = tokens.zip(0..).collect();
    let mut buffer = vec![0; READ_BYTES];
    let mut filled = 0;
    loop {
        let read = socket.read(&mut buffer[filled..]).unwrap_or(0);
        if read == 0 {
            return;
        }
        filled += read;
        let mut used = 0;
        while let Some((frame, next)) = cut(&buffer[..filled], used) {
            used = next;
            let Some((token, after)) = token_in(frame) else {
                continue;
            };
            if let Some(&at) = routes.get(&frame[token..after]) {
                put(&mut channels[at].batch, &frame[..token], &frame[after..]);
            }
        }
        buffer.copy_within(used..filled, 0);
        filled -= used;
        for channel in &mut channels {
            if !channel.batch.is_empty() {
                for drain in &mut channel.drains {
                    drain.write_all(&channel.batch).unwrap();
                }
                channel.batch.clear();
            }
        }
    }
}

/// The frame that begins at `start`, and where the next one does.
#[inline]
fn cut(bytes: &[u8], start: usize) -> Option<(&[u8], usize)> {
    let mut length = 0;
    let mut at = start;
    loop {
        match *bytes.get(at)? {
            b' ' => break,
            digit => length = length * 10 + usize::from(digit - b'0'),
        }
        at += 1;
    }
    let end = at + 1 + length;
    Some((bytes.get(at + 1..end)?, end))
}

/// Where the APP-NAME begins and ends: the fourth field of an RFC 5424 header.
#[inline]
fn token_in(frame: &[u8]) -> Option<(usize, usize)> {
    let mut spaces = memchr::memchr_iter(b' ', frame);
    let before = spaces.nth(2)?;
    Some((before + 1, spaces.next()?))
}

const NAME: &[u8] = b"app";

/// Appends an octet-counted frame with the name where the token stood.
#[inline]
fn put(batch: &mut Vec<u8>, head: &[u8], tail: &[u8]) {
    let mut count = [b' '; 8];
    let mut at = count.len() - 1;
    let mut length = head.len() + NAME.len() + tail.len();
    while 0 < length {
        at -= 1;
        count[at] = b'0' + (length % 10) as u8;
        length /= 10;
    }
    batch.extend_from_slice(&count[at..]);
    batch.extend_from_slice(head);
    batch.extend_from_slice(NAME);
    batch.extend_from_slice(tail);
}

/// Eight bytes at a time, a rotation and a multiplication each: tokens are random already.
#[derive(Default)]
struct FastHasher(u64);

impl FastHasher {
    #[inline]
    fn mix(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
}

impl Hasher for FastHasher {
    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.mix(u64::from_le_bytes(*word));
        }
        for &byte in rest {
            self.mix(byte.into());
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
