//! `POST /logs` as HTTP: versions, connections, lengths, TLS.

use std::time::Duration;

use axum::body::Body;
use hyper::Request;
use hyper_util::rt::TokioExecutor;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWrite;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::framed;
use crate::post;
use crate::support;
use crate::support::Router;
use crate::support::certificates::Certificates;
use crate::support::http::basic;
use crate::texts;
use crate::tls::Client;

/// The head of a request by `token` up to the length, without its last empty line.
fn head(version: &str, token: &str) -> String {
    format!(
        "POST /logs {version}\r\nHost: x\r\nAuthorization: {}\r\nContent-Type: application/logplex-1\r\n",
        basic(&format!("token:{token}"))
    )
}

fn sized(version: &str, token: &str, body: &str) -> String {
    format!(
        "{}Content-Length: {}\r\n\r\n{body}",
        head(version, token),
        body.len()
    )
}

/// Reads until `count` final answers are there; gives everything read.
async fn answers(socket: &mut TcpStream, count: usize) -> String {
    let mut read = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&read).into_owned();
        if text.matches("HTTP/1.1 2").count() == count {
            return text;
        }
        let more = tokio::time::timeout(support::PATIENCE, socket.read_buf(&mut read));
        assert_ne!(more.await.unwrap().unwrap(), 0, "{text}");
    }
}

#[tokio::test]
async fn a_connection_is_kept_and_requests_may_follow_at_once() {
    let router = Router::start().await;
    let token = router.channel("app").await;
    let mut socket = TcpStream::connect(router.http).await.unwrap();
    let three = ["k1", "k2", "k3"].map(|text| sized("HTTP/1.1", &token, &framed(&token, text)));
    socket.write_all(three.concat().as_bytes()).await.unwrap();
    answers(&mut socket, 3).await;
    // log-shuttle: chunked, its chunks cut anywhere.
    let body = framed(&token, "k4") + &framed(&token, "k5");
    let (front, back) = body.split_at(30);
    let chunked = format!(
        "{}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{front}\r\n{:x};x=y\r\n{back}\r\n0\r\nT: x\r\n\r\n",
        head("HTTP/1.1", &token),
        front.len(),
        back.len()
    );
    for byte in chunked.as_bytes().chunks(7) {
        socket.write_all(byte).await.unwrap();
    }
    answers(&mut socket, 1).await;
    assert_eq!(texts(&router, "app").await, ["k1", "k2", "k3", "k4", "k5"]);
    let seconds = router.metric("logboom_http_request_seconds_count").await;
    assert!(4.0 <= seconds, "requests are timed: {seconds}");
    assert_eq!(
        router
            .metric("logboom_received_frames_total{input=\"http\"}")
            .await,
        5.0
    );
    router.stop().await;
}

#[tokio::test]
async fn http_one_zero_and_no_length_at_all() {
    let router = Router::start().await;
    let token = router.channel("app").await;
    for (request, first_line, is_closed) in [
        (
            sized("HTTP/1.0", &token, &framed(&token, "k1")),
            "HTTP/1.0 204 No Content",
            true,
        ),
        (
            head("HTTP/1.1", &token) + "Connection: close\r\n\r\n",
            "HTTP/1.1 204 No Content",
            true,
        ),
    ] {
        let mut socket = TcpStream::connect(router.http).await.unwrap();
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        let read = tokio::time::timeout(support::PATIENCE, socket.read_to_string(&mut answer));
        assert!(read.await.unwrap().is_ok() && is_closed);
        assert!(answer.starts_with(first_line), "{answer}");
    }
    assert_eq!(texts(&router, "app").await, ["k1"]);
    router.stop().await;
}

#[tokio::test]
async fn a_sender_that_expects_100_is_told_to_go_on_or_not_to() {
    let router = Router::start().await;
    let token = router.channel("app").await;
    let body = framed(&token, "h1");
    let expecting = |token: &str| {
        let length = body.len();
        format!(
            "{}Expect: 100-continue\r\nContent-Length: {length}\r\n\r\n",
            head("HTTP/1.1", token)
        )
    };
    let mut socket = TcpStream::connect(router.http).await.unwrap();
    socket
        .write_all(expecting(&token).as_bytes())
        .await
        .unwrap();
    let mut interim = [0; 25];
    socket.read_exact(&mut interim).await.unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    socket.write_all(body.as_bytes()).await.unwrap();
    answers(&mut socket, 1).await;
    assert_eq!(texts(&router, "app").await, ["h1"]);
    // Refused by its head: the body is never asked for.
    let mut socket = TcpStream::connect(router.http).await.unwrap();
    socket
        .write_all(expecting("t.unknown").as_bytes())
        .await
        .unwrap();
    let mut line = [0; 12];
    socket.read_exact(&mut line).await.unwrap();
    assert_eq!(&line, b"HTTP/1.1 401");
    router.stop().await;
}

async fn post_by_two<S>(stream: S, token: &str, body: String) -> u16
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let executor = TokioExecutor::new();
    let handshake = hyper::client::conn::http2::handshake(executor, TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.unwrap();
    let request = Request::post("http://localhost/logs")
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", "application/logplex-1")
        .body(Body::from(body))
        .unwrap();
    let answer = async move {
        sender
            .send_request(request)
            .await
            .unwrap()
            .status()
            .as_u16()
    };
    let (status, _ended) = tokio::join!(answer, connection);
    status
}

#[tokio::test]
async fn http_two_in_the_clear_and_by_alpn() {
    let certificates = Certificates::new();
    let file = |path: std::path::PathBuf| path.display().to_string();
    let (certificate, key) = (
        file(certificates.certificate_file()),
        file(certificates.key_file()),
    );
    let keys = [
        ("http_tls_certificate", certificate.as_str()),
        ("http_tls_key", key.as_str()),
    ];
    let clear = Router::start().await;
    let token = clear.channel("app").await;
    let stream = TcpStream::connect(clear.http).await.unwrap();
    assert_eq!(
        post_by_two(stream, &token, framed(&token, "h2c")).await,
        204
    );
    assert_eq!(texts(&clear, "app").await, ["h2c"]);
    clear.stop().await;

    let data = tempfile::tempdir().unwrap();
    let before = Router::start_in(data.path().to_owned(), &[], &[]).await;
    let token = before.channel("app").await;
    before.stop().await;
    let secure = Router::start_in(data.path().to_owned(), &keys, &[]).await;
    for (offered, taken) in [(&["h2", "http/1.1"][..], "h2"), (&["http/1.1"], "http/1.1")] {
        let client = Client::trusting(&certificates.ca_pem()).alpn(offered);
        let mut stream = client.connect(secure.http).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(taken.as_bytes()));
        if taken == "h2" {
            assert_eq!(post_by_two(stream, &token, framed(&token, "h2")).await, 204);
            continue;
        }
        let request = sized("HTTP/1.1", &token, &framed(&token, "h1")).into_bytes();
        stream.write_all(&request).await.unwrap();
        let mut line = [0; 12];
        stream.read_exact(&mut line).await.unwrap();
        assert_eq!(&line, b"HTTP/1.1 204");
    }
    // Plain HTTP on a TLS port is no request, and harms nobody.
    let mut socket = TcpStream::connect(secure.http).await.unwrap();
    socket.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut rest = Vec::new();
    let read = tokio::time::timeout(support::PATIENCE, socket.read_to_end(&mut rest)).await;
    assert!(read.is_ok() && !rest.starts_with(b"HTTP"), "{rest:?}");
    secure.stop().await;
}

#[tokio::test]
async fn of_equal_requests_at_once_one_is_delivered() {
    let router = Router::start().await;
    let token = router.channel("app").await;
    let body = framed(&token, "once");
    let requests =
        (0..16).map(|_| post(&router, &token, &[("X-Request-Id", "r-1")], body.as_bytes()));
    for answer in futures_of(requests).await {
        assert_eq!(answer.status, 204, "{answer:?}");
    }
    assert_eq!(texts(&router, "app").await, ["once"]);
    assert_eq!(
        router.metric("logboom_duplicate_requests_total").await,
        15.0
    );
    // Another body under the same id is another request; so is the same without an id.
    let other = framed(&token, "other");
    post(
        &router,
        &token,
        &[("X-Request-Id", "r-1")],
        other.as_bytes(),
    )
    .await;
    post(&router, &token, &[], body.as_bytes()).await;
    assert_eq!(texts(&router, "app").await, ["once", "other", "once"]);
    router.stop().await;
}

#[tokio::test]
async fn a_credential_writes_where_it_may() {
    let router = Router::start().await;
    let a = router.channel("a").await;
    let b = router.channel("b").await;
    let body = r#"{"id":"only-a","secret":"x","permissions":["channel:a"]}"#;
    let made = router.call("POST", "/v3/credentials", body).await;
    assert_eq!(made.status, 201, "{made:?}");
    let authorization = basic("only-a:x");
    let headers = [
        ("Authorization", authorization.as_str()),
        ("Content-Type", "application/logplex-1"),
    ];
    let send = async |body: String| {
        let answer =
            support::http::request(router.http, "POST", "/logs", &headers, body.as_bytes());
        answer.await.status
    };
    assert_eq!(send(framed(&a, "mine")).await, 204);
    // One foreign message, and nothing of the request is delivered.
    assert_eq!(
        send(framed(&a, "mine too") + &framed(&b, "foreign")).await,
        403
    );
    assert_eq!(texts(&router, "a").await, ["mine"]);
    assert!(texts(&router, "b").await.is_empty());
    let deleted = router.call("DELETE", "/v3/credentials/only-a", "").await;
    assert!(deleted.status < 300, "{deleted:?}");
    assert_eq!(send(framed(&a, "gone")).await, 401);
    // zstd, and a body in several frames of it.
    let packed = [
        zstd::stream::encode_all(framed(&a, "z1").as_bytes(), 1).unwrap(),
        zstd::stream::encode_all(framed(&a, "z2").as_bytes(), 1).unwrap(),
    ];
    let headers = [("Content-Encoding", "zstd"), ("Logplex-Msg-Count", "2")];
    let answer = post(&router, &a, &headers, &packed.concat()).await;
    assert_eq!(answer.status, 204, "{answer:?}");
    assert_eq!(texts(&router, "a").await, ["mine", "z1", "z2"]);
    router.stop().await;
}

/// All of them at once.
async fn futures_of<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut pinned: Vec<_> = futures.map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|context| {
        let mut is_done = true;
        for (future, output) in &mut pinned {
            if output.is_none() {
                match future.as_mut().poll(context) {
                    std::task::Poll::Ready(value) => *output = Some(value),
                    std::task::Poll::Pending => is_done = false,
                }
            }
        }
        if is_done {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    pinned
        .into_iter()
        .map(|(_, output)| output.unwrap())
        .collect()
}

#[tokio::test]
async fn a_request_under_way_may_end_when_the_router_is_asked_to() {
    let router = Router::start().await;
    let token = router.channel("app").await;
    let sink = support::sinks::HttpSink::start([]).await;
    router.drain("app", &sink.url(), "").await;
    let request = sized("HTTP/1.1", &token, &framed(&token, "last words"));
    let (front, back) = request.split_at(request.len() - 5);
    let mut socket = TcpStream::connect(router.http).await.unwrap();
    socket.write_all(front.as_bytes()).await.unwrap();
    let mut idle = TcpStream::connect(router.syslog_tcp).await.unwrap();
    router.signal("TERM");
    // The idle connection is closed: the router has begun to end.
    let mut byte = [0];
    let closed = tokio::time::timeout(support::PATIENCE, idle.read(&mut byte));
    assert_eq!(closed.await.unwrap().unwrap(), 0);
    socket.write_all(back.as_bytes()).await.unwrap();
    let text = answers(&mut socket, 1).await;
    assert!(text.starts_with("HTTP/1.1 204"), "{text}");
    let mut router = router;
    assert_eq!(router.exit_code().await, Some(0));
    let frames: Vec<String> = sink
        .posts()
        .iter()
        .flat_map(support::sinks::Post::frames)
        .collect();
    assert!(frames[0].ends_with("last words\n"), "{frames:?}");
}

#[tokio::test]
async fn a_head_that_comes_too_slowly_ends_its_connection() {
    use logboom::net::http::HttpEnds;
    use logboom::net::http::HttpSettings;
    use logboom::net::http::serve_http;
    use logboom::net::listen::ListenSettings;
    use logboom::net::listen::Listener;
    use logboom::telemetry::Input;

    let telemetry = logboom::telemetry::Telemetry::new().unwrap();
    let any = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let counters = telemetry.input(Input::Http).clone();
    let listener = Listener::bind(any, ListenSettings::default(), counters).unwrap();
    let address = listener.address();
    let settings = HttpSettings {
        head_timeout: Duration::from_millis(300),
        ..HttpSettings::default()
    };
    let ends = HttpEnds::default();
    ends.listening.spawn(serve_http(
        listener,
        None,
        axum::Router::new(),
        settings,
        ends.clone(),
        telemetry,
    ));
    for begin in ["", "P", "PRI * HTTP/2.0\r\n", "POST /logs HTTP/1.1\r\nX: "] {
        let socket = TcpStream::connect(address).await.unwrap();
        let (mut reading, mut writing) = socket.into_split();
        writing.write_all(begin.as_bytes()).await.unwrap();
        // A byte now and then does not buy more time.
        let drip = async {
            let mut ticks = tokio::time::interval(Duration::from_millis(20));
            while !begin.is_empty() && writing.write_all(b"x").await.is_ok() {
                ticks.tick().await;
            }
            std::future::pending::<()>().await;
        };
        let mut rest = Vec::new();
        let ended = async {
            let read = reading.read_to_end(&mut rest);
            let _reset_or_closed = tokio::time::timeout(support::PATIENCE, read).await.unwrap();
        };
        tokio::select! {
            () = ended => {}
            () = drip => {}
        }
    }
}

/// A drain to its own channel would send the same messages round for ever.
#[tokio::test]
async fn a_drain_cannot_circle_back_to_its_own_channel() {
    let router = Router::start().await;
    let own = router.channel("own").await;
    let other = router.channel("other").await;
    let url = format!("http://token:{own}@{}/logs", router.http);
    let drain = router.drain("own", &url, "").await;
    let answer = post(&router, &own, &[], framed(&own, "once").as_bytes()).await;
    assert_eq!(answer.status, 204);
    support::until_async("the drain is refused", async || {
        let status = router.drain_status("own", drain).await;
        status["last_status"] == 409 && status["lost"]["refused"].as_u64() >= Some(1)
    })
    .await;
    let lines = texts(&router, "own").await;
    let once = lines.iter().filter(|line| line.as_str() == "once").count();
    assert_eq!(once, 1, "{lines:?}");

    let headers = [("Logplex-Drain-Token", "d.of-nobody-here")];
    for token in [&own, &other] {
        let body = framed(token, "from afar");
        let answer = post(&router, token, &headers, body.as_bytes()).await;
        assert_eq!(answer.status, 204);
    }
}
