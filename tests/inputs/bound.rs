//! Listeners bound to one token: whatever arrives there belongs to its channel.

use tokio::net::UdpSocket;

use crate::counted;
use crate::framed;
use crate::send;
use crate::support::Router;
use crate::support::message;

/// What senders without a notion of tokens send, and how their readers see it.
const LINES: &[(&str, &str)] = &[
    // Postgres: `log_destination = syslog`, which splits and numbers its lines.
    (
        "<134>Dec 10 03:00:48 db1 postgres[6442]: [3-1] LOG:  duration: 1.2 ms",
        "postgres[6442]: [3-1] LOG:  duration: 1.2 ms",
    ),
    // The local socket's form has no host.
    (
        "<134>Dec 10 03:00:48 postgres[6442]: LOG:  ready",
        "postgres[6442]: LOG:  ready",
    ),
    // nginx: `access_log syslog:server=…`.
    (
        "<190>Dec 10 03:00:48 web1 nginx: 10.0.0.1 - - [10/Dec/2012] \"GET / HTTP/1.1\" 200",
        "nginx[-]: 10.0.0.1 - - [10/Dec/2012] \"GET / HTTP/1.1\" 200",
    ),
    // A router of the network, with a time that RFC 3164 does not know.
    (
        "<189>2012-12-10T03:00:48.123Z sw1 %LINK-3-UPDOWN: Interface up",
        "%LINK-3-UPDOWN[-]: Interface up",
    ),
    (
        "<134>1 2012-12-10T03:00:48Z h app 7 ID - five",
        "app[7]: five",
    ),
    (
        "<134>1 2012-12-10T03:00:48Z h app 7 ID [a@1 b=\"c\"] with sd",
        "app[7]: with sd",
    ),
    ("[GIN] 200 | GET /", "pg[-]: [GIN] 200 | GET /"),
    ("just a line", "pg[-]: just a line"),
    ("<13>only a pri", "pg[-]: only a pri"),
    (
        "a line with t.00000000-0000-4000-8000-000000000000 in it",
        "pg[-]: a line with t.00000000-0000-4000-8000-000000000000 in it",
    ),
];

async fn start() -> (tempfile::TempDir, Router, String) {
    let data = tempfile::tempdir().unwrap();
    let first = Router::start_in(data.path().to_owned(), &[], &[]).await;
    let answer = first
        .call("PUT", "/v3/channels/db", r#"{"tokens":["pg"]}"#)
        .await;
    let token = answer.json()["tokens"]["pg"].as_str().unwrap().to_owned();
    first.stop().await;
    let listener = |protocol: &str| {
        format!(r#"{{"protocol":"{protocol}","address":"127.0.0.1:0","token":"{token}"}}"#)
    };
    let listeners = format!("[{},{}]", listener("tcp"), listener("udp"));
    let keys = [("listener", listeners.as_str())];
    let router = Router::start_in(data.path().to_owned(), &keys, &[]).await;
    (data, router, token)
}

/// The lines of the history without their times.
async fn seen(router: &Router, count: usize) -> Vec<String> {
    let lines = router.history_until("db", count).await;
    let line = |line: String| line.split_once(' ').unwrap().1.to_owned();
    lines.into_iter().map(line).collect()
}

#[tokio::test]
async fn any_line_is_taken_over_tcp() {
    let (_data, router, token) = start().await;
    let lines: String = LINES.iter().map(|(line, _)| format!("{line}\n")).collect();
    send(router.bound("tcp"), lines.as_bytes()).await;
    // A count is one only in front of a PRI: "17 files" is a line.
    let headed = || LINES.iter().filter(|(line, _)| line.starts_with('<'));
    let counted_ones: String = headed().map(|(line, _)| counted(line)).collect();
    send(router.bound("tcp"), counted_ones.as_bytes()).await;
    let expected: Vec<&str> = LINES
        .iter()
        .chain(headed())
        .map(|(_, seen)| *seen)
        .collect();
    assert_eq!(seen(&router, expected.len()).await, expected);
    // Whoever knows the token may say it, and it is not shown.
    send(router.bound("tcp"), framed(&token, "by token").as_bytes()).await;
    let lines = seen(&router, expected.len() + 1).await;
    assert_eq!(lines.last().unwrap(), "pg[web.1]: by token");
    // The other listener is bound to nobody.
    send(router.syslog_tcp, b"just a line\n").await;
    assert_eq!(
        router
            .metric("logboom_dropped_messages_total{reason=\"no_token\"}")
            .await,
        1.0
    );
    router.stop().await;
}

/// What a count that was too small leaves over is no line of its own: it may be the part of the
/// header with the token in it.
#[tokio::test]
async fn the_rest_of_a_frame_with_a_wrong_count_is_not_carried() {
    let (_data, router, token) = start().await;
    let wrong = format!("20 <134>1 2012-12-10T03:00:48Z h {token} web.1 - - cut\n");
    let bytes = wrong + &framed(&token, "the next");
    send(router.bound("tcp"), bytes.as_bytes()).await;
    let lines = seen(&router, 2).await;
    assert_eq!(lines.last().unwrap(), "pg[web.1]: the next");
    assert!(!lines.concat().contains(&token), "{lines:?}");
    assert_eq!(
        router
            .metric("logboom_dropped_messages_total{reason=\"malformed\"}")
            .await,
        1.0
    );
    router.stop().await;
}

#[tokio::test]
async fn any_datagram_is_taken_over_udp() {
    let (_data, router, token) = start().await;
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let last = message(&token, "by token");
    let datagrams = LINES.iter().map(|(line, _)| *line).chain([last.as_str()]);
    for datagram in datagrams {
        socket
            .send_to(datagram.as_bytes(), router.bound("udp"))
            .await
            .unwrap();
    }
    let mut expected: Vec<&str> = LINES.iter().map(|(_, seen)| *seen).collect();
    expected.push("pg[web.1]: by token");
    assert_eq!(seen(&router, expected.len()).await, expected);
    // The token's end is the listener's end, at once.
    let answer = router.call("DELETE", "/v3/channels/db/tokens/pg", "").await;
    if answer.status < 300 {
        socket
            .send_to(b"nobody's", router.bound("udp"))
            .await
            .unwrap();
        crate::support::until_async("the count", async || {
            router
                .metric("logboom_dropped_messages_total{reason=\"unknown_token\"}")
                .await
                == 1.0
        })
        .await;
    } else {
        panic!("{answer:?}");
    }
    router.stop().await;
}
