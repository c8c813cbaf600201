//! Connections to a database: under a deadline, and encrypted by the same library as everything else.

use std::convert::Infallible;
use std::fs;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::io::ReadBuf;
use tokio::time::timeout;
use tokio_postgres::Client;
use tokio_postgres::tls::ChannelBinding;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::tls::TlsConnect;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::net::trust::Trust;
use crate::net::trust::Trusts;
use crate::shutdown::Shutdown;
use crate::sources::postgres::fault::Fault;
use crate::sources::postgres::url::DatabaseUrl;

/// How long connecting may take, and an answer.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);

/// Connects; the connection's task ends with the client or with the group.
///
/// # Errors
/// `Fault`
pub(crate) async fn connect(
    url: &DatabaseUrl,
    trusts: &Trusts,
    shutdown: &Shutdown,
) -> Result<Client, Fault> {
    let connector = connector(url, trusts).await?;
    let connected = timeout(TIMEOUT, url.config().connect(connector)).await;
    let (client, connection) = match connected {
        Ok(Ok(connected)) => connected,
        Ok(Err(error)) => return Err(Fault::of(url, &error)),
        Err(_) => {
            return Err(Fault::TimedOut {
                place: url.place(),
                timeout: TIMEOUT,
            });
        }
    };
    let asked = shutdown.clone();
    shutdown.spawn(async move {
        tokio::select! {
            () = asked.requested() => {}
            // Whoever asks the client hears of it.
            _ = connection => {}
        }
    });
    Ok(client)
}

async fn connector(url: &DatabaseUrl, trusts: &Trusts) -> Result<Connector, Fault> {
    let ca = match url.ca() {
        None => None,
        Some(path) => {
            let text = fs::read_to_string(path);
            Some(text.map_err(|error| Fault::File {
                path: path.clone(),
                reason: error.to_string(),
            })?)
        }
    };
    let trust = Trust {
        ca: ca.as_deref(),
        is_insecure: !url.verifies(),
        ..Trust::default()
    };
    let config = trusts.config(trust).await?;
    Ok(Connector(config))
}

/// Makes connections secret. Without channel binding: what it would add is had by `verify-full`.
#[derive(Clone)]
struct Connector(Arc<ClientConfig>);

/// A handshake to be made with a server of this name, if there is to be one: what connects over a
/// Unix socket, or without TLS, is asked for the handshake all the same, and never makes it.
struct Handshake {
    config: Arc<ClientConfig>,
    host: String,
}

/// A connection that was made secret.
struct Secured<S>(TlsStream<S>);

impl<S> MakeTlsConnect<S> for Connector
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = Secured<S>;
    type TlsConnect = Handshake;
    type Error = Infallible;

    fn make_tls_connect(&mut self, host: &str) -> Result<Handshake, Infallible> {
        Ok(Handshake {
            config: Arc::clone(&self.0),
            host: host.to_owned(),
        })
    }
}

impl<S> TlsConnect<S> for Handshake
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Stream = Secured<S>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Secured<S>>> + Send>>;

    fn connect(self, stream: S) -> Self::Future {
        let connector = TlsConnector::from(self.config);
        Box::pin(async move {
            let name = ServerName::try_from(self.host).map_err(io::Error::other)?;
            connector.connect(name, stream).await.map(Secured)
        })
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> tokio_postgres::tls::TlsStream for Secured<S> {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Secured<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Secured<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
