//! What goes well: lines, batches, headers, flags.

use crate::program::{Ship, logs_url, ship};
use crate::support::Router;
use crate::support::http::basic;
use crate::support::sinks::HttpSink;

#[tokio::test]
async fn lines_become_messages_in_order() {
    let router = Router::start().await;
    let token = router.channel("app").await;
    let lines: String = (0..2_000).map(|n| format!("line {n}\n")).collect();
    ship(
        &logs_url(&router, &token),
        &["--procid", "web.1", "--gzip"],
        lines,
    )
    .await;
    let history = router.history("app", 10_000).await;
    assert_eq!(history.len(), 2_000);
    for (n, line) in history.iter().enumerate() {
        assert!(line.ends_with(&format!(" app[web.1]: line {n}")), "{line}");
    }
}

#[tokio::test]
async fn a_request_is_log_shuttles() {
    let sink = HttpSink::start([]).await;
    let url = format!("http://token:t.11111111-2222@{}/logs", sink.address);
    let flags = [
        "--hostname",
        "myhost",
        "--procid",
        "web.1",
        "--logplex-token",
        "t.11111111-2222",
    ];
    ship(&url, &flags, "hello one\nhello two\n").await;
    let [post] = &sink.posts()[..] else {
        panic!("{:?}", sink.posts())
    };
    assert!(
        post.head.starts_with("POST /logs HTTP/1.1\r\n"),
        "{}",
        post.head
    );
    assert_eq!(
        post.header("content-type").unwrap(),
        "application/logplex-1\r\n".trim_end()
    );
    assert_eq!(
        post.header("authorization").unwrap(),
        basic("token:t.11111111-2222")
    );
    assert_eq!(post.header("logplex-msg-count").unwrap(), "2");
    assert_eq!(post.header("logplex-drop-count"), None);
    assert_eq!(post.header("logplex-lost-count"), None);
    assert_eq!(post.header("x-request-id"), post.header("logplex-frame-id"));
    let [first, second] = &post.frames()[..] else {
        panic!("{post:?}")
    };
    let (front, rest) = first.split_once(' ').unwrap();
    assert_eq!(front, "<190>1");
    let (time, rest) = rest.split_once(' ').unwrap();
    assert_eq!(time.len(), "2026-11-20T17:43:01.851056+00:00".len());
    assert!(time.ends_with("+00:00"), "{time}");
    assert_eq!(rest, "myhost t.11111111-2222 web.1 - - hello one\n");
    assert!(second.ends_with(" - - hello two\n"), "{second}");
}

#[tokio::test]
async fn a_line_is_sent_while_stdin_stays_open() {
    let sink = HttpSink::start([]).await;
    let mut ship = Ship::start(&sink.url(), &["--wait", "50ms"]);
    ship.write("one\n").await;
    sink.posts_until(1).await;
    ship.write("two\n").await;
    let posts = sink.posts_until(2).await;
    assert_eq!(posts[1].connection, 1, "one connection is kept");
    ship.done().await;
}
