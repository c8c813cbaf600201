//! Sessions as Logplex's section 5 has them, with the mends; events, resuming, loss, ends.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::too_many_lines,
    reason = "a test may stop at the first surprise, and a table is as long as it is"
)]

mod api_support;

use std::time::Duration;

use api_support::Rig;
use api_support::lines;
use api_support::piece;
use api_support::push;
use api_support::push_eight;
use api_support::without_uuids;
use axum::http::StatusCode;
use logboom::egress::metrics;
use logboom::id::ChannelId;

const START: &str = "2012-12-10T03:00:";

async fn rig() -> Rig {
    let rig = Rig::new().await;
    let put = rig
        .ask("PUT", "/v3/channels/38")
        .json(r#"{"tokens":["app"]}"#);
    put.expect(StatusCode::CREATED).await;
    rig
}

/// The path of a new session with `fields` beside its channel.
async fn session(rig: &Rig, fields: &str) -> String {
    let body = format!(r#"{{"channel_id":"38"{fields}}}"#);
    let answer = rig.ask("POST", "/v3/sessions").json(&body).answer().await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let url = answer.json()["url"].as_str().unwrap().to_owned();
    assert_eq!(answer.header("location"), Some(url.as_str()));
    url.strip_prefix("http://localhost:8601")
        .unwrap()
        .to_owned()
}

#[tokio::test]
async fn histories() {
    let rig = rig().await;
    push_eight(&rig.channel("38"));
    // `num` is exact (Logplex: one more), and counts what passes the filter.
    for (fields, expected) in [
        ("", &[0, 1, 2, 3, 4, 5, 6, 7][..]),
        (r#","num":"2""#, &[6, 7]),
        (r#","num":2"#, &[6, 7]),
        (r#","num":"0""#, &[]),
        (r#","num":"1000000""#, &[0, 1, 2, 3, 4, 5, 6, 7]),
        (r#","ps":"web""#, &[0, 1, 4, 5, 7]),
        (r#","ps":"web.1""#, &[0, 4, 7]),
        (r#","ps":"web","num":"2""#, &[5, 7]),
        (r#","source":"heroku""#, &[3, 7]),
        (r#","source":"app","ps":"web""#, &[0, 1, 5]),
        (r#","source":"app","num":"3""#, &[2, 5, 6]),
        (r#","source":"nope""#, &[]),
        (r#","unknown":"x""#, &[0, 1, 2, 3, 4, 5, 6, 7]),
        (r#","tail":false"#, &[0, 1, 2, 3, 4, 5, 6, 7]),
    ] {
        let path = session(&rig, fields).await;
        let answer = rig.ask_openly("GET", &path).answer().await;
        assert_eq!(answer.body, lines(expected), "{fields}");
        assert_eq!(
            answer.header("content-type"),
            Some("text/plain; charset=utf-8")
        );
        // A session can be opened again.
        let again = rig.ask_openly("GET", &path).answer().await;
        assert_eq!(again.body, answer.body);
    }
}

#[tokio::test]
async fn what_makes_no_session() {
    let rig = rig().await;
    for (path, body, status, expected) in [
        (
            "/v3/sessions",
            r#"{"channel_id":"nope"}"#,
            422,
            r#"{"error":"channel not found"}"#,
        ),
        (
            "/v3/sessions",
            "{}",
            400,
            r#"{"error":"'channel_id' missing"}"#,
        ),
        ("/v3/sessions", "{", 400, r#"{"error":"invalid JSON: …"#),
        (
            "/v3/sessions",
            r#"{"channel_id":"38","num":"abc"}"#,
            422,
            r#"{"error":"num must be …"#,
        ),
        (
            "/v3/sessions",
            r#"{"channel_id":"38","num":"-1"}"#,
            422,
            r#"{"error":"num must be …"#,
        ),
        (
            "/v3/sessions/",
            r#"{"channel_id":38}"#,
            201,
            r#"{"url":"http://localhost:8601/sessions/*"}"#,
        ),
        (
            "/sessions",
            r#"{"channel_id":"38"}"#,
            201,
            "http://localhost:8601/sessions/*",
        ),
        ("/sessions", r#"{"channel_id":"nope"}"#, 404, "Not found"),
        (
            "/v2/sessions",
            r#"{"channel_id":"38","tail":"1"}"#,
            201,
            r#"{"url":"http://localhost:8601/sessions/*?tail=true"}"#,
        ),
        (
            "/v2/canary-sessions",
            r#"{"channel_id":"38"}"#,
            201,
            r#"{"url":"/v2/canary-fetch/*"}"#,
        ),
    ] {
        let answer = rig.ask("POST", path).json(body).answer().await;
        let found = without_uuids(&answer.body);
        assert_eq!(answer.status, status, "{path} {body}: {found}");
        match expected.strip_suffix('…') {
            Some(start) => assert!(found.starts_with(start), "{found}"),
            None => assert_eq!(found, expected),
        }
    }
    for id in ["00000000-0000-4000-8000-000000000000", "abc", "a.b", "%ff"] {
        let answer = rig
            .ask_openly("GET", &format!("/sessions/{id}"))
            .answer()
            .await;
        assert_eq!((answer.status, answer.body.as_str()), (404, "Not found"));
    }
    let mut settings = (**rig.state.settings.load()).clone();
    settings.deny_tail_sessions = true;
    settings.public_url = Some("https://logs.example.com/".to_owned());
    rig.state.settings.store(std::sync::Arc::new(settings));
    let answer = rig
        .ask("POST", "/v3/sessions")
        .json(r#"{"channel_id":"38"}"#)
        .answer()
        .await;
    assert_eq!(answer.status, 503);
    let answer = rig
        .ask("POST", "/sessions")
        .json(r#"{"channel_id":"38"}"#)
        .answer()
        .await;
    assert_eq!(
        without_uuids(&answer.body),
        "https://logs.example.com/sessions/*"
    );
}

#[tokio::test(start_paused = true)]
async fn sessions_expire() {
    let rig = rig().await;
    let path = session(&rig, "").await;
    tokio::time::advance(Duration::from_secs(299)).await;
    assert_eq!(rig.ask_openly("GET", &path).answer().await.status, 200);
    tokio::time::advance(Duration::from_secs(299)).await;
    assert_eq!(rig.ask_openly("GET", &path).answer().await.status, 200);
    tokio::time::advance(Duration::from_secs(301)).await;
    assert_eq!(rig.ask_openly("GET", &path).answer().await.status, 404);
}

#[tokio::test]
async fn a_session_does_not_outlive_its_channel() {
    let rig = rig().await;
    let path = session(&rig, "").await;
    rig.ask("DELETE", "/v3/channels/38")
        .expect(StatusCode::NO_CONTENT)
        .await;
    assert_eq!(rig.ask_openly("GET", &path).answer().await.status, 404);
    let put = rig.ask("PUT", "/v3/channels/38").json("{}");
    put.expect(StatusCode::CREATED).await;
    push_eight(&rig.channel("38"));
    assert_eq!(rig.ask_openly("GET", &path).answer().await.status, 404);
    // A change of the channel does not end it.
    let path = session(&rig, "").await;
    let put = rig
        .ask("PUT", "/v3/channels/38")
        .json(r#"{"tokens":["b"]}"#);
    assert_eq!(put.answer().await.status, 200);
    assert_eq!(rig.ask_openly("GET", &path).answer().await.status, 200);
}

#[tokio::test]
async fn tails_go_on_and_end_with_their_channel() {
    let rig = rig().await;
    let channel = rig.channel("38");
    push_eight(&channel);
    let path = session(&rig, r#","num":"1","tail":true,"ps":"web""#).await;
    assert!(path.ends_with("?tail=true"), "{path}");
    let mut body = rig.ask_openly("GET", &path).open().await.into_body();
    assert_eq!(piece(&mut body).await.unwrap(), lines(&[7]));
    push(&channel, 8, "app", "worker.1", "not for us");
    push(&channel, 9, "app", "web.2", "live");
    assert_eq!(
        piece(&mut body).await.unwrap(),
        format!("{START}09.123456Z app[web.2]: live\n")
    );
    rig.ask("DELETE", "/v3/channels/38")
        .expect(StatusCode::NO_CONTENT)
        .await;
    assert_eq!(piece(&mut body).await, None);
    assert_eq!(rig.ask_openly("GET", &path).answer().await.status, 404);
}

#[tokio::test]
async fn tails_end_when_the_router_does() {
    let rig = rig().await;
    let path = session(&rig, r#","num":0,"tail":true"#).await;
    let mut body = rig.ask_openly("GET", &path).open().await.into_body();
    push(&rig.channel("38"), 0, "app", "web.1", "one");
    assert!(piece(&mut body).await.unwrap().ends_with("one\n"));
    rig.state.shutdown.request();
    assert_eq!(piece(&mut body).await, None);
}

#[tokio::test]
async fn events_have_ids_and_resume() {
    let rig = rig().await;
    let channel = rig.channel("38");
    push(&channel, 0, "app", "web.1", "a\nb");
    push(&channel, 1, "app", "web.1", "c");
    let started = rig.state.node.started().value();
    let events = |path: &str| {
        rig.ask_openly("GET", path)
            .header("accept", "text/event-stream")
    };
    let path = session(&rig, "").await;
    let answer = events(&path).answer().await;
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    let first = format!("id: {started:x}-0\ndata: {START}00.123456Z app[web.1]: a\ndata: b\n\n");
    let second = format!("id: {started:x}-1\ndata: {START}01.123456Z app[web.1]: c\n\n");
    assert_eq!(answer.body, format!("retry: 10\n\n{first}{second}"));
    for (last, expected) in [
        (format!("{started:x}-0"), second.clone()),
        (format!("{started:x}-1"), String::new()),
        (format!("{started:x}-99"), String::new()),
        // Of another life of the node, or nothing we wrote: from the start.
        (format!("{:x}-0", started - 1), format!("{first}{second}")),
        ("x".to_owned(), format!("{first}{second}")),
    ] {
        let answer = events(&path).header("last-event-id", &last).answer().await;
        assert_eq!(answer.body, format!("retry: 10\n\n{expected}"), "{last}");
    }
    // A tail says nothing of coming back, and goes on where the reader was.
    let path = session(&rig, r#","tail":true"#).await;
    let resumed = events(&path).header("last-event-id", &format!("{started:x}-0"));
    let mut body = resumed.open().await.into_body();
    assert_eq!(piece(&mut body).await.unwrap(), second);
}

#[tokio::test(start_paused = true)]
async fn quiet_event_streams_are_kept_alive() {
    let rig = rig().await;
    let path = session(&rig, r#","tail":true"#).await;
    let ask = rig
        .ask_openly("GET", &path)
        .header("accept", "text/event-stream");
    let mut body = ask.open().await.into_body();
    let start = logboom::clock::now();
    assert_eq!(piece(&mut body).await.unwrap(), ":\n\n");
    assert_eq!(piece(&mut body).await.unwrap(), ":\n\n");
    let taken = logboom::clock::now().duration_since(start);
    assert_eq!(taken.as_secs(), 40);
}

#[tokio::test]
async fn a_lapped_tail_is_told_exactly() {
    let rig = Rig::with(logboom::limits::CHANNEL_BYTES_LIMIT_MIN).await;
    let put = rig.ask("PUT", "/v3/channels/38").json("{}");
    put.expect(StatusCode::CREATED).await;
    let channel = rig.channel("38");
    for fields in [
        r#","num":0,"tail":true"#,
        r#","num":0,"tail":true,"ps":"last""#,
    ] {
        let path = session(&rig, fields).await;
        let mut body = rig.ask_openly("GET", &path).open().await.into_body();
        let first = channel.end_seq();
        for number in 0..40_000 {
            push(
                &channel,
                0,
                "app",
                "web.1",
                &format!("n{number:06} {}", "x".repeat(40)),
            );
        }
        push(&channel, 0, "app", "last", "the end");
        let kept = channel.first_seq();
        assert!(first < kept, "the test must overflow the channel");
        let mut text = String::new();
        while !text.ends_with("the end\n") {
            text.push_str(&piece(&mut body).await.unwrap());
        }
        let lost = kept.since(first);
        let notice = format!(
            "logplex[1]: Error L11 (Tail buffer overflow) -> This tail session dropped {lost} messages since "
        );
        let line = text.lines().next().unwrap();
        assert!(line.contains(&notice), "{line}");
        if !fields.contains("ps") {
            let delivered = u64::try_from(text.lines().count()).unwrap() - 1;
            assert_eq!(delivered + lost, 40_001);
        }
    }
}

#[tokio::test]
async fn flags_of_a_channel() {
    let rig = rig().await;
    push_eight(&rig.channel("38"));
    let patch = |body: &'static str| rig.ask("PATCH", "/v3/channels/38").json(body);
    patch(r#"{"no_tail":true}"#).expect(StatusCode::OK).await;
    let path = session(&rig, r#","num":1,"tail":true"#).await;
    let body = rig.ask_openly("GET", &path).expect(StatusCode::OK).await;
    let (history, notice) = body.split_once('\n').unwrap();
    assert_eq!(format!("{history}\n"), lines(&[7]));
    assert!(
        notice.ends_with("-00:00 Logplex: Error L20 (Tail sessions forbidden) Tail sessions for this app are forbidden due to log volume.\n"),
        "{notice}"
    );
    let path = session(&rig, r#","num":1"#).await;
    assert_eq!(
        rig.ask_openly("GET", &path).expect(StatusCode::OK).await,
        lines(&[7])
    );
    patch(r#"{"no_redis":true}"#).expect(StatusCode::OK).await;
    let answer = rig.ask_openly("GET", &path).answer().await;
    let warning = "Warning: log history discarded due to excessive volume.";
    assert_eq!(answer.header("x-heroku-warning"), Some(warning));
    assert_eq!(answer.body, lines(&[7]));
}

#[tokio::test]
async fn logs_of_v3() {
    let rig = rig().await;
    let channel = rig.channel("38");
    let mut frames = Vec::new();
    for number in 0..3 {
        push(
            &channel,
            number,
            "app",
            "console.0",
            &format!("msg {number}"),
        );
        frames.push(format!(
            "62 <134>1 {START}0{number}.123456Z host app console.0 - msg {number}\n"
        ));
    }
    // Exactly N (Logplex: one more).
    for (query, count) in [("", 3), ("?num=1", 1), ("?num=0", 0), ("?num=99", 3)] {
        let answer = rig
            .ask("GET", &format!("/v3/channels/38/logs{query}"))
            .answer()
            .await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("content-type"), Some("application/logplex-1"));
        assert_eq!(
            answer.header("logplex-msg-count"),
            Some(count.to_string().as_str())
        );
        assert_eq!(
            answer.body,
            frames.split_at(3 - count).1.concat(),
            "{query}"
        );
    }
    // Logplex: all of them, and 100.
    for query in ["?num=-1", "?num=abc", "?num="] {
        let answer = rig
            .ask("GET", &format!("/v3/channels/38/logs{query}"))
            .answer()
            .await;
        assert_eq!(answer.status, 400, "{query}");
    }
    let json = rig
        .ask("GET", "/v3/channels/38/logs")
        .header("accept", "application/json");
    assert_eq!(json.answer().await.status, 406);
    assert_eq!(
        rig.ask("GET", "/v3/channels/nope/logs")
            .answer()
            .await
            .status,
        404
    );
    assert_eq!(
        rig.ask("POST", "/v3/channels/38/logs")
            .body("x")
            .answer()
            .await
            .status,
        405
    );
    // Far more than a piece.
    for number in 0..5_000 {
        push(&channel, 0, "app", "console.0", &format!("msg {number:04}"));
    }
    let answer = rig
        .ask("GET", "/v3/channels/38/logs?num=5000")
        .answer()
        .await;
    assert_eq!(answer.header("logplex-msg-count"), Some("5000"));
    assert_eq!(answer.body.lines().count(), 5_000);
    assert!(
        answer
            .body
            .lines()
            .next_back()
            .unwrap()
            .ends_with("msg 4999")
    );
}

#[tokio::test]
async fn open_tails_are_counted() {
    let rig = rig().await;
    let path = session(&rig, r#","tail":true"#).await;
    let body = rig.ask_openly("GET", &path).open().await.into_body();
    assert!(rig.state.render_metrics().contains("logboom_tails 1"));
    drop(body);
    assert!(rig.state.render_metrics().contains("logboom_tails 0"));
}

#[tokio::test(start_paused = true)]
async fn the_router_tells_its_own_numbers_each_minute() {
    let rig = rig().await;
    let state = std::sync::Arc::clone(&rig.state);
    rig.state.shutdown.spawn(metrics::feed(
        std::sync::Arc::clone(&rig.state.node),
        ChannelId::from(38),
        "node-1".to_owned(),
        move || state.render_metrics(),
        rig.state.shutdown.clone(),
    ));
    let path = session(&rig, r#","num":0,"tail":true"#).await;
    let mut body = rig.ask_openly("GET", &path).open().await.into_body();
    let start = logboom::clock::now();
    let mut text = piece(&mut body).await.unwrap();
    let taken = logboom::clock::now().duration_since(start);
    assert_eq!(taken.as_secs(), 60);
    while !text.contains("sample#tails=1") {
        text.push_str(&piece(&mut body).await.unwrap());
    }
    for line in text.lines() {
        assert!(line.contains(" logboom[metrics]: source=node-1 "), "{line}");
    }
    assert!(text.contains("sample#channels=1"), "{text}");
    assert!(text.contains("count#routed_messages_total="), "{text}");
}
