//! Live tails: readers that leave, come back, are too slow, are many; and how they end.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::support::Router;
use crate::support::http::Stream;
use crate::support::message;
use crate::support::until_async;

/// Sends `count` numbered messages of `procid(number)` with `padding` bytes each over one connection.
async fn flood(
    router: std::net::SocketAddr,
    token: String,
    count: u64,
    padding: usize,
    procid: fn(u64) -> &'static str,
) {
    let mut socket = TcpStream::connect(router).await.unwrap();
    let padding = "x".repeat(padding);
    for number in 0..count {
        let procid = procid(number);
        let frame = format!(
            "<134>1 2012-12-10T03:00:48.123456Z host {token} {procid} - - n{number} {padding}"
        );
        let bytes = format!("{} {frame}", frame.len());
        socket.write_all(bytes.as_bytes()).await.unwrap();
    }
}

#[tokio::test]
async fn a_reader_that_leaves_is_forgotten() {
    let router = Router::start().await;
    let token = router.channel("app").await;
    let path = router.session(r#"{"channel_id":"app","tail":true}"#).await;
    let open = r#"logboom_connections_open{input="http"}"#;
    let mut stream = Stream::open(router.http, &path, &[]).await;
    router.send_tcp(&message(&token, "one")).await;
    stream
        .until("the line", |body| body.ends_with("one\n"))
        .await;
    // One connection is the request's that asks; earlier ones may take a moment to end.
    until_async("the tail alone", async || {
        router.metric("logboom_tails").await == 1.0 && router.metric(open).await == 2.0
    })
    .await;
    drop(stream);
    until_async("the end of the tail", async || {
        router.metric("logboom_tails").await == 0.0 && router.metric(open).await == 1.0
    })
    .await;
    router.stop().await;
}

/// The whole events in `body`: their ids' sequences and their numbers.
fn events(body: &str) -> Vec<(String, u64, u64)> {
    let whole = &body[..body.rfind("\n\n").map_or(0, |end| end + 2)];
    whole
        .split_terminator("\n\n")
        .filter(|event| event.starts_with("id: "))
        .map(|event| {
            let (id, data) = event
                .strip_prefix("id: ")
                .unwrap()
                .split_once('\n')
                .unwrap();
            let seq = id.split_once('-').unwrap().1.parse().unwrap();
            let text = data.split_once("]: n").unwrap().1;
            let number = text.split(' ').next().unwrap().parse().unwrap();
            (id.to_owned(), seq, number)
        })
        .collect()
}

#[tokio::test]
async fn a_reader_that_comes_back_misses_nothing_and_hears_nothing_twice() {
    const COUNT: u64 = 20_000;
    let router = Router::start().await;
    let token = router.channel("app").await;
    let path = router
        .session(r#"{"channel_id":"app","num":0,"tail":true}"#)
        .await;
    let mut stream = Stream::open(router.http, &path, &[("Accept", "text/event-stream")]).await;
    until_async("the tail", async || {
        router.metric("logboom_tails").await == 1.0
    })
    .await;
    router.send_tcp(&message(&token, "n0 first")).await;
    stream
        .until("an event", |body| body.ends_with("\n\n"))
        .await;
    let flooding = tokio::spawn(flood(router.syslog_tcp, token, COUNT, 20, |_| "web.1"));
    let mut seen = events(
        &stream
            .until("an event", |body| body.ends_with("\n\n"))
            .await,
    );
    let mut visits = 0;
    while seen.len() < usize::try_from(COUNT).unwrap() + 1 {
        drop(stream);
        let last = seen.last().unwrap().0.clone();
        let headers = [
            ("Accept", "text/event-stream"),
            ("Last-Event-ID", last.as_str()),
        ];
        stream = Stream::open(router.http, &path, &headers).await;
        // Leaves in the middle of a piece, after more each time.
        visits += 1;
        let least = visits * 100;
        let left = usize::try_from(COUNT).unwrap() + 1 - seen.len();
        let body = stream
            .until("more events", |body| {
                least.min(left) <= body.matches("\n\n").count()
            })
            .await;
        seen.extend(events(&body));
    }
    flooding.await.unwrap();
    assert!(5 < visits, "the reader must have come back under load");
    for (index, (_, seq, number)) in seen.iter().enumerate() {
        let index = u64::try_from(index).unwrap();
        assert_eq!((*seq, *number), (index, index.saturating_sub(1)));
    }
    drop(stream);
    router.stop().await;
}

/// What an L11 line says was dropped.
fn dropped(line: &str) -> Option<u64> {
    let words = " logplex[1]: Error L11 (Tail buffer overflow) -> This tail session dropped ";
    let (_, rest) = line.split_once(words)?;
    let (count, since) = rest.split_once(" messages since ").unwrap();
    assert!(since.ends_with("+00:00."), "{line}");
    Some(count.parse().unwrap())
}

#[tokio::test]
async fn a_slow_tail_is_told_exactly_what_it_lost() {
    const COUNT: u64 = 30_000;
    for (filter, step) in [("", 1), (r#","ps":"web.1""#, 2)] {
        let router = Router::start_with(&[("channel_bytes_max", "1MiB")]).await;
        let token = router.channel("app").await;
        let path = router
            .session(&format!(
                r#"{{"channel_id":"app","num":0,"tail":true{filter}}}"#
            ))
            .await;
        let stream = Stream::open(router.http, &path, &[]).await;
        until_async("the tail", async || {
            router.metric("logboom_tails").await == 1.0
        })
        .await;
        // Far more than the sockets between hold; nobody reads meanwhile.
        let procid = |number| if number % 2 == 0 { "web.1" } else { "worker.1" };
        flood(router.syslog_tcp, token.clone(), COUNT, 1_000, procid).await;
        until_async("all messages", async || {
            router.metric("logboom_routed_messages_total").await == COUNT as f64
        })
        .await;
        let mut stream = stream;
        let reading = stream.until("the loss", |body| {
            body.lines()
                .rev()
                .take(2)
                .any(|line| line.contains(&format!("n{} ", COUNT - step)))
        });
        let body = reading.await;
        let mut last: Option<u64> = None;
        let (mut lost, mut lost_now, mut count) = (0, 0, 0);
        for line in body.lines() {
            if let Some(dropped) = dropped(line) {
                lost += dropped;
                lost_now += dropped;
                continue;
            }
            let number: u64 = line
                .split_once("]: n")
                .unwrap()
                .1
                .split(' ')
                .next()
                .unwrap()
                .parse()
                .unwrap();
            let next = last.map_or(0, |last| last + 1);
            let passed = number - next;
            // What a filter hides at the edges of a gap was read, not lost.
            assert!(
                lost_now <= passed && passed <= lost_now + 2 * (step - 1),
                "{lost_now} reported of {passed} before {number}"
            );
            if lost_now == 0 {
                assert!(
                    passed < step,
                    "{passed} missing before {number}, none reported"
                );
            }
            (last, lost_now, count) = (Some(number), 0, count + 1);
        }
        assert!(0 < lost, "the test must overflow the channel");
        if step == 1 {
            assert_eq!(count + lost, COUNT);
        }
        let counted = router.metric("logboom_tail_lost_messages_total").await;
        assert_eq!(counted, lost as f64);
        drop(stream);
        router.stop().await;
    }
}

#[tokio::test]
async fn tails_end_cleanly_with_their_channel_and_with_the_router() {
    let router = Router::start().await;
    let mut streams = Vec::new();
    for id in ["gone", "stays"] {
        let token = router.channel(id).await;
        let path = router
            .session(&format!(r#"{{"channel_id":"{id}","tail":true}}"#))
            .await;
        let mut stream = Stream::open(router.http, &path, &[]).await;
        router.send_tcp(&message(&token, id)).await;
        stream.until("a line", |body| body.ends_with('\n')).await;
        streams.push(stream);
    }
    let stays = streams.pop().unwrap();
    let gone = streams.pop().unwrap();
    assert_eq!(
        router.call("DELETE", "/v3/channels/gone", "").await.status,
        204
    );
    // Logplex left it open and silent.
    let (body, is_whole) = gone.rest().await;
    assert!(is_whole && body.ends_with("gone\n"), "{body}");
    assert_eq!(router.metric("logboom_tails").await, 1.0);
    let (ended, ()) = tokio::join!(stays.rest(), router.stop());
    assert!(ended.1 && ended.0.ends_with("stays\n"), "{ended:?}");
}

#[tokio::test]
async fn a_thousand_tails() {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let files: usize = line
        .unwrap()
        .split_whitespace()
        .nth(3)
        .unwrap()
        .parse()
        .unwrap_or(4096);
    let count = 1_000.min(files.saturating_sub(100));
    let router = Router::start().await;
    let token = router.channel("app").await;
    let path = router
        .session(r#"{"channel_id":"app","num":0,"tail":true}"#)
        .await;
    let mut streams = Vec::new();
    for _ in 0..count {
        streams.push(Stream::open(router.http, &path, &[]).await);
    }
    let open = count as f64;
    until_async("a thousand tails", async || {
        router.metric("logboom_tails").await == open
    })
    .await;
    router.send_tcp(&message(&token, "to all")).await;
    for stream in &mut streams {
        let body = stream.until("the line", |body| body.ends_with('\n')).await;
        assert_eq!(body, "2012-12-10T03:00:48.123456Z app[web.1]: to all\n");
    }
    assert_eq!(
        router.metric("logboom_tail_delivered_messages_total").await,
        open
    );
    drop(streams);
    until_async("their end", async || {
        router.metric("logboom_tails").await == 0.0
    })
    .await;
    tokio::time::timeout(Duration::from_secs(20), router.stop())
        .await
        .unwrap();
}
