//! A connection to a destination, plain or encrypted, and how long it may live.

use std::pin::Pin;
use std::task::Poll;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

use crate::clock;
use crate::egress::drain::DrainSettings;
use crate::egress::drain::outcome::Failure;
use crate::egress::drain::plan::Plan;
use crate::net::connect::connect_tcp;
use crate::net::trust::{Trusts, certificate_fault};

/// A byte connection, whatever it runs over.
pub(crate) trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// Connects to `plan`'s destination, with TLS if its scheme says so.
pub(crate) async fn open(
    plan: &Plan,
    settings: &DrainSettings,
    trusts: &Trusts,
) -> Result<Box<dyn Wire>, Failure> {
    // First what needs no network: a bad certificate is told without a connection.
    let config = if plan.has_tls() {
        Some(trusts.config(plan.trust()).await?)
    } else {
        None
    };
    let host = plan.url.host();
    let within = settings.connect_timeout;
    let socket = connect_tcp(host, plan.url.port(), settings.deny_rules(), within).await?;
    let Some(config) = config else {
        return Ok(Box::new(socket));
    };
    let name = ServerName::try_from(host.to_owned()).map_err(|_| Failure::BadName)?;
    match timeout(within, TlsConnector::from(config).connect(name, socket)).await {
        Ok(Ok(stream)) => Ok(Box::new(stream)),
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
pub(crate) struct Age {
    opened: Instant,
    used: Instant,
}

impl Age {
    /// A connection made now.
    pub(crate) fn new() -> Self {
        let now = clock::now();
        Self {
            opened: now,
            used: now,
        }
    }

    /// The connection did something just now.
    pub(crate) fn touch(&mut self) {
        self.used = clock::now();
    }

    /// When it has to be closed, should nothing more happen.
    pub(crate) fn ends(&self, idle_max: std::time::Duration, settings: &DrainSettings) -> Instant {
        (self.used + idle_max).min(self.opened + settings.connection_age_max)
    }
}

/// Waits until the peer ends a connection that it has nothing to say on; what it says is thrown
/// away. Cancel safe.
pub(crate) async fn ended_by_peer(wire: &mut dyn Wire) {
    std::future::poll_fn(|cx| {
        loop {
            match poll_discard(wire, cx) {
                Poll::Ready(true) => return Poll::Ready(()),
                Poll::Ready(false) => {}
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await;
}

/// Whether the peer has ended the connection by now, as far as can be known without waiting.
pub(crate) async fn has_ended(wire: &mut dyn Wire) -> bool {
    std::future::poll_fn(|cx| {
        for _ in 0..READS_MAX {
            match poll_discard(wire, cx) {
                Poll::Ready(true) => return Poll::Ready(true),
                Poll::Ready(false) => {}
                Poll::Pending => return Poll::Ready(false),
            }
        }
        Poll::Ready(false)
    })
    .await
}

/// Reads and forgets; `true` at the end or an error.
fn poll_discard(wire: &mut dyn Wire, cx: &mut std::task::Context<'_>) -> Poll<bool> {
    let mut bytes = [0; 256];
    let mut buffer = ReadBuf::new(&mut bytes);
    Pin::new(wire)
        .poll_read(cx, &mut buffer)
        .map(|read| read.is_err() || buffer.filled().is_empty())
}

/// Reads of chatter before a write; more is left where it is.
const READS_MAX: usize = 16;
