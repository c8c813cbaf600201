//! Bodies of `POST /logs`, packed and not, down to the channel.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    logboom::ingest::fuzz_logs(bytes);
});
