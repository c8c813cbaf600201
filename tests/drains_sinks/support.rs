//! A channel with drains, and destinations that record what they get.

use std::collections::VecDeque;
use std::iter;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use logboom::channel::{Budget, Channel, ChannelFlags, Node, WhenFull};
use logboom::clock;
use logboom::egress::drain::{DrainSettings, DrainStatus, Drains};
use logboom::id::{ChannelId, DrainId, DrainToken};
use logboom::registry::{DrainEntry, DrainOptions, DrainUrl};
use logboom::shutdown::Shutdown;
use logboom::syslog::message::{Message, Pri, Timestamp};
use logboom::telemetry::Telemetry;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Longest wait for anything.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

pub(crate) fn settings() -> DrainSettings {
    DrainSettings {
        batch_bytes_max: 100 * 1024,
        connect_timeout: Duration::from_secs(5),
        request_timeout: Duration::from_secs(5),
        write_timeout: Duration::from_secs(5),
        retry_delay_min: Duration::from_millis(2),
        retry_delay_max: Duration::from_millis(20),
        http_idle_max: Duration::from_secs(144),
        syslog_idle_max: Duration::from_secs(240),
        connection_age_max: Duration::from_secs(5 * 3_600),
        deny_loopback: false,
        deny_link_local: false,
        deny_private: false,
        notice_interval: Duration::from_secs(60),
    }
}

/// One channel and its drains.
pub(crate) struct Router {
    pub(crate) channel: Arc<Channel>,
    pub(crate) drains: Arc<Drains>,
    pub(crate) node: Arc<Node>,
    pub(crate) telemetry: Telemetry,
}

impl Router {
    pub(crate) fn new(settings: DrainSettings) -> Self {
        Self::with_budget(settings, 16 * 1024 * 1024)
    }

    pub(crate) fn with_budget(settings: DrainSettings, channel_bytes_max: usize) -> Self {
        let telemetry = Telemetry::new().unwrap();
        let budget = Budget {
            channel_bytes_max,
            node_bytes_max: 64 * 1024 * 1024,
            history_age_max: Duration::from_secs(7 * 24 * 3_600),
            wait_max: Duration::from_secs(30),
        };
        let node = Node::new(budget, telemetry.clone());
        let id = ChannelId::new("app").unwrap();
        let channel = node.open(&id, ChannelFlags::default(), WhenFull::Lose);
        let drains = Drains::new(settings, telemetry.clone(), Shutdown::new());
        Self {
            channel,
            drains,
            node,
            telemetry,
        }
    }

    /// Starts drain number `id` to `url`.
    pub(crate) fn drain(&self, id: u64, url: &str, options: DrainOptions) -> DrainEntry {
        let entry = DrainEntry {
            id: DrainId::new(id),
            token: DrainToken::random(),
            channel: self.channel.id().clone(),
            url: Some(DrainUrl::parse(url).unwrap()),
            options: options.shared(),
            created: clock::wall(),
        };
        self.drains.converge(&entry, &self.channel);
        entry
    }

    pub(crate) fn say(&self, text: &str) {
        self.say_as("app", "web.1", text);
    }

    pub(crate) fn say_as(&self, source: &str, procid: &str, text: &str) {
        let message = message(source, procid, text);
        self.channel.append(iter::once(message), clock::wall());
    }

    pub(crate) fn status(&self) -> DrainStatus {
        self.drains.status(DrainId::new(1)).unwrap()
    }

    /// Waits until the status of drain 1 is as wished.
    pub(crate) async fn status_when(
        &self,
        is_wished: impl Fn(&DrainStatus) -> bool,
    ) -> DrainStatus {
        let waited = timeout(DEADLINE, async {
            loop {
                let status = self.status();
                if is_wished(&status) {
                    return status;
                }
                // A status is no event: it is looked at each time the other tasks have had a turn.
                tokio::task::yield_now().await;
            }
        });
        match waited.await {
            Ok(status) => status,
            Err(_) => panic!("status stays {:?}", self.status()),
        }
    }

    /// Every text in the channel.
    pub(crate) fn texts(&self) -> Vec<String> {
        let mut texts = Vec::new();
        let mut cursor = self.channel.cursor_at(self.channel.first_seq());
        self.channel.read(&mut cursor, |record| {
            texts.push(String::from_utf8_lossy(record.message().text).into_owned());
            ControlFlow::Continue(())
        });
        texts
    }

    /// Checks the book of drain 1, which began with the channel, exactly.
    pub(crate) fn check_book(&self, status: &DrainStatus) {
        let lost: u64 = status.lost.values().sum();
        assert_eq!(
            status.delivered + status.filtered + lost + status.lag_messages,
            self.channel.end_seq().value(),
            "{status:?}"
        );
    }
}

pub(crate) fn message<'a>(source: &'a str, procid: &'a str, text: &'a str) -> Message<'a> {
    Message {
        pri: Pri::or_default(134),
        is_truncated: false,
        timestamp: Timestamp::Given(b"2012-12-10T03:00:48.123456Z"),
        hostname: b"host",
        app_name: source.as_bytes(),
        procid: procid.as_bytes(),
        msgid: b"-",
        sd: b"-",
        text: text.as_bytes(),
    }
}

/// What a destination does with a request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answer {
    /// Writes these bytes and keeps the connection.
    Raw(&'static str),
    /// Writes these bytes and closes.
    RawClose(&'static str),
    /// Never answers.
    Hang,
}

pub(crate) const OK: Answer = Answer::Raw("HTTP/1.1 204 No Content\r\n\r\n");

/// A request as it came.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    /// Which connection it came on, from 1.
    pub(crate) connection: usize,
}

impl Request {
    /// The value of header `name`, written just so.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let start = format!("{name}: ");
        self.head.lines().find_map(|line| line.strip_prefix(&start))
    }

    pub(crate) fn frame_id(&self) -> &str {
        self.header("Logplex-Frame-Id").unwrap()
    }

    pub(crate) fn count(&self) -> u64 {
        self.header("Logplex-Msg-Count").unwrap().parse().unwrap()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }
}

/// An HTTP destination with a script; when that ends every request is answered 204.
pub(crate) struct Recorder {
    pub(crate) address: SocketAddr,
    requests: mpsc::Receiver<Request>,
    closed: mpsc::Receiver<usize>,
    _tasks: Tasks,
}

/// Ends the destination's tasks with the test.
struct Tasks(Shutdown);

impl Drop for Tasks {
    fn drop(&mut self) {
        self.0.request();
    }
}

impl Recorder {
    pub(crate) async fn start(script: impl IntoIterator<Item = Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::on(listener, script)
    }

    pub(crate) fn on(listener: TcpListener, script: impl IntoIterator<Item = Answer>) -> Self {
        let address = listener.local_addr().unwrap();
        let script: Arc<Mutex<VecDeque<Answer>>> =
            Arc::new(Mutex::new(script.into_iter().collect()));
        let (seen, requests) = mpsc::channel(10_000);
        let (gone, closed) = mpsc::channel(1_000);
        let tasks = Shutdown::new();
        let spawner = tasks.clone();
        tasks.spawn(stoppable(tasks.clone(), async move {
            for connection in 1.. {
                let (socket, _) = listener.accept().await.unwrap();
                let (seen, gone, script) = (seen.clone(), gone.clone(), script.clone());
                spawner.spawn(stoppable(spawner.clone(), async move {
                    serve(socket, connection, seen, script).await;
                    gone.send(connection).await.unwrap();
                }));
            }
        }));
        Self {
            address,
            requests,
            closed,
            _tasks: Tasks(tasks),
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    pub(crate) async fn next(&mut self) -> Request {
        timeout(DEADLINE, self.requests.recv())
            .await
            .expect("a request in time")
            .unwrap()
    }

    /// Nothing has come beside what was taken.
    pub(crate) fn check_no_more(&mut self) {
        if let Ok(request) = self.requests.try_recv() {
            panic!("unexpected {request:?}");
        }
    }

    /// Waits until a connection is closed; says which.
    pub(crate) async fn next_closed(&mut self) -> usize {
        timeout(DEADLINE, self.closed.recv())
            .await
            .expect("a close in time")
            .unwrap()
    }
}

/// Runs `task` until it ends or the group is asked to.
pub(crate) async fn stoppable(tasks: Shutdown, task: impl Future<Output = ()>) {
    tokio::select! {
        () = task => {}
        () = tasks.requested() => {}
    }
}

async fn serve(
    mut socket: TcpStream,
    connection: usize,
    seen: mpsc::Sender<Request>,
    script: Arc<Mutex<VecDeque<Answer>>>,
) {
    let mut buffer = Vec::new();
    while let Some((head, body)) = read_request(&mut socket, &mut buffer).await {
        let request = Request {
            head,
            body,
            connection,
        };
        seen.send(request).await.unwrap();
        let answer = script.lock().unwrap().pop_front().unwrap_or(OK);
        let (text, is_last) = match answer {
            Answer::Raw(text) => (text, false),
            Answer::RawClose(text) => (text, true),
            Answer::Hang => {
                // Until the peer has had enough.
                let mut rest = [0; 1024];
                while socket.read(&mut rest).await.is_ok_and(|count| 0 < count) {}
                return;
            }
        };
        if socket.write_all(text.as_bytes()).await.is_err() || is_last {
            return;
        }
    }
}

async fn read_request(socket: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<(String, Vec<u8>)> {
    loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8(buffer[..end].to_vec()).unwrap();
            let length: usize = head
                .lines()
                .find_map(|line| line.strip_prefix("Content-Length: "))
                .map_or(0, |length| length.parse().unwrap());
            if end + 4 + length <= buffer.len() {
                let body = buffer[end + 4..end + 4 + length].to_vec();
                buffer.drain(..end + 4 + length);
                return Some((head, body));
            }
        }
        match socket.read_buf(buffer).await {
            Ok(count) if 0 < count => {}
            _ => return None,
        }
    }
}
