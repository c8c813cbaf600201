//! `/apps`: the channels a key is for.

use std::sync::Arc;

use axum::Extension;
use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::HeaderName;
use axum::http::HeaderValue;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::IntoResponse;
use axum::response::Response;
use percent_encoding::percent_decode_str;
use serde::Serialize;

use crate::api::ApiState;
use crate::api::auth::Caller;
use crate::api::platform::App;
use crate::api::platform::time_text;
use crate::api::request;
use crate::id::ChannelId;
use crate::limits::PAGE_ROWS_MAX;
use crate::registry::ChannelEntry;

/// An app as the platform shows it, without what a log router knows nothing of.
#[derive(Serialize)]
struct AppView {
    created_at: String,
    generation: Generation,
    id: ChannelId,
    name: String,
    updated_at: String,
}

/// Clients ask other generations' apps for their logs in another way.
#[derive(Serialize)]
struct Generation {
    name: &'static str,
}

impl AppView {
    fn of(app: &App) -> Self {
        let created_at = time_text(app.entry.created);
        Self {
            // Changes of a channel are not dated.
            updated_at: created_at.clone(),
            created_at,
            generation: Generation { name: "cedar" },
            id: app.entry.id.clone(),
            name: app.name().to_owned(),
        }
    }
}

/// `GET /apps/:app`.
pub(crate) async fn show(app: App) -> Response {
    Json(AppView::of(&app)).into_response()
}

/// `GET /apps`: those of the key, in the order of their ids, in pages: 206 and `Next-Range` when
/// more follow.
pub(crate) async fn list(
    State(state): State<Arc<ApiState>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
) -> Response {
    let range = headers.get(header::RANGE);
    let page = Page::parse(range.and_then(|value| value.to_str().ok()).unwrap_or(""));
    let after = page.after.as_ref();
    let entries: Vec<ChannelEntry> = match caller.apps() {
        None => state.directory.channels_page(after, page.rows + 1),
        Some(ids) => ids
            .into_iter()
            .filter(|&id| after.is_none_or(|after| after < id))
            .filter_map(|id| state.directory.channel(id))
            .collect(),
    };
    let apps = entries
        .into_iter()
        .filter_map(|entry| App::of(&caller, entry));
    let key = |app: &App| request::segment(app.entry.id.as_str());
    let (apps, next) = request::page(apps.collect(), page.rows, key);
    let views: Vec<AppView> = apps.iter().map(AppView::of).collect();
    let mut response = Json(views).into_response();
    if let Some(last) = next {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        let range = format!("id ]{last}..; max={}", page.rows);
        if let Ok(range) = HeaderValue::from_str(&range) {
            response.headers_mut().insert(NEXT_RANGE, range);
        }
    }
    response
}

const NEXT_RANGE: HeaderName = HeaderName::from_static("next-range");

/// What of a list is wanted: `id ]AFTER..; max=N` and parts of it.
#[derive(Debug, Eq, PartialEq)]
struct Page {
    after: Option<ChannelId>,
    rows: usize,
}

impl Page {
    /// Reads what `Next-Range` has said; of anything else what can be read (RFC 9110, 14.2: a range
    /// that is not understood is ignored).
    fn parse(text: &str) -> Self {
        let (range, options) = text.split_once(';').unwrap_or((text, ""));
        let start = range.trim().strip_prefix("id ]");
        let after = start.and_then(|start| {
            let (id, _) = start.split_once("..")?;
            let id = percent_decode_str(id).decode_utf8().ok()?;
            ChannelId::new(&id).ok()
        });
        let max = options
            .split(',')
            .find_map(|option| option.trim().strip_prefix("max=")?.parse().ok());
        let rows = max.unwrap_or(PAGE_ROWS_MAX).clamp(1, PAGE_ROWS_MAX);
        Self { after, rows }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read() {
        for (text, after, rows) in [
            ("", None, PAGE_ROWS_MAX),
            ("id ..", None, PAGE_ROWS_MAX),
            ("id ]a%20b..; max=2", Some("a b"), 2),
            ("id ]a..", Some("a"), PAGE_ROWS_MAX),
            ("id ..; order=asc, max=5", None, 5),
            ("id ..; max=0", None, 1),
            ("id ..; max=99999", None, PAGE_ROWS_MAX),
            ("bytes=0-", None, PAGE_ROWS_MAX),
            ("id ]%ff..; max=x", None, PAGE_ROWS_MAX),
        ] {
            let after = after.map(|id| ChannelId::new(id).unwrap());
            assert_eq!(Page::parse(text), Page { after, rows }, "{text}");
        }
    }
}
