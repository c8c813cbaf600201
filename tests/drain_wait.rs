//! Channels that make their senders wait for the slowest drain: nothing is lost for as long as the
//! drain moves, whoever sends and in whatever portions.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    reason = "a test may stop at the first surprise"
)]

mod support;

use std::sync::Arc;
use std::time::Duration;

use support::Router;
use support::http;
use support::lost;
use support::message;
use support::number;
use support::sinks::HttpSink;
use support::sinks::Reply;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// A channel that waits, with a small budget.
async fn waiting(wait_max: &str) -> (Router, String) {
    let router = Router::start_with(&[
        ("channel_bytes_max", "1MiB"),
        ("wait_max", wait_max),
        ("drain_request_timeout", "1h"),
    ])
    .await;
    let token = router.channel("app").await;
    let answer = router
        .call("PATCH", "/v3/channels/app", r#"{"when_full":"wait"}"#)
        .await;
    assert_eq!(answer.status, 200, "{answer:?}");
    (router, token)
}

async fn post_logs(router: &Router, token: &str, text: &str) -> http::Answer {
    post_frames(router, token, &frame(token, text)).await
}

fn frame(token: &str, text: &str) -> String {
    let text = message(token, text);
    format!("{} {text}", text.len())
}

async fn post_frames(router: &Router, token: &str, body: &str) -> http::Answer {
    let authorization = http::basic(&format!("token:{token}"));
    let headers = [
        ("Authorization", authorization.as_str()),
        ("Content-Type", "application/logplex-1"),
    ];
    http::request(router.http, "POST", "/logs", &headers, body.as_bytes()).await
}

/// A drain that is answered only as permits are added.
async fn held_drain(router: &Router) -> (Arc<Semaphore>, HttpSink, u64) {
    let permits = Arc::new(Semaphore::new(0));
    let sink = HttpSink::start(vec![Reply::Held(Arc::clone(&permits)); 100_000]).await;
    let drain = router.drain("app", &sink.url(), "").await;
    (permits, sink, drain)
}

/// Sends 10 MB through a channel of 1 MiB.
fn flood(to: std::net::SocketAddr, token: String) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        let mut socket = TcpStream::connect(to).await.unwrap();
        let filler = "x".repeat(900);
        for index in 0..10_000 {
            let text = message(&token, &format!("n{index} {filler}"));
            let bytes = format!("{} {text}", text.len());
            socket.write_all(bytes.as_bytes()).await.unwrap();
        }
        socket.shutdown().await.unwrap();
        socket.read_to_end(&mut Vec::new()).await.unwrap();
    })
}

#[tokio::test]
async fn a_channel_that_waits_pauses_its_senders_and_loses_nothing() {
    let (router, token) = waiting("1h").await;
    let (permits, sink, drain) = held_drain(&router).await;
    let sender = flood(router.syslog_tcp, token.clone());
    // Nothing is answered: the sender stands, and HTTP is told to come again.
    let mut answer = post_logs(&router, &token, "by HTTP").await;
    let mut by_http = u64::from(answer.status == 204);
    support::until_async("429", async || {
        answer = post_logs(&router, &token, "by HTTP").await;
        by_http += u64::from(answer.status == 204);
        answer.status == 429
    })
    .await;
    assert_eq!(answer.header("Retry-After"), Some("1"));
    assert!(!sender.is_finished());
    let status = router.drain_status("app", drain).await;
    assert_eq!(
        (number(&status["delivered"]), lost(&status)),
        (0, 0),
        "{status}"
    );
    assert!(number(&status["lag_bytes"]) <= 1 << 20, "{status}");
    // Other channels do not notice.
    let other = router.channel("other").await;
    assert_eq!(post_logs(&router, &other, "m").await.status, 204);
    permits.add_permits(1_000_000);
    sender.await.unwrap();
    let status = router
        .drain_until("app", drain, |s| number(&s["lag_messages"]) == 0)
        .await;
    assert_eq!(lost(&status), 0, "{status}");
    assert_eq!(number(&status["delivered"]), 10_000 + by_http);
    assert_eq!(sink.frames().len() as u64, 10_000 + by_http);
    assert_eq!(post_logs(&router, &token, "m").await.status, 204);
    router.stop().await;
}

#[tokio::test]
async fn after_wait_max_messages_are_lost_and_counted() {
    let (router, token) = waiting("1s").await;
    let (permits, sink, drain) = held_drain(&router).await;
    let began = Instant::now();
    flood(router.syslog_tcp, token.clone()).await.unwrap();
    assert!(Duration::from_millis(900) < began.elapsed());
    permits.add_permits(1_000_000);
    let status = router
        .drain_until("app", drain, |s| number(&s["lag_messages"]) == 0)
        .await;
    router.send_tcp(&message(&token, "the last one")).await;
    let status = router
        .drain_until("app", drain, |s| {
            number(&s["lag_messages"]) == 0
                && number(&status["delivered"]) < number(&s["delivered"])
        })
        .await;
    let lines = router.history("app", 10_000).await;
    let notices = lines
        .iter()
        .filter(|line| line.contains("Error L10"))
        .count() as u64;
    assert!(0 < lost(&status), "{status}");
    assert_eq!(
        number(&status["delivered"]) + lost(&status),
        10_001 + notices,
        "{status}"
    );
    let told: u64 = sink
        .frames()
        .iter()
        .filter_map(|frame| {
            let rest = frame.split_once("Error L10 (output buffer overflow): ")?.1;
            rest.split_once(" messages dropped since ")?
                .0
                .parse::<u64>()
                .ok()
        })
        .sum();
    assert_eq!(told, lost(&status));
    router.stop().await;
}

/// A hundred connections each have a whole read under way when the drain stops: more than ten times
/// the channel.
#[tokio::test]
async fn many_senders_at_once_overwrite_nothing() {
    let (router, token) = waiting("1h").await;
    let (permits, _sink, drain) = held_drain(&router).await;
    let body = frame(&token, &"x".repeat(900)).repeat(250);
    let mut senders = Vec::new();
    for _ in 0..100 {
        let mut socket = TcpStream::connect(router.syslog_tcp).await.unwrap();
        let body = body.clone();
        senders.push(tokio::spawn(async move {
            socket.write_all(body.as_bytes()).await.unwrap();
            socket.shutdown().await.unwrap();
            socket.read_to_end(&mut Vec::new()).await.unwrap();
        }));
    }
    let mut by_http = 0;
    support::until_async("429", async || {
        let answer = post_logs(&router, &token, "by HTTP").await;
        by_http += u64::from(answer.status == 204);
        answer.status == 429
    })
    .await;
    permits.add_permits(1_000_000);
    for sender in senders {
        sender.await.unwrap();
    }
    let status = router
        .drain_until("app", drain, |s| number(&s["lag_messages"]) == 0)
        .await;
    assert_eq!(lost(&status), 0, "{status}");
    assert_eq!(number(&status["delivered"]), 25_000 + by_http, "{status}");
    // What had to be cut again is counted once.
    let frames = router.metric("logboom_received_frames_total{input=\"tcp\"}");
    assert_eq!(frames.await, 25_000.0);
    router.stop().await;
}

/// A request is taken whole or not at all, so one must fit beside what the drain has not taken.
#[tokio::test]
async fn a_request_waits_until_all_of_it_has_room() {
    let (router, token) = waiting("1h").await;
    let (permits, _sink, drain) = held_drain(&router).await;
    let part = |parts: usize| frame(&token, &"x".repeat(900)).repeat(100 * parts);
    assert_eq!(post_frames(&router, &token, &part(4)).await.status, 204);
    // Less than half of the channel is full, and the rest has no room for this.
    let answer = post_frames(&router, &token, &part(8)).await;
    assert_eq!(answer.status, 429, "{answer:?}");
    assert_eq!(answer.header("Retry-After"), Some("1"));
    assert_eq!(post_frames(&router, &token, &part(1)).await.status, 204);
    let answer = post_frames(&router, &token, &part(12)).await;
    assert_eq!(answer.status, 413, "{answer:?}");
    assert_eq!(
        String::from_utf8(answer.body).unwrap(),
        "These messages are more than their channel holds while its drains wait for them; \
         send fewer in a request."
    );
    permits.add_permits(1_000_000);
    router
        .drain_until("app", drain, |s| number(&s["lag_messages"]) == 0)
        .await;
    assert_eq!(post_frames(&router, &token, &part(8)).await.status, 204);
    let status = router
        .drain_until("app", drain, |s| number(&s["lag_messages"]) == 0)
        .await;
    assert_eq!(lost(&status), 0, "{status}");
    assert_eq!(number(&status["delivered"]), 1_300);
    router.stop().await;
}
