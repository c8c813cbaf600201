//! Lines out of whatever can be read: stdin, a process's output, a connection.

use std::io;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::clock;
use crate::limits::SHIP_READ_BYTES_MAX;
use crate::sources::ship::cut::{Cutter, Piece};
use crate::sources::ship::line::Line;
use crate::sources::ship::queue::Intake;
use crate::sources::ship::split::Splitter;
use crate::syslog::message::Pri;

/// What a full queue means for who produces lines.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum WhenFull {
    /// Lines are dropped and counted; nobody waits.
    Drop,
    /// It has to wait.
    Block,
}

/// How lines are read.
#[derive(Clone)]
pub struct Reading {
    /// PRI of the lines.
    pub pri: Pri,
    /// PROCID of the lines.
    pub procid: Arc<str>,
    /// What happens when the queue is full.
    pub when_full: WhenFull,
    /// Where long lines are cut.
    pub splitter: Splitter,
}

/// Reads lines until `source` ends and puts them into `intake`.
///
/// # Errors
/// `io::Error` of the source; what was read before is in the intake.
pub async fn read_lines(
    mut source: impl AsyncRead + Unpin,
    reading: &Reading,
    intake: &Intake,
) -> io::Result<()> {
    let mut cutter = Cutter::new(reading.splitter);
    let mut buffer = vec![0; SHIP_READ_BYTES_MAX];
    loop {
        let count = source.read(&mut buffer).await?;
        cutter.feed(buffer.get(..count).unwrap_or_default());
        while let Some(piece) = cutter.next() {
            give(piece, reading, intake).await;
        }
        if count == 0 {
            break;
        }
    }
    if let Some(piece) = cutter.end() {
        give(piece, reading, intake).await;
    }
    Ok(())
}

async fn give(piece: Piece, reading: &Reading, intake: &Intake) {
    let line = Line {
        pri: reading.pri,
        time: clock::wall(),
        procid: Arc::clone(&reading.procid),
        token: None,
        text: piece.text,
    };
    match reading.when_full {
        WhenFull::Drop => intake.offer(line),
        WhenFull::Block => intake.push(line).await,
    }
}
