//! `logboom health`

use std::process::ExitCode;

use serde_json::json;

use crate::cli::arguments::Health;
use crate::cli::channels::text;
use crate::cli::client::Client;
use crate::cli::error::CliError;
use crate::cli::output::Out;
use crate::cli::small_runtime;
use crate::config::Environment;

/// Asks the router how it is: exit code 0 when it is well, 1 when it says that it is not.
pub(crate) fn run(
    health: &Health,
    environment: &Environment,
    out: &Out,
) -> Result<ExitCode, CliError> {
    let client = Client::new(&health.connection, environment)?;
    let (status, answer) = small_runtime()?.block_on(client.ask("/healthcheck"))?;
    let said = text(&answer, "status");
    let said = if said.is_empty() {
        status.to_string()
    } else {
        said
    };
    if health.connection.json {
        out.json(&json!({"status": said, "healthy": status.is_success()}))?;
    } else {
        out.line(&said)?;
    }
    Ok(if status.is_success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
