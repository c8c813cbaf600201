//! The program under test, fed and watched.

use std::process::Stdio;

use std::net::SocketAddr;

use tokio::io::AsyncBufReadExt;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::io::BufReader;
use tokio::process::Child;
use tokio::process::ChildStderr;
use tokio::process::ChildStdin;
use tokio::process::Command;

use crate::support::PATIENCE;
use crate::support::Router;
use crate::support::sinks::Post;

/// A running `logboom ship`.
pub(crate) struct Ship {
    child: Child,
    stdin: Option<ChildStdin>,
    stderr: BufReader<ChildStderr>,
    said: String,
}

/// How it ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Its exit code; `None`: a signal ended it.
    pub(crate) code: Option<i32>,
    /// What it said.
    pub(crate) stderr: String,
}

/// `http://token:TOKEN@ADDRESS/logs`.
pub(crate) fn logs_url(router: &Router, token: &str) -> String {
    format!("http://token:{token}@{}/logs", router.http)
}

impl Ship {
    /// Starts one that ships to `url`, with these flags more.
    pub(crate) fn start(url: &str, flags: &[&str]) -> Self {
        Self::spawn(&[("LOGS_URL", url)], flags)
    }

    /// Ships `text` with only these variables; the end must be good and silent.
    pub(crate) async fn start_in(variables: &[(&str, &str)], flags: &[&str], text: &str) {
        let mut ship = Self::spawn(variables, flags);
        ship.write(text).await;
        ship.done().await;
    }

    fn spawn(variables: &[(&str, &str)], flags: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_logboom"))
            .arg("ship")
            .args(flags)
            .env_clear()
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let stdin = child.stdin.take();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        Self {
            child,
            stdin,
            stderr,
            said: String::new(),
        }
    }

    /// Writes to its stdin.
    pub(crate) async fn write(&mut self, text: impl AsRef<[u8]>) {
        let stdin = self.stdin.as_mut().unwrap();
        stdin.write_all(text.as_ref()).await.unwrap();
        stdin.flush().await.unwrap();
    }

    /// Ends its stdin.
    pub(crate) fn close(&mut self) {
        self.stdin = None;
    }

    /// Sends it a signal by name.
    pub(crate) fn signal(&self, name: &str) {
        assert!(signal(self.pid(), name));
    }

    /// The process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id().unwrap()
    }

    /// Waits until it has said `what` on stderr.
    pub(crate) async fn said(&mut self, what: &str) {
        let reading = async {
            while !self.said.contains(what) {
                let count = self.stderr.read_line(&mut self.said).await.unwrap();
                assert!(0 < count, "it ended without {what:?}: {}", self.said);
            }
        };
        tokio::time::timeout(PATIENCE, reading).await.unwrap();
    }

    /// Waits for its end.
    pub(crate) async fn ended(mut self) -> Ended {
        let end = async {
            self.stderr.read_to_string(&mut self.said).await.unwrap();
            self.child.wait().await.unwrap().code()
        };
        let code = tokio::time::timeout(PATIENCE, end).await.unwrap();
        Ended {
            code,
            stderr: self.said,
        }
    }

    /// Ends its stdin and waits for its end, which must be good and silent.
    pub(crate) async fn done(mut self) {
        self.close();
        let ended = self.ended().await;
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    }
}

/// Sends a process a signal by name; false when there is no such process.
pub(crate) fn signal(pid: u32, name: &str) -> bool {
    let status = std::process::Command::new("kill")
        .args(["-s", name, &pid.to_string()])
        .stderr(Stdio::null())
        .status();
    status.unwrap().success()
}

/// An address at which nobody listens. Somebody else may take it first, then the test fails.
pub(crate) fn free_address() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

/// Frames' texts, without their headers and ends.
pub(crate) fn texts(post: &Post) -> Vec<String> {
    let text = |frame: &String| {
        let text = frame.splitn(8, ' ').nth(7).unwrap();
        text.strip_suffix('\n').unwrap().to_owned()
    };
    post.frames().iter().map(text).collect()
}

/// Waits until the channel `app` has `count` lines, however many; gives them.
pub(crate) async fn history_until(router: &Router, count: usize) -> Vec<String> {
    let most = u64::try_from(count).unwrap() + 1_000;
    let mut history = Vec::new();
    crate::support::until_async("all lines", async || {
        history = router.history("app", most).await;
        count <= history.len()
    })
    .await;
    history
}

/// Ships `text`; the end must be good and silent.
pub(crate) async fn ship(url: &str, flags: &[&str], text: impl AsRef<[u8]>) {
    let mut ship = Ship::start(url, flags);
    ship.write(text).await;
    ship.done().await;
}
