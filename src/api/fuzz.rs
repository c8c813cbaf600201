//! Fuzz target: the JSON bodies of the API, as every request that has one reads it.

use axum::response::IntoResponse;
use serde_json::Value;

use crate::api::body;
use crate::api::body::Object;
use crate::api::channels;
use crate::api::credentials;
use crate::api::drains;
use crate::api::error::ApiError;
use crate::api::legacy;
use crate::api::sessions;
use crate::filter::Filter;
use crate::limits::FIELD_BYTES_MAX;
use crate::limits::SESSION_LINES_MAX;
use crate::limits::TOKENS_PER_CHANNEL_MAX;
use crate::registry::DrainOptions;
use crate::registry::DrainUrl;

/// Fuzz target: `bytes` are a body. Each request reads it or refuses it as the caller's fault, and
/// what was read is within its bounds and comes back from its own text.
pub fn fuzz_api_body(bytes: &[u8]) {
    let Some(object) = good(body::parse(bytes)) else {
        return;
    };
    if let Some(session) = good(sessions::wanted_v3(&object)) {
        assert!(session.lines <= SESSION_LINES_MAX);
        for filter in [session.source, session.ps].into_iter().flatten() {
            assert!((1..=FIELD_BYTES_MAX).contains(&filter.len()));
        }
        let filter = session.filter.as_deref();
        assert!(filter.is_none_or(|filter| Filter::parse(filter).is_ok()));
    }
    if let Some(sources) = good(body::sources(&object)) {
        assert!(sources.len() <= TOKENS_PER_CHANNEL_MAX);
    }
    for permission in good(credentials::permissions(&object)).unwrap_or_default() {
        let text = permission.to_string();
        assert!(crate::registry::Permission::parse(&text) == Some(permission));
    }
    good(channels::patch_of(&object));
    if let Some(url) = good(legacy::destination(&object)) {
        check_url(&url);
    }
    let drain = drains::wanted(object, &DrainOptions::default());
    if let Some((url, options)) = good(drain) {
        check_drain(url.as_ref(), options.as_ref());
    }
}

/// What was read; a refusal must be the caller's fault, and must make an answer.
fn good<T>(read: Result<T, ApiError>) -> Option<T> {
    read.map_err(|error| {
        let status = error.into_response().status();
        assert!(status.is_client_error(), "{status}");
    })
    .ok()
}

fn check_url(url: &DrainUrl) {
    let again = DrainUrl::parse(url.expose()).expect("what is shown can be given");
    assert!(again == *url && url.is_same_target(&again));
    assert!(!url.host().is_empty() && url.path_and_query().starts_with('/'));
    assert!(url.redacted().contains(url.authority()));
    if let Some((user, password)) = url.userinfo() {
        assert!(user.len() + password.len() < url.expose().len());
    }
}

fn check_drain(url: Option<&DrainUrl>, options: Option<&DrainOptions>) {
    if let Some(url) = url {
        check_url(url);
    }
    let Some(options) = options else { return };
    let is_right = match url {
        Some(url) => options.check(url).is_ok(),
        None => options.check_alone().is_ok(),
    };
    let Ok(Value::Object(shown)) = serde_json::to_value(options) else {
        panic!("options are an object");
    };
    let again = drains::options(Object::from_iter(shown), &DrainOptions::default());
    assert!(
        !is_right || again.is_ok_and(|again| again.as_ref() == Some(options)),
        "what is shown can be given"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::any;
    use proptest::prelude::prop;
    use proptest::proptest;

    proptest! {
        #[test]
        fn any_body_is_read_or_refused(
            fields in prop::collection::vec(
                "\"(url|num|tail|source|ps|filter|tokens|permissions|headers|host|port|when_full)\":\
                 (null|true|-?[0-9]{1,3}|\"[a-z:/@.#]{0,9}\"|\"https://[a-z:/@.#]{0,9}\"|\\[\"x\"\\]|\\{\"a\":\"b\"\\})",
                0..5,
            ),
            junk in prop::collection::vec(any::<u8>(), 0..2),
        ) {
            let mut text = format!("{{{}}}", fields.join(",")).into_bytes();
            text.extend(junk);
            fuzz_api_body(&text);
        }
    }
}
