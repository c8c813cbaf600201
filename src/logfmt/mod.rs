//! `key=value` lines: pairs out of a message's text, what their values mean, and lines out of
//! pairs. Pure, and nothing is copied but what has escapes.

pub(crate) mod escape;
pub mod metric;
#[cfg(any(test, fuzzing))]
mod naive;
pub mod parse;
pub mod quantity;
pub(crate) mod unit;
pub mod value;
pub mod write;
