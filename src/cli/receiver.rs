//! Flags of a drain that say what its receiver can take.

use clap::Args;
use clap::builder::PossibleValuesParser;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use crate::registry::Preset;

/// What is sent as it is unless one of these says something else.
#[derive(Args, Debug, Default)]
#[command(next_help_heading = "For receivers that do not take everything")]
pub(crate) struct Receiver {
    /// The flags of this group, `--format` and `--compression` as a known receiver needs them; those
    /// given win
    #[arg(long, value_name = "RECEIVER", value_parser = PossibleValuesParser::new(Preset::names()))]
    preset: Option<String>,
    /// Line ends inside a message: as they are, or `#012` and `#015`
    #[arg(long, value_parser = ["keep", "escape"])]
    newlines: Option<String>,
    /// Bytes that are no UTF-8: as they are, or U+FFFD
    #[arg(long, value_parser = ["keep", "replace"])]
    utf8: Option<String>,
    /// Times: as they are, or in UTC (`+00:00`) and microseconds
    #[arg(long, value_parser = ["keep", "normalize"])]
    timestamp: Option<String>,
    /// Most bytes of one frame; a longer message goes on in another
    #[arg(long, value_name = "BYTES")]
    frame_bytes_max: Option<u64>,
}

impl Receiver {
    /// Adds the fields of what is given to a request's body.
    pub(crate) fn put_into(&self, body: &mut Map<String, Value>) {
        let texts = [
            ("preset", &self.preset),
            ("newlines", &self.newlines),
            ("utf8", &self.utf8),
            ("timestamp", &self.timestamp),
        ];
        for (field, value) in texts {
            if let Some(value) = value {
                body.insert(field.to_owned(), json!(value));
            }
        }
        if let Some(bytes) = self.frame_bytes_max {
            body.insert("frame_bytes_max".to_owned(), json!(bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_given_is_sent() {
        let sent = |receiver: &Receiver| {
            let mut body = Map::new();
            receiver.put_into(&mut body);
            Value::Object(body)
        };
        assert_eq!(sent(&Receiver::default()), json!({}));
        let given = Receiver {
            preset: Some("vector".to_owned()),
            utf8: Some("keep".to_owned()),
            frame_bytes_max: Some(2_000),
            ..Receiver::default()
        };
        let expected = json!({"preset": "vector", "utf8": "keep", "frame_bytes_max": 2_000});
        assert_eq!(sent(&given), expected);
    }
}
