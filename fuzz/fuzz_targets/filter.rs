//! Filter expressions, asked of a message.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    logboom::filter::fuzz_filter(bytes);
});
