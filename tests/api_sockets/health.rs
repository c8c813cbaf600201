//! Health: honest while the router ends and while its store is broken.

use std::sync::Arc;

use logboom::clock::UnixMicros;
use logboom::id::ChannelId;
use logboom::registry::Change;
use logboom::registry::ChannelEntry;
use logboom::store::Store;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::sync::Semaphore;

use crate::support;
use crate::support::Router;
use crate::support::http;
use crate::support::http::basic;
use crate::support::message;
use crate::support::sinks::HttpSink;
use crate::support::sinks::Reply;

/// The statuses of both health checks.
async fn statuses(router: &Router) -> [u16; 2] {
    let mut found = [0; 2];
    for (index, path) in ["/healthcheck", "/v3/healthcheck"].into_iter().enumerate() {
        found[index] = http::request(router.http, "GET", path, &[], b"")
            .await
            .status;
    }
    found
}

#[tokio::test]
async fn a_router_that_ends_says_so_and_lets_requests_end() {
    let mut router = Router::start().await;
    let token = router.channel("app").await;
    assert_eq!(statuses(&router).await, [200, 200]);
    let auth = basic(&format!("token:{token}"));
    let frame = message(&token, "the last");
    let body = format!("{} {frame}", frame.len());
    let mut hanging = TcpStream::connect(router.http).await.unwrap();
    let head = format!(
        "POST /logs HTTP/1.1\r\nHost: x\r\nAuthorization: {auth}\r\nContent-Type: application/logplex-1\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    hanging.write_all(head.as_bytes()).await.unwrap();
    // Connections that were there before, their requests half said.
    let mut asking = Vec::new();
    for path in ["/healthcheck", "/v3/healthcheck", "/v3/channels"] {
        let mut socket = TcpStream::connect(router.http).await.unwrap();
        let line = format!("GET {path} HTTP/1.1\r\nHost: x\r\n");
        socket.write_all(line.as_bytes()).await.unwrap();
        asking.push(socket);
    }
    let open = r#"logboom_connections_open{input="http"}"#;
    support::until_async("the connections", async || router.metric(open).await == 5.0).await;
    // A further answer shows that the router has read what came before it.
    assert_eq!(statuses(&router).await, [200, 200]);
    router.signal("TERM");
    until_it_ends(&router).await;
    for (mut socket, rest) in asking.into_iter().zip([
        String::new(),
        String::new(),
        format!("Authorization: {}\r\n", basic(support::CREDENTIAL)),
    ]) {
        socket
            .write_all(format!("{rest}\r\n").as_bytes())
            .await
            .unwrap();
        let mut bytes = Vec::new();
        socket.read_to_end(&mut bytes).await.unwrap();
        let answer = http::parse(&bytes);
        assert_eq!(answer.status, 503, "{answer:?}");
        assert!(answer.header("retry-after").is_some() || answer.text().contains("status"));
        assert!(
            answer.text().contains("the router is stopping"),
            "{answer:?}"
        );
    }
    // The request that was under way ends, whatever it is told.
    hanging.write_all(body.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    hanging.read_to_end(&mut bytes).await.unwrap();
    assert!([204, 503].contains(&http::parse(&bytes).status));
    assert_eq!(router.exit_code().await, Some(0));
}

/// Waits until a router that was asked to end has begun with it: syslog is not accepted any more.
async fn until_it_ends(router: &Router) {
    support::until_async("the end of intake", async || {
        TcpStream::connect(router.syslog_tcp).await.is_err()
    })
    .await;
}

/// Who connects anew learns that it ends, too, while its drains are flushed.
#[tokio::test]
async fn a_router_says_that_it_ends_until_its_drains_are_flushed() {
    let mut router = Router::start().await;
    let token = router.channel("app").await;
    let gate = Arc::new(Semaphore::new(0));
    let sink = HttpSink::start([Reply::Held(Arc::clone(&gate))]).await;
    let url = format!("http://{}/", sink.address);
    let drain = router.drain("app", &url, "").await;
    router.send_tcp(&message(&token, "the last")).await;
    let sending = |status: &serde_json::Value| status["state"] == "sending";
    router.drain_until("app", drain, sending).await;
    router.signal("TERM");
    until_it_ends(&router).await;
    assert_eq!(statuses(&router).await, [503, 503]);
    let auth = basic(&format!("token:{token}"));
    let headers = [
        ("Authorization", auth.as_str()),
        ("Content-Type", "application/logplex-1"),
    ];
    let answer = http::request(router.http, "POST", "/logs", &headers, b"").await;
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(answer.header("retry-after").is_some(), "{answer:?}");
    // The connections that were there before have ended: only the drain holds it up.
    assert_eq!(statuses(&router).await, [503, 503]);
    gate.add_permits(1);
    assert_eq!(router.exit_code().await, Some(0));
    assert!(TcpStream::connect(router.http).await.is_err());
}

/// A router with so many entries that it takes a moment to read them says that it starts.
#[tokio::test]
async fn a_router_that_starts_says_so() {
    let data = tempfile::tempdir().unwrap();
    let mut store = Store::open(data.path()).unwrap();
    let changes: Vec<Change> = (0..CHANNELS).map(channel).collect();
    store.commit(&changes).unwrap();
    drop(store);
    // The ready line comes only afterwards, so the address has to be known before.
    let at = std::net::TcpListener::bind("127.0.0.7:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_logboom"));
    command
        .args(["serve", "--http", &at.to_string()])
        .args(["--syslog-tcp", "127.0.0.1:0", "--syslog-udp", "127.0.0.1:0"])
        .arg("--data-dir")
        .arg(data.path())
        .env("LOGBOOM_ADMIN_CREDENTIAL", support::CREDENTIAL)
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true);
    let starting = tokio::spawn(Router::start_from(command));
    support::until_async("listening", async || TcpStream::connect(at).await.is_ok()).await;
    for (method, path) in [
        ("GET", "/healthcheck"),
        ("GET", "/v3/healthcheck"),
        ("POST", "/logs"),
    ] {
        let answer = http::request(at, method, path, &[], b"").await;
        assert_eq!(answer.status, 503, "{path}: {answer:?}");
        assert!(answer.header("retry-after").is_some(), "{path}: {answer:?}");
    }
    let router = starting.await.unwrap();
    assert_eq!(statuses(&router).await, [200, 200]);
    router.stop().await;
}

/// Reading these takes many times as long as asking three times.
const CHANNELS: u64 = 50_000;

fn channel(number: u64) -> Change {
    Change::PutChannel {
        channel: ChannelEntry::new(ChannelId::from(number), UnixMicros::new(number)),
        number: None,
        tokens: Vec::new(),
        tokens_removed: Vec::new(),
    }
}

#[tokio::test]
async fn a_broken_store_is_told_and_its_recovery_too() {
    let data = tempfile::tempdir().unwrap();
    let plain = support::command(data.path());
    let plain = plain.as_std();
    // A file-size limit stands for a full disk.
    let mut command = Command::new("sh");
    command
        .args(["-c", r#"trap '' XFSZ; ulimit -S -f 8192; exec "$0" "$@""#])
        .arg(plain.get_program())
        .args(plain.get_args())
        .env("LOGBOOM_ADMIN_CREDENTIAL", support::CREDENTIAL)
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true);
    let router = Router::start_from(command).await;
    let names: Vec<String> = (0..1_000)
        .map(|number| format!(r#""name-{number}""#))
        .collect();
    let body = format!(r#"{{"tokens":[{}]}}"#, names.join(","));
    let mut made = Vec::new();
    let failed = loop {
        let id = format!("c{}", made.len());
        let answer = router
            .call("PUT", &format!("/v3/channels/{id}"), &body)
            .await;
        if answer.status != 201 {
            break answer;
        }
        made.push((id, answer.json()));
        assert!(made.len() < 200, "the limit was not met");
    };
    assert_eq!(failed.status, 500, "{failed:?}");
    assert_eq!(
        failed.text(),
        r#"{"error":"the change could not be stored"}"#
    );
    assert_eq!(statuses(&router).await, [503, 503]);
    let health = http::request(router.http, "GET", "/healthcheck", &[], b"").await;
    assert_eq!(
        health.text(),
        r#"{"status":"the store does not take changes"}"#
    );
    // What is not a change goes on.
    let token = made[0].1["tokens"]["name-0"].as_str().unwrap();
    router.send_tcp(&message(token, "still here")).await;
    router.history_until("c0", 1).await;
    let status = std::process::Command::new("prlimit")
        .args([
            "--pid",
            &router.pid().to_string(),
            "--fsize=unlimited:unlimited",
        ])
        .status();
    assert!(status.unwrap().success());
    // Without a change: nobody sends any to a router that says it is broken.
    support::until_async("the store to work again", async || {
        statuses(&router).await == [200, 200]
    })
    .await;
    let after = router.call("PUT", "/v3/channels/after", "{}").await;
    assert_eq!(after.status, 201, "{after:?}");
    router.stop().await;
    // The refused one is not there, every other is.
    let router = Router::start_in(data.path().to_owned(), &[], &[]).await;
    for (id, shown) in &made {
        let answer = router.call("GET", &format!("/v3/channels/{id}"), "").await;
        assert_eq!(&answer.json(), shown);
    }
    let refused = router
        .call("GET", &format!("/v3/channels/c{}", made.len()), "")
        .await;
    assert_eq!(refused.status, 404);
    router.stop().await;
}
