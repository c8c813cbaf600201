//! Drains come, change and go.

use std::time::Duration;

use logboom::clock;
use logboom::id::DrainId;
use logboom::registry::DrainOptions;
use tokio::net::TcpListener;

use crate::support::{Answer, Recorder, Router, settings};

const BUSY: Answer = Answer::Raw("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n");

#[tokio::test]
async fn a_changed_url_keeps_the_place_and_the_unsent() {
    let mut first = Recorder::start([BUSY; 10]).await;
    let mut second = Recorder::start([]).await;
    let mut settings = settings();
    settings.retry_delay_min = Duration::from_secs(600);
    settings.retry_delay_max = Duration::from_secs(600);
    let router = Router::new(settings);
    let mut entry = router.drain(1, &first.url(), DrainOptions::default());
    router.say("m1");
    first.next().await;
    router.status_when(|status| status.attempts == 1).await;
    router.say("m2");

    // The same entry changes nothing.
    router.drains.converge(&entry, &router.channel);
    entry.url = Some(logboom::registry::DrainUrl::parse(&second.url()).unwrap());
    router.drains.converge(&entry, &router.channel);
    let request = second.next().await;
    assert_eq!(request.count(), 2);
    assert!(request.text().contains(" - m1\n"), "{}", request.text());
    let status = router.status_when(|status| status.delivered == 2).await;
    assert_eq!(status.state, "idle");
    router.check_book(&status);
    first.check_no_more();

    // Reserved again: it is gone.
    entry.url = None;
    router.drains.converge(&entry, &router.channel);
    assert!(router.drains.status(DrainId::new(1)).is_none());
}

#[tokio::test]
async fn a_new_drain_begins_at_the_end() {
    let mut recorder = Recorder::start([]).await;
    let router = Router::new(settings());
    router.say("before");
    router.drain(1, &recorder.url(), DrainOptions::default());
    router.say("after");
    assert!(recorder.next().await.text().ends_with(" - after\n"));
}

#[tokio::test]
async fn a_removed_drain_and_a_closed_channel_end_the_connection() {
    let mut recorder = Recorder::start([]).await;
    let router = Router::new(settings());
    for id in [1, 2] {
        router.drain(id, &recorder.url(), DrainOptions::default());
        router.say("m");
        recorder.next().await;
    }
    router.drains.remove(DrainId::new(2));
    assert!(router.drains.status(DrainId::new(2)).is_none());
    recorder.next_closed().await;
    router.node.close(router.channel.id());
    recorder.next_closed().await;
}

#[tokio::test]
async fn idle_connections_are_closed_and_made_again() {
    let mut recorder = Recorder::start([]).await;
    let mut settings = settings();
    settings.http_idle_max = Duration::from_millis(30);
    let router = Router::new(settings);
    router.drain(1, &recorder.url(), DrainOptions::default());
    router.say("m1");
    assert_eq!(recorder.next().await.connection, 1);
    assert_eq!(recorder.next_closed().await, 1);
    router.say("m2");
    assert_eq!(recorder.next().await.connection, 2);
}

#[tokio::test]
async fn refused_connections_lose_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let router = Router::new(settings());
    router.drain(1, &format!("http://{address}/"), DrainOptions::default());
    router.say("m1");
    let status = router.status_when(|status| 3 <= status.attempts).await;
    assert!(status.last_error.unwrap().contains("cannot connect to"));
    router.say("m2");
    let listener = TcpListener::bind(address).await.unwrap();
    let mut recorder = Recorder::on(listener, []);
    assert!(recorder.next().await.text().ends_with(" - m1\n"));
    assert!(recorder.next().await.text().ends_with(" - m2\n"));
    let status = router.status_when(|status| status.delivered == 2).await;
    router.check_book(&status);
}

#[tokio::test]
async fn denied_targets_are_not_connected_to() {
    let mut recorder = Recorder::start([]).await;
    let mut settings = settings();
    settings.deny_loopback = true;
    let router = Router::new(settings);
    router.drain(1, &recorder.url(), DrainOptions::default());
    router.say("m1");
    let status = router.status_when(|status| status.attempts == 1).await;
    assert_eq!(status.state, "failing");
    assert!(status.last_error.unwrap().contains("rule against loopback"));
    recorder.check_no_more();
}

#[tokio::test]
async fn a_flush_sends_what_is_there_and_ends() {
    let mut recorder = Recorder::start([]).await;
    let router = Router::new(settings());
    router.drain(1, &recorder.url(), DrainOptions::default());
    router.say("m1");
    router.drains.flush(Duration::from_secs(10)).await;
    assert!(recorder.next().await.text().ends_with(" - m1\n"));
    assert_eq!(router.status().lag_messages, 0);
    recorder.next_closed().await;
}

#[tokio::test]
async fn a_drain_in_back_off_tries_again_at_once_in_a_flush() {
    let mut recorder = Recorder::start([BUSY, BUSY, BUSY]).await;
    let mut settings = settings();
    settings.retry_delay_min = Duration::from_secs(600);
    settings.retry_delay_max = Duration::from_secs(600);
    let router = Router::new(settings);
    router.drain(1, &recorder.url(), DrainOptions::default());
    router.say("m1");
    recorder.next().await;
    router.status_when(|status| status.attempts == 1).await;
    router.drains.flush(Duration::from_millis(300)).await;
    recorder.next().await;
    recorder.check_no_more();
    let status = router.status();
    assert_eq!((status.delivered, status.lag_messages), (0, 1));
}

#[tokio::test]
async fn a_flush_does_not_wait_for_nobody() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = gone.local_addr().unwrap();
    drop(gone);
    for scheme in ["http", "syslog"] {
        let router = Router::new(settings());
        router.drain(1, &format!("{scheme}://{address}"), DrainOptions::default());
        router.say("m1");
        let start = clock::now();
        router.drains.flush(Duration::from_secs(30)).await;
        assert!(start.elapsed() < Duration::from_secs(10), "{scheme}");
        let status = router.status();
        assert_eq!((status.attempts, status.lag_messages), (5, 1), "{scheme}");
    }
}

#[tokio::test]
async fn a_flush_waits_for_who_is_only_busy() {
    let recorder = Recorder::start([BUSY; 9]).await;
    let router = Router::new(settings());
    router.drain(1, &recorder.url(), DrainOptions::default());
    router.say("m1");
    router.drains.flush(Duration::from_secs(30)).await;
    let status = router.status();
    assert_eq!((status.delivered, status.lag_messages), (1, 0));
}

#[tokio::test]
async fn a_hanging_destination_does_not_hold_up_the_end() {
    let mut recorder = Recorder::start([Answer::Hang]).await;
    let router = Router::new(settings());
    router.drain(1, &recorder.url(), DrainOptions::default());
    router.say("m1");
    recorder.next().await;
    let start = clock::now();
    router.drains.flush(Duration::from_millis(50)).await;
    assert!(start.elapsed() < Duration::from_secs(3));
    recorder.next_closed().await;
}
