//! Recording receivers of drains.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;

use tokio::io::AsyncBufReadExt;
use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWrite;
use tokio::io::AsyncWriteExt;
use tokio::io::BufReader;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

/// One POST as it came.
#[derive(Clone, Debug)]
pub struct Post {
    /// Request line and headers.
    pub head: String,
    /// Body, still compressed if it was.
    pub body: Vec<u8>,
    /// Status that it was answered with; 0 when there was no answer.
    pub status: u16,
    /// Which connection it came on, from 1.
    pub connection: usize,
}

impl Post {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<String> {
        self.head.split("\r\n").skip(1).find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then(|| value.to_owned())
        })
    }

    /// The body's frames.
    pub fn frames(&self) -> Vec<String> {
        cut_frames(&self.body).0
    }
}

/// What an HTTP sink does with a POST.
#[derive(Clone, Debug)]
pub enum Reply {
    /// Writes these bytes as the answer and keeps the connection.
    Raw(String),
    /// Writes these bytes as the answer and closes the connection.
    Last(String),
    /// Closes the connection without an answer.
    Close,
    /// Never answers.
    Hang,
    /// Answers 204 once it gets a permit.
    Held(Arc<Semaphore>),
}

impl Reply {
    /// An answer of that status without a body.
    pub fn status(status: u16) -> Self {
        Self::Raw(format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n"))
    }
}

/// What an HTTP sink does when its script is over.
type Judge = Arc<dyn Fn(&Post) -> Reply + Send + Sync>;

/// An HTTP receiver that answers by a script and then always 204, or as it is told.
pub struct HttpSink {
    /// Where it listens.
    pub address: SocketAddr,
    posts: Arc<Mutex<Vec<Post>>>,
    script: Arc<Mutex<VecDeque<Reply>>>,
    closed: Arc<Mutex<Vec<usize>>>,
}

impl HttpSink {
    /// Starts one.
    pub async fn start(script: impl IntoIterator<Item = Reply>) -> Self {
        Self::start_with("127.0.0.1:0", None, script).await
    }

    /// Starts one at `address` (port 0: any), behind TLS when there is an acceptor.
    pub async fn start_with(
        address: &str,
        tls: Option<TlsAcceptor>,
        script: impl IntoIterator<Item = Reply>,
    ) -> Self {
        Self::start_judging(address, tls, script, |_| Reply::status(204)).await
    }

    /// Starts one that, after the script, answers what `judge` says.
    pub async fn start_judging(
        address: &str,
        tls: Option<TlsAcceptor>,
        script: impl IntoIterator<Item = Reply>,
        judge: impl Fn(&Post) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let judge: Judge = Arc::new(judge);
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let posts = Arc::new(Mutex::new(Vec::new()));
        let script = Arc::new(Mutex::new(script.into_iter().collect::<VecDeque<_>>()));
        let closed = Arc::new(Mutex::new(Vec::new()));
        let (seen, replies, ended) = (Arc::clone(&posts), Arc::clone(&script), Arc::clone(&closed));
        tokio::spawn(async move {
            for connection in 1.. {
                let (socket, _) = listener.accept().await.unwrap();
                let judge = Arc::clone(&judge);
                let (seen, replies, ended, tls) = (
                    Arc::clone(&seen),
                    Arc::clone(&replies),
                    Arc::clone(&ended),
                    tls.clone(),
                );
                tokio::spawn(async move {
                    if let Some(stream) = opened(socket, tls).await {
                        serve(stream, connection, seen, replies, judge).await;
                    }
                    ended.lock().unwrap().push(connection);
                });
            }
        });
        Self {
            address,
            posts,
            script,
            closed,
        }
    }

    /// The connections that have ended, in the order of their ends.
    pub fn closed(&self) -> Vec<usize> {
        self.closed.lock().unwrap().clone()
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// What came so far.
    pub fn posts(&self) -> Vec<Post> {
        self.posts.lock().unwrap().clone()
    }

    /// The number of the connection that the last POST came on; 0 when there was none.
    pub fn newest_connection(&self) -> usize {
        let posts = self.posts.lock().unwrap();
        posts.last().map_or(0, |post| post.connection)
    }

    /// All frames so far, in order.
    pub fn frames(&self) -> Vec<String> {
        self.posts().iter().flat_map(Post::frames).collect()
    }

    /// Waits until there were `count` posts; gives them.
    pub async fn posts_until(&self, count: usize) -> Vec<Post> {
        super::until(&format!("{count} posts"), || {
            let posts = self.posts();
            (count <= posts.len()).then_some(posts)
        })
        .await
    }

    /// Waits until there were `count` frames; gives them.
    pub async fn frames_until(&self, count: usize) -> Vec<String> {
        super::until(&format!("{count} frames"), || {
            let frames = self.frames();
            (count <= frames.len()).then_some(frames)
        })
        .await
    }

    /// Adds to what it will answer before it goes back to 204.
    pub fn answer_next(&self, replies: impl IntoIterator<Item = Reply>) {
        self.script.lock().unwrap().extend(replies);
    }
}

/// A connection, plain or encrypted.
trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// The connection, once the handshake was well if there is TLS.
async fn opened(socket: TcpStream, tls: Option<TlsAcceptor>) -> Option<Box<dyn Wire>> {
    match tls {
        None => Some(Box::new(socket)),
        Some(tls) => Some(Box::new(tls.accept(socket).await.ok()?)),
    }
}

async fn serve(
    socket: impl AsyncRead + AsyncWrite + Unpin,
    connection: usize,
    posts: Arc<Mutex<Vec<Post>>>,
    script: Arc<Mutex<VecDeque<Reply>>>,
    judge: Judge,
) {
    let mut stream = BufReader::new(socket);
    loop {
        let Some(mut post) = read_post(&mut stream).await else {
            return;
        };
        post.connection = connection;
        let next = script.lock().unwrap().pop_front();
        let reply = next.unwrap_or_else(|| judge(&post));
        if let Reply::Held(_) = &reply {
            post.status = 204;
        }
        if let Reply::Raw(bytes) = &reply {
            post.status = bytes
                .split(' ')
                .nth(1)
                .and_then(|s| s.parse().ok())
                .unwrap_or(0);
        }
        posts.lock().unwrap().push(post);
        match reply {
            Reply::Raw(bytes) => {
                if stream.get_mut().write_all(bytes.as_bytes()).await.is_err() {
                    return;
                }
            }
            Reply::Last(bytes) => {
                if stream.get_mut().write_all(bytes.as_bytes()).await.is_err() { /* it is closed */
                }
                return;
            }
            Reply::Close => return,
            Reply::Held(permits) => {
                permits.acquire().await.unwrap().forget();
                let answer = b"HTTP/1.1 204 X\r\nContent-Length: 0\r\n\r\n";
                if stream.get_mut().write_all(answer).await.is_err() {
                    return;
                }
            }
            // Until the peer has had enough.
            Reply::Hang => {
                let mut rest = [0; 1024];
                while stream.read(&mut rest).await.is_ok_and(|count| 0 < count) {}
                return;
            }
        }
    }
}

async fn read_post(stream: &mut BufReader<impl AsyncRead + AsyncWrite + Unpin>) -> Option<Post> {
    let mut head = String::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        if line == "\r\n" {
            break;
        }
        head.push_str(&line);
    }
    let mut post = Post {
        head,
        body: Vec::new(),
        status: 0,
        connection: 0,
    };
    let length: usize = post.header("content-length")?.trim().parse().ok()?;
    post.body.resize(length, 0);
    stream.read_exact(&mut post.body).await.ok()?;
    Some(post)
}

/// A receiver of octet-counted syslog over TCP.
pub struct SyslogSink {
    /// Where it listens.
    pub address: SocketAddr,
    bytes: Arc<Mutex<Vec<u8>>>,
    connections: Arc<Mutex<(usize, usize)>>,
}

impl SyslogSink {
    /// Starts one.
    pub async fn start() -> Self {
        Self::start_with("127.0.0.1:0", None).await
    }

    /// Starts one at `address` (port 0: any), behind TLS when there is an acceptor.
    pub async fn start_with(address: &str, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let connections = Arc::new(Mutex::new((0, 0)));
        let (seen, counts) = (Arc::clone(&bytes), Arc::clone(&connections));
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                counts.lock().unwrap().0 += 1;
                let (seen, counts, tls) = (Arc::clone(&seen), Arc::clone(&counts), tls.clone());
                tokio::spawn(async move {
                    if let Some(stream) = opened(socket, tls).await {
                        read_all(stream, seen).await;
                    }
                    counts.lock().unwrap().1 += 1;
                });
            }
        });
        Self {
            address,
            bytes,
            connections,
        }
    }

    /// How many connections were made, and how many of them have ended.
    pub fn connections(&self) -> (usize, usize) {
        *self.connections.lock().unwrap()
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("syslog://{}", self.address)
    }

    /// All frames so far, in order.
    pub fn frames(&self) -> Vec<String> {
        cut_frames(&self.bytes.lock().unwrap()).0
    }

    /// The bytes so far.
    pub fn bytes(&self) -> Vec<u8> {
        self.bytes.lock().unwrap().clone()
    }

    /// The bytes so far, as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().unwrap()).into_owned()
    }

    /// Waits until there were `count` frames; gives them.
    pub async fn frames_until(&self, count: usize) -> Vec<String> {
        super::until(&format!("{count} frames"), || {
            let frames = self.frames();
            (count <= frames.len()).then_some(frames)
        })
        .await
    }
}

async fn read_all(mut stream: impl AsyncRead + Unpin, seen: Arc<Mutex<Vec<u8>>>) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        seen.lock().unwrap().extend_from_slice(&buffer[..read]);
    }
}

/// Cuts octet-counted frames; gives them and how many bytes they took.
pub fn cut_frames(bytes: &[u8]) -> (Vec<String>, usize) {
    let mut frames = Vec::new();
    let mut used = 0;
    while let Some(space) = bytes[used..].iter().position(|&byte| byte == b' ') {
        let digits = std::str::from_utf8(&bytes[used..used + space]).unwrap();
        let length: usize = digits
            .parse()
            .unwrap_or_else(|_| panic!("no octet count: {digits:?}"));
        let start = used + space + 1;
        let Some(frame) = bytes.get(start..start + length) else {
            break;
        };
        frames.push(String::from_utf8_lossy(frame).into_owned());
        used = start + length;
    }
    (frames, used)
}
