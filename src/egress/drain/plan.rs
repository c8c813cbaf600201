//! What a drain's entry asks for, made ready for use.

use std::sync::Arc;

use crate::channel::Record;
use crate::clock::UnixMicros;
use crate::egress::drain::DrainSettings;
use crate::filter::Filter;
use crate::filter::FilterError;
use crate::id::{DrainId, DrainToken};
use crate::net::certificate::NotAfter;
use crate::net::link::Destination;
use crate::net::trust::Trust;
use crate::registry::{Compression, DrainEntry, DrainOptions, DrainUrl, Format, Scheme};
use crate::syslog::encode;
use crate::syslog::message::Message;

/// How a message is written into a batch.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Shape {
    /// Logplex's frames of HTTP drains.
    LogplexHttp,
    /// Logplex's frames of syslog drains, with the drain's token as host.
    LogplexSyslog,
    /// Strict RFC 5424.
    Rfc5424,
}

/// One drain as its entry wants it. Holds secrets: no `Debug`.
pub(crate) struct Plan {
    pub(crate) id: DrainId,
    pub(crate) token: DrainToken,
    pub(crate) url: DrainUrl,
    pub(crate) options: Arc<DrainOptions>,
    /// `None`: it wants everything, as most do; theirs is to cost little.
    filter: Option<Box<Filter>>,
    shape: Shape,
    /// When the certificate ends that the destination last showed.
    pub(crate) not_after: NotAfter,
}

impl Plan {
    /// The plan of `entry`; `None` while it is only reserved.
    ///
    /// # Errors
    /// The entry's filter cannot be read: another version of the router stored it.
    pub(crate) fn new(entry: &DrainEntry) -> Result<Option<Self>, FilterError> {
        let Some(url) = entry.url.clone() else {
            return Ok(None);
        };
        let is_http = is_http(&url);
        let shape = match entry.options.format {
            Format::Rfc5424 => Shape::Rfc5424,
            Format::Logplex if is_http => Shape::LogplexHttp,
            Format::Logplex => Shape::LogplexSyslog,
        };
        let options = Arc::clone(&entry.options);
        let filter = Filter::of(
            options.source.as_deref(),
            options.ps.as_deref(),
            options.filter.as_deref(),
        )?;
        Ok(Some(Self {
            id: entry.id,
            token: entry.token.clone(),
            filter: filter.map(Box::new),
            url,
            options,
            shape,
            not_after: NotAfter::default(),
        }))
    }

    /// Whether the drain wants `record`.
    pub(crate) fn wants(&self, record: &Record<'_>) -> bool {
        self.filter
            .as_ref()
            .is_none_or(|filter| filter.matches(&record.message()))
    }

    /// Whether `entry` asks for just this.
    pub(crate) fn agrees(&self, entry: &DrainEntry) -> bool {
        entry.url.as_ref() == Some(&self.url)
            && entry.options == self.options
            && entry.token == self.token
    }

    /// Appends `record` to `out` as one octet-counted frame.
    pub(crate) fn encode(&self, record: &Record<'_>, out: &mut Vec<u8>) {
        match self.shape {
            Shape::LogplexHttp => encode::logplex_http(record, out),
            Shape::LogplexSyslog => encode::logplex_syslog(record, &self.token, out),
            Shape::Rfc5424 => encode::rfc5424(&record.message(), record.arrival, out),
        }
    }

    /// Appends a message of the router's own, made at `now`.
    pub(crate) fn encode_notice(&self, notice: &Message<'_>, now: UnixMicros, out: &mut Vec<u8>) {
        match self.shape {
            Shape::LogplexHttp => encode::logplex_http(notice, out),
            Shape::LogplexSyslog => encode::logplex_syslog(notice, &self.token, out),
            Shape::Rfc5424 => encode::rfc5424(notice, now, out),
        }
    }

    /// Whether a batch is a request.
    pub(crate) fn is_http(&self) -> bool {
        is_http(&self.url)
    }

    /// How bodies are compressed; syslog has no bodies.
    pub(crate) fn compression(&self) -> Compression {
        if self.is_http() {
            self.options.compression
        } else {
            Compression::None
        }
    }

    /// Where the connection leads.
    pub(crate) fn destination(&self, settings: &DrainSettings) -> Destination<'_> {
        Destination {
            host: self.url.host(),
            port: self.url.port(),
            rules: settings.deny_rules(),
            trust: self.url.scheme().has_tls().then(|| self.trust()),
            connect_timeout: settings.connect_timeout,
            not_after: Some(&self.not_after),
        }
    }

    /// Whom the connection trusts.
    fn trust(&self) -> Trust<'_> {
        Trust {
            ca: self.options.ca.as_deref(),
            client_cert: self.options.client_cert.as_deref(),
            client_key: self.options.client_key.as_deref(),
            is_insecure: self.url.is_insecure(),
        }
    }
}

fn is_http(url: &DrainUrl) -> bool {
    matches!(url.scheme(), Scheme::Http | Scheme::Https)
}
