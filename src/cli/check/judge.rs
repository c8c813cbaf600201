//! From what is known of a channel to what is well, what may go wrong and what is wrong. Pure.

use std::time::Duration;

use crate::cli::check::facts::Drain;
use crate::cli::check::facts::Facts;
use crate::cli::check::facts::Source;
use crate::cli::check::facts::Status;
use crate::cli::status::redacted;
use crate::clock::UnixMicros;

/// How one thing is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Mark {
    /// As it should be.
    Ok,
    /// Worth a look.
    Warn,
    /// Wrong.
    Fail,
}

/// What was looked at, how it is, and what to do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Finding {
    pub(crate) topic: &'static str,
    pub(crate) mark: Mark,
    pub(crate) said: String,
    pub(crate) next: Option<String>,
}

/// From where on it is wrong.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// A certificate that ends sooner.
    pub(crate) certificate: Duration,
    /// A source that is silent for longer, and for longer than it usually is.
    pub(crate) silence: Duration,
}

/// Everything that is looked at, by topic.
pub(crate) fn judge(facts: &Facts, bounds: Bounds) -> Vec<Finding> {
    let mut all = drains(facts);
    all.extend(certificates(facts, bounds.certificate));
    all.extend(losses(facts));
    all.extend(rates(facts));
    all.extend(sources(facts, bounds.silence));
    all
}

pub(crate) fn ok(topic: &'static str, said: String) -> Finding {
    Finding {
        topic,
        mark: Mark::Ok,
        said,
        next: None,
    }
}

pub(crate) fn warn(topic: &'static str, said: String, next: String) -> Finding {
    Finding {
        topic,
        mark: Mark::Warn,
        said,
        next: Some(next),
    }
}

pub(crate) fn fail(topic: &'static str, said: String, next: String) -> Finding {
    Finding {
        topic,
        mark: Mark::Fail,
        said,
        next: Some(next),
    }
}

fn attached(facts: &Facts) -> impl Iterator<Item = (&Drain, &str)> {
    facts
        .drains
        .iter()
        .filter_map(|drain| Some((drain, drain.url.as_deref()?)))
}

fn drains(facts: &Facts) -> Vec<Finding> {
    const TOPIC: &str = "drains";
    let channel = &facts.channel;
    let found: Vec<Finding> = attached(facts)
        .map(|(drain, url)| {
            let name = format!("drain {} to {}", drain.id, redacted(url));
            let show = format!("`logboom drains show {channel} {}` tells more", drain.id);
            match &drain.status {
                None => fail(
                    TOPIC,
                    format!("{name} does not run: its filter cannot be read"),
                    "set its filter anew; the router's log says what is wrong with it".to_owned(),
                ),
                Some(status) => of_drain(&name, status, show),
            }
        })
        .collect();
    if found.is_empty() {
        return vec![fail(
            TOPIC,
            "no drain is attached: nobody keeps these messages".to_owned(),
            format!("attach one: `logboom drains create {channel} URL`"),
        )];
    }
    found
}

fn of_drain(name: &str, status: &Status, show: String) -> Finding {
    const TOPIC: &str = "drains";
    let why = match (&status.last_error, status.last_status) {
        (Some(error), _) => format!(": {error}"),
        (None, Some(code)) => format!(": status {code}"),
        (None, None) => String::new(),
    };
    let waiting = status.lag_messages;
    match status.state.as_str() {
        "failing" => fail(
            TOPIC,
            format!("{name} is failing{why}; {waiting} messages wait"),
            format!("look at the destination; {show}"),
        ),
        "retrying" => warn(
            TOPIC,
            format!("{name} tries again{why}; {waiting} messages wait"),
            show,
        ),
        _ if status.delivered == 0 && 0 < waiting => warn(
            TOPIC,
            format!("{name} has delivered nothing yet; {waiting} messages wait"),
            show,
        ),
        _ if status.delivered == 0 => ok(TOPIC, format!("{name} has had nothing to send yet")),
        _ => ok(
            TOPIC,
            format!(
                "{name} delivers: {} so far, {waiting} wait",
                status.delivered
            ),
        ),
    }
}

fn certificates(facts: &Facts, bound: Duration) -> Vec<Finding> {
    const TOPIC: &str = "certificates";
    let now = facts.now();
    let mut found = Vec::new();
    let mut look = |name: String, not_after: Option<&String>, next: &str| {
        let Some(end) = not_after.and_then(|text| UnixMicros::parse(text)) else {
            return;
        };
        found.push(of_certificate(&name, end, now, bound, next));
    };
    for (drain, url) in attached(facts) {
        let Some(tls) = &drain.tls else { continue };
        look(
            format!("the certificate of {}", redacted(url)),
            tls.not_after.as_ref(),
            "tell who runs the destination",
        );
        look(
            format!("the client certificate of drain {}", drain.id),
            tls.client_not_after.as_ref(),
            "give the drain a new one (`client_cert` and `client_key`)",
        );
    }
    for certificate in &facts.node.certificates {
        look(
            format!("the router's own certificate ({})", certificate.listener),
            certificate.not_after.as_ref(),
            "renew its file and send the router SIGHUP",
        );
    }
    let is_unseen = |(drain, _): &(&Drain, &str)| {
        let tls = drain.tls.as_ref();
        tls.is_some_and(|tls| tls.not_after.is_none())
    };
    if let Some((drain, _)) = attached(facts).find(is_unseen) {
        let said = format!("drain {} has not seen its destination's yet", drain.id);
        let next = "it is seen with the first message that is sent".to_owned();
        found.push(warn(TOPIC, said, next));
    }
    if found.is_empty() {
        return vec![ok(TOPIC, "none is in use".to_owned())];
    }
    found
}

pub(crate) fn of_certificate(
    name: &str,
    end: UnixMicros,
    now: UnixMicros,
    bound: Duration,
    next: &str,
) -> Finding {
    const TOPIC: &str = "certificates";
    let left = Duration::from_micros(end.value().saturating_sub(now.value()));
    let day = end.to_seconds_text();
    let day = day.split('T').next().unwrap_or_default();
    if left.is_zero() {
        return fail(TOPIC, format!("{name} ended on {day}"), next.to_owned());
    }
    let said = format!("{name} ends in {}, on {day}", span(left));
    if left < bound {
        fail(TOPIC, said, next.to_owned())
    } else if left < bound * 2 {
        warn(TOPIC, said, next.to_owned())
    } else {
        ok(TOPIC, said)
    }
}

fn losses(facts: &Facts) -> Vec<Finding> {
    const TOPIC: &str = "losses";
    let channel = &facts.channel;
    let mut found: Vec<Finding> = attached(facts)
        .filter_map(|(drain, _)| Some((drain.id, drain.status.as_ref()?.lost_last_day)))
        .filter(|(_, lost)| 0 < *lost)
        .map(|(id, lost)| {
            fail(
                TOPIC,
                format!("drain {id} lost {lost} messages in the last day"),
                format!(
                    "`logboom drains show {channel} {id}` says why; a destination that is too slow \
                     needs a filter, compression or a greater `channel_bytes_max`"
                ),
            )
        })
        .collect();
    let limited = facts.sources.rate_limited_last_day;
    if 0 < limited {
        found.push(fail(
            TOPIC,
            format!("{limited} messages were dropped over the rate limit in the last day"),
            format!("`logboom logs {channel} --ps logplex` says whose"),
        ));
    }
    if found.is_empty() {
        let up = UnixMicros::parse(&facts.node.started).unwrap_or_default();
        let up = Duration::from_micros(facts.now().value().saturating_sub(up.value()));
        let said = if up < DAY {
            format!(
                "nothing was lost since the router started, {} ago",
                span(up)
            )
        } else {
            "nothing was lost in the last day".to_owned()
        };
        found.push(ok(TOPIC, said));
    }
    found
}

fn rates(facts: &Facts) -> Vec<Finding> {
    const TOPIC: &str = "rates";
    let limits = &facts.node.limits;
    let per_minute = |limit: Option<u64>| limit.map(|limit| limit.saturating_mul(60));
    let (messages, bytes) = (
        per_minute(limits.messages_per_second),
        per_minute(limits.bytes_per_second),
    );
    if messages.is_none() && bytes.is_none() {
        return vec![ok(TOPIC, "no rate limit is set".to_owned())];
    }
    let percent = |count: u64, limit: Option<u64>| {
        limit.map_or(0, |limit| count.saturating_mul(100) / limit.max(1))
    };
    let nearest = facts
        .sources
        .sources
        .iter()
        .filter(|source| source.has_token)
        .map(|source| {
            let used = percent(source.minute_messages_max, messages)
                .max(percent(source.minute_bytes_max, bytes));
            (used, source.source.as_str())
        })
        .max();
    match nearest {
        Some((used, source)) if NEAR_PERCENT <= used => vec![warn(
            TOPIC,
            format!("source {source} took {used} % of its limit in its busiest minute"),
            "raise `rate_messages_per_second` or `rate_bytes_per_second`, or send less".to_owned(),
        )],
        Some((used, source)) => vec![ok(
            TOPIC,
            format!("{used} % of the limit at most (source {source}, in its busiest minute)"),
        )],
        None => vec![ok(TOPIC, "nobody writes".to_owned())],
    }
}

fn sources(facts: &Facts, bound: Duration) -> Vec<Finding> {
    const TOPIC: &str = "sources";
    let now = facts.now();
    let with_tokens = facts
        .sources
        .sources
        .iter()
        .filter(|source| source.has_token);
    let found: Vec<Finding> = with_tokens
        .map(|source| of_source(source, &facts.channel, now, bound))
        .collect();
    if found.is_empty() {
        return vec![fail(
            TOPIC,
            "there is no token: nobody can write".to_owned(),
            format!("make one: `logboom tokens create {} app`", facts.channel),
        )];
    }
    found
}

fn of_source(source: &Source, channel: &str, now: UnixMicros, bound: Duration) -> Finding {
    const TOPIC: &str = "sources";
    let name = &source.source;
    let Some(last) = source.last_at.as_deref().and_then(UnixMicros::parse) else {
        return warn(
            TOPIC,
            format!("source {name} has a token and wrote nothing that is kept"),
            format!(
                "look whether it still should; a token that nobody uses any more is removed by \
                 `logboom tokens delete {channel} {name}`"
            ),
        );
    };
    let silent = Duration::from_micros(now.value().saturating_sub(last.value()));
    let usual = Duration::from_millis(source.gap_ms_max);
    let said = format!("source {name} wrote {} ago", span(silent));
    if source.messages < KNOWN_MESSAGES_MIN || silent <= bound.max(usual * SILENCE_FACTOR) {
        return ok(TOPIC, said);
    }
    fail(
        TOPIC,
        format!(
            "{said}, and never paused for more than {} before",
            span(usual)
        ),
        "look whether it runs, and whether its token is right".to_owned(),
    )
}

/// `time` as people say it: its greatest unit, rounded down.
pub(crate) fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    let (count, unit) = match seconds {
        0 => return "less than a second".to_owned(),
        1..60 => (seconds, "second"),
        60..3_600 => (seconds / 60, "minute"),
        3_600..86_400 => (seconds / 3_600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{plural}")
}

const DAY: Duration = Duration::from_secs(86_400);

/// From here on a source is told to be near its limit.
const NEAR_PERCENT: u64 = 80;

/// Of a source with fewer messages nobody knows how it usually is.
const KNOWN_MESSAGES_MIN: u64 = 10;

/// A source is silent when it is so for this many times its longest pause.
const SILENCE_FACTOR: u32 = 3;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::check::facts::Certificate;
    use crate::cli::check::facts::Limits;
    use crate::cli::check::facts::Node;
    use crate::cli::check::facts::Sources;
    use crate::cli::check::facts::Tls;

    const NOW: &str = "2026-11-20T12:00:00Z";

    const BOUNDS: Bounds = Bounds {
        certificate: Duration::from_secs(14 * 86_400),
        silence: Duration::from_secs(900),
    };

    fn source(name: &str, messages: u64, last_at: &str, gap_ms_max: u64) -> Source {
        Source {
            source: name.to_owned(),
            has_token: true,
            messages,
            last_at: Some(last_at.to_owned()),
            gap_ms_max,
            ..Source::default()
        }
    }

    fn drain(state: &str) -> Drain {
        Drain {
            id: 7,
            url: Some("https://u:secret@e.example/".to_owned()),
            tls: None,
            status: Some(Status {
                state: state.to_owned(),
                delivered: 5,
                ..Status::default()
            }),
        }
    }

    fn well() -> Facts {
        Facts {
            channel: "shop".to_owned(),
            drains: vec![drain("idle")],
            sources: Sources {
                now: NOW.to_owned(),
                sources: vec![source("app", 100, "2026-11-20T11:59:00Z", 1_000)],
                rate_limited_last_day: 0,
            },
            node: Node {
                started: "2026-11-01T00:00:00Z".to_owned(),
                ..Node::default()
            },
        }
    }

    fn check(change: impl Fn(&mut Facts), topic: &str, mark: Mark, said: &str) {
        let mut facts = well();
        change(&mut facts);
        let all = judge(&facts, BOUNDS);
        let found = all
            .iter()
            .filter(|finding| finding.topic == topic)
            .max_by_key(|finding| finding.mark)
            .unwrap();
        assert_eq!(found.mark, mark, "{all:#?}");
        assert!(found.said.contains(said), "{found:#?} lacks {said:?}");
        assert!(!format!("{all:?}").contains("secret"), "{all:#?}");
        assert_eq!(found.next.is_none(), mark == Mark::Ok, "{found:#?}");
        let others = all.iter().filter(|finding| finding.topic != topic);
        assert!(
            others.into_iter().all(|finding| finding.mark == Mark::Ok),
            "{all:#?}"
        );
    }

    #[test]
    fn a_good_channel_is_all_green() {
        let all = judge(&well(), BOUNDS);
        assert!(
            all.iter().all(|finding| finding.mark == Mark::Ok),
            "{all:#?}"
        );
        let topics: Vec<&str> = all.iter().map(|finding| finding.topic).collect();
        assert_eq!(
            topics,
            ["drains", "certificates", "losses", "rates", "sources"]
        );
    }

    #[test]
    fn drains_are_attached_and_healthy() {
        let set = |state: &'static str| move |facts: &mut Facts| facts.drains = vec![drain(state)];
        check(set("sending"), "drains", Mark::Ok, "delivers: 5 so far");
        let rested = |facts: &mut Facts| {
            let mut idle = drain("idle");
            if let Some(status) = &mut idle.status {
                status.delivered = 0;
                status.lag_messages = 0;
            }
            facts.drains = vec![idle];
        };
        check(rested, "drains", Mark::Ok, "has had nothing to send yet");
        check(set("retrying"), "drains", Mark::Warn, "tries again");
        check(set("failing"), "drains", Mark::Fail, "is failing");
        check(
            |facts| facts.drains.clear(),
            "drains",
            Mark::Fail,
            "no drain is attached",
        );
        check(
            |facts| facts.drains[0].url = None,
            "drains",
            Mark::Fail,
            "no drain is attached",
        );
        check(
            |facts| facts.drains[0].status = None,
            "drains",
            Mark::Fail,
            "does not run",
        );
    }

    #[test]
    fn certificates_do_not_end_soon() {
        let shown = |end: &'static str| {
            move |facts: &mut Facts| {
                facts.drains[0].tls = Some(Tls {
                    not_after: Some(end.to_owned()),
                    client_not_after: None,
                });
            }
        };
        check(
            shown("2027-11-20T12:00:00Z"),
            "certificates",
            Mark::Ok,
            "ends in 365 days",
        );
        check(
            shown("2026-12-10T12:00:00Z"),
            "certificates",
            Mark::Warn,
            "ends in 20 days",
        );
        check(
            shown("2026-11-25T12:00:00Z"),
            "certificates",
            Mark::Fail,
            "ends in 5 days, on 2026-11-25",
        );
        check(
            shown("2026-11-19T12:00:00Z"),
            "certificates",
            Mark::Fail,
            "ended on 2026-11-19",
        );
        let unseen = |facts: &mut Facts| facts.drains[0].tls = Some(Tls::default());
        check(
            unseen,
            "certificates",
            Mark::Warn,
            "has not seen its destination's",
        );
        let own = |facts: &mut Facts| {
            facts.node.certificates = vec![Certificate {
                listener: "http".to_owned(),
                not_after: Some("2026-11-21T12:00:00Z".to_owned()),
            }];
        };
        check(
            own,
            "certificates",
            Mark::Fail,
            "the router's own certificate (http) ends in 1 day",
        );
    }

    #[test]
    fn nothing_is_lost() {
        let lost = |facts: &mut Facts| {
            facts.drains[0].status.as_mut().unwrap().lost_last_day = 9;
        };
        check(lost, "losses", Mark::Fail, "drain 7 lost 9 messages");
        let limited = |facts: &mut Facts| facts.sources.rate_limited_last_day = 3;
        check(
            limited,
            "losses",
            Mark::Fail,
            "3 messages were dropped over the rate limit",
        );
        let young = |facts: &mut Facts| facts.node.started = "2026-11-20T09:00:00Z".to_owned();
        check(
            young,
            "losses",
            Mark::Ok,
            "since the router started, 3 hours ago",
        );
    }

    #[test]
    fn rates_are_far_from_limits() {
        let used = |messages: u64| {
            move |facts: &mut Facts| {
                facts.node.limits = Limits {
                    messages_per_second: Some(10),
                    bytes_per_second: None,
                };
                facts.sources.sources[0].minute_messages_max = messages;
            }
        };
        check(
            used(300),
            "rates",
            Mark::Ok,
            "50 % of the limit at most (source app",
        );
        check(used(480), "rates", Mark::Warn, "source app took 80 %");
    }

    #[test]
    fn silence_is_judged_by_what_is_usual() {
        let set = |messages, last: &'static str, gap| {
            move |facts: &mut Facts| {
                facts.sources.sources = vec![source("app", messages, last, gap)]
            }
        };
        check(
            set(10, "2026-11-20T11:44:59Z", 1_000),
            "sources",
            Mark::Fail,
            "never paused",
        );
        check(
            set(10, "2026-11-20T11:45:01Z", 1_000),
            "sources",
            Mark::Ok,
            "14 minutes ago",
        );
        check(
            set(10, "2026-11-20T11:00:00Z", 3_000_000),
            "sources",
            Mark::Ok,
            "1 hour ago",
        );
        check(
            set(9, "2026-11-20T01:00:00Z", 1_000),
            "sources",
            Mark::Ok,
            "11 hours ago",
        );
        let never = |facts: &mut Facts| facts.sources.sources[0].last_at = None;
        check(never, "sources", Mark::Warn, "wrote nothing that is kept");
        let nobody = |facts: &mut Facts| facts.sources.sources[0].has_token = false;
        check(nobody, "sources", Mark::Fail, "there is no token");
    }
}
