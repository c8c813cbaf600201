//! A PostgreSQL server as a source: its log in the shape of Heroku Postgres' and its samples.
//!
//! ```text
//! jsonlog, csvlog, stderr files ─▶ reader ─▶ entry ─▶ shape ─┐
//! syslog datagrams ─────────────────────────▶ syslog ────────┼─▶ shipper
//! SQL, /proc ─▶ readings ────────────────────────────────────┘
//! ```

mod connect;
pub mod csvlog;
pub mod entry;
pub mod event;
pub mod fault;
pub mod follow;
pub mod jsonlog;
pub mod logs;
pub mod overlap;
pub mod prefix;
pub mod reader;
pub mod readings;
pub mod receive;
mod row;
pub mod setup;
pub mod shape;
pub mod syslog;
pub mod url;
pub mod watch;
