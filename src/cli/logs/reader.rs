//! One channel's session, read event by event. A tail comes back after its connection was lost,
//! with `Last-Event-ID` and pauses that grow, and says so on stderr.

use std::collections::VecDeque;
use std::time::Duration;

use http_body_util::BodyExt;
use http_body_util::Collected;
use http_body_util::Limited;
use hyper::Method;
use hyper::StatusCode;
use hyper::body::Incoming;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;
use url::Url;

use crate::cli::channels::text;
use crate::cli::client::Client;
use crate::cli::client::refused;
use crate::cli::error::CliError;
use crate::cli::logs::flags::Logs;
use crate::cli::logs::line::Line;
use crate::cli::output::note;
use crate::cli::sse::Event;
use crate::cli::sse::Parser;

/// What a session shows.
pub(crate) struct Session {
    body: Map<String, Value>,
    is_tail: bool,
}

impl Session {
    /// A tail of `channel` from its end back `num` lines.
    pub(crate) fn tail(channel: &str, num: u64) -> Self {
        let mut session = Self {
            body: Map::new(),
            is_tail: true,
        };
        session.set("channel_id", json!(channel));
        session.set("num", json!(num.to_string()));
        session.set("tail", json!(true));
        session
    }

    /// What the flags ask for, of `channel`.
    pub(crate) fn of(logs: &Logs, channel: &str) -> Self {
        let mut session = Self {
            body: Map::new(),
            is_tail: logs.tail,
        };
        let texts = [
            ("channel_id", Some(channel.to_owned())),
            ("num", Some(logs.lines().to_string())),
            ("since", logs.since.map(|since| since.text())),
            ("source", logs.source.clone()),
            ("ps", logs.ps.clone()),
            ("filter", logs.filter.clone()),
        ];
        for (field, value) in texts {
            if let Some(value) = value {
                session.set(field, json!(value));
            }
        }
        // Logplex took any `tail` for true, so it is only there when it is.
        if logs.tail {
            session.set("tail", json!(true));
        }
        session
    }

    /// With all that is known of a message, instead of the line that shows it.
    pub(crate) fn with_fields(mut self) -> Self {
        self.set("format", json!("json"));
        self
    }

    fn set(&mut self, field: &str, value: Value) {
        self.body.insert(field.to_owned(), value);
    }

    fn channel(&self) -> &str {
        let channel = self.body.get("channel_id").and_then(Value::as_str);
        channel.unwrap_or_default()
    }
}

/// Reads one session.
pub(crate) struct Reader<'c> {
    client: &'c Client,
    session: Session,
    url: Option<Url>,
    /// The open stream.
    body: Option<Incoming>,
    parser: Parser,
    /// Read and not yet taken.
    events: VecDeque<Event>,
    /// Whether a stream was ever answered with 200.
    was_open: bool,
    /// Its session was just made anew.
    is_renewed: bool,
    /// Whether lines came since the last loss.
    had_lines: bool,
    is_forbidden: bool,
    is_over: bool,
    pause: Duration,
}

impl<'c> Reader<'c> {
    /// A reader of what `session` shows; nothing is asked yet.
    pub(crate) fn new(client: &'c Client, session: Session) -> Self {
        Self {
            client,
            session,
            url: None,
            body: None,
            parser: Parser::default(),
            events: VecDeque::new(),
            was_open: false,
            is_renewed: false,
            had_lines: false,
            is_forbidden: false,
            is_over: false,
            pause: PAUSE_MIN,
        }
    }

    /// The channel that is read.
    pub(crate) fn channel(&self) -> &str {
        self.session.channel()
    }

    /// The next event; `None` at the end, which a tail has not. Not cancel safe.
    pub(crate) async fn next(&mut self) -> Result<Option<Event>, CliError> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(Some(event));
            }
            if self.is_over {
                return Ok(None);
            }
            let reason = match self.read().await {
                Ok(Read::More) => continue,
                Ok(Read::End) if self.is_forbidden => return Err(CliError::NoTail),
                Ok(Read::End) if !self.session.is_tail => {
                    self.is_over = true;
                    continue;
                }
                Ok(Read::End) => "the stream ended".to_owned(),
                // A session ends some minutes after it was made, or with the router: a new one goes on
                // where it was, at once, since meanwhile messages go by.
                Err(CliError::Refused { status: 404, .. }) if self.may_renew() => {
                    (self.url, self.is_renewed) = (None, true);
                    continue;
                }
                Err(error) => self.reason_to_return(error)?,
            };
            self.come_back(&reason).await;
        }
    }

    /// Whether a stream that was open is over only because its session is. A new one that is not there
    /// either is no reason for the next without a pause.
    const fn may_renew(&self) -> bool {
        self.session.is_tail && self.was_open && !self.is_renewed && self.url.is_some()
    }

    /// What made a tail lose its stream, if it is to come back.
    fn reason_to_return(&mut self, error: CliError) -> Result<String, CliError> {
        match error {
            // The first try must work; what was lost later comes back.
            error if !self.session.is_tail || !self.was_open => Err(error),
            error @ (CliError::Unreachable { .. } | CliError::Cut(_)) => Ok(error.to_string()),
            CliError::Refused {
                status: 503, text, ..
            } => Ok(text),
            CliError::Refused { status: 404, .. } if self.url.take().is_some() => {
                Ok("the session expired".to_owned())
            }
            error => Err(error),
        }
    }

    async fn come_back(&mut self, reason: &str) {
        self.body = None;
        if std::mem::take(&mut self.had_lines) {
            self.pause = PAUSE_MIN;
        }
        let wait = self.parser.retry().unwrap_or_default().max(self.pause);
        let first = reason.lines().next().unwrap_or_default();
        note(&format_args!(
            "logboom: {}: {first}; trying again in {} ms",
            self.channel(),
            wait.as_millis()
        ));
        tokio::time::sleep(wait).await;
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        // Half an event is read again.
        self.parser = Parser::after(self.parser.last_id().map(str::to_owned));
    }

    /// Opens the stream, or reads a piece of it.
    async fn read(&mut self) -> Result<Read, CliError> {
        let Some(body) = &mut self.body else {
            self.body = Some(self.open().await?);
            return Ok(Read::More);
        };
        let Ok(frame) = tokio::time::timeout(QUIET_MAX, body.frame()).await else {
            let quiet = QUIET_MAX.as_secs();
            return Err(CliError::Cut(format!("nothing came for {quiet} s")));
        };
        let Some(frame) = frame else {
            return Ok(Read::End);
        };
        let frame = frame.map_err(|error| CliError::Cut(error.to_string()))?;
        if let Some(bytes) = frame.data_ref() {
            let (events, is_forbidden) = (&mut self.events, &mut self.is_forbidden);
            self.parser.feed(bytes, |event| -> Result<(), CliError> {
                *is_forbidden |= forbids(&event.data);
                events.push_back(event);
                Ok(())
            })?;
            self.had_lines |= !self.events.is_empty();
        }
        Ok(Read::More)
    }

    async fn open(&mut self) -> Result<Incoming, CliError> {
        let target = match &self.url {
            Some(target) => target.clone(),
            None => self.url.insert(self.make_session().await?).clone(),
        };
        let mut headers = vec![
            ("accept", "text/event-stream"),
            ("cache-control", "no-cache"),
        ];
        let last_id = self.parser.last_id().map(str::to_owned);
        if let Some(last_id) = &last_id {
            headers.push(("last-event-id", last_id));
        }
        let answer = self.client.open(&target, &headers).await?;
        let status = answer.status();
        if status != StatusCode::OK {
            let body = Limited::new(answer.into_body(), REFUSAL_BYTES_MAX)
                .collect()
                .await;
            let body = body.map(Collected::to_bytes).unwrap_or_default();
            return Err(refused("the session".to_owned(), status, &body));
        }
        self.was_open = true;
        self.is_renewed = false;
        if let Some(warning) = answer.headers().get("x-heroku-warning") {
            note(&format_args!(
                "logboom: {}",
                String::from_utf8_lossy(warning.as_bytes())
            ));
        }
        Ok(answer.into_body())
    }

    async fn make_session(&self) -> Result<Url, CliError> {
        let body = Value::Object(self.session.body.clone());
        let made = self
            .client
            .send(Method::POST, "/v3/sessions", Some(&body))
            .await;
        match made {
            Ok(made) => self.client.url(&text(&made, "url")),
            // Logplex answered so, and so does its successor.
            Err(CliError::Refused {
                status: 422, text, ..
            }) if text == "channel not found" => {
                Err(self.client.unknown_channel(self.channel()).await)
            }
            Err(error) => Err(error),
        }
    }
}

/// What one reading came to.
enum Read {
    More,
    End,
}

/// Opens a session and calls `each` with every event.
pub(crate) async fn follow(
    client: &Client,
    session: Session,
    each: &mut dyn FnMut(Event) -> Result<(), CliError>,
) -> Result<(), CliError> {
    let mut reader = Reader::new(client, session);
    while let Some(event) = reader.next().await? {
        each(event)?;
    }
    Ok(())
}

/// Whether this is the line with which a channel refuses tails; only its router writes it.
fn forbids(line: &[u8]) -> bool {
    const SAID: &str = "Logplex: Error L20 (Tail sessions forbidden)";
    // Cheap for all other lines.
    if memchr::memmem::find(line, SAID.as_bytes()).is_none() {
        return false;
    }
    let event = Event {
        id: None,
        data: line.to_vec(),
    };
    let line = Line::of("", event);
    let said = match &line.time {
        Some(_) => line.message.as_str(),
        None => line.message.split_once(' ').map_or("", |(_, rest)| rest),
    };
    line.source.is_none() && said.starts_with(SAID)
}

/// First pause before a lost tail is opened again.
const PAUSE_MIN: Duration = Duration::from_millis(250);

/// Longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// A router comments a quiet stream every 20 s; one that is quiet for so long is gone.
const QUIET_MAX: Duration = Duration::from_secs(90);

const REFUSAL_BYTES_MAX: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_routers_own_line_forbids_tails() {
        let said = "Logplex: Error L20 (Tail sessions forbidden) Tail";
        for (line, expected) in [
            (format!("2026-11-20T17:00:00-00:00 {said}"), true),
            (format!("T app[web.1]: {said}"), false),
            (
                format!(r#"{{"time":"T","source":null,"message":"{said}"}}"#),
                true,
            ),
            (
                format!(r#"{{"time":"T","source":"app","message":"{said}"}}"#),
                false,
            ),
            (
                format!(r#"{{"time":"T","source":null,"message":"x {said}"}}"#),
                false,
            ),
            (said.to_owned(), false),
        ] {
            assert_eq!(forbids(line.as_bytes()), expected, "{line}");
        }
    }
}
