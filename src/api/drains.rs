//! `/v3/channels/:id/drains` and `/v3/drains`.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::Request;
use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::IntoResponse;
use axum::response::Response;
use serde::Deserialize;
use serde::Serialize;
use serde_json::Value;

use crate::api::ApiState;
use crate::api::body;
use crate::api::body::Object;
use crate::api::channels;
use crate::api::error::ApiError;
use crate::api::error::DRAIN_NOT_FOUND;
use crate::api::extract::Path;
use crate::api::extract::Query;
use crate::api::request;
use crate::api::request::PageQuery;
use crate::api::request::Place;
use crate::control::ControlError;
use crate::egress::drain::DrainStatus;
use crate::id::ChannelId;
use crate::id::DrainId;
use crate::id::DrainToken;
use crate::registry::Compression;
use crate::registry::DrainEntry;
use crate::registry::DrainOptions;
use crate::registry::DrainUrl;
use crate::registry::DrainUrlError;
use crate::registry::Format;

/// A drain as Logplex shows it.
#[derive(Serialize)]
pub(crate) struct DrainView {
    id: DrainId,
    token: DrainToken,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
}

impl DrainView {
    pub(crate) fn of(entry: &DrainEntry) -> Self {
        Self {
            id: entry.id,
            token: entry.token.clone(),
            url: entry.url.as_ref().map(|url| url.expose().to_owned()),
        }
    }
}

/// A drain with its options and how it fares.
#[derive(Serialize)]
struct DrainDetail {
    #[serde(flatten)]
    drain: DrainView,
    channel: ChannelId,
    options: DrainOptions,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<DrainStatus>,
}

impl DrainDetail {
    fn of(state: &ApiState, entry: &DrainEntry) -> Self {
        Self {
            drain: DrainView::of(entry),
            channel: entry.channel.clone(),
            options: masked(&entry.options),
            status: state.drains.status(entry.id),
        }
    }
}

/// The options without what only the destination should know.
pub(crate) fn masked(options: &DrainOptions) -> DrainOptions {
    let mut shown = options.clone();
    for value in shown.headers.values_mut() {
        MASK.clone_into(value);
    }
    if let Some(key) = &mut shown.client_key {
        MASK.clone_into(key);
    }
    shown
}

/// Stands for a secret; never a PEM key, and refused as a value so that what was read can not be
/// written back by mistake.
const MASK: &str = "********";

/// The drain `id` of channel `channel`; a drain is not found through another channel.
fn known(state: &ApiState, channel: &str, id: &str) -> Result<DrainEntry, ApiError> {
    let channel = channels::known(state, channel)?.id;
    of_channel(state, &channel, id).ok_or_else(|| ApiError::missing(DRAIN_NOT_FOUND))
}

/// The drain that a path names as `id` below channel `channel`.
pub(crate) fn of_channel(state: &ApiState, channel: &ChannelId, id: &str) -> Option<DrainEntry> {
    let id = DrainId::new(id.parse().ok()?);
    state
        .directory
        .drain(id)
        .filter(|entry| entry.channel == *channel)
}

/// `GET /v3/channels/:id/drains`: all of the channel, reserved ones too.
pub(crate) async fn list(
    State(state): State<Arc<ApiState>>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    #[derive(Serialize)]
    struct List {
        drains: Vec<DrainDetail>,
    }
    let channel = channels::known(&state, &id)?.id;
    let mut entries = state.directory.drains_of(&channel);
    entries.sort_by_key(|entry| entry.id);
    let drains = entries
        .iter()
        .map(|entry| DrainDetail::of(&state, entry))
        .collect();
    Ok(Json(List { drains }).into_response())
}

/// `GET /v3/drains`.
pub(crate) async fn list_all(
    State(state): State<Arc<ApiState>>,
    Query(query): Query<PageQuery>,
) -> Result<Response, ApiError> {
    #[derive(Serialize)]
    struct Page {
        drains: Vec<DrainDetail>,
        next: Option<String>,
    }
    let rows = query.rows()?;
    let after = match &query.after {
        None => None,
        Some(after) => {
            Some(DrainId::new(after.parse().map_err(|_| {
                ApiError::bad_request("after must be the id of a drain")
            })?))
        }
    };
    let entries = state.directory.drains_page(after, rows + 1);
    let (entries, next) = request::page(entries, rows, |entry| entry.id.to_string());
    let drains = entries
        .iter()
        .map(|entry| DrainDetail::of(&state, entry))
        .collect();
    Ok(Json(Page { drains, next }).into_response())
}

/// `GET /v3/channels/:id/drains/:drain`.
pub(crate) async fn show(
    State(state): State<Arc<ApiState>>,
    Path((channel, id)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let entry = known(&state, &channel, &id)?;
    Ok(Json(DrainDetail::of(&state, &entry)).into_response())
}

/// `POST /v3/channels/:id/drains`: 201 and where it is. Without a URL an id and a token are reserved.
pub(crate) async fn create(
    State(state): State<Arc<ApiState>>,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    let (head, body) = request.into_parts();
    let object = body::object(body).await?;
    let channel = channels::known(&state, &id)?.id;
    let (url, options) = wanted(object, &DrainOptions::default())?;
    let options = options.unwrap_or_default();
    let entry = state
        .control
        .create_drain(channel.clone(), url, options)
        .await?;
    let mut response = (StatusCode::CREATED, Json(DrainView::of(&entry))).into_response();
    let base = request::base_url(
        &state,
        &Place::of(&head.uri, &head.headers, &head.extensions),
    );
    let segment = request::segment(channel.as_str());
    let location = format!("{base}/v3/channels/{segment}/drains/{}", entry.id);
    if let Ok(location) = HeaderValue::from_str(&location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// `PUT /v3/channels/:id/drains/:drain`: sets what is given; the same again changes nothing (Logplex
/// said 409 then).
pub(crate) async fn put(
    State(state): State<Arc<ApiState>>,
    Path((channel, id)): Path<(String, String)>,
    body: Body,
) -> Result<Response, ApiError> {
    let mut object = body::object(body).await?;
    let entry = known(&state, &channel, &id)?;
    let url = take_url(&mut object)?;
    check_fields(&object)?;
    // Laid over what is there when its turn has come, not over what is there now.
    let merge = |before| {
        merged(object, &before)
            .map_err(|error| ControlError::UnreadableDrainOptions(error.to_string()))
    };
    let entry = state
        .control
        .update_drain(entry.channel, entry.id, url, merge)
        .await?;
    Ok(Json(DrainView::of(&entry)).into_response())
}

/// `DELETE /v3/channels/:id/drains/:drain`.
pub(crate) async fn delete(
    State(state): State<Arc<ApiState>>,
    Path((channel, id)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let entry = known(&state, &channel, &id)?;
    state.control.delete_drain(entry.channel, entry.id).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// The URL and the options that `object` asks for; `None` is: as before. Fields that are not there
/// stay as in `before`, `null` is the default.
pub(crate) fn wanted(
    mut object: Object,
    before: &DrainOptions,
) -> Result<(Option<DrainUrl>, Option<DrainOptions>), ApiError> {
    let url = take_url(&mut object)?;
    let options = options(object, before)?;
    Ok((url, options))
}

fn take_url(object: &mut Object) -> Result<Option<DrainUrl>, ApiError> {
    match object.remove("url") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(DrainUrl::parse(&text).map_err(bad_url)?)),
        Some(other) => Err(body::wrong("url", "a string", &other)),
    }
}

/// The options `before` with the fields of `given` in place; `None` when none is given.
pub(crate) fn options(
    given: Object,
    before: &DrainOptions,
) -> Result<Option<DrainOptions>, ApiError> {
    if given.is_empty() {
        return Ok(None);
    }
    check_fields(&given)?;
    let options =
        merged(given, before).map_err(|error| ApiError::unprocessable(error.to_string()))?;
    Ok(Some(options))
}

fn check_fields(given: &Object) -> Result<(), ApiError> {
    if given.values().any(holds_mask) {
        return Err(ApiError::unprocessable(format!(
            "{MASK:?} stands for a secret that is not shown; give the secret, or leave the field out"
        )));
    }
    given
        .iter()
        .try_for_each(|(name, value)| check_field(name, value))
}

/// `before` with the fields of `given` in place; `null` is the default. What becomes an OTLP drain
/// packs its bodies unless something else is asked for with it.
fn merged(given: Object, before: &DrainOptions) -> Result<DrainOptions, serde_json::Error> {
    let chooses_compression = given.contains_key("compression");
    let mut merged: Object = serde_json::from_value(serde_json::to_value(before)?)?;
    for (name, value) in given {
        if value.is_null() && merged.contains_key(&name) {
            merged.remove(&name);
        } else {
            merged.insert(name, value);
        }
    }
    let mut options = DrainOptions::deserialize(Value::Object(merged))?;
    let is_new = before.format != Format::Otlp && options.format == Format::Otlp;
    if is_new && !chooses_compression && options.compression == Compression::None {
        options.compression = DrainOptions::otlp().compression;
    }
    Ok(options)
}

/// Refuses a field that is unknown or holds what it cannot; each is read alone, because the error of
/// the whole would not say which one is wrong.
fn check_field(name: &str, value: &Value) -> Result<(), ApiError> {
    let alone: Object = [(name.to_owned(), value.clone())].into_iter().collect();
    match DrainOptions::deserialize(Value::Object(alone)) {
        Ok(_) => Ok(()),
        Err(_) if value.is_null() && is_option(name) => Ok(()),
        Err(error) if is_option(name) => Err(ApiError::unprocessable(format!("{name}: {error}"))),
        Err(error) => Err(ApiError::unprocessable(format!("{error} or `url`"))),
    }
}

fn is_option(name: &str) -> bool {
    serde_json::to_value(DrainOptions::default()).is_ok_and(|options| options.get(name).is_some())
}

fn holds_mask(value: &Value) -> bool {
    match value {
        Value::String(text) => text == MASK,
        Value::Object(object) => object.values().any(holds_mask),
        _ => false,
    }
}

/// 422 for a scheme that no drain speaks; 400 for what is no URL, as Logplex documents.
fn bad_url(error: DrainUrlError) -> ApiError {
    let message = format!("invalid url: {error}");
    match error {
        DrainUrlError::UnknownScheme { .. } => ApiError::unprocessable(message),
        _ => ApiError::bad_request(message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(text: &str) -> Object {
        body::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn options_are_laid_over_those_before() {
        let before = DrainOptions {
            compression: Compression::Gzip,
            client_key: Some("secret".to_owned()),
            ..DrainOptions::default()
        };
        assert!(options(object("{}"), &before).unwrap().is_none());
        let after = options(object(r#"{"ps":"web","compression":null}"#), &before);
        let after = after.unwrap().unwrap();
        assert_eq!(after.ps.as_deref(), Some("web"));
        assert!(after.compression == Compression::None);
        assert_eq!(after.client_key.as_deref(), Some("secret"));
    }

    #[test]
    fn what_becomes_an_otlp_drain_is_packed() {
        let check = |given: &str, before: &DrainOptions, expected: Compression| {
            let after = options(object(given), before).unwrap().unwrap();
            assert!(after.compression == expected, "{given}");
        };
        let (new, otlp) = (DrainOptions::default(), DrainOptions::otlp());
        check(r#"{"format":"otlp"}"#, &new, Compression::Gzip);
        check(
            r#"{"format":"otlp","compression":"none"}"#,
            &new,
            Compression::None,
        );
        check(r#"{"compression":"none"}"#, &otlp, Compression::None);
        let plain = DrainOptions {
            compression: Compression::None,
            ..otlp
        };
        check(r#"{"attributes":"logfmt"}"#, &plain, Compression::None);
    }

    #[test]
    fn unknown_options_are_named_and_secrets_masked() {
        let before = DrainOptions {
            headers: [("X-Key".to_owned(), "secret".to_owned())].into(),
            client_key: Some("secret".to_owned()),
            ..DrainOptions::default()
        };
        let text = serde_json::to_string(&masked(&before)).unwrap();
        assert!(!text.contains("secret"), "{text}");
        for (given, expected) in [
            (r#"{"compresion":"gzip"}"#, "compresion"),
            (
                r#"{"compression":"lz4"}"#,
                "compression: unknown variant `lz4`",
            ),
            (r#"{"ps":5}"#, "ps: invalid type: integer `5`"),
            (r#"{"headers":[1]}"#, "headers: invalid type"),
            (r#"{"nope":null}"#, "unknown field `nope`"),
            (r#"{"headers":{"X-Key":"********"}}"#, "stands for a secret"),
        ] {
            let Err(ApiError::Json { status, message }) = options(object(given), &before) else {
                panic!("{given} was accepted");
            };
            assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
            assert!(message.contains(expected), "{message}");
        }
    }
}
