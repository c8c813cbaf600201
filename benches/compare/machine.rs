//! Where and with what it was measured.

use std::process::Command;

use crate::peers;
use crate::plan::Plan;

/// Lines of Markdown: the machine, versions, the command, the date.
pub(crate) fn lines(plan: &Plan) -> Vec<String> {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("unknown", |text| text.trim_start_matches([' ', '\t', ':']));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib: u64 = memory
        .split_whitespace()
        .nth(1)
        .and_then(|text| text.parse().ok())
        .unwrap_or(0);
    let mut versions = vec![
        said(&plan.router, &["--version"]),
        format!(
            "commit {}",
            said("git", &["describe", "--always", "--dirty"])
        ),
        said("rustc", &["--version"]),
    ];
    versions.extend(peers::versions());
    vec![
        format!(
            "Machine: {cores} cores, {model}, {} GiB, Linux {}; sender, program and sink share it. \
             Load before: {}.",
            kib / 1024 / 1024,
            said("uname", &["-r"]),
            std::fs::read_to_string("/proc/loadavg")
                .unwrap_or_default()
                .trim(),
        ),
        format!("Versions: {}.", versions.join("; ")),
        format!(
            "Command: `cargo bench --bench compare -- {}`, {}.",
            plan.arguments
                .iter()
                .filter(|word| *word != "--bench")
                .cloned()
                .collect::<Vec<String>>()
                .join(" "),
            said("date", &["--iso-8601"])
        ),
    ]
}

/// The first line that a command prints.
fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let text = text.unwrap_or_default();
    text.lines().next().unwrap_or("unknown").trim().to_owned()
}
