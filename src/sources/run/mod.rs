//! A process as a source: what it prints, what becomes of it and what it takes.
//!
//! ```text
//!   child ──stdout──▶ output ──lines──▶ ship ──▶ router
//!     ▲   ──stderr──▶ output ──lines──▶  ▲
//!     │                 └──bytes──▶ tee  │  notices, metrics (a second token: source heroku)
//!   signals, passed on          platform ┘
//! ```
//! The process does not notice any of it: what it prints is taken at once, whether it can be sent or
//! not (unless it is to wait); its signals and its exit status are as without. `process`, `cgroup`,
//! `load`, `notice` and the lines of `metrics` are pure or only read files.

mod cgroup;
mod child;
#[cfg(any(test, fuzzing))]
mod fuzz;
mod load;
mod metrics;
mod notice;
mod output;
mod platform;
mod process;
mod signals;

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use nix::sys::signal::Signal;
use tracing::warn;

use crate::id::Token;
use crate::shutdown::Shutdown;
use crate::sources::run::child::Child;
use crate::sources::run::notice::Notice;
use crate::sources::run::notice::State;
use crate::sources::run::output::Output;
use crate::sources::run::platform::Platform;
use crate::sources::run::signals::Received;
use crate::sources::run::signals::is_request_to_end;
use crate::sources::ship::Intake;
use crate::sources::ship::Reading;
use crate::syslog::message::Pri;

pub use child::Command;
pub use child::StartError;
#[cfg(any(test, fuzzing))]
pub use fuzz::fuzz_readings;
pub use output::Stream;
pub use output::Tee;
pub use signals::Signals;
pub use signals::Watch;

/// What is run, and what is told of it. Holds a secret: no `Debug`.
pub struct RunSettings {
    /// What is started.
    pub command: Command,
    /// How what it prints on stdout is read; the PROCID is everything's.
    pub reading: Reading,
    /// PRI of what it prints on stderr.
    pub stderr_pri: Pri,
    /// Where its output is passed through to.
    pub tee: Option<Tee>,
    /// With whose token the platform speaks; without one it says nothing.
    pub platform_token: Option<Token>,
    /// How often the platform's metrics are made; `None`: never.
    pub metrics_interval: Option<Duration>,
    /// How long its output is read after its end, for descendants that hold it.
    pub linger: Duration,
}

/// Why nothing was run, or its end is not known.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// Signals or children could not be waited for.
    #[error("the system refused signals or the process's end: {0}")]
    System(#[from] io::Error),
}

/// Runs the process to its end; gives its exit status as shells have it. Everything it and the
/// platform said is in the intake then. `has_ended` is called once nothing follows but what it left.
///
/// # Errors
/// When it did not start, or its end cannot be waited for.
pub async fn run(
    settings: RunSettings,
    signals: &mut Watch,
    intake: Intake,
    has_ended: impl FnOnce(),
) -> Result<u8, RunError> {
    let platform = Platform::new(&settings, intake.clone());
    platform.say(&Notice::Starting {
        command: &command_text(&settings),
    });
    let (child, pipes) = match Child::start(&settings.command) {
        Ok(started) => started,
        Err(error) => {
            let status = error.status();
            platform
                .say_end(status, State::Starting, settings.linger)
                .await;
            return Err(error.into());
        }
    };
    platform.say(&Notice::Changed {
        from: State::Starting,
        to: State::Up,
    });
    let tasks = Shutdown::new();
    platform.feed_metrics(settings.metrics_interval, &tasks);
    let outputs = Shutdown::new();
    let pipes: [(Stream, OwnedFd); 2] = [
        (Stream::Stdout, pipes.out.into()),
        (Stream::Stderr, pipes.err.into()),
    ];
    for (stream, pipe) in pipes {
        let output = output(stream, &settings, &intake);
        outputs.spawn(output.run(pipe, outputs.clone()));
    }
    let mut running = Running {
        child,
        signals,
        platform,
        state: State::Up,
    };
    let status = running.ended().await?;
    has_ended();
    tasks.request();
    running.output_ended(&outputs, settings.linger).await?;
    running
        .platform
        .say_end(status, running.state, settings.linger)
        .await;
    Ok(status)
}

fn command_text(settings: &RunSettings) -> String {
    let command = &settings.command;
    let words = std::iter::once(&command.program).chain(&command.arguments);
    let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    notice::command_text(words.iter().map(AsRef::as_ref))
}

fn output(stream: Stream, settings: &RunSettings, intake: &Intake) -> Output {
    let mut reading = settings.reading.clone();
    if stream == Stream::Stderr {
        reading.pri = settings.stderr_pri;
    }
    Output::new(stream, reading, intake.clone(), settings.tee.clone())
}

/// A process that was started, and whoever wants something of it.
struct Running<'s> {
    child: Child,
    signals: &'s mut Watch,
    platform: Platform,
    state: State,
}

impl Running<'_> {
    /// Passes signals on until the process has ended; gives its exit status.
    async fn ended(&mut self) -> io::Result<u8> {
        loop {
            // Before the first signal, too: it may have ended before anybody watched.
            if let Some(status) = self.child.reap()? {
                return Ok(status);
            }
            let received = self.signals.next().await?;
            self.heed(received);
        }
    }

    fn heed(&mut self, received: Received) {
        match received.signal {
            Signal::SIGCHLD => return,
            Signal::SIGTERM if self.state == State::Up => {
                let (from, to) = (State::Up, State::Down);
                self.state = to;
                self.platform.say(&Notice::Changed { from, to });
                self.platform.say(&Notice::Stopping { signal: "SIGTERM" });
            }
            _ => {}
        }
        self.child.pass_on(received);
        if received.signal == Signal::SIGTSTP {
            signals::stop();
        }
    }

    /// Waits until nobody holds the process's output, at most `linger`, or until a signal asks to
    /// end: then what is in it is taken, and descendants that go on writing find nobody.
    async fn output_ended(&mut self, outputs: &Shutdown, linger: Duration) -> io::Result<()> {
        let finished = outputs.finished(linger);
        tokio::pin!(finished);
        let is_done = loop {
            tokio::select! {
                biased;
                is_done = &mut finished => break is_done,
                received = self.signals.next() => match received?.signal {
                    Signal::SIGCHLD => drop(self.child.reap()?),
                    Signal::SIGTSTP => signals::stop(),
                    signal if is_request_to_end(signal) => break false,
                    _ => {}
                },
            }
        };
        if !is_done {
            warn!("the process has ended, but others hold its output: it is not read any longer");
            outputs.request();
            // They only take what is there; but a terminal that is stopped may hold them up.
            tokio::select! {
                _ = outputs.finished(Duration::MAX) => {}
                () = self.signals.end_asked() => {
                    warn!("the output could not be passed through and was not read to its end");
                }
            }
        }
        Ok(())
    }
}
