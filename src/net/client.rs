//! An HTTP/1.1 client: one kept connection, one request in flight.

use std::error::Error as _;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, TRANSFER_ENCODING};
use http::{HeaderValue, Request, Response};
use http_body::Body as _;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::time::{sleep_until, timeout_at};

use crate::clock;
use crate::limits::{ANSWER_BYTES_MAX, ANSWER_WAIT_MAX, HTTP_HEAD_BYTES_MAX};
use crate::net::backoff;
use crate::net::link::{self, Age, Destination};
use crate::net::outcome::{Answer, Failure, Judge, Outcome};
use crate::net::trust::{Trusts, certificate_fault};

/// Sends requests to one destination. Its connection is made by `connect` and kept as long as it
/// can be used.
#[derive(Default)]
pub struct HttpClient {
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

impl HttpClient {
    /// Whether there is a connection that has not ended.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.connection
            .as_ref()
            .is_some_and(|connection| connection.driver.is_some() && !connection.sender.is_closed())
    }

    /// Makes the connection.
    ///
    /// # Errors
    /// `Failure`: why there is none.
    pub async fn connect(&mut self, to: Destination<'_>, trusts: &Trusts) -> Result<(), Failure> {
        self.close();
        let wire = link::open(to, trusts).await?;
        let (sender, driver) = http1::Builder::new()
            .title_case_headers(true)
            .max_buf_size(HTTP_HEAD_BYTES_MAX)
            .handshake(TokioIo::new(wire))
            .await
            .map_err(Failure::Http)?;
        self.connection = Some(Connection {
            sender,
            driver: Some(Box::pin(driver)),
            age: Age::begun_now(),
            has_answered: false,
        });
        Ok(())
    }

    /// Sends `request` and says what the answer means by `judge`; its head must come within
    /// `within`. Not cancel safe: whoever drops this closes the connection.
    pub async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
        within: Duration,
        judge: Judge,
    ) -> Outcome {
        let Some(connection) = &mut self.connection else {
            return Failure::Closed.into();
        };
        let was_used = connection.has_answered;
        match exchange(connection, request, within, judge).await {
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

    /// Ends when the idle connection is over: closed by the peer, unused for `idle_max` or older
    /// than `age_max`. Never ends without a connection. Cancel safe.
    pub fn expired(
        &mut self,
        idle_max: Duration,
        age_max: Duration,
    ) -> impl Future<Output = ()> + Send {
        // Before the future: who waits in it, and many do, keeps no place for the two.
        let ends = self
            .connection
            .as_ref()
            .map(|connection| connection.age.ends(idle_max, age_max));
        async move {
            let (Some(connection), Some(ends)) = (&mut self.connection, ends) else {
                return std::future::pending().await;
            };
            if connection.driver.is_some() {
                tokio::select! {
                    () = connection.driven() => {}
                    () = sleep_until(ends) => {}
                }
            }
            self.connection = None;
        }
    }

    /// Whether the connection has lived long enough.
    #[must_use]
    pub fn is_over(&self, age_max: Duration) -> bool {
        self.connection
            .as_ref()
            .is_some_and(|connection| connection.age.is_over(age_max))
    }

    /// Closes the connection.
    pub fn close(&mut self) {
        self.connection = None;
    }
}

/// The value of a Basic `Authorization` (RFC 7617); marked as secret.
///
/// # Errors
/// `http::Error` never happens for base64; the type says that it could.
pub fn basic(user: &[u8], password: &[u8]) -> Result<HeaderValue, http::Error> {
    let plain = [user, b":", password].concat();
    let mut value = HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(plain)))?;
    value.set_sensitive(true);
    Ok(value)
}

/// One request and its answer; says whether the connection can be used again.
async fn exchange(
    connection: &mut Connection,
    request: Request<Full<Bytes>>,
    within: Duration,
    judge: Judge,
) -> Result<(Outcome, bool), Failure> {
    let deadline = clock::now() + within;
    let answer = connection.sender.send_request(request);
    let response = timeout_at(deadline, connection.run(answer))
        .await
        .map_err(|_| Failure::TimedOut {
            what: "the answer",
            timeout: within,
        })?
        .map_err(Failure::Http)?;
    connection.has_answered = true;
    connection.age.touch();
    let retry_after = response
        .headers()
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| backoff::retry_after(value, clock::wall()));
    let mut answer = Answer {
        status: response.status().as_u16(),
        retry_after,
        is_json: response
            .headers()
            .get(CONTENT_TYPE)
            .is_some_and(|value| value.as_bytes().starts_with(b"application/json")),
        said: Vec::new(),
    };
    // The status decides, mostly. The rest of the answer only tells of details and decides over the
    // connection, and a slow or endless one may not hold up the next batch.
    let has_end = has_known_end(&response);
    let is_needed = judge.is_body_needed && response.status().is_success();
    let mut rest = Ok(Rest::Broken);
    if has_end || judge.is_body_needed {
        let wait_end = match is_needed {
            true => deadline,
            false => clock::now() + ANSWER_WAIT_MAX,
        };
        let body = response.into_body();
        let read = read_to_end(body, &mut answer.said, judge.said_bytes_max);
        rest = timeout_at(wait_end, connection.run(read)).await;
    }
    match rest {
        // What is missing may have said anything.
        Err(_) if is_needed => {
            return Err(Failure::TimedOut {
                what: "the answer's body",
                timeout: within,
            });
        }
        Ok(Rest::Broken) if is_needed => return Err(Failure::Closed),
        _ => {}
    }
    let outcome = (judge.judge)(&answer);
    let is_read = has_end && matches!(rest, Ok(Rest::Whole));
    Ok((outcome, is_read && !connection.sender.is_closed()))
}

/// What was read of an answer's body.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Rest {
    Whole,
    TooLong,
    /// It broke off, or nobody read it.
    Broken,
}

/// Whether the answer ends before its connection does.
fn has_known_end(response: &Response<Incoming>) -> bool {
    let has_status_without_body = matches!(response.status().as_u16(), 204 | 304);
    has_status_without_body
        || response.body().is_end_stream()
        || response.headers().contains_key(CONTENT_LENGTH)
        || response.headers().contains_key(TRANSFER_ENCODING)
}

/// Reads an answer to its end and keeps its beginning in `said`.
async fn read_to_end(mut body: Incoming, said: &mut Vec<u8>, said_bytes_max: usize) -> Rest {
    let mut left_bytes = ANSWER_BYTES_MAX;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            return Rest::Broken;
        };
        let read = frame.data_ref().map_or(&[][..], |read| read);
        let room = said_bytes_max.saturating_sub(said.len());
        said.extend(read.iter().take(room));
        match left_bytes.checked_sub(read.len()) {
            Some(left) => left_bytes = left,
            None => return Rest::TooLong,
        }
    }
    Rest::Whole
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
