//! `logboom redis`: a server's samples and slow commands to a router, until a signal ends it.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use crate::cli::error::CliError;
use crate::cli::postgres::name;
use crate::cli::producer;
use crate::cli::ship::flags::ShipFlags;
use crate::cli::ship::flags::time;
use crate::cli::ship::flags::word;
use crate::config::Environment;
use crate::config::REDIS_URL_VARIABLE;
use crate::sources::redis::url::RedisUrl;
use crate::sources::redis::watch::NoMark;
use crate::sources::redis::watch::WatchSettings;
use crate::sources::redis::watch::watch;

/// Flags of `redis`.
#[derive(Args, Clone, Debug)]
#[command(after_help = FOOT)]
pub(crate) struct Redis {
    /// The server: redis://USER:PASSWORD@HOST:PORT, rediss://…, unix:///PATH [env: REDIS_URL]
    #[arg(long, value_name = "URL")]
    redis_url: Option<String>,
    /// PEM file of the certificates to trust instead of the system's
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Name of the attachment, as `source`
    #[arg(long, value_name = "NAME", default_value = "REDIS", value_parser = name)]
    name: String,
    /// Name of the add-on
    #[arg(long, value_name = "NAME", default_value = "redis", value_parser = word)]
    addon: String,
    /// How often samples are taken
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = time)]
    interval: Duration,
    /// Send no slow commands: they show what is stored
    #[arg(long)]
    no_slowlog: bool,
    #[command(flatten)]
    ship: ShipFlags,
}

/// Sends a server's samples; returns when it was asked to end and has ended.
pub(crate) fn run(given: &Redis, environment: &Environment) -> Result<ExitCode, CliError> {
    let sources = [
        ("--redis-url", given.redis_url.as_deref()),
        (REDIS_URL_VARIABLE, environment.value(REDIS_URL_VARIABLE)),
    ];
    let found = sources
        .into_iter()
        .find_map(|(origin, text)| Some((origin, text?)));
    let (origin, text) = found.ok_or(CliError::NoServerUrl {
        flag: "--redis-url redis://:PASSWORD@HOST:PORT",
        variable: REDIS_URL_VARIABLE,
        instead: "",
    })?;
    let url = RedisUrl::parse(text).map_err(|error| CliError::BadServerUrl {
        origin,
        reason: error.to_string(),
    })?;
    let ca = given.ca.as_ref().map(|path| {
        fs::read_to_string(path).map_err(|source| CliError::File {
            path: path.display().to_string(),
            source,
        })
    });
    let settings = WatchSettings {
        url,
        ca: ca.transpose()?,
        interval: given.interval,
        name: given.name.clone(),
        addon: given.addon.clone(),
        has_slowlog: !given.no_slowlog,
    };
    producer::run(
        &given.ship,
        environment,
        |outlet, producers| {
            producers.spawn(watch(settings, outlet.clone(), producers.clone()));
            Ok(())
        },
        |(): NoMark| {},
    )
}

const FOOT: &str = "\
A user of its own may be as small as this:
  ACL SETUSER logboom on >PASSWORD +info +slowlog|get

Example:
  REDIS_URL=redis://logboom:PASSWORD@127.0.0.1:6379 \\
    LOGS_URL=http://token:t.…@127.0.0.1:8601/logs logboom redis";
