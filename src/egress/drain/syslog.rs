//! Syslog over TCP or TLS: octet-counted frames, written and not answered.
//!
//! Nobody confirms a syslog message. "Delivered" means: written to the socket while the connection
//! stood. A peer's close is looked for before each write, and a reset after it: then the batch came
//! too late for the peer and is written again. So what was on its way when a peer closed, or lay
//! unread in its buffers, is all that can be counted and not be there. A batch cut off by an error is
//! written again as a whole: the peer may see some of its messages twice, and none of them never.

use std::io;

use tokio::io::AsyncWriteExt as _;
use tokio::time::{sleep_until, timeout};

use crate::egress::drain::DrainSettings;
use crate::egress::drain::batch::Batch;
use crate::egress::drain::sink::Around;
use crate::net::link::{self, Age, End, Wire};
use crate::net::outcome::{Failure, Outcome};
use crate::net::trust::certificate_fault;

/// The sink of `syslog://` and `syslog+tls://` drains.
#[derive(Default)]
pub(crate) struct SyslogSink {
    connection: Option<Connection>,
}

struct Connection {
    wire: Box<dyn Wire>,
    age: Age,
    /// Whether a batch was written to it: only then can it have gone stale.
    was_used: bool,
}

impl SyslogSink {
    /// Whether there is a connection.
    pub(crate) fn is_connected(&self) -> bool {
        self.connection.is_some()
    }

    /// Makes the connection.
    pub(crate) async fn connect(&mut self, around: Around<'_>) -> Result<(), Failure> {
        self.close();
        let wire = link::open(around.plan.destination(around.settings), around.trusts).await?;
        self.connection = Some(Connection {
            wire,
            age: Age::begun_now(),
            was_used: false,
        });
        Ok(())
    }

    /// Writes `batch`, all of it within `write_timeout`.
    pub(crate) async fn send(&mut self, batch: &Batch, settings: &DrainSettings) -> Outcome {
        let Some(connection) = &mut self.connection else {
            return Failure::Closed.into();
        };
        if let Some(end) = link::ended_already(connection.wire.as_mut()).await {
            let was_used = connection.was_used;
            self.close();
            return match end {
                _ if was_used => Outcome::Stale,
                End::Closed => Failure::Closed.into(),
                End::Broken(error) => broken(error).into(),
            };
        }
        let write = async {
            connection.wire.write_all(&batch.body).await?;
            // TLS keeps records back until it is told that nothing follows.
            connection.wire.flush().await
        };
        let failure = match timeout(settings.write_timeout, write).await {
            Ok(Ok(())) => {
                connection.age.touch();
                let is_first = !std::mem::replace(&mut connection.was_used, true);
                let wire = connection.wire.as_mut();
                let end = if is_first && !wire.is_accepted() {
                    link::refused(wire).await
                } else {
                    link::ended_already(wire).await
                };
                if end.is_some() {
                    self.close();
                }
                return match end {
                    Some(End::Broken(error)) => broken(error).into(),
                    Some(End::Closed) | None => Outcome::Confirmed { status: None },
                };
            }
            // The peer's word on our certificate may have come before its reset.
            Ok(Err(error)) => match link::ended_already(connection.wire.as_mut()).await {
                Some(End::Broken(said)) => broken(said),
                Some(End::Closed) | None => broken(error),
            },
            Err(_) => Failure::TimedOut {
                what: "writing",
                timeout: settings.write_timeout,
            },
        };
        self.close();
        failure.into()
    }

    /// Ends when the idle connection is over. Cancel safe.
    pub(crate) async fn expired(&mut self, settings: &DrainSettings) {
        let Some(connection) = &mut self.connection else {
            return std::future::pending().await;
        };
        let ends = connection
            .age
            .ends(settings.syslog_idle_max, settings.connection_age_max);
        tokio::select! {
            () = link::ended_by_peer(connection.wire.as_mut()) => {}
            () = sleep_until(ends) => {}
        }
        // Boxed: a drain at rest does not pay for the state of an end.
        Box::pin(self.finish()).await;
    }

    /// Whether the connection has lived long enough.
    pub(crate) fn is_over(&self, settings: &DrainSettings) -> bool {
        self.connection
            .as_ref()
            .is_some_and(|connection| connection.age.is_over(settings.connection_age_max))
    }

    /// Closes the connection once the peer has had what was written. Cancel safe.
    pub(crate) async fn finish(&mut self) {
        if let Some(connection) = self.connection.take() {
            link::close(connection.wire).await;
        }
    }

    /// Closes the connection at once.
    pub(crate) fn close(&mut self) {
        self.connection = None;
    }
}

/// What a broken connection means. In TLS 1.3 a peer that does not like our certificate says so
/// only after the handshake.
fn broken(error: io::Error) -> Failure {
    match certificate_fault(&error) {
        Some(fault) => Failure::Certificate(fault),
        None => Failure::Io(error),
    }
}
