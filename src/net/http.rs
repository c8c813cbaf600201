//! Serves HTTP/1.1 and HTTP/2 on one listener, with or without TLS.
//!
//! The protocol is told by ALPN, or without TLS by the first bytes (HTTP/2 with prior knowledge
//! begins with a fixed preface; RFC 9113, 3.4), which are read here so that they have a deadline.

use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tower_service::Service;
use tracing::debug;

use crate::clock;
use crate::limits::HTTP_HEAD_BYTES_MAX;
use crate::net::listen::{Accepted, Listener};
use crate::net::requests::{OpenRequest, Requests};
use crate::net::tls::TlsServer;
use crate::shutdown::Shutdown;
use crate::telemetry::Telemetry;

/// Deadlines and bounds of HTTP connections.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HttpSettings {
    /// For a request's head, from the end of the request before it: also how long a connection
    /// may be idle between requests. An HTTP/2 connection may be so long without a request,
    /// whatever else it says.
    pub head_timeout: Duration,
    /// For a TLS handshake.
    pub handshake_timeout: Duration,
    /// Requests at once on one HTTP/2 connection.
    pub streams_max: u32,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            head_timeout: Duration::from_secs(75),
            handshake_timeout: Duration::from_secs(10),
            streams_max: 256,
        }
    }
}

/// Who sent a request: an extension of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Peer(pub SocketAddr);

/// What every connection of one listener shares.
struct Server {
    tls: Option<Arc<TlsServer>>,
    router: Router,
    settings: HttpSettings,
    telemetry: Telemetry,
}

/// The two steps in which an HTTP listener ends.
#[derive(Clone, Debug, Default)]
pub struct HttpEnds {
    /// First: idle connections are closed and requests under way may end; their tasks belong here.
    /// Who connects from now on is still answered: whoever watches the router's health has to hear
    /// that it ends, and `router` says so.
    pub requests: Shutdown,
    /// Then no connection is accepted any more. Tasks of connections that came after the first
    /// step belong here.
    pub listening: Shutdown,
}

/// Serves `router` on `listener` until `ends.listening`.
pub async fn serve_http(
    mut listener: Listener,
    tls: Option<Arc<TlsServer>>,
    router: Router,
    settings: HttpSettings,
    ends: HttpEnds,
    telemetry: Telemetry,
) {
    let server = Arc::new(Server {
        tls,
        router,
        settings,
        telemetry,
    });
    loop {
        let accepted = tokio::select! {
            () = ends.listening.requested() => return,
            accepted = listener.accept() => accepted,
        };
        let server = Arc::clone(&server);
        let end = if ends.requests.is_requested() {
            &ends.listening
        } else {
            &ends.requests
        };
        let asked = end.clone();
        end.spawn(async move { server.serve(accepted, &asked).await });
    }
}

/// Which protocol a connection speaks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Version {
    One,
    Two,
}

impl Server {
    async fn serve(self: Arc<Self>, accepted: Accepted, end: &Shutdown) {
        let Accepted {
            stream,
            peer,
            slot: _slot,
        } = accepted;
        let Some(tls) = &self.tls else {
            let sniff = tokio::time::timeout(self.settings.head_timeout, sniff(stream));
            let sniffed = tokio::select! {
                () = end.requested() => return,
                sniffed = sniff => sniffed,
            };
            if let Ok(Ok((stream, version))) = sniffed {
                self.converse(stream, version, peer, end).await;
            }
            return;
        };
        let handshake = tls.accept(stream, self.settings.handshake_timeout);
        let shaken = tokio::select! {
            () = end.requested() => return,
            shaken = handshake => shaken,
        };
        match shaken {
            Ok(stream) => {
                let version = match stream.get_ref().1.alpn_protocol() {
                    Some(b"h2") => Version::Two,
                    _ => Version::One,
                };
                self.converse(stream, version, peer, end).await;
            }
            Err(error) => debug!(%peer, %error, "HTTP connection ended"),
        }
    }

    async fn converse<S>(
        self: &Arc<Self>,
        stream: S,
        version: Version,
        peer: SocketAddr,
        end: &Shutdown,
    ) where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let server = Arc::clone(self);
        let requests = Requests::default();
        let counted = requests.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let server = Arc::clone(&server);
            // HTTP/1.1 has a deadline for the next head instead.
            let open = (version == Version::Two).then(|| counted.enter());
            async move { server.answer(request, peer, open).await }
        });
        let builder = self.builder(version);
        let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
        let idle_max = self.settings.head_timeout;
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = end.requested() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
            () = requests.idle_for(idle_max), if version == Version::Two => {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    ended = connection => ended,
                    // It heeds no farewell.
                    () = requests.idle_for(idle_max) => return,
                }
            }
        };
        if let Err(error) = ended {
            debug!(%peer, %error, "HTTP connection ended");
        }
    }

    async fn answer(
        &self,
        request: Request<Incoming>,
        peer: SocketAddr,
        open: Option<OpenRequest>,
    ) -> Result<Response, std::convert::Infallible> {
        let begun = clock::now();
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Peer(peer));
        let mut router = self.router.clone();
        let answer = Service::call(&mut router, request).await;
        let seconds = clock::now().saturating_duration_since(begun).as_secs_f64();
        self.telemetry.http_request_seconds.record(seconds);
        match open {
            Some(open) => answer.map(|answer| open.until_end_of(answer)),
            None => answer,
        }
    }

    fn builder(&self, version: Version) -> auto::Builder<Executor> {
        let mut builder = auto::Builder::new(Executor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .keep_alive(true)
            .header_read_timeout(self.settings.head_timeout)
            .max_buf_size(HTTP_HEAD_BYTES_MAX);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(self.settings.streams_max)
            .max_header_list_size(u32::try_from(HTTP_HEAD_BYTES_MAX).unwrap_or(u32::MAX))
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_INTERVAL);
        match version {
            Version::One => builder.http1_only(),
            Version::Two => builder.http2_only(),
        }
    }
}

/// Hyper runs a task of its own for HTTP/2 connections' streams; they end with the connection.
type Executor = TokioExecutor;

/// Reads until it is clear which protocol `stream` begins with; what was read is read again.
async fn sniff<S>(mut stream: S) -> io::Result<(Prefixed<S>, Version)>
where
    S: AsyncRead + Unpin,
{
    let mut prefix = Vec::with_capacity(PREFACE.len());
    while PREFACE.starts_with(&prefix) && prefix.len() < PREFACE.len() {
        let missing = PREFACE.len() - prefix.len();
        let missing = u64::try_from(missing).unwrap_or_default();
        if (&mut stream).take(missing).read_buf(&mut prefix).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let version = if prefix == PREFACE {
        Version::Two
    } else {
        Version::One
    };
    let prefixed = Prefixed {
        prefix,
        used: 0,
        stream,
    };
    Ok((prefixed, version))
}

/// A stream with bytes in front of it that were already read.
struct Prefixed<S> {
    prefix: Vec<u8>,
    used: usize,
    stream: S,
}

impl<S: AsyncRead + Unpin> AsyncRead for Prefixed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let left = this.prefix.get(this.used..).unwrap_or_default();
        if left.is_empty() {
            return Pin::new(&mut this.stream).poll_read(context, buffer);
        }
        let count = left.len().min(buffer.remaining());
        buffer.put_slice(left.get(..count).unwrap_or_default());
        this.used += count;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Prefixed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

/// What an HTTP/2 client says first (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What one stream may send before it is read: a whole batch of most senders.
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;

/// What one connection may send before it is read, over all its streams.
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;

/// How often a quiet HTTP/2 connection is asked whether it is still there, and how long it has
/// to answer.
const PING_INTERVAL: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    #[tokio::test]
    async fn the_protocol_is_told_by_the_first_bytes_and_they_are_kept() {
        for (sent, expected) in [
            (&b"POST /logs HTTP/1.1\r\n"[..], Version::One),
            (b"PUT / HTTP/1.1\r\n", Version::One),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nrest", Version::Two),
        ] {
            let (mut far, near) = tokio::io::duplex(64);
            far.write_all(sent).await.unwrap();
            drop(far);
            let (mut stream, version) = sniff(near).await.unwrap();
            assert_eq!(version, expected);
            let mut read = Vec::new();
            stream.read_to_end(&mut read).await.unwrap();
            assert_eq!(read, sent);
        }
        let (mut far, near) = tokio::io::duplex(64);
        far.write_all(b"PRI * HT").await.unwrap();
        drop(far);
        assert!(sniff(near).await.is_err());
    }
}
