//! A Postgres server's log in each of its formats, its syslog, and /proc.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    logboom::sources::postgres::reader::fuzz_postgres(bytes);
    logboom::sources::postgres::syslog::fuzz_syslog(bytes);
    logboom::sources::machine::fuzz_machine(bytes);
});
