//! The command line's connections to a router, http or https.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::RootCertStore;
use rustls::pki_types::ServerName;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::Url;

use crate::cli::error::CliError;

/// Host and port as a request names them.
pub(crate) fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        None => host.to_owned(),
        Some(port) => format!("{host}:{port}"),
    }
}

/// Both directions of a connection.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Duplex for S {}

/// A connection to the router at `url`.
pub(crate) async fn connect(url: &Url) -> Result<Box<dyn Duplex>, CliError> {
    let host = url.host_str().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let port = url.port_or_known_default().unwrap_or(80);
    let stream = TcpStream::connect((host, port))
        .await
        .map_err(|error| unreachable(url, &error))?;
    if url.scheme() != "https" {
        return Ok(Box::new(stream));
    }
    let name = ServerName::try_from(host.to_owned()).map_err(|error| unreachable(url, &error))?;
    let connector = TlsConnector::from(Arc::new(tls(url)?));
    let stream = connector
        .connect(name, stream)
        .await
        .map_err(|error| unreachable(url, &error))?;
    Ok(Box::new(stream))
}

fn tls(url: &Url) -> Result<ClientConfig, CliError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| unreachable(url, &error))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}

/// What `work` comes to, if it does in time.
pub(crate) async fn in_time<T>(
    url: &Url,
    work: impl Future<Output = Result<T, CliError>>,
) -> Result<T, CliError> {
    match tokio::time::timeout(ANSWER_TIMEOUT, work).await {
        Ok(result) => result,
        Err(_) => Err(CliError::Unreachable {
            url: origin_text(url),
            reason: format!("nothing came within {} s", ANSWER_TIMEOUT.as_secs()),
        }),
    }
}

/// The error with its whole chain of causes: hyper's own texts say little.
pub(crate) fn unreachable(url: &Url, error: &(dyn std::error::Error + 'static)) -> CliError {
    let mut reason = String::new();
    let mut cause = Some(error);
    while let Some(error) = cause {
        let text = error.to_string();
        if !reason.contains(&text) {
            if !reason.is_empty() {
                reason.push_str(": ");
            }
            reason.push_str(&text);
        }
        cause = error.source();
    }
    CliError::Unreachable {
        url: origin_text(url),
        reason,
    }
}

/// The router as people know it.
pub(crate) fn origin_text(url: &Url) -> String {
    format!("{}://{}", url.scheme(), authority(url))
}

/// How long connecting, and an answer after it, may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
