//! A shipper's lines out of bytes, in every format: nothing of them is lost.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    logboom::sources::ship::fuzz_lines(bytes);
});
