//! A shipper's spooled batches out of files.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    logboom::sources::ship::fuzz_spool_file(bytes);
});
