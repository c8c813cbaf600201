//! Stdout and stderr of the commands: the one place that writes to them.

use std::fmt;
use std::io;
use std::io::IsTerminal;
use std::io::Write;
use std::process::ChildStdin;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use crate::cli::error::CliError;
use crate::clock;
use crate::config::Environment;

/// Where a command's output goes: stdout, or a buffer in tests. Clones name the same place.
#[derive(Clone)]
pub struct Out {
    sink: Sink,
}

#[derive(Clone)]
enum Sink {
    Stdout,
    Buffer(Arc<Mutex<Vec<u8>>>),
    /// A pager's stdin, until it is closed.
    Pipe(Arc<Mutex<Option<ChildStdin>>>),
}

impl Out {
    /// The process's stdout.
    #[must_use]
    pub const fn stdout() -> Self {
        Self { sink: Sink::Stdout }
    }

    /// Keeps what is written, for `buffered`.
    #[must_use]
    pub fn buffer() -> Self {
        Self {
            sink: Sink::Buffer(Arc::default()),
        }
    }

    /// What another program reads.
    pub(crate) fn pipe(stdin: Option<ChildStdin>) -> Self {
        Self {
            sink: Sink::Pipe(Arc::new(Mutex::new(stdin))),
        }
    }

    /// Ends what another program reads.
    pub(crate) fn close(&self) {
        if let Sink::Pipe(stdin) = &self.sink {
            drop(stdin.lock().unwrap_or_else(PoisonError::into_inner).take());
        }
    }

    /// What was written so far to a buffer; empty for stdout.
    #[must_use]
    pub fn buffered(&self) -> String {
        match &self.sink {
            Sink::Stdout | Sink::Pipe(_) => String::new(),
            Sink::Buffer(bytes) => {
                let bytes = bytes.lock().unwrap_or_else(PoisonError::into_inner);
                String::from_utf8_lossy(&bytes).into_owned()
            }
        }
    }

    /// Whether people look at it.
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        match self.sink {
            Sink::Stdout => io::stdout().is_terminal(),
            Sink::Buffer(_) | Sink::Pipe(_) => false,
        }
    }

    /// Columns and rows of the terminal; those of old when nobody knows.
    #[must_use]
    pub(crate) fn size(&self) -> (usize, usize) {
        let size = self
            .is_terminal()
            .then(terminal_size::terminal_size)
            .flatten();
        size.map_or((80, 24), |(width, height)| {
            (usize::from(width.0), usize::from(height.0))
        })
    }

    /// Whether colours are wanted there.
    #[must_use]
    pub fn takes_colour(&self, environment: &Environment) -> bool {
        self.is_terminal() && !environment.refuses_colour()
    }

    /// Writes `text` and flushes, so that it is there before the command waits.
    pub(crate) fn write(&self, text: &str) -> Result<(), CliError> {
        self.write_bytes(text.as_bytes())
    }

    /// Writes `bytes` and flushes.
    pub(crate) fn write_bytes(&self, bytes: &[u8]) -> Result<(), CliError> {
        let written = match &self.sink {
            Sink::Stdout => {
                if IS_PROGRESS_SHOWN.load(Ordering::Relaxed) && self.is_terminal() {
                    end_progress();
                }
                let mut stdout = io::stdout().lock();
                stdout.write_all(bytes).and_then(|()| stdout.flush())
            }
            Sink::Pipe(stdin) => match &mut *stdin.lock().unwrap_or_else(PoisonError::into_inner) {
                Some(stdin) => stdin.write_all(bytes),
                None => Err(io::ErrorKind::BrokenPipe.into()),
            },
            Sink::Buffer(buffer) => buffer
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .write_all(bytes),
        };
        written.map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => CliError::OutputClosed,
            _ => CliError::Output(error),
        })
    }

    /// Writes `text` and a line end.
    pub(crate) fn line(&self, text: &str) -> Result<(), CliError> {
        self.write(&format!("{text}\n"))
    }

    /// Writes `value` as one line of JSON.
    pub(crate) fn json(&self, value: &Value) -> Result<(), CliError> {
        self.line(&value.to_string())
    }
}

/// Says on stderr what went wrong: as text, or as one line of JSON.
pub(crate) fn complain(error: &CliError, is_json: bool) {
    if is_json {
        let value = serde_json::json!({"error": error.to_string(), "code": error.code()});
        note(&value);
    } else {
        note(&format_args!("logboom: {error}"));
    }
}

/// Says on stderr what went wrong with one channel of several.
pub(crate) fn complain_of(channel: &str, error: &CliError, is_json: bool) {
    if is_json {
        let value = serde_json::json!({
            "channel": channel, "error": error.to_string(), "code": error.code(),
        });
        note(&value);
    } else {
        note(&format_args!("logboom: {channel}: {error}"));
    }
}

/// Says on stderr what is wrong with a command line, in clap's words.
pub(crate) fn complain_usage(text: &str) {
    // Nothing is left to tell when stderr is gone.
    if io::stderr().lock().write_all(text.as_bytes()).is_err() { /* see above */ }
}

/// Writes a line on stderr.
pub(crate) fn note(text: &dyn fmt::Display) {
    end_progress();
    // Nothing is left to tell when stderr is gone.
    if writeln!(io::stderr().lock(), "{text}").is_err() { /* see above */ }
}

/// What is said on stderr while something takes long: only where people look at it, only after a
/// moment, in one line that is gone when something else is said.
pub(crate) struct Progress {
    begun: Instant,
    is_wanted: bool,
}

impl Progress {
    /// Says nothing before a moment has passed, and never unless it `is_wanted`.
    pub(crate) fn new(is_wanted: bool) -> Self {
        Self {
            begun: clock::now(),
            is_wanted: is_wanted && io::stderr().is_terminal(),
        }
    }

    /// Says `text` instead of what was said before. Not to people who see on the same terminal what
    /// comes.
    pub(crate) fn tell(&mut self, text: &str) {
        if !self.is_wanted || self.begun.elapsed() < PROGRESS_AFTER {
            return;
        }
        IS_PROGRESS_SHOWN.store(true, Ordering::Relaxed);
        let mut stderr = io::stderr().lock();
        // Nothing is left to tell when stderr is gone.
        if write!(stderr, "{LINE_EMPTY}logboom: {text}")
            .and_then(|()| stderr.flush())
            .is_err()
        { /* see above */ }
    }

    /// Says no more.
    pub(crate) fn end(&mut self) {
        self.is_wanted = false;
        end_progress();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.end();
    }
}

/// Takes away what was said of progress.
fn end_progress() {
    if !IS_PROGRESS_SHOWN.swap(false, Ordering::Relaxed) {
        return;
    }
    let mut stderr = io::stderr().lock();
    // Nothing is left to tell when stderr is gone.
    if write!(stderr, "{LINE_EMPTY}")
        .and_then(|()| stderr.flush())
        .is_err()
    { /* see above */ }
}

/// Whether stderr's last line is one of progress. Of the process, as stderr is.
static IS_PROGRESS_SHOWN: AtomicBool = AtomicBool::new(false);

/// Back to the line's beginning, and nothing on it.
const LINE_EMPTY: &str = "\r\x1b[2K";

/// What is done sooner need not be told.
const PROGRESS_AFTER: Duration = Duration::from_millis(500);
