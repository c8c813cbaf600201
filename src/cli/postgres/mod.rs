//! `logboom postgres`: a server's log and samples to a router, until a signal ends it.

mod setup;

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use clap::Subcommand;
use tokio::sync::watch;
use tracing::warn;

use crate::cli::error::CliError;
use crate::cli::output::Out;
use crate::cli::postgres::setup::Setup;
use crate::cli::producer;
use crate::cli::ship::flags::ShipFlags;
use crate::cli::ship::flags::time;
use crate::cli::ship::flags::word;
use crate::config::DATABASE_URL_VARIABLE;
use crate::config::Environment;
use crate::shutdown::Shutdown;
use crate::sources::outlet::Outlet;
use crate::sources::postgres::follow::Start;
use crate::sources::postgres::logs;
use crate::sources::postgres::logs::Begin;
use crate::sources::postgres::logs::LogFiles;
use crate::sources::postgres::logs::Position;
use crate::sources::postgres::prefix::Prefix;
use crate::sources::postgres::reader::Reader;
use crate::sources::postgres::receive;
use crate::sources::postgres::receive::Receiver;
use crate::sources::postgres::url::DatabaseUrl;
use crate::sources::postgres::watch::WatchSettings;
use crate::sources::postgres::watch::watch;

/// Flags of `postgres`.
#[derive(Args, Clone, Debug)]
#[command(args_conflicts_with_subcommands = true, after_help = FOOT)]
pub(crate) struct Postgres {
    #[command(subcommand)]
    command: Option<PostgresCommand>,
    #[command(flatten)]
    database: Database,
    /// Name of the attachment, as `source` and in front of each log line
    #[arg(long, value_name = "NAME", default_value = "DATABASE", value_parser = name)]
    name: String,
    /// Name of the add-on in samples [default: postgresql- and the database's name]
    #[arg(long, value_name = "NAME", value_parser = word)]
    addon: Option<String>,
    /// How often samples are taken
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = time)]
    interval: Duration,
    /// Send no samples
    #[arg(long)]
    no_metrics: bool,
    /// Send no logs
    #[arg(long, conflicts_with_all = ["log_directory", "syslog_unix", "syslog_udp"])]
    no_logs: bool,
    /// Folder of the server's log files [default: the server is asked]
    #[arg(long, value_name = "DIR", conflicts_with_all = ["syslog_unix", "syslog_udp"])]
    log_directory: Option<PathBuf>,
    /// What is written there
    #[arg(long, value_name = "FORMAT", default_value = "jsonlog", requires = "log_directory", value_parser = ["jsonlog", "csvlog", "stderr"])]
    log_format: String,
    /// The server's log_line_prefix, for the format `stderr`
    #[arg(
        long,
        value_name = "PREFIX",
        default_value = "%m [%p] ",
        requires = "log_directory",
        allow_hyphen_values = true
    )]
    log_line_prefix: String,
    /// Begin with the oldest log file instead of what is written from now on
    #[arg(long)]
    from_start: bool,
    /// File that remembers how far the log files were delivered: they are what waits, without a spool
    #[arg(long, value_name = "FILE", conflicts_with_all = ["no_logs", "syslog_unix", "syslog_udp", "spool"])]
    state: Option<PathBuf>,
    /// Receive syslog at this path instead of reading files; Postgres sends to /dev/log only
    #[arg(long, value_name = "PATH", conflicts_with = "syslog_udp")]
    syslog_unix: Option<PathBuf>,
    /// Receive syslog at this address, from a syslog daemon
    #[arg(long, value_name = "ADDR")]
    syslog_udp: Option<SocketAddr>,
    #[command(flatten)]
    ship: ShipFlags,
}

/// `logboom postgres …`
#[derive(Clone, Debug, Subcommand)]
enum PostgresCommand {
    /// Print the settings and the role that are needed; with --apply, make them
    Setup(Setup),
}

/// Which server, and as whom.
#[derive(Args, Clone, Debug)]
struct Database {
    /// The database: postgres://USER:PASSWORD@HOST:PORT/DATABASE [env: DATABASE_URL]
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
}

impl Database {
    /// The URL that was given, if one was.
    fn url(&self, environment: &Environment) -> Result<Option<DatabaseUrl>, CliError> {
        let given = [
            ("--database-url", self.database_url.as_deref()),
            (
                DATABASE_URL_VARIABLE,
                environment.value(DATABASE_URL_VARIABLE),
            ),
        ];
        let given = given
            .into_iter()
            .find_map(|(origin, text)| Some((origin, text?)));
        let Some((origin, text)) = given else {
            return Ok(None);
        };
        let url = DatabaseUrl::parse(text).map_err(|error| CliError::BadServerUrl {
            origin,
            reason: error.to_string(),
        })?;
        Ok(Some(url))
    }
}

/// Sends a server's log and samples; returns when it was asked to end and has ended.
pub(crate) fn run(
    given: &Postgres,
    environment: &Environment,
    out: &Out,
) -> Result<ExitCode, CliError> {
    if let Some(PostgresCommand::Setup(setup)) = &given.command {
        return setup::run(setup, environment, out);
    }
    let plan = Plan::new(given, environment)?;
    producer::run(
        &given.ship,
        environment,
        |outlet, producers| plan.start(outlet, producers),
        |position: Position| remember(given.state.as_deref(), position),
    )
}

/// What is to be run.
struct Plan {
    url: Option<DatabaseUrl>,
    files: Option<LogFiles>,
    begin: Begin,
    given: Postgres,
}

impl Plan {
    fn new(given: &Postgres, environment: &Environment) -> Result<Self, CliError> {
        let url = given.database.url(environment)?;
        let has_logs = given.log_directory.is_some()
            || given.syslog_unix.is_some()
            || given.syslog_udp.is_some();
        if url.is_none() && !(given.no_metrics && (given.no_logs || has_logs)) {
            return Err(CliError::NoServerUrl {
                flag: "--database-url postgres://USER:PASSWORD@HOST:PORT/DATABASE",
                variable: DATABASE_URL_VARIABLE,
                instead: ", or --no-metrics and where its logs are (--log-directory, --syslog-unix)",
            });
        }
        if given.no_metrics && given.no_logs {
            return Err(CliError::NothingToDo);
        }
        Ok(Self {
            url,
            files: given.files()?,
            begin: given.begin()?,
            given: given.clone(),
        })
    }

    fn start(self, outlet: &Outlet<Position>, producers: &Shutdown) -> Result<(), CliError> {
        let Self {
            url,
            files,
            begin,
            given,
        } = self;
        let receiver = match (&given.syslog_unix, given.syslog_udp) {
            (Some(path), _) => Some(Receiver::unix(path)?),
            (None, Some(address)) => Some(Receiver::udp(address)?),
            (None, None) => None,
        };
        let asks_for_files = receiver.is_none() && files.is_none() && !given.no_logs;
        if let Some(receiver) = receiver {
            let received = receive::receive(
                receiver,
                given.name.clone(),
                outlet.clone(),
                producers.clone(),
            );
            producers.spawn(received);
        }
        let (told, place) = watch::channel(files);
        if !given.no_logs && (asks_for_files || given.log_directory.is_some()) {
            let name = given.name.clone();
            let followed = logs::follow(place, begin, name, outlet.clone(), producers.clone());
            producers.spawn(followed);
        }
        if let Some(url) = url.filter(|_| asks_for_files || !given.no_metrics) {
            let addon = given.addon.clone();
            let settings = WatchSettings {
                addon: addon.unwrap_or_else(|| format!("postgresql-{}", url.database())),
                url,
                interval: given.interval,
                name: given.name,
                has_metrics: !given.no_metrics,
                files: asks_for_files.then_some(told),
            };
            let watched = watch(settings, outlet.clone(), producers.clone());
            producers.spawn(watched);
        }
        Ok(())
    }
}

impl Postgres {
    /// The files that the flags name.
    fn files(&self) -> Result<Option<LogFiles>, CliError> {
        let Some(directory) = self.log_directory.clone() else {
            return Ok(None);
        };
        let reader = match self.log_format.as_str() {
            "jsonlog" => Reader::Json,
            "csvlog" => Reader::Csv,
            _ => {
                let prefix = Prefix::parse(&self.log_line_prefix);
                Reader::Stderr(prefix.map_err(|error| CliError::Usage {
                    what: "--log-line-prefix",
                    value: self.log_line_prefix.clone(),
                    reason: error.to_string(),
                })?)
            }
        };
        Ok(Some(LogFiles {
            directory,
            reader,
            settings: String::new(),
            is_late: false,
        }))
    }

    /// Where to begin in them.
    fn begin(&self) -> Result<Begin, CliError> {
        let begin = |position| Begin {
            position,
            otherwise: if self.from_start {
                Start::Oldest
            } else {
                Start::End
            },
        };
        let Some(path) = &self.state else {
            return Ok(begin(None));
        };
        let failed = |source| CliError::File {
            path: path.display().to_string(),
            source,
        };
        match fs::read_to_string(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(begin(None)),
            Err(error) => Err(failed(error)),
            Ok(text) => {
                let position = serde_json::from_str(&text);
                let position = position.map_err(|error| failed(std::io::Error::other(error)))?;
                Ok(begin(Some(position)))
            }
        }
    }
}

/// Writes how far the log was delivered: whole, or not at all.
fn remember(state: Option<&Path>, position: Position) {
    let Some(path) = state else {
        return;
    };
    let text = serde_json::to_string(&position).unwrap_or_default();
    // Its own, also where `a.x` and `a.y` are neighbours.
    let mut other = path.as_os_str().to_owned();
    other.push(".new");
    let other = PathBuf::from(other);
    let written = fs::write(&other, text).and_then(|()| fs::rename(&other, path));
    if let Err(error) = written {
        warn!(path = %path.display(), %error, "cannot remember how far the log was delivered");
    }
}

/// What consumers of Heroku's messages take for an attachment's name.
pub(crate) fn name(text: &str) -> Result<String, &'static str> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    match text {
        "" => Err("it is empty"),
        _ if NAME_BYTES_MAX < text.len() => Err("it is longer than 64 bytes"),
        _ if text.chars().all(is_word) => Ok(text.to_owned()),
        _ => Err("it must be letters, digits and underscores"),
    }
}

const NAME_BYTES_MAX: usize = 64;

const FOOT: &str = "\
Samples come from the server and, where it runs on this machine, from /proc. Logs are read from the \
server's files, in its format jsonlog, csvlog or stderr; `logboom postgres setup` says what the server \
needs for that.

Examples:
  logboom postgres setup --apply \\
    --database-url postgres://postgres@%2Fvar%2Frun%2Fpostgresql/shop
  DATABASE_URL=postgres://logboom:…@127.0.0.1/shop \\
    LOGS_URL=http://token:t.…@127.0.0.1:8601/logs logboom postgres";
