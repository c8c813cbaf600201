//! The code that speaks a destination's protocol: connect, send a batch, notice the end.

use crate::egress::drain::DrainSettings;
use crate::egress::drain::batch::Batch;
use crate::egress::drain::http::HttpSink;
use crate::egress::drain::plan::Plan;
use crate::egress::drain::syslog::SyslogSink;
use crate::egress::drain::udp::UdpSink;
use crate::net::outcome::{Failure, Outcome};
use crate::net::trust::Trusts;
use crate::registry::Scheme;

/// What a try needs to know beside its batch.
#[derive(Clone, Copy)]
pub(crate) struct Around<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) settings: &'a DrainSettings,
    pub(crate) trusts: &'a Trusts,
}

/// A destination. Its connection is made by the first batch and lives at most as long as the
/// settings say.
pub(crate) enum Sink {
    Http(HttpSink),
    Syslog(SyslogSink),
    Udp(UdpSink),
}

impl Sink {
    /// A sink for `plan`'s scheme, without a connection.
    pub(crate) fn new(plan: &Plan) -> Self {
        match plan.url.scheme() {
            Scheme::Http | Scheme::Https => Self::Http(HttpSink::default()),
            Scheme::Syslog | Scheme::SyslogTls => Self::Syslog(SyslogSink::default()),
            Scheme::SyslogUdp => Self::Udp(UdpSink::default()),
        }
    }

    /// Whether there is a connection that, as far as is known, can be used.
    pub(crate) fn is_connected(&self) -> bool {
        match self {
            Self::Http(sink) => sink.is_connected(),
            Self::Syslog(sink) => sink.is_connected(),
            Self::Udp(sink) => sink.is_connected(),
        }
    }

    /// Closes a connection that has lived long enough, however busy it is.
    pub(crate) async fn retire(&mut self, settings: &DrainSettings) {
        let is_over = match self {
            Self::Http(sink) => sink.is_over(settings),
            Self::Syslog(sink) => sink.is_over(settings),
            Self::Udp(_) => false,
        };
        if is_over {
            self.finish().await;
        }
    }

    /// Makes the connection.
    pub(crate) async fn connect(&mut self, around: Around<'_>) -> Result<(), Failure> {
        match self {
            Self::Http(sink) => sink.connect(around).await,
            Self::Syslog(sink) => sink.connect(around).await,
            Self::Udp(sink) => sink.connect(around).await,
        }
    }

    /// Sends `batch` over the connection. Not cancel safe: whoever drops this closes the sink.
    pub(crate) async fn send(&mut self, batch: &Batch, around: Around<'_>) -> Outcome {
        match self {
            Self::Http(sink) => sink.send(batch, around).await,
            Self::Syslog(sink) => sink.send(batch, around.settings).await,
            Self::Udp(sink) => sink.send(batch, around.settings).await,
        }
    }

    /// Ends when the idle connection is over: closed by the peer, unused for too long or too old.
    /// The connection is then gone. Never ends without a connection. Cancel safe.
    pub(crate) async fn expired(&mut self, settings: &DrainSettings) {
        match self {
            Self::Http(sink) => sink.expired(settings).await,
            Self::Syslog(sink) => sink.expired(settings).await,
            Self::Udp(_) => std::future::pending().await,
        }
    }

    /// Closes the connection, if there is one, once the destination has had what was sent; that
    /// takes a moment at most. Cancel safe.
    pub(crate) async fn finish(&mut self) {
        match self {
            Self::Syslog(sink) => sink.finish().await,
            Self::Http(_) | Self::Udp(_) => self.close(),
        }
    }

    /// Closes the connection at once, if there is one.
    pub(crate) fn close(&mut self) {
        match self {
            Self::Http(sink) => sink.close(),
            Self::Syslog(sink) => sink.close(),
            Self::Udp(sink) => sink.close(),
        }
    }
}
