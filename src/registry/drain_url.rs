//! Where a drain sends.

use std::fmt;
use std::net::Ipv6Addr;
use std::ops::Range;
use std::sync::Arc;

use http::uri::PathAndQuery;
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};

use crate::limits::{HOST_BYTES_MAX, OPTION_BYTES_MAX};

/// How a drain speaks to its target.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Scheme {
    /// `POST` of batches in the clear.
    Http,
    /// `POST` of batches over TLS.
    Https,
    /// Octet-counted frames over TCP (RFC 6587).
    Syslog,
    /// Octet-counted frames over TLS (RFC 5425).
    SyslogTls,
    /// One datagram for each message (RFC 5426).
    SyslogUdp,
}

impl Scheme {
    /// Whether it speaks TLS.
    #[must_use]
    pub const fn has_tls(self) -> bool {
        matches!(self, Self::Https | Self::SyslogTls)
    }

    const fn is_http(self) -> bool {
        matches!(self, Self::Http | Self::Https)
    }

    const fn port_default(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
            Self::Syslog => 601,
            Self::SyslogTls => 6514,
            Self::SyslogUdp => 514,
        }
    }

    fn parse(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "http" => Some(Self::Http),
            "https" => Some(Self::Https),
            "syslog" | "tcpsyslog" | "syslog+tcp" => Some(Self::Syslog),
            "syslog+tls" => Some(Self::SyslogTls),
            "syslog+udp" | "udpsyslog" => Some(Self::SyslogUdp),
            _ => None,
        }
    }
}

/// A checked drain URL: `SCHEME://[USER[:PASSWORD]@]HOST[:PORT][PATH][?QUERY][#insecure]`.
///
/// The text is kept as it was given, but that a missing port of a syslog scheme is written out,
/// as Logplex did. May hold a password: `Debug` shows the redacted form. Clones are the same one.
#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct DrainUrl(Arc<Parts>);

#[derive(Eq, PartialEq)]
struct Parts {
    text: Box<str>,
    /// Path and query with the leading `/` that `text` lacks; `None` where it has one.
    path_made: Option<Box<str>>,
    /// Invariant: in bounds of `text`; the user and password without `@`, if there are.
    userinfo: Option<Span>,
    /// Invariant: in bounds of `text`; host and port as given, brackets included.
    authority: Span,
    /// Invariant: in bounds of `text`; without brackets.
    host: Span,
    port: u16,
    scheme: Scheme,
    is_insecure: bool,
}

/// Where in a URL's text, which is at most `OPTION_BYTES_MAX` bytes and a port, a part stands.
#[derive(Clone, Copy, Eq, PartialEq)]
struct Span {
    start: u32,
    end: u32,
}

impl Span {
    fn new(range: &Range<usize>) -> Self {
        let narrow = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Self {
            start: narrow(range.start),
            end: narrow(range.end),
        }
    }
}

impl DrainUrl {
    /// Checks `text` and makes it a drain URL; the default port of syslog schemes is added.
    ///
    /// # Errors
    /// `DrainUrlError` with the first fault found.
    pub fn parse(text: &str) -> Result<Self, DrainUrlError> {
        check_characters(text)?;
        let (scheme_text, rest) = text.split_once("://").ok_or(DrainUrlError::NoScheme)?;
        let scheme = Scheme::parse(scheme_text).ok_or_else(|| DrainUrlError::UnknownScheme {
            scheme: scheme_text.chars().take(32).collect(),
        })?;
        let (rest, fragment) = match rest.split_once('#') {
            Some((rest, fragment)) => (rest, Some(fragment)),
            None => (rest, None),
        };
        let is_insecure = check_fragment(scheme, fragment)?;
        let authority_bytes = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(authority_bytes).unwrap_or((rest, ""));
        let (userinfo, authority) = match authority.rsplit_once('@') {
            Some((userinfo, authority)) => (Some(userinfo), authority),
            None => (None, authority),
        };
        let (host, port_given) = split_authority(authority)?;
        let mut shown = String::with_capacity(text.len() + 6);
        shown.push_str(scheme_text);
        shown.push_str("://");
        let userinfo = userinfo.map(|userinfo| {
            let range = push(&mut shown, userinfo);
            shown.push('@');
            Span::new(&range)
        });
        let mut authority = push(&mut shown, authority);
        if port_given.is_none() && !scheme.is_http() {
            authority.end = push(&mut shown, &format!(":{}", scheme.port_default())).end;
        }
        push(&mut shown, path);
        if let Some(fragment) = fragment {
            shown.push('#');
            shown.push_str(fragment);
        }
        let bracket = usize::from(host.is_v6);
        let host_start = authority.start + bracket;
        Ok(Self(Arc::new(Parts {
            text: shown.into_boxed_str(),
            path_made: path_made(path)?,
            userinfo,
            host: Span::new(&(host_start..host_start + host.text.len())),
            authority: Span::new(&authority),
            port: port_given.unwrap_or_else(|| scheme.port_default()),
            scheme,
            is_insecure,
        })))
    }

    /// How to speak to the target.
    #[must_use]
    pub fn scheme(&self) -> Scheme {
        self.0.scheme
    }

    /// The host, without the brackets of an IPv6 address.
    #[must_use]
    pub fn host(&self) -> &str {
        self.part(self.0.host)
    }

    /// The port to connect to.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.0.port
    }

    /// The value of the `Host` header: host and port as given.
    #[must_use]
    pub fn authority(&self) -> &str {
        self.part(self.0.authority)
    }

    /// The request target: path and query, at least `/`.
    #[must_use]
    pub fn path_and_query(&self) -> &str {
        match &self.0.path_made {
            Some(path) => path,
            None => {
                let (path, _) = self.tail().split_once('#').unwrap_or((self.tail(), ""));
                path
            }
        }
    }

    /// What follows the authority.
    fn tail(&self) -> &str {
        let start = self.0.authority.end as usize;
        self.0.text.get(start..).unwrap_or_default()
    }

    /// User and password, percent-decoded; the password is empty when none is given.
    #[must_use]
    pub fn userinfo(&self) -> Option<(Vec<u8>, Vec<u8>)> {
        let text = self.part(self.0.userinfo?);
        let (user, password) = text.split_once(':').unwrap_or((text, ""));
        let decode = |part| percent_decode_str(part).collect();
        Some((decode(user), decode(password)))
    }

    /// Whether the target's certificate is taken as it comes (`#insecure`).
    #[must_use]
    pub fn is_insecure(&self) -> bool {
        self.0.is_insecure
    }

    /// The whole URL as the API shows it, with the password: for its owner, never for a log line.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0.text
    }

    /// The URL without user and password, for logs and notices; a query, which often holds a key,
    /// is left out too.
    #[must_use]
    pub fn redacted(&self) -> String {
        let (scheme, _) = self.0.text.split_once("://").unwrap_or_default();
        let tail = self.tail();
        let path_bytes = tail.find(['?', '#']).unwrap_or(tail.len());
        let path = tail.get(..path_bytes).unwrap_or_default();
        format!("{scheme}://{}{path}", self.authority())
    }

    /// Whether both send the same messages to the same place: spelling of scheme and host and
    /// default ports do not matter, nor does a syslog URL's path.
    #[must_use]
    pub fn is_same_target(&self, other: &Self) -> bool {
        fn userinfo(url: &DrainUrl) -> Option<&str> {
            url.0.userinfo.map(|span| url.part(span))
        }
        self.scheme() == other.scheme()
            && self.port() == other.port()
            && self.is_insecure() == other.is_insecure()
            && self.host().eq_ignore_ascii_case(other.host())
            && userinfo(self) == userinfo(other)
            && (!self.scheme().is_http() || self.path_and_query() == other.path_and_query())
    }

    fn part(&self, span: Span) -> &str {
        let range = span.start as usize..span.end as usize;
        self.0.text.get(range).unwrap_or_default()
    }
}

impl fmt::Debug for DrainUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.redacted())
    }
}

impl TryFrom<String> for DrainUrl {
    type Error = DrainUrlError;

    fn try_from(text: String) -> Result<Self, DrainUrlError> {
        Self::parse(&text)
    }
}

impl From<DrainUrl> for String {
    fn from(url: DrainUrl) -> Self {
        String::from(&*url.0.text)
    }
}

/// Why a text is no drain URL. Shows none of it that may be secret.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum DrainUrlError {
    /// Too long.
    #[error("the drain URL is {bytes} bytes long, at most {OPTION_BYTES_MAX} are allowed")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// A space, control character or one beyond ASCII.
    #[error("the drain URL holds the character {character:?}, which must be percent-encoded")]
    BadCharacter {
        /// The first such character.
        character: char,
    },
    /// It does not begin with a scheme.
    #[error("the drain URL has no scheme; it must begin with one of {SUPPORTED}")]
    NoScheme,
    /// A scheme that no drain speaks.
    #[error("unknown scheme {scheme:?}; a drain URL begins with one of {SUPPORTED}")]
    UnknownScheme {
        /// The scheme given, cut when long.
        scheme: String,
    },
    /// Nothing stands where the host must.
    #[error("the drain URL has no host")]
    NoHost,
    /// The host is no name and no address.
    #[error(
        "the drain URL's host is no host name, IPv4 address or IPv6 address in brackets of at most \
         {HOST_BYTES_MAX} characters"
    )]
    BadHost,
    /// The port is no number or out of range.
    #[error("the drain URL's port must be a number from 1 to 65535")]
    BadPort,
    /// The path or query holds what no request line can.
    #[error("the drain URL's path or query holds characters that must be percent-encoded")]
    BadPath,
    /// A fragment that means nothing here.
    #[error(
        "the drain URL ends in a fragment; only #insecure, on https:// and syslog+tls://, is known"
    )]
    BadFragment,
}

const SUPPORTED: &str = "http://, https://, syslog:// (also tcpsyslog://, syslog+tcp://), \
                         syslog+tls://, syslog+udp:// (also udpsyslog://)";

struct Host<'a> {
    /// Without brackets.
    text: &'a str,
    is_v6: bool,
}

fn check_characters(text: &str) -> Result<(), DrainUrlError> {
    if OPTION_BYTES_MAX < text.len() {
        return Err(DrainUrlError::TooLong { bytes: text.len() });
    }
    match text.chars().find(|c| !c.is_ascii_graphic()) {
        Some(character) => Err(DrainUrlError::BadCharacter { character }),
        None => Ok(()),
    }
}

fn check_fragment(scheme: Scheme, fragment: Option<&str>) -> Result<bool, DrainUrlError> {
    match fragment {
        None => Ok(false),
        Some("insecure") if scheme.has_tls() => Ok(true),
        Some(_) => Err(DrainUrlError::BadFragment),
    }
}

/// `HOST[:PORT]`, where an IPv6 address stands in brackets (RFC 3986, 3.2.2).
fn split_authority(authority: &str) -> Result<(Host<'_>, Option<u16>), DrainUrlError> {
    let (host, tail) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (text, tail) = rest.split_once(']').ok_or(DrainUrlError::BadHost)?;
            if text.parse::<Ipv6Addr>().is_err() {
                return Err(DrainUrlError::BadHost);
            }
            (Host { text, is_v6: true }, tail)
        }
        None => {
            let host_bytes = authority.find(':').unwrap_or(authority.len());
            let (text, tail) = authority
                .split_at_checked(host_bytes)
                .unwrap_or((authority, ""));
            check_host(text)?;
            (Host { text, is_v6: false }, tail)
        }
    };
    if tail.is_empty() {
        return Ok((host, None));
    }
    let digits = tail.strip_prefix(':').ok_or(DrainUrlError::BadHost)?;
    // `parse` alone would take a leading `+`.
    let port = Some(digits)
        .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|digits| digits.parse::<u16>().ok())
        .filter(|&port| port != 0)
        .ok_or(DrainUrlError::BadPort)?;
    Ok((host, Some(port)))
}

fn check_host(text: &str) -> Result<(), DrainUrlError> {
    if text.is_empty() {
        return Err(DrainUrlError::NoHost);
    }
    let is_right = text.len() <= HOST_BYTES_MAX
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
        && text
            .trim_end_matches('.')
            .split('.')
            .all(|label| !label.is_empty());
    if is_right {
        Ok(())
    } else {
        Err(DrainUrlError::BadHost)
    }
}

/// Path and query as they stand in a request line (RFC 9112, 3.2.1), where that is not as given.
fn path_made(path: &str) -> Result<Option<Box<str>>, DrainUrlError> {
    let made = (!path.starts_with('/')).then(|| format!("/{path}").into_boxed_str());
    match made.as_deref().unwrap_or(path).parse::<PathAndQuery>() {
        Ok(_) => Ok(made),
        Err(_) => Err(DrainUrlError::BadPath),
    }
}

/// Appends `part` and says where it stands now.
fn push(text: &mut String, part: &str) -> Range<usize> {
    let start = text.len();
    text.push_str(part);
    start..text.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// given, shown, scheme, host, port, authority, request target
    const ACCEPTED: &str = "\
http://h                        http://h                        Http h 80 h /
http://127.0.0.1:9/a            http://127.0.0.1:9/a            Http 127.0.0.1 9 127.0.0.1:9 /a
https://h.example/c?x=1&y=2     https://h.example/c?x=1&y=2     Https h.example 443 h.example /c?x=1&y=2
http://h?q                      http://h?q                      Http h 80 h /?q
HTTP://H:80/up                  HTTP://H:80/up                  Http H 80 H:80 /up
http://u:p@[::1]:9/             http://u:p@[::1]:9/             Http ::1 9 [::1]:9 /
https://h:9/#insecure           https://h:9/#insecure           Https h 9 h:9 /
syslog://h                      syslog://h:601                  Syslog h 601 h:601 /
syslog://h:9/path               syslog://h:9/path               Syslog h 9 h:9 /path
syslog://h/path                 syslog://h:601/path             Syslog h 601 h:601 /path
tcpsyslog://h                   tcpsyslog://h:601               Syslog h 601 h:601 /
syslog+tcp://h                  syslog+tcp://h:601              Syslog h 601 h:601 /
syslog+tls://h#insecure         syslog+tls://h:6514#insecure    SyslogTls h 6514 h:6514 /
syslog+tls://h:9/#insecure      syslog+tls://h:9/#insecure      SyslogTls h 9 h:9 /
syslog+udp://[fe80::1]          syslog+udp://[fe80::1]:514      SyslogUdp fe80::1 514 [fe80::1]:514 /
udpsyslog://h_1.                udpsyslog://h_1.:514            SyslogUdp h_1. 514 h_1.:514 /";

    #[test]
    fn urls_are_shown_as_given_but_for_the_syslog_port() {
        for row in ACCEPTED.lines() {
            let words: Vec<&str> = row.split_whitespace().collect();
            let url = DrainUrl::parse(words[0]).unwrap();
            let seen = [
                url.expose(),
                &format!("{:?}", url.scheme()),
                url.host(),
                &url.port().to_string(),
                url.authority(),
                url.path_and_query(),
            ];
            assert_eq!(seen, words[1..], "{row}");
            assert_eq!(url.is_insecure(), words[0].ends_with("#insecure"), "{row}");
            assert!(DrainUrl::parse(url.expose()).unwrap() == url, "{row}");
        }
    }

    #[test]
    fn what_is_no_drain_url_is_refused_with_its_reason() {
        let unknown = |scheme: &str| DrainUrlError::UnknownScheme {
            scheme: scheme.to_owned(),
        };
        let character = |character| DrainUrlError::BadCharacter { character };
        let table = [
            ("", DrainUrlError::NoScheme),
            ("127.0.0.1:9", DrainUrlError::NoScheme),
            ("http:/h", DrainUrlError::NoScheme),
            ("ftp://h/", unknown("ftp")),
            ("httpx://h/", unknown("httpx")),
            ("://h", unknown("")),
            ("http:///x", DrainUrlError::NoHost),
            ("http://", DrainUrlError::NoHost),
            ("http://:80", DrainUrlError::NoHost),
            ("http://u:p@", DrainUrlError::NoHost),
            ("http://ho st/", character(' ')),
            ("http://h/\n", character('\n')),
            ("http://h/é", character('é')),
            ("syslog://h:0", DrainUrlError::BadPort),
            ("syslog://h:70000", DrainUrlError::BadPort),
            ("syslog://h:", DrainUrlError::BadPort),
            ("syslog://h:+9", DrainUrlError::BadPort),
            ("syslog://h:9x", DrainUrlError::BadPort),
            ("http://::1/", DrainUrlError::NoHost),
            ("http://[::1/", DrainUrlError::BadHost),
            ("http://[::1]9/", DrainUrlError::BadHost),
            ("http://[h]/", DrainUrlError::BadHost),
            ("http://a..b/", DrainUrlError::BadHost),
            ("http://h%41/", DrainUrlError::BadHost),
            ("http://h/f#frag", DrainUrlError::BadFragment),
            ("http://h/#insecure", DrainUrlError::BadFragment),
            ("syslog://h#insecure", DrainUrlError::BadFragment),
            ("syslog+tls://h#Insecure", DrainUrlError::BadFragment),
        ];
        for (given, expected) in table {
            assert_eq!(DrainUrl::parse(given), Err(expected), "{given}");
        }
        let long = |bytes: usize| format!("http://h/{}", "x".repeat(bytes - "http://h/".len()));
        assert!(DrainUrl::parse(&long(OPTION_BYTES_MAX - 2)).is_ok());
        assert!(DrainUrl::parse(&long(OPTION_BYTES_MAX + 1)).is_err());
        assert!(unknown("ftp").to_string().contains("syslog+udp://"));
    }

    #[test]
    fn passwords_are_decoded_for_use_and_hidden_from_view() {
        let url = DrainUrl::parse("https://us%40er:p%3Aa%ff:s@h:9/p?key=s3#insecure").unwrap();
        let (user, password) = url.userinfo().unwrap();
        assert_eq!(user, b"us@er");
        assert_eq!(password, b"p:a\xff:s");
        assert_eq!(url.redacted(), "https://h:9/p");
        assert_eq!(format!("{url:?}"), "https://h:9/p");
        for (given, expected) in [
            ("http://h", None),
            ("http://u@h", Some(("u", ""))),
            ("http://:p@h", Some(("", "p"))),
            ("http://a@b@h", Some(("a@b", ""))),
        ] {
            let expected = expected.map(|(user, password)| (user.into(), password.into()));
            assert_eq!(
                DrainUrl::parse(given).unwrap().userinfo(),
                expected,
                "{given}"
            );
        }
    }

    #[test]
    fn one_target_has_several_spellings() {
        let table = [
            ("syslog://h", "syslog://h:601", true),
            ("syslog://h", "tcpsyslog://H/path", true),
            ("syslog+udp://h", "udpsyslog://h:514", true),
            ("http://h", "HTTP://h:80/", true),
            ("http://h/a", "http://h/A", false),
            ("http://h", "https://h:80", false),
            ("http://u:p@h", "http://h", false),
            ("syslog://h:1", "syslog://h:2", false),
            ("syslog+tls://h", "syslog+tls://h#insecure", false),
        ];
        for (one, other, expected) in table {
            let (one, other) = (
                DrainUrl::parse(one).unwrap(),
                DrainUrl::parse(other).unwrap(),
            );
            assert_eq!(one.is_same_target(&other), expected, "{one:?} {other:?}");
            assert_eq!(other.is_same_target(&one), expected, "{one:?} {other:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_refused_or_kept(text in "(https?|syslog(\\+tls|\\+udp)?)://[ -~]{0,40}|\\PC{0,40}") {
            if let Ok(url) = DrainUrl::parse(&text) {
                prop_assert!(!url.host().is_empty());
                prop_assert!(url.path_and_query().starts_with('/'));
                prop_assert!(url.authority().contains(url.host()));
                let again = DrainUrl::parse(url.expose()).unwrap();
                prop_assert!(again == url);
            }
        }
    }
}
