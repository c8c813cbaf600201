//! `/apps/:app/log-sessions`: a session, as `api/sessions` makes and serves them.

use std::sync::Arc;

use axum::Extension;
use axum::Json;
use axum::extract::Request;
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
use crate::api::platform::App;
use crate::api::platform::error::Refusal;
use crate::api::platform::time_text;
use crate::api::request::Place;
use crate::api::sessions;
use crate::clock;
use crate::id::ChannelId;
use crate::registry::sessions::SessionEntry;

#[derive(Serialize)]
struct SessionView {
    created_at: String,
    id: String,
    /// The one thing that clients read. Who has it may read the stream, so they send no key there.
    logplex_url: String,
    updated_at: String,
}

/// `POST /apps/:app/log-sessions`: 201 and where the stream is.
pub(crate) async fn create(
    State(state): State<Arc<ApiState>>,
    Extension(caller): Extension<Caller>,
    app: App,
    request: Request,
) -> Result<Response, Refusal> {
    sessions::check_allowed(&state)?;
    let (head, body) = request.into_parts();
    let object = body::object(body).await?;
    let entry = wanted(&object, app.entry.id)?;
    let is_tail = entry.is_tail;
    let id = sessions::begin(&state, &caller, entry, app.entry.created)?;
    let place = Place::of(&head.uri, &head.headers, &head.extensions);
    let created_at = time_text(clock::wall());
    let view = SessionView {
        updated_at: created_at.clone(),
        created_at,
        id: id.expose(),
        logplex_url: sessions::url(&state, &place, id, is_tail),
    };
    Ok((StatusCode::CREATED, Json(view)).into_response())
}

/// What a client asks for; fields that nobody knows are skipped, since newer clients have more.
/// `dyno` is a process or all of its type, as a session's `ps`; some clients name the latter `type`.
fn wanted(object: &Object, channel: ChannelId) -> Result<SessionEntry, ApiError> {
    let ps = match sessions::exactly(object, "dyno")? {
        Some(dyno) => Some(dyno),
        None => sessions::exactly(object, "type")?,
    };
    Ok(SessionEntry {
        channel,
        lines: sessions::line_count(object, "lines")?,
        is_tail: body::flag(object, "tail")?.unwrap_or(false),
        source: sessions::exactly(object, "source")?,
        ps,
        filter: sessions::expression(object)?,
        credential: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_clients_send_becomes_a_session() {
        let table = [
            ("{}", Some((100, false, None, None))),
            (
                r#"{"lines":100,"tail":false}"#,
                Some((100, false, None, None)),
            ),
            (
                r#"{"lines":100,"tail":true}"#,
                Some((100, true, None, None)),
            ),
            (
                r#"{"source":"app","dyno":"web.1","lines":50,"tail":false}"#,
                Some((50, false, Some("app"), Some("web.1"))),
            ),
            (
                r#"{"dyno":"web","source":"app","lines":5}"#,
                Some((5, false, Some("app"), Some("web"))),
            ),
            (
                r#"{"type":"web","generation":2}"#,
                Some((100, false, None, Some("web"))),
            ),
            (r#"{"lines":-1}"#, None),
            (r#"{"tail":"maybe"}"#, None),
            (r#"{"dyno":1}"#, None),
            (r#"{"filter":"k>"}"#, None),
        ];
        for (body, expected) in table {
            let object = body::parse(body.as_bytes()).unwrap();
            let found = wanted(&object, ChannelId::from(1)).ok();
            let found = found.as_ref().map(|entry| {
                let (source, ps) = (entry.source.as_deref(), entry.ps.as_deref());
                (entry.lines, entry.is_tail, source, ps)
            });
            assert_eq!(found, expected, "{body}");
        }
    }
}
