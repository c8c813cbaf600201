//! Keeps the house in order: modules import downwards only, and files stay small.
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
    &["channel", "store"],
    &["route"],
    &["ingest", "egress"],
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

fn source_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn sources() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![source_root()];
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
