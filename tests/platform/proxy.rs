//! What stands between a reader and its stream, as on every platform, and ends streams when it
//! likes: cleanly, so that a reader of a tail comes back.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;

use tokio::io::AsyncBufReadExt;
use tokio::io::AsyncWriteExt;
use tokio::io::BufReader;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::support;
use crate::support::http::Stream;

/// One request for a stream.
#[derive(Clone, Debug, Default)]
pub(crate) struct Visit {
    /// Path and query.
    pub(crate) target: String,
    /// Its headers, names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    /// What was passed on of the answer's body.
    pub(crate) passed: String,
}

impl Visit {
    /// The header `name`.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// The proxy, for streams alone.
pub(crate) struct Proxy {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    listener: TcpListener,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    visits: Mutex<Vec<Visit>>,
    cut: Notify,
}

impl Proxy {
    /// One that does not serve yet, so that its address can be told to the router before.
    pub(crate) async fn bind() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self {
            address: listener.local_addr().unwrap(),
            listener,
            shared: Arc::default(),
        }
    }

    /// Begins to serve the streams of the router at `router`.
    pub(crate) fn serve(self, router: SocketAddr) -> Served {
        let shared = Arc::clone(&self.shared);
        tokio::spawn(async move {
            loop {
                let (socket, _) = self.listener.accept().await.unwrap();
                tokio::spawn(pass(socket, router, Arc::clone(&shared)));
            }
        });
        Served {
            shared: self.shared,
        }
    }
}

/// A proxy at work.
pub(crate) struct Served {
    shared: Arc<Shared>,
}

impl Served {
    /// Ends the stream that is being passed on.
    pub(crate) fn cut(&self) {
        self.shared.cut.notify_one();
    }

    /// Waits until visit `index` satisfies `is_so`; gives it.
    pub(crate) async fn visit_until(
        &self,
        what: &str,
        index: usize,
        is_so: impl Fn(&Visit) -> bool,
    ) -> Visit {
        support::until(what, || {
            let visits = self.shared.visits.lock().unwrap();
            visits.get(index).filter(|visit| is_so(visit)).cloned()
        })
        .await
    }
}

async fn pass(mut socket: TcpStream, router: SocketAddr, shared: Arc<Shared>) {
    let Some(visit) = read_visit(&mut socket).await else {
        return;
    };
    let headers = ["accept", "last-event-id"];
    let headers: Vec<(&str, &str)> = headers
        .into_iter()
        .filter_map(|name| Some((name, visit.header(name)?)))
        .collect();
    let mut stream = Stream::open(router, &visit.target, &headers).await;
    let index = {
        let mut visits = shared.visits.lock().unwrap();
        visits.push(visit.clone());
        visits.len() - 1
    };
    stream.until("the head", |_| true).await;
    let head = stream.head().unwrap();
    let status = head.lines().next().unwrap();
    if !status.contains(" 200 ") {
        let answer = format!("{status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        socket.write_all(answer.as_bytes()).await.unwrap();
        return;
    }
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\
                Connection: close\r\n\r\n";
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut passed = 0;
    loop {
        let body = tokio::select! {
            body = stream.more(passed) => body,
            () = shared.cut.notified() => None,
        };
        let Some(body) = body else { break };
        let piece = &body[passed..];
        let chunk = format!("{:x}\r\n{piece}\r\n", piece.len());
        socket.write_all(chunk.as_bytes()).await.unwrap();
        passed = body.len();
        shared.visits.lock().unwrap()[index].passed = body;
    }
    socket.write_all(b"0\r\n\r\n").await.unwrap();
    // The reader may have left before it saw the end.
    let _left = socket.shutdown().await;
}

async fn read_visit(socket: &mut TcpStream) -> Option<Visit> {
    let mut lines = BufReader::new(socket).lines();
    let first = lines.next_line().await.ok()??;
    let mut visit = Visit {
        target: first.split(' ').nth(1)?.to_owned(),
        ..Visit::default()
    };
    loop {
        let line = lines.next_line().await.ok()??;
        let Some((name, value)) = line.split_once(": ") else {
            return Some(visit);
        };
        visit.headers.push((name.to_lowercase(), value.to_owned()));
    }
}
