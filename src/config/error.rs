//! What is wrong with a configuration, said so that it can be mended.

use std::fmt;
use std::path::PathBuf;

use figment::value::Value;

use crate::config::keys::KEYS;
use crate::config::value::Problem;

/// Where a value came from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Origin {
    /// The table of keys.
    Default,
    /// The configuration file.
    File(PathBuf),
    /// An environment variable.
    Environment(String),
    /// A flag of the command line, dashes included.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Environment(name) => write!(f, "environment variable {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Fault {
    /// No such key.
    #[error("unknown key `{key}` ({origin}){}", near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default())]
    UnknownKey {
        /// The key as given.
        key: String,
        /// Where it stands.
        origin: Origin,
        /// The known key that looks most like it.
        near: Option<&'static str>,
    },
    /// The value is not what the key asks for.
    #[error("{key} = {value} ({origin}): {problem}; it must be {wanted}")]
    BadValue {
        /// The key.
        key: &'static str,
        /// Where the value stands.
        origin: String,
        /// The value as given; hidden for secrets.
        value: String,
        /// Why it was refused.
        problem: Problem,
        /// What would be right.
        wanted: String,
    },
    /// One key needs another.
    #[error("`{key}` needs `{missing}`, which is not given")]
    Lacks {
        /// The key that is given.
        key: &'static str,
        /// The key that is missing.
        missing: &'static str,
    },
    /// Two keys do not fit each other.
    #[error("{lower} = {lower_value} is above {upper} = {upper_value}; it must not be")]
    OutOfOrder {
        /// The key that must not be the greater one.
        lower: &'static str,
        /// Its value.
        lower_value: String,
        /// The key that must not be the smaller one.
        upper: &'static str,
        /// Its value.
        upper_value: String,
    },
    /// The file cannot be read.
    #[error("cannot read the configuration file {}: {reason}", path.display())]
    FileUnreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// The file is no TOML.
    #[error("the configuration file {} is no TOML: {reason}", path.display())]
    FileSyntax {
        /// The file.
        path: PathBuf,
        /// Line, column and what was expected.
        reason: String,
    },
}

impl Fault {
    /// A key that is none, with the one that was probably meant.
    pub(crate) fn unknown(key: &str, origin: Origin) -> Self {
        let near = nearest(key, KEYS.iter().map(|known| known.name));
        let key = key.chars().take(KEY_CHARS_SHOWN).collect();
        Self::UnknownKey { key, origin, near }
    }
}

/// The one of `known` that was probably meant by `name`, if one looks like it.
pub(crate) fn nearest<'k>(name: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    let mut near = None;
    let mut best = LIKENESS_MIN;
    for known in known {
        let likeness = strsim::jaro_winkler(name, known);
        if best < likeness {
            best = likeness;
            near = Some(known);
        }
    }
    near
}

/// Everything that is wrong with a configuration: at least one fault.
#[derive(Debug)]
pub struct ConfigError {
    faults: Vec<Fault>,
}

impl ConfigError {
    pub(crate) const fn new(faults: Vec<Fault>) -> Self {
        Self { faults }
    }

    /// The faults, in the order of the files and keys.
    #[must_use]
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }
}

impl fmt::Display for ConfigError {
    /// One line for each fault.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.faults.iter().enumerate() {
            if 0 < index {
                f.write_str("\n")?;
            }
            write!(f, "{fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// `value` as an error shows it: never a secret, and not endlessly long.
pub(crate) fn shown(key: &str, value: &Value) -> String {
    if SECRET_KEYS.contains(&key) {
        return "(hidden)".to_owned();
    }
    let full = match value {
        Value::String(_, text) => format!("{text:?}"),
        other => serde_json::to_string(other).unwrap_or_default(),
    };
    if full.chars().count() <= VALUE_CHARS_SHOWN {
        return full;
    }
    let mut cut: String = full.chars().take(VALUE_CHARS_SHOWN).collect();
    cut.push('…');
    cut
}

/// Keys whose values an error must not repeat; `listener` holds tokens.
const SECRET_KEYS: [&str; 3] = ["admin_credential", "auth_key", "listener"];

/// How alike two keys must be for the one to be suggested, from 0 to 1.
const LIKENESS_MIN: f64 = 0.8;

const KEY_CHARS_SHOWN: usize = 80;

const VALUE_CHARS_SHOWN: usize = 80;
