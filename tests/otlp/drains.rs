//! Out: drains with `format=otlp`.

use std::sync::Arc;

use serde_json::Value;
use tokio::sync::Semaphore;

use crate::collector;
use crate::collector::Record;
use crate::collector::records;
use crate::support::Router;
use crate::support::http;
use crate::support::lost;
use crate::support::message;
use crate::support::number;
use crate::support::sinks::HttpSink;
use crate::support::sinks::Post;
use crate::support::sinks::Reply;

/// A router whose drains try again quickly.
async fn quick() -> Router {
    Router::start_with(&[
        ("retry_delay_min", "1ms"),
        ("retry_delay_max", "20ms"),
        ("drain_request_timeout", "200ms"),
    ])
    .await
}

/// A channel with an OTLP drain to `sink`; gives the token and the drain's id.
async fn attached(router: &Router, sink: &HttpSink, options: &str) -> (String, u64) {
    let token = router.channel("shop").await;
    let url = format!("http://{}", sink.address);
    let options = format!(r#","format":"otlp"{options}"#);
    let id = router.drain("shop", &url, &options).await;
    (token, id)
}

/// All records that came so far, in order.
fn arrived(posts: &[Post]) -> Vec<Record> {
    posts.iter().flat_map(records).collect()
}

async fn arrived_until(sink: &HttpSink, count: usize) -> Vec<Record> {
    crate::support::until(&format!("{count} records"), || {
        let records = arrived(&sink.posts());
        (count <= records.len()).then_some(records)
    })
    .await
}

/// `accepted = delivered + filtered + lost + lag`, after `accepted` messages.
#[track_caller]
fn check_book(status: &Value, accepted: u64) {
    let sum = number(&status["delivered"])
        + number(&status["filtered"])
        + lost(status)
        + number(&status["lag_messages"]);
    assert_eq!(sum, accepted, "{status}");
}

#[tokio::test]
async fn messages_become_records() {
    let router = quick().await;
    let sink = collector::start([]).await;
    let (token, id) = attached(&router, &sink, r#","attributes":"logfmt""#).await;
    let frames = [
        format!(
            "<131>1 2026-11-20T17:43:01.851056+00:00 box {token} web.1 ID7 - at=error code=H12 status=503 code=again say=\"a b\" word"
        ),
        format!("<134>1 - - {token} - - [a@1 x=\"1\"] one\ntwo\n"),
        format!("<15>1 2026-11-20T17:43:01Z box {token} web.1 - - last"),
    ];
    for frame in &frames {
        router.send_tcp(frame).await;
    }
    let records = arrived_until(&sink, 3).await;
    let posts = sink.posts();
    assert!(
        posts[0].head.starts_with("POST /v1/logs HTTP/1.1\r\n"),
        "{posts:?}"
    );
    assert_eq!(posts[0].header("content-encoding").as_deref(), Some("gzip"));
    assert_eq!(posts[0].header("logplex-msg-count"), None);

    let first = records
        .iter()
        .find(|record| record.body().contains("H12"))
        .unwrap();
    assert_eq!(first.resource("service.name"), Some("shop"));
    assert_eq!(first.resource("heroku.app.id"), Some("shop"));
    assert_eq!(first.resource("service.instance.id"), Some("web.1"));
    assert_eq!(first.resource("host.name"), Some("box"));
    let record = &first.record;
    assert_eq!(record.time_unix_nano, 1_795_196_581_851_056_000);
    assert!(record.time_unix_nano < record.observed_time_unix_nano);
    assert_eq!(
        (record.severity_number, record.severity_text.as_str()),
        (17, "err")
    );
    for (key, expected) in [
        ("syslog.appname", "app"),
        ("syslog.procid", "web.1"),
        ("syslog.msgid", "ID7"),
        ("at", "error"),
        ("code", "H12"),
        ("status", "503"),
        ("say", "a b"),
    ] {
        assert_eq!(first.attribute(key), Some(expected), "{key}");
    }
    assert_eq!(record.dropped_attributes_count, 1, "a key comes twice");
    assert_eq!(record.attributes.len(), 8);

    let second = records
        .iter()
        .find(|record| record.body().contains("one"))
        .unwrap();
    assert_eq!(
        second.body(),
        "one\ntwo",
        "the line end of the frame is none of it"
    );
    assert_eq!(second.resource("host.name"), None);
    assert_eq!(second.resource("service.instance.id"), None);
    assert_eq!(second.record.time_unix_nano, 0, "unknown");
    assert_eq!(
        second.attribute("syslog.structured_data"),
        Some("[a@1 x=\"1\"]")
    );
    assert_eq!(second.record.severity_number, 9);

    let third = records
        .iter()
        .find(|record| record.body() == "last")
        .unwrap();
    assert_eq!(
        (
            third.record.severity_number,
            third.record.severity_text.as_str()
        ),
        (5, "debug")
    );
    let status = router
        .drain_until("shop", id, |status| status["delivered"] == 3)
        .await;
    check_book(&status, 3);
}

/// What waits goes out at once, the records of one process together, and all of it is UTF-8.
#[tokio::test]
async fn batches_are_grouped_by_process() {
    let router = quick().await;
    let sink = collector::start([collector::refused(503, "later")]).await;
    let (token, id) = attached(&router, &sink, r#","compression":"none""#).await;
    let frame = |procid: &str, text: &[u8]| {
        let head = format!("<134>1 2026-11-20T17:43:01Z box {token} {procid} - - ");
        [head.as_bytes(), text].concat()
    };
    let body = |frames: &[Vec<u8>]| -> Vec<u8> {
        frames
            .iter()
            .flat_map(|frame| [format!("{} ", frame.len()).as_bytes(), frame].concat())
            .collect()
    };
    let all = [
        frame("web.1", b"1"),
        frame("web.2", b"2 \xff\xfe bad"),
        frame("web.1", b"3"),
        frame("web.2", b"4"),
    ];
    send(&router, &token, &body(&all)).await;
    router
        .drain_until("shop", id, |status| status["delivered"] == 4)
        .await;
    let posts = sink.posts();
    assert_eq!(posts[0].body, posts[1].body, "the same bytes again");
    let request = collector::request(&posts[1]);
    let groups = request.resource_logs.len();
    assert_eq!(groups, 2, "{request:?}");
    let scope = request.resource_logs[0].scope_logs[0]
        .scope
        .as_ref()
        .unwrap();
    assert_eq!(scope.name, "logboom");
    let bodies: Vec<String> = records(&posts[1])
        .iter()
        .map(|record| record.body().to_owned())
        .collect();
    assert_eq!(bodies, ["1", "3", "2 \u{fffd}\u{fffd} bad", "4"]);
    assert!(records(&posts[1])[0].attribute("at").is_none());
}

/// What an answer has to lead to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Then {
    Delivered,
    Again,
    Dropped,
}

#[tokio::test]
async fn answers_are_read_by_the_specification() {
    use Then::{Again, Delivered, Dropped};
    let raw = |text: &str| Reply::Raw(text.to_owned());
    let busy = "Retry-After: 0\r\n";
    let status = collector::Status::default();
    let cases = [
        ("200", collector::ok(), Delivered),
        ("204", Reply::status(204), Delivered),
        (
            "no protobuf",
            raw("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\ngarbage"),
            Delivered,
        ),
        ("warning", collector::partly(0, "deprecated"), Delivered),
        ("429", collector::answer(429, busy, &status), Again),
        ("502", collector::refused(502, "x"), Again),
        ("503", collector::answer(503, busy, &status), Again),
        ("504", collector::refused(504, "x"), Again),
        ("slow", Reply::Hang, Again),
        ("close", Reply::Close, Again),
        ("400", collector::refused(400, "bad data"), Dropped),
        ("401", collector::refused(401, "who?"), Dropped),
        ("413", collector::refused(413, "too much"), Dropped),
        ("500", collector::refused(500, "oops"), Dropped),
        ("all rejected", collector::partly(1, "not these"), Dropped),
        (
            "rejected until the end",
            Reply::Last(
                "HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\n\r\n\n\u{2}\u{8}\u{1}"
                    .to_owned(),
            ),
            Dropped,
        ),
        (
            "broken off",
            Reply::Last("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n\n\u{2}".to_owned()),
            Again,
        ),
        (
            "slow to say",
            raw("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n\n"),
            Again,
        ),
    ];
    let router = quick().await;
    let token = router.channel("shop").await;
    for (name, reply, then) in cases {
        let sink = collector::start([reply]).await;
        let id = router
            .drain(
                "shop",
                &format!("{}otlp", sink.url()),
                r#","format":"otlp""#,
            )
            .await;
        router.send_tcp(&message(&token, "first")).await;
        let posts = sink.posts_until(1).await;
        assert!(posts[0].head.starts_with("POST /otlp/v1/logs "), "{name}");
        if then == Again {
            let posts = sink.posts_until(2).await;
            assert_eq!(posts[0].body, posts[1].body, "{name}");
        }
        let is_settled = |status: &Value| status["lag_messages"] == 0;
        let status = router.drain_until("shop", id, is_settled).await;
        let dropped = u64::from(then == Dropped);
        // The channel is told of the loss, and the drain brings that along.
        check_book(&status, 1 + dropped);
        assert_eq!(
            number(&status["lost"]["refused"]),
            dropped,
            "{name}: {status}"
        );
        let bodies = arrived(&sink.posts());
        if then == Dropped {
            let told = &bodies[1];
            assert!(
                told.body()
                    .starts_with("Error L10 (output buffer overflow): 1 messages")
            );
            assert_eq!(told.attribute("syslog.appname"), Some("heroku"), "{name}");
            assert_eq!(
                told.resource("service.instance.id"),
                Some("logplex"),
                "{name}"
            );
            assert_eq!(number(&status["reported"]), 1, "{name}");
        }
        let path = format!("/v3/channels/shop/drains/{id}");
        assert_eq!(router.call("DELETE", &path, "").await.status, 204);
    }
}

#[tokio::test]
async fn rejected_records_are_counted_and_told_with_their_reason() {
    let router = Router::start().await;
    let hold = Arc::new(Semaphore::new(0));
    let script = [
        collector::partly(2, "bad key\nhunter2hunter2: no"),
        Reply::Held(hold.clone()),
        collector::refused(400, "what is hunter2hunter2?"),
        Reply::Held(hold.clone()),
    ];
    let sink = collector::start(script).await;
    let header = r#","headers":{"X-Key":"hunter2hunter2"}"#;
    let (token, id) = attached(&router, &sink, header).await;
    let frames: String = (0..5)
        .map(|n| message(&token, &format!("m{n}")))
        .map(|frame| format!("{} {frame}", frame.len()))
        .collect();
    send(&router, &token, frames.as_bytes()).await;
    // The second request, which brings the loss, is not answered yet.
    sink.posts_until(2).await;
    let status = router.drain_status("shop", id).await;
    let why = "the destination rejected 2 of 5 records: bad key ********: no";
    assert_eq!(status["last_error"], why);
    assert_eq!(status["state"], "failing");
    assert_eq!(status["last_status"], 200);
    let (delivered, lost) = (
        number(&status["delivered"]),
        number(&status["lost"]["refused"]),
    );
    assert_eq!((delivered, lost), (3, 2), "{status}");
    // The channel's own notice of it is one message more.
    check_book(&status, 6);
    let told = records(&sink.posts()[1]);
    let l10 = "Error L10 (output buffer overflow): 2 messages dropped since ";
    assert!(told[0].body().starts_with(l10), "{told:?}");
    assert!(told[1].body().ends_with(" reason=status_200"), "{told:?}");

    hold.add_permits(1);
    let status = router
        .drain_until("shop", id, |status| status["lag_messages"] == 0)
        .await;
    assert_eq!(number(&status["reported"]), 2);
    assert_eq!(status["state"], "idle");
    router.send_tcp(&message(&token, "refused")).await;
    let is_refused = |status: &Value| status["lost"]["refused"] == 3;
    let status = router.drain_until("shop", id, is_refused).await;
    let why = "the destination refused the batch with 400: what is ********?";
    assert_eq!(status["last_error"], why);
    hold.add_permits(1);
}

/// Whatever a destination answers, each message is delivered or told to be lost.
#[tokio::test]
async fn every_record_is_in_the_book() {
    let mut random = seed();
    let mut next = move |bound: u64| {
        // A linear congruential generator: enough to mix answers.
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % bound
    };
    let router = Router::start_with(&[
        ("retry_delay_min", "1ms"),
        ("retry_delay_max", "5ms"),
        ("drain_request_timeout", "200ms"),
        ("notice_interval", "1h"),
    ])
    .await;
    // Each answer with how many records it rejects, if it takes any.
    let script: Vec<(Reply, Option<u64>)> = (0..60)
        .map(|_| match next(9) {
            0 => (collector::refused(400, "no"), None),
            1 => (collector::partly(1, "not that one"), Some(1)),
            2 => {
                let rejected = next(20);
                let reply = collector::partly(rejected as i64, "not these");
                (reply, Some(rejected))
            }
            3 => (collector::refused(503, "busy"), None),
            4 => (Reply::Close, None),
            5 if next(4) == 0 => (Reply::Hang, None),
            6 => {
                let garbage = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}?";
                (Reply::Raw(garbage.to_owned()), Some(0))
            }
            _ => (collector::ok(), Some(0)),
        })
        .collect();
    let replies: Vec<Reply> = script.iter().map(|(reply, _)| reply.clone()).collect();
    let sink = collector::start(replies).await;
    let options = r#","batch_bytes_max":4096,"filter":"-unwanted""#;
    let (token, id) = attached(&router, &sink, options).await;
    let count = 3_000;
    for round in 0..30 {
        let frames: String = (0..count / 30)
            .map(|n| match next(10) {
                0 => message(&token, "unwanted"),
                _ => message(&token, &format!("r{round} n{n}")),
            })
            .map(|frame| format!("{} {frame}", frame.len()))
            .collect();
        send(&router, &token, frames.as_bytes()).await;
    }
    let status = router
        .drain_until("shop", id, |status| status["lag_messages"] == 0)
        .await;
    // At most one notice of the loss in the channel.
    let notices = router
        .history("shop", 10_000)
        .await
        .iter()
        .filter(|line| line.contains("Error L10"))
        .count();
    check_book(&status, count + notices as u64);
    // The same by what the collector said, post by post.
    let (mut delivered, mut refused, mut reported) = (0, 0, 0);
    for (index, post) in sink.posts().iter().enumerate() {
        let records = records(post);
        let announced = announced(records[0].body());
        let frames = records.len() as u64;
        let messages = frames - u64::from(0 < announced);
        let rejects = script.get(index).map_or(Some(0), |(_, rejects)| *rejects);
        match (post.status, rejects) {
            (200, Some(rejects)) if rejects < frames => {
                delivered += messages - rejects.min(messages);
                refused += rejects.min(messages);
                reported += announced;
            }
            (200 | 400, _) => refused += messages,
            _ => {}
        }
    }
    assert_eq!(number(&status["delivered"]), delivered, "{status}");
    assert_eq!(number(&status["lost"]["refused"]), refused, "{status}");
    assert_eq!(number(&status["reported"]), reported, "{status}");
    assert!(0 < refused && 0 < reported, "{status}");
}

/// How many losses a drain's own notice tells of; 0 when `body` is none.
fn announced(body: &str) -> u64 {
    body.strip_prefix("Error L10 (output buffer overflow): ")
        .and_then(|rest| rest.split(' ').next()?.parse().ok())
        .unwrap_or_default()
}

/// The seed of this run, which is printed; `OTLP_SEED=N` runs it again.
fn seed() -> u64 {
    let given = std::env::var("OTLP_SEED")
        .ok()
        .and_then(|text| text.parse().ok());
    let seed = given.unwrap_or_else(|| {
        let now = std::time::SystemTime::now();
        let since = now.duration_since(std::time::UNIX_EPOCH).unwrap();
        since.as_nanos() as u64
    });
    println!("OTLP_SEED={seed}");
    seed
}

async fn send(router: &Router, token: &str, frames: &[u8]) {
    let authorization = format!("Bearer {token}");
    let headers = [
        ("Authorization", authorization.as_str()),
        ("Content-Type", "application/logplex-1"),
    ];
    let answer = http::request(router.http, "POST", "/logs", &headers, frames).await;
    assert_eq!(answer.status, 204, "{answer:?}");
}
