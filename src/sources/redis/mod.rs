//! A Redis or Valkey server as a source: its samples and its slow commands.

pub mod connection;
pub mod info;
pub mod resp;
pub mod slowlog;
pub mod url;
pub mod watch;
