//! Everything by which messages come in, from outside: the real binary over real sockets.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    reason = "tests stop at a surprise"
)]

#[path = "../support/mod.rs"]
mod support;

mod bound;
mod http;
mod idle;
mod limits;
mod running;
mod secrets;
mod syslog;
mod tls;
mod transcripts;

use std::net::SocketAddr;

use support::Router;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// `COUNT FRAME`.
fn counted(frame: &str) -> String {
    format!("{} {frame}", frame.len())
}

/// A counted frame for `token` with an ordinary header and `text`.
fn framed(token: &str, text: &str) -> String {
    counted(&support::message(token, text))
}

/// Sends `bytes` on one connection and waits until the router has read all and closed it.
async fn send(to: SocketAddr, bytes: &[u8]) {
    let mut socket = TcpStream::connect(to).await.unwrap();
    socket.write_all(bytes).await.unwrap();
    socket.shutdown().await.unwrap();
    let mut rest = Vec::new();
    socket.read_to_end(&mut rest).await.unwrap();
}

/// What the lines of a history say behind `TIME SOURCE[PROC]: `.
async fn texts(router: &Router, channel: &str) -> Vec<String> {
    let lines = router.history(channel, 10_000).await;
    let text = |line: &String| {
        let (_, text) = line.split_once("]: ").unwrap_or(("", line));
        text.to_owned()
    };
    lines.iter().map(text).collect()
}

/// `POST /logs` as `token`.
async fn post(
    router: &Router,
    token: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> support::http::Answer {
    let authorization = support::http::basic(&format!("token:{token}"));
    let mut all = vec![
        ("Authorization", authorization.as_str()),
        ("Content-Type", "application/logplex-1"),
    ];
    all.extend_from_slice(headers);
    support::http::request(router.http, "POST", "/logs", &all, body).await
}
