//! A small HTTP/1.1 client that shows everything: status, reason, headers, raw body.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// An answer as it came.
#[derive(Debug)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Reason phrase.
    pub reason: String,
    /// Headers in order.
    pub headers: Vec<(String, String)>,
    /// Body, with chunked framing taken off.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// The first header of that name, whatever its case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self
            .headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

/// `Basic …` for `user:password`.
pub fn basic(credential: &str) -> String {
    use base64::Engine;
    format!(
        "Basic {}",
        base64::engine::general_purpose::STANDARD.encode(credential)
    )
}

/// One request on a connection of its own. No `Content-Length` is sent when the method is GET,
/// HEAD or DELETE and the body is empty.
pub async fn request(
    to: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Answer {
    let mut socket = TcpStream::connect(to).await.unwrap();
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {to}\r\nConnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    let is_chunked = headers
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case("transfer-encoding"));
    let is_bare = matches!(method, "GET" | "HEAD" | "DELETE") && body.is_empty();
    if !is_chunked && !is_bare {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    head.push_str("\r\n");
    // A server that refuses by the head closes before it has read the body.
    let _refused = socket.write_all(&[head.as_bytes(), body].concat()).await;
    let mut bytes = Vec::new();
    // A server that refuses a body early may reset the connection after its answer.
    if socket.read_to_end(&mut bytes).await.is_err() {
        assert!(
            !bytes.is_empty(),
            "the connection was reset without an answer"
        );
    }
    parse(&bytes)
}

/// The last answer in `bytes`, interim ones (1xx) skipped.
pub fn parse(bytes: &[u8]) -> Answer {
    let end = bytes.windows(4).position(|w| w == b"\r\n\r\n");
    let end = end.unwrap_or_else(|| panic!("no head in {:?}", String::from_utf8_lossy(bytes)));
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let rest = &bytes[end + 4..];
    let mut lines = head.split("\r\n");
    let mut first = lines.next().unwrap().splitn(3, ' ').skip(1);
    let status: u16 = first.next().unwrap().parse().unwrap();
    if status < 200 {
        return parse(rest);
    }
    let reason = first.next().unwrap_or("").to_owned();
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let mut answer = Answer {
        status,
        reason,
        headers,
        body: rest.to_vec(),
    };
    if answer
        .header("transfer-encoding")
        .is_some_and(|v| v.eq_ignore_ascii_case("chunked"))
    {
        answer.body = dechunk(rest).0;
    }
    answer
}

/// Takes chunked framing off; says whether the last chunk was there.
pub fn dechunk(mut bytes: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    loop {
        let Some(end) = bytes.windows(2).position(|w| w == b"\r\n") else {
            return (body, false);
        };
        let size = std::str::from_utf8(&bytes[..end]).unwrap();
        let size = usize::from_str_radix(size.split(';').next().unwrap(), 16).unwrap();
        bytes = &bytes[end + 2..];
        if size == 0 {
            return (body, true);
        }
        if bytes.len() < size + 2 {
            body.extend_from_slice(bytes);
            return (body, false);
        }
        body.extend_from_slice(&bytes[..size]);
        bytes = &bytes[size + 2..];
    }
}

/// A stream (a session) that is read piece by piece.
pub struct Stream {
    socket: TcpStream,
    raw: Vec<u8>,
}

impl Stream {
    /// Sends the request and gives the stream; the head is read with the rest.
    pub async fn open(to: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Self {
        let mut socket = TcpStream::connect(to).await.unwrap();
        let mut head = format!("GET {path} HTTP/1.1\r\nHost: {to}\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        socket.write_all(head.as_bytes()).await.unwrap();
        Self {
            socket,
            raw: Vec::new(),
        }
    }

    /// Reads until the body so far satisfies `is_so`; gives the body so far.
    pub async fn until(&mut self, what: &str, is_so: impl Fn(&str) -> bool) -> String {
        let deadline = tokio::time::Instant::now() + super::PATIENCE;
        loop {
            if let Some(body) = self.body().filter(|body| is_so(body)) {
                return body;
            }
            let mut buffer = vec![0; 64 * 1024];
            let read = tokio::time::timeout_at(deadline, self.socket.read(&mut buffer)).await;
            let read = read.unwrap_or_else(|_| panic!("{what} did not come: {:?}", self.body()));
            let read = read.unwrap();
            assert!(
                0 < read,
                "the stream ended before {what}: {:?}",
                self.body()
            );
            self.raw.extend_from_slice(&buffer[..read]);
        }
    }

    /// The body so far once it is longer than `bytes`; `None` when the stream has ended. Cancel safe.
    pub async fn more(&mut self, bytes: usize) -> Option<String> {
        loop {
            if let Some(body) = self.body().filter(|body| bytes < body.len()) {
                return Some(body);
            }
            if self.raw.ends_with(b"\r\n0\r\n\r\n") {
                return None;
            }
            let mut buffer = vec![0; 64 * 1024];
            let read = self.socket.read(&mut buffer).await.unwrap_or(0);
            if read == 0 {
                return None;
            }
            self.raw.extend_from_slice(&buffer[..read]);
        }
    }

    /// As `until`, for bodies that are no text.
    pub async fn bytes_until(&mut self, what: &str, is_so: impl Fn(&[u8]) -> bool) -> Vec<u8> {
        let deadline = tokio::time::Instant::now() + super::PATIENCE;
        loop {
            if let Some(end) = self.raw.windows(4).position(|w| w == b"\r\n\r\n") {
                let (body, _) = dechunk(&self.raw[end + 4..]);
                if is_so(&body) {
                    return body;
                }
            }
            let mut buffer = vec![0; 64 * 1024];
            let read = tokio::time::timeout_at(deadline, self.socket.read(&mut buffer)).await;
            let read = read.unwrap_or_else(|_| panic!("{what} did not come"));
            let read = read.unwrap();
            assert!(0 < read, "the stream ended before {what}");
            self.raw.extend_from_slice(&buffer[..read]);
        }
    }

    /// Reads to the end of the body; gives it and whether it ended cleanly (last chunk).
    pub async fn rest(mut self) -> (String, bool) {
        let deadline = tokio::time::Instant::now() + super::PATIENCE;
        loop {
            if let Some(end) = self.raw.windows(4).position(|w| w == b"\r\n\r\n") {
                let (body, is_whole) = dechunk(&self.raw[end + 4..]);
                if is_whole {
                    return (String::from_utf8_lossy(&body).into_owned(), true);
                }
            }
            let mut buffer = vec![0; 64 * 1024];
            let read = tokio::time::timeout_at(deadline, self.socket.read(&mut buffer)).await;
            let read = read.expect("the stream does not end").unwrap_or(0);
            if read == 0 {
                return (self.body().unwrap_or_default(), false);
            }
            self.raw.extend_from_slice(&buffer[..read]);
        }
    }

    /// The head of the answer, when it is there.
    pub fn head(&self) -> Option<String> {
        let end = self.raw.windows(4).position(|w| w == b"\r\n\r\n")?;
        Some(String::from_utf8_lossy(&self.raw[..end]).into_owned())
    }

    fn body(&self) -> Option<String> {
        let end = self.raw.windows(4).position(|w| w == b"\r\n\r\n")?;
        Some(String::from_utf8_lossy(&dechunk(&self.raw[end + 4..]).0).into_owned())
    }
}
