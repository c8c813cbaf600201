//! Bodies of `POST /v1/logs` in both encodings.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    logboom::ingest::fuzz_otlp(bytes);
});
