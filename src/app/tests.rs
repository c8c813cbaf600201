//! A reload takes over all of a configuration or nothing.

use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;

use crate::app::App;
use crate::channel::WhenFull;
use crate::config::Config;
use crate::config::Environment;
use crate::config::Flags;
use crate::control::Mode;

/// Makes a certificate for `localhost` and writes it where `config` looks for it.
fn write_certificate(folder: &Path) -> CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(folder.join("cert.pem"), made.cert.pem()).unwrap();
    std::fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    made.cert.der().clone()
}

fn config(folder: &Path) -> Config {
    let path = |name: &str| folder.join(name).display().to_string();
    let values = [
        ("--http", "http", "127.0.0.1:0".to_owned()),
        ("--syslog-tcp", "syslog_tcp", "127.0.0.1:0".to_owned()),
        ("--syslog-udp", "syslog_udp", "127.0.0.1:0".to_owned()),
        ("--data-dir", "data_dir", path("entries")),
        ("--certificate", "http_tls_certificate", path("cert.pem")),
        ("--key", "http_tls_key", path("key.pem")),
    ];
    let flags = Flags {
        file: None,
        values: values.into_iter().collect(),
    };
    let nothing: [(String, String); 0] = [];
    Config::load(&Environment::new(nothing), &flags).unwrap()
}

/// Whether `app` shows `certificate` to a new client.
async fn shows(app: &App, certificate: &CertificateDer<'static>) -> bool {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let socket = tokio::net::TcpStream::connect(app.addresses().http).await;
    let name = ServerName::try_from("localhost").unwrap();
    let connector = TlsConnector::from(Arc::new(client));
    connector.connect(name, socket.unwrap()).await.is_ok()
}

#[tokio::test]
async fn a_reload_is_all_or_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let first = write_certificate(folder.path());
    let config = config(folder.path());
    let app = App::start(config.clone()).await.unwrap();
    let mut newer = config.clone();
    newer.mode = Mode::ReadOnly;
    newer.when_full = WhenFull::Wait;

    // A certificate that is none: the good keys beside it are not taken either.
    std::fs::write(folder.path().join("key.pem"), "no key").unwrap();
    let refused = app.reload(newer.clone()).await.unwrap_err();
    assert_eq!(refused.key, "http_tls_certificate");
    assert_eq!(app.api.control.mode(), Mode::Normal);

    // A good one, and a door that takes the rest of the keys.
    let second = write_certificate(folder.path());
    app.reload(newer.clone()).await.unwrap();
    assert_eq!(app.api.control.mode(), Mode::ReadOnly);
    assert!(shows(&app, &second).await && !shows(&app, &first).await);

    // The door is shut: the new certificate is not taken either.
    let third = write_certificate(folder.path());
    app.api.control.stop().await;
    let refused = app.reload(config.clone()).await.unwrap_err();
    assert_eq!(refused.key, "when_full");
    assert_eq!(app.api.control.mode(), Mode::ReadOnly);
    assert!(shows(&app, &second).await && !shows(&app, &third).await);

    // What asks nothing of the door does not mind.
    newer.mode = Mode::Disabled;
    app.reload(newer).await.unwrap();
    assert_eq!(app.api.control.mode(), Mode::Disabled);
    assert!(shows(&app, &third).await);
    app.stopped().await;
}
