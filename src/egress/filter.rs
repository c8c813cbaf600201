//! Which messages a reader wants.

use crate::syslog::message::Message;

/// Which messages a reader wants: by source, by procid, by both, or all.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Filter {
    source: Option<Box<[u8]>>,
    ps: Option<Box<[u8]>>,
}

impl Filter {
    /// Wants messages whose source is exactly `source` and whose procid is `ps`. A `ps` without a
    /// dot, `web`, is a kind of process and wants `web` and every `web.*`; `web.1` wants only itself.
    #[must_use]
    pub fn new(source: Option<&str>, ps: Option<&str>) -> Self {
        let boxed = |text: &str| Box::from(text.as_bytes());
        Self {
            source: source.map(boxed),
            ps: ps.map(boxed),
        }
    }

    /// Whether the reader wants `message`.
    #[must_use]
    pub fn matches(&self, message: &Message<'_>) -> bool {
        self.source
            .as_deref()
            .is_none_or(|source| source == message.app_name)
            && self
                .ps
                .as_deref()
                .is_none_or(|ps| is_process(ps, message.procid))
    }

    /// Whether the reader wants everything.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.source.is_none() && self.ps.is_none()
    }
}

fn is_process(ps: &[u8], procid: &[u8]) -> bool {
    match procid.strip_prefix(ps) {
        Some([]) => true,
        Some([b'.', ..]) => !ps.contains(&b'.'),
        Some(_) | None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syslog::message::{Pri, Timestamp};

    fn check(filter: (Option<&str>, Option<&str>), message: (&str, &str), expected: bool) {
        let message_of = Message {
            pri: Pri::DEFAULT,
            is_truncated: false,
            timestamp: Timestamp::Given(b"-"),
            hostname: b"host",
            app_name: message.0.as_bytes(),
            procid: message.1.as_bytes(),
            msgid: b"-",
            sd: b"-",
            text: b"",
        };
        let matches = Filter::new(filter.0, filter.1).matches(&message_of);
        assert_eq!(matches, expected, "{filter:?} {message:?}");
    }

    #[test]
    fn filters_want_what_they_name() {
        check((None, None), ("app", "web.1"), true);
        check((Some("app"), None), ("app", "web.1"), true);
        check((Some("app"), None), ("heroku", "router"), false);
        check((Some("app"), None), ("app2", "web.1"), false);
        check((None, Some("web")), ("app", "web"), true);
        check((None, Some("web")), ("app", "web.1"), true);
        check((None, Some("web")), ("app", "web.12"), true);
        check((None, Some("web")), ("app", "webs.1"), false);
        check((None, Some("web")), ("app", "worker.1"), false);
        check((None, Some("web")), ("app", "we"), false);
        check((None, Some("web.1")), ("app", "web.1"), true);
        check((None, Some("web.1")), ("app", "web.12"), false);
        check((None, Some("web.1")), ("app", "web.1.2"), false);
        check((None, Some("web.1")), ("app", "web"), false);
        check((Some("app"), Some("web")), ("app", "web.1"), true);
        check((Some("app"), Some("web")), ("other", "web.1"), false);
    }

    #[test]
    fn a_filter_without_wishes_is_open() {
        assert!(Filter::new(None, None).is_open());
        assert!(!Filter::new(Some("app"), None).is_open());
        assert!(!Filter::new(None, Some("web")).is_open());
    }
}
