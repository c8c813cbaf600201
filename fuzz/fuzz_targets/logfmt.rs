//! Pairs out of lines, against the naive reader, and lines out of pairs.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    logboom::logfmt::parse::fuzz_logfmt(bytes);
});
