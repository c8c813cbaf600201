//! Messages as readers get them: drains' frames, tail lines, and the router's own notices.

mod frames;
mod mend;
mod notice;

#[cfg(any(test, fuzzing))]
pub use frames::fuzz_encode;
pub use frames::logplex_http;
pub use frames::logplex_syslog;
pub use frames::rfc5424;
pub use frames::tail_line;
pub use frames::without_framing;
pub use mend::Form;
pub use mend::Mending;
pub use notice::NOTICE_PRI;
pub use notice::l10_channel_text;
pub use notice::l10_text;
pub use notice::l11_line;
pub use notice::l14_text;
pub use notice::l20_line;
pub use notice::notice;
