//! What the platform's two kinds of drains have in common. Both are ordinary drains of the app's
//! channel; a telemetry drain is one that speaks OTLP.

use crate::api::ApiState;
use crate::api::platform::App;
use crate::id::DrainToken;
use crate::registry::DrainEntry;
use crate::registry::DrainUrl;
use crate::registry::Format;

/// How a drain is shown here.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// Below `log-drains`.
    Log,
    /// Below `telemetry-drains`.
    Telemetry,
}

impl Kind {
    /// That of the drain `entry`.
    pub(crate) fn of(entry: &DrainEntry) -> Self {
        match entry.options.format {
            Format::Otlp => Self::Telemetry,
            _ => Self::Log,
        }
    }
}

/// The drains of `app` that are of `kind`, by age: not those that are only reserved.
pub(crate) fn of(state: &ApiState, app: &App, kind: Kind) -> Vec<(DrainEntry, DrainUrl)> {
    let mut entries = state.directory.drains_of(&app.entry.id);
    entries.sort_by_key(|entry| entry.id);
    entries.retain(|entry| Kind::of(entry) == kind);
    entries.into_iter().filter_map(with_url).collect()
}

/// The drain with its URL, which one that is only reserved has none of.
pub(crate) fn with_url(entry: DrainEntry) -> Option<(DrainEntry, DrainUrl)> {
    let url = entry.url.clone()?;
    Some((entry, url))
}

/// The platform's ids are UUIDs. A drain's token is `d.` and one, which nobody else has.
pub(crate) fn uuid(token: &DrainToken) -> &str {
    let text = token.as_str();
    text.strip_prefix("d.").unwrap_or(text)
}

/// Whether `text` is the drain's id here, its token, or its number elsewhere.
pub(crate) fn is_called(entry: &DrainEntry, text: &str) -> bool {
    entry.token.as_str() == text || uuid(&entry.token) == text || entry.id.to_string() == text
}
