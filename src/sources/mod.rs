//! Sources: where messages come from before a router has them.

pub mod run;
pub mod ship;
