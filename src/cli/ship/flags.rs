//! Flags of whatever ships lines to a router: `ship` itself and the commands that send through it.

use std::num::NonZeroU64;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::builder::RangedU64ValueParser;

use crate::cli::error::CliError;
use crate::cli::ship::stats::StatsFlags;
use crate::config;
use crate::config::Environment;
use crate::config::LOGPLEX_URL_VARIABLE;
use crate::config::LOGS_URL_VARIABLE;
use crate::id::Secret;
use crate::id::Token;
use crate::limits::FIELD_BYTES_MAX;
use crate::limits::SHIP_BACK_BUFF_LIMIT;
use crate::limits::SHIP_BATCH_LINES_LIMIT;
use crate::limits::SHIP_LINE_BYTES_LIMIT;
use crate::limits::SHIP_LINE_BYTES_LIMIT_MIN;
use crate::limits::SHIP_SPOOL_BYTES_LIMIT_MIN;
use crate::registry::DrainUrl;
use crate::registry::DrainUrlError;
use crate::sources::ship::ShipSettings;
use crate::sources::ship::SpoolSettings;
use crate::sources::ship::WhenFull;
use crate::syslog::split::Split;

/// Where lines are shipped to, and how.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Shipping")]
pub(crate) struct ShipFlags {
    /// The router, with the token: http://token:t.…@HOST:8601/logs [env: LOGS_URL]
    #[arg(long, value_name = "URL")]
    logs_url: Option<String>,
    /// APP-NAME of the messages, and the password where the URL has none [default: the URL's token,
    /// or `token`]
    #[arg(long, visible_alias = "appname", value_name = "TOKEN", value_parser = word)]
    logplex_token: Option<String>,
    /// HOSTNAME of the messages
    #[arg(long, value_name = "NAME", default_value = "shuttle", value_parser = word)]
    hostname: String,
    /// MSGID of the messages, and their structured data
    #[arg(long, value_name = "TEXT", default_value = "- -", value_parser = words, allow_hyphen_values = true)]
    msgid: String,
    /// VERSION of the messages
    #[arg(long, value_name = "N", default_value = "1", value_parser = digits)]
    syslog_version: String,
    /// Compress what is sent
    #[arg(long)]
    gzip: bool,
    /// Sent as `Authorization: Bearer`, instead of the URL's user and password
    #[arg(long, value_name = "TOKEN", value_parser = word)]
    bearer_token: Option<String>,
    /// Lines of a request, at most
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = count(SHIP_BATCH_LINES_LIMIT))]
    batch_size: usize,
    /// How long a request waits for more lines after its first
    #[arg(long, value_name = "TIME", default_value = "250ms", value_parser = time)]
    wait: Duration,
    /// For connecting, and for an answer; a body has a second more for each 64 KiB
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = time)]
    timeout: Duration,
    /// Tries after which a batch is lost [default: as many as it takes]
    #[arg(long, value_name = "N")]
    max_attempts: Option<NonZeroU64>,
    /// Batches' worth of lines that wait in memory
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = count(SHIP_BACK_BUFF_LIMIT))]
    back_buff: usize,
    /// Longest message in bytes; a longer line is sent in parts
    #[arg(long, value_name = "BYTES", default_value_t = 10_000, value_parser = line_bytes())]
    max_line_length: usize,
    /// How parts can be told: `marked` (… at both sides of each cut) or `plain` (as log-shuttle)
    #[arg(long, value_name = "HOW", default_value = "marked", value_parser = ["marked", "plain"])]
    split: String,
    /// Drop lines, and count them, when too many wait; so it is unless --block is given
    #[arg(long, conflicts_with = "block", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    drop: Option<bool>,
    /// Let who writes lines wait when too many do
    #[arg(long)]
    block: bool,
    /// Believe any certificate of the router
    #[arg(long)]
    skip_verify: bool,
    /// Connections at once; only 1, since several would bring batches out of order
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = outlets)]
    num_outlets: u64,
    /// How long what waits may take at the end
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = time)]
    grace: Duration,
    /// Folder in which batches wait until the router has them: they survive the end of this program,
    /// however it comes, and an outage of the router. One shipper for each folder
    #[arg(long, value_name = "DIR", conflicts_with = "max_attempts")]
    spool: Option<PathBuf>,
    /// Size of all files of the spool; above it the oldest go, or with --block the writer waits
    #[arg(long, value_name = "SIZE", default_value = "256MiB", value_parser = spool_bytes, requires = "spool")]
    spool_bytes_max: u64,
    /// Send what the spool holds for another router or token with this one
    #[arg(long, requires = "spool")]
    adopt_spool: bool,
    #[command(flatten)]
    pub(crate) stats: StatsFlags,
    /// Say more on stderr
    #[arg(long)]
    pub(crate) verbose: bool,
}

impl ShipFlags {
    /// What the flags and the environment say.
    pub(crate) fn settings(&self, environment: &Environment) -> Result<ShipSettings, CliError> {
        let url = self.url(environment)?;
        Ok(ShipSettings {
            bearer: self.bearer_token.as_deref().map(Secret::new),
            app_name: self.logplex_token.clone().unwrap_or_else(|| app_name(&url)),
            url,
            hostname: self.hostname.clone(),
            msgid: self.msgid.clone(),
            version: self.syslog_version.clone(),
            is_gzip: self.gzip,
            is_insecure: self.skip_verify,
            batch_lines_max: self.batch_size,
            wait: self.wait,
            timeout: self.timeout,
            attempts_max: self.max_attempts,
            queue_lines_max: self.back_buff.saturating_mul(self.batch_size),
            line_bytes_max: self.max_line_length,
            split: self.split(),
            places: None,
            spool: self.spool.as_ref().map(|path| SpoolSettings {
                path: path.clone(),
                bytes_max: self.spool_bytes_max,
                when_full: self.when_full(),
                is_adopted: self.adopt_spool,
            }),
        })
    }

    /// How parts of long lines can be told.
    pub(crate) fn split(&self) -> Split {
        match self.split.as_str() {
            "plain" => Split::Plain,
            _ => Split::Marked,
        }
    }

    /// Longest message in bytes.
    pub(crate) const fn line_bytes_max(&self) -> usize {
        self.max_line_length
    }

    /// What a full queue means for who writes lines.
    pub(crate) const fn when_full(&self) -> WhenFull {
        match self.drop {
            Some(false) => WhenFull::Block,
            _ if self.block => WhenFull::Block,
            _ => WhenFull::Drop,
        }
    }

    /// The spool's folder, if there is one.
    pub(crate) fn spool(&self) -> Option<&Path> {
        self.spool.as_deref()
    }

    /// How long what waits may take at the end.
    pub(crate) const fn grace(&self) -> Duration {
        self.grace
    }

    /// What stderr is told.
    pub(crate) const fn log_level(&self) -> &'static str {
        if self.verbose {
            "warn,logboom=debug"
        } else {
            "warn"
        }
    }

    fn url(&self, environment: &Environment) -> Result<DrainUrl, CliError> {
        let given = [
            ("--logs-url", self.logs_url.as_deref()),
            ("LOGS_URL", environment.value(LOGS_URL_VARIABLE)),
            ("LOGPLEX_URL", environment.value(LOGPLEX_URL_VARIABLE)),
        ];
        let (origin, text) = given
            .into_iter()
            .find_map(|(origin, text)| Some((origin, text?)))
            .ok_or(CliError::NoLogsUrl)?;
        router_url(text).map_err(|reason| CliError::BadLogsUrl { origin, reason })
    }
}

/// The URL of a router's `POST /logs`: where the text names no path, it is that one.
fn router_url(text: &str) -> Result<DrainUrl, String> {
    let scheme = text.split_once("://").map(|(scheme, _)| scheme);
    if !scheme.is_some_and(|scheme| ["http", "https"].contains(&&*scheme.to_ascii_lowercase())) {
        return Err("it must begin with http:// or https://".to_owned());
    }
    // A `/` at the end is no path: nobody takes lines there.
    let text = match text.split_once("://") {
        Some((_, rest)) if rest.find('/') == Some(rest.len().saturating_sub(1)) => {
            text.strip_suffix('/').unwrap_or(text)
        }
        _ => text,
    };
    let has_path = text
        .split_once("://")
        .is_some_and(|(_, rest)| rest.contains(['/', '?', '#']));
    let whole = if has_path {
        DrainUrl::parse(text)
    } else {
        DrainUrl::parse(&format!("{text}/logs"))
    };
    whole.map_err(|error| match error {
        DrainUrlError::BadFragment => "it ends in a fragment; leave out the `#`".to_owned(),
        error => error
            .to_string()
            .replace("the drain URL's", "its")
            .replace("the drain URL", "it"),
    })
}

/// The URL's token: a router puts its name in place of it. Log-shuttle's `token` would stay.
fn app_name(url: &DrainUrl) -> String {
    url.userinfo()
        .and_then(|(_, password)| String::from_utf8(password).ok())
        .filter(|password| Token::new(password).is_ok())
        .unwrap_or_else(|| "token".to_owned())
}

/// A word that may stand in a header field.
pub(crate) fn word(text: &str) -> Result<String, &'static str> {
    match text {
        "" => Err("it is empty"),
        _ if FIELD_BYTES_MAX < text.len() => Err("it is longer than 255 bytes"),
        _ if text.chars().all(|c| c.is_ascii_graphic()) => Ok(text.to_owned()),
        _ => Err("it must be visible ASCII characters, without spaces"),
    }
}

fn words(text: &str) -> Result<String, &'static str> {
    match text.split(' ').try_for_each(|part| word(part).map(drop)) {
        Ok(()) => Ok(text.to_owned()),
        Err(_) => Err("it must be words of visible ASCII characters with single spaces between"),
    }
}

fn digits(text: &str) -> Result<String, &'static str> {
    match text.len() {
        1..=2 if text.bytes().all(|byte| byte.is_ascii_digit()) => Ok(text.to_owned()),
        _ => Err("it must be one or two digits"),
    }
}

fn outlets(text: &str) -> Result<u64, &'static str> {
    match text {
        "1" => Ok(1),
        _ => Err(
            "only 1 is possible: lines arrive in order because one connection carries them, with one \
             request in flight; several would bring batches out of order, and a batch that is sent \
             again behind its successors. A greater --batch-size sends more at once",
        ),
    }
}

/// A time above zero, of a day at most.
pub(crate) fn time(text: &str) -> Result<Duration, String> {
    let day = Duration::from_secs(86_400);
    let is_bare = text.bytes().all(|byte| byte.is_ascii_digit());
    match config::duration(text) {
        // Elsewhere a bare number is seconds; here some take it for milliseconds.
        Ok(found) if is_bare && !found.is_zero() => Err(format!(
            "it has no unit; a time is such as {text}ms or {text}s"
        )),
        Ok(found) if found.is_zero() => Err("it must be above 0".to_owned()),
        Ok(found) if day < found => Err("it must be at most 1d".to_owned()),
        Ok(found) => Ok(found),
        Err(problem) => Err(format!("{problem}; a time is such as 250ms, 5s or 2m")),
    }
}

fn spool_bytes(text: &str) -> Result<u64, String> {
    match config::bytes(text) {
        Ok(found) if found < SHIP_SPOOL_BYTES_LIMIT_MIN => {
            Err("it must be at least 4MiB".to_owned())
        }
        Ok(found) => Ok(found),
        Err(problem) => Err(format!("{problem}; a size is such as 64MiB or 1GiB")),
    }
}

fn count(max: usize) -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..=u64::try_from(max).unwrap_or(u64::MAX))
}

fn line_bytes() -> RangedU64ValueParser<usize> {
    let bound = |bytes| u64::try_from(bytes).unwrap_or(u64::MAX);
    RangedU64ValueParser::new()
        .range(bound(SHIP_LINE_BYTES_LIMIT_MIN)..=bound(SHIP_LINE_BYTES_LIMIT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_without_a_path_is_that_of_post_logs() {
        let check = |text: &str, expected: Result<&str, &str>| {
            let found = router_url(text).map(|url| url.expose().to_owned());
            let found = found.as_deref().map_err(String::as_str);
            assert_eq!(found, expected, "{text:?}");
        };
        check("http://h:1", Ok("http://h:1/logs"));
        check("http://token:t.a@h", Ok("http://token:t.a@h/logs"));
        check("https://h/", Ok("https://h/logs"));
        check("https://h/in?x=1", Ok("https://h/in?x=1"));
        check("h:1/logs", Err("it must begin with http:// or https://"));
        check("syslog://h", Err("it must begin with http:// or https://"));
        check("http://", Err("it has no host"));
        check(
            "http://h:0/logs",
            Err("its port must be a number from 1 to 65535"),
        );
    }
}
