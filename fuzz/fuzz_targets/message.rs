//! Messages out of frames, and frames out of messages.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    logboom::syslog::parse::fuzz_message(bytes);
    logboom::syslog::encode::fuzz_encode(bytes);
});
