//! What a drain's entry asks for, made ready for use.

use std::sync::Arc;

use crate::channel::Record;
use crate::clock::UnixMicros;
use crate::egress::drain::DrainSettings;
use crate::egress::drain::otlp;
use crate::filter::Filter;
use crate::filter::FilterError;
use crate::id::{DrainId, DrainToken};
use crate::limits::{ANSWER_SAID_BYTES_MAX, SYSLOG_DATAGRAM_BYTES_MAX};
use crate::net::certificate::NotAfter;
use crate::net::link::Destination;
use crate::net::trust::Trust;
use crate::otlp::export::{Exporter, grouped};
use crate::registry::{
    Attributes, Compression, DrainEntry, DrainOptions, DrainUrl, Format, Newlines, Scheme,
    Timestamps, Utf8,
};
use crate::syslog::encode;
use crate::syslog::encode::{Form, Mending};
use crate::syslog::message::Message;

/// How a message is written into a batch.
enum Shape {
    /// Logplex's frames of HTTP drains.
    LogplexHttp,
    /// Logplex's frames of syslog drains, with the drain's token as host.
    LogplexSyslog,
    /// Strict RFC 5424.
    Rfc5424,
    /// One of the three above, for a receiver that does not take any bytes.
    Mended(Box<Mending>),
    /// OpenTelemetry's log records.
    Otlp(Box<Otlp>),
}

/// What only OTLP drains have.
struct Otlp {
    exporter: Exporter,
    /// Path and query of its requests.
    path_and_query: String,
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
        let shape = match (entry.options.format, mending(&entry.options, &url)) {
            (Format::Otlp, _) => Shape::Otlp(Box::new(Otlp {
                exporter: Exporter {
                    channel: entry.channel.as_str().to_owned(),
                    reads_logfmt: entry.options.attributes == Attributes::Logfmt,
                },
                path_and_query: otlp::path_and_query(&url),
            })),
            (_, Some(mending)) => Shape::Mended(Box::new(mending)),
            (Format::Rfc5424, None) => Shape::Rfc5424,
            (Format::Logplex, None) if is_http(&url) => Shape::LogplexHttp,
            (Format::Logplex, None) => Shape::LogplexSyslog,
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

    /// Appends `record` to `out`: as one octet-counted frame, as several of them where it is too long
    /// for one, or as one record of a request that is still to be `finished`. Says how many.
    pub(crate) fn encode(&self, record: &Record<'_>, out: &mut Vec<u8>) -> u64 {
        match &self.shape {
            Shape::LogplexHttp => encode::logplex_http(record, out),
            Shape::LogplexSyslog => encode::logplex_syslog(record, &self.token, out),
            Shape::Rfc5424 => encode::rfc5424(&record.message(), record.arrival, out),
            Shape::Mended(mending) => {
                return mending.encode(&record.message(), record.arrival, &self.token, out);
            }
            Shape::Otlp(otlp) => otlp.exporter.append(&record.message(), record.arrival, out),
        }
        1
    }

    /// Appends a message of the router's own, made at `now`; says how many frames or records it is.
    pub(crate) fn encode_notice(
        &self,
        notice: &Message<'_>,
        now: UnixMicros,
        out: &mut Vec<u8>,
    ) -> u64 {
        match &self.shape {
            Shape::LogplexHttp => encode::logplex_http(notice, out),
            Shape::LogplexSyslog => encode::logplex_syslog(notice, &self.token, out),
            Shape::Rfc5424 => encode::rfc5424(notice, now, out),
            Shape::Mended(mending) => return mending.encode(notice, now, &self.token, out),
            Shape::Otlp(otlp) => otlp.exporter.append(notice, now, out),
        }
        1
    }

    /// The body of what was encoded.
    pub(crate) fn finished(&self, encoded: Vec<u8>) -> Vec<u8> {
        match &self.shape {
            Shape::Otlp(_) => grouped(&encoded).unwrap_or(encoded),
            _ => encoded,
        }
    }

    /// Path and query of an OTLP drain's requests; `None` for any other drain.
    pub(crate) fn otlp_target(&self) -> Option<&str> {
        match &self.shape {
            Shape::Otlp(otlp) => Some(&otlp.path_and_query),
            _ => None,
        }
    }

    /// Appends to `text` what an OTLP destination says, in one line of bounded length, and without
    /// what the drain presents to it. Other destinations answer anything.
    pub(crate) fn quote(&self, said: &str, text: &mut String) {
        let said = said.trim();
        if self.otlp_target().is_none() || said.is_empty() {
            return;
        }
        let mut said = said.replace(char::is_control, " ");
        let password = self.url.userinfo().map(|(_, password)| password);
        let password = password.and_then(|bytes| String::from_utf8(bytes).ok());
        let query = self.url.path_and_query().split_once('?');
        let query_values = query
            .into_iter()
            .flat_map(|(_, query)| query.split(['&', '=']));
        let headers = self.options.headers.values().map(String::as_str);
        let presented = headers
            .flat_map(str::split_whitespace)
            .chain(query_values)
            .chain(password.as_deref());
        for secret in presented.filter(|word| SECRET_BYTES_MIN <= word.len()) {
            said = said.replace(secret, "********");
        }
        said.truncate(said.floor_char_boundary(ANSWER_SAID_BYTES_MAX));
        text.push_str(": ");
        text.push_str(&said);
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

/// A shorter word is no secret worth the name, but may be one of the text's own.
const SECRET_BYTES_MIN: usize = 6;

/// What of a drain's messages is to be mended; `None` for most drains.
fn mending(options: &DrainOptions, url: &DrainUrl) -> Option<Mending> {
    let is_any = options.newlines == Newlines::Escape
        || options.utf8 == Utf8::Replace
        || options.timestamp == Timestamps::Normalize
        || options.frame_bytes_max.is_some();
    // A datagram holds no more: the rest would be cut off.
    let datagram = (url.scheme() == Scheme::SyslogUdp).then_some(SYSLOG_DATAGRAM_BYTES_MAX);
    is_any.then(|| Mending {
        form: match options.format {
            Format::Rfc5424 => Form::Rfc5424,
            _ if is_http(url) => Form::LogplexHttp,
            _ => Form::LogplexSyslog,
        },
        is_newline_escaped: options.newlines == Newlines::Escape,
        is_utf8_replaced: options.utf8 == Utf8::Replace,
        is_time_normal: options.timestamp == Timestamps::Normalize,
        frame_bytes_max: options.frame_bytes_max.into_iter().chain(datagram).min(),
    })
}

fn is_http(url: &DrainUrl) -> bool {
    matches!(url.scheme(), Scheme::Http | Scheme::Https)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_a_mended_udp_drain_fit_a_datagram() {
        let most = |url: &str, given: Option<usize>| {
            let options = DrainOptions {
                utf8: Utf8::Replace,
                frame_bytes_max: given,
                ..DrainOptions::default()
            };
            let mending = mending(&options, &DrainUrl::parse(url).unwrap());
            mending.unwrap().frame_bytes_max
        };
        assert_eq!(most("syslog+udp://h", None), Some(65_507));
        assert_eq!(most("syslog+udp://h", Some(102_400)), Some(65_507));
        assert_eq!(most("syslog+udp://h", Some(2_000)), Some(2_000));
        assert_eq!(most("syslog://h", Some(102_400)), Some(102_400));
        assert_eq!(most("syslog://h", None), None);
        let url = DrainUrl::parse("syslog+udp://h").unwrap();
        assert!(mending(&DrainOptions::default(), &url).is_none());
    }
}
