//! Lines out of whatever can be read: stdin, a process's output, a connection.

use std::io;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::time::{Instant, sleep_until};

use crate::clock;
use crate::limits::{SHIP_LAST_READ_WAIT, SHIP_LAST_READS_MAX, SHIP_READ_BYTES_MAX};
use crate::shutdown::Shutdown;
use crate::sources::ship::join::Join;
use crate::sources::ship::lines::{Lines, Now};
use crate::sources::ship::queue::Intake;
use crate::syslog::message::Pri;
use crate::syslog::split::Splitter;

/// What a full queue means for who produces lines.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum WhenFull {
    /// Lines are dropped and counted; nobody waits.
    Drop,
    /// It has to wait.
    Block,
}

/// What is read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Format {
    /// Lines of text: each is a message.
    Raw,
    /// Lines, each a whole message of RFC 5424.
    Rfc5424,
    /// Messages of RFC 5424, each behind its length.
    LengthPrefixed,
    /// What programs send to a local syslog.
    Syslog,
}

/// How lines are read.
#[derive(Clone)]
pub struct Reading {
    /// PRI of the lines, where the format has none.
    pub pri: Pri,
    /// PROCID of the lines; of `Syslog`, when it is not empty.
    pub procid: Arc<str>,
    /// What happens when the queue is full.
    pub when_full: WhenFull,
    /// Where long lines are cut.
    pub splitter: Splitter,
    /// What is read.
    pub format: Format,
    /// Which lines are one message; of `Raw` only.
    pub join: Option<Join>,
}

/// Reads lines until `source` ends and puts them into `intake`.
///
/// # Errors
/// `io::Error` of the source; what was read before is in the intake.
pub async fn read_lines(
    source: impl AsyncRead + Unpin,
    reading: &Reading,
    intake: &Intake,
) -> io::Result<()> {
    read_lines_until(&Shutdown::new(), source, reading, intake).await
}

/// As `read_lines`, until `stop` is asked for; then what is there already is still read.
///
/// # Errors
/// `io::Error` of the source; what was read before is in the intake.
pub async fn read_lines_until(
    stop: &Shutdown,
    mut source: impl AsyncRead + Unpin,
    reading: &Reading,
    intake: &Intake,
) -> io::Result<()> {
    let mut lines = Lines::new(reading.clone(), 0);
    let mut buffer = vec![0; SHIP_READ_BYTES_MAX];
    let mut ends_at: Option<Instant> = None;
    let ended = loop {
        let patience = ends_at.map(|ends_at| ends_at.min(clock::now() + SHIP_LAST_READ_WAIT));
        let read = tokio::select! {
            read = source.read(&mut buffer) => read,
            () = until(patience) => break Ok(()),
            () = stop.requested(), if ends_at.is_none() => {
                ends_at = Some(clock::now() + SHIP_LAST_READS_MAX);
                continue;
            }
            () = until(lines.due()) => {
                lines.take_due().give(|_| None, reading.when_full, intake).await;
                continue;
            }
        };
        match read {
            Ok(0) => break Ok(()),
            Ok(count) => {
                let fed = lines.feed(buffer.get(..count).unwrap_or_default(), now());
                fed.give(|_| None, reading.when_full, intake).await;
            }
            Err(error) => break Err(error),
        }
    };
    let rest = lines.end(now());
    rest.give(|_| None, reading.when_full, intake).await;
    ended
}

/// Now, for people and for waiting.
pub(crate) fn now() -> Now {
    Now {
        wall: clock::wall(),
        instant: clock::now(),
    }
}

/// Waits for a moment, or for ever when there is none. Cancel safe.
pub(crate) async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}
