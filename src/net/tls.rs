//! The server's side of TLS: certificates from files, read again on request without a gap.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::RootCertStore;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::clock::UnixMicros;
use crate::net::certificate::NotAfter;

/// Where a listener's certificate is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TlsFiles {
    /// PEM: the certificate, then the chain above it.
    pub certificate: PathBuf,
    /// PEM: its private key.
    pub key: PathBuf,
    /// PEM: who must have signed clients' certificates; `None` asks clients for none.
    pub client_ca: Option<PathBuf>,
}

/// Which protocols are offered inside TLS (RFC 7301).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Alpn {
    /// None: syslog (RFC 5425).
    None,
    /// `h2`, then `http/1.1`.
    Http,
}

/// Why certificates were not taken.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {}: {cause}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// A file holds no PEM of the kind that it should.
    #[error("{} holds no usable {what} in PEM: {cause}", path.display())]
    BadPem {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        what: &'static str,
        /// What is wrong.
        cause: String,
    },
    /// The certificate and the key do not make a server.
    #[error("certificate {} is refused: {cause}", path.display())]
    Refused {
        /// The certificate's file.
        path: PathBuf,
        /// What is wrong.
        cause: String,
    },
}

/// Why a handshake failed.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// It was not done in time.
    #[error("no TLS handshake within {0:?}")]
    TooSlow(Duration),
    /// The peer broke it off, or speaks no TLS that we do.
    #[error("TLS handshake failed: {0}")]
    Failed(#[from] io::Error),
}

/// A TLS server whose certificates can be changed while connections stay.
pub struct TlsServer {
    files: TlsFiles,
    alpn: Alpn,
    config: ArcSwap<ServerConfig>,
    not_after: NotAfter,
}

impl TlsServer {
    /// Reads the files.
    ///
    /// # Errors
    /// `TlsError`, which names the file at fault.
    pub fn load(files: TlsFiles, alpn: Alpn) -> Result<Self, TlsError> {
        let chain = certificates(&files.certificate)?;
        let config = ArcSwap::from_pointee(server_config(&files, &chain, alpn)?);
        let not_after = NotAfter::default();
        not_after.note(Some(&chain));
        Ok(Self {
            files,
            alpn,
            config,
            not_after,
        })
    }

    /// When its certificate ends.
    #[must_use]
    pub fn not_after(&self) -> Option<UnixMicros> {
        self.not_after.time()
    }

    /// Reads the files again, without effect yet. Blocks on the disk.
    ///
    /// # Errors
    /// `TlsError`, which names the file at fault.
    pub fn read_again(&self) -> Result<Renewed<'_>, TlsError> {
        let chain = certificates(&self.files.certificate)?;
        Ok(Renewed {
            server: self,
            config: Arc::new(server_config(&self.files, &chain, self.alpn)?),
            chain,
        })
    }

    /// Does the handshake on `stream`.
    ///
    /// # Errors
    /// `HandshakeError` when it fails or is not done before `deadline` has passed.
    pub async fn accept<S>(
        &self,
        stream: S,
        deadline: Duration,
    ) -> Result<TlsStream<S>, HandshakeError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let acceptor = TlsAcceptor::from(self.config.load_full());
        match tokio::time::timeout(deadline, acceptor.accept(stream)).await {
            Ok(accepted) => Ok(accepted?),
            Err(_elapsed) => Err(HandshakeError::TooSlow(deadline)),
        }
    }
}

/// What a server's files hold now, not yet in force.
pub struct Renewed<'a> {
    server: &'a TlsServer,
    config: Arc<ServerConfig>,
    chain: Vec<CertificateDer<'static>>,
}

impl Renewed<'_> {
    /// New connections get it from now on.
    pub fn put_in_force(self) {
        self.server.config.store(self.config);
        self.server.not_after.note(Some(&self.chain));
    }
}

fn server_config(
    files: &TlsFiles,
    chain: &[CertificateDer<'static>],
    alpn: Alpn,
) -> Result<ServerConfig, TlsError> {
    let refused = |cause: String| TlsError::Refused {
        path: files.certificate.clone(),
        cause,
    };
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| refused(error.to_string()))?;
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots(path)?), provider)
                    .build()
                    .map_err(|error| bad_pem(path, "CA certificate", &error))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let key = PrivateKeyDer::from_pem_slice(&read(&files.key)?)
        .map_err(|error| bad_pem(&files.key, "private key", &error))?;
    let mut config = builder
        .with_single_cert(chain.to_vec(), key)
        .map_err(|error| refused(error.to_string()))?;
    config.alpn_protocols = match alpn {
        Alpn::None => Vec::new(),
        Alpn::Http => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
    };
    Ok(config)
}

fn roots(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots
            .add(certificate)
            .map_err(|error| bad_pem(path, "CA certificate", &error))?;
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found = CertificateDer::pem_slice_iter(&read(path)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| bad_pem(path, "certificate", &error))?;
    if found.is_empty() {
        return Err(bad_pem(path, "certificate", &"there is none"));
    }
    Ok(found)
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|cause| TlsError::Unreadable {
        path: path.to_owned(),
        cause,
    })
}

fn bad_pem(path: &Path, what: &'static str, cause: &dyn std::fmt::Display) -> TlsError {
    TlsError::BadPem {
        path: path.to_owned(),
        what,
        cause: cause.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write_pair(folder: &Path, name: &str) -> TlsFiles {
        let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
        let files = TlsFiles {
            certificate: folder.join("cert.pem"),
            key: folder.join("key.pem"),
            client_ca: None,
        };
        fs::write(&files.certificate, made.cert.pem()).unwrap();
        fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
        files
    }

    #[test]
    fn what_is_wrong_names_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let files = write_pair(folder.path(), "localhost");
        assert!(TlsServer::load(files.clone(), Alpn::Http).is_ok());
        let swapped = TlsFiles {
            certificate: files.key.clone(),
            ..files.clone()
        };
        let error = TlsServer::load(swapped, Alpn::None).err().unwrap();
        assert!(error.to_string().contains("key.pem"), "{error}");
        let missing = TlsFiles {
            client_ca: Some(folder.path().join("no-ca.pem")),
            ..files
        };
        let error = TlsServer::load(missing, Alpn::None).err().unwrap();
        assert!(error.to_string().contains("no-ca.pem"), "{error}");
    }

    #[test]
    fn a_failed_reload_leaves_what_was() {
        let folder = tempfile::tempdir().unwrap();
        let files = write_pair(folder.path(), "localhost");
        let server = TlsServer::load(files.clone(), Alpn::None).unwrap();
        let before = server.config.load_full();
        fs::write(&files.key, "no key").unwrap();
        assert!(server.read_again().is_err());
        assert!(Arc::ptr_eq(&before, &server.config.load_full()));
        write_pair(folder.path(), "other");
        server.read_again().unwrap().put_in_force();
        assert!(!Arc::ptr_eq(&before, &server.config.load_full()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_peer_is_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let files = write_pair(folder.path(), "localhost");
        let server = TlsServer::load(files, Alpn::None).unwrap();
        let (_far, near) = tokio::io::duplex(64);
        let outcome = server.accept(near, Duration::from_secs(5)).await;
        assert!(matches!(outcome, Err(HandshakeError::TooSlow(_))));
    }
}
