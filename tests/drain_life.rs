//! A drain's life in the real router: its states as the API shows them, changes, restarts, the end,
//! forbidden targets, and connections that grow old.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::too_many_lines,
    clippy::cast_precision_loss,
    reason = "a test may stop at the first surprise"
)]

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use support::Router;
use support::http;
use support::lost;
use support::message;
use support::number;
use support::sinks::HttpSink;
use support::sinks::Reply;
use support::sinks::SyslogSink;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// The words after the header of each frame.
fn texts(frames: &[String]) -> Vec<String> {
    frames
        .iter()
        .map(|frame| frame.split_once(" - ").unwrap().1.trim_end().to_owned())
        .collect()
}

async fn put(router: &Router, channel: &str, drain: u64, body: &str) {
    let path = format!("/v3/channels/{channel}/drains/{drain}");
    let answer = router.call("PUT", &path, body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test]
async fn every_state_is_seen() {
    let router = Router::start_with(&[
        ("retry_delay_min", "300ms"),
        ("retry_delay_max", "300ms"),
        ("drain_connect_timeout", "2s"),
    ])
    .await;
    let token = router.channel("app").await;
    let permits = Arc::new(Semaphore::new(0));
    let sink = HttpSink::start([Reply::Held(Arc::clone(&permits))]).await;
    let drain = router.drain("app", &sink.url(), "").await;
    let status = router.drain_status("app", drain).await;
    assert_eq!(
        status,
        serde_json::json!({
            "state": "idle", "lag_messages": 0, "lag_bytes": 0, "delivered": 0, "filtered": 0,
            "lost": {"lapped": 0, "refused": 0}, "lost_last_day": 0, "reported": 0, "last_status": null,
            "last_error": null, "last_at": null, "attempts": 0, "next_try": null,
        })
    );

    router.send_tcp(&message(&token, "held")).await;
    let status = router
        .drain_until("app", drain, |s| s["state"] == "sending")
        .await;
    assert_eq!(number(&status["lag_messages"]), 1);
    assert!(0 < number(&status["lag_bytes"]));
    permits.add_permits(1);
    let status = router
        .drain_until("app", drain, |s| s["state"] == "idle")
        .await;
    assert_eq!(number(&status["delivered"]), 1);
    assert_eq!(status["last_status"], 204);
    let last_at = status["last_at"].as_str().unwrap();
    assert!(
        last_at.starts_with("20") && last_at.ends_with("+00:00"),
        "{status}"
    );

    sink.answer_next(vec![Reply::status(503); 7]);
    sink.answer_next([Reply::Held(Arc::clone(&permits))]);
    router.send_tcp(&message(&token, "again")).await;
    let status = router
        .drain_until("app", drain, |s| !s["next_try"].is_null())
        .await;
    assert_eq!(status["state"], "retrying", "{status}");
    assert_eq!(status["last_status"], 503);
    assert_eq!(status["last_error"], "the destination answered 503");
    let status = router
        .drain_until("app", drain, |s| s["state"] == "failing")
        .await;
    assert!(5 <= number(&status["attempts"]), "{status}");
    permits.add_permits(1);
    let status = router
        .drain_until("app", drain, |s| s["state"] == "idle")
        .await;
    assert_eq!(number(&status["delivered"]), 2);
    assert_eq!(number(&status["attempts"]), 0);
    assert!(
        status["last_error"].is_null() && status["next_try"].is_null(),
        "{status}"
    );
    assert_eq!(
        texts(&sink.posts()[8].frames()),
        ["again"],
        "the eighth try was taken"
    );

    // A peer that shakes no hands: connecting.
    let deaf = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("syslog+tls://{}", deaf.local_addr().unwrap());
    let drain = router.drain("app", &url, "").await;
    router.send_tcp(&message(&token, "to the deaf")).await;
    router
        .drain_until("app", drain, |s| s["state"] == "connecting")
        .await;
    let status = router
        .drain_until("app", drain, |s| s["state"] == "retrying")
        .await;
    assert_eq!(
        status["last_error"], "the TLS handshake took longer than 2 s",
        "{status}"
    );
    // A redirect is nothing that time mends.
    let sink = HttpSink::start(vec![Reply::status(302); 100]).await;
    let drain = router.drain("app", &sink.url(), "").await;
    router.send_tcp(&message(&token, "redirected")).await;
    let status = router
        .drain_until("app", drain, |s| s["state"] == "failing")
        .await;
    assert_eq!(status["last_error"], "the destination answered 302");
    router.stop().await;
}

/// Whatever is changed while messages flow: each one arrives, in order, at one of the places, and
/// only what was on its way at a change may arrive twice.
#[tokio::test]
async fn changes_while_running_lose_nothing() {
    let router =
        Router::start_with(&[("retry_delay_min", "1ms"), ("retry_delay_max", "20ms")]).await;
    let token = router.channel("app").await;
    let sinks = [
        HttpSink::start([]).await,
        HttpSink::start(vec![Reply::status(500); 20]).await,
    ];
    let drain = router.drain("app", &sinks[0].url(), "").await;
    let to = router.syslog_tcp;
    let sender = tokio::spawn(async move {
        let mut socket = TcpStream::connect(to).await.unwrap();
        for index in 0..20_000 {
            let text = message(&token, &format!("n{index}"));
            let bytes = format!("{} {text}", text.len());
            socket.write_all(bytes.as_bytes()).await.unwrap();
            if index % 50 == 0 {
                tokio::task::yield_now().await;
            }
        }
        socket.shutdown().await.unwrap();
        socket.read_to_end(&mut Vec::new()).await.unwrap();
    });
    let bodies = [
        format!(r#"{{"url":"{}"}}"#, sinks[1].url()),
        r#"{"format":"rfc5424"}"#.to_owned(),
        r#"{"batch_bytes_max":2048}"#.to_owned(),
        r#"{"headers":{"X-A":"b"}}"#.to_owned(),
        format!(r#"{{"url":"{}","format":null}}"#, sinks[0].url()),
        r#"{"batch_bytes_max":null,"headers":null}"#.to_owned(),
    ];
    let mut changes = 0;
    while !sender.is_finished() || changes < 12 {
        put(&router, "app", drain, &bodies[changes % bodies.len()]).await;
        changes += 1;
    }
    sender.await.unwrap();
    let status = router
        .drain_until("app", drain, |s| number(&s["lag_messages"]) == 0)
        .await;
    assert_eq!(number(&status["delivered"]), 20_000, "{status}");
    assert_eq!(lost(&status), 0);
    let mut seen = BTreeSet::new();
    for sink in &sinks {
        for post in sink.posts() {
            if (200..300).contains(&post.status) {
                seen.extend(post.frames().iter().map(|f| {
                    let word = f.trim_end().rsplit(' ').next().unwrap();
                    word[1..].parse::<u64>().unwrap()
                }));
            }
        }
    }
    assert_eq!(seen.len(), 20_000);
    assert_eq!(seen.last(), Some(&19_999));
    router.stop().await;
}

#[tokio::test]
async fn drains_converge_after_a_restart() {
    let data = tempfile::tempdir().unwrap();
    let router = Router::start_in(data.path().to_owned(), &[], &[]).await;
    let token = router.channel("app").await;
    let (http, syslog) = (HttpSink::start([]).await, SyslogSink::start().await);
    let one = router
        .drain("app", &http.url(), r#","ps":"web","headers":{"X-A":"b"}"#)
        .await;
    let two = router.drain("app", &syslog.url(), "").await;
    router.send_tcp(&message(&token, "before")).await;
    http.posts_until(1).await;
    syslog.frames_until(1).await;
    router.kill().await;

    let router = Router::start_in(data.path().to_owned(), &[], &[]).await;
    for drain in [one, two] {
        assert_eq!(router.drain_status("app", drain).await["state"], "idle");
    }
    router.send_tcp(&message(&token, "after")).await;
    let post = http.posts_until(2).await.remove(1);
    assert_eq!(texts(&post.frames()), ["after"]);
    assert_eq!(post.header("X-A").as_deref(), Some("b"));
    assert!(syslog.frames_until(2).await[1].ends_with(" - - after\n"));
    router.stop().await;
}

#[tokio::test]
async fn deletion_ends_a_send_and_its_connection() {
    let router = Router::start().await;
    let token = router.channel("app").await;
    let permits = Arc::new(Semaphore::new(0));
    let held = || HttpSink::start([Reply::Hang]);
    let (one, two) = (held().await, held().await);
    let drain = router.drain("app", &one.url(), "").await;
    router.drain("app", &two.url(), "").await;
    router.send_tcp(&message(&token, "m")).await;
    one.posts_until(1).await;
    two.posts_until(1).await;
    let path = format!("/v3/channels/app/drains/{drain}");
    assert_eq!(router.call("DELETE", &path, "").await.status, 204);
    support::until("the end of the first connection", || {
        (one.closed() == [1]).then_some(())
    })
    .await;
    assert!(two.closed().is_empty());
    assert_eq!(router.call("GET", &path, "").await.status, 404);
    // With the channel all its drains go.
    let answer = router.call("DELETE", "/v3/channels/app", "").await;
    assert!((200..300).contains(&answer.status), "{answer:?}");
    support::until("the end of the second connection", || {
        (two.closed() == [1]).then_some(())
    })
    .await;
    permits.close();
    router.stop().await;
}

/// By the address connected to, whatever the URL says.
#[tokio::test]
async fn denied_targets_are_not_connected_to() {
    let router = Router::start_with(&[
        ("drain_deny_loopback", "true"),
        ("drain_deny_link_local", "true"),
        ("drain_deny_private", "true"),
    ])
    .await;
    let token = router.channel("app").await;
    let sink = HttpSink::start([]).await;
    let port = sink.address.port();
    let mut drains = Vec::new();
    for (host, rule) in [
        ("127.0.0.1", "loopback"),
        ("localhost", "loopback"),
        ("[::1]", "loopback"),
        ("[::ffff:127.0.0.1]", "loopback"),
        ("0.0.0.0", "loopback"),
        ("[::]", "loopback"),
        ("127.1", "loopback"),
        ("2130706433", "loopback"),
        ("0x7f.0.0.1", "loopback"),
        ("169.254.169.254", "link-local"),
        ("[fe80::1]", "link-local"),
        ("10.1.2.3", "private"),
        ("192.168.0.1", "private"),
        ("[fd00::1]", "private"),
        ("[64:ff9b::a00:1]", "private"),
    ] {
        for scheme in ["http", "syslog", "syslog+udp"] {
            let url = format!("{scheme}://{host}:{port}");
            drains.push((router.drain("app", &url, "").await, url, rule));
        }
    }
    router.send_tcp(&message(&token, "m")).await;
    for (drain, url, rule) in drains {
        let status = router
            .drain_until("app", drain, |s| !s["last_error"].is_null())
            .await;
        let error = status["last_error"].as_str().unwrap();
        let expected = format!("is denied by the rule against {rule} addresses");
        assert!(error.ends_with(&expected), "{url}: {error}");
        assert_eq!(status["state"], "failing", "{url}");
    }
    assert!(sink.posts().is_empty() && sink.closed().is_empty());
    router.stop().await;
}

#[tokio::test]
async fn idle_and_old_connections_are_closed() {
    let router = Router::start_with(&[
        ("drain_http_idle_max", "1s"),
        ("drain_syslog_idle_max", "1s"),
    ])
    .await;
    let token = router.channel("app").await;
    let (http, syslog) = (HttpSink::start([]).await, SyslogSink::start().await);
    router.drain("app", &http.url(), "").await;
    router.drain("app", &syslog.url(), "").await;
    for count in 1..=2 {
        router.send_tcp(&message(&token, "m")).await;
        assert_eq!(http.posts_until(count).await[count - 1].connection, count);
        let used = Instant::now();
        syslog.frames_until(count).await;
        support::until("both ends", || {
            (http.closed().len() == count && syslog.connections() == (count, count)).then_some(())
        })
        .await;
        assert!(Duration::from_millis(900) < used.elapsed());
    }
    router.stop().await;
}

/// A drain that is never at rest changes its connection too, and loses nothing by it.
#[tokio::test]
async fn a_busy_connection_grows_old_as_well() {
    // A try that is given up is sent twice.
    let keys = [("drain_age_max", "1s"), ("drain_request_timeout", "1h")];
    let router = Router::start_with(&keys).await;
    let token = router.channel("app").await;
    let (http, syslog) = (HttpSink::start([]).await, SyslogSink::start().await);
    let small = r#","batch_bytes_max":1024"#;
    let drains = [
        router.drain("app", &http.url(), small).await,
        router.drain("app", &syslog.url(), small).await,
    ];
    let mut socket = TcpStream::connect(router.syslog_tcp).await.unwrap();
    let mut sent = 0_usize;
    // Time passes by what the drains deliver: they are never far behind, and never at rest for long.
    let metric = "logboom_drain_delivered_messages_total";
    // Two ages take two seconds; only by chance is a busy drain ever at rest.
    let deadline = Instant::now() + support::PATIENCE / 2;
    while http.newest_connection() < 3 || syslog.connections().0 < 3 {
        assert!(Instant::now() < deadline, "{:?}", syslog.connections());
        let mut bytes = String::new();
        for _ in 0..500 {
            let text = message(&token, &format!("n{sent}"));
            bytes.push_str(&format!("{} {text}", text.len()));
            sent += 1;
        }
        socket.write_all(bytes.as_bytes()).await.unwrap();
        let wanted = 2 * sent.saturating_sub(1_000);
        support::until_async("the drains", async || {
            wanted as f64 <= router.metric(metric).await
        })
        .await;
    }
    socket.shutdown().await.unwrap();
    for drain in drains {
        let status = router
            .drain_until("app", drain, |s| {
                number(&s["lag_messages"]) == 0 && sent as u64 <= number(&s["delivered"])
            })
            .await;
        assert_eq!(
            (number(&status["delivered"]), lost(&status)),
            (sent as u64, 0)
        );
    }
    assert_eq!(http.frames().len(), sent);
    assert_eq!(syslog.frames_until(sent).await.len(), sent);
    router.stop().await;
}

/// Drains that hang, fail and refuse beside one that is well: it does not notice.
#[tokio::test]
async fn bad_drains_change_nothing_for_others() {
    let router = Router::start().await;
    let token = router.channel("app").await;
    let mut bad = Vec::new();
    for reply in [Reply::Hang, Reply::status(500), Reply::Close] {
        let sink = HttpSink::start(vec![reply; 1_000]).await;
        router.drain("app", &sink.url(), "").await;
        bad.push(sink);
    }
    router.drain("app", "http://192.0.2.1/", "").await;
    router.drain("app", "syslog://127.0.0.1:1", "").await;
    let well = HttpSink::start([]).await;
    let drain = router.drain("app", &well.url(), "").await;
    let began = Instant::now();
    for index in 0..200 {
        router
            .send_tcp(&message(&token, &format!("n{index}")))
            .await;
    }
    let status = router
        .drain_until("app", drain, |s| number(&s["delivered"]) == 200)
        .await;
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(lost(&status), 0);
    router.stop().await;
}

/// The end takes `shutdown_grace` at most, whatever destinations do; drains that are well have sent
/// everything by then.
#[tokio::test]
async fn the_end_is_bounded_and_flushes_what_can_be() {
    let router = Router::start_with(&[
        ("shutdown_grace", "2s"),
        ("drain_request_timeout", "1h"),
        ("retry_delay_min", "1h"),
        ("retry_delay_max", "1h"),
    ])
    .await;
    let token = router.channel("app").await;
    let hanging = HttpSink::start([Reply::Hang]).await;
    let slow = HttpSink::start([]).await;
    // Waits for an hour, but tries again when the router ends.
    let backing_off = HttpSink::start([Reply::status(500)]).await;
    for sink in [&hanging, &slow] {
        router
            .drain("app", &sink.url(), r#","batch_bytes_max":1024"#)
            .await;
    }
    let retrying = router.drain("app", &backing_off.url(), "").await;
    let syslog = SyslogSink::start().await;
    router.drain("app", &syslog.url(), "").await;
    router.send_tcp(&message(&token, "first")).await;
    hanging.posts_until(1).await;
    router
        .drain_until("app", retrying, |s| !s["next_try"].is_null())
        .await;
    let mut bytes = String::new();
    for index in 0..5_000 {
        let text = message(&token, &format!("n{index}"));
        bytes.push_str(&format!("{} {text}", text.len()));
    }
    let mut socket = TcpStream::connect(router.syslog_tcp).await.unwrap();
    socket.write_all(bytes.as_bytes()).await.unwrap();
    socket.shutdown().await.unwrap();
    socket.read_to_end(&mut Vec::new()).await.unwrap();
    let began = Instant::now();
    router.stop().await;
    let took = began.elapsed();
    assert!(
        Duration::from_millis(1_900) < took && took < Duration::from_secs(6),
        "{took:?}"
    );
    assert_eq!(slow.frames().len(), 5_001);
    assert_eq!(syslog.frames_until(5_001).await.len(), 5_001);
    let tries = backing_off.posts();
    assert_eq!(tries[0].body, tries[1].body);
    let taken: usize = tries[1..].iter().map(|post| post.frames().len()).sum();
    assert_eq!(taken, 5_001);
}

/// A client that never ends its request costs the drains at most half of the grace period.
#[tokio::test]
async fn a_stuck_request_leaves_time_to_flush() {
    let router = Router::start_with(&[
        ("shutdown_grace", "8s"),
        ("retry_delay_min", "1h"),
        ("retry_delay_max", "1h"),
    ])
    .await;
    let token = router.channel("app").await;
    let sink = HttpSink::start([Reply::status(500)]).await;
    let drain = router.drain("app", &sink.url(), "").await;
    router.send_tcp(&message(&token, "m")).await;
    router
        .drain_until("app", drain, |s| !s["next_try"].is_null())
        .await;
    let mut socket = TcpStream::connect(router.http).await.unwrap();
    let head = format!(
        "POST /logs HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\n\
         Content-Type: application/logplex-1\r\nContent-Length: 100\r\n\r\n50 <1",
        http::basic(&format!("token:{token}"))
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    // The answer to a later request shows that the router has read the half one.
    let got = async || {
        router
            .metric("logboom_connections_open{input=\"http\"}")
            .await
    };
    support::until_async("the half request", async || 2.0 <= got().await).await;
    let began = Instant::now();
    router.stop().await;
    let took = began.elapsed();
    assert!(took < Duration::from_secs(7), "{took:?}");
    let posts = sink.posts();
    assert_eq!(posts.len(), 2, "the last try was not made");
    assert_eq!(posts[1].status, 204);
}
