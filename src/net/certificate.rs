//! When certificates end. Nothing else of them is read here: whether they are to be believed is for
//! the TLS library to say.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::parse_x509_certificate;

use crate::clock::UnixMicros;
use crate::limits::CERTIFICATE_BYTES_MAX;

/// When `certificate` ends; `None` when it cannot be read.
#[must_use]
pub fn not_after(certificate: &CertificateDer<'_>) -> Option<UnixMicros> {
    if CERTIFICATE_BYTES_MAX < certificate.len() {
        return None;
    }
    let (_, parsed) = parse_x509_certificate(certificate).ok()?;
    let seconds = u64::try_from(parsed.validity().not_after.timestamp()).ok()?;
    Some(UnixMicros::new(seconds.checked_mul(1_000_000)?))
}

/// When the first certificate in `pem` ends, which is the one whose chain follows.
#[must_use]
pub fn not_after_in(pem: &str) -> Option<UnixMicros> {
    let mut certificates = CertificateDer::pem_slice_iter(pem.as_bytes());
    not_after(&certificates.next()?.ok()?)
}

/// When the certificate that somebody shows ends, once it is known.
#[derive(Debug, Default)]
pub struct NotAfter {
    /// Microseconds since 1970; 0 is unknown.
    micros: AtomicU64,
}

impl NotAfter {
    /// Notes the first certificate of `chain`.
    pub fn note(&self, chain: Option<&[CertificateDer<'_>]>) {
        let time = chain.and_then(<[_]>::first).and_then(not_after);
        self.micros
            .store(time.map_or(0, UnixMicros::value), Ordering::Relaxed);
    }

    /// When it ends.
    #[must_use]
    pub fn time(&self) -> Option<UnixMicros> {
        match self.micros.load(Ordering::Relaxed) {
            0 => None,
            micros => Some(UnixMicros::new(micros)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(year: i32) -> rcgen::Certificate {
        let mut params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(year, 2, 3);
        let key = rcgen::KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap()
    }

    #[test]
    fn the_end_is_read() {
        let end = UnixMicros::parse("2031-02-03T00:00:00Z");
        let certificate = made(2031);
        assert_eq!(not_after(certificate.der()), end);
        let pem = format!("{}{}", certificate.pem(), made(2029).pem());
        assert_eq!(not_after_in(&pem), end);
        let noted = NotAfter::default();
        assert_eq!(noted.time(), None);
        noted.note(Some(&[certificate.der().clone()]));
        assert_eq!(noted.time(), end);
        noted.note(None);
        assert_eq!(noted.time(), None);
    }

    #[test]
    fn what_is_no_certificate_has_no_end() {
        for bytes in [&b""[..], b"\x30\x82\xff\xff", &[0x30; 100_000]] {
            assert_eq!(not_after(&CertificateDer::from(bytes.to_vec())), None);
        }
        assert_eq!(not_after_in("no PEM"), None);
    }
}
