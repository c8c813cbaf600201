//! Where entries are kept: one file, `logboom.redb`, in the data directory.
//!
//! One table for each kind of entry, keyed by id, with JSON values, so that a version reads what
//! earlier ones wrote and does not stumble over what later ones added. A transaction is durable
//! when `commit` returns. Blocking: belongs on `control`'s own thread.

mod error;
mod file;
mod tables;

pub use error::StoreError;
pub use file::{Landing, Store};
