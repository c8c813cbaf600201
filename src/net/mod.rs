//! Sockets: bounded, timed and stoppable.

pub mod connect;
pub mod http;
pub mod listen;
mod requests;
pub mod tls;
pub mod trust;
