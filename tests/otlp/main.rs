//! OpenTelemetry with the real router: drains into a receiver built of OpenTelemetry's own types, and
//! requests of its Python SDK and others in.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::print_stdout,
    clippy::too_many_lines,
    reason = "a test may stop at the first surprise"
)]

#[path = "../support/mod.rs"]
mod support;

mod collector;
mod drains;
mod requests;
