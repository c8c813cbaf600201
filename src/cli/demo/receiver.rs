//! The demo's own end of an HTTP drain: answers 200 and counts messages.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use http_body_util::BodyExt;
use http_body_util::Empty;
use http_body_util::Limited;
use hyper::Request;
use hyper::Response;
use hyper::StatusCode;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use crate::limits::BATCH_BYTES_LIMIT;
use crate::shutdown::Shutdown;

/// Listens and counts until it is asked to stop.
pub(crate) struct Receiver {
    address: SocketAddr,
    messages: Arc<AtomicU64>,
}

impl Receiver {
    /// Listens on a free port of loopback.
    pub(crate) async fn start(shutdown: &Shutdown) -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let messages = Arc::new(AtomicU64::new(0));
        let group = shutdown.clone();
        let counted = Arc::clone(&messages);
        shutdown.spawn(async move {
            loop {
                let stream = tokio::select! {
                    () = group.requested() => return,
                    accepted = listener.accept() => accepted, // cancel safe
                };
                // The drain comes back after a failed accept.
                if let Ok((stream, _)) = stream {
                    let asked = group.clone();
                    let counted = Arc::clone(&counted);
                    group.spawn(async move { serve(TokioIo::new(stream), &asked, counted).await });
                }
            }
        });
        Ok(Self { address, messages })
    }

    /// Where the drain is to send.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/drain", self.address)
    }

    /// Messages received so far.
    pub(crate) fn message_count(&self) -> u64 {
        self.messages.load(Ordering::Relaxed)
    }
}

async fn serve(
    stream: TokioIo<tokio::net::TcpStream>,
    shutdown: &Shutdown,
    counted: Arc<AtomicU64>,
) {
    let answer = service_fn(|request| receive(request, Arc::clone(&counted)));
    let connection = http1::Builder::new().serve_connection(stream, answer);
    tokio::select! {
        () = shutdown.requested() => {}
        served = connection => if served.is_err() { /* the drain tries again */ },
    }
}

async fn receive(
    request: Request<Incoming>,
    counted: Arc<AtomicU64>,
) -> Result<Response<Empty<Bytes>>, Infallible> {
    let body = Limited::new(request.into_body(), BATCH_BYTES_LIMIT)
        .collect()
        .await;
    let mut answer = Response::new(Empty::new());
    match body {
        Ok(body) => {
            counted.fetch_add(frame_count(&body.to_bytes()), Ordering::Relaxed);
        }
        Err(_) => *answer.status_mut() = StatusCode::BAD_REQUEST,
    }
    Ok(answer)
}

/// How many octet-counted frames `body` is made of.
fn frame_count(mut body: &[u8]) -> u64 {
    let mut count = 0;
    while let Some(blank) = body.iter().position(|&byte| byte == b' ') {
        let length = body
            .get(..blank)
            .and_then(|digits| std::str::from_utf8(digits).ok());
        let Some(length) = length.and_then(|digits| digits.parse::<usize>().ok()) else {
            break;
        };
        let Some(rest) = length
            .checked_add(blank + 1)
            .and_then(|end| body.get(end..))
        else {
            break;
        };
        body = rest;
        count += 1;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_counted() {
        for (body, expected) in [
            (&b""[..], 0),
            (b"3 a\nb2 cd", 2),
            (b"3 a\nb9 cd", 1),
            (b"x a", 0),
            (b"18446744073709551615 a", 0),
        ] {
            assert_eq!(frame_count(body), expected, "{body:?}");
        }
    }
}
