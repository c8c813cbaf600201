//! Syslog destinations over TCP, TLS and UDP.

use std::sync::Arc;
use std::time::Duration;

use logboom::registry::{DrainOptions, Format};
use logboom::shutdown::Shutdown;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::support::{DEADLINE, Router, settings, stoppable};

/// Reads until what has come ends in `text`.
async fn read_through(socket: &mut (impl AsyncRead + Unpin), text: &str) -> String {
    try_read_through(socket, text).await.expect("no early end")
}

/// As `read_through`; `None` when the peer closes before.
async fn try_read_through(socket: &mut (impl AsyncRead + Unpin), text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let reading = timeout(DEADLINE, async {
        while !bytes.ends_with(text.as_bytes()) {
            if socket.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
                return None;
            }
        }
        Some(())
    });
    reading.await.expect("the text in time")?;
    Some(String::from_utf8(bytes).unwrap())
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

#[tokio::test]
async fn frames_are_logplex_s_byte_for_byte_and_one_connection_is_kept() {
    let (listener, address) = listen().await;
    let router = Router::new(settings());
    let url = format!("syslog://{address}");
    let entry = router.drain(1, &url, DrainOptions::default());
    router.say("m0");
    let (mut socket, _) = listener.accept().await.unwrap();
    let token = &entry.token;
    let frame = |text: &str| {
        let line = format!("<134>1 2012-12-10T03:00:48.123456Z {token} app web.1 - - {text}\n");
        format!("{} {line}", line.len())
    };
    assert_eq!(read_through(&mut socket, "m0\n").await, frame("m0"));
    router.status_when(|status| status.delivered == 1).await;
    router.say("m1");
    router.say("m2");
    let both = frame("m1") + &frame("m2");
    assert_eq!(read_through(&mut socket, "m2\n").await, both);
    let status = router.status_when(|status| status.delivered == 3).await;
    assert_eq!((status.state, status.last_status), ("idle", None));
}

#[tokio::test]
async fn a_close_is_noticed_before_the_next_batch() {
    let (listener, address) = listen().await;
    let mut settings = settings();
    // A back-off would be noticed.
    settings.retry_delay_min = Duration::from_secs(3_600);
    settings.retry_delay_max = Duration::from_secs(3_600);
    let router = Router::new(settings);
    let url = format!("syslog://{address}");
    router.drain(1, &url, DrainOptions::default());
    for text in ["m1\n", "m2\n", "m3\n"] {
        router.say(text);
        let (mut socket, _) = listener.accept().await.unwrap();
        let got = read_through(&mut socket, text).await;
        assert!(got.ends_with(text), "{got}");
        assert_eq!(got.matches("<134>1").count(), 1, "{got}");
        drop(socket);
    }
    router.status_when(|status| status.delivered == 3).await;
}

#[tokio::test]
async fn a_peer_that_does_not_read_is_given_up_and_nothing_is_lost_uncounted() {
    let (listener, address) = listen().await;
    let mut settings = settings();
    settings.write_timeout = Duration::from_millis(100);
    settings.batch_bytes_max = 8 * 1024 * 1024;
    let router = Router::new(settings.clone());
    let options = DrainOptions {
        format: Format::Rfc5424,
        ..DrainOptions::default()
    };
    router.drain(1, &format!("syslog://{address}"), options);
    let text = "x".repeat(60_000);
    for _ in 0..200 {
        router.say(&text);
    }
    let (stuck, _) = listener.accept().await.unwrap();
    let status = router.status_when(|status| 0 < status.attempts).await;
    assert!(status.last_error.unwrap().contains("writing took longer"));
    router.check_book(&router.status());
    settings.write_timeout = DEADLINE;
    router.drains.set_settings(settings);
    router.say("the end");
    // Tries under the old settings may still end early.
    let got = loop {
        let (mut socket, _) = timeout(DEADLINE, listener.accept()).await.unwrap().unwrap();
        if let Some(got) = try_read_through(&mut socket, "the end\n").await {
            break got;
        }
    };
    drop(stuck);
    let status = router.status_when(|status| status.delivered == 201).await;
    assert!(got.ends_with("the end\n"));
    router.check_book(&status);
}

/// A TLS destination with a certificate for `localhost` and 127.0.0.1 that signed itself; sends on
/// whatever comes.
struct TlsSink {
    url: String,
    ca: String,
    lines: mpsc::Receiver<String>,
    tasks: Shutdown,
}

impl Drop for TlsSink {
    fn drop(&mut self) {
        self.tasks.request();
    }
}

impl TlsSink {
    async fn start() -> Self {
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let (listener, address) = listen().await;
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let (seen, lines) = mpsc::channel(1_000);
        let tasks = Shutdown::new();
        tasks.spawn(stoppable(tasks.clone(), async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let Ok(mut socket) = acceptor.accept(socket).await else {
                    continue;
                };
                let mut bytes = vec![0; 10_000];
                while let Ok(count @ 1..) = socket.read(&mut bytes).await {
                    let text = String::from_utf8_lossy(&bytes[..count]).into_owned();
                    // An HTTP request's last bytes are those of its body.
                    if text.ends_with(" - over https\n") {
                        let answer = b"HTTP/1.1 204 No Content\r\n\r\n";
                        socket.write_all(answer).await.unwrap();
                    }
                    seen.send(text).await.unwrap();
                }
            }
        }));
        Self {
            url: format!("syslog+tls://{address}"),
            ca: made.cert.pem(),
            lines,
            tasks,
        }
    }

    async fn next(&mut self) -> String {
        timeout(DEADLINE, self.lines.recv())
            .await
            .expect("in time")
            .unwrap()
    }
}

#[tokio::test]
async fn an_untrusted_certificate_is_told_and_retried() {
    let sink = TlsSink::start().await;
    let router = Router::new(settings());
    router.drain(1, &sink.url, DrainOptions::default());
    router.say("m1");
    let status = router.status_when(|status| 3 <= status.attempts).await;
    assert_eq!(status.state, "failing");
    assert!(
        status
            .last_error
            .unwrap()
            .starts_with("certificate validation failed")
    );
    let texts = router.texts();
    let notices: Vec<_> = texts.iter().filter(|text| text.contains("L14")).collect();
    assert_eq!(notices.len(), 1, "{texts:?}");
    assert!(
        notices[0]
            .starts_with("Error L14 (certificate validation): error=\"invalid peer certificate"),
        "{notices:?}"
    );
    assert!(
        notices[0].ends_with(&format!("uri=\"{}\"", sink.url)),
        "{notices:?}"
    );
}

#[tokio::test]
async fn a_ca_of_its_own_or_insecure_makes_the_certificate_good() {
    let mut sink = TlsSink::start().await;
    let router = Router::new(settings());
    let options = DrainOptions {
        ca: Some(sink.ca.clone()),
        ..DrainOptions::default()
    };
    router.drain(1, &sink.url, options);
    router.say("by ca");
    assert!(sink.next().await.ends_with("by ca\n"));
    // A batch that is not yet confirmed would be sent again by the changed drain.
    router.status_when(|status| status.delivered == 1).await;
    router.drain(
        1,
        &format!("{}#insecure", sink.url),
        DrainOptions::default(),
    );
    router.say("unseen");
    assert!(sink.next().await.ends_with("unseen\n"));
    let status = router.status_when(|status| status.delivered == 2).await;
    assert_eq!(status.lost["lapped"] + status.lost["refused"], 0);
}

#[tokio::test]
async fn https_is_verified_too() {
    let mut sink = TlsSink::start().await;
    let url = sink.url.replace("syslog+tls", "https");
    let router = Router::new(settings());
    router.drain(1, &url, DrainOptions::default());
    router.say("over https");
    let status = router.status_when(|status| 1 <= status.attempts).await;
    assert!(status.last_error.unwrap().contains("certificate"));
    // The changed entry takes up what could not be sent.
    let options = DrainOptions {
        ca: Some(sink.ca.clone()),
        source: Some("app".to_owned()),
        ..DrainOptions::default()
    };
    router.drain(1, &url, options);
    while !sink.next().await.ends_with(" - over https\n") {}
    let status = router.status_when(|status| status.delivered == 1).await;
    assert_eq!(status.last_status, Some(204));
}

#[tokio::test]
async fn a_datagram_is_a_message_without_framing() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let router = Router::new(settings());
    let url = format!("syslog+udp://{address}");
    let entry = router.drain(1, &url, DrainOptions::default());
    let long = "x".repeat(65_507);
    for text in ["m1", "m2\n", &long] {
        router.say(text);
    }
    let mut bytes = vec![0; 70_000];
    for text in ["m1", "m2", &long] {
        let count = timeout(DEADLINE, socket.recv(&mut bytes))
            .await
            .unwrap()
            .unwrap();
        let token = &entry.token;
        let line = format!("<134>1 2012-12-10T03:00:48.123456Z {token} app web.1 - - {text}");
        assert_eq!(
            String::from_utf8_lossy(&bytes[..count]),
            line[..line.len().min(65_507)]
        );
    }
    router.status_when(|status| status.delivered == 3).await;
}

#[tokio::test]
async fn a_message_too_long_is_several_datagrams() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let router = Router::new(settings());
    let url = format!("syslog+udp://{address}");
    let options = DrainOptions {
        frame_bytes_max: Some(1_024),
        ..DrainOptions::default()
    };
    let entry = router.drain(1, &url, options);
    router.say(&"x".repeat(1_500));
    let mut bytes = vec![0; 2_000];
    let header = format!(
        "<134>1 2012-12-10T03:00:48.123456Z {} app web.1 - - ",
        entry.token
    );
    let first_bytes = 1_024 - header.len() - "…\n".len();
    for text in [
        format!("{}…", "x".repeat(first_bytes)),
        format!("…{}", "x".repeat(1_500 - first_bytes)),
    ] {
        let count = timeout(DEADLINE, socket.recv(&mut bytes)).await;
        let datagram = &bytes[..count.unwrap().unwrap()];
        assert_eq!(String::from_utf8_lossy(datagram), format!("{header}{text}"));
    }
    router.status_when(|status| status.delivered == 1).await;
}

#[tokio::test]
async fn a_datagram_that_nobody_listens_for_is_sent_again() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    drop(socket);
    let router = Router::new(settings());
    let url = format!("syslog+udp://{address}");
    router.drain(1, &url, DrainOptions::default());
    // The refusal of the first is heard by the second.
    router.say("m1");
    router.say("m2");
    let status = router.status_when(|status| 1 <= status.attempts).await;
    assert_eq!(status.delivered, 0);
    let socket = UdpSocket::bind(address).await.unwrap();
    let mut bytes = vec![0; 1_000];
    for text in ["m1", "m2"] {
        let count = timeout(DEADLINE, socket.recv(&mut bytes))
            .await
            .unwrap()
            .unwrap();
        assert!(String::from_utf8_lossy(&bytes[..count]).ends_with(text));
    }
    router.status_when(|status| status.delivered == 2).await;
}
