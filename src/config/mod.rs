//! The configuration: defaults, then the file, then the environment, then flags; the later wins.
//!
//! `keys.rs` is the one table of all keys. Whatever is wrong is reported together, each fault with
//! its key, its origin, its value and what would be right.

mod environment;
mod error;
#[cfg(any(test, fuzzing))]
mod fuzz;
mod keys;
mod kind;
mod layers;
mod listener;
mod memory;
mod value;

use std::net::SocketAddr;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

pub use environment::CREDENTIAL_VARIABLE;
pub use environment::DATA_DIR_VARIABLE;
pub use environment::DATABASE_URL_VARIABLE;
pub use environment::Environment;
pub use environment::LOGPLEX_URL_VARIABLE;
pub use environment::LOGS_URL_VARIABLE;
pub use environment::PAGER_VARIABLE;
pub use environment::PLATFORM_TOKEN_VARIABLE;
pub use environment::REDIS_URL_VARIABLE;
pub use environment::URL_VARIABLE;
pub use environment::inherited_variables;
pub use error::ConfigError;
pub use error::Fault;
pub use error::Origin;
pub(crate) use error::nearest;
#[cfg(any(test, fuzzing))]
pub use fuzz::fuzz_config;
pub use keys::Config;
pub use keys::Effect;
pub use keys::Fallback;
pub use keys::KEYS;
pub use keys::Key;
pub use kind::Credential;
pub use kind::HiddenText;
pub use listener::Listener;
pub use listener::Protocol;
pub use value::Problem;

use figment::value::Dict;

use crate::config::layers::Layer;
use crate::config::layers::Reader;

/// What the command line says about the configuration.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// The file to read; without it `LOGBOOM_CONFIG`, without that none.
    pub file: Option<PathBuf>,
    /// Flag (dashes included), key and value, in any order.
    pub values: Vec<(&'static str, &'static str, String)>,
}

impl Config {
    /// The configuration of a router that was told nothing.
    #[must_use]
    pub fn defaults() -> Self {
        Self::load(&Environment::default(), &Flags::default()).expect("a test reads every default")
    }

    /// Reads and checks everything.
    ///
    /// # Errors
    /// `ConfigError` with every fault that was found.
    pub fn load(environment: &Environment, flags: &Flags) -> Result<Self, ConfigError> {
        let mut layers = vec![Layer::defaults()];
        if let Some(path) = Self::file(environment, flags) {
            layers.push(file_layer(&path)?);
        }
        for (variable, key, value) in environment.keys() {
            let origin = Origin::Environment(variable.to_owned());
            layers.push(Layer::text(origin, &key, value));
        }
        for (flag, key, value) in &flags.values {
            layers.push(Layer::text(Origin::Flag((*flag).to_owned()), key, value));
        }
        let mut reader = Reader::new(layers);
        let mut config = Self::read(&mut reader);
        if let Some(config) = &mut config
            && config.tls_certificate.is_some()
            && !reader.is_given("syslog_tls")
            && !config.listens_bound_by_tls()
        {
            config.syslog_tls = Some(SYSLOG_TLS_DEFAULT);
        }
        reader.finish(config)
    }

    /// The file that is read, if any.
    #[must_use]
    pub fn file(environment: &Environment, flags: &Flags) -> Option<PathBuf> {
        let named = || environment.value(environment::CONFIG_VARIABLE);
        flags.file.clone().or_else(|| named().map(PathBuf::from))
    }

    /// `node_bytes_max` with its 0 made the machine's default.
    #[must_use]
    pub fn node_bytes(&self) -> usize {
        match self.node_bytes_max {
            0 => memory::node_bytes_default(),
            bytes => bytes,
        }
    }

    fn listens_bound_by_tls(&self) -> bool {
        self.listener
            .iter()
            .any(|listener| listener.protocol == Protocol::Tls)
    }

    /// What no single key shows: keys that need or bound each other.
    fn conflicts(&self) -> Vec<Fault> {
        let syslog = ("tls_certificate", self.tls_certificate.is_some());
        let syslog_key = ("tls_key", self.tls_key.is_some());
        let http = ("http_tls_certificate", self.http_tls_certificate.is_some());
        let http_key = ("http_tls_key", self.http_tls_key.is_some());
        let needs = [
            (syslog, syslog_key),
            (syslog_key, syslog),
            (http, http_key),
            (http_key, http),
            (("syslog_tls", self.syslog_tls.is_some()), syslog),
            (("listener", self.listens_bound_by_tls()), syslog),
            (("tls_client_ca", self.tls_client_ca.is_some()), syslog),
        ];
        needs
            .into_iter()
            .filter(|((_, is_given), (_, is_met))| *is_given && !is_met)
            .map(|((key, _), (missing, _))| Fault::Lacks { key, missing })
            .chain(self.disorders())
            .collect()
    }

    fn disorders(&self) -> Vec<Fault> {
        let mut faults = Vec::new();
        if self.retry_delay_max < self.retry_delay_min {
            faults.push(Fault::OutOfOrder {
                lower: "retry_delay_min",
                lower_value: value::duration_text(self.retry_delay_min),
                upper: "retry_delay_max",
                upper_value: value::duration_text(self.retry_delay_max),
            });
        }
        let node_bytes = self.node_bytes_max;
        if node_bytes != 0 && node_bytes < self.channel_bytes_max {
            let text = |bytes| value::bytes_text(u64::try_from(bytes).unwrap_or(u64::MAX));
            faults.push(Fault::OutOfOrder {
                lower: "channel_bytes_max",
                lower_value: text(self.channel_bytes_max),
                upper: "node_bytes_max",
                upper_value: text(node_bytes),
            });
        }
        faults
    }
}

/// The reference file `config/logboom.toml`: every key with its default and its meaning.
#[must_use]
pub fn reference() -> String {
    let mut text = REFERENCE_HEAD.to_owned();
    let mut section = "";
    for key in KEYS {
        if section != key.section {
            section = key.section;
            text.push_str(&format!("\n## {section}\n"));
        }
        let (toml, unset) = match key.fallback {
            Fallback::Given(toml) => (toml, ""),
            Fallback::Unset(toml) => (toml, " Not set by default."),
        };
        let start = match key.effect {
            Effect::Running => "",
            Effect::Start => " [start]",
        };
        let (name, meaning, wanted) = (key.name, key.meaning, (key.wanted)());
        text.push_str(&format!(
            "\n# {meaning}{unset}{start}\n# Value: {wanted}\n#{name} = {toml}\n"
        ));
    }
    text.push_str(REFERENCE_FOOT);
    text
}

/// The time that `text` names, such as `250ms`, `30s`, `5m`; a bare number is seconds.
///
/// # Errors
/// `Problem` when it names none.
pub fn duration(text: &str) -> Result<Duration, Problem> {
    value::duration(text)
}

/// The size that `text` names, such as `65536`, `64KiB`, `1GiB`.
///
/// # Errors
/// `Problem` when it names none.
pub fn bytes(text: &str) -> Result<u64, Problem> {
    value::bytes(text)
}

/// A duration as the configuration writes it, such as `30s`.
#[must_use]
pub fn duration_text(duration: Duration) -> String {
    value::duration_text(duration)
}

fn file_layer(path: &Path) -> Result<Layer, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        ConfigError::new(vec![Fault::FileUnreadable {
            path: path.to_owned(),
            reason: error.to_string(),
        }])
    })?;
    let values: Dict = toml::from_str(&text).map_err(|error| {
        ConfigError::new(vec![Fault::FileSyntax {
            path: path.to_owned(),
            reason: syntax_fault(&text, &error),
        }])
    })?;
    Ok(Layer::new(Origin::File(path.to_owned()), values))
}

/// Line and cause. The error's own text repeats the line, and a secret in it would stand in the log.
fn syntax_fault(text: &str, error: &toml::de::Error) -> String {
    let before = error.span().and_then(|span| text.get(..span.start));
    let line = before.unwrap_or_default().matches('\n').count() + 1;
    format!("line {line}: {}", error.message())
}

/// Where syslog over TLS listens when only a certificate is named.
const SYSLOG_TLS_DEFAULT: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 6514);

const REFERENCE_HEAD: &str = "\
# Logboom's configuration: every key with its default.
#
# Remove the `#` in front of a key to change it. Each key can also be given in the environment, as
# LOGBOOM_ and the key in capitals (LOGBOOM_CHANNEL_BYTES_MAX=32MiB), and some as flags of
# `logboom serve`. The later wins: this file, then the environment, then flags.
#
# Sizes (_bytes_) are bytes, or text such as \"64KiB\", \"16MiB\", \"4GiB\"; times are seconds, or text
# such as \"500ms\", \"30s\", \"5m\", \"5h\", \"7d\". \"off\" unsets what may be unset. Lists are, in the
# environment, separated by commas; listeners are a JSON array there.
#
# SIGHUP reloads this file while the router runs. Keys marked [start] are heeded at the next start.
";

const REFERENCE_FOOT: &str = "
# A listener is best written as a table of its own, at the end of the file and in place of the key:
#[[listener]]
#protocol = \"udp\"             # \"tcp\", \"udp\" or \"tls\"
#address = \"127.0.0.1:5140\"
#token = \"t.00000000-0000-4000-8000-000000000000\"
";
