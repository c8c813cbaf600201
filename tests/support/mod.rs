//! What the black-box tests share: a router in a process of its own on free ports, a producer,
//! recording sinks, and a way to wait for something without sleeping blindly.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    reason = "each test uses its own part, and a test may stop at the first surprise"
)]

pub mod certificates;
pub mod http;
pub mod peers;
pub mod program;
pub mod reporter;
pub mod sinks;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::AsyncBufReadExt;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::io::BufReader;
use tokio::io::Lines;
use tokio::net::TcpStream;
use tokio::process::Child;
use tokio::process::ChildStderr;
use tokio::process::Command;
use tokio::time::Instant;

use certificates::Certificates;
use http::Answer;

/// How long a test waits for what must come.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The credential that every router of the tests is started with.
pub const CREDENTIAL: &str = "local:password";

/// Waits until `look` finds something; panics with `what` when patience ends.
pub async fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    let mut ticks = tokio::time::interval(Duration::from_millis(5));
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(
            Instant::now() < deadline,
            "{what} did not come within {PATIENCE:?}"
        );
        ticks.tick().await;
    }
}

/// A running router.
pub struct Router {
    child: Child,
    data: Option<tempfile::TempDir>,
    /// The whole line that it printed when it was ready.
    pub ready: String,
    /// Where HTTP is served.
    pub http: SocketAddr,
    /// Where syslog over TCP is taken.
    pub syslog_tcp: SocketAddr,
    /// Where syslog over UDP is taken.
    pub syslog_udp: SocketAddr,
    /// Where syslog over TLS is taken, if it is on.
    pub syslog_tls: Option<SocketAddr>,
}

impl Router {
    /// Starts one with the defaults.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Starts one with configuration keys given through the environment.
    pub async fn start_with(keys: &[(&str, &str)]) -> Self {
        let data = tempfile::tempdir().unwrap();
        let mut router = Self::start_in(data.path().to_owned(), keys, &[]).await;
        router.data = Some(data);
        router
    }

    /// Starts one that also listens for syslog over TLS, with the server certificate given.
    pub async fn start_tls(certificates: &Certificates) -> Self {
        let data = tempfile::tempdir().unwrap();
        let keys = certificates.server_keys();
        let keys: Vec<(&str, &str)> = keys.iter().map(|(k, v)| (*k, v.as_str())).collect();
        let flags = ["--syslog-tls", "127.0.0.1:0"];
        let mut router = Self::start_in(data.path().to_owned(), &keys, &flags).await;
        router.data = Some(data);
        router
    }

    /// Starts one in the data directory given, which outlives it.
    pub async fn start_in(data: PathBuf, keys: &[(&str, &str)], flags: &[&str]) -> Self {
        let mut command = command(&data);
        command.args(flags);
        for (key, value) in keys {
            command.env(format!("LOGBOOM_{}", key.to_uppercase()), value);
        }
        Self::start_from(command).await
    }

    /// Starts what `command` says, which prints the ready line.
    pub async fn start_from(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut ready = String::new();
        tokio::time::timeout(PATIENCE, stdout.read_line(&mut ready))
            .await
            .unwrap()
            .unwrap();
        let find = |name: &str| {
            let word = ready
                .split_whitespace()
                .find_map(|word| word.strip_prefix(name));
            word.map(|address| address.parse().unwrap())
        };
        let must = |name| find(name).unwrap_or_else(|| panic!("no {name} in {ready:?}"));
        Self {
            http: must("http="),
            syslog_tcp: must("syslog_tcp="),
            syslog_udp: must("syslog_udp="),
            syslog_tls: find("syslog_tls="),
            ready,
            child,
            data: None,
        }
    }

    /// One API call with the tests' credential.
    pub async fn call(&self, method: &str, path: &str, body: &str) -> Answer {
        let authorization = http::basic(CREDENTIAL);
        let headers = [
            ("Authorization", authorization.as_str()),
            ("Content-Type", "application/json"),
        ];
        http::request(self.http, method, path, &headers, body.as_bytes()).await
    }

    /// Makes channel `id` with one token named `app`; gives the token.
    pub async fn channel(&self, id: &str) -> String {
        self.channel_with(id, r#"{"tokens":["app"]}"#).await
    }

    /// Makes channel `id` with `body`; gives its token named `app`.
    pub async fn channel_with(&self, id: &str, body: &str) -> String {
        let answer = self.call("PUT", &format!("/v3/channels/{id}"), body).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.json()["tokens"]["app"].as_str().unwrap().to_owned()
    }

    /// Attaches a drain with `options` (`,"key":value…`); gives its id.
    pub async fn drain(&self, channel: &str, url: &str, options: &str) -> u64 {
        let body = format!(r#"{{"url":"{url}"{options}}}"#);
        let answer = self
            .call("POST", &format!("/v3/channels/{channel}/drains"), &body)
            .await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.json()["id"].as_u64().unwrap()
    }

    /// The state of a drain as the API shows it.
    pub async fn drain_status(&self, channel: &str, id: u64) -> Value {
        let answer = self
            .call("GET", &format!("/v3/channels/{channel}/drains/{id}"), "")
            .await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["status"].clone()
    }

    /// Waits until a drain's state satisfies `is_so`; gives that state.
    pub async fn drain_until(
        &self,
        channel: &str,
        id: u64,
        is_so: impl Fn(&Value) -> bool,
    ) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let status = self.drain_status(channel, id).await;
            if is_so(&status) {
                return status;
            }
            assert!(Instant::now() < deadline, "drain {id} stays in {status}");
            tokio::task::yield_now().await;
        }
    }

    /// Sends one octet-counted frame over a connection of its own.
    pub async fn send_tcp(&self, frame: impl AsRef<[u8]>) {
        let frame = frame.as_ref();
        let mut socket = TcpStream::connect(self.syslog_tcp).await.unwrap();
        let count = format!("{} ", frame.len());
        let bytes = [count.as_bytes(), frame].concat();
        socket.write_all(&bytes).await.unwrap();
        socket.shutdown().await.unwrap();
        let mut rest = Vec::new();
        // The router closes when it has read the end: what was sent is in its channel then.
        socket.read_to_end(&mut rest).await.unwrap();
    }

    /// Opens a session with `body`; gives the path of its stream.
    pub async fn session(&self, body: &str) -> String {
        let answer = self.call("POST", "/v3/sessions", body).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        let url = answer.json()["url"].as_str().unwrap().to_owned();
        format!("/sessions/{}", url.split("/sessions/").nth(1).unwrap())
    }

    /// The last `count` lines of a channel's history, or fewer when there are not so many.
    pub async fn history(&self, channel: &str, count: u64) -> Vec<String> {
        let path = self
            .session(&format!(r#"{{"channel_id":"{channel}","num":{count}}}"#))
            .await;
        let answer = http::request(self.http, "GET", &path, &[], b"").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.text().lines().map(str::to_owned).collect()
    }

    /// Waits until a channel's history has `count` lines; gives them.
    pub async fn history_until(&self, channel: &str, count: usize) -> Vec<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let lines = self.history(channel, 10_000).await;
            if count <= lines.len() {
                return lines;
            }
            assert!(
                Instant::now() < deadline,
                "{count} lines did not come: {lines:#?}"
            );
            tokio::task::yield_now().await;
        }
    }

    /// The value of one metric line, labels included in `name`; 0 when it is not there.
    pub async fn metric(&self, name: &str) -> f64 {
        let answer = http::request(self.http, "GET", "/metrics", &[], b"").await;
        let text = answer.text();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.parse().unwrap())
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.child.id().unwrap()
    }

    /// The lines of its log from now on; once, and only if it was started with a pipe there.
    pub fn log(&mut self) -> Lines<BufReader<ChildStderr>> {
        BufReader::new(self.child.stderr.take().unwrap()).lines()
    }

    /// Where the first listener bound to a token by `protocol` listens.
    pub fn bound(&self, protocol: &str) -> SocketAddr {
        let name = format!("listener_{protocol}=");
        let mut words = self.ready.split_whitespace();
        let address = words.find_map(|word| word.strip_prefix(&name));
        address.expect("a bound listener").parse().unwrap()
    }

    /// Sends the process a signal by name.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().unwrap().to_string();
        let status = std::process::Command::new("kill")
            .args(["-s", name, &pid])
            .status();
        assert!(status.unwrap().success());
    }

    /// Asks it to end and waits until it has, with exit code 0.
    pub async fn stop(mut self) {
        self.signal("TERM");
        let status = tokio::time::timeout(PATIENCE, self.child.wait())
            .await
            .unwrap()
            .unwrap();
        assert_eq!(
            status.code(),
            Some(0),
            "a router that is asked to end ends well"
        );
    }

    /// Waits for the end of the process; gives its exit code.
    pub async fn exit_code(&mut self) -> Option<i32> {
        tokio::time::timeout(PATIENCE, self.child.wait())
            .await
            .unwrap()
            .unwrap()
            .code()
    }

    /// Ends it at once, as a crash would.
    pub async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }
}

/// `logboom serve` on free ports in `data`, not started.
pub fn command(data: &std::path::Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_logboom"));
    command
        .args([
            "serve",
            "--http",
            "127.0.0.1:0",
            "--syslog-tcp",
            "127.0.0.1:0",
        ])
        .args(["--syslog-udp", "127.0.0.1:0", "--data-dir"])
        .arg(data)
        .env("LOGBOOM_ADMIN_CREDENTIAL", CREDENTIAL)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// A number of a drain's state.
pub fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value}"))
}

/// What a drain lost, for whatever reason.
pub fn lost(status: &Value) -> u64 {
    let counts = status["lost"].as_object().unwrap().values();
    counts.map(number).sum()
}

/// The next line of a router's log that contains `wanted`.
pub async fn logged(log: &mut Lines<BufReader<ChildStderr>>, wanted: &str) -> String {
    let next = async {
        while let Some(line) = log.next_line().await.unwrap() {
            if line.contains(wanted) {
                return line;
            }
        }
        panic!("the log ended before {wanted:?}");
    };
    tokio::time::timeout(PATIENCE, next).await.unwrap()
}

/// A message for `token` with an ordinary header and `text`.
pub fn message(token: &str, text: &str) -> String {
    format!("<134>1 2012-12-10T03:00:48.123456Z host {token} web.1 - - {text}")
}

/// Waits until `is_so` says yes; panics with `what` when patience ends.
pub async fn until_async(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    let mut ticks = tokio::time::interval(Duration::from_millis(5));
    while !is_so().await {
        assert!(
            Instant::now() < deadline,
            "{what} did not come within {PATIENCE:?}"
        );
        ticks.tick().await;
    }
}
