//! What the process prints: read from its pipes, passed through if asked, cut into lines, shipped.

use std::fs::File;
use std::io;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use tokio::net::unix::pipe::Receiver;
use tracing::warn;

use crate::limits::RUN_LEFT_BYTES_MAX;
use crate::limits::SHIP_READ_BYTES_MAX;
use crate::shutdown::Shutdown;
use crate::sources::ship::Fed;
use crate::sources::ship::Intake;
use crate::sources::ship::Lines;
use crate::sources::ship::Reading;
use crate::sources::ship::WhenFull;
use crate::sources::ship::now;
use crate::sources::ship::until;

/// Which of the two a process writes to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Stream {
    /// Descriptor 1.
    Stdout,
    /// Descriptor 2.
    Stderr,
}

/// Where bytes are passed through to, as they came; may block.
pub type Tee = Arc<dyn Fn(Stream, &[u8]) -> io::Result<()> + Send + Sync>;

/// One pipe of the process.
pub(crate) struct Output {
    stream: Stream,
    lines: Lines,
    when_full: WhenFull,
    intake: Intake,
    tee: Option<Tee>,
}

impl Output {
    pub(crate) fn new(stream: Stream, reading: Reading, intake: Intake, tee: Option<Tee>) -> Self {
        Self {
            stream,
            when_full: reading.when_full,
            lines: Lines::new(reading, 0),
            intake,
            tee,
        }
    }

    /// Reads `pipe` until nobody can write to it any more. Once `leave` asks, only what is in it
    /// then, and waits for nothing.
    pub(crate) async fn run(mut self, pipe: OwnedFd, leave: Shutdown) {
        // A pipe of our own that cannot be read is as good as closed.
        if let Ok(pipe) = Receiver::from_owned_fd(pipe)
            && let Ok(Some(left)) = self.read(pipe, &leave).await
        {
            self.drain(left, &leave).await;
        }
        let fed = self.lines.end(now());
        self.ship(fed, &leave).await;
    }

    /// Reads to the end; gives the pipe back when it was asked to leave before.
    async fn read(&mut self, pipe: Receiver, leave: &Shutdown) -> io::Result<Option<File>> {
        let mut buffer = vec![0; SHIP_READ_BYTES_MAX];
        loop {
            tokio::select! {
                biased;
                () = leave.requested() => {
                    return Ok(Some(File::from(pipe.into_nonblocking_fd()?)));
                }
                () = until(self.lines.due()) => {
                    let fed = self.lines.take_due();
                    self.ship(fed, leave).await;
                    continue;
                }
                ready = pipe.readable() => ready?,
            }
            match pipe.try_read(&mut buffer) {
                Ok(0) => return Ok(None),
                Ok(count) => {
                    self.take(buffer.get(..count).unwrap_or_default(), leave)
                        .await
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
            // A process that floods leaves the shipper its turn.
            tokio::task::yield_now().await;
        }
    }

    /// Takes what is in the pipe.
    async fn drain(&mut self, mut pipe: File, leave: &Shutdown) {
        let mut buffer = vec![0; SHIP_READ_BYTES_MAX];
        let mut left_bytes = RUN_LEFT_BYTES_MAX;
        while 0 < left_bytes {
            // Nothing there is `WouldBlock`.
            let Ok(count @ 1..) = pipe.read(&mut buffer) else {
                return;
            };
            left_bytes = left_bytes.saturating_sub(count);
            self.take(buffer.get(..count).unwrap_or_default(), leave)
                .await;
        }
    }

    async fn take(&mut self, bytes: &[u8], leave: &Shutdown) {
        self.pass(bytes).await;
        let fed = self.lines.feed(bytes, now());
        self.ship(fed, leave).await;
    }

    async fn ship(&self, fed: Fed, leave: &Shutdown) {
        let when_full = match leave.is_requested() {
            true => WhenFull::Drop,
            false => self.when_full,
        };
        tokio::select! {
            biased;
            () = fed.give(|_| None, when_full, &self.intake) => {}
            // What found no room is counted.
            () = leave.requested(), if when_full == WhenFull::Block => {}
        }
    }

    /// Passes `bytes` through. When nobody reads there any more, that ends; shipping goes on.
    async fn pass(&mut self, bytes: &[u8]) {
        let Some(tee) = &self.tee else {
            return;
        };
        let (tee, stream, bytes) = (Arc::clone(tee), self.stream, bytes.to_vec());
        let passed = tokio::task::spawn_blocking(move || tee(stream, &bytes)).await;
        if let Ok(Err(error)) = passed {
            warn!(stream = ?self.stream, %error, "output is not passed through any more");
            self.tee = None;
        }
    }
}
