//! `logboom postgres` or `logboom redis`, running.

use std::process::Stdio;

use tokio::io::AsyncBufReadExt;
use tokio::io::BufReader;
use tokio::io::Lines;
use tokio::process::Child;
use tokio::process::ChildStderr;
use tokio::process::Command;

use super::PATIENCE;
use super::Router;

/// The program that reports on a server.
pub struct Reporter {
    child: Child,
    stderr: Lines<BufReader<ChildStderr>>,
}

impl Reporter {
    /// Starts `logboom COMMAND`, reporting on the server at `url` to a channel of `router`'s.
    pub fn start(command: &str, router: &Router, token: &str, url: &str, flags: &[&str]) -> Self {
        let variable = match command {
            "redis" => "REDIS_URL",
            _ => "DATABASE_URL",
        };
        let arguments = [command, "--verbose"];
        let mut command = Command::new(env!("CARGO_BIN_EXE_logboom"));
        command
            .args(arguments)
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
        if !url.is_empty() {
            command.env(variable, url);
        }
        let mut child = command.spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { child, stderr }
    }

    /// The next line of its log that holds `wanted`.
    pub async fn says(&mut self, wanted: &str) -> String {
        super::logged(&mut self.stderr, wanted).await
    }

    /// Asks it to end and waits until it has; gives its exit code and what it said meanwhile.
    pub async fn stop(mut self) -> (Option<i32>, String) {
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
    pub async fn done(self) {
        let (code, said) = self.stop().await;
        assert_eq!(code, Some(0), "{said}");
    }

    /// Ends it at once, as a crash would.
    pub async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }
}
