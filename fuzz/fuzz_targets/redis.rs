//! Replies of a Redis server.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    logboom::sources::redis::resp::fuzz_resp(bytes);
});
