//! Sessions and extras of Logplex's transcripts (sections 5 and 8), byte for byte but where a row
//! says why not.

use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::support;
use crate::support::Router;
use crate::support::http;
use crate::support::http::Stream;
use crate::support::http::basic;
use crate::support::message;
use crate::support::sinks::SyslogSink;

/// The eight messages of the transcripts: token name and procid.
const EIGHT: [(&str, &str); 8] = [
    ("app", "web.1"),
    ("app", "web.2"),
    ("app", "worker.1"),
    ("heroku", "router"),
    ("other", "web.1"),
    ("app", "web"),
    ("app", "website.1"),
    ("heroku", "web.1"),
];

/// Channel 38 of the transcripts, its eight messages in it.
async fn channel_38(router: &Router) {
    let made = router
        .call(
            "PUT",
            "/v3/channels/38",
            r#"{"tokens":["app","heroku","other"]}"#,
        )
        .await
        .json();
    let mut bytes = String::new();
    for (number, (source, procid)) in EIGHT.iter().enumerate() {
        let token = made["tokens"][source].as_str().unwrap();
        let frame = format!(
            "<134>1 2012-12-10T03:00:0{number}.123456Z host {token} {procid} - - line {number}"
        );
        bytes.push_str(&format!("{} {frame}", frame.len()));
    }
    let mut socket = TcpStream::connect(router.syslog_tcp).await.unwrap();
    socket.write_all(bytes.as_bytes()).await.unwrap();
    socket.shutdown().await.unwrap();
    // The router closes when it has read the end.
    socket.read_to_end(&mut Vec::new()).await.unwrap();
}

/// The lines of those of the eight.
fn lines(which: &[usize]) -> String {
    let line = |&number: &usize| {
        let (source, procid) = EIGHT[number];
        format!("2012-12-10T03:00:0{number}.123456Z {source}[{procid}]: line {number}\n")
    };
    which.iter().map(line).collect()
}

#[tokio::test]
async fn section_5() {
    const ALL: &[usize] = &[0, 1, 2, 3, 4, 5, 6, 7];
    let router = Router::start().await;
    channel_38(&router).await;
    let ends: &[(&str, &[usize], &str)] = &[
        ("", ALL, ""),
        (
            r#","num":"2""#,
            &[6, 7],
            "num is exact; Logplex gave one more",
        ),
        (r#","num":"0""#, &[], "num is exact"),
        (r#","num":"1000000""#, ALL, ""),
        (r#","num":2"#, &[6, 7], "num may be a number; Logplex: 500"),
        (r#","ps":"web""#, &[0, 1, 4, 5, 7], ""),
        (r#","ps":"web.1""#, &[0, 4, 7], ""),
        (r#","ps":"web","num":"2""#, &[5, 7], ""),
        (r#","source":"heroku""#, &[3, 7], ""),
        (r#","source":"app","ps":"web""#, &[0, 1, 5], ""),
        (
            r#","source":"app","num":"3""#,
            &[2, 5, 6],
            "the filter comes before num; Logplex: 5, 6",
        ),
        (r#","source":"nope""#, &[], ""),
        (r#","unknown":"x""#, ALL, ""),
        (
            r#","num":"1","tail":false"#,
            &[7],
            "false starts no tail; Logplex tailed",
        ),
        (r#","num":"1","tail":null"#, &[7], "null starts no tail"),
        (r#","num":"1","tail":0"#, &[7], "0 starts no tail"),
    ];
    for (fields, which, why) in ends {
        let path = router
            .session(&format!(r#"{{"channel_id":"38"{fields}}}"#))
            .await;
        let (body, is_whole) = Stream::open(router.http, &path, &[]).await.rest().await;
        assert!(is_whole, "{fields}");
        assert_eq!(body, lines(which), "{fields} {why}");
    }
    for fields in [
        r#""tail":"1""#,
        r#""tail":"true""#,
        r#""tail":"""#,
        r#""tail":true"#,
    ] {
        let body = format!(r#"{{"channel_id":"38","num":"1",{fields}}}"#);
        let path = router.session(&body).await;
        let mut tail = Stream::open(router.http, &path, &[]).await;
        assert_eq!(
            tail.until("a line", |body| body.ends_with('\n')).await,
            lines(&[7])
        );
    }
    // What is refused when it is made; Logplex failed with 500 when it was read.
    for (fields, status) in [
        (r#","num":"""#, 422),
        (r#","num":"-1""#, 422),
        (r#","num":"abc""#, 422),
        (r#","ps":1"#, 422),
    ] {
        let body = format!(r#"{{"channel_id":"38"{fields}}}"#);
        let answer = router.call("POST", "/v3/sessions", &body).await;
        assert_eq!(answer.status, status, "{fields}: {answer:?}");
        assert!(answer.json()["error"].is_string());
    }
    // Live, with the same filters.
    let mut tails = Vec::new();
    for (fields, which) in [
        ("", ALL),
        (r#","ps":"web""#, &[0, 1, 4, 5, 7]),
        (r#","source":"heroku""#, &[3, 7]),
    ] {
        let body = format!(r#"{{"channel_id":"38","num":0,"tail":true{fields}}}"#);
        let path = router.session(&body).await;
        tails.push((Stream::open(router.http, &path, &[]).await, lines(which)));
    }
    support::until_async("the tails", async || {
        router.metric("logboom_tails").await == 3.0
    })
    .await;
    channel_38(&router).await;
    for (tail, expected) in &mut tails {
        let end = expected.len();
        let body = tail.until("the lines", |body| end <= body.len()).await;
        assert_eq!(&body, expected);
    }
    router.stop().await;
}

#[tokio::test]
async fn order_survives_a_burst() {
    // Logplex's ten writers raced: the newest line stood in the middle, and 1501 were kept.
    let router = Router::start().await;
    let token = router.channel("app").await;
    let mut bytes = String::new();
    for number in 0..3_000 {
        let frame = message(&token, &format!("burst {number}"));
        bytes.push_str(&format!("{} {frame}", frame.len()));
    }
    let mut socket = TcpStream::connect(router.syslog_tcp).await.unwrap();
    socket.write_all(bytes.as_bytes()).await.unwrap();
    let lines = router.history_until("app", 3_000).await;
    for (number, line) in lines.iter().enumerate() {
        assert!(
            line.ends_with(&format!("]: burst {number}")),
            "{number}: {line}"
        );
    }
    router.stop().await;
}

#[tokio::test]
async fn section_8() {
    let router = Router::start().await;
    let token = router.channel("app").await;
    let (first, second) = (SyslogSink::start().await, SyslogSink::start().await);
    let id = router.drain("app", &first.url(), "").await;
    let path = format!("/v3/channels/app/drains/{id}");
    let before = router.call("GET", &path, "").await.json();
    router.send_tcp(&message(&token, "to first")).await;
    first.frames_until(1).await;
    // The URL changes, the drain stays who it is.
    let body = format!(r#"{{"url":"{}"}}"#, second.url());
    let after = router.call("PUT", &path, &body).await;
    assert_eq!(after.status, 200, "{after:?}");
    assert_eq!(after.json()["id"], before["id"]);
    assert_eq!(after.json()["token"], before["token"]);
    router.send_tcp(&message(&token, "to second")).await;
    let drain = before["token"].as_str().unwrap();
    let frame = |text| format!("<134>1 2012-12-10T03:00:48.123456Z {drain} app web.1 - - {text}\n");
    assert_eq!(second.frames_until(1).await, [frame("to second")]);
    assert_eq!(first.frames(), [frame("to first")]);
    // Messages without SD or of another version: Logplex left some out, in each output others.
    for rest in [
        "<134>2 2012-12-10T03:00:48Z host TOKEN web.1 - - v2",
        "<134>1 2012-12-10T03:00:48Z host TOKEN web.1 - no sd",
    ] {
        router.send_tcp(&rest.replace("TOKEN", &token)).await;
    }
    assert_eq!(
        router.history("app", 2).await,
        [
            "2012-12-10T03:00:48Z app[web.1]: v2",
            "2012-12-10T03:00:48Z app[web.1]: no sd"
        ]
    );
    let logs = router.call("GET", "/v3/channels/app/logs?num=2", "").await;
    assert_eq!(logs.header("logplex-msg-count"), Some("2"));
    // Headers of v3.
    let auth = basic(support::CREDENTIAL);
    let with = [("Authorization", auth.as_str()), ("Request-Id", "mine")];
    for (headers, has_id) in [(&with[..1], true), (&with[..], false)] {
        let answer = http::request(router.http, "GET", "/v3/channels/app", headers, b"").await;
        assert_eq!(answer.header("request-id").is_some(), has_id);
        assert_eq!(answer.header("content-type"), Some("application/json"));
    }
    let answer = http::request(router.http, "GET", "/v3/channels/app", &[], b"").await;
    assert_eq!((answer.status, answer.text().as_str()), (401, ""));
    assert_eq!(
        answer.header("www-authenticate"),
        Some("Basic realm=Logplex")
    );
    assert!(answer.header("request-id").is_some());
    let answer = router.call("POST", "/v3/channels/app", "{}").await;
    assert_eq!(answer.status, 405);
    // HEAD and PATCH are new.
    assert_eq!(answer.header("allow"), Some("GET,HEAD,PUT,PATCH,DELETE"));
    router.stop().await;
}
