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
use tokio::process::Command;

/// The first `sh` block under the heading `title`.
fn block(title: &str) -> String {
    let readme = include_str!("../README.md");
    let (_, section) = readme.split_once(&format!("\n## {title}\n")).unwrap();
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

#[tokio::test]
async fn the_first_message_goes_through() {
    let title = "First message through";
    let [http, syslog] = [free_port(), free_port()];
    // The program is built already, and the usual ports may be taken on this machine.
    let commands: Vec<String> = block(title)
        .lines()
        .filter(|line| !line.starts_with("cargo ") && !line.starts_with("export PATH="))
        .map(|line| {
            line.replace("8601", &http)
                .replace(" 6001 ", &format!(" {syslog} "))
        })
        .collect();
    assert_eq!(commands.last().unwrap(), "logboom logs myapp --tail");
    let script = commands.join("\n");

    let folder = tempfile::tempdir().unwrap();
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_logboom"));
    let path = std::env::var("PATH").unwrap();
    let path = format!("{}:{path}", program.parent().unwrap().display());
    let mut child = Command::new("bash")
        .args(["-e", "-c", &script])
        .current_dir(folder.path())
        .env("PATH", path)
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
    let _group = Group(child.id().unwrap());
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut seen = String::new();
    // `logger` hears no answer: its message may be in the tail only, that of curl is in both.
    let is_through = |seen: &str| {
        let count = |text: &str| seen.matches(text).count();
        1 <= count(" app[-]: hello from logger\n") && 2 <= count(" app[web.1]: hello from curl\n")
    };
    let read = async {
        while !is_through(&seen) {
            let Some(line) = lines.next_line().await.unwrap() else {
                panic!("it ended after:\n{seen}");
            };
            seen.push_str(line.trim_end());
            seen.push('\n');
        }
    };
    let is_done = tokio::time::timeout(support::PATIENCE, read).await.is_ok();
    assert!(is_done, "{script}\n{seen}");
    for part in [
        "logboom ready http=127.0.0.1:",
        "\nnormal\n",
        "\nchannel myapp\n",
        "\nHTTP/1.1 204 No Content\n",
    ] {
        assert!(seen.contains(part), "{part:?} is missing in:\n{seen}");
    }
}

#[tokio::test]
async fn every_command_of_the_readme_is_one() {
    let readme = include_str!("../README.md");
    let mut count = 0;
    for line in readme.lines().filter(|line| line.starts_with("logboom ")) {
        let line = line.trim_end_matches(" &").split(" #").next().unwrap();
        let words = line.strip_prefix("logboom ").unwrap();
        // With --help nothing is done, but what stands before it must be known. Quotes are the
        // shell's.
        let output = Command::new("bash")
            .args(["-c", &format!("\"$0\" {words} --help")])
            .arg(env!("CARGO_BIN_EXE_logboom"))
            .output()
            .await
            .unwrap();
        assert!(output.status.success(), "{line}: {output:?}");
        count += 1;
    }
    assert!(8 <= count, "{count}");
}
