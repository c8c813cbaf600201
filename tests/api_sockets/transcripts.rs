//! Every transcript of Logplex's legacy, v2 and v3 APIs (`tests/vectors/logplex_api.json`), asked
//! of the real binary in its order: the same answer, or the one that stands there with its reason.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use serde::Deserialize;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::support;
use crate::support::Router;
use crate::support::http;
use crate::support::http::Answer;
use crate::support::http::basic;
use crate::support::until_async;

#[derive(Deserialize)]
struct Table {
    rows: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    section: u8,
    name: String,
    request: String,
    /// `id:secret`, `none`, or `raw` and the header; the admin when absent.
    auth: Option<String>,
    /// Of the request; `Content-Type: none` takes away what a body has otherwise.
    #[serde(default)]
    headers: Vec<String>,
    body: Option<String>,
    /// Makes room: the transcripts' own drains were removed on the way.
    #[serde(default)]
    drains_removed_before: bool,
    logplex: Expected,
    ours: Option<Expected>,
    why: Option<String>,
    /// Headers that the answer must have.
    #[serde(default)]
    headers_of_answer: Vec<String>,
}

#[derive(Deserialize)]
struct Expected {
    status: u16,
    body: String,
}

/// A router with the transcripts' credentials, and what its ids are called in the transcripts.
struct Session {
    router: Router,
    config: tempfile::NamedTempFile,
    names: HashMap<String, String>,
    mode: &'static str,
}

impl Session {
    async fn start(data: &Path) -> Self {
        let config = tempfile::NamedTempFile::new().unwrap();
        let file = config.path().to_str().unwrap().to_owned();
        let keys = [("auth_key", "secret"), ("drains_per_channel_max", "6")];
        let router = Router::start_in(data.to_owned(), &keys, &["--config", &file]).await;
        for (id, permissions) in [("noperm", "[]"), ("chanonly", r#"["any_channel"]"#)] {
            let body =
                format!(r#"{{"id":"{id}","secret":"password","permissions":{permissions}}}"#);
            assert_eq!(
                router.call("POST", "/v3/credentials", &body).await.status,
                201
            );
        }
        Self {
            router,
            config,
            names: HashMap::new(),
            mode: "normal",
        }
    }

    /// Has the router read `text` as its configuration; it has when `path` is answered so.
    async fn configure(&self, text: &str, request: (&str, &str), is_so: impl Fn(&Answer) -> bool) {
        fs::write(self.config.path(), text).unwrap();
        self.router.signal("HUP");
        until_async(text, async || {
            let (method, path) = request;
            is_so(
                &self
                    .router
                    .call(method, path, r#"{"channel_id":"app-1"}"#)
                    .await,
            )
        })
        .await;
    }

    /// Does what the transcripts had done before this row.
    async fn prepare(&mut self, row: &Row) {
        let mode = match &row.name {
            name if name.starts_with("[read_only]") => "read_only",
            name if name.starts_with("[disabled]") => "disabled",
            _ => "normal",
        };
        if mode != self.mode {
            if mode == "read_only" && row.section == 1 {
                self.make_channel_9().await;
            }
            let word = if mode == "disabled" { "Disabled" } else { mode };
            let check = ("GET", "/healthcheck");
            self.configure(&format!("mode = \"{mode}\"\n"), check, |answer| {
                answer.text().contains(word)
            })
            .await;
            self.mode = mode;
        }
        if row.name == "get logs" {
            self.send_three().await;
        }
        if row.name.contains("deny_tail_sessions") {
            let check = ("POST", "/v3/sessions");
            self.configure("deny_tail_sessions = true\n", check, |answer| {
                answer.status == 503
            })
            .await;
        } else if row.name == "get channel" {
            let check = ("POST", "/v3/sessions");
            self.configure("", check, |answer| answer.status == 201)
                .await;
        }
        if row.drains_removed_before {
            let path = format!("/v3/channels/{}/drains", self.names["channel 8"]);
            let drains = self.router.call("GET", &path, "").await.json();
            for drain in drains["drains"].as_array().unwrap() {
                let path = format!("{path}/{}", drain["id"]);
                assert_eq!(self.router.call("DELETE", &path, "").await.status, 204);
            }
        }
    }

    async fn make_channel_9(&mut self) {
        let made = self
            .router
            .call("POST", "/channels", r#"{"tokens":["app"]}"#)
            .await
            .json();
        let id = made["channel_id"].to_string();
        let body = format!(r#"{{"channel_id":"{id}"}}"#);
        let url = self.router.call("POST", "/sessions", &body).await.text();
        let theirs = "403b11f5-857c-4f09-b95b-7926ff65e764".to_owned();
        self.names.insert(theirs, uuids(&url).remove(0));
        self.names.insert("channel 9".to_owned(), id);
    }

    async fn send_three(&self) {
        let shown = self
            .router
            .call("GET", "/v3/channels/app-1", "")
            .await
            .json();
        let token = shown["tokens"]["app"].as_str().unwrap();
        let mut socket = TcpStream::connect(self.router.syslog_tcp).await.unwrap();
        for number in 0..3 {
            let frame = format!(
                "<134>1 2012-12-10T03:00:4{number}.123456Z host {token} console.{number} - - msg {number}"
            );
            let frame = format!("{} {frame}", frame.len());
            socket.write_all(frame.as_bytes()).await.unwrap();
        }
        socket.shutdown().await.unwrap();
        // The router closes when it has read the end.
        socket.read_to_end(&mut Vec::new()).await.unwrap();
    }

    /// `text` of a transcript with this router's ids in it.
    fn translate(&self, section: u8, text: &str) -> String {
        let mut out = text.to_owned();
        for id in uuids(text) {
            if let Some(ours) = self.names.get(&id) {
                out = out.replace(&id, ours);
            }
        }
        for (mark, kind, is_here) in [
            ("/channels/", "channel", section == 1),
            (r#""channel_id": ""#, "channel", section == 1),
            ("/drains/", "drain", true),
        ] {
            let Some(at) = out.find(mark).filter(|_| is_here) else {
                continue;
            };
            let rest = &out[at + mark.len()..];
            let id: String = rest.chars().take_while(char::is_ascii_digit).collect();
            if let Some(ours) = self.names.get(&format!("{kind} {id}")) {
                let end = at + mark.len() + id.len();
                out = format!("{}{mark}{ours}{}", &out[..at], &out[end..]);
            }
        }
        out
    }

    /// Learns what this router calls what the transcript has just made.
    fn learn(&mut self, theirs: &str, ours: &str) {
        let (theirs_ids, ours_ids) = (uuids(theirs), uuids(ours));
        if theirs_ids.len() == ours_ids.len() {
            self.names.extend(theirs_ids.into_iter().zip(ours_ids));
        }
        for (mark, kind) in [(r#""channel_id":"#, "channel"), (r#""id":"#, "drain")] {
            let (theirs, ours) = (numbers(theirs, mark), numbers(ours, mark));
            if theirs.len() == ours.len() {
                for (theirs, ours) in theirs.into_iter().zip(ours) {
                    self.names.entry(format!("{kind} {theirs}")).or_insert(ours);
                }
            }
        }
    }

    async fn ask(&self, row: &Row) -> Answer {
        let (method, path) = row.request.split_once(' ').unwrap();
        let path = self.translate(row.section, path);
        let body = self.translate(row.section, row.body.as_deref().unwrap_or_default());
        let auth = match row.auth.as_deref() {
            None => Some(basic(support::CREDENTIAL)),
            Some("none") => None,
            Some(auth) => Some(match auth.strip_prefix("raw ") {
                Some(raw) => raw.to_owned(),
                None => basic(auth),
            }),
        };
        let mut headers: Vec<(&str, &str)> = Vec::new();
        headers.extend(auth.as_deref().map(|auth| ("Authorization", auth)));
        headers.extend(
            row.headers
                .iter()
                .map(|header| header.split_once(": ").unwrap()),
        );
        let has_kind = headers.iter().any(|(name, _)| *name == "Content-Type");
        if row.body.is_some() && !has_kind {
            headers.push(("Content-Type", "application/json"));
        }
        headers.retain(|header| *header != ("Content-Type", "none"));
        http::request(self.router.http, method, &path, &headers, body.as_bytes()).await
    }
}

#[tokio::test]
async fn every_transcript_is_answered_alike_or_for_a_reason() {
    let text = include_str!("../vectors/logplex_api.json");
    let table: Table = serde_json::from_str(text).unwrap();
    let mut session: Option<(Session, tempfile::TempDir, u8)> = None;
    let mut failures = Vec::new();
    for row in &table.rows {
        if session
            .as_ref()
            .is_none_or(|(_, _, section)| *section != row.section)
        {
            let data = tempfile::tempdir().unwrap();
            session = Some((Session::start(data.path()).await, data, row.section));
        }
        let (session, ..) = session.as_mut().unwrap();
        session.prepare(row).await;
        let answer = session.ask(row).await;
        session.learn(&row.logplex.body, &answer.text());
        assert_eq!(row.ours.is_some(), row.why.is_some(), "{}", row.name);
        let expected = row.ours.as_ref().unwrap_or(&row.logplex);
        let found = plain(&answer.text(), session.router.http);
        let wanted = plain(&expected.body, session.router.http);
        let is_same = match wanted.split_once('…') {
            Some((start, _)) => found.starts_with(&start.replace("\\\"", "\"")),
            None => found == wanted,
        };
        let lacks = |header: &&String| {
            let (name, value) = header.split_once(": ").unwrap();
            answer.header(name) != Some(value)
        };
        let lacking: Vec<&String> = row.headers_of_answer.iter().filter(lacks).collect();
        if answer.status != expected.status || !is_same || !lacking.is_empty() {
            failures.push(format!(
                "{} ({}): {} {found}\n  wanted {} {wanted} {lacking:?}",
                row.name, row.request, answer.status, expected.status
            ));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// `text` without what differs from run to run: UUIDs, numbers of ids, where the router is.
fn plain(text: &str, router: std::net::SocketAddr) -> String {
    let mut out = text.to_owned();
    for id in uuids(text) {
        out = out.replace(&id, "*");
    }
    for mark in [r#""channel_id":"#, r#""id":"#] {
        for number in numbers(&out, mark) {
            out = out.replacen(&format!("{mark}{number}"), &format!("{mark}#"), 1);
        }
    }
    for host in ["localhost:8001", "localhost:8002", &router.to_string()] {
        out = out.replace(&format!("http://{host}/"), "http://HOST/");
    }
    out
}

/// The UUIDs in `text`, in order.
fn uuids(text: &str) -> Vec<String> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(window) = bytes.get(at..at + 36) {
        let is_uuid = window.iter().enumerate().all(|(index, byte)| match index {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        });
        if is_uuid {
            found.push(text[at..at + 36].to_owned());
        }
        at += if is_uuid { 36 } else { 1 };
    }
    found
}

/// The numbers that follow `mark` in `text`, in order.
fn numbers(text: &str, mark: &str) -> Vec<String> {
    text.split(mark)
        .skip(1)
        .map(|rest| {
            rest.chars()
                .take_while(char::is_ascii_digit)
                .collect::<String>()
        })
        .filter(|number| !number.is_empty())
        .collect()
}
