//! The command line: runs the router, and speaks with a running one over its API.
//!
//! Exit codes are the same everywhere, see `error.rs`. Stdout is written in `output.rs` alone.

mod account;
mod arguments;
mod channels;
mod check;
mod client;
mod colour;
mod connect;
mod credentials;
mod demo;
mod drains;
mod error;
mod health;
mod keys;
mod logs;
mod output;
mod overview;
mod pager;
mod postgres;
mod producer;
mod receiver;
mod redis;
mod run;
mod serve;
mod ship;
mod sse;
mod status;
mod table;
mod tokens;
mod top;

pub use output::Out;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::CommandFactory;
use clap::Parser;

use crate::cli::arguments::Arguments;
use crate::cli::arguments::Command;
use crate::cli::error::CliError;
use crate::config::Environment;

/// Runs the program as the process's command line says.
#[must_use]
pub fn main() -> ExitCode {
    run(
        std::env::args_os(),
        &Environment::of_process(),
        &Out::stdout(),
    )
}

/// Runs the program with the command line `arguments`, program name first.
pub fn run(
    arguments: impl IntoIterator<Item = OsString>,
    environment: &Environment,
    out: &Out,
) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(refusal) => return refused(&refusal, out),
    };
    let is_json = arguments.is_json();
    match dispatch(arguments, environment, out) {
        Ok(code) => code,
        Err(CliError::OutputClosed) => ExitCode::SUCCESS,
        Err(error) => {
            output::complain(&error, is_json);
            error.exit_code()
        }
    }
}

/// Help and version go to stdout and are no failure; a wrong command line is.
fn refused(refusal: &clap::Error, out: &Out) -> ExitCode {
    if refusal.use_stderr() {
        output::complain_usage(&refusal.render().to_string());
        return CliError::USAGE_CODE.into();
    }
    // A reader that left wanted no more help.
    if out.write(&refusal.render().to_string()).is_err() { /* it left */ }
    ExitCode::SUCCESS
}

fn dispatch(
    arguments: Arguments,
    environment: &Environment,
    out: &Out,
) -> Result<ExitCode, CliError> {
    match arguments.command {
        Command::Serve(serve) => serve::run(&serve, environment, out),
        Command::Demo(demo) => demo::run(&demo, environment, out),
        Command::Channels(group) => channels::run(group, environment, out),
        Command::Tokens(group) => tokens::run(group, environment, out),
        Command::Drains(group) => drains::run(group, environment, out),
        Command::Credentials(group) => credentials::run(group, environment, out),
        Command::Keys(group) => keys::run(group, environment, out),
        Command::Run(run) => run::run(&run, environment, out),
        Command::Ship(ship) => ship::run(&ship, environment),
        Command::Redis(given) => redis::run(&given, environment),
        Command::Postgres(given) => postgres::run(&given, environment, out),
        Command::Logs(logs) => logs::run(&logs, environment, out),
        Command::Check(check) => check::run(&check, environment, out),
        Command::Top(top) => top::run(&top, environment, out),
        Command::Health(health) => health::run(&health, environment, out),
        Command::Status(status) => overview::run(&status, environment, out),
        Command::Config => {
            out.write(&crate::config::reference())?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "logboom", &mut script);
            out.write_bytes(&script)?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// A runtime of one thread, for commands that only talk.
fn small_runtime() -> Result<tokio::runtime::Runtime, CliError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(CliError::Runtime)
}
