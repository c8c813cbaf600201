//! HTTP/1.1 to a destination: one kept connection, one request in flight.

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use http_body_util::Full;

use crate::egress::drain::DrainSettings;
use crate::egress::drain::batch::Batch;
use crate::egress::drain::otlp::OTLP;
use crate::egress::drain::plan::Plan;
use crate::egress::drain::sink::Around;
use crate::net::client::{HttpClient, basic};
use crate::net::outcome::{Failure, LOGPLEX, Outcome};
use crate::otlp::request::Encoding;
use crate::registry::Compression;

/// The sink of `http://` and `https://` drains.
#[derive(Default)]
pub(crate) struct HttpSink {
    client: HttpClient,
}

impl HttpSink {
    /// Whether there is a connection that has not ended.
    pub(crate) fn is_connected(&self) -> bool {
        self.client.is_connected()
    }

    /// Makes the connection.
    pub(crate) async fn connect(&mut self, around: Around<'_>) -> Result<(), Failure> {
        let to = around.plan.destination(around.settings);
        self.client.connect(to, around.trusts).await
    }

    /// Sends `batch` and says what the answer means.
    pub(crate) async fn send(&mut self, batch: &Batch, around: Around<'_>) -> Outcome {
        match request(batch, around.plan) {
            Ok(request) => {
                let within = around.settings.request_timeout;
                let judge = match around.plan.otlp_target() {
                    Some(_) => OTLP,
                    None => LOGPLEX,
                };
                self.client.send(request, within, judge).await
            }
            Err(error) => Failure::Request(error).into(),
        }
    }

    /// Ends when the idle connection is over. Cancel safe.
    pub(crate) fn expired(&mut self, settings: &DrainSettings) -> impl Future<Output = ()> + Send {
        let (idle_max, age_max) = (settings.http_idle_max, settings.connection_age_max);
        self.client.expired(idle_max, age_max)
    }

    /// Whether the connection has lived long enough.
    pub(crate) fn is_over(&self, settings: &DrainSettings) -> bool {
        self.client.is_over(settings.connection_age_max)
    }

    /// Closes the connection.
    pub(crate) fn close(&mut self) {
        self.client.close();
    }
}

/// The request of `batch`, its headers in Logplex's order. An OTLP request has the drain's token, too:
/// by it a router sees that it is sent its own messages.
fn request(batch: &Batch, plan: &Plan) -> Result<Request<Full<Bytes>>, http::Error> {
    let otlp_target = plan.otlp_target();
    let target = otlp_target.unwrap_or_else(|| plan.url.path_and_query());
    let mut request = Request::post(target).body(Full::new(batch.body.clone()))?;
    let headers = request.headers_mut();
    headers.insert(HOST, HeaderValue::from_str(plan.url.authority())?);
    if let Some((user, password)) = plan.url.userinfo() {
        headers.insert(AUTHORIZATION, basic(&user, &password)?);
    }
    if otlp_target.is_some() {
        let media_type = Encoding::Protobuf.media_type();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    } else {
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/logplex-1"),
        );
        headers.insert(MSG_COUNT, HeaderValue::from(batch.frames()));
        headers.insert(FRAME_ID, HeaderValue::from_str(&batch.id.to_string())?);
    }
    headers.insert(DRAIN_TOKEN, HeaderValue::from_str(plan.token.as_str())?);
    headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    let encoding = match batch.encoding {
        Compression::None => None,
        Compression::Gzip => Some("gzip"),
        Compression::Zstd => Some("zstd"),
    };
    if let Some(encoding) = encoding {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding));
    }
    add_own_headers(headers, plan)?;
    Ok(request)
}

/// Adds the drain's own headers; one of ours that the drain may set is replaced by its own.
fn add_own_headers(headers: &mut HeaderMap, plan: &Plan) -> Result<(), http::Error> {
    for (name, value) in &plan.options.headers {
        let name = HeaderName::from_bytes(name.as_bytes())?;
        if !OURS_ALONE.contains(&name.as_str()) {
            headers.insert(name, HeaderValue::from_str(value)?);
        }
    }
    Ok(())
}

const MSG_COUNT: HeaderName = HeaderName::from_static("logplex-msg-count");
const FRAME_ID: HeaderName = HeaderName::from_static("logplex-frame-id");
const DRAIN_TOKEN: HeaderName = HeaderName::from_static("logplex-drain-token");
const AGENT: &str = concat!("Logboom/", env!("CARGO_PKG_VERSION"));

/// Headers that say what the request is; an own one would make it say something else.
const OURS_ALONE: [&str; 10] = [
    "connection",
    "content-encoding",
    "content-length",
    "expect",
    "host",
    "logplex-drain-token",
    "logplex-frame-id",
    "logplex-msg-count",
    "transfer-encoding",
    "upgrade",
];
