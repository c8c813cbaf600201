//! What is to be measured, by the arguments.

use std::path::PathBuf;
use std::process::Command;

use crate::peers;
use crate::program::Program;

/// What is to be measured.
pub(crate) struct Plan {
    /// The router's binary.
    pub(crate) router: String,
    /// How often each program has its turn.
    pub(crate) rounds: u32,
    /// Messages of a full-speed round of the fastest programs.
    pub(crate) messages: u64,
    /// Whether one small round is enough: does it work at all?
    pub(crate) is_test: bool,
    /// Where the table goes; nowhere in a test.
    pub(crate) write: Option<PathBuf>,
    /// The arguments, as they were given.
    pub(crate) arguments: Vec<String>,
    only: Vec<String>,
}

const MESSAGES: u64 = 3_000_000;
const MESSAGES_TEST: u64 = 20_000;
const ROUNDS: u32 = 5;

impl Plan {
    pub(crate) fn new(arguments: Vec<String>) -> Self {
        let value = |name: &str| {
            let at = arguments.iter().position(|word| word == name)?;
            arguments.get(at + 1).cloned()
        };
        let is_test = arguments.iter().any(|word| word == "--test");
        let by_mode = |test: u64, full: u64| if is_test { test } else { full };
        let number = |name: &str, default: u64| {
            value(name).map_or(default, |text| text.parse::<u64>().unwrap())
        };
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let written = value("--write").map_or(root.join("benches/COMPARE.md"), PathBuf::from);
        let only = value("--only").unwrap_or_default();
        let plan = Self {
            rounds: number("--rounds", by_mode(1, ROUNDS.into())) as u32,
            messages: number("--messages", by_mode(MESSAGES_TEST, MESSAGES)),
            is_test,
            write: (!is_test).then_some(written),
            only: only.split_terminator(',').map(str::to_owned).collect(),
            router: value("--router").unwrap_or_else(|| router(is_test)),
            arguments,
        };
        if !plan.is_test {
            peers::install();
        }
        plan
    }

    /// Whether scenario `name` is to run.
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|wanted| wanted == name)
    }

    /// `full` messages or seconds, or `test` of them.
    pub(crate) fn by_mode<T>(&self, test: T, full: T) -> T {
        if self.is_test { test } else { full }
    }

    /// Those of `programs` that are installed; says which are not.
    pub(crate) fn present(&self, programs: &[Program]) -> Vec<Program> {
        let (present, missing): (Vec<Program>, Vec<Program>) =
            programs.iter().partition(|program| program.is_installed());
        for program in missing {
            println!("{} is left out: run tests/peers/install.sh", program.name());
        }
        present
    }
}

/// The release build, made now; in a test, the build that Cargo made for this bench.
fn router(is_test: bool) -> String {
    if is_test {
        return env!("CARGO_BIN_EXE_logboom").to_owned();
    }
    let root = env!("CARGO_MANIFEST_DIR");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--release", "--locked", "--bin", "logboom"]);
    // Cargo tells a bench of its package; build scripts that read this would all run again.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if TOLD_BY_CARGO.iter().any(|told| text.starts_with(told)) {
            cargo.env_remove(&name);
        }
    }
    let status = cargo.current_dir(root).status().unwrap();
    assert!(status.success(), "cargo build --release");
    let target = std::env::var("CARGO_TARGET_DIR").unwrap_or(format!("{root}/target"));
    format!("{target}/release/logboom")
}

const TOLD_BY_CARGO: [&str; 4] = [
    "CARGO_PKG_",
    "CARGO_MANIFEST_",
    "CARGO_BIN_",
    "CARGO_CRATE_",
];
