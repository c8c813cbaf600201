//! Listening sockets: how they are set up, how many connections they hold at once, and what
//! happens when accepting fails.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use metrics::Gauge;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tracing::warn;

use crate::clock;
use crate::telemetry::InputCounters;

/// How a listener and the connections that it accepts are set up.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ListenSettings {
    /// Connections open at once; one more is accepted and closed at once.
    pub connections_max: usize,
    /// Connections that wait to be accepted.
    pub backlog: i32,
    /// SO_RCVBUF; `None` leaves the system's.
    pub receive_buffer_bytes: Option<usize>,
    /// SO_SNDBUF; `None` leaves the system's.
    pub send_buffer_bytes: Option<usize>,
    /// Idle time before TCP keepalive probes; `None` sends none.
    pub keepalive: Option<Duration>,
    /// Whether small writes go out at once (TCP_NODELAY).
    pub has_nodelay: bool,
}

impl Default for ListenSettings {
    fn default() -> Self {
        Self {
            connections_max: 10_000,
            backlog: 1_024,
            receive_buffer_bytes: None,
            send_buffer_bytes: None,
            keepalive: Some(Duration::from_secs(60)),
            has_nodelay: false,
        }
    }
}

/// Why a socket does not listen.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {cause}")]
pub struct ListenError {
    /// The address asked for.
    pub address: SocketAddr,
    /// What the system said.
    #[source]
    pub cause: io::Error,
}

/// A TCP listener with a bounded number of connections.
pub struct Listener {
    tcp: TcpListener,
    address: SocketAddr,
    settings: ListenSettings,
    slots: Arc<Semaphore>,
    counters: InputCounters,
    retry_delay: Duration,
    refusal_told: Option<Instant>,
}

/// An accepted connection, and its place among those open at once.
pub struct Accepted {
    /// The connection.
    pub stream: TcpStream,
    /// Who is at its other end.
    pub peer: SocketAddr,
    /// To be kept as long as the connection is.
    pub slot: ConnectionSlot,
}

/// A place among the open connections; it is free again when this is dropped.
pub struct ConnectionSlot {
    open: Gauge,
    _permit: OwnedSemaphorePermit,
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.open.decrement(1.0);
    }
}

impl Listener {
    /// Listens on `address`; port 0 takes a free one. Needs a Tokio runtime around it.
    ///
    /// # Errors
    /// `ListenError` when the address cannot be had.
    pub fn bind(
        address: SocketAddr,
        settings: ListenSettings,
        counters: InputCounters,
    ) -> Result<Self, ListenError> {
        let failed = |cause| ListenError { address, cause };
        let tcp = bind_tcp(address, &settings).map_err(failed)?;
        let address = tcp.local_addr().map_err(failed)?;
        let slots = settings.connections_max.min(Semaphore::MAX_PERMITS);
        Ok(Self {
            tcp,
            address,
            slots: Arc::new(Semaphore::new(slots)),
            settings,
            counters,
            retry_delay: RETRY_DELAY_MIN,
            refusal_told: None,
        })
    }

    /// The address listened on, with the port that was taken.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next connection. Connections above the limit are closed at once and counted; when
    /// accepting fails (no file handles left, say) it is tried again after a growing delay.
    ///
    /// Cancel safe: a connection is either still waiting or returned.
    pub async fn accept(&mut self) -> Accepted {
        loop {
            match self.tcp.accept().await {
                Ok((stream, peer)) => {
                    self.retry_delay = RETRY_DELAY_MIN;
                    if let Some(slot) = self.take_slot() {
                        self.set_up(&stream);
                        return Accepted { stream, peer, slot };
                    }
                    self.count_refusal();
                }
                // The peer left before it was accepted: says nothing about the listener.
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    warn!(address = %self.address, %error, "cannot accept connections");
                    tokio::time::sleep(self.retry_delay).await;
                    self.retry_delay = (self.retry_delay * 2).min(RETRY_DELAY_MAX);
                }
            }
        }
    }

    fn take_slot(&self) -> Option<ConnectionSlot> {
        let permit = Arc::clone(&self.slots).try_acquire_owned().ok()?;
        self.counters.connections.increment(1);
        self.counters.open.increment(1.0);
        Some(ConnectionSlot {
            open: self.counters.open.clone(),
            _permit: permit,
        })
    }

    fn count_refusal(&mut self) {
        self.counters.refused.increment(1);
        let now = clock::now();
        let is_told = self
            .refusal_told
            .is_some_and(|told| now.saturating_duration_since(told) < REFUSAL_WARN_INTERVAL);
        if !is_told {
            self.refusal_told = Some(now);
            warn!(
                address = %self.address,
                connections_max = self.settings.connections_max,
                "connections refused: the limit is met"
            );
        }
    }

    fn set_up(&self, stream: &TcpStream) {
        let keepalive = self.settings.keepalive.map_or(Ok(()), |time| {
            SockRef::from(stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(time))
        });
        let nodelay = if self.settings.has_nodelay {
            stream.set_nodelay(true)
        } else {
            Ok(())
        };
        if keepalive.and(nodelay).is_err() {
            // The peer has already left: reading will say so.
        }
    }
}

/// A UDP socket on `address`; port 0 takes a free one. Needs a Tokio runtime around it.
///
/// # Errors
/// `ListenError` when the address cannot be had.
pub fn bind_udp(
    address: SocketAddr,
    receive_buffer_bytes: Option<usize>,
) -> Result<UdpSocket, ListenError> {
    let bind = || {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::DGRAM,
            Some(Protocol::UDP),
        )?;
        if let Some(bytes) = receive_buffer_bytes {
            socket.set_recv_buffer_size(bytes)?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        UdpSocket::from_std(socket.into())
    };
    bind().map_err(|cause| ListenError { address, cause })
}

fn bind_tcp(address: SocketAddr, settings: &ListenSettings) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    // A restart finds the port free although old connections are still in TIME_WAIT.
    socket.set_reuse_address(true)?;
    // Set before listening: accepted connections inherit them, and the window scale depends on it.
    if let Some(bytes) = settings.receive_buffer_bytes {
        socket.set_recv_buffer_size(bytes)?;
    }
    if let Some(bytes) = settings.send_buffer_bytes {
        socket.set_send_buffer_size(bytes)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(settings.backlog)?;
    TcpListener::from_std(socket.into())
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

/// First delay after accepting failed.
const RETRY_DELAY_MIN: Duration = Duration::from_millis(10);

/// Longest delay after accepting failed again and again.
const RETRY_DELAY_MAX: Duration = Duration::from_secs(1);

/// Shortest time between two log lines about refused connections.
const REFUSAL_WARN_INTERVAL: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;
    use crate::telemetry::{Input, Telemetry};

    #[tokio::test]
    async fn above_the_limit_a_connection_is_closed_and_counted() {
        let telemetry = Telemetry::new().unwrap();
        let settings = ListenSettings {
            connections_max: 1,
            ..ListenSettings::default()
        };
        let counters = telemetry.input(Input::Tcp).clone();
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut listener = Listener::bind(any, settings, counters).unwrap();
        let address = listener.address();
        assert_ne!(address.port(), 0);

        let _first = TcpStream::connect(address).await.unwrap();
        let accepted = listener.accept().await;
        let mut second = TcpStream::connect(address).await.unwrap();
        let mut byte = [0];
        tokio::select! {
            _ = listener.accept() => panic!("the limit is 1"),
            read = second.read(&mut byte) => assert!(matches!(read, Ok(0) | Err(_))),
        }
        drop(accepted);
        let _third = TcpStream::connect(address).await.unwrap();
        let _accepted = listener.accept().await;
        let text = telemetry.render();
        assert!(
            text.contains("logboom_connections_refused_total{input=\"tcp\"} 1"),
            "{text}"
        );
        assert!(
            text.contains("logboom_connections_open{input=\"tcp\"} 1"),
            "{text}"
        );
    }

    #[tokio::test]
    async fn a_taken_address_is_an_error_that_names_it() {
        let telemetry = Telemetry::new().unwrap();
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let bind = |address| {
            let counters = telemetry.input(Input::Tcp).clone();
            Listener::bind(address, ListenSettings::default(), counters)
        };
        let first = bind(any).unwrap();
        let error = bind(first.address()).err().unwrap();
        assert!(error.to_string().contains(&first.address().to_string()));
    }
}
