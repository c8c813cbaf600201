//! Numbers about the router itself: one set of handles, added to once per read or batch.
//!
//! The recorder is the router's own, not the process's, so that several routers (tests) do not
//! mix. No label has a value that users make up.

use metrics::{Counter, Gauge, Histogram, Key, Label, Level, Metadata, Recorder};
use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};

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
        let recorder = PrometheusBuilder::new()
            .set_buckets(&BUCKETS)?
            .build_recorder();
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

    /// All numbers in Prometheus' text format.
    #[must_use]
    pub fn render(&self) -> String {
        self.handle.run_upkeep();
        self.handle.render()
    }
}

/// Bucket bounds for every histogram: seconds, messages and bytes are all covered by powers.
const BUCKETS: [f64; 16] = [
    0.000_1,
    0.001,
    0.01,
    0.1,
    0.5,
    1.0,
    5.0,
    10.0,
    50.0,
    100.0,
    500.0,
    1_000.0,
    10_000.0,
    100_000.0,
    1_000_000.0,
    10_000_000.0,
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
}
