//! What kinds of values keys take: how each is read, and what an error says would be right.
//!
//! A value comes from TOML with its type, or from the environment and flags as text; both forms
//! are read alike, so that `"10"` and `10` are one number.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use figment::value::Value;
use url::Url;

use crate::config::value::Problem;
use crate::config::value::bytes;
use crate::config::value::bytes_text;
use crate::config::value::duration;
use crate::config::value::duration_text;
use crate::id::ChannelId;
use crate::id::CredentialId;
use crate::id::Secret;
use crate::id::Source;
use crate::id::Token;

/// How the values of some keys are read.
pub(crate) trait Kind {
    /// What is read.
    type Output;

    /// Reads `value`.
    fn read(&self, value: &Value) -> Result<Self::Output, Problem>;

    /// What would be right, for an error: "a size from 1KiB to 128KiB, such as …".
    fn wanted(&self) -> String;
}

/// A size in bytes between two bounds, both allowed.
pub(crate) struct Bytes(pub(crate) usize, pub(crate) usize);

impl Kind for Bytes {
    type Output = usize;

    fn read(&self, value: &Value) -> Result<usize, Problem> {
        let found = match unsigned(value) {
            Some(number) => number?,
            None => bytes(text(value)?)?,
        };
        let (min, max) = (to_u64(self.0), to_u64(self.1));
        within(found, min, max, bytes_text)?;
        usize::try_from(found).map_err(|_| Problem::TooGreat(bytes_text(max)))
    }

    fn wanted(&self) -> String {
        let (min, max) = (bytes_text(to_u64(self.0)), bytes_text(to_u64(self.1)));
        format!("a size from {min} to {max}, in bytes or such as \"16MiB\"")
    }
}

/// A whole number between two bounds, both allowed.
pub(crate) struct Count(pub(crate) u64, pub(crate) u64);

impl Kind for Count {
    type Output = u64;

    fn read(&self, value: &Value) -> Result<u64, Problem> {
        let found = match unsigned(value) {
            Some(number) => number?,
            None => text(value)?
                .trim()
                .replace('_', "")
                .parse()
                .map_err(|_| Problem::NotANumber)?,
        };
        within(found, self.0, self.1, |bound| bound.to_string())?;
        Ok(found)
    }

    fn wanted(&self) -> String {
        format!("a whole number from {} to {}", self.0, self.1)
    }
}

/// A time between two bounds in milliseconds, both allowed. A bare number is seconds.
pub(crate) struct Span(pub(crate) u64, pub(crate) u64);

impl Kind for Span {
    type Output = Duration;

    fn read(&self, value: &Value) -> Result<Duration, Problem> {
        let found = match unsigned(value) {
            Some(number) => Duration::from_secs(number?),
            None => duration(text(value)?)?,
        };
        let ms = u64::try_from(found.as_millis()).unwrap_or(u64::MAX);
        within(ms, self.0, self.1, |ms| {
            duration_text(Duration::from_millis(ms))
        })?;
        Ok(found)
    }

    fn wanted(&self) -> String {
        let [min, max] = [self.0, self.1].map(|ms| duration_text(Duration::from_millis(ms)));
        format!("a time from {min} to {max}, in seconds or such as \"500ms\", \"30s\", \"5m\"")
    }
}

/// Yes or no.
pub(crate) struct Flag;

impl Kind for Flag {
    type Output = bool;

    fn read(&self, value: &Value) -> Result<bool, Problem> {
        if let Value::Bool(_, flag) = value {
            return Ok(*flag);
        }
        match text(value)? {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(Problem::UnknownWord),
        }
    }

    fn wanted(&self) -> String {
        "true or false".to_owned()
    }
}

/// One of some words, each with what it stands for.
pub(crate) struct Choice<T: 'static>(pub(crate) &'static [(&'static str, T)]);

impl<T: Copy> Kind for Choice<T> {
    type Output = T;

    fn read(&self, value: &Value) -> Result<T, Problem> {
        let word = text(value)?;
        self.0
            .iter()
            .find(|(name, _)| *name == word)
            .map(|(_, meaning)| *meaning)
            .ok_or(Problem::UnknownWord)
    }

    fn wanted(&self) -> String {
        let words: Vec<String> = self.0.iter().map(|(name, _)| format!("{name:?}")).collect();
        words.join(" or ")
    }
}

/// Where to listen.
pub(crate) struct Address;

impl Kind for Address {
    type Output = SocketAddr;

    fn read(&self, value: &Value) -> Result<SocketAddr, Problem> {
        let given = text(value)?;
        given
            .strip_prefix("localhost:")
            .map_or_else(|| given.to_owned(), |port| format!("127.0.0.1:{port}"))
            .parse()
            .map_err(|_| Problem::NotAnAddress)
    }

    fn wanted(&self) -> String {
        "an IP address with a port, such as \"127.0.0.1:8601\", \"0.0.0.0:8601\" or \"[::]:8601\""
            .to_owned()
    }
}

/// Where a file or folder is.
pub(crate) struct Place;

impl Kind for Place {
    type Output = PathBuf;

    fn read(&self, value: &Value) -> Result<PathBuf, Problem> {
        Ok(PathBuf::from(filled(value)?))
    }

    fn wanted(&self) -> String {
        "a path".to_owned()
    }
}

/// An origin that clients are told: `http` or `https`, without query and fragment.
pub(crate) struct Origin;

impl Kind for Origin {
    type Output = Url;

    fn read(&self, value: &Value) -> Result<Url, Problem> {
        let url = Url::parse(filled(value)?).map_err(|_| Problem::NotAUrl)?;
        let is_origin = matches!(url.scheme(), "http" | "https")
            && url.host_str().is_some()
            && url.query().is_none()
            && url.fragment().is_none();
        if is_origin {
            Ok(url)
        } else {
            Err(Problem::NotAUrl)
        }
    }

    fn wanted(&self) -> String {
        "a URL such as \"https://logs.example.com\"".to_owned()
    }
}

/// Directives for the router's own log.
pub(crate) struct LogFilter;

impl Kind for LogFilter {
    type Output = String;

    fn read(&self, value: &Value) -> Result<String, Problem> {
        let directives = filled(value)?;
        match tracing_subscriber::EnvFilter::try_new(directives) {
            Ok(_) => Ok(directives.to_owned()),
            Err(_) => Err(Problem::UnknownWord),
        }
    }

    fn wanted(&self) -> String {
        "\"error\", \"warn\", \"info\", \"debug\" or \"trace\", or directives such as \
         \"info,logboom::egress=debug\""
            .to_owned()
    }
}

/// A secret of which nothing is known.
pub(crate) struct Hidden;

impl Kind for Hidden {
    type Output = HiddenText;

    fn read(&self, value: &Value) -> Result<HiddenText, Problem> {
        Ok(HiddenText(std::sync::Arc::new(Secret::new(filled(value)?))))
    }

    fn wanted(&self) -> String {
        "a secret text".to_owned()
    }
}

/// A shared secret of the configuration. Has no `Debug`.
#[derive(Clone, PartialEq)]
pub struct HiddenText(std::sync::Arc<Secret>);

impl HiddenText {
    /// The secret itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

/// `ID:SECRET`.
pub(crate) struct Account;

impl Kind for Account {
    type Output = Credential;

    fn read(&self, value: &Value) -> Result<Credential, Problem> {
        Credential::parse(text(value)?)
    }

    fn wanted(&self) -> String {
        "ID:SECRET, where ID has at most 48 visible ASCII characters".to_owned()
    }
}

/// Id and secret of a credential. Has no `Debug`.
#[derive(Clone, PartialEq)]
pub struct Credential {
    id: CredentialId,
    secret: HiddenText,
}

impl Credential {
    /// Reads `ID:SECRET`; the secret may hold further colons.
    ///
    /// # Errors
    /// `Problem` when a half is missing or the id breaks its rules.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let (id, secret) = text.trim().split_once(':').ok_or(Problem::NotACredential)?;
        if secret.is_empty() {
            return Err(Problem::NotACredential);
        }
        Ok(Self {
            id: CredentialId::new(id)?,
            secret: HiddenText(std::sync::Arc::new(Secret::new(secret))),
        })
    }

    /// The public half.
    #[must_use]
    pub fn id(&self) -> &CredentialId {
        &self.id
    }

    /// The secret half.
    #[must_use]
    pub fn expose_secret(&self) -> &str {
        self.secret.expose()
    }
}

/// A channel's id.
pub(crate) struct Channel;

impl Kind for Channel {
    type Output = ChannelId;

    fn read(&self, value: &Value) -> Result<ChannelId, Problem> {
        Ok(ChannelId::new(text(value)?)?)
    }

    fn wanted(&self) -> String {
        "a channel id".to_owned()
    }
}

/// A token's public name.
pub(crate) struct SourceName;

impl Kind for SourceName {
    type Output = Source;

    fn read(&self, value: &Value) -> Result<Source, Problem> {
        Ok(Source::new(text(value)?)?)
    }

    fn wanted(&self) -> String {
        "a token's name, such as \"heroku\"".to_owned()
    }
}

/// A token.
pub(crate) struct AToken;

impl Kind for AToken {
    type Output = Token;

    fn read(&self, value: &Value) -> Result<Token, Problem> {
        Ok(Token::new(text(value)?)?)
    }

    fn wanted(&self) -> String {
        "a token, \"t.…\"".to_owned()
    }
}

/// A key that may be left out; `"off"` says so where a default stands.
pub(crate) struct Maybe<K>(pub(crate) K);

impl<K: Kind> Kind for Maybe<K> {
    type Output = Option<K::Output>;

    fn read(&self, value: &Value) -> Result<Self::Output, Problem> {
        match value.as_str() {
            Some("off") => Ok(None),
            _ => self.0.read(value).map(Some),
        }
    }

    fn wanted(&self) -> String {
        format!("{}, or \"off\"", self.0.wanted())
    }
}

/// A list; as text, its elements are separated by commas.
pub(crate) struct ListOf<K>(pub(crate) K);

impl<K: Kind> Kind for ListOf<K> {
    type Output = Vec<K::Output>;

    fn read(&self, value: &Value) -> Result<Self::Output, Problem> {
        let elements: Vec<Value> = match value {
            Value::Array(_, elements) => elements.clone(),
            Value::String(_, list) if list.trim().is_empty() => Vec::new(),
            Value::String(_, list) => list.split(',').map(|e| Value::from(e.trim())).collect(),
            other => return Err(Problem::WrongType(type_name(other))),
        };
        let read = |(index, element)| {
            self.0.read(element).map_err(|problem| Problem::InElement {
                index,
                problem: Box::new(problem),
            })
        };
        elements.iter().enumerate().map(read).collect()
    }

    fn wanted(&self) -> String {
        format!("a list, each element {}", self.0.wanted())
    }
}

/// The text of a string value.
pub(crate) fn text(value: &Value) -> Result<&str, Problem> {
    value
        .as_str()
        .ok_or_else(|| Problem::WrongType(type_name(value)))
}

fn filled(value: &Value) -> Result<&str, Problem> {
    match text(value)? {
        "" => Err(Problem::Empty),
        given => Ok(given),
    }
}

/// The number of a numeric value; `None` when it is no number at all.
fn unsigned(value: &Value) -> Option<Result<u64, Problem>> {
    let Value::Num(_, number) = value else {
        return None;
    };
    // TOML's whole numbers are signed, the environment's are not.
    let signed = || u64::try_from(number.to_i128()?).ok();
    let found = number
        .to_u128()
        .and_then(|wide| u64::try_from(wide).ok())
        .or_else(signed);
    Some(found.ok_or(Problem::NotANumber))
}

fn within(found: u64, min: u64, max: u64, show: impl Fn(u64) -> String) -> Result<(), Problem> {
    if found < min {
        return Err(Problem::TooSmall(show(min)));
    }
    if max < found {
        return Err(Problem::TooGreat(show(max)));
    }
    Ok(())
}

fn to_u64(size: usize) -> u64 {
    u64::try_from(size).unwrap_or(u64::MAX)
}

pub(crate) const fn type_name(value: &Value) -> &'static str {
    match value {
        Value::String(..) | Value::Char(..) => "text",
        Value::Bool(..) => "true or false",
        Value::Num(..) => "a number",
        Value::Empty(..) => "nothing",
        Value::Dict(..) => "a table",
        Value::Array(..) => "a list",
    }
}
