//! Instructions per message of each stage of the message path, counted by callgrind: the same on
//! every run of a build, whatever else the machine does. The kernel's are not in them.
//!
//! `cargo bench --bench instructions` compares them with the record, `benches/INSTRUCTIONS`, and
//! fails when one has grown by more than 5 %; with `-- --write` it makes the record anew. It needs
//! valgrind. What is counted is the bench profile's build, on the processor that valgrind shows.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    reason = "a bench may stop at the first surprise"
)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::any;
use hyper::Request;
use logboom::channel::{Budget, Channel, ChannelFlags, Cursor, Node, Record, WhenFull};
use logboom::id::{DrainToken, Source, Token};
use logboom::ingest::http::{LogsInput, LogsMode, LogsSettings, logs};
use logboom::ingest::tcp::{SyslogSettings, serve_syslog};
use logboom::net::listen::{ListenSettings, Listener};
use logboom::registry::{Directory, Entries};
use logboom::route::{Route, RouteTable};
use logboom::shutdown::Shutdown;
use logboom::syslog::encode;
use logboom::telemetry::{Input, Telemetry};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tower_service::Service;

const RECORD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/INSTRUCTIONS");
const GROWTH_MAX: f64 = 1.05;

/// Messages of the two runs whose difference is measured: what is done once drops out.
const FEW: u64 = 2_000;
const MANY: u64 = 12_000;

const MESSAGE_BYTES: usize = 300;
const FRAME_BYTES: usize = "300 ".len() + MESSAGE_BYTES;
const MESSAGES_PER_REQUEST: u64 = 100;
const CHANNELS: u64 = 1_000;
const BATCH_BYTES: usize = 100 * 1024;

/// What is done with so many messages.
type Stage = fn(Fixture, u64);

/// The stages by their names in the record.
const STAGES: [(&str, Stage); 7] = [
    ("tcp-in", tcp_in),
    ("tcp-in-spread", tcp_in_spread),
    ("http-in", http_in),
    ("drain-syslog-out", |f, count| {
        read_out(f, count, syslog_frame)
    }),
    ("drain-http-out", |f, count| read_out(f, count, http_frame)),
    ("tail-out", |f, count| read_out(f, count, tail_line)),
    ("logfmt-in", |_, count| logfmt_in(count)),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, flag, name, count, ..] = arguments.as_slice()
        && flag == "--stage"
    {
        let (_, stage) = STAGES.iter().find(|(known, _)| known == name).unwrap();
        counted(*stage, fixture(), count.parse().unwrap());
        return ExitCode::SUCCESS;
    }
    let found: BTreeMap<&str, f64> = STAGES
        .iter()
        .map(|(name, _)| (*name, per_message(name)))
        .collect();
    if arguments.iter().any(|argument| argument == "--write") {
        let mut text =
            String::from("# Instructions per message: cargo bench --bench instructions\n");
        for (name, count) in &found {
            writeln!(text, "{name} {count:.0}").unwrap();
        }
        std::fs::write(RECORD, text).unwrap();
    }
    compare(&found)
}

/// Prints each stage beside its record; fails when one has grown too much or has no record.
fn compare(found: &BTreeMap<&str, f64>) -> ExitCode {
    let text = std::fs::read_to_string(RECORD).unwrap();
    let recorded: BTreeMap<&str, f64> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once(' '))
        .map(|(name, count)| (name, count.parse().unwrap()))
        .collect();
    let mut code = ExitCode::SUCCESS;
    for (name, count) in found {
        let Some(record) = recorded.get(name) else {
            println!("{name}: {count:.0} instructions a message, not recorded");
            code = ExitCode::FAILURE;
            continue;
        };
        let growth = count / record;
        let verdict = if GROWTH_MAX < growth {
            code = ExitCode::FAILURE;
            "grown: make it cheaper, or record it with --write and say why"
        } else {
            "fine"
        };
        println!("{name}: {count:.0} instructions a message, {record} recorded: {verdict}");
    }
    code
}

/// What callgrind counts, by this name: making the fixture waits for a clock, which takes more or
/// fewer instructions each time.
#[inline(never)]
fn counted(stage: Stage, fixture: Fixture, count: u64) {
    stage(fixture, count);
}

fn per_message(stage: &str) -> f64 {
    let [few, many] = [FEW, MANY].map(|count| instructions(stage, count));
    (many - few) / (MANY - FEW) as f64
}

/// Runs a stage under callgrind; gives the instructions of the whole process.
fn instructions(stage: &str, count: u64) -> f64 {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg("--toggle-collect=instructions::counted")
        .arg(std::env::current_exe().unwrap())
        .args(["--stage", stage, &count.to_string()])
        .output()
        .unwrap_or_else(|error| panic!("valgrind cannot be run: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let (_, collected) = said.split_once("Collected : ").unwrap();
    collected
        .split_whitespace()
        .next()
        .unwrap()
        .parse()
        .unwrap()
}

/// A channel with its token.
struct Fixture {
    table: Arc<RouteTable>,
    channel: Arc<Channel>,
    token: Token,
    telemetry: Telemetry,
    node: Arc<Node>,
}

fn fixture() -> Fixture {
    let telemetry = Telemetry::new().unwrap();
    let budget = Budget {
        channel_bytes_max: 16 << 20,
        node_bytes_max: 1 << 30,
        history_age_max: Duration::from_secs(3_600),
        wait_max: Duration::from_secs(30),
    };
    let node = Node::new(budget, telemetry.clone());
    let channel = node.open(&1.into(), ChannelFlags::default(), WhenFull::Lose);
    let table = Arc::new(RouteTable::new());
    // Always the same, so that it falls on the same place of every hash table.
    let token = Token::new("t.0f8fad5b-d9cb-469f-a165-70867728950e").unwrap();
    let route = Route {
        channel: Arc::clone(&channel),
        source: Source::new("app").unwrap(),
    };
    table.insert(&token, route);
    Fixture {
        table,
        channel,
        token,
        telemetry,
        node,
    }
}

fn frames(token: &Token, count: u64) -> Vec<u8> {
    frame(token.expose()).repeat(usize::try_from(count).unwrap())
}

fn frame(token: &str) -> Vec<u8> {
    let mut line = format!("<134>1 2012-11-16T22:40:48.123456+00:00 host {token} web.1 - - ");
    line.extend(std::iter::repeat_n('x', MESSAGE_BYTES - line.len()));
    format!("{MESSAGE_BYTES} {line}").into_bytes()
}

fn block_on(work: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(work);
}

/// Socket, framing, header, token, append.
fn tcp_in(fixture: Fixture, count: u64) {
    let bytes = frames(&fixture.token, MANY);
    let end = Arc::clone(&fixture.channel);
    send_in(fixture, &bytes, &end, [count, count]);
}

/// The same, to as many channels in turn.
fn tcp_in_spread(fixture: Fixture, count: u64) {
    let open = |id: u64| {
        let waits = WhenFull::Lose;
        let channel = fixture
            .node
            .open(&(id + 2).into(), ChannelFlags::default(), waits);
        let token = format!("t.0f8fad5b-d9cb-469f-a165-{id:012}");
        let route = Route {
            channel: Arc::clone(&channel),
            source: Source::new("app").unwrap(),
        };
        fixture.table.insert(&Token::new(&token).unwrap(), route);
        (token, channel)
    };
    let opened: Vec<(String, Arc<Channel>)> = (0..CHANNELS).map(open).collect();
    let turn: Vec<u8> = opened.iter().flat_map(|(token, _)| frame(token)).collect();
    let bytes = turn.repeat(usize::try_from(MANY / CHANNELS).unwrap());
    let (_, last) = opened.last().unwrap();
    send_in(fixture, &bytes, last, [count, count / CHANNELS]);
}

/// Sends the first `count` frames of `bytes`; waits until `end` has `each`.
fn send_in(fixture: Fixture, bytes: &[u8], end: &Channel, [count, each]: [u64; 2]) {
    let Fixture {
        table, telemetry, ..
    } = fixture;
    let bytes = bytes
        .get(..usize::try_from(count).unwrap() * FRAME_BYTES)
        .unwrap();
    block_on(async {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let counters = telemetry.input(Input::Tcp).clone();
        let listener = Listener::bind(any, ListenSettings::default(), counters).unwrap();
        let mut stream = TcpStream::connect(listener.address()).await.unwrap();
        let shutdown = Shutdown::new();
        let settings = SyslogSettings::default();
        let served = serve_syslog(listener, None, table, settings, shutdown.clone(), telemetry);
        shutdown.spawn(served);
        stream.write_all(bytes).await.unwrap();
        while end.end_seq().value() < each {
            end.readable(&end.cursor_at_end()).await;
        }
    });
}

/// Request, body, framing, header, append.
fn http_in(fixture: Fixture, count: u64) {
    let Fixture {
        table,
        channel,
        token,
        telemetry,
        ..
    } = fixture;
    let body = bytes::Bytes::from(frames(&token, MESSAGES_PER_REQUEST));
    block_on(async {
        let directory = Arc::new(Directory::new(Entries::default()));
        let input = LogsInput::new(table, directory, LogsSettings::default(), telemetry);
        input.set_mode(LogsMode::Open);
        let mut router = Router::new()
            .route("/logs", any(logs))
            .with_state(Arc::new(input));
        for _ in 0..count / MESSAGES_PER_REQUEST {
            let request = Request::post("/logs")
                .header("Authorization", format!("Bearer {}", token.expose()))
                .header("Content-Type", "application/logplex-1")
                .header("Logplex-Msg-Count", MESSAGES_PER_REQUEST)
                .body(Body::from(body.clone()))
                .unwrap();
            let answer = Service::call(&mut router, request).await.unwrap();
            assert_eq!(answer.status(), 204);
        }
    });
    assert_eq!(channel.end_seq().value(), count);
}

/// Read at a cursor, encode, in batches.
fn read_out(fixture: Fixture, count: u64, encode: fn(&Record<'_>, &mut Vec<u8>)) {
    let Fixture { channel, token, .. } = fixture;
    let bytes = frames(&token, 1);
    let (_, line) = bytes.split_at(FRAME_BYTES - MESSAGE_BYTES);
    let message = logboom::syslog::parse::parse_rfc5424(line).unwrap();
    let mut out = Vec::with_capacity(2 * BATCH_BYTES);
    let mut cursor: Cursor = channel.cursor_at_end();
    // Appended once for all counts: only the reading differs.
    channel.append(
        std::iter::repeat_n(message, usize::try_from(MANY).unwrap()),
        logboom::clock::UnixMicros::new(1),
    );
    let mut left = count;
    while 0 < left {
        out.clear();
        channel.read(&mut cursor, |record| {
            if left == 0 || BATCH_BYTES < out.len() {
                return ControlFlow::Break(());
            }
            left -= 1;
            encode(&record, &mut out);
            ControlFlow::Continue(())
        });
    }
}

/// The pairs of a router's line of 245 bytes.
fn logfmt_in(count: u64) {
    let line = "at=info method=GET path=\"/api/v2/items?page=471\" host=app-42.example.com \
                request_id=8601b555-6a83-4c12-8269-97c8e32cdb22 fwd=\"204.204.204.204\" dyno=web.1 \
                connect=1ms service=18ms status=200 bytes=1342 protocol=http1.1 tls=true \
                tls_version=tls1.3";
    for _ in 0..count {
        for pair in logboom::logfmt::parse::pairs(std::hint::black_box(line.as_bytes())) {
            std::hint::black_box(pair);
        }
    }
}

fn syslog_frame(record: &Record<'_>, out: &mut Vec<u8>) {
    static TOKEN: std::sync::OnceLock<DrainToken> = std::sync::OnceLock::new();
    let drain = TOKEN.get_or_init(DrainToken::random);
    encode::logplex_syslog(record, drain, out);
}

fn http_frame(record: &Record<'_>, out: &mut Vec<u8>) {
    encode::logplex_http(record, out);
}

fn tail_line(record: &Record<'_>, out: &mut Vec<u8>) {
    encode::tail_line(record, out);
}
