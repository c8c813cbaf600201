//! Causes become answers here: a status and `{"error": …}`, or Logplex's own words where its
//! legacy API had any.

use axum::Json;
use axum::http::HeaderMap;
use axum::http::HeaderValue;
use axum::http::StatusCode;
use axum::http::Uri;
use axum::http::header;
use axum::response::IntoResponse;
use axum::response::Response;

use crate::api::platform;
use crate::control::ControlError;
use crate::filter::FilterError;
use crate::id::IdError;

/// A refusal, ready to be sent.
#[derive(Debug)]
pub(crate) enum ApiError {
    /// `{"error": message}`.
    Json {
        /// The status.
        status: StatusCode,
        /// What is wrong.
        message: String,
    },
    /// Bare text, as the legacy API answers.
    Text {
        /// The status.
        status: StatusCode,
        /// Logplex's words.
        message: &'static str,
    },
}

impl ApiError {
    /// `{"error": message}` with `status`.
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self::Json {
            status,
            message: message.into(),
        }
    }

    /// Bare text with `status`.
    pub(crate) fn text(status: StatusCode, message: &'static str) -> Self {
        Self::Text { status, message }
    }

    /// The body cannot be read as what it must be.
    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// The body can be read, but what it asks for cannot be.
    pub(crate) fn unprocessable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, message)
    }

    /// What the path names is not there.
    pub(crate) fn missing(message: &'static str) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::Json { status, .. } | Self::Text { status, .. } => *status,
        }
    }
}

/// What v3 says of an unknown channel.
pub(crate) const CHANNEL_NOT_FOUND: &str = "channel not found";

/// What v3 says of an unknown drain.
pub(crate) const DRAIN_NOT_FOUND: &str = "drain not found";

impl From<ControlError> for ApiError {
    /// In v3's words; the older faces put their own for the causes they know.
    fn from(error: ControlError) -> Self {
        let unavailable = |message: &str| Self::new(StatusCode::SERVICE_UNAVAILABLE, message);
        match error {
            ControlError::UnknownChannel => Self::missing(CHANNEL_NOT_FOUND),
            ControlError::UnknownDrain => Self::missing(DRAIN_NOT_FOUND),
            ControlError::UnknownToken => Self::missing("token not found"),
            ControlError::UnknownCredential => Self::missing("credential not found"),
            ControlError::DuplicateDrainUrl | ControlError::DuplicateCredential => {
                Self::new(StatusCode::CONFLICT, "already exists")
            }
            ControlError::UnreadableDrainOptions(message) => Self::unprocessable(message),
            ControlError::TooManyDrains => Self::unprocessable("maximum number of drains reached"),
            ControlError::BadDrainOptions(_)
            | ControlError::BadDrainFilter(_)
            | ControlError::TooManyTokens
            | ControlError::TooManyPermissions
            | ControlError::NameTooLong { .. } => Self::unprocessable(error.to_string()),
            ControlError::Full | ControlError::Busy => unavailable(&error.to_string()),
            ControlError::ReadOnly => unavailable(READ_ONLY),
            ControlError::Disabled => unavailable(DISABLED),
            ControlError::Stopping => unavailable(STOPPING),
            // Logged by the door; the cause names files, which are not the caller's business.
            ControlError::Store(_) => Self::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the change could not be stored",
            ),
        }
    }
}

/// v2's words for what it knows, v3's for the rest.
pub(crate) fn in_v2(error: ControlError) -> ApiError {
    match error {
        ControlError::UnknownChannel => ApiError::missing("No such channel"),
        ControlError::UnknownDrain => ApiError::missing("Unknown drain."),
        ControlError::DuplicateDrainUrl => ApiError::new(StatusCode::CONFLICT, "Already exists"),
        ControlError::TooManyDrains => {
            ApiError::unprocessable("You have already added the maximum number of drains allowed")
        }
        other => ApiError::from(other),
    }
}

/// The legacy API's words for what it knows, v3's for the rest.
pub(crate) fn in_legacy(error: ControlError) -> ApiError {
    match error {
        ControlError::UnknownChannel => ApiError::text(StatusCode::NOT_FOUND, NOT_FOUND),
        other => ApiError::from(other),
    }
}

impl From<FilterError> for ApiError {
    fn from(error: FilterError) -> Self {
        Self::unprocessable(format!("filter: {error}"))
    }
}

impl From<IdError> for ApiError {
    fn from(error: IdError) -> Self {
        Self::unprocessable(error.to_string())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = self.status();
        let mut response = match self {
            Self::Json { message, .. } => {
                (status, Json(serde_json::json!({ "error": message }))).into_response()
            }
            Self::Text { message, .. } => (status, message).into_response(),
        };
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
        }
        response
    }
}

/// What legacy says of an unknown path, session or channel.
pub(crate) const NOT_FOUND: &str = "Not found";

/// Logplex's words in read-only mode.
pub(crate) const READ_ONLY: &str = "Logplex API temporarily in read-only mode";

/// Logplex's words in disabled mode.
pub(crate) const DISABLED: &str = "Service Temporarily Disabled";

/// Before it serves; Logplex's words.
pub(crate) const STARTING: &str = "SYSTEM BOOTING";

/// While it ends.
pub(crate) const STOPPING: &str = "the router is stopping";

/// No such path: v3 and the Platform API say so as JSON, the older ones in Logplex's words.
pub(crate) async fn not_found(uri: Uri, headers: HeaderMap) -> Response {
    if uri.path().starts_with("/v3/") {
        ApiError::missing("no such resource").into_response()
    } else if platform::error::is_asked(&uri, &headers) {
        platform::error::no_endpoint().await.into_response()
    } else {
        ApiError::text(StatusCode::NOT_FOUND, NOT_FOUND).into_response()
    }
}

/// The path is there, the method is not; axum adds `Allow`.
pub(crate) async fn method_not_allowed() -> ApiError {
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method not allowed")
}
