//! What an `Authorization` header presents. Pure.

use base64::Engine;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};

use crate::id::Secret;
use crate::id::Token;

/// Who says to be sending; not yet checked against anything.
pub(crate) enum Presented {
    /// `Basic token:t.…` or `Bearer t.…`.
    Token(Token),
    /// `id:secret` of a credential.
    Credential(String, Secret),
}

impl Presented {
    /// Reads the header's value; `None` when it presents nothing that could be right.
    pub(crate) fn parse(value: &[u8]) -> Option<Self> {
        let value = std::str::from_utf8(value).ok()?.trim();
        let (scheme, rest) = value.split_once(' ')?;
        let rest = rest.trim_start();
        if scheme.eq_ignore_ascii_case("bearer") {
            return Token::new(rest)
                .map(Self::Token)
                .ok()
                .or_else(|| Self::pair(rest));
        }
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let decoded = String::from_utf8(BASE64.decode(rest).ok()?).ok()?;
        Self::pair(&decoded)
    }

    fn pair(text: &str) -> Option<Self> {
        let (id, secret) = text.split_once(':')?;
        match Token::new(secret) {
            Ok(token) if id == "token" => Some(Self::Token(token)),
            _ => Some(Self::Credential(id.to_owned(), Secret::new(secret))),
        }
    }
}

/// With or without padding: some senders leave it off.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(value: &str) -> Option<String> {
        Presented::parse(value.as_bytes()).map(|presented| match presented {
            Presented::Token(token) => token.expose().to_owned(),
            Presented::Credential(id, secret) => format!("{id}/{}", secret.expose()),
        })
    }

    fn basic(pair: &str) -> String {
        format!("Basic {}", BASE64.encode(pair))
    }

    #[test]
    fn tokens_and_credentials_are_told_apart() {
        for (value, expected) in [
            (basic("token:t.abc"), Some("t.abc")),
            (basic("token:abc"), Some("token/abc")),
            (basic("local:pass:word"), Some("local/pass:word")),
            (basic("local:t.abc"), Some("local/t.abc")),
            (basic("abc"), None),
            ("Bearer t.abc".to_owned(), Some("t.abc")),
            ("bearer  t.abc ".to_owned(), Some("t.abc")),
            ("Bearer id:secret".to_owned(), Some("id/secret")),
            ("Bearer x".to_owned(), None),
            (
                "basic bG9jYWw6cGFzc3dvcmQ=".to_owned(),
                Some("local/password"),
            ),
            (
                "Basic bG9jYWw6cGFzc3dvcmQ".to_owned(),
                Some("local/password"),
            ),
            ("Basic !!!".to_owned(), None),
            ("Digest x".to_owned(), None),
            ("Basic".to_owned(), None),
            (String::new(), None),
        ] {
            assert_eq!(shown(&value).as_deref(), expected, "{value:?}");
        }
    }
}
