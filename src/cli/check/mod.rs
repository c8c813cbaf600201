//! `logboom check`: whether a channel is fit for production, as a list.

pub(crate) mod facts;
pub(crate) mod judge;

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::json;

use crate::cli::arguments::Connection;
use crate::cli::channels::path;
use crate::cli::check::facts::Facts;
use crate::cli::check::judge::Bounds;
use crate::cli::check::judge::Finding;
use crate::cli::check::judge::Mark;
use crate::cli::check::judge::judge;
use crate::cli::client::Client;
use crate::cli::colour;
use crate::cli::colour::in_colour;
use crate::cli::drains;
use crate::cli::error::CliError;
use crate::cli::logs::INTERRUPTED_CODE;
use crate::cli::output::Out;
use crate::cli::output::Progress;
use crate::cli::small_runtime;
use crate::config;
use crate::config::Environment;

/// Flags of `check`.
#[derive(Args, Clone, Debug)]
#[command(after_help = FOOT)]
pub(crate) struct Check {
    /// Id of the channel
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    channel: String,
    /// A certificate that ends sooner fails; one that ends in twice the time is warned of
    #[arg(long, value_name = "DAYS", default_value_t = CERTIFICATE_DAYS, value_parser = clap::value_parser!(u32).range(1..=3_650))]
    certificate_days: u32,
    /// A source that is silent for longer than this, and than three times its longest pause, fails
    #[arg(long, value_name = "TIME", default_value = "15m", value_parser = time)]
    silent_after: Duration,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

/// Prints what was found; exit code 1 when something is wrong.
pub(crate) fn run(
    check: &Check,
    environment: &Environment,
    out: &Out,
) -> Result<ExitCode, CliError> {
    let client = Client::new(&check.connection, environment)?;
    let mut progress = Progress::new(true);
    let asked = small_runtime()?.block_on(async {
        let asked = ask(&client, &check.channel);
        let mut asked = std::pin::pin!(asked);
        let mut tick = tokio::time::interval(PROGRESS_STEP);
        loop {
            tokio::select! {
                asked = tokio::signal::ctrl_c() => {
                    return asked.map(|()| None).map_err(CliError::Runtime);
                }
                facts = &mut asked => return facts.map(Some),
                _ = tick.tick() => progress.tell("looking through what the channel keeps …"),
            }
        }
    })?;
    progress.end();
    let Some(facts) = asked else {
        return Ok(ExitCode::from(INTERRUPTED_CODE));
    };
    let bounds = Bounds {
        certificate: DAY * check.certificate_days,
        silence: check.silent_after,
    };
    let findings = judge(&facts, bounds);
    if check.connection.json {
        out.json(&as_json(&check.channel, &findings))?;
    } else {
        let has_colours = check.connection.colour().is_wanted(out, environment);
        let (columns, _) = out.size();
        let title = format!("Production check of {}", check.channel);
        out.write(&page(&title, &findings, has_colours, columns))?;
    }
    Ok(match worst(&findings) {
        Mark::Fail => ExitCode::FAILURE,
        Mark::Ok | Mark::Warn => ExitCode::SUCCESS,
    })
}

async fn ask(client: &Client, channel: &str) -> Result<Facts, CliError> {
    let drains = drains::all(client, Some(channel)).await?;
    let at = format!("{}/sources", path(channel));
    let sources = client.get(&at).await?;
    let node = client.get("/v3/node").await?;
    Ok(Facts {
        channel: channel.to_owned(),
        drains: understood("the drains", Value::Array(drains))?,
        sources: understood("the sources", sources)?,
        node: understood("the router", node)?,
    })
}

pub(crate) fn understood<T: DeserializeOwned>(what: &str, answer: Value) -> Result<T, CliError> {
    serde_json::from_value(answer).map_err(|error| CliError::BadAnswer {
        what: what.to_owned(),
        reason: error.to_string(),
    })
}

pub(crate) fn worst(findings: &[Finding]) -> Mark {
    let marks = findings.iter().map(|finding| finding.mark);
    marks.max().unwrap_or(Mark::Ok)
}

fn as_json(channel: &str, findings: &[Finding]) -> Value {
    let checks: Vec<Value> = findings
        .iter()
        .map(|finding| {
            json!({
                "check": finding.topic,
                "result": word(finding.mark),
                "message": finding.said,
                "next": finding.next,
            })
        })
        .collect();
    json!({"channel": channel, "ok": worst(findings) != Mark::Fail, "checks": checks})
}

/// The list, a topic's name before its first line, texts broken at `columns`.
pub(crate) fn page(title: &str, findings: &[Finding], has_colours: bool, columns: usize) -> String {
    let paint = |colour: &str, text: &str| match has_colours {
        true => in_colour(colour, text),
        false => text.to_owned(),
    };
    let mut page = format!("{title}\n\n");
    let mut topic = "";
    for finding in findings {
        let shown = if topic == finding.topic {
            ""
        } else {
            finding.topic
        };
        topic = finding.topic;
        let (colour, mark) = match finding.mark {
            Mark::Ok => (colour::GREEN, "✔ ok  "),
            Mark::Warn => (colour::YELLOW, "! warn"),
            Mark::Fail => (colour::RED, "✖ FAIL"),
        };
        let width = columns.saturating_sub(INDENT).max(TEXT_WIDTH_MIN);
        let mut lines = broken(&finding.said, width).into_iter();
        let first = lines.next().unwrap_or_default();
        let mark = paint(colour, mark);
        page.push_str(&format!("  {mark}  {shown:<TOPIC_WIDTH$}  {first}\n"));
        for line in lines {
            page.push_str(&format!("{:INDENT$}{line}\n", ""));
        }
        if let Some(next) = &finding.next {
            for (index, line) in broken(next, width.saturating_sub(2)).iter().enumerate() {
                let arrow = if index == 0 { "→" } else { " " };
                let line = paint(colour::DIM, &format!("{arrow} {line}"));
                page.push_str(&format!("{:INDENT$}{line}\n", ""));
            }
        }
    }
    let count = |mark| {
        findings
            .iter()
            .filter(|finding| finding.mark == mark)
            .count()
    };
    let (failed, warned, good) = (count(Mark::Fail), count(Mark::Warn), count(Mark::Ok));
    let sum = format!("{failed} failed, {warned} warned, {good} ok");
    let colour = match worst(findings) {
        Mark::Ok => colour::GREEN,
        Mark::Warn => colour::YELLOW,
        Mark::Fail => colour::RED,
    };
    page.push_str(&format!("\n{}\n", paint(colour, &sum)));
    page
}

/// `text` in lines of at most `width` characters, broken at blanks; a longer word stays whole.
fn broken(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

fn time(text: &str) -> Result<Duration, String> {
    config::duration(text).map_err(|problem| format!("{problem}; a time is such as 90s, 15m or 2h"))
}

/// A certificate that ends within so many days is wrong, unless told otherwise.
pub(crate) const CERTIFICATE_DAYS: u32 = 14;

pub(crate) const DAY: Duration = Duration::from_secs(86_400);

const PROGRESS_STEP: Duration = Duration::from_millis(200);

/// The longest topic.
const TOPIC_WIDTH: usize = 12;

/// Where texts begin: two blanks, mark, two, topic, two.
const INDENT: usize = 2 + 6 + 2 + TOPIC_WIDTH + 2;

const TEXT_WIDTH_MIN: usize = 30;

const FOOT: &str = "\
What is looked at: whether a drain is attached and delivers; whether certificates end soon (those that \
drains' destinations showed, drains' own and the router's); whether anything was lost in the last day \
(by drains, or over a rate limit); how near to its limit the busiest source was; and which sources fell \
silent. Rates and silence are judged by the messages that the channel keeps, so of a channel without \
history nothing is known, and a router that was started anew begins anew.

Exit codes: 0 nothing is wrong, 1 something is, others as everywhere. Warnings do not count.

Examples:
  logboom check shop
  logboom check shop --json | jq '.checks[] | select(.result != \"ok\")'";

/// A mark as a word.
const fn word(mark: Mark) -> &'static str {
    match mark {
        Mark::Ok => "ok",
        Mark::Warn => "warn",
        Mark::Fail => "fail",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_broken_at_blanks() {
        assert_eq!(broken("a bc  def", 4), ["a bc", "def"]);
        assert_eq!(broken("longer than", 4), ["longer", "than"]);
        assert_eq!(broken("", 4), [""; 0]);
    }
}
