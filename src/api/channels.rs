//! `/v3/channels`.

use std::collections::BTreeMap;
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
use crate::api::body::Object;
use crate::api::drains::DrainView;
use crate::api::error::ApiError;
use crate::api::error::CHANNEL_NOT_FOUND;
use crate::api::extract::Path;
use crate::api::extract::Query;
use crate::api::request;
use crate::api::request::PageQuery;
use crate::control::ChannelPatch;
use crate::id::ChannelId;
use crate::registry::ChannelEntry;
use crate::registry::TokenEntry;
use crate::registry::WhenFullSetting;

/// A channel as v3 shows it: Logplex's keys first and as it has them, then what is new.
#[derive(Serialize)]
struct ChannelView {
    channel: ChannelId,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    tokens: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    drains: Vec<DrainView>,
    #[serde(flatten)]
    rules: RulesView,
}

/// What of a channel differs from the default; absent otherwise.
#[derive(Serialize)]
struct RulesView {
    #[serde(skip_serializing_if = "Option::is_none")]
    flags: Option<FlagsView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    when_full: Option<WhenFullSetting>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
}

#[derive(Serialize)]
struct FlagsView {
    no_tail: bool,
    no_redis: bool,
}

impl RulesView {
    fn of(entry: ChannelEntry) -> Self {
        Self {
            flags: (entry.no_tail || entry.no_redis).then_some(FlagsView {
                no_tail: entry.no_tail,
                no_redis: entry.no_redis,
            }),
            when_full: (entry.when_full != WhenFullSetting::Default).then_some(entry.when_full),
            name: entry.name,
        }
    }
}

/// Names to tokens. Where two have one name the newest is shown (a JSON object cannot hold both);
/// the list of tokens shows all.
pub(crate) fn token_map(mut tokens: Vec<TokenEntry>) -> BTreeMap<String, String> {
    tokens.sort_by_key(|entry| entry.created);
    tokens
        .into_iter()
        .map(|entry| (String::from(entry.source), String::from(entry.token)))
        .collect()
}

/// The id in a path; what cannot be an id is the id of nothing.
pub(crate) fn known(state: &ApiState, id: &str) -> Result<ChannelEntry, ApiError> {
    ChannelId::new(id)
        .ok()
        .and_then(|id| state.directory.channel(&id))
        .ok_or_else(|| ApiError::missing(CHANNEL_NOT_FOUND))
}

fn view(state: &ApiState, entry: ChannelEntry) -> ChannelView {
    let mut drains = state.directory.drains_of(&entry.id);
    drains.sort_by_key(|drain| drain.id);
    ChannelView {
        channel: entry.id.clone(),
        tokens: token_map(state.directory.tokens_of(&entry.id)),
        // Reserved ones are not shown here, as in Logplex.
        drains: drains
            .iter()
            .filter(|drain| drain.url.is_some())
            .map(DrainView::of)
            .collect(),
        rules: RulesView::of(entry),
    }
}

/// `GET /v3/channels`.
pub(crate) async fn list(
    State(state): State<Arc<ApiState>>,
    Query(query): Query<PageQuery>,
) -> Result<Response, ApiError> {
    #[derive(Serialize)]
    struct Row {
        channel: ChannelId,
        #[serde(flatten)]
        rules: RulesView,
    }
    #[derive(Serialize)]
    struct Page {
        channels: Vec<Row>,
        next: Option<String>,
    }
    let rows = query.rows()?;
    let after = query.after.as_deref().map(ChannelId::new).transpose()?;
    let entries = state.directory.channels_page(after.as_ref(), rows + 1);
    let (entries, next) = request::page(entries, rows, |entry| entry.id.to_string());
    let channels = entries
        .into_iter()
        .map(|entry| Row {
            channel: entry.id.clone(),
            rules: RulesView::of(entry),
        })
        .collect();
    Ok(Json(Page { channels, next }).into_response())
}

/// `GET /v3/channels/:id`.
pub(crate) async fn show(
    State(state): State<Arc<ApiState>>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let entry = known(&state, &id)?;
    Ok(Json(view(&state, entry)).into_response())
}

/// `PUT /v3/channels/:id`: makes it or sets its tokens' names; 201 or 200. No `tokens` is none at
/// all, as in Logplex; flags that are not there stay. Fields that nobody knows are skipped, as
/// Logplex's callers are used to.
pub(crate) async fn put(
    State(state): State<Arc<ApiState>>,
    Path(id): Path<String>,
    body: Body,
) -> Result<Response, ApiError> {
    let object = body::object(body).await?;
    let id = ChannelId::new(&id)?;
    let mut sources = body::sources(&object)?;
    // One token per name here; the channel's list of names is a set.
    sources.sort();
    sources.dedup();
    let patch = patch_of(&object)?;
    let (is_new, tokens) = state
        .control
        .put_channel(id.clone(), sources, patch)
        .await?;
    let status = if is_new {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    let entry = known(&state, id.as_str())?;
    let mut view = view(&state, entry);
    view.tokens = token_map(tokens);
    Ok((status, Json(view)).into_response())
}

/// `PATCH /v3/channels/:id`: flags only, tokens stay.
pub(crate) async fn patch(
    State(state): State<Arc<ApiState>>,
    Path(id): Path<String>,
    body: Body,
) -> Result<Response, ApiError> {
    let object = body::object(body).await?;
    body::only(&object, &["no_tail", "no_redis", "when_full", "name"])?;
    let id = known(&state, &id)?.id;
    let patch = patch_of(&object)?;
    let entry = state.control.patch_channel(id, patch).await?;
    Ok(Json(view(&state, entry)).into_response())
}

pub(crate) fn patch_of(object: &Object) -> Result<ChannelPatch, ApiError> {
    let when_full = match object.get("when_full") {
        None | Some(Value::Null) => None,
        Some(value) => Some(WhenFullSetting::deserialize(value).map_err(|_| {
            ApiError::unprocessable("when_full must be \"lose\", \"wait\" or \"default\"")
        })?),
    };
    Ok(ChannelPatch {
        no_tail: body::flag(object, "no_tail")?,
        no_redis: body::flag(object, "no_redis")?,
        when_full,
        name: body::text(object, "name")?.map(str::to_owned),
    })
}

/// `DELETE /v3/channels/:id`.
pub(crate) async fn delete(
    State(state): State<Arc<ApiState>>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let id = known(&state, &id)?.id;
    state.control.delete_channel(id).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
