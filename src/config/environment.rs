//! The process's environment: the one place that reads it.

use std::collections::BTreeMap;
use std::ffi::OsString;

/// The variables that mean something here, as they were at one moment.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    variables: BTreeMap<String, String>,
}

impl Environment {
    /// The environment of this process. Variables that are no UTF-8 are taken for absent.
    #[must_use]
    pub fn of_process() -> Self {
        Self::new(std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        }))
    }

    /// An environment made of `variables`; only those with a meaning here are kept.
    pub fn new(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let is_ours = |name: &str| name.starts_with(PREFIX) || OTHERS.contains(&name);
        Self {
            variables: variables
                .into_iter()
                .filter(|(name, _)| is_ours(name))
                .collect(),
        }
    }

    /// The value of the variable `name`; an empty one is taken for absent.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&str> {
        self.variables
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// Variable name, key and value of everything that is to be a key of the configuration.
    pub(crate) fn keys(&self) -> impl Iterator<Item = (&str, String, &str)> {
        self.variables
            .iter()
            .filter(|(name, _)| !CLIENT_VARIABLES.contains(&name.as_str()))
            .filter_map(|(name, value)| {
                let key = name.strip_prefix(PREFIX)?.to_lowercase();
                Some((name.as_str(), key, value.as_str()))
            })
    }

    /// Whether people asked for no colours (no-color.org), or have a terminal without them.
    #[must_use]
    pub fn refuses_colour(&self) -> bool {
        self.value("NO_COLOR")
            .is_some_and(|value| !value.is_empty())
            || self.value("TERM") == Some("dumb")
    }
}

/// The environment that a program started from here gets: this process's, without `hidden`.
#[must_use]
pub fn inherited_variables(hidden: &[&str]) -> Vec<(OsString, OsString)> {
    std::env::vars_os()
        .filter(|(name, _)| !hidden.iter().any(|hidden| name == hidden))
        .collect()
}

const PREFIX: &str = "LOGBOOM_";

/// Names the configuration file.
pub(crate) const CONFIG_VARIABLE: &str = "LOGBOOM_CONFIG";

/// Where the command line finds the router.
pub const URL_VARIABLE: &str = "LOGBOOM_URL";

/// With what the command line shows who asks.
pub const CREDENTIAL_VARIABLE: &str = "LOGBOOM_CREDENTIAL";

/// Where the command line finds `admin-credential`; also a key.
pub const DATA_DIR_VARIABLE: &str = "LOGBOOM_DATA_DIR";

/// Which database `logboom postgres` reports on, as apps know it.
pub const DATABASE_URL_VARIABLE: &str = "DATABASE_URL";

/// Which server `logboom redis` reports on, as apps know it.
pub const REDIS_URL_VARIABLE: &str = "REDIS_URL";

/// Where a shipper sends, as log-shuttle knows it.
pub const LOGS_URL_VARIABLE: &str = "LOGS_URL";

/// The same under its older name.
pub const LOGPLEX_URL_VARIABLE: &str = "LOGPLEX_URL";

/// With whose token `run` tells what becomes of its process.
pub const PLATFORM_TOKEN_VARIABLE: &str = "LOGBOOM_PLATFORM_TOKEN";

/// With what people read long texts.
pub const PAGER_VARIABLE: &str = "PAGER";

/// Variables with the prefix that are no keys.
const CLIENT_VARIABLES: [&str; 4] = [
    CONFIG_VARIABLE,
    URL_VARIABLE,
    CREDENTIAL_VARIABLE,
    PLATFORM_TOKEN_VARIABLE,
];

/// Variables without the prefix that are heeded.
const OTHERS: [&str; 8] = [
    DATABASE_URL_VARIABLE,
    REDIS_URL_VARIABLE,
    LOGPLEX_URL_VARIABLE,
    LOGS_URL_VARIABLE,
    PAGER_VARIABLE,
    "NO_COLOR",
    "PATH",
    "TERM",
];
