//! The newcomer's command: what it shows, what it counts, and how it ends.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests stop at a surprise"
)]

mod support;

use std::process::Output;
use std::process::Stdio;

use tokio::io::AsyncBufReadExt;
use tokio::io::BufReader;
use tokio::net::TcpListener;
use tokio::process::Command;

/// `logboom demo`, with temporary files below `temporary`, not started.
fn demo(temporary: &std::path::Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_logboom"));
    command
        .arg("demo")
        .args(arguments)
        .env("TMPDIR", temporary)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

async fn ended(temporary: &std::path::Path, arguments: &[&str]) -> Output {
    tokio::time::timeout(support::PATIENCE, demo(temporary, arguments).output())
        .await
        .unwrap()
        .unwrap()
}

fn is_empty(folder: &std::path::Path) -> bool {
    std::fs::read_dir(folder).unwrap().next().is_none()
}

/// Numbers in the order in which they stand in `text`.
fn numbers(text: &str) -> Vec<u64> {
    text.split(|c: char| !c.is_ascii_digit())
        .filter_map(|digits| digits.parse().ok())
        .collect()
}

const FREE: [&str; 4] = ["--http", "127.0.0.1:0", "--syslog", "127.0.0.1:0"];

#[tokio::test]
async fn it_shows_logs_and_its_counts_add_up() {
    let folder = tempfile::tempdir().unwrap();
    let mut arguments = vec!["--seconds", "3", "--rate", "50"];
    arguments.extend(FREE);
    let output = ended(folder.path(), &arguments).await;
    let text = String::from_utf8(output.stdout).unwrap();
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), complaint.as_str()), (Some(0), ""));
    for part in [
        "export LOGBOOM_URL=http://127.0.0.1:",
        "logboom logs demo --tail",
        " heroku[router]: at=info method=",
        " heroku[web.1]: State changed from starting to up\n",
        " app[worker.1]: class=",
        " sample#load_avg_1m=",
        " app[heroku-postgres]: source=DATABASE ",
        " app[postgres.",
    ] {
        assert!(text.contains(part), "{part:?} is missing in:\n{text}");
    }
    assert!(!text.contains('\x1b'), "colours in a pipe:\n{text}");
    let shown = text.lines().filter(|line| line.contains("]: ")).count();
    let summary = text.lines().last().unwrap();
    let [sent, delivered, lost] = numbers(summary)[..] else {
        panic!("{summary:?}");
    };
    assert!(50 <= sent, "{summary}");
    assert_eq!(sent, delivered + lost, "{summary}");
    // The tail may be cut a few lines before the last ones.
    assert!(
        50 <= shown && u64::try_from(shown).unwrap() <= sent,
        "{shown}: {summary}"
    );
    assert!(is_empty(folder.path()), "the demo left something behind");
}

#[tokio::test]
async fn signals_end_it_in_order() {
    for name in ["INT", "TERM", "HUP"] {
        let folder = tempfile::tempdir().unwrap();
        let mut child = demo(folder.path(), &FREE).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let read = async {
            while let Some(line) = lines.next_line().await.unwrap() {
                if line.contains("heroku[web.1]: ") {
                    break;
                }
            }
            let pid = child.id().unwrap().to_string();
            let sent = std::process::Command::new("kill")
                .args(["-s", name, &pid])
                .status();
            assert!(sent.unwrap().success());
            let mut last = String::new();
            while let Some(line) = lines.next_line().await.unwrap() {
                last = line;
            }
            (last, child.wait().await.unwrap())
        };
        let (last, status) = tokio::time::timeout(support::PATIENCE, read).await.unwrap();
        assert_eq!(status.code(), Some(0), "SIG{name}");
        assert!(
            last.starts_with("logboom demo ended: "),
            "SIG{name}: {last:?}"
        );
        assert!(is_empty(folder.path()), "SIG{name} left something behind");
    }
}

#[tokio::test]
async fn a_taken_port_is_told_and_another_one_does() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let arguments = [
        "--seconds",
        "1",
        "--http",
        &address,
        "--syslog",
        "127.0.0.1:0",
    ];
    let output = ended(folder.path(), &arguments).await;
    let text = String::from_utf8(output.stdout).unwrap();
    let port = taken.local_addr().unwrap().port();
    assert!(
        text.contains(&format!("\nPort {port} is taken; ")),
        "{text}"
    );
    assert_eq!(output.status.code(), Some(0), "{text}");
}

#[tokio::test]
async fn another_fault_than_a_taken_port_ends_it() {
    let folder = tempfile::tempdir().unwrap();
    // An address of no machine (RFC 5737).
    let arguments = [
        "--seconds",
        "1",
        "--http",
        "192.0.2.1:8601",
        "--syslog",
        "127.0.0.1:0",
    ];
    let output = ended(folder.path(), &arguments).await;
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{complaint}");
    assert!(
        complaint.starts_with("logboom: cannot start: cannot listen on 192.0.2.1:8601: "),
        "{complaint}"
    );
    assert!(is_empty(folder.path()), "the demo left something behind");
}
