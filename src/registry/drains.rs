//! The entry of a drain.

use std::sync::Arc;
use std::sync::LazyLock;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::clock::UnixMicros;
use crate::id::{ChannelId, DrainId, DrainToken};
use crate::registry::drain_options::DrainOptions;
use crate::registry::drain_url::DrainUrl;

/// A configured target of a channel, or the reservation of one. May hold secrets: no `Debug`.
#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
pub struct DrainEntry {
    /// Its number, never reused.
    pub id: DrainId,
    /// Its public name.
    pub token: DrainToken,
    /// The channel it reads.
    pub channel: ChannelId,
    /// Where it sends; `None` while it is only reserved.
    #[serde(default)]
    pub url: Option<DrainUrl>,
    /// How it sends.
    #[serde(default, deserialize_with = "known_options")]
    pub options: Arc<DrainOptions>,
    /// When it was made.
    pub created: UnixMicros,
}

/// Reads stored options and leaves out what this version does not know: the API refuses unknown
/// options, a store written by a later version must stay readable.
fn known_options<'de, D: Deserializer<'de>>(from: D) -> Result<Arc<DrainOptions>, D::Error> {
    static KNOWN: LazyLock<Map<String, Value>> =
        LazyLock::new(|| match serde_json::to_value(DrainOptions::default()) {
            Ok(Value::Object(known)) => known,
            _ => Map::new(),
        });
    let mut stored = Map::<String, Value>::deserialize(from)?;
    stored.retain(|name, _| KNOWN.contains_key(name));
    serde_json::from_value(Value::Object(stored))
        .map(DrainOptions::shared)
        .map_err(D::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STORED: &str = r#"{"id":7,"token":"d.x","channel":"a","url":"syslog://h",
        "options":{"format":"rfc5424","from_the_future":[1]},"created":5,"also_new":true}"#;

    #[test]
    fn a_later_version_s_entry_stays_readable() {
        let entry: DrainEntry = serde_json::from_str(STORED).unwrap();
        assert_eq!(entry.id, DrainId::new(7));
        assert_eq!(
            entry.options.format,
            crate::registry::drain_options::Format::Rfc5424
        );
        assert_eq!(entry.options.filter, None, "an earlier one's, too");
        let again = serde_json::to_vec(&entry).unwrap();
        assert!(serde_json::from_slice::<DrainEntry>(&again).unwrap() == entry);
    }

    #[test]
    fn the_api_refuses_unknown_options() {
        assert!(serde_json::from_str::<DrainOptions>(r#"{"formt":"rfc5424"}"#).is_err());
    }
}
