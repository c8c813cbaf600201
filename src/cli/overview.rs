//! `logboom status`: how the router is, in the manner of `logboom check`.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use crate::cli::arguments::Connection;
use crate::cli::channels::text;
use crate::cli::check;
use crate::cli::check::facts::Node;
use crate::cli::check::judge::Finding;
use crate::cli::check::judge::Mark;
use crate::cli::check::judge::fail;
use crate::cli::check::judge::of_certificate;
use crate::cli::check::judge::ok;
use crate::cli::check::judge::span;
use crate::cli::check::judge::warn;
use crate::cli::client::Client;
use crate::cli::error::CliError;
use crate::cli::output::Out;
use crate::cli::small_runtime;
use crate::cli::top::Sort;
use crate::cli::top::stats;
use crate::cli::top::stats::Stats;
use crate::clock::UnixMicros;
use crate::config::Environment;

/// Flags of `status`.
#[derive(Args, Clone, Debug)]
#[command(after_help = FOOT)]
pub(crate) struct Status {
    #[command(flatten)]
    pub(crate) connection: Connection,
}

/// What was asked of the router.
struct Facts {
    is_well: bool,
    health: String,
    node: Node,
    stats: Stats,
}

/// Prints how the router is; exit code 1 when something is wrong.
pub(crate) fn run(
    status: &Status,
    environment: &Environment,
    out: &Out,
) -> Result<ExitCode, CliError> {
    let client = Client::new(&status.connection, environment)?;
    let asked = small_runtime()?.block_on(async {
        let (code, answer) = client.ask("/healthcheck").await?;
        let health = text(&answer, "status");
        if !code.is_success() {
            // Nothing else is answered then.
            return Ok((false, health, json!({}), json!({})));
        }
        let node = client.get("/v3/node").await?;
        let stats = stats::ask(&client, Sort::Rate, "").await?;
        Ok::<_, CliError>((true, health, node, stats))
    })?;
    let (is_well, health, node, stats) = asked;
    let answers = json!({
        "status": health,
        "healthy": is_well,
        "node": node,
        "totals": stats.get("totals"),
    });
    let facts = Facts {
        is_well,
        health,
        node: check::understood("the router", node)?,
        stats: Stats::of(stats)?,
    };
    let findings = judge(&facts);
    if status.connection.json {
        out.json(&answers)?;
    } else {
        let has_colours = status.connection.colour().is_wanted(out, environment);
        let title = format!("The router at {}", client.url("/")?);
        let (columns, _) = out.size();
        out.write(&check::page(&title, &findings, has_colours, columns))?;
    }
    Ok(match check::worst(&findings) {
        Mark::Fail => ExitCode::FAILURE,
        Mark::Ok | Mark::Warn => ExitCode::SUCCESS,
    })
}

fn judge(facts: &Facts) -> Vec<Finding> {
    let now = UnixMicros::parse(&facts.stats.now).unwrap_or_default();
    let mut found = vec![router(facts, now)];
    if !facts.is_well {
        return found;
    }
    found.extend([channels(facts), drains(facts), losses(facts)]);
    let bound = check::DAY * check::CERTIFICATE_DAYS;
    for certificate in &facts.node.certificates {
        let end = certificate.not_after.as_deref().and_then(UnixMicros::parse);
        let name = format!("the one of {}", certificate.listener);
        let next = "renew its file and send the router SIGHUP";
        found.extend(end.map(|end| of_certificate(&name, end, now, bound, next)));
    }
    found
}

fn router(facts: &Facts, now: UnixMicros) -> Finding {
    let Facts { health, node, .. } = facts;
    if !facts.is_well {
        let next = "its log says why; `logboom health --wait 10` waits for it".to_owned();
        return fail("router", format!("it says: {health}"), next);
    }
    let version = &node.version;
    let started = UnixMicros::parse(&node.started).unwrap_or(now);
    let up = span(Duration::from_micros(
        now.value().saturating_sub(started.value()),
    ));
    ok(
        "router",
        format!("{health}, version {version}, up for {up}"),
    )
}

fn channels(facts: &Facts) -> Finding {
    let totals = &facts.stats.totals;
    let rate = totals.messages_per_second;
    match totals.channels {
        0 => {
            let next = "logboom channels create shop".to_owned();
            warn("channels", "there is none".to_owned(), next)
        }
        count => {
            let said = format!("{count}, taking {rate:.1} messages a second");
            ok("channels", said)
        }
    }
}

fn drains(facts: &Facts) -> Finding {
    let totals = &facts.stats.totals;
    let (count, failing, lag) = (totals.drains, totals.drains_failing, totals.lag_messages);
    let next = "logboom drains status".to_owned();
    match (count, failing) {
        (0, _) => ok("drains", "there is none".to_owned()),
        (_, 0) => ok("drains", format!("{count}, {lag} messages to send")),
        _ => {
            let said = format!("{failing} of {count} failing, {lag} messages to send");
            fail("drains", said, next)
        }
    }
}

fn losses(facts: &Facts) -> Finding {
    match facts.stats.totals.lost {
        0 => ok("losses", "none by drains since the start".to_owned()),
        lost => {
            let said = format!("{lost} messages by drains since the start");
            warn("losses", said, "logboom top --sort lost".to_owned())
        }
    }
}

const FOOT: &str = "\
Of one channel: `logboom check CHANNEL`. While it works: `logboom top`, `logboom drains status`.

Exit codes: 0 nothing is wrong, 1 something is, others as everywhere. Warnings do not count.";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::check::facts::Certificate;
    use crate::cli::top::stats::Totals;

    fn facts() -> Facts {
        Facts {
            is_well: true,
            health: "normal".to_owned(),
            node: Node {
                version: "1.2.3".to_owned(),
                started: "2026-11-20T10:00:00Z".to_owned(),
                ..Node::default()
            },
            stats: Stats {
                now: "2026-11-20T13:30:00Z".to_owned(),
                totals: Totals {
                    channels: 12,
                    messages_per_second: 3.25,
                    lag_messages: 5,
                    drains: 4,
                    ..Totals::default()
                },
                ..Stats::default()
            },
        }
    }

    #[test]
    fn a_router_that_works_is_all_green() {
        let found = judge(&facts());
        let said: Vec<(Mark, &str)> = found.iter().map(|f| (f.mark, &*f.said)).collect();
        let expected = [
            (Mark::Ok, "normal, version 1.2.3, up for 3 hours"),
            (Mark::Ok, "12, taking 3.2 messages a second"),
            (Mark::Ok, "4, 5 messages to send"),
            (Mark::Ok, "none by drains since the start"),
        ];
        assert_eq!(said, expected);
    }

    #[test]
    fn what_is_wrong_says_what_to_do() {
        let check = |change: fn(&mut Facts), topic: &str, mark: Mark, said: &str| {
            let mut facts = facts();
            change(&mut facts);
            let found = judge(&facts);
            let finding = found.iter().find(|finding| finding.topic == topic).unwrap();
            assert_eq!((finding.mark, &*finding.said), (mark, said));
            assert!(finding.next.is_some(), "{said}");
        };
        let change = |facts: &mut Facts| {
            facts.is_well = false;
            facts.health = "stopping".to_owned();
        };
        check(change, "router", Mark::Fail, "it says: stopping");
        let change = |facts: &mut Facts| facts.stats.totals.channels = 0;
        check(change, "channels", Mark::Warn, "there is none");
        let change = |facts: &mut Facts| facts.stats.totals.drains_failing = 1;
        let said = "1 of 4 failing, 5 messages to send";
        check(change, "drains", Mark::Fail, said);
        let change = |facts: &mut Facts| facts.stats.totals.lost = 7;
        let said = "7 messages by drains since the start";
        check(change, "losses", Mark::Warn, said);
        let change = |facts: &mut Facts| {
            facts.node.certificates = vec![Certificate {
                listener: "http".to_owned(),
                not_after: Some("2026-11-25T00:00:00Z".to_owned()),
            }];
        };
        let said = "the one of http ends in 4 days, on 2026-11-25";
        check(change, "certificates", Mark::Fail, said);
    }
}
