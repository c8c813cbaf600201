//! What the process prints, in the channel and passed through.

use std::time::Duration;

use crate::Ended;
use crate::command;
use crate::end_of;
use crate::ended;
use crate::kill;
use crate::lines;
use crate::nowhere;
use crate::quiet;
use crate::router;
use crate::shell;
use crate::support::sinks::HttpSink;

#[tokio::test]
async fn lines_have_the_severity_of_their_stream() {
    let (router, url) = router().await;
    let sink = HttpSink::start([]).await;
    router.drain("app", &sink.url(), "").await;
    let flags = ["--procid", "web.1"];
    let script = "echo out; echo err >&2; printf '\\nlast'";
    assert_eq!(ended(shell(&url, &flags, script)).await, quiet(0));
    let flags = ["--prival", "134", "--stderr-prival", "131"];
    assert_eq!(
        ended(shell(&url, &flags, "echo o; echo e >&2")).await,
        quiet(0)
    );
    let mut found: Vec<String> = sink
        .frames_until(6)
        .await
        .iter()
        .map(|frame| {
            let words: Vec<&str> = frame.trim_end_matches('\n').splitn(7, ' ').collect();
            [words[0], words[4], words[6]].join(" ")
        })
        .collect();
    // Each stream's order is kept; between the two there is none.
    found.sort_by_key(|line| line.starts_with("<187>") || line.starts_with("<131>"));
    assert_eq!(
        found,
        [
            "<190>1 web.1 out",
            "<190>1 web.1 ",
            "<190>1 web.1 last",
            "<134>1 run.1 o",
            "<187>1 web.1 err",
            "<131>1 run.1 e",
        ]
    );
    router.stop().await;
}

#[tokio::test]
async fn a_line_that_never_ends_is_cut_and_whole() {
    let (router, url) = router().await;
    let script = "head -c 1000000 /dev/zero | tr '\\0' 'x'; printf 'é'";
    assert_eq!(ended(shell(&url, &[], script)).await, quiet(0));
    let parts = lines(&router).await;
    let count = parts.len();
    let mut whole = String::new();
    for (index, part) in parts.iter().enumerate() {
        let mut text = part.strip_prefix("app[run.1]: ").unwrap();
        assert!(text.len() <= 10_000, "{}", text.len());
        if 0 < index {
            text = text.strip_prefix('…').unwrap();
        }
        if index + 1 < count {
            text = text.strip_suffix('…').unwrap();
        }
        whole.push_str(text);
    }
    assert!(whole == "x".repeat(1_000_000) + "é", "{}", whole.len());
    router.stop().await;
}

#[tokio::test]
async fn lines_are_joined_by_stream() {
    let (router, url) = router().await;
    let sink = HttpSink::start([]).await;
    router.drain("app", &sink.url(), "").await;
    // The last messages are whole by time only: the process waits for the end of its input.
    let script = "printf 'Error: a\\n  at b\\n' >&2
        printf 'one\\n\\ttwo\\nthree\\n  four\\n'; read x";
    let mut command = shell(&url, &["--join-indent", "--join-time", "100ms"], script);
    let mut child = command.stdin(std::process::Stdio::piped()).spawn().unwrap();
    let frames = sink.frames_until(3).await;
    let mut texts: Vec<&str> = frames
        .iter()
        .map(|frame| frame.split_once(" - ").unwrap().1.trim_end())
        .collect();
    texts.sort_unstable();
    assert_eq!(texts, ["Error: a\n  at b", "one\n\ttwo", "three\n  four"]);
    drop(child.stdin.take());
    assert_eq!(end_of(child).await, quiet(1));
    router.stop().await;
}

#[tokio::test]
async fn what_is_passed_through_is_as_it_was() {
    let (router, url) = router().await;
    let folder = tempfile::tempdir().unwrap();
    // Every byte, colours, carriage returns, no newline at the end.
    let mut bytes: Vec<u8> = (0..=255).cycle().take(200_000).collect();
    bytes.extend(b"\x1b[31mred\x1b[0m\r\nlast");
    std::fs::write(folder.path().join("bytes"), &bytes).unwrap();
    let mut command = shell(&url, &["--tee"], "cat bytes; cat bytes >&2");
    command.current_dir(folder.path());
    let output = command.output().await.unwrap();
    assert!(output.status.success());
    assert!(output.stdout == bytes, "{}", output.stdout.len());
    assert!(output.stderr == bytes, "{}", output.stderr.len());
    let shipped = lines(&router).await;
    assert_eq!(
        shipped
            .iter()
            .filter(|line| line.contains("\x1b[31mred"))
            .count(),
        2
    );
    assert_eq!(
        shipped
            .iter()
            .filter(|line| line.ends_with("]: last"))
            .count(),
        2
    );
    router.stop().await;
}

#[tokio::test]
async fn a_reader_that_leaves_does_not_end_the_shipping() {
    let (router, url) = router().await;
    let mut command = shell(&url, &["--tee"], "read go; seq 1 1000; exit 6");
    let mut child = command.stdin(std::process::Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    drop(child.stdin.take());
    let end = end_of(child).await;
    assert_eq!(end.status, 6, "{end:?}");
    assert!(end.err.contains("not passed through any more"), "{end:?}");
    let expected: Vec<String> = (1..=1000).map(|n| format!("app[run.1]: {n}")).collect();
    assert_eq!(lines(&router).await, expected);
    router.stop().await;
}

#[tokio::test]
async fn grandchildren_may_finish_their_sentence() {
    let (router, url) = router().await;
    // The grandchild speaks once the process has ended and was taken note of.
    let script = "(while kill -s 0 $$ 2>/dev/null; do :; done; echo late) & echo early; exit 4";
    assert_eq!(ended(shell(&url, &[], script)).await, quiet(4));
    assert_eq!(
        lines(&router).await,
        ["app[run.1]: early", "app[run.1]: late"]
    );
    router.stop().await;
}

#[tokio::test]
async fn who_holds_the_output_for_ever_is_not_waited_for() {
    let (router, url) = router().await;
    let script = "sleep 600 & echo $!; exit 4";
    let end = ended(shell(&url, &["--linger", "50ms"], script)).await;
    let found = lines(&router).await;
    kill("KILL", found[0].strip_prefix("app[run.1]: ").unwrap());
    assert_eq!(end.status, 4);
    assert!(end.err.contains("others hold its output"), "{end:?}");
    router.stop().await;
}

#[tokio::test]
async fn a_signal_ends_the_lingering() {
    let (router, url) = router().await;
    let script = "sleep 600 & echo $!; exit 4";
    let child = shell(&url, &["--linger", "1h"], script).spawn().unwrap();
    let found = crate::lines_until(&router, 1).await;
    let sleeper = found[0].strip_prefix("app[run.1]: ").unwrap().to_owned();
    // Its parent is the program once the shell has ended.
    let parent = format!("PPid:\t{}\n", child.id().unwrap());
    crate::support::until("the shell's end", || {
        let status = std::fs::read_to_string(format!("/proc/{sleeper}/status")).ok()?;
        status.contains(&parent).then_some(())
    })
    .await;
    kill("TERM", &crate::pid(&child));
    let end = end_of(child).await;
    kill("KILL", &sleeper);
    assert_eq!(end.status, 4, "{end:?}");
    router.stop().await;
}

#[tokio::test]
async fn the_token_is_not_inherited() {
    let (router, url) = router().await;
    let platform = "t.platform-secret";
    let with_tokens = |flags: &[&str]| {
        let mut command = command(&url, flags, &["env"]);
        command
            .env("LOGBOOM_PLATFORM_TOKEN", platform)
            .env("LOGPLEX_URL", &url)
            .env("OTHER", "kept")
            .stdout(std::process::Stdio::piped());
        command
    };
    let hidden = ended(with_tokens(&["--tee", "--grace", "50ms"])).await;
    assert!(hidden.out.contains("OTHER=kept\n"), "{hidden:?}");
    for name in ["LOGS_URL", "LOGPLEX_URL", "LOGBOOM_PLATFORM_TOKEN", "t."] {
        assert!(!hidden.out.contains(name), "{name}: {hidden:?}");
    }
    let kept = ended(with_tokens(&["--tee", "--keep-env", "--grace", "50ms"])).await;
    for text in [format!("LOGS_URL={url}\n"), format!("TOKEN={platform}\n")] {
        assert!(kept.out.contains(&text), "{kept:?}");
    }
    router.stop().await;
}

#[tokio::test]
async fn a_command_needs_no_dashes_in_front() {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_logboom"));
    let words = ["run", "--tee", "--grace", "50ms", "echo", "--tee", "-n"];
    command.args(words).env("LOGS_URL", nowhere());
    let end = tokio::time::timeout(Duration::from_secs(30), command.output());
    let output = end.await.unwrap().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "--tee -n\n");
    let ended = Ended {
        status: output.status.code().unwrap(),
        out: String::new(),
        err: String::new(),
    };
    assert_eq!(ended, quiet(0));
}
