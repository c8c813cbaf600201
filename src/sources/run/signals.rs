//! Signals that reach the program while a process runs, and whether the terminal sent them.
//!
//! They are blocked and read from a descriptor, which says who sent each. That also keeps what is
//! inherited: whoever starts the program with a signal ignored (`nohup`) has a process that ignores
//! it too.

use std::io;
use std::thread;

use nix::errno::Errno;
use nix::sys::signal;
use nix::sys::signal::SigSet;
use nix::sys::signal::Signal;
use nix::sys::signalfd::SfdFlags;
use nix::sys::signalfd::SignalFd;
use tokio::signal::unix::SignalKind;
use tokio::sync::mpsc;
use tracing::error;

use crate::limits::SIGNALS_WAITING_MAX;

/// One signal that came.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Received {
    pub(crate) signal: Signal,
    /// The terminal sent it (Ctrl-C, Ctrl-\, Ctrl-Z, another size), and so to every process of its
    /// foreground group.
    pub(crate) is_of_terminal: bool,
}

/// Signals that are kept for `next` instead of doing what they do.
#[derive(Debug)]
pub struct Signals {
    queue: SignalFd,
}

impl Signals {
    /// Blocks them for the calling thread and those it starts from now on: to be called before there
    /// are any others, since a signal goes to whichever thread does not block it.
    ///
    /// # Errors
    /// When the system has no descriptor for them.
    pub fn block() -> io::Result<Self> {
        let all: SigSet = WATCHED.into_iter().collect();
        all.thread_block()?;
        let queue = SignalFd::with_flags(&all, SfdFlags::SFD_CLOEXEC)?;
        Ok(Self { queue })
    }

    /// Watches them, from a thread that ends with the program. To be called in a runtime.
    ///
    /// # Errors
    /// When the system has no thread for it.
    pub fn watch(self) -> io::Result<Watch> {
        // Who starts the program with this one ignored would have it hear of no child's end: the
        // kernel forgets such children. A handler, though blocked, is not ignoring.
        drop(tokio::signal::unix::signal(SignalKind::child())?);
        let (sender, received) = mpsc::channel(SIGNALS_WAITING_MAX);
        let name = thread::Builder::new().name("signals".to_owned());
        drop(name.spawn(move || pass_on(&self.queue, &sender))?);
        Ok(Watch { received })
    }
}

/// Signals as they come.
#[derive(Debug)]
pub struct Watch {
    received: mpsc::Receiver<Received>,
}

impl Watch {
    /// Ends when a signal asks for the end. Cancel safe.
    pub async fn end_asked(&mut self) {
        // Without signals nobody could ask.
        while let Ok(received) = self.next().await {
            if is_request_to_end(received.signal) {
                return;
            }
        }
    }

    /// The next one. Cancel safe: takes nothing until it returns.
    ///
    /// # Errors
    /// When the system gives no more.
    pub(crate) async fn next(&mut self) -> io::Result<Received> {
        let received = self.received.recv().await;
        received.ok_or_else(|| io::Error::other("no signals can be read"))
    }
}

/// Stops the program as Ctrl-Z does, which is not at all where no shell could let it go on (in an
/// orphaned process group); returns when it goes on.
pub(crate) fn stop() {
    let only = SigSet::from(Signal::SIGTSTP);
    let stopped = only.thread_unblock().and_then(|()| {
        let raised = signal::raise(Signal::SIGTSTP);
        only.thread_block().and(raised)
    });
    if let Err(error) = stopped {
        error!(%error, "cannot stop");
    }
}

/// Reads signals until nobody wants any. More than the channel holds wait with the kernel.
fn pass_on(queue: &SignalFd, sender: &mpsc::Sender<Received>) {
    loop {
        let sent = match queue.read_signal() {
            Ok(Some(sent)) => sent,
            Ok(None) | Err(Errno::EINTR) => continue,
            Err(error) => return error!(%error, "signals cannot be read"),
        };
        // Only those of `WATCHED` come, so each has a name.
        let number = i32::try_from(sent.ssi_signo).unwrap_or(0);
        let Ok(signal) = Signal::try_from(number) else {
            continue;
        };
        let received = Received {
            signal,
            is_of_terminal: sent.ssi_code == SENT_BY_KERNEL,
        };
        if sender.blocking_send(received).is_err() {
            return;
        }
    }
}

/// Whether a program that gets it is to end.
pub(crate) const fn is_request_to_end(signal: Signal) -> bool {
    matches!(
        signal,
        Signal::SIGHUP | Signal::SIGINT | Signal::SIGQUIT | Signal::SIGTERM
    )
}

/// What means something to a process and can be passed on, and that a child ended.
const WATCHED: [Signal; 10] = [
    Signal::SIGCHLD,
    Signal::SIGCONT,
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTERM,
    Signal::SIGTSTP,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGWINCH,
];

/// `SI_KERNEL` (sigaction(2)): no process sent it.
const SENT_BY_KERNEL: i32 = 0x80;
