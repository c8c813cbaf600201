//! Where a Redis server is and who asks: `redis://USER:PASSWORD@HOST:PORT`, `rediss://…` over TLS,
//! `unix:///PATH`.

use std::path::PathBuf;

use percent_encoding::percent_decode_str;
use url::Url;

use crate::id::Secret;
use crate::limits::REDIS_URL_BYTES_MAX;

/// A server's URL. Holds a password: neither `Debug` nor `Display`.
pub struct RedisUrl {
    place: Place,
    user: Option<String>,
    password: Option<Secret>,
}

/// Where a server listens.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Place {
    /// On a network.
    Tcp { host: String, port: u16, tls: Tls },
    /// On this machine.
    Unix(PathBuf),
}

/// How a connection is made secret.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Tls {
    /// It is not.
    None,
    /// The server's certificate is verified.
    Verified,
    /// Any certificate is taken: `#insecure`.
    Insecure,
}

/// Why a text is no server's URL. Never with the text: it may hold a password.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum UrlError {
    /// It is absurdly long.
    #[error("it is longer than {REDIS_URL_BYTES_MAX} bytes")]
    TooLong,
    /// It is something else.
    #[error("it must be redis://USER:PASSWORD@HOST:PORT, rediss://… for TLS, or unix:///PATH")]
    Other,
    /// A fragment other than `#insecure`, or one without TLS.
    #[error("only rediss:// may end in a fragment, and only in #insecure")]
    Fragment,
}

impl RedisUrl {
    /// Reads a URL. A database's number behind it is heeded by nobody: samples are the server's.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        if REDIS_URL_BYTES_MAX < text.len() {
            return Err(UrlError::TooLong);
        }
        let url = Url::parse(text).map_err(|_| UrlError::Other)?;
        let tls = match (url.scheme(), url.fragment()) {
            ("rediss", Some("insecure")) => Tls::Insecure,
            ("rediss", None) => Tls::Verified,
            (_, None) => Tls::None,
            _ => return Err(UrlError::Fragment),
        };
        let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let place = match (url.scheme(), url.host_str()) {
            ("redis" | "rediss", Some(host)) if !host.is_empty() => Place::Tcp {
                host: host.trim_matches(['[', ']']).to_owned(),
                port: url.port().unwrap_or(PORT),
                tls,
            },
            ("unix" | "redis+unix", None | Some("")) if 1 < url.path().len() => {
                Place::Unix(PathBuf::from(decode(url.path())))
            }
            _ => return Err(UrlError::Other),
        };
        let query = |name: &str| {
            let found = url.query_pairs().find(|(key, _)| key == name);
            found.map(|(_, value)| value.into_owned())
        };
        // A Unix socket's URL has no place for them but behind the path.
        let user = Some(decode(url.username())).filter(|user| !user.is_empty());
        let password = url.password().map(decode);
        Ok(Self {
            place,
            user: user.or_else(|| query("user")),
            password: password
                .or_else(|| query("password"))
                .map(|text| Secret::new(&text)),
        })
    }

    /// Where it listens.
    pub(crate) const fn place(&self) -> &Place {
        &self.place
    }

    /// The ACL user, if not the default one.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// The password, if there is one.
    pub(crate) const fn password(&self) -> Option<&Secret> {
        self.password.as_ref()
    }

    /// Where it listens, as people are told.
    #[must_use]
    pub fn shown(&self) -> String {
        match &self.place {
            Place::Tcp { host, port, .. } => format!("{host}:{port}"),
            Place::Unix(path) => path.display().to_string(),
        }
    }
}

/// Redis' port.
const PORT: u16 = 6379;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_say_who_asks_where_and_how() {
        let check =
            |text: &str, shown: &str, tls: Tls, user: Option<&str>, password: Option<&str>| {
                let Ok(url) = RedisUrl::parse(text) else {
                    panic!("{text}");
                };
                assert_eq!(url.shown(), shown, "{text}");
                assert_eq!(url.user(), user, "{text}");
                assert_eq!(url.password().map(Secret::expose), password, "{text}");
                if let Place::Tcp { tls: found, .. } = url.place() {
                    assert_eq!(*found, tls, "{text}");
                }
            };
        check("redis://localhost", "localhost:6379", Tls::None, None, None);
        check("redis://:p%40@h:1/0", "h:1", Tls::None, None, Some("p@"));
        check(
            "redis://u:p@[::1]:2",
            "::1:2",
            Tls::None,
            Some("u"),
            Some("p"),
        );
        check(
            "rediss://u:p@h",
            "h:6379",
            Tls::Verified,
            Some("u"),
            Some("p"),
        );
        check("rediss://h#insecure", "h:6379", Tls::Insecure, None, None);
        check(
            "unix:///run/redis.sock",
            "/run/redis.sock",
            Tls::None,
            None,
            None,
        );
        let text = "redis+unix:///run/r%20.sock?user=u&password=p";
        check(text, "/run/r .sock", Tls::None, Some("u"), Some("p"));
    }

    #[test]
    fn what_is_none_is_refused() {
        for text in [
            "",
            "localhost:6379",
            "http://h",
            "redis://",
            "unix://",
            "redis://h:x",
        ] {
            assert_eq!(RedisUrl::parse(text).err(), Some(UrlError::Other), "{text}");
        }
        for text in ["redis://h#insecure", "rediss://h#x"] {
            assert_eq!(
                RedisUrl::parse(text).err(),
                Some(UrlError::Fragment),
                "{text}"
            );
        }
        let long = format!("redis://{}", "h".repeat(REDIS_URL_BYTES_MAX));
        assert_eq!(RedisUrl::parse(&long).err(), Some(UrlError::TooLong));
    }
}
