//! `/v3/channels/:id/tokens`.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::response::Response;
use serde::Serialize;
use serde_json::Value;

use crate::api::ApiState;
use crate::api::body;
use crate::api::channels;
use crate::api::error::ApiError;
use crate::api::extract::Path;
use crate::id::Source;
use crate::id::Token;
use crate::registry::TokenEntry;

/// A token as v3 shows it.
#[derive(Serialize)]
struct TokenView {
    token: Token,
    name: Source,
}

impl TokenView {
    fn of(entry: TokenEntry) -> Self {
        Self {
            token: entry.token,
            name: entry.source,
        }
    }
}

/// `GET /v3/channels/:id/tokens`: all, in the order of their names, older ones first.
pub(crate) async fn list(
    State(state): State<Arc<ApiState>>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    #[derive(Serialize)]
    struct List {
        tokens: Vec<TokenView>,
    }
    let entry = channels::known(&state, &id)?;
    let tokens = in_order(state.directory.tokens_of(&entry.id));
    let tokens = tokens.into_iter().map(TokenView::of).collect();
    Ok(Json(List { tokens }).into_response())
}

/// `tokens` in the order of their names, older ones first.
pub(crate) fn in_order(mut tokens: Vec<TokenEntry>) -> Vec<TokenEntry> {
    tokens.sort_by(|a, b| (&a.source, a.created).cmp(&(&b.source, b.created)));
    tokens
}

/// `POST /v3/channels/:id/tokens`: 200, as Logplex documents and does.
pub(crate) async fn create(
    State(state): State<Arc<ApiState>>,
    Path(id): Path<String>,
    body: Body,
) -> Result<Response, ApiError> {
    let object = body::object(body).await?;
    let source = match object.get("name") {
        Some(Value::String(name)) => Source::new(name)?,
        // 400 where 422 would fit better: Logplex's own tests ask for it.
        Some(_) => return Err(ApiError::bad_request("name must be a string")),
        None => return Err(ApiError::bad_request("name is missing")),
    };
    let channel = channels::known(&state, &id)?.id;
    let entry = state.control.create_token(channel, source).await?;
    Ok(Json(TokenView::of(entry)).into_response())
}

/// `DELETE /v3/channels/:id/tokens/:token`: by the token, or by its name if only one has it.
pub(crate) async fn delete(
    State(state): State<Arc<ApiState>>,
    Path((id, which)): Path<(String, String)>,
) -> Result<Response, ApiError> {
    let channel = channels::known(&state, &id)?.id;
    let tokens = state.directory.tokens_of(&channel);
    let token = chosen(&tokens, &which)?.clone();
    state.control.delete_token(channel, token).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn chosen<'a>(tokens: &'a [TokenEntry], which: &str) -> Result<&'a Token, ApiError> {
    if let Some(entry) = tokens.iter().find(|entry| entry.token.expose() == which) {
        return Ok(&entry.token);
    }
    let mut named = tokens.iter().filter(|entry| entry.source.as_str() == which);
    match (named.next(), named.next()) {
        (None, _) => Err(ApiError::missing("token not found")),
        (Some(entry), None) => Ok(&entry.token),
        (Some(_), Some(_)) => Err(ApiError::new(
            StatusCode::CONFLICT,
            "several tokens have this name; name the token itself",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::UnixMicros;
    use crate::id::ChannelId;

    #[test]
    fn a_name_must_be_unambiguous() {
        let entry = |token: &str, source: &str| TokenEntry {
            token: Token::new(token).unwrap(),
            source: Source::new(source).unwrap(),
            channel: ChannelId::from(1),
            created: UnixMicros::new(0),
        };
        let tokens = [
            entry("t.1", "app"),
            entry("t.2", "web"),
            entry("t.3", "web"),
        ];
        for (which, expected) in [
            ("t.3", Ok("t.3")),
            ("app", Ok("t.1")),
            ("web", Err(409)),
            ("t.4", Err(404)),
        ] {
            let found = chosen(&tokens, which)
                .map(Token::expose)
                .map_err(|error| error.into_response().status().as_u16());
            assert_eq!(found, expected, "{which}");
        }
    }
}
