//! The demo's own end of an HTTP drain: takes whatever comes and answers 200.

use std::convert::Infallible;
use std::net::SocketAddr;

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

/// Listens until it is asked to stop.
pub(crate) struct Receiver {
    address: SocketAddr,
}

impl Receiver {
    /// Listens on a free port of loopback.
    pub(crate) async fn start(shutdown: &Shutdown) -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let group = shutdown.clone();
        shutdown.spawn(async move {
            loop {
                let stream = tokio::select! {
                    () = group.requested() => return,
                    accepted = listener.accept() => accepted, // cancel safe
                };
                // The drain comes back after a failed accept.
                if let Ok((stream, _)) = stream {
                    let asked = group.clone();
                    group.spawn(async move { serve(TokioIo::new(stream), &asked).await });
                }
            }
        });
        Ok(Self { address })
    }

    /// Where the drain is to send.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/drain", self.address)
    }
}

async fn serve(stream: TokioIo<tokio::net::TcpStream>, shutdown: &Shutdown) {
    let answer = service_fn(receive);
    let connection = http1::Builder::new().serve_connection(stream, answer);
    tokio::select! {
        () = shutdown.requested() => {}
        served = connection => if served.is_err() { /* the drain tries again */ },
    }
}

async fn receive(request: Request<Incoming>) -> Result<Response<Empty<Bytes>>, Infallible> {
    let body = Limited::new(request.into_body(), BATCH_BYTES_LIMIT)
        .collect()
        .await;
    let mut answer = Response::new(Empty::new());
    if body.is_err() {
        *answer.status_mut() = StatusCode::BAD_REQUEST;
    }
    Ok(answer)
}
