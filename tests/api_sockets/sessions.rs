//! Sessions that end: their head, their end, what they hold; the history of v3.

use crate::support::Router;
use crate::support::http;
use crate::support::http::Stream;
use crate::support::message;

#[tokio::test]
async fn a_history_is_chunked_and_ends_cleanly() {
    let router = Router::start().await;
    let token = router.channel("app").await;
    router.send_tcp(&message(&token, "one")).await;
    router.history_until("app", 1).await;
    let path = router.session(r#"{"channel_id":"app"}"#).await;
    let mut stream = Stream::open(router.http, &path, &[]).await;
    stream
        .until("the line", |body| body.ends_with("one\n"))
        .await;
    let head = stream.head().unwrap().to_ascii_lowercase();
    for line in [
        "http/1.1 200 ok",
        "transfer-encoding: chunked",
        "content-type: text/plain; charset=utf-8",
        "cache-control: no-store",
    ] {
        assert!(head.lines().any(|found| found == line), "{head}");
    }
    assert!(!head.contains("content-length"), "{head}");
    let (body, is_whole) = stream.rest().await;
    assert!(is_whole);
    assert_eq!(body, "2012-12-10T03:00:48.123456Z app[web.1]: one\n");
    // Logplex wrote a second answer behind the first one.
    let answer = http::request(router.http, "GET", &path, &[], b"").await;
    assert_eq!(answer.text(), body);
    router.stop().await;
}

#[tokio::test]
async fn only_a_history_of_events_asks_to_be_asked_again() {
    let router = Router::start_with(&[("tail_keepalive", "1s")]).await;
    let token = router.channel("app").await;
    router.send_tcp(&message(&token, "one")).await;
    router.history_until("app", 1).await;
    let events = [("Accept", "text/event-stream")];
    let path = router.session(r#"{"channel_id":"app"}"#).await;
    let (body, is_whole) = Stream::open(router.http, &path, &events).await.rest().await;
    assert!(is_whole);
    assert!(body.starts_with("retry: 10\n\nid: "), "{body}");
    assert_eq!(body.matches("data: ").count(), 1, "{body}");
    let path = router.session(r#"{"channel_id":"app","tail":true}"#).await;
    let mut tail = Stream::open(router.http, &path, &events).await;
    // Two seconds of nothing: two comments.
    let body = tail
        .until("two comments", |body| 1 < body.matches(":\n\n").count())
        .await;
    assert!(!body.contains("retry"), "{body}");
    assert!(
        body.starts_with("id: ") && body.ends_with("\n\n:\n\n:\n\n"),
        "{body}"
    );
    let head = tail.head().unwrap().to_ascii_lowercase();
    assert!(head.contains("content-type: text/event-stream"), "{head}");
    router.stop().await;
}

#[tokio::test]
async fn flags_end_a_tail_and_warn() {
    let router = Router::start().await;
    let token = router
        .channel_with(
            "app",
            r#"{"tokens":["app"],"no_tail":true,"no_redis":true}"#,
        )
        .await;
    for text in ["one", "two"] {
        router.send_tcp(&message(&token, text)).await;
    }
    router.history_until("app", 2).await;
    let path = router
        .session(r#"{"channel_id":"app","num":1,"tail":true}"#)
        .await;
    let mut stream = Stream::open(router.http, &path, &[]).await;
    stream
        .until("the notice", |body| body.contains("L20"))
        .await;
    let head = stream.head().unwrap().to_ascii_lowercase();
    let warning = "x-heroku-warning: warning: log history discarded due to excessive volume.";
    assert!(head.contains(warning), "{head}");
    let (body, is_whole) = stream.rest().await;
    assert!(is_whole);
    let (line, notice) = body.split_once('\n').unwrap();
    assert!(line.ends_with("app[web.1]: two"), "{body}");
    let words = "-00:00 Logplex: Error L20 (Tail sessions forbidden) Tail sessions for this app are forbidden due to log volume.\n";
    assert!(notice.ends_with(words), "{notice}");
    router.stop().await;
}

#[tokio::test]
async fn the_history_of_v3_counts_what_it_holds() {
    let router = Router::start().await;
    let token = router.channel("app").await;
    for number in 0..5 {
        router
            .send_tcp(&message(&token, &format!("line {number}")))
            .await;
    }
    router.history_until("app", 5).await;
    for (query, count) in [
        ("", 5),
        ("?num=0", 0),
        ("?num=1", 1),
        ("?num=4", 4),
        ("?num=99", 5),
    ] {
        let path = format!("/v3/channels/app/logs{query}");
        let answer = router.call("GET", &path, "").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.header("content-type"), Some("application/logplex-1"));
        assert_eq!(
            answer.header("logplex-msg-count"),
            Some(count.to_string().as_str())
        );
        let expected: String = (5 - count..5)
            .map(|number| {
                format!("59 <134>1 2012-12-10T03:00:48.123456Z host app web.1 - line {number}\n")
            })
            .collect();
        assert_eq!(answer.text(), expected, "{query}");
    }
    router.stop().await;
}
