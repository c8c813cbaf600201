//! The Platform API, asked by the real `heroku` command in three versions, and by hand where that
//! does not show enough.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::too_many_lines,
    reason = "a test may stop at the first surprise, and a table is as long as it is"
)]

mod drains;
mod heroku;
mod keys;
mod logs;
mod proxy;
#[path = "../support/mod.rs"]
mod support;
mod telemetry;
