//! What produces messages elsewhere and sends them to a router: shipped output, Postgres, Redis.

pub mod machine;
pub mod postgres;
pub mod samples;
