//! The load tool of the benches: a router process of its own, senders with prebuilt bytes, sinks
//! that check order and measure latency, and a process' cost read from the kernel.
//!
//! Blocking sockets and plain threads, so that the tool itself costs little and shows up as
//! little as possible on a machine with two cores.
#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::disallowed_methods,
    clippy::string_slice,
    reason = "a bench may stop at the first surprise, and each bench uses its own part"
)]

mod clock;
mod figures;
mod frames;
mod http;
mod router;
mod sink;
mod usage;

pub use clock::nanos;
pub use figures::{Figures, quantile, shown};
pub use frames::{Block, frame, frames};
pub use http::http_sink;
pub use router::Router;
pub use sink::{Checker, Seen, syslog_sink};
pub use usage::{Usage, usage_of};
