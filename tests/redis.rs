//! `logboom redis`: the real program between real Redis servers and a real router.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    reason = "tests stop at a surprise"
)]

mod support;

use std::collections::BTreeMap;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;

use support::Router;
use support::certificates::Certificates;
use support::reporter::Reporter;
use support::until;
use support::until_async;

/// A server of a test's own, on free ports. It ends with the value.
struct Server {
    folder: tempfile::TempDir,
    port: u16,
    flags: Vec<String>,
    process: Option<Child>,
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

impl Server {
    fn start(flags: &[&str]) -> Self {
        let mut server = Self {
            folder: tempfile::tempdir().unwrap(),
            port: free_port(),
            flags: flags.iter().map(|flag| (*flag).to_owned()).collect(),
            process: None,
        };
        server.up();
        server
    }

    /// Starts it; it may not answer yet.
    fn up(&mut self) {
        let process = Command::new("redis-server")
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--enable-debug-command", "yes"])
            .args(["--slowlog-log-slower-than", "20000", "--unixsocket"])
            .arg(self.socket())
            .arg("--dir")
            .arg(self.folder.path())
            .args(&self.flags)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn();
        self.process = Some(process.expect("redis-server is missing: run tests/peers/install.sh"));
    }

    fn down(&mut self) {
        if let Some(mut process) = self.process.take() {
            drop(process.kill());
            drop(process.wait());
        }
    }

    fn socket(&self) -> std::path::PathBuf {
        self.folder.path().join("socket")
    }

    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// What the server answers to a command; empty when it does not.
    fn try_ask(&self, words: &[&str]) -> String {
        let output = Command::new("redis-cli")
            .args(["-p", &self.port.to_string()])
            .args(words)
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// The same, once it answers.
    async fn ask(&self, words: &[&str]) -> String {
        until("the server", || {
            (self.try_ask(&["PING"]) == "PONG").then_some(())
        })
        .await;
        self.try_ask(words)
    }

    /// A value of its `INFO`.
    async fn info(&self, key: &str) -> String {
        let info = self.ask(&["INFO"]).await;
        let mut pairs = info.lines().filter_map(|line| line.split_once(':'));
        let found = pairs.find(|(name, _)| *name == key);
        found.map(|(_, value)| value.trim().to_owned()).expect(key)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.down();
    }
}

/// The keys that a server on this machine has, in Heroku's order. Those of its disk need one that the
/// kernel counts.
const KEYS: &[&str] = &[
    "active-connections",
    "max-connections",
    "connection-percentage-used",
    "load-avg-1m",
    "load-avg-5m",
    "load-avg-15m",
    "read-iops",
    "write-iops",
    "memory-total",
    "memory-free",
    "memory-percentage-used",
    "memory-cached",
    "memory-redis",
    "hit-rate",
    "evicted-keys",
];

async fn lines(router: &Router, procid: &str) -> Vec<String> {
    let mark = format!(" app[{procid}]: source=REDIS addon=redis ");
    let history = router.history("shop", 10_000).await;
    let texts = history.iter().filter_map(|line| line.split_once(&mark));
    texts.map(|(_, text)| text.to_owned()).collect()
}

/// The last samples: keys in order, and the values.
async fn samples(router: &Router) -> (Vec<String>, BTreeMap<String, String>) {
    let last = lines(router, "heroku-redis")
        .await
        .pop()
        .unwrap_or_default();
    let pairs: Vec<(String, String)> = last
        .split(' ')
        .filter_map(|word| word.strip_prefix("sample#")?.split_once('='))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    let keys = pairs.iter().map(|(key, _)| key.clone()).collect();
    (keys, pairs.into_iter().collect())
}

async fn samples_until(router: &Router, wanted: &[(&str, &str)]) {
    until_async(&format!("{wanted:?}"), async || {
        let (_, values) = samples(router).await;
        let is_so = |(key, value): &(&str, &str)| values.get(*key).is_some_and(|v| v == value);
        wanted.iter().all(is_so)
    })
    .await;
}

const OFTEN: &[&str] = &["--interval", "200ms"];

#[tokio::test]
async fn every_sample_is_what_the_server_and_the_machine_say() {
    let server = Server::start(&["--maxclients", "40"]);
    let router = Router::start().await;
    let token = router.channel("shop").await;
    server.ask(&["SET", "here", "1"]).await;
    for key in ["here", "here", "here", "gone"] {
        server.ask(&["GET", key]).await;
    }
    let reporter = Reporter::start("redis", &router, &token, &server.url(), OFTEN);
    let expected = [
        ("active-connections", "1"),
        ("max-connections", "40"),
        ("connection-percentage-used", "0.02500"),
        ("hit-rate", "0.75"),
        ("evicted-keys", "0"),
    ];
    samples_until(&router, &expected).await;
    // A second line, so that there is something between two readings of the disk.
    until_async("two lines", async || {
        2 <= lines(&router, "heroku-redis").await.len()
    })
    .await;
    let (keys, values) = samples(&router).await;
    let has_disk = keys.iter().any(|key| key == "read-iops");
    let is_expected = |key: &&str| has_disk || !key.ends_with("-iops");
    let expected: Vec<&str> = KEYS.iter().copied().filter(is_expected).collect();
    assert_eq!(keys, expected);
    let used: f64 = values["memory-redis"]
        .strip_suffix("bytes")
        .unwrap()
        .parse()
        .unwrap();
    let told: f64 = server.info("used_memory").await.parse().unwrap();
    assert!((used / told - 1.0).abs() < 0.5, "{used} {told}");

    for setting in [["maxmemory", "3mb"], ["maxmemory-policy", "allkeys-lru"]] {
        server.ask(&[["CONFIG", "SET"], setting].concat()).await;
    }
    server
        .ask(&["DEBUG", "POPULATE", "3000", "key", "1000"])
        .await;
    server.ask(&["SET", "one", "more"]).await;
    let evicted = server.info("evicted_keys").await;
    assert_ne!(evicted, "0");
    samples_until(&router, &[("evicted-keys", &evicted)]).await;
    reporter.done().await;
}

#[tokio::test]
async fn slow_commands_come_once_each_also_after_a_restart() {
    let mut server = Server::start(&[]);
    let router = Router::start().await;
    let token = router.channel("shop").await;
    server.ask(&["DEBUG", "SLEEP", "0.03"]).await;
    let mut reporter = Reporter::start("redis", &router, &token, &server.url(), OFTEN);
    reporter.says("what=\"redis slowlog\"").await;
    server.ask(&["DEBUG", "SLEEP", "0.031"]).await;
    server.ask(&["DEBUG", "SLEEP", "0.032"]).await;
    let commands = async |count: usize| {
        until_async("slow commands", async || {
            count <= lines(&router, "redis").await.len()
        })
        .await;
        let found = lines(&router, "redis").await;
        assert_eq!(found.len(), count, "{found:?}");
        found
    };
    let found = commands(2).await;
    assert!(
        found[0].starts_with("at=slowlog id=1 duration=3"),
        "{found:?}"
    );
    assert!(found[0].contains("ms client=127.0.0.1:"), "{found:?}");
    assert!(
        found[0].ends_with(" command=\"DEBUG SLEEP 0.031\""),
        "{found:?}"
    );
    assert!(
        found[1].ends_with(" command=\"DEBUG SLEEP 0.032\""),
        "{found:?}"
    );

    server.down();
    reporter.says("not working").await;
    server.up();
    server.ask(&["DEBUG", "SLEEP", "0.033"]).await;
    reporter.says("working again").await;
    let found = commands(3).await;
    assert!(found[2].starts_with("at=slowlog id=0 "), "{found:?}");
    // More polls bring nothing more.
    let before = lines(&router, "heroku-redis").await.len();
    until_async("more samples", async || {
        before + 3 <= lines(&router, "heroku-redis").await.len()
    })
    .await;
    commands(3).await;
    reporter.done().await;
}

#[tokio::test]
async fn a_server_without_slowlog_gives_samples_over_one_connection() {
    let server = Server::start(&["--rename-command", "SLOWLOG", ""]);
    let router = Router::start().await;
    let token = router.channel("shop").await;
    let mut reporter = Reporter::start("redis", &router, &token, &server.url(), OFTEN);
    let said = reporter.says("what=\"redis slowlog\"").await;
    assert!(said.contains("unknown command"), "{said}");
    assert!(
        said.contains("--no-slowlog is for a server without"),
        "{said}"
    );
    until_async("samples", async || {
        3 <= lines(&router, "heroku-redis").await.len()
    })
    .await;
    let (code, said) = reporter.stop().await;
    assert_eq!(code, Some(0));
    assert!(!said.contains("not working"), "{said}");
}

/// Answers `INFO` and breaks off at everything else; tells when each connection came.
async fn answer_half(
    listener: tokio::net::TcpListener,
    came: tokio::sync::watch::Sender<Vec<std::time::Instant>>,
) {
    use tokio::io::AsyncReadExt;
    use tokio::io::AsyncWriteExt;
    loop {
        let (mut connection, _) = listener.accept().await.unwrap();
        came.send_modify(|came| came.push(std::time::Instant::now()));
        let mut command = [0; 1024];
        assert_ne!(connection.read(&mut command).await.unwrap(), 0);
        connection.write_all(b"$7\r\nloads:0\r\n").await.unwrap();
        assert_ne!(connection.read(&mut command).await.unwrap(), 0);
    }
}

#[tokio::test]
async fn a_server_that_breaks_off_in_the_middle_is_asked_ever_more_seldom() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    let router = Router::start().await;
    let token = router.channel("shop").await;
    let (told, mut came) = tokio::sync::watch::channel(Vec::new());
    tokio::spawn(answer_half(listener, told));
    let reporter = Reporter::start("redis", &router, &token, &url, OFTEN);
    let came = came.wait_for(|came| came.len() == 4).await.unwrap().clone();
    // The first pause is at most half a second, the third is at least one.
    let third = came[3].duration_since(came[2]);
    assert!(std::time::Duration::from_millis(900) < third, "{third:?}");
    reporter.done().await;
}

#[tokio::test]
async fn another_server_behind_the_same_address_is_not_taken_for_a_restart() {
    let servers = [Server::start(&[]), Server::start(&[])];
    for _ in 0..3 {
        servers[1].ask(&["DEBUG", "SLEEP", "0.03"]).await;
    }
    let uptime = async || servers[1].info("uptime_in_seconds").await;
    until_async("an age", async || {
        3 <= uptime().await.parse::<u32>().unwrap()
    })
    .await;
    let address = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}", address.local_addr().unwrap());
    let (target, targets) = tokio::sync::watch::channel(servers[0].port);
    tokio::spawn(forward(address, targets));
    let router = Router::start().await;
    let token = router.channel("shop").await;
    let mut reporter = Reporter::start("redis", &router, &token, &url, OFTEN);
    reporter.says("what=\"redis slowlog\"").await;
    target.send_replace(servers[1].port);
    reporter.says("another server answers now").await;
    servers[1].ask(&["DEBUG", "SLEEP", "0.031"]).await;
    until_async("a slow command", async || {
        !lines(&router, "redis").await.is_empty()
    })
    .await;
    let found = lines(&router, "redis").await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("0.031"), "{found:?}");
    reporter.done().await;
}

/// Leads connections to the port that `target` names; ends them when that changes.
async fn forward(address: tokio::net::TcpListener, mut target: tokio::sync::watch::Receiver<u16>) {
    loop {
        let (mut here, _) = address.accept().await.unwrap();
        let port = *target.borrow_and_update();
        let mut there = tokio::net::TcpStream::connect(("127.0.0.1", port))
            .await
            .unwrap();
        tokio::select! {
            _ = tokio::io::copy_bidirectional(&mut here, &mut there) => {}
            _ = target.changed() => {}
        }
    }
}

#[tokio::test]
async fn passwords_and_rights_that_are_wrong_are_told_and_mended() {
    let server = Server::start(&[]);
    let router = Router::start().await;
    let token = router.channel("shop").await;
    server
        .ask(&["ACL", "SETUSER", "logboom", "on", ">right", "+info"])
        .await;
    let place = format!("127.0.0.1:{}", server.port);

    let wrong = format!("redis://logboom:wrong@{place}");
    let mut reporter = Reporter::start("redis", &router, &token, &wrong, OFTEN);
    let said = reporter.says("not working").await;
    let expected = format!("{place} does not take the password of \\\"logboom\\\"");
    assert!(said.contains(&expected), "{said}");
    assert!(!said.contains("wrong"), "{said}");
    server.ask(&["ACL", "SETUSER", "logboom", ">wrong"]).await;
    let said = reporter.says("lacks a right").await;
    assert!(
        said.contains("ACL SETUSER logboom +info +slowlog|get"),
        "{said}"
    );
    samples_until(&router, &[("evicted-keys", "0")]).await;
    server
        .ask(&["ACL", "SETUSER", "logboom", "+slowlog|get"])
        .await;
    reporter.says("working again").await;
    reporter.done().await;

    server
        .ask(&["CONFIG", "SET", "requirepass", "geheim"])
        .await;
    let mut reporter = Reporter::start("redis", &router, &token, &server.url(), OFTEN);
    let said = reporter.says("not working").await;
    assert!(
        said.contains("wants a password; give one in the URL"),
        "{said}"
    );
    reporter.done().await;
    let url = format!("redis://:geheim@{place}");
    let mut reporter = Reporter::start("redis", &router, &token, &url, OFTEN);
    reporter.says("message=working what=redis").await;
    reporter.done().await;
}

#[tokio::test]
async fn a_server_that_loads_is_waited_for() {
    let mut server = Server::start(&[]);
    server
        .ask(&["DEBUG", "POPULATE", "3000", "key", "100"])
        .await;
    assert_eq!(server.ask(&["SAVE"]).await, "OK");
    server.down();
    // A millisecond for every key, and answers between them.
    let slowly = [
        "--key-load-delay",
        "1000",
        "--loading-process-events-interval-bytes",
        "1024",
    ];
    server.flags.extend(slowly.map(str::to_owned));
    server.up();
    until("LOADING", || {
        server
            .try_ask(&["GET", "x"])
            .starts_with("LOADING")
            .then_some(())
    })
    .await;
    let router = Router::start().await;
    let token = router.channel("shop").await;
    let mut reporter = Reporter::start("redis", &router, &token, &server.url(), OFTEN);
    let said = reporter.says("not working").await;
    assert!(said.contains("is not ready: LOADING "), "{said}");
    reporter.says("working again").await;
    reporter.done().await;
}

#[tokio::test]
async fn unix_sockets_and_tls_are_spoken() {
    let certificates = Certificates::new();
    let tls_port = free_port();
    let file = |path: std::path::PathBuf| path.to_str().unwrap().to_owned();
    let ca = file(certificates.ca_file());
    let server = Server::start(&[
        "--tls-port",
        &tls_port.to_string(),
        "--tls-cert-file",
        &file(certificates.certificate_file()),
        "--tls-key-file",
        &file(certificates.key_file()),
        "--tls-ca-cert-file",
        &ca,
        "--tls-auth-clients",
        "no",
    ]);
    server.ask(&["PING"]).await;
    let router = Router::start().await;
    let token = router.channel("shop").await;
    let secure = format!("rediss://localhost:{tls_port}");
    let unix = format!("unix://{}", server.socket().display());
    let with_ca = [OFTEN, &["--ca", &ca]].concat();
    let insecure = format!("{secure}#insecure");
    for (url, flags) in [(&unix, OFTEN), (&secure, &with_ca), (&insecure, OFTEN)] {
        let mut reporter = Reporter::start("redis", &router, &token, url, flags);
        reporter.says("message=working what=redis").await;
        reporter.done().await;
    }
    let mut reporter = Reporter::start("redis", &router, &token, &secure, OFTEN);
    let said = reporter.says("not working").await;
    assert!(said.contains("no TLS with localhost:"), "{said}");
    reporter.done().await;
    let plain = format!("redis://localhost:{tls_port}");
    let mut reporter = Reporter::start("redis", &router, &token, &plain, OFTEN);
    reporter.says("not working").await;
    reporter.done().await;
}

#[test]
fn wrong_command_lines_say_what_would_be_right() {
    let check = |arguments: &[&str], part: &str| {
        let to = ["redis", "--logs-url", "http://token:t.a@127.0.0.1:1/logs"];
        let mut command = Command::new(env!("CARGO_BIN_EXE_logboom"));
        let output = command
            .args(to)
            .args(arguments)
            .env_clear()
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(part) && !said.contains("secret"), "{said}");
    };
    check(
        &[],
        "no server: give --redis-url redis://:PASSWORD@HOST:PORT, or the same as REDIS_URL",
    );
    check(&["--redis-url", "http://a:secret@h"], "it must be redis://");
    check(
        &["--redis-url", "redis://a:secret@h#x"],
        "only rediss:// may end in a fragment",
    );
}
