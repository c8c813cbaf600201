//! One clock for senders and sinks, which are one process.

use std::sync::OnceLock;
use std::time::Instant;

/// Nanoseconds since the first call, never 0: a message whose time is 0 has none.
pub fn nanos() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_nanos() as u64 + 1
}
