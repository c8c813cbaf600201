//! Sockets: bounded, timed and stoppable.

pub mod connect;
pub mod http;
pub mod listen;
pub mod tls;
pub mod trust;
