//! What receivers that many people run need of a drain, under their names.

use crate::registry::drain_options::{
    Compression, DrainOptions, Format, Newlines, Timestamps, Utf8,
};
use crate::registry::drain_url::{DrainUrl, Scheme};

/// A receiver whose needs are known.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Preset {
    /// Datadog's HTTP intake.
    Datadog,
    /// Promtail's or Alloy's `heroku_drain` over HTTP, its syslog receiver else.
    Loki,
    /// Papertrail's syslog.
    Papertrail,
    /// rsyslog's `imtcp`, `imptcp` or `imudp`.
    Rsyslog,
    /// Splunk's HTTP Event Collector (raw), or a TCP or UDP input.
    Splunk,
    /// syslog-ng's `syslog()`.
    SyslogNg,
    /// Vector's `heroku_logs` over HTTP, its `syslog` source else.
    Vector,
}

/// Why a preset was refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PresetError {
    /// None of this name.
    #[error("preset {given:?} is unknown; known are {}", Preset::names().join(", "))]
    Unknown {
        /// What was given.
        given: String,
    },
    /// The receiver speaks other protocols.
    #[error("preset {} needs {wanted} drain", preset.name())]
    WrongScheme {
        /// The preset.
        preset: Preset,
        /// Which drains it is for.
        wanted: &'static str,
    },
    /// What is needed depends on the protocol.
    #[error("a preset needs the drain's url, given with it or before")]
    NoUrl,
}

impl Preset {
    /// All, in the order of their names.
    pub const ALL: [Self; 7] = [
        Self::Datadog,
        Self::Loki,
        Self::Papertrail,
        Self::Rsyslog,
        Self::Splunk,
        Self::SyslogNg,
        Self::Vector,
    ];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Datadog => "datadog",
            Self::Loki => "loki",
            Self::Papertrail => "papertrail",
            Self::Rsyslog => "rsyslog",
            Self::Splunk => "splunk",
            Self::SyslogNg => "syslog-ng",
            Self::Vector => "vector",
        }
    }

    /// The names of all.
    #[must_use]
    pub fn names() -> [&'static str; Self::ALL.len()] {
        Self::ALL.map(Self::name)
    }

    /// The preset of that name.
    ///
    /// # Errors
    /// There is none.
    pub fn parse(name: &str) -> Result<Self, PresetError> {
        let found = Self::ALL.into_iter().find(|preset| preset.name() == name);
        found.ok_or_else(|| PresetError::Unknown {
            given: name.to_owned(),
        })
    }

    /// Sets all that presets are about to what this receiver needs of a drain to `url`; the other
    /// options stay.
    ///
    /// # Errors
    /// The receiver has nothing that such a drain could send to, or there is no URL yet.
    pub fn apply(
        self,
        url: Option<&DrainUrl>,
        options: &mut DrainOptions,
    ) -> Result<(), PresetError> {
        let scheme = url.ok_or(PresetError::NoUrl)?.scheme();
        let needs = match scheme {
            Scheme::Http | Scheme::Https => self.over_http()?,
            _ => self.over_syslog()?,
        };
        options.format = needs.format;
        options.compression = needs.compression;
        options.newlines = needs.newlines;
        options.utf8 = needs.utf8;
        options.timestamp = needs.timestamp;
        options.frame_bytes_max = needs.frame_bytes_max;
        Ok(())
    }

    fn over_http(self) -> Result<Needs, PresetError> {
        let needs = match self {
            // Reads the frames by their counts and makes JSON of them; asks for packed bodies.
            Self::Datadog => Needs {
                compression: Compression::Gzip,
                utf8: Utf8::Replace,
                ..Needs::default()
            },
            // Its scanner holds 10,240 bytes of count and frame, and refuses what has no time.
            Self::Loki => Needs {
                utf8: Utf8::Replace,
                timestamp: Timestamps::Normalize,
                frame_bytes_max: Some(10_240 - "10234 ".len()),
                ..Needs::default()
            },
            // An event is a line, count and all; from 10,000 bytes on it is cut (`TRUNCATE`).
            Self::Splunk => Needs {
                frame_bytes_max: Some(SPLUNK_LINE_BYTES_MAX - "9994 ".len()),
                ..Needs::lines()
            },
            // Counts the lines that are UTF-8 and not empty, and refuses all if one is missing.
            Self::Vector => Needs {
                compression: Compression::Gzip,
                ..Needs::lines()
            },
            Self::Papertrail | Self::Rsyslog | Self::SyslogNg => {
                return Err(self.wrong("a syslog://, syslog+tls:// or syslog+udp://"));
            }
        };
        Ok(needs)
    }

    fn over_syslog(self) -> Result<Needs, PresetError> {
        let needs = match self {
            Self::Datadog => return Err(self.wrong("an http:// or https://")),
            // `max_message_length` is 8 KiB.
            Self::Loki => Needs {
                utf8: Utf8::Replace,
                timestamp: Timestamps::Normalize,
                frame_bytes_max: Some(8 * 1024),
                ..Needs::rfc5424()
            },
            // Knows Logplex's drains, and tells them by the token in HOSTNAME.
            Self::Papertrail => Needs::lines(),
            // `maxMessageSize` is 8k, which there is 8,096; line ends are escaped there.
            Self::Rsyslog => Needs {
                frame_bytes_max: Some(8_096),
                ..Needs::rfc5424()
            },
            Self::Splunk => Needs {
                format: Format::Rfc5424,
                frame_bytes_max: Some(SPLUNK_LINE_BYTES_MAX - "9994 ".len()),
                ..Needs::lines()
            },
            // `log-msg-size()` is 64 KiB.
            Self::SyslogNg => Needs {
                frame_bytes_max: Some(64 * 1024),
                ..Needs::rfc5424()
            },
            // `max_length` is 100 KiB.
            Self::Vector => Needs {
                utf8: Utf8::Replace,
                frame_bytes_max: Some(100 * 1024),
                ..Needs::rfc5424()
            },
        };
        Ok(needs)
    }

    const fn wrong(self, wanted: &'static str) -> PresetError {
        PresetError::WrongScheme {
            preset: self,
            wanted,
        }
    }
}

/// What presets are about.
#[derive(Default)]
struct Needs {
    format: Format,
    compression: Compression,
    newlines: Newlines,
    utf8: Utf8,
    timestamp: Timestamps,
    frame_bytes_max: Option<usize>,
}

impl Needs {
    /// Frames that are lines of text.
    fn lines() -> Self {
        Self {
            newlines: Newlines::Escape,
            utf8: Utf8::Replace,
            ..Self::default()
        }
    }

    fn rfc5424() -> Self {
        Self {
            format: Format::Rfc5424,
            ..Self::default()
        }
    }
}

const SPLUNK_LINE_BYTES_MAX: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_fit_what_they_are_for() {
        let schemes = ["http", "https", "syslog", "syslog+tls", "syslog+udp"];
        for preset in Preset::ALL {
            assert_eq!(Preset::parse(preset.name()), Ok(preset));
            let fitting = schemes.map(|scheme| {
                let url = DrainUrl::parse(&format!("{scheme}://h/")).unwrap();
                let mut options = DrainOptions {
                    ps: Some("web".to_owned()),
                    timestamp: Timestamps::Normalize,
                    ..DrainOptions::default()
                };
                let applied = preset.apply(Some(&url), &mut options);
                if applied.is_ok() {
                    assert_eq!(options.check(&url), Ok(()), "{preset:?} {scheme}");
                    assert_eq!(options.ps.as_deref(), Some("web"));
                }
                let needs_time = preset == Preset::Loki;
                let has_time = options.timestamp == Timestamps::Normalize;
                assert!(applied.is_err() || needs_time == has_time, "{preset:?}");
                applied.is_ok()
            });
            let [http, https, rest @ ..] = fitting;
            assert!(http == https && rest == [rest[0]; 3]);
            assert!(http || rest[0], "{preset:?} is for something");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        let error = Preset::parse("vektor").unwrap_err().to_string();
        assert_eq!(
            error,
            "preset \"vektor\" is unknown; known are datadog, loki, papertrail, rsyslog, splunk, \
             syslog-ng, vector"
        );
        let mut options = DrainOptions::default();
        let url = DrainUrl::parse("https://h/").unwrap();
        let mut refused = |preset: Preset, url: Option<&DrainUrl>| {
            preset.apply(url, &mut options).unwrap_err().to_string()
        };
        assert_eq!(
            refused(Preset::SyslogNg, Some(&url)),
            "preset syslog-ng needs a syslog://, syslog+tls:// or syslog+udp:// drain"
        );
        assert_eq!(
            refused(Preset::Vector, None),
            "a preset needs the drain's url, given with it or before"
        );
    }
}
