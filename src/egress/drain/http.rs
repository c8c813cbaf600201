//! HTTP/1.1 to a destination: one kept connection, one request in flight.

use std::error::Error as _;
use std::future::Future;
use std::io;
use std::pin::Pin;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST, RETRY_AFTER,
    TRANSFER_ENCODING, USER_AGENT,
};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body::Body as _;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::time::{sleep_until, timeout, timeout_at};

use crate::clock;
use crate::egress::drain::DrainSettings;
use crate::egress::drain::backoff;
use crate::egress::drain::batch::Batch;
use crate::egress::drain::link::{self, Age};
use crate::egress::drain::outcome::{Failure, Outcome, judge};
use crate::egress::drain::plan::Plan;
use crate::egress::drain::sink::Around;
use crate::limits::{ANSWER_BYTES_MAX, ANSWER_WAIT_MAX, HTTP_HEAD_BYTES_MAX};
use crate::net::trust::certificate_fault;
use crate::registry::Compression;

/// The sink of `http://` and `https://` drains.
#[derive(Default)]
pub(crate) struct HttpSink {
    connection: Option<Connection>,
}

/// One connection. Its machinery runs inside whoever waits here, not as a task of its own.
struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    /// `None` once it has ended.
    driver: Option<Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>>,
    age: Age,
    /// Whether it has brought an answer: only then can it have gone stale.
    has_answered: bool,
}

impl Connection {
    /// Moves bytes until the connection has ended; never ends after that. Cancel safe.
    async fn driven(&mut self) {
        match &mut self.driver {
            // Why it ended is told by the request in flight; without one it does not matter.
            Some(driver) => drop(driver.await),
            None => std::future::pending().await,
        }
        self.driver = None;
    }

    /// Runs `step` while moving bytes.
    async fn run<T>(&mut self, step: impl Future<Output = T>) -> T {
        let mut step = std::pin::pin!(step);
        loop {
            tokio::select! {
                biased;
                done = &mut step => return done,
                () = self.driven() => {}
            }
        }
    }
}

impl HttpSink {
    /// Whether there is a connection that has not ended.
    pub(crate) fn is_connected(&self) -> bool {
        self.connection
            .as_ref()
            .is_some_and(|connection| connection.driver.is_some() && !connection.sender.is_closed())
    }

    /// Makes the connection.
    pub(crate) async fn connect(&mut self, around: Around<'_>) -> Result<(), Failure> {
        self.close();
        let wire = link::open(around.plan, around.settings, around.trusts).await?;
        let (sender, driver) = http1::Builder::new()
            .title_case_headers(true)
            .max_buf_size(HTTP_HEAD_BYTES_MAX)
            .handshake(TokioIo::new(wire))
            .await
            .map_err(Failure::Http)?;
        self.connection = Some(Connection {
            sender,
            driver: Some(Box::pin(driver)),
            age: Age::new(),
            has_answered: false,
        });
        Ok(())
    }

    /// Sends `batch` and says what the answer means.
    pub(crate) async fn send(&mut self, batch: &Batch, around: Around<'_>) -> Outcome {
        let Some(connection) = &mut self.connection else {
            return Failure::Closed.into();
        };
        let request = match request(batch, around.plan) {
            Ok(request) => request,
            Err(error) => return Failure::Request(error).into(),
        };
        let was_used = connection.has_answered;
        match exchange(connection, request, around.settings).await {
            Ok((outcome, is_reusable)) => {
                let is_kept = is_reusable && !matches!(outcome, Outcome::Retry { .. });
                if !is_kept {
                    self.close();
                }
                outcome
            }
            Err(failure) => {
                self.close();
                match failure {
                    Failure::Http(error) if was_used && ended_unanswered(&error) => Outcome::Stale,
                    Failure::Http(error) => match io_error(&error).and_then(certificate_fault) {
                        // TLS 1.3: a peer that does not like our certificate says so here.
                        Some(fault) => Failure::Certificate(fault).into(),
                        None => Failure::Http(error).into(),
                    },
                    failure => failure.into(),
                }
            }
        }
    }

    /// Ends when the idle connection is over. Cancel safe.
    pub(crate) async fn expired(&mut self, settings: &DrainSettings) {
        let Some(connection) = &mut self.connection else {
            return std::future::pending().await;
        };
        let ends = connection.age.ends(settings.http_idle_max, settings);
        if connection.driver.is_some() {
            tokio::select! {
                () = connection.driven() => {}
                () = sleep_until(ends) => {}
            }
        }
        self.close();
    }

    /// Whether the connection has lived long enough.
    pub(crate) fn is_over(&self, settings: &DrainSettings) -> bool {
        self.connection
            .as_ref()
            .is_some_and(|connection| connection.age.is_over(settings))
    }

    /// Closes the connection.
    pub(crate) fn close(&mut self) {
        self.connection = None;
    }
}

/// One request and its answer; says whether the connection can be used again.
async fn exchange(
    connection: &mut Connection,
    request: Request<Full<Bytes>>,
    settings: &DrainSettings,
) -> Result<(Outcome, bool), Failure> {
    let deadline = clock::now() + settings.request_timeout;
    let answer = connection.sender.send_request(request);
    let response = timeout_at(deadline, connection.run(answer))
        .await
        .map_err(|_| Failure::TimedOut {
            what: "the answer",
            timeout: settings.request_timeout,
        })?
        .map_err(Failure::Http)?;
    connection.has_answered = true;
    connection.age.touch();
    let retry_after = response
        .headers()
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| backoff::retry_after(value, clock::wall()));
    let outcome = judge(response.status().as_u16(), retry_after);
    // The status has decided. The rest of the answer only decides over the connection, and a slow
    // or endless one may not hold up the next batch.
    let is_reusable = has_known_end(&response)
        && timeout(
            ANSWER_WAIT_MAX,
            connection.run(is_drained(response.into_body())),
        )
        .await
        .unwrap_or(false);
    Ok((outcome, is_reusable && !connection.sender.is_closed()))
}

/// Whether the answer ends before its connection does.
fn has_known_end(response: &Response<Incoming>) -> bool {
    let has_status_without_body = matches!(response.status().as_u16(), 204 | 304);
    has_status_without_body
        || response.body().is_end_stream()
        || response.headers().contains_key(CONTENT_LENGTH)
        || response.headers().contains_key(TRANSFER_ENCODING)
}

/// Reads an answer to its end; `false` when it is too long or breaks off.
async fn is_drained(mut body: Incoming) -> bool {
    let mut left_bytes = ANSWER_BYTES_MAX;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return false };
        let read_bytes = frame.data_ref().map_or(0, Bytes::len);
        match left_bytes.checked_sub(read_bytes) {
            Some(left) => left_bytes = left,
            None => return false,
        }
    }
    true
}

/// The connection's error, if that is what went wrong.
fn io_error(error: &hyper::Error) -> Option<&io::Error> {
    error.source()?.downcast_ref()
}

/// Whether the connection ended before the answer did, which on a connection kept from before
/// means that the peer had given it up.
fn ended_unanswered(error: &hyper::Error) -> bool {
    let is_reset = io_error(error).is_some_and(|error| {
        matches!(
            error.kind(),
            io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::BrokenPipe
        )
    });
    is_reset || error.is_canceled() || error.is_incomplete_message() || error.is_closed()
}

/// The request of `batch`, its headers in Logplex's order.
fn request(batch: &Batch, plan: &Plan) -> Result<Request<Full<Bytes>>, http::Error> {
    let mut request =
        Request::post(plan.url.path_and_query()).body(Full::new(batch.body.clone()))?;
    let headers = request.headers_mut();
    headers.insert(HOST, HeaderValue::from_str(plan.url.authority())?);
    if let Some((user, password)) = plan.url.userinfo() {
        headers.insert(AUTHORIZATION, basic(&user, &password)?);
    }
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/logplex-1"),
    );
    headers.insert(MSG_COUNT, HeaderValue::from(batch.frames()));
    headers.insert(FRAME_ID, HeaderValue::from_str(&batch.id.to_string())?);
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

/// The value of a Basic `Authorization` (RFC 7617); marked as secret.
fn basic(user: &[u8], password: &[u8]) -> Result<HeaderValue, http::Error> {
    let plain = [user, b":", password].concat();
    let mut value = HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(plain)))?;
    value.set_sensitive(true);
    Ok(value)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_become_basic_authorization() {
        let check = |user: &str, password: &str, expected: &str| {
            let value = basic(user.as_bytes(), password.as_bytes()).unwrap();
            assert_eq!(value.to_str().unwrap(), expected);
            assert!(value.is_sensitive());
        };
        // RFC 7617, section 2, and what `user:p%40ss` means once decoded.
        check(
            "Aladdin",
            "open sesame",
            "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
        );
        check("user", "p@ss", "Basic dXNlcjpwQHNz");
        check("user", "", "Basic dXNlcjo=");
    }
}
