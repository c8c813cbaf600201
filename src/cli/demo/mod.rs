//! `logboom demo`: a router at work, with simulated apps, a tail and a drain.
//!
//! Everything goes through the same doors that others use: lines come in by TCP and HTTP, the
//! tail is a session, and the drain's destination is a server of the demo's own.

mod guide;
mod lines;
mod receiver;

use std::io;
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
use tokio::signal::unix::Signal;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;

use crate::app::Addresses;
use crate::app::App;
use crate::app::AppError;
use crate::cli::arguments::Connection;
use crate::cli::arguments::Demo;
use crate::cli::channels;
use crate::cli::channels::text;
use crate::cli::client::Client;
use crate::cli::colour::Colour;
use crate::cli::demo::guide::Guide;
use crate::cli::demo::guide::REMINDER;
use crate::cli::demo::lines::Producer;
use crate::cli::demo::lines::Script;
use crate::cli::demo::receiver::Receiver;
use crate::cli::drains;
use crate::cli::error::CliError;
use crate::cli::logs;
use crate::cli::logs::Output;
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
    let http = free_or_any(demo.http, try_tcp);
    let syslog = free_or_any(demo.syslog, try_syslog);
    let first = config(http, syslog)?;
    let any = config(with_any_port(http), with_any_port(syslog))?;
    let _log = LogLevel::install("warn");
    runtime(&first)?.block_on(async {
        // From the start: a signal that ended the process would leave its folder behind.
        let ends = [
            SignalKind::interrupt(),
            SignalKind::terminate(),
            SignalKind::hangup(),
        ];
        let [interrupt, terminate, hang_up] =
            ends.map(|kind| signal(kind).map_err(CliError::Runtime));
        let mut signals = [interrupt?, terminate?, hang_up?];
        // Somebody may have taken a port since it was tried.
        let app = match App::start(first).await {
            Err(AppError::Listen(taken)) if is_taken(&taken.cause) => App::start(any).await?,
            started => started?,
        };
        let shown = show(
            demo,
            &app.addresses(),
            &credential,
            environment,
            &mut signals,
            out,
        )
        .await;
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
    signals: &mut [Signal; 3],
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
    let Some(syslog) = addresses.syslog_tcp else {
        return Ok(());
    };
    let guide = Guide {
        channel: CHANNEL,
        credential,
        token: &tokens.app,
        http: (demo.http, addresses.http),
        syslog: (demo.syslog, syslog),
        program: folder_to_name(environment).as_deref(),
    }
    .text();
    out.write(&guide)?;

    let sent = Arc::new(AtomicU64::new(0));
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
    let has_colours = Colour::Auto.is_wanted(out, environment);
    let mut printer = Printer::new(out, Output::Raw, has_colours, &[]);
    let session = printer.fed_by(Session::tail(CHANNEL, 100));
    let mut each = |event: Event| printer.print(CHANNEL, event);
    let shown = tokio::select! {
        () = end_asked(signals) => Ok(()),
        () = time_is_up(demo.seconds) => Ok(()),
        failed = remind(&guide, out) => failed,
        // Dropped only to end the demo.
        read = logs::follow(&client, session, &mut each) => read,
    };
    senders.request();
    // A request that still waits for its answer is not counted as sent.
    if !senders.finished(SETTLE_MAX).await { /* see above */ }
    let sent = sent.load(Ordering::Relaxed);
    let counts = settled(&client, &made, sent).await;
    tasks.request();
    // Its tasks only hold sockets of this process.
    if !tasks.finished(SETTLE_MAX).await { /* see above */ }
    shown?;
    out.line(&summary(sent, &counts?))
}

/// Gives the drain a moment for what is on its way; returns its counts.
async fn settled(client: &Client, drain: &Value, sent: u64) -> Result<Counts, CliError> {
    let path = format!("{}/drains/{}", channels::path(CHANNEL), text(drain, "id"));
    let deadline = clock::now() + SETTLE_MAX;
    let mut tick = tokio::time::interval(SETTLE_STEP);
    loop {
        tick.tick().await;
        let drain = client.get(&path).await?;
        let status = drain.get("status").unwrap_or(&Value::Null);
        let counts = Counts {
            delivered: status.get("delivered").and_then(Value::as_u64).unwrap_or(0),
            lost: lost_count(status),
        };
        if sent <= counts.delivered + counts.lost || deadline <= clock::now() {
            return Ok(counts);
        }
    }
}

/// What became of the drain's messages.
struct Counts {
    delivered: u64,
    lost: u64,
}

/// The last line: what was sent, and where it went.
fn summary(sent: u64, counts: &Counts) -> String {
    let Counts { delivered, lost } = *counts;
    let yours = match (delivered + lost).saturating_sub(sent) {
        0 => String::new(),
        others => format!(" and {others} by others"),
    };
    format!(
        "\nlogboom demo ended: {sent} messages sent{yours}, {delivered} delivered by the drain, {lost} lost"
    )
}

/// Ends when the demo is asked to: by Ctrl-C, SIGTERM, or because its terminal is gone.
async fn end_asked(signals: &mut [Signal; 3]) {
    let [interrupt, terminate, hang_up] = signals;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hang_up.recv() => {}
    }
}

/// Shows the guide again whenever Ctrl-\ is pressed, and on a terminal reminds of that.
async fn remind(guide: &str, out: &Out) -> Result<(), CliError> {
    let mut quit = signal(SignalKind::quit()).map_err(CliError::Runtime)?;
    let mut tick = tokio::time::interval(REMINDER_INTERVAL);
    tick.tick().await;
    loop {
        tokio::select! {
            _ = quit.recv() => out.write(&format!("\n{guide}"))?,
            _ = tick.tick() => {
                if out.is_terminal() {
                    out.line(REMINDER)?;
                }
            }
        }
    }
}

/// The folder of this program, unless the shell finds the same program by its name alone.
fn folder_to_name(environment: &Environment) -> Option<PathBuf> {
    let program = std::env::current_exe().ok()?;
    let folders = environment.value("PATH").unwrap_or_default();
    let found = std::env::split_paths(folders)
        .map(|folder| folder.join("logboom"))
        .find(|path| path.is_file());
    let is_found = found.and_then(|path| path.canonicalize().ok()) == program.canonicalize().ok();
    (!is_found).then(|| program.parent().map(Path::to_owned))?
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

/// `address`, or any port there when its own is taken. Other faults are for the start to tell.
fn free_or_any(address: SocketAddr, bind: impl Fn(SocketAddr) -> io::Result<()>) -> SocketAddr {
    match bind(address) {
        Err(error) if is_taken(&error) => with_any_port(address),
        _ => address,
    }
}

fn is_taken(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrInUse
}

fn with_any_port(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip(), 0)
}

fn try_tcp(address: SocketAddr) -> io::Result<()> {
    std::net::TcpListener::bind(address).map(drop)
}

fn try_syslog(address: SocketAddr) -> io::Result<()> {
    try_tcp(address)?;
    std::net::UdpSocket::bind(address).map(drop)
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

/// How often a tail on a terminal reminds of the commands at its top.
const REMINDER_INTERVAL: Duration = Duration::from_secs(20);

const SETTLE_STEP: Duration = Duration::from_millis(20);
