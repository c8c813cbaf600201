//! Every address the router listens on: bound first, served when there is something to serve.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

use axum::Extension;
use tokio::net::UdpSocket;

use crate::api::OverTls;
use crate::app::Addresses;
use crate::app::AppError;
use crate::app::ReloadError;
use crate::app::gate::Gate;
use crate::app::settings;
use crate::config::Config;
use crate::config::Protocol;
use crate::id::Token;
use crate::ingest::tcp::serve_syslog;
use crate::ingest::udp::serve_udp;
use crate::net::http::HttpEnds;
use crate::net::http::serve_http;
use crate::net::listen::ListenError;
use crate::net::listen::Listener;
use crate::net::listen::bind_udp;
use crate::net::tls::Alpn;
use crate::net::tls::Renewed;
use crate::net::tls::TlsServer;
use crate::route::RouteTable;
use crate::shutdown::Shutdown;
use crate::telemetry::Input;
use crate::telemetry::Telemetry;

/// A bound stream listener of syslog, its TLS, and the token it belongs to.
struct SyslogListener {
    listener: Listener,
    tls: Option<Arc<TlsServer>>,
    token: Option<Token>,
}

/// A bound datagram socket of syslog and the token it belongs to.
struct DatagramListener {
    socket: UdpSocket,
    token: Option<Token>,
}

/// What was bound and waits to be served; taken when it is.
#[derive(Default)]
struct Waiting {
    http: Vec<(Listener, Gate)>,
    streams: Vec<SyslogListener>,
    datagrams: Vec<DatagramListener>,
}

/// The gates of the HTTP listeners, to be opened when the router is ready.
pub(crate) struct Gates {
    pub(crate) http: Gate,
    pub(crate) api: Option<Gate>,
}

/// All listeners of one router.
pub(crate) struct Listeners {
    addresses: Addresses,
    http_tls: Option<Arc<TlsServer>>,
    syslog_tls: Option<Arc<TlsServer>>,
    waiting: Mutex<Waiting>,
}

impl Listeners {
    /// Reads the certificates and binds every address of `config`.
    pub(crate) fn bind(config: &Config, telemetry: &Telemetry) -> Result<Self, AppError> {
        let load = |files: Option<_>, alpn| {
            files
                .map(|files| TlsServer::load(files, alpn).map(Arc::new))
                .transpose()
        };
        let http_tls = load(settings::http_files(config), Alpn::Http)?;
        let syslog_tls = load(settings::syslog_files(config), Alpn::None)?;
        let mut binder = Binder {
            config,
            telemetry,
            syslog_tls: syslog_tls.clone(),
            waiting: Waiting::default(),
        };
        let mut addresses = Addresses {
            http: binder.http(config.http)?,
            api: config.api.map(|at| binder.http(at)).transpose()?,
            syslog_tcp: binder.maybe(Protocol::Tcp, config.syslog_tcp)?,
            syslog_udp: binder.maybe(Protocol::Udp, config.syslog_udp)?,
            syslog_tls: binder.maybe(Protocol::Tls, config.syslog_tls)?,
            bound: Vec::new(),
        };
        for bound in &config.listener {
            let at = binder.syslog(bound.protocol, bound.address, Some(bound.token.clone()))?;
            addresses.bound.push((bound.protocol, at));
        }
        Ok(Self {
            addresses,
            http_tls,
            syslog_tls,
            waiting: Mutex::new(binder.waiting),
        })
    }

    /// Where they listen.
    pub(crate) fn addresses(&self) -> Addresses {
        self.addresses.clone()
    }

    /// Those that show a certificate.
    pub(crate) fn certificates(&self) -> Vec<(&'static str, Arc<TlsServer>)> {
        [("http", &self.http_tls), ("syslog_tls", &self.syslog_tls)]
            .into_iter()
            .filter_map(|(name, server)| Some((name, Arc::clone(server.as_ref()?))))
            .collect()
    }

    /// Serves the HTTP listeners, each behind a gate that is still closed.
    pub(crate) fn serve_http(
        &mut self,
        config: &Config,
        ends: &HttpEnds,
        telemetry: &Telemetry,
    ) -> Gates {
        let mut gates = Vec::new();
        for (listener, gate) in std::mem::take(&mut self.waiting().http) {
            let mut router = gate.router();
            if self.http_tls.is_some() {
                // URLs given out begin with `https` then.
                router = router.layer(Extension(OverTls));
            }
            ends.listening.spawn(serve_http(
                listener,
                self.http_tls.clone(),
                router,
                settings::http(config),
                ends.clone(),
                telemetry.clone(),
            ));
            gates.push(gate);
        }
        let mut gates = gates.into_iter();
        Gates {
            http: gates.next().unwrap_or_default(),
            api: gates.next(),
        }
    }

    /// Serves the syslog listeners.
    pub(crate) fn serve_syslog(
        &self,
        config: &Config,
        routes: &Arc<RouteTable>,
        shutdown: &Shutdown,
        telemetry: &Telemetry,
    ) {
        let waiting = std::mem::take(&mut *self.waiting());
        for SyslogListener {
            listener,
            tls,
            token,
        } in waiting.streams
        {
            shutdown.spawn(serve_syslog(
                listener,
                tls,
                Arc::clone(routes),
                settings::syslog(config, token),
                shutdown.clone(),
                telemetry.clone(),
            ));
        }
        for DatagramListener { socket, token } in waiting.datagrams {
            shutdown.spawn(serve_udp(
                socket,
                Arc::clone(routes),
                settings::udp(config, token),
                shutdown.clone(),
                telemetry.clone(),
            ));
        }
    }

    /// Reads certificates and keys again, without effect yet.
    pub(crate) fn read_certificates(&self) -> Result<Vec<Renewed<'_>>, ReloadError> {
        let servers = [
            ("http_tls_certificate", &self.http_tls),
            ("tls_certificate", &self.syslog_tls),
        ];
        servers
            .into_iter()
            .filter_map(|(key, server)| Some((key, server.as_ref()?)))
            .map(|(key, server)| {
                let renewed = server.read_again();
                renewed.map_err(|error| ReloadError::new(key, error))
            })
            .collect()
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Binds one address after the other.
struct Binder<'a> {
    config: &'a Config,
    telemetry: &'a Telemetry,
    syslog_tls: Option<Arc<TlsServer>>,
    waiting: Waiting,
}

impl Binder<'_> {
    fn stream(&self, address: SocketAddr, input: Input) -> Result<Listener, ListenError> {
        let settings = settings::listen(self.config, input == Input::Http);
        Listener::bind(address, settings, self.telemetry.input(input).clone())
    }

    fn http(&mut self, address: SocketAddr) -> Result<SocketAddr, ListenError> {
        let listener = self.stream(address, Input::Http)?;
        let address = listener.address();
        self.waiting.http.push((listener, Gate::default()));
        Ok(address)
    }

    fn maybe(
        &mut self,
        protocol: Protocol,
        address: Option<SocketAddr>,
    ) -> Result<Option<SocketAddr>, ListenError> {
        address
            .map(|address| self.syslog(protocol, address, None))
            .transpose()
    }

    /// `token`: whose everything is that arrives there.
    fn syslog(
        &mut self,
        protocol: Protocol,
        address: SocketAddr,
        token: Option<Token>,
    ) -> Result<SocketAddr, ListenError> {
        let (input, tls) = match protocol {
            Protocol::Udp => {
                let buffer = settings::given(self.config.socket_receive_bytes);
                let socket = bind_udp(address, buffer)?;
                let bound = socket.local_addr().unwrap_or(address);
                self.waiting
                    .datagrams
                    .push(DatagramListener { socket, token });
                return Ok(bound);
            }
            Protocol::Tcp => (Input::Tcp, None),
            Protocol::Tls => (Input::Tls, self.syslog_tls.clone()),
        };
        let listener = self.stream(address, input)?;
        let bound = listener.address();
        self.waiting.streams.push(SyslogListener {
            listener,
            tls,
            token,
        });
        Ok(bound)
    }
}
