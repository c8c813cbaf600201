//! `/v3/keys`: credentials with roles in apps. What else credentials may do is not shown here.

use std::collections::BTreeMap;
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
use crate::api::credentials;
use crate::api::error::ApiError;
use crate::api::extract::Path;
use crate::api::extract::Query;
use crate::api::platform::App;
use crate::api::request;
use crate::api::request::PageQuery;
use crate::id::ChannelId;
use crate::id::CredentialId;
use crate::registry::CredentialEntry;
use crate::registry::Permission;
use crate::registry::Role;

/// A key; its text only to whom it was just made for.
#[derive(Serialize)]
struct KeyView {
    id: CredentialId,
    grants: Vec<GrantView>,
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
}

/// In which apps it has a role; `null` is all.
#[derive(Serialize)]
struct GrantView {
    role: String,
    apps: Option<Vec<ChannelId>>,
}

impl KeyView {
    /// `None` when the credential has no role anywhere: then it is no key.
    fn of(entry: &CredentialEntry) -> Option<Self> {
        let mut grants: BTreeMap<Role, Option<Vec<ChannelId>>> = BTreeMap::new();
        for (role, app) in entry.permissions.iter().filter_map(Permission::role) {
            let apps = grants.entry(role).or_insert_with(|| Some(Vec::new()));
            match app {
                None => *apps = None,
                Some(id) => apps.iter_mut().for_each(|apps| apps.push(id.clone())),
            }
        }
        let views = grants.into_iter().map(|(role, apps)| GrantView {
            role: role.to_string(),
            apps,
        });
        let grants: Vec<GrantView> = views.collect();
        (!grants.is_empty()).then(|| Self {
            id: entry.id.clone(),
            grants,
            created_at: entry.created.to_seconds_text(),
            key: None,
        })
    }
}

/// `GET /v3/keys`.
pub(crate) async fn list(
    State(state): State<Arc<ApiState>>,
    Query(query): Query<PageQuery>,
) -> Result<Response, ApiError> {
    #[derive(Serialize)]
    struct List {
        keys: Vec<KeyView>,
        next: Option<String>,
    }
    let rows = query.rows()?;
    let after = query.after.as_deref().map(CredentialId::new).transpose()?;
    let entries = state.directory.credentials_page(after.as_ref(), rows + 1);
    // A page of credentials, of which some may be no keys: then the page is shorter.
    let (entries, next) = request::page(entries, rows, |entry| entry.id.to_string());
    let keys = entries.iter().filter_map(KeyView::of).collect();
    Ok(Json(List { keys, next }).into_response())
}

/// `POST /v3/keys`: 201 with the key, which is not shown again.
pub(crate) async fn create(
    State(state): State<Arc<ApiState>>,
    Extension(caller): Extension<Caller>,
    body: Body,
) -> Result<Response, ApiError> {
    let object = body::object(body).await?;
    body::only(&object, &["role", "apps", "id"])?;
    let permissions = permissions(&state, &caller, &object)?;
    let id = match body::text(&object, "id")? {
        Some(id) => CredentialId::new(id)?,
        None => CredentialId::random_key(),
    };
    let made = state.control.create_credential(id, None, permissions);
    let (entry, secret) = made.await?;
    let view = KeyView::of(&entry).map(|view| KeyView {
        key: secret.map(|secret| format!("{}:{}", entry.id, secret.expose())),
        ..view
    });
    Ok((StatusCode::CREATED, Json(view)).into_response())
}

fn permissions(
    state: &ApiState,
    caller: &Caller,
    object: &Object,
) -> Result<Vec<Permission>, ApiError> {
    let role = body::text(object, "role")?;
    let role = role
        .and_then(Role::parse)
        .ok_or_else(|| ApiError::unprocessable("role must be \"read\", \"write\" or \"admin\""))?;
    let apps = body::texts(object, "apps")?;
    if apps.is_empty() {
        return match role {
            Role::Admin => Ok(vec![Permission::FullApi]),
            _ => Err(ApiError::unprocessable(
                "apps is missing; only a key with the role admin can be for all of them",
            )),
        };
    }
    let permission = |name: &str| match App::find(state, caller, name) {
        Ok(app) => Ok(Permission::App(role, app.entry.id)),
        Err(refusal) => Err(ApiError::unprocessable(format!("app {name:?}: {refusal}"))),
    };
    apps.into_iter().map(permission).collect()
}

/// `DELETE /v3/keys/:id`; what is asked with it from now on is refused.
pub(crate) async fn delete(
    state: State<Arc<ApiState>>,
    caller: Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let found = CredentialId::new(&id)
        .ok()
        .and_then(|id| state.directory.credential(&id));
    if found.as_ref().and_then(KeyView::of).is_none() {
        return Err(ApiError::missing("key not found"));
    }
    credentials::delete(state, caller, Path(id)).await
}
