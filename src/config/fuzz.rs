//! Fuzz target: the text of a configuration file.

use std::path::PathBuf;

use figment::value::Dict;

use crate::config::error::Origin;
use crate::config::keys::Config;
use crate::config::layers::Layer;
use crate::config::layers::Reader;

/// Fuzz target: `bytes` are a file. It is a configuration, or every fault says something.
pub fn fuzz_config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let Ok(values) = toml::from_str::<Dict>(text) else {
        return;
    };
    let file = Origin::File(PathBuf::from("logboom.toml"));
    let mut reader = Reader::new(vec![Layer::defaults(), Layer::new(file, values)]);
    let config = Config::read(&mut reader);
    match reader.finish(config) {
        Ok(config) => assert_eq!(config.changes(&config).len(), 0),
        Err(error) => {
            assert!(!error.faults().is_empty());
            assert!(error.faults().iter().all(|f| !f.to_string().is_empty()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::KEYS;
    use proptest::prelude::Strategy;
    use proptest::prop_oneof;
    use proptest::proptest;
    use proptest::sample::select;

    proptest! {
        #[test]
        fn any_value_of_any_key_is_read_or_refused(
            key in select(KEYS).prop_map(|key| key.name),
            value in prop_oneof![
                "-?[0-9]{1,20}",
                "\"[0-9]{1,20} ?[a-zA-Z]{0,3}\"",
                "\"[ -!#-\\[\\]-~]{0,20}\"",
                "\\[(\"a:b\",?){0,2}\\]",
                "true|1\\.5|nan|1979-05-27|\\{a=1\\}|\\[\\{token=\"t.1\"\\}\\]",
            ],
        ) {
            fuzz_config(format!("{key} = {value}").as_bytes());
        }
    }
}
