//! Syslog over UDP: a datagram is a message (RFC 5426). All that wait are taken at once.
//!
//! `when_full = wait` does not hold here: a datagram that is not read is lost in the kernel,
//! uncounted, so reading on and losing the oldest, counted, is better.

use std::sync::Arc;

use tokio::net::UdpSocket;
use tracing::warn;

use crate::id::Token;
use crate::ingest::gather::After;
use crate::ingest::intake::{Batch, Intake, TokenCache};
use crate::limits::{DATAGRAM_BYTES_MAX, FRAME_BYTES_LIMIT};
use crate::route::RouteTable;
use crate::shutdown::Shutdown;
use crate::telemetry::{Input, Telemetry};

/// How datagrams are taken.
#[derive(Clone)]
pub struct UdpSettings {
    /// A message is kept up to this many bytes; at most `FRAME_BYTES_LIMIT` counts.
    pub frame_bytes_max: usize,
    /// The token that everything on the socket belongs to; `None`: each message has its own.
    pub token: Option<Token>,
}

impl Default for UdpSettings {
    fn default() -> Self {
        Self {
            frame_bytes_max: crate::limits::FRAME_BYTES_DEFAULT,
            token: None,
        }
    }
}

/// Takes messages on `socket` until `shutdown`.
pub async fn serve_udp(
    socket: UdpSocket,
    table: Arc<RouteTable>,
    settings: UdpSettings,
    shutdown: Shutdown,
    telemetry: Telemetry,
) {
    let intake = Intake {
        table,
        telemetry,
        input: Input::Udp,
        token: settings.token,
    };
    let frame_bytes_max = settings.frame_bytes_max.min(FRAME_BYTES_LIMIT);
    let mut pile = Pile::new();
    let mut cache = TokenCache::default();
    loop {
        let ready = tokio::select! {
            () = shutdown.requested() => return,
            ready = socket.readable() => ready,
        };
        if let Err(error) = ready {
            warn!(%error, "UDP socket failed");
            return;
        }
        pile.collect(&socket);
        // What it asks for is done below in any case, or does not hold here (see the top).
        let _after = pile.take_frames(&intake, &mut cache, frame_bytes_max);
        // A socket that is never empty is always ready, which costs no budget of Tokio's: without
        // this a flood would keep the worker for itself.
        tokio::task::yield_now().await;
    }
}

/// Datagrams side by side in one buffer.
struct Pile {
    buffer: Vec<u8>,
    /// Where each ends; it begins where the one before ends.
    ends: Vec<usize>,
}

impl Pile {
    fn new() -> Self {
        Self {
            buffer: vec![0; PILE_BYTES],
            ends: Vec::with_capacity(PILE_DATAGRAMS_MAX),
        }
    }

    /// Takes the datagrams that wait, as many as fit.
    fn collect(&mut self, socket: &UdpSocket) {
        self.ends.clear();
        let mut filled = 0;
        while self.ends.len() < PILE_DATAGRAMS_MAX {
            let room = self.buffer.get_mut(filled..).unwrap_or_default();
            if room.len() < DATAGRAM_BYTES_MAX {
                return;
            }
            match socket.try_recv_from(room) {
                Ok((count, _peer)) => {
                    filled += count;
                    self.ends.push(filled);
                }
                // Nothing waits, or an ICMP error that says nothing about the next datagram: the
                // system has taken it off the socket, and `readable` says when to go on.
                Err(_) => return,
            }
        }
    }

    fn take_frames(
        &self,
        intake: &Intake,
        cache: &mut TokenCache,
        frame_bytes_max: usize,
    ) -> After {
        let read = intake.begin();
        let mut batch = Batch::new(intake, &read, cache);
        let mut begin = 0;
        for &end in &self.ends {
            let datagram = self.buffer.get(begin..end).unwrap_or_default();
            begin = end;
            let frame = without_end(datagram);
            if frame.is_empty() {
                batch.tally.empty += 1;
                continue;
            }
            let kept = frame.get(..frame_bytes_max).unwrap_or(frame);
            batch.take(kept, kept.len() < frame.len());
        }
        batch.tally.bytes = u64::try_from(begin).unwrap_or_default();
        batch.finish()
    }
}

/// The datagram without one LF, CRLF or NUL at its end, which some senders add.
fn without_end(datagram: &[u8]) -> &[u8] {
    match datagram {
        [start @ .., b'\r', b'\n'] | [start @ .., b'\n' | 0] => start,
        whole => whole,
    }
}

/// Bytes taken at once: some greatest datagrams, or many usual ones.
const PILE_BYTES: usize = 8 * DATAGRAM_BYTES_MAX;

/// Datagrams taken at once.
const PILE_DATAGRAMS_MAX: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_end_is_taken_off() {
        for (datagram, expected) in [
            (&b"a"[..], &b"a"[..]),
            (b"a\n", b"a"),
            (b"a\r\n", b"a"),
            (b"a\0", b"a"),
            (b"a\n\n", b"a\n"),
            (b"a\r", b"a\r"),
            (b"\n", b""),
            (b"", b""),
        ] {
            assert_eq!(without_end(datagram), expected);
        }
    }
}
