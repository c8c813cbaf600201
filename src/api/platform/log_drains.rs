//! `/apps/:app/log-drains`.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::response::Response;
use serde::Deserialize;
use serde::Serialize;
use serde_json::Value;

use crate::api::ApiState;
use crate::api::body;
use crate::api::drains as options;
use crate::api::error::ApiError;
use crate::api::extract::Path;
use crate::api::extract::Query;
use crate::api::platform::App;
use crate::api::platform::drains;
use crate::api::platform::drains::Kind;
use crate::api::platform::error::Refusal;
use crate::api::platform::time_text;
use crate::id::DrainId;
use crate::id::DrainToken;
use crate::registry::DrainEntry;
use crate::registry::DrainOptions;
use crate::registry::DrainUrl;
use crate::registry::Format;
use crate::registry::Role;

/// A drain as the platform shows it.
#[derive(Serialize)]
struct DrainView {
    /// No drain here comes from an add-on.
    addon: Option<()>,
    created_at: String,
    id: String,
    token: DrainToken,
    updated_at: String,
    url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    extended: Option<Extended>,
}

/// What `?extended=true` adds.
#[derive(Serialize)]
struct Extended {
    drain_id: DrainId,
}

impl DrainView {
    fn of(app: &App, entry: &DrainEntry, url: &DrainUrl) -> Self {
        let created_at = time_text(entry.created);
        Self {
            addon: None,
            // Changes of a drain are not dated.
            updated_at: created_at.clone(),
            created_at,
            id: drains::uuid(&entry.token).to_owned(),
            token: entry.token.clone(),
            url: app.shown(url),
            extended: None,
        }
    }
}

/// The drain of `app` that `which` is the id, the token or the URL of.
fn known(state: &ApiState, app: &App, which: &str) -> Result<(DrainEntry, DrainUrl), Refusal> {
    let target = DrainUrl::parse(which).ok();
    let is_it = |entry: &DrainEntry, url: &DrainUrl| {
        let is_target = target
            .as_ref()
            .is_some_and(|target| target.is_same_target(url));
        is_target || drains::is_called(entry, which)
    };
    drains::of(state, app, Kind::Log)
        .into_iter()
        .find(|(entry, url)| is_it(entry, url))
        .ok_or_else(|| Refusal::missing("log drain"))
}

#[derive(Deserialize)]
pub(crate) struct ListQuery {
    extended: Option<String>,
}

/// `GET /apps/:app/log-drains`, `?extended=true` with their numbers.
pub(crate) async fn list(
    State(state): State<Arc<ApiState>>,
    app: App,
    query: Result<Query<ListQuery>, ApiError>,
) -> Result<Response, Refusal> {
    let Query(query) = query?;
    let is_extended = query.extended.as_deref() == Some("true");
    let found = drains::of(&state, &app, Kind::Log);
    let views = found.iter().map(|(entry, url)| DrainView {
        extended: is_extended.then_some(Extended { drain_id: entry.id }),
        ..DrainView::of(&app, entry, url)
    });
    Ok(Json(views.collect::<Vec<_>>()).into_response())
}

/// `GET /apps/:app/log-drains/:drain`: by id, token or URL.
pub(crate) async fn show(
    State(state): State<Arc<ApiState>>,
    app: App,
    Path((_, which)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    let (entry, url) = known(&state, &app, &which)?;
    Ok(Json(DrainView::of(&app, &entry, &url)).into_response())
}

/// `POST /apps/:app/log-drains`: 201 and the drain. Beside `url` it takes what v3 takes.
pub(crate) async fn create(
    State(state): State<Arc<ApiState>>,
    app: App,
    body: Body,
) -> Result<Response, Refusal> {
    app.demand(Role::Write)?;
    let mut object = body::object(body).await?;
    let url = match object.remove("url") {
        Some(Value::String(text)) => DrainUrl::parse(&text)
            .map_err(|error| Refusal::invalid(format!("Url is invalid: {error}")))?,
        Some(Value::Null) | None => return Err(Refusal::invalid("Url can't be blank")),
        Some(_) => return Err(Refusal::invalid("Url must be a string")),
    };
    let options = options::options(object, &DrainOptions::default())?.unwrap_or_default();
    if options.format == Format::Otlp {
        return Err(Refusal::invalid(
            "A drain that speaks OTLP is a telemetry drain (POST /telemetry-drains)",
        ));
    }
    let channel = app.entry.id.clone();
    let made = state
        .control
        .create_drain(channel, Some(url.clone()), options);
    let view = DrainView::of(&app, &made.await?, &url);
    Ok((StatusCode::CREATED, Json(view)).into_response())
}

/// `DELETE /apps/:app/log-drains/:drain`: by id, token or URL; 200 and what it was.
pub(crate) async fn delete(
    State(state): State<Arc<ApiState>>,
    app: App,
    Path((_, which)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    app.demand(Role::Write)?;
    let (entry, url) = known(&state, &app, &which)?;
    let channel = entry.channel.clone();
    state.control.delete_drain(channel, entry.id).await?;
    Ok(Json(DrainView::of(&app, &entry, &url)).into_response())
}
