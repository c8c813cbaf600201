//! rsyslog and syslog-ng, set up for speed as their manuals advise, without loss. They compare the
//! token with each that they know and write a name in its place, as the router has to.

use std::fmt::Write;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::program::{Running, tokens};

const RSYSLOG: &str = "/usr/sbin/rsyslogd";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn syslog_ng_root() -> PathBuf {
    root().join("target/peers/syslog-ng")
}

pub(crate) fn has_rsyslog() -> bool {
    Path::new(RSYSLOG).exists()
}

pub(crate) fn has_syslog_ng() -> bool {
    syslog_ng_root().join("usr/sbin/syslog-ng").exists()
}

/// Installs the peers where they are missing.
pub(crate) fn install() {
    if has_rsyslog() && has_syslog_ng() {
        return;
    }
    let script = root().join("tests/peers/install.sh");
    let status = Command::new(script).status().unwrap();
    assert!(status.success(), "tests/peers/install.sh");
}

/// One thread reads and cuts (imptcp), one worker of one queue parses, formats and sends. With
/// `is_isolated` each destination has a queue and a worker of its own.
pub(crate) fn rsyslog(ports: &[Vec<u16>], is_isolated: bool) -> Running {
    let folder = tempfile::tempdir().unwrap();
    let (port, tokens) = (free_port(), tokens(ports.len()));
    let queue = r#"queue.type="FixedArray" queue.size="100000" queue.dequeueBatchSize="4096"
  queue.workerThreads="1" queue.lightDelayMark="90000" queue.fullDelayMark="90000"
  queue.timeoutEnqueue="60000""#;
    let own_queue = if is_isolated { queue } else { "" };
    let mut rules = String::new();
    for (number, (token, ports)) in tokens.iter().zip(ports).enumerate() {
        let actions: String = ports
            .iter()
            .map(|port| {
                format!(
                    "  action(type=\"omfwd\" target=\"127.0.0.1\" port=\"{port}\" protocol=\"tcp\"\n  \
                     TCP_Framing=\"octet-counted\" template=\"out\" action.resumeRetryCount=\"-1\"\n  \
                     {own_queue})\n"
                )
            })
            .collect();
        match (tokens.len(), number) {
            (1, _) => rules.push_str(&actions),
            (_, 0) => write!(rules, "if $app-name == '{token}' then {{\n{actions}}}").unwrap(),
            _ => write!(
                rules,
                " else if $app-name == '{token}' then {{\n{actions}}}"
            )
            .unwrap(),
        }
    }
    let config = format!(
        r#"global(workDirectory="{folder}" maxMessageSize="64k")
module(load="imptcp" threads="1" processOnPoller="on")
template(name="out" type="string" string="<%PRI%>1 %TIMESTAMP:::date-rfc3339% %HOSTNAME% app %PROCID% %MSGID% %STRUCTURED-DATA% %msg%")
ruleset(name="in" parser="rsyslog.rfc5424" {queue}) {{
{rules}
}}
input(type="imptcp" address="127.0.0.1" port="{port}" ruleset="in" rateLimit.interval="0"
  flowControl="on" name="in")
"#,
        folder = folder.path().display(),
    );
    let file = folder.path().join("rsyslog.conf");
    std::fs::write(&file, config).unwrap();
    let child = Command::new(RSYSLOG)
        .args(["-n", "-C", "-f"])
        .arg(&file)
        .arg("-i")
        .arg(folder.path().join("rsyslog.pid"))
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    ready(child, port, tokens, folder)
}

/// Threads for sources and destinations, windows as wide as the queues, flow control.
pub(crate) fn syslog_ng(ports: &[Vec<u16>]) -> Running {
    let folder = tempfile::tempdir().unwrap();
    let (port, tokens) = (free_port(), tokens(ports.len()));
    let mut rules = String::new();
    let mut paths = String::new();
    for (number, (token, ports)) in tokens.iter().zip(ports).enumerate() {
        let mut path = format!("filter(f{number}); ");
        writeln!(
            rules,
            "filter f{number} {{ match('{token}' value('PROGRAM') type('string')); }};"
        )
        .unwrap();
        path.push_str("rewrite(name); ");
        for port in ports {
            writeln!(
                rules,
                "destination d{port} {{ syslog('127.0.0.1' port({port}) transport('tcp') \
                 log-fifo-size(200000) flush-lines(1000) frac-digits(6)); }};"
            )
            .unwrap();
            write!(path, "destination(d{port}); ").unwrap();
        }
        writeln!(
            paths,
            "log {{ source(in); {path}flags(flow-control, final); }};"
        )
        .unwrap();
    }
    let config = format!(
        r#"@version: 3.38
options {{ threaded(yes); keep-hostname(yes); keep-timestamp(yes); use-dns(no); use-fqdn(no);
  dns-cache(no); stats-freq(0); time-reopen(1); }};
source in {{ syslog(ip('127.0.0.1') port({port}) transport('tcp') max-connections(10)
  log-iw-size(100000) log-fetch-limit(1000)); }};
rewrite name {{ set('app', value('PROGRAM')); }};
{rules}{paths}"#
    );
    let file = folder.path().join("syslog-ng.conf");
    std::fs::write(&file, config).unwrap();
    let child = syslog_ng_command()
        .args(["-F", "-e", "--no-caps", "-f"])
        .arg(&file)
        .arg("-R")
        .arg(folder.path().join("persist"))
        .arg("--control")
        .arg(folder.path().join("control"))
        .arg("-p")
        .arg(folder.path().join("pid"))
        .stderr(std::fs::File::create(folder.path().join("stderr")).unwrap())
        .spawn()
        .unwrap();
    ready(child, port, tokens, folder)
}

/// syslog-ng as the install script unpacks it, with its own libraries.
fn syslog_ng_command() -> Command {
    let root = syslog_ng_root();
    let arch = format!("{}-linux-gnu", std::env::consts::ARCH);
    let libraries = [
        root.join("lib").join(&arch),
        root.join("usr/lib").join(&arch),
        root.join("usr/lib/syslog-ng/3.38"),
        root.join("usr/lib/syslog-ng"),
    ];
    let mut command = Command::new(root.join("usr/sbin/syslog-ng"));
    command
        .env("LD_LIBRARY_PATH", std::env::join_paths(&libraries).unwrap())
        .arg("--module-path")
        .arg(root.join("usr/lib/syslog-ng/3.38"));
    command
}

/// What each peer says of itself.
pub(crate) fn versions() -> Vec<String> {
    let first_line = |command: &mut Command| {
        let output = command.output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = text.lines().next()?.trim_end_matches(" compiled with:");
        Some(line.to_owned())
    };
    let rsyslog = has_rsyslog().then(|| first_line(Command::new(RSYSLOG).arg("-v")));
    let syslog_ng = has_syslog_ng().then(|| first_line(syslog_ng_command().arg("--version")));
    [rsyslog, syslog_ng]
        .into_iter()
        .flatten()
        .flatten()
        .collect()
}

const PATIENCE: Duration = Duration::from_secs(20);

fn ready(child: Child, port: u16, tokens: Vec<String>, folder: tempfile::TempDir) -> Running {
    let running = Running::new(child, format!("127.0.0.1:{port}"), tokens, Some(folder));
    let deadline = Instant::now() + PATIENCE;
    while TcpStream::connect(&running.input).is_err() {
        assert!(Instant::now() < deadline, "a peer does not start");
        std::thread::park_timeout(Duration::from_millis(20));
    }
    running
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}
