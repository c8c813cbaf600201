//! HTTP drains of the real router: what goes out, and what every kind of answer leads to.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::too_many_lines,
    reason = "a test may stop at the first surprise"
)]

mod support;

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;
use std::time::SystemTime;

use support::Router;
use support::certificates::Certificates;
use support::message;
use support::number;
use support::sinks::HttpSink;
use support::sinks::Post;
use support::sinks::Reply;
use support::sinks::cut_frames;
use tokio::sync::Semaphore;

const AT: &str = "<134>1 2012-12-10T03:00:48.123456Z";

/// The HTTP frame of `message(token, text)`, without its count.
fn frame(text: &str) -> String {
    format!("{AT} host app web.1 - {text}\n")
}

fn raw(answer: &str) -> Reply {
    Reply::Raw(answer.to_owned())
}

/// A router whose drains try again quickly.
async fn quick() -> Router {
    Router::start_with(&[
        ("retry_delay_min", "1ms"),
        ("retry_delay_max", "20ms"),
        ("drain_request_timeout", "200ms"),
    ])
    .await
}

/// What an answer has to lead to.
#[derive(Clone, Copy, Debug)]
enum Then {
    /// The batch is delivered; the next one is another.
    Delivered,
    /// The same batch under the same id comes again.
    Again,
    /// The batch is dropped, and the next one says so.
    Dropped,
}

/// Each row: a transcript of the real Logplex, the answer, what ours makes of it.
fn answers() -> Vec<(&'static str, Reply, Then)> {
    use Then::{Again, Delivered, Dropped};
    vec![
        ("200", Reply::status(200), Delivered),
        ("201", Reply::status(201), Delivered),
        ("204", raw("HTTP/1.1 204 No Content\r\n\r\n"), Delivered),
        ("299", Reply::status(299), Delivered),
        (
            "301",
            raw("HTTP/1.1 301 X\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n"),
            Again,
        ),
        ("304", raw("HTTP/1.1 304 X\r\n\r\n"), Again),
        (
            "307",
            raw("HTTP/1.1 307 X\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"),
            Again,
        ),
        ("400", Reply::status(400), Dropped),
        ("401", Reply::status(401), Dropped),
        ("403", Reply::status(403), Dropped),
        ("404", Reply::status(404), Dropped),
        ("410", Reply::status(410), Dropped),
        ("413", Reply::status(413), Dropped),
        ("429", Reply::status(429), Again),
        ("500", Reply::status(500), Again),
        ("503", Reply::status(503), Again),
        ("599", Reply::status(599), Again),
        (
            "100 and no more",
            raw("HTTP/1.1 100 Continue\r\n\r\n"),
            Again,
        ),
        (
            "200 with body, content-length",
            raw("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
            Delivered,
        ),
        (
            "200 chunked body",
            raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
            Delivered,
        ),
        (
            "200 no content-length, keep open",
            raw("HTTP/1.1 200 OK\r\n\r\n"),
            Delivered,
        ),
        (
            "200 + Connection: close header but sink keeps open",
            raw("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"),
            Delivered,
        ),
        ("garbage response", raw("no HTTP at all\r\n\r\n"), Again),
        ("HTTP/1.0 200", raw("HTTP/1.0 200 OK\r\n\r\n"), Delivered),
        (
            "status without reason phrase",
            raw("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n"),
            Delivered,
        ),
        ("sink closes without answer", Reply::Close, Again),
        (
            "100-continue then 200 together",
            raw("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
            Delivered,
        ),
        ("never answers", Reply::Hang, Again),
    ]
}

#[tokio::test]
async fn every_answer_leads_where_it_should() {
    let router = quick().await;
    for (row, (name, reply, then)) in answers().into_iter().enumerate() {
        let channel = format!("app{row}");
        let token = router.channel(&channel).await;
        let sink = HttpSink::start([reply]).await;
        let drain = router.drain(&channel, &sink.url(), "").await;
        router.send_tcp(&message(&token, "m1")).await;
        let first = sink.posts_until(1).await.remove(0);
        assert_eq!(first.frames(), [frame("m1")], "{name}");
        let settled = router
            .drain_until(&channel, drain, |s| {
                let is_as_told = match then {
                    Then::Delivered | Then::Again => number(&s["delivered"]) == 1,
                    // What it lost is told by the next batch.
                    Then::Dropped => number(&s["reported"]) == 1,
                };
                is_as_told && number(&s["lag_messages"]) == 0
            })
            .await;
        let posts = sink.posts();
        match then {
            Then::Delivered => assert_eq!(posts.len(), 1, "{name}"),
            Then::Again => {
                assert_eq!(posts.len(), 2, "{name}");
                assert_eq!(posts[1].body, first.body, "{name}");
                let id = |post: &Post| post.header("Logplex-Frame-Id").unwrap();
                assert_eq!(id(&posts[1]), id(&first), "{name}");
            }
            Then::Dropped => {
                // The channel's word on it is the next batch; the drain's own stands in front.
                assert_eq!(posts.len(), 2, "{name}");
                assert_eq!(posts[1].connection, first.connection, "{name}: it is kept");
                let frames = posts[1].frames();
                assert_eq!(posts[1].header("Logplex-Msg-Count").unwrap(), "2");
                check_loss(&frames[0], " host heroku logplex - ", 1);
                check_channel_loss(&frames[1], 1, &format!("status_{name}"));
                assert_eq!(number(&settled["lost"]["refused"]), 1, "{name}");
                assert_eq!(number(&settled["reported"]), 1, "{name}");
            }
        }
        // Whatever it was: it is over, and the next message goes out at once and alone.
        router.send_tcp(&message(&token, "m100")).await;
        let after = sink.posts_until(posts.len() + 1).await;
        assert_eq!(after[posts.len()].frames(), [frame("m100")], "{name}");
        let status = router
            .drain_until(&channel, drain, |s| {
                number(&s["lag_messages"]) == 0 && s["state"] == "idle"
            })
            .await;
        assert_eq!(status["last_status"], 204, "{name}: {status}");
        assert!(status["last_error"].is_null(), "{name}: {status}");
        assert_eq!(sink.posts().len(), after.len(), "{name}");
    }
    router.stop().await;
}

/// `<172>1 NOW … Error L10 (output buffer overflow): N messages dropped since T.`
fn check_loss(frame: &str, middle: &str, count: u64) {
    let rest = frame
        .strip_prefix("<172>1 ")
        .unwrap_or_else(|| panic!("{frame}"));
    let (now, rest) = rest.split_at(25);
    assert!(now.ends_with("+00:00"), "{frame}");
    let start =
        format!("{middle}Error L10 (output buffer overflow): {count} messages dropped since ");
    let rest = rest
        .strip_prefix(&start)
        .unwrap_or_else(|| panic!("{frame}"));
    assert_eq!(rest.len(), 27, "{frame}");
    assert!(rest.ends_with("+00:00.\n"), "{frame}");
}

fn check_channel_loss(frame: &str, count: u64, reason: &str) {
    assert!(frame.starts_with("<172>1 "), "{frame}");
    assert!(
        frame.contains(" host heroku logplex - Error L10 (output buffer overflow): drain 'd."),
        "{frame}"
    );
    assert!(
        frame.contains(&format!("' dropped {count} messages since ")),
        "{frame}"
    );
    assert!(
        frame.ends_with(&format!("+00:00. reason={reason}\n")),
        "{frame}"
    );
}

#[tokio::test]
async fn the_request_is_byte_for_byte_as_logplex_makes_it() {
    let router = Router::start().await;
    let token = router.channel("app").await;
    let sink = HttpSink::start([]).await;
    let url = format!("http://user:p%40ss@{}/in?k=v", sink.address);
    let body = format!(r#"{{"url":"{url}"}}"#);
    let drain = router
        .call("POST", "/v3/channels/app/drains", &body)
        .await
        .json();
    router.send_tcp(&message(&token, "hello")).await;
    let post = sink.posts_until(1).await.remove(0);
    let id = post.header("Logplex-Frame-Id").unwrap();
    assert_eq!(id.len(), 32);
    assert!(
        id.bytes()
            .all(|b| b.is_ascii_digit() || b.is_ascii_uppercase())
    );
    let length = frame("hello").len() + 3;
    assert_eq!(
        post.head,
        format!(
            "POST /in?k=v HTTP/1.1\r\nHost: {}\r\nAuthorization: Basic dXNlcjpwQHNz\r\n\
             Content-Type: application/logplex-1\r\nLogplex-Msg-Count: 1\r\n\
             Logplex-Frame-Id: {id}\r\nLogplex-Drain-Token: {}\r\nUser-Agent: Logboom/{}\r\n\
             Content-Length: {length}\r\n",
            sink.address,
            drain["token"].as_str().unwrap(),
            env!("CARGO_PKG_VERSION"),
        )
    );
    router.stop().await;
}

/// A drain's options, and the body that `message` with structured data becomes.
#[tokio::test]
async fn formats_compressions_and_own_headers() {
    let router = Router::start().await;
    let sent = |token: &str| {
        format!(
            "{AT} host {token} web.1 ID47 [x@1 k=\"v\"] texts of this kind, this kind, this kind"
        )
    };
    let logplex = format!("{AT} host app web.1 - texts of this kind, this kind, this kind\n");
    let rfc5424 =
        format!("{AT} host app web.1 ID47 [x@1 k=\"v\"] texts of this kind, this kind, this kind");
    for (row, (options, is_rfc5424, encoding)) in [
        ("", false, None),
        (r#","format":"logplex","compression":"none""#, false, None),
        (r#","format":"rfc5424""#, true, None),
        (r#","compression":"gzip""#, false, Some("gzip")),
        (r#","compression":"zstd""#, false, Some("zstd")),
        (
            r#","format":"rfc5424","compression":"zstd""#,
            true,
            Some("zstd"),
        ),
        (
            r#","headers":{"X-Key":"s3cret","User-Agent":"mine"},"compression":"gzip""#,
            false,
            Some("gzip"),
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let channel = format!("app{row}");
        let token = router.channel(&channel).await;
        let sink = HttpSink::start([]).await;
        router.drain(&channel, &sink.url(), options).await;
        router.send_tcp(&sent(&token)).await;
        let post = sink.posts_until(1).await.remove(0);
        assert_eq!(
            post.header("Content-Encoding").as_deref(),
            encoding,
            "{options}"
        );
        let plain = unpacked(&post);
        let (frames, used) = cut_frames(&plain);
        assert_eq!(used, plain.len(), "{options}");
        if is_rfc5424 {
            assert_eq!(frames.len(), 1);
            assert_eq!(frames[0].trim_end(), rfc5424, "{options}");
        } else {
            assert_eq!(frames, std::slice::from_ref(&logplex), "{options}");
        }
        if options.contains("X-Key") {
            assert_eq!(post.header("X-Key").as_deref(), Some("s3cret"));
            assert_eq!(post.header("User-Agent").as_deref(), Some("mine"));
            let shown = router
                .call("GET", &format!("/v3/channels/{channel}/drains"), "")
                .await;
            assert!(!shown.text().contains("s3cret"), "{shown:?}");
        }
    }
    router.stop().await;
}

fn unpacked(post: &Post) -> Vec<u8> {
    let mut plain = Vec::new();
    match post.header("Content-Encoding").as_deref() {
        None => return post.body.clone(),
        Some("gzip") => flate2::read::GzDecoder::new(&post.body[..]).read_to_end(&mut plain),
        Some("zstd") => zstd::stream::read::Decoder::new(&post.body[..])
            .unwrap()
            .read_to_end(&mut plain),
        Some(other) => panic!("{other}"),
    }
    .unwrap();
    plain
}

#[tokio::test]
async fn filters_pass_over_and_count_what_is_not_wanted() {
    let router = Router::start().await;
    let answer = router
        .call("PUT", "/v3/channels/app", r#"{"tokens":["app","heroku"]}"#)
        .await
        .json();
    let [app, heroku] = ["app", "heroku"].map(|n| answer["tokens"][n].as_str().unwrap().to_owned());
    let mut sinks = Vec::new();
    for (options, wanted) in [
        (r#","source":"heroku""#, vec!["h router", "h web.1"]),
        (r#","ps":"web""#, vec!["a web.1", "a web", "h web.1"]),
        (r#","ps":"web.1""#, vec!["a web.1", "h web.1"]),
        (r#","source":"app","ps":"worker""#, vec!["a worker.9"]),
        (r#","source":"nobody""#, vec![]),
    ] {
        let sink = HttpSink::start([]).await;
        let drain = router.drain("app", &sink.url(), options).await;
        sinks.push((sink, drain, options, wanted));
    }
    for (token, letter, process) in [
        (&app, "a", "web.1"),
        (&app, "a", "web"),
        (&app, "a", "webby.1"),
        (&app, "a", "worker.9"),
        (&heroku, "h", "router"),
        (&heroku, "h", "web.1"),
    ] {
        router
            .send_tcp(&format!(
                "{AT} host {token} {process} - - {letter} {process}"
            ))
            .await;
    }
    for (sink, drain, options, wanted) in sinks {
        let status = router
            .drain_until("app", drain, |s| number(&s["lag_messages"]) == 0)
            .await;
        let texts: Vec<String> = sink
            .frames()
            .iter()
            .map(|frame| frame.split_once(" - ").unwrap().1.trim_end().to_owned())
            .collect();
        assert_eq!(texts, wanted, "{options}");
        let delivered = wanted.len() as u64;
        assert_eq!(number(&status["delivered"]), delivered, "{options}");
        assert_eq!(number(&status["filtered"]), 6 - delivered, "{options}");
    }
    router.stop().await;
}

/// While a request hangs nothing else is sent; then everything that waited goes in batches of at
/// most `batch_bytes_max`, in order, over the same connection.
#[tokio::test]
async fn one_request_in_flight_and_batches_up_to_their_size() {
    let router = Router::start().await;
    let token = router.channel("app").await;
    let cases = [("", 102_400), (r#","batch_bytes_max":4096"#, 4_096)];
    let permits = Arc::new(Semaphore::new(0));
    let mut sinks = Vec::new();
    for (options, bytes_max) in cases {
        let sink = HttpSink::start([Reply::Held(Arc::clone(&permits))]).await;
        let drain = router.drain("app", &sink.url(), options).await;
        sinks.push((sink, drain, bytes_max));
    }
    router.send_tcp(&message(&token, "first")).await;
    for (sink, drain, _) in &sinks {
        sink.posts_until(1).await;
        router
            .drain_until("app", *drain, |s| s["state"] == "sending")
            .await;
    }
    let filler = "x".repeat(900);
    for chunk in 0..4 {
        let mut bytes = String::new();
        for index in 0..250 {
            let text = message(&token, &format!("m{} {filler}", chunk * 250 + index));
            bytes.push_str(&format!("{} {text}", text.len()));
        }
        send_raw(&router, bytes.as_bytes()).await;
    }
    for (sink, _, _) in &sinks {
        assert_eq!(sink.posts().len(), 1, "one request in flight");
    }
    permits.add_permits(2);
    for (sink, drain, bytes_max) in &sinks {
        let status = router
            .drain_until("app", *drain, |s| number(&s["delivered"]) == 1_001)
            .await;
        assert_eq!(number(&status["lag_bytes"]), 0);
        let posts = sink.posts();
        for (index, post) in posts.iter().enumerate().skip(1) {
            assert_eq!(post.connection, 1);
            assert!(post.body.len() <= *bytes_max, "{}", post.body.len());
            let frames = post.frames();
            assert_eq!(
                post.header("Logplex-Msg-Count").unwrap(),
                frames.len().to_string()
            );
            // Another message would not have fitted.
            let is_full = *bytes_max < post.body.len() + post.body.len() / frames.len() + 4;
            assert!(
                is_full || index + 1 == posts.len(),
                "{index}: {}",
                post.body.len()
            );
        }
        let numbers: Vec<String> = sink.frames()[1..]
            .iter()
            .map(|f| f.split(' ').nth(6).unwrap().to_owned())
            .collect();
        let expected: Vec<String> = (0..1_000).map(|n| format!("m{n}")).collect();
        assert_eq!(numbers, expected);
    }
    router.stop().await;
}

async fn send_raw(router: &Router, bytes: &[u8]) {
    use tokio::io::AsyncReadExt;
    use tokio::io::AsyncWriteExt;
    let mut socket = tokio::net::TcpStream::connect(router.syslog_tcp)
        .await
        .unwrap();
    socket.write_all(bytes).await.unwrap();
    socket.shutdown().await.unwrap();
    socket.read_to_end(&mut Vec::new()).await.unwrap();
}

#[tokio::test]
async fn retry_after_is_heeded_in_seconds_and_as_a_date() {
    let router = quick().await;
    let seconds = || raw("HTTP/1.1 503 X\r\nRetry-After: 2\r\nContent-Length: 0\r\n\r\n");
    // Dates are whole seconds: three ahead is at least two from now.
    let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(3));
    let dated = raw(&format!(
        "HTTP/1.1 429 X\r\nRetry-After: {date}\r\nContent-Length: 0\r\n\r\n"
    ));
    let mut rows = Vec::new();
    for (channel, reply) in [("a", seconds()), ("b", dated)] {
        let token = router.channel(channel).await;
        let sink = HttpSink::start([reply]).await;
        let drain = router.drain(channel, &sink.url(), "").await;
        router.send_tcp(&message(&token, "m1")).await;
        let status = router
            .drain_until(channel, drain, |s| !s["next_try"].is_null())
            .await;
        assert_eq!(status["state"], "retrying", "{status}");
        assert_eq!(number(&status["attempts"]), 1);
        rows.push((channel, sink, drain, tokio::time::Instant::now()));
    }
    for (channel, sink, drain, began) in rows {
        let posts = sink.posts_until(2).await;
        let waited = began.elapsed();
        assert!(Duration::from_millis(900) < waited, "{channel}: {waited:?}");
        assert!(waited < Duration::from_secs(6), "{channel}: {waited:?}");
        assert_eq!(posts[0].body, posts[1].body);
        router
            .drain_until(channel, drain, |s| number(&s["delivered"]) == 1)
            .await;
    }
    router.stop().await;
}

/// A drain that refuses everything is told of in its channel once in an interval, with a sum, and
/// what it refuses of these words leads to no further ones.
#[tokio::test]
async fn losses_are_told_in_the_channel_once_in_an_interval() {
    let router = Router::start_with(&[("notice_interval", "2s")]).await;
    let token = router.channel("app").await;
    let sink = HttpSink::start(vec![Reply::status(410); 10_000]).await;
    let drain = router.drain("app", &sink.url(), "").await;
    for index in 0..20 {
        router
            .send_tcp(&message(&token, &format!("m{index}")))
            .await;
        router
            .drain_until("app", drain, |s| number(&s["lag_messages"]) == 0)
            .await;
    }
    let told = async || {
        let lines = router.history("app", 1_000).await;
        lines
            .into_iter()
            .filter(|line| line.contains("Error L10"))
            .collect::<Vec<_>>()
    };
    let began = tokio::time::Instant::now();
    let mut lines = Vec::new();
    support::until_async("the second notice", async || {
        lines = told().await;
        lines.len() == 2
    })
    .await;
    assert!(
        lines[0].contains("' dropped 1 messages since "),
        "{lines:#?}"
    );
    assert!(
        lines[1].contains("' dropped 19 messages since "),
        "{lines:#?}"
    );
    assert!(lines[1].ends_with(". reason=status_410"), "{lines:#?}");
    assert!(lines[1].contains(" heroku[logplex]: Error L10 (output buffer overflow): drain 'd."));
    // More than another interval without messages: nothing is told of lost notices.
    support::until_async("two intervals", async || {
        Duration::from_secs(5) < began.elapsed()
    })
    .await;
    assert_eq!(told().await.len(), 2);
    let status = router
        .drain_until("app", drain, |s| number(&s["lag_messages"]) == 0)
        .await;
    assert_eq!(number(&status["lost"]["refused"]), 22, "{status}");
    assert_eq!(status["state"], "failing");
    assert_eq!(status["last_status"], 410);
    router.stop().await;
}

#[tokio::test]
async fn https_is_verified_and_its_failure_told() {
    let router = quick().await;
    let certificates = Certificates::new();
    let ca = serde_json::to_string(&certificates.ca_pem()).unwrap();
    let (cert, key) = certificates.client_pems();
    let [cert, key] = [cert, key].map(|pem| serde_json::to_string(&pem).unwrap());
    for (row, (demands_client, options, is_good)) in [
        (false, String::new(), false),
        (false, format!(r#","ca":{ca}"#), true),
        (true, format!(r#","ca":{ca}"#), false),
        (
            true,
            format!(r#","ca":{ca},"client_cert":{cert},"client_key":{key}"#),
            true,
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let channel = format!("app{row}");
        let token = router.channel(&channel).await;
        let tls = Some(certificates.acceptor(demands_client));
        let sink = HttpSink::start_with("127.0.0.1:0", tls, []).await;
        let url = format!("https://localhost:{}/", sink.address.port());
        let drain = router.drain(&channel, &url, &options).await;
        router.send_tcp(&message(&token, "over TLS")).await;
        if is_good {
            assert_eq!(sink.frames_until(1).await, [frame("over TLS")]);
            continue;
        }
        let status = router
            .drain_until(&channel, drain, |s| 2 <= number(&s["attempts"]))
            .await;
        assert_eq!(status["state"], "failing", "{status}");
        let error = status["last_error"].as_str().unwrap();
        assert!(error.contains("certificate"), "{error}");
        let lines = router.history_until(&channel, 2).await;
        assert!(
            lines[1].contains(" heroku[logplex]: Error L14 (certificate validation): error=\""),
            "{lines:?}"
        );
        assert!(lines[1].ends_with(&format!("uri=\"{url}\"")), "{lines:?}");
        assert_eq!(lines.len(), 2, "once a minute: {lines:?}");
        assert!(sink.posts().is_empty());
    }
    router.stop().await;
}

/// A destination that takes and refuses in turn does not fill the router's own log.
#[tokio::test]
async fn troubles_and_their_ends_are_logged_once_in_an_interval() {
    let data = tempfile::tempdir().unwrap();
    let log = data.path().join("stderr");
    let mut command = support::command(data.path());
    command
        .env("LOGBOOM_RETRY_DELAY_MIN", "1ms")
        .env("LOGBOOM_RETRY_DELAY_MAX", "2ms")
        .env("LOGBOOM_NOTICE_INTERVAL", "3600s")
        .stderr(std::fs::File::create(&log).unwrap());
    let router = Router::start_from(command).await;
    let told = |line: &str| {
        let text = std::fs::read_to_string(&log).unwrap();
        text.lines().filter(|told| told.contains(line)).count()
    };
    for (row, (status, line)) in [(500, "drain cannot deliver"), (404, "drain is refused")]
        .into_iter()
        .enumerate()
    {
        let channel = format!("app{row}");
        let token = router.channel(&channel).await;
        let turns = [status, 204].repeat(6);
        let sink = HttpSink::start(turns.iter().copied().map(Reply::status)).await;
        let url = format!("http://{}/", sink.address);
        let drain = router.drain(&channel, &url, "").await;
        while sink.posts().len() < turns.len() {
            router.send_tcp(&message(&token, "in turn")).await;
            router
                .drain_until(&channel, drain, |s| s["lag_messages"] == 0)
                .await;
        }
        assert_eq!(told(line), 1, "{line}");
        assert_eq!(told("drain delivers again"), row + 1, "{line}");
    }
    router.stop().await;
}

/// Without a `ca` of its own a drain trusts what the system trusts.
#[tokio::test]
async fn https_trusts_the_systems_roots() {
    let certificates = Certificates::new();
    let data = tempfile::tempdir().unwrap();
    let mut command = support::command(data.path());
    command.env("SSL_CERT_FILE", certificates.ca_file());
    let router = Router::start_from(command).await;
    let token = router.channel("app").await;
    let tls = Some(certificates.acceptor(false));
    let sink = HttpSink::start_with("127.0.0.1:0", tls, []).await;
    let url = format!("https://localhost:{}/", sink.address.port());
    router.drain("app", &url, "").await;
    router.send_tcp(&message(&token, "over TLS")).await;
    assert_eq!(sink.frames_until(1).await, [frame("over TLS")]);
    router.stop().await;
}
