//! What requests have in common: media types, ids of requests, pages, and where the caller is.

use axum::extract::Request;
use axum::http::Extensions;
use axum::http::HeaderMap;
use axum::http::HeaderName;
use axum::http::HeaderValue;
use axum::http::Method;
use axum::http::StatusCode;
use axum::http::Uri;
use axum::http::header;
use axum::middleware::Next;
use axum::response::IntoResponse;
use axum::response::Response;
use percent_encoding::AsciiSet;
use percent_encoding::NON_ALPHANUMERIC;
use percent_encoding::utf8_percent_encode;
use serde::Deserialize;
use uuid::Uuid;

use crate::api::ApiState;
use crate::api::error::ApiError;
use crate::limits::PAGE_ROWS_DEFAULT;
use crate::limits::PAGE_ROWS_MAX;

/// Mark of a request that came over TLS: the listener puts it into the request's extensions.
#[derive(Clone, Copy, Debug)]
pub struct OverTls;

/// Gives v3's answers a `request-id`, unless the caller has one of its own.
pub(crate) async fn with_id(request: Request, next: Next) -> Response {
    let has_own = request.headers().contains_key(REQUEST_ID);
    let mut response = next.run(request).await;
    if !has_own && let Ok(id) = HeaderValue::from_str(&Uuid::new_v4().to_string()) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");

/// v3's demands on media types, before the handler: 406 and 415.
pub(crate) async fn with_media(request: Request, next: Next) -> Response {
    match check_media(request.method(), request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(refused) => refused.into_response(),
    }
}

fn check_media(method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<(), ApiError> {
    let answer = if uri.path().ends_with("/logs") {
        LOGPLEX
    } else {
        JSON
    };
    if *method == Method::GET && !accepts(headers, answer) {
        return Err(ApiError::new(
            StatusCode::NOT_ACCEPTABLE,
            format!("this resource is {answer}"),
        ));
    }
    let has_body = matches!(*method, Method::POST | Method::PUT | Method::PATCH);
    if has_body && !answer.eq(LOGPLEX) && !is_json(headers) {
        return Err(ApiError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            format!("Content-Type must be {JSON}"),
        ));
    }
    Ok(())
}

/// Media type of the history in v3.
pub(crate) const LOGPLEX: &str = "application/logplex-1";

const JSON: &str = "application/json";

/// Media type of event streams.
pub(crate) const EVENTS: &str = "text/event-stream";

fn is_json(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| essence(value).eq_ignore_ascii_case(JSON))
}

/// A media type without its parameters.
fn essence(value: &str) -> &str {
    value.split(';').next().unwrap_or_default().trim()
}

/// Whether `Accept` admits `media` (RFC 9110, 12.5.1; a weight of 0 is no).
pub(crate) fn accepts(headers: &HeaderMap, media: &str) -> bool {
    let kind = media.split('/').next().unwrap_or_default();
    !headers.contains_key(header::ACCEPT)
        || ranges(headers).any(|range| {
            range == "*/*"
                || range.eq_ignore_ascii_case(media)
                || range
                    .strip_suffix("/*")
                    .is_some_and(|range| range.eq_ignore_ascii_case(kind))
        })
}

/// Whether `Accept` names `media` itself.
pub(crate) fn asks_for(headers: &HeaderMap, media: &str) -> bool {
    ranges(headers).any(|range| range.eq_ignore_ascii_case(media))
}

fn ranges(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter(|range| !range.trim().is_empty() && !is_weightless(range))
        .map(essence)
}

fn is_weightless(range: &str) -> bool {
    range
        .split(';')
        .skip(1)
        .filter_map(|parameter| parameter.trim().strip_prefix("q="))
        .any(|weight| weight.parse() == Ok(0.0_f32))
}

/// `?after=ID&limit=N` of a list.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct PageQuery {
    /// The last entry the caller has.
    pub(crate) after: Option<String>,
    limit: Option<String>,
}

impl PageQuery {
    /// How many rows are wanted, 1 to `PAGE_ROWS_MAX`.
    pub(crate) fn rows(&self) -> Result<usize, ApiError> {
        let Some(limit) = &self.limit else {
            return Ok(PAGE_ROWS_DEFAULT);
        };
        match limit.parse() {
            Ok(rows @ 1..=PAGE_ROWS_MAX) => Ok(rows),
            _ => Err(ApiError::bad_request(format!(
                "limit must be a number from 1 to {PAGE_ROWS_MAX}"
            ))),
        }
    }
}

/// Cuts `entries`, of which one more than `rows` was asked for, to a page; with the key of its last
/// row when more follow.
pub(crate) fn page<T>(
    mut entries: Vec<T>,
    rows: usize,
    key: impl Fn(&T) -> String,
) -> (Vec<T>, Option<String>) {
    let has_more = rows < entries.len();
    entries.truncate(rows);
    let next = has_more.then(|| entries.last().map(key)).flatten();
    (entries, next)
}

/// Beginning of the URLs given to this caller: what the operator set, or the address the caller used.
pub(crate) fn base_url(state: &ApiState, place: &Place) -> String {
    match &state.settings.load().public_url {
        Some(url) => url.trim_end_matches('/').to_owned(),
        None => format!("{}://{}", place.scheme, place.authority),
    }
}

/// The address under which the caller sees this router.
#[derive(Debug, Eq, PartialEq)]
pub(crate) struct Place {
    scheme: &'static str,
    authority: String,
}

impl Place {
    /// From the request's head: `X-Forwarded-Proto` of a proxy, else what the listener says; `Host`,
    /// or HTTP/2's authority.
    pub(crate) fn of(uri: &Uri, headers: &HeaderMap, extensions: &Extensions) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let forwarded = text("x-forwarded-proto").and_then(|value| value.split(',').next());
        let scheme = match forwarded.map(str::trim) {
            Some("https") => "https",
            Some("http") => "http",
            _ if extensions.get::<OverTls>().is_some() => "https",
            _ => "http",
        };
        let authority = text("host")
            .or_else(|| uri.authority().map(|authority| authority.as_str()))
            .filter(|host| is_authority(host))
            .unwrap_or("localhost");
        Self {
            scheme,
            authority: authority.to_owned(),
        }
    }
}

/// A host and perhaps a port, and nothing that would end them in a URL.
fn is_authority(host: &str) -> bool {
    !host.is_empty()
        && host
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-._~:[]%".contains(&b))
}

/// `id` as one segment of a URL's path.
pub(crate) fn segment(id: &str) -> String {
    utf8_percent_encode(id, SEGMENT).to_string()
}

/// All but the unreserved characters (RFC 3986, 2.3).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|&(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect()
    }

    #[test]
    fn media_types_are_compared_without_parameters() {
        for (value, expected) in [
            ("application/json", true),
            ("application/json; charset=utf-8", true),
            ("Application/JSON", true),
            ("text/plain", false),
            ("application/jsonx", false),
        ] {
            assert_eq!(
                is_json(&headers(&[("content-type", value)])),
                expected,
                "{value}"
            );
        }
        for (value, expected) in [
            ("*/*", true),
            ("application/*", true),
            ("text/html, application/json;q=0.5", true),
            ("application/json;q=0", false),
            ("text/plain", false),
        ] {
            assert_eq!(
                accepts(&headers(&[("accept", value)]), JSON),
                expected,
                "{value}"
            );
        }
        assert!(accepts(&HeaderMap::new(), JSON));
        assert!(!asks_for(&headers(&[("accept", "*/*")]), EVENTS));
        assert!(asks_for(
            &headers(&[("accept", "text/event-stream")]),
            EVENTS
        ));
    }

    #[test]
    fn urls_are_built_from_what_the_caller_used() {
        let uri = Uri::from_static("/sessions");
        for (pairs, expected) in [
            (&[("host", "h:8601")][..], ("http", "h:8601")),
            (
                &[("host", "h"), ("x-forwarded-proto", "https")],
                ("https", "h"),
            ),
            (
                &[("host", "h"), ("x-forwarded-proto", "https, http")],
                ("https", "h"),
            ),
            (&[("host", "a/b@c")], ("http", "localhost")),
            (&[("host", "[::1]:80")], ("http", "[::1]:80")),
            (&[], ("http", "localhost")),
        ] {
            let place = Place::of(&uri, &headers(pairs), &Extensions::new());
            assert_eq!(
                (place.scheme, place.authority.as_str()),
                expected,
                "{pairs:?}"
            );
        }
        let mut extensions = Extensions::new();
        extensions.insert(OverTls);
        let place = Place::of(
            &Uri::from_static("https://h2/x"),
            &HeaderMap::new(),
            &extensions,
        );
        assert_eq!((place.scheme, place.authority.as_str()), ("https", "h2"));
    }

    #[test]
    fn pages_say_what_follows() {
        let key = |number: &u32| number.to_string();
        assert_eq!(
            page(vec![1, 2, 3], 2, key),
            (vec![1, 2], Some("2".to_owned()))
        );
        assert_eq!(page(vec![1, 2], 2, key), (vec![1, 2], None));
        assert_eq!(page(Vec::new(), 2, key), (Vec::<u32>::new(), None));
        for (limit, is_good) in [
            ("1", true),
            ("1000", true),
            ("0", false),
            ("1001", false),
            ("x", false),
        ] {
            let query = PageQuery {
                after: None,
                limit: Some(limit.to_owned()),
            };
            assert_eq!(query.rows().is_ok(), is_good, "{limit}");
        }
    }

    #[test]
    fn ids_become_one_segment() {
        assert_eq!(segment("app-1"), "app-1");
        assert_eq!(segment("a b:c?"), "a%20b%3Ac%3F");
    }
}
