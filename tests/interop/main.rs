//! Receivers that others wrote, and receivers with the rules of those that cannot be had here: what
//! each makes of a drain with the defaults, and with the option or preset that is meant for it.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    reason = "tests stop at a surprise"
)]

#[path = "../support/mod.rs"]
mod support;

mod cases;
mod crates;
mod http;
mod loki;
mod packages;
mod syslog;
mod vector;
