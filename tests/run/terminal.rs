//! On a terminal, which `script` of util-linux makes.

use std::process::Stdio;

use tokio::io::AsyncWriteExt;
use tokio::process::Child;
use tokio::process::Command;

use crate::end_of;
use crate::lines_until;
use crate::router;

/// `line` of a shell on a terminal of its own, whose keys are the child's stdin.
fn on_terminal(url: &str, line: &str) -> Child {
    Command::new("env")
        .args(["--default-signal", "script", "--quiet", "--return"])
        .args(["--command", line, "/dev/null"])
        .env("SHELL", "/bin/sh")
        .env("LOGBOOM", env!("CARGO_BIN_EXE_logboom"))
        .env("LOGS_URL", url)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

async fn press(child: &mut Child, keys: &str) {
    let keyboard = child.stdin.as_mut().unwrap();
    keyboard.write_all(keys.as_bytes()).await.unwrap();
    keyboard.flush().await.unwrap();
}

/// Counts Ctrl-C; says how many there were and ends when a line is typed that says so.
const COUNTER: &str = "n=0; trap 'n=$((n+1)); echo int $n' INT; echo ready
    while :; do read x && echo \"got $x\"; [ \"$x\" = end ] && exit 5; done";

#[tokio::test]
async fn ctrl_c_comes_once_and_keys_can_be_read() {
    let (router, url) = router().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("counter.sh");
    std::fs::write(&path, COUNTER).unwrap();
    let line = format!("exec \"$LOGBOOM\" run --tee -- sh {}", path.display());
    let mut child = on_terminal(&url, &line);
    lines_until(&router, 1).await;
    press(&mut child, "\x03").await;
    lines_until(&router, 2).await;
    press(&mut child, "\x03").await;
    lines_until(&router, 3).await;
    press(&mut child, "end\n").await;
    let expected = ["ready", "int 1", "int 2", "got end"].map(|text| format!("app[run.1]: {text}"));
    assert_eq!(lines_until(&router, 4).await, expected);
    let end = end_of(child).await;
    assert_eq!(end.status, 5, "{end:?}");
    assert!(end.out.contains("int 2\r\n"), "{end:?}");
    router.stop().await;
}

#[tokio::test]
async fn a_signal_by_number_comes_once_on_a_terminal_too() {
    let (router, url) = router().await;
    let script = "n=0; trap 'n=$((n+1)); echo int $n' INT; trap 'exit 9' USR2; echo ready $PPID
        while :; do sleep 1 >/dev/null 2>&1 & wait $!; done";
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("listener.sh");
    std::fs::write(&path, script).unwrap();
    let line = format!("exec \"$LOGBOOM\" run -- sh {}", path.display());
    let mut child = on_terminal(&url, &line);
    let ready = lines_until(&router, 1).await[0].clone();
    let program = ready.rsplit(' ').next().unwrap();
    crate::kill("INT", program);
    lines_until(&router, 2).await;
    press(&mut child, "\x03").await;
    let found = lines_until(&router, 3).await;
    assert_eq!(found[1..], ["app[run.1]: int 1", "app[run.1]: int 2"]);
    crate::kill("USR2", program);
    let end = end_of(child).await;
    assert_eq!(end.status, 9, "{end:?}");
    router.stop().await;
}

#[tokio::test]
async fn a_process_that_ctrl_c_ends_ends_the_program() {
    let (router, url) = router().await;
    let line = "exec \"$LOGBOOM\" run -- sh -c 'echo ready; exec sleep 600'";
    let mut child = on_terminal(&url, line);
    lines_until(&router, 1).await;
    press(&mut child, "\x03").await;
    let end = end_of(child).await;
    assert_eq!(end.status, 130, "{end:?}");
    router.stop().await;
}

#[tokio::test]
async fn ctrl_z_stops_nothing_that_no_shell_could_let_go_on() {
    let (router, url) = router().await;
    // The program is its session's first process: there is no shell.
    let line = "exec \"$LOGBOOM\" run -- sh -c 'echo ready; read x; echo got $x; exit 6'";
    let mut child = on_terminal(&url, line);
    lines_until(&router, 1).await;
    press(&mut child, "\x1a").await;
    press(&mut child, "on\n").await;
    let expected = ["ready", "got on"].map(|text| format!("app[run.1]: {text}"));
    assert_eq!(lines_until(&router, 2).await, expected);
    let end = end_of(child).await;
    assert_eq!(end.status, 6, "{end:?}");
    router.stop().await;
}

#[tokio::test]
async fn ctrl_z_and_fg_are_heeded_below_a_shell() {
    let (router, url) = router().await;
    let script = "echo ready $$; read x; echo got $x; exit 6";
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("reader.sh");
    std::fs::write(&path, script).unwrap();
    // A shell with job control; it types `fg` itself, once both are stopped.
    let shell = format!(
        "set -m; \"$LOGBOOM\" run -- sh {}; echo stopped with $?; fg; exit $?",
        path.display()
    );
    let mut child = on_terminal(&url, &shell);
    lines_until(&router, 1).await;
    press(&mut child, "\x1a").await;
    press(&mut child, "on\n").await;
    assert_eq!(lines_until(&router, 2).await[1], "app[run.1]: got on");
    let end = end_of(child).await;
    assert!(end.out.contains("stopped with 148\r\n"), "{end:?}");
    assert_eq!(end.status, 6, "{end:?}");
    router.stop().await;
}

#[tokio::test]
async fn a_terminal_that_goes_away_is_told_to_the_process() {
    let (router, url) = router().await;
    // `exec`: only the first process of a session is told. Without: all are, by its end.
    for (exec, count) in [("exec", 2), ("", 4)] {
        let script = "trap 'echo gone; exit 7' HUP; echo ready; while :; do read x; done";
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("listener.sh");
        std::fs::write(&path, script).unwrap();
        let line = format!("{exec} \"$LOGBOOM\" run -- sh {}; exit 0", path.display());
        let mut child = on_terminal(&url, &line);
        lines_until(&router, count - 1).await;
        child.kill().await.unwrap();
        let found = lines_until(&router, count).await;
        assert_eq!(
            found[count - 2..],
            ["app[run.1]: ready", "app[run.1]: gone"]
        );
    }
    router.stop().await;
}
