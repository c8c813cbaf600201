//! OpenTelemetry's protocol for logs: messages to the records of a request and back. Pure.
//!
//! What a record says and what a message says do not map one to one; `export` and `import` say what
//! becomes what. The types are those that the project OpenTelemetry generates.

pub mod answer;
pub mod export;
pub(crate) mod json;
pub mod request;
pub(crate) mod severity;
pub(crate) mod wire;
