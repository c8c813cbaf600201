//! Syslog over TLS: client certificates, certificates read again, peers that speak no TLS.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::framed;
use crate::support;
use crate::support::Router;
use crate::support::certificates::Certificates;
use crate::texts;

/// A client over TLS.
pub(crate) struct Client {
    config: rustls::ClientConfig,
}

impl Client {
    /// One that takes servers certified by `ca_pem` and shows nothing itself.
    pub(crate) fn trusting(ca_pem: &str) -> Self {
        Self::new(ca_pem, None)
    }

    fn new(ca_pem: &str, own: Option<(String, String)>) -> Self {
        let mut roots = rustls::RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(ca_pem.as_bytes()).unwrap())
            .unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match own {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        };
        Self { config }
    }

    pub(crate) fn alpn(mut self, names: &[&str]) -> Self {
        self.config.alpn_protocols = names.iter().map(|name| name.as_bytes().to_vec()).collect();
        self
    }

    pub(crate) async fn connect(&self, to: SocketAddr) -> std::io::Result<TlsStream<TcpStream>> {
        let connector = TlsConnector::from(Arc::new(self.config.clone()));
        let name = ServerName::try_from("localhost").unwrap();
        connector.connect(name, TcpStream::connect(to).await?).await
    }

    /// Whether the server took the connection and read `bytes` from it to their end.
    async fn send(&self, to: SocketAddr, bytes: &[u8]) -> bool {
        let Ok(mut stream) = self.connect(to).await else {
            return false;
        };
        if stream.write_all(bytes).await.is_err() || stream.shutdown().await.is_err() {
            return false;
        }
        let mut rest = Vec::new();
        let read = tokio::time::timeout(support::PATIENCE, stream.read_to_end(&mut rest));
        match read.await.unwrap() {
            Ok(_) => true,
            // Closed without a goodbye of TLS, after everything was read.
            Err(error) => error.kind() == std::io::ErrorKind::UnexpectedEof,
        }
    }
}

fn with_client_ca(certificates: &Certificates) -> Vec<(&'static str, String)> {
    let mut keys = certificates.server_keys();
    keys.push((
        "tls_client_ca",
        certificates.ca_file().display().to_string(),
    ));
    keys
}

#[tokio::test]
async fn only_senders_with_a_certificate_of_the_authority_get_in() {
    let (certificates, strangers) = (Certificates::new(), Certificates::new());
    let keys = with_client_ca(&certificates);
    let keys: Vec<(&str, &str)> = keys.iter().map(|(k, v)| (*k, v.as_str())).collect();
    let data = tempfile::tempdir().unwrap();
    let flags = ["--syslog-tls", "127.0.0.1:0"];
    let router = Router::start_in(data.path().to_owned(), &keys, &flags).await;
    let token = router.channel("app").await;
    let address = router.syslog_tls.unwrap();
    let ca = certificates.ca_pem();
    for (client, text, is_taken) in [
        (Client::trusting(&ca), "nobody", false),
        (
            Client::new(&ca, Some(strangers.client_pems())),
            "stranger",
            false,
        ),
        (
            Client::new(&ca, Some(certificates.client_pems())),
            "known",
            true,
        ),
    ] {
        let sent = client.send(address, framed(&token, text).as_bytes()).await;
        assert_eq!(sent, is_taken, "{text}");
    }
    assert_eq!(texts(&router, "app").await, ["known"]);
    assert_eq!(
        router
            .metric("logboom_received_frames_total{input=\"tls\"}")
            .await,
        1.0
    );
    router.stop().await;
}

#[tokio::test]
async fn sighup_reads_certificates_again_and_keeps_connections() {
    let (first, second) = (Certificates::new(), Certificates::new());
    let router = Router::start_tls(&first).await;
    let token = router.channel("app").await;
    let address = router.syslog_tls.unwrap();
    let old_client = Client::trusting(&first.ca_pem());
    let new_client = Client::trusting(&second.ca_pem());
    let mut kept = old_client.connect(address).await.unwrap();
    assert!(new_client.connect(address).await.is_err());

    // A key that does not fit changes nothing.
    let right_key = std::fs::read(first.key_file()).unwrap();
    std::fs::write(first.key_file(), "no key at all").unwrap();
    router.signal("HUP");
    assert!(
        old_client
            .send(address, framed(&token, "still the old one").as_bytes())
            .await
    );
    std::fs::write(first.key_file(), right_key).unwrap();

    std::fs::copy(second.certificate_file(), first.certificate_file()).unwrap();
    std::fs::copy(second.key_file(), first.key_file()).unwrap();
    router.signal("HUP");
    support::until_async("the new certificate", async || {
        new_client.connect(address).await.is_ok()
    })
    .await;
    assert!(old_client.connect(address).await.is_err());
    kept.write_all(framed(&token, "kept").as_bytes())
        .await
        .unwrap();
    kept.flush().await.unwrap();
    router.history_until("app", 2).await;
    assert!(
        new_client
            .send(address, framed(&token, "new").as_bytes())
            .await
    );
    assert_eq!(
        texts(&router, "app").await,
        ["still the old one", "kept", "new"]
    );
    router.stop().await;
}

#[tokio::test]
async fn a_peer_without_tls_is_closed_in_time() {
    let certificates = Certificates::new();
    let mut keys = certificates.server_keys();
    keys.push(("tls_handshake_timeout", "200ms".to_owned()));
    let keys: Vec<(&str, &str)> = keys.iter().map(|(k, v)| (*k, v.as_str())).collect();
    let data = tempfile::tempdir().unwrap();
    let flags = ["--syslog-tls", "127.0.0.1:0"];
    let router = Router::start_in(data.path().to_owned(), &keys, &flags).await;
    for begin in [&b""[..], b"\x16\x03\x01", b"<134>1 - - - - - - hi\n"] {
        let mut socket = TcpStream::connect(router.syslog_tls.unwrap())
            .await
            .unwrap();
        socket.write_all(begin).await.unwrap();
        let mut rest = Vec::new();
        let read = tokio::time::timeout(support::PATIENCE, socket.read_to_end(&mut rest)).await;
        assert!(read.is_ok(), "{begin:?}");
    }
    assert_eq!(
        router
            .metric("logboom_received_frames_total{input=\"tls\"}")
            .await,
        0.0
    );
    router.stop().await;
}
