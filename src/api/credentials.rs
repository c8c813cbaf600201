//! `/v3/credentials`.

use std::sync::Arc;

use axum::Extension;
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::response::Response;
use serde::Serialize;

use crate::api::ApiState;
use crate::api::auth::Caller;
use crate::api::body;
use crate::api::body::Object;
use crate::api::error::ApiError;
use crate::api::extract::Path;
use crate::api::extract::Query;
use crate::api::request;
use crate::api::request::PageQuery;
use crate::id::CredentialId;
use crate::id::Secret;
use crate::limits::CREDENTIAL_PERMISSIONS_MAX;
use crate::limits::OPTION_BYTES_MAX;
use crate::registry::CredentialEntry;
use crate::registry::PERMISSIONS;
use crate::registry::Permission;

/// A credential as v3 shows it; the secret only to whom it was just made for.
#[derive(Serialize)]
struct CredentialView {
    id: CredentialId,
    permissions: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

impl CredentialView {
    fn of(entry: CredentialEntry) -> Self {
        Self {
            id: entry.id,
            permissions: entry.permissions.iter().map(ToString::to_string).collect(),
            secret: None,
        }
    }
}

fn known(state: &ApiState, id: &str) -> Result<CredentialEntry, ApiError> {
    CredentialId::new(id)
        .ok()
        .and_then(|id| state.directory.credential(&id))
        .ok_or_else(|| ApiError::missing("credential not found"))
}

/// `GET /v3/credentials`.
pub(crate) async fn list(
    State(state): State<Arc<ApiState>>,
    Query(query): Query<PageQuery>,
) -> Result<Response, ApiError> {
    #[derive(Serialize)]
    struct Page {
        credentials: Vec<CredentialView>,
        next: Option<String>,
    }
    let rows = query.rows()?;
    let after = query.after.as_deref().map(CredentialId::new).transpose()?;
    let entries = state.directory.credentials_page(after.as_ref(), rows + 1);
    let (entries, next) = request::page(entries, rows, |entry| entry.id.to_string());
    let credentials = entries.into_iter().map(CredentialView::of).collect();
    Ok(Json(Page { credentials, next }).into_response())
}

/// `GET /v3/credentials/:id`.
pub(crate) async fn show(
    State(state): State<Arc<ApiState>>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let entry = known(&state, &id)?;
    Ok(Json(CredentialView::of(entry)).into_response())
}

/// `POST /v3/credentials`: 201 with the secret, which is not shown again. An id that is taken is
/// refused: a slip must not change somebody's secret.
pub(crate) async fn create(
    State(state): State<Arc<ApiState>>,
    body: Body,
) -> Result<Response, ApiError> {
    let object = body::object(body).await?;
    body::only(&object, &["id", "permissions", "secret"])?;
    let Some(id) = body::text(&object, "id")? else {
        return Err(ApiError::unprocessable("id is missing"));
    };
    let id = CredentialId::new(id)?;
    let permissions = permissions(&object)?;
    let given = body::text(&object, "secret")?;
    if given.is_some_and(|secret| secret.is_empty() || OPTION_BYTES_MAX < secret.len()) {
        return Err(ApiError::unprocessable(format!(
            "secret must have 1 to {OPTION_BYTES_MAX} bytes"
        )));
    }
    let secret = given.map(Secret::new);
    let (entry, made) = state
        .control
        .create_credential(id, secret, permissions)
        .await?;
    let mut view = CredentialView::of(entry);
    view.secret = made
        .map(|secret| secret.expose().to_owned())
        .or_else(|| given.map(str::to_owned));
    Ok((StatusCode::CREATED, Json(view)).into_response())
}

pub(crate) fn permissions(object: &Object) -> Result<Vec<Permission>, ApiError> {
    if !object.contains_key("permissions") {
        return Err(ApiError::unprocessable(format!(
            "permissions is missing; a list of {PERMISSIONS} is wanted"
        )));
    }
    let texts = body::texts(object, "permissions")?;
    if CREDENTIAL_PERMISSIONS_MAX < texts.len() {
        return Err(ApiError::unprocessable(format!(
            "permissions holds {}, at most {CREDENTIAL_PERMISSIONS_MAX} are allowed",
            texts.len()
        )));
    }
    let parse = |text: &str| {
        Permission::parse(text).ok_or_else(|| {
            ApiError::unprocessable(format!(
                "unknown permission {text:?}; there are {PERMISSIONS}"
            ))
        })
    };
    texts.into_iter().map(parse).collect()
}

/// `DELETE /v3/credentials/:id`; not of the one that asks, so that nobody locks himself out.
pub(crate) async fn delete(
    State(state): State<Arc<ApiState>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let id = known(&state, &id)?.id;
    if caller.credential() == Some(&id) {
        return Err(ApiError::new(
            StatusCode::CONFLICT,
            "this credential is the one in use; delete it with another",
        ));
    }
    state.control.delete_credential(id.clone()).await?;
    state.sessions.revoke(&id);
    Ok(StatusCode::NO_CONTENT.into_response())
}
