//! How it ends: as the process does.

use crate::Ended;
use crate::command;
use crate::ended;
use crate::lines;
use crate::nowhere;
use crate::quiet;
use crate::router;
use crate::shell;

#[tokio::test]
async fn the_status_is_the_processes() {
    let (router, url) = router().await;
    for (script, status) in [
        ("exit 0", 0),
        ("exit 3", 3),
        ("exit 255", 255),
        ("kill -s TERM $$", 143),
        ("kill -s KILL $$", 137),
        ("kill -s SEGV $$", 139),
        // A real-time signal, which has no name.
        ("kill -s 40 $$", 168),
    ] {
        assert_eq!(
            ended(shell(&url, &[], script)).await,
            quiet(status),
            "{script}"
        );
    }
    assert_eq!(lines(&router).await, [""; 0]);
    router.stop().await;
}

#[tokio::test]
async fn what_cannot_be_run_ends_as_in_shells() {
    let (router, url) = router().await;
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let plain = file("plain", "#!/bin/sh\n");
    let no_shell = file("no-shell", "#!/none/of/these\n");
    let status = std::process::Command::new("chmod")
        .args(["+x", &no_shell])
        .status();
    assert!(status.unwrap().success());
    let missing = "no-such-program-anywhere";
    for (program, status, said) in [
        (
            missing,
            127,
            format!("logboom: command not found: {missing}\n"),
        ),
        (
            &no_shell,
            127,
            format!("logboom: command not found: {no_shell}\n"),
        ),
        (
            &plain,
            126,
            format!("logboom: cannot run {plain}: Permission denied (os error 13)\n"),
        ),
    ] {
        let expected = Ended {
            status,
            out: String::new(),
            err: said,
        };
        assert_eq!(ended(command(&url, &[], &[program])).await, expected);
    }
    router.stop().await;
}

#[tokio::test]
async fn without_an_address_nothing_is_started() {
    let folder = tempfile::tempdir().unwrap();
    let mark = folder.path().join("mark");
    let script = format!("echo ran > {}", mark.display());
    let mut no_address = shell("", &[], &script);
    no_address.env_remove("LOGS_URL");
    for (command, said) in [
        (no_address, "LOGS_URL"),
        (shell("ftp://h/logs", &[], &script), "http://"),
        (
            shell(&nowhere(), &["--platform-token", "secret"], &script),
            "--platform-token",
        ),
        (
            shell(&nowhere(), &["--linger", "soon"], &script),
            "--linger",
        ),
        (command(&nowhere(), &[], &[]), "CMD"),
    ] {
        let end = ended(command).await;
        assert_eq!((end.status, end.out.as_str()), (2, ""), "{end:?}");
        assert!(end.err.contains(said), "{end:?}");
        assert!(!end.err.contains("secret"), "{end:?}");
    }
    assert!(!mark.exists());
}

#[tokio::test]
async fn orphans_are_taken_in_and_their_ends_too() {
    let (router, url) = router().await;
    // The middle shell ends at once; its child's parent is the program then, and its zombie is gone
    // before the process asks.
    let script = "sh -c 'sh -c \"exit 1\" & echo $!' > pid; read pid < pid
        while kill -s 0 $pid 2>/dev/null; do :; done
        echo gone; exit 5";
    let folder = tempfile::tempdir().unwrap();
    let mut command = shell(&url, &[], script);
    command.current_dir(folder.path());
    assert_eq!(ended(command).await, quiet(5));
    assert_eq!(lines(&router).await, ["app[run.1]: gone"]);
    router.stop().await;
}
