//! The process itself: started, sent signals to, waited for.
//!
//! *Groups.* Where the program is in the foreground of a terminal, the process is of the same group:
//! it may read keys, and what the terminal sends (Ctrl-C) reaches it from there, once. Elsewhere it
//! has a group of its own, so that a signal to the program's group (`kill %1`, a supervisor's) comes
//! once, too: through the program. A signal that somebody sent to the program goes to the process,
//! one of the terminal or of job control to the process's group. What is not done: the terminal is not
//! handed to the process's own group when a shell brings the program to the foreground later (`fg`), so
//! that a process that was started in the background can read no keys; handing it over would take it
//! from others in the same pipeline (`logboom run … | less`).
//!
//! *Reaping.* The program takes in descendants whose parents have ended: they count as the
//! process's, and as process 1 of a container it leaves no zombies.

use std::ffi::CString;
use std::ffi::NulError;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::io::PipeReader;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStringExt;

use nix::spawn;
use nix::spawn::PosixSpawnAttr;
use nix::spawn::PosixSpawnFileActions;
use nix::spawn::PosixSpawnFlags;
use nix::sys::prctl;
use nix::sys::signal;
use nix::sys::signal::SigSet;
use nix::sys::signal::Signal;
use nix::unistd;
use nix::unistd::Pid;
use rustix::process::WaitOptions;
use rustix::process::WaitStatus;

use crate::sources::run::signals::Received;

/// Why a process did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// There is no such program, or none that it asks for (`#!`).
    #[error("command not found: {command}")]
    NotFound {
        /// Its name.
        command: String,
    },
    /// It is there, but the system does not run it.
    #[error("cannot run {command}: {source}")]
    NotExecutable {
        /// Its name.
        command: String,
        /// What the system said.
        source: io::Error,
    },
}

impl StartError {
    /// The exit status that shells have for it.
    #[must_use]
    pub const fn status(&self) -> u8 {
        match self {
            Self::NotFound { .. } => 127,
            Self::NotExecutable { .. } => 126,
        }
    }
}

/// What is started.
#[derive(Debug)]
pub struct Command {
    /// The program: a path, or a name looked for in `PATH`.
    pub program: OsString,
    /// What it is given.
    pub arguments: Vec<OsString>,
    /// Its environment.
    pub variables: Vec<(OsString, OsString)>,
}

/// A process that was started.
#[derive(Debug)]
pub(crate) struct Child {
    pid: Pid,
    shares_group: bool,
    status: Option<u8>,
}

/// Where it writes.
#[derive(Debug)]
pub(crate) struct Pipes {
    pub(crate) out: PipeReader,
    pub(crate) err: PipeReader,
}

impl Child {
    /// Starts `command`, with signals as the program was started with them.
    pub(crate) fn start(command: &Command) -> Result<(Self, Pipes), StartError> {
        // Not to be had before Linux 3.4: then orphans go to process 1, as without it.
        if prctl::set_child_subreaper(true).is_err() { /* see above */ }
        let shares_group = is_in_foreground();
        let started = command.start(shares_group).map_err(|source| {
            let command = command.program.to_string_lossy().into_owned();
            match source.kind() {
                io::ErrorKind::NotFound => StartError::NotFound { command },
                _ => StartError::NotExecutable { command, source },
            }
        });
        let (pid, pipes) = started?;
        let child = Self {
            pid,
            shares_group,
            status: None,
        };
        Ok((child, pipes))
    }

    /// Passes on a signal, unless the process has it already or has ended.
    pub(crate) fn pass_on(&self, received: Received) {
        let Received {
            signal,
            is_of_terminal,
        } = received;
        // A terminal that goes away says so to its session's first process only.
        let is_for_leader =
            matches!(signal, Signal::SIGHUP | Signal::SIGCONT) && is_session_leader();
        let has_it = self.shares_group && is_of_terminal && !is_for_leader;
        if self.status.is_some() || has_it {
            return;
        }
        let is_for_group = is_of_terminal || matches!(signal, Signal::SIGTSTP | Signal::SIGCONT);
        let sent = if is_for_group && !self.shares_group {
            signal::killpg(self.pid, signal)
        } else {
            signal::kill(self.pid, signal)
        };
        // It ended just now, or has become another user's: nobody to tell.
        if sent.is_err() { /* see above */ }
    }

    /// Takes the end of all children that ended; gives the exit status of the process once it has.
    pub(crate) fn reap(&mut self) -> io::Result<Option<u8>> {
        loop {
            match rustix::process::wait(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) if pid.as_raw_pid() == self.pid.as_raw() => {
                    self.status = Some(status_of(status));
                }
                // An orphan's end means nothing to anybody.
                Ok(Some(_)) | Err(rustix::io::Errno::INTR) => {}
                Ok(None) | Err(rustix::io::Errno::CHILD) => return Ok(self.status),
                Err(other) => return Err(other.into()),
            }
        }
    }
}

impl Command {
    /// The process is made by `posix_spawn`, which gives it signals that are not blocked: between a
    /// fork and what is called in the child there is no place for it without `unsafe`.
    fn start(&self, shares_group: bool) -> io::Result<(Pid, Pipes)> {
        let text = |text: &OsString| CString::new(text.clone().into_vec());
        let program = text(&self.program)?;
        let rest = self.arguments.iter().map(text);
        let arguments: Vec<CString> = std::iter::once(Ok(program.clone()))
            .chain(rest)
            .collect::<Result<_, NulError>>()?;
        let variables: Vec<CString> = self
            .variables
            .iter()
            .map(|(name, value)| {
                let pair = [name.as_encoded_bytes(), b"=", value.as_encoded_bytes()];
                CString::new(pair.concat())
            })
            .collect::<Result<_, NulError>>()?;
        let (out, out_end) = io::pipe()?;
        let (err, err_end) = io::pipe()?;
        let mut files = PosixSpawnFileActions::init()?;
        files.add_dup2(out_end.as_raw_fd(), io::stdout().as_raw_fd())?;
        files.add_dup2(err_end.as_raw_fd(), io::stderr().as_raw_fd())?;
        let mut attributes = PosixSpawnAttr::init()?;
        let mut flags =
            PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK | PosixSpawnFlags::POSIX_SPAWN_SETSIGDEF;
        attributes.set_sigmask(&SigSet::empty())?;
        // Rust's programs ignore it; others end by it when nobody reads what they write.
        attributes.set_sigdefault(&SigSet::from(Signal::SIGPIPE))?;
        if !shares_group {
            flags |= PosixSpawnFlags::POSIX_SPAWN_SETPGROUP;
            attributes.set_pgroup(Pid::from_raw(0))?;
        }
        attributes.set_flags(flags)?;
        let pid = spawn::posix_spawnp(&program, &files, &attributes, &arguments, &variables)?;
        Ok((pid, Pipes { out, err }))
    }
}

/// What shells call it: the exit code, or 128 and the signal's number.
fn status_of(status: WaitStatus) -> u8 {
    let number = status
        .exit_status()
        .or_else(|| Some(128 + status.terminating_signal()?))
        .unwrap_or(0);
    u8::try_from(number).unwrap_or(u8::MAX)
}

/// Whether the terminal's keys and signals are for this process's group.
fn is_in_foreground() -> bool {
    let foreground = File::open("/dev/tty").map(unistd::tcgetpgrp);
    matches!(foreground, Ok(Ok(group)) if group == unistd::getpgrp())
}

/// Whether this process is the first of its session, as below `ssh -t` or in a container.
fn is_session_leader() -> bool {
    unistd::getsid(None) == Ok(unistd::getpid())
}
