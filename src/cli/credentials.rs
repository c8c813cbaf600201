//! `logboom credentials …`

use std::process::ExitCode;

use hyper::Method;
use serde_json::Value;
use serde_json::json;

use crate::cli::arguments::Credentials;
use crate::cli::arguments::Group;
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
    group: Group<Credentials>,
    environment: &Environment,
    out: &Out,
) -> Result<ExitCode, CliError> {
    let client = Client::new(&group.connection, environment)?;
    let is_json = group.connection.json;
    small_runtime()?.block_on(async {
        match group.command {
            Credentials::Create { id, permissions } => {
                let body = json!({"id": id, "permissions": permissions});
                let made = client.send(Method::POST, PATH, Some(&body)).await?;
                if is_json {
                    return out.json(&made);
                }
                out.line(&format!("{id}:{}", text(&made, "secret")))
            }
            Credentials::List => {
                let all = client.rows(PATH, "credentials").await?;
                print(&all, json!({"credentials": all}), is_json, out)
            }
            Credentials::Show { id } => {
                let all = client.rows(PATH, "credentials").await?;
                let found = all.into_iter().find(|entry| text(entry, "id") == id);
                let found = found.ok_or(CliError::NotFound {
                    what: "credential",
                    name: id,
                })?;
                print(std::slice::from_ref(&found), found.clone(), is_json, out)
            }
            Credentials::Delete { id } => {
                let at = format!("{PATH}/{}", segment(&id));
                client.send(Method::DELETE, &at, None).await?;
                if is_json {
                    return out.json(&json!({"deleted": id}));
                }
                out.line(&format!("deleted credential {id}"))
            }
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

fn print(entries: &[Value], value: Value, is_json: bool, out: &Out) -> Result<(), CliError> {
    if is_json {
        return out.json(&value);
    }
    let rows: Vec<[String; 2]> = entries
        .iter()
        .map(|entry| [text(entry, "id"), permissions(entry)])
        .collect();
    out.write(&table(["CREDENTIAL", "PERMISSIONS"], &rows))
}

fn permissions(entry: &Value) -> String {
    let list = entry.get("permissions").and_then(Value::as_array);
    let names: Vec<&str> = list
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    names.join(",")
}

const PATH: &str = "/v3/credentials";
