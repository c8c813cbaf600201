//! `/telemetry-drains` and `/apps/:app/telemetry-drains`: drains that speak OTLP, for logs, which are
//! all the telemetry there is here.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Extension;
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::response::Response;
use serde::Serialize;
use serde_json::Value;

use crate::api::ApiState;
use crate::api::auth::Caller;
use crate::api::body;
use crate::api::body::Object;
use crate::api::drains as options;
use crate::api::error::ApiError;
use crate::api::extract::Path;
use crate::api::platform::App;
use crate::api::platform::drains;
use crate::api::platform::drains::Kind;
use crate::api::platform::error::Refusal;
use crate::control::ControlError;
use crate::id::ChannelId;
use crate::registry::DrainEntry;
use crate::registry::DrainOptions;
use crate::registry::DrainUrl;
use crate::registry::Role;
use crate::registry::Scheme;

/// A telemetry drain as the platform shows it.
#[derive(Serialize)]
struct DrainView {
    exporter: ExporterView,
    id: String,
    owner: OwnerView,
    signals: [&'static str; 1],
}

#[derive(Serialize)]
struct ExporterView {
    endpoint: String,
    headers: BTreeMap<String, String>,
    #[serde(rename = "type")]
    kind: &'static str,
}

#[derive(Serialize)]
struct OwnerView {
    id: ChannelId,
    #[serde(rename = "type")]
    kind: &'static str,
}

impl DrainView {
    fn of(app: &App, entry: &DrainEntry, url: &DrainUrl) -> Self {
        Self {
            exporter: ExporterView {
                endpoint: app.shown(url),
                headers: options::masked(&entry.options).headers,
                kind: TYPE,
            },
            id: drains::uuid(&entry.token).to_owned(),
            owner: OwnerView {
                id: app.entry.id.clone(),
                kind: "app",
            },
            signals: [SIGNAL],
        }
    }
}

/// The one type of exporter: OTLP over HTTP.
const TYPE: &str = "otlphttp";

/// The one signal.
const SIGNAL: &str = "logs";

/// The drain called `id` with its app, if the caller has a role in that.
fn known(
    state: &ApiState,
    caller: &Caller,
    id: &str,
) -> Result<(App, DrainEntry, DrainUrl), Refusal> {
    let is_it =
        |entry: &DrainEntry| Kind::of(entry) == Kind::Telemetry && drains::is_called(entry, id);
    let found = match caller.apps() {
        None => state.directory.find_drain(is_it),
        Some(apps) => apps
            .into_iter()
            .flat_map(|app| state.directory.drains_of(app))
            .find(is_it),
    };
    let with_app = found.and_then(drains::with_url).and_then(|(entry, url)| {
        let channel = state.directory.channel(&entry.channel)?;
        Some((App::of(caller, channel)?, entry, url))
    });
    with_app.ok_or_else(|| Refusal::missing("telemetry drain"))
}

/// `GET /apps/:app/telemetry-drains`.
pub(crate) async fn list(State(state): State<Arc<ApiState>>, app: App) -> Response {
    let found = drains::of(&state, &app, Kind::Telemetry);
    let views = found
        .iter()
        .map(|(entry, url)| DrainView::of(&app, entry, url));
    Json(views.collect::<Vec<_>>()).into_response()
}

/// `GET /telemetry-drains/:drain`.
pub(crate) async fn show(
    State(state): State<Arc<ApiState>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    let (app, entry, url) = known(&state, &caller, &id)?;
    Ok(Json(DrainView::of(&app, &entry, &url)).into_response())
}

/// `POST /telemetry-drains`, whose body names the app: 201 and the drain.
pub(crate) async fn create(
    State(state): State<Arc<ApiState>>,
    Extension(caller): Extension<Caller>,
    body: Body,
) -> Result<Response, Refusal> {
    let object = body::object(body).await?;
    let app = App::find(&state, &caller, &owner(&object)?)?;
    add(&state, app, &object).await
}

/// `POST /apps/:app/telemetry-drains`: the same without an owner in the body.
pub(crate) async fn create_of(
    State(state): State<Arc<ApiState>>,
    app: App,
    body: Body,
) -> Result<Response, Refusal> {
    let object = body::object(body).await?;
    add(&state, app, &object).await
}

async fn add(state: &ApiState, app: App, object: &Object) -> Result<Response, Refusal> {
    app.demand(Role::Write)?;
    let wanted = Wanted::parse(object)?;
    let url = wanted
        .url
        .ok_or_else(|| Refusal::invalid("exporter.endpoint can't be blank"))?;
    let options = DrainOptions {
        headers: wanted.headers.unwrap_or_default(),
        ..DrainOptions::otlp()
    };
    let channel = app.entry.id.clone();
    let made = state
        .control
        .create_drain(channel, Some(url.clone()), options);
    let entry = made.await.map_err(refused)?;
    let view = DrainView::of(&app, &entry, &url);
    Ok((StatusCode::CREATED, Json(view)).into_response())
}

fn has_same_origin(one: &DrainUrl, other: &DrainUrl) -> bool {
    one.scheme() == other.scheme() && one.authority() == other.authority()
}

/// `PATCH /telemetry-drains/:drain`: what is not given stays, but for headers of a drain that gets an
/// endpoint elsewhere: they are gone unless they are given again.
pub(crate) async fn update(
    State(state): State<Arc<ApiState>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    body: Body,
) -> Result<Response, Refusal> {
    let object = body::object(body).await?;
    let (app, entry, url) = known(&state, &caller, &id)?;
    app.demand(Role::Write)?;
    let Wanted { url: new, headers } = Wanted::parse(&object)?;
    // Who may not see the headers' values may not send them elsewhere either.
    let moves = new.as_ref().is_some_and(|new| !has_same_origin(new, &url));
    let merge = move |mut options: DrainOptions| {
        options.headers = match headers {
            Some(headers) => headers,
            None if moves => BTreeMap::new(),
            None => options.headers,
        };
        Ok(options)
    };
    let changed = state
        .control
        .update_drain(entry.channel, entry.id, new, merge);
    let entry = changed.await.map_err(refused)?;
    let url = entry.url.clone().unwrap_or(url);
    Ok(Json(DrainView::of(&app, &entry, &url)).into_response())
}

/// `DELETE /telemetry-drains/:drain`: 200 and what it was.
pub(crate) async fn delete(
    State(state): State<Arc<ApiState>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    let (app, entry, url) = known(&state, &caller, &id)?;
    app.demand(Role::Write)?;
    let deleted = state.control.delete_drain(entry.channel.clone(), entry.id);
    deleted.await.map_err(refused)?;
    Ok(Json(DrainView::of(&app, &entry, &url)).into_response())
}

fn refused(error: ControlError) -> Refusal {
    match error {
        ControlError::UnknownDrain => Refusal::missing("telemetry drain"),
        ControlError::DuplicateDrainUrl => Refusal::invalid("Endpoint has already been taken"),
        other => Refusal::from(other),
    }
}

/// The app that `owner` names; drains of a space would be of many.
fn owner(object: &Object) -> Result<String, Refusal> {
    let wrong = || Refusal::invalid(r#"owner must be {"type":"app","id":…}"#);
    let owner = object.get("owner").and_then(Value::as_object);
    let owner = owner.ok_or_else(wrong)?;
    match (body::text(owner, "type")?, body::text(owner, "id")?) {
        (Some("app") | None, Some(id)) => Ok(id.to_owned()),
        _ => Err(wrong()),
    }
}

/// What a body asks for; `None` is not given.
struct Wanted {
    url: Option<DrainUrl>,
    headers: Option<BTreeMap<String, String>>,
}

impl Wanted {
    fn parse(object: &Object) -> Result<Self, Refusal> {
        check_signals(object)?;
        let empty = Object::new();
        let exporter = match object.get("exporter") {
            None | Some(Value::Null) => &empty,
            Some(Value::Object(exporter)) => exporter,
            Some(other) => return Err(body::wrong("exporter", "an object", other).into()),
        };
        check_type(exporter)?;
        let url = body::text(exporter, "endpoint")?;
        let url = url.map(endpoint).transpose()?;
        let headers = exporter.get("headers").filter(|value| !value.is_null());
        Ok(Self {
            url,
            headers: headers.map(read_headers).transpose()?,
        })
    }
}

fn endpoint(text: &str) -> Result<DrainUrl, Refusal> {
    let invalid =
        |cause: String| Refusal::invalid(format!("exporter.endpoint is invalid: {cause}"));
    let url = DrainUrl::parse(text).map_err(|error| invalid(error.to_string()))?;
    match url.scheme() {
        Scheme::Http | Scheme::Https => Ok(url),
        _ => Err(invalid("it must begin with https:// or http://".to_owned())),
    }
}

fn read_headers(given: &Value) -> Result<BTreeMap<String, String>, ApiError> {
    let object = [("headers".to_owned(), given.clone())]
        .into_iter()
        .collect();
    let options = options::options(object, &DrainOptions::otlp())?;
    Ok(options.unwrap_or_default().headers)
}

fn check_signals(object: &Object) -> Result<(), Refusal> {
    if matches!(object.get("signals"), None | Some(Value::Null)) {
        return Ok(());
    }
    match body::texts(object, "signals")?.as_slice() {
        [SIGNAL] => Ok(()),
        others => Err(Refusal::invalid(format!(
            "Only logs are supported here: signals must be [\"logs\"] (--signals logs), not {others:?}"
        ))),
    }
}

fn check_type(exporter: &Object) -> Result<(), Refusal> {
    match body::text(exporter, "type")? {
        None | Some(TYPE) => Ok(()),
        Some("otlp") => Err(Refusal::invalid(
            "OTLP over gRPC is not supported here, only over HTTP: exporter.type must be \
             \"otlphttp\" (--transport http)",
        )),
        Some(other) => Err(Refusal::invalid(format!(
            "Only OTLP over HTTP is supported here: exporter.type must be \"otlphttp\" (--transport \
             http), not {other:?}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: &str, expected: Result<(Option<&str>, usize), &str>) {
        let object = body::parse(body.as_bytes()).unwrap();
        let found = Wanted::parse(&object).map_err(|refusal| refusal.to_string());
        match (found, expected) {
            (Ok(found), Ok((url, headers))) => {
                assert_eq!(found.url.as_ref().map(DrainUrl::expose), url, "{body}");
                assert_eq!(found.headers.map_or(0, |map| map.len()), headers, "{body}");
            }
            (Err(message), Err(part)) => assert!(message.contains(part), "{body}: {message}"),
            (found, _) => panic!("{body}: {:?}", found.map(drop)),
        }
    }

    #[test]
    fn bodies_are_read() {
        check(
            r#"{"exporter":{"endpoint":"https://o.example/","headers":{"X-Key":"v"},"type":"otlphttp"},"signals":["logs"]}"#,
            Ok((Some("https://o.example/"), 1)),
        );
        check(r#"{"signals":["logs"]}"#, Ok((None, 0)));
        check(r#"{"exporter":{"headers":{}}}"#, Ok((None, 0)));
        for (signals, part) in [
            (r#"["traces","metrics","logs"]"#, "Only logs are supported"),
            (r#"["traces"]"#, r#"not ["traces"]"#),
            ("[]", "Only logs are supported"),
            (r#""logs""#, "signals must be a list of strings"),
        ] {
            check(&format!(r#"{{"signals":{signals}}}"#), Err(part));
        }
        for (exporter, part) in [
            (r#"{"type":"otlp"}"#, "gRPC is not supported"),
            (r#"{"type":"splunk"}"#, r#"not "splunk""#),
            (r#"{"endpoint":"nowhere"}"#, "exporter.endpoint is invalid"),
            (r#"{"endpoint":"syslog://a"}"#, "must begin with https://"),
            (r#"{"headers":[1]}"#, "headers: invalid type"),
            (r#"{"headers":{"X":"********"}}"#, "stands for a secret"),
            ("5", "exporter must be an object"),
        ] {
            check(&format!(r#"{{"exporter":{exporter}}}"#), Err(part));
        }
    }

    #[test]
    fn owners_are_apps() {
        for (body, expected) in [
            (r#"{"owner":{"id":"a","type":"app"}}"#, Some("a")),
            (r#"{"owner":{"id":"a"}}"#, Some("a")),
            (r#"{"owner":{"id":"a","type":"space"}}"#, None),
            (r#"{"owner":{"type":"app"}}"#, None),
            (r#"{"owner":"a"}"#, None),
            ("{}", None),
        ] {
            let object = body::parse(body.as_bytes()).unwrap();
            assert_eq!(owner(&object).ok().as_deref(), expected, "{body}");
        }
    }
}
