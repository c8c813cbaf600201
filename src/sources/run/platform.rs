//! The platform's voice: sentences about the process and its metrics, under a token of their own.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::MissedTickBehavior;
use tokio::time::interval_at;
use tokio::time::timeout_at;
use uuid::Uuid;

use crate::clock;
use crate::id::Token;
use crate::limits::LOAD_SAMPLE_INTERVAL;
use crate::shutdown::Shutdown;
use crate::sources::run::RunSettings;
use crate::sources::run::load::Load;
use crate::sources::run::metrics::Memory;
use crate::sources::run::metrics::Subject;
use crate::sources::run::notice::Notice;
use crate::sources::run::notice::PLATFORM_PRI;
use crate::sources::run::notice::State;
use crate::sources::run::process::Pid;
use crate::sources::run::process::Processes;
use crate::sources::ship::Intake;
use crate::sources::ship::Line;
use crate::syslog::message::Pri;

/// Speaks when it has a token.
#[derive(Clone)]
pub(crate) struct Platform {
    voice: Option<Voice>,
}

#[derive(Clone)]
struct Voice {
    token: Token,
    procid: Arc<str>,
    intake: Intake,
}

impl Platform {
    pub(crate) fn new(settings: &RunSettings, intake: Intake) -> Self {
        let voice = settings.platform_token.clone().map(|token| Voice {
            token,
            procid: Arc::clone(&settings.reading.procid),
            intake,
        });
        Self { voice }
    }

    /// Says it if there is room.
    pub(crate) fn say(&self, notice: &Notice<'_>) {
        if let Some(voice) = &self.voice {
            voice.offer(notice.to_string());
        }
    }

    /// The last words about a process that was in state `from` and has ended. They wait for room, at
    /// most `patience`: nobody is held up by it any more.
    pub(crate) async fn say_end(&self, status: u8, from: State, patience: Duration) {
        let to = match status {
            0 => State::Complete,
            _ => State::Crashed,
        };
        let mut last = vec![Notice::Exited { status }];
        // What was told to end is down, whatever its status.
        if from != State::Down {
            last.push(Notice::Changed { from, to });
        }
        let deadline = clock::now() + patience;
        for notice in &last {
            let Some(voice) = &self.voice else {
                return;
            };
            let pushed = voice.intake.push(voice.line(notice.to_string()));
            if timeout_at(deadline, pushed).await.is_err() { /* it is counted */ }
        }
    }

    /// Samples the load and writes metrics every `interval` until `tasks` are to end.
    pub(crate) fn feed_metrics(&self, interval: Option<Duration>, tasks: &Shutdown) {
        let (Some(voice), Some(interval)) = (self.voice.clone(), interval) else {
            return;
        };
        let asked = tasks.clone();
        tasks.spawn(async move {
            tokio::select! {
                () = asked.requested() => {}
                () = voice.feed(interval) => {}
            }
        });
    }
}

impl Voice {
    fn line(&self, text: String) -> Line {
        Line {
            pri: Pri::or_default(PLATFORM_PRI),
            time: clock::wall(),
            procid: Arc::clone(&self.procid),
            token: Some(self.token.clone()),
            text: Bytes::from(text),
        }
    }

    fn offer(&self, text: String) {
        self.intake.offer(self.line(text));
    }

    /// Never ends. Between two metrics the load is sampled as often as the kernel samples its own.
    async fn feed(self, interval: Duration) {
        let me = std::process::id();
        let subject = Subject::new(&self.procid, &dyno());
        let mut load = Load::default();
        let mut sampled_at = clock::now();
        let every = |period: Duration| {
            let mut ticks = interval_at(sampled_at + period, period);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks
        };
        let mut samples = every(LOAD_SAMPLE_INTERVAL.min(interval));
        let mut lines = every(interval);
        loop {
            tokio::select! {
                biased;
                _ = samples.tick() => {
                    let count = on_thread(move || runnable_count(me)).await;
                    let now = clock::now();
                    load.sample(count, now - sampled_at);
                    sampled_at = now;
                }
                _ = lines.tick() => {
                    self.offer(subject.load_line(&load));
                    let memory =
                        on_thread(move || Memory::of_descendants(Path::new(PROC), me)).await;
                    if let Some(line) = subject.memory_line(&memory) {
                        self.offer(line);
                    }
                }
            }
        }
    }
}

/// `heroku.APP.UUID` names one run of one dyno. There is no app here, so its number is 0.
fn dyno() -> String {
    format!("heroku.0.{}", Uuid::new_v4())
}

fn runnable_count(ancestor: Pid) -> u32 {
    let processes = Processes(Path::new(PROC));
    processes.runnable_count(&processes.descendants(ancestor))
}

/// What `look` finds; reading `/proc` may wait for another process's locks.
async fn on_thread<T: Default + Send + 'static>(look: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(look).await.unwrap_or_default()
}

const PROC: &str = "/proc";
