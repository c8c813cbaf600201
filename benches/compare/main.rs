//! The router beside what a user would pick instead, and beside the least that any router must pay.
//!
//! `cargo bench --bench compare -- [--rounds N] [--messages N] [--only SCENARIO,…] [--router FILE]
//! [--write FILE]`
//!
//! Runs the same load through each program in turn, as many rounds as wanted (A B A B …), and writes
//! a table and its plots: `benches/COMPARE.md` and `benches/COMPARE-*.svg`, or beside the FILE of
//! `--write`. Builds the router as a release and installs the peers (`tests/peers/install.sh`)
//! first. Settings of the router can be tried by its own environment (`LOGBOOM_…`).
//!
//! With `--test`, as `./check` runs it: one small round of each scenario, with the bench build of
//! the router; peers that are not installed are left out, and nothing is written.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::disallowed_methods,
    clippy::string_slice,
    reason = "a bench may stop at the first surprise"
)]

mod book;
mod floor;
mod goals;
mod growth;
mod http;
mod latency;
#[path = "../load/mod.rs"]
mod load;
mod machine;
mod peers;
mod plan;
mod plot;
mod plots;
mod program;
mod report;
mod speed;
mod stall;
mod store;
mod tails;

use std::panic::{AssertUnwindSafe, catch_unwind};

use book::Book;
use plan::Plan;

/// A scenario: its name for `--only`, and what runs it.
type Scenario = (&'static str, fn(&Plan, &mut Book));

const SCENARIOS: &[Scenario] = &[
    ("speed", speed::one_drain),
    ("latency", latency::steady),
    ("latency_ten", latency::steady_ten),
    ("channels", speed::ten_channels),
    ("drains", speed::ten_drains),
    ("http", http::posts),
    ("tails", tails::many),
    ("stall", stall::one_of_ten),
    ("growth", growth::curve),
    ("start", growth::start),
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|word| word == "floor") {
        return floor::run(&arguments[1..]);
    }
    let plan = Plan::new(arguments);
    let place = machine::lines(&plan);
    let mut book = Book::default();
    for (name, run) in SCENARIOS {
        if plan.wants(name) {
            println!("\n== {name}");
            // The others are worth measuring even if this one stops.
            let measured = catch_unwind(AssertUnwindSafe(|| run(&plan, &mut book)));
            if measured.is_err() {
                book.stopped.push(name);
            }
            report::write(&plan, &place, &book);
        }
    }
    assert!(book.stopped.is_empty(), "stopped: {:?}", book.stopped);
}
