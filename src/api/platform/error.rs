//! Refusals in the Platform API's shape, `{"id": …, "message": …}`, which its clients show as they are.

use std::fmt;

use axum::Json;
use axum::http::HeaderMap;
use axum::http::HeaderValue;
use axum::http::StatusCode;
use axum::http::Uri;
use axum::http::header;
use axum::response::IntoResponse;
use axum::response::Response;
use serde_json::json;

use crate::api::error::ApiError;
use crate::control::ControlError;

/// A refusal, ready to be sent.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    id: &'static str,
    message: String,
}

impl Refusal {
    /// `{"id": id, "message": message}` with `status`.
    pub(crate) fn new(status: StatusCode, id: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            id,
            message: message.into(),
        }
    }

    /// 404: what the path names is not there, or not for the caller.
    pub(crate) fn missing(what: &str) -> Self {
        let message = format!("Couldn't find that {what}.");
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    /// 422: the body can be read, but what it asks for cannot be.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_params", message)
    }

    /// 401.
    pub(crate) fn unauthorized(message: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", message)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        let (status, message) = match error {
            ApiError::Json { status, message } => (status, message),
            ApiError::Text { status, message } => (status, message.to_owned()),
        };
        let id = match status {
            StatusCode::NOT_FOUND => "not_found",
            StatusCode::UNPROCESSABLE_ENTITY => "invalid_params",
            StatusCode::SERVICE_UNAVAILABLE => "service_unavailable",
            status if status.is_server_error() => "internal_server_error",
            _ => "bad_request",
        };
        Self::new(status, id, message)
    }
}

impl From<ControlError> for Refusal {
    /// In the Platform API's words for what it knows, v3's for the rest.
    fn from(error: ControlError) -> Self {
        match error {
            ControlError::UnknownChannel => Self::missing("app"),
            ControlError::UnknownDrain => Self::missing("log drain"),
            ControlError::DuplicateDrainUrl => Self::invalid("Url has already been taken"),
            ControlError::TooManyDrains => {
                Self::invalid("You have already added the maximum number of drains allowed")
            }
            other => Self::from(ApiError::from(other)),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let body = Json(json!({ "id": self.id, "message": self.message }));
        let mut response = (self.status, body).into_response();
        let header = match self.status {
            StatusCode::SERVICE_UNAVAILABLE => Some((header::RETRY_AFTER, "5")),
            StatusCode::UNAUTHORIZED => Some((header::WWW_AUTHENTICATE, "Basic realm=Logboom")),
            _ => None,
        };
        if let Some((name, value)) = header {
            let value = HeaderValue::from_static(value);
            response.headers_mut().insert(name, value);
        }
        response
    }
}

/// The path is unknown, or has no such method; in the platform's words, which know no 405.
pub(crate) async fn no_endpoint() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "not_found", NO_ENDPOINT)
}

const NO_ENDPOINT: &str = "The requested API endpoint was not found. Are you using the right HTTP \
                           verb (i.e. `GET` vs. `POST`), and did you specify your intended version \
                           with the `Accept` header?";

/// Whether a request of an unknown path is one to the Platform API.
pub(crate) fn is_asked(uri: &Uri, headers: &HeaderMap) -> bool {
    let accepts = headers.get_all(header::ACCEPT).iter();
    ["/apps/", "/telemetry-drains/"]
        .iter()
        .any(|path| uri.path().starts_with(path))
        || accepts
            .filter_map(|value| value.to_str().ok())
            .any(|value| value.contains("application/vnd.heroku+json"))
}
