//! Logboom, a log router: many apps' messages come in, a token on each says whose it is, and each
//! app's messages are kept in one channel, from which tails, drains and history read by cursor.
//!
//! Modules are ranked and import downwards only; ARCHITECTURE.md has the picture and the map.

pub mod clock;
pub mod id;
pub mod limits;
pub mod shutdown;
pub mod telemetry;

pub mod api;
pub mod app;
pub mod channel;
pub mod cli;
pub mod config;
pub mod control;
pub mod egress;
pub mod filter;
pub mod ingest;
pub mod logfmt;
pub mod net;
pub mod otlp;
pub mod registry;
pub mod route;
pub mod sources;
pub mod store;
pub mod syslog;
