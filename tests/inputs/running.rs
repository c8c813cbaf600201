//! The configuration of a running router: where values come from, and what SIGHUP changes.

use std::path::Path;
use std::process::Stdio;

use tokio::io::AsyncBufReadExt;
use tokio::io::AsyncReadExt;
use tokio::process::Command;

use crate::framed;
use crate::post;
use crate::support;
use crate::support::Router;
use crate::support::http;
use crate::texts;

#[tokio::test]
async fn the_file_gives_way_to_the_environment_and_that_to_flags() {
    let data = tempfile::tempdir().unwrap();
    let file = data.path().join("logboom.toml");
    let all = ["http", "syslog_tcp", "syslog_udp"].map(|key| format!("{key} = \"127.0.0.2:0\"\n"));
    std::fs::write(&file, all.concat()).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_logboom"))
        .args(["serve", "--syslog-udp", "127.0.0.4:0", "--config"])
        .arg(&file)
        .env("LOGBOOM_SYSLOG_TCP", "127.0.0.3:0")
        .env("LOGBOOM_SYSLOG_UDP", "127.0.0.3:0")
        .env("LOGBOOM_DATA_DIR", data.path().join("entries"))
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut stdout = tokio::io::BufReader::new(child.stdout.take().unwrap());
    let mut ready = String::new();
    stdout.read_line(&mut ready).await.unwrap();
    let hosts: Vec<&str> = ready
        .split_whitespace()
        .filter_map(|word| Some(word.rsplit_once(':')?.0))
        .collect();
    assert_eq!(
        hosts,
        [
            "http=127.0.0.2",
            "syslog_tcp=127.0.0.3",
            "syslog_udp=127.0.0.4"
        ]
    );
    assert!(data.path().join("entries/admin-credential").exists());
    let pid = child.id().unwrap().to_string();
    std::process::Command::new("kill")
        .args(["-s", "TERM", &pid])
        .status()
        .unwrap();
    let mut more = String::new();
    stdout.read_to_string(&mut more).await.unwrap();
    assert_eq!(more, "", "one line on stdout, nothing else");
    assert_eq!(child.wait().await.unwrap().code(), Some(0));
}

async fn start(data: &Path, file: &Path, text: &str) -> Router {
    std::fs::write(file, text).unwrap();
    let flags = ["--config", file.to_str().unwrap()];
    Router::start_in(data.to_owned(), &[], &flags).await
}

#[tokio::test]
async fn sighup_changes_what_can_change() {
    let data = tempfile::tempdir().unwrap();
    let file = data.path().join("logboom.toml");
    let router = start(data.path(), &file, "deny_logs_ingress = true\n").await;
    let token = router.channel("app").await;
    let send = async || post(&router, &token, &[], framed(&token, "x").as_bytes()).await;
    let reload = |text: &str| {
        std::fs::write(&file, text).unwrap();
        router.signal("HUP");
    };
    let answer = send().await;
    assert_eq!(answer.status, 503, "{answer:?}");
    assert_eq!(answer.header("retry-after"), Some("5"));
    reload("");
    support::until_async("ingress", async || send().await.status == 204).await;

    reload("rate_messages_per_second = 1\nrate_burst_seconds = 1\n");
    support::until_async("the rate limit", async || send().await.status == 429).await;

    reload("mode = \"read_only\"\nrate_messages_per_second = 1000\n");
    let put = async || router.call("PUT", "/v3/channels/new", "{}").await.status;
    support::until_async("read-only", async || put().await == 503).await;
    // One key of a reload comes after the other.
    support::until_async("the higher limit", async || send().await.status == 204).await;
    reload("auth_key = \"topsecret\"\npublic_url = \"https://logs.example.com\"\n");
    support::until_async("writable again", async || put().await < 300).await;
    let headers = [
        ("Authorization", "Basic topsecret"),
        ("Content-Type", "application/json"),
    ];
    let body = br#"{"channel_id":"app"}"#;
    let session = async || http::request(router.http, "POST", "/v3/sessions", &headers, body).await;
    support::until_async("the new key", async || session().await.status == 201).await;
    let url = session().await.json()["url"].as_str().unwrap().to_owned();
    assert!(
        url.starts_with("https://logs.example.com/sessions/"),
        "{url}"
    );

    // A budget: the history is cut to it.
    let long = framed(&token, &"b".repeat(60_000));
    let batch = long.repeat(50);
    reload("channel_bytes_max = \"2MiB\"\n");
    support::until_async("the smaller budget", async || {
        post(&router, &token, &[], batch.as_bytes()).await;
        let held = router.metric("logboom_segment_bytes").await;
        held < 2.5 * 1024.0 * 1024.0 && texts(&router, "app").await.len() < 40
    })
    .await;
    router.stop().await;
}

#[tokio::test]
async fn a_faulty_file_changes_nothing_and_is_told() {
    let data = tempfile::tempdir().unwrap();
    let file = data.path().join("logboom.toml");
    std::fs::write(&file, "deny_logs_ingress = true\n").unwrap();
    let mut command = support::command(data.path());
    command.arg("--config").arg(&file).stderr(Stdio::piped());
    let mut router = Router::start_from(command).await;
    let mut log = router.log();
    std::fs::write(&file, "deny_logs_ingress = false\nno_such_key = 1\n").unwrap();
    router.signal("HUP");
    let line = support::logged(&mut log, "configuration not reloaded").await;
    assert!(
        line.contains("level=error") && line.contains("no_such_key"),
        "{line}"
    );
    let answer = http::request(router.http, "POST", "/logs", &[], b"").await;
    assert_eq!(
        answer.status, 503,
        "the right key beside it is not taken either"
    );

    // What only a start heeds is said so; who denies ingress stays healthy.
    std::fs::write(&file, "deny_logs_ingress = true\nframe_bytes_max = 1000\n").unwrap();
    router.signal("HUP");
    let line = support::logged(&mut log, "heeded at the next start").await;
    assert!(
        line.contains("level=warn") && line.contains("key=frame_bytes_max"),
        "{line}"
    );
    let answer = http::request(router.http, "GET", "/healthcheck", &[], b"").await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test]
async fn modes_that_refuse_changes_do_not_refuse_the_first_credential() {
    for mode in ["read_only", "disabled"] {
        let router = Router::start_with(&[("mode", mode)]).await;
        let status = router.call("PUT", "/v3/channels/app", "{}").await.status;
        assert_eq!(status, 503, "{mode}");
        router.stop().await;
    }
}
