//! `logboom keys …`

use std::process::ExitCode;

use clap::Subcommand;
use clap::builder::NonEmptyStringValueParser;
use hyper::Method;
use serde_json::Value;
use serde_json::json;

use crate::cli::arguments::Group;
use crate::cli::channels::text;
use crate::cli::client::Client;
use crate::cli::client::segment;
use crate::cli::error::CliError;
use crate::cli::output::Out;
use crate::cli::small_runtime;
use crate::cli::table::table;
use crate::config::Environment;

/// `logboom keys …`
#[derive(Debug, Subcommand)]
pub(crate) enum Keys {
    /// Make a key and print it: it is shown only now
    #[command(after_help = CREATE_FOOT)]
    Create {
        /// App it is for: id or name of a channel; may be repeated
        #[arg(
            long = "app",
            short,
            value_name = "APP",
            value_parser = NonEmptyStringValueParser::new(),
            required_if_eq_any([("role", "read"), ("role", "write")])
        )]
        apps: Vec<String>,
        /// What it may do: `read` the app, its messages and its drains; also `write` drains; `admin`,
        /// all else there is for the app
        #[arg(long, short, value_name = "ROLE", value_parser = ["read", "write", "admin"])]
        role: String,
        /// Id of the key, by which it is listed and revoked [default: a random one]
        #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
        id: Option<String>,
    },
    /// List all keys, without their secrets
    List,
    /// End a key: what is asked with it from now on is refused
    Revoke {
        /// Id of the key
        #[arg(value_parser = NonEmptyStringValueParser::new())]
        id: String,
    },
}

const CREATE_FOOT: &str = "\
Without --app, a key with the role admin is for every app and for the router's whole API.

Examples:
  logboom keys create --app shop --role read
  logboom keys create --app shop --app blog --role write --id deploy
  HEROKU_HOST=http://127.0.0.1:8601 HEROKU_API_KEY=$(logboom keys create -a shop -r read) \\
    heroku logs --app shop --tail

The router keeps only a hash of it. It stands for no token: who has it can not send messages.";

/// Runs one of the commands.
pub(crate) fn run(
    group: Group<Keys>,
    environment: &Environment,
    out: &Out,
) -> Result<ExitCode, CliError> {
    let client = Client::new(&group.connection, environment)?;
    let is_json = group.connection.json;
    small_runtime()?.block_on(async {
        match group.command {
            Keys::Create { apps, role, id } => {
                let body = json!({"role": role, "apps": apps, "id": id});
                let made = client.send(Method::POST, PATH, Some(&body)).await?;
                if is_json {
                    return out.json(&made);
                }
                // Alone, so that a shell can take it.
                out.line(&text(&made, "key"))
            }
            Keys::List => {
                let all = client.rows(PATH, "keys").await?;
                if is_json {
                    return out.json(&json!({"keys": all}));
                }
                let rows: Vec<[String; 4]> = all.iter().flat_map(rows).collect();
                out.write(&table(["KEY", "ROLE", "APPS", "CREATED"], &rows))
            }
            Keys::Revoke { id } => {
                let at = format!("{PATH}/{}", segment(&id));
                client.send(Method::DELETE, &at, None).await?;
                if is_json {
                    return out.json(&json!({"revoked": id}));
                }
                out.line(&format!("revoked key {id}"))
            }
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

/// A row for each role that a key has.
fn rows(key: &Value) -> Vec<[String; 4]> {
    let grants = key.get("grants").and_then(Value::as_array);
    let row = |grant: &Value| {
        let apps = match grant.get("apps").and_then(Value::as_array) {
            None => "all".to_owned(),
            Some(apps) => {
                let names: Vec<&str> = apps.iter().filter_map(Value::as_str).collect();
                names.join(",")
            }
        };
        let [id, created] = ["id", "created_at"].map(|field| text(key, field));
        [id, text(grant, "role"), apps, created]
    };
    grants.into_iter().flatten().map(row).collect()
}

const PATH: &str = "/v3/keys";
