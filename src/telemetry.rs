//! Numbers about the router itself: one set of handles, added to once per read or batch.
//!
//! The recorder is the router's own, not the process's, so that several routers (tests) do not
//! mix. No label has a value that users make up.

use metrics::{Counter, Gauge, Histogram, Key, Label, Level, Metadata, Recorder};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

/// Why a message, or what was to become one, did not reach a channel as it was sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DropReason {
    /// The token in the APP-NAME is none that is known.
    UnknownToken,
    /// No token stands where one must, and the listener is bound to none.
    NoToken,
    /// The bytes could not be cut into a frame, or a frame ended early.
    Malformed,
    /// Over the token's rate limit.
    RateLimited,
    /// The token does not belong to a channel that the credential may write to.
    Forbidden,
    /// An empty datagram.
    Empty,
}

impl DropReason {
    /// Every reason, in the order of the counters.
    pub const ALL: [Self; 6] = [
        Self::UnknownToken,
        Self::NoToken,
        Self::Malformed,
        Self::RateLimited,
        Self::Forbidden,
        Self::Empty,
    ];

    /// The reason as the value of the `reason` label.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::UnknownToken => "unknown_token",
            Self::NoToken => "no_token",
            Self::Malformed => "malformed",
            Self::RateLimited => "rate_limited",
            Self::Forbidden => "forbidden",
            Self::Empty => "empty",
        }
    }
}

/// By which door a message came in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Input {
    /// `POST /logs`.
    Http,
    /// Syslog over TCP.
    Tcp,
    /// Syslog over TLS.
    Tls,
    /// Syslog over UDP.
    Udp,
}

impl Input {
    /// Every input, in the order of the counters.
    pub const ALL: [Self; 4] = [Self::Http, Self::Tcp, Self::Tls, Self::Udp];

    /// The input as the value of the `input` label.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Udp => "udp",
        }
    }
}

/// Counters of one input.
#[derive(Clone)]
pub struct InputCounters {
    /// Frames cut out of what arrived.
    pub frames: Counter,
    /// Bytes that arrived, before decompression.
    pub bytes: Counter,
    /// Connections accepted.
    pub connections: Counter,
    /// Connections open now.
    pub open: Gauge,
    /// Connections refused because the limit was met.
    pub refused: Counter,
}

/// The router's own counters, gauges and histograms.
#[derive(Clone)]
pub struct Telemetry {
    handle: PrometheusHandle,
    inputs: [InputCounters; 4],
    dropped: [Counter; 6],
    /// Messages appended to channels.
    pub routed: Counter,
    /// Messages kept only up to the frame limit.
    pub truncated: Counter,
    /// `POST /logs` requests answered again without a second delivery.
    pub duplicates: Counter,
    /// Channels known.
    pub channels: Gauge,
    /// Bytes of all segments.
    pub segment_bytes: Gauge,
    /// Open tails.
    pub tails: Gauge,
    /// Messages that tails lost to being lapped.
    pub tail_lost: Counter,
    /// Messages written to tails.
    pub tail_delivered: Counter,
    /// Messages confirmed by drains' destinations.
    pub drain_delivered: Counter,
    /// Messages lost by drains because the channel let them go.
    pub drain_lapped: Counter,
    /// Messages lost by drains because the destination refused them.
    pub drain_refused: Counter,
    /// Messages of batches that were sent, by batch.
    pub batch_messages: Histogram,
    /// Bytes of batches that were sent, by batch.
    pub batch_bytes: Histogram,
    /// Seconds from sending a batch to its answer.
    pub drain_request_seconds: Histogram,
    /// Seconds from a request's head to its answer's head.
    pub http_request_seconds: Histogram,
    /// Drains by state: idle, connecting, sending, retrying, failing.
    pub drains_by_state: [Gauge; 5],
    /// The lag of all drains together, in bytes.
    pub drain_lag_bytes: Gauge,
    /// The lag of all drains together, in messages.
    pub drain_lag_messages: Gauge,
}

/// Names of a drain's states, in the order of `Telemetry::drains_by_state`.
pub const DRAIN_STATES: [&str; 5] = ["idle", "connecting", "sending", "retrying", "failing"];

impl Telemetry {
    /// A fresh set, all zero.
    ///
    /// # Errors
    /// `BuildError` when the recorder refuses its buckets.
    pub fn new() -> Result<Self, BuildError> {
        let recorder = with_buckets(PrometheusBuilder::new())?.build_recorder();
        describe(&recorder);
        let make = Maker {
            recorder: &recorder,
        };
        Ok(Self {
            handle: recorder.handle(),
            inputs: Input::ALL.map(|input| make.input(input)),
            dropped: DropReason::ALL.map(|reason| {
                make.counter(
                    "logboom_dropped_messages_total",
                    &[("reason", reason.name())],
                )
            }),
            routed: make.counter("logboom_routed_messages_total", &[]),
            truncated: make.counter("logboom_truncated_messages_total", &[]),
            duplicates: make.counter("logboom_duplicate_requests_total", &[]),
            channels: make.gauge("logboom_channels", &[]),
            segment_bytes: make.gauge("logboom_segment_bytes", &[]),
            tails: make.gauge("logboom_tails", &[]),
            tail_lost: make.counter("logboom_tail_lost_messages_total", &[]),
            tail_delivered: make.counter("logboom_tail_delivered_messages_total", &[]),
            drain_delivered: make.counter("logboom_drain_delivered_messages_total", &[]),
            drain_lapped: make
                .counter("logboom_drain_lost_messages_total", &[("reason", "lapped")]),
            drain_refused: make.counter(
                "logboom_drain_lost_messages_total",
                &[("reason", "refused")],
            ),
            batch_messages: make.histogram("logboom_drain_batch_messages"),
            batch_bytes: make.histogram("logboom_drain_batch_bytes"),
            drain_request_seconds: make.histogram("logboom_drain_request_seconds"),
            http_request_seconds: make.histogram("logboom_http_request_seconds"),
            drains_by_state: DRAIN_STATES
                .map(|state| make.gauge("logboom_drains", &[("state", state)])),
            drain_lag_bytes: make.gauge("logboom_drain_lag_bytes", &[]),
            drain_lag_messages: make.gauge("logboom_drain_lag_messages", &[]),
        })
    }

    /// The counters of `input`.
    #[must_use]
    pub fn input(&self, input: Input) -> &InputCounters {
        let [http, tcp, tls, udp] = &self.inputs;
        match input {
            Input::Http => http,
            Input::Tcp => tcp,
            Input::Tls => tls,
            Input::Udp => udp,
        }
    }

    /// Counts `count` messages as dropped for `reason`.
    pub fn dropped(&self, reason: DropReason, count: u64) {
        if let Some(counter) = self.dropped.get(reason as usize) {
            counter.increment(count);
        }
    }

    /// Sums up what histograms have recorded. To be called now and then: until then, or until the
    /// numbers are asked for, every single value is kept.
    pub fn settle(&self) {
        self.handle.run_upkeep();
    }

    /// All numbers in Prometheus' text format.
    #[must_use]
    pub fn render(&self) -> String {
        self.handle.run_upkeep();
        self.handle.render()
    }
}

/// Gives each histogram the bounds that fit its unit.
fn with_buckets(mut builder: PrometheusBuilder) -> Result<PrometheusBuilder, BuildError> {
    for (name, bounds) in HISTOGRAMS {
        builder = builder.set_buckets_for_metric(Matcher::Full(name.to_owned()), bounds)?;
    }
    Ok(builder)
}

const HISTOGRAMS: [(&str, &[f64]); 4] = [
    ("logboom_drain_batch_messages", &MESSAGES),
    ("logboom_drain_batch_bytes", &BYTES),
    ("logboom_drain_request_seconds", &SECONDS),
    ("logboom_http_request_seconds", &SECONDS),
];

/// From an answer out of memory to the longest timeout.
const SECONDS: [f64; 15] = [
    0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0,
];

/// From a message alone to a full batch of small ones.
const MESSAGES: [f64; 13] = [
    1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0, 2_000.0, 10_000.0, 50_000.0,
];

/// From a message alone, over the default of `batch_bytes_max`, to its limit.
const BYTES: [f64; 10] = [
    256.0,
    1_024.0,
    4_096.0,
    16_384.0,
    65_536.0,
    102_400.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    8_388_608.0,
];

/// Says of every name what it counts, as `# HELP`.
fn describe(recorder: &impl Recorder) {
    for (name, help) in HELP {
        // The exporter keeps one list for all kinds.
        recorder.describe_counter((*name).into(), None, (*help).into());
    }
}

const HELP: &[(&str, &str)] = &[
    (
        "logboom_received_frames_total",
        "Frames cut out of what arrived, by input.",
    ),
    (
        "logboom_received_bytes_total",
        "Bytes of messages that arrived, before decompression, by input.",
    ),
    (
        "logboom_connections_total",
        "Connections accepted, by input; http counts the API's too.",
    ),
    (
        "logboom_connections_open",
        "Connections open now, by input.",
    ),
    (
        "logboom_connections_refused_total",
        "Connections refused because the limit was met, by input.",
    ),
    (
        "logboom_routed_messages_total",
        "Messages appended to channels.",
    ),
    (
        "logboom_dropped_messages_total",
        "Messages that reached no channel, by reason.",
    ),
    (
        "logboom_truncated_messages_total",
        "Messages kept only up to the frame limit.",
    ),
    (
        "logboom_duplicate_requests_total",
        "Repeated POST /logs answered without a second delivery.",
    ),
    ("logboom_channels", "Channels known."),
    (
        "logboom_segment_bytes",
        "Memory of all channels' segments in bytes.",
    ),
    ("logboom_tails", "Sessions being read now."),
    (
        "logboom_tail_delivered_messages_total",
        "Messages written to sessions' readers.",
    ),
    (
        "logboom_tail_lost_messages_total",
        "Messages that tails were too slow to read (L11).",
    ),
    ("logboom_drains", "Drains, by state."),
    (
        "logboom_drain_delivered_messages_total",
        "Messages that drains' destinations confirmed.",
    ),
    (
        "logboom_drain_lost_messages_total",
        "Messages that drains lost (L10), by reason.",
    ),
    (
        "logboom_drain_lag_messages",
        "Messages that all drains together still have to send.",
    ),
    (
        "logboom_drain_lag_bytes",
        "Bytes that all drains together still have to send.",
    ),
    (
        "logboom_drain_batch_messages",
        "Messages in a batch that was sent.",
    ),
    (
        "logboom_drain_batch_bytes",
        "Bytes of a batch that was sent, after compression.",
    ),
    (
        "logboom_drain_request_seconds",
        "Seconds from sending a batch to its answer.",
    ),
    (
        "logboom_http_request_seconds",
        "Seconds from an HTTP request's head to its answer's head.",
    ),
];

/// Makes handles at one recorder.
struct Maker<'a, R> {
    recorder: &'a R,
}

impl<R: Recorder> Maker<'_, R> {
    fn key(name: &'static str, labels: &[(&'static str, &'static str)]) -> Key {
        let labels: Vec<Label> = labels
            .iter()
            .map(|&(key, value)| Label::from_static_parts(key, value))
            .collect();
        Key::from_parts(name, labels)
    }

    fn counter(&self, name: &'static str, labels: &[(&'static str, &'static str)]) -> Counter {
        self.recorder
            .register_counter(&Self::key(name, labels), &METADATA)
    }

    fn gauge(&self, name: &'static str, labels: &[(&'static str, &'static str)]) -> Gauge {
        self.recorder
            .register_gauge(&Self::key(name, labels), &METADATA)
    }

    fn histogram(&self, name: &'static str) -> Histogram {
        self.recorder
            .register_histogram(&Self::key(name, &[]), &METADATA)
    }

    fn input(&self, input: Input) -> InputCounters {
        let label = [("input", input.name())];
        InputCounters {
            frames: self.counter("logboom_received_frames_total", &label),
            bytes: self.counter("logboom_received_bytes_total", &label),
            connections: self.counter("logboom_connections_total", &label),
            open: self.gauge("logboom_connections_open", &label),
            refused: self.counter("logboom_connections_refused_total", &label),
        }
    }
}

const METADATA: Metadata<'static> = Metadata::new("logboom", Level::INFO, None);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_rendered() {
        let telemetry = Telemetry::new().unwrap();
        telemetry.dropped(DropReason::UnknownToken, 3);
        telemetry.input(Input::Udp).frames.increment(2);
        let text = telemetry.render();
        assert!(
            text.contains("logboom_dropped_messages_total{reason=\"unknown_token\"} 3"),
            "{text}"
        );
        assert!(
            text.contains("logboom_received_frames_total{input=\"udp\"} 2"),
            "{text}"
        );
    }

    #[test]
    fn every_name_is_explained_and_every_histogram_has_its_own_bounds() {
        let text = Telemetry::new().unwrap().render();
        let words = |line: &str| line.split(' ').nth(2).unwrap_or_default().to_owned();
        let all = |start: &str| -> std::collections::BTreeSet<String> {
            text.lines()
                .filter(|line| line.starts_with(start))
                .map(words)
                .collect()
        };
        assert_eq!(all("# TYPE "), all("# HELP "), "{text}");
        assert_eq!(all("# HELP ").len(), HELP.len(), "{text}");
        for (name, first) in [
            ("logboom_drain_batch_messages", "1"),
            ("logboom_drain_batch_bytes", "256"),
            ("logboom_drain_request_seconds", "0.0005"),
            ("logboom_http_request_seconds", "0.0005"),
        ] {
            let start = format!("{name}_bucket{{le=");
            let line = text.lines().find(|line| line.starts_with(&start)).unwrap();
            assert_eq!(line, format!("{name}_bucket{{le=\"{first}\"}} 0"));
        }
    }
}
