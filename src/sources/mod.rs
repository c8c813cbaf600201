//! Sources: where messages come from before a router has them.

pub mod machine;
pub mod outlet;
pub mod postgres;
pub mod redis;
mod retry;
pub mod run;
pub mod samples;
pub mod ship;
mod teller;
