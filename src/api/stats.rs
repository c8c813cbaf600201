//! `/v3/stats`: the busiest channels, those whose drains are behind, those that lost most.
//!
//! Counted anew for each request and by one request at a time; nothing is kept for it, and the
//! message path knows nothing of it. Rates are read out of the arrivals of what channels keep.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::response::Response;
use serde::Deserialize;
use serde::Serialize;

use crate::api::ApiState;
use crate::api::error::ApiError;
use crate::api::extract::Query;
use crate::clock;
use crate::clock::UnixMicros;
use crate::egress::drain::DrainStatus;
use crate::egress::history;
use crate::id::ChannelId;
use crate::limits::CHANNEL_ID_BYTES_MAX;
use crate::limits::PAGE_ROWS_DEFAULT;
use crate::limits::PAGE_ROWS_MAX;

/// Whether somebody is counting.
#[derive(Debug, Default)]
pub struct Counting {
    is_running: AtomicBool,
}

/// The right to count; ends when dropped.
struct Turn<'a>(&'a Counting);

impl Counting {
    fn begin(&self) -> Option<Turn<'_>> {
        // Relaxed: nothing but the flag itself is shared.
        let was_running = self.is_running.swap(true, Ordering::Relaxed);
        (!was_running).then(|| Turn(self))
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.is_running.store(false, Ordering::Relaxed);
    }
}

/// What is asked for.
#[derive(Deserialize)]
pub(crate) struct StatsQuery {
    sort: Option<String>,
    limit: Option<String>,
    /// Only channels whose id holds this, in upper or lower case.
    contains: Option<String>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Sort {
    Rate,
    Lag,
    Lost,
}

/// A channel's numbers.
#[derive(Clone, Debug, Serialize)]
struct Row {
    channel: ChannelId,
    /// Ever appended since the router started.
    messages: u64,
    messages_per_second: f64,
    /// Of the drain that is most behind.
    lag_messages: u64,
    lag_bytes: u64,
    /// By all drains.
    lost: u64,
    lost_last_day: u64,
    drains: u64,
    /// Of the drain that is worst; `null` without drains.
    state: Option<&'static str>,
}

/// All channels together.
#[derive(Default, Serialize)]
struct Totals {
    channels: u64,
    messages_per_second: f64,
    lag_messages: u64,
    lost: u64,
    drains: u64,
    drains_failing: u64,
}

/// `GET /v3/stats?sort=rate|lag|lost&limit=N&contains=TEXT`
pub(crate) async fn show(
    State(state): State<Arc<ApiState>>,
    Query(query): Query<StatsQuery>,
) -> Result<Response, ApiError> {
    #[derive(Serialize)]
    struct Stats {
        now: String,
        window_seconds: u64,
        totals: Totals,
        channels: Vec<Row>,
    }
    let (sort, limit) = (query.sort()?, query.limit()?);
    let contains = query.contains()?;
    let Some(_turn) = state.counting.begin() else {
        return Err(ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "the channels are being counted for somebody else, try again",
        ));
    };
    let now = clock::wall();
    let mut totals = Totals::default();
    let drains = drains_by_channel(&state, &mut totals).await;
    let mut top = Top {
        rows: Vec::new(),
        sort,
        limit,
    };
    let mut after: Option<ChannelId> = None;
    loop {
        let page = state.directory.channels_page(after.as_ref(), PAGE_ROWS_MAX);
        let Some(last) = page.last() else { break };
        after = Some(last.id.clone());
        for entry in &page {
            let Some(row) = row(&state, &entry.id, drains.get(&entry.id), now) else {
                continue;
            };
            totals.channels += 1;
            totals.messages_per_second += row.messages_per_second;
            if row.channel.as_str().to_lowercase().contains(&contains) {
                top.add(row);
            }
        }
        tokio::task::yield_now().await;
    }
    let stats = Stats {
        now: now.to_micros_text(),
        window_seconds: WINDOW.as_secs(),
        totals,
        channels: top.finished(),
    };
    Ok(Json(stats).into_response())
}

impl StatsQuery {
    fn sort(&self) -> Result<Sort, ApiError> {
        match self.sort.as_deref() {
            None | Some("rate") => Ok(Sort::Rate),
            Some("lag") => Ok(Sort::Lag),
            Some("lost") => Ok(Sort::Lost),
            Some(_) => Err(ApiError::bad_request("sort must be rate, lag or lost")),
        }
    }

    fn limit(&self) -> Result<usize, ApiError> {
        match self.limit.as_deref().map(str::parse) {
            None => Ok(PAGE_ROWS_DEFAULT),
            Some(Ok(rows @ 1..=PAGE_ROWS_MAX)) => Ok(rows),
            Some(_) => Err(ApiError::bad_request(format!(
                "limit must be a number from 1 to {PAGE_ROWS_MAX}"
            ))),
        }
    }

    fn contains(&self) -> Result<String, ApiError> {
        let text = self.contains.as_deref().unwrap_or_default();
        if CHANNEL_ID_BYTES_MAX < text.len() {
            return Err(ApiError::bad_request(format!(
                "contains is longer than any id, which has at most {CHANNEL_ID_BYTES_MAX} bytes"
            )));
        }
        Ok(text.to_lowercase())
    }
}

/// A channel's drains together.
#[derive(Default)]
struct Behind {
    lag_messages: u64,
    lag_bytes: u64,
    lost: u64,
    lost_last_day: u64,
    drains: u64,
    state: Option<&'static str>,
}

impl Behind {
    fn add(&mut self, status: &DrainStatus) {
        self.lag_messages = self.lag_messages.max(status.lag_messages);
        self.lag_bytes = self.lag_bytes.max(status.lag_bytes);
        self.lost = self.lost.saturating_add(status.lost.values().sum());
        self.lost_last_day = self.lost_last_day.saturating_add(status.lost_last_day);
        self.drains += 1;
        let weight = |state: &str| WORST_FIRST.iter().position(|known| *known == state);
        let is_worse = self
            .state
            .is_none_or(|known| weight(status.state) < weight(known));
        if is_worse {
            self.state = Some(status.state);
        }
    }
}

async fn drains_by_channel(state: &ApiState, totals: &mut Totals) -> HashMap<ChannelId, Behind> {
    let mut found: HashMap<ChannelId, Behind> = HashMap::new();
    let mut after = None;
    loop {
        let page = state.directory.drains_page(after, PAGE_ROWS_MAX);
        let Some(last) = page.last() else {
            return found;
        };
        after = Some(last.id);
        for entry in page {
            let Some(status) = state.drains.status(entry.id) else {
                continue;
            };
            totals.drains += 1;
            totals.drains_failing += u64::from(status.state == "failing");
            totals.lag_messages = totals.lag_messages.saturating_add(status.lag_messages);
            totals.lost = totals.lost.saturating_add(status.lost.values().sum());
            found.entry(entry.channel).or_default().add(&status);
        }
        tokio::task::yield_now().await;
    }
}

fn row(state: &ApiState, id: &ChannelId, behind: Option<&Behind>, now: UnixMicros) -> Option<Row> {
    let channel = state.node.channel(id)?;
    let none = Behind::default();
    let behind = behind.unwrap_or(&none);
    let from = now.minus(WINDOW);
    let rate = if channel.last_arrival() < from {
        0.0
    } else {
        history::rate(&channel, from, now)
    };
    Some(Row {
        channel: id.clone(),
        messages: channel.end_seq().value(),
        messages_per_second: rate,
        lag_messages: behind.lag_messages,
        lag_bytes: behind.lag_bytes,
        lost: behind.lost,
        lost_last_day: behind.lost_last_day,
        drains: behind.drains,
        state: behind.state,
    })
}

/// The first rows in an order, never more than twice as many as are wanted.
struct Top {
    rows: Vec<Row>,
    sort: Sort,
    limit: usize,
}

impl Top {
    fn add(&mut self, row: Row) {
        self.rows.push(row);
        if 2 * self.limit <= self.rows.len() {
            self.cut();
        }
    }

    fn cut(&mut self) {
        let sort = self.sort;
        self.rows.sort_by(|left, right| {
            let number = |row: &Row| match sort {
                Sort::Rate => 0,
                Sort::Lag => row.lag_messages,
                Sort::Lost => row.lost,
            };
            Reverse(number(left))
                .cmp(&Reverse(number(right)))
                .then(
                    right
                        .messages_per_second
                        .total_cmp(&left.messages_per_second),
                )
                .then(right.messages.cmp(&left.messages))
                .then(left.channel.as_str().cmp(right.channel.as_str()))
        });
        self.rows.truncate(self.limit);
    }

    fn finished(mut self) -> Vec<Row> {
        self.cut();
        self.rows
    }
}

/// Rates are of so long.
const WINDOW: Duration = Duration::from_secs(5);

const WORST_FIRST: [&str; 5] = ["failing", "retrying", "connecting", "sending", "idle"];

#[cfg(test)]
mod tests {
    use super::*;

    fn row(channel: &str, rate: f64, lag_messages: u64, lost: u64) -> Row {
        Row {
            channel: ChannelId::new(channel).unwrap(),
            messages: 0,
            messages_per_second: rate,
            lag_messages,
            lag_bytes: 0,
            lost,
            lost_last_day: 0,
            drains: 1,
            state: None,
        }
    }

    #[test]
    fn the_first_rows_are_kept_in_order() {
        let check = |sort, expected: [&str; 2]| {
            let mut top = Top {
                rows: Vec::new(),
                sort,
                limit: 2,
            };
            for (channel, rate, lag, lost) in [
                ("d", 0.0, 0, 0),
                ("a", 5.0, 1, 0),
                ("b", 1.0, 9, 0),
                ("c", 0.0, 0, 3),
                ("e", 0.0, 0, 0),
            ] {
                top.add(row(channel, rate, lag, lost));
                assert!(top.rows.len() < 4);
            }
            let rows = top.finished();
            let ids: Vec<&str> = rows.iter().map(|row| row.channel.as_str()).collect();
            assert_eq!(ids, expected, "{sort:?}");
        };
        check(Sort::Rate, ["a", "b"]);
        check(Sort::Lag, ["b", "a"]);
        check(Sort::Lost, ["c", "a"]);
    }

    #[test]
    fn one_counts_at_a_time() {
        let counting = Counting::default();
        let turn = counting.begin();
        assert!(turn.is_some() && counting.begin().is_none());
        drop(turn);
        assert!(counting.begin().is_some());
    }
}
