//! Whom we believe: TLS configurations of outgoing connections.
//!
//! Certificates are verified against the system's roots, or against the `ca` given instead of
//! them. Only who says so explicitly gets a connection that believes anybody.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    AlertDescription, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use sha2::{Digest, Sha256};

use crate::limits::TLS_CONFIGS_MAX;

/// What a TLS connection trusts and shows. Holds a secret key: neither `Debug` nor `Display`.
#[derive(Clone, Copy, Default)]
pub struct Trust<'a> {
    /// PEM: certificates trusted instead of the system's roots.
    pub ca: Option<&'a str>,
    /// PEM: our own certificate chain.
    pub client_cert: Option<&'a str>,
    /// PEM: the key of our own certificate.
    pub client_key: Option<&'a str>,
    /// Whether the peer's certificate and name are taken unseen.
    pub is_insecure: bool,
}

/// Why no TLS configuration could be made.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The `ca` holds no certificate that can be read.
    #[error("the CA certificates cannot be read: {reason}")]
    Ca {
        /// What is wrong with them.
        reason: String,
    },
    /// The client certificate or its key is missing or cannot be read.
    #[error("the client certificate cannot be used: {reason}")]
    Client {
        /// What is wrong with it.
        reason: String,
    },
    /// The system's roots could not be loaded.
    #[error("the system's CA certificates cannot be read: {reason}")]
    System {
        /// What the system said.
        reason: String,
    },
    /// The TLS library refused the settings.
    #[error("TLS refused its settings: {0}")]
    Tls(#[from] rustls::Error),
}

/// TLS configurations by what they trust: made once, shared by all who trust the same.
#[derive(Default)]
pub struct Trusts {
    configs: Mutex<HashMap<[u8; 32], Arc<ClientConfig>>>,
}

impl Trusts {
    /// The configuration for `trust`. The first use may read the system's roots, on a thread that
    /// may block.
    ///
    /// # Errors
    /// `TrustError` when a certificate or key cannot be used.
    pub async fn config(&self, trust: Trust<'_>) -> Result<Arc<ClientConfig>, TrustError> {
        let key = fingerprint(trust);
        if let Some(config) = self.lock().get(&key) {
            return Ok(config.clone());
        }
        let roots = match trust.ca {
            _ if trust.is_insecure => None,
            Some(pem) => Some(Arc::new(roots_of(pem)?)),
            None => Some(system_roots().await?),
        };
        let config = Arc::new(make_config(trust, roots)?);
        let mut configs = self.lock();
        if TLS_CONFIGS_MAX <= configs.len() {
            // Whoever uses one holds it; the next to ask makes it anew.
            configs.clear();
        }
        configs.insert(key, config.clone());
        Ok(config)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<[u8; 32], Arc<ClientConfig>>> {
        self.configs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the TLS library said about a certificate, if that is why the handshake failed: ours about
/// the peer's, or the peer's about ours.
#[must_use]
pub fn certificate_fault(error: &io::Error) -> Option<String> {
    let fault = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    let is_certificate = matches!(
        fault,
        rustls::Error::InvalidCertificate(_)
            | rustls::Error::NoCertificatesPresented
            | rustls::Error::AlertReceived(
                AlertDescription::AccessDenied
                    | AlertDescription::BadCertificate
                    | AlertDescription::CertificateExpired
                    | AlertDescription::CertificateRequired
                    | AlertDescription::CertificateRevoked
                    | AlertDescription::CertificateUnknown
                    // A signature that does not fit: of an authority with the right name only.
                    | AlertDescription::DecryptError
                    | AlertDescription::UnknownCA
                    | AlertDescription::UnsupportedCertificate
            )
    );
    is_certificate.then(|| fault.to_string())
}

/// Sha-256 over the parts, each with its length, so that no two settings share one.
fn fingerprint(trust: Trust<'_>) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in [trust.ca, trust.client_cert, trust.client_key] {
        match part {
            Some(text) => {
                hash.update((text.len() as u64 + 1).to_le_bytes());
                hash.update(text);
            }
            None => hash.update(0_u64.to_le_bytes()),
        }
    }
    hash.update([u8::from(trust.is_insecure)]);
    hash.finalize().into()
}

fn make_config(
    trust: Trust<'_>,
    roots: Option<Arc<RootCertStore>>,
) -> Result<ClientConfig, TrustError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()?;
    let builder = match roots {
        Some(roots) => builder.with_root_certificates(roots),
        None => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(BelieveAnybody { provider })),
    };
    let client_fault = |reason: String| TrustError::Client { reason };
    match (trust.client_cert, trust.client_key) {
        (None, None) => Ok(builder.with_no_client_auth()),
        (Some(chain), Some(key)) => {
            let chain = certificates(chain).map_err(client_fault)?;
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
                .map_err(|error| client_fault(format!("its key: {error}")))?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| client_fault(error.to_string()))
        }
        (Some(_), None) => Err(client_fault("it has no key".to_owned())),
        (None, Some(_)) => Err(client_fault("a key without a certificate".to_owned())),
    }
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| error.to_string())?;
    if certificates.is_empty() {
        return Err("no certificate in the text".to_owned());
    }
    Ok(certificates)
}

fn roots_of(pem: &str) -> Result<RootCertStore, TrustError> {
    let fault = |reason: String| TrustError::Ca { reason };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem).map_err(fault)? {
        roots
            .add(certificate)
            .map_err(|error| fault(error.to_string()))?;
    }
    Ok(roots)
}

/// The system's roots, read once in the life of the process.
async fn system_roots() -> Result<Arc<RootCertStore>, TrustError> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    if let Some(roots) = ROOTS.get() {
        return Ok(roots.clone());
    }
    let loaded = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs)
        .await
        .map_err(|error| TrustError::System {
            reason: error.to_string(),
        })?;
    let mut roots = RootCertStore::empty();
    let (added_count, _) = roots.add_parsable_certificates(loaded.certs);
    match loaded.errors.first() {
        // Kept out of the cell: the files may be there next time.
        Some(error) if added_count == 0 => Err(TrustError::System {
            reason: error.to_string(),
        }),
        _ => Ok(ROOTS.get_or_init(|| Arc::new(roots)).clone()),
    }
}

/// DANGER: takes every certificate for every name. It keeps eavesdroppers out, impostors not.
/// Signatures are still checked, so that the peer at least owns the key it shows.
#[derive(Debug)]
struct BelieveAnybody {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for BelieveAnybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own_certificate() -> (String, String) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    #[tokio::test]
    async fn settings_that_agree_share_a_configuration() {
        let trusts = Trusts::default();
        let (ca, key) = own_certificate();
        let trust = Trust {
            ca: Some(&ca),
            ..Trust::default()
        };
        let first = trusts.config(trust).await.unwrap();
        assert!(Arc::ptr_eq(&first, &trusts.config(trust).await.unwrap()));
        let with_client = Trust {
            client_cert: Some(&ca),
            client_key: Some(&key),
            ..trust
        };
        let other = trusts.config(with_client).await.unwrap();
        assert!(!Arc::ptr_eq(&first, &other));
        assert!(other.client_auth_cert_resolver.has_certs());
        let insecure = Trust {
            is_insecure: true,
            ..Trust::default()
        };
        assert!(trusts.config(insecure).await.is_ok());
    }

    #[tokio::test]
    async fn what_cannot_be_used_is_named() {
        let trusts = Trusts::default();
        let (ca, _) = own_certificate();
        let check = async |trust: Trust<'_>, expected: &str| {
            let error = trusts.config(trust).await.unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        let base = Trust {
            is_insecure: true,
            ..Trust::default()
        };
        check(
            Trust {
                ca: Some("nothing"),
                ..Trust::default()
            },
            "CA certificates cannot be read",
        )
        .await;
        check(
            Trust {
                client_cert: Some(&ca),
                ..base
            },
            "it has no key",
        )
        .await;
        check(
            Trust {
                client_cert: Some(&ca),
                client_key: Some("nothing"),
                ..base
            },
            "its key",
        )
        .await;
    }
}
