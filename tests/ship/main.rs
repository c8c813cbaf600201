//! `logboom ship`: the real program against real routers, and against servers that misbehave.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    reason = "tests stop at a surprise"
)]

#[path = "../support/mod.rs"]
mod support;

mod answers;
mod basics;
mod files;
mod flags;
mod program;
mod proxy;
mod sockets;
mod spool;
