//! `POST /logs`: a batch of messages in one request, taken whole or not at all; and the way in that
//! `POST /v1/logs` (`ingest::otlp`) shares with it.
//!
//! What can be refused by its head is refused before the body is read. Once the body is there,
//! everything up to the answer happens without waiting, so nobody who leaves cuts it in half.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use axum::body::Body as RequestBody;
use axum::body::HttpBody as _;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue,
};
use hyper::{Method, Request, StatusCode};
use tokio::sync::Semaphore;

use crate::clock;
use crate::ingest::answer::Fault;
use crate::ingest::answer::status;
use crate::ingest::auth::Presented;
use crate::ingest::dedup::{Claim, Delivered, KeyMaker, RequestKey};
use crate::ingest::gather::ReadTime;
use crate::ingest::intake::Tally;
use crate::ingest::request::{Body, Refusal, Sender};
use crate::ingest::room::{Room, bodies_steps, shares};
use crate::ingest::share::{Share, Shares};
use crate::ingest::unpack::{Arrived, Packing, Unpacker};
use crate::limits::{
    FRAME_BYTES_DEFAULT, FRAME_BYTES_LIMIT, FRAME_IDS_MAX, LOGS_BODIES_BYTES_MAX,
    LOGS_BODY_BYTES_MAX,
};
use crate::registry::Directory;
use crate::route::RouteTable;
use crate::syslog::frame::BodyError;
use crate::telemetry::{Input, Telemetry};

/// Bounds of `POST /logs`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LogsSettings {
    /// A frame is kept up to this many bytes; at most `FRAME_BYTES_LIMIT` counts.
    pub frame_bytes_max: usize,
    /// Greatest body, unpacked.
    pub body_bytes_max: usize,
    /// From a request's head to the end of its body.
    pub body_timeout: Duration,
    /// Bodies on their way in at once; one more is answered 503. Of one sender an eighth, but at
    /// least one, is taken, here and of their memory; one more is answered 429.
    pub bodies_max: usize,
    /// Memory of all bodies on their way in, unpacked; one that needs more is answered 503. One
    /// body of the greatest size always has room.
    pub bodies_bytes_max: usize,
    /// How long a delivered request is remembered.
    pub duplicate_window: Duration,
    /// Delivered requests remembered at once; above it the sender with most of them loses its
    /// oldest, so that nobody shortens another's window.
    pub frame_ids_max: usize,
}

impl Default for LogsSettings {
    fn default() -> Self {
        Self {
            frame_bytes_max: FRAME_BYTES_DEFAULT,
            body_bytes_max: LOGS_BODY_BYTES_MAX,
            body_timeout: Duration::from_secs(60),
            bodies_max: 1_024,
            bodies_bytes_max: LOGS_BODIES_BYTES_MAX,
            duplicate_window: Duration::from_secs(300),
            frame_ids_max: FRAME_IDS_MAX,
        }
    }
}

/// A request that was let in.
pub(crate) struct Admitted<'r> {
    pub(crate) sender: &'r Sender,
    pub(crate) headers: &'r HeaderMap,
    /// Unpacked.
    pub(crate) body: &'r [u8],
}

/// Whether `POST /logs` takes anything.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LogsMode {
    /// The router is not ready yet.
    Starting,
    /// Requests are taken.
    Open,
    /// Ingress is denied by the configuration.
    Denied,
    /// The router is ending.
    Stopping,
}

/// The input behind `POST /logs`.
pub struct LogsInput {
    table: Arc<RouteTable>,
    directory: Arc<Directory>,
    pub(crate) telemetry: Telemetry,
    pub(crate) settings: LogsSettings,
    mode: AtomicU8,
    bodies: Semaphore,
    /// Its permits are steps of `LOGS_BODIES_STEP_BYTES`.
    bodies_steps: Semaphore,
    shares: Shares,
    keys: KeyMaker,
    delivered: Mutex<Delivered>,
    /// Emptied body buffers.
    spare: Mutex<Vec<Vec<u8>>>,
}

impl LogsInput {
    /// An input that is `LogsMode::Starting`.
    #[must_use]
    pub fn new(
        table: Arc<RouteTable>,
        directory: Arc<Directory>,
        settings: LogsSettings,
        telemetry: Telemetry,
    ) -> Self {
        Self {
            table,
            directory,
            telemetry,
            bodies: Semaphore::new(settings.bodies_max.min(Semaphore::MAX_PERMITS)),
            bodies_steps: Semaphore::new(bodies_steps(&settings)),
            shares: shares(&settings),
            settings,
            mode: AtomicU8::new(LogsMode::Starting as u8),
            keys: KeyMaker::default(),
            delivered: Mutex::default(),
            spare: Mutex::default(),
        }
    }

    /// Opens or closes the input.
    pub fn set_mode(&self, mode: LogsMode) {
        // Relaxed: stands alone; a request that comes at the same time may see either.
        self.mode.store(mode as u8, Ordering::Relaxed);
    }

    fn is_open(&self) -> bool {
        self.mode.load(Ordering::Relaxed) == LogsMode::Open as u8
    }

    async fn answer(&self, request: Request<RequestBody>) -> Result<(), Fault> {
        self.admit(request, is_logplex, |admitted, _room| {
            self.take_body(admitted)
        })
        .await
    }

    /// Lets a request in if there is nothing against it, reads its body and gives that to `take`,
    /// which does not wait. `is_known` is whether its kind of body is.
    pub(crate) async fn admit<T, E: From<Fault>>(
        &self,
        request: Request<RequestBody>,
        is_known: impl FnOnce(&HeaderMap) -> bool,
        take: impl FnOnce(&Admitted<'_>, &mut Room<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let (head, body) = request.into_parts();
        // Before the look-up that it is about.
        let generation = self.table.generation();
        let sender = self.check_head(&head.method, &head.headers)?;
        if !is_known(&head.headers) {
            return Err(Fault::MediaType.into());
        }
        let packing = self.check_body_head(&head.headers)?;
        self.check_circle(&sender, &head.headers)?;
        if let Sender::Token { target, .. } = &sender
            && target.channel().is_pressed()
        {
            return Err(Fault::from(Refusal::Pressed).into());
        }
        let Ok(_permit) = self.bodies.try_acquire() else {
            return Err(Fault::Unavailable.into());
        };
        let Some(share) = self.shares.enter(sender.identity()) else {
            return Err(Fault::Share.into());
        };
        let reading = self.read_body(body, packing, share);
        let (body, mut room) = match tokio::time::timeout(self.settings.body_timeout, reading).await
        {
            Ok(body) => body?,
            Err(_elapsed) => return Err(Fault::BodyTimeout.into()),
        };
        // Asked again: the token or credential may have ended while the body was on its way.
        let sender = match sender {
            Sender::Token { .. } if self.table.generation() == generation => Ok(sender),
            _ => self.sender(&head.headers),
        };
        let outcome = sender.map_err(E::from).and_then(|sender| {
            let admitted = Admitted {
                sender: &sender,
                headers: &head.headers,
                body: &body,
            };
            take(&admitted, &mut room)
        });
        self.put_back(body);
        outcome
    }

    /// Everything that is refused before anything else: mode, method, sender.
    fn check_head(&self, method: &Method, headers: &HeaderMap) -> Result<Sender, Fault> {
        if !self.is_open() {
            return Err(Fault::Unavailable);
        }
        if method != Method::POST {
            return Err(Fault::Method);
        }
        self.sender(headers)
    }

    /// Who sends, if it may.
    fn sender(&self, headers: &HeaderMap) -> Result<Sender, Fault> {
        let presented = headers
            .get(AUTHORIZATION)
            .and_then(|value| Presented::parse(value.as_bytes()))
            .ok_or(Fault::Unauthorized)?;
        match presented {
            Presented::Token(token) => {
                let token = token.expose().as_bytes();
                let target = self.table.route(token).ok_or(Fault::Unauthorized)?;
                Ok(Sender::Token {
                    token: Box::from(token),
                    target,
                })
            }
            Presented::Credential(id, secret) => {
                let grant = self.directory.authenticate(&id, &secret);
                let grant = grant.ok_or(Fault::Unauthorized)?;
                if !grant.may_write_some() {
                    return Err(Fault::ForbiddenAll);
                }
                Ok(Sender::Credential(grant))
            }
        }
    }

    /// A drain that sends to its own channel would send the same messages for ever. With a
    /// credential none can: no drain writes tokens into its messages.
    fn check_circle(&self, sender: &Sender, headers: &HeaderMap) -> Result<(), Fault> {
        let Sender::Token { target, .. } = sender else {
            return Ok(());
        };
        let is_own = headers.get("logplex-drain-token").is_some_and(|drain| {
            let channel = target.channel().id();
            self.directory.has_drain(channel, drain.as_bytes())
        });
        if is_own { Err(Fault::Circle) } else { Ok(()) }
    }

    /// What the head says about the body.
    fn check_body_head(&self, headers: &HeaderMap) -> Result<Packing, Fault> {
        let encoding = headers
            .get(CONTENT_ENCODING)
            .map_or(&b""[..], HeaderValue::as_bytes);
        let packing = Packing::parse(encoding).ok_or(Fault::Encoding)?;
        let length = headers
            .get(CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        let bytes_max = u64::try_from(self.settings.body_bytes_max).unwrap_or(u64::MAX);
        if length.is_some_and(|length| bytes_max < length) {
            return Err(Fault::TooLong);
        }
        Ok(packing)
    }

    /// The body, unpacked, and its share of the memory for bodies.
    async fn read_body<'a>(
        &'a self,
        body: RequestBody,
        packing: Packing,
        share: Share<'a>,
    ) -> Result<(Arrived, Room<'a>), Fault> {
        let mut room = Room::new(&self.bodies_steps, share);
        let mut bytes = 0;
        let outcome = self.unpack(body, packing, &mut room, &mut bytes).await;
        self.telemetry.input(Input::Http).bytes.increment(bytes);
        Ok((outcome?, room))
    }

    async fn unpack(
        &self,
        mut body: RequestBody,
        packing: Packing,
        room: &mut Room<'_>,
        bytes: &mut u64,
    ) -> Result<Arrived, Fault> {
        let mut next = next_piece(&mut body, bytes).await?;
        if let Some(whole) = &next
            && packing == Packing::Identity
            && body.is_end_stream()
        {
            if self.settings.body_bytes_max < whole.len() {
                return Err(Fault::TooLong);
            }
            room.reach(whole.len())?;
            return Ok(Arrived::Whole(whole.clone()));
        }
        let buffer = self.spare().pop().unwrap_or_default();
        let mut unpacker = Unpacker::new(packing, buffer, self.settings.body_bytes_max)?;
        while let Some(piece) = next {
            unpacker.feed(&piece)?;
            room.reach(unpacker.bytes_held())?;
            next = next_piece(&mut body, bytes).await?;
        }
        Ok(Arrived::Unpacked(unpacker.finish()?))
    }

    /// From the whole body to its delivery. Never waits.
    fn take_body(&self, admitted: &Admitted<'_>) -> Result<(), Fault> {
        let said = said_count(admitted.headers)?;
        let time = ReadTime {
            arrival: clock::wall(),
            now: clock::now(),
        };
        self.take_frames(admitted, admitted.body, said, time)
    }

    /// Delivers `frames`, which are the body or were made of it and should be `said`.
    pub(crate) fn take_frames(
        &self,
        admitted: &Admitted<'_>,
        frames: &[u8],
        said: Option<u64>,
        time: ReadTime,
    ) -> Result<(), Fault> {
        let sender = admitted.sender;
        let body = Body {
            bytes: frames,
            sender,
            table: &self.table,
            frame_bytes_max: self.settings.frame_bytes_max.min(FRAME_BYTES_LIMIT),
            time,
        };
        let checked = body.check().map_err(|fault| match (fault, said) {
            // Logplex, too, calls a body that ends early by the count when there is one.
            (BodyError::Incomplete { .. }, Some(_)) => Refusal::CountMismatch,
            _ => Refusal::Malformed,
        })?;
        let count = checked.frame_count();
        if said.is_some_and(|said| said != count) {
            return Err(Refusal::CountMismatch.into());
        }
        let key = request_id(admitted.headers)
            .filter(|_| 0 < count)
            .map(|id| self.keys.key(sender.identity(), id, admitted.body));
        if key.is_some_and(|key| self.was_delivered(key, time)) {
            self.telemetry.duplicates.increment(1);
            return Ok(());
        }
        let mut tally = Tally::default();
        let outcome = checked.deliver(&mut tally, || self.claim(key, time));
        tally.add_to(&self.telemetry, Input::Http);
        if !outcome? {
            self.telemetry.duplicates.increment(1);
        }
        Ok(())
    }

    fn was_delivered(&self, key: RequestKey, time: ReadTime) -> bool {
        let mut delivered = self.delivered();
        delivered.forget(time.now);
        delivered.has(key)
    }

    /// Remembers the request as delivered; false when it was already.
    fn claim(&self, key: Option<RequestKey>, time: ReadTime) -> bool {
        let Some(key) = key else { return true };
        let LogsSettings {
            duplicate_window,
            frame_ids_max,
            ..
        } = self.settings;
        self.delivered()
            .claim(key, time.now, duplicate_window, frame_ids_max)
            == Claim::New
    }

    fn delivered(&self) -> std::sync::MutexGuard<'_, Delivered> {
        self.delivered
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn spare(&self) -> std::sync::MutexGuard<'_, Vec<Vec<u8>>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put_back(&self, body: Arrived) {
        let Arrived::Unpacked(body) = body else {
            return;
        };
        let mut spare = self.spare();
        if body.capacity() <= SPARE_BODY_BYTES_MAX && spare.len() < SPARE_BODIES_MAX {
            spare.push(body);
        }
    }
}

/// The next piece of `body`, whose bytes are added to `bytes`; `None` at its end.
async fn next_piece(body: &mut RequestBody, bytes: &mut u64) -> Result<Option<Bytes>, Fault> {
    loop {
        let Some(frame) = body.frame().await else {
            return Ok(None);
        };
        let frame = frame.map_err(|_broken| Fault::BodyBroken)?;
        // Trailers are nothing that is of use here.
        if let Ok(piece) = frame.into_data() {
            *bytes += u64::try_from(piece.len()).unwrap_or_default();
            return Ok(Some(piece));
        }
    }
}

/// Answers `POST /logs` (and any other method there): a handler for axum's `any`.
pub async fn logs(
    State(input): State<Arc<LogsInput>>,
    request: Request<RequestBody>,
) -> Response<RequestBody> {
    match input.answer(request).await {
        Ok(()) => status(StatusCode::NO_CONTENT),
        Err(fault) => fault.answer(),
    }
}

fn is_logplex(headers: &HeaderMap) -> bool {
    let value = headers
        .get(CONTENT_TYPE)
        .map_or(&b""[..], HeaderValue::as_bytes);
    let essence = value.split(|&b| b == b';').next().unwrap_or_default();
    let essence = essence.trim_ascii();
    essence.eq_ignore_ascii_case(b"application/logplex-1")
        || essence.eq_ignore_ascii_case(b"application/x-logplex-1")
}

/// What Logplex-Msg-Count says, if it is there.
fn said_count(headers: &HeaderMap) -> Result<Option<u64>, Fault> {
    let Some(value) = headers.get("logplex-msg-count") else {
        return Ok(None);
    };
    let count = value
        .to_str()
        .ok()
        .and_then(|text| text.trim().parse().ok());
    count.map(Some).ok_or(Fault::CountMismatch)
}

/// What stays the same when a sender tries again: log-shuttle has only X-Request-Id.
fn request_id(headers: &HeaderMap) -> Option<&[u8]> {
    ["logplex-frame-id", "x-request-id"]
        .into_iter()
        .find_map(|name| headers.get(name))
        .map(HeaderValue::as_bytes)
        .filter(|id| !id.is_empty())
}

/// Greatest body buffer that is kept.
const SPARE_BODY_BYTES_MAX: usize = 1024 * 1024;

/// Body buffers that are kept.
const SPARE_BODIES_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use hyper::header::HeaderName;

    use super::*;
    use crate::channel::{Budget, ChannelFlags, Node, WhenFull};
    use crate::id::{ChannelId, Source, Token};
    use crate::registry::Entries;
    use crate::route::Route;

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
    fn content_types_are_compared_as_media_types() {
        for (value, expected) in [
            ("application/logplex-1", true),
            ("application/x-logplex-1", true),
            ("Application/Logplex-1", true),
            ("application/logplex-1; charset=utf-8", true),
            ("application/logplex-12", false),
            ("text/plain", false),
            ("", false),
        ] {
            assert_eq!(is_logplex(&headers(&[("content-type", value)])), expected);
        }
        assert!(!is_logplex(&HeaderMap::new()));
    }

    #[test]
    fn a_count_is_a_number_or_a_mismatch() {
        let count = |value| said_count(&headers(&[("logplex-msg-count", value)]));
        assert_eq!(count("3"), Ok(Some(3)));
        assert_eq!(count("x"), Err(Fault::CountMismatch));
        assert_eq!(count(""), Err(Fault::CountMismatch));
        assert_eq!(said_count(&HeaderMap::new()), Ok(None));
    }

    fn input() -> LogsInput {
        let input = LogsInput::new(
            Arc::new(RouteTable::new()),
            Arc::new(Directory::new(Entries::default())),
            LogsSettings {
                body_bytes_max: 100,
                ..LogsSettings::default()
            },
            Telemetry::new().unwrap(),
        );
        input.set_mode(LogsMode::Open);
        input
    }

    #[tokio::test]
    async fn a_plain_body_in_one_piece_is_not_copied() {
        let input = input();
        let read = async |body: RequestBody| {
            let share = input.shares.enter(b"t.a").unwrap();
            let read = input.read_body(body, Packing::Identity, share).await;
            read.map(|(body, _room)| body)
        };
        let bytes = Bytes::from(vec![b'x'; 100]);
        let whole = read(RequestBody::from(bytes.clone())).await.unwrap();
        assert_eq!(whole.as_ptr(), bytes.as_ptr());
        assert_eq!(&*whole, &bytes);
        let long = read(RequestBody::from(vec![b'x'; 101])).await;
        assert_eq!(long.err(), Some(Fault::TooLong));
        let joined = read(pieces(["xx", "yy"], || {})).await.unwrap();
        assert_eq!(&*joined, b"xxyy");
        let nothing = read(RequestBody::empty()).await.unwrap();
        assert!(nothing.is_empty());
    }

    #[tokio::test]
    async fn a_token_may_end_while_its_body_is_on_its_way() {
        let input = input();
        let budget = Budget {
            channel_bytes_max: 1 << 20,
            node_bytes_max: 1 << 24,
            history_age_max: Duration::MAX,
            wait_max: Duration::ZERO,
        };
        let node = Node::new(budget, Telemetry::new().unwrap());
        let id = ChannelId::from(1);
        let channel = node.open(&id, ChannelFlags::default(), WhenFull::Lose);
        let [own, other] = ["t.1", "t.2"].map(|token| Token::new(token).unwrap());
        for token in [&own, &other] {
            let route = Route {
                channel: Arc::clone(&channel),
                source: Source::new("app").unwrap(),
            };
            input.table.insert(token, route);
        }
        for (ended, expected, count) in [
            (other, Ok(()), 1),
            (own, Err(Fault::Unauthorized), 1), // none more
        ] {
            let table = Arc::clone(&input.table);
            let body = pieces(["9 <1>1 - - ", ""], move || table.remove(&ended));
            let request = Request::post("/logs")
                .header("authorization", "Bearer t.1")
                .header("content-type", "application/logplex-1")
                .body(body)
                .unwrap();
            assert_eq!(input.answer(request).await, expected);
            assert_eq!(channel.end_seq().value(), count);
        }
    }

    /// A body that comes in these pieces; before each, `begin` is done.
    fn pieces(texts: [&'static str; 2], begin: impl Fn() + Send + Unpin + 'static) -> RequestBody {
        RequestBody::new(Pieces {
            left: texts.into_iter().rev().map(Bytes::from).collect(),
            begin,
        })
    }

    struct Pieces<F> {
        /// The last first.
        left: Vec<Bytes>,
        begin: F,
    }

    impl<F: Fn() + Unpin> http_body::Body for Pieces<F> {
        type Data = Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _context: &mut Context<'_>,
        ) -> Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
            (self.begin)();
            Poll::Ready(self.left.pop().map(http_body::Frame::data).map(Ok))
        }
    }

    #[test]
    fn the_frame_id_goes_before_the_request_id() {
        let both = headers(&[("x-request-id", "r"), ("logplex-frame-id", "f")]);
        assert_eq!(request_id(&both), Some(&b"f"[..]));
        assert_eq!(
            request_id(&headers(&[("x-request-id", "r")])),
            Some(&b"r"[..])
        );
        assert_eq!(request_id(&HeaderMap::new()), None);
    }
}
