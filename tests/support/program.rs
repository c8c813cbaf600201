//! The program as people and scripts start it, against a router of the test's.

use std::net::SocketAddr;
use std::process::Output;
use std::process::Stdio;

use serde_json::Value;
use tokio::process::Command;

use super::CREDENTIAL;
use super::Router;

/// `logboom` with `arguments` against `url`, not started; nothing of the test's own environment.
pub fn command(url: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_logboom"));
    command
        .args(arguments)
        .env_clear()
        .env("LOGBOOM_URL", url)
        .env("LOGBOOM_CREDENTIAL", CREDENTIAL)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// What became of `command`, in time.
pub async fn ended(mut command: Command) -> Output {
    tokio::time::timeout(super::PATIENCE, command.output())
        .await
        .unwrap()
        .unwrap()
}

/// Exit code, stdout and stderr of `logboom` with the words of `line`.
pub async fn run(url: &str, line: &str) -> (i32, String, String) {
    let words: Vec<&str> = line.split(' ').collect();
    let output = ended(command(url, &words)).await;
    (
        output.status.code().unwrap(),
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

/// Stdout of `logboom` with the words of `line`, which must succeed and complain of nothing.
pub async fn good(url: &str, line: &str) -> String {
    let (code, text, complaint) = run(url, line).await;
    assert_eq!((code, complaint.as_str()), (0, ""), "{line}: {text}");
    text
}

/// A good answer that is one line of JSON.
pub async fn json(url: &str, line: &str) -> Value {
    let text = good(url, &format!("{line} --json")).await;
    assert_eq!(text.matches('\n').count(), 1, "{line}: {text:?}");
    serde_json::from_str(&text).unwrap()
}

/// A failure: its code, and what stderr must say.
pub async fn check_failure(url: &str, line: &str, code: i32, said: &str) {
    let (found, text, complaint) = run(url, line).await;
    assert_eq!((found, text.as_str()), (code, ""), "{line}: {complaint}");
    assert!(
        complaint.contains(said),
        "{line}: {complaint:?} lacks {said:?}"
    );
    assert!(
        complaint.starts_with("logboom: ") || code == 2,
        "{line}: {complaint:?}"
    );
}

/// Sends `messages` in one request.
pub async fn post(http: SocketAddr, token: &str, messages: &[String]) {
    let frames: String = messages
        .iter()
        .map(|message| format!("{} {message}", message.len()))
        .collect();
    let account = super::http::basic(&format!("token:{token}"));
    let headers = [
        ("Authorization", account.as_str()),
        ("Content-Type", "application/logplex-1"),
    ];
    let sent = super::http::request(http, "POST", "/logs", &headers, frames.as_bytes());
    assert_eq!(sent.await.status, 204);
}

/// Where its HTTP is.
pub fn url(router: &Router) -> String {
    format!("http://{}", router.http)
}
