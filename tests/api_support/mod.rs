//! A whole API over a real store and real channels, asked without sockets.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "test support: each test file uses a part, and stops at the first surprise"
)]

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::HeaderName;
use axum::http::Request;
use axum::http::StatusCode;
use axum::http::request::Builder;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http_body_util::BodyExt;
use logboom::api::ApiSettings;
use logboom::api::ApiState;
use logboom::api::Counting;
use logboom::api::Health;
use logboom::api::HealthState;
use logboom::channel::Budget;
use logboom::channel::Channel;
use logboom::channel::Node;
use logboom::clock;
use logboom::control::Control;
use logboom::control::ControlSettings;
use logboom::egress::drain::DrainSettings;
use logboom::egress::drain::Drains;
use logboom::id::ChannelId;
use logboom::id::CredentialId;
use logboom::id::Secret;
use logboom::registry::Permission;
use logboom::registry::sessions::Sessions;
use logboom::route::RouteTable;
use logboom::shutdown::Shutdown;
use logboom::store::Store;
use logboom::syslog::message::Message;
use logboom::syslog::message::Pri;
use logboom::syslog::message::Timestamp;
use logboom::telemetry::Telemetry;
use serde_json::Value;
use tempfile::TempDir;
use tower_service::Service;

/// Everything behind the API, and the API.
pub(crate) struct Rig {
    pub(crate) router: Router,
    pub(crate) state: Arc<ApiState>,
    _dir: TempDir,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// A request in the making.
pub(crate) struct Ask<'a> {
    rig: &'a Rig,
    request: Builder,
    body: Body,
}

pub(crate) const ADMIN: &str = "local:password";

impl Rig {
    pub(crate) async fn new() -> Self {
        Self::with(16 * 1024 * 1024).await
    }

    pub(crate) async fn with(channel_bytes_max: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let telemetry = Telemetry::new().unwrap();
        let shutdown = Shutdown::new();
        let budget = Budget {
            channel_bytes_max,
            node_bytes_max: 1 << 30,
            history_age_max: Duration::from_secs(604_800),
            wait_max: Duration::from_secs(30),
        };
        let node = Node::new(budget, telemetry.clone());
        let drains = Drains::new(drain_settings(), telemetry.clone(), shutdown.clone());
        let settings = ControlSettings {
            drains_per_channel_max: 6,
            ..ControlSettings::default()
        };
        let control = Control::start(
            Store::open(dir.path()).unwrap(),
            Arc::clone(&node),
            Arc::new(RouteTable::new()),
            Arc::clone(&drains),
            settings,
        )
        .unwrap();
        for (id, permissions) in [
            ("local", vec![Permission::FullApi, Permission::AnyChannel]),
            ("noperm", vec![]),
            ("chanonly", vec![Permission::AnyChannel]),
        ] {
            let id = CredentialId::new(id).unwrap();
            let secret = Some(Secret::new("password"));
            control
                .put_credential(id, secret, permissions)
                .await
                .unwrap();
        }
        let health = Arc::new(Health::new());
        health.set(HealthState::Serving);
        let state = Arc::new(ApiState {
            certificates: Vec::new(),
            counting: Counting::default(),
            directory: Arc::clone(control.directory()),
            control,
            node,
            drains,
            sessions: Arc::new(Sessions::default()),
            telemetry,
            health,
            shutdown,
            settings: ArcSwap::from_pointee(ApiSettings {
                auth_key: Some(Arc::new(Secret::new("secret"))),
                ..ApiSettings::default()
            }),
        });
        Self {
            router: logboom::api::router(Arc::clone(&state)),
            state,
            _dir: dir,
        }
    }

    /// A request with the admin's credential.
    pub(crate) fn ask(&self, method: &str, path: &str) -> Ask<'_> {
        self.ask_openly(method, path).basic(ADMIN)
    }

    /// A request without a credential.
    pub(crate) fn ask_openly(&self, method: &str, path: &str) -> Ask<'_> {
        Ask {
            rig: self,
            request: Request::builder()
                .method(method)
                .uri(path)
                .header("host", "localhost:8601"),
            body: Body::empty(),
        }
    }

    /// The channel `id`, which must be there.
    pub(crate) fn channel(&self, id: &str) -> Arc<Channel> {
        self.state
            .node
            .channel(&ChannelId::new(id).unwrap())
            .unwrap()
    }
}

impl Ask<'_> {
    pub(crate) fn basic(self, id_and_secret: &str) -> Self {
        let value = format!("Basic {}", STANDARD.encode(id_and_secret));
        self.header("authorization", &value)
    }

    /// Sets a header; the one of that name before is gone.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        let headers = self.request.headers_mut().unwrap();
        let name: HeaderName = name.parse().unwrap();
        headers.insert(name, value.parse().unwrap());
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.request.headers_mut().unwrap().remove(name);
        self
    }

    pub(crate) fn json(self, body: &str) -> Self {
        self.header("content-type", "application/json").body(body)
    }

    pub(crate) fn body(mut self, body: &str) -> Self {
        self.body = Body::from(body.to_owned());
        self
    }

    /// The answer, its body still open.
    pub(crate) async fn open(self) -> Response {
        let request = self.request.body(self.body).unwrap();
        let mut router = self.rig.router.clone();
        router.call(request).await.unwrap()
    }

    pub(crate) async fn answer(self) -> Answer {
        let (head, body) = self.open().await.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Answer {
            status: head.status.as_u16(),
            headers: head.headers,
            body: String::from_utf8(bytes.to_vec()).unwrap(),
        }
    }

    /// The body, after an answer of `status`.
    pub(crate) async fn expect(self, status: StatusCode) -> String {
        let answer = self.answer().await;
        assert_eq!(answer.status, status.as_u16(), "{answer:?}");
        answer.body
    }
}

/// The next piece of an open body; `None` at its end.
pub(crate) async fn piece(body: &mut Body) -> Option<String> {
    let frame = tokio::time::timeout(Duration::from_secs(600), body.frame())
        .await
        .expect("the stream must go on");
    let bytes = frame?.unwrap().into_data().unwrap();
    Some(String::from_utf8(bytes.to_vec()).unwrap())
}

/// `text` with every UUID replaced by `*`.
pub(crate) fn without_uuids(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = String::new();
    let mut index = 0;
    while index < bytes.len() {
        let is_uuid = text.get(index..index + 36).is_some_and(|text| {
            text.bytes().enumerate().all(|(at, b)| match at {
                8 | 13 | 18 | 23 => b == b'-',
                _ => b.is_ascii_hexdigit(),
            })
        });
        if is_uuid {
            out.push('*');
            index += 36;
        } else {
            let next = text[index..].chars().next().unwrap();
            out.push(next);
            index += next.len_utf8();
        }
    }
    out
}

/// One message, as the transcripts have them.
pub(crate) fn push(channel: &Channel, second: u32, source: &str, procid: &str, text: &str) {
    let time = format!("2012-12-10T03:00:{:02}.123456Z", second % 60);
    let message = Message {
        pri: Pri::or_default(134),
        is_truncated: false,
        timestamp: Timestamp::Given(time.as_bytes()),
        hostname: b"host",
        app_name: source.as_bytes(),
        procid: procid.as_bytes(),
        msgid: b"-",
        sd: b"-",
        text: text.as_bytes(),
    };
    channel.append(std::iter::once(message), clock::wall());
}

/// The eight messages of the transcripts' section 5.
pub(crate) fn push_eight(channel: &Channel) {
    for (second, (source, procid)) in (0..).zip(EIGHT) {
        push(channel, second, source, procid, &format!("line {second}"));
    }
}

const EIGHT: [(&str, &str); 8] = [
    ("app", "web.1"),
    ("app", "web.2"),
    ("app", "worker.1"),
    ("heroku", "router"),
    ("other", "web.1"),
    ("app", "web"),
    ("app", "website.1"),
    ("heroku", "web.1"),
];

/// The lines of those of the eight that are named.
pub(crate) fn lines(which: &[usize]) -> String {
    let line = |&index: &usize| {
        let (source, procid) = EIGHT[index];
        format!("2012-12-10T03:00:{index:02}.123456Z {source}[{procid}]: line {index}\n")
    };
    which.iter().map(line).collect()
}

fn drain_settings() -> DrainSettings {
    DrainSettings {
        batch_bytes_max: 100 * 1024,
        connect_timeout: Duration::from_secs(5),
        request_timeout: Duration::from_secs(5),
        write_timeout: Duration::from_secs(5),
        retry_delay_min: Duration::from_millis(100),
        retry_delay_max: Duration::from_secs(60),
        http_idle_max: Duration::from_secs(144),
        syslog_idle_max: Duration::from_secs(240),
        connection_age_max: Duration::from_secs(18_000),
        deny_loopback: false,
        deny_link_local: false,
        deny_private: false,
        notice_interval: Duration::from_secs(60),
    }
}
