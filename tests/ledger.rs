//! The ledger: under random load, random reader speeds, failing and hanging destinations,
//! `accepted = delivered + reported lost` holds for every drain and every tail, exactly, and each
//! connection's messages keep their order. Counted at the sinks, from what they answered with 2xx.
//! Where the channel waits for its drains, nothing is lost that no destination refused.
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
use support::lost;
use support::sinks::HttpSink;
use support::sinks::Reply;
use support::sinks::SyslogSink;
use support::sinks::cut_frames;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
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
        loop {
            let answer = http::request(to, "POST", "/logs", &headers, &body).await;
            if answer.status == 204 {
                break;
            }
            // The channel waits for its drains.
            assert_eq!(answer.status, 429, "{answer:?}");
            tokio::task::yield_now().await;
        }
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

/// Moves the whole chunks in `raw` to `lines`; says whether the last one was there.
fn take_chunks(raw: &mut Vec<u8>, lines: &mut String) -> bool {
    let mut used = 0;
    while let Some(line) = raw[used..].windows(2).position(|w| w == b"\r\n") {
        let size = std::str::from_utf8(&raw[used..used + line]).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        let start = used + line + 2;
        if size == 0 {
            return true;
        }
        let Some(chunk) = raw.get(start..start + size + 2) else {
            break;
        };
        lines.push_str(&String::from_utf8_lossy(&chunk[..size]));
        used = start + size + 2;
    }
    raw.drain(..used);
    false
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
    let mut has_head = false;
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(read @ 1..) = socket.read(&mut buffer).await {
        raw.extend_from_slice(&buffer[..read]);
        if !has_head {
            let Some(end) = raw.windows(4).position(|w| w == b"\r\n\r\n") else {
                continue;
            };
            raw.drain(..end + 4);
            has_head = true;
        }
        if take_chunks(&mut raw, &mut lines.lock().unwrap()) {
            return;
        }
        if is_slow {
            for _ in 0..random.below(50) {
                tokio::task::yield_now().await;
            }
        }
    }
}

/// A syslog destination that reads slowly and now and then says that it has had enough: it ends its
/// side, reads on to the end of the drain's, and takes the next connection.
async fn fickle(listener: TcpListener, mut random: Random, frames: Arc<Mutex<Vec<String>>>) {
    while let Ok((mut socket, _)) = listener.accept().await {
        let mut bytes = Vec::new();
        let mut left = random.below(2_000_000) as usize;
        let mut is_open = true;
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let room = 1 + random.below(64 * 1024 - 1) as usize;
            let Ok(read @ 1..) = socket.read(&mut buffer[..room]).await else {
                break;
            };
            bytes.extend_from_slice(&buffer[..read]);
            let (whole, used) = cut_frames(&bytes);
            bytes.drain(..used);
            frames.lock().unwrap().extend(whole);
            for _ in 0..random.below(100) {
                tokio::task::yield_now().await;
            }
            left = left.saturating_sub(read);
            if left == 0 && is_open {
                is_open = false;
                socket.shutdown().await.unwrap();
            }
        }
        assert!(bytes.is_empty(), "a connection ended inside a frame");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_was_accepted_is_delivered_or_told() {
    run("lose", "524288").await;
}

/// The smallest budget: much less than what senders have under way when they are told to wait.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_senders_waited_for_is_delivered_or_refused() {
    run("wait", "524288").await;
}

async fn run(when_full: &str, channel_bytes_max: &str) {
    let mut random = Random(seed());
    let router = Router::start_with(&[
        ("channel_bytes_max", channel_bytes_max),
        ("when_full", when_full),
        ("wait_max", "1h"),
        ("retry_delay_min", "1ms"),
        ("retry_delay_max", "20ms"),
        ("drain_request_timeout", "200ms"),
        // A write that is given up comes again: messages would come twice.
        ("drain_write_timeout", "1h"),
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
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("syslog://{}", listener.local_addr().unwrap());
    drains.push(router.drain("app", &url, "").await);
    let fickle_frames = Arc::new(Mutex::new(Vec::new()));
    let fickle_sink = tokio::spawn(fickle(listener, random.clone(), Arc::clone(&fickle_frames)));

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

    // Let every drain catch up; then further messages carry each one's last loss report out, until
    // none of those is refused.
    let mut accepted = settle(&router, &drains, sent).await;
    let mut further = 0;
    while further == 0 || !is_all_reported(&router, &drains).await {
        let text = format!("s99 n{further} the last one");
        router.send_tcp(&support::message(&token, &text)).await;
        further += 1;
        accepted = settle(&router, &drains, accepted + 1).await;
    }
    let notices = accepted - sent - further;
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
    // What is written may still be on its way to them.
    for (name, read) in [
        ("syslog", &(|| syslog.frames()) as &dyn Fn() -> Vec<String>),
        ("fickle syslog", &|| fickle_frames.lock().unwrap().clone()),
    ] {
        let tally = support::until(name, || {
            let tally = tally_frames(read().iter());
            (accepted <= tally.total()).then_some(tally)
        })
        .await;
        println!(
            "{name}: {} delivered, {} told lost",
            tally.messages, tally.told
        );
        assert_eq!(tally.total(), accepted, "{name}");
    }
    assert!(!fickle_sink.is_finished(), "it found a frame cut off");
    if when_full == "wait" {
        for drain in &drains {
            let status = router.drain_status("app", *drain).await;
            assert_eq!(status["lost"]["lapped"], 0, "drain {drain}: {status}");
        }
    }

    let fast = Arc::clone(&tails[0].1);
    let last_text = format!("n{} the last one", further - 1);
    support::until("the last message at the fast tail", || {
        let lines = fast.lock().unwrap();
        let last = lines.len().saturating_sub(1_000);
        lines.get(last..)?.contains(&last_text).then_some(())
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

/// Whether each drain's destination was told of all its losses.
async fn is_all_reported(router: &Router, drains: &[u64]) -> bool {
    for drain in drains {
        let status = router.drain_status("app", *drain).await;
        if status["reported"].as_u64() != Some(lost(&status)) {
            return false;
        }
    }
    true
}

/// Waits until each drain has delivered or lost all that was accepted, at least `count`; gives
/// how many that were, notices included.
async fn settle(router: &Router, drains: &[u64], count: u64) -> u64 {
    let mut totals = vec![0; drains.len()];
    support::until_async("all drains at the end", async || {
        for (total, drain) in totals.iter_mut().zip(drains) {
            let status = router.drain_status("app", *drain).await;
            let lag = status["lag_messages"].as_u64().unwrap();
            *total = if lag == 0 {
                status["delivered"].as_u64().unwrap() + lost(&status)
            } else {
                0
            };
        }
        count <= totals[0] && totals.iter().all(|total| *total == totals[0])
    })
    .await;
    totals[0]
}
