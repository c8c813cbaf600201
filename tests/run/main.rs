//! `logboom run`: the real program with real processes and a real router.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test may stop at the first surprise"
)]

#[path = "../support/mod.rs"]
mod support;

mod ends;
mod losses;
mod metrics;
mod output;
mod platform;
mod signals;
mod terminal;

use std::process::Output;
use std::process::Stdio;

use support::Router;
use tokio::process::Child;
use tokio::process::Command;

/// `logboom run` of `script` in a shell, not started; nothing of the test's own environment.
fn shell(logs_url: &str, flags: &[&str], script: &str) -> Command {
    command(logs_url, flags, &["sh", "-c", script])
}

/// `logboom run` of `words`, not started.
fn command(logs_url: &str, flags: &[&str], words: &[&str]) -> Command {
    let mut command = Command::new("env");
    // Who runs the tests may have signals ignored.
    command
        .args(["--default-signal", env!("CARGO_BIN_EXE_logboom"), "run"])
        .args(flags)
        .arg("--")
        .args(words)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("LOGS_URL", logs_url)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// Where `token` is shipped to.
fn logs_url(router: &Router, token: &str) -> String {
    format!("http://token:{token}@{}/logs", router.http)
}

/// A router with a channel `app`, and where to ship to it.
async fn router() -> (Router, String) {
    let router = Router::start().await;
    let token = router.channel("app").await;
    let url = logs_url(&router, &token);
    (router, url)
}

/// An address where nobody listens.
fn nowhere() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://token:t.x@{}/logs", listener.local_addr().unwrap())
}

/// What came out, and the exit status.
#[derive(Debug, Eq, PartialEq)]
struct Ended {
    status: i32,
    out: String,
    err: String,
}

async fn ended(mut command: Command) -> Ended {
    let output = tokio::time::timeout(support::PATIENCE, command.output());
    of(&output.await.unwrap().unwrap())
}

async fn end_of(child: Child) -> Ended {
    let output = tokio::time::timeout(support::PATIENCE, child.wait_with_output());
    of(&output.await.unwrap().unwrap())
}

fn of(output: &Output) -> Ended {
    Ended {
        status: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout.clone()).unwrap(),
        err: String::from_utf8(output.stderr.clone()).unwrap(),
    }
}

/// An end without a word.
fn quiet(status: i32) -> Ended {
    Ended {
        status,
        out: String::new(),
        err: String::new(),
    }
}

/// The lines of channel `app` without their times.
async fn lines(router: &Router) -> Vec<String> {
    let lines = router.history("app", 1_000_000).await;
    lines.iter().map(|line| without_time(line)).collect()
}

fn without_time(line: &str) -> String {
    line.split_once(' ').unwrap().1.to_owned()
}

/// Waits until channel `app` has `count` lines; gives them without their times.
async fn lines_until(router: &Router, count: usize) -> Vec<String> {
    let lines = router.history_until("app", count).await;
    lines.iter().map(|line| without_time(line)).collect()
}

/// Sends `pid`, or with a `-` in front its group, a signal.
fn kill(signal: &str, pid: &str) {
    let status = std::process::Command::new("kill")
        .args(["-s", signal, "--", pid])
        .status();
    assert!(status.unwrap().success(), "kill -s {signal} -- {pid}");
}

fn pid(child: &Child) -> String {
    child.id().unwrap().to_string()
}
