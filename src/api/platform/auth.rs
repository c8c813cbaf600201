//! Whose key it is: nothing else of a request is looked at before this is known.

use std::sync::Arc;

use axum::extract::Request;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::StatusCode;
use axum::http::header;
use axum::middleware::Next;
use axum::response::IntoResponse;
use axum::response::Response;

use crate::api::ApiState;
use crate::api::auth;
use crate::api::auth::Caller;
use crate::api::platform::error::Refusal;

/// Lets in whoever has a key, for whatever it is. Read-only mode is the door's: it refuses changes.
pub(crate) async fn guard(
    State(state): State<Arc<ApiState>>,
    mut request: Request,
    next: Next,
) -> Response {
    let caller = match caller(&state, request.headers()) {
        Ok(caller) => caller,
        Err(refusal) => return refusal.into_response(),
    };
    if let Some(cause) = state.refusal() {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        return Refusal::new(status, "service_unavailable", cause).into_response();
    }
    request.extensions_mut().insert(caller);
    next.run(request).await
}

fn caller(state: &ApiState, headers: &HeaderMap) -> Result<Caller, Refusal> {
    let Some(value) = headers.get(header::AUTHORIZATION) else {
        return Err(Refusal::unauthorized(NOTHING_GIVEN));
    };
    let known = value.to_str().ok().and_then(|value| known(state, value));
    known.ok_or_else(|| Refusal::unauthorized("Invalid credentials provided."))
}

const NOTHING_GIVEN: &str = "There were no credentials in your `Authorization` header. Try \
                             `Authorization: Bearer <key>` or `Authorization: Basic \
                             <base64-encoded user + \":\" + key>`.";

fn known(state: &ApiState, value: &str) -> Option<Caller> {
    let (scheme, given) = auth::scheme(value)?;
    if auth::is_auth_key(state, given) {
        return Some(Caller::AuthKey);
    }
    let keys = keys(scheme, given)?;
    let mut grants = keys.iter().filter_map(|key| {
        let (id, secret) = auth::pair(key)?;
        state.directory.authenticate(&id, &secret)
    });
    grants.next().map(Caller::Credential)
}

/// The keys that a header may hold. With Basic a key may be both halves, or the password of any
/// user, as a netrc has it.
fn keys(scheme: &str, given: &str) -> Option<Vec<String>> {
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(vec![given.to_owned()]);
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let both = auth::decoded(given)?;
    let password = both.split_once(':')?.1.to_owned();
    Some(vec![both, password])
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    #[test]
    fn a_key_is_found_wherever_clients_put_it() {
        let basic = |text: &str| STANDARD.encode(text);
        let table: [(&str, String, Option<&[&str]>); 7] = [
            ("Bearer", "id:secret".to_owned(), Some(&["id:secret"])),
            ("bearer", "id:secret".to_owned(), Some(&["id:secret"])),
            (
                "Basic",
                basic("me@example.com:id:secret"),
                Some(&["me@example.com:id:secret", "id:secret"]),
            ),
            (
                "BASIC",
                basic(":id:secret"),
                Some(&[":id:secret", "id:secret"]),
            ),
            ("Basic", basic("id:secret"), Some(&["id:secret", "secret"])),
            ("Basic", basic("nothing"), None),
            ("Digest", "id:secret".to_owned(), None),
        ];
        for (scheme, given, expected) in table {
            let found = keys(scheme, &given);
            let found: Option<Vec<&str>> = found
                .as_ref()
                .map(|keys| keys.iter().map(String::as_str).collect());
            assert_eq!(found.as_deref(), expected, "{scheme} {given}");
        }
    }
}
