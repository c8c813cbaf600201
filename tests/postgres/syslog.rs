//! Syslog: datagrams of a daemon, put together to events.

use std::net::UdpSocket;
use std::time::Duration;

use crate::cluster;
use crate::support::Router;
use crate::support::reporter::Reporter;
use crate::support::until_async;

/// A program that receives at the address that the socket sends to, once it does.
async fn start(router: &Router, flags: &[&str]) -> (Reporter, UdpSocket) {
    let token = router.channel("shop").await;
    let address = format!("127.0.0.1:{}", cluster::free_port());
    let flags = [&["--no-metrics", "--syslog-udp", &address], flags].concat();
    let program = Reporter::start("postgres", router, &token, "", &flags);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(&address).unwrap();
    // Nobody may listen yet, and then the one before the next is answered so.
    until_async("a first event", async || {
        drop(socket.send(b"<134>Nov 20 17:46:48 db postgres[7]: [1-1] LOG:  ready"));
        !router.history("shop", 10).await.is_empty()
    })
    .await;
    (program, socket)
}

#[tokio::test]
async fn a_syslog_daemons_datagrams_are_taken_and_events_stay_whole() {
    let router = Router::start().await;
    let (program, socket) = start(&router, &["--name", "BLUE"]).await;
    for chunk in 1..=3 {
        for pid in [8, 9] {
            let text = format!("<132>Nov 20 17:46:48 db postgres[{pid}]: [5-{chunk}] line {chunk}");
            socket.send(text.as_bytes()).unwrap();
        }
    }
    let of_events = async || -> Vec<String> {
        let history = router.history("shop", 10_000).await;
        let lines = history
            .iter()
            .filter_map(|line| line.split_once(" app[postgres."));
        let texts = lines.map(|(_, text)| text.to_owned());
        texts.filter(|text| !text.starts_with('7')).collect()
    };
    until_async("both events", async || 6 <= of_events().await.len()).await;
    let mut expected = Vec::new();
    for pid in [8, 9] {
        let line = |chunk| format!("{pid}]: [BLUE] [5-{chunk}] line {chunk}");
        expected.extend((1..=3).map(line));
    }
    assert_eq!(of_events().await, expected);
    program.done().await;
}

#[tokio::test]
async fn a_busy_process_does_not_hold_back_the_last_event_of_one_that_rests() {
    let router = Router::start().await;
    let (program, socket) = start(&router, &[]).await;
    let busy = socket.try_clone().unwrap();
    let sending = tokio::spawn(async move {
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        for seq in 1_u32.. {
            ticks.tick().await;
            let text = format!("<134>Nov 20 17:46:48 db postgres[9]: [{seq}-1] LOG:  busy");
            drop(busy.send(text.as_bytes()));
        }
    });
    drop(socket.send(b"<132>Nov 20 17:46:48 db postgres[8]: [5-1] ERROR:  the last"));
    until_async("the last event", async || {
        let history = router.history("shop", 10_000).await;
        history
            .iter()
            .any(|line| line.ends_with("ERROR:  the last"))
    })
    .await;
    assert!(!sending.is_finished());
    sending.abort();
    program.done().await;
}
