//! The commands against a small server of the test's own: what they ask for, what they print, and
//! how they end.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::ffi::OsString;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;
use std::io::Write;
use std::net::TcpListener;
use std::net::TcpStream;
use std::process::ExitCode;
use std::thread::JoinHandle;

use logboom::cli::Out;
use logboom::cli::run;
use logboom::config::Environment;

/// Answers one request after the other, each on its connection, and returns what was asked.
struct Fake {
    url: String,
    thread: JoinHandle<Vec<String>>,
}

impl Fake {
    /// `answers`: status line's rest, and body. A body that begins with `id:` or `retry:` is a stream of events.
    fn start(answers: &[(&str, &str)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let answers: Vec<(String, String)> = answers
            .iter()
            .map(|&(status, body)| (status.to_owned(), body.to_owned()))
            .collect();
        let thread = std::thread::spawn(move || {
            let serve = |(status, body): (String, String)| {
                let (stream, _) = listener.accept().unwrap();
                answer(stream, &status, &body)
            };
            answers.into_iter().map(serve).collect()
        });
        Self { url, thread }
    }

    /// What was asked: `METHOD TARGET [BODY]`, once all answers are given.
    fn requests(self) -> Vec<String> {
        self.thread.join().unwrap()
    }
}

fn answer(stream: TcpStream, status: &str, body: &str) -> String {
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    reader.read_line(&mut first).unwrap();
    let mut noted = first.trim_end().trim_end_matches(" HTTP/1.1").to_owned();
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let line = line.trim_end().to_lowercase();
        if line.is_empty() {
            break;
        }
        match line.split_once(": ") {
            Some(("content-length", value)) => length = value.parse().unwrap(),
            Some(("last-event-id", value)) => noted.push_str(&format!(" after {value}")),
            Some(("authorization", value)) => assert_eq!(value, "basic ytpi", "a:b"),
            _ => {}
        }
    }
    let mut sent = vec![0; length];
    reader.read_exact(&mut sent).unwrap();
    if !sent.is_empty() {
        noted.push(' ');
        noted.push_str(&String::from_utf8(sent).unwrap());
    }
    let kind = if body.contains("data: ") {
        "text/event-stream"
    } else {
        "application/json"
    };
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    let stream = reader.get_mut();
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body.as_bytes()).unwrap();
    noted
}

/// Runs `logboom` with `line` (split at blanks) against `url`.
fn logboom(url: &str, line: &str) -> (ExitCode, String) {
    let variables = [("LOGBOOM_URL", url), ("LOGBOOM_CREDENTIAL", "a:b")];
    let environment =
        Environment::new(variables.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let words = ["logboom"].into_iter().chain(line.split(' '));
    let out = Out::buffer();
    let code = run(words.map(OsString::from), &environment, &out);
    (code, out.buffered())
}

fn check(line: &str, answers: &[(&str, &str)], requests: &[&str], code: u8, output: &str) {
    let fake = Fake::start(answers);
    let (found, text) = logboom(&fake.url, line);
    assert_eq!(fake.requests(), requests, "{line}");
    assert_eq!(text, output, "{line}");
    assert_eq!(
        format!("{found:?}"),
        format!("{:?}", ExitCode::from(code)),
        "{line}"
    );
}

const SHOP: &str = r#"{"channel":"shop","tokens":{"app":"t.1","heroku":"t.2"},"drains":[{"id":7,"token":"d.3","url":"https://e.example/"}],"flags":{"no_tail":true,"no_redis":false}}"#;

#[test]
fn channels() {
    check(
        "channels create shop --token app --token heroku --no-tail --when-full wait",
        &[
            ("404 Not Found", ""),
            ("201 Created", "{}"),
            ("200 OK", SHOP),
        ],
        &[
            "GET /v3/channels/shop",
            "PUT /v3/channels/shop {\"no_redis\":false,\"no_tail\":true,\"tokens\":[\"app\",\"heroku\"],\"when_full\":\"wait\"}",
            "GET /v3/channels/shop",
        ],
        0,
        "channel shop\nflags no_tail\n\nSOURCE  TOKEN\napp     t.1\nheroku  t.2\n\nDRAIN  TOKEN  URL\n7      d.3    https://e.example/\n",
    );
    check(
        "channels create shop",
        &[("200 OK", SHOP)],
        &["GET /v3/channels/shop"],
        1,
        "",
    );
    check(
        "channels --json list",
        &[
            ("200 OK", r#"{"channels":[{"channel":"a"}],"next":"a"}"#),
            ("200 OK", r#"{"channels":[{"channel":"b"}],"next":null}"#),
        ],
        &[
            "GET /v3/channels?limit=1000",
            "GET /v3/channels?limit=1000&after=a",
        ],
        0,
        "{\"channels\":[{\"channel\":\"a\"},{\"channel\":\"b\"}]}\n",
    );
    check(
        "channels delete a/b",
        &[("200 OK", "")],
        &["DELETE /v3/channels/a%2Fb"],
        0,
        "deleted channel a/b\n",
    );
    check(
        "channels show none",
        &[("404 Not Found", r#"{"error":"no such channel"}"#)],
        &["GET /v3/channels/none"],
        3,
        "",
    );
}

#[test]
fn tokens() {
    check(
        "tokens create shop app",
        &[("201 Created", r#"{"name":"app","token":"t.9"}"#)],
        &["POST /v3/channels/shop/tokens {\"name\":\"app\"}"],
        0,
        "t.9\n",
    );
    let list = r#"{"tokens":[{"name":"app","token":"t.9"}]}"#;
    check(
        "tokens list shop",
        &[("200 OK", list)],
        &["GET /v3/channels/shop/tokens"],
        0,
        "SOURCE  TOKEN\napp     t.9\n",
    );
    check(
        "tokens show shop app",
        &[("200 OK", list)],
        &["GET /v3/channels/shop/tokens"],
        0,
        "t.9\n",
    );
    check(
        "tokens show shop web",
        &[("200 OK", list)],
        &["GET /v3/channels/shop/tokens"],
        3,
        "",
    );
}

#[test]
fn drains() {
    check(
        "drains create shop https://e.example/ --header X=1 --compression gzip",
        &[(
            "201 Created",
            r#"{"id":7,"token":"d.3","url":"https://e.example/"}"#,
        )],
        &[
            "POST /v3/channels/shop/drains {\"compression\":\"gzip\",\"headers\":{\"X\":\"1\"},\"url\":\"https://e.example/\"}",
        ],
        0,
        "DRAIN  TOKEN  URL\n7      d.3    https://e.example/\n",
    );
    let all = r#"{"drains":[{"id":7,"token":"d.3","url":"http://e/","channel":"shop","status":{"state":"idle","lag_messages":0,"lag_bytes":0,"delivered":5,"lost":{},"last_status":200}}],"next":null}"#;
    check(
        "drains status",
        &[("200 OK", all)],
        &["GET /v3/drains?limit=1000"],
        0,
        "DRAIN  CHANNEL  STATE  LAG  DELIVERED  LOST  URL        LAST\n7      shop     idle     0          5     0  http://e/  200\n",
    );
}

#[test]
fn credentials() {
    check(
        "credentials create x --permission channel:shop",
        &[(
            "201 Created",
            r#"{"id":"x","secret":"s","permissions":["channel:shop"]}"#,
        )],
        &["POST /v3/credentials {\"id\":\"x\",\"permissions\":[\"channel:shop\"]}"],
        0,
        "x:s\n",
    );
    check(
        "credentials list",
        &[(
            "200 OK",
            r#"{"credentials":[{"id":"x","permissions":["full_api","any_channel"]}]}"#,
        )],
        &["GET /v3/credentials?limit=1000"],
        0,
        "CREDENTIAL  PERMISSIONS\nx           full_api,any_channel\n",
    );
    check(
        "credentials delete x",
        &[("401 Unauthorized", r#"{"error":"Not Authorized"}"#)],
        &["DELETE /v3/credentials/x"],
        4,
        "",
    );
}

#[test]
fn health() {
    let well = r#"{"status":"normal"}"#;
    check(
        "health",
        &[("200 OK", well)],
        &["GET /healthcheck"],
        0,
        "normal\n",
    );
    check(
        "health --json",
        &[("503 Service Unavailable", r#"{"status":"stopping"}"#)],
        &["GET /healthcheck"],
        1,
        "{\"healthy\":false,\"status\":\"stopping\"}\n",
    );
}

#[test]
fn history() {
    check(
        "logs shop -n 2 --ps web",
        &[
            ("201 Created", r#"{"url":"/sessions/1"}"#),
            (
                "200 OK",
                "retry: 10\nid: 1\ndata: T app[web.1]: a\n\nid: 2\ndata: T app[web.1]: b\n\n",
            ),
        ],
        &[
            "POST /v3/sessions {\"channel_id\":\"shop\",\"num\":\"2\",\"ps\":\"web\"}",
            "GET /sessions/1",
        ],
        0,
        "T app[web.1]: a\nT app[web.1]: b\n",
    );
}

#[test]
fn a_tail_comes_back_where_it_was() {
    check(
        "logs shop --tail --json",
        &[
            ("201 Created", r#"{"url":"/sessions/1"}"#),
            (
                "200 OK",
                "id: 1\ndata: T app[web.1]: a\n\nid: 2\ndata: lost in the mid",
            ),
            ("404 Not Found", ""),
            ("201 Created", r#"{"url":"/sessions/2"}"#),
            ("200 OK", "id: 2\ndata: T app[web.1]: b\n\n"),
            ("401 Unauthorized", ""),
        ],
        &[
            "POST /v3/sessions {\"channel_id\":\"shop\",\"format\":\"json\",\"num\":\"100\",\"tail\":true}",
            "GET /sessions/1",
            "GET /sessions/1 after 1",
            "POST /v3/sessions {\"channel_id\":\"shop\",\"format\":\"json\",\"num\":\"100\",\"tail\":true}",
            "GET /sessions/2 after 1",
            "GET /sessions/2 after 2",
        ],
        4,
        &[("1", "a"), ("2", "b")]
            .map(|(id, message)| {
                format!(
                    "{{\"channel\":\"shop\",\"id\":\"{id}\",\"time\":\"T\",\"arrival\":null,\
                     \"source\":\"app\",\"ps\":\"web.1\",\"facility\":null,\"severity\":null,\
                     \"hostname\":null,\"msgid\":null,\"sd\":null,\"message\":\"{message}\",\
                     \"truncated\":false}}\n"
                )
            })
            .concat(),
    );
}

#[test]
fn a_tail_that_is_forbidden_ends() {
    check(
        "logs shop --tail",
        &[
            ("201 Created", r#"{"url":"/sessions/1"}"#),
            (
                "200 OK",
                "data: T Logplex: Error L20 (Tail sessions forbidden) x\n\n",
            ),
        ],
        &[
            "POST /v3/sessions {\"channel_id\":\"shop\",\"num\":\"100\",\"tail\":true}",
            "GET /sessions/1",
        ],
        4,
        "T Logplex: Error L20 (Tail sessions forbidden) x\n",
    );
}

#[test]
fn codes_of_what_never_asks() {
    let code = |line: &str| format!("{:?}", logboom("http://127.0.0.1:1", line).0);
    let expected = |code: u8| format!("{:?}", ExitCode::from(code));
    assert_eq!(code("health"), expected(5));
    assert_eq!(code("channels"), expected(2));
    assert_eq!(code("nonsense"), expected(2));
    assert_eq!(code("health --url nonsense"), expected(2));
    assert_eq!(code("channels list --credential nonsense"), expected(2));
    assert_eq!(code("drains create a b --header x"), expected(2));
    assert_eq!(code("serve --http nonsense"), expected(2));
    assert_eq!(code("--help"), expected(0));
}

#[test]
fn without_a_credential_nothing_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    let line = format!(
        "logboom channels list --data-dir {}",
        folder.path().display()
    );
    let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
    let code = run(words, &Environment::default(), &Out::buffer());
    assert_eq!(format!("{code:?}"), format!("{:?}", ExitCode::from(4)));
}

#[test]
fn the_data_folder_holds_the_credential() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("admin-credential"), "a:b\n").unwrap();
    let fake = Fake::start(&[("200 OK", "")]);
    let dir = folder.path().display();
    let line = format!(
        "logboom channels delete x --url {} --data-dir {dir}",
        fake.url
    );
    let words: Vec<OsString> = line.split(' ').map(OsString::from).collect();
    let code = run(words, &Environment::default(), &Out::buffer());
    assert_eq!(fake.requests(), ["DELETE /v3/channels/x"]);
    assert_eq!(format!("{code:?}"), format!("{:?}", ExitCode::SUCCESS));
}

#[test]
fn completions_name_every_command() {
    for shell in ["bash", "zsh", "fish"] {
        let (_, script) = logboom("", &format!("completions {shell}"));
        for command in [
            "serve", "demo", "channels", "drains", "logs", "check", "top", "health", "since",
            "color",
        ] {
            assert!(script.contains(command), "{shell} lacks {command}");
        }
    }
}

#[test]
fn config_is_printed() {
    assert_eq!(logboom("", "config").1, logboom::config::reference());
}
