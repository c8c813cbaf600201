//! `POST /logs` over real sockets, into real channels.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod ingest_support;

use std::collections::BTreeSet;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::any;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::{Request, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use ingest_support::{DEADLINE, Inputs, Reader, TOKEN_A, TOKEN_B, counted};
use logboom::channel::{Channel, Progress, WhenFull};
use logboom::clock::UnixMicros;
use logboom::id::{ChannelId, CredentialId, Secret, Source};
use logboom::ingest::http::{LogsInput, LogsMode, LogsSettings, logs};
use logboom::net::http::{HttpEnds, HttpSettings, serve_http};
use logboom::net::tls::{Alpn, TlsFiles, TlsServer};
use logboom::registry::{CredentialEntry, Directory, Entries, Permission};
use logboom::route::Firehose;
use logboom::route::limit::{Rate, RateLimits};
use logboom::telemetry::Input;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

struct Server {
    inputs: Inputs,
    input: Arc<LogsInput>,
    address: SocketAddr,
}

fn serve() -> Server {
    serve_with(None)
}

fn serve_with(tls: Option<Arc<TlsServer>>) -> Server {
    let inputs = Inputs::new();
    let mut entries = Entries::default();
    for (id, permissions) in [
        ("local", vec![Permission::FullApi, Permission::AnyChannel]),
        ("noperm", vec![]),
        (
            "one",
            vec![Permission::Channel(ChannelId::new("a").unwrap())],
        ),
    ] {
        entries.put_credential(CredentialEntry::new(
            CredentialId::new(id).unwrap(),
            &Secret::new("password"),
            permissions,
            UnixMicros::new(0),
        ));
    }
    let settings = LogsSettings {
        body_bytes_max: 3_000_000,
        body_timeout: Duration::from_millis(300),
        frame_ids_max: FRAME_IDS_MAX,
        ..LogsSettings::default()
    };
    let input = Arc::new(LogsInput::new(
        Arc::clone(&inputs.table),
        Arc::new(Directory::new(entries)),
        settings,
        inputs.telemetry.clone(),
    ));
    input.set_mode(LogsMode::Open);
    let router = Router::new()
        .route("/logs", any(logs))
        .route("/logs/", any(logs))
        .with_state(Arc::clone(&input));
    let listener = inputs.listener(Input::Http);
    let address = listener.address();
    let ends = HttpEnds {
        requests: inputs.shutdown.clone(),
        listening: inputs.shutdown.clone(),
    };
    inputs.shutdown.spawn(serve_http(
        listener,
        tls,
        router,
        HttpSettings::default(),
        ends,
        inputs.telemetry.clone(),
    ));
    Server {
        inputs,
        input,
        address,
    }
}

/// Few, so that a flood is soon sent.
const FRAME_IDS_MAX: usize = 20;

/// A request that is right but for what a test changes.
struct Post {
    line: &'static str,
    authorization: Option<String>,
    content_type: Option<&'static str>,
    headers: Vec<String>,
    body: Vec<u8>,
}

fn basic(pair: &str) -> Option<String> {
    Some(format!("Basic {}", STANDARD.encode(pair)))
}

fn post(body: impl Into<Vec<u8>>) -> Post {
    Post {
        line: "POST /logs HTTP/1.1",
        authorization: basic("local:password"),
        content_type: Some("application/logplex-1"),
        headers: Vec::new(),
        body: body.into(),
    }
}

impl Post {
    fn by(mut self, authorization: Option<String>) -> Self {
        self.authorization = authorization;
        self
    }

    fn header(mut self, header: &str) -> Self {
        self.headers.push(header.to_owned());
        self
    }

    fn head(&self) -> String {
        let mut head = format!("{}\r\nHost: x\r\n", self.line);
        if let Some(authorization) = &self.authorization {
            head += &format!("Authorization: {authorization}\r\n");
        }
        if let Some(content_type) = &self.content_type {
            head += &format!("Content-Type: {content_type}\r\n");
        }
        for header in &self.headers {
            head += &format!("{header}\r\n");
        }
        head
    }

    /// The whole answer on a connection of its own.
    async fn send(&self, server: &Server) -> String {
        let head = format!(
            "{}Connection: close\r\nContent-Length: {}\r\n\r\n",
            self.head(),
            self.body.len()
        );
        exchange(server, &[head.as_bytes(), &self.body].concat()).await
    }

    async fn status(&self, server: &Server) -> String {
        let answer = self.send(server).await;
        answer.lines().next().unwrap().to_owned()
    }
}

async fn exchange(server: &Server, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    if stream.write_all(bytes).await.is_err() {
        // Refused before the whole body was sent: the answer is there all the same.
    }
    let mut answer = Vec::new();
    let read = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut answer)).await;
    if read.unwrap().is_err() {
        // Closed with unread bytes on the way, after the answer.
    }
    String::from_utf8(answer).unwrap()
}

async fn check(server: &Server, reader: &mut Reader, post: Post, status: &str, lines: &[&str]) {
    let head = post.head();
    assert_eq!(post.status(server).await, status, "{head}");
    assert_eq!(reader.rest(), lines, "{head}");
}

const OK: &str = "HTTP/1.1 204 No Content";
const UNAUTHORIZED: &str = "HTTP/1.1 401 Unauthorized";
const MALFORMED: &str = "HTTP/1.1 400 Malformed log messages";
const MISMATCH: &str = "HTTP/1.1 400 Message count mismatch";
const MEDIA: &str = "HTTP/1.1 415 Content-Type must be application/logplex-1";

#[tokio::test]
async fn who_may_send() {
    let server = serve();
    let mut a = server.inputs.channel("a", TOKEN_A, "app");
    let _b = server.inputs.channel("b", TOKEN_B, "other");
    let own = || post(counted(TOKEN_A, "hi"));
    let token = || basic(&format!("token:{TOKEN_A}"));
    let line: &[&str] = &["app|web.1|hi"];
    let forbidden = "HTTP/1.1 403 Credential not permitted to write to any channel.";
    let foreign = "HTTP/1.1 403 Credential not permitted to write to a channel of these messages.";
    let mixed = post([counted(TOKEN_A, "1"), counted(TOKEN_B, "2")].concat());
    let table: Vec<(Post, &str, &[&str])> = vec![
        (own(), OK, line),
        (own().by(token()), OK, line),
        (own().by(Some(format!("Bearer {TOKEN_A}"))), OK, line),
        (own().by(Some("bearer local:password".into())), OK, line),
        (own().by(basic("one:password")), OK, line),
        (mixed.by(basic("one:password")), foreign, &[]),
        (own().by(basic("noperm:password")), forbidden, &[]),
        (own().by(None), UNAUTHORIZED, &[]),
        (own().by(basic("local:x")), UNAUTHORIZED, &[]),
        (own().by(basic("zz:x")), UNAUTHORIZED, &[]),
        (own().by(basic("token:t.unknown")), UNAUTHORIZED, &[]),
        (own().by(basic("token:abc")), UNAUTHORIZED, &[]),
        (own().by(basic("abc")), UNAUTHORIZED, &[]),
        (own().by(Some("Basic !!!".into())), UNAUTHORIZED, &[]),
        (own().by(Some("Bearer x".into())), UNAUTHORIZED, &[]),
        (
            post(counted(TOKEN_B, "as mine")).by(token()),
            OK,
            &["app|web.1|as mine"],
        ),
        (
            post(counted("nginx", "kept")).by(token()),
            OK,
            &["nginx|web.1|kept"],
        ),
        (post("5 hello").by(token()), OK, &["app|-|hello"]),
        (post("5 hello"), OK, &[]),
        (post(counted("t.unknown", "x")), OK, &[]),
    ];
    for (post, status, lines) in table {
        check(&server, &mut a, post, status, lines).await;
    }
    let answer = own().by(None).send(&server).await;
    assert!(
        answer.contains("www-authenticate: Basic realm=Logplex"),
        "{answer}"
    );
    let telemetry = &server.inputs;
    telemetry.assert_counted("logboom_dropped_messages_total{reason=\"no_token\"}", 1);
    telemetry.assert_counted(
        "logboom_dropped_messages_total{reason=\"unknown_token\"}",
        1,
    );
    telemetry.assert_counted("logboom_dropped_messages_total{reason=\"forbidden\"}", 1);
}

#[tokio::test]
async fn what_may_be_sent() {
    let server = serve();
    let mut a = server.inputs.channel("a", TOKEN_A, "app");
    let one = || post(counted(TOKEN_A, "hi"));
    let two = || post(counted(TOKEN_A, "1") + &counted(TOKEN_A, "2"));
    let typed = |content_type| Post {
        content_type,
        ..one()
    };
    let lined = |line| Post { line, ..one() };
    let line: &[&str] = &["app|web.1|hi"];
    let lines: &[&str] = &["app|web.1|1", "app|web.1|2"];
    let newline = counted(TOKEN_A, "1") + "\n" + &counted(TOKEN_A, "2");
    let cut_off = &two().body[..150];
    let method = "HTTP/1.1 405 Method Not Allowed";
    let encoding = "HTTP/1.1 415 Content-Encoding must be identity, gzip or zstd";
    let table: Vec<(Post, &str, &[&str])> = vec![
        (typed(Some("application/x-logplex-1")), OK, line),
        (
            typed(Some("Application/Logplex-1; charset=utf-8")),
            OK,
            line,
        ),
        (typed(Some("text/plain")), MEDIA, &[]),
        (typed(None), MEDIA, &[]),
        (one().header("Accept: application/json"), OK, line),
        (one().header("Content-Encoding: deflate"), encoding, &[]),
        (lined("POST /logs/ HTTP/1.1"), OK, line),
        (lined("POST /logs?x=y HTTP/1.1"), OK, line),
        (lined("PUT /logs HTTP/1.1"), method, &[]),
        (lined("GET /logs HTTP/1.1"), method, &[]),
        (two(), OK, lines),
        (two().header("Logplex-Msg-Count: 2"), OK, lines),
        (two().header("Logplex-Msg-Count: 3"), MISMATCH, &[]),
        (two().header("Logplex-Msg-Count: x"), MISMATCH, &[]),
        (two().header("Logplex-Msg-Count: "), MISMATCH, &[]),
        (post(""), OK, &[]),
        (post("").header("Logplex-Msg-Count: 0"), OK, &[]),
        (post("<134>1 - host t.x web.1 - - lf\n"), MALFORMED, &[]),
        (post(newline), MALFORMED, &[]),
        (post(cut_off), MALFORMED, &[]),
        (post(cut_off).header("Logplex-Msg-Count: 2"), MISMATCH, &[]),
    ];
    for (post, status, lines) in table {
        check(&server, &mut a, post, status, lines).await;
    }
}

#[tokio::test]
async fn packed_bodies_and_their_bounds() {
    let server = serve();
    let mut a = server.inputs.channel("a", TOKEN_A, "app");
    let gzip = |bytes: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let body = counted(TOKEN_A, "packed");
    let line: &[&str] = &["app|web.1|packed"];
    let zstd = zstd::stream::encode_all(body.as_bytes(), 1).unwrap();
    let bomb = vec![b'0'; 6_000_000];
    let damaged = "HTTP/1.1 400 Body does not match its Content-Encoding";
    let large = "HTTP/1.1 413 Body too large";
    let gzipped = |bytes: &[u8]| post(gzip(bytes)).header("Content-Encoding: GZIP");
    let table: Vec<(Post, &str, &[&str])> = vec![
        (gzipped(body.as_bytes()), OK, line),
        (post(zstd).header("Content-Encoding: zstd"), OK, line),
        (
            post(body.clone()).header("Content-Encoding: gzip"),
            damaged,
            &[],
        ),
        (post(gzip(body.as_bytes())), MALFORMED, &[]),
        (gzipped(&bomb), large, &[]),
        (post(vec![b'0'; 3_000_001]), large, &[]),
    ];
    for (post, status, lines) in table {
        check(&server, &mut a, post, status, lines).await;
    }
    // More messages than are gathered at once.
    let count = 30_000;
    let body: String = (0..count)
        .map(|number| counted(TOKEN_A, &number.to_string()))
        .collect();
    let post = post(body).header(&format!("Logplex-Msg-Count: {count}"));
    assert_eq!(post.status(&server).await, OK);
    let expected: Vec<String> = (0..count).map(|n| format!("app|web.1|{n}")).collect();
    assert_eq!(a.rest(), expected);
}

#[tokio::test]
async fn a_retry_is_not_delivered_twice() {
    let server = serve();
    let mut a = server.inputs.channel("a", TOKEN_A, "app");
    let _b = server.inputs.channel("b", TOKEN_B, "other");
    let one = || post(counted(TOKEN_A, "hi"));
    let token = |token: &str| basic(&format!("token:{token}"));
    let line: &[&str] = &["app|web.1|hi"];
    let refused = post(counted(TOKEN_A, "hi")).header("Logplex-Msg-Count: 9");
    let table: Vec<(Post, &str, &[&str])> = vec![
        (refused.header("Logplex-Frame-Id: F"), MISMATCH, &[]),
        (one().header("Logplex-Frame-Id: F"), OK, line),
        (one().header("Logplex-Frame-Id: F"), OK, &[]),
        (one().header("Logplex-Frame-Id: G"), OK, line),
        (one().header("X-Request-Id: R"), OK, line),
        (one().header("X-Request-Id: R"), OK, &[]),
        (one().header("X-Request-Id: R").by(token(TOKEN_A)), OK, line),
        (one().header("X-Request-Id: R").by(token(TOKEN_B)), OK, &[]),
        (one(), OK, line),
        (one(), OK, line),
    ];
    for (post, status, lines) in table {
        check(&server, &mut a, post, status, lines).await;
    }
    server
        .inputs
        .assert_counted("logboom_duplicate_requests_total", 2);
}

#[tokio::test]
async fn a_flood_by_one_token_makes_nobody_else_forgotten() {
    let server = serve();
    let mut a = server.inputs.channel("a", TOKEN_A, "app");
    let mut b = server.inputs.channel("b", TOKEN_B, "other");
    let one = |token: &str, id: usize| {
        let post = post(counted(token, "hi")).by(basic(&format!("token:{token}")));
        post.header(&format!("X-Request-Id: {id}"))
    };
    let line: &[&str] = &["app|web.1|hi"];
    check(&server, &mut a, one(TOKEN_A, 0), OK, line).await;
    for id in 0..3 * FRAME_IDS_MAX {
        check(&server, &mut b, one(TOKEN_B, id), OK, &["other|web.1|hi"]).await;
    }
    check(&server, &mut a, one(TOKEN_A, 0), OK, &[]).await;
    let last = one(TOKEN_B, 3 * FRAME_IDS_MAX - 1);
    check(&server, &mut b, last, OK, &[]).await;
}

#[tokio::test]
async fn over_the_limit_or_closed_says_when_to_come_again() {
    let server = serve();
    let mut a = server.inputs.channel("a", TOKEN_A, "app");
    let mut b = server.inputs.channel("b", TOKEN_B, "other");
    server.inputs.table.set_limits(RateLimits {
        messages: Some(Rate {
            per_second: 1,
            burst: 2,
        }),
        bytes: None,
    });
    let two = counted(TOKEN_A, "1") + &counted(TOKEN_A, "2");
    assert_eq!(post(two.clone()).status(&server).await, OK);
    let both = [counted(TOKEN_B, "b"), two.clone()].concat();
    let answer = post(both).send(&server).await;
    assert!(answer.starts_with("HTTP/1.1 429 "), "{answer}");
    assert!(answer.contains("retry-after: 2"), "{answer}");
    assert_eq!(a.rest().len(), 2);
    assert_eq!(b.rest(), [""; 0]);
    // The refused request has cost the other token nothing.
    let twice = counted(TOKEN_B, "b1") + &counted(TOKEN_B, "b2");
    assert_eq!(post(twice).status(&server).await, OK);
    assert_eq!(b.rest().len(), 2);
    for mode in [LogsMode::Denied, LogsMode::Starting, LogsMode::Stopping] {
        server.input.set_mode(mode);
        let answer = post(two.clone()).send(&server).await;
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        assert!(answer.contains("retry-after: "), "{answer}");
    }
}

#[tokio::test]
async fn chunked_kept_alive_and_ended_in_order() {
    let server = serve();
    let mut a = server.inputs.channel("a", TOKEN_A, "app");
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let body = counted(TOKEN_A, "c");
    for _ in 0..2 {
        let request = format!(
            "{}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
            post("").head(),
            body.len()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = vec![0; 4_096];
        let count = stream.read(&mut answer).await.unwrap();
        assert!(answer[..count].starts_with(OK.as_bytes()));
    }
    assert_eq!(a.rest(), ["app|web.1|c", "app|web.1|c"]);
    server.inputs.shutdown.request();
    assert!(server.inputs.shutdown.finished(DEADLINE).await);
    let mut byte = [0];
    assert_eq!(stream.read(&mut byte).await.unwrap(), 0);
}

#[tokio::test]
async fn a_body_that_does_not_come_is_given_up() {
    let server = serve();
    let mut a = server.inputs.channel("a", TOKEN_A, "app");
    let head = format!("{}Content-Length: 100\r\n\r\n10 ", post("").head());
    let answer = exchange(&server, head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert_eq!(a.rest(), [""; 0]);
}

/// One request over HTTP/2 on `stream`.
async fn post_by_two<S>(stream: S, body: String) -> StatusCode
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let executor = TokioExecutor::new();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(executor, TokioIo::new(stream))
            .await
            .unwrap();
    let request = Request::post("http://localhost/logs")
        .header("authorization", basic("local:password").unwrap())
        .header("content-type", "application/logplex-1")
        .body(Body::from(body))
        .unwrap();
    let answer = async move { sender.send_request(request).await.unwrap().status() };
    let (status, _ended) = tokio::join!(answer, connection);
    status
}

#[tokio::test]
async fn http_two_without_tls_by_its_preface() {
    let server = serve();
    let mut a = server.inputs.channel("a", TOKEN_A, "app");
    let stream = TcpStream::connect(server.address).await.unwrap();
    let body = counted(TOKEN_A, &"2".repeat(50_000));
    assert_eq!(post_by_two(stream, body).await, StatusCode::NO_CONTENT);
    assert_eq!(a.rest().len(), 1);
}

#[tokio::test]
async fn http_two_by_alpn_inside_tls() {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let files = TlsFiles {
        certificate: folder.path().join("cert.pem"),
        key: folder.path().join("key.pem"),
        client_ca: None,
    };
    std::fs::write(&files.certificate, made.cert.pem()).unwrap();
    std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
    let tls = TlsServer::load(files, Alpn::Http).unwrap();
    let server = serve_with(Some(Arc::new(tls)));
    let mut a = server.inputs.channel("a", TOKEN_A, "app");

    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let stream = TcpStream::connect(server.address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let stream = connector.connect(name, stream).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let body = counted(TOKEN_A, "in tls");
    assert_eq!(post_by_two(stream, body).await, StatusCode::NO_CONTENT);
    assert_eq!(a.rest(), ["app|web.1|in tls"]);
}

#[tokio::test]
async fn a_full_channel_that_waits_says_429() {
    let server = serve();
    let a = server.inputs.channel("a", TOKEN_A, "app");
    a.channel.set_when_full(WhenFull::Wait);
    let progress = Arc::new(Progress::default());
    progress.confirm(&a.channel, &a.channel.cursor_at_end());
    a.channel.add_progress(Arc::clone(&progress));
    is_told_to_wait(&server, &a.channel, &progress).await;
}

#[tokio::test]
async fn a_full_firehose_that_waits_says_429_to_its_sources() {
    let server = serve();
    let _a = server.inputs.channel("a", TOKEN_A, "app");
    let mut b = server.inputs.channel("b", TOKEN_B, "other");
    let hose = server.inputs.channel("hose", "t.hose", "hose");
    hose.channel.set_when_full(WhenFull::Wait);
    let progress = Arc::new(Progress::default());
    progress.confirm(&hose.channel, &hose.channel.cursor_at_end());
    hose.channel.add_progress(Arc::clone(&progress));
    server.inputs.table.set_firehose(Some(Firehose::new(
        Arc::clone(&server.inputs.node),
        vec![ChannelId::new("hose").unwrap()],
        BTreeSet::from([Source::new("app").unwrap()]),
    )));
    is_told_to_wait(&server, &hose.channel, &progress).await;
    // What is not copied there does not wait for it.
    let other = post(counted(TOKEN_B, "not copied"));
    assert_eq!(other.status(&server).await, OK);
    assert_eq!(b.rest(), ["other|web.1|not copied"]);
}

/// Sends until `channel`, which nobody reads, is full; then its reader comes to the end.
async fn is_told_to_wait(server: &Server, channel: &Channel, progress: &Progress) {
    let big = || post(counted(TOKEN_A, &"f".repeat(60_000)).repeat(40));
    let mut accepted = 0;
    let answer = loop {
        let answer = big().send(server).await;
        if !answer.starts_with(OK) {
            break answer;
        }
        accepted += 1;
        assert!(accepted < 8, "more than the channel's 16 MiB were taken");
    };
    assert!(answer.starts_with("HTTP/1.1 429 "), "{answer}");
    assert!(answer.contains("retry-after: 1"), "{answer}");
    progress.confirm(channel, &channel.cursor_at_end());
    assert_eq!(big().status(server).await, OK);
}

#[tokio::test]
async fn a_token_that_ends_while_its_body_comes_delivers_nothing() {
    let server = serve();
    let mut a = server.inputs.channel("a", TOKEN_A, "app");
    let body = counted(TOKEN_A, "too late");
    let head = post("").by(basic(&format!("token:{TOKEN_A}"))).head();
    let head = format!(
        "{head}Expect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 4_096];
    let count = stream.read(&mut answer).await.unwrap();
    assert!(answer[..count].starts_with(b"HTTP/1.1 100 "));
    let token = logboom::id::Token::new(TOKEN_A).unwrap();
    server.inputs.table.remove(&token);
    stream.write_all(body.as_bytes()).await.unwrap();
    let count = stream.read(&mut answer).await.unwrap();
    assert!(answer[..count].starts_with(UNAUTHORIZED.as_bytes()));
    assert_eq!(a.rest(), [""; 0]);
}
