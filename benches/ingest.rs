//! From a TCP connection into the channels: read, cut, parse, route, gather, append, with the
//! messages of few and of many channels interleaved on one connection. The kernel's part and the
//! sender's are in the figures.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a bench may stop at the first surprise"
)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use logboom::channel::{Budget, Channel, ChannelFlags, Node, WhenFull};
use logboom::id::{Source, Token};
use logboom::ingest::tcp::{SyslogSettings, serve_syslog};
use logboom::net::listen::{ListenSettings, Listener};
use logboom::route::{Route, RouteTable};
use logboom::shutdown::Shutdown;
use logboom::telemetry::{Input, Telemetry};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

const MESSAGES: u64 = 10_000;
const MESSAGE_BYTES: usize = 300;

/// A listener with its channels, and the bytes of `MESSAGES` messages to all of them in turn.
struct Inputs {
    channels: Vec<Arc<Channel>>,
    address: SocketAddr,
    shutdown: Shutdown,
    bytes: String,
}

impl Inputs {
    fn new(channel_count: u64) -> Self {
        let telemetry = Telemetry::new().unwrap();
        let budget = Budget {
            channel_bytes_max: 4 << 20,
            node_bytes_max: 1 << 30,
            history_age_max: Duration::from_secs(3_600),
            wait_max: Duration::from_secs(30),
        };
        let node = Node::new(budget, telemetry.clone());
        let table = Arc::new(RouteTable::new());
        let tokens: Vec<Token> = (0..channel_count).map(|_| Token::random()).collect();
        let open = |(id, token): (u64, &Token)| {
            let channel = node.open(&id.into(), ChannelFlags::default(), WhenFull::Lose);
            let route = Route {
                channel: Arc::clone(&channel),
                source: Source::new("app").unwrap(),
            };
            table.insert(token, route);
            channel
        };
        let channels = (0..channel_count).zip(&tokens).map(open).collect();
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let counters = telemetry.input(Input::Tcp).clone();
        let listener = Listener::bind(any, ListenSettings::default(), counters).unwrap();
        let address = listener.address();
        let shutdown = Shutdown::new();
        let settings = SyslogSettings::default();
        let served = serve_syslog(listener, None, table, settings, shutdown.clone(), telemetry);
        shutdown.spawn(served);
        let frames = tokens.iter().cycle().map(|token| frame(token.expose()));
        let bytes = frames.take(usize::try_from(MESSAGES).unwrap()).collect();
        Self {
            channels,
            address,
            shutdown,
            bytes,
        }
    }

    /// Sends the bytes once more and waits until the channels have all of them.
    async fn round(&self, stream: &mut TcpStream, before: u64) {
        stream.write_all(self.bytes.as_bytes()).await.unwrap();
        let each = MESSAGES / self.channels.len() as u64;
        for channel in &self.channels {
            loop {
                let cursor = channel.cursor_at_end();
                if before + each <= channel.end_seq().value() {
                    break;
                }
                channel.readable(&cursor).await;
            }
        }
    }
}

fn frame(token: &str) -> String {
    let mut line = format!("<134>1 2012-11-16T22:40:48.123456+00:00 host {token} web.1 - - ");
    line.extend(std::iter::repeat_n('x', MESSAGE_BYTES - line.len()));
    format!("{MESSAGE_BYTES} {line}")
}

fn ingest(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let mut group = criterion.benchmark_group("ingest");
    group.throughput(Throughput::Elements(MESSAGES));
    for channel_count in [1, 10, 100, 1_000] {
        let inputs = runtime.block_on(async { Inputs::new(channel_count) });
        let mut stream = runtime
            .block_on(TcpStream::connect(inputs.address))
            .unwrap();
        let mut before = 0;
        group.bench_function(BenchmarkId::new("tcp", channel_count), |bencher| {
            bencher.iter(|| {
                runtime.block_on(inputs.round(&mut stream, before));
                before += MESSAGES / channel_count;
            });
        });
        inputs.shutdown.request();
    }
    group.finish();
}

criterion_group!(benches, ingest);
criterion_main!(benches);
