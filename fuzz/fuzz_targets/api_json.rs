//! JSON bodies of the API.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    logboom::api::fuzz_api_body(bytes);
});
