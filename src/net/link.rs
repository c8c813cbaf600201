//! A connection to a destination, plain or encrypted, and how long it may live.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use rustls::ProtocolVersion;
use rustls::pki_types::ServerName;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::clock;
use crate::limits::{ACCEPT_WAIT_MAX, CLOSE_WAIT_MAX};
use crate::net::certificate::NotAfter;
use crate::net::connect::{DenyRules, connect_tcp};
use crate::net::outcome::Failure;
use crate::net::trust::{Trust, Trusts, certificate_fault};

/// Where a connection leads. Holds a secret key: no `Debug`.
#[derive(Clone, Copy)]
pub struct Destination<'a> {
    /// Name or address.
    pub host: &'a str,
    /// TCP port.
    pub port: u16,
    /// Which addresses are refused.
    pub rules: DenyRules,
    /// Whom it trusts, when it is encrypted.
    pub trust: Option<Trust<'a>>,
    /// For resolving and connecting together; the TLS handshake has as long again.
    pub connect_timeout: Duration,
    /// Where to note when the peer's certificate ends.
    pub not_after: Option<&'a NotAfter>,
}

/// A byte connection, whatever it runs over.
pub trait Wire: AsyncRead + AsyncWrite + Send + Unpin {
    /// The socket below.
    fn socket(&self) -> &TcpStream;

    /// Whether the peer has shown that it takes us. In TLS 1.3 our side of the handshake ends before
    /// the peer has looked at our certificate, or missed it; session tickets are the first sign.
    fn is_accepted(&self) -> bool;
}

impl Wire for TcpStream {
    fn socket(&self) -> &TcpStream {
        self
    }

    fn is_accepted(&self) -> bool {
        true
    }
}

impl Wire for TlsStream<TcpStream> {
    fn socket(&self) -> &TcpStream {
        self.get_ref().0
    }

    fn is_accepted(&self) -> bool {
        let session = self.get_ref().1;
        session.protocol_version() != Some(ProtocolVersion::TLSv1_3)
            || 0 < session.tls13_tickets_received()
    }
}

/// Connects to the destination, with TLS if it trusts anybody.
///
/// # Errors
/// `Failure`: why there is no connection.
pub async fn open(to: Destination<'_>, trusts: &Trusts) -> Result<Box<dyn Wire>, Failure> {
    // First what needs no network: a bad certificate is told without a connection.
    let config = match to.trust {
        Some(trust) => Some(trusts.config(trust).await?),
        None => None,
    };
    let within = to.connect_timeout;
    let socket = connect_tcp(to.host, to.port, to.rules, within).await?;
    let Some(config) = config else {
        return Ok(Box::new(socket));
    };
    let name = ServerName::try_from(to.host.to_owned()).map_err(|_| Failure::BadName)?;
    match timeout(within, TlsConnector::from(config).connect(name, socket)).await {
        Ok(Ok(stream)) => {
            if let Some(not_after) = to.not_after {
                not_after.note(stream.get_ref().1.peer_certificates());
            }
            Ok(Box::new(stream))
        }
        Ok(Err(error)) => Err(match certificate_fault(&error) {
            Some(fault) => Failure::Certificate(fault),
            None => Failure::Handshake(error),
        }),
        Err(_) => Err(Failure::TimedOut {
            what: "the TLS handshake",
            timeout: within,
        }),
    }
}

/// When a connection was made and last used.
#[derive(Clone, Copy, Debug)]
pub struct Age {
    opened: Instant,
    used: Instant,
}

impl Age {
    /// A connection made now.
    #[must_use]
    pub fn begun_now() -> Self {
        let now = clock::now();
        Self {
            opened: now,
            used: now,
        }
    }

    /// The connection did something just now.
    pub fn touch(&mut self) {
        self.used = clock::now();
    }

    /// When it has to be closed, should nothing more happen.
    #[must_use]
    pub fn ends(&self, idle_max: Duration, age_max: Duration) -> Instant {
        (self.used + idle_max).min(self.opened + age_max)
    }

    /// Whether it has lived long enough, however busy it is.
    #[must_use]
    pub fn is_over(&self, age_max: Duration) -> bool {
        self.opened + age_max <= clock::now()
    }
}

/// How a connection was ended by the peer.
#[derive(Debug)]
pub enum End {
    /// It said that nothing more will come from it.
    Closed,
    /// It, or something on the way, broke it off: not everything written was read.
    Broken(io::Error),
}

/// Waits until the peer ends a connection that it has nothing to say on; what it says is thrown
/// away. Cancel safe.
pub async fn ended_by_peer(wire: &mut dyn Wire) {
    std::future::poll_fn(|cx| {
        loop {
            match poll_discard(wire, cx) {
                Poll::Ready(Some(_)) => return Poll::Ready(()),
                Poll::Ready(None) => {}
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await;
}

/// How the peer has ended the connection, if it has by now, as far as can be known without waiting.
pub async fn ended_already(wire: &mut dyn Wire) -> Option<End> {
    // Asked of the socket itself: the runtime knows only what it saw when it last looked, and a turn
    // that makes it look costs more than all the rest of a small batch.
    let mut byte = [MaybeUninit::uninit()];
    let peeked = SockRef::from(wire.socket()).peek(&mut byte);
    if peeked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock) {
        return None;
    }
    // There is something: after a turn the runtime knows it, too.
    tokio::task::yield_now().await;
    let end = std::future::poll_fn(|cx| {
        for _ in 0..READS_MAX {
            match poll_discard(wire, cx) {
                Poll::Ready(Some(end)) => return Poll::Ready(Some(end)),
                Poll::Ready(None) => {}
                Poll::Pending => return Poll::Ready(None),
            }
        }
        Poll::Ready(None)
    })
    .await?;
    // A reset that follows a close does not show in reads, only here.
    match wire.socket().take_error() {
        Ok(None) => Some(end),
        Ok(Some(error)) | Err(error) => Some(match end {
            End::Closed => End::Broken(error),
            End::Broken(_) => end,
        }),
    }
}

/// Waits until the peer has shown that it takes us or has ended the connection, at most
/// `ACCEPT_WAIT_MAX`: not every peer gives a sign. Says how it ended, if it has.
pub async fn refused(wire: &mut dyn Wire) -> Option<End> {
    let sign = std::future::poll_fn(|cx| {
        loop {
            match poll_discard(wire, cx) {
                Poll::Ready(Some(end)) => return Poll::Ready(Some(end)),
                Poll::Ready(None) => {}
                Poll::Pending if wire.is_accepted() => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            }
        }
    });
    timeout(ACCEPT_WAIT_MAX, sign).await.ok().flatten()
}

/// Ends a connection so that the peer gets all that was written: says that nothing follows, and
/// waits until the peer has closed its side too, at most `CLOSE_WAIT_MAX`. A socket that is closed
/// with something unread in it, such as TLS session tickets, would throw away what is on its way.
pub async fn close(mut wire: Box<dyn Wire>) {
    let closing = async {
        if wire.shutdown().await.is_ok() {
            ended_by_peer(wire.as_mut()).await;
        }
    };
    // Who does not close has at least had the time to read.
    let _in_time = timeout(CLOSE_WAIT_MAX, closing).await.is_ok();
}

/// Reads and forgets; says how it ended at the end or an error.
fn poll_discard(wire: &mut dyn Wire, cx: &mut std::task::Context<'_>) -> Poll<Option<End>> {
    let mut bytes = [0; 256];
    let mut buffer = ReadBuf::new(&mut bytes);
    Pin::new(wire)
        .poll_read(cx, &mut buffer)
        .map(|read| match read {
            Ok(()) => buffer.filled().is_empty().then_some(End::Closed),
            // TLS that ends without saying so is common, and no sign of a loss.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Some(End::Closed),
            Err(error) => Some(End::Broken(error)),
        })
}

/// Reads of chatter before a write; more is left where it is.
const READS_MAX: usize = 16;
