//! The contract of the binary: its ready line, its signals, its first start, its errors.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests stop at a surprise"
)]

mod support;

use std::os::unix::fs::PermissionsExt;
use std::process::Output;

use support::Router;
use support::http;
use support::sinks::HttpSink;
use support::sinks::Reply;

async fn run(keys: &[(&str, &str)], arguments: &[&str]) -> Output {
    let data = tempfile::tempdir().unwrap();
    let mut command = support::command(data.path());
    command.args(arguments).stderr(std::process::Stdio::piped());
    for (key, value) in keys {
        command.env(key, value);
    }
    tokio::time::timeout(support::PATIENCE, command.output())
        .await
        .unwrap()
        .unwrap()
}

#[tokio::test]
async fn it_says_where_it_listens_and_ends_when_asked() {
    let router = Router::start().await;
    assert!(
        router.ready.starts_with("logboom ready http=127.0.0.1:"),
        "{}",
        router.ready
    );
    assert!(router.ready.ends_with('\n'));
    let answer = http::request(router.http, "GET", "/healthcheck", &[], b"").await;
    assert_eq!(
        (answer.status, answer.text().as_str()),
        (200, r#"{"status":"normal"}"#)
    );
    router.stop().await;
}

#[tokio::test]
async fn sigint_ends_it_well_too() {
    let mut router = Router::start().await;
    router.signal("INT");
    assert_eq!(router.exit_code().await, Some(0));
}

#[tokio::test]
async fn the_first_start_makes_a_credential_that_only_its_owner_can_read() {
    let data = tempfile::tempdir().unwrap();
    let mut command = support::command(data.path());
    command.env_remove("LOGBOOM_ADMIN_CREDENTIAL");
    let mut child = command.spawn().unwrap();
    let file = data.path().join("admin-credential");
    let text = support::until("the credential", || {
        std::fs::read_to_string(&file)
            .ok()
            .filter(|text| text.contains(':'))
    })
    .await;
    assert_eq!(
        std::fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let mut ready = String::new();
    let mut stdout = tokio::io::BufReader::new(child.stdout.take().unwrap());
    tokio::io::AsyncBufReadExt::read_line(&mut stdout, &mut ready)
        .await
        .unwrap();
    let address = ready
        .split("http=")
        .nth(1)
        .unwrap()
        .split_whitespace()
        .next()
        .unwrap();
    let authorization = http::basic(text.trim());
    let headers = [("Authorization", authorization.as_str())];
    let answer = http::request(
        address.parse().unwrap(),
        "GET",
        "/v3/channels",
        &headers,
        b"",
    )
    .await;
    assert_eq!(answer.status, 200, "{answer:?}");
    child.kill().await.unwrap();
}

#[tokio::test]
async fn a_faulty_configuration_is_named_and_nothing_starts() {
    for (keys, arguments, wanted) in [
        (
            &[("LOGBOOM_CHANEL_BYTES_MAX", "1")][..],
            &[][..],
            "chanel_bytes_max",
        ),
        (&[("LOGBOOM_CHANNEL_BYTES_MAX", "lots")], &[], "lots"),
        (&[("LOGBOOM_WHEN_FULL", "panic")], &[], "when_full"),
        (
            &[],
            &["--config", "/nonexistent/logboom.toml"],
            "/nonexistent/logboom.toml",
        ),
        (&[], &["--syslog-tls", "127.0.0.1:0"], "tls_certificate"),
    ] {
        let output = run(keys, arguments).await;
        let error = String::from_utf8_lossy(&output.stderr).to_lowercase();
        assert_eq!(
            output.status.code(),
            Some(2),
            "{keys:?} {arguments:?}: {error}"
        );
        assert!(error.contains(wanted), "{error:?} does not name {wanted}");
        assert!(output.stdout.is_empty(), "nothing was ready");
    }
}

#[tokio::test]
async fn an_address_that_is_taken_and_a_directory_in_use_are_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let data = tempfile::tempdir().unwrap();
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_logboom"));
    command.args([
        "serve",
        "--http",
        "127.0.0.1:0",
        "--syslog-tcp",
        &address,
        "--data-dir",
    ]);
    let output = command.arg(data.path()).output().await.unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains(&address), "{error}");

    let data = tempfile::tempdir().unwrap();
    let router = Router::start_in(data.path().to_owned(), &[], &[]).await;
    let mut second = support::command(data.path());
    let output = second
        .stderr(std::process::Stdio::piped())
        .output()
        .await
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("in use"), "{error}");
    router.stop().await;
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_crash() {
    let data = tempfile::tempdir().unwrap();
    let router = Router::start_in(data.path().to_owned(), &[], &[]).await;
    let token = router.channel("app").await;
    let drain = router.drain("app", "http://127.0.0.1:9/x", "").await;
    router.kill().await;
    // That drain's destination is not there: nothing is to wait for at the end.
    let keys = [("shutdown_grace", "0s")];
    let router = Router::start_in(data.path().to_owned(), &keys, &[]).await;
    let channel = router.call("GET", "/v3/channels/app", "").await.json();
    assert_eq!(channel["tokens"]["app"], token.as_str());
    assert_eq!(channel["drains"][0]["id"], drain);
    router
        .send_tcp(&support::message(&token, "still routed"))
        .await;
    assert_eq!(router.history("app", 10).await.len(), 1);
    router.stop().await;
}

#[tokio::test]
async fn the_end_waits_for_drains_that_still_have_something_to_send() {
    let router = Router::start_with(&[("retry_delay_min", "1ms")]).await;
    let token = router.channel("app").await;
    let sink = HttpSink::start([Reply::status(503), Reply::status(503)]).await;
    router.drain("app", &sink.url(), "").await;
    router
        .send_tcp(&support::message(&token, "before the end"))
        .await;
    router.stop().await;
    let last = sink.posts().pop().expect("something was sent");
    assert_eq!(last.status, 204);
    assert!(last.frames()[0].ends_with("before the end\n"));
}

/// Opens a tail of `channel` over a connection that is then not read any more.
async fn stalled_tail(router: &Router, channel: &str) -> tokio::net::TcpStream {
    let body = format!(r#"{{"channel_id":"{channel}","num":1000,"tail":true}}"#);
    let path = router.session(&body).await;
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    let mut reader = socket.connect(router.http).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    tokio::io::AsyncWriteExt::write_all(&mut reader, request.as_bytes())
        .await
        .unwrap();
    let mut first = [0; 512];
    tokio::io::AsyncReadExt::read_exact(&mut reader, &mut first)
        .await
        .unwrap();
    reader
}

#[tokio::test]
async fn a_reader_that_has_stopped_reading_leaves_drains_their_time_to_end() {
    let keys = [
        ("socket_send_bytes", "4096"),
        ("shutdown_grace", "4s"),
        // Beyond the grace: only the flush makes the drain try again in time.
        ("retry_delay_min", "20s"),
    ];
    let router = Router::start_with(&keys).await;
    let token = router.channel("app").await;
    for _ in 0..32 {
        let text = "x".repeat(60_000);
        router.send_tcp(&support::message(&token, &text)).await;
    }
    let _reader = stalled_tail(&router, "app").await;
    let sink = HttpSink::start([Reply::status(503)]).await;
    router
        .drain("app", &sink.url(), r#","batch_bytes_max":1024"#)
        .await;
    let frame = support::message(&token, &"y".repeat(600));
    let frames = format!("{} {frame}", frame.len()).repeat(200);
    let mut producer = tokio::net::TcpStream::connect(router.syslog_tcp)
        .await
        .unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut producer, frames.as_bytes())
        .await
        .unwrap();
    router.history_until("app", 232).await;
    sink.posts_until(1).await;
    router.stop().await;
    let posts = sink.posts();
    let taken = posts.iter().filter(|post| post.status == 204);
    assert_eq!(taken.map(|post| post.frames().len()).sum::<usize>(), 200);
}
