//! Bytes to messages and back: RFC 5424, RFC 3164, RFC 6587. Pure: no socket, no clock.

pub mod copy;
pub mod encode;
pub mod frame;
pub mod message;
pub mod parse;
pub mod sd;
pub mod severity;
pub mod timestamp;
