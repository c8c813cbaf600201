//! Frames out of a connection's bytes, and out of a whole body.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    logboom::syslog::frame::fuzz_frame(bytes);
    logboom::syslog::frame::fuzz_body(bytes);
});
