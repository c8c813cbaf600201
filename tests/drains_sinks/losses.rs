//! The book: `accepted = delivered + filtered + lost + lag`, and every loss announced.

use std::time::Duration;

use logboom::limits::CHANNEL_BYTES_LIMIT_MIN;
use logboom::registry::DrainOptions;

use crate::support::{Answer, Recorder, Request, Router, settings};

const BUSY: Answer = Answer::Raw("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n");

/// N of the L10 in front of `request`; 0 when there is none.
fn announced(request: &Request) -> u64 {
    let text = request.text();
    let Some((_, rest)) = text.split_once("heroku logplex - Error L10 (output buffer overflow): ")
    else {
        return 0;
    };
    let number = rest.split(' ').next().unwrap();
    // The channel's own notice says `drain '…' dropped N messages`.
    number.parse().unwrap_or(0)
}

async fn settle(router: &Router, recorder: &mut Recorder, first_id: &str) -> (u64, u64) {
    let (mut delivered, mut reported) = (0, 0);
    loop {
        let request = recorder.next().await;
        if request.frame_id() == first_id {
            continue;
        }
        let lost = announced(&request);
        reported += lost;
        delivered += request.count() - u64::from(0 < lost);
        if request.text().contains(" - the end\n") {
            router.status_when(|status| status.lag_messages == 0).await;
            return (delivered, reported);
        }
    }
}

#[tokio::test]
async fn a_lapped_drain_announces_exactly_what_it_lost() {
    let mut recorder = Recorder::start([Answer::Hang]).await;
    let mut settings = settings();
    settings.request_timeout = Duration::from_millis(200);
    let router = Router::with_budget(settings, CHANNEL_BYTES_LIMIT_MIN);
    router.drain(1, &recorder.url(), DrainOptions::default());
    router.say("first");
    let first = recorder.next().await;
    let text = "x".repeat(1_000);
    for _ in 0..3_000 {
        router.say(&text);
    }
    router.say("the end");
    let (delivered, reported) = settle(&router, &mut recorder, first.frame_id()).await;
    // The first batch was overwritten while it hung: it is given up and announced with the rest.
    let status = router.status_when(|status| status.lag_messages == 0).await;
    assert_eq!(status.delivered, delivered);
    assert_eq!(status.lost["lapped"], reported);
    assert_eq!(status.reported, reported);
    assert!(2_000 < reported, "{reported}");
    router.check_book(&status);
    assert_eq!(delivered + reported, router.channel.end_seq().value());
    let notices = router.texts().into_iter();
    let notices: Vec<_> = notices
        .filter(|text| text.contains("reason=lapped"))
        .collect();
    assert_eq!(notices.len(), 1, "{notices:?}");
}

#[tokio::test]
async fn a_batch_that_the_channel_still_holds_is_not_given_up() {
    let mut recorder = Recorder::start([BUSY; 8]).await;
    let router = Router::new(settings());
    router.drain(1, &recorder.url(), DrainOptions::default());
    router.say("m1");
    let first = recorder.next().await;
    for _ in 0..8 {
        let again = recorder.next().await;
        assert_eq!(again.frame_id(), first.frame_id());
    }
    let status = router.status_when(|status| status.delivered == 1).await;
    assert_eq!(status.lost["lapped"], 0);
}

#[tokio::test]
async fn many_failures_make_a_drain_failing_and_one_success_mends_it() {
    let mut recorder = Recorder::start([BUSY; 6]).await;
    let mut settings = settings();
    settings.retry_delay_min = Duration::from_millis(10);
    let router = Router::new(settings);
    router.drain(1, &recorder.url(), DrainOptions::default());
    router.say("m1");
    let status = router.status_when(|status| status.state == "failing").await;
    assert!(5 <= status.attempts);
    assert_eq!(status.last_status, Some(503));
    assert!(status.last_error.unwrap().contains("503"));
    assert!(status.last_at.is_some());
    for _ in 0..7 {
        recorder.next().await;
    }
    let status = router.status_when(|status| status.state == "idle").await;
    assert_eq!((status.delivered, status.attempts), (1, 0));
    assert_eq!(status.last_error, None);
}

#[tokio::test]
async fn the_book_is_exact_for_every_drain_whatever_its_destination_does() {
    let no = Answer::Raw("HTTP/1.1 400 No\r\nContent-Length: 0\r\n\r\n");
    let script = (0..200).map(|number| match number % 7 {
        0 | 4 => BUSY,
        1 => no,
        2 => Answer::RawClose(""),
        _ => crate::support::OK,
    });
    let mut recorder = Recorder::start(script).await;
    let mut settings = settings();
    settings.batch_bytes_max = 5_000;
    settings.notice_interval = Duration::from_millis(5);
    let router = Router::with_budget(settings, CHANNEL_BYTES_LIMIT_MIN);
    let options = DrainOptions {
        ps: Some("web".to_owned()),
        ..DrainOptions::default()
    };
    router.drain(1, &recorder.url(), options);
    let text = "x".repeat(500);
    for round in 0..60 {
        for _ in 0..40 {
            router.say_as("app", "web.1", &text);
            router.say_as("app", "worker.1", &text);
        }
        if round % 3 == 0 {
            tokio::task::yield_now().await;
            router.check_book(&router.status());
        }
    }
    router.say_as("app", "web.1", "the end");
    let status = router.status_when(|status| status.lag_messages == 0).await;
    router.check_book(&status);
    assert_eq!(status.attempts, 0);
    assert!(0 < status.lost["refused"] || 0 < status.lost["lapped"]);
    // A notice may follow: what is counted and what is shown are compared at one moment.
    recorder.next().await;
    router.drains.measure();
    let status = router.status();
    let text = router.telemetry.render();
    for line in [
        format!(
            "logboom_drain_delivered_messages_total {}\n",
            status.delivered
        ),
        format!(
            "logboom_drain_lost_messages_total{{reason=\"refused\"}} {}\n",
            status.lost["refused"]
        ),
        format!(
            "logboom_drain_lost_messages_total{{reason=\"lapped\"}} {}\n",
            status.lost["lapped"]
        ),
        format!("logboom_drains{{state=\"{}\"}} 1\n", status.state),
        format!("logboom_drain_lag_messages {}\n", status.lag_messages),
    ] {
        assert!(text.contains(&line), "{line} in {text}");
    }
}
