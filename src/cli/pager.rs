//! A pager for long output, when it was asked for.

use std::process::Child;
use std::process::Command;
use std::process::Stdio;

use crate::cli::error::CliError;
use crate::cli::output::Out;
use crate::config::Environment;
use crate::config::PAGER_VARIABLE;

/// A pager at work.
pub(crate) struct Pager {
    line: String,
    child: Child,
    out: Out,
}

impl Pager {
    /// Starts `$PAGER` by the shell, as git does, or `less` so that it passes colours and ends by
    /// itself when all fits the screen.
    pub(crate) fn start(environment: &Environment) -> Result<Self, CliError> {
        let line = environment.value(PAGER_VARIABLE).unwrap_or(PAGER_DEFAULT);
        let failed = |source| CliError::File {
            path: line.to_owned(),
            source,
        };
        let mut child = Command::new("sh")
            .args(["-c", line])
            .stdin(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let out = Out::pipe(child.stdin.take());
        Ok(Self {
            line: line.to_owned(),
            child,
            out,
        })
    }

    /// Where to write what it shows.
    pub(crate) fn out(&self) -> Out {
        self.out.clone()
    }

    /// Says that this was all, and waits until the reader has left it. How it ended is its own
    /// matter, unless the shell could not start it.
    pub(crate) fn finish(mut self) -> Result<(), CliError> {
        self.out.close();
        let ended = self.child.wait().map_err(CliError::Runtime)?;
        match ended.code() {
            Some(NOT_RUNNABLE | NOT_FOUND) => Err(CliError::Usage {
                what: "PAGER",
                value: self.line,
                reason: "it cannot be started; name one that is installed, or leave out --pager"
                    .to_owned(),
            }),
            _ => Ok(()),
        }
    }
}

/// What a shell ends with that cannot run a command (POSIX, Shell Command Language, 2.8.2).
const NOT_RUNNABLE: i32 = 126;
const NOT_FOUND: i32 = 127;

const PAGER_DEFAULT: &str = "less -FRX";
