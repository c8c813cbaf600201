//! Keeps the house in order: modules import downwards only, files stay small and say what they
//! are, and what must not be written is not.
//!
//! Reads the sources as text; `crate::name` anywhere outside comments counts as an import.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::fs;
use std::path::{Path, PathBuf};

/// Ranks from the ground up. A module may import modules of a lower rank, never its own rank.
const RANKS: &[&[&str]] = &[
    &["limits", "clock"],
    &["id", "telemetry", "shutdown"],
    &["syslog", "logfmt", "net", "registry"],
    &["filter", "channel", "otlp", "store"],
    &["route"],
    &["ingest", "egress", "sources"],
    &["control"],
    &["cluster", "api", "web"],
    &["config"],
    &["app"],
    &["cli"],
];

/// Most lines of code a file may hold: tests, comments and blank lines are not counted.
const FILE_LINES_MAX: usize = 400;

#[test]
fn imports_point_down() {
    let mut faults = Vec::new();
    for file in sources() {
        let module = top_module(&file);
        let Some(module_rank) = rank(&module) else {
            if module != "lib" && module != "main" {
                faults.push(format!("{}: no rank for module `{module}`", file.display()));
            }
            continue;
        };
        for (number, line) in code_lines(&fs::read_to_string(&file).unwrap()) {
            let mut refuse =
                |what: String| faults.push(format!("{}:{number}: {what}", file.display()));
            if line.contains("super::") {
                refuse("name other modules by `crate::…`, not `super::`".to_owned());
            }
            for import in imports(&line) {
                if import.is_empty() {
                    refuse("one path for each `use crate::…`".to_owned());
                } else if import != module && rank(import).is_some_and(|r| module_rank <= r) {
                    refuse(format!("`{module}` may not import `{import}`"));
                }
            }
        }
    }
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn files_stay_small() {
    let mut faults = Vec::new();
    for file in sources() {
        let lines = code_lines(&fs::read_to_string(&file).unwrap()).count();
        if FILE_LINES_MAX < lines {
            faults.push(format!(
                "{}: {lines} lines of code, at most {FILE_LINES_MAX}",
                file.display()
            ));
        }
    }
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

/// The one file that may say `unsafe`.
const UNSAFE_FILE: &str = "src/channel/segment.rs";

#[test]
fn only_the_segment_is_unsafe() {
    check_lines("src", |file, line| {
        let is_said = words(line).any(|word| word == "unsafe");
        (is_said && !file.ends_with(UNSAFE_FILE))
            .then(|| format!("`unsafe` belongs into {UNSAFE_FILE}"))
    });
    assert!(source_root().join("channel/segment.rs").exists());
}

#[test]
fn every_file_says_what_it_is() {
    let mut faults = Vec::new();
    for file in FOLDERS.iter().flat_map(|folder| files(folder)) {
        if !fs::read_to_string(&file).unwrap().starts_with("//!") {
            faults.push(format!("{}: begin with a `//!` line", file.display()));
        }
    }
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn nothing_is_left_for_later() {
    // In pieces, so that this file is not its own fault.
    let marks = [["TO", "DO"], ["FIX", "ME"], ["X", "XX"], ["HA", "CK"]].map(|m| m.concat());
    check_texts(|line| {
        words(line)
            .find(|word| marks.iter().any(|mark| mark == word))
            .map(|word| format!("`{word}`: do it, or say why it is as it is"))
    });
}

#[test]
fn no_path_of_one_machine() {
    let roots = ["home", "root", "work", "Users"].map(|name| format!("/{name}/"));
    check_texts(|line| {
        // A URL's path may be called so; a path of the machine has nothing in front of it.
        let found = roots.iter().find(|root| {
            line.match_indices(root.as_str()).any(|(at, _)| {
                let front = line.get(..at).unwrap_or_default();
                !front.ends_with(|c: char| c.is_alphanumeric() || "}]*_-.:$".contains(c))
            })
        });
        found.map(|root| format!("a path below `{root}`"))
    });
}

/// A test that sleeps is slow where it works, and fails where the machine is slower.
#[test]
fn tests_do_not_sleep() {
    // In pieces, so that this file is not its own fault.
    let sleep = ["::sle", "ep("].concat();
    check_lines("tests", |_, line| {
        line.contains(&sleep)
            .then(|| "wait for an event instead".to_owned())
    });
}

/// Folders of the repository with Rust in them.
const FOLDERS: &[&str] = &["src", "tests", "benches", "fuzz/fuzz_targets"];

/// What else holds sentences or commands.
const TEXTS: &[&str] = &[
    "README.md",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "Cargo.toml",
    "check",
    "clippy.toml",
    "config/logboom.toml",
    "deny.toml",
    "fuzz/Cargo.toml",
    "tests/peers/install.sh",
];

/// Shows every line of code below `folder` to `fault`.
fn check_lines(folder: &str, fault: impl Fn(&Path, &str) -> Option<String>) {
    let mut faults = Vec::new();
    for file in files(folder) {
        for (number, line) in code_lines(&fs::read_to_string(&file).unwrap()) {
            if let Some(fault) = fault(&file, &line) {
                faults.push(format!("{}:{number}: {fault}", file.display()));
            }
        }
    }
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

/// Shows every line of every file, comments and tests included, to `fault`.
fn check_texts(fault: impl Fn(&str) -> Option<String>) {
    let rust = FOLDERS.iter().flat_map(|folder| files(folder));
    let texts = TEXTS.iter().map(|name| root().join(name));
    let mut faults = Vec::new();
    for file in rust.chain(texts) {
        let text = fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        for (index, line) in text.lines().enumerate() {
            if let Some(fault) = fault(line) {
                faults.push(format!("{}:{}: {fault}", file.display(), index + 1));
            }
        }
    }
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !c.is_alphanumeric() && c != '_')
}

fn rank(module: &str) -> Option<usize> {
    RANKS.iter().position(|names| names.contains(&module))
}

/// `src/egress/drain/http.rs` belongs to `egress`.
fn top_module(file: &Path) -> String {
    let inside = file.strip_prefix(source_root()).unwrap();
    inside
        .components()
        .next()
        .unwrap()
        .as_os_str()
        .to_str()
        .unwrap()
        .trim_end_matches(".rs")
        .to_owned()
}

/// Lines that hold code, with their 1-based numbers, up to the file's test module.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, String)> + '_ {
    text.lines()
        .take_while(|line| !line.starts_with("#[cfg(test)]"))
        .enumerate()
        .map(|(index, line)| {
            (
                index + 1,
                line.split("//").next().unwrap_or("").trim().to_owned(),
            )
        })
        .filter(|(_, line)| !line.is_empty())
}

/// Every `name` in `crate::name`; a group, `crate::{…}`, yields an empty name.
fn imports(line: &str) -> impl Iterator<Item = &str> {
    let ends_name = |c: char| !c.is_alphanumeric() && c != '_';
    line.split("crate::")
        .skip(1)
        .filter_map(move |tail| tail.split(ends_name).next())
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn source_root() -> PathBuf {
    root().join("src")
}

fn sources() -> Vec<PathBuf> {
    files("src")
}

/// All Rust files below `folder`.
fn files(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}
