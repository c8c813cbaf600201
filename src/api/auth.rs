//! Who asks: nothing else of a request is looked at before this is known.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::Request;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::HeaderValue;
use axum::http::Method;
use axum::http::StatusCode;
use axum::http::header;
use axum::middleware::Next;
use axum::response::IntoResponse;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;

use crate::api::ApiState;
use crate::api::error::ApiError;
use crate::api::error::READ_ONLY;
use crate::control::Mode;
use crate::id::ChannelId;
use crate::id::CredentialId;
use crate::id::Secret;
use crate::registry::ChannelEntry;
use crate::registry::Grant;
use crate::registry::Permission;
use crate::registry::Role;

/// Who asks.
#[derive(Clone)]
pub(crate) enum Caller {
    /// The bearer of the auth key, who may use the whole API.
    AuthKey,
    /// The bearer of a credential.
    Credential(Grant),
}

impl Caller {
    /// The credential, if it is one.
    pub(crate) const fn credential(&self) -> Option<&CredentialId> {
        match self {
            Self::AuthKey => None,
            Self::Credential(grant) => Some(&grant.id),
        }
    }

    /// Whether it may use the whole API.
    pub(crate) fn has_full_api(&self) -> bool {
        match self {
            Self::AuthKey => true,
            Self::Credential(grant) => grant.has_full_api(),
        }
    }

    /// The apps that it is for, in order of their ids; `None` is all.
    pub(crate) fn apps(&self) -> Option<BTreeSet<&ChannelId>> {
        match self {
            Self::Credential(grant) if !grant.has_full_api() => {
                let roles = grant.permissions.iter().filter_map(Permission::role);
                Some(roles.filter_map(|(_, app)| app).collect())
            }
            _ => None,
        }
    }

    /// The role it has in the app of `channel`, if any.
    pub(crate) fn role_in(&self, channel: &ChannelEntry) -> Option<Role> {
        match self {
            Self::AuthKey => Some(Role::Admin),
            Self::Credential(grant) => grant.role_in(channel),
        }
    }
}

/// Legacy and v2.
pub(crate) async fn guard_legacy(
    State(state): State<Arc<ApiState>>,
    request: Request,
    next: Next,
) -> Response {
    guard(&state, Face::Legacy, request, next).await
}

/// Legacy and v2 where read-only mode does not matter.
pub(crate) async fn guard_legacy_reads(
    State(state): State<Arc<ApiState>>,
    request: Request,
    next: Next,
) -> Response {
    guard(&state, Face::LegacyReads, request, next).await
}

/// v3.
pub(crate) async fn guard_v3(
    State(state): State<Arc<ApiState>>,
    request: Request,
    next: Next,
) -> Response {
    guard(&state, Face::V3, request, next).await
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Face {
    Legacy,
    LegacyReads,
    V3,
}

async fn guard(state: &ApiState, face: Face, mut request: Request, next: Next) -> Response {
    let found = caller(state, request.headers());
    let Some(caller) = found.filter(|caller| may_ask(state, face, caller, request.uri().path()))
    else {
        return unauthorized(face);
    };
    if let Err(refused) = is_open(state, face, request.method()) {
        return refused.into_response();
    }
    request.extensions_mut().insert(caller);
    next.run(request).await
}

/// Whether `caller` may ask for `path`: with `full_api` for everything. A key of v3 also, as its app's
/// admin, for what is below its channel; and for sessions, where the body names the app.
fn may_ask(state: &ApiState, face: Face, caller: &Caller, path: &str) -> bool {
    if caller.has_full_api() || face != Face::V3 {
        return caller.has_full_api();
    }
    if path.trim_end_matches('/') == "/v3/sessions" {
        return caller.apps().is_none_or(|apps| !apps.is_empty());
    }
    let channel = channel_of(path).and_then(|id| state.directory.channel(&id));
    channel.and_then(|channel| caller.role_in(&channel)) == Some(Role::Admin)
}

/// The channel that `path` is one of, or below.
fn channel_of(path: &str) -> Option<ChannelId> {
    let id = path.strip_prefix("/v3/channels/")?.split('/').next()?;
    ChannelId::new(&percent_decode_str(id).decode_utf8().ok()?).ok()
}

fn is_open(state: &ApiState, face: Face, method: &Method) -> Result<(), ApiError> {
    let is_reading = matches!(*method, Method::GET | Method::HEAD) || face == Face::LegacyReads;
    let refusal = state
        .refusal()
        .or_else(|| (!is_reading && state.control.mode() == Mode::ReadOnly).then_some(READ_ONLY));
    let status = StatusCode::SERVICE_UNAVAILABLE;
    match (refusal, face) {
        (None, _) => Ok(()),
        (Some(cause), Face::V3) => Err(ApiError::new(status, cause)),
        (Some(cause), _) => Err(ApiError::text(status, cause)),
    }
}

/// As Logplex answers, also to a credential without `full_api`: 401, in each face's own words.
fn unauthorized(face: Face) -> Response {
    let mut response = match face {
        Face::V3 => StatusCode::UNAUTHORIZED.into_response(),
        _ => ApiError::text(StatusCode::UNAUTHORIZED, "Not Authorized").into_response(),
    };
    response.headers_mut().insert(
        header::WWW_AUTHENTICATE,
        HeaderValue::from_static("Basic realm=Logplex"),
    );
    response
}

fn caller(state: &ApiState, headers: &HeaderMap) -> Option<Caller> {
    let given = basic(headers.get(header::AUTHORIZATION)?.to_str().ok()?)?;
    if is_auth_key(state, given) {
        return Some(Caller::AuthKey);
    }
    let (id, secret) = id_and_secret(given)?;
    let grant = state.directory.authenticate(&id, &secret)?;
    Some(Caller::Credential(grant))
}

/// Whether `given` is the auth key, which is accepted as it stands.
pub(crate) fn is_auth_key(state: &ApiState, given: &str) -> bool {
    let key = &state.settings.load().auth_key;
    key.as_ref().is_some_and(|key| **key == Secret::new(given))
}

/// What follows `Basic`.
fn basic(value: &str) -> Option<&str> {
    let (scheme, given) = scheme(value)?;
    scheme.eq_ignore_ascii_case("basic").then_some(given)
}

/// The scheme, which may be in any case, and what follows it (RFC 9110, 11.1).
pub(crate) fn scheme(value: &str) -> Option<(&str, &str)> {
    let (scheme, given) = value.split_once(' ')?;
    Some((scheme, given.trim_matches(' ')))
}

fn id_and_secret(given: &str) -> Option<(String, Secret)> {
    pair(&decoded(given)?)
}

/// User and password of RFC 7617, still in one text.
pub(crate) fn decoded(given: &str) -> Option<String> {
    String::from_utf8(STANDARD.decode(given).ok()?).ok()
}

/// `ID:SECRET` taken apart.
pub(crate) fn pair(text: &str) -> Option<(String, Secret)> {
    let (id, secret) = text.split_once(':')?;
    Some((id.to_owned(), Secret::new(secret)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn basic_credentials_are_taken_apart() {
        let table = [
            ("Basic bG9jYWw6cGFzc3dvcmQ=", Some(("local", "password"))),
            ("basic  bG9jYWw6cGFzc3dvcmQ= ", Some(("local", "password"))),
            ("Basic YTpiOmM=", Some(("a", "b:c"))),
            ("Basic YWJj", None),
            ("Basic !!!", None),
            ("Basic", None),
            ("Bearer bG9jYWw6cGFzc3dvcmQ=", None),
        ];
        for (value, expected) in table {
            let found = basic(value).and_then(id_and_secret);
            let found = found
                .as_ref()
                .map(|(id, secret)| (id.as_str(), secret.expose()));
            assert_eq!(found, expected, "{value}");
        }
    }
}
