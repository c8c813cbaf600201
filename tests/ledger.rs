//! The ledger: under random load, random reader speeds, failing and hanging destinations,
//! `accepted = delivered + reported lost` holds for every drain and every tail, exactly, and each
//! connection's messages keep their order. Counted at the sinks, from what they answered with 2xx.
//!
//! The seed of a run is printed; `LEDGER_SEED=N` runs it again.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::print_stdout,
    clippy::string_slice,
    clippy::too_many_lines,
    reason = "tests stop at a surprise"
)]

mod support;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;

use support::Router;
use support::http;
use support::sinks::HttpSink;
use support::sinks::Reply;
use support::sinks::SyslogSink;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// SplitMix64: small, seeded, good enough to shake things.
#[derive(Clone)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

fn seed() -> u64 {
    let given = std::env::var("LEDGER_SEED")
        .ok()
        .and_then(|text| text.parse().ok());
    let seed = given.unwrap_or_else(|| {
        let now = std::time::SystemTime::now();
        now.duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_nanos() as u64
    });
    println!("LEDGER_SEED={seed}");
    seed
}

const SENDERS: u64 = 3;
const MESSAGES_EACH: u64 = 6_000;

/// `s<sender> n<number>` and random filler.
fn text(sender: u64, number: u64, random: &mut Random) -> String {
    let filler = "x".repeat(random.below(700) as usize);
    format!("s{sender} n{number} {filler}")
}

async fn send_tcp(to: SocketAddr, token: String, sender: u64, mut random: Random) {
    let mut socket = TcpStream::connect(to).await.unwrap();
    let mut number = 0;
    while number < MESSAGES_EACH {
        let mut bytes = Vec::new();
        for _ in 0..=random.below(400).min(MESSAGES_EACH - number - 1) {
            let message = support::message(&token, &text(sender, number, &mut random));
            bytes.extend_from_slice(format!("{} {message}", message.len()).as_bytes());
            number += 1;
        }
        socket.write_all(&bytes).await.unwrap();
        if random.below(4) == 0 {
            tokio::task::yield_now().await;
        }
    }
    socket.shutdown().await.unwrap();
    socket.read_to_end(&mut Vec::new()).await.unwrap();
}

async fn send_http(to: SocketAddr, token: String, sender: u64, mut random: Random) {
    let authorization = http::basic(&format!("token:{token}"));
    let mut number = 0;
    while number < MESSAGES_EACH {
        let mut body = Vec::new();
        for _ in 0..=random.below(200).min(MESSAGES_EACH - number - 1) {
            let message = support::message(&token, &text(sender, number, &mut random));
            body.extend_from_slice(format!("{} {message}", message.len()).as_bytes());
            number += 1;
        }
        let headers = [
            ("Authorization", authorization.as_str()),
            ("Content-Type", "application/logplex-1"),
        ];
        let answer = http::request(to, "POST", "/logs", &headers, &body).await;
        assert_eq!(answer.status, 204, "{answer:?}");
    }
}

/// A random life of an HTTP destination: mostly well, now and then every kind of failure.
fn script(random: &mut Random) -> Vec<Reply> {
    (0..30)
        .map(|_| match random.below(8) {
            0 => Reply::status(500),
            1 => Reply::Raw("HTTP/1.1 429 X\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n".into()),
            2 => Reply::status(404),
            3 => Reply::Close,
            4 => Reply::Hang,
            _ => Reply::status(200),
        })
        .collect()
}

/// What a reader got: messages, losses told, and the last number of each sender.
#[derive(Debug, Default)]
struct Tally {
    messages: u64,
    told: u64,
    notices: u64,
    last: BTreeMap<u64, u64>,
}

impl Tally {
    /// Takes one frame or line. `own` marks this reader's own loss report.
    fn take(&mut self, line: &str, own: &str) {
        if let Some(rest) = line.split_once(own).map(|(_, rest)| rest) {
            self.told += rest.split(' ').next().unwrap().parse::<u64>().unwrap();
            return;
        }
        self.messages += 1;
        let Some(at) = line.find(" s").filter(|_| line.contains(" n")) else {
            self.notices += 1;
            return;
        };
        let mut words = line[at + 1..].split(' ');
        let Some(sender) = words.next().and_then(|w| w[1..].parse::<u64>().ok()) else {
            self.notices += 1;
            return;
        };
        let number: u64 = words.next().unwrap()[1..].parse().unwrap();
        if let Some(before) = self.last.insert(sender, number) {
            assert!(
                before < number,
                "sender {sender}: {number} came after {before}"
            );
        }
    }

    fn total(&self) -> u64 {
        self.messages + self.told
    }
}

const DRAIN_L10: &str = "Error L10 (output buffer overflow): ";

/// The drain's own L10 says `N messages dropped`; the channel's names a drain and is a message.
fn tally_frames<'a>(frames: impl Iterator<Item = &'a String>) -> Tally {
    let mut tally = Tally::default();
    for frame in frames {
        if frame.contains("Error L10 (output buffer overflow): drain '") {
            tally.messages += 1;
            tally.notices += 1;
        } else {
            tally.take(frame, DRAIN_L10);
        }
    }
    tally
}

/// Reads a tail at its own pace into lines, until told to end by the stream's end.
async fn follow(
    to: SocketAddr,
    path: String,
    mut random: Random,
    is_slow: bool,
    lines: Arc<Mutex<String>>,
) {
    let mut socket = TcpStream::connect(to).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut raw = Vec::new();
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(read @ 1..) = socket.read(&mut buffer).await {
        raw.extend_from_slice(&buffer[..read]);
        if let Some(end) = raw.windows(4).position(|w| w == b"\r\n\r\n") {
            let (body, is_whole) = http::dechunk(&raw[end + 4..]);
            *lines.lock().unwrap() = String::from_utf8_lossy(&body).into_owned();
            if is_whole {
                return;
            }
        }
        if is_slow {
            for _ in 0..random.below(50) {
                tokio::task::yield_now().await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_was_accepted_is_delivered_or_told() {
    let mut random = Random(seed());
    let router = Router::start_with(&[
        ("channel_bytes_max", "524288"),
        ("retry_delay_min", "1ms"),
        ("retry_delay_max", "20ms"),
        ("drain_request_timeout", "200ms"),
    ])
    .await;
    let token = router.channel("app").await;

    let mut http_sinks = Vec::new();
    let mut drains = Vec::new();
    for _ in 0..3 {
        let sink = HttpSink::start(script(&mut random)).await;
        drains.push(router.drain("app", &sink.url(), "").await);
        http_sinks.push(sink);
    }
    let syslog = SyslogSink::start().await;
    drains.push(router.drain("app", &syslog.url(), "").await);

    let mut tails = Vec::new();
    for is_slow in [false, true] {
        let path = router
            .session(r#"{"channel_id":"app","num":0,"tail":true}"#)
            .await;
        let lines = Arc::new(Mutex::new(String::new()));
        let tail = follow(
            router.http,
            path,
            random.clone(),
            is_slow,
            Arc::clone(&lines),
        );
        tails.push((tokio::spawn(tail), lines));
    }
    support::until_async("both tails", async || {
        router.metric("logboom_tails").await >= 2.0
    })
    .await;

    let mut senders = Vec::new();
    for sender in 0..SENDERS {
        random.next();
        let tcp = send_tcp(router.syslog_tcp, token.clone(), sender, random.clone());
        senders.push(tokio::spawn(tcp));
    }
    senders.push(tokio::spawn(send_http(
        router.http,
        token.clone(),
        SENDERS,
        random.clone(),
    )));
    for sender in senders {
        sender.await.unwrap();
    }
    let sent = (SENDERS + 1) * MESSAGES_EACH;

    // Let every drain catch up; then one more message carries each one's last loss report out.
    settle(&router, &drains, sent).await;
    router
        .send_tcp(&support::message(&token, "s99 n0 the last one"))
        .await;
    let accepted = settle(&router, &drains, sent + 1).await;
    let notices = accepted - sent - 1;
    println!("accepted {accepted}, of them {notices} notices of the router");

    for (drain, sink) in drains.iter().zip(&http_sinks) {
        let confirmed: Vec<String> = sink
            .posts()
            .iter()
            .filter(|post| (200..300).contains(&post.status))
            .flat_map(support::sinks::Post::frames)
            .collect();
        let tally = tally_frames(confirmed.iter());
        let status = router.drain_status("app", *drain).await;
        println!(
            "drain {drain}: {} delivered, {} told lost",
            tally.messages, tally.told
        );
        assert_eq!(
            tally.messages,
            status["delivered"].as_u64().unwrap(),
            "{status}"
        );
        assert_eq!(tally.total(), accepted, "drain {drain}: {status}");
    }
    let frames = syslog.frames_until(1).await;
    let tally = tally_frames(frames.iter());
    println!(
        "syslog: {} delivered, {} told lost",
        tally.messages, tally.told
    );
    assert_eq!(tally.total(), accepted);

    let fast = Arc::clone(&tails[0].1);
    support::until("the last message at the fast tail", || {
        fast.lock().unwrap().contains("the last one").then_some(())
    })
    .await;
    // The end of the router ends the tails cleanly, with all that they had yet to write.
    router.stop().await;
    for (task, lines) in tails {
        task.await.unwrap();
        let mut tally = Tally::default();
        for line in lines.lock().unwrap().lines() {
            tally.take(line, "This tail session dropped ");
        }
        println!(
            "tail: {} delivered, {} told lost",
            tally.messages, tally.told
        );
        assert_eq!(tally.total(), accepted);
    }
}

/// Waits until each drain has delivered or lost all that was accepted, at least `count`; gives
/// how many that were, notices included.
async fn settle(router: &Router, drains: &[u64], count: u64) -> u64 {
    let mut totals = vec![0; drains.len()];
    support::until_async("all drains at the end", async || {
        for (total, drain) in totals.iter_mut().zip(drains) {
            let status = router.drain_status("app", *drain).await;
            let lost: u64 = status["lost"]
                .as_object()
                .unwrap()
                .values()
                .map(|v| v.as_u64().unwrap())
                .sum();
            let lag = status["lag_messages"].as_u64().unwrap();
            *total = if lag == 0 {
                status["delivered"].as_u64().unwrap() + lost
            } else {
                0
            };
        }
        count <= totals[0] && totals.iter().all(|total| *total == totals[0])
    })
    .await;
    totals[0]
}
