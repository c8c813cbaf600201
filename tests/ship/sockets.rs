//! Local sockets, with the real `logger`.

use std::path::Path;
use std::process::Stdio;

use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::process::Command;

use crate::program::{Ship, logs_url};
use crate::support::Router;
use crate::support::sinks::HttpSink;

async fn logger(path: &Path, arguments: &[&str]) {
    let status = Command::new("logger")
        .arg("-u")
        .arg(path)
        .args(arguments)
        .stdin(Stdio::null())
        .status()
        .await
        .expect("logger is installed by tests/peers/install.sh");
    assert!(status.success());
}

#[tokio::test]
async fn the_real_logger_is_understood() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let router = Router::start().await;
    let token = router.channel("app").await;
    let flags = ["--unix", path.to_str().unwrap(), "--wait", "10ms"];
    let ship = Ship::start(&logs_url(&router, &token), &flags);
    crate::support::until("the socket", || path.exists().then_some(())).await;
    logger(
        &path,
        &["-t", "backup", "-p", "local0.err", "disk  is full"],
    )
    .await;
    logger(&path, &["-t", "backup", "--id=77", "--rfc5424", "done"]).await;
    let history = router.history_until("app", 2).await;
    assert!(
        history[0].ends_with(" app[backup]: disk  is full"),
        "{history:?}"
    );
    assert!(history[1].ends_with(" app[backup.77]: done"), "{history:?}");
    // What was written before the end is still taken.
    let many: String = (0..200).map(|n| format!("line {n}\n")).collect();
    let file = folder.path().join("many");
    std::fs::write(&file, many).unwrap();
    logger(&path, &["-t", "many", "-f", file.to_str().unwrap()]).await;
    ship.signal("TERM");
    let ended = ship.ended().await;
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    assert_eq!(router.history("app", 1_000).await.len(), 202);
    assert!(!path.exists(), "the socket goes with its program");
}

#[tokio::test]
async fn connections_are_taken_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let sink = HttpSink::start([]).await;
    let flags = [
        "--unix-stream",
        path.to_str().unwrap(),
        "--procid",
        "web.1",
        "--wait",
        "10ms",
    ];
    let ship = Ship::start(&sink.url(), &flags);
    listening("--unix-stream", &path).await;
    let mut first = UnixStream::connect(&path).await.unwrap();
    first
        .write_all(b"<13>Nov 25 08:54:19 me: one\n<14>tw")
        .await
        .unwrap();
    sink.frames_until(1).await;
    let mut second = UnixStream::connect(&path).await.unwrap();
    second.write_all(b"<15>three\n").await.unwrap();
    sink.frames_until(2).await;
    first.write_all(b"o\n").await.unwrap();
    let frames = sink.frames_until(3).await;
    for (frame, pri, text) in [
        (&frames[0], "<13>1 ", " web.1 - - one\n"),
        (&frames[1], "<15>1 ", " web.1 - - three\n"),
        (&frames[2], "<14>1 ", " web.1 - - two\n"),
    ] {
        assert!(frame.starts_with(pri) && frame.ends_with(text), "{frame}");
    }
    first.write_all(b"<13>last").await.unwrap();
    ship.signal("TERM");
    assert_eq!(ship.ended().await.code, Some(0));
    let frames = sink.frames();
    assert!(frames[3].ends_with(" web.1 - - last\n"), "{frames:?}");
}

/// As the GNU C library's `syslog(3)` writes on a connection.
#[tokio::test]
async fn messages_on_a_connection_may_end_in_a_nul() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let sink = HttpSink::start([]).await;
    let flags = ["--unix-stream", path.to_str().unwrap(), "--wait", "10ms"];
    let ship = Ship::start(&sink.url(), &flags);
    listening("--unix-stream", &path).await;
    let mut socket = UnixStream::connect(&path).await.unwrap();
    let messages = b"<14>Nov 25 13:15:01 app[7]: one\0<14>Nov 25 13:15:01 app[7]: two\0";
    socket.write_all(messages).await.unwrap();
    // While it is open.
    let frames = sink.frames_until(2).await;
    assert!(frames[0].ends_with(" app.7 - - one\n"), "{frames:?}");
    assert!(frames[1].ends_with(" app.7 - - two\n"), "{frames:?}");
    ship.signal("TERM");
    assert_eq!(ship.ended().await.code, Some(0));
    assert_eq!(sink.frames().len(), 2);
}

/// Programs of other users write there, unless they are kept out.
#[tokio::test]
async fn a_socket_is_everybodys_or_whose_it_is_said_to_be() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let sink = HttpSink::start([]).await;
    for flag in ["--unix", "--unix-stream"] {
        for (more, expected) in [(&[][..], 0o666), (&["--unix-mode", "0660"], 0o660)] {
            let flags = [&[flag, path.to_str().unwrap()], more].concat();
            let ship = Ship::start(&sink.url(), &flags);
            crate::support::until(&format!("{flag} {expected:o}"), || {
                let mode = std::fs::metadata(&path).ok()?.permissions().mode();
                (mode & 0o777 == expected).then_some(())
            })
            .await;
            ship.signal("TERM");
            assert_eq!(ship.ended().await.code, Some(0));
        }
    }
    let wrong = ["--unix", path.to_str().unwrap(), "--unix-mode", "888"];
    let ended = Ship::start(&sink.url(), &wrong).ended().await;
    assert_eq!(ended.code, Some(2), "{ended:?}");
}

#[tokio::test]
async fn what_is_there_already_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let sink = HttpSink::start([]).await;
    let shown = path.to_str().unwrap();
    for flag in ["--unix", "--unix-stream"] {
        std::fs::write(&path, "").unwrap();
        let ended = Ship::start(&sink.url(), &[flag, shown]).ended().await;
        let said = format!("logboom: {shown} is there already and is no socket\n");
        assert_eq!((ended.code, ended.stderr), (Some(1), said));
        std::fs::remove_file(&path).unwrap();

        let first = Ship::start(&sink.url(), &[flag, shown]);
        listening(flag, &path).await;
        let ended = Ship::start(&sink.url(), &[flag, shown]).ended().await;
        let said = format!("logboom: another program listens at {shown}\n");
        assert_eq!((ended.code, ended.stderr), (Some(1), said));
        // A killed one leaves its socket, and the next one takes its place.
        first.signal("KILL");
        assert_eq!(first.ended().await.code, None);
        assert!(path.exists());
        let next = Ship::start(&sink.url(), &[flag, shown, "--verbose"]);
        listening(flag, &path).await;
        next.signal("TERM");
        assert_eq!(next.ended().await.code, Some(0));
    }
}

/// Waits until somebody listens: between its name and that a socket refuses.
async fn listening(flag: &str, path: &Path) {
    crate::support::until("the socket", || match flag {
        "--unix" => std::os::unix::net::UnixDatagram::unbound()
            .unwrap()
            .connect(path)
            .ok(),
        _ => std::os::unix::net::UnixStream::connect(path).ok().map(drop),
    })
    .await;
}
