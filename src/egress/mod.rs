//! Out of the log: drains, tails, history.
pub mod drain;
pub mod events;
pub mod history;
pub mod metrics;
mod object;
pub mod sources;
pub mod tail;
