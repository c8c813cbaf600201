//! What must stay secret: not in the router's log at its most talkative, not in its metrics; and
//! of credentials not in its store.

use std::fs;
use std::net::TcpListener;
use std::process::Stdio;

use crate::support;
use crate::support::Router;
use crate::support::http;
use crate::support::http::Stream;
use crate::support::http::basic;
use crate::support::message;
use crate::support::sinks::HttpSink;
use crate::support::sinks::Reply;

#[tokio::test]
async fn nothing_secret_is_logged_measured_or_kept() {
    let data = tempfile::tempdir().unwrap();
    let log = data.path().join("stderr");
    let mut command = support::command(&data.path().join("data"));
    command
        .env("LOGBOOM_LOG", "trace")
        .env("RUST_LOG", "trace")
        .env("LOGBOOM_ADMIN_CREDENTIAL", "local:AdminSecret4711")
        .env("LOGBOOM_AUTH_KEY", "KeySecret4711")
        .stderr(Stdio::from(fs::File::create(&log).unwrap()));
    let router = Router::start_from(command).await;
    let admin = basic("local:AdminSecret4711");
    let call = async |method: &str, path: &str, auth: &str, body: &str| {
        let headers = [
            ("Authorization", auth),
            ("Content-Type", "application/json"),
        ];
        http::request(router.http, method, path, &headers, body.as_bytes()).await
    };
    let made = call(
        "PUT",
        "/v3/channels/app",
        "Basic KeySecret4711",
        r#"{"tokens":["app"]}"#,
    )
    .await;
    assert_eq!(made.status, 201, "{made:?}");
    let token = made.json()["tokens"]["app"].as_str().unwrap().to_owned();
    let given = r#"{"id":"given","permissions":["any_channel"],"secret":"GivenSecret4711"}"#;
    assert_eq!(
        call("POST", "/v3/credentials", &admin, given).await.status,
        201
    );
    let made = r#"{"id":"made","permissions":["full_api"]}"#;
    let made = call("POST", "/v3/credentials", &admin, made).await.json();
    let made = made["secret"].as_str().unwrap().to_owned();
    // Drains that fail in every way there is.
    let sink = HttpSink::start([Reply::status(500), Reply::Close, Reply::status(400)]).await;
    let refusing = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let with_user = |url: String| url.replacen("//", "//user:DrainSecret4711@", 1);
    let urls = [
        with_user(sink.url()),
        with_user(format!("http://{refusing}/x?key=DrainSecret4711")),
        with_user(format!("https://{}/", router.http)),
        "syslog+tls://127.0.0.1:1".to_owned(),
    ];
    for url in urls {
        let body = format!(r#"{{"url":"{url}","headers":{{"X-Key":"DrainSecret4711"}}}}"#);
        let body = if url.starts_with("http") {
            body
        } else {
            format!(r#"{{"url":"{url}"}}"#)
        };
        let answer = call("POST", "/v3/channels/app/drains", &admin, &body).await;
        assert_eq!(answer.status, 201, "{answer:?}");
    }
    // Messages by every door, some refused.
    router.send_tcp(&message(&token, "by TCP")).await;
    let wrong = "t.WrongSecret4711";
    router.send_tcp(&message(wrong, "to nobody")).await;
    let frame = message(&token, "by HTTP");
    let body = format!("{} {frame}", frame.len());
    for auth in [
        basic(&format!("token:{token}")),
        basic("given:GivenSecret4711"),
        basic("given:WrongSecret4711"),
        format!("Bearer {wrong}"),
    ] {
        let headers = [
            ("Authorization", auth.as_str()),
            ("Content-Type", "application/logplex-1"),
        ];
        http::request(router.http, "POST", "/logs", &headers, body.as_bytes()).await;
    }
    for auth in [
        basic(&format!("made:{made}")),
        basic("local:WrongSecret4711"),
    ] {
        call("GET", "/v3/channels/app", &auth, "").await;
    }
    call(
        "PUT",
        "/v3/channels/x",
        &admin,
        &format!(r#"{{"tokens":["{token}"#),
    )
    .await;
    let sessions = r#"{"channel_id":"app","tail":true}"#;
    let url = call("POST", "/sessions", &admin, sessions).await.text();
    let id = url
        .rsplit_once('/')
        .unwrap()
        .1
        .split('?')
        .next()
        .unwrap()
        .to_owned();
    let mut tail = Stream::open(router.http, &format!("/sessions/{id}"), &[]).await;
    let body = tail.until("lines", |body| body.contains("by HTTP")).await;
    assert!(!body.contains(&token), "{body}");
    // The 500 and the close are tried again, then the 400 drops the batch.
    sink.posts_until(3).await;
    let metrics = http::request(router.http, "GET", "/metrics", &[], b"")
        .await
        .text();
    let health = http::request(router.http, "GET", "/healthcheck", &[], b"")
        .await
        .text();
    drop(tail);
    router.stop().await;
    let log = fs::read_to_string(&log).unwrap();
    assert!(log.contains("message=stopped"), "{log}");
    let store = fs::read(data.path().join("data/logboom.redb")).unwrap();
    let holds = |bytes: &[u8], secret: &str| {
        bytes
            .windows(secret.len())
            .any(|window| window == secret.as_bytes())
    };
    assert!(
        holds(&store, &token),
        "the search of the file must be able to find"
    );
    for secret in [token.as_str(), id.as_str(), made.as_str(), "Secret4711"] {
        for (place, text) in [("log", &log), ("metrics", &metrics), ("health", &health)] {
            assert!(!text.contains(secret), "{secret} in the {place}: {text}");
        }
    }
    for secret in [
        "AdminSecret4711",
        "GivenSecret4711",
        "KeySecret4711",
        made.as_str(),
        id.as_str(),
    ] {
        assert!(!holds(&store, secret), "{secret} in the store");
        let encoded = basic(secret);
        assert!(
            !holds(&store, encoded.trim_start_matches("Basic ")),
            "{secret} in the store"
        );
    }
}
