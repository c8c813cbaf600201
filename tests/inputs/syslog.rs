//! Syslog over TCP and UDP: framings mixed, frames too long, lengths that are wrong, peers that
//! fall silent.

use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::UdpSocket;

use crate::framed;
use crate::send;
use crate::support;
use crate::support::Router;
use crate::support::message;
use crate::texts;

const TRUNCATED: &str = "logboom_truncated_messages_total";
const MALFORMED: &str = "logboom_dropped_messages_total{reason=\"malformed\"}";

#[tokio::test]
async fn framings_are_told_apart_frame_by_frame() {
    let router = Router::start_with(&[("frame_bytes_max", "1KiB")]).await;
    let token = router.channel("app").await;
    let line = |text: &str| message(&token, text) + "\n";
    let long = "x".repeat(5_000);
    let bytes = [
        framed(&token, "counted"),
        line("a line"),
        framed(&token, "counted, then a line end") + "\n",
        line("a line with CR\r"),
        // Too long by its count: cut, the rest skipped by the count.
        framed(&token, &format!("long {long}")),
        framed(&token, "behind the long one"),
        line(&format!("long line {long}")),
        framed(&token, "two\nlines\n"),
        // A count that is too small: what is behind it is no frame up to the next line end.
        format!("20 {}", line("lost to a wrong count")),
        framed(&token, "the last"),
    ]
    .concat();
    send(router.syslog_tcp, bytes.as_bytes()).await;
    let found = texts(&router, "app").await;
    let shown: Vec<&str> = found
        .iter()
        .map(|text| text.get(..24).unwrap_or(text))
        .collect();
    let expected = [
        "counted",
        "a line",
        "counted, then a line end",
        "a line with CR",
        "long xxxxxxxxxxxxxxxxxxx",
        "behind the long one",
        "long line xxxxxxxxxxxxxx",
        "two",
        "lines",
        "the last",
    ];
    assert_eq!(shown, expected);
    for cut in [&found[4], &found[6]] {
        assert!((900..1_024).contains(&cut.len()), "{}", cut.len());
    }
    assert_eq!(router.metric(TRUNCATED).await, 2.0);
    router.stop().await;
}

#[tokio::test]
async fn a_million_bytes_without_a_line_end_are_one_cut_message() {
    let router = Router::start().await;
    let token = router.channel("app").await;
    let bytes = [
        message(&token, &"m".repeat(1_000_000)),
        "\n".to_owned(),
        message(&token, "behind it"),
        "\n".to_owned(),
        // The same, and the connection ends in the middle.
        message(&token, &"m".repeat(1_000_000)),
    ]
    .concat();
    send(router.syslog_tcp, bytes.as_bytes()).await;
    let found = texts(&router, "app").await;
    assert_eq!(
        found.len(),
        3,
        "{:?}",
        found.iter().map(String::len).collect::<Vec<_>>()
    );
    assert!(found[0].starts_with("mmm") && found[0].len() < 64 * 1024);
    assert_eq!(found[1], "behind it");
    assert_eq!(router.metric(TRUNCATED).await, 2.0);
    router.stop().await;
}

#[tokio::test]
async fn what_is_no_frame_is_counted() {
    let router = Router::start().await;
    let token = router.channel("app").await;
    for (bytes, reason, count) in [
        (&b"GET / HTTP/1.0\r\n\r\n"[..], "no_token", 1.0),
        (
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
            "no_token",
            2.0,
        ),
        (b"<134>1 - h t.nobody w - - x\n", "unknown_token", 1.0),
        (b"500 <134>1 short", "malformed", 1.0),
    ] {
        send(router.syslog_tcp, bytes).await;
        let name = format!("logboom_dropped_messages_total{{reason=\"{reason}\"}}");
        assert_eq!(router.metric(&name).await, count, "{bytes:?}");
    }
    // Bytes pass through, whatever they are; tails are text, so the log shows them exactly.
    let frame = [message(&token, "nul \0 latin ").as_bytes(), b"\xe9 end"].concat();
    let bytes = [format!("{} ", frame.len()).as_bytes(), &frame].concat();
    send(router.syslog_tcp, &bytes).await;
    let answer = router.call("GET", "/v3/channels/app/logs?num=1", "").await;
    assert!(
        answer
            .body
            .windows(17)
            .any(|at| at == b"nul \0 latin \xe9 end"),
        "{answer:?}"
    );
    router.stop().await;
}

#[tokio::test]
async fn half_frames_and_silence_end_a_connection() {
    let keys = [("half_frame_timeout", "1s"), ("idle_timeout", "2s")];
    let router = Router::start_with(&keys).await;
    let token = router.channel("app").await;
    let mut half = TcpStream::connect(router.syslog_tcp).await.unwrap();
    let mut idle = TcpStream::connect(router.syslog_tcp).await.unwrap();
    let begin = framed(&token, "whole") + "500 <134>1 half";
    half.write_all(begin.as_bytes()).await.unwrap();
    idle.write_all(framed(&token, "then silence").as_bytes())
        .await
        .unwrap();
    let mut byte = [0];
    // Trickling bytes buy no time for half a frame.
    let mut ticks = tokio::time::interval(std::time::Duration::from_millis(100));
    let deadline = tokio::time::Instant::now() + support::PATIENCE;
    loop {
        tokio::select! {
            read = half.read(&mut byte) => {
                assert!(!matches!(read, Ok(1..)), "nothing is ever said to a sender");
                break;
            }
            _ = ticks.tick() => {}
        }
        assert!(tokio::time::Instant::now() < deadline);
        // The router may have closed it just now: the read says so.
        let _closed = half.write_all(b"x").await;
    }
    assert_eq!(router.metric(MALFORMED).await, 1.0);
    let closed = tokio::time::timeout(support::PATIENCE, idle.read(&mut byte));
    assert_eq!(closed.await.unwrap().unwrap(), 0);
    assert_eq!(
        router
            .metric("logboom_connections_open{input=\"tcp\"}")
            .await,
        0.0
    );
    let mut found = texts(&router, "app").await;
    found.sort();
    assert_eq!(found, ["then silence", "whole"]);
    router.stop().await;
}

#[tokio::test]
async fn a_datagram_is_a_message() {
    let router = Router::start_with(&[("frame_bytes_max", "1KiB")]).await;
    let token = router.channel("app").await;
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let long = "u".repeat(3_000);
    for text in ["one", "two\nlines", "with a line end\n", long.as_str()] {
        let datagram = message(&token, text);
        socket
            .send_to(datagram.as_bytes(), router.syslog_udp)
            .await
            .unwrap();
    }
    socket.send_to(b"", router.syslog_udp).await.unwrap();
    socket
        .send_to(b"no token here", router.syslog_udp)
        .await
        .unwrap();
    let found = router.history_until("app", 5).await;
    assert!(found[0].ends_with("]: one"), "{found:?}");
    assert!(found[1].ends_with("]: two"), "{found:?}");
    assert_eq!(found[2], "lines");
    assert!(found[3].ends_with("]: with a line end"), "{found:?}");
    assert!((900..1_024).contains(&found[4].len()), "{found:?}");
    assert_eq!(router.metric(TRUNCATED).await, 1.0);
    let counted = async |reason: &str| {
        router
            .metric(&format!(
                "logboom_dropped_messages_total{{reason=\"{reason}\"}}"
            ))
            .await
    };
    support::until_async("the last datagram", async || {
        counted("no_token").await == 1.0
    })
    .await;
    assert_eq!(counted("empty").await, 1.0);
    router.stop().await;
}
