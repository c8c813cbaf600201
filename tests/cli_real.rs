//! The commands as people and scripts use them: the real program against a real router.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests stop at a surprise"
)]

mod support;

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use serde_json::Value;
use tokio::io::AsyncBufReadExt;
use tokio::io::BufReader;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::process::Child;
use tokio::process::Command;
use tokio::sync::Notify;

use support::CREDENTIAL;
use support::Router;
use support::message;
use support::program::check_failure;
use support::program::command;
use support::program::ended;
use support::program::good;
use support::program::json;
use support::program::post;
use support::program::run;
use support::program::url;
use support::sinks::HttpSink;

/// A router at an HTTP address known before, which may not be ready yet.
fn start_at(data: &Path, http: SocketAddr) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_logboom"));
    command
        .args(["serve", "--http", &http.to_string(), "--syslog-tcp", "off"])
        .args(["--syslog-udp", "off", "--data-dir"])
        .arg(data)
        .env("LOGBOOM_ADMIN_CREDENTIAL", CREDENTIAL)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

#[tokio::test]
async fn channels_and_tokens_live_and_die() {
    let router = Router::start().await;
    let url = url(&router);
    let shown = good(
        &url,
        "channels create shop --token app --no-tail --when-full wait",
    )
    .await;
    let token = good(&url, "tokens show shop app").await;
    let expected = format!(
        "channel shop\nflags no_tail\nwhen_full wait\n\nSOURCE  TOKEN\napp     {}\n",
        token.trim_end()
    );
    assert_eq!(shown, expected);
    assert_eq!(good(&url, "channels show shop").await, expected);
    assert_eq!(
        good(&url, "channels list").await,
        "CHANNEL  FLAGS    WHEN_FULL\nshop     no_tail  wait\n"
    );
    let second = good(&url, "tokens create shop heroku").await;
    assert!(
        second.starts_with("t.") && second.ends_with('\n'),
        "{second:?}"
    );
    let listed = json(&url, "tokens list shop").await;
    assert_eq!(listed["tokens"][1]["token"], second.trim_end());
    assert_eq!(
        json(&url, "tokens show shop heroku").await["name"],
        "heroku"
    );
    assert_eq!(
        json(&url, "channels show shop").await["tokens"]["app"],
        token.trim_end()
    );
    assert_eq!(
        json(&url, "channels list").await["channels"][0]["channel"],
        "shop"
    );

    check_failure(&url, "channels create shop", 1, "exists already").await;
    check_failure(&url, "channels show none", 3, "no channel \"none\"").await;
    check_failure(&url, "tokens list none", 3, "no channel \"none\"").await;
    check_failure(&url, "tokens show shop none", 3, "no token named \"none\"").await;
    check_failure(&url, "channels create a/b", 1, "holds the character '/'").await;
    // Two blanks: an empty id.
    check_failure(&url, "channels show ", 2, "a value is required").await;

    assert_eq!(
        good(&url, "tokens delete shop heroku").await,
        "deleted token heroku of channel shop\n"
    );
    check_failure(&url, "tokens delete shop heroku", 3, "token not found").await;
    assert_eq!(json(&url, "channels delete shop").await["deleted"], "shop");
    check_failure(&url, "channels delete shop", 3, "no channel \"shop\"").await;
    router.stop().await;
}

#[tokio::test]
async fn drains_live_tell_their_state_and_die() {
    let router = Router::start().await;
    let url = url(&router);
    let sink = HttpSink::start([]).await;
    let token = router.channel("shop").await;
    let target = sink.url().replace("http://", "http://u:secret@");
    let made = json(
        &url,
        &format!("drains create shop {target} --compression gzip"),
    )
    .await;
    let id = made["id"].as_u64().unwrap();
    router.send_tcp(&message(&token, "one")).await;
    router
        .drain_until("shop", id, |status| status["delivered"] == 1)
        .await;

    let table = good(&url, "drains status shop").await;
    let row: Vec<&str> = table.lines().nth(1).unwrap().split_whitespace().collect();
    let redacted = target.replace("secret", "…");
    let id = id.to_string();
    assert_eq!(
        row,
        [&id, "shop", "idle", "0", "1", "0", &redacted, "204"],
        "{table}"
    );
    let status = json(&url, "drains status").await;
    assert_eq!(status["drains"][0]["status"]["delivered"], 1);
    assert!(good(&url, "drains list").await.contains(" shop "));
    assert_eq!(
        json(&url, "drains list shop").await["drains"][0]["token"],
        made["token"]
    );
    let shown = good(&url, &format!("drains show shop {id}")).await;
    assert!(shown.contains("options.compression   gzip\n"), "{shown}");
    assert!(shown.contains("status.state          idle\n"), "{shown}");
    assert_eq!(
        json(&url, &format!("drains show shop {id}")).await["url"],
        target
    );
    assert_eq!(
        good(&url, &format!("drains delete shop {id}")).await,
        format!("deleted drain {id} of channel shop\n")
    );
    check_failure(
        &url,
        &format!("drains delete shop {id}"),
        3,
        "drain not found",
    )
    .await;
    router.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn presets_stand_for_options() {
    let router = Router::start().await;
    let url = format!("http://{}", router.http);
    good(&url, "channels create shop").await;
    let to = "drains create shop http://127.0.0.1:9/in";
    let made = json(
        &url,
        &format!("{to} --preset vector --frame-bytes-max 2000"),
    )
    .await;
    let path = format!("/v3/channels/shop/drains/{}", made["id"]);
    let shown = async || {
        let options = router.call("GET", &path, "").await.json()["options"].take();
        let fields = [
            "format",
            "compression",
            "newlines",
            "utf8",
            "timestamp",
            "frame_bytes_max",
        ];
        fields.map(|field| options[field].to_string()).join(" ")
    };
    let vector = r#""logplex" "gzip" "escape" "replace" "keep" 2000"#;
    assert_eq!(shown().await, vector);
    let put = async |body: &str| router.call("PUT", &path, body).await;
    assert_eq!(put(r#"{"preset":null,"ps":"web"}"#).await.status, 200);
    assert_eq!(shown().await, vector);
    assert_eq!(put(r#"{"preset":"loki","utf8":"keep"}"#).await.status, 200);
    let loki = r#""logplex" "none" "keep" "keep" "normalize" 10234"#;
    assert_eq!(shown().await, loki);
    for (body, said) in [
        (r#"{"preset":"vektor"}"#, "known are datadog, loki, "),
        (r#"{"preset":"rsyslog"}"#, "needs a syslog://"),
        (r#"{"preset":7}"#, "preset must be a string"),
        (r#"{"newlines":"strip"}"#, "expected `keep` or `escape`"),
        (r#"{"frame_bytes_max":1023}"#, "between 1024 and 131072"),
        (
            r#"{"format":"otlp"}"#,
            "timestamp needs format=logplex or format=rfc5424",
        ),
    ] {
        let answer = put(body).await;
        assert_eq!(answer.status, 422, "{body}");
        assert!(answer.text().contains(said), "{body}: {}", answer.text());
    }
    assert_eq!(shown().await, loki, "what is refused changes nothing");
    check_failure(&url, &format!("{to}2 --preset vektor"), 2, "syslog-ng").await;
    check_failure(
        &url,
        &format!("{to}2 --preset syslog-ng"),
        1,
        "preset syslog-ng needs a syslog://",
    )
    .await;
    router.stop().await;
}

#[tokio::test]
async fn drains_that_cannot_be_are_refused() {
    let router = Router::start().await;
    let url = url(&router);
    router.channel("shop").await;
    check_failure(
        &url,
        "drains create shop ftp://x",
        1,
        "unknown scheme \"ftp\"",
    )
    .await;
    check_failure(
        &url,
        "drains create none http://e/",
        3,
        "no channel \"none\"",
    )
    .await;
    check_failure(
        &url,
        "drains create shop http://e/ --header x",
        2,
        "NAME=VALUE",
    )
    .await;
    check_failure(&url, "drains status none", 3, "no channel \"none\"").await;
    check_failure(&url, "drains show shop 99", 3, "drain not found").await;
    router.stop().await;
}

#[tokio::test]
async fn keys_open_their_apps_until_they_are_revoked() {
    let router = Router::start().await;
    let url = url(&router);
    for app in ["shop", "blog"] {
        router.channel(app).await;
    }
    let made = good(&url, "keys create --app shop --role read --id deploy").await;
    let key = made.trim_end();
    assert!(key.starts_with("deploy:"), "{made:?}");
    let listed = good(&url, "keys list").await;
    let rows: Vec<Vec<&str>> = listed
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(rows[0], ["KEY", "ROLE", "APPS", "CREATED"]);
    assert_eq!(rows[1][..3], ["deploy", "read", "shop"], "{listed}");
    assert!(!listed.contains(key.trim_start_matches("deploy:")));
    // It reads its app, and knows of no other.
    let line = |app: &str| format!("logs {app} --credential {key}");
    assert_eq!(good(&url, &line("shop")).await, "");
    check_failure(&url, &line("blog"), 3, "blog").await;
    check_failure(&url, "keys create --role read", 2, "--app <APP>").await;
    check_failure(&url, "keys create --app none --role read", 1, "none").await;
    let revoked = "revoked key deploy\n";
    assert_eq!(good(&url, "keys revoke deploy").await, revoked);
    let said = "does not accept the credential from --credential";
    check_failure(&url, &line("shop"), 4, said).await;
    check_failure(&url, "keys revoke deploy", 3, "deploy").await;
    router.stop().await;
}

#[tokio::test]
async fn credentials_live_work_and_die() {
    let router = Router::start().await;
    let url = url(&router);
    let made = good(&url, "credentials create reader --permission channel:shop").await;
    let made = made.trim_end();
    assert!(made.starts_with("reader:"), "{made:?}");
    assert_eq!(
        good(&url, "credentials show reader").await,
        "CREDENTIAL  PERMISSIONS\nreader      channel:shop\n"
    );
    assert_eq!(
        json(&url, "credentials show reader").await["permissions"][0],
        "channel:shop"
    );
    assert!(json(&url, "credentials list").await["credentials"].is_array());
    // It is known, but may not do this.
    let line = format!("channels list --credential {made}");
    let (code, _, complaint) = run(&url, &line).await;
    assert_eq!(code, 4, "{complaint}");
    check_failure(
        &url,
        "credentials create x --permission y",
        1,
        "unknown permission",
    )
    .await;
    assert_eq!(
        good(&url, "credentials delete reader").await,
        "deleted credential reader\n"
    );
    check_failure(
        &url,
        "credentials show reader",
        3,
        "no credential \"reader\"",
    )
    .await;
    let said = "does not accept the credential from --credential";
    check_failure(&url, &line, 4, said).await;
    router.stop().await;
}

#[tokio::test]
async fn logs_are_cut_filtered_and_plain() {
    let router = Router::start().await;
    let url = url(&router);
    let tokens = good(&url, "channels create shop --token app --token heroku").await;
    let token = |name: &str| {
        let line = tokens.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().to_owned()
    };
    for index in 1..=3 {
        router
            .send_tcp(&message(&token("app"), &format!("line {index}")))
            .await;
    }
    let other = message(&token("heroku"), "at=info").replace("web.1", "router");
    router.send_tcp(&other).await;

    let time = "2012-12-10T03:00:48.123456Z";
    let of = |text: &str| format!("{time} {text}\n");
    let all = [
        of("app[web.1]: line 1"),
        of("app[web.1]: line 2"),
        of("app[web.1]: line 3"),
        of("heroku[router]: at=info"),
    ];
    // No colours: stdout is no terminal.
    assert_eq!(good(&url, "logs shop").await, all.concat());
    assert_eq!(good(&url, "logs shop -n 2").await, all[2..].concat());
    assert_eq!(
        good(&url, "logs shop -n 2 --source app").await,
        all[1..3].concat()
    );
    assert_eq!(good(&url, "logs shop --ps web -n 1").await, all[2]);
    assert_eq!(good(&url, "logs shop --ps router").await, all[3]);
    assert_eq!(good(&url, "logs shop -n 0").await, "");
    let line = json(&url, "logs shop --ps router").await;
    assert_eq!(
        [
            &line["time"],
            &line["source"],
            &line["ps"],
            &line["message"]
        ],
        [time, "heroku", "router", "at=info"]
    );
    check_failure(&url, "logs none", 3, "no channel \"none\"").await;
    router.stop().await;
}

#[tokio::test]
async fn a_tail_outlives_its_router() {
    let data = tempfile::tempdir().unwrap();
    let router = Router::start_in(data.path().to_owned(), &[], &[]).await;
    let token = router.channel("shop").await;
    let http = router.http;
    // What comes while it is away is not history, of which one line is wanted.
    let mut child = command(&url(&router), &["logs", "shop", "--tail", "-n", "1"])
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut complaints = BufReader::new(child.stderr.take().unwrap()).lines();
    router.send_tcp(&message(&token, "before")).await;
    let work = async {
        assert!(
            lines
                .next_line()
                .await
                .unwrap()
                .unwrap()
                .ends_with("]: before")
        );
        router.stop().await;
        // Ended cleanly, or refused by now: either is told.
        let told = complaints.next_line().await.unwrap().unwrap();
        assert!(
            told.ends_with(" ms") && told.contains("; trying again in "),
            "{told}"
        );
        let mut router = start_at(data.path(), http);
        assert_eq!(
            good(&format!("http://{http}"), "health --wait 30").await,
            "normal\n"
        );
        let after = ["after 1", "after 2", "after 3"];
        post(http, &token, &after.map(|text| message(&token, text))).await;
        for text in after {
            let next = lines.next_line().await.unwrap().unwrap();
            assert!(next.ends_with(text), "{next}");
        }
        let pid = child.id().unwrap().to_string();
        let sent = std::process::Command::new("kill")
            .args(["-s", "INT", &pid])
            .status();
        assert!(sent.unwrap().success());
        assert_eq!(child.wait().await.unwrap().code(), Some(130));
        router.kill().await.unwrap();
    };
    tokio::time::timeout(support::PATIENCE, work).await.unwrap();
}

/// Forwards connections to `to`; all that are open are cut whenever `cut` is notified.
async fn proxy(to: SocketAddr, cut: Arc<Notify>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut near, _) = listener.accept().await.unwrap();
            let mut far = TcpStream::connect(to).await.unwrap();
            let cut = Arc::clone(&cut);
            tokio::spawn(async move {
                tokio::select! {
                    _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                    () = cut.notified() => {}
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn a_tail_that_was_cut_misses_and_repeats_nothing() {
    let router = Router::start().await;
    let token = router.channel("shop").await;
    let cut = Arc::new(Notify::new());
    let url = format!("http://{}", proxy(router.http, Arc::clone(&cut)).await);
    let mut child = command(&url, &["logs", "shop", "--tail"]).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let work = async {
        for index in 0..16 {
            let sent = message(&token, &format!("line {index}"));
            if index % 4 == 3 {
                // Some come while nobody listens, some to an open tail.
                cut.notify_waiters();
            }
            router.send_tcp(&sent).await;
            let line = lines.next_line().await.unwrap().unwrap();
            assert!(line.ends_with(&format!("]: line {index}")), "{line}");
        }
    };
    tokio::time::timeout(support::PATIENCE, work).await.unwrap();
    router.stop().await;
}

#[tokio::test]
async fn a_reader_that_leaves_is_no_failure() {
    let router = Router::start().await;
    let token = router.channel("shop").await;
    let messages: Vec<String> = (0..2_000)
        .map(|index| message(&token, &format!("line {index} {}", "x".repeat(100))))
        .collect();
    post(router.http, &token, &messages).await;
    let mut child = command(&url(&router), &["logs", "shop", "-n", "2000"])
        .spawn()
        .unwrap();
    // Far more than a pipe holds is still to come when its reader leaves.
    let first = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .next_line()
        .await;
    assert!(first.unwrap().unwrap().contains("]: line 0 "));
    let output = tokio::time::timeout(support::PATIENCE, child.wait_with_output());
    let output = output.await.unwrap().unwrap();
    assert_eq!(
        (
            output.status.code(),
            String::from_utf8(output.stderr).unwrap()
        ),
        (Some(0), String::new())
    );
    router.stop().await;
}

#[tokio::test]
async fn a_router_that_is_away_is_told() {
    // Bound and let go: nobody listens there.
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let url = format!("http://{free}");
    for line in [
        "channels list",
        "logs shop",
        "logs shop --tail",
        "drains status",
        "health",
    ] {
        check_failure(&url, line, 5, "Is the router running?").await;
    }
    check_failure(&url, "health --wait 1", 5, "Is the router running?").await;
    let (code, text, complaint) = run(&url, "channels list --json").await;
    let complaint: Value = serde_json::from_str(&complaint).unwrap();
    assert_eq!((code, text.as_str()), (5, ""));
    assert_eq!(complaint["code"], 5);
}

#[tokio::test]
async fn health_waits_for_a_router_that_starts() {
    let data = tempfile::tempdir().unwrap();
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let waiting = command(&format!("http://{free}"), &["health", "--wait", "30"])
        .spawn()
        .unwrap();
    let mut router = start_at(data.path(), free);
    let output = waiting.wait_with_output().await.unwrap();
    assert_eq!(
        (output.status.code(), output.stdout.as_slice()),
        (Some(0), &b"normal\n"[..])
    );
    assert_eq!(
        json(&format!("http://{free}"), "health").await["healthy"],
        true
    );
    router.kill().await.unwrap();
}

#[tokio::test]
async fn completions_are_scripts_that_shells_read() {
    for (shell, names) in [
        ("bash", "complete -F _logboom"),
        ("zsh", "#compdef logboom"),
        ("fish", "complete -c logboom"),
    ] {
        let script = good("http://127.0.0.1:1", &format!("completions {shell}")).await;
        assert!(script.contains(names), "{shell}");
        if shell == "bash" {
            let mut bash = Command::new("bash");
            bash.args(["-n", "-c", &script]);
            let output = ended(bash).await;
            assert!(output.status.success(), "{output:?}");
        }
    }
}
