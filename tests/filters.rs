//! Filters, from the API and the command line to what a reader is sent.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    reason = "a test may stop at the first surprise"
)]

mod support;

use std::process::Stdio;

use logboom::registry::Change;
use logboom::registry::DrainEntry;
use logboom::store::Store;
use serde_json::Value;
use serde_json::json;
use support::CREDENTIAL;
use support::Router;
use support::http::Answer;
use support::http::Stream;
use support::message;
use support::number;
use support::sinks::HttpSink;
use tokio::process::Command;

/// Sends lines of a router, one of them from another process.
async fn send(router: &Router, token: &str) {
    for text in ["status=200 path=/", "status=503 path=/api/a", "status=404"] {
        router.send_tcp(&message(token, text)).await;
    }
    let other = message(token, "status=500 path=/api/b").replace("web.1", "worker.1");
    router.send_tcp(&other.replace("<134>", "<131>")).await;
}

fn texts(lines: &str) -> Vec<&str> {
    lines
        .lines()
        .map(|line| line.split_once("]: ").unwrap().1)
        .collect()
}

/// A refusal that points at the character.
fn check_refusal(answer: &Answer, said: &str) {
    assert_eq!(answer.status, 422, "{answer:?}");
    assert_eq!(answer.json()["error"], said);
}

const NO_NUMBER: &str = "filter: at character 9, \"x\": no number: only numbers can be compared, \
                         like 500, 1.5s or 10kB";

const NOT_CLOSED: &str = "filter: at character 3, \"(b\": this parenthesis is not closed";

#[tokio::test]
async fn sessions_have_filters() {
    let router = Router::start().await;
    let token = router.channel("app").await;
    send(&router, &token).await;
    let (bad, grave) = ("status=503 path=/api/a", "status=500 path=/api/b");
    let cases = [
        (json!({"filter": "status>=500"}), vec![bad, grave]),
        (json!({"filter": "status>=500", "num": 1}), vec![grave]),
        (json!({"filter": "path:/api/*", "ps": "web"}), vec![bad]),
        (json!({"filter": "-status:* OR severity:err"}), vec![grave]),
        (
            json!({"filter": "status:404", "source": "app"}),
            vec!["status=404"],
        ),
        (json!({"filter": "status:404", "source": "other"}), vec![]),
        (json!({"filter": "nothing"}), vec![]),
        (json!({"filter": "", "ps": "worker"}), vec![grave]),
        (json!({"filter": null, "ps": "worker"}), vec![grave]),
    ];
    for (mut fields, expected) in cases {
        fields["channel_id"] = json!("app");
        for place in ["/v3/sessions", "/v2/sessions"] {
            let answer = router.call("POST", place, &fields.to_string()).await;
            let url = answer.json()["url"].as_str().unwrap().to_owned();
            let path = format!("/sessions/{}", url.split("/sessions/").nth(1).unwrap());
            let (body, is_whole) = Stream::open(router.http, &path, &[]).await.rest().await;
            assert!(is_whole);
            assert_eq!(texts(&body), expected, "{fields}");
        }
    }
    let live = json!({"channel_id": "app", "filter": "status>=500", "tail": true, "num": 0});
    let path = router.session(&live.to_string()).await;
    let mut tail = Stream::open(router.http, &path, &[]).await;
    send(&router, &token).await;
    let body = tail.until("the last", |body| body.contains(grave)).await;
    assert_eq!(texts(&body), [bad, grave]);
    router.stop().await;
}

#[tokio::test]
async fn a_session_s_wrong_filter_is_pointed_at() {
    let router = Router::start().await;
    router.channel("app").await;
    for (fields, said) in [
        (json!({"filter": "status>=x"}), NO_NUMBER.to_owned()),
        (json!({"filter": "a (b"}), NOT_CLOSED.to_owned()),
        (
            json!({"filter": "status>="}),
            "filter: at character 9, the end: a value is missing here".to_owned(),
        ),
        (
            json!({"filter": "a".repeat(1025)}),
            "filter: at character 1025, \"a\": more than 1024 bytes".to_owned(),
        ),
        (
            json!({"filter": 5}),
            "filter must be a string, not a number".to_owned(),
        ),
    ] {
        let mut body = fields;
        body["channel_id"] = json!("app");
        let answer = router.call("POST", "/v3/sessions", &body.to_string()).await;
        check_refusal(&answer, &said);
    }
    router.stop().await;
}

/// A drain as the API shows it.
async fn shown(router: &Router, drain: u64) -> Value {
    let path = format!("/v3/channels/app/drains/{drain}");
    router.call("GET", &path, "").await.json()
}

#[tokio::test]
async fn a_drain_s_wrong_filter_is_refused_and_changes_nothing() {
    let router = Router::start().await;
    router.channel("app").await;
    let drains = "/v3/channels/app/drains";
    let url = "http://127.0.0.1:9/";
    let long = "a".repeat(1025);
    let cases = [
        ("status>=x", NO_NUMBER),
        ("a (b", NOT_CLOSED),
        ("", "filter is empty; leave it out to take every message"),
        (&long, "filter is 1025 bytes long, at most 1024 are allowed"),
    ];
    for (filter, said) in cases {
        let body = json!({"url": url, "filter": filter}).to_string();
        check_refusal(&router.call("POST", drains, &body).await, said);
        let reserved = json!({"filter": filter}).to_string();
        check_refusal(&router.call("POST", drains, &reserved).await, said);
    }
    let drain = router.drain("app", url, r#","filter":"a""#).await;
    let path = format!("{drains}/{drain}");
    for (filter, said) in cases {
        let body = json!({"filter": filter, "ps": "web"}).to_string();
        check_refusal(&router.call("PUT", &path, &body).await, said);
    }
    let options = &shown(&router, drain).await["options"];
    assert_eq!(
        [&options["filter"], &options["ps"]],
        [&json!("a"), &Value::Null]
    );
    router.stop().await;
}

/// Waits until the drain has read all there is; checks its book.
async fn check_book(router: &Router, drain: u64, delivered: u64, filtered: u64) {
    let is_read = |s: &Value| number(&s["lag_messages"]) == 0;
    let status = router.drain_until("app", drain, is_read).await;
    let found = ["delivered", "filtered"].map(|name| number(&status[name]));
    assert_eq!(found, [delivered, filtered]);
}

async fn check_shown(router: &Router, drain: u64, filter: &Value) {
    assert_eq!(&shown(router, drain).await["options"]["filter"], filter);
}

#[tokio::test]
async fn drains_have_filters_that_change_and_stay() {
    let data = tempfile::tempdir().unwrap();
    let router = Router::start_in(data.path().to_owned(), &[], &[]).await;
    let token = router.channel("app").await;
    let sink = HttpSink::start([]).await;
    let drain = router
        .drain("app", &sink.url(), r#","filter":"status>=500","ps":"web""#)
        .await;
    let path = format!("/v3/channels/app/drains/{drain}");
    check_shown(&router, drain, &json!("status>=500")).await;
    send(&router, &token).await;
    check_book(&router, drain, 1, 3).await;
    assert!(sink.frames()[0].ends_with(" - status=503 path=/api/a\n"));

    let change = r#"{"filter":"status=404","ps":null}"#;
    assert_eq!(router.call("PUT", &path, change).await.status, 200);
    send(&router, &token).await;
    check_book(&router, drain, 2, 6).await;
    assert!(sink.frames()[1].ends_with(" - status=404\n"));
    router.kill().await;

    let router = Router::start_in(data.path().to_owned(), &[], &[]).await;
    check_shown(&router, drain, &json!("status=404")).await;
    send(&router, &token).await;
    check_book(&router, drain, 1, 3).await;
    let change = r#"{"filter":null}"#;
    assert_eq!(router.call("PUT", &path, change).await.status, 200);
    check_shown(&router, drain, &Value::Null).await;
    send(&router, &token).await;
    check_book(&router, drain, 5, 3).await;
    router.stop().await;
}

/// Writes `filter` into the stored entry of the only drain, as another version might have.
fn store_filter(data: &std::path::Path, filter: &str) {
    let mut store = Store::open(data).unwrap();
    let entries = store.load().unwrap();
    let mut entry = serde_json::to_value(entries.drains(None).next().unwrap()).unwrap();
    entry["options"]["filter"] = json!(filter);
    let entry: DrainEntry = serde_json::from_value(entry).unwrap();
    store.commit(&[Change::PutDrain(Box::new(entry))]).unwrap();
}

#[tokio::test]
async fn a_stored_filter_that_cannot_be_read_stops_its_drain_alone() {
    let data = tempfile::tempdir().unwrap();
    let router = Router::start_in(data.path().to_owned(), &[], &[]).await;
    let token = router.channel("app").await;
    let sink = HttpSink::start([]).await;
    let drain = router.drain("app", &sink.url(), "").await;
    router.stop().await;
    store_filter(data.path(), "a (b");

    let mut command = support::command(data.path());
    command.stderr(Stdio::piped());
    let mut router = Router::start_from(command).await;
    let mut log = router.log();
    let line = support::logged(&mut log, "drain does not run").await;
    assert!(line.contains("at character 3"), "{line}");
    let entry = shown(&router, drain).await;
    assert_eq!(entry["options"]["filter"], "a (b");
    assert_eq!(entry["status"], Value::Null);
    router.send_tcp(&message(&token, "unsent")).await;
    let path = format!("/v3/channels/app/drains/{drain}");
    let other = router.call("PUT", &path, r#"{"ps":"web"}"#).await;
    check_refusal(&other, NOT_CLOSED);
    let mended = router.call("PUT", &path, r#"{"filter":"b"}"#).await;
    assert_eq!(mended.status, 200, "{mended:?}");
    router.send_tcp(&message(&token, "a b")).await;
    assert!(sink.frames_until(1).await[0].ends_with(" - a b\n"));
    router.stop().await;
}

/// A command line as a shell takes it: exit code, stdout and stderr.
async fn shell(router: &Router, line: &str) -> (Option<i32>, String, String) {
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_logboom"));
    let path = std::env::var("PATH").unwrap();
    let output = Command::new("bash")
        .args(["-c", line])
        .env(
            "PATH",
            format!("{}:{path}", program.parent().unwrap().display()),
        )
        .env("LOGBOOM_URL", format!("http://{}", router.http))
        .env("LOGBOOM_CREDENTIAL", CREDENTIAL)
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[tokio::test]
async fn the_readmes_filters_work_as_typed() {
    let readme = include_str!("../README.md");
    let (_, section) = readme.split_once("\n## Filters\n").unwrap();
    let (_, block) = section.split_once("\n```sh\n").unwrap();
    let (block, _) = block.split_once("\n```\n").unwrap();
    let [logs, drains] = block.lines().collect::<Vec<_>>()[..] else {
        panic!("{block}");
    };
    let router = Router::start().await;
    let token = router.channel("myapp").await;
    send(&router, &token).await;
    let (code, lines, complaint) = shell(&router, logs).await;
    assert_eq!((code, complaint.as_str()), (Some(0), ""));
    assert_eq!(
        texts(&lines),
        ["status=503 path=/api/a", "status=500 path=/api/b"],
        "{logs}"
    );
    let (code, _, complaint) = shell(&router, drains).await;
    assert_eq!((code, complaint.as_str()), (Some(0), ""), "{drains}");
    let (_, rows, _) = shell(&router, "logboom drains show myapp 1").await;
    let row = rows.lines().find(|row| row.starts_with("options.filter "));
    assert!(row.unwrap().ends_with(" severity>=err"), "{rows}");
    router.stop().await;
}

#[tokio::test]
async fn the_command_line_points_at_what_is_wrong() {
    let router = Router::start().await;
    let token = router.channel("app").await;
    send(&router, &token).await;
    for line in [
        "logboom logs app --filter 'status>=x'",
        "logboom drains create app http://127.0.0.1:9/ --filter 'status>=x'",
    ] {
        let (code, text, complaint) = shell(&router, line).await;
        assert_eq!((code, text.as_str()), (Some(2), ""), "{complaint}");
        let said = "at character 9, \"x\": no number";
        assert!(complaint.contains(said), "{complaint}");
        assert!(
            complaint.contains("\n  status>=x\n          ^\n"),
            "{complaint}"
        );
    }
    let (_, drains, _) = shell(&router, "logboom drains list app --json").await;
    assert!(drains.contains("\"drains\":[]"), "{drains}");
    // A negation in front is no flag.
    let (code, lines, complaint) = shell(&router, "logboom logs app --filter -path:*").await;
    assert_eq!((code, complaint.as_str()), (Some(0), ""));
    assert_eq!(texts(&lines), ["status=404"]);
    router.stop().await;
}
