//! Syslog inputs over real sockets, into real channels.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod ingest_support;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use ingest_support::{DEADLINE, Inputs, TOKEN_A, TOKEN_B, counted, message};
use logboom::channel::{Channel, Progress, WhenFull};
use logboom::id::{ChannelId, Source, Token};
use logboom::ingest::tcp::{SyslogSettings, serve_syslog};
use logboom::ingest::udp::{UdpSettings, serve_udp};
use logboom::net::listen::bind_udp;
use logboom::net::tls::{Alpn, TlsFiles, TlsServer};
use logboom::route::Firehose;
use logboom::route::limit::{Rate, RateLimits};
use logboom::telemetry::Input;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

fn serve(inputs: &Inputs, settings: SyslogSettings, tls: Option<Arc<TlsServer>>) -> SocketAddr {
    let input = if tls.is_some() {
        Input::Tls
    } else {
        Input::Tcp
    };
    let listener = inputs.listener(input);
    let address = listener.address();
    inputs.shutdown.spawn(serve_syslog(
        listener,
        tls,
        Arc::clone(&inputs.table),
        settings,
        inputs.shutdown.clone(),
        inputs.telemetry.clone(),
    ));
    address
}

async fn send(address: SocketAddr, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream
}

async fn wait_until_closed(stream: &mut TcpStream) {
    // A TLS alert may come first.
    let mut last_words = Vec::new();
    let read = stream.read_to_end(&mut last_words);
    assert!(tokio::time::timeout(DEADLINE, read).await.is_ok());
}

#[tokio::test]
async fn both_framings_reach_their_channels_in_order() {
    let inputs = Inputs::new();
    let mut a = inputs.channel("a", TOKEN_A, "app");
    let mut b = inputs.channel("b", TOKEN_B, "heroku");
    inputs.add_token(&a.channel, "t.second", "router");
    let address = serve(&inputs, SyslogSettings::default(), None);
    let bytes = [
        counted(TOKEN_A, "a1"),
        counted(TOKEN_B, "b1"),
        message(TOKEN_A, "a2\n"),
        counted("t.second", "a3"),
        counted("t.nobody", "lost"),
        counted("nginx", "lost"),
        format!("{}\r\n", message(TOKEN_B, "b2")),
        format!("<13>Dec 10 03:00:48 host {TOKEN_A}: a4\n"),
        message(TOKEN_A, "a5 without an end"),
    ]
    .concat();
    let stream = send(address, bytes.as_bytes()).await;
    drop(stream);
    let expected = [
        "app|web.1|a1",
        "app|web.1|a2",
        "router|web.1|a3",
        "app|-|a4",
        "app|web.1|a5 without an end",
    ];
    assert_eq!(a.next(5).await, expected);
    assert_eq!(b.next(2).await, ["heroku|web.1|b1", "heroku|web.1|b2"]);
    inputs.shutdown.request();
    assert!(inputs.shutdown.finished(DEADLINE).await);
    inputs.assert_counted("logboom_routed_messages_total", 7);
    inputs.assert_counted("logboom_received_frames_total{input=\"tcp\"}", 9);
    inputs.assert_counted(
        "logboom_dropped_messages_total{reason=\"unknown_token\"}",
        1,
    );
    inputs.assert_counted("logboom_dropped_messages_total{reason=\"no_token\"}", 1);
    inputs.assert_counted("logboom_connections_open{input=\"tcp\"}", 0);
}

#[tokio::test]
async fn however_the_bytes_are_cut_every_message_comes_once() {
    let inputs = Inputs::new();
    let mut a = inputs.channel("a", TOKEN_A, "app");
    let address = serve(&inputs, SyslogSettings::default(), None);
    let mut bytes = Vec::new();
    let mut expected = Vec::new();
    for number in 0..3_000_usize {
        let text = format!("{number} {}", "x".repeat(number % 700));
        bytes.extend_from_slice(counted(TOKEN_A, &text).as_bytes());
        expected.push(format!("app|web.1|{text}"));
    }
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (mut left, mut size) = (&bytes[..], 1);
    while !left.is_empty() {
        let (piece, rest) = left.split_at(size.min(left.len()));
        stream.write_all(piece).await.unwrap();
        left = rest;
        size = size * 7 % 50_021 + 1;
    }
    assert_eq!(a.next(3_000).await, expected);
}

#[tokio::test]
async fn a_frame_above_the_limit_is_cut_and_the_next_one_survives() {
    let inputs = Inputs::new();
    let mut a = inputs.channel("a", TOKEN_A, "app");
    let settings = SyslogSettings {
        frame_bytes_max: 200,
        ..SyslogSettings::default()
    };
    let address = serve(&inputs, settings, None);
    let long = counted(TOKEN_A, &"y".repeat(500_000));
    let bytes = [long, counted(TOKEN_A, "next")].concat();
    let _stream = send(address, bytes.as_bytes()).await;
    let found = a.next(2).await;
    assert!(
        found[0].ends_with("yyyy") && found[0].len() < 200,
        "{found:?}"
    );
    assert_eq!(found[1], "app|web.1|next");
    inputs.assert_counted("logboom_truncated_messages_total", 1);
}

#[tokio::test]
async fn a_bound_listener_takes_anything_and_shows_no_token() {
    let inputs = Inputs::new();
    let mut a = inputs.channel("a", TOKEN_A, "postgres");
    let settings = SyslogSettings {
        token: Some(Token::new(TOKEN_A).unwrap()),
        ..SyslogSettings::default()
    };
    let address = serve(&inputs, settings, None);
    let bytes = [
        "<134>Dec 10 03:00:48 db postgres[6442]: LOG: checkpoint\n".to_owned(),
        "just a line\n".to_owned(),
        message(TOKEN_B, "other token\n"),
        message("nginx", "kept\n"),
        format!("<134>1 - {TOKEN_A} nginx {TOKEN_A} - - hidden\n"),
        message(&format!("my-{TOKEN_A}"), "inside\n"),
    ]
    .concat();
    let mut stream = send(address, bytes.as_bytes()).await;
    let expected = [
        "postgres|6442|LOG: checkpoint",
        "postgres|-|just a line",
        "postgres|web.1|other token",
        "nginx|web.1|kept",
        "nginx|-|hidden",
        "postgres|web.1|inside",
    ];
    assert_eq!(a.next(6).await, expected);
    inputs.table.remove(&Token::new(TOKEN_A).unwrap());
    stream.write_all(b"nobody's\n").await.unwrap();
    stream.shutdown().await.unwrap();
    wait_until_closed(&mut stream).await;
    inputs.assert_counted(
        "logboom_dropped_messages_total{reason=\"unknown_token\"}",
        1,
    );
}

#[tokio::test]
async fn changed_routes_hold_for_the_next_read() {
    let inputs = Inputs::new();
    let mut a = inputs.channel("a", TOKEN_A, "app");
    let address = serve(&inputs, SyslogSettings::default(), None);
    let mut stream = send(address, counted(TOKEN_A, "one").as_bytes()).await;
    assert_eq!(a.next(1).await, ["app|web.1|one"]);
    let mut b = inputs.channel("b", TOKEN_A, "moved");
    let two = counted(TOKEN_A, "two");
    stream.write_all(two.as_bytes()).await.unwrap();
    assert_eq!(b.next(1).await, ["moved|web.1|two"]);
    assert_eq!(a.rest(), [""; 0]);
}

#[tokio::test]
async fn silent_and_half_done_connections_are_closed() {
    let inputs = Inputs::new();
    let mut a = inputs.channel("a", TOKEN_A, "app");
    let settings = SyslogSettings {
        idle_timeout: Duration::from_millis(300),
        frame_timeout: Duration::from_millis(100),
        ..SyslogSettings::default()
    };
    let address = serve(&inputs, settings, None);
    let mut silent = send(address, b"").await;
    wait_until_closed(&mut silent).await;
    let mut half = send(address, b"500 <134>1 half").await;
    wait_until_closed(&mut half).await;
    inputs.assert_counted("logboom_dropped_messages_total{reason=\"malformed\"}", 1);
    assert_eq!(a.rest(), [""; 0]);
}

#[tokio::test]
async fn over_the_rate_limit_messages_are_dropped_counted_and_told() {
    let inputs = Inputs::new();
    let mut a = inputs.channel("a", TOKEN_A, "app");
    inputs.table.set_limits(RateLimits {
        messages: Some(Rate {
            per_second: 1,
            burst: 3,
        }),
        bytes: None,
    });
    let address = serve(&inputs, SyslogSettings::default(), None);
    let bytes: String = (0..10)
        .map(|number| counted(TOKEN_A, &number.to_string()))
        .collect();
    let _stream = send(address, bytes.as_bytes()).await;
    let found = a.next(4).await;
    let notice = found
        .iter()
        .find(|line| line.starts_with("heroku|logplex|Rate limit: "))
        .unwrap();
    assert!(
        notice.ends_with(". reason=rate_limited source=app"),
        "{notice}"
    );
    for number in 0..3 {
        assert!(found.contains(&format!("app|web.1|{number}")), "{found:?}");
    }
}

#[tokio::test]
async fn the_firehose_gets_copies_without_tokens_and_feeds_no_loop() {
    let inputs = Inputs::new();
    let mut a = inputs.channel("a", TOKEN_A, "app");
    let mut b = inputs.channel("b", TOKEN_B, "quiet");
    let mut hose = inputs.channel("hose", "t.hose", "app");
    inputs.table.set_firehose(Some(Firehose::new(
        Arc::clone(&inputs.node),
        vec![ChannelId::new("hose").unwrap()],
        BTreeSet::from([Source::new("app").unwrap()]),
    )));
    let address = serve(&inputs, SyslogSettings::default(), None);
    let bytes = [
        counted(TOKEN_A, "copied"),
        counted(TOKEN_B, "not copied"),
        counted("t.hose", "own"),
    ]
    .concat();
    drop(send(address, bytes.as_bytes()).await);
    assert_eq!(a.next(1).await, ["app|web.1|copied"]);
    assert_eq!(b.next(1).await, ["quiet|web.1|not copied"]);
    let mut found = hose.next(2).await;
    found.sort();
    assert_eq!(found, ["app|web.1|copied", "app|web.1|own"]);
    inputs.shutdown.request();
    assert!(inputs.shutdown.finished(DEADLINE).await);
    assert_eq!(hose.rest(), [""; 0]);
}

#[tokio::test]
async fn tls_carries_the_same() {
    let inputs = Inputs::new();
    let mut a = inputs.channel("a", TOKEN_A, "app");
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let files = TlsFiles {
        certificate: folder.path().join("cert.pem"),
        key: folder.path().join("key.pem"),
        client_ca: None,
    };
    std::fs::write(&files.certificate, made.cert.pem()).unwrap();
    std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
    let tls = Arc::new(TlsServer::load(files, Alpn::None).unwrap());
    let address = serve(&inputs, SyslogSettings::default(), Some(tls));

    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = connector.connect(name, stream).await.unwrap();
    stream
        .write_all(counted(TOKEN_A, "inside").as_bytes())
        .await
        .unwrap();
    stream.shutdown().await.unwrap();
    assert_eq!(a.next(1).await, ["app|web.1|inside"]);

    let mut plain = send(address, b"no TLS at all\n").await;
    wait_until_closed(&mut plain).await;
}

#[tokio::test]
async fn a_datagram_is_a_message() {
    let inputs = Inputs::new();
    let mut a = inputs.channel("a", TOKEN_A, "app");
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let socket = bind_udp(any, Some(1 << 20)).unwrap();
    let address = socket.local_addr().unwrap();
    inputs.shutdown.spawn(serve_udp(
        socket,
        Arc::clone(&inputs.table),
        UdpSettings::default(),
        inputs.shutdown.clone(),
        inputs.telemetry.clone(),
    ));
    let sender = UdpSocket::bind(any).await.unwrap();
    for datagram in [
        message(TOKEN_A, "one"),
        String::new(),
        message("t.nobody", "lost"),
        message(TOKEN_A, "two\nlines\n"),
    ] {
        sender.send_to(datagram.as_bytes(), address).await.unwrap();
    }
    assert_eq!(a.next(2).await, ["app|web.1|one", "app|web.1|two\nlines"]);
    inputs.shutdown.request();
    assert!(inputs.shutdown.finished(DEADLINE).await);
    inputs.assert_counted("logboom_dropped_messages_total{reason=\"empty\"}", 1);
    inputs.assert_counted(
        "logboom_dropped_messages_total{reason=\"unknown_token\"}",
        1,
    );
    inputs.assert_counted("logboom_received_frames_total{input=\"udp\"}", 3);
}

#[tokio::test]
async fn many_channels_interleaved_on_one_connection() {
    let inputs = Inputs::new();
    let mut readers: Vec<_> = (0..60)
        .map(|number| inputs.channel(&format!("c{number}"), &format!("t.{number}"), "app"))
        .collect();
    let address = serve(&inputs, SyslogSettings::default(), None);
    let bytes: String = (0..6_000)
        .map(|number| counted(&format!("t.{}", number * 7 % 60), &number.to_string()))
        .collect();
    let _stream = send(address, bytes.as_bytes()).await;
    for (index, reader) in readers.iter_mut().enumerate() {
        let expected: Vec<String> = (0..6_000)
            .filter(|number| number * 7 % 60 == index)
            .map(|number| format!("app|web.1|{number}"))
            .collect();
        assert_eq!(reader.next(100).await, expected);
    }
}

/// Whether `sender` stops once `channel`, which nobody reads, asks its writers to wait.
async fn is_held_up(mut sender: Pin<&mut impl Future<Output = ()>>, channel: &Channel) -> bool {
    let pressed = async {
        while !channel.is_pressed() {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = sender.as_mut() => return false,
        () = pressed => {}
    }
    // It would have sent everything by then.
    tokio::time::timeout(HOLD, sender).await.is_err()
}

/// How long a sender that is not held up needs at most for what the tests send.
const HOLD: Duration = Duration::from_secs(2);

#[tokio::test]
async fn a_full_channel_that_waits_holds_its_connection_up() {
    let inputs = Inputs::new();
    let mut a = inputs.channel("a", TOKEN_A, "app");
    a.channel.set_when_full(WhenFull::Wait);
    let progress = Arc::new(Progress::default());
    progress.confirm(&a.channel, a.cursor());
    a.channel.add_progress(Arc::clone(&progress));
    let address = serve(&inputs, SyslogSettings::default(), None);
    let text = "w".repeat(10_000);
    let sent = 4_000;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let sender = async {
        let bytes = counted(TOKEN_A, &text);
        for _ in 0..sent {
            stream.write_all(bytes.as_bytes()).await.unwrap();
        }
    };
    let mut sender = pin!(sender);
    assert!(is_held_up(sender.as_mut(), &a.channel).await);
    // 40 MB go through a channel of 16 MiB without a loss: `next` asserts that none is lapped.
    let reader = async {
        for _ in 0..sent / 100 {
            assert_eq!(a.next(100).await.len(), 100);
            progress.confirm(&a.channel, a.cursor());
        }
    };
    tokio::join!(sender, reader);
}

#[tokio::test]
async fn a_full_firehose_that_waits_holds_its_sources_up() {
    let inputs = Inputs::new();
    let _a = inputs.channel("a", TOKEN_A, "app");
    let mut hose = inputs.channel("hose", "t.hose", "hose");
    hose.channel.set_when_full(WhenFull::Wait);
    let progress = Arc::new(Progress::default());
    progress.confirm(&hose.channel, hose.cursor());
    hose.channel.add_progress(Arc::clone(&progress));
    inputs.table.set_firehose(Some(Firehose::new(
        Arc::clone(&inputs.node),
        vec![ChannelId::new("hose").unwrap()],
        BTreeSet::from([Source::new("app").unwrap()]),
    )));
    let address = serve(&inputs, SyslogSettings::default(), None);
    let bytes = counted(TOKEN_A, &"w".repeat(10_000));
    let sent = 4_000;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let sender = async {
        for _ in 0..sent {
            stream.write_all(bytes.as_bytes()).await.unwrap();
        }
    };
    let mut sender = pin!(sender);
    assert!(is_held_up(sender.as_mut(), &hose.channel).await);
    // 40 MB are copied to a channel of 16 MiB without a loss: `next` asserts that none is lapped.
    let reader = async {
        for _ in 0..sent / 100 {
            assert_eq!(hose.next(100).await.len(), 100);
            progress.confirm(&hose.channel, hose.cursor());
        }
    };
    tokio::time::timeout(DEADLINE, async {
        tokio::join!(sender, reader);
    })
    .await
    .unwrap();
}
