//! What `ship` reads: stdin, or files and sockets.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use crate::cli::error::CliError;
use crate::cli::output;
use crate::cli::ship::flags::ShipFlags;
use crate::cli::ship::join::JoinFlags;
use crate::limits::PRI_MAX;
use crate::shutdown::Shutdown;
use crate::sources::ship;
use crate::sources::ship::Connections;
use crate::sources::ship::Datagrams;
use crate::sources::ship::FollowSettings;
use crate::sources::ship::Format;
use crate::sources::ship::Intake;
use crate::sources::ship::Places;
use crate::sources::ship::Reading;
use crate::syslog::message::Pri;
use crate::syslog::split::Splitter;

/// What is read; without a file or a socket it is stdin.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Input")]
pub(crate) struct InputFlags {
    /// PROCID of the messages [default: `shuttle`; of a file its name, of a socket the program's]
    #[arg(long, value_name = "NAME")]
    procid: Option<String>,
    /// PRI of the messages: facility * 8 + severity
    #[arg(long, value_name = "N", default_value_t = 190, value_parser = clap::value_parser!(u8).range(..=i64::from(PRI_MAX)))]
    prival: u8,
    /// What stdin and files hold: lines of text, messages of RFC 5424, or such behind their lengths
    #[arg(long, value_name = "FORMAT", default_value = "raw", value_parser = ["raw", "rfc5424", "lprfc5424"])]
    input_format: String,
    /// Follow files of this name, which may hold `*`; may be repeated. They may be rotated
    #[arg(long = "file", value_name = "GLOB", value_parser = pattern)]
    files: Vec<glob::Pattern>,
    /// Read files that are there already from their start, not from their end
    #[arg(long, requires = "files")]
    from_start: bool,
    /// Remember here how far files are delivered [default: in the spool, if there is one]
    #[arg(long, value_name = "FILE", requires = "files")]
    state: Option<PathBuf>,
    /// Take datagrams here, as programs send them to /dev/log
    #[arg(long, value_name = "PATH")]
    unix: Option<PathBuf>,
    /// Take connections here
    #[arg(long, value_name = "PATH")]
    unix_stream: Option<PathBuf>,
    /// Who may write to these sockets, as the mode of a file
    #[arg(long, value_name = "MODE", default_value = "0666", value_parser = mode)]
    unix_mode: u32,
    #[command(flatten)]
    join: JoinFlags,
}

/// Inputs that are open.
pub(crate) struct Inputs {
    datagrams: Option<Datagrams>,
    connections: Option<Connections>,
    files: Option<FollowSettings>,
    has_stdin: bool,
    reading: Reading,
    socket_reading: Reading,
}

impl InputFlags {
    /// Where the places of files are kept, if they are.
    pub(crate) fn places(&self, flags: &ShipFlags) -> Result<Option<Arc<Places>>, CliError> {
        let path = match (&self.state, flags.spool()) {
            _ if self.files.is_empty() => return Ok(None),
            (Some(path), _) => path.clone(),
            (None, Some(spool)) => {
                ship::make_spool(spool)?;
                spool.join("positions")
            }
            (None, None) => return Ok(None),
        };
        Ok(Some(Arc::new(Places::open(&path, self.files.clone())?)))
    }

    /// Opens what is to be read.
    pub(crate) fn open(
        &self,
        flags: &ShipFlags,
        places: Option<Arc<Places>>,
    ) -> Result<Inputs, CliError> {
        let has_others =
            !self.files.is_empty() || self.unix.is_some() || self.unix_stream.is_some();
        let reading = self.reading(flags)?;
        let given = self.procid.as_deref().unwrap_or_default();
        let files = (!self.files.is_empty()).then(|| FollowSettings {
            patterns: self.files.clone(),
            is_from_start: self.from_start,
            reading: Reading {
                procid: Arc::from(given),
                ..reading.clone()
            },
            places,
        });
        let datagrams = self.unix.as_deref().map(Datagrams::bind).transpose()?;
        if let Some(socket) = &datagrams {
            socket.set_mode(self.unix_mode)?;
        }
        let connections = self.unix_stream.as_deref().map(Connections::bind);
        let connections = connections.transpose()?;
        if let Some(socket) = &connections {
            socket.set_mode(self.unix_mode)?;
        }
        Ok(Inputs {
            datagrams,
            connections,
            files,
            has_stdin: !has_others,
            socket_reading: Reading {
                procid: Arc::from(given),
                format: Format::Syslog,
                join: None,
                ..reading.clone()
            },
            reading,
        })
    }

    fn reading(&self, flags: &ShipFlags) -> Result<Reading, CliError> {
        let format = match self.input_format.as_str() {
            "rfc5424" => Format::Rfc5424,
            "lprfc5424" => Format::LengthPrefixed,
            _ => Format::Raw,
        };
        let join = self.join.join();
        if join.is_some() && format != Format::Raw {
            return Err(CliError::Usage {
                what: "--input-format",
                value: self.input_format.clone(),
                reason: "only lines of text can be joined; leave out the --join flags, or say raw"
                    .to_owned(),
            });
        }
        Ok(Reading {
            pri: Pri::or_default(self.prival.into()),
            procid: Arc::from(self.procid.as_deref().unwrap_or("shuttle")),
            when_full: flags.when_full(),
            splitter: Splitter::new(flags.line_bytes_max(), flags.split()),
            format,
            join,
        })
    }
}

impl Inputs {
    /// Whether it is stdin that is read.
    pub(crate) const fn has_stdin(&self) -> bool {
        self.has_stdin
    }

    /// Reads all of it, by tasks of the group `stop`, until that is asked to stop.
    pub(crate) fn read(self, intake: &Intake, stop: &Shutdown) {
        let Self {
            datagrams,
            connections,
            files,
            has_stdin,
            reading,
            socket_reading,
        } = self;
        if has_stdin {
            let (intake, asked) = (intake.clone(), stop.clone());
            stop.spawn(async move {
                let stdin = tokio::io::stdin();
                let read = ship::read_lines_until(&asked, stdin, &reading, &intake).await;
                if let Err(error) = read {
                    output::note(&format_args!("logboom: cannot read stdin: {error}"));
                }
            });
        }
        if let Some(datagrams) = datagrams {
            let (intake, asked) = (intake.clone(), stop.clone());
            let reading = socket_reading.clone();
            stop.spawn(async move { datagrams.run(&reading, &intake, &asked).await });
        }
        if let Some(connections) = connections {
            let (intake, asked) = (intake.clone(), stop.clone());
            stop.spawn(async move { connections.run(&socket_reading, &intake, &asked).await });
        }
        if let Some(files) = files {
            let (intake, asked) = (intake.clone(), stop.clone());
            stop.spawn(async move { ship::follow(files, &intake, &asked).await });
        }
    }
}

fn pattern(text: &str) -> Result<glob::Pattern, String> {
    glob::Pattern::new(text).map_err(|error| error.to_string())
}

fn mode(text: &str) -> Result<u32, &'static str> {
    match u32::from_str_radix(text, 8) {
        Ok(mode) if mode <= 0o777 => Ok(mode),
        _ => Err("it must be an octal number up to 0777, such as 0660"),
    }
}
