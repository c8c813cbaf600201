//! Receives what a server's syslog destination sends: datagrams on a Unix socket or over UDP.

use std::fs;
use std::fs::Permissions;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::path::PathBuf;

use tokio::net::UdpSocket;
use tokio::time::MissedTickBehavior;
use tokio::time::interval;
use tracing::warn;

use crate::clock;
use crate::limits::DATAGRAM_BYTES_MAX;
use crate::net::listen::ListenError;
use crate::net::listen::bind_udp;
use crate::shutdown::Shutdown;
use crate::sources::outlet::Outlet;
use crate::sources::postgres::logs::Position;
use crate::sources::postgres::logs::warn_of_prefix;
use crate::sources::postgres::syslog::Assembler;
use crate::sources::postgres::syslog::QUIET;
use crate::sources::ship::Datagrams;
use crate::sources::ship::SocketError;

/// A socket that a server's syslog is sent to.
pub enum Receiver {
    /// What syslog(3) sends to: Postgres knows /dev/log only, so the path is that or leads there.
    Unix(Datagrams),
    /// What a syslog daemon forwards to.
    Udp(UdpSocket),
}

/// Why there is no such socket.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// Not at this path.
    #[error(transparent)]
    Unix(#[from] SocketError),
    /// Others may not write there.
    #[error("cannot let others write to {}: {error}", path.display())]
    Permissions {
        /// Which.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// Not at this address.
    #[error(transparent)]
    Udp(#[from] ListenError),
}

impl Receiver {
    /// Listens at a path, where anybody may write, as to /dev/log.
    ///
    /// # Errors
    /// The system's.
    pub fn unix(path: &Path) -> Result<Self, ReceiveError> {
        let socket = Datagrams::bind(path)?;
        let opened = fs::set_permissions(path, Permissions::from_mode(0o666));
        opened.map_err(|error| ReceiveError::Permissions {
            path: path.to_owned(),
            error,
        })?;
        Ok(Self::Unix(socket))
    }

    /// Listens at an address.
    ///
    /// # Errors
    /// The system's.
    pub fn udp(address: SocketAddr) -> Result<Self, ReceiveError> {
        Ok(Self::Udp(bind_udp(address, None)?))
    }

    /// The next datagram. Cancel safe.
    async fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Unix(socket) => socket.receive(buffer).await,
            Self::Udp(socket) => socket.recv(buffer).await,
        }
    }

    /// The next datagram, if it is there.
    fn try_receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Unix(socket) => socket.try_receive(buffer),
            Self::Udp(socket) => socket.try_recv(buffer),
        }
    }
}

/// Takes datagrams until the group is asked to stop. A server is never held up: what finds no room
/// is dropped by whole events, and counted.
pub async fn receive(
    receiver: Receiver,
    name: String,
    outlet: Outlet<Position>,
    shutdown: Shutdown,
) {
    let mut assembler = Assembler::new(name);
    let mut has_warned = false;
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    // Ticks whether or not datagrams come: those of busy processes must not hold back the last
    // event of one that rests.
    let mut ticks = interval(QUIET);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let waits = assembler.is_waiting();
        let ended = tokio::select! {
            () = shutdown.requested() => break,
            received = receiver.receive(&mut buffer) => match received {
                Ok(bytes) => {
                    let datagram = buffer.get(..bytes).unwrap_or_default();
                    assembler.take(datagram, clock::wall(), clock::now())
                }
                Err(error) => {
                    warn!(%error, "cannot receive a datagram");
                    outlet.drop_lines(1);
                    Vec::new()
                }
            },
            _ = ticks.tick(), if waits => assembler.quiet(clock::now()),
        };
        for event in ended {
            if !has_warned && assembler.lacks_state(&event) {
                warn_of_prefix();
                has_warned = true;
            }
            outlet.offer(event);
        }
    }
    while let Ok(bytes) = receiver.try_receive(&mut buffer) {
        let datagram = buffer.get(..bytes).unwrap_or_default();
        for event in assembler.take(datagram, clock::wall(), clock::now()) {
            outlet.offer(event);
        }
    }
    for event in assembler.end() {
        outlet.offer(event);
    }
}
