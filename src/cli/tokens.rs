//! `logboom tokens …`

use std::process::ExitCode;

use hyper::Method;
use serde_json::Value;
use serde_json::json;

use crate::cli::arguments::Group;
use crate::cli::arguments::Tokens;
use crate::cli::channels::path;
use crate::cli::channels::text;
use crate::cli::client::Client;
use crate::cli::client::segment;
use crate::cli::error::CliError;
use crate::cli::output::Out;
use crate::cli::small_runtime;
use crate::cli::table::table;
use crate::config::Environment;

/// Runs one of the commands.
pub(crate) fn run(
    group: Group<Tokens>,
    environment: &Environment,
    out: &Out,
) -> Result<ExitCode, CliError> {
    let client = Client::new(&group.connection, environment)?;
    let is_json = group.connection.json;
    small_runtime()?.block_on(async {
        match group.command {
            Tokens::Create { channel, name } => {
                let body = json!({"name": name});
                let at = format!("{}/tokens", path(&channel));
                let token = client.send(Method::POST, &at, Some(&body)).await?;
                print(&token, is_json, out)
            }
            Tokens::List { channel } => list(&client, &channel, is_json, out).await,
            Tokens::Show { channel, name } => {
                let tokens = all(&client, &channel).await?;
                let found = tokens.iter().find(|token| text(token, "name") == name);
                let token = found.ok_or(CliError::NotFound {
                    what: "token named",
                    name,
                })?;
                print(token, is_json, out)
            }
            Tokens::Delete { channel, token } => {
                let at = format!("{}/tokens/{}", path(&channel), segment(&token));
                client.send(Method::DELETE, &at, None).await?;
                if is_json {
                    return out.json(&json!({"deleted": token}));
                }
                out.line(&format!("deleted token {token} of channel {channel}"))
            }
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

/// The tokens of `channel`, each `{"name", "token"}`.
pub(crate) async fn all(client: &Client, channel: &str) -> Result<Vec<Value>, CliError> {
    let at = format!("{}/tokens", path(channel));
    let answer = client.get(&at).await?;
    let rows = token_rows(answer.get("tokens"));
    Ok(rows
        .into_iter()
        .map(|[name, token]| json!({"name": name, "token": token}))
        .collect())
}

/// Name and token of each, from a list of objects or one object of names.
pub(crate) fn token_rows(tokens: Option<&Value>) -> Vec<[String; 2]> {
    match tokens {
        Some(Value::Array(list)) => list
            .iter()
            .map(|token| [text(token, "name"), text(token, "token")])
            .collect(),
        Some(Value::Object(names)) => names
            .keys()
            .map(|name| [name.clone(), text(&Value::Object(names.clone()), name)])
            .collect(),
        _ => Vec::new(),
    }
}

async fn list(client: &Client, channel: &str, is_json: bool, out: &Out) -> Result<(), CliError> {
    let tokens = all(client, channel).await?;
    if is_json {
        return out.json(&json!({"tokens": tokens}));
    }
    let rows: Vec<[String; 2]> = tokens
        .iter()
        .map(|token| [text(token, "name"), text(token, "token")])
        .collect();
    out.write(&table(["SOURCE", "TOKEN"], &rows))
}

/// The token alone, so that a shell can take it.
fn print(token: &Value, is_json: bool, out: &Out) -> Result<(), CliError> {
    if is_json {
        return out.json(token);
    }
    out.line(&text(token, "token"))
}
