//! JSON bodies: read within bounds, taken apart with errors that name the field.

use std::time::Duration;

use axum::body::Body;
use axum::http::StatusCode;
use serde_json::Map;
use serde_json::Value;

use crate::api::error::ApiError;
use crate::id::Source;
use crate::limits::API_BODY_BYTES_MAX;
use crate::limits::TOKENS_PER_CHANNEL_MAX;

/// An object as it came in.
pub(crate) type Object = Map<String, Value>;

/// Reads `body`, which must hold a JSON object.
///
/// 400: no JSON, or no object. 408: too slow. 413: over `API_BODY_BYTES_MAX`.
pub(crate) async fn object(body: Body) -> Result<Object, ApiError> {
    let read = axum::body::to_bytes(body, API_BODY_BYTES_MAX);
    let bytes = match tokio::time::timeout(BODY_WAIT_MAX, read).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(_)) => {
            // Or the caller went away: then nobody reads this.
            return Err(ApiError::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("the body is longer than {API_BODY_BYTES_MAX} bytes"),
            ));
        }
        Err(_) => {
            return Err(ApiError::new(
                StatusCode::REQUEST_TIMEOUT,
                "the body did not come in time",
            ));
        }
    };
    parse(&bytes)
}

/// A body of an API request is a few lines; who needs longer is stuck.
const BODY_WAIT_MAX: Duration = Duration::from_secs(30);

/// Reads `bytes` as a JSON object.
pub(crate) fn parse(bytes: &[u8]) -> Result<Object, ApiError> {
    if bytes.is_empty() {
        return Err(ApiError::bad_request(
            "the body is empty, a JSON object is wanted",
        ));
    }
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(object)) => Ok(object),
        // Logplex's words.
        Ok(_) => Err(ApiError::bad_request("invalid payload")),
        Err(error) => Err(ApiError::bad_request(format!("invalid JSON: {error}"))),
    }
}

/// What kind of value stands there, for errors.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// The error of a field that holds something else than `wanted`.
pub(crate) fn wrong(name: &str, wanted: &str, found: &Value) -> ApiError {
    ApiError::unprocessable(format!("{name} must be {wanted}, not {}", kind(found)))
}

/// A string, if the field is there; `null` is not there.
pub(crate) fn text<'a>(object: &'a Object, name: &str) -> Result<Option<&'a str>, ApiError> {
    match object.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(wrong(name, "a string", other)),
    }
}

/// A boolean, if the field is there; `null` is not there.
pub(crate) fn flag(object: &Object, name: &str) -> Result<Option<bool>, ApiError> {
    match object.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(flag)) => Ok(Some(*flag)),
        Some(other) => Err(wrong(name, "true or false", other)),
    }
}

/// The strings of a list; none if the field is not there.
pub(crate) fn texts<'a>(object: &'a Object, name: &str) -> Result<Vec<&'a str>, ApiError> {
    match object.get(name) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(items)) => items
            .iter()
            .map(|item| match item {
                Value::String(text) => Ok(text.as_str()),
                other => Err(wrong(name, "a list of strings", other)),
            })
            .collect(),
        Some(other) => Err(wrong(name, "a list of strings", other)),
    }
}

/// The token names of `tokens`.
pub(crate) fn sources(object: &Object) -> Result<Vec<Source>, ApiError> {
    let names = texts(object, "tokens")?;
    if TOKENS_PER_CHANNEL_MAX < names.len() {
        return Err(ApiError::unprocessable(format!(
            "tokens holds {} names, at most {TOKENS_PER_CHANNEL_MAX} are allowed",
            names.len()
        )));
    }
    let sources: Result<_, _> = names.into_iter().map(Source::new).collect();
    Ok(sources?)
}

/// Refuses fields other than `allowed`.
pub(crate) fn only(object: &Object, allowed: &[&str]) -> Result<(), ApiError> {
    match object.keys().find(|key| !allowed.contains(&key.as_str())) {
        None => Ok(()),
        Some(key) => Err(ApiError::unprocessable(format!(
            "unknown field {key:?}; allowed are {}",
            allowed.join(", ")
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], expected: &str) {
        let text = match parse(bytes) {
            Ok(object) => format!("{object:?}"),
            Err(ApiError::Json { status, message }) => format!("{} {message}", status.as_u16()),
            Err(ApiError::Text { message, .. }) => message.to_owned(),
        };
        assert!(text.starts_with(expected), "{text:?} for {bytes:?}");
    }

    #[test]
    fn only_objects_are_bodies() {
        check(b"{}", "{}");
        check(b"", "400 the body is empty");
        check(b"{", "400 invalid JSON: ");
        check(b"[]", "400 invalid payload");
        check(b"\"x\"", "400 invalid payload");
        check(b"{} x", "400 invalid JSON: ");
        check(b"\xff", "400 invalid JSON: ");
        // Depth is bounded by serde_json, not by our stack.
        check(
            "[".repeat(100_000).as_bytes(),
            "400 invalid JSON: recursion",
        );
    }

    #[test]
    fn errors_name_the_field() {
        let object = parse(br#"{"tokens":[1],"name":5,"no_tail":"x"}"#).unwrap();
        let message = |error: ApiError| match error {
            ApiError::Json { status, message } => format!("{} {message}", status.as_u16()),
            ApiError::Text { .. } => unreachable!(),
        };
        assert_eq!(
            message(sources(&object).unwrap_err()),
            "422 tokens must be a list of strings, not a number"
        );
        assert_eq!(
            message(text(&object, "name").unwrap_err()),
            "422 name must be a string, not a number"
        );
        assert_eq!(
            message(flag(&object, "no_tail").unwrap_err()),
            "422 no_tail must be true or false, not a string"
        );
        assert_eq!(
            message(only(&object, &["tokens", "name"]).unwrap_err()),
            "422 unknown field \"no_tail\"; allowed are tokens, name"
        );
    }
}
