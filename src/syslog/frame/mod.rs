//! Frames out of bytes (RFC 6587): of a connection, in pieces, and of a whole body.

mod body;
mod connection;

pub use body::BodyError;
pub use body::BodyFrame;
pub use body::BodyFrames;
#[cfg(any(test, fuzzing))]
pub use body::fuzz_body;
pub use connection::Cut;
pub use connection::Framer;
#[cfg(any(test, fuzzing))]
pub use connection::fuzz_frame;
