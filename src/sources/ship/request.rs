//! A batch as a request, with log-shuttle's headers.

use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderName, HeaderValue, Request};
use http_body_util::Full;

use crate::limits::SHIP_BYTES_PER_SECOND_MIN;
use crate::net::client::basic;
use crate::sources::ship::ShipSettings;
use crate::sources::ship::batch::Batch;

/// How long a request with a body of `bytes` may take that has `timeout` for a small one.
pub(crate) fn time(timeout: Duration, bytes: usize) -> Duration {
    let more = u64::try_from(bytes / SHIP_BYTES_PER_SECOND_MIN).unwrap_or(u64::MAX);
    timeout.saturating_add(Duration::from_secs(more))
}

/// The request of `batch`; at every try the same.
pub(crate) fn of(
    batch: &Batch,
    settings: &ShipSettings,
) -> Result<Request<Full<Bytes>>, http::Error> {
    let url = &settings.url;
    let mut request = Request::post(url.path_and_query()).body(Full::new(batch.body.clone()))?;
    let headers = request.headers_mut();
    headers.insert(HOST, HeaderValue::from_str(url.authority())?);
    headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    headers.insert(AUTHORIZATION, authorization(batch, settings)?);
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/logplex-1"),
    );
    if batch.is_gzip {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    headers.insert(MSG_COUNT, HeaderValue::from(batch.frames));
    for (name, loss) in [
        (DROP_COUNT, batch.told.dropped),
        (LOST_COUNT, batch.told.lost),
    ] {
        if 0 < loss.lines {
            headers.insert(name, HeaderValue::from(loss.lines));
        }
    }
    let id = HeaderValue::from_str(&batch.id.to_string())?;
    headers.insert(REQUEST_ID, id.clone());
    headers.insert(FRAME_ID, id);
    Ok(request)
}

/// Who sends: the batch's own token, the bearer, the URL's user, or the token of the settings.
fn authorization(batch: &Batch, settings: &ShipSettings) -> Result<HeaderValue, http::Error> {
    if let Some(token) = &batch.token {
        return basic(b"token", token.expose().as_bytes());
    }
    if let Some(bearer) = &settings.bearer {
        let mut value = HeaderValue::from_str(&format!("Bearer {}", bearer.expose()))?;
        value.set_sensitive(true);
        return Ok(value);
    }
    match settings.url.userinfo() {
        Some((user, password)) => basic(&user, &password),
        None => basic(b"token", settings.app_name.as_bytes()),
    }
}

const MSG_COUNT: HeaderName = HeaderName::from_static("logplex-msg-count");
const DROP_COUNT: HeaderName = HeaderName::from_static("logplex-drop-count");
const LOST_COUNT: HeaderName = HeaderName::from_static("logplex-lost-count");
const FRAME_ID: HeaderName = HeaderName::from_static("logplex-frame-id");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const AGENT: &str = concat!("Logboom/", env!("CARGO_PKG_VERSION"));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_great_body_has_more_time() {
        for (bytes, seconds) in [(0, 5), (65_535, 5), (65_536, 6), (1024 * 1024, 21)] {
            let expected = Duration::from_secs(seconds);
            assert_eq!(time(Duration::from_secs(5), bytes), expected, "{bytes}");
        }
    }
}
