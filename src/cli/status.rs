//! `logboom drains status`: the drains at work, as a table that is redrawn each second.

use std::time::Duration;

use serde_json::Value;
use serde_json::json;

use crate::cli::channels::text;
use crate::cli::client::Client;
use crate::cli::colour::GREEN;
use crate::cli::colour::RED;
use crate::cli::colour::YELLOW;
use crate::cli::drains::all;
use crate::cli::error::CliError;
use crate::cli::output::Out;
use crate::cli::table::Look;
use crate::cli::table::styled;
use crate::clock;

/// Shows the drains of `channel`, or of all channels, until Ctrl-C; once when `once` is set or
/// nobody watches.
pub(crate) async fn run(
    client: &Client,
    channel: Option<&str>,
    once: bool,
    is_json: bool,
    has_colours: bool,
    out: &Out,
) -> Result<(), CliError> {
    if once || is_json || !out.is_terminal() {
        let drains = with_status(client, channel).await?;
        if is_json {
            return out.json(&json!({"drains": drains}));
        }
        return out.write(&status_table(&drains, None, has_colours));
    }
    // The first answer must come: a wrong channel or credential does not get better.
    let mut drains = with_status(client, channel).await?;
    out.write(SCREEN_OWN)?;
    let watched = watch(client, channel, &mut drains, has_colours, out).await;
    out.write(SCREEN_BACK)?;
    // What was seen last stays on the screen.
    let (columns, _) = out.size();
    watched.and_then(|()| out.write(&status_table(&drains, Some(columns), has_colours)))
}

/// Draws the table each second until Ctrl-C. A router that is away is waited for.
async fn watch(
    client: &Client,
    channel: Option<&str>,
    drains: &mut Vec<Value>,
    has_colours: bool,
    out: &Out,
) -> Result<(), CliError> {
    let mut second = tokio::time::interval(Duration::from_secs(1));
    loop {
        let found = tokio::select! {
            asked = tokio::signal::ctrl_c() => return asked.map_err(CliError::Runtime),
            // Dropped only to end the command.
            found = async {
                second.tick().await;
                with_status(client, channel).await
            } => found,
        };
        let state = match found {
            Ok(found) => {
                *drains = found;
                "Ctrl-C ends".to_owned()
            }
            Err(error @ CliError::Unreachable { .. }) => error.to_string(),
            Err(error) => return Err(error),
        };
        let state = state.lines().next().unwrap_or_default();
        let time = clock::wall().to_seconds_text();
        let (columns, rows) = out.size();
        let first: String = format!("{time}  {state}").chars().take(columns).collect();
        let page = status_table(drains, Some(columns), has_colours);
        let shown = fitted(&format!("{first}\n\n{page}"), rows);
        out.write(&format!("{CLEAR}{shown}"))?;
    }
}

/// The first `rows` lines of `page`: what scrolls cannot be drawn over.
fn fitted(page: &str, rows: usize) -> String {
    let lines: Vec<&str> = page.lines().take(rows).collect();
    lines.join("\n")
}

/// A channel's own list may be without states: the list of all drains has them.
async fn with_status(client: &Client, channel: Option<&str>) -> Result<Vec<Value>, CliError> {
    let Some(channel) = channel else {
        return all(client, None).await;
    };
    let drains = all(client, Some(channel)).await?;
    if drains.iter().all(|drain| drain.get("status").is_some()) {
        return Ok(drains);
    }
    let mut drains = all(client, None).await?;
    drains.retain(|drain| text(drain, "channel") == channel);
    Ok(drains)
}

fn status_table(drains: &[Value], width_max: Option<usize>, has_colours: bool) -> String {
    let mut rows: Vec<[String; 8]> = drains.iter().map(row).collect();
    let mut head = [
        "DRAIN",
        "CHANNEL",
        "STATE",
        "LAG",
        "DELIVERED",
        "LOST",
        "URL",
        "LAST",
    ];
    // Where not all fits, what went wrong is worth more than where it went.
    let (url, last) = (6, 7);
    let is_cut = width_max.is_some();
    if is_cut {
        head.swap(url, last);
        rows.iter_mut().for_each(|row| row.swap(url, last));
    }
    let last = if is_cut { url } else { last };
    let colour = |column: usize, cell: &str| match (column, cell) {
        _ if !has_colours => "",
        (2, "failing") => RED,
        (2, "retrying") => YELLOW,
        (2, _) => GREEN,
        (5, lost) if lost != "0" => RED,
        (at, said) if at == last && !said.starts_with('2') => YELLOW,
        _ => "",
    };
    let look = Look {
        right: &[3, 4, 5],
        width_max,
        colour: &colour,
    };
    styled(head, &rows, look)
}

fn row(drain: &Value) -> [String; 8] {
    let status = drain.get("status").unwrap_or(&Value::Null);
    let lost = lost_count(status);
    let last = match (text(status, "last_error"), text(status, "last_status")) {
        (error, _) if !error.is_empty() => error,
        (_, code) => code,
    };
    let lag = match text(status, "lag_messages").as_str() {
        "" => String::new(),
        "0" => "0".to_owned(),
        messages => format!("{messages} ({})", bytes(status)),
    };
    [
        text(drain, "id"),
        text(drain, "channel"),
        text(status, "state"),
        lag,
        text(status, "delivered"),
        lost.to_string(),
        redacted(&text(drain, "url")),
        last,
    ]
}

/// How many bytes a drain is behind, with a unit that leaves few digits.
fn bytes(status: &Value) -> String {
    let count = status.get("lag_bytes").and_then(Value::as_u64).unwrap_or(0);
    match count {
        0..10_000 => format!("{count} B"),
        10_000..10_000_000 => format!("{} KB", count / 1_000),
        _ => format!("{} MB", count / 1_000_000),
    }
}

/// How many messages a drain lost, for whatever reason.
pub(crate) fn lost_count(status: &Value) -> u64 {
    let reasons = status.get("lost").and_then(Value::as_object);
    reasons
        .into_iter()
        .flat_map(|reasons| reasons.values())
        .filter_map(Value::as_u64)
        .sum()
}

/// The URL without its password: a table is shown to others more easily than a list is.
pub(crate) fn redacted(url: &str) -> String {
    let Ok(mut parsed) = url::Url::parse(url) else {
        return url.to_owned();
    };
    if parsed.password().is_none() || parsed.set_password(Some("…")).is_err() {
        return url.to_owned();
    }
    parsed.to_string().replace("%E2%80%A6", "…")
}

/// A screen of its own, as editors have it, and back to the one before.
const SCREEN_OWN: &str = "\x1b[?1049h";
const SCREEN_BACK: &str = "\x1b[?1049l";

/// Cursor home, and clear to the end of the screen: no flicker, unlike clearing it all first.
const CLEAR: &str = "\x1b[H\x1b[J";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_fits_the_screen() {
        assert_eq!(fitted("abc\ndéf\n\nghi\n", 3), "abc\ndéf\n");
        assert_eq!(fitted("abc\n", 24), "abc");
    }

    #[test]
    fn a_row_says_how_the_drain_does() {
        let drain = json!({
            "id": 7, "channel": "shop", "url": "https://u:secret@example.com/in",
            "status": {"state": "retrying", "lag_messages": 12, "lag_bytes": 3456,
                "delivered": 99, "lost": {"lapped": 2, "refused": 3},
                "last_status": 503, "last_error": null},
        });
        assert_eq!(
            row(&drain),
            [
                "7",
                "shop",
                "retrying",
                "12 (3456 B)",
                "99",
                "5",
                "https://u:…@example.com/in",
                "503"
            ]
        );
        let reserved = row(&json!({"id": 8}));
        assert_eq!(reserved, ["8", "", "", "", "", "0", "", ""]);
    }
}
