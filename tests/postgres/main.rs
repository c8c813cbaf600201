//! `logboom postgres`: the real program between real PostgreSQL servers and a real router.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    reason = "tests stop at a surprise"
)]

#[path = "../support/mod.rs"]
mod support;

mod changes;
mod cluster;
mod faults;
mod logs;
mod metrics;
mod readme;
mod syslog;
