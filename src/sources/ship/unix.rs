//! Local sockets, as programs find them at `/dev/log`: datagrams, or connections.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::net::{UnixDatagram, UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tracing::{debug, warn};

use crate::limits::{SHIP_CONNECTIONS_MAX, SHIP_DATAGRAM_BYTES_MAX};
use crate::shutdown::Shutdown;
use crate::sources::ship::lines::syslog_line;
use crate::sources::ship::queue::Intake;
use crate::sources::ship::reader::{Reading, WhenFull, now, read_lines_until};

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Something else is there.
    #[error("{} is there already and is no socket", path.display())]
    NoSocket {
        /// Where.
        path: PathBuf,
    },
    /// Another program listens there.
    #[error("another program listens at {}", path.display())]
    Taken {
        /// Where.
        path: PathBuf,
    },
    /// The system said no.
    #[error("cannot listen at {}: {error}", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// What it said.
        error: io::Error,
    },
}

/// A socket's file, removed with it.
struct Name(PathBuf);

impl Name {
    fn set_mode(&self, mode: u32) -> Result<(), SocketError> {
        let permissions = fs::Permissions::from_mode(mode);
        fs::set_permissions(&self.0, permissions).map_err(|error| fault(&self.0, error))
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        if fs::remove_file(&self.0).is_err() { /* somebody else did, or the next start does */ }
    }
}

/// A socket that takes datagrams.
pub struct Datagrams {
    socket: UnixDatagram,
    name: Name,
}

impl Datagrams {
    /// Binds `path`; a socket there that nobody listens at any more is replaced.
    ///
    /// # Errors
    /// `SocketError`: why there is none.
    pub fn bind(path: &Path) -> Result<Self, SocketError> {
        make_way(path, |path| {
            let socket = std::os::unix::net::UnixDatagram::unbound()?;
            socket.connect(path)
        })?;
        let socket = UnixDatagram::bind(path).map_err(|error| fault(path, error))?;
        Ok(Self {
            socket,
            name: Name(path.to_owned()),
        })
    }

    /// Says who may write there: `mode` is that of a file.
    ///
    /// # Errors
    /// `SocketError::Io`.
    pub fn set_mode(&self, mode: u32) -> Result<(), SocketError> {
        self.name.set_mode(mode)
    }

    /// The next datagram. Cancel safe.
    pub(crate) async fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.recv(buffer).await
    }

    /// The next datagram, if it is there.
    pub(crate) fn try_receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.try_recv(buffer)
    }

    /// Takes what comes until `stop` is asked for, then what is there.
    pub async fn run(self, reading: &Reading, intake: &Intake, stop: &Shutdown) {
        let mut buffer = vec![0; SHIP_DATAGRAM_BYTES_MAX];
        loop {
            let received = tokio::select! {
                biased;
                () = stop.requested() => break,
                received = self.socket.recv(&mut buffer) => received,
            };
            match received {
                Ok(count) => give(buffer.get(..count).unwrap_or_default(), reading, intake).await,
                Err(error) => {
                    warn!(%error, "a socket cannot be read");
                    return;
                }
            }
        }
        while let Ok(count) = self.socket.try_recv(&mut buffer) {
            give(buffer.get(..count).unwrap_or_default(), reading, intake).await;
        }
    }
}

async fn give(datagram: &[u8], reading: &Reading, intake: &Intake) {
    let Some(line) = syslog_line(datagram, reading, now().wall) else {
        return;
    };
    match reading.when_full {
        WhenFull::Drop => intake.offer(line),
        WhenFull::Block => intake.push(line).await,
    }
}

/// A socket that takes connections.
pub struct Connections {
    listener: UnixListener,
    name: Name,
}

impl Connections {
    /// Binds `path`; a socket there that nobody listens at any more is replaced.
    ///
    /// # Errors
    /// `SocketError`: why there is none.
    pub fn bind(path: &Path) -> Result<Self, SocketError> {
        make_way(path, |path| {
            std::os::unix::net::UnixStream::connect(path).map(drop)
        })?;
        let listener = UnixListener::bind(path).map_err(|error| fault(path, error))?;
        Ok(Self {
            listener,
            name: Name(path.to_owned()),
        })
    }

    /// Says who may write there: `mode` is that of a file.
    ///
    /// # Errors
    /// `SocketError::Io`.
    pub fn set_mode(&self, mode: u32) -> Result<(), SocketError> {
        self.name.set_mode(mode)
    }

    /// Takes connections until `stop` is asked for; each is read by a task of that group, to its end
    /// or until then. More than `SHIP_CONNECTIONS_MAX` wait.
    pub async fn run(self, reading: &Reading, intake: &Intake, stop: &Shutdown) {
        let room = Arc::new(Semaphore::new(SHIP_CONNECTIONS_MAX));
        loop {
            let accepted = tokio::select! {
                biased;
                () = stop.requested() => return,
                accepted = self.accept(&room) => accepted,
            };
            let (socket, slot) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    warn!(%error, "a socket takes no connections any more");
                    return;
                }
            };
            let (reading, intake, asked) = (reading.clone(), intake.clone(), stop.clone());
            stop.spawn(async move {
                if let Err(error) = read_lines_until(&asked, socket, &reading, &intake).await {
                    debug!(%error, "a local connection broke");
                }
                drop(slot);
            });
        }
    }

    async fn accept(
        &self,
        room: &Arc<Semaphore>,
    ) -> io::Result<(UnixStream, tokio::sync::OwnedSemaphorePermit)> {
        let slot = Arc::clone(room)
            .acquire_owned()
            .await
            .map_err(io::Error::other)?;
        let (socket, _) = self.listener.accept().await?;
        Ok((socket, slot))
    }
}

/// Removes a socket that nobody listens at.
fn make_way(path: &Path, connect: impl Fn(&Path) -> io::Result<()>) -> Result<(), SocketError> {
    let metadata = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(fault(path, error)),
        Ok(metadata) => metadata,
    };
    if !metadata.file_type().is_socket() {
        return Err(SocketError::NoSocket {
            path: path.to_owned(),
        });
    }
    match connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(|error| fault(path, error))
        }
        _ => Err(SocketError::Taken {
            path: path.to_owned(),
        }),
    }
}

fn fault(path: &Path, error: io::Error) -> SocketError {
    SocketError::Io {
        path: path.to_owned(),
        error,
    }
}
