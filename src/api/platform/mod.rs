//! The Platform API, as far as Heroku's command line asks for it, in Heroku's shapes and words.
//! Apps are channels, by id or by name.
//!
//! Who asks is told by a key (`registry`); an app that it is not for looks like one that is not
//! there. `Accept` names versions of the API (`version=3.sdk`, `version=3.dogwood`): what is served
//! here is the same in all of them, so it is not read.

mod apps;
mod auth;
mod drains;
pub(crate) mod error;
mod log_drains;
mod log_sessions;
mod telemetry_drains;

use std::collections::HashMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::middleware::from_fn;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use axum::routing::post;

use crate::api::ApiState;
use crate::api::auth::Caller;
use crate::api::extract::Path;
use crate::api::platform::error::Refusal;
use crate::api::request;
use crate::clock::UnixMicros;
use crate::id::ChannelId;
use crate::registry::ChannelEntry;
use crate::registry::DrainUrl;
use crate::registry::Role;

/// All resources of the Platform API.
pub(crate) fn routes(state: &Arc<ApiState>) -> Router<Arc<ApiState>> {
    Router::new()
        .route("/apps", get(apps::list))
        .route("/apps/{app}", get(apps::show))
        .route("/apps/{app}/log-sessions", post(log_sessions::create))
        .route(
            "/apps/{app}/log-drains",
            get(log_drains::list).post(log_drains::create),
        )
        .route(
            "/apps/{app}/log-drains/{drain}",
            get(log_drains::show).delete(log_drains::delete),
        )
        .route(
            "/apps/{app}/telemetry-drains",
            get(telemetry_drains::list).post(telemetry_drains::create_of),
        )
        .route("/telemetry-drains", post(telemetry_drains::create))
        .route(
            "/telemetry-drains/{drain}",
            get(telemetry_drains::show)
                .patch(telemetry_drains::update)
                .delete(telemetry_drains::delete),
        )
        .method_not_allowed_fallback(error::no_endpoint)
        .route_layer(from_fn_with_state(Arc::clone(state), auth::guard))
        .route_layer(from_fn(request::with_id))
}

/// The app that a path names, and what the caller may do with it.
pub(crate) struct App {
    /// Its channel.
    pub(crate) entry: ChannelEntry,
    role: Role,
}

impl App {
    /// The app called `text`, by id or by name, if the caller has a role in it.
    pub(crate) fn find(state: &ApiState, caller: &Caller, text: &str) -> Result<Self, Refusal> {
        let by_id = ChannelId::new(text)
            .ok()
            .and_then(|id| state.directory.channel(&id));
        if let Some(app) = by_id.and_then(|entry| Self::of(caller, entry)) {
            return Ok(app);
        }
        let named = match caller.apps() {
            None => state.directory.channels_named(text),
            Some(ids) => ids
                .iter()
                .filter_map(|id| state.directory.channel(id))
                .filter(|entry| entry.name.as_deref() == Some(text))
                .collect(),
        };
        let mut found = named
            .into_iter()
            .filter_map(|entry| Self::of(caller, entry));
        match (found.next(), found.next()) {
            (None, _) => Err(Refusal::missing("app")),
            (Some(app), None) => Ok(app),
            (Some(_), Some(_)) => Err(Refusal::invalid(format!(
                "Several apps are named {text}. Use the id of one."
            ))),
        }
    }

    /// The app of channel `entry`, if the caller has a role in it.
    fn of(caller: &Caller, entry: ChannelEntry) -> Option<Self> {
        let role = caller.role_in(&entry)?;
        Some(Self { entry, role })
    }

    /// What people call it.
    pub(crate) fn name(&self) -> &str {
        let id = self.entry.id.as_str();
        self.entry.name.as_deref().unwrap_or(id)
    }

    /// A drain's URL as the caller may see it: a password or a key in it is for who could set it.
    pub(crate) fn shown(&self, url: &DrainUrl) -> String {
        if self.allows(Role::Write) {
            url.expose().to_owned()
        } else {
            url.redacted()
        }
    }

    fn allows(&self, role: Role) -> bool {
        role <= self.role
    }

    /// 403 for a caller who may not do what needs `role`.
    pub(crate) fn demand(&self, role: Role) -> Result<(), Refusal> {
        if self.allows(role) {
            return Ok(());
        }
        let (name, has) = (self.name(), self.role);
        Err(Refusal::new(
            StatusCode::FORBIDDEN,
            "forbidden",
            format!(
                "You do not have access to do that to the app {name}: it takes a key with the role \
                 {role}, and yours has the role {has}."
            ),
        ))
    }
}

impl FromRequestParts<Arc<ApiState>> for App {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<ApiState>) -> Result<Self, Refusal> {
        let Path(names) = Path::<HashMap<String, String>>::from_request_parts(parts, state).await?;
        let caller = parts.extensions.get::<Caller>();
        match (caller, names.get("app")) {
            (Some(caller), Some(name)) => Self::find(state, caller, name),
            _ => Err(Refusal::missing("app")),
        }
    }
}

/// A time as this API writes it.
pub(crate) fn time_text(time: UnixMicros) -> String {
    time.to_seconds_text().replace("+00:00", "Z")
}
