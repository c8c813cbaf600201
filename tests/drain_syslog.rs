//! Syslog drains of the real router: over TCP, TLS and UDP, under every name of their schemes, and
//! what becomes of them when the destination closes, refuses or does not read.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::too_many_lines,
    reason = "a test may stop at the first surprise"
)]

mod support;

use std::time::Duration;

use support::Router;
use support::certificates::Certificates;
use support::message;
use support::number;
use support::sinks::SyslogSink;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::net::UdpSocket;

const AT: &str = "<134>1 2012-12-10T03:00:48.123456Z";

async fn quick() -> Router {
    Router::start_with(&[("retry_delay_min", "1ms"), ("retry_delay_max", "20ms")]).await
}

/// Attaches a drain; gives its id and token.
async fn attach(router: &Router, channel: &str, url: &str, options: &str) -> (u64, String) {
    let body = format!(r#"{{"url":"{url}"{options}}}"#);
    let path = format!("/v3/channels/{channel}/drains");
    let answer = router.call("POST", &path, &body).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let answer = answer.json();
    let token = answer["token"].as_str().unwrap().to_owned();
    (number(&answer["id"]), token)
}

#[tokio::test]
async fn every_name_of_a_scheme_delivers_and_default_ports_are_written_out() {
    let router = quick().await;
    for (row, scheme) in ["syslog", "tcpsyslog", "syslog+tcp", "SYSLOG"]
        .into_iter()
        .enumerate()
    {
        let channel = format!("tcp{row}");
        let token = router.channel(&channel).await;
        let sink = SyslogSink::start().await;
        let url = format!("{scheme}://{}", sink.address);
        let (drain, drain_token) = attach(&router, &channel, &url, "").await;
        router.send_tcp(&message(&token, "m0")).await;
        router.send_tcp(&message(&token, "ends itself\n")).await;
        sink.frames_until(2).await;
        let expected = ["m0", "ends itself"].map(|text| {
            let frame = format!("{AT} {drain_token} app web.1 - - {text}\n");
            format!("{} {frame}", frame.len())
        });
        assert_eq!(sink.text(), expected.concat(), "{scheme}");
        assert_eq!(sink.connections(), (1, 0), "one connection is kept");
        let status = router
            .drain_until(&channel, drain, |s| number(&s["delivered"]) == 2)
            .await;
        assert!(status["last_status"].is_null(), "{status}");
    }
    for (row, scheme) in ["syslog+udp", "udpsyslog"].into_iter().enumerate() {
        let channel = format!("udp{row}");
        let token = router.channel(&channel).await;
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let url = format!("{scheme}://{}", socket.local_addr().unwrap());
        let (_, drain_token) = attach(&router, &channel, &url, "").await;
        router.send_tcp(&message(&token, "m0")).await;
        let mut buffer = [0; 1_000];
        let received = socket.recv(&mut buffer);
        let length = tokio::time::timeout(support::PATIENCE, received)
            .await
            .unwrap()
            .unwrap();
        let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
        assert_eq!(
            text.trim_end(),
            format!("{AT} {drain_token} app web.1 - - m0")
        );
    }
    router.channel("ports").await;
    for (row, (scheme, port)) in [
        ("syslog", 601),
        ("tcpsyslog", 601),
        ("syslog+tcp", 601),
        ("syslog+tls", 6_514),
        ("syslog+udp", 514),
        ("udpsyslog", 514),
    ]
    .into_iter()
    .enumerate()
    {
        for host in [
            format!("log{row}.example.com"),
            format!("[2001:db8::{row}]"),
        ] {
            let body = format!(r#"{{"url":"{scheme}://{host}"}}"#);
            let answer = router
                .call("POST", "/v3/channels/ports/drains", &body)
                .await;
            assert_eq!(answer.status, 201, "{body}: {answer:?}");
            assert_eq!(answer.json()["url"], format!("{scheme}://{host}:{port}"));
        }
    }
    for given in ["ftp://h/", "syslog+tls+x://h", "https+syslog://h"] {
        let body = format!(r#"{{"url":"{given}"}}"#);
        let answer = router
            .call("POST", "/v3/channels/ports/drains", &body)
            .await;
        assert_eq!(answer.status, 422, "{given}: {answer:?}");
    }
    router.stop().await;
}

#[tokio::test]
async fn rfc5424_keeps_msgid_and_structured_data() {
    let router = quick().await;
    let token = router.channel("app").await;
    let sink = SyslogSink::start().await;
    attach(&router, "app", &sink.url(), r#","format":"rfc5424""#).await;
    for fields in ["ID47 [x@1 k=\"v\"]", "- -"] {
        router
            .send_tcp(&format!("{AT} host {token} web.1 {fields} text"))
            .await;
    }
    let frames = sink.frames_until(2).await;
    assert_eq!(
        frames[0].trim_end(),
        format!("{AT} host app web.1 ID47 [x@1 k=\"v\"] text")
    );
    assert_eq!(
        frames[1].trim_end(),
        format!("{AT} host app web.1 - - text")
    );
    router.stop().await;
}

/// Who is trusted, and what the destination demands.
#[tokio::test]
async fn tls_is_verified_both_ways() {
    let router = quick().await;
    let certificates = Certificates::new();
    let other = Certificates::new();
    let quoted = |text: &str| serde_json::to_string(text).unwrap();
    let ca = format!(r#","ca":{}"#, quoted(&certificates.ca_pem()));
    let client = |of: &Certificates| {
        let (cert, key) = of.client_pems();
        format!(
            r#","client_cert":{},"client_key":{}"#,
            quoted(&cert),
            quoted(&key)
        )
    };
    for (row, (demands_client, host, end, options, is_good)) in [
        (false, "localhost", "", String::new(), false),
        (
            false,
            "localhost",
            "",
            format!(r#","ca":{}"#, quoted(&other.ca_pem())),
            false,
        ),
        (false, "localhost", "", ca.clone(), true),
        (false, "127.0.0.1", "", ca.clone(), true),
        (false, "localhost", "#insecure", String::new(), true),
        (true, "localhost", "", ca.clone(), false),
        (true, "localhost", "#insecure", String::new(), false),
        (
            true,
            "localhost",
            "",
            format!("{ca}{}", client(&other)),
            false,
        ),
        (
            true,
            "localhost",
            "",
            format!("{ca}{}", client(&certificates)),
            true,
        ),
        (true, "127.0.0.1", "#insecure", client(&certificates), true),
    ]
    .into_iter()
    .enumerate()
    {
        let channel = format!("app{row}");
        let token = router.channel(&channel).await;
        let tls = Some(certificates.acceptor(demands_client));
        let sink = SyslogSink::start_with("127.0.0.1:0", tls).await;
        let address = format!("syslog+tls://{host}:{}", sink.address.port());
        let url = format!("{address}{end}");
        let (drain, drain_token) = attach(&router, &channel, &url, &options).await;
        router.send_tcp(&message(&token, "m0")).await;
        if is_good {
            let expected = format!("{AT} {drain_token} app web.1 - - m0\n");
            assert_eq!(sink.frames_until(1).await, [expected], "row {row}");
            continue;
        }
        let lines = router.history_until(&channel, 2).await;
        let notice = " heroku[logplex]: Error L14 (certificate validation): error=\"";
        assert!(lines[1].contains(notice), "row {row}: {lines:?}");
        assert!(
            lines[1].ends_with(&format!("uri=\"{address}\"")),
            "row {row}: {lines:?}"
        );
        let status = router
            .drain_until(&channel, drain, |s| 3 <= number(&s["attempts"]))
            .await;
        assert_eq!(status["state"], "failing", "row {row}: {status}");
        assert_eq!(number(&status["delivered"]), 0, "row {row}: {status}");
        assert_eq!(router.history(&channel, 10).await.len(), 2, "once a minute");
        assert_eq!(sink.text(), "", "row {row}");
    }
    router.stop().await;
}

/// A destination that closes after each message, politely, gets every one of them once.
#[tokio::test]
async fn a_close_between_messages_loses_nothing() {
    let router = quick().await;
    let token = router.channel("app").await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("syslog://{}", listener.local_addr().unwrap());
    let (drain, drain_token) = attach(&router, "app", &url, "").await;
    for index in 0..10 {
        router
            .send_tcp(&message(&token, &format!("m{index}")))
            .await;
        let expected = format!("{AT} {drain_token} app web.1 - - m{index}\n");
        let expected = format!("{} {expected}", expected.len());
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut bytes = vec![0; expected.len()];
        socket.read_exact(&mut bytes).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&bytes), expected);
        socket.shutdown().await.unwrap();
        assert_eq!(
            socket.read(&mut bytes).await.unwrap(),
            0,
            "the drain closes too"
        );
    }
    let status = router
        .drain_until("app", drain, |s| number(&s["lag_messages"]) == 0)
        .await;
    assert_eq!(number(&status["delivered"]), 10, "{status}");
    router.stop().await;
}

#[tokio::test]
async fn a_destination_that_comes_late_gets_everything() {
    let router = quick().await;
    let token = router.channel("app").await;
    // An address that was free a moment ago.
    let address = SyslogSink::start().await.address;
    let listener = loop {
        // The sink's listener lives on in its task: a port of our own that is closed is needed.
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        if listener.local_addr().unwrap() != address {
            break listener;
        }
    };
    let address = listener.local_addr().unwrap();
    drop(listener);
    let (drain, _) = attach(&router, "app", &format!("syslog://{address}"), "").await;
    for index in 1..=3 {
        router
            .send_tcp(&message(&token, &format!("m{index}")))
            .await;
    }
    let status = router
        .drain_until("app", drain, |s| 2 <= number(&s["attempts"]))
        .await;
    assert!(
        status["last_error"]
            .as_str()
            .unwrap()
            .starts_with("cannot connect to "),
        "{status}"
    );
    let sink = SyslogSink::start_with(&address.to_string(), None).await;
    let frames = sink.frames_until(3).await;
    let texts: Vec<&str> = frames
        .iter()
        .map(|f| f.trim_end().rsplit(' ').next().unwrap())
        .collect();
    assert_eq!(texts, ["m1", "m2", "m3"]);
    let status = router
        .drain_until("app", drain, |s| number(&s["delivered"]) == 3)
        .await;
    assert_eq!(
        status["lost"],
        serde_json::json!({"lapped": 0, "refused": 0})
    );
    router.stop().await;
}

/// While the destination is away the channel keeps what it can; the rest is announced, exactly, in
/// front of what is left.
#[tokio::test]
async fn what_was_lapped_is_announced_in_front() {
    let router = Router::start_with(&[
        ("retry_delay_min", "1ms"),
        ("retry_delay_max", "20ms"),
        ("channel_bytes_max", "524288"),
    ])
    .await;
    let token = router.channel("app").await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let (drain, drain_token) = attach(&router, "app", &format!("syslog://{address}"), "").await;
    let filler = "x".repeat(900);
    for chunk in 0..20 {
        let mut bytes = Vec::new();
        for index in 0..100 {
            let text = message(&token, &format!("n{} {filler}", chunk * 100 + index));
            bytes.extend_from_slice(format!("{} {text}", text.len()).as_bytes());
        }
        let mut socket = TcpStream::connect(router.syslog_tcp).await.unwrap();
        socket.write_all(&bytes).await.unwrap();
        socket.shutdown().await.unwrap();
        socket.read_to_end(&mut Vec::new()).await.unwrap();
    }
    router
        .drain_until("app", drain, |s| 0 < number(&s["lost"]["lapped"]))
        .await;
    let sink = SyslogSink::start_with(&address.to_string(), None).await;
    let status = router
        .drain_until("app", drain, |s| {
            number(&s["lag_messages"]) == 0 && s["reported"] == s["lost"]["lapped"]
        })
        .await;
    let lost = number(&status["lost"]["lapped"]);
    let delivered = number(&status["delivered"]);
    // The channel's own word on it is one message more, and may be among the lost.
    assert_eq!(delivered + lost, 2_001, "{status}");
    let frames = sink.frames_until(usize::try_from(delivered).unwrap()).await;
    let own: Vec<&String> = frames
        .iter()
        .filter(|f| f.contains("heroku logplex - - Error L10") && !f.contains("drain 'd."))
        .collect();
    assert_eq!(own[0], &frames[0], "in front");
    let told: u64 = own
        .iter()
        .map(|f| {
            let start =
                format!(" {drain_token} heroku logplex - - Error L10 (output buffer overflow): ");
            let rest = f.split_once(&start).unwrap_or_else(|| panic!("{f}")).1;
            assert!(rest.ends_with("+00:00.\n"), "{f}");
            rest.split_once(" messages dropped since ")
                .unwrap()
                .0
                .parse::<u64>()
                .unwrap()
        })
        .sum();
    assert_eq!(told, lost);
    assert_eq!(frames.len() as u64, delivered + own.len() as u64);
    router.stop().await;
}

/// What the drain wrote last arrives although the router ends at once: over TLS the destination's
/// session tickets lie unread in the socket then.
#[tokio::test]
async fn the_last_messages_arrive_when_the_router_ends() {
    let certificates = Certificates::new();
    for round in 0..10 {
        let router = quick().await;
        let token = router.channel("app").await;
        let tls = Some(certificates.acceptor(false));
        let sink = SyslogSink::start_with("127.0.0.1:0", tls).await;
        let url = format!("syslog+tls://localhost:{}#insecure", sink.address.port());
        attach(&router, "app", &url, "").await;
        let filler = "x".repeat(60_000);
        for index in 0..5 {
            router
                .send_tcp(&message(&token, &format!("m{index} {filler}")))
                .await;
        }
        router.stop().await;
        let frames = sink.frames_until(5).await;
        assert_eq!(frames.len(), 5, "round {round}");
    }
}

/// A destination that never reads is given up after `drain_write_timeout`; everything else goes on.
#[tokio::test]
async fn a_destination_that_does_not_read_holds_nobody_up() {
    let router = Router::start_with(&[
        ("drain_write_timeout", "300ms"),
        ("retry_delay_min", "1ms"),
        ("retry_delay_max", "20ms"),
    ])
    .await;
    let token = router.channel("app").await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let deaf = format!("syslog://{}", listener.local_addr().unwrap());
    let hold = tokio::spawn(async move {
        let mut sockets = Vec::new();
        while let Ok((socket, _)) = listener.accept().await {
            sockets.push(socket);
        }
    });
    let (deaf, _) = attach(&router, "app", &deaf, r#","batch_bytes_max":8388608"#).await;
    let sink = SyslogSink::start().await;
    let (well, _) = attach(&router, "app", &sink.url(), "").await;
    let filler = "x".repeat(60_000);
    let mut bytes = Vec::new();
    for index in 0..200 {
        let text = message(&token, &format!("m{index} {filler}"));
        bytes.extend_from_slice(format!("{} {text}", text.len()).as_bytes());
    }
    let began = tokio::time::Instant::now();
    let mut socket = TcpStream::connect(router.syslog_tcp).await.unwrap();
    socket.write_all(&bytes).await.unwrap();
    socket.shutdown().await.unwrap();
    socket.read_to_end(&mut Vec::new()).await.unwrap();
    router
        .drain_until("app", well, |s| number(&s["delivered"]) == 200)
        .await;
    assert!(
        began.elapsed() < Duration::from_secs(10),
        "{:?}",
        began.elapsed()
    );
    let status = router
        .drain_until("app", deaf, |s| 1 <= number(&s["attempts"]))
        .await;
    assert_eq!(
        status["last_error"], "writing took longer than 0.3 s",
        "{status}"
    );
    hold.abort();
    router.stop().await;
}
