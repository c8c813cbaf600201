//! What is bounded: memory, connections, file handles, rates.

use std::io::Write;
use std::process::Stdio;

use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::framed;
use crate::post;
use crate::send;
use crate::support;
use crate::support::Router;
use crate::texts;

/// The most memory that process `pid` ever held, in MiB.
fn peak_mib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .unwrap();
    let kib: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib / 1024
}

#[tokio::test]
async fn a_bomb_is_refused_while_it_unpacks() {
    let router = Router::start().await;
    let token = router.channel("app").await;
    // 400 MiB, packed a MiB at a time: members and frames may follow each other.
    let piece = vec![b'0'; 1 << 20];
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&piece).unwrap();
    let gzip = gzip.finish().unwrap().repeat(400);
    let zstd = zstd::stream::encode_all(piece.as_slice(), 1)
        .unwrap()
        .repeat(400);
    let before = peak_mib(router.pid());
    for (name, bomb) in [("gzip", &gzip), ("zstd", &zstd)] {
        for _ in 0..2 {
            let answer = post(&router, &token, &[("Content-Encoding", name)], bomb).await;
            assert_eq!(
                (answer.status, answer.reason.as_str()),
                (413, "Body too large"),
                "{name}"
            );
        }
    }
    let grown = peak_mib(router.pid()) - before;
    assert!(grown < 60, "{grown} MiB");
    assert!(texts(&router, "app").await.is_empty());
    router.stop().await;
}

#[tokio::test]
async fn one_sender_with_many_bodies_is_told_to_slow_down_and_nobody_else() {
    let router = Router::start().await;
    let (slow, other) = (router.channel("slow").await, router.channel("other").await);
    let head = format!(
        "POST /logs HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\n\
         Content-Type: application/logplex-1\r\nContent-Length: 100\r\n\r\n9",
        support::http::basic(&format!("token:{slow}"))
    );
    // More than the bound for all, and none ever ends.
    let mut sockets = Vec::new();
    for _ in 0..1_100 {
        let mut socket = TcpStream::connect(router.http).await.unwrap();
        socket.write_all(head.as_bytes()).await.unwrap();
        sockets.push(socket);
    }
    let mut answer = [0; 12];
    let last = sockets.last_mut().unwrap();
    last.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 429");
    let answer = post(&router, &slow, &[], framed(&slow, "one more").as_bytes()).await;
    assert_eq!(answer.status, 429, "{answer:?}");
    let answer = post(
        &router,
        &other,
        &[],
        framed(&other, "all the same").as_bytes(),
    )
    .await;
    assert_eq!(answer.status, 204, "{answer:?}");
    drop(sockets);
    router.stop().await;
}

#[tokio::test]
async fn many_great_bodies_at_once_do_not_fill_the_memory() {
    let router = Router::start().await;
    let token = router.channel("app").await;
    // Each holds 7 MB and never ends; all of them would hold more than 400 MB. Each is another
    // sender's, since one sender alone is refused earlier.
    let body = vec![b'7'; 7_000_000];
    let mut sockets = Vec::new();
    let mut refused = 0_u32;
    for number in 0..60 {
        let sender = router.channel(&format!("great{number}")).await;
        let head = format!(
            "POST /logs HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\n\
             Content-Type: application/logplex-1\r\nContent-Length: 7900000\r\n\r\n",
            support::http::basic(&format!("token:{sender}"))
        );
        let mut socket = TcpStream::connect(router.http).await.unwrap();
        socket.write_all(head.as_bytes()).await.unwrap();
        let (mut reading, mut writing) = socket.split();
        let mut answer = [0; 12];
        tokio::select! {
            // Refused ones are answered before they have sent everything.
            read = reading.read_exact(&mut answer) => {
                assert!(read.is_err() || &answer == b"HTTP/1.1 503", "{answer:?}");
                refused += 1;
            }
            // Or closed meanwhile, the answer still unread.
            written = writing.write_all(&body) => refused += u32::from(written.is_err()),
        }
        sockets.push(socket);
    }
    let peak = peak_mib(router.pid());
    assert!(0 < refused && peak < 420, "{refused} refused, {peak} MiB");
    // A small one is served all the same once they are gone.
    drop(sockets);
    support::until_async("room again", async || {
        post(&router, &token, &[], framed(&token, "small").as_bytes())
            .await
            .status
            == 204
    })
    .await;
    router.stop().await;
}

#[tokio::test]
async fn above_the_connection_limit_a_peer_is_closed_and_counted() {
    let router = Router::start_with(&[("connections_max", "2")]).await;
    let token = router.channel("app").await;
    let open = "logboom_connections_open{input=\"tcp\"}";
    let mut kept = Vec::new();
    for count in [1.0, 2.0] {
        kept.push(TcpStream::connect(router.syslog_tcp).await.unwrap());
        support::until_async("the connection", async || {
            router.metric(open).await == count
        })
        .await;
    }
    let mut third = TcpStream::connect(router.syslog_tcp).await.unwrap();
    let mut byte = [0];
    let closed = tokio::time::timeout(support::PATIENCE, third.read(&mut byte))
        .await
        .unwrap();
    assert!(matches!(closed, Ok(0) | Err(_)));
    assert_eq!(
        router
            .metric("logboom_connections_refused_total{input=\"tcp\"}")
            .await,
        1.0
    );
    drop(kept);
    support::until_async("room", async || router.metric(open).await == 0.0).await;
    send(router.syslog_tcp, framed(&token, "room again").as_bytes()).await;
    assert_eq!(texts(&router, "app").await, ["room again"]);
    router.stop().await;
}

#[tokio::test]
async fn without_file_handles_it_waits_and_goes_on() {
    let data = tempfile::tempdir().unwrap();
    let mut command = tokio::process::Command::new("sh");
    command
        .args([
            "-c",
            "ulimit -n 48; exec \"$0\" \"$@\"",
            env!("CARGO_BIN_EXE_logboom"),
            "serve",
        ])
        .args(["--http", "127.0.0.1:0", "--syslog-tcp", "127.0.0.1:0"])
        .args(["--syslog-udp", "127.0.0.1:0", "--data-dir"])
        .arg(data.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut router = Router::start_from(command).await;
    let address = router.syslog_tcp;
    let mut crowd = Vec::new();
    for _ in 0..60 {
        crowd.push(TcpStream::connect(address).await.unwrap());
    }
    let mut log = router.log();
    let line = support::logged(&mut log, "cannot accept connections").await;
    assert!(line.contains("level=warn"), "{line}");
    drop(crowd);
    tokio::time::timeout(support::PATIENCE, send(address, b"a line\n"))
        .await
        .unwrap();
    router.signal("TERM");
    // The back-off keeps the log short: a busy loop would write thousands of lines.
    let mut lines = 0;
    while let Some(line) = log.next_line().await.unwrap() {
        lines += usize::from(line.contains("cannot accept connections"));
    }
    assert!(lines < 100, "{lines} lines");
    assert_eq!(router.exit_code().await, Some(0));
}

#[tokio::test]
async fn bytes_and_messages_per_second_are_limited_for_each_token() {
    let keys = [
        ("rate_bytes_per_second", "1000"),
        ("rate_burst_seconds", "1"),
    ];
    let router = Router::start_with(&keys).await;
    let token = router.channel("app").await;
    let other = router.channel("other").await;
    let frame = framed(&token, &"r".repeat(400));
    let answer = post(&router, &token, &[], frame.as_bytes()).await;
    assert_eq!(answer.status, 204, "{answer:?}");
    let answer = post(&router, &token, &[], frame.repeat(2).as_bytes()).await;
    assert_eq!(answer.status, 429, "{answer:?}");
    let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=2).contains(&wait), "{answer:?}");
    assert_eq!(
        texts(&router, "app").await.len(),
        1,
        "a refused request delivers nothing"
    );
    // More than a burst ever holds: it can never be taken whole.
    let answer = post(&router, &token, &[], frame.repeat(9).as_bytes()).await;
    assert!(matches!(answer.status, 413 | 429), "{answer:?}");
    assert_eq!(
        post(&router, &other, &[], framed(&other, "free").as_bytes())
            .await
            .status,
        204
    );

    send(router.syslog_tcp, frame.repeat(10).as_bytes()).await;
    let found = router.history_until("app", 2).await;
    support::until_async("the notice", async || {
        let lines = router.history("app", 100).await;
        lines.iter().any(|line| {
            line.contains("heroku[logplex]: Rate limit: ")
                && line.ends_with("reason=rate_limited source=app")
        })
    })
    .await;
    assert!(found.len() < 12);
    let dropped = "logboom_dropped_messages_total{reason=\"rate_limited\"}";
    assert!(7.0 <= router.metric(dropped).await);
    router.stop().await;
}
