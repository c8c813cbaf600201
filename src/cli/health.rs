//! `logboom health`

use std::process::ExitCode;
use std::time::Duration;

use hyper::StatusCode;
use serde_json::Value;
use serde_json::json;

use crate::cli::arguments::Health;
use crate::cli::channels::text;
use crate::cli::client::Client;
use crate::cli::error::CliError;
use crate::cli::output::Out;
use crate::cli::small_runtime;
use crate::clock;
use crate::config::Environment;

/// Asks the router how it is: exit code 0 when it is well, 1 when it says that it is not.
pub(crate) fn run(
    health: &Health,
    environment: &Environment,
    out: &Out,
) -> Result<ExitCode, CliError> {
    let client = Client::new(&health.connection, environment)?;
    let (status, answer) = small_runtime()?.block_on(ask(&client, health.wait))?;
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

/// The router's answer: the first good one within `wait` seconds, else the last one.
async fn ask(client: &Client, wait: Option<u64>) -> Result<(StatusCode, Value), CliError> {
    let deadline = clock::now() + Duration::from_secs(wait.unwrap_or(0));
    let mut tick = tokio::time::interval(STEP);
    loop {
        tick.tick().await;
        let asked = client.ask("/healthcheck").await;
        let is_well = matches!(&asked, Ok((status, _)) if status.is_success());
        if is_well || deadline <= clock::now() {
            return asked;
        }
    }
}

/// How often a router that is not well is asked again.
const STEP: Duration = Duration::from_millis(100);
