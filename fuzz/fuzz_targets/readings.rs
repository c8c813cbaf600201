//! What the kernel writes about processes and control groups.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    logboom::sources::run::fuzz_readings(bytes);
});
