//! What can be wrong with a database, each with what would be right.

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use tokio_postgres::error::SqlState;

use crate::net::trust::TrustError;
use crate::net::trust::certificate_fault;
use crate::sources::postgres::prefix::PrefixError;
use crate::sources::postgres::url::DatabaseUrl;
use crate::sources::postgres::url::chain;

/// Why a database does not do as it is asked.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// Nothing answers there.
    #[error("no answer from {place}: {reason}; is the server running, and does it listen there?")]
    Unreachable {
        /// Where.
        place: String,
        /// What the system said.
        reason: String,
    },
    /// It answers too slowly.
    #[error("{place} does not answer within {} s", .timeout.as_secs())]
    TimedOut {
        /// Where.
        place: String,
        /// How long was waited.
        timeout: Duration,
    },
    /// The password is wrong or missing.
    #[error("{place} does not take the password of {user:?}; give the right one in the URL")]
    Password {
        /// Where.
        place: String,
        /// Who asks.
        user: String,
    },
    /// The server lets this user not in.
    #[error(
        "{place} does not let {user:?} in: {reason}; a role that may log in and a line for it in \
             pg_hba.conf are needed"
    )]
    NotAllowed {
        /// Where.
        place: String,
        /// Who asks.
        user: String,
        /// What the server said.
        reason: String,
    },
    /// There is no such database.
    #[error("there is no database {database:?} on {place}; name another in the URL")]
    NoDatabase {
        /// Where.
        place: String,
        /// Which.
        database: String,
    },
    /// It starts, ends, or recovers.
    #[error("{place} is starting or stopping: {reason}")]
    NotReady {
        /// Where.
        place: String,
        /// What the server said.
        reason: String,
    },
    /// All its connections are taken.
    #[error("{place} has no connection left: {reason}; raise max_connections there")]
    Full {
        /// Where.
        place: String,
        /// What the server said.
        reason: String,
    },
    /// The user may not do or see this.
    #[error(
        "{user:?} lacks a right on {place}: {reason}; as a superuser: GRANT pg_monitor TO {user}"
    )]
    NotPermitted {
        /// Where.
        place: String,
        /// Who asks.
        user: String,
        /// What it may not.
        reason: String,
    },
    /// There is no encrypted connection, or none that can be trusted.
    #[error("no TLS with {place}: {reason}")]
    Tls {
        /// Where.
        place: String,
        /// Why.
        reason: String,
    },
    /// A file of certificates cannot be read.
    #[error("cannot read {path}: {reason}")]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// TLS cannot be set up.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The connection broke.
    #[error("lost {place}: {reason}")]
    Lost {
        /// Where.
        place: String,
        /// What happened.
        reason: String,
    },
    /// It said no for another reason.
    #[error("{place} says: {reason}")]
    Refused {
        /// Where.
        place: String,
        /// What the server said.
        reason: String,
    },
    /// The server writes no log files.
    #[error(
        "{place} writes no log files: logging_collector is off; `logboom postgres setup` says how \
             to turn it on, or give --syslog-unix, or --no-logs"
    )]
    NoCollector {
        /// Where.
        place: String,
    },
    /// The server writes its log where no file is.
    #[error(
        "{place} writes no log files: log_destination is {destination:?}; make it jsonlog, csvlog \
             or stderr, or give --syslog-unix, or --no-logs"
    )]
    NoFiles {
        /// Where.
        place: String,
        /// Its setting.
        destination: String,
    },
    /// The log's files cannot be told from others.
    #[error(
        "log_filename on {place} is {filename:?}; make it end in .log, or log_destination jsonlog or \
             csvlog"
    )]
    FileName {
        /// Where.
        place: String,
        /// Its setting.
        filename: String,
    },
    /// The log's lines cannot be told apart.
    #[error(
        "log_line_prefix on {place} cannot be read: {error}; make it '%m [%p] ' or log_destination \
             jsonlog"
    )]
    Prefix {
        /// Where.
        place: String,
        /// What is wrong with it.
        error: PrefixError,
    },
}

impl Fault {
    /// What the client library's error means.
    #[must_use]
    pub(crate) fn of(url: &DatabaseUrl, error: &tokio_postgres::Error) -> Self {
        let place = url.place();
        let user = url.user().to_owned();
        let Some(said) = error.as_db_error() else {
            return Self::of_connection(url, error);
        };
        let reason = said.message().to_owned();
        let code = said.code();
        if *code == SqlState::INVALID_PASSWORD {
            Self::Password { place, user }
        } else if *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION {
            Self::NotAllowed {
                place,
                user,
                reason,
            }
        } else if *code == SqlState::INVALID_CATALOG_NAME {
            let database = url.database().to_owned();
            Self::NoDatabase { place, database }
        } else if *code == SqlState::CANNOT_CONNECT_NOW
            || *code == SqlState::ADMIN_SHUTDOWN
            || *code == SqlState::CRASH_SHUTDOWN
        {
            Self::NotReady { place, reason }
        } else if *code == SqlState::TOO_MANY_CONNECTIONS {
            Self::Full { place, reason }
        } else if *code == SqlState::INSUFFICIENT_PRIVILEGE {
            Self::NotPermitted {
                place,
                user,
                reason,
            }
        } else {
            Self::Refused { place, reason }
        }
    }

    fn of_connection(url: &DatabaseUrl, error: &tokio_postgres::Error) -> Self {
        let place = url.place();
        let reason = chain(error);
        let io = find_io(error);
        if let Some(fault) = io.and_then(certificate_fault) {
            return Self::Tls {
                place,
                reason: clear(fault),
            };
        }
        // The library has no other way to tell these.
        if reason.contains("password missing") {
            let user = url.user().to_owned();
            return Self::Password { place, user };
        }
        if reason.contains("TLS") {
            return Self::Tls { place, reason };
        }
        if error.is_closed() {
            return Self::Lost { place, reason };
        }
        if io.is_some() || reason.contains("connecting") {
            let reason = io.map_or(reason, ToString::to_string);
            return Self::Unreachable { place, reason };
        }
        Self::Refused { place, reason }
    }
}

/// The TLS library has no words for this one; libpq takes such a certificate.
fn clear(fault: String) -> String {
    if !fault.contains("CaUsedAsEndEntity") {
        return fault;
    }
    "its certificate is an authority's (CA:TRUE), which may not stand for a server; make one with \
     CA:FALSE, or give sslmode=require without sslrootcert, which verifies nothing"
        .to_owned()
}

/// The system's error among the causes.
fn find_io<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e io::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(io) = error.downcast_ref() {
            return Some(io);
        }
        next = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_s_certificate_is_told_in_words() {
        let webpki = "invalid peer certificate: Other(OtherError(CaUsedAsEndEntity))".to_owned();
        assert!(clear(webpki).contains("make one with CA:FALSE"));
        assert_eq!(clear("expired".to_owned()), "expired");
    }
}
