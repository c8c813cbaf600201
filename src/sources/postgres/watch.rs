//! Keeps a connection to a server, and asks it, time after time, how it is and where its log is.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tokio::time::interval;
use tokio::time::timeout;
use tokio_postgres::Client;
use tracing::warn;

use crate::clock;
use crate::net::trust::Trusts;
use crate::shutdown::Shutdown;
use crate::sources::machine::Disk;
use crate::sources::outlet::Event;
use crate::sources::outlet::Outlet;
use crate::sources::postgres::connect::TIMEOUT;
use crate::sources::postgres::connect::connect;
use crate::sources::postgres::entry::Severity;
use crate::sources::postgres::fault::Fault;
use crate::sources::postgres::logs::LogFiles;
use crate::sources::postgres::logs::Position;
use crate::sources::postgres::prefix::Prefix;
use crate::sources::postgres::reader::Reader;
use crate::sources::postgres::readings::Readings;
use crate::sources::postgres::readings::transaction;
use crate::sources::postgres::url::DatabaseUrl;
use crate::sources::retry;
use crate::sources::teller::Teller;

/// What is asked, and in whose name it is told.
pub struct WatchSettings {
    /// Where and as whom.
    pub url: DatabaseUrl,
    /// How often.
    pub interval: Duration,
    /// The attachment.
    pub name: String,
    /// The add-on.
    pub addon: String,
    /// Whether samples are sent.
    pub has_metrics: bool,
    /// Who is told where the log is; none when nobody asks.
    pub files: Option<watch::Sender<Option<LogFiles>>>,
}

/// Watches the server until the group is asked to stop.
pub async fn watch(settings: WatchSettings, outlet: Outlet<Position>, shutdown: Shutdown) {
    let mut watcher = Watcher {
        settings,
        outlet,
        shutdown: shutdown.clone(),
        trusts: Trusts::default(),
        disk: Disk::default(),
        server: Teller::new("postgres"),
        logs: Teller::new("postgres log"),
        leader: None,
        follower_lag: Teller::new("follower lag"),
        is_monitor: true,
        is_late: false,
    };
    tokio::select! {
        () = shutdown.requested() => {}
        () = watcher.run() => {}
    }
}

struct Watcher {
    settings: WatchSettings,
    outlet: Outlet<Position>,
    shutdown: Shutdown,
    trusts: Trusts,
    disk: Disk,
    server: Teller,
    logs: Teller,
    /// On a standby: a connection to the server that it follows.
    leader: Option<((String, u16), Client)>,
    follower_lag: Teller,
    is_monitor: bool,
    /// Whether anything has failed: what the log says since the start was not read then.
    is_late: bool,
}

impl Watcher {
    async fn run(&mut self) {
        let mut failures = 0;
        loop {
            if let Err(fault) = self.session(&mut failures).await {
                self.is_late = true;
                self.server.fault(&fault);
            }
            failures += 1;
            retry::pause(failures).await;
        }
    }

    /// One connection, until it breaks.
    async fn session(&mut self, failures: &mut u64) -> Result<(), Fault> {
        let client = connect(&self.settings.url, &self.trusts, &self.shutdown).await?;
        let mut ticks = interval(self.settings.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let asked = timeout(TIMEOUT, self.ask(&client)).await;
            asked.map_err(|_| Fault::TimedOut {
                place: self.settings.url.place(),
                timeout: TIMEOUT,
            })??;
            self.server.works();
            *failures = 0;
        }
    }

    async fn ask(&mut self, client: &Client) -> Result<(), Fault> {
        let url = self.settings.url.clone();
        let failed = |error: tokio_postgres::Error| Fault::of(&url, &error);
        if self.settings.files.is_some() {
            let told = LogSettings::ask(client).await.map_err(failed)?;
            self.publish(&told);
        }
        if !self.settings.has_metrics {
            return Ok(());
        }
        let mut readings = Readings::ask(client).await.map_err(failed)?;
        self.tell_rights(&readings);
        readings.lag_commits = self.lag_in_time(&readings).await;
        let (name, addon) = (&self.settings.name, &self.settings.addon);
        let line = readings.line(name, addon, &mut self.disk);
        let event = Event {
            time: clock::wall(),
            pri: Severity::Log.pri(),
            procid: Arc::from("heroku-postgres"),
            lines: vec![String::from_utf8_lossy(&line).into_owned()],
        };
        self.outlet.send(event, None).await;
        Ok(())
    }

    fn tell_rights(&mut self, readings: &Readings) {
        if self.is_monitor && !readings.is_monitor {
            let fault = Fault::NotPermitted {
                place: self.settings.url.place(),
                user: self.settings.url.user().to_owned(),
                reason:
                    "it does not see other sessions, so waiting connections and what is read of \
                         the machine are left out"
                        .to_owned(),
            };
            warn!(%fault, "some samples are left out");
        }
        self.is_monitor = readings.is_monitor;
    }

    /// `lag`, unless the leader hangs: that is no fault of the standby's, and its samples go on.
    async fn lag_in_time(&mut self, readings: &Readings) -> Option<i64> {
        if let Ok(lag) = timeout(LEADER_TIMEOUT, self.lag(readings)).await {
            return lag;
        }
        // What is asked there next would wait behind this.
        self.leader = None;
        let (host, port) = readings.leader.as_ref()?;
        self.follower_lag.fault(&Fault::TimedOut {
            place: self.settings.url.at(host, *port).place(),
            timeout: LEADER_TIMEOUT,
        });
        None
    }

    /// By how many transactions a standby is behind: the leader is asked as the same user.
    async fn lag(&mut self, readings: &Readings) -> Option<i64> {
        let place = readings.leader.clone()?;
        if self
            .leader
            .as_ref()
            .is_none_or(|(known, client)| *known != place || client.is_closed())
        {
            let url = self.settings.url.at(&place.0, place.1);
            match connect(&url, &self.trusts, &self.shutdown).await {
                Ok(client) => self.leader = Some((place, client)),
                Err(fault) => {
                    self.follower_lag.fault(&fault);
                    return None;
                }
            }
            self.follower_lag.works();
        }
        let (_, client) = self.leader.as_ref()?;
        let ahead = transaction(client).await.ok()?;
        Some(ahead.saturating_sub(readings.transaction?).max(0))
    }

    /// Says where the log is, if that has changed.
    fn publish(&mut self, told: &LogSettings) {
        let Some(files) = &self.settings.files else {
            return;
        };
        match told.files(&self.settings.url) {
            Ok(found) => {
                let found = LogFiles {
                    is_late: self.is_late,
                    ..found
                };
                self.logs.works();
                files.send_if_modified(|known| {
                    let is_new = known
                        .as_ref()
                        .is_none_or(|known| known.settings != found.settings);
                    if is_new {
                        *known = Some(found);
                    }
                    is_new
                });
            }
            Err(fault) => {
                self.is_late = true;
                self.logs.fault(&fault);
            }
        }
    }
}

/// The settings that say where a server's log is.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct LogSettings {
    data: Option<PathBuf>,
    directory: PathBuf,
    destination: String,
    collector: bool,
    prefix: String,
    /// What files are called; unknown to who may not see it.
    filename: Option<String>,
}

impl LogSettings {
    async fn ask(client: &Client) -> Result<Self, tokio_postgres::Error> {
        let row = client.query_one(QUERY, &[]).await?;
        Ok(Self {
            data: row.try_get::<_, Option<String>>(0)?.map(PathBuf::from),
            directory: PathBuf::from(row.try_get::<_, Option<String>>(1)?.unwrap_or_default()),
            destination: row.try_get(2)?,
            collector: row.try_get(3)?,
            prefix: row.try_get(4)?,
            filename: row.try_get(5)?,
        })
    }

    /// The format that says most, and the folder.
    fn files(&self, url: &DatabaseUrl) -> Result<LogFiles, Fault> {
        let place = url.place();
        let writes = |format: &str| {
            let mut formats = self.destination.split(',');
            formats.any(|found| found.trim() == format)
        };
        if !self.collector {
            return Err(Fault::NoCollector { place });
        }
        let reader = if writes("jsonlog") {
            Reader::Json
        } else if writes("csvlog") {
            Reader::Csv
        } else if writes("stderr") {
            // Those of the other formats end in their names whatever this says.
            if let Some(filename) = self.filename.clone().filter(|name| !name.ends_with(".log")) {
                return Err(Fault::FileName { place, filename });
            }
            match Prefix::parse(&self.prefix) {
                Ok(prefix) => Reader::Stderr(prefix),
                Err(error) => return Err(Fault::Prefix { place, error }),
            }
        } else {
            let destination = self.destination.clone();
            return Err(Fault::NoFiles { place, destination });
        };
        let data = self
            .data
            .clone()
            .or_else(|| self.directory.is_absolute().then(PathBuf::new));
        if data.is_none() || self.directory.as_os_str().is_empty() {
            return Err(Fault::NotPermitted {
                place,
                user: url.user().to_owned(),
                reason: "it does not see where the log is".to_owned(),
            });
        }
        Ok(LogFiles {
            // An absolute path replaces what it is joined to.
            directory: data.unwrap_or_default().join(&self.directory),
            reader,
            settings: format!("{self:?}"),
            is_late: false,
        })
    }
}

/// How long a standby's leader may take: much less than what the standby may take with it.
const LEADER_TIMEOUT: Duration = Duration::from_secs(2);

/// Settings that a role may not see are not in the view.
const QUERY: &str = "SELECT \
    (SELECT setting FROM pg_settings WHERE name = 'data_directory'), \
    (SELECT setting FROM pg_settings WHERE name = 'log_directory'), \
    current_setting('log_destination'), \
    current_setting('logging_collector')::bool, \
    current_setting('log_line_prefix'), \
    (SELECT setting FROM pg_settings WHERE name = 'log_filename')";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_that_says_most_is_followed() {
        let url = DatabaseUrl::parse("postgres://a:b@h/d").ok().unwrap();
        let settings = LogSettings {
            data: Some(PathBuf::from("/data")),
            directory: PathBuf::from("log"),
            destination: "stderr, csvlog,jsonlog".to_owned(),
            collector: true,
            prefix: "%m [%p] ".to_owned(),
            filename: Some("postgresql-%a.log".to_owned()),
        };
        let check = |settings: LogSettings, expected: Result<(&str, &str), &str>| {
            let found = settings.files(&url);
            match (found, expected) {
                (Ok(found), Ok((directory, extension))) => {
                    assert_eq!(found.directory, PathBuf::from(directory));
                    assert_eq!(found.reader.extension(), extension);
                }
                (Err(fault), Err(part)) => {
                    assert!(fault.to_string().contains(part), "{fault}");
                }
                (found, expected) => panic!("{found:?} is not {expected:?}"),
            }
        };
        let with = |destination: &str| LogSettings {
            destination: destination.to_owned(),
            ..settings.clone()
        };
        check(settings.clone(), Ok(("/data/log", "json")));
        check(with("csvlog,stderr"), Ok(("/data/log", "csv")));
        check(with("stderr"), Ok(("/data/log", "log")));
        check(with("syslog"), Err("log_destination is \"syslog\""));
        let mut other = with("stderr");
        other.prefix = "%m ".to_owned();
        check(other, Err("log_line_prefix on h:5432 cannot be read"));
        for (destination, expected) in [
            ("stderr", Err("log_filename on h:5432 is \"pg-%a\"")),
            ("csvlog", Ok(("/data/log", "csv"))),
        ] {
            let mut other = with(destination);
            other.filename = Some("pg-%a".to_owned());
            check(other, expected);
        }
        let mut other = with("stderr");
        other.collector = false;
        check(other, Err("logging_collector is off"));
        let mut other = with("jsonlog");
        other.data = None;
        check(other.clone(), Err("GRANT pg_monitor TO a"));
        other.directory = PathBuf::from("/var/log/pg");
        check(other, Ok(("/var/log/pg", "json")));
    }
}
