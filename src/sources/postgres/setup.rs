//! What a server needs for its log and samples to be read: a few settings, and a role. Making them
//! twice changes nothing the second time.

use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use tokio_postgres::Client;

use crate::net::trust::Trusts;
use crate::shutdown::Shutdown;
use crate::sources::postgres::connect::connect;
use crate::sources::postgres::fault::Fault;
use crate::sources::postgres::prefix::HEROKU;
use crate::sources::postgres::url::DatabaseUrl;

/// The name of a role: one that needs no quotes.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RoleName(String);

impl RoleName {
    /// Checks a name.
    ///
    /// # Errors
    /// What would be right.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let is_first = text.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
        let is_rest = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if is_first && text.chars().all(is_rest) && text.len() <= NAME_BYTES_MAX {
            Ok(Self(text.to_owned()))
        } else {
            Err("it must be lower-case letters, digits and underscores, at most 63")
        }
    }
}

impl fmt::Display for RoleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Postgres cuts longer ones.
const NAME_BYTES_MAX: usize = 63;

/// A setting that is needed.
struct Wanted {
    name: &'static str,
    /// What it is set to, after what it was.
    value: fn(&str) -> String,
    /// Whether it is right as it is.
    is_right: fn(&str) -> bool,
}

/// All of them, for a server that knows jsonlog.
const WANTED: [Wanted; 5] = [
    Wanted {
        name: "logging_collector",
        value: |_| "on".to_owned(),
        is_right: |now| now == "on",
    },
    Wanted {
        name: "log_destination",
        value: |now| with(now, "jsonlog"),
        is_right: |now| now.contains("jsonlog") || now.contains("csvlog"),
    },
    Wanted {
        name: "log_timezone",
        value: |_| "UTC".to_owned(),
        is_right: |now| matches!(now, "UTC" | "Etc/UTC" | "GMT"),
    },
    Wanted {
        name: "log_file_mode",
        value: |_| "0640".to_owned(),
        // Octal; what matters is whether the group may read.
        is_right: |now| matches!(now.as_bytes(), [.., b'4'..=b'7', _]),
    },
    Wanted {
        name: "lc_messages",
        value: |_| "C".to_owned(),
        is_right: |now| {
            let english = ["C", "POSIX", "en"];
            now.is_empty() || english.iter().any(|start| now.starts_with(start))
        },
    },
];

/// What was written stays written.
fn with(now: &str, format: &str) -> String {
    if now.is_empty() {
        format.to_owned()
    } else {
        format!("{now},{format}")
    }
}

/// What became of one thing.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Done {
    /// It was right.
    Right(String),
    /// It was made, and holds.
    Made(String),
    /// It was made, now or before, and holds when the server has been restarted.
    Waits(String),
}

/// The commands for psql, for who would rather read than run them. Run again they change the role's
/// password, so that the one they say holds.
#[must_use]
pub fn script(role: &RoleName, password: &str) -> String {
    let mut script = String::from(
        "-- What `logboom postgres` needs. As a superuser: logboom postgres setup | psql -U postgres\n",
    );
    for wanted in WANTED {
        let name = wanted.name;
        script.push_str(&match name {
            // What was written stays written.
            "log_destination" => ADD_DESTINATION.to_owned(),
            _ => format!("ALTER SYSTEM SET {};", quoted(name, &(wanted.value)(""))),
        });
        script.push_str(match name {
            "logging_collector" => " -- takes a restart of the server\n",
            _ => "\n",
        });
    }
    script.push_str(&format!(
        "SELECT pg_reload_conf();\n\
         SELECT 'CREATE ROLE {role}' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') \
         \\gexec\n\
         ALTER ROLE {role} LOGIN PASSWORD '{password}';\n\
         GRANT pg_monitor TO {role};\n\
         -- Then: DATABASE_URL=postgres://{role}:{password}@HOST:5432/DATABASE\n\
         -- Only where the log goes to syslog or stderr: messages look like Heroku's with\n\
         -- ALTER SYSTEM SET log_line_prefix = '{HEROKU}';\n"
    ));
    script
}

/// Adds the format that says most to what is there, unless it has one that says enough.
const ADD_DESTINATION: &str = "SELECT 'ALTER SYSTEM SET log_destination = ' || \
    (SELECT string_agg(quote_literal(trim(now)), ', ') \
     FROM unnest(string_to_array(current_setting('log_destination'), ',')) AS now) || \
    CASE WHEN current_setting('server_version_num')::int < 150000 THEN ', ''csvlog''' \
    ELSE ', ''jsonlog''' END \
    WHERE current_setting('log_destination') !~ 'jsonlog|csvlog' \\gexec";

/// A password that nobody guesses.
///
/// # Errors
/// When the system has no random numbers.
pub fn password() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 18];
    getrandom::fill(&mut bytes)?;
    Ok(BASE64_URL_SAFE_NO_PAD.encode(bytes))
}

/// Why a server was not set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// It does not answer as it should.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// Only a superuser changes settings and makes roles.
    #[error("{user:?} is no superuser on {place}; name one in the URL, such as postgres")]
    NotSuperuser {
        /// Who asked.
        user: String,
        /// Where.
        place: String,
    },
    /// No password could be made.
    #[error("the system has no random numbers: {0}")]
    Random(#[from] getrandom::Error),
}

/// Makes what is missing; gives what became of each thing, and the URL of the role if it was made.
///
/// # Errors
/// `SetupError`; what was made before it stays.
pub async fn apply(
    url: &DatabaseUrl,
    role: &RoleName,
    shutdown: &Shutdown,
) -> Result<(Vec<Done>, Option<String>), SetupError> {
    let client = connect(url, &Trusts::default(), shutdown).await?;
    let failed = |error: tokio_postgres::Error| Fault::of(url, &error);
    let is_superuser = "SELECT rolsuper FROM pg_roles WHERE rolname = current_user";
    let row = client.query_one(is_superuser, &[]).await.map_err(failed)?;
    if !row.get::<_, bool>(0) {
        return Err(SetupError::NotSuperuser {
            user: url.user().to_owned(),
            place: url.place(),
        });
    }
    let mut done = Vec::new();
    let version = "SELECT current_setting('server_version_num')::int";
    let row = client.query_one(version, &[]).await.map_err(failed)?;
    let knows_json = JSONLOG_VERSION <= row.get::<_, i32>(0);
    for wanted in &WANTED {
        done.push(set(&client, wanted, knows_json).await.map_err(failed)?);
    }
    client
        .execute("SELECT pg_reload_conf()", &[])
        .await
        .map_err(failed)?;
    let (made, url) = make_role(&client, url, role).await?;
    done.push(made);
    Ok((done, url))
}

/// The first version with jsonlog.
const JSONLOG_VERSION: i32 = 150_000;

async fn set(
    client: &Client,
    wanted: &Wanted,
    knows_json: bool,
) -> Result<Done, tokio_postgres::Error> {
    let name = wanted.name;
    let asked = "SELECT setting, context FROM pg_settings WHERE name = $1";
    let row = client.query_one(asked, &[&name]).await?;
    let now: String = row.try_get(0)?;
    if (wanted.is_right)(&now) {
        return Ok(Done::Right(format!("{name} = {now}")));
    }
    let needs_restart = row.try_get::<_, String>(1)? == "postmaster";
    let mut value = (wanted.value)(&now);
    if !knows_json {
        value = value.replace("jsonlog", "csvlog");
    }
    let said = format!("{name} = {value}");
    let is_written = "SELECT EXISTS (SELECT FROM pg_file_settings \
        WHERE name = $1 AND setting = $2 AND sourcefile LIKE '%postgresql.auto.conf')";
    let is_written = client.query_one(is_written, &[&name, &value]).await?;
    if needs_restart && is_written.try_get::<_, bool>(0)? {
        return Ok(Done::Waits(said));
    }
    let command = format!("ALTER SYSTEM SET {}", quoted(name, &value));
    client.batch_execute(&command).await?;
    Ok(if needs_restart {
        Done::Waits(said)
    } else {
        Done::Made(said)
    })
}

/// `name = 'value'`; a list is several values.
fn quoted(name: &str, value: &str) -> String {
    let values: Vec<String> = value
        .split(',')
        .map(|value| format!("'{}'", value.trim().replace('\'', "''")))
        .collect();
    format!("{name} = {}", values.join(", "))
}

async fn make_role(
    client: &Client,
    url: &DatabaseUrl,
    role: &RoleName,
) -> Result<(Done, Option<String>), SetupError> {
    let failed = |error: tokio_postgres::Error| Fault::of(url, &error);
    let asked = "SELECT rolcanlogin, pg_has_role(oid, 'pg_monitor', 'MEMBER') \
        FROM pg_roles WHERE rolname = $1";
    let found = client.query_opt(asked, &[&role.0]).await.map_err(failed)?;
    let Some(found) = found else {
        let password = password()?;
        let made =
            format!("CREATE ROLE {role} LOGIN PASSWORD '{password}'; GRANT pg_monitor TO {role}");
        client.batch_execute(&made).await.map_err(failed)?;
        return Ok((
            Done::Made(format!("role {role}")),
            Some(url.text_for(&role.0, &password)),
        ));
    };
    let (can_login, is_monitor): (bool, bool) = (found.get(0), found.get(1));
    if can_login && is_monitor {
        return Ok((Done::Right(format!("role {role}")), None));
    }
    let changed = format!("ALTER ROLE {role} LOGIN; GRANT pg_monitor TO {role}");
    client.batch_execute(&changed).await.map_err(failed)?;
    Ok((Done::Made(format!("role {role}: login, pg_monitor")), None))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_is_what_a_server_understands() {
        let role = RoleName::parse("logboom").unwrap();
        let script = script(&role, "secret");
        for part in [
            "ALTER SYSTEM SET logging_collector = 'on'; -- takes a restart of the server\n",
            "ALTER SYSTEM SET log_timezone = 'UTC';\n",
            "ALTER SYSTEM SET log_file_mode = '0640';\n",
            "ALTER SYSTEM SET lc_messages = 'C';\n",
            "ALTER ROLE logboom LOGIN PASSWORD 'secret';\n",
            "GRANT pg_monitor TO logboom;\n",
            "-- ALTER SYSTEM SET log_line_prefix = ' sql_error_code = %e ",
        ] {
            assert!(script.contains(part), "{part}");
        }
    }

    #[test]
    fn what_is_right_is_left_alone() {
        let right = |name: &str, now: &str| {
            let wanted = WANTED.iter().find(|wanted| wanted.name == name).unwrap();
            (wanted.is_right)(now)
        };
        for (name, now, expected) in [
            ("logging_collector", "on", true),
            ("logging_collector", "off", false),
            ("log_destination", "stderr", false),
            ("log_destination", "syslog,csvlog", true),
            ("log_file_mode", "0600", false),
            ("log_file_mode", "0640", true),
            ("log_file_mode", "0644", true),
            ("lc_messages", "de_DE.UTF-8", false),
            ("lc_messages", "en_GB.UTF-8", true),
            ("lc_messages", "", true),
            ("log_timezone", "Europe/Berlin", false),
        ] {
            assert_eq!(right(name, now), expected, "{name} = {now}");
        }
    }

    #[test]
    fn names_need_no_quotes() {
        for good in ["logboom", "_a1", "a"] {
            assert!(RoleName::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "1a", "A", "a-b", "a\"b", &"a".repeat(64)] {
            assert!(RoleName::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(password().unwrap().len(), 24);
    }
}
