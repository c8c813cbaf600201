//! Syslog over TCP and TLS: one task for each connection, one buffer, one append per touched
//! channel and read.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tracing::debug;

use crate::clock;
use crate::id::Token;
use crate::ingest::gather::{After, Shortage};
use crate::ingest::intake::{Batch, Intake, TokenCache};
use crate::limits::{FRAME_BYTES_LIMIT, READ_BYTES_MAX};
use crate::net::listen::{Accepted, Listener};
use crate::net::tls::TlsServer;
use crate::route::RouteTable;
use crate::shutdown::Shutdown;
use crate::syslog::frame::{Cut, Framer};
use crate::telemetry::{Input, Telemetry};

/// How syslog connections are served.
#[derive(Clone)]
pub struct SyslogSettings {
    /// A frame is kept up to this many bytes; at most `FRAME_BYTES_LIMIT` counts.
    pub frame_bytes_max: usize,
    /// A connection that says nothing for this long is closed.
    pub idle_timeout: Duration,
    /// A frame that has begun must have ended this long after.
    pub frame_timeout: Duration,
    /// For a TLS handshake.
    pub handshake_timeout: Duration,
    /// The token that everything on the listener belongs to; `None`: each message has its own.
    pub token: Option<Token>,
}

impl Default for SyslogSettings {
    fn default() -> Self {
        Self {
            frame_bytes_max: crate::limits::FRAME_BYTES_DEFAULT,
            idle_timeout: Duration::from_secs(3_600),
            frame_timeout: Duration::from_secs(30),
            handshake_timeout: Duration::from_secs(10),
            token: None,
        }
    }
}

/// What the connections of one listener share.
struct Server {
    intake: Intake,
    settings: SyslogSettings,
    tls: Option<Arc<TlsServer>>,
    shutdown: Shutdown,
}

/// Takes syslog messages on `listener`, inside TLS when there is `tls`, until `shutdown`; then
/// what connections have already sent is read once more, but for those that wait for room, and they
/// are closed. One that its peer has closed is kept while its last messages wait for room.
pub async fn serve_syslog(
    mut listener: Listener,
    tls: Option<Arc<TlsServer>>,
    table: Arc<RouteTable>,
    settings: SyslogSettings,
    shutdown: Shutdown,
    telemetry: Telemetry,
) {
    let input = if tls.is_some() {
        Input::Tls
    } else {
        Input::Tcp
    };
    let server = Arc::new(Server {
        intake: Intake {
            table,
            telemetry,
            input,
            token: settings.token.clone(),
        },
        settings,
        tls,
        shutdown: shutdown.clone(),
    });
    loop {
        let accepted = tokio::select! {
            () = shutdown.requested() => return,
            accepted = listener.accept() => accepted,
        };
        let server = Arc::clone(&server);
        shutdown.spawn(async move { server.serve(accepted).await });
    }
}

/// Why a connection was ended from this side, or broke.
#[derive(Debug, thiserror::Error)]
enum ConnectionError {
    #[error("silent for too long")]
    Idle,
    #[error("a frame was begun and not ended in time")]
    HalfFrame,
    #[error("{0}")]
    Broken(#[from] io::Error),
}

impl Server {
    async fn serve(&self, accepted: Accepted) {
        let Accepted {
            stream,
            peer,
            slot: _slot,
        } = accepted;
        match &self.tls {
            None => self.read_to_end(stream, peer).await,
            // Boxed: a plain connection does not pay for the state of TLS.
            Some(tls) => Box::pin(self.serve_tls(tls, stream, peer)).await,
        }
    }

    async fn serve_tls(&self, tls: &TlsServer, stream: TcpStream, peer: SocketAddr) {
        let handshake = tls.accept(stream, self.settings.handshake_timeout);
        let shaken = tokio::select! {
            () = self.shutdown.requested() => return,
            shaken = handshake => shaken,
        };
        match shaken {
            Ok(stream) => self.read_to_end(stream, peer).await,
            Err(error) => debug!(%peer, %error, "syslog connection refused"),
        }
    }

    async fn read_to_end<S: AsyncRead + Unpin>(&self, stream: S, peer: SocketAddr) {
        let mut connection = Connection::new(&self.settings);
        if let Err(error) = connection.run(stream, &self.intake, &self.shutdown).await {
            debug!(%peer, %error, "syslog connection ended");
        }
    }
}

/// One connection: bytes that are not yet frames, and where the framer stands.
struct Connection {
    framer: Framer,
    cache: TokenCache,
    /// The first `filled` bytes are a frame that has not ended yet; the rest is room to read.
    buffer: Vec<u8>,
    filled: usize,
    /// Since when `buffer` begins with half a frame.
    half_since: Option<Instant>,
    last_read: Instant,
    /// Read since readers were last let run.
    unyielded_bytes: usize,
    idle_timeout: Duration,
    frame_timeout: Duration,
}

impl Connection {
    fn new(settings: &SyslogSettings) -> Self {
        Self {
            framer: Framer::new(settings.frame_bytes_max.min(FRAME_BYTES_LIMIT)),
            cache: TokenCache::default(),
            buffer: vec![0; READ_BYTES_MIN],
            filled: 0,
            half_since: None,
            last_read: clock::now(),
            unyielded_bytes: 0,
            idle_timeout: settings.idle_timeout,
            frame_timeout: settings.frame_timeout,
        }
    }

    async fn run<S: AsyncRead + Unpin>(
        &mut self,
        mut stream: S,
        intake: &Intake,
        shutdown: &Shutdown,
    ) -> Result<(), ConnectionError> {
        loop {
            let result = tokio::select! {
                biased;
                // Cancel safe: nothing is taken from the stream until it returns.
                result = self.fill(&mut stream) => result,
                () = shutdown.requested() => {
                    self.take_frames(intake, 0, Ending::Stopped);
                    return Ok(());
                }
            };
            let (count, ending) = match &result {
                Ok(0) | Err(_) => (0, Ending::Ended),
                Ok(count) => (*count, Ending::Open),
            };
            self.take_all_frames(intake, count, ending, shutdown).await;
            if shutdown.is_requested() {
                self.take_frames(intake, 0, Ending::Stopped);
                return Ok(());
            }
            if ending == Ending::Ended {
                return result.map(|_| ());
            }
        }
    }

    /// Takes every frame that is whole, as far as channels that wait have room; waits until they
    /// have, or `shutdown`.
    async fn take_all_frames(
        &mut self,
        intake: &Intake,
        mut count: usize,
        ending: Ending,
        shutdown: &Shutdown,
    ) {
        loop {
            let after = self.take_frames(intake, count, ending);
            let yields = self.yields(count, after.behind);
            count = 0;
            let is_held_up = after.short.is_some() || !after.pressed.is_empty();
            let is_done = after.short.is_none();
            rest(after, yields, shutdown).await;
            if is_held_up {
                self.forgive_pause(clock::now());
            }
            if is_done || shutdown.is_requested() {
                return;
            }
        }
    }

    /// Whether to let others run after a read of `count` bytes, when a drain is so many bytes
    /// `behind`: once it has a batch worth a write and a wake-up of its destination, or everybody
    /// has waited long enough. After a small read the connection mostly waits by itself; where it does
    /// not (TLS gives little at once), Tokio's own budget for each task lets others run.
    fn yields(&mut self, count: usize, behind: u64) -> bool {
        self.unyielded_bytes += count;
        let is_busy = BUSY_READ_BYTES <= count;
        let is_turn = TURN_BYTES <= behind || TURN_BYTES_MAX <= self.unyielded_bytes;
        if is_turn || !is_busy {
            self.unyielded_bytes = 0;
        }
        is_turn && is_busy
    }

    /// Reads once into the buffer's room; 0 at the end. While nothing comes, a great buffer is
    /// given back. Cancel safe.
    async fn fill<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
    ) -> Result<usize, ConnectionError> {
        let idle_end = self.last_read + self.idle_timeout;
        let half_end = self.half_since.map(|since| since + self.frame_timeout);
        let end = half_end.map_or(idle_end, |half_end| half_end.min(idle_end));
        let shrink_at = self.last_read + SHRINK_AFTER;
        if READ_BYTES_MIN < self.buffer.len() && self.filled < READ_BYTES_MIN && shrink_at < end {
            let room = self.buffer.get_mut(self.filled..).unwrap_or_default();
            if let Ok(read) = tokio::time::timeout_at(shrink_at, stream.read(room)).await {
                return Ok(read?);
            }
            self.buffer.truncate(READ_BYTES_MIN);
            self.buffer.shrink_to_fit();
            self.cache.shrink();
        }
        let room = self.buffer.get_mut(self.filled..).unwrap_or_default();
        match tokio::time::timeout_at(end, stream.read(room)).await {
            Ok(read) => Ok(read?),
            Err(_elapsed) if half_end == Some(end) => Err(ConnectionError::HalfFrame),
            Err(_elapsed) => Err(ConnectionError::Idle),
        }
    }

    /// Takes every frame that is whole, `count` bytes having been read just now.
    fn take_frames(&mut self, intake: &Intake, count: usize, ending: Ending) -> After {
        let read = intake.begin();
        let is_full = self.filled + count == self.buffer.len();
        let bytes = self.buffer.get(..self.filled + count).unwrap_or_default();
        let mut batch = Batch::new(intake, &read, &mut self.cache);
        batch.tally.bytes = u64::try_from(count).unwrap_or_default();
        let Cuts {
            used,
            has_cut,
            short,
        } = cut_all(&mut self.framer, bytes, ending, &mut batch);
        // A full buffer that holds no frame cannot be: it is greater than any frame. If it were,
        // the connection would hang; so its bytes are thrown away and counted.
        let is_stuck =
            used == 0 && is_full && short.is_none() && READ_BYTES_MAX <= self.buffer.len();
        if is_stuck {
            batch.tally.malformed += 1;
        }
        let after = After {
            short,
            ..batch.finish()
        };
        let used = if is_stuck { bytes.len() } else { used };
        let left = bytes.len().saturating_sub(used);
        self.buffer.copy_within(used..used + left, 0);
        self.filled = left;
        self.note_time(read.now(), has_cut);
        if is_full && self.buffer.len() < READ_BYTES_MAX {
            let bytes_wanted = (self.buffer.len() * 4).min(READ_BYTES_MAX);
            self.buffer.resize(bytes_wanted, 0);
        }
        after
    }

    /// Deadlines begin anew at `now`: the sender could not go on before.
    fn forgive_pause(&mut self, now: Instant) {
        self.last_read = now;
        self.half_since = self.half_since.map(|_| now);
    }

    /// The deadline of half a frame counts from when it began, not from its last byte.
    fn note_time(&mut self, now: Instant, has_cut: bool) {
        self.last_read = now;
        self.half_since = match self.half_since {
            _ if self.filled == 0 => None,
            Some(since) if !has_cut => Some(since),
            _ => Some(now),
        };
    }
}

/// Whether more bytes may come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Ending {
    /// They may.
    Open,
    /// The source has ended.
    Ended,
    /// The router ends: nothing can be waited for any more.
    Stopped,
}

/// What cutting came to.
struct Cuts {
    /// Bytes that are done with.
    used: usize,
    /// Whether a frame was among them.
    has_cut: bool,
    /// What the frames behind them have to wait for.
    short: Option<Shortage>,
}

/// Cuts, takes and delivers all frames of `bytes`, up to those that a channel has no room for.
fn cut_all<'r>(
    framer: &mut Framer,
    bytes: &'r [u8],
    ending: Ending,
    batch: &mut Batch<'r>,
) -> Cuts {
    let mut left = bytes;
    let mut has_cut = false;
    loop {
        let before = (framer.clone(), left, batch.tally);
        let is_end = cut_some(framer, &mut left, ending, batch, &mut has_cut);
        let delivered = match ending {
            Ending::Open | Ending::Ended => batch.deliver_if_room(),
            Ending::Stopped => {
                batch.deliver();
                Ok(())
            }
        };
        let short = delivered
            .err()
            .inspect(|_| (*framer, left, batch.tally) = before);
        if is_end || short.is_some() {
            let used = bytes.len() - left.len();
            return Cuts {
                used,
                has_cut,
                short,
            };
        }
    }
}

/// Cuts frames off `left` until the batch is full; true when no more can be cut.
fn cut_some<'r>(
    framer: &mut Framer,
    left: &mut &'r [u8],
    ending: Ending,
    batch: &mut Batch<'r>,
    has_cut: &mut bool,
) -> bool {
    while !left.is_empty() {
        let cut = match ending {
            Ending::Open => framer.cut(left),
            Ending::Ended | Ending::Stopped => framer.cut_at_end(left),
        };
        let used = match cut {
            Cut::Frame {
                frame,
                used,
                is_truncated,
            } => {
                *has_cut = true;
                batch.take(frame, is_truncated);
                used
            }
            Cut::Malformed { used } => {
                *has_cut = true;
                batch.tally.malformed += 1;
                used
            }
            Cut::Skip { used } => used,
            Cut::Incomplete => return true,
        };
        if used == 0 {
            return true;
        }
        *left = left.get(used..).unwrap_or_default();
        if batch.is_full() {
            return false;
        }
    }
    true
}

/// Lets readers that are behind run when the connection is busy (else the next read waits anyway),
/// and waits for the channels that ask for it: the sender is slowed down by TCP's flow control
/// meanwhile.
async fn rest(after: After, yields: bool, shutdown: &Shutdown) {
    if yields {
        tokio::task::yield_now().await;
    }
    if let Some(short) = after.short {
        unless_stopped(short.channel.room_for(short.bytes), shutdown).await;
    }
    for channel in after.pressed {
        unless_stopped(channel.room(), shutdown).await;
    }
}

async fn unless_stopped(wait: impl Future<Output = ()>, shutdown: &Shutdown) {
    tokio::select! {
        () = wait => {}
        () = shutdown.requested() => {}
    }
}

/// Buffer of a connection that says little: a few messages.
const READ_BYTES_MIN: usize = 2 * 1024;

/// A read of so much is probably not the last one at once.
const BUSY_READ_BYTES: usize = 8 * 1024;

/// A reader that is so far behind has something to do: a drain's greatest batch by default, and
/// some. With a fourth of it, ten channels on one connection cost a half more (benches/RESULTS.md).
const TURN_BYTES: u64 = 128 * 1024;

/// What a connection reads at most before it lets others run: tails, which are not asked how far
/// they are, and other connections.
const TURN_BYTES_MAX: usize = 1024 * 1024;

/// How long a connection is silent before its buffer is made small again.
const SHRINK_AFTER: Duration = Duration::from_secs(2);

// A whole frame with its count fits the buffer beside half of the next read.
const _: () = assert!(2 * FRAME_BYTES_LIMIT <= READ_BYTES_MAX);
const _: () = assert!(FRAME_BYTES_LIMIT + 64 < READ_BYTES_MAX);

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;
    use crate::channel::{Budget, ChannelFlags, Node, Progress, WhenFull};
    use crate::id::Source;
    use crate::route::Route;

    const TOKEN: &str = "t.1";

    /// A channel of 512 KiB that waits 30 s for its one drain, which never moves.
    fn intake() -> (Arc<crate::channel::Channel>, Intake) {
        let telemetry = Telemetry::new().unwrap();
        let budget = Budget {
            channel_bytes_max: 512 * 1024,
            node_bytes_max: 1 << 30,
            history_age_max: Duration::from_secs(60),
            wait_max: Duration::from_secs(30),
        };
        let node = Node::new(budget, telemetry.clone());
        let channel = node.open(&1.into(), ChannelFlags::default(), WhenFull::Wait);
        let progress = Arc::new(Progress::default());
        progress.confirm(&channel, &channel.cursor_at_end());
        channel.add_progress(progress);
        let table = RouteTable::new();
        let route = Route {
            channel: Arc::clone(&channel),
            source: Source::new("app").unwrap(),
        };
        table.insert(&Token::new(TOKEN).unwrap(), route);
        let intake = Intake {
            table: Arc::new(table),
            telemetry,
            input: Input::Tcp,
            token: None,
        };
        (channel, intake)
    }

    /// Connections are many and mostly idle.
    #[test]
    fn a_connection_at_rest_is_small() {
        let (_channel, intake) = intake();
        let mut connection = Connection::new(&SyslogSettings::default());
        let (_sender, stream) = tokio::io::duplex(1);
        let shutdown = Shutdown::new();
        let task_bytes = size_of_val(&connection.run(stream, &intake, &shutdown));
        assert!(task_bytes <= 1_280, "{task_bytes} bytes");
    }

    #[test]
    fn others_run_once_a_drain_has_enough_to_do() {
        let mut connection = Connection::new(&SyslogSettings::default());
        let mut yields = |count, behind| connection.yields(count, behind);
        assert!(!yields(BUSY_READ_BYTES - 1, TURN_BYTES), "waits by itself");
        assert!(yields(BUSY_READ_BYTES, TURN_BYTES));
        assert!(!yields(READ_BYTES_MAX, 0));
        assert!(!yields(READ_BYTES_MAX, TURN_BYTES - 1));
        assert!(!yields(READ_BYTES_MAX, 1));
        assert!(yields(READ_BYTES_MAX, 0), "a MiB since the last time");
        assert!(!yields(READ_BYTES_MAX, 1), "counts anew");
    }

    /// What we made the sender wait for does not count against it.
    #[tokio::test(start_paused = true)]
    async fn back_pressure_uses_up_no_deadline() {
        let (channel, intake) = intake();
        let settings = SyslogSettings {
            idle_timeout: Duration::from_secs(10),
            frame_timeout: Duration::from_secs(10),
            ..SyslogSettings::default()
        };
        let (mut sender, stream) = tokio::io::duplex(1 << 20);
        let frame = format!("<134>1 - host {TOKEN} web.1 - - {}\n", "x".repeat(60_000));
        let send = async move {
            let (begin, end) = frame.split_at(100);
            sender.write_all(frame.repeat(5).as_bytes()).await.unwrap();
            sender.write_all(begin.as_bytes()).await.unwrap();
            tokio::time::sleep(Duration::from_secs(35)).await;
            sender.write_all(end.as_bytes()).await.unwrap();
        };
        let mut connection = Connection::new(&settings);
        let shutdown = Shutdown::new();
        let (ended, ()) = tokio::join!(connection.run(stream, &intake, &shutdown), send);
        ended.unwrap();
        assert_eq!(channel.end_seq().value(), 6);
    }
}
