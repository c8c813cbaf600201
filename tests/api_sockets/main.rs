//! The API and the sessions of the real binary over real sockets.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::too_many_lines,
    reason = "a test may stop at the first surprise, and a table is as long as it is"
)]

mod bodies;
mod crash;
mod health;
mod history_tables;
mod metrics;
mod own_channels;
mod secrets;
mod sessions;
#[path = "../support/mod.rs"]
mod support;
mod tails;
mod transcripts;
