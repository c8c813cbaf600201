//! Values and where each came from: defaults, then the file, then the environment, then flags;
//! the later wins. Figment merges them and remembers the origin of each.

use figment::Figment;
use figment::Metadata;
use figment::Profile;
use figment::Provider;
use figment::value::Dict;
use figment::value::Map;
use figment::value::Value;

use crate::config::error::ConfigError;
use crate::config::error::Fault;
use crate::config::error::Origin;
use crate::config::error::shown;
use crate::config::keys::Config;
use crate::config::keys::Fallback;
use crate::config::keys::KEYS;
use crate::config::keys::Key;
use crate::config::kind::Kind;

/// Values of one origin.
pub(crate) struct Layer {
    origin: Origin,
    values: Dict,
}

impl Layer {
    /// Values that stand together in one place.
    pub(crate) const fn new(origin: Origin, values: Dict) -> Self {
        Self { origin, values }
    }

    /// One value given as text.
    pub(crate) fn text(origin: Origin, key: &str, text: &str) -> Self {
        Self::new(origin, Dict::from([(key.to_owned(), Value::from(text))]))
    }

    /// The defaults of all keys that have one.
    pub(crate) fn defaults() -> Self {
        let default = |key: &Key| match key.fallback {
            Fallback::Given(toml) => Some((key.name.to_owned(), parsed(toml))),
            Fallback::Unset(_) => Some((key.name.to_owned(), Value::from("off"))),
        };
        Self::new(Origin::Default, KEYS.iter().filter_map(default).collect())
    }
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.origin.to_string())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Map::from([(Profile::Default, self.values.clone())]))
    }
}

/// The value of a TOML literal of the table.
pub(crate) fn parsed(toml: &str) -> Value {
    let mut table: Dict =
        toml::from_str(&format!("value = {toml}")).expect("a test parses every default");
    table.remove("value").expect("it was just written")
}

/// Reads keys one by one and gathers what is wrong with any.
pub(crate) struct Reader {
    merged: Figment,
    faults: Vec<Fault>,
}

impl Reader {
    /// Puts `layers` on top of each other, the last one uppermost.
    pub(crate) fn new(layers: Vec<Layer>) -> Self {
        let mut merged = Figment::new();
        let mut faults = Vec::new();
        for layer in layers {
            for key in layer.values.keys() {
                if !KEYS.iter().any(|known| known.name == key) {
                    faults.push(Fault::unknown(key, layer.origin.clone()));
                }
            }
            merged = merged.merge(layer);
        }
        Self { merged, faults }
    }

    /// The value of `key`, or `None` when it is wrong.
    pub(crate) fn value<K: Kind>(&mut self, key: &'static str, kind: &K) -> Option<K::Output> {
        let value = self.merged.find_value(key).ok()?;
        match kind.read(&value) {
            Ok(read) => Some(read),
            Err(problem) => {
                self.faults.push(Fault::BadValue {
                    key,
                    origin: self.origin(&value),
                    value: shown(key, &value),
                    problem,
                    wanted: kind.wanted(),
                });
                None
            }
        }
    }

    /// Whether somebody gave `key`, be it with its default value.
    pub(crate) fn is_given(&self, key: &str) -> bool {
        self.merged
            .find_value(key)
            .is_ok_and(|value| self.origin(&value) != Origin::Default.to_string())
    }

    /// `config`, unless something was wrong.
    pub(crate) fn finish(mut self, config: Option<Config>) -> Result<Config, ConfigError> {
        let Some(config) = config.filter(|_| self.faults.is_empty()) else {
            return Err(ConfigError::new(self.faults));
        };
        self.faults = config.conflicts();
        if self.faults.is_empty() {
            Ok(config)
        } else {
            Err(ConfigError::new(self.faults))
        }
    }

    fn origin(&self, value: &Value) -> String {
        self.merged.get_metadata(value.tag()).map_or_else(
            || Origin::Default.to_string(),
            |found| found.name.to_string(),
        )
    }
}
