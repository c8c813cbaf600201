//! The command line's grammar and its help.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use clap::Parser;
use clap::Subcommand;
use clap::builder::NonEmptyStringValueParser;
use clap_complete::Shell;

use crate::cli::check::Check;
use crate::cli::colour::Colour;
use crate::cli::keys::Keys;
use crate::cli::logs::Logs;
use crate::cli::overview::Status;
use crate::cli::postgres::Postgres;
use crate::cli::receiver::Receiver;
use crate::cli::redis::Redis;
use crate::cli::run::Run;
use crate::cli::ship::Ship;
use crate::cli::top::Top;
use crate::filter::Filter;

/// Logboom, a log router: many apps' logs in, one channel each out to tails, drains and history.
#[derive(Debug, Parser)]
#[command(name = "logboom", version, max_term_width = 100, after_help = FOOT)]
pub(crate) struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the router
    Serve(Serve),
    /// Show a router at work, with simulated apps
    Demo(Demo),
    /// Channels: one app's logs each
    Channels(Group<Channels>),
    /// Tokens: the secrets with which producers write to a channel
    Tokens(Group<Tokens>),
    /// Drains: where a channel's messages are sent
    Drains(Group<Drains>),
    /// Credentials: who may use the API, for what
    Credentials(Group<Credentials>),
    /// Keys: for which apps the `heroku` command and the Platform API may be used
    Keys(Group<Keys>),
    /// Show the messages of one channel or several
    Logs(Logs),
    /// Watch the channels at work, by rate, lag and loss
    Top(Top),
    /// Say how the router is: channels, drains, losses, certificates
    Status(Status),
    /// Look whether a channel is fit for production
    Check(Check),
    /// Send lines to a router: of stdin, files or local sockets
    Ship(Box<Ship>),
    /// Run a program, ship what it prints, and end as it ends
    Run(Box<Run>),
    /// Send a PostgreSQL server's log and samples to a router
    Postgres(Box<Postgres>),
    /// Send a Redis or Valkey server's samples and slow commands to a router
    Redis(Box<Redis>),
    /// Ask whether the router is well
    Health(Health),
    /// Print every key of the configuration with its default and meaning
    Config,
    /// Print a script that completes this program's command lines
    #[command(after_help = COMPLETIONS_FOOT)]
    Completions {
        /// For which shell
        shell: Shell,
    },
}

impl Arguments {
    /// Whether the output is for machines.
    pub(crate) const fn is_json(&self) -> bool {
        match &self.command {
            Command::Channels(group) => group.connection.json,
            Command::Tokens(group) => group.connection.json,
            Command::Drains(group) => group.connection.json,
            Command::Credentials(group) => group.connection.json,
            Command::Keys(group) => group.connection.json,
            Command::Logs(logs) => logs.is_json(),
            Command::Top(top) => top.connection.json,
            Command::Check(check) => check.connection.json,
            Command::Health(health) => health.connection.json,
            Command::Status(status) => status.connection.json,
            _ => false,
        }
    }
}

/// Which router, who asks, and for whom the answer is.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Connection")]
pub(crate) struct Connection {
    /// The router [env: LOGBOOM_URL] [default: http://127.0.0.1:8601]
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// Who asks [env: LOGBOOM_CREDENTIAL] [default: what DATA/admin-credential holds]
    #[arg(long, global = true, value_name = "ID:SECRET")]
    pub(crate) credential: Option<String>,
    /// The router's data folder, on the same machine [env: LOGBOOM_DATA_DIR] [default: ./logboom-data]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Print JSON, one value in a line
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// When to use colours [default: auto]
    #[arg(long, global = true, value_name = "WHEN")]
    pub(crate) color: Option<Colour>,
}

impl Connection {
    /// When to use colours.
    pub(crate) fn colour(&self) -> Colour {
        self.color.unwrap_or_default()
    }
}

/// Commands that share the flags of a connection.
#[derive(Args, Debug)]
pub(crate) struct Group<C: Subcommand> {
    #[command(flatten)]
    pub(crate) connection: Connection,
    #[command(subcommand)]
    pub(crate) command: C,
}

/// Flags of `serve`.
#[derive(Args, Clone, Debug, Default)]
#[command(after_help = SERVE_FOOT)]
pub(crate) struct Serve {
    /// Configuration file [env: LOGBOOM_CONFIG]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Folder of the store [default: ./logboom-data]
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<String>,
    /// HTTP: API, POST /logs, sessions, health, metrics [default: 127.0.0.1:8601]
    #[arg(long, value_name = "ADDR")]
    pub(crate) http: Option<String>,
    /// Syslog over TCP, or `off` [default: 127.0.0.1:6001]
    #[arg(long, value_name = "ADDR")]
    pub(crate) syslog_tcp: Option<String>,
    /// Syslog over UDP, or `off` [default: 127.0.0.1:6001]
    #[arg(long, value_name = "ADDR")]
    pub(crate) syslog_udp: Option<String>,
    /// Syslog over TLS; the configuration names the certificate [default: off]
    #[arg(long, value_name = "ADDR")]
    pub(crate) syslog_tls: Option<String>,
}

/// Flags of `demo`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Demo {
    /// End after so many seconds; without it, Ctrl-C ends the demo
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) seconds: Option<u64>,
    /// Lines per second, about
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) rate: u32,
    /// HTTP address; another port when it is taken
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8601")]
    pub(crate) http: SocketAddr,
    /// Syslog address; another port when it is taken
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:6001")]
    pub(crate) syslog: SocketAddr,
}

/// `logboom channels …`
#[derive(Debug, Subcommand)]
pub(crate) enum Channels {
    /// Make a channel and print its tokens
    #[command(after_help = "Example: logboom channels create shop --token app --token heroku")]
    Create {
        /// Id of the channel: any text without `/`
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        id: String,
        /// Name of a token to make; may be repeated [default: app]
        #[arg(long = "token", value_name = "NAME")]
        tokens: Vec<String>,
        /// Allow no live tails
        #[arg(long)]
        no_tail: bool,
        /// Keep no history
        #[arg(long)]
        no_redis: bool,
        /// When the log is full: `lose` the oldest, or let senders `wait` for drains
        #[arg(long, value_name = "WHAT", value_parser = ["lose", "wait"])]
        when_full: Option<String>,
    },
    /// List all channels
    List,
    /// Show a channel with its tokens and drains
    Show {
        /// Id of the channel
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        id: String,
    },
    /// Delete a channel with its tokens, drains and messages
    Delete {
        /// Id of the channel
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        id: String,
    },
}

/// `logboom tokens …`
#[derive(Debug, Subcommand)]
pub(crate) enum Tokens {
    /// Make a token and print it
    Create {
        /// Id of the channel
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        channel: String,
        /// Name of the token: the source that readers see, such as `app`
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        name: String,
    },
    /// List a channel's tokens
    List {
        /// Id of the channel
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        channel: String,
    },
    /// Print the token of a name
    Show {
        /// Id of the channel
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        channel: String,
        /// Name of the token
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        name: String,
    },
    /// Delete a token; who still sends with it is no longer heard
    Delete {
        /// Id of the channel
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        channel: String,
        /// The token, or its name
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        token: String,
    },
}

/// `logboom drains …`
#[derive(Debug, Subcommand)]
pub(crate) enum Drains {
    /// Send a channel's messages to a URL
    #[command(after_help = DRAIN_FOOT)]
    Create(Box<NewDrain>),
    /// List the drains of a channel, or of all
    List {
        /// Id of the channel
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        channel: Option<String>,
    },
    /// Show a drain with its state
    Show {
        /// Id of the channel
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        channel: String,
        /// Id of the drain
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        drain: String,
    },
    /// Stop sending and delete the drain
    Delete {
        /// Id of the channel
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        channel: String,
        /// Id of the drain
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        drain: String,
    },
    /// Watch the drains of a channel, or of all, at work
    Status {
        /// Id of the channel
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        channel: Option<String>,
        /// Print once instead of every second; so it is, too, when the output is no terminal
        #[arg(long)]
        once: bool,
    },
}

/// A drain to be made.
#[derive(Args, Debug)]
pub(crate) struct NewDrain {
    /// Id of the channel
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub(crate) channel: String,
    /// http, https, syslog, syslog+tls or syslog+udp URL
    #[arg(value_name = "URL")]
    pub(crate) target: String,
    /// How messages are written
    #[arg(long, value_parser = ["logplex", "rfc5424", "otlp"])]
    pub(crate) format: Option<String>,
    /// How HTTP bodies are compressed
    #[arg(long, value_parser = ["none", "gzip", "zstd"])]
    pub(crate) compression: Option<String>,
    /// Further HTTP header; may be repeated
    #[arg(long = "header", value_name = "NAME=VALUE", value_parser = header)]
    pub(crate) headers: Vec<(String, String)>,
    /// PEM file of the certificates to trust instead of the system's
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// PEM file of the client certificate
    #[arg(long, value_name = "FILE", requires = "client_key")]
    pub(crate) client_cert: Option<PathBuf>,
    /// PEM file of the client certificate's key
    #[arg(long, value_name = "FILE", requires = "client_cert")]
    pub(crate) client_key: Option<PathBuf>,
    /// Only messages of this source
    #[arg(long, value_name = "NAME")]
    pub(crate) source: Option<String>,
    /// Only messages of this process; `web` means `web.1` and its siblings too
    #[arg(long, value_name = "NAME")]
    pub(crate) ps: Option<String>,
    /// Only messages that this expression wants, such as 'severity>=err'
    #[arg(long, value_name = "EXPRESSION", value_parser = filter, allow_hyphen_values = true)]
    pub(crate) filter: Option<String>,
    /// Most bytes of one request or write
    #[arg(long, value_name = "BYTES")]
    pub(crate) batch_bytes_max: Option<u64>,
    /// What OTLP records have as further attributes: with `logfmt`, the pairs of their texts
    #[arg(long, value_parser = ["none", "logfmt"])]
    pub(crate) attributes: Option<String>,
    #[command(flatten)]
    pub(crate) receiver: Receiver,
}

/// `logboom credentials …`
#[derive(Debug, Subcommand)]
pub(crate) enum Credentials {
    /// Make a credential and print it: it is shown only now
    #[command(after_help = "Example: logboom credentials create shuttle --permission channel:shop")]
    Create {
        /// Id of the credential
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        id: String,
        /// `full_api`, `any_channel`, `channel:ID` or a role in an app as `logboom keys` gives it;
        /// may be repeated
        #[arg(long = "permission", value_name = "WHAT", required = true)]
        permissions: Vec<String>,
    },
    /// List all credentials
    List,
    /// Show what a credential may do
    Show {
        /// Id of the credential
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        id: String,
    },
    /// Delete a credential
    Delete {
        /// Id of the credential
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        id: String,
    },
}

/// Flags of `health`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Health {
    /// Wait until it is well, at most so many seconds
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) wait: Option<u64>,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

/// An expression as it was written, which is one.
pub(crate) fn filter(text: &str) -> Result<String, String> {
    match Filter::parse(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(format!("{error}\n{}", error.drawn(text))),
    }
}

fn header(text: &str) -> Result<(String, String), &'static str> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("a header is NAME=VALUE"),
    }
}

const FOOT: &str = "\
Exit codes: 0 done, 1 failed, 2 wrong command line or configuration, 3 not found, \
4 not permitted, 5 the router does not answer, 130 ended by Ctrl-C.

First steps:
  logboom demo                    see it at work
  logboom serve                   run a router
  logboom channels create shop    make a channel, from a second terminal
  logboom logs shop --tail        see what is sent with its token";

const SERVE_FOOT: &str = "\
Every other key is given in the file or in the environment, as LOGBOOM_ and the key in capitals; \
`logboom config` lists them.

One line on stdout, `logboom ready http=…`, says when connections are accepted; the log goes to \
stderr. SIGTERM and Ctrl-C end the router in order; SIGHUP reloads certificates and configuration.";

const COMPLETIONS_FOOT: &str = "\
Examples:
  source <(logboom completions bash)
  logboom completions zsh > ~/.zfunc/_logboom
  logboom completions fish > ~/.config/fish/completions/logboom.fish";

const DRAIN_FOOT: &str = "\
Examples:
  logboom drains create shop https://user:password@logs.example.com/in
  logboom drains create shop syslog+tls://logs.example.com --format rfc5424
  logboom drains create shop https://vector.example.com/ --preset vector
  logboom drains create shop https://errors.example.com/in --filter 'severity>=err'";
