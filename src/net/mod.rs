//! Sockets: bounded, timed and stoppable.

pub mod backoff;
pub mod certificate;
pub mod client;
pub mod connect;
pub mod http;
pub mod link;
pub mod listen;
pub mod outcome;
pub mod pack;
mod requests;
pub mod tls;
pub mod trust;
