//! How a try to deliver something ended, and what went wrong with it.

use std::error::Error as _;
use std::fmt;
use std::io;
use std::time::Duration;

use crate::limits::ANSWER_SAID_BYTES_MAX;
use crate::net::connect::ConnectError;
use crate::net::trust::TrustError;

/// How one try to send a batch ended.
#[derive(Debug)]
pub enum Outcome {
    /// The destination has it. A syslog destination says nothing: written to the socket is all
    /// that can be known, and there is no status.
    Confirmed {
        /// HTTP status, where there is one.
        status: Option<u16>,
    },
    /// The destination has it, but for some messages that it will never take.
    Partly {
        /// HTTP status.
        status: u16,
        /// How many messages it does not take.
        refused: u64,
        /// Why, in its words.
        said: String,
    },
    /// The destination will never take it.
    Refused {
        /// HTTP status.
        status: u16,
        /// The beginning of what it said, as text.
        said: String,
    },
    /// A connection kept from before turned out to be dead before it brought any answer: no fault
    /// of the destination, try again on a new one at once.
    Stale,
    /// It may go better later.
    Retry {
        /// What went wrong.
        failure: Failure,
        /// How long the destination asks to be left alone.
        retry_after: Option<Duration>,
    },
}

impl From<Failure> for Outcome {
    fn from(failure: Failure) -> Self {
        Self::Retry {
            failure,
            retry_after: None,
        }
    }
}

/// What went wrong with a try. The texts hold neither passwords nor messages.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The TLS settings cannot be used.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The host is no name that a certificate could carry.
    #[error("the host is no valid TLS server name")]
    BadName,
    /// The certificate of one side did not convince the other.
    #[error("certificate validation failed: {0}")]
    Certificate(String),
    /// The TLS handshake failed for another reason.
    #[error("TLS handshake failed: {0}")]
    Handshake(io::Error),
    /// The URL or an own header cannot be sent in a request.
    #[error("the request cannot be made: {0}")]
    Request(http::Error),
    /// An answer that asks for another try, or says nothing that is understood.
    #[error("the destination answered {0}")]
    Status(u16),
    /// No answer that is HTTP, or the connection ended before there was one.
    #[error("no valid answer: {}", WithCause(.0))]
    Http(hyper::Error),
    /// The connection failed.
    #[error("the connection failed: {0}")]
    Io(#[from] io::Error),
    /// The peer closed the connection.
    #[error("the destination closed the connection")]
    Closed,
    /// Something took too long.
    #[error("{what} took longer than {} s", .timeout.as_secs_f64())]
    TimedOut {
        /// What took too long.
        what: &'static str,
        /// The time it was given.
        timeout: Duration,
    },
}

/// An error and what is behind it, which its own text leaves out.
struct WithCause<'e>(&'e hyper::Error);

impl fmt::Display for WithCause<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(error) = self;
        match error.source() {
            Some(source) => write!(f, "{error}: {source}"),
            None => write!(f, "{error}"),
        }
    }
}

impl Failure {
    /// The HTTP status, if there was an answer.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Status(status) => Some(*status),
            _ => None,
        }
    }

    /// Whether the destination's machine says that nothing listens there.
    #[must_use]
    pub fn is_nobody_there(&self) -> bool {
        matches!(
            self,
            Self::Connect(ConnectError::Io { error, .. })
                if error.kind() == io::ErrorKind::ConnectionRefused
        )
    }

    /// Whether waiting alone will hardly mend it: somebody must act.
    #[must_use]
    pub fn is_lasting(&self) -> bool {
        match self {
            Self::Status(status) => (300..400).contains(status),
            Self::Trust(_) | Self::BadName | Self::Certificate(_) | Self::Request(_) => true,
            Self::Connect(error) => matches!(error, ConnectError::Denied { .. }),
            _ => false,
        }
    }
}

/// An HTTP answer.
#[derive(Debug, Default)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// How long the destination asks to be left alone.
    pub retry_after: Option<Duration>,
    /// Whether its body says of itself that it is JSON.
    pub is_json: bool,
    /// The beginning of its body.
    pub said: Vec<u8>,
}

/// How a protocol reads answers.
#[derive(Clone, Copy)]
pub struct Judge {
    /// What it wants to see of a body.
    pub said_bytes_max: usize,
    /// Whether a success is one only with its whole body, which is waited for as its head is.
    pub is_body_needed: bool,
    /// What an answer means for the batch that got it.
    pub judge: fn(&Answer) -> Outcome,
}

/// Answers as Logplex reads them: the status decides.
pub const LOGPLEX: Judge = Judge {
    said_bytes_max: ANSWER_SAID_BYTES_MAX,
    is_body_needed: false,
    judge,
};

/// What an answer means for the batch that got it, by its status.
#[must_use]
pub fn judge(answer: &Answer) -> Outcome {
    let status = answer.status;
    match status {
        200..300 => Outcome::Confirmed {
            status: Some(status),
        },
        400..500 if status != 429 => Outcome::Refused {
            status,
            said: String::from_utf8_lossy(&answer.said).into_owned(),
        },
        _ => Outcome::Retry {
            failure: Failure::Status(status),
            retry_after: answer.retry_after,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(status: u16, retry_after: Option<Duration>) -> Outcome {
        super::judge(&Answer {
            status,
            retry_after,
            ..Answer::default()
        })
    }

    #[test]
    fn statuses_mean_what_logplex_and_the_issue_say() {
        for status in [200, 201, 202, 204, 299] {
            let outcome = judge(status, None);
            assert!(
                matches!(outcome, Outcome::Confirmed { status: Some(s) } if s == status),
                "{status}: {outcome:?}"
            );
        }
        for status in [400, 401, 403, 404, 410, 413, 428, 430, 499] {
            let outcome = judge(status, None);
            assert!(
                matches!(outcome, Outcome::Refused { status: s, .. } if s == status),
                "{status}: {outcome:?}"
            );
        }
        let wait = Some(Duration::from_secs(1));
        for status in [100, 101, 199, 300, 301, 304, 399, 429, 500, 503, 599, 600] {
            let outcome = judge(status, wait);
            assert!(
                matches!(outcome, Outcome::Retry { retry_after, .. } if retry_after == wait),
                "{status}: {outcome:?}"
            );
        }
    }

    #[test]
    fn redirects_last_and_overload_does_not() {
        assert!(Failure::Status(301).is_lasting());
        assert!(!Failure::Status(503).is_lasting());
        assert!(!Failure::Closed.is_lasting());
    }
}
