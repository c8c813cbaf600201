//! `/metrics`: every number moves with what it counts.

use crate::support::Router;
use crate::support::http;
use crate::support::http::Stream;
use crate::support::http::basic;
use crate::support::message;
use crate::support::sinks::HttpSink;
use crate::support::sinks::Reply;
use crate::support::until_async;

#[tokio::test]
async fn every_number_moves() {
    let keys = [("frame_bytes_max", "2KiB"), ("channel_bytes_max", "512KiB")];
    let router = Router::start_with(&keys).await;
    let token = router.channel("app").await;
    let refusing = router.channel("refusing").await;
    let is = async |name: &str, value: f64| {
        until_async(name, async || router.metric(name).await == value).await;
    };
    is("logboom_channels", 2.0).await;
    // Sessions.
    let path = router.session(r#"{"channel_id":"app","tail":true}"#).await;
    let mut tail = Stream::open(router.http, &path, &[]).await;
    is("logboom_tails", 1.0).await;
    // In, by every door and refused for every reason that needs no other configuration.
    router.send_tcp(&message(&token, "by TCP")).await;
    let long = message(&token, &"x".repeat(4_096));
    router.send_tcp(&long).await;
    router.send_tcp(&message("t.nobody", "x")).await;
    router
        .send_tcp("<134>1 2012-12-10T03:00:48Z host app web.1 - - x")
        .await;
    let udp = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let datagram = message(&token, "by UDP");
    udp.send_to(datagram.as_bytes(), router.syslog_udp)
        .await
        .unwrap();
    udp.send_to(b"", router.syslog_udp).await.unwrap();
    let frame = message(&token, "by HTTP");
    let body = format!("{} {frame}", frame.len());
    let auth = basic(&format!("token:{token}"));
    let post = async |body: &str| {
        let headers = [
            ("Authorization", auth.as_str()),
            ("Content-Type", "application/logplex-1"),
            ("Logplex-Frame-Id", "one"),
        ];
        http::request(router.http, "POST", "/logs", &headers, body.as_bytes())
            .await
            .status
    };
    assert_eq!([post(&body).await, post(&body).await], [204, 204]);
    is("logboom_duplicate_requests_total", 1.0).await;
    is(r#"logboom_received_frames_total{input="http"}"#, 1.0).await;
    is(r#"logboom_received_frames_total{input="udp"}"#, 1.0).await;
    is(
        r#"logboom_received_bytes_total{input="udp"}"#,
        datagram.len() as f64,
    )
    .await;
    is(r#"logboom_connections_total{input="tcp"}"#, 4.0).await;
    is("logboom_truncated_messages_total", 1.0).await;
    is(
        r#"logboom_dropped_messages_total{reason="unknown_token"}"#,
        1.0,
    )
    .await;
    is(r#"logboom_dropped_messages_total{reason="no_token"}"#, 1.0).await;
    is(r#"logboom_dropped_messages_total{reason="empty"}"#, 1.0).await;
    is("logboom_routed_messages_total", 4.0).await;
    for name in [
        r#"logboom_received_bytes_total{input="tcp"}"#,
        r#"logboom_received_bytes_total{input="http"}"#,
        "logboom_segment_bytes",
        "logboom_http_request_seconds_sum",
    ] {
        assert!(0.0 < router.metric(name).await, "{name}");
    }
    tail.until("lines", |body| body.matches('\n').count() == 4)
        .await;
    is("logboom_tail_delivered_messages_total", 4.0).await;
    // One request, one time: asking is itself one, timed when it is answered.
    let count = "logboom_http_request_seconds_count";
    let before = router.metric(count).await;
    assert_eq!(router.metric(count).await, before + 1.0);
    // Out.
    let sink = HttpSink::start([]).await;
    router.drain("app", &sink.url(), "").await;
    is(r#"logboom_drains{state="idle"}"#, 1.0).await;
    router.send_tcp(&message(&token, "out")).await;
    is("logboom_drain_delivered_messages_total", 1.0).await;
    is("logboom_drain_batch_messages_count", 1.0).await;
    is("logboom_drain_batch_messages_sum", 1.0).await;
    is("logboom_drain_request_seconds_count", 1.0).await;
    assert!(50.0 < router.metric("logboom_drain_batch_bytes_sum").await);
    assert_eq!(
        router
            .metric(r#"logboom_drain_batch_messages_bucket{le="1"}"#)
            .await,
        1.0
    );
    // Lost: refused by the destination, which makes a drain a failing one.
    let sink = HttpSink::start([Reply::status(400), Reply::Hang]).await;
    router.drain("refusing", &sink.url(), "").await;
    router.send_tcp(&message(&refusing, "refused")).await;
    is(
        r#"logboom_drain_lost_messages_total{reason="refused"}"#,
        1.0,
    )
    .await;
    is(r#"logboom_drains{state="failing"}"#, 1.0).await;
    // Behind: the destination does not answer.
    let sink = HttpSink::start([Reply::Hang]).await;
    let hanging = router.channel("hanging").await;
    router.drain("hanging", &sink.url(), "").await;
    router.send_tcp(&message(&hanging, "held")).await;
    is(r#"logboom_drains{state="sending"}"#, 1.0).await;
    until_async("lag", async || {
        1.0 <= router.metric("logboom_drain_lag_messages").await
            && 0.0 < router.metric("logboom_drain_lag_bytes").await
    })
    .await;
    drop(tail);
    is("logboom_tails", 0.0).await;
    assert_eq!(
        router.call("DELETE", "/v3/channels/app", "").await.status,
        204
    );
    is("logboom_channels", 2.0).await;
    router.kill().await;
}

#[tokio::test]
async fn the_text_is_well_formed_and_names_nobody() {
    let router = Router::start().await;
    router.channel("my-own-channel").await;
    let answer = http::request(router.http, "GET", "/metrics", &[], b"").await;
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    assert_eq!(answer.header("content-type"), Some(kind));
    let text = answer.text();
    assert!(!text.contains("my-own-channel"));
    let mut explained = String::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, help) = help.split_once(' ').unwrap();
            assert!(help.ends_with('.') || help.ends_with(')'), "{line}");
            explained = name.to_owned();
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap();
            assert_eq!(name, explained);
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
        } else {
            assert!(line.starts_with(&explained), "{line} under {explained}");
        }
    }
    router.stop().await;
}
