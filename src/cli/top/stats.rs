//! What the table shows, as the router counts it.

use serde::Deserialize;
use serde_json::Value;

use crate::cli::client::Client;
use crate::cli::client::segment;
use crate::cli::error::CliError;
use crate::cli::top::Sort;

/// One count of all channels.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Stats {
    pub(crate) now: String,
    pub(crate) totals: Totals,
    pub(crate) channels: Vec<Row>,
}

/// All channels together.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Totals {
    pub(crate) channels: u64,
    pub(crate) messages_per_second: f64,
    pub(crate) lag_messages: u64,
    pub(crate) lost: u64,
    pub(crate) drains: u64,
    pub(crate) drains_failing: u64,
}

/// One channel.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Row {
    pub(crate) channel: String,
    pub(crate) messages: u64,
    pub(crate) messages_per_second: f64,
    pub(crate) lag_messages: u64,
    pub(crate) lost: u64,
    pub(crate) lost_last_day: u64,
    pub(crate) drains: u64,
    pub(crate) state: Option<String>,
}

impl Stats {
    /// What `answer` says.
    pub(crate) fn of(answer: Value) -> Result<Self, CliError> {
        serde_json::from_value(answer).map_err(|error| CliError::BadAnswer {
            what: "GET /v3/stats".to_owned(),
            reason: error.to_string(),
        })
    }
}

/// Asks for the first channels by `sort` whose ids hold `text`.
pub(crate) async fn ask(client: &Client, sort: Sort, text: &str) -> Result<Value, CliError> {
    let sort = sort.name();
    let contains = segment(text);
    let at = format!("/v3/stats?sort={sort}&limit={ROWS}&contains={contains}");
    client.get(&at).await
}

/// More than people scroll through.
const ROWS: usize = 200;
