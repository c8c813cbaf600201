//! `/v3/channels/:id/sources`: who wrote into a channel, and how near to the limits.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::response::Response;
use serde::Serialize;

use crate::api::ApiState;
use crate::api::channels;
use crate::api::error::ApiError;
use crate::api::error::CHANNEL_NOT_FOUND;
use crate::api::extract::Path;
use crate::clock;
use crate::clock::UnixMicros;
use crate::egress::sources;
use crate::egress::sources::Wrote;

/// One source. Times and counts are of what the channel keeps.
#[derive(Serialize)]
struct SourceView {
    source: String,
    /// Whether the channel has a token of this name.
    has_token: bool,
    messages: u64,
    first_at: Option<String>,
    last_at: Option<String>,
    /// Longest silence between two messages.
    gap_ms_max: u64,
    minute_messages_max: u64,
    minute_bytes_max: u64,
}

impl SourceView {
    fn of(source: String, has_token: bool, wrote: Option<&Wrote>) -> Self {
        let time = |time: fn(&Wrote) -> UnixMicros| wrote.map(|wrote| time(wrote).to_micros_text());
        let gap = wrote.map_or(Duration::ZERO, |wrote| wrote.gap_max);
        Self {
            source,
            has_token,
            messages: wrote.map_or(0, |wrote| wrote.messages),
            first_at: time(|wrote| wrote.first),
            last_at: time(|wrote| wrote.last),
            gap_ms_max: u64::try_from(gap.as_millis()).unwrap_or(u64::MAX),
            minute_messages_max: wrote.map_or(0, |wrote| wrote.minute_messages_max),
            minute_bytes_max: wrote.map_or(0, |wrote| wrote.minute_bytes_max),
        }
    }
}

/// `GET /v3/channels/:id/sources`: every source that has a token or a message kept, by name.
/// `rate_limited_last_day` counts what notices in the channel tell.
pub(crate) async fn list(
    State(state): State<Arc<ApiState>>,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    #[derive(Serialize)]
    struct List {
        now: String,
        sources: Vec<SourceView>,
        rate_limited_last_day: u64,
    }
    let id = channels::known(&state, &id)?.id;
    let Some(channel) = state.node.channel(&id) else {
        return Err(ApiError::missing(CHANNEL_NOT_FOUND));
    };
    let now = clock::wall();
    let survey = sources::survey(&channel, now.minus(DAY)).await;
    let mut names: Vec<String> = state
        .directory
        .tokens_of(&id)
        .into_iter()
        .map(|entry| String::from(entry.source))
        .collect();
    names.sort();
    names.dedup();
    let mut found: Vec<SourceView> = names
        .iter()
        .map(|name| SourceView::of(name.clone(), true, survey.sources.get(name)))
        .collect();
    let others = survey
        .sources
        .iter()
        .filter(|(name, _)| names.binary_search(name).is_err());
    found.extend(others.map(|(name, wrote)| SourceView::of(name.clone(), false, Some(wrote))));
    let list = List {
        now: now.to_micros_text(),
        sources: found,
        rate_limited_last_day: survey.rate_limited,
    };
    Ok(Json(list).into_response())
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
