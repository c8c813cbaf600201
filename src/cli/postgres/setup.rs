//! `logboom postgres setup`: what the server needs, printed or made.

use std::process::ExitCode;

use clap::Args;

use crate::cli::error::CliError;
use crate::cli::output::Out;
use crate::cli::postgres::Database;
use crate::cli::small_runtime;
use crate::config::DATABASE_URL_VARIABLE;
use crate::config::Environment;
use crate::shutdown::Shutdown;
use crate::sources::postgres::setup;
use crate::sources::postgres::setup::Done;
use crate::sources::postgres::setup::RoleName;

/// Flags of `postgres setup`.
#[derive(Args, Clone, Debug)]
#[command(after_help = FOOT)]
pub(crate) struct Setup {
    #[command(flatten)]
    database: Database,
    /// Make what is missing, as the superuser that the URL names
    #[arg(long)]
    apply: bool,
    /// Role that `logboom postgres` is to ask as
    #[arg(long, value_name = "NAME", default_value = "logboom", value_parser = RoleName::parse)]
    role: RoleName,
}

/// Prints the commands, or runs them and prints what became of each.
pub(crate) fn run(
    given: &Setup,
    environment: &Environment,
    out: &Out,
) -> Result<ExitCode, CliError> {
    if !given.apply {
        let password = setup::password().map_err(setup::SetupError::from)?;
        out.write(&setup::script(&given.role, &password))?;
        return Ok(ExitCode::SUCCESS);
    }
    let url = given.database.url(environment)?;
    let url = url.ok_or(CliError::NoServerUrl {
        flag: "--database-url postgres://postgres:PASSWORD@HOST:PORT/DATABASE",
        variable: DATABASE_URL_VARIABLE,
        instead: ", naming a superuser",
    })?;
    let (done, url) = small_runtime()?.block_on(async {
        let shutdown = Shutdown::new();
        let done = setup::apply(&url, &given.role, &shutdown).await;
        shutdown.request();
        done
    })?;
    for done in &done {
        let (what, said) = match done {
            Done::Right(what) => (what, "was right"),
            Done::Made(what) => (what, "made"),
            Done::Waits(what) => (what, "made; waits for a restart of the server"),
        };
        out.line(&format!("{what}  ({said})"))?;
    }
    if done.iter().any(|done| matches!(done, Done::Waits(_))) {
        out.line("Restart the server: until then it writes no log files.")?;
    }
    if let Some(url) = url {
        out.line(&format!("export DATABASE_URL={url}"))?;
    }
    Ok(ExitCode::SUCCESS)
}

const FOOT: &str = "\
The role gets a password of its own, which is printed when it is made and never again. A password \
on a command line is seen by others on the machine: DATABASE_URL is not.

Log files are in the server's data directory, which nobody but its user may enter, unless \
log_directory is elsewhere: run `logboom postgres` as that user, or set log_directory to a folder \
that the group may read.";
