//! The flags of `logboom logs`.

use clap::Args;
use clap::ValueEnum;
use clap::builder::NonEmptyStringValueParser;

use crate::cli::arguments::Connection;
use crate::cli::arguments::filter;
use crate::cli::error::CliError;
use crate::clock;
use crate::clock::UnixMicros;
use crate::config;

/// Flags of `logs`.
#[derive(Args, Clone, Debug)]
#[command(after_help = FOOT)]
pub(crate) struct Logs {
    /// Ids of the channels; the lines of several are shown in the order in which they came
    #[arg(value_name = "CHANNEL", required = true, value_parser = NonEmptyStringValueParser::new())]
    pub(crate) channels: Vec<String>,
    /// How many lines of each channel's history [default: 100, with --since all]
    #[arg(short = 'n', long = "num", value_name = "N")]
    pub(crate) num: Option<u64>,
    /// Only what came in so long ago at most (30s, 5m, 2h, 7d), or since a time (RFC 3339)
    #[arg(long, value_name = "TIME", value_parser = since)]
    pub(crate) since: Option<Since>,
    /// Go on with what comes
    #[arg(short, long)]
    pub(crate) tail: bool,
    /// Only messages of this source
    #[arg(short, long, value_name = "NAME")]
    pub(crate) source: Option<String>,
    /// Only messages of this process; `web` means `web.1` and its siblings too
    #[arg(short, long, value_name = "NAME")]
    pub(crate) ps: Option<String>,
    /// Only messages that this expression wants, such as 'status>=500 service>1s'
    #[arg(long, value_name = "EXPRESSION", value_parser = filter, allow_hyphen_values = true)]
    pub(crate) filter: Option<String>,
    /// Lines as they are, or all that is known of each message [default: raw]
    #[arg(short, long, value_name = "HOW")]
    pub(crate) output: Option<Output>,
    /// Show the lines in $PAGER, or in `less -R`, when the output is a terminal
    #[arg(long, conflicts_with = "tail")]
    pub(crate) pager: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

/// How messages are printed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Output {
    /// TIME SOURCE[PROCESS]: TEXT
    Raw,
    /// An object a line, with all fields
    Json,
    /// Pairs, with all fields that are there
    Logfmt,
}

impl Logs {
    /// How to print.
    pub(crate) const fn output(&self) -> Output {
        match self.output {
            Some(output) => output,
            None if self.connection.json => Output::Json,
            None => Output::Raw,
        }
    }

    /// Whether complaints are for machines.
    pub(crate) const fn is_json(&self) -> bool {
        self.connection.json || matches!(self.output, Some(Output::Json))
    }

    /// Refuses what contradicts itself.
    pub(crate) fn check(&self) -> Result<(), CliError> {
        let is_told_twice = self.connection.json && self.output() != Output::Json;
        if is_told_twice {
            return Err(CliError::Usage {
                what: "--output",
                value: format!("{:?}", self.output()).to_lowercase(),
                reason: "--json is --output json; leave one of both out".to_owned(),
            });
        }
        Ok(())
    }

    /// How many lines of each channel to ask for.
    pub(crate) fn lines(&self) -> u64 {
        match (self.num, &self.since) {
            (Some(num), _) => num,
            (None, None) => LINES_DEFAULT,
            (None, Some(_)) => crate::limits::SESSION_LINES_MAX,
        }
    }
}

/// The moment from which on lines are wanted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Since(UnixMicros);

impl Since {
    /// As the API takes it.
    pub(crate) fn text(self) -> String {
        self.0.to_micros_text()
    }
}

fn since(text: &str) -> Result<Since, String> {
    if let Ok(ago) = config::duration(text) {
        return Ok(Since(clock::wall().minus(ago)));
    }
    UnixMicros::parse(text).map(Since).ok_or_else(|| {
        "it must be a duration such as 5m or 2h, or a time such as 2026-11-20T17:00:00Z".to_owned()
    })
}

const LINES_DEFAULT: u64 = crate::limits::SESSION_LINES_DEFAULT;

const FOOT: &str = "\
Examples:
  logboom logs shop -n 20
  logboom logs shop --tail --source app --ps web
  logboom logs shop --tail --filter 'status>=500 -path:/health'
  logboom logs shop billing --since 15m
  logboom logs shop --since 1h --output json | jq .message

A tail that loses the router comes back where it was; Ctrl-C ends it, with exit code 130. Of several \
channels each line begins with its channel's name; one that fails is told and ends the others not, \
and the exit code is its own. A reader that closes the output, such as `head`, is no failure. \
Colours are used on a terminal only, and not with NO_COLOR set; --color always is for `| less -R`.";

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn times_are_durations_or_moments() {
        let now = clock::wall();
        for (text, ago) in [("5m", 300), ("2h", 7_200), ("90", 90), ("1d", 86_400)] {
            let Since(found) = since(text).unwrap();
            let expected = now.minus(Duration::from_secs(ago));
            assert!(expected <= found && found < expected.plus(Duration::from_secs(5)));
        }
        let moment = since("1970-01-01T00:00:01Z").unwrap();
        assert_eq!(moment, Since(UnixMicros::new(1_000_000)));
        assert_eq!(moment.text(), "1970-01-01T00:00:01.000000+00:00");
        for text in ["", "soon", "-5m", "5 parsecs", "2026-11-20"] {
            assert!(since(text).unwrap_err().contains("such as 5m"), "{text}");
        }
    }
}
