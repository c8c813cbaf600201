//! The router's own counters as messages of a channel, once a minute (Logplex's metrics channel).
//!
//! Conventions of l2met: `count#name=` is what a counter grew by since the last time,
//! `sample#name=` is a gauge. What Prometheus' text has as labels follows the name after a dot.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::channel::Node;
use crate::clock;
use crate::id::ChannelId;
use crate::limits::METRICS_LINE_BYTES_MAX;
use crate::shutdown::Shutdown;
use crate::syslog::message::Message;
use crate::syslog::message::Pri;
use crate::syslog::message::Timestamp;

/// How often the counters are written.
pub const METRICS_INTERVAL: Duration = Duration::from_secs(60);

/// Writes what `render` gives (Prometheus' text) to channel `id` every `METRICS_INTERVAL`, under
/// the name `node_name`, until `shutdown`. While the channel is not there (the router makes it when
/// it starts; it may have been deleted) nothing is written.
pub async fn feed(
    node: Arc<Node>,
    id: ChannelId,
    node_name: String,
    render: impl Fn() -> String + Send,
    shutdown: Shutdown,
) {
    let mut counts = Counts::default();
    counts.lines(&node_name, &render());
    loop {
        tokio::select! {
            () = shutdown.requested() => return,
            () = tokio::time::sleep(METRICS_INTERVAL) => {}
        }
        let lines = counts.lines(&node_name, &render());
        if let Some(channel) = node.channel(&id) {
            let now = clock::wall();
            let timestamp = now.to_micros_text();
            let messages = lines.iter().map(|line| message(&timestamp, line));
            channel.append(messages, now);
        }
    }
}

fn message<'a>(timestamp: &'a str, line: &'a str) -> Message<'a> {
    Message {
        pri: Pri::or_default(PRI_LOCAL0_INFO),
        is_truncated: false,
        timestamp: Timestamp::Given(timestamp.as_bytes()),
        hostname: b"-",
        app_name: b"logboom",
        procid: b"metrics",
        msgid: b"-",
        sd: b"-",
        text: line.as_bytes(),
    }
}

/// local0.info, as the router's other messages have it (RFC 5424, 6.2.1).
const PRI_LOCAL0_INFO: u32 = 134;

/// The counters as they stood last time.
#[derive(Default)]
struct Counts {
    before: BTreeMap<String, f64>,
}

impl Counts {
    /// The lines for `rendered`; counters as the difference to the last call.
    fn lines(&mut self, node_name: &str, rendered: &str) -> Vec<String> {
        let mut lines = Vec::new();
        let mut line = String::new();
        // The recorder has no order of its own; readers find a number at the same place each time.
        let samples: BTreeMap<String, f64> = rendered.lines().filter_map(sample).collect();
        for (name, value) in samples {
            let pair = if is_counter(&name) {
                let before = self.before.insert(name.clone(), value).unwrap_or(0.0);
                format!(" count#{name}={}", (value - before).max(0.0))
            } else {
                format!(" sample#{name}={value}")
            };
            if METRICS_LINE_BYTES_MAX < line.len() + pair.len() && !line.is_empty() {
                lines.push(std::mem::take(&mut line));
            }
            if line.is_empty() {
                line = format!("source={node_name}");
            }
            line.push_str(&pair);
        }
        if !line.is_empty() {
            lines.push(line);
        }
        lines
    }
}

fn is_counter(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default();
    ["_total", "_count", "_sum"]
        .iter()
        .any(|end| stem.ends_with(end))
}

/// `logboom_NAME{label="VALUE"} NUMBER` as `NAME.VALUE` and the number; `None` for comments and for
/// the buckets of histograms, of which the count and the sum are enough here.
fn sample(line: &str) -> Option<(String, f64)> {
    let (series, number) = line.rsplit_once(' ')?;
    let (name, labels) = series.split_once('{').unwrap_or((series, ""));
    let name = name.strip_prefix("logboom_")?;
    if name.ends_with("_bucket") || labels.contains("quantile=") {
        return None;
    }
    let mut full = name.to_owned();
    for label in labels.trim_end_matches('}').split(',') {
        if let Some((_, value)) = label.split_once('=') {
            full.push('.');
            full.push_str(value.trim_matches('"'));
        }
    }
    Some((full, number.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_become_pairs() {
        let table = [
            ("# TYPE logboom_channels gauge", None),
            ("logboom_channels 3", Some(("channels", 3.0))),
            (
                "logboom_dropped_messages_total{reason=\"malformed\"} 2",
                Some(("dropped_messages_total.malformed", 2.0)),
            ),
            ("logboom_drain_batch_bytes_bucket{le=\"1\"} 2", None),
            ("other_total 1", None),
            ("", None),
        ];
        for (line, expected) in table {
            let expected = expected.map(|(name, value)| (name.to_owned(), value));
            assert_eq!(sample(line), expected, "{line}");
        }
    }

    #[test]
    fn counters_are_written_as_their_growth() {
        let mut counts = Counts::default();
        let rendered = |routed: u32| format!("logboom_routed_total {routed}\nlogboom_tails 4\n");
        counts.lines("n1", &rendered(10));
        assert_eq!(
            counts.lines("n1", &rendered(15)),
            ["source=n1 count#routed_total=5 sample#tails=4"]
        );
    }

    #[test]
    fn long_lists_go_over_several_lines() {
        use std::fmt::Write;
        let mut rendered = String::new();
        for index in 0..200 {
            writeln!(rendered, "logboom_gauge_number_{index} {index}").unwrap();
        }
        let lines = Counts::default().lines("n1", &rendered);
        assert!(1 < lines.len());
        assert!(
            lines
                .iter()
                .all(|line| line.len() <= METRICS_LINE_BYTES_MAX)
        );
        assert!(
            lines
                .iter()
                .all(|line| line.starts_with("source=n1 sample#"))
        );
        assert_eq!(lines.join(" ").matches("sample#").count(), 200);
    }
}
