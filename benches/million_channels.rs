//! Do a million channels that each got 3 messages fit in 8 GiB? Prints peak memory and bytes per
//! channel; the first number among the arguments is another count of channels.
#![expect(clippy::print_stdout, reason = "this is what the bench is for")]

use std::time::Duration;

use logboom::channel::{Budget, ChannelFlags, Node, WhenFull};
use logboom::clock::UnixMicros;
use logboom::syslog::message::{Message, Pri, Timestamp};
use logboom::telemetry::Telemetry;

const CHANNELS: u64 = 1_000_000;
const MESSAGES: usize = 3;
const BYTES_MAX: u64 = 8 << 30;

fn main() {
    let given = std::env::args().find_map(|argument| argument.parse().ok());
    let count: u64 = given.unwrap_or(CHANNELS);
    let budget = Budget {
        channel_bytes_max: 16 << 20,
        node_bytes_max: 8 << 30,
        history_age_max: Duration::from_secs(7 * 86_400),
        wait_max: Duration::from_secs(30),
    };
    let node = Node::new(budget, Telemetry::new().expect("fixed buckets"));
    let before = memory("VmRSS:");
    let channels = |id: u64| node.open(&id.into(), ChannelFlags::default(), WhenFull::Lose);
    for id in 0..count {
        channels(id);
    }
    let idle = memory("VmRSS:").saturating_sub(before);
    let text = [b'x'; 300];
    let message = Message {
        pri: Pri::DEFAULT,
        is_truncated: false,
        timestamp: Timestamp::Given(b"2026-01-02T03:04:05.678901+00:00"),
        hostname: b"host",
        app_name: b"app",
        procid: b"web.1",
        msgid: b"-",
        sd: b"-",
        text: &text,
    };
    for id in 0..count {
        channels(id).append(std::iter::repeat_n(message, MESSAGES), UnixMicros::new(1));
    }
    let peak = memory("VmHWM:");
    let each = peak.saturating_sub(before) / count.max(1);
    println!(
        "channels={count} messages_each={MESSAGES} peak_rss_bytes={peak} idle_channel_bytes={} channel_bytes={each}",
        idle / count.max(1),
    );
    assert!(
        each * CHANNELS <= BYTES_MAX,
        "a million would need more than 8 GiB"
    );
}

/// A line of `/proc/self/status`, in bytes; 0 where there is none.
fn memory(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}
