//! `logboom top`: the channels at work, as a table that people can sort and filter.

pub(crate) mod stats;
mod view;
mod watch;

use std::process::ExitCode;

use clap::Args;
use clap::ValueEnum;

use crate::cli::arguments::Connection;
use crate::cli::client::Client;
use crate::cli::error::CliError;
use crate::cli::output::Out;
use crate::cli::small_runtime;
use crate::cli::table::Look;
use crate::cli::table::styled;
use crate::cli::top::stats::Stats;
use crate::cli::top::view::COLUMNS;
use crate::cli::top::watch::Watch;
use crate::config::Environment;

/// Flags of `top`.
#[derive(Args, Clone, Debug)]
#[command(after_help = FOOT)]
pub(crate) struct Top {
    /// What stands first
    #[arg(long, value_name = "WHAT", default_value = "rate")]
    sort: Sort,
    /// Only channels whose id holds this
    #[arg(long, value_name = "TEXT", default_value = "")]
    filter: String,
    /// Print the table once; so it is, too, when the output is no terminal
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    pub(crate) connection: Connection,
}

/// What the channels are sorted by.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Sort {
    /// Messages a second
    Rate,
    /// Messages that drains have still to send
    Lag,
    /// Messages that drains lost
    Lost,
}

impl Sort {
    /// As the API calls it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::Lag => "lag",
            Self::Lost => "lost",
        }
    }
}

/// Shows the table until it is left; once when nobody watches.
pub(crate) fn run(top: &Top, environment: &Environment, out: &Out) -> Result<ExitCode, CliError> {
    let client = Client::new(&top.connection, environment)?;
    let runtime = small_runtime()?;
    if top.once || top.connection.json || !out.is_terminal() {
        let asked = stats::ask(&client, top.sort, &top.filter);
        let answer = runtime.block_on(asked)?;
        if top.connection.json {
            out.json(&answer)?;
            return Ok(ExitCode::SUCCESS);
        }
        let stats = Stats::of(answer)?;
        let rows: Vec<[String; COLUMNS]> = stats.channels.iter().map(view::cells).collect();
        let look = Look {
            right: &[1, 2, 3, 4, 5, 6],
            ..Look::PLAIN
        };
        out.write(&styled(view::HEAD, &rows, look))?;
        return Ok(ExitCode::SUCCESS);
    }
    let has_colours = top.connection.colour().is_wanted(out, environment);
    let watch = Watch::new(&client, top.sort, &top.filter, has_colours);
    runtime.block_on(watch.run())
}

const FOOT: &str = "\
Keys: q leaves; r, l and x sort by rate, lag and loss; / takes a text that ids must hold (Enter keeps it, \
Esc drops it); arrows, PageUp, PageDown, Home and End move.

RATE is messages a second over the last 5 seconds, LAG what the drain has to send that is most behind, \
LOST what all drains of the channel lost since the router started, DAY in the last 24 hours.";
