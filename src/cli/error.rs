//! How a command can fail, what people are told, and the exit code that scripts see.

use std::process::ExitCode;

use crate::app::AppError;
use crate::config::ConfigError;
use crate::config::Problem;
use crate::id::IdError;
use crate::sources::postgres::receive::ReceiveError;
use crate::sources::postgres::setup::SetupError;
use crate::sources::ship::PlacesError;
use crate::sources::ship::SocketError;
use crate::sources::ship::SpoolError;

/// Why a command did not succeed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// The configuration is wrong.
    #[error("{0}")]
    Config(#[from] ConfigError),
    /// The router did not start.
    #[error("cannot start: {0}")]
    Start(#[from] AppError),
    /// The async runtime, or its signals, could not be had.
    #[error("the system refused threads or signals: {0}")]
    Runtime(std::io::Error),
    /// A file that a flag names, or a folder that is needed, cannot be had.
    #[error("cannot use {path}: {source}")]
    File {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// Stdout is closed: its reader wants no more.
    #[error("the output was closed")]
    OutputClosed,
    /// Stdout cannot be written.
    #[error("cannot write the output: {0}")]
    Output(std::io::Error),
    /// A value on the command line is none.
    #[error("{what} {value:?}: {reason}")]
    Usage {
        /// Which value.
        what: &'static str,
        /// The value.
        value: String,
        /// What would be right.
        reason: String,
    },
    /// Nobody said which server to report on.
    #[error("no server: give {flag}, or the same as {variable}{instead}")]
    NoServerUrl {
        /// The flag that names it.
        flag: &'static str,
        /// The variable that names it.
        variable: &'static str,
        /// What else would do.
        instead: &'static str,
    },
    /// The URL of the server to report on is none. It may hold a password and is not shown.
    #[error("the URL from {origin} names no server: {reason}")]
    BadServerUrl {
        /// Where it came from.
        origin: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The server was not set up.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// Neither logs nor samples are wanted.
    #[error("--no-logs and --no-metrics leave nothing to do; leave one out")]
    NothingToDo,
    /// Syslog cannot be received.
    #[error(transparent)]
    Receive(#[from] ReceiveError),
    /// Nobody said where to ship to.
    #[error(
        "no router to ship to: give --logs-url http://token:t.…@HOST:8601/logs, or the same as LOGS_URL"
    )]
    NoLogsUrl,
    /// The URL to ship to is none. It may hold a secret and is not shown.
    #[error("the URL from {origin} cannot be shipped to: {reason}")]
    BadLogsUrl {
        /// Where it came from.
        origin: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The token given is none. It may be a secret and is not shown.
    #[error("the token from {origin} is none: {reason}")]
    BadToken {
        /// Where it came from.
        origin: &'static str,
        /// What is wrong with it.
        reason: IdError,
    },
    /// The places of followed files cannot be kept.
    #[error(transparent)]
    Places(#[from] PlacesError),
    /// A local socket cannot be had.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// The spool cannot be used.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// The credential given is none.
    #[error("the credential from {origin} is none ({problem}); it must be ID:SECRET")]
    BadCredential {
        /// Where it came from.
        origin: String,
        /// What is wrong with it.
        problem: Problem,
    },
    /// Nobody said who asks.
    #[error(
        "no credential: give --credential ID:SECRET or LOGBOOM_CREDENTIAL, or name the router's data \
         folder with --data-dir ({tried}: {reason})"
    )]
    NoCredential {
        /// The file that was looked for.
        tried: String,
        /// Why it could not be read.
        reason: String,
    },
    /// The router knows no such credential.
    #[error(
        "the router at {url} does not accept the credential from {origin}\nGive another as --credential \
         ID:SECRET or LOGBOOM_CREDENTIAL; the first one is in DATA/admin-credential on the router's machine."
    )]
    NotAccepted {
        /// Which router.
        url: String,
        /// Where the credential came from.
        origin: String,
    },
    /// Nothing answers there.
    #[error(
        "no answer from {url}: {reason}\nIs the router running? Start one with `logboom serve`, or name \
         another with --url or LOGBOOM_URL."
    )]
    Unreachable {
        /// What was tried.
        url: String,
        /// What happened.
        reason: String,
    },
    /// The router said no.
    #[error("{text} ({what}: HTTP {status})")]
    Refused {
        /// Method and path.
        what: String,
        /// The answer's status.
        status: u16,
        /// What the router said.
        text: String,
    },
    /// The answer is not what this version of the program understands.
    #[error("{what}: the answer is not understood: {reason}")]
    BadAnswer {
        /// Method and path.
        what: String,
        /// Why.
        reason: String,
    },
    /// A channel of that id is there already.
    #[error("the channel {0:?} exists already; see `logboom channels show`")]
    ChannelExists(String),
    /// No such entry.
    #[error("no {what} {name:?}")]
    NotFound {
        /// Of which sort.
        what: &'static str,
        /// What it was called.
        name: String,
    },
    /// No such channel.
    #[error(
        "no channel {name:?}{}\n`logboom channels list` shows all, `logboom channels create` makes one.",
        did_you_mean(.near.as_deref())
    )]
    UnknownChannel {
        /// What it was called.
        name: String,
        /// One that is called nearly so.
        near: Option<String>,
    },
    /// The stream ended where it should not have.
    #[error("the stream was cut: {0}")]
    Cut(String),
    /// The channel allows no tails.
    #[error("the channel allows no tails; its history was shown")]
    NoTail,
}

impl CliError {
    /// Exit code of a wrong command line.
    pub(crate) const USAGE_CODE: u8 = 2;

    /// The exit code: 1 failed, 2 usage, 3 not found, 4 not permitted, 5 not reachable.
    #[must_use]
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code())
    }

    /// The exit code as a number.
    #[must_use]
    pub(crate) const fn code(&self) -> u8 {
        match self {
            Self::Config(_)
            | Self::Usage { .. }
            | Self::BadCredential { .. }
            | Self::NoServerUrl { .. }
            | Self::BadServerUrl { .. }
            | Self::NothingToDo
            | Self::NoLogsUrl
            | Self::BadLogsUrl { .. }
            | Self::BadToken { .. } => Self::USAGE_CODE,
            Self::NotFound { .. }
            | Self::UnknownChannel { .. }
            | Self::Refused { status: 404, .. } => 3,
            Self::NoCredential { .. }
            | Self::NotAccepted { .. }
            | Self::NoTail
            | Self::Refused {
                status: 401 | 403, ..
            } => 4,
            Self::Unreachable { .. } => 5,
            _ => 1,
        }
    }
}

fn did_you_mean(near: Option<&str>) -> String {
    near.map_or_else(String::new, |near| format!("; did you mean {near:?}?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_tell_failures_apart() {
        let refused = |status| CliError::Refused {
            what: "GET /".to_owned(),
            status,
            text: String::new(),
        };
        for (error, code) in [
            (refused(404), 3),
            (refused(401), 4),
            (refused(403), 4),
            (refused(422), 1),
            (refused(503), 1),
            (CliError::ChannelExists("a".to_owned()), 1),
            (CliError::NoTail, 4),
            (
                CliError::Unreachable {
                    url: String::new(),
                    reason: String::new(),
                },
                5,
            ),
        ] {
            assert_eq!(error.code(), code, "{error}");
        }
    }
}
