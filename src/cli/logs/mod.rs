//! `logboom logs`: history and live tails of channels, by the same sessions that others use.

mod flags;
mod line;
mod merge;
mod printer;
mod reader;

pub(crate) use flags::Logs;
pub(crate) use flags::Output;
pub(crate) use line::Line;
pub(crate) use printer::Printer;
pub(crate) use reader::Session;
pub(crate) use reader::follow;

use std::process::ExitCode;
use std::time::Duration;

use crate::cli::client::Client;
use crate::cli::error::CliError;
use crate::cli::logs::merge::Merge;
use crate::cli::logs::merge::Merged;
use crate::cli::logs::reader::Reader;
use crate::cli::output;
use crate::cli::output::Out;
use crate::cli::output::Progress;
use crate::cli::pager::Pager;
use crate::cli::small_runtime;
use crate::config::Environment;
use crate::limits::LOGS_CHANNELS_MAX;

/// Prints what was asked for; a tail goes on until Ctrl-C, which is its proper end.
pub(crate) fn run(logs: &Logs, environment: &Environment, out: &Out) -> Result<ExitCode, CliError> {
    logs.check()?;
    let channels = channels(logs)?;
    let client = Client::new(&logs.connection, environment)?;
    let has_colours = logs.connection.colour().is_wanted(out, environment);
    let pager = (logs.pager && out.is_terminal())
        .then(|| Pager::start(environment))
        .transpose()?;
    let out = pager.as_ref().map_or_else(|| out.clone(), Pager::out);
    let printer = Printer::new(&out, logs.output(), has_colours, &channels);
    let readers = channels
        .iter()
        .map(|channel| {
            let session = printer.fed_by(Session::of(logs, channel));
            Reader::new(&client, session)
        })
        .collect();
    let shown = Shown {
        merge: Merge::new(readers, logs.tail),
        printer,
        out,
        progress: Progress::new(!logs.tail),
        is_alone: channels.len() == 1,
        is_json: logs.is_json(),
    };
    let ended = small_runtime()?.block_on(shown.show());
    if let Some(pager) = pager {
        pager.finish()?;
    }
    ended
}

/// The channels given, each once.
fn channels(logs: &Logs) -> Result<Vec<String>, CliError> {
    let mut channels: Vec<String> = Vec::new();
    for channel in &logs.channels {
        if !channels.contains(channel) {
            channels.push(channel.clone());
        }
    }
    if LOGS_CHANNELS_MAX < channels.len() {
        return Err(CliError::Usage {
            what: "channels",
            value: channels.len().to_string(),
            reason: format!("at most {LOGS_CHANNELS_MAX} can be shown at once"),
        });
    }
    Ok(channels)
}

/// What is being shown.
struct Shown<'c> {
    merge: Merge<'c>,
    printer: Printer,
    out: Out,
    progress: Progress,
    is_alone: bool,
    is_json: bool,
}

impl Shown<'_> {
    async fn show(mut self) -> Result<ExitCode, CliError> {
        let mut code = ExitCode::SUCCESS;
        let mut has_failed = false;
        let mut tick = tokio::time::interval(PROGRESS_STEP);
        let mut count = 0_u64;
        loop {
            let merged = tokio::select! {
                asked = tokio::signal::ctrl_c() => {
                    asked.map_err(CliError::Runtime)?;
                    // After the `^C` that terminals show.
                    if self.out.is_terminal() {
                        self.out.line("")?;
                    }
                    return Ok(ExitCode::from(INTERRUPTED_CODE));
                }
                _ = tick.tick() => {
                    self.progress.tell(&waiting(count));
                    continue;
                }
                merged = self.merge.next() => merged,
            };
            match merged {
                None => return Ok(code),
                Some(Merged::Event { channel, event }) => {
                    count += 1;
                    self.printer.print(&channel, event)?;
                }
                Some(Merged::Failed { error, .. }) if self.is_alone => return Err(error),
                Some(Merged::Failed { channel, error }) => {
                    if !std::mem::replace(&mut has_failed, true) {
                        code = error.exit_code();
                    }
                    output::complain_of(&channel, &error, self.is_json);
                }
            }
        }
    }
}

/// What is said while nothing, or nothing that is seen, comes.
fn waiting(count: u64) -> String {
    match count {
        0 => "waiting for the router …".to_owned(),
        _ => format!("{count} lines …"),
    }
}

/// How often it is said anew.
const PROGRESS_STEP: Duration = Duration::from_millis(200);

/// What shells say of a program that Ctrl-C ended: 128 + SIGINT.
pub(crate) const INTERRUPTED_CODE: u8 = 130;
