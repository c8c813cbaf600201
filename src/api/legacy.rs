//! Logplex's legacy and v2 APIs, in their own shapes: numbers for ids that are numbers, bare text
//! where they had it. Sessions are in `sessions`.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::Method;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::response::Response;
use serde::Serialize;
use serde_json::Value;

use crate::api::ApiState;
use crate::api::body;
use crate::api::body::Object;
use crate::api::channels;
use crate::api::drains;
use crate::api::drains::DrainView;
use crate::api::error;
use crate::api::error::ApiError;
use crate::api::error::NOT_FOUND;
use crate::api::extract::Path;
use crate::api::tokens;
use crate::control::ControlError;
use crate::id::ChannelId;
use crate::id::DrainId;
use crate::id::DrainToken;
use crate::id::Source;
use crate::registry::ChannelEntry;
use crate::registry::DrainEntry;
use crate::registry::DrainOptions;
use crate::registry::DrainUrl;
use crate::registry::TokenEntry;

/// A channel's id: a number if it is one, as these APIs only knew numbers.
#[derive(Serialize)]
#[serde(untagged)]
enum NumberOrText {
    Number(u64),
    Text(String),
}

impl NumberOrText {
    fn of(id: &ChannelId) -> Self {
        match id.as_str().parse::<u64>() {
            // `007` would not come back as it went.
            Ok(number) if number.to_string() == id.as_str() => Self::Number(number),
            _ => Self::Text(id.to_string()),
        }
    }
}

/// Names to tokens; no tokens are an empty list, as Logplex wrote them.
#[derive(Serialize)]
#[serde(untagged)]
enum TokenMap {
    Some(BTreeMap<String, String>),
    None([(); 0]),
}

impl TokenMap {
    fn of(tokens: Vec<TokenEntry>) -> Self {
        if tokens.is_empty() {
            Self::None([])
        } else {
            Self::Some(channels::token_map(tokens))
        }
    }
}

#[derive(Serialize)]
struct TokenView {
    name: Source,
    token: String,
}

impl TokenView {
    fn of(entry: TokenEntry) -> Self {
        Self {
            name: entry.source,
            token: String::from(entry.token),
        }
    }
}

fn missing() -> ApiError {
    ApiError::text(StatusCode::NOT_FOUND, NOT_FOUND)
}

fn missing_v2() -> ApiError {
    ApiError::missing("Not Found")
}

fn known(state: &ApiState, id: &str) -> Option<ChannelEntry> {
    state.directory.channel(&ChannelId::new(id).ok()?)
}

fn drains_of(state: &ApiState, id: &ChannelId) -> Vec<DrainEntry> {
    let mut drains = state.directory.drains_of(id);
    drains.retain(|drain| drain.url.is_some());
    drains.sort_by_key(|drain| drain.id);
    drains
}

/// `POST /channels`: the next number, and its tokens.
pub(crate) async fn create_channel(
    State(state): State<Arc<ApiState>>,
    body: Body,
) -> Result<Response, ApiError> {
    #[derive(Serialize)]
    struct Created {
        channel_id: NumberOrText,
        tokens: TokenMap,
    }
    let object = body::object(body).await?;
    let name = match object.get("name") {
        None | Some(Value::Null) => None,
        Some(Value::String(name)) => Some(name.clone()),
        Some(_) => {
            return Err(ApiError::text(
                StatusCode::BAD_REQUEST,
                "Channel name must be a string.",
            ));
        }
    };
    let sources = body::sources(&object)?;
    let (entry, tokens) = state.control.create_numbered_channel(name, sources).await?;
    let created = Created {
        channel_id: NumberOrText::of(&entry.id),
        tokens: TokenMap::of(tokens),
    };
    Ok((StatusCode::CREATED, Json(created)).into_response())
}

/// `GET /channels/:id/info`.
pub(crate) async fn show_channel(
    State(state): State<Arc<ApiState>>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    #[derive(Serialize)]
    struct Shown {
        channel_id: NumberOrText,
        tokens: TokenMap,
        drains: Vec<String>,
    }
    let entry = known(&state, &id).ok_or_else(missing)?;
    let mut drains: Vec<String> = drains_of(&state, &entry.id)
        .into_iter()
        .filter_map(|drain| drain.url.map(|url| url.expose().to_owned()))
        .collect();
    drains.sort();
    let shown = Shown {
        channel_id: NumberOrText::of(&entry.id),
        tokens: TokenMap::of(state.directory.tokens_of(&entry.id)),
        drains,
    };
    Ok(Json(shown).into_response())
}

/// `GET /v2/channels/:id`.
pub(crate) async fn show_channel_v2(
    State(state): State<Arc<ApiState>>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    #[derive(Serialize)]
    struct Shown {
        channel_id: NumberOrText,
        tokens: Vec<TokenView>,
        drains: Vec<DrainView>,
    }
    let entry = known(&state, &id).ok_or_else(missing_v2)?;
    let tokens = tokens::in_order(state.directory.tokens_of(&entry.id));
    let shown = Shown {
        channel_id: NumberOrText::of(&entry.id),
        tokens: tokens.into_iter().map(TokenView::of).collect(),
        drains: drains_of(&state, &entry.id)
            .iter()
            .map(DrainView::of)
            .collect(),
    };
    Ok(Json(shown).into_response())
}

/// `DELETE /channels/:id`.
pub(crate) async fn delete_channel(
    State(state): State<Arc<ApiState>>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let entry = known(&state, &id).ok_or_else(missing)?;
    state
        .control
        .delete_channel(entry.id)
        .await
        .map_err(error::in_legacy)?;
    Ok("OK".into_response())
}

/// `DELETE /v2/channels/:id`.
pub(crate) async fn delete_channel_v2(
    State(state): State<Arc<ApiState>>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let entry = known(&state, &id).ok_or_else(missing_v2)?;
    state
        .control
        .delete_channel(entry.id)
        .await
        .map_err(|error| match error {
            ControlError::UnknownChannel => missing_v2(),
            other => error::in_v2(other),
        })?;
    Ok(StatusCode::OK.into_response())
}

/// `POST /channels/:id/token`: 201 and the bare token.
pub(crate) async fn create_token(
    State(state): State<Arc<ApiState>>,
    Path(id): Path<String>,
    body: Body,
) -> Result<Response, ApiError> {
    let object = body::object(body).await?;
    let Some(name) = body::text(&object, "name")? else {
        return Err(ApiError::text(
            StatusCode::BAD_REQUEST,
            "'name' post param missing",
        ));
    };
    let source = Source::new(name)?;
    let entry = known(&state, &id).ok_or_else(missing)?;
    let token = state
        .control
        .create_token(entry.id, source)
        .await
        .map_err(error::in_legacy)?
        .token;
    Ok((StatusCode::CREATED, String::from(token)).into_response())
}

/// `POST /v2/channels/:id/tokens`.
pub(crate) async fn create_token_v2(
    State(state): State<Arc<ApiState>>,
    Path(id): Path<String>,
    body: Body,
) -> Result<Response, ApiError> {
    let object = body::object(body).await?;
    let Some(name) = body::text(&object, "name")? else {
        return Err(ApiError::unprocessable("NAME is a required field"));
    };
    let source = Source::new(name)?;
    let entry = known(&state, &id).ok_or_else(|| error::in_v2(ControlError::UnknownChannel))?;
    let token = state
        .control
        .create_token(entry.id, source)
        .await
        .map_err(error::in_v2)?;
    Ok((StatusCode::CREATED, Json(TokenView::of(token))).into_response())
}

/// `/channels/:id/drains` and below: Logplex had given these up already.
pub(crate) async fn drains_are_gone(method: Method) -> ApiError {
    let message = if method == Method::POST {
        "V1 Drain Creation API deprecated."
    } else {
        "V1 Drain API Deprecated."
    };
    ApiError::text(StatusCode::NOT_IMPLEMENTED, message)
}

/// `POST /channels/:id/drains/tokens`: an id and a token for a drain to come.
pub(crate) async fn reserve_drain(
    State(state): State<Arc<ApiState>>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    #[derive(Serialize)]
    struct Reserved {
        id: DrainId,
        token: DrainToken,
        msg: &'static str,
    }
    let entry = known(&state, &id).ok_or_else(missing)?;
    let drain = state
        .control
        .create_drain(entry.id, None, DrainOptions::default())
        .await
        .map_err(error::in_v2)?;
    let reserved = Reserved {
        id: drain.id,
        token: drain.token,
        msg: "Successfully reserved drain token",
    };
    Ok((StatusCode::CREATED, Json(reserved)).into_response())
}

/// `POST /v2/channels/:id/drains`.
pub(crate) async fn create_drain_v2(
    State(state): State<Arc<ApiState>>,
    Path(id): Path<String>,
    body: Body,
) -> Result<Response, ApiError> {
    let object = body::object(body).await?;
    let url = destination(&object)?;
    let entry = known(&state, &id).ok_or_else(|| error::in_v2(ControlError::UnknownChannel))?;
    let drain = state
        .control
        .create_drain(entry.id, Some(url), DrainOptions::default())
        .await
        .map_err(error::in_v2)?;
    Ok((StatusCode::CREATED, Json(DrainView::of(&drain))).into_response())
}

/// `POST /v2/channels/:id/drains/:drain`: fills a reserved one or changes its URL; the URL it has
/// already is a conflict here. (A bad URL leaves the reservation alone; Logplex forgot it.)
pub(crate) async fn update_drain_v2(
    State(state): State<Arc<ApiState>>,
    Path((id, drain)): Path<(String, String)>,
    body: Body,
) -> Result<Response, ApiError> {
    let object = body::object(body).await?;
    let url = destination(&object)?;
    let entry = known(&state, &id).ok_or_else(|| error::in_v2(ControlError::UnknownChannel))?;
    let drain = drains::of_channel(&state, &entry.id, &drain)
        .ok_or_else(|| error::in_v2(ControlError::UnknownDrain))?;
    if drain.url.as_ref() == Some(&url) {
        return Err(error::in_v2(ControlError::DuplicateDrainUrl));
    }
    let drain = state
        .control
        .update_drain(entry.id, drain.id, Some(url), Ok)
        .await
        .map_err(error::in_v2)?;
    Ok((StatusCode::CREATED, Json(DrainView::of(&drain))).into_response())
}

/// `DELETE /v2/channels/:id/drains/:drain`.
pub(crate) async fn delete_drain_v2(
    State(state): State<Arc<ApiState>>,
    Path((id, drain)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let not_found = || ApiError::missing(NOT_FOUND);
    let entry = known(&state, &id).ok_or_else(not_found)?;
    let drain = drains::of_channel(&state, &entry.id, &drain).ok_or_else(not_found)?;
    state
        .control
        .delete_drain(entry.id, drain.id)
        .await
        .map_err(|error| match error {
            ControlError::UnknownDrain => not_found(),
            other => error::in_v2(other),
        })?;
    Ok(StatusCode::OK.into_response())
}

/// Where a v2 drain goes: `url`, or `host` and `port` (514) for syslog over TCP.
pub(crate) fn destination(object: &Object) -> Result<DrainUrl, ApiError> {
    let invalid =
        |cause: String| ApiError::unprocessable(format!("Invalid drain destination: {cause}"));
    let text = match (body::text(object, "url")?, body::text(object, "host")?) {
        (Some(url), _) => url.to_owned(),
        (None, Some(host)) => format!("syslog://{host}:{}", port(object)?),
        (None, None) => return Err(invalid("missing_host_param".to_owned())),
    };
    DrainUrl::parse(&text).map_err(|error| invalid(error.to_string()))
}

fn port(object: &Object) -> Result<u16, ApiError> {
    let number = match object.get("port") {
        None | Some(Value::Null) => return Ok(PORT_DEFAULT),
        Some(Value::Number(number)) => number.as_u64(),
        Some(Value::String(text)) => text.parse().ok(),
        Some(_) => None,
    };
    number
        .and_then(|number| u16::try_from(number).ok())
        .filter(|&port| port != 0)
        .ok_or_else(|| ApiError::unprocessable("port must be a number from 1 to 65535"))
}

/// Port of a v2 drain that names only a host.
const PORT_DEFAULT: u16 = 514;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_numbers_where_they_come_back_the_same() {
        for (id, expected) in [
            ("8", "8"),
            ("app-1", "\"app-1\""),
            ("007", "\"007\""),
            ("99999999999999999999999", "\"99999999999999999999999\""),
        ] {
            let id = ChannelId::new(id).unwrap();
            let text = serde_json::to_string(&NumberOrText::of(&id)).unwrap();
            assert_eq!(text, expected);
        }
    }

    #[test]
    fn no_tokens_are_an_empty_list() {
        let text = serde_json::to_string(&TokenMap::of(Vec::new())).unwrap();
        assert_eq!(text, "[]");
    }

    #[test]
    fn ports_are_checked() {
        for (body, expected) in [
            ("{}", Some(514)),
            (r#"{"port":9}"#, Some(9)),
            (r#"{"port":"9"}"#, Some(9)),
            (r#"{"port":0}"#, None),
            (r#"{"port":70000}"#, None),
            (r#"{"port":-1}"#, None),
            (r#"{"port":[]}"#, None),
        ] {
            let object = body::parse(body.as_bytes()).unwrap();
            assert_eq!(port(&object).ok(), expected, "{body}");
        }
    }
}
