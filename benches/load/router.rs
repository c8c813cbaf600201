//! A router in a process of its own, and its API.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use crate::load::{Usage, usage_of};

/// A router in a process of its own, with a temporary data directory.
pub struct Router {
    child: Child,
    /// `host:port` of the HTTP listener.
    pub http: String,
    /// `host:port` of the syslog TCP listener.
    pub syslog_tcp: String,
    _data: tempfile::TempDir,
}

const CREDENTIAL: &str = "bench:bench";

impl Router {
    /// Starts the router `binary` on free ports.
    pub fn start(binary: &str) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), binary, &[])
    }

    /// Starts the router `binary` on free ports, with what `data` holds and `environment` adds.
    pub fn start_in(data: tempfile::TempDir, binary: &str, environment: &[(&str, &str)]) -> Self {
        let mut child = Command::new(binary)
            .args([
                "serve",
                "--http",
                "127.0.0.1:0",
                "--syslog-tcp",
                "127.0.0.1:0",
            ])
            .args(["--syslog-udp", "127.0.0.1:0", "--data-dir"])
            .arg(data.path())
            .env("LOGBOOM_ADMIN_CREDENTIAL", CREDENTIAL)
            .env("LOGBOOM_LOG", "error")
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut ready = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut ready)
            .unwrap();
        let address = |name: &str| {
            let word = ready.split_whitespace().find_map(|w| w.strip_prefix(name));
            word.unwrap_or_else(|| panic!("no {name} in {ready:?}"))
                .to_owned()
        };
        Self {
            http: address("http="),
            syslog_tcp: address("syslog_tcp="),
            child,
            _data: data,
        }
    }

    /// One API call; the answer's body as JSON.
    pub fn call(&self, method: &str, path: &str, body: &str) -> serde_json::Value {
        serde_json::from_str(&self.ask(method, path, body)).unwrap_or(serde_json::Value::Null)
    }

    /// One request; the answer's body.
    fn ask(&self, method: &str, path: &str, body: &str) -> String {
        let mut socket = TcpStream::connect(&self.http).unwrap();
        let authorization = base64(CREDENTIAL.as_bytes());
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Basic {authorization}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        socket.write_all(head.as_bytes()).unwrap();
        socket.write_all(body.as_bytes()).unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        assert!(
            answer.starts_with("HTTP/1.1 2"),
            "{method} {path}: {answer}"
        );
        answer.split_once("\r\n\r\n").unwrap().1.to_owned()
    }

    /// Makes a channel and gives back its token.
    pub fn channel(&self, id: &str, when_full: &str) -> String {
        let body = format!(r#"{{"tokens":["app"],"when_full":"{when_full}"}}"#);
        let channel = self.call("PUT", &format!("/v3/channels/{id}"), &body);
        channel["tokens"]["app"].as_str().unwrap().to_owned()
    }

    /// Attaches a drain and gives back its id.
    pub fn drain(&self, channel: &str, url: &str, options: &str) -> u64 {
        let body = format!(r#"{{"url":"{url}"{options}}}"#);
        let drain = self.call("POST", &format!("/v3/channels/{channel}/drains"), &body);
        drain["id"].as_u64().unwrap()
    }

    /// The drain's state as the API shows it.
    pub fn drain_status(&self, channel: &str, id: u64) -> serde_json::Value {
        self.call("GET", &format!("/v3/channels/{channel}/drains/{id}"), "")["status"].clone()
    }

    /// A number of `GET /metrics`, by its whole name.
    pub fn metric(&self, name: &str) -> u64 {
        let text = self.ask("GET", "/metrics", "");
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let number = line.and_then(|rest| rest.trim().parse::<f64>().ok());
        number.unwrap_or_else(|| panic!("no {name} in {text}")) as u64
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Processor time and memory so far, from `/proc`.
    pub fn usage(&self) -> Usage {
        usage_of(self.pid())
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
