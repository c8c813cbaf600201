//! What the answers of an HTTP destination lead to: the table of LOGPLEX.md, section 6, mended.

use std::time::Duration;

use logboom::clock;
use logboom::registry::DrainOptions;

use crate::support::{Answer, OK, Recorder, Router, settings};

/// The batch is delivered by the first request, and the next one is another.
#[tokio::test]
async fn these_answers_confirm() {
    let answers = [
        Answer::Raw("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        Answer::Raw("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"),
        Answer::Raw("HTTP/1.1 204 No Content\r\n\r\n"),
        Answer::Raw("HTTP/1.1 299 Whatever\r\nContent-Length: 0\r\n\r\n"),
        Answer::Raw("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
        Answer::Raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
        Answer::Raw("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n"),
        Answer::Raw("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        Answer::Raw("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"),
        Answer::Raw("HTTP/1.1 200 OK\r\n\r\n"),
        Answer::Raw("HTTP/1.0 200 OK\r\n\r\n"),
        Answer::RawClose("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        Answer::RawClose("HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nbroken off"),
    ];
    for answer in answers {
        let mut recorder = Recorder::start([answer]).await;
        let router = Router::new(settings());
        router.drain(1, &recorder.url(), DrainOptions::default());
        router.say("m1");
        let first = recorder.next().await;
        router.status_when(|status| status.delivered == 1).await;
        router.say("m2");
        let second = recorder.next().await;
        assert!(second.text().ends_with(" - m2\n"), "{answer:?} {second:?}");
        assert_eq!(second.count(), 1, "{answer:?}");
        assert_ne!(first.frame_id(), second.frame_id(), "{answer:?}");
        let status = router.status_when(|status| status.delivered == 2).await;
        assert_eq!(status.attempts, 0, "{answer:?}");
        recorder.check_no_more();
    }
}

/// The same bytes under the same id come again, until they are confirmed.
#[tokio::test]
async fn these_answers_lead_to_another_try() {
    let answers = [
        Answer::Raw("HTTP/1.1 301 Moved\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n"),
        Answer::Raw("HTTP/1.1 304 Not Modified\r\n\r\n"),
        Answer::Raw("HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n"),
        Answer::Raw("HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"),
        Answer::Raw("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"),
        Answer::Raw("HTTP/1.1 599 X\r\nContent-Length: 0\r\n\r\n"),
        Answer::Raw("HTTP/1.1 101 Switching Protocols\r\n\r\n"),
        Answer::Raw("this is no HTTP\r\n\r\n"),
        Answer::RawClose("HTTP/1.1 100 Continue\r\n\r\n"),
        Answer::RawClose(""),
        Answer::RawClose("HTTP/1.1 20"),
        Answer::Hang,
    ];
    for answer in answers {
        let mut recorder = Recorder::start([answer, answer, answer]).await;
        let mut settings = settings();
        settings.request_timeout = Duration::from_millis(100);
        let router = Router::new(settings);
        router.drain(1, &recorder.url(), DrainOptions::default());
        router.say("m1");
        let first = recorder.next().await;
        for _ in 0..3 {
            let again = recorder.next().await;
            assert_eq!(first.frame_id(), again.frame_id(), "{answer:?}");
            assert_eq!(first.body, again.body, "{answer:?}");
        }
        let status = router.status_when(|status| status.delivered == 1).await;
        assert_eq!(status.attempts, 0);
        assert_eq!(status.last_status, Some(204));
        assert_eq!(status.state, "idle");
        router.check_book(&status);
        recorder.check_no_more();
    }
}

/// The batch is dropped, counted, and told to the destination and in the channel.
#[tokio::test]
async fn these_answers_refuse() {
    let answers = [
        (400, "HTTP/1.1 400 X\r\nContent-Length: 0\r\n\r\n"),
        (401, "HTTP/1.1 401 X\r\nContent-Length: 0\r\n\r\n"),
        (404, "HTTP/1.1 404 X\r\nContent-Length: 9\r\n\r\nnot found"),
        (410, "HTTP/1.1 410 X\r\nContent-Length: 0\r\n\r\n"),
        (413, "HTTP/1.1 413 X\r\nContent-Length: 0\r\n\r\n"),
    ];
    for (status_code, answer) in answers {
        let mut recorder = Recorder::start([Answer::Raw(answer), OK]).await;
        let router = Router::new(settings());
        let entry = router.drain(1, &recorder.url(), DrainOptions::default());
        router.say("m1");
        let first = recorder.next().await;
        // The channel's own notice is a message like any other: it carries the drain's L10.
        let second = recorder.next().await;
        let text = second.text();
        assert_eq!(
            second.connection, first.connection,
            "the connection is kept"
        );
        assert_eq!(second.count(), 2);
        assert!(
            text.contains(" host heroku logplex - Error L10 (output buffer overflow): 1 messages dropped since "),
            "{text}"
        );
        let notice = format!("drain '{}' dropped 1 messages since ", entry.token);
        assert!(text.contains(&notice), "{text}");
        let reason = format!("reason=status_{status_code}");
        assert!(text.ends_with(&format!("{reason}\n")), "{text}");
        assert!(router.texts()[1].contains(&notice), "{:?}", router.texts());
        let status = router.status_when(|status| status.lag_messages == 0).await;
        assert_eq!(status.lost["refused"], 1);
        assert_eq!(status.reported, 1);
        router.check_book(&status);
    }
}

#[tokio::test]
async fn a_drain_that_is_always_refused_does_not_feed_itself() {
    const NO: Answer = Answer::Raw("HTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n");
    let mut recorder = Recorder::start([NO; 50]).await;
    let mut settings = settings();
    settings.notice_interval = Duration::from_millis(1);
    let router = Router::new(settings);
    router.drain(1, &recorder.url(), DrainOptions::default());
    router.say("m1");
    recorder.next().await;
    // The notice about m1 is refused too, and leads to none about itself.
    recorder.next().await;
    let status = router
        .status_when(|status| status.lost["refused"] == 2)
        .await;
    assert_eq!(status.state, "failing");
    router.say("m2");
    router
        .status_when(|status| status.lost["refused"] == 4)
        .await;
    let texts = router.texts();
    assert_eq!(
        texts.len(),
        4,
        "two messages and a notice for each: {texts:?}"
    );
    router.check_book(&router.status());
}

#[tokio::test]
async fn retry_after_is_heeded() {
    let busy = "HTTP/1.1 503 Busy\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n";
    let mut recorder = Recorder::start([Answer::Raw(busy)]).await;
    let router = Router::new(settings());
    router.drain(1, &recorder.url(), DrainOptions::default());
    let start = clock::now();
    router.say("m1");
    recorder.next().await;
    let status = router.status_when(|status| status.next_try.is_some()).await;
    assert_eq!(status.state, "retrying");
    assert_eq!(status.last_status, Some(503));
    assert_eq!(status.attempts, 1);
    recorder.next().await;
    assert!(Duration::from_secs(1) <= start.elapsed());
}

#[tokio::test]
async fn a_kept_connection_that_died_is_replaced_at_once() {
    let mut settings = settings();
    // A back-off would be noticed.
    settings.retry_delay_min = Duration::from_secs(3_600);
    settings.retry_delay_max = Duration::from_secs(3_600);
    // The second request is read and the connection closed without a byte of an answer.
    let mut recorder = Recorder::start([OK, Answer::RawClose("")]).await;
    let router = Router::new(settings);
    router.drain(1, &recorder.url(), DrainOptions::default());
    router.say("m1");
    assert_eq!(recorder.next().await.connection, 1);
    router.status_when(|status| status.delivered == 1).await;
    router.say("m2");
    let second = recorder.next().await;
    assert_eq!(second.connection, 1);
    let again = recorder.next().await;
    assert_eq!(again.connection, 2);
    assert_eq!(again.frame_id(), second.frame_id());
    let status = router.status_when(|status| status.delivered == 2).await;
    assert_eq!(status.attempts, 0);
}

#[tokio::test]
async fn an_endless_answer_does_not_hold_the_drain_up() {
    let long = Box::leak(
        format!(
            "HTTP/1.1 200 OK\r\nContent-Length: 999999\r\n\r\n{}",
            "x".repeat(70_000)
        )
        .into_boxed_str(),
    );
    let mut recorder = Recorder::start([Answer::Raw(long)]).await;
    let router = Router::new(settings());
    router.drain(1, &recorder.url(), DrainOptions::default());
    router.say("m1");
    recorder.next().await;
    assert_eq!(recorder.next_closed().await, 1);
    router.say("m2");
    assert_eq!(recorder.next().await.connection, 2);
    router.status_when(|status| status.delivered == 2).await;
}
