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
        Ok(Self { child, out })
    }

    /// Where to write what it shows.
    pub(crate) fn out(&self) -> Out {
        self.out.clone()
    }

    /// Says that this was all, and waits until the reader has left it.
    pub(crate) fn finish(mut self) {
        self.out.close();
        // It was started, so it can be waited for; how it ended is its own matter.
        if self.child.wait().is_err() { /* see above */ }
    }
}

const PAGER_DEFAULT: &str = "less -FRX";
