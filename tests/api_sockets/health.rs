//! Health: honest while the router ends and while its store is broken.

use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::support;
use crate::support::Router;
use crate::support::http;
use crate::support::http::basic;
use crate::support::message;

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
    support::until_async("the end of listening", async || {
        TcpStream::connect(router.http).await.is_err()
    })
    .await;
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
