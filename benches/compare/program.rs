//! The programs that are compared, each started with the same channels and destinations.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use crate::load::{Router, Usage, usage_of};
use crate::peers;
use crate::plan::Plan;

/// A program that is compared.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Program {
    /// Copies bytes from socket to socket.
    CopyFloor,
    /// That, plus framing, look-up of the token, rewriting the APP-NAME.
    RouteFloor,
    /// rsyslog, one queue for all destinations.
    Rsyslog,
    /// rsyslog, with a queue and a thread for each destination.
    RsyslogIsolated,
    /// syslog-ng with flow control.
    SyslogNg,
    /// The router; senders wait when a channel is full.
    LogboomWait,
    /// The router; the oldest messages are lost when a channel is full.
    LogboomLose,
}

impl Program {
    /// As it stands in the table.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::CopyFloor => "floor: copy",
            Self::RouteFloor => "floor: route",
            Self::Rsyslog => "rsyslog",
            Self::RsyslogIsolated => "rsyslog, a queue each",
            Self::SyslogNg => "syslog-ng",
            Self::LogboomWait => "Logboom, wait",
            Self::LogboomLose => "Logboom, lose",
        }
    }

    pub(crate) fn is_installed(self) -> bool {
        match self {
            Self::Rsyslog | Self::RsyslogIsolated => peers::has_rsyslog(),
            Self::SyslogNg => peers::has_syslog_ng(),
            _ => true,
        }
    }

    /// How much of the messages a round of this program needs: the slow ones less, for a round of
    /// each to take some seconds.
    pub(crate) fn share(self, messages: u64) -> u64 {
        match self {
            Self::Rsyslog => messages / 3,
            Self::RsyslogIsolated | Self::SyslogNg => messages / 6,
            _ => messages,
        }
    }

    /// Starts it with a channel for each list of ports, each port a destination of that channel.
    pub(crate) fn start(self, plan: &Plan, ports: &[Vec<u16>]) -> Running {
        match self {
            Self::CopyFloor => floor("copy", ports),
            Self::RouteFloor => floor("route", ports),
            Self::Rsyslog => peers::rsyslog(ports, false),
            Self::RsyslogIsolated => peers::rsyslog(ports, true),
            Self::SyslogNg => peers::syslog_ng(ports),
            Self::LogboomWait => logboom(plan, ports, "wait"),
            Self::LogboomLose => logboom(plan, ports, "lose"),
        }
    }
}

/// A program at work, ended when this is dropped.
pub(crate) struct Running {
    process: Process,
    /// `host:port` that takes octet-counted syslog.
    pub(crate) input: String,
    /// A token for each channel.
    pub(crate) tokens: Vec<String>,
}

enum Process {
    Router(Router),
    Other {
        child: Child,
        _folder: Option<tempfile::TempDir>,
    },
}

impl Running {
    /// A program that is not the router; its files are in `folder`.
    pub(crate) fn new(
        child: Child,
        input: String,
        tokens: Vec<String>,
        folder: Option<tempfile::TempDir>,
    ) -> Self {
        let process = Process::Other {
            child,
            _folder: folder,
        };
        Self {
            process,
            input,
            tokens,
        }
    }

    /// What its process used so far.
    pub(crate) fn usage(&self) -> Usage {
        match &self.process {
            Process::Router(router) => router.usage(),
            Process::Other { child, .. } => usage_of(child.id()),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Process::Other { child, .. } = &mut self.process {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

/// A token for each of `count` channels, as long as the router's own.
pub(crate) fn tokens(count: usize) -> Vec<String> {
    (0..count)
        .map(|number| format!("t.{:08x}-2f4e-4d53-9cbb-0d3f1c7a9e55", number * 0x0123_4567))
        .collect()
}

fn floor(kind: &str, ports: &[Vec<u16>]) -> Running {
    let tokens = tokens(ports.len());
    let channels = tokens.iter().zip(ports).map(|(token, ports)| {
        let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
        format!("{token}={}", ports.join(","))
    });
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["floor", kind])
        .args(channels)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut ready = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut ready)
        .unwrap();
    let input = ready.trim().strip_prefix("ready ").unwrap().to_owned();
    Running::new(child, input, tokens, None)
}

fn logboom(plan: &Plan, ports: &[Vec<u16>], when_full: &str) -> Running {
    let router = Router::start(&plan.router);
    let open = |(number, ports): (usize, &Vec<u16>)| {
        let id = format!("bench{number}");
        let token = router.channel(&id, when_full);
        for port in ports {
            router.drain(&id, &format!("syslog://127.0.0.1:{port}"), "");
        }
        token
    };
    let tokens = ports.iter().enumerate().map(open).collect();
    Running {
        input: router.syslog_tcp.clone(),
        tokens,
        process: Process::Router(router),
    }
}
