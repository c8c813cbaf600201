//! `logboom logs`: history and live tail of a channel, by the same sessions that others use.

use std::process::ExitCode;
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

use crate::cli::arguments::Logs;
use crate::cli::channels::text;
use crate::cli::client::Client;
use crate::cli::client::refused;
use crate::cli::colour::Palette;
use crate::cli::error::CliError;
use crate::cli::output::Out;
use crate::cli::output::note;
use crate::cli::small_runtime;
use crate::cli::sse::Event;
use crate::cli::sse::Parser;
use crate::config::Environment;

/// Prints what was asked for; a tail goes on until Ctrl-C, which is its proper end.
pub(crate) fn run(logs: &Logs, environment: &Environment, out: &Out) -> Result<ExitCode, CliError> {
    let client = Client::new(&logs.connection, environment)?;
    let mut printer = Printer::new(out, logs.connection.json, environment);
    let session = Session::of(logs);
    let mut each = |event: Event| printer.print(&event);
    small_runtime()?.block_on(async {
        tokio::select! {
            asked = tokio::signal::ctrl_c() => {
                asked.map_err(CliError::Runtime)?;
                // After the `^C` that terminals show.
                if out.is_terminal() {
                    out.line("")?;
                }
                Ok(ExitCode::from(INTERRUPTED_CODE))
            }
            // Dropped only to end the process.
            read = follow(&client, &session, &mut each) => {
                read.map(|()| ExitCode::SUCCESS)
            }
        }
    })
}

/// What a session shows.
pub(crate) struct Session {
    body: Value,
    is_tail: bool,
}

impl Session {
    /// A tail of `channel` from its end back `num` lines.
    pub(crate) fn tail(channel: &str, num: u64) -> Self {
        Self {
            body: json!({"channel_id": channel, "num": num.to_string(), "tail": true}),
            is_tail: true,
        }
    }

    fn of(logs: &Logs) -> Self {
        let texts = [
            ("channel_id", Some(logs.channel.clone())),
            ("num", Some(logs.num.to_string())),
            ("source", logs.source.clone()),
            ("ps", logs.ps.clone()),
            ("filter", logs.filter.clone()),
        ];
        let mut body: Map<String, Value> = texts
            .into_iter()
            .filter_map(|(field, value)| Some((field.to_owned(), json!(value?))))
            .collect();
        // Logplex took any `tail` for true, so it is only there when it is.
        if logs.tail {
            body.insert("tail".to_owned(), json!(true));
        }
        Self {
            body: Value::Object(body),
            is_tail: logs.tail,
        }
    }
}

/// Opens a session and calls `each` with every line. A tail comes back after its connection was
/// lost, with `Last-Event-ID` and pauses that grow, and says so on stderr.
pub(crate) async fn follow(
    client: &Client,
    session: &Session,
    each: &mut dyn FnMut(Event) -> Result<(), CliError>,
) -> Result<(), CliError> {
    let mut place = Place::default();
    let mut pause = PAUSE_MIN;
    loop {
        let read = read_once(client, session, &mut place, each).await;
        let reason = match read {
            Ok(Ended::Forbidden) => return Err(CliError::NoTail),
            Ok(Ended::Cleanly) if !session.is_tail => return Ok(()),
            Ok(Ended::Cleanly) => "the stream ended".to_owned(),
            // The first try must work; what was lost later comes back.
            Err(error) if !session.is_tail || !place.was_open => return Err(error),
            Err(error @ (CliError::Unreachable { .. } | CliError::Cut(_))) => error.to_string(),
            Err(CliError::Refused {
                status: 503, text, ..
            }) => text,
            // A session ends some minutes after it was made: a new one goes on where it was.
            Err(CliError::Refused { status: 404, .. }) if place.url.take().is_some() => {
                "the session expired".to_owned()
            }
            Err(error) => return Err(error),
        };
        if std::mem::take(&mut place.had_lines) {
            pause = PAUSE_MIN;
        }
        let wait = place.parser.retry().unwrap_or_default().max(pause);
        let first = reason.lines().next().unwrap_or_default();
        note(&format_args!(
            "logboom: {first}; trying again in {} ms",
            wait.as_millis()
        ));
        tokio::time::sleep(wait).await;
        pause = (pause * 2).min(PAUSE_MAX);
        // Half an event is read again.
        place.parser = Parser::after(place.parser.last_id().map(str::to_owned));
    }
}

/// Where a reader is: what it needs to go on after a loss.
#[derive(Default)]
struct Place {
    url: Option<Url>,
    parser: Parser,
    /// Whether a stream was ever answered with 200.
    was_open: bool,
    /// Whether lines came since the last loss.
    had_lines: bool,
}

/// How a stream ended.
enum Ended {
    Cleanly,
    Forbidden,
}

async fn read_once(
    client: &Client,
    session: &Session,
    place: &mut Place,
    each: &mut dyn FnMut(Event) -> Result<(), CliError>,
) -> Result<Ended, CliError> {
    let target = match &place.url {
        Some(target) => target.clone(),
        None => place
            .url
            .insert(open_session(client, session).await?)
            .clone(),
    };
    let mut headers = vec![
        ("accept", "text/event-stream"),
        ("cache-control", "no-cache"),
    ];
    let last_id = place.parser.last_id().map(str::to_owned);
    if let Some(last_id) = &last_id {
        headers.push(("last-event-id", last_id));
    }
    let answer = client.open(&target, &headers).await?;
    let status = answer.status();
    if status != StatusCode::OK {
        let body = Limited::new(answer.into_body(), REFUSAL_BYTES_MAX)
            .collect()
            .await;
        let body = body.map(Collected::to_bytes).unwrap_or_default();
        return Err(refused("the session".to_owned(), status, &body));
    }
    place.was_open = true;
    if let Some(warning) = answer.headers().get("x-heroku-warning") {
        note(&format_args!(
            "logboom: {}",
            String::from_utf8_lossy(warning.as_bytes())
        ));
    }
    read_events(answer.into_body(), place, each).await
}

async fn read_events(
    mut body: Incoming,
    place: &mut Place,
    each: &mut dyn FnMut(Event) -> Result<(), CliError>,
) -> Result<Ended, CliError> {
    let Place {
        parser, had_lines, ..
    } = place;
    let mut ended = Ended::Cleanly;
    loop {
        let Ok(frame) = tokio::time::timeout(QUIET_MAX, body.frame()).await else {
            let quiet = QUIET_MAX.as_secs();
            return Err(CliError::Cut(format!("nothing came for {quiet} s")));
        };
        let Some(frame) = frame else {
            return Ok(ended);
        };
        let frame = frame.map_err(|error| CliError::Cut(error.to_string()))?;
        let Some(bytes) = frame.data_ref() else {
            continue;
        };
        parser.feed(bytes, |event| {
            *had_lines = true;
            if is_forbidden(&event.data) {
                ended = Ended::Forbidden;
            }
            each(event)
        })?;
    }
}

async fn open_session(client: &Client, session: &Session) -> Result<Url, CliError> {
    let made = client
        .send(Method::POST, "/v3/sessions", Some(&session.body))
        .await
        .map_err(|error| match error {
            // Logplex answered so, and so does its successor.
            CliError::Refused {
                status: 422, text, ..
            } if text == "channel not found" => CliError::NotFound {
                what: "channel",
                name: self::text(&session.body, "channel_id"),
            },
            other => other,
        })?;
    client.url(&text(&made, "url"))
}

/// Whether this is the line with which a channel refuses tails; only its router writes it.
fn is_forbidden(line: &[u8]) -> bool {
    let text = String::from_utf8_lossy(line);
    text.split_once(' ')
        .is_some_and(|(_, rest)| rest.starts_with("Logplex: Error L20 (Tail sessions forbidden)"))
}

/// Prints lines as people or machines want them.
pub(crate) struct Printer {
    out: Out,
    palette: Option<Palette>,
    is_json: bool,
}

impl Printer {
    /// Colours on a terminal only.
    pub(crate) fn new(out: &Out, is_json: bool, environment: &Environment) -> Self {
        let palette = (!is_json && out.takes_colour(environment)).then(Palette::new);
        Self {
            out: out.clone(),
            palette,
            is_json,
        }
    }

    /// Prints one line.
    pub(crate) fn print(&mut self, event: &Event) -> Result<(), CliError> {
        if self.is_json {
            return self.out.json(&json_line(event));
        }
        match &mut self.palette {
            // Without colours, bytes stay as they are.
            None => {
                let mut line = event.data.clone();
                line.push(b'\n');
                self.out.write_bytes(&line)
            }
            Some(palette) => {
                let line = String::from_utf8_lossy(&event.data);
                self.out.line(&palette.paint(&line))
            }
        }
    }
}

/// A line's parts: `{"id", "time", "source", "ps", "message"}`; a line of another shape is all
/// message.
fn json_line(event: &Event) -> Value {
    let line = String::from_utf8_lossy(&event.data);
    let split = || {
        let (time, rest) = line.split_once(' ')?;
        let (head, message) = rest.split_once("]:")?;
        let (source, ps) = head.split_once('[')?;
        Some((
            time,
            source,
            ps,
            message.strip_prefix(' ').unwrap_or(message),
        ))
    };
    match split() {
        Some((time, source, ps, message)) => json!({
            "id": event.id, "time": time, "source": source, "ps": ps, "message": message,
        }),
        None => json!({
            "id": event.id, "time": null, "source": null, "ps": null, "message": line,
        }),
    }
}

/// First pause before a lost tail is opened again.
const PAUSE_MIN: Duration = Duration::from_millis(250);

/// Longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// A router comments a quiet stream every 20 s; one that is quiet for so long is gone.
const QUIET_MAX: Duration = Duration::from_secs(90);

const REFUSAL_BYTES_MAX: usize = 64 * 1024;

/// What shells say of a program that Ctrl-C ended: 128 + SIGINT.
pub(crate) const INTERRUPTED_CODE: u8 = 130;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_json() {
        let event = |line: &str| Event {
            id: Some("7".to_owned()),
            data: line.as_bytes().to_vec(),
        };
        assert_eq!(
            json_line(&event("T app[web.1]: a [b]: c")),
            json!({"id": "7", "time": "T", "source": "app", "ps": "web.1", "message": "a [b]: c"})
        );
        assert_eq!(
            json_line(&event("odd")),
            json!({"id": "7", "time": null, "source": null, "ps": null, "message": "odd"})
        );
    }

    #[test]
    fn only_the_routers_own_line_forbids_tails() {
        let line = "2026-11-20T17:00:00-00:00 Logplex: Error L20 (Tail sessions forbidden) Tail";
        assert!(is_forbidden(line.as_bytes()));
        let line = "T app[web.1]: Logplex: Error L20 (Tail sessions forbidden) Tail";
        assert!(!is_forbidden(line.as_bytes()));
    }
}
