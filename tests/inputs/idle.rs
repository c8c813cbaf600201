//! How long HTTP connections may be quiet: between requests, in a head, and on HTTP/2.

use std::time::Duration;

use http_body_util::BodyExt;
use http_body_util::Empty;
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http2;
use hyper_util::rt::TokioExecutor;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::support;
use crate::support::Router;
use crate::support::certificates::Certificates;
use crate::tls::Client;

/// Far below what pings need to find a silent peer, far above what a quick test should take.
const SOON: Duration = Duration::from_secs(15);

const IDLE_MAX: Duration = Duration::from_millis(300);

async fn start() -> Router {
    let keys = [("http_head_timeout", "300ms"), ("tail_keepalive", "1s")];
    Router::start_with(&keys).await
}

/// Waits until the router closes `socket`; gives what it still said.
async fn closed(socket: &mut (impl AsyncRead + Unpin)) -> Vec<u8> {
    let mut rest = Vec::new();
    let read = tokio::time::timeout(SOON, socket.read_to_end(&mut rest)).await;
    let _reset = read.expect("the router keeps the connection");
    rest
}

#[tokio::test]
async fn without_a_request_head_a_connection_is_closed() {
    let router = start().await;
    for head in [
        &b""[..],
        b"PRI * HTT",
        b"GET /healthcheck HTTP/1.1\r\nHost: x\r\n",
    ] {
        let begun = Instant::now();
        let mut socket = TcpStream::connect(router.http).await.unwrap();
        socket.write_all(head).await.unwrap();
        closed(&mut socket).await;
        assert!(IDLE_MAX <= begun.elapsed(), "{head:?}");
    }
    let mut socket = TcpStream::connect(router.http).await.unwrap();
    let whole = b"GET /healthcheck HTTP/1.1\r\nHost: x\r\n\r\n";
    socket.write_all(whole).await.unwrap();
    let answer = closed(&mut socket).await;
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{answer:?}");
    router.stop().await;
}

#[tokio::test]
async fn an_http_two_connection_without_requests_is_closed() {
    let router = start().await;
    let socket = TcpStream::connect(router.http).await.unwrap();
    let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(socket));
    let (mut sender, connection) = handshake.await.unwrap();
    let mut connection = tokio::spawn(connection);
    let request = Request::get(format!("http://{}/healthcheck", router.http));
    let request = request.body(Empty::<Bytes>::new()).unwrap();
    let answer = sender.send_request(request).await.unwrap();
    assert_eq!(answer.status(), 200);
    answer.into_body().collect().await.unwrap();
    let begun = Instant::now();
    let ended = tokio::time::timeout(SOON, &mut connection).await;
    ended.expect("the router keeps it").unwrap().unwrap();
    assert!(IDLE_MAX / 2 <= begun.elapsed());

    // One that heeds no farewell: the preface, empty SETTINGS, then nothing.
    let mut socket = TcpStream::connect(router.http).await.unwrap();
    let hello = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    socket.write_all(hello).await.unwrap();
    closed(&mut socket).await;
    router.stop().await;
}

#[tokio::test]
async fn after_a_handshake_silence_is_idleness_too() {
    let certificates = Certificates::new();
    let (certificate, key) = (certificates.certificate_file(), certificates.key_file());
    let router = Router::start_with(&[
        ("http_head_timeout", "300ms"),
        ("http_tls_certificate", certificate.to_str().unwrap()),
        ("http_tls_key", key.to_str().unwrap()),
    ])
    .await;
    for protocol in ["h2", "http/1.1"] {
        let client = Client::trusting(&certificates.ca_pem()).alpn(&[protocol]);
        let mut stream = client.connect(router.http).await.unwrap();
        closed(&mut stream).await;
    }
    router.stop().await;
}

#[tokio::test]
async fn a_tail_over_http_two_goes_on() {
    let router = start().await;
    let token = router.channel("app").await;
    let path = router.session(r#"{"channel_id":"app","tail":true}"#).await;
    let socket = TcpStream::connect(router.http).await.unwrap();
    let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(socket));
    let (mut sender, connection) = handshake.await.unwrap();
    tokio::spawn(connection);
    let request = Request::get(format!("http://{}{path}", router.http));
    let request = request.header("Accept", "text/event-stream");
    let request = request.body(Empty::<Bytes>::new()).unwrap();
    let mut body = sender.send_request(request).await.unwrap().into_body();
    let mut text = String::new();
    let mut read_until = async |what: &str, is_so: &dyn Fn(&str) -> bool| {
        while !is_so(&text) {
            let frame = tokio::time::timeout(support::PATIENCE, body.frame()).await;
            let frame = frame.unwrap().unwrap_or_else(|| panic!("ended: {what}"));
            let frame = frame.unwrap_or_else(|error| panic!("{what}: {error}"));
            text += std::str::from_utf8(&frame.into_data().unwrap()).unwrap();
        }
    };
    // Seconds apart: much longer than a connection may be idle.
    let comments = |text: &str| text.lines().filter(|line| line.starts_with(':')).count();
    read_until("signs of life", &|text| 2 <= comments(text)).await;
    router
        .send_tcp(&support::message(&token, "still here"))
        .await;
    read_until("the message", &|text| text.contains("still here")).await;
    router.stop().await;
}
