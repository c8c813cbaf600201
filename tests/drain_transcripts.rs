//! What the real Logplex made of one input on TCP, shown with the real router on real sockets: the
//! body of an HTTP drain, the bytes of a syslog drain and the lines of a live tail.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::cast_precision_loss,
    unreachable_pub,
    reason = "a test may stop at the first surprise"
)]

#[path = "vectors_syslog/differences.rs"]
mod differences;
mod support;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use differences::DIFFERENT;
use serde_json::Value;
use support::Router;
use support::http::Stream;
use support::sinks::HttpSink;
use support::sinks::SyslogSink;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

const APP: &str = "t.02c4f351-f575-4bfe-af85-ee60a2160f25";
const HEROKU: &str = "t.ef50eddf-2351-4e82-bb10-e7bf0abf16b3";
const RECEIVED: &str = "logboom_received_bytes_total{input=\"tcp\"}";
const DRAIN: &str = "d.3148ce20-9113-4b72-a085-62504209a446";

/// A text, or bytes in base64 where a text cannot hold them.
fn bytes(value: &Value) -> Vec<u8> {
    match value {
        Value::String(text) => text.clone().into_bytes(),
        _ => BASE64_STANDARD
            .decode(value["base64"].as_str().unwrap())
            .unwrap(),
    }
}

/// `bytes` with every `from` replaced by the equally long `to`.
fn replaced(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut out = bytes.to_vec();
    for at in 0..out.len().saturating_sub(from.len() - 1) {
        if out[at..].starts_with(from.as_bytes()) {
            out[at..at + to.len()].copy_from_slice(to.as_bytes());
        }
    }
    out
}

/// Logplex's HTTP frames with the newline that each of ours ends in, counted.
fn with_newlines(bodies: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = bodies;
    while let Some(space) = rest.iter().position(|byte| *byte == b' ') {
        let length: usize = std::str::from_utf8(&rest[..space])
            .unwrap()
            .parse()
            .unwrap();
        let mut frame = rest[space + 1..space + 1 + length].to_vec();
        rest = &rest[space + 1 + length..];
        if !frame.ends_with(b"\n") {
            frame.push(b'\n');
        }
        out.extend_from_slice(format!("{} ", frame.len()).as_bytes());
        out.extend_from_slice(&frame);
    }
    out
}

/// What our own text means for the syslog drain and the tail: all three say the same message.
fn outputs(http: &str) -> [Vec<u8>; 3] {
    let fields: Vec<&str> = http.splitn(7, ' ').collect();
    let [pri, time, _host, source, process, "-", text] = fields[..] else {
        panic!("{http:?}");
    };
    let syslog = format!("{pri} {time} {DRAIN} {source} {process} - - {text}");
    [
        format!("{} {http}", http.len()).into_bytes(),
        format!("{} {syslog}", syslog.len()).into_bytes(),
        format!("{time} {source}[{process}]: {text}").into_bytes(),
    ]
}

struct Rig {
    router: Router,
    tokens: [String; 2],
    http: HttpSink,
    syslog: SyslogSink,
    drain: String,
    tail: Stream,
    seen: [usize; 3],
    /// Inputs of former cases.
    open: Vec<TcpStream>,
}

impl Rig {
    async fn start() -> Self {
        // As in Logplex, where the transcripts have frames of that length.
        let router = Router::start_with(&[("frame_bytes_max", "10240")]).await;
        let answer = router
            .call("PUT", "/v3/channels/app", r#"{"tokens":["app","heroku"]}"#)
            .await
            .json();
        let token = |name: &str| answer["tokens"][name].as_str().unwrap().to_owned();
        let tokens = [token("app"), token("heroku")];
        let http = HttpSink::start([]).await;
        router.drain("app", &http.url(), "").await;
        let syslog = SyslogSink::start().await;
        let body = format!(r#"{{"url":"{}"}}"#, syslog.url());
        let answer = router.call("POST", "/v3/channels/app/drains", &body).await;
        let drain = answer.json()["token"].as_str().unwrap().to_owned();
        let path = router
            .session(r#"{"channel_id":"app","num":0,"tail":true}"#)
            .await;
        let tail = Stream::open(router.http, &path, &[]).await;
        support::until_async("the tail", async || {
            router.metric("logboom_tails").await >= 1.0
        })
        .await;
        Self {
            router,
            tokens,
            http,
            syslog,
            drain,
            tail,
            seen: [0; 3],
            open: Vec::new(),
        }
    }

    /// Sends `chunks` over a connection of their own and gives what each output got for them.
    async fn outputs(&mut self, chunks: &[Vec<u8>], number: usize) -> [Vec<u8>; 3] {
        let before = self.router.metric(RECEIVED).await;
        let mut socket = TcpStream::connect(self.router.syslog_tcp).await.unwrap();
        socket.set_nodelay(true).unwrap();
        // Whole, for a token may lie across chunks.
        let whole = replaced(&chunks.concat(), APP, &self.tokens[0]);
        let mut whole = &replaced(&whole, HEROKU, &self.tokens[1])[..];
        for chunk in chunks {
            let (now, later) = whole.split_at(chunk.len());
            socket.write_all(now).await.unwrap();
            whole = later;
            tokio::task::yield_now().await;
        }
        let sent = chunks.iter().map(Vec::len).sum::<usize>() as f64;
        support::until_async("the input", async || {
            before + sent <= self.router.metric(RECEIVED).await
        })
        .await;
        // Its end would end a frame.
        self.open.push(socket);
        let mark = format!("mark {number}.");
        self.router
            .send_tcp(&support::message(&self.tokens[0], &mark))
            .await;
        let has_mark = |bytes: &[u8]| bytes.windows(mark.len()).any(|w| w == mark.as_bytes());
        let all = support::until("the mark at both drains", || {
            let http: Vec<u8> = self.http.posts().into_iter().flat_map(|p| p.body).collect();
            let syslog = self.syslog.bytes();
            (has_mark(&http) && has_mark(&syslog)).then_some([http, syslog])
        })
        .await;
        let tail = self.tail.bytes_until(&mark, has_mark).await;
        let [http, syslog] = all;
        let mut new = [http, syslog, tail];
        for (bytes, seen) in new.iter_mut().zip(&mut self.seen) {
            let before = std::mem::replace(seen, bytes.len());
            bytes.drain(..before);
        }
        let at = "<134>1 2012-12-10T03:00:48.123456Z";
        let http_mark = format!("{at} host app web.1 - {mark}\n");
        let syslog_mark = format!("{at} {} app web.1 - - {mark}\n", self.drain);
        let marks = [
            format!("{} {http_mark}", http_mark.len()),
            format!("{} {syslog_mark}", syslog_mark.len()),
            format!("2012-12-10T03:00:48.123456Z app[web.1]: {mark}\n"),
        ];
        for (bytes, mark) in new.iter_mut().zip(marks) {
            let end = bytes.len() - mark.len();
            assert_eq!(
                bytes.split_off(end).escape_ascii().to_string(),
                mark.as_bytes().escape_ascii().to_string()
            );
        }
        new.map(|bytes| {
            let bytes = replaced(&bytes, &self.tokens[0], APP);
            replaced(&bytes, &self.drain, DRAIN)
        })
    }
}

#[tokio::test]
async fn outputs_are_those_of_logplex() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/vectors/logplex_data_path.json"
    );
    let vectors: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let mut rig = Rig::start().await;
    let mut different_count = 0;
    for (number, case) in vectors["cases"].as_array().unwrap().iter().enumerate() {
        let name = case["name"].as_str().unwrap();
        let chunks: Vec<Vec<u8>> = case["input"]
            .as_array()
            .unwrap()
            .iter()
            .map(bytes)
            .collect();
        let found = rig.outputs(&chunks, number).await;
        let different = DIFFERENT.iter().find(|(other, _, _)| *other == name);
        let expected = match different {
            Some((_, http, _)) => {
                different_count += 1;
                outputs(&this_year(name, http, &found[0]))
            }
            None => {
                let bodies = case["http"].as_array().unwrap();
                let bodies: Vec<u8> = bodies.iter().flat_map(bytes).collect();
                [
                    with_newlines(&bodies),
                    bytes(&case["syslog"]),
                    bytes(&case["tail"]),
                ]
            }
        };
        for (output, (found, expected)) in ["HTTP drain", "syslog drain", "tail"]
            .iter()
            .zip(found.iter().zip(&expected))
        {
            assert_eq!(
                found.escape_ascii().to_string(),
                expected.escape_ascii().to_string(),
                "{name}: {output}"
            );
        }
    }
    assert_eq!(different_count, DIFFERENT.len());
    rig.router.stop().await;
}

/// RFC 3164 gives no year: it is that of the arrival, which the difference's text puts in 2012.
fn this_year(name: &str, http: &str, found: &[u8]) -> String {
    if name != "rfc3164" {
        return http.to_owned();
    }
    let found = String::from_utf8_lossy(found).into_owned();
    let year = found.split(' ').nth(2).unwrap()[..4].to_owned();
    assert!(year.parse::<u32>().is_ok_and(|year| 2024 < year), "{found}");
    http.replace("2012", &year)
}
