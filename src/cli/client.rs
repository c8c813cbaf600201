//! A small HTTP/1.1 client for the router's API: a connection for each request, http or https.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::BodyExt;
use http_body_util::Full;
use http_body_util::Limited;
use hyper::Method;
use hyper::Request;
use hyper::Response;
use hyper::StatusCode;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header;
use hyper::http::request::Builder;
use hyper_util::rt::TokioIo;
use percent_encoding::AsciiSet;
use percent_encoding::NON_ALPHANUMERIC;
use percent_encoding::percent_decode_str;
use percent_encoding::utf8_percent_encode;
use serde_json::Value;
use url::ParseError;
use url::Url;

use crate::cli::account;
use crate::cli::arguments::Connection;
use crate::cli::connect::authority;
use crate::cli::connect::connect;
use crate::cli::connect::in_time;
use crate::cli::connect::origin_text;
use crate::cli::connect::unreachable;
use crate::cli::error::CliError;
use crate::config;
use crate::config::Credential;
use crate::config::Environment;
use crate::config::URL_VARIABLE;
use crate::shutdown::Shutdown;

/// Speaks with one router as one credential.
pub(crate) struct Client {
    base: Url,
    credential: Result<(Credential, String), CliError>,
    tasks: Shutdown,
}

/// Sets further headers of a request.
pub(crate) type Headers<'a> = &'a [(&'static str, &'a str)];

impl Client {
    /// A client as flags, environment and the data folder say, in this order.
    pub(crate) fn new(
        connection: &Connection,
        environment: &Environment,
    ) -> Result<Self, CliError> {
        let url = connection
            .url
            .as_deref()
            .or_else(|| environment.value(URL_VARIABLE))
            .unwrap_or(URL_DEFAULT);
        let credential = match account::find(connection, environment) {
            Err(wrong @ CliError::BadCredential { .. }) => return Err(wrong),
            found => found,
        };
        Ok(Self {
            base: base_url(url)?,
            credential,
            tasks: Shutdown::new(),
        })
    }

    /// The URL of `path`, which is relative to the router's.
    pub(crate) fn url(&self, path: &str) -> Result<Url, CliError> {
        let joined = match path.strip_prefix('/') {
            Some(inside) => self.base.join(inside),
            None => Url::parse(path),
        };
        joined.map_err(|error| CliError::BadAnswer {
            what: path.to_owned(),
            reason: error.to_string(),
        })
    }

    /// Asks for `path` and reads the JSON answer.
    pub(crate) async fn get(&self, path: &str) -> Result<Value, CliError> {
        self.send(Method::GET, path, None).await
    }

    /// Sends a request as the credential and reads the JSON answer; `Null` when it is empty.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, CliError> {
        let what = format!("{method} {path}");
        let (status, answer) = self.answer(method, path, body).await?;
        if status.is_success() {
            return json(what, &answer);
        }
        match refused(what, status, &answer) {
            CliError::Refused {
                status: 404, text, ..
            } if text == CHANNEL_MISSING => Err(self.unknown_channel(&channel_of(path)).await),
            refusal => Err(refusal),
        }
    }

    /// Whether there is something at `path`.
    pub(crate) async fn has(&self, path: &str) -> Result<bool, CliError> {
        match self.answer(Method::GET, path, None).await? {
            (StatusCode::NOT_FOUND, _) => Ok(false),
            (status, _) if status.is_success() => Ok(true),
            (status, answer) => Err(refused(format!("GET {path}"), status, &answer)),
        }
    }

    /// The answer to a request as the credential, which is accepted.
    async fn answer(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(StatusCode, Bytes), CliError> {
        let (credential, origin) = self.credential()?;
        let (status, answer) = self.exchange(method, path, body, Some(credential)).await?;
        if status == StatusCode::UNAUTHORIZED {
            return Err(CliError::NotAccepted {
                url: origin_text(&self.base),
                origin: origin.clone(),
            });
        }
        Ok((status, answer))
    }

    /// The error of a channel that is not there, with the name of one that is and looks like it, of
    /// the first `PAGE_ROWS`.
    pub(crate) async fn unknown_channel(&self, name: &str) -> CliError {
        let asked = format!("/v3/channels?limit={PAGE_ROWS}");
        let (_, answer) = self.ask(&asked).await.unwrap_or_default();
        let rows = answer.get("channels").and_then(Value::as_array);
        let ids = rows.into_iter().flatten();
        let ids = ids.filter_map(|row| row.get("channel").and_then(Value::as_str));
        CliError::UnknownChannel {
            near: config::nearest(name, ids).map(str::to_owned),
            name: name.to_owned(),
        }
    }

    /// The answer to `GET path`, whatever its status; with the credential if there is one.
    pub(crate) async fn ask(&self, path: &str) -> Result<(StatusCode, Value), CliError> {
        let credential = self.credential.as_ref().ok().map(|(found, _)| found);
        let (status, answer) = self.exchange(Method::GET, path, None, credential).await?;
        Ok((
            status,
            json(format!("GET {path}"), &answer).unwrap_or_default(),
        ))
    }

    /// All rows of a list: follows `next` until there is none.
    pub(crate) async fn rows(&self, path: &str, field: &str) -> Result<Vec<Value>, CliError> {
        let mut rows = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let page = match &after {
                None => format!("{path}?limit={PAGE_ROWS}"),
                Some(after) => format!("{path}?limit={PAGE_ROWS}&after={}", segment(after)),
            };
            let mut answer = self.get(&page).await?;
            match answer.get_mut(field).map(Value::take) {
                Some(Value::Array(page)) => rows.extend(page),
                _ => {
                    return Err(CliError::BadAnswer {
                        what: format!("GET {path}"),
                        reason: format!("it lacks the list {field:?}"),
                    });
                }
            }
            let next = match answer.get("next") {
                Some(Value::String(next)) => Some(next.clone()),
                Some(Value::Number(next)) => Some(next.to_string()),
                _ => None,
            };
            if next.is_none() || next == after {
                return Ok(rows);
            }
            after = next;
        }
    }

    /// Opens `url`, which is its own secret, and returns the answer with its body still to come.
    pub(crate) async fn open(
        &self,
        url: &Url,
        headers: Headers<'_>,
    ) -> Result<Response<Incoming>, CliError> {
        let mut request = Request::get(target(url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.dispatch(url, request, Bytes::new()).await
    }

    /// Sends `count` frames to `POST /logs` as the owner of `token`.
    pub(crate) async fn post_logs(
        &self,
        token: &str,
        count: usize,
        frames: Vec<u8>,
    ) -> Result<StatusCode, CliError> {
        let url = self.url("/logs")?;
        let account = STANDARD.encode(format!("token:{token}"));
        let request = Request::post(target(&url))
            .header(header::AUTHORIZATION, format!("Basic {account}"))
            .header(header::CONTENT_TYPE, "application/logplex-1")
            .header("logplex-msg-count", count);
        let answer = self.dispatch(&url, request, Bytes::from(frames)).await?;
        Ok(answer.status())
    }

    fn credential(&self) -> Result<&(Credential, String), CliError> {
        self.credential.as_ref().map_err(|missing| match missing {
            CliError::NoCredential { tried, reason } => CliError::NoCredential {
                tried: tried.clone(),
                reason: reason.clone(),
            },
            _ => CliError::NoCredential {
                tried: String::new(),
                reason: "none".to_owned(),
            },
        })
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        credential: Option<&Credential>,
    ) -> Result<(StatusCode, Bytes), CliError> {
        let url = self.url(path)?;
        let mut request = Request::builder().method(method).uri(target(&url));
        if let Some(credential) = credential {
            request = request.header(header::AUTHORIZATION, basic(credential));
        }
        let body = body.map(Value::to_string).unwrap_or_default();
        if !body.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let answer = self.dispatch(&url, request, Bytes::from(body)).await?;
        let status = answer.status();
        let collected = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect();
        let body = in_time(&url, async {
            collected
                .await
                .map_err(|error| unreachable(&url, error.as_ref()))
        })
        .await?;
        Ok((status, body.to_bytes()))
    }

    async fn dispatch(
        &self,
        url: &Url,
        request: Builder,
        body: Bytes,
    ) -> Result<Response<Incoming>, CliError> {
        let request = request
            .header(header::HOST, authority(url))
            .header(
                header::USER_AGENT,
                concat!("logboom/", env!("CARGO_PKG_VERSION")),
            )
            .body(Full::new(body))
            .map_err(|error| unreachable(url, &error))?;
        in_time(url, async {
            let stream = connect(url).await?;
            let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
                .await
                .map_err(|error| unreachable(url, &error))?;
            self.tasks.spawn(async move {
                if connection.await.is_err() { /* the body's reader is told as well */ }
            });
            sender
                .send_request(request)
                .await
                .map_err(|error| unreachable(url, &error))
        })
        .await
    }
}

/// The id of the channel that `path` names.
fn channel_of(path: &str) -> String {
    let rest = path.strip_prefix("/v3/channels/").unwrap_or(path);
    let segment = rest.split(['/', '?']).next().unwrap_or_default();
    percent_decode_str(segment).decode_utf8_lossy().into_owned()
}

/// `text` as one segment of a path, or one value of a query.
pub(crate) fn segment(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT_ESCAPED).to_string()
}

/// The refusal that an answer with a failing status is.
pub(crate) fn refused(what: String, status: StatusCode, body: &[u8]) -> CliError {
    let parsed: Option<Value> = serde_json::from_slice(body).ok();
    let said = parsed
        .as_ref()
        .and_then(|value| value.get("error"))
        .and_then(Value::as_str)
        .map(str::to_owned);
    let plain = || {
        let text = String::from_utf8_lossy(body);
        let line: String = text.trim().chars().take(REFUSAL_CHARS_MAX).collect();
        if line.is_empty() {
            status.canonical_reason().unwrap_or("refused").to_owned()
        } else {
            line
        }
    };
    CliError::Refused {
        what,
        status: status.as_u16(),
        text: said.unwrap_or_else(plain),
    }
}

fn json(what: String, body: &[u8]) -> Result<Value, CliError> {
    if body.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(body).map_err(|error| CliError::BadAnswer {
        what,
        reason: error.to_string(),
    })
}

/// Basic auth of `credential`.
pub(crate) fn basic(credential: &Credential) -> String {
    let pair = format!("{}:{}", credential.id(), credential.expose_secret());
    format!("Basic {}", STANDARD.encode(pair))
}

/// A base to join paths to: it ends in a slash and holds no query.
fn base_url(text: &str) -> Result<Url, CliError> {
    let wrong = |reason: String| CliError::Usage {
        what: "the router's URL",
        value: text.to_owned(),
        reason,
    };
    let begin = || "it must begin with http:// or https://".to_owned();
    let mut url = Url::parse(text).map_err(|error| match error {
        ParseError::RelativeUrlWithoutBase => wrong(begin()),
        other => wrong(other.to_string()),
    })?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(wrong(begin()));
    }
    url.set_query(None);
    url.set_fragment(None);
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    Ok(url)
}

fn target(url: &Url) -> String {
    match url.query() {
        None => url.path().to_owned(),
        Some(query) => format!("{}?{query}", url.path()),
    }
}

const URL_DEFAULT: &str = "http://127.0.0.1:8601";

const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What the router says of an unknown channel.
const CHANNEL_MISSING: &str = "channel not found";

const REFUSAL_CHARS_MAX: usize = 500;

const PAGE_ROWS: usize = crate::limits::PAGE_ROWS_MAX;

/// Everything but what RFC 3986 (2.3) calls unreserved.
const SEGMENT_ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_segments() {
        assert_eq!(segment("a b/c:é?"), "a%20b%2Fc%3A%C3%A9%3F");
        assert_eq!(segment("t.1-2_3~"), "t.1-2_3~");
    }

    #[test]
    fn bases_are_checked() {
        for (text, expected) in [
            ("http://127.0.0.1:8601", Some("http://127.0.0.1:8601/")),
            (
                "https://logs.example.com/boom?x=1",
                Some("https://logs.example.com/boom/"),
            ),
            ("127.0.0.1:8601", None),
            ("ftp://logs.example.com", None),
            ("", None),
        ] {
            let found = base_url(text).ok().map(String::from);
            assert_eq!(found.as_deref(), expected, "{text:?}");
        }
    }

    #[test]
    fn refusals_say_what_the_router_said() {
        for (body, expected) in [
            (&b"{\"error\":\"no such channel\"}"[..], "no such channel"),
            (b"Not found\n", "Not found"),
            (b"", "Not Found"),
        ] {
            let error = refused("GET /x".to_owned(), StatusCode::NOT_FOUND, body);
            assert_eq!(error.to_string(), format!("{expected} (GET /x: HTTP 404)"));
            assert_eq!(error.code(), 3);
        }
    }
}
