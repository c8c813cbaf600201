//! In: messages from HTTP, syslog over TCP and TLS, and UDP, to the channels that they are for.
//!
//! Each read or request goes the same way: frames are cut in place, parsed, their tokens looked
//! up, and gathered per channel (`gather`); then each touched channel gets one append.

mod answer;
mod auth;
mod chains;
mod dedup;
#[cfg(any(test, fuzzing))]
mod fuzz;
mod gather;
pub mod http;
mod intake;
pub mod otlp;
mod request;
mod room;
mod share;
pub mod tcp;
pub mod udp;
mod unpack;

#[cfg(any(test, fuzzing))]
pub use fuzz::fuzz_logs;
#[cfg(any(test, fuzzing))]
pub use fuzz::fuzz_otlp;
