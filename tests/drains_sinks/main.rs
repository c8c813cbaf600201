//! Drains against real sockets: a channel on one side, recording destinations on the other.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
#![allow(
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test may stop at the first surprise"
)]

mod http_answers;
mod http_requests;
mod life;
mod losses;
mod support;
mod syslog;
