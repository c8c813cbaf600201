//! Signals reach the process, once.

use crate::end_of;
use crate::ended;
use crate::kill;
use crate::lines;
use crate::lines_until;
use crate::pid;
use crate::quiet;
use crate::router;
use crate::shell;

/// Says each signal that comes, with how often it came; USR2 ends it.
const LISTENER: &str = "n=0
    for s in HUP INT QUIT TERM USR1 WINCH CONT; do trap \"n=\\$((n+1)); echo $s \\$n\" $s; done
    trap 'exit 9' USR2
    echo ready
    while :; do sleep 1 >/dev/null 2>&1 & wait $!; done";

#[tokio::test]
async fn signals_are_passed_on() {
    let (router, url) = router().await;
    let child = shell(&url, &[], LISTENER).spawn().unwrap();
    let mut expected = vec!["app[run.1]: ready".to_owned()];
    lines_until(&router, 1).await;
    let signals = [
        "HUP", "INT", "QUIT", "TERM", "USR1", "WINCH", "CONT", "TERM",
    ];
    for (index, signal) in signals.iter().enumerate() {
        kill(signal, &pid(&child));
        expected.push(format!("app[run.1]: {signal} {}", index + 1));
        assert_eq!(lines_until(&router, expected.len()).await, expected);
    }
    kill("USR2", &pid(&child));
    assert_eq!(end_of(child).await, quiet(9));
    router.stop().await;
}

#[tokio::test]
async fn a_process_that_heeds_term_ends_by_it() {
    let (router, url) = router().await;
    let script = "echo ready; exec sleep 600";
    let child = shell(&url, &[], script).spawn().unwrap();
    lines_until(&router, 1).await;
    kill("TERM", &pid(&child));
    assert_eq!(end_of(child).await, quiet(143));
    router.stop().await;
}

#[tokio::test]
async fn a_signal_to_the_whole_group_comes_once() {
    let (router, url) = router().await;
    let mut command = shell(&url, &[], LISTENER);
    // As a supervisor or a shell's job has it: not the terminal's foreground group.
    command.process_group(0);
    let child = command.spawn().unwrap();
    lines_until(&router, 1).await;
    let group = format!("-{}", pid(&child));
    kill("TERM", &group);
    lines_until(&router, 2).await;
    kill("HUP", &group);
    let expected = ["ready", "TERM 1", "HUP 2"].map(|text| format!("app[run.1]: {text}"));
    assert_eq!(lines_until(&router, 3).await, expected);
    kill("USR2", &group);
    assert_eq!(end_of(child).await, quiet(9));
    assert_eq!(lines(&router).await, expected);
    router.stop().await;
}

#[tokio::test]
async fn what_was_ignored_stays_ignored() {
    let (router, url) = router().await;
    // As `nohup` does it.
    let mut command = tokio::process::Command::new("sh");
    command
        .args([
            "-c",
            "trap '' HUP; exec \"$0\" run -- sh -c 'kill -s HUP $$; echo alive; read x'",
        ])
        .arg(env!("CARGO_BIN_EXE_logboom"))
        .env("LOGS_URL", &url)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    assert_eq!(lines_until(&router, 1).await, ["app[run.1]: alive"]);
    kill("HUP", &pid(&child));
    drop(child.stdin.take());
    // `read` at the end of its input.
    assert_eq!(end_of(child).await, quiet(1));
    router.stop().await;
}

#[tokio::test]
async fn an_end_is_heard_of_though_nobody_wanted_to() {
    let (router, url) = router().await;
    // The kernel tells nobody of children's ends who ignores them.
    let mut command = tokio::process::Command::new("env");
    command
        .args(["--ignore-signal=CHLD", env!("CARGO_BIN_EXE_logboom"), "run"])
        .args(["--", "sh", "-c", "true | true; exit 3"])
        .env("LOGS_URL", &url)
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .kill_on_drop(true);
    assert_eq!(ended(command).await, quiet(3));
    router.stop().await;
}

#[tokio::test]
async fn stopping_and_going_on_is_both_ones() {
    let (router, url) = router().await;
    let script = "trap 'exit 8' USR2; echo $$; while :; do sleep 1 >/dev/null 2>&1 & wait $!; done";
    let mut command = shell(&url, &[], script);
    // One whose parent is of another group: Ctrl-Z stops no group that nobody could let go on.
    command.process_group(0);
    let child = command.spawn().unwrap();
    let inner = lines_until(&router, 1).await[0].replace("app[run.1]: ", "");
    let is_stopped = |pid: &str| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        stat.split(' ').nth(2) == Some("T")
    };
    let both = [pid(&child), inner];
    kill("TSTP", &both[0]);
    let all = |wanted: bool| {
        both.iter()
            .all(|pid| is_stopped(pid) == wanted)
            .then_some(())
    };
    crate::support::until("both stopped", || all(true)).await;
    kill("CONT", &both[0]);
    crate::support::until("both going on", || all(false)).await;
    kill("USR2", &both[0]);
    assert_eq!(end_of(child).await, quiet(8));
    router.stop().await;
}

#[tokio::test]
async fn signals_after_the_end_mean_the_program() {
    // Nobody listens there, and it would wait long for somebody.
    let mut command = shell(
        &crate::nowhere(),
        &["--grace", "1h"],
        "echo lost; read x; exit 4",
    );
    let mut child = command.stdin(std::process::Stdio::piped()).spawn().unwrap();
    let children = format!("/proc/{0}/task/{0}/children", pid(&child));
    let has_child = |wanted: bool| {
        let found = std::fs::read_to_string(&children).ok()?;
        (found.trim().is_empty() != wanted).then_some(())
    };
    crate::support::until("the process", || has_child(true)).await;
    drop(child.stdin.take());
    crate::support::until("the process's end", || has_child(false)).await;
    kill("TERM", &pid(&child));
    let end = end_of(child).await;
    assert_eq!(end.status, 4, "{end:?}");
    let counts = "logboom: delivered=0 dropped=0 lost=1 spooled=0";
    assert!(end.err.contains(counts), "{end:?}");
}

#[tokio::test]
async fn a_quick_end_is_not_missed() {
    let (router, url) = router().await;
    for _ in 0..20 {
        assert_eq!(ended(crate::command(&url, &[], &["true"])).await, quiet(0));
    }
    router.stop().await;
}
