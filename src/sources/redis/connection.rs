//! A connection to a Redis server: a command out, its reply in, each under a deadline.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWrite;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::net::connect::ConnectError;
use crate::net::connect::DenyRules;
use crate::net::connect::connect_tcp;
use crate::net::trust::Trust;
use crate::net::trust::TrustError;
use crate::net::trust::Trusts;
use crate::net::trust::certificate_fault;
use crate::sources::redis::resp;
use crate::sources::redis::resp::Reply;
use crate::sources::redis::resp::RespError;
use crate::sources::redis::url::Place;
use crate::sources::redis::url::RedisUrl;
use crate::sources::redis::url::Tls;

/// Why a server does not do as it is asked.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// Nothing answers there.
    #[error("no answer from {place}: {reason}; is the server running, and does it listen there?")]
    Unreachable {
        /// Where.
        place: String,
        /// What the system said.
        reason: String,
    },
    /// It answers too slowly.
    #[error("{place} does not answer within {} s", TIMEOUT.as_secs())]
    TimedOut {
        /// Where.
        place: String,
    },
    /// There is no encrypted connection, or none that can be trusted.
    #[error("no TLS with {place}: {reason}; give --ca FILE, or end the URL in #insecure")]
    Tls {
        /// Where.
        place: String,
        /// Why.
        reason: String,
    },
    /// TLS cannot be set up.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The connection broke.
    #[error("lost {place}: {reason}")]
    Lost {
        /// Where.
        place: String,
        /// What happened.
        reason: String,
    },
    /// What answers is no Redis.
    #[error("{place}: {error}; is it a Redis server, and is TLS right (redis:// or rediss://)?")]
    Foreign {
        /// Where.
        place: String,
        /// What is wrong with its answer.
        error: RespError,
    },
    /// It wants a password, and none was given.
    #[error("{place} wants a password; give one in the URL, redis://:PASSWORD@HOST:PORT")]
    NoPassword {
        /// Where.
        place: String,
    },
    /// The password is wrong.
    #[error("{place} does not take the password of {user:?}; give the right one in the URL")]
    Password {
        /// Where.
        place: String,
        /// Who asks.
        user: String,
    },
    /// The user may not ask this.
    #[error(
        "{user:?} lacks a right on {place}: {reason}; there: ACL SETUSER {user} +info +slowlog|get"
    )]
    NotPermitted {
        /// Where.
        place: String,
        /// Who asks.
        user: String,
        /// What the server said.
        reason: String,
    },
    /// It reads its file, and answers later.
    #[error("{place} is not ready: {reason}")]
    NotReady {
        /// Where.
        place: String,
        /// What the server said.
        reason: String,
    },
    /// It said no for another reason, or what nobody understands.
    #[error("{place} says: {reason}")]
    Refused {
        /// Where.
        place: String,
        /// What it said.
        reason: String,
    },
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// An open connection, on which the server knows who asks.
pub struct Connection {
    stream: Box<dyn Stream>,
    buffer: Vec<u8>,
    place: String,
    user: String,
}

impl Connection {
    /// Connects and says who asks. `ca` is PEM: certificates trusted instead of the system's.
    ///
    /// # Errors
    /// `Fault`
    pub async fn open(url: &RedisUrl, ca: Option<&str>, trusts: &Trusts) -> Result<Self, Fault> {
        let place = url.shown();
        let opened = timeout(TIMEOUT, stream(url, ca, trusts)).await;
        let stream = opened.map_err(|_| Fault::TimedOut {
            place: place.clone(),
        })??;
        let mut connection = Self {
            stream,
            buffer: Vec::new(),
            place,
            user: url.user().unwrap_or("default").to_owned(),
        };
        if let Some(password) = url.password() {
            let words = match url.user() {
                Some(user) => vec!["AUTH", user, password.expose()],
                None => vec!["AUTH", password.expose()],
            };
            connection.ask(&words).await?;
        }
        Ok(connection)
    }

    /// The reply to a command.
    ///
    /// # Errors
    /// `Fault`; after any but `NotPermitted` and `Refused` the connection is of no use.
    pub async fn ask(&mut self, words: &[&str]) -> Result<Reply, Fault> {
        let asked = timeout(TIMEOUT, self.exchange(words)).await;
        match asked {
            Ok(Ok(Reply::Error(said))) => Err(self.refusal(said)),
            Ok(reply) => reply,
            Err(_) => Err(Fault::TimedOut {
                place: self.place.clone(),
            }),
        }
    }

    async fn exchange(&mut self, words: &[&str]) -> Result<Reply, Fault> {
        let place = self.place.clone();
        let lost = |error: io::Error| Fault::Lost {
            place: place.clone(),
            reason: error.to_string(),
        };
        let command = resp::command(words);
        self.stream.write_all(&command).await.map_err(lost)?;
        self.stream.flush().await.map_err(lost)?;
        loop {
            let parsed = resp::parse(&self.buffer).map_err(|error| Fault::Foreign {
                place: place.clone(),
                error,
            })?;
            if let Some((reply, used)) = parsed {
                self.buffer.drain(..used);
                return Ok(reply);
            }
            let read = self.stream.read_buf(&mut self.buffer).await.map_err(lost)?;
            if read == 0 {
                return Err(lost(io::Error::other("the server closed the connection")));
            }
        }
    }

    /// What an error reply means: its first word says.
    fn refusal(&self, reason: String) -> Fault {
        let place = self.place.clone();
        let user = self.user.clone();
        match reason.split(' ').next().unwrap_or_default() {
            "NOAUTH" => Fault::NoPassword { place },
            "WRONGPASS" => Fault::Password { place, user },
            "NOPERM" => Fault::NotPermitted {
                place,
                user,
                reason,
            },
            "LOADING" | "MASTERDOWN" | "BUSY" => Fault::NotReady { place, reason },
            // Before version 6.
            "ERR" if reason.contains("invalid password") => Fault::Password { place, user },
            _ => Fault::Refused { place, reason },
        }
    }
}

async fn stream(
    url: &RedisUrl,
    ca: Option<&str>,
    trusts: &Trusts,
) -> Result<Box<dyn Stream>, Fault> {
    let place = url.shown();
    let unreachable = |error: io::Error| Fault::Unreachable {
        place: place.clone(),
        reason: error.to_string(),
    };
    let (host, port, tls) = match url.place() {
        Place::Unix(path) => {
            let stream = UnixStream::connect(path).await;
            return Ok(Box::new(stream.map_err(unreachable)?));
        }
        Place::Tcp { host, port, tls } => (host, *port, *tls),
    };
    let connected = connect_tcp(host, port, DenyRules::default(), TIMEOUT).await;
    let tcp = connected.map_err(|error| Fault::Unreachable {
        place: place.clone(),
        reason: match error {
            ConnectError::Io { error, .. } => error.to_string(),
            error => error.to_string(),
        },
    })?;
    if tls == Tls::None {
        return Ok(Box::new(tcp));
    }
    let trust = Trust {
        ca,
        is_insecure: tls == Tls::Insecure,
        ..Trust::default()
    };
    let connector = TlsConnector::from(Arc::clone(&trusts.config(trust).await?));
    let refused = |reason: String| Fault::Tls {
        place: place.clone(),
        reason,
    };
    let name = ServerName::try_from(host.clone()).map_err(|error| refused(error.to_string()))?;
    let secured = connector.connect(name, tcp).await;
    let secured = secured
        .map_err(|error| refused(certificate_fault(&error).unwrap_or_else(|| error.to_string())))?;
    Ok(Box::new(secured))
}

/// How long connecting may take, and an answer.
const TIMEOUT: Duration = Duration::from_secs(10);
