//! A token is known to its senders only: no reader sees it in any field.

use crate::counted;
use crate::post;
use crate::send;
use crate::support::Router;
use crate::support::http::Stream;
use crate::support::sinks::HttpSink;
use crate::support::sinks::Post;
use crate::support::until;

/// Messages of token `t` that show it once more, each in another field.
fn frames(t: &str) -> [String; 11] {
    [
        format!("<13>1 {t} h {t} p m - a timestamp"),
        format!("<13>1 2012-12-10T03:00:48Z {t} {t} p m - a hostname"),
        format!("<13>1 2012-12-10T03:00:48Z x.{t}.y {t} p m - in a hostname"),
        format!("<13>1 2012-12-10T03:00:48Z h {t} {t} m - a procid"),
        format!("<13>1 2012-12-10T03:00:48Z h {t} p {t} - a msgid"),
        format!("<13>1 2012-12-10T03:00:48Z h {t} p m [a@1 b=\"{t}\"] structured data"),
        format!("<{t}>1 2012-12-10T03:00:48Z h {t} p m - a pri"),
        format!("<13>{t} 2012-12-10T03:00:48Z h {t} p m - a version"),
        format!("<13>Dec 10 03:00:48 {t} {t}[{t}]: of RFC 3164"),
        format!("<13>1 2012-12-10T03:00:48Z h {t}"),
        format!("<13>1 2012-12-10T03:00:48Z h {t} "),
    ]
}

/// Everything that a drain got, once the last message is there.
fn drained_whole(sink: &HttpSink) -> Option<String> {
    let posts = sink.posts();
    let frames: Vec<String> = posts.iter().flat_map(Post::frames).collect();
    frames
        .last()?
        .ends_with("the last\n")
        .then(|| frames.concat())
}

#[tokio::test]
async fn no_reader_sees_a_token_in_any_field() {
    let router = Router::start().await;
    let token = router.channel("app").await;
    let sink = HttpSink::start([]).await;
    router.drain("app", &sink.url(), "").await;
    let strict = HttpSink::start([]).await;
    let format = r#","format":"rfc5424""#;
    router.drain("app", &strict.url(), format).await;
    let path = router.session(r#"{"channel_id":"app","tail":true}"#).await;
    let mut tail = Stream::open(router.http, &path, &[]).await;
    let t = &token;
    let frames = frames(t);
    let all: String = frames.iter().map(|frame| counted(frame)).collect();
    send(router.syslog_tcp, all.as_bytes()).await;
    let answer = post(&router, &token, &[], all.as_bytes()).await;
    assert_eq!(answer.status, 204);
    // By token auth the APP-NAME may be any other, and the token in any other field.
    let others = [
        counted(&format!(
            "<13>1 2012-12-10T03:00:48Z h x.{t}.y p m - inside"
        )),
        counted(&format!(
            "<13>1 2012-12-10T03:00:48Z {t} nginx {t} {t} - the last"
        )),
    ];
    let answer = post(&router, &token, &[], others.concat().as_bytes()).await;
    assert_eq!(answer.status, 204, "{answer:?}");

    let shown = tail
        .until("the last line", |text| text.contains("the last\n"))
        .await;
    let history = router.history("app", 100).await.join("\n");
    let log = router
        .call("GET", "/v3/channels/app/logs?num=100", "")
        .await
        .text();
    let drained = until("the drain", || drained_whole(&sink)).await;
    let strictly = until("the strict drain", || drained_whole(&strict)).await;
    let metrics = router.call("GET", "/metrics", "").await.text();
    for (reader, text) in [
        ("tail", &shown),
        ("history", &history),
        ("log", &log),
        ("drain", &drained),
        ("strict drain", &strictly),
        ("metrics", &metrics),
    ] {
        assert!(!text.contains(t.as_str()), "{reader}: {text}");
    }
    assert_eq!(history.lines().count(), 2 * frames.len() + 2, "{history}");
    assert_eq!(
        history.matches(" app[").count(),
        2 * frames.len() + 1,
        "{history}"
    );
    router.stop().await;
}
