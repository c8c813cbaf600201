//! The program under test.

use std::process::Stdio;

use tokio::io::AsyncBufReadExt;
use tokio::io::BufReader;
use tokio::io::Lines;
use tokio::process::Child;
use tokio::process::ChildStderr;
use tokio::process::Command;

use crate::support::PATIENCE;
use crate::support::Router;

/// A running `logboom postgres`.
pub(crate) struct Program {
    child: Child,
    stderr: Lines<BufReader<ChildStderr>>,
}

impl Program {
    /// Starts it, reporting on `database` to a channel of `router`'s.
    pub(crate) fn start(router: &Router, token: &str, database: &str, flags: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_logboom"));
        command
            .args(["postgres", "--verbose"])
            .args(flags)
            .env_clear()
            .env(
                "LOGS_URL",
                format!("http://token:{token}@{}/logs", router.http),
            )
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        if !database.is_empty() {
            command.env("DATABASE_URL", database);
        }
        let mut child = command.spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { child, stderr }
    }

    /// The next line of its log that holds `wanted`.
    pub(crate) async fn says(&mut self, wanted: &str) -> String {
        crate::support::logged(&mut self.stderr, wanted).await
    }

    /// Asks it to end and waits until it has; gives its exit code and what it said meanwhile.
    pub(crate) async fn stop(mut self) -> (Option<i32>, String) {
        let pid = self.child.id().unwrap().to_string();
        let killed = std::process::Command::new("kill")
            .args(["-s", "TERM", &pid])
            .status();
        assert!(killed.unwrap().success());
        let mut said = String::new();
        let end = async {
            while let Some(line) = self.stderr.next_line().await.unwrap() {
                said.push_str(&line);
                said.push('\n');
            }
            self.child.wait().await.unwrap().code()
        };
        let code = tokio::time::timeout(PATIENCE, end).await.unwrap();
        (code, said)
    }

    /// The same, and all must be well.
    pub(crate) async fn done(self) {
        let (code, said) = self.stop().await;
        assert_eq!(code, Some(0), "{said}");
    }

    /// Ends it at once, as a crash would.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }
}
