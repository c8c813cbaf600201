//! Keeps a connection to a server, and asks it, time after time, how it is and what was slow.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio::time::MissedTickBehavior;
use tokio::time::interval;
use tracing::info;
use tracing::warn;

use crate::clock;
use crate::limits::REDIS_SLOWLOG_ENTRIES_MAX;
use crate::net::trust::Trusts;
use crate::shutdown::Shutdown;
use crate::sources::machine::Disk;
use crate::sources::outlet::Event;
use crate::sources::outlet::Outlet;
use crate::sources::redis::connection::Connection;
use crate::sources::redis::connection::Fault;
use crate::sources::redis::info::Info;
use crate::sources::redis::slowlog::Seen;
use crate::sources::redis::url::RedisUrl;
use crate::sources::retry;
use crate::sources::teller::Teller;
use crate::syslog::message::Pri;

/// What is asked, and in whose name it is told.
pub struct WatchSettings {
    /// Where and as whom.
    pub url: RedisUrl,
    /// PEM: certificates trusted instead of the system's.
    pub ca: Option<String>,
    /// How often samples are taken.
    pub interval: Duration,
    /// The attachment.
    pub name: String,
    /// The add-on.
    pub addon: String,
    /// Whether slow commands are sent.
    pub has_slowlog: bool,
}

/// Nothing of a server is read again another time.
pub type NoMark = ();

/// Watches the server until the group is asked to stop.
pub async fn watch(settings: WatchSettings, outlet: Outlet<NoMark>, shutdown: Shutdown) {
    let mut watcher = Watcher {
        settings,
        outlet,
        trusts: Trusts::default(),
        disk: Disk::default(),
        server: Teller::new("redis"),
        slowlog: Teller::new("redis slowlog"),
        seen: Seen::default(),
    };
    tokio::select! {
        () = shutdown.requested() => {}
        () = watcher.run() => {}
    }
}

struct Watcher {
    settings: WatchSettings,
    outlet: Outlet<NoMark>,
    trusts: Trusts,
    disk: Disk,
    server: Teller,
    slowlog: Teller,
    seen: Seen,
}

impl Watcher {
    async fn run(&mut self) {
        let mut failures = 0;
        loop {
            if let Err(fault) = self.session(&mut failures).await {
                self.server.fault(&fault);
            }
            failures += 1;
            retry::pause(failures).await;
        }
    }

    /// One connection, until it breaks.
    async fn session(&mut self, failures: &mut u64) -> Result<(), Fault> {
        let settings = &self.settings;
        let opened = Connection::open(&settings.url, settings.ca.as_deref(), &self.trusts).await;
        let mut connection = opened?;
        let every = settings.interval;
        let mut ticks = interval(every.min(SLOWLOG_INTERVAL));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut due: Option<Instant> = None;
        loop {
            let now = ticks.tick().await;
            let reply = connection.ask(&["INFO"]).await?;
            let info = Info::parse(&reply.text().unwrap_or_default());
            if info.is_loading() {
                self.server.fault(&Fault::NotReady {
                    place: self.settings.url.shown(),
                    reason: "LOADING Redis is loading the dataset in memory".to_owned(),
                });
            } else {
                self.server.works();
            }
            if self.settings.has_slowlog {
                self.tell_slow(&mut connection, &info).await?;
            }
            // A tick may come a little early.
            if due.is_none_or(|due| due <= now + TICK_SLACK) {
                due = Some(now + every);
                self.tell_samples(&info).await;
            }
            // A whole round: a server that breaks off in its middle is asked ever more seldom.
            *failures = 0;
        }
    }

    async fn tell_samples(&mut self, info: &Info) {
        let (name, addon) = (&self.settings.name, &self.settings.addon);
        let line = info.line(name, addon, &mut self.disk);
        let event = Event {
            time: clock::wall(),
            pri: INFO,
            procid: Arc::from("heroku-redis"),
            lines: vec![String::from_utf8_lossy(&line).into_owned()],
        };
        self.outlet.send(event, None).await;
    }

    /// Whoever may not see slow commands, or has a server without them, gets the samples all the same.
    async fn tell_slow(&mut self, connection: &mut Connection, info: &Info) -> Result<(), Fault> {
        let count = REDIS_SLOWLOG_ENTRIES_MAX.to_string();
        let reply = match connection.ask(&["SLOWLOG", "GET", &count]).await {
            Ok(reply) => reply,
            Err(fault @ Fault::NotPermitted { .. }) => {
                self.slowlog.fault(&fault);
                return Ok(());
            }
            Err(fault @ Fault::Refused { .. }) => {
                self.slowlog.fault(&format_args!(
                    "{fault}; --no-slowlog is for a server without SLOWLOG"
                ));
                return Ok(());
            }
            Err(fault) => return Err(fault),
        };
        self.slowlog.works();
        let now = clock::now();
        let news = self.seen.take(info.run_id(), info.uptime(), now, &reply);
        if news.is_of_another {
            info!("another server answers now; its slow commands up to now are old");
        }
        if 0 < news.missed {
            warn!(
                missed = news.missed,
                "slow commands were overwritten or reset before they were read; \
                raise slowlog-max-len"
            );
            self.outlet
                .drop_lines(usize::try_from(news.missed).unwrap_or(usize::MAX));
        }
        for entry in news.entries {
            let event = entry.event(&self.settings.name, &self.settings.addon);
            self.outlet.send(event, None).await;
        }
        Ok(())
    }
}

/// local0.info
const INFO: Pri = Pri::or_default(16 * 8 + 6);

/// How often slow commands are asked for: a server keeps 128 of them.
const SLOWLOG_INTERVAL: Duration = Duration::from_secs(5);

/// By how much samples may come early.
const TICK_SLACK: Duration = Duration::from_millis(10);
