//! A certificate authority, a server certificate for `localhost` and a client certificate, made
//! anew for each test.

use std::path::PathBuf;
use std::sync::Arc;

use rcgen::BasicConstraints;
use rcgen::CertificateParams;
use rcgen::ExtendedKeyUsagePurpose;
use rcgen::IsCa;
use rcgen::Issuer;
use rcgen::KeyPair;
use rustls::RootCertStore;
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::WebPkiClientVerifier;
use tokio_rustls::TlsAcceptor;

/// The files of one test.
pub struct Certificates {
    folder: tempfile::TempDir,
}

impl Certificates {
    /// Makes them.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ca_key = KeyPair::generate().unwrap();
        let mut ca = CertificateParams::new(Vec::new()).unwrap();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.distinguished_name
            .push(rcgen::DnType::CommonName, "Logboom test CA");
        let ca_certificate = ca.self_signed(&ca_key).unwrap();
        let issuer = Issuer::new(ca, ca_key);
        let write =
            |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("ca.pem", &ca_certificate.pem());
        for (name, purpose) in [
            ("server", ExtendedKeyUsagePurpose::ServerAuth),
            ("client", ExtendedKeyUsagePurpose::ClientAuth),
        ] {
            let key = KeyPair::generate().unwrap();
            let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
            let mut params = CertificateParams::new(names).unwrap();
            params.extended_key_usages.push(purpose);
            params
                .distinguished_name
                .push(rcgen::DnType::CommonName, "localhost");
            let certificate = params.signed_by(&key, &issuer).unwrap();
            write(&format!("{name}.pem"), &certificate.pem());
            write(&format!("{name}.key"), &key.serialize_pem());
        }
        Self { folder }
    }

    /// The authority's certificate.
    pub fn ca_file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// The authority's certificate as text.
    pub fn ca_pem(&self) -> String {
        std::fs::read_to_string(self.ca_file()).unwrap()
    }

    /// The server's certificate.
    pub fn certificate_file(&self) -> PathBuf {
        self.folder.path().join("server.pem")
    }

    /// The server's key.
    pub fn key_file(&self) -> PathBuf {
        self.folder.path().join("server.key")
    }

    /// The client's certificate and key as text.
    pub fn client_pems(&self) -> (String, String) {
        let read = |name: &str| std::fs::read_to_string(self.folder.path().join(name)).unwrap();
        (read("client.pem"), read("client.key"))
    }

    /// A TLS server with the server's certificate; `demands_client` makes it want a client's that
    /// the authority signed.
    pub fn acceptor(&self, demands_client: bool) -> TlsAcceptor {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap();
        let builder = if demands_client {
            let mut roots = RootCertStore::empty();
            let ca = CertificateDer::from_pem_file(self.ca_file()).unwrap();
            roots.add(ca).unwrap();
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.unwrap())
        } else {
            builder.with_no_client_auth()
        };
        let chain = vec![CertificateDer::from_pem_file(self.certificate_file()).unwrap()];
        let key = PrivateKeyDer::from_pem_file(self.key_file()).unwrap();
        let config = builder.with_single_cert(chain, key).unwrap();
        TlsAcceptor::from(Arc::new(config))
    }

    /// Configuration keys that name the server's certificate for syslog.
    pub fn server_keys(&self) -> Vec<(&'static str, String)> {
        vec![
            (
                "tls_certificate",
                self.certificate_file().display().to_string(),
            ),
            ("tls_key", self.key_file().display().to_string()),
        ]
    }
}
