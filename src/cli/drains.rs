//! `logboom drains …`

use std::path::Path;
use std::process::ExitCode;

use hyper::Method;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use crate::cli::arguments::Drains;
use crate::cli::arguments::Group;
use crate::cli::arguments::NewDrain;
use crate::cli::channels::path;
use crate::cli::channels::text;
use crate::cli::client::Client;
use crate::cli::client::segment;
use crate::cli::error::CliError;
use crate::cli::output::Out;
use crate::cli::small_runtime;
use crate::cli::status;
use crate::cli::table::table;
use crate::config::Environment;

/// Runs one of the commands.
pub(crate) fn run(
    group: Group<Drains>,
    environment: &Environment,
    out: &Out,
) -> Result<ExitCode, CliError> {
    let client = Client::new(&group.connection, environment)?;
    let is_json = group.connection.json;
    small_runtime()?.block_on(async {
        match group.command {
            Drains::Create(new) => create(&client, &new, is_json, out).await,
            Drains::List { channel } => {
                let drains = all(&client, channel.as_deref()).await?;
                if is_json {
                    return out.json(&json!({"drains": drains}));
                }
                out.write(&drain_rows(&drains))
            }
            Drains::Show { channel, drain } => {
                let found = client.get(&drain_path(&channel, &drain)).await?;
                if is_json {
                    return out.json(&found);
                }
                out.write(&details(&found))
            }
            Drains::Delete { channel, drain } => {
                client
                    .send(Method::DELETE, &drain_path(&channel, &drain), None)
                    .await?;
                if is_json {
                    return out.json(&json!({"deleted": drain}));
                }
                out.line(&format!("deleted drain {drain} of channel {channel}"))
            }
            Drains::Status { channel, once } => {
                status::run(&client, channel.as_deref(), once, is_json, out).await
            }
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

/// The drains of one channel, or of all.
pub(crate) async fn all(client: &Client, channel: Option<&str>) -> Result<Vec<Value>, CliError> {
    match channel {
        None => client.rows("/v3/drains", "drains").await,
        Some(channel) => {
            let at = format!("{}/drains", path(channel));
            let mut answer = client.get(&at).await?;
            match answer.get_mut("drains").map(Value::take) {
                Some(Value::Array(drains)) => Ok(drains),
                _ => Err(CliError::BadAnswer {
                    what: format!("GET {at}"),
                    reason: "it lacks the list \"drains\"".to_owned(),
                }),
            }
        }
    }
}

/// Drains as a table.
pub(crate) fn drain_rows(drains: &[Value]) -> String {
    let rows: Vec<[String; 4]> = drains
        .iter()
        .map(|drain| ["id", "channel", "token", "url"].map(|field| text(drain, field)))
        .collect();
    // Inside a channel, its id is left out of each row.
    if rows.iter().all(|[_, channel, ..]| channel.is_empty()) {
        let rows: Vec<[String; 3]> = rows
            .into_iter()
            .map(|[id, _, token, url]| [id, token, url])
            .collect();
        return table(["DRAIN", "TOKEN", "URL"], &rows);
    }
    table(["DRAIN", "CHANNEL", "TOKEN", "URL"], &rows)
}

/// Makes a drain of `channel`.
pub(crate) async fn post(client: &Client, channel: &str, body: &Value) -> Result<Value, CliError> {
    let at = format!("{}/drains", path(channel));
    client.send(Method::POST, &at, Some(body)).await
}

async fn create(client: &Client, new: &NewDrain, is_json: bool, out: &Out) -> Result<(), CliError> {
    let made = post(client, &new.channel, &body(new)?).await?;
    if is_json {
        return out.json(&made);
    }
    out.write(&drain_rows(std::slice::from_ref(&made)))
}

fn body(new: &NewDrain) -> Result<Value, CliError> {
    let mut body = Map::new();
    body.insert("url".to_owned(), json!(new.target));
    let texts = [
        ("format", &new.format),
        ("compression", &new.compression),
        ("source", &new.source),
        ("ps", &new.ps),
        ("filter", &new.filter),
        ("attributes", &new.attributes),
    ];
    for (field, value) in texts {
        if let Some(value) = value {
            body.insert(field.to_owned(), json!(value));
        }
    }
    let files = [
        ("ca", &new.ca),
        ("client_cert", &new.client_cert),
        ("client_key", &new.client_key),
    ];
    for (field, file) in files {
        if let Some(file) = file {
            body.insert(field.to_owned(), json!(pem(file)?));
        }
    }
    if !new.headers.is_empty() {
        let headers: Map<String, Value> = new
            .headers
            .iter()
            .map(|(name, value)| (name.clone(), json!(value)))
            .collect();
        body.insert("headers".to_owned(), Value::Object(headers));
    }
    if let Some(bytes) = new.batch_bytes_max {
        body.insert("batch_bytes_max".to_owned(), json!(bytes));
    }
    Ok(Value::Object(body))
}

fn pem(file: &Path) -> Result<String, CliError> {
    std::fs::read_to_string(file).map_err(|source| CliError::File {
        path: file.display().to_string(),
        source,
    })
}

fn drain_path(channel: &str, drain: &str) -> String {
    format!("{}/drains/{}", path(channel), segment(drain))
}

/// Each field in a line of its own; those of the state under it.
fn details(drain: &Value) -> String {
    let mut rows = Vec::new();
    fields(drain, "", &mut rows);
    table(["FIELD", "VALUE"], &rows)
}

fn fields(value: &Value, before: &str, rows: &mut Vec<[String; 2]>) {
    for (name, value) in value.as_object().into_iter().flatten() {
        match value {
            Value::Object(_) => fields(value, &format!("{before}{name}."), rows),
            Value::Null => {}
            Value::String(text) => rows.push([format!("{before}{name}"), text.clone()]),
            other => rows.push([format!("{before}{name}"), other.to_string()]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_given_is_sent() {
        let new = NewDrain {
            channel: "shop".to_owned(),
            target: "https://example.com/".to_owned(),
            format: Some("rfc5424".to_owned()),
            compression: None,
            headers: vec![("X-Key".to_owned(), "a=b".to_owned())],
            ca: None,
            client_cert: None,
            client_key: None,
            source: None,
            ps: Some("web".to_owned()),
            filter: Some("k>1".to_owned()),
            batch_bytes_max: Some(1_000),
            attributes: None,
        };
        let expected = json!({
            "url": "https://example.com/", "format": "rfc5424", "headers": {"X-Key": "a=b"},
            "ps": "web", "filter": "k>1", "batch_bytes_max": 1_000,
        });
        assert_eq!(body(&new).ok(), Some(expected));
    }

    #[test]
    fn details_are_flat() {
        let drain = json!({"id": 1, "status": {"state": "idle", "lost": {"lapped": 2}, "x": null}});
        assert_eq!(
            details(&drain),
            "FIELD               VALUE\nid                  1\nstatus.lost.lapped  2\nstatus.state        idle\n"
        );
    }
}
