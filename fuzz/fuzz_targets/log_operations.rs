//! Sequences of operations on a channel's log, against its safe twin.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    logboom::channel::fuzz_log(bytes);
});
