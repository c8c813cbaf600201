//! Where a database is and who asks: `postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=…`.

use std::path::PathBuf;

use tokio_postgres::Config;
use tokio_postgres::config::Host;
use tokio_postgres::config::SslMode;

use crate::limits::POSTGRES_URL_BYTES_MAX;

/// A database's URL. Holds a password: neither `Debug` nor `Display`.
#[derive(Clone)]
pub struct DatabaseUrl {
    config: Config,
    /// What is asked of servers on a network: a Unix socket has no TLS, as libpq has it.
    mode: SslMode,
    verifies: bool,
    ca: Option<PathBuf>,
    /// The parameters that say all this, as they were given.
    tls: String,
}

/// Why a text is no database's URL. Never with the text: it may hold a password.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum UrlError {
    /// It is absurdly long.
    #[error("it is longer than {POSTGRES_URL_BYTES_MAX} bytes")]
    TooLong,
    /// It is something else.
    #[error("it must be postgres://USER:PASSWORD@HOST:PORT/DATABASE")]
    OtherScheme,
    /// `sslmode` is none that libpq knows.
    #[error("sslmode must be disable, prefer, require, verify-ca or verify-full")]
    BadTls,
    /// A parameter or a part is wrong.
    #[error("{reason}")]
    Bad {
        /// What is wrong.
        reason: String,
    },
}

impl DatabaseUrl {
    /// Reads a URL. `sslmode` means what it means to libpq, but that `verify-ca` compares names,
    /// too; `sslrootcert` is the file of the certificates to trust, and asks for them to be verified.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        if POSTGRES_URL_BYTES_MAX < text.len() {
            return Err(UrlError::TooLong);
        }
        let schemes = ["postgres://", "postgresql://"];
        if !schemes.iter().any(|scheme| text.starts_with(scheme)) {
            return Err(UrlError::OtherScheme);
        }
        let (front, query) = text.split_once('?').unwrap_or((text, ""));
        let mut mode = None;
        let mut ca = None;
        let mut tls = Vec::new();
        let mut others = Vec::new();
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            match parameter.split_once('=') {
                Some(("sslmode", value)) => {
                    tls.push(parameter);
                    mode = Some(value);
                }
                Some(("sslrootcert", value)) => {
                    tls.push(parameter);
                    let path = percent_encoding::percent_decode_str(value).decode_utf8_lossy();
                    ca = Some(PathBuf::from(&*path));
                }
                _ => others.push(parameter),
            }
        }
        let bad = |error: tokio_postgres::Error| UrlError::Bad {
            reason: chain(&error),
        };
        let mut config: Config = format!("{front}?{}", others.join("&"))
            .parse()
            .map_err(bad)?;
        let (mode, verifies) = match mode {
            None | Some("prefer" | "allow") => (SslMode::Prefer, ca.is_some()),
            Some("disable") => (SslMode::Disable, false),
            Some("require") => (SslMode::Require, ca.is_some()),
            Some("verify-ca" | "verify-full") => (SslMode::Require, true),
            Some(_) => return Err(UrlError::BadTls),
        };
        config.application_name("logboom");
        set_mode(&mut config, mode);
        let url = Self {
            config,
            mode,
            verifies,
            ca,
            tls: tls.join("&"),
        };
        if url.config.get_hosts().is_empty() || url.config.get_user().is_none() {
            return Err(UrlError::OtherScheme);
        }
        Ok(url)
    }

    /// What the client needs.
    pub(crate) const fn config(&self) -> &Config {
        &self.config
    }

    /// Whether the server's certificate is verified.
    pub(crate) const fn verifies(&self) -> bool {
        self.verifies
    }

    /// The file of the certificates that are trusted instead of the system's.
    pub(crate) const fn ca(&self) -> Option<&PathBuf> {
        self.ca.as_ref()
    }

    /// The user that asks.
    #[must_use]
    pub fn user(&self) -> &str {
        self.config.get_user().unwrap_or_default()
    }

    /// The database, which is called like the user where nothing else is said.
    #[must_use]
    pub fn database(&self) -> &str {
        self.config.get_dbname().unwrap_or_else(|| self.user())
    }

    /// `HOST:PORT`, as people are told.
    #[must_use]
    pub fn place(&self) -> String {
        let port = self.config.get_ports().first().unwrap_or(&5432);
        match self.config.get_hosts().first() {
            Some(Host::Tcp(host)) => format!("{host}:{port}"),
            Some(Host::Unix(folder)) => format!("{}:{port}", folder.display()),
            None => format!("localhost:{port}"),
        }
    }

    /// The same for another server, as the same user.
    #[must_use]
    pub(crate) fn at(&self, host: &str, port: u16) -> Self {
        let mut config = Config::new();
        config
            .host(host)
            .port(port)
            .user(self.user())
            .dbname(self.database())
            .application_name("logboom");
        set_mode(&mut config, self.mode);
        if let Some(password) = self.config.get_password() {
            config.password(password);
        }
        Self {
            config,
            mode: self.mode,
            verifies: self.verifies,
            ca: self.ca.clone(),
            tls: self.tls.clone(),
        }
    }

    /// The URL of another user of the same database, for people to use; no less secure than this.
    #[must_use]
    pub(crate) fn text_for(&self, user: &str, password: &str) -> String {
        let port = self.config.get_ports().first().unwrap_or(&5432);
        let encode = |text: &str| {
            percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC)
                .to_string()
        };
        let (user, database) = (encode(user), encode(self.database()));
        let host = match self.config.get_hosts().first() {
            Some(Host::Unix(folder)) => encode(&folder.display().to_string()),
            Some(Host::Tcp(host)) if host.contains(':') => format!("[{host}]"),
            Some(Host::Tcp(host)) => host.clone(),
            None => "localhost".to_owned(),
        };
        let mark = if self.tls.is_empty() { "" } else { "?" };
        let tls = &self.tls;
        format!("postgres://{user}:{password}@{host}:{port}/{database}{mark}{tls}")
    }
}

/// Sets how a connection is made secret; over a Unix socket it is not.
fn set_mode(config: &mut Config, mode: SslMode) {
    let is_local = matches!(config.get_hosts().first(), Some(Host::Unix(_)));
    config.ssl_mode(if is_local { SslMode::Disable } else { mode });
}

/// An error with all its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_say_who_asks_where_and_how() {
        let check = |text: &str, user: &str, place: &str, database: &str| {
            let Ok(url) = DatabaseUrl::parse(text) else {
                panic!("{text}");
            };
            assert_eq!((url.user(), url.database()), (user, database), "{text}");
            assert_eq!(url.place(), place, "{text}");
        };
        check(
            "postgres://anna:a%40b@db.example.com/shop",
            "anna",
            "db.example.com:5432",
            "shop",
        );
        check(
            "postgresql://anna@127.0.0.1:5433",
            "anna",
            "127.0.0.1:5433",
            "anna",
        );
        check(
            "postgres://anna@%2Frun%2Fpg:5433/shop",
            "anna",
            "/run/pg:5433",
            "shop",
        );
        check(
            "postgres://anna@/shop?host=/run/pg",
            "anna",
            "/run/pg:5432",
            "shop",
        );
        let url = DatabaseUrl::parse("postgres://a:b@h:1/d?sslmode=verify-full&connect_timeout=3");
        assert!(url.ok().unwrap().verifies());
        let url = DatabaseUrl::parse("postgres://a:b@h:1/d?sslmode=require&sslrootcert=%2Fca.pem");
        let url = url.ok().unwrap();
        assert!(url.verifies());
        assert_eq!(url.ca(), Some(&PathBuf::from("/ca.pem")));
        assert_eq!(url.at("k", 2).place(), "k:2");
    }

    #[test]
    fn a_role_s_url_is_as_secure_as_the_one_it_comes_from() {
        for (text, expected) in [
            ("postgres://a:b@h:1/d", "postgres://x:y@h:1/d"),
            (
                "postgres://a:b@[::1]/d?connect_timeout=3&sslmode=require",
                "postgres://x:y@[::1]:5432/d?sslmode=require",
            ),
            (
                "postgres://a:b@h:1/d?sslmode=verify-full&sslrootcert=%2Fa%20b.pem",
                "postgres://x:y@h:1/d?sslmode=verify-full&sslrootcert=%2Fa%20b.pem",
            ),
            (
                "postgres://a@/d?host=/run/pg",
                "postgres://x:y@%2Frun%2Fpg:5432/d",
            ),
        ] {
            let url = DatabaseUrl::parse(text).expect(text);
            assert_eq!(url.text_for("x", "y"), expected);
        }
    }

    #[test]
    fn a_unix_socket_has_no_tls() {
        let mode = |url: &DatabaseUrl| url.config().get_ssl_mode();
        for (text, expected, on_a_network) in [
            ("postgres://a@%2Frun/d", SslMode::Disable, SslMode::Prefer),
            (
                "postgres://a@/d?host=/run&sslmode=require",
                SslMode::Disable,
                SslMode::Require,
            ),
            (
                "postgres://a@h/d?sslmode=require",
                SslMode::Require,
                SslMode::Require,
            ),
        ] {
            let url = DatabaseUrl::parse(text).expect(text);
            assert_eq!(mode(&url), expected, "{text}");
            assert_eq!(mode(&url.at("k", 2)), on_a_network, "{text}");
            assert_eq!(mode(&url.at("/run", 2)), SslMode::Disable, "{text}");
        }
    }

    #[test]
    fn what_is_none_is_refused_without_being_shown() {
        for (text, part) in [
            ("", "it must be postgres://"),
            ("mysql://a:secret@h/d", "it must be postgres://"),
            ("postgres://", "it must be postgres://"),
            ("postgres://h/d", "it must be postgres://"),
            ("postgres://a:secret@h:x/d", "invalid"),
            ("postgres://a:secret@h/d?sslmode=always", "sslmode must be"),
            ("postgres://a:secret@h/d?colour=red", "unknown option"),
        ] {
            let error = DatabaseUrl::parse(text).err().expect(text).to_string();
            assert!(error.contains(part), "{text}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
