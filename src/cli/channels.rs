//! `logboom channels …`

use std::process::ExitCode;

use hyper::Method;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use crate::cli::arguments::Channels;
use crate::cli::arguments::Group;
use crate::cli::client::Client;
use crate::cli::client::segment;
use crate::cli::drains::drain_rows;
use crate::cli::error::CliError;
use crate::cli::output::Out;
use crate::cli::small_runtime;
use crate::cli::table::table;
use crate::cli::tokens::token_rows;
use crate::config::Environment;

/// Runs one of the commands.
pub(crate) fn run(
    group: Group<Channels>,
    environment: &Environment,
    out: &Out,
) -> Result<ExitCode, CliError> {
    let client = Client::new(&group.connection, environment)?;
    let is_json = group.connection.json;
    small_runtime()?.block_on(async {
        match group.command {
            Channels::Create {
                id,
                tokens,
                no_tail,
                no_redis,
                when_full,
            } => {
                let tokens = if tokens.is_empty() {
                    vec!["app".to_owned()]
                } else {
                    tokens
                };
                let mut body = Map::from_iter([
                    ("tokens".to_owned(), json!(tokens)),
                    ("no_tail".to_owned(), json!(no_tail)),
                    ("no_redis".to_owned(), json!(no_redis)),
                ]);
                if let Some(when_full) = when_full {
                    body.insert("when_full".to_owned(), json!(when_full));
                }
                create(&client, &id, &Value::Object(body)).await?;
                show(&client, &id, is_json, out).await
            }
            Channels::List => list(&client, is_json, out).await,
            Channels::Show { id } => show(&client, &id, is_json, out).await,
            Channels::Delete { id } => delete(&client, &id, is_json, out).await,
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Makes the channel. PUT would set the tokens of one that is there, so that is refused before.
pub(crate) async fn create(client: &Client, id: &str, body: &Value) -> Result<(), CliError> {
    if client.has(&path(id)).await? {
        return Err(CliError::ChannelExists(id.to_owned()));
    }
    client.send(Method::PUT, &path(id), Some(body)).await?;
    Ok(())
}

/// The path of a channel in the API.
pub(crate) fn path(id: &str) -> String {
    format!("/v3/channels/{}", segment(id))
}

async fn list(client: &Client, is_json: bool, out: &Out) -> Result<(), CliError> {
    let channels = client.rows("/v3/channels", "channels").await?;
    if is_json {
        return out.json(&json!({"channels": channels}));
    }
    let rows: Vec<[String; 3]> = channels
        .iter()
        .map(|channel| {
            [
                channel_id(channel),
                flags(channel),
                text(channel, "when_full"),
            ]
        })
        .collect();
    out.write(&table(["CHANNEL", "FLAGS", "WHEN_FULL"], &rows))
}

async fn show(client: &Client, id: &str, is_json: bool, out: &Out) -> Result<(), CliError> {
    let channel = client.get(&path(id)).await?;
    if is_json {
        return out.json(&channel);
    }
    let mut page = format!("channel {id}\n");
    for (name, value) in [
        ("flags", flags(&channel)),
        ("when_full", text(&channel, "when_full")),
    ] {
        if !value.is_empty() {
            page.push_str(&format!("{name} {value}\n"));
        }
    }
    let tokens = token_rows(channel.get("tokens"));
    page.push('\n');
    page.push_str(&table(["SOURCE", "TOKEN"], &tokens));
    let drains = channel.get("drains").and_then(Value::as_array);
    let drains: &[Value] = drains.map_or(&[], Vec::as_slice);
    if !drains.is_empty() {
        page.push('\n');
        page.push_str(&drain_rows(drains));
    }
    out.write(&page)
}

async fn delete(client: &Client, id: &str, is_json: bool, out: &Out) -> Result<(), CliError> {
    client.send(Method::DELETE, &path(id), None).await?;
    if is_json {
        return out.json(&json!({"deleted": id}));
    }
    out.line(&format!("deleted channel {id}"))
}

/// A field as people read it; empty when it is absent.
pub(crate) fn text(value: &Value, field: &str) -> String {
    match value.get(field) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// A channel of a list is an object, or its id alone.
fn channel_id(channel: &Value) -> String {
    match channel {
        Value::String(id) => id.clone(),
        object => [text(object, "channel"), text(object, "id")].concat(),
    }
}

fn flags(channel: &Value) -> String {
    let flags = channel.get("flags").unwrap_or(&Value::Null);
    let is_set = |flag: &&str| flags.get(flag).and_then(Value::as_bool) == Some(true);
    let set: Vec<&str> = ["no_tail", "no_redis"].into_iter().filter(is_set).collect();
    set.join(",")
}
