//! How a drain sends: what can be given with it and changed later.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::LazyLock;

use http::{HeaderName, HeaderValue};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use serde::{Deserialize, Serialize};

use crate::limits::{
    BATCH_BYTES_LIMIT, BATCH_BYTES_LIMIT_MIN, DRAIN_FRAME_BYTES_LIMIT_MIN, DRAIN_HEADERS_MAX,
    FIELD_BYTES_MAX, FILTER_BYTES_MAX, FRAME_BYTES_LIMIT, OPTION_BYTES_MAX,
};
use crate::registry::drain_url::{DrainUrl, Scheme};

/// Shape of the messages a drain sends.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// As Logplex wrote them.
    #[default]
    Logplex,
    /// Strictly RFC 5424, with MSGID and structured data.
    Rfc5424,
    /// OpenTelemetry's log records: OTLP over HTTP, in protobuf.
    Otlp,
}

/// What an OTLP drain's records have as attributes beside the fields of their messages.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Attributes {
    /// Nothing.
    #[default]
    None,
    /// The pairs of the text, read as logfmt.
    Logfmt,
}

/// How an HTTP drain's bodies are packed.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// gzip (RFC 1952).
    Gzip,
    /// Zstandard (RFC 8878).
    Zstd,
}

/// What becomes of line ends inside a message.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Newlines {
    /// They stay.
    #[default]
    Keep,
    /// They are written `#012` and `#015`: a frame is one line.
    Escape,
}

/// What becomes of bytes that are no UTF-8.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Utf8 {
    /// They stay.
    #[default]
    Keep,
    /// U+FFFD stands for them.
    Replace,
}

/// What becomes of the messages' times.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Timestamps {
    /// As the sender wrote them.
    #[default]
    Keep,
    /// In UTC and microseconds; the arrival where there was none.
    Normalize,
}

/// Everything of a drain but its URL. May hold secrets (headers, key): no `Debug`.
#[derive(Clone, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct DrainOptions {
    /// Shape of the messages.
    pub format: Format,
    /// Packing of HTTP bodies.
    pub compression: Compression,
    /// Own headers of an HTTP drain.
    pub headers: BTreeMap<String, String>,
    /// PEM: CA certificates to trust instead of the system's.
    pub ca: Option<String>,
    /// PEM: the client's certificate chain.
    pub client_cert: Option<String>,
    /// PEM: the private key of the client's certificate.
    pub client_key: Option<String>,
    /// Only messages of exactly this source.
    pub source: Option<String>,
    /// Only messages of this process: `web` matches `web` and `web.*`.
    pub ps: Option<String>,
    /// Only messages that this expression wants, as it was written; whether it is one is checked by
    /// the door, since what reads it ranks higher.
    pub filter: Option<String>,
    /// Most bytes of one batch; the node's setting when not given.
    pub batch_bytes_max: Option<usize>,
    /// Further attributes of an OTLP drain's records.
    pub attributes: Attributes,
    /// Line ends inside messages.
    pub newlines: Newlines,
    /// Bytes that are no UTF-8.
    pub utf8: Utf8,
    /// The messages' times.
    pub timestamp: Timestamps,
    /// Most bytes of one frame; a longer message goes on in another.
    pub frame_bytes_max: Option<usize>,
}

/// Why options were refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DrainOptionsError {
    /// An option that only HTTP drains have.
    #[error("{option} needs an http:// or https:// drain")]
    NotHttp {
        /// The option.
        option: &'static str,
    },
    /// An option that only OTLP drains have.
    #[error("{option} needs format=otlp")]
    NotOtlp {
        /// The option.
        option: &'static str,
    },
    /// An option that OTLP drains have not.
    #[error("{option} needs format=logplex or format=rfc5424: OTLP has records, not frames")]
    NotFrames {
        /// The option.
        option: &'static str,
    },
    /// An option that only TLS drains have.
    #[error("{option} needs an https:// or syslog+tls:// drain")]
    NotTls {
        /// The option.
        option: &'static str,
    },
    /// More headers than allowed.
    #[error("{count} headers are given, at most {DRAIN_HEADERS_MAX} are allowed")]
    TooManyHeaders {
        /// How many were given.
        count: usize,
    },
    /// Not a header name.
    #[error("{name:?} is no legal HTTP header name")]
    BadHeaderName {
        /// What was given.
        name: String,
    },
    /// Not a header value; it may be a secret and is not shown.
    #[error("the value of header {name:?} holds characters that HTTP does not allow")]
    BadHeaderValue {
        /// The header.
        name: String,
    },
    /// A header that the protocol sets itself.
    #[error("header {name:?} is set by the router itself and cannot be given")]
    ReservedHeader {
        /// The header.
        name: String,
    },
    /// The same header in two spellings.
    #[error("header {name:?} is given twice")]
    DuplicateHeader {
        /// The header.
        name: String,
    },
    /// An option's text is too long.
    #[error("{option} is {bytes} bytes long, at most {bytes_max} are allowed")]
    TooLong {
        /// The option.
        option: &'static str,
        /// Its length.
        bytes: usize,
        /// The greatest length.
        bytes_max: usize,
    },
    /// No certificate could be read.
    #[error("{option} holds no certificate in PEM form that can be read")]
    BadCertificate {
        /// The option.
        option: &'static str,
    },
    /// No key could be read.
    #[error("client_key holds no private key in PEM form that can be read")]
    BadKey,
    /// Certificate and key do not belong together.
    #[error("client_key is not the key of client_cert")]
    KeyMismatch,
    /// One of two options that need each other.
    #[error("{option} needs {missing} too")]
    Lonely {
        /// The option given.
        option: &'static str,
        /// The option that is missing.
        missing: &'static str,
    },
    /// A filter that nothing could match.
    #[error("{option} is empty; leave it out to take every message")]
    EmptyFilter {
        /// The option.
        option: &'static str,
    },
    /// A batch size out of range.
    #[error(
        "batch_bytes_max is {bytes}, it must lie between {BATCH_BYTES_LIMIT_MIN} and {BATCH_BYTES_LIMIT}"
    )]
    BadBatchBytes {
        /// What was given.
        bytes: usize,
    },
    /// A frame's size out of range.
    #[error(
        "frame_bytes_max is {bytes}, it must lie between {DRAIN_FRAME_BYTES_LIMIT_MIN} and {FRAME_BYTES_LIMIT}"
    )]
    BadFrameBytes {
        /// What was given.
        bytes: usize,
    },
}

impl DrainOptions {
    /// The options of an OTLP drain that asks for nothing else. Its bodies are packed, as those of
    /// OpenTelemetry's Collector are: the fields' names are in every record.
    #[must_use]
    pub fn otlp() -> Self {
        Self {
            format: Format::Otlp,
            compression: Compression::Gzip,
            ..Self::default()
        }
    }

    /// The options for an entry to keep; most have none of their own and share these.
    #[must_use]
    pub fn shared(self) -> Arc<Self> {
        static DEFAULT: LazyLock<Arc<DrainOptions>> = LazyLock::new(Arc::default);
        if self == **DEFAULT {
            Arc::clone(&DEFAULT)
        } else {
            Arc::new(self)
        }
    }

    /// Whether a drain to `url` can have these options.
    ///
    /// # Errors
    /// The first fault found.
    pub fn check(&self, url: &DrainUrl) -> Result<(), DrainOptionsError> {
        self.check_alone()?;
        let is_http = matches!(url.scheme(), Scheme::Http | Scheme::Https);
        if !is_http {
            let option = [
                // First: it brings a compression along that nobody gave.
                (self.format == Format::Otlp, "format=otlp"),
                (!self.headers.is_empty(), "headers"),
                (self.compression != Compression::None, "compression"),
            ];
            if let Some(&(_, option)) = option.iter().find(|(is_given, _)| *is_given) {
                return Err(DrainOptionsError::NotHttp { option });
            }
        }
        if !url.scheme().has_tls() {
            let option = [(&self.ca, "ca"), (&self.client_cert, "client_cert")];
            if let Some((_, option)) = option.into_iter().find(|(given, _)| given.is_some()) {
                return Err(DrainOptionsError::NotTls { option });
            }
        }
        Ok(())
    }

    /// The part of `check` that needs no URL: all there is for a reserved drain.
    ///
    /// # Errors
    /// The first fault found.
    pub fn check_alone(&self) -> Result<(), DrainOptionsError> {
        check_headers(&self.headers)?;
        self.check_tls()?;
        check_filter("source", self.source.as_deref(), FIELD_BYTES_MAX)?;
        check_filter("ps", self.ps.as_deref(), FIELD_BYTES_MAX)?;
        check_filter("filter", self.filter.as_deref(), FILTER_BYTES_MAX)?;
        if self.attributes != Attributes::None && self.format != Format::Otlp {
            return Err(DrainOptionsError::NotOtlp {
                option: "attributes",
            });
        }
        self.check_frames()?;
        match self.batch_bytes_max {
            Some(bytes) if !(BATCH_BYTES_LIMIT_MIN..=BATCH_BYTES_LIMIT).contains(&bytes) => {
                Err(DrainOptionsError::BadBatchBytes { bytes })
            }
            _ => Ok(()),
        }
    }

    /// The options that are about frames and what stands in them.
    fn check_frames(&self) -> Result<(), DrainOptionsError> {
        let options = [
            (self.newlines != Newlines::Keep, "newlines"),
            (self.utf8 != Utf8::Keep, "utf8"),
            (self.timestamp != Timestamps::Keep, "timestamp"),
            (self.frame_bytes_max.is_some(), "frame_bytes_max"),
        ];
        let given = options.iter().find(|(is_given, _)| *is_given);
        if let (Format::Otlp, Some(&(_, option))) = (self.format, given) {
            return Err(DrainOptionsError::NotFrames { option });
        }
        match self.frame_bytes_max {
            Some(bytes) if !(DRAIN_FRAME_BYTES_LIMIT_MIN..=FRAME_BYTES_LIMIT).contains(&bytes) => {
                Err(DrainOptionsError::BadFrameBytes { bytes })
            }
            _ => Ok(()),
        }
    }

    fn check_tls(&self) -> Result<(), DrainOptionsError> {
        if let Some(ca) = &self.ca {
            let mut roots = RootCertStore::empty();
            for certificate in certificates("ca", ca)? {
                roots
                    .add(certificate)
                    .map_err(|_| DrainOptionsError::BadCertificate { option: "ca" })?;
            }
        }
        let (chain, key) = match (&self.client_cert, &self.client_key) {
            (None, None) => return Ok(()),
            (Some(chain), Some(key)) => (chain, key),
            (Some(_), None) => return Err(lonely("client_cert", "client_key")),
            (None, Some(_)) => return Err(lonely("client_key", "client_cert")),
        };
        let chain = certificates("client_cert", chain)?;
        check_length("client_key", key, OPTION_BYTES_MAX)?;
        let key =
            PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| DrainOptionsError::BadKey)?;
        match CertifiedKey::from_der(chain, key, &rustls::crypto::ring::default_provider()) {
            Ok(_) => Ok(()),
            Err(rustls::Error::InconsistentKeys(_)) => Err(DrainOptionsError::KeyMismatch),
            Err(rustls::Error::InvalidCertificate(_)) => Err(DrainOptionsError::BadCertificate {
                option: "client_cert",
            }),
            Err(_) => Err(DrainOptionsError::BadKey),
        }
    }
}

fn check_headers(headers: &BTreeMap<String, String>) -> Result<(), DrainOptionsError> {
    if DRAIN_HEADERS_MAX < headers.len() {
        return Err(DrainOptionsError::TooManyHeaders {
            count: headers.len(),
        });
    }
    let mut seen = BTreeSet::new();
    for (name, value) in headers {
        check_length("a header's name", name, FIELD_BYTES_MAX)?;
        check_length("a header's value", value, OPTION_BYTES_MAX)?;
        let parsed = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| DrainOptionsError::BadHeaderName { name: name.clone() })?;
        if is_reserved(parsed.as_str()) {
            return Err(DrainOptionsError::ReservedHeader { name: name.clone() });
        }
        if HeaderValue::from_str(value).is_err() {
            return Err(DrainOptionsError::BadHeaderValue { name: name.clone() });
        }
        if !seen.insert(parsed.as_str().to_owned()) {
            return Err(DrainOptionsError::DuplicateHeader { name: name.clone() });
        }
    }
    Ok(())
}

/// Headers that frame the message, route it, or are the drain protocol's own. `name` is in lower
/// case.
fn is_reserved(name: &str) -> bool {
    const RESERVED: [&str; 10] = [
        "connection",
        "expect",
        "host",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "date",
    ];
    RESERVED.contains(&name) || name.starts_with("content-") || name.starts_with("logplex-")
}

fn certificates(
    option: &'static str,
    pem: &str,
) -> Result<Vec<CertificateDer<'static>>, DrainOptionsError> {
    check_length(option, pem, OPTION_BYTES_MAX)?;
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|_| DrainOptionsError::BadCertificate { option })?;
    if found.is_empty() {
        return Err(DrainOptionsError::BadCertificate { option });
    }
    Ok(found)
}

fn check_filter(
    option: &'static str,
    text: Option<&str>,
    bytes_max: usize,
) -> Result<(), DrainOptionsError> {
    match text {
        Some("") => Err(DrainOptionsError::EmptyFilter { option }),
        Some(text) => check_length(option, text, bytes_max),
        None => Ok(()),
    }
}

fn check_length(
    option: &'static str,
    text: &str,
    bytes_max: usize,
) -> Result<(), DrainOptionsError> {
    if text.len() <= bytes_max {
        return Ok(());
    }
    Err(DrainOptionsError::TooLong {
        option,
        bytes: text.len(),
        bytes_max,
    })
}

const fn lonely(option: &'static str, missing: &'static str) -> DrainOptionsError {
    DrainOptionsError::Lonely { option, missing }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, options: &str, expected: &str) {
        let url = DrainUrl::parse(url).unwrap();
        let options: DrainOptions = serde_json::from_str(options).unwrap();
        let seen = options
            .check(&url)
            .map_or_else(|error| error.to_string(), |()| String::new());
        if expected.is_empty() {
            assert_eq!(seen, "");
        } else {
            assert!(seen.contains(expected), "{seen:?} lacks {expected:?}");
        }
    }

    #[test]
    fn options_fit_their_drain() {
        let (http, https, syslog) = ("http://h/", "https://h/", "syslog://h");
        check(http, "{}", "");
        check(
            syslog,
            r#"{"format":"rfc5424","source":"app","ps":"web"}"#,
            "",
        );
        check(
            http,
            r#"{"headers":{"X-Key":"v","Authorization":"Bearer x"}}"#,
            "",
        );
        check(syslog, r#"{"headers":{"X-Key":"v"}}"#, "headers needs");
        check(https, r#"{"compression":"zstd"}"#, "");
        check(syslog, r#"{"compression":"gzip"}"#, "compression needs");
        check(https, r#"{"format":"otlp","attributes":"logfmt"}"#, "");
        check(syslog, r#"{"format":"otlp"}"#, "format=otlp needs an http");
        let packed = r#"{"format":"otlp","compression":"gzip"}"#;
        check(syslog, packed, "format=otlp needs an http");
        check(
            http,
            r#"{"attributes":"logfmt"}"#,
            "attributes needs format=otlp",
        );
        let all = r#"{"newlines":"escape","utf8":"replace","timestamp":"normalize","frame_bytes_max":1024}"#;
        check(http, all, "");
        check(syslog, all, "");
        for option in [
            r#""newlines":"escape""#,
            r#""utf8":"replace""#,
            r#""timestamp":"normalize""#,
            r#""frame_bytes_max":1024"#,
        ] {
            let options = format!(r#"{{"format":"otlp",{option}}}"#);
            check(https, &options, "needs format=logplex or format=rfc5424");
        }
        for name in [
            "Host",
            "content-length",
            "Content-Type",
            "Logplex-Frame-Id",
            "CONNECTION",
        ] {
            let options = format!(r#"{{"headers":{{"{name}":"v"}}}}"#);
            check(http, &options, "set by the router");
        }
        check(
            http,
            r#"{"headers":{"a b":"v"}}"#,
            "no legal HTTP header name",
        );
        check(http, r#"{"headers":{"":"v"}}"#, "no legal HTTP header name");
        check(http, r#"{"headers":{"a":"v\r\nb: c"}}"#, "does not allow");
        check(http, r#"{"headers":{"A":"1","a":"2"}}"#, "given twice");
        check(http, r#"{"source":""}"#, "source is empty");
        check(http, r#"{"ps":""}"#, "ps is empty");
        check(http, r#"{"filter":""}"#, "filter is empty");
    }

    #[test]
    fn sizes_are_bounded() {
        let url = DrainUrl::parse("http://h/").unwrap();
        let sized = |bytes| DrainOptions {
            batch_bytes_max: Some(bytes),
            ..DrainOptions::default()
        };
        for (bytes, is_right) in [
            (0, false),
            (1023, false),
            (1024, true),
            (BATCH_BYTES_LIMIT, true),
            (BATCH_BYTES_LIMIT + 1, false),
        ] {
            assert_eq!(sized(bytes).check(&url).is_ok(), is_right, "{bytes}");
        }
        let framed = |bytes| DrainOptions {
            frame_bytes_max: Some(bytes),
            ..DrainOptions::default()
        };
        for (bytes, is_right) in [
            (0, false),
            (1023, false),
            (1024, true),
            (FRAME_BYTES_LIMIT, true),
            (FRAME_BYTES_LIMIT + 1, false),
        ] {
            assert_eq!(framed(bytes).check(&url).is_ok(), is_right, "{bytes}");
        }
        let many = |count: usize| DrainOptions {
            headers: (0..count)
                .map(|n| (format!("x-{n}"), String::new()))
                .collect(),
            ..DrainOptions::default()
        };
        assert!(many(DRAIN_HEADERS_MAX).check(&url).is_ok());
        assert!(many(DRAIN_HEADERS_MAX + 1).check(&url).is_err());
        let filter = |count: usize| DrainOptions {
            ps: Some("p".repeat(count)),
            ..DrainOptions::default()
        };
        assert!(filter(FIELD_BYTES_MAX).check(&url).is_ok());
        assert!(filter(FIELD_BYTES_MAX + 1).check(&url).is_err());
        let expression = |count: usize| DrainOptions {
            filter: Some("f".repeat(count)),
            ..DrainOptions::default()
        };
        assert!(expression(FILTER_BYTES_MAX).check(&url).is_ok());
        assert!(expression(FILTER_BYTES_MAX + 1).check(&url).is_err());
    }

    #[test]
    fn certificates_and_keys_are_read() {
        let made = rcgen::generate_simple_self_signed(vec!["h".to_owned()]).unwrap();
        let other = rcgen::generate_simple_self_signed(vec!["h".to_owned()]).unwrap();
        let (cert, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let other_key = other.signing_key.serialize_pem();
        let junk = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let broken = "-----BEGIN CERTIFICATE-----\n!\n";
        let tls = |ca: &str, cert: &str, key: &str| DrainOptions {
            ca: Some(ca.to_owned()).filter(|text| !text.is_empty()),
            client_cert: Some(cert.to_owned()).filter(|text| !text.is_empty()),
            client_key: Some(key.to_owned()).filter(|text| !text.is_empty()),
            ..DrainOptions::default()
        };
        let url = DrainUrl::parse("syslog+tls://h").unwrap();
        let bad = |option| Err(DrainOptionsError::BadCertificate { option });
        let table = [
            (tls(&cert, &cert, &key), Ok(())),
            (tls(&format!("{cert}{cert}"), "", ""), Ok(())),
            (tls("x", "", ""), bad("ca")),
            (tls(junk, "", ""), bad("ca")),
            (tls(broken, "", ""), bad("ca")),
            (tls("", junk, &key), bad("client_cert")),
            (tls("", &cert, &cert), Err(DrainOptionsError::BadKey)),
            (
                tls("", &cert, &other_key),
                Err(DrainOptionsError::KeyMismatch),
            ),
            (tls("", &cert, ""), Err(lonely("client_cert", "client_key"))),
            (tls("", "", &key), Err(lonely("client_key", "client_cert"))),
        ];
        for (index, (options, expected)) in table.into_iter().enumerate() {
            assert_eq!(options.check(&url), expected, "case {index}");
        }
        let plain = DrainUrl::parse("http://h/").unwrap();
        assert_eq!(
            tls(&cert, "", "").check(&plain),
            Err(DrainOptionsError::NotTls { option: "ca" })
        );
    }
}
