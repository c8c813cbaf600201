//! `logboom demo`: a router at work, with simulated apps, a tail and a drain.
//!
//! Everything goes through the same doors that others use: lines come in by TCP and HTTP, the
//! tail is a session, and the drain's destination is a server of the demo's own.

mod lines;
mod receiver;

use std::net::SocketAddr;
use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::Value;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::app::Addresses;
use crate::app::App;
use crate::cli::arguments::Connection;
use crate::cli::arguments::Demo;
use crate::cli::channels;
use crate::cli::channels::text;
use crate::cli::client::Client;
use crate::cli::demo::lines::Producer;
use crate::cli::demo::lines::Script;
use crate::cli::demo::receiver::Receiver;
use crate::cli::drains;
use crate::cli::error::CliError;
use crate::cli::logs;
use crate::cli::logs::Printer;
use crate::cli::logs::Session;
use crate::cli::output::Out;
use crate::cli::serve::LogLevel;
use crate::cli::serve::runtime;
use crate::cli::sse::Event;
use crate::cli::status::lost_count;
use crate::cli::tokens;
use crate::clock;
use crate::config::Config;
use crate::config::Environment;
use crate::config::Flags;
use crate::id::Token;
use crate::shutdown::Shutdown;

/// Runs the demo until Ctrl-C or the end of its time.
pub(crate) fn run(demo: &Demo, environment: &Environment, out: &Out) -> Result<ExitCode, CliError> {
    let folder = Folder::make()?;
    let secret = Token::random()
        .expose()
        .trim_start_matches(Token::PREFIX)
        .to_owned();
    let credential = format!("demo:{secret}");
    let config =
        |http: SocketAddr, syslog: SocketAddr| config(&folder.path, &credential, http, syslog);
    let ports = [
        free_or_any(demo.http, is_tcp_free),
        free_or_any(demo.syslog, is_syslog_free),
    ];
    let [http, syslog] = ports;
    let first = config(http, syslog)?;
    let any = config(with_any_port(http), with_any_port(syslog))?;
    let _log = LogLevel::install("warn");
    runtime(&first)?.block_on(async {
        // Somebody may have taken a port since it was tried.
        let app = match App::start(first).await {
            Ok(app) => app,
            Err(_) => App::start(any).await?,
        };
        let shown = show(demo, &app.addresses(), &credential, environment, out).await;
        app.stopped().await;
        shown
    })?;
    Ok(ExitCode::SUCCESS)
}

async fn show(
    demo: &Demo,
    addresses: &Addresses,
    credential: &str,
    environment: &Environment,
    out: &Out,
) -> Result<(), CliError> {
    let connection = Connection {
        url: Some(format!("http://{}", addresses.http)),
        credential: Some(credential.to_owned()),
        ..Connection::default()
    };
    let client = Client::new(&connection, environment)?;
    let tasks = Shutdown::new();
    let receiver = Receiver::start(&tasks).await.map_err(CliError::Runtime)?;
    channels::create(&client, CHANNEL, &json!({"tokens": ["app", "heroku"]})).await?;
    let found = tokens::all(&client, CHANNEL).await?;
    let made = drains::post(&client, CHANNEL, &json!({"url": receiver.url()})).await?;
    let tokens = Tokens {
        app: token(&found, "app")?,
        platform: token(&found, "heroku")?,
    };
    out.write(&head(addresses, credential, &tokens.app))?;

    let sent = Arc::new(AtomicU64::new(0));
    let Some(syslog) = addresses.syslog_tcp else {
        return Ok(());
    };
    let sender = Sender {
        client: Client::new(&connection, environment)?,
        syslog,
        tokens,
        sent: Arc::clone(&sent),
        pause: Duration::from_secs(1) / demo.rate.max(1),
    };
    let senders = Shutdown::new();
    let asked = senders.clone();
    senders.spawn(async move { sender.run(&asked).await });
    let mut printer = Printer::new(out, false, environment);
    let session = Session::tail(CHANNEL, 100);
    let mut each = |event: Event| printer.print(&event);
    let shown = tokio::select! {
        asked = tokio::signal::ctrl_c() => asked.map_err(CliError::Runtime),
        () = time_is_up(demo.seconds) => Ok(()),
        // Dropped only to end the demo.
        read = logs::follow(&client, &session, &mut each) => read,
    };
    senders.request();
    // A request that still waits for its answer is not counted as sent.
    if !senders.finished(SETTLE_MAX).await { /* see above */ }
    let drain = drain_state(&client, &made, &sent, &receiver, &tasks).await;
    shown?;
    let lost = lost_count(drain.get("status").unwrap_or(&Value::Null));
    out.line(&format!(
        "\nlogboom demo ended: {} messages sent, {} delivered to the drain, {lost} lost",
        sent.load(Ordering::Relaxed),
        receiver.message_count(),
    ))
}

/// Gives the drain a moment for what is on its way, and reads its state.
async fn drain_state(
    client: &Client,
    made: &Value,
    sent: &AtomicU64,
    receiver: &Receiver,
    tasks: &Shutdown,
) -> Value {
    let mut drain = Value::Null;
    let deadline = clock::now() + SETTLE_MAX;
    let mut tick = tokio::time::interval(SETTLE_STEP);
    loop {
        let sent = sent.load(Ordering::Relaxed);
        if sent <= receiver.message_count() || deadline <= clock::now() {
            break;
        }
        tick.tick().await;
    }
    let path = format!("{}/drains/{}", channels::path(CHANNEL), text(made, "id"));
    if let Ok(found) = client.get(&path).await {
        drain = found;
    }
    tasks.request();
    // Its tasks only hold sockets of this process.
    if !tasks.finished(SETTLE_MAX).await { /* see above */ }
    drain
}

/// The tokens of the demo's channel.
struct Tokens {
    app: String,
    platform: String,
}

/// Sends what the script says: the app's lines over TCP, the platform's over HTTP.
struct Sender {
    client: Client,
    syslog: SocketAddr,
    tokens: Tokens,
    sent: Arc<AtomicU64>,
    pause: Duration,
}

impl Sender {
    async fn run(self, shutdown: &Shutdown) {
        let mut script = Script::new(clock::wall().value());
        let mut connection = None;
        while !shutdown.is_requested() {
            for line in script.next_lines() {
                let time = clock::wall().to_micros_text();
                let was_sent = match line.producer {
                    Producer::App => {
                        let frame = line.frame(&time, &self.tokens.app);
                        self.write(&mut connection, &frame).await
                    }
                    Producer::Platform => {
                        let frame = line.frame(&time, &self.tokens.platform);
                        let answer = self.client.post_logs(&self.tokens.platform, 1, frame).await;
                        answer.is_ok_and(|status| status.is_success())
                    }
                };
                self.sent.fetch_add(u64::from(was_sent), Ordering::Relaxed);
                // Between half and one and a half of the pause: lines of real apps are not even.
                let share = 50 + u32::try_from(script.below(101)).unwrap_or(50);
                tokio::select! {
                    () = shutdown.requested() => return,
                    () = tokio::time::sleep(self.pause * share / 100) => {}
                }
            }
        }
    }

    /// Writes `frame` on a connection that stays open; opens it again when it was lost.
    async fn write(&self, connection: &mut Option<TcpStream>, frame: &[u8]) -> bool {
        if connection.is_none() {
            *connection = TcpStream::connect(self.syslog).await.ok();
        }
        let Some(stream) = connection else {
            return false;
        };
        let was_sent = stream.write_all(frame).await.is_ok();
        if !was_sent {
            *connection = None;
        }
        was_sent
    }
}

async fn time_is_up(seconds: Option<u64>) {
    match seconds {
        Some(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
        None => std::future::pending().await,
    }
}

fn token(tokens: &[Value], name: &str) -> Result<String, CliError> {
    let found = tokens.iter().find(|token| text(token, "name") == name);
    found
        .map(|token| text(token, "token"))
        .ok_or_else(|| CliError::NotFound {
            what: "token named",
            name: name.to_owned(),
        })
}

/// What to try, as it can be typed.
fn head(addresses: &Addresses, credential: &str, token: &str) -> String {
    let http = addresses.http;
    let port = addresses.syslog_tcp.map_or(0, |address| address.port());
    let message = format!("<190>1 - host {token} me.1 - - hello from curl\n");
    let length = message.len();
    let message = message.trim_end();
    format!(
        "\
Logboom demo: a router on this machine, a channel `{CHANNEL}` with simulated apps, its drain, its tail.
Try from a second terminal:

  export LOGBOOM_URL=http://{http} LOGBOOM_CREDENTIAL={credential}
  logboom logs {CHANNEL} --tail --ps web
  logboom drains status
  logboom channels show {CHANNEL}
  curl http://{http}/metrics
  printf '{length} {message}\\n' | curl -u token:{token} -H 'Content-Type: application/logplex-1' --data-binary @- http://{http}/logs
  logger -n 127.0.0.1 -P {port} --tcp --octet-count --rfc5424=notq -t {token} 'hello from logger'

Ctrl-C ends it; nothing is kept.

"
    )
}

fn config(
    folder: &Path,
    credential: &str,
    http: SocketAddr,
    syslog: SocketAddr,
) -> Result<Config, CliError> {
    let values = [
        ("data_dir", folder.display().to_string()),
        ("admin_credential", credential.to_owned()),
        ("http", http.to_string()),
        ("syslog_tcp", syslog.to_string()),
        ("syslog_udp", syslog.to_string()),
        ("log", "warn".to_owned()),
        ("shutdown_grace", "2s".to_owned()),
    ];
    let flags = Flags {
        file: None,
        values: values
            .into_iter()
            .map(|(key, value)| ("of the demo", key, value))
            .collect(),
    };
    // The demo is the same everywhere: the environment's keys are for `serve`.
    Ok(Config::load(&Environment::default(), &flags)?)
}

fn free_or_any(address: SocketAddr, is_free: impl Fn(SocketAddr) -> bool) -> SocketAddr {
    if is_free(address) {
        address
    } else {
        with_any_port(address)
    }
}

fn with_any_port(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip(), 0)
}

fn is_tcp_free(address: SocketAddr) -> bool {
    std::net::TcpListener::bind(address).is_ok()
}

fn is_syslog_free(address: SocketAddr) -> bool {
    is_tcp_free(address) && std::net::UdpSocket::bind(address).is_ok()
}

/// A folder of the demo's own, gone when it is dropped.
struct Folder {
    path: PathBuf,
}

impl Folder {
    fn make() -> Result<Self, CliError> {
        let name = format!("logboom-demo-{}", uuid::Uuid::new_v4());
        let path = std::env::temp_dir().join(name);
        let mut builder = std::fs::DirBuilder::new();
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&path).map_err(|error| CliError::File {
            path: path.display().to_string(),
            source: error,
        })?;
        Ok(Self { path })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // It lies in the system's folder for what may be deleted at any time.
        if std::fs::remove_dir_all(&self.path).is_err() { /* see above */ }
    }
}

const CHANNEL: &str = "demo";

/// How long the end waits for what is still on its way.
const SETTLE_MAX: Duration = Duration::from_secs(3);

const SETTLE_STEP: Duration = Duration::from_millis(20);
