//! `logboom check` against routers that are well and others.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    reason = "tests stop at a surprise"
)]

mod support;

use rcgen::CertificateParams;
use rcgen::KeyPair;
use serde_json::Value;

use support::Router;
use support::certificates::Certificates;
use support::message;
use support::program::check_failure;
use support::program::command;
use support::program::ended;
use support::program::run;
use support::program::url;
use support::sinks::HttpSink;
use support::sinks::Reply;

/// The worst result of each topic, and the exit code.
async fn results(url: &str, line: &str) -> (i32, Vec<(String, String)>, Value) {
    let (code, text, complaint) = run(url, &format!("{line} --json")).await;
    assert_eq!(complaint, "", "{line}");
    let found: Value = serde_json::from_str(&text).unwrap();
    let mut topics: Vec<(String, String)> = Vec::new();
    for check in found["checks"].as_array().unwrap() {
        let [topic, result] = ["check", "result"].map(|field| check[field].as_str().unwrap());
        assert_eq!(check["next"].is_null(), result == "ok", "{check}");
        let weight = |result: &str| ["ok", "warn", "fail"].iter().position(|w| *w == result);
        match topics.iter_mut().find(|(known, _)| known == topic) {
            Some((_, worst)) if weight(worst) < weight(result) => result.clone_into(worst),
            Some(_) => {}
            None => topics.push((topic.to_owned(), result.to_owned())),
        }
    }
    assert_eq!(found["ok"], code == 0, "{found}");
    (code, topics, found)
}

fn is(topics: &[(String, String)], topic: &str, result: &str) {
    let found = topics.iter().find(|(known, _)| known == topic);
    assert_eq!(found.unwrap().1, result, "{topic}: {topics:?}");
}

/// A certificate and its key, which end in so many days.
fn ending_in(days: i64) -> (String, String) {
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.not_after = (std::time::SystemTime::now()
        + std::time::Duration::from_secs(u64::try_from(days * 86_400 + 60).unwrap()))
    .into();
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    (certificate.pem(), key.serialize_pem())
}

#[tokio::test]
async fn a_good_channel_is_green_and_a_new_one_not() {
    let router = Router::start().await;
    let url = url(&router);
    let token = router.channel("shop").await;
    let (code, topics, _) = results(&url, "check shop").await;
    assert_eq!(code, 1);
    is(&topics, "drains", "fail");
    is(&topics, "sources", "warn");

    let sink = HttpSink::start([]).await;
    let drain = router.drain("shop", &sink.url(), "").await;
    for index in 0..10 {
        router
            .send_tcp(&message(&token, &format!("line {index}")))
            .await;
    }
    router
        .drain_until("shop", drain, |status| status["delivered"] == 10)
        .await;
    let (code, topics, found) = results(&url, "check shop").await;
    assert_eq!(code, 0, "{found}");
    for topic in ["drains", "certificates", "losses", "rates", "sources"] {
        is(&topics, topic, "ok");
    }
    // Silent for longer than its longest pause, which was short.
    let (code, topics, found) = until_silent(&url).await;
    assert_eq!(code, 1, "{found}");
    is(&topics, "sources", "fail");
    check_failure(&url, "check shpo", 3, "did you mean \"shop\"?").await;
    check_failure(
        &url,
        "check shop --silent-after soon",
        2,
        "a time is such as 90s",
    )
    .await;
    router.stop().await;
}

async fn until_silent(url: &str) -> (i32, Vec<(String, String)>, Value) {
    let mut last = None;
    support::until_async("silence", async || {
        let found = results(url, "check shop --silent-after 0s").await;
        let is_silent = found.0 == 1;
        last = Some(found);
        is_silent
    })
    .await;
    last.unwrap()
}

#[tokio::test]
async fn what_failed_is_red_and_says_what_to_do() {
    let router = Router::start_with(&[
        ("rate_messages_per_second", "2"),
        ("rate_burst_seconds", "1"),
    ])
    .await;
    let url = url(&router);
    let token = router.channel("shop").await;
    let sink = HttpSink::start([Reply::status(404), Reply::status(404)]).await;
    let drain = router.drain("shop", &sink.url(), "").await;
    router.send_tcp(&message(&token, "refused")).await;
    // The message, and what tells the channel's readers of it.
    router
        .drain_until("shop", drain, |status| status["lost"]["refused"] == 2)
        .await;
    assert_eq!(router.drain_status("shop", drain).await["lost_last_day"], 2);
    let (code, topics, found) = results(&url, "check shop").await;
    assert_eq!(code, 1);
    is(&topics, "drains", "fail");
    is(&topics, "losses", "fail");
    is(&topics, "rates", "ok");
    assert!(
        found.to_string().contains("refused the batch with 404"),
        "{found}"
    );

    // Over the limit: dropped, and told in the channel.
    let frames: Vec<String> = (0..50).map(|_| message(&token, "x")).collect();
    for frame in &frames {
        router.send_tcp(frame).await;
    }
    support::until_async("the notice", async || {
        let (_, _, found) = results(&url, "check shop").await;
        found.to_string().contains("dropped over the rate limit")
    })
    .await;

    let output = ended(command(&url, &["check", "shop", "--color", "always"])).await;
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1));
    for said in [
        "\x1b[31m✖ FAIL\x1b[0m  losses ",
        "\x1b[32m✔ ok  \x1b[0m  certificates",
        "→ `logboom drains show shop",
    ] {
        assert!(text.contains(said), "{text}");
    }
    let (_, plain, _) = run(&url, "check shop").await;
    assert!(
        !plain.contains('\x1b') && plain.contains("✖ FAIL  losses "),
        "{plain}"
    );
    // At 80 columns nothing wraps.
    assert!(
        plain.lines().all(|line| line.chars().count() <= 80),
        "{plain}"
    );
    router.stop().await;
}

#[tokio::test]
async fn certificates_are_seen_to_end() {
    let certificates = Certificates::new();
    let folder = tempfile::tempdir().unwrap();
    let (own, own_key) = ending_in(20);
    for (name, text) in [("own.pem", &own), ("own.key", &own_key)] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let file = |name: &str| folder.path().join(name).display().to_string();
    let router = Router::start_with(&[
        ("tls_certificate", &file("own.pem")),
        ("tls_key", &file("own.key")),
        ("syslog_tls", "127.0.0.1:0"),
    ])
    .await;
    let url = url(&router);
    let token = router.channel("shop").await;
    let tls = Some(certificates.acceptor(false));
    let sink = HttpSink::start_with("127.0.0.1:0", tls, []).await;
    let to = format!("https://localhost:{}/", sink.address.port());
    let ca = Value::from(certificates.ca_pem());
    let drain = router.drain("shop", &to, &format!(r#","ca":{ca}"#)).await;
    let (_, _, found) = results(&url, "check shop").await;
    let unseen = format!("drain {drain} has not seen its destination's yet");
    assert!(found.to_string().contains(&unseen), "{found}");

    router.send_tcp(&message(&token, "over TLS")).await;
    router
        .drain_until("shop", drain, |status| status["delivered"] == 1)
        .await;
    let at = format!("/v3/channels/shop/drains/{drain}");
    let shown = router.call("GET", &at, "").await.json();
    // What rcgen gives a certificate that is not told when to end.
    assert_eq!(
        shown["tls"]["not_after"],
        "4096-01-01T00:00:00.000000+00:00"
    );
    assert!(shown["tls"]["client_not_after"].is_null());
    let (code, topics, found) = results(&url, "check shop").await;
    assert_eq!(code, 0, "{found}");
    is(&topics, "certificates", "warn");
    let ends = "the router's own certificate (syslog_tls) ends in 20 days";
    assert!(found.to_string().contains(ends), "{found}");
    let (code, _, _) = results(&url, "check shop --certificate-days 21").await;
    assert_eq!(code, 1);

    // A client certificate of the drain's that ends sooner.
    let (cert, key) = ending_in(5);
    let body = serde_json::json!({"client_cert": cert, "client_key": key}).to_string();
    assert_eq!(router.call("PUT", &at, &body).await.status, 200);
    let (code, topics, found) = results(&url, "check shop").await;
    assert_eq!(code, 1);
    is(&topics, "certificates", "fail");
    let ends = format!("the client certificate of drain {drain} ends in 5 days");
    assert!(found.to_string().contains(&ends), "{found}");

    // A renewed file is seen after a reload.
    let (own, own_key) = ending_in(300);
    for (name, text) in [("own.pem", &own), ("own.key", &own_key)] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    router.signal("HUP");
    support::until_async("the renewed certificate", async || {
        let (_, _, found) = results(&url, "check shop").await;
        found.to_string().contains("(syslog_tls) ends in 300 days")
    })
    .await;
    router.stop().await;
}

#[tokio::test]
async fn the_router_says_how_it_is() {
    let router = Router::start().await;
    let url = url(&router);
    let (code, page, _) = run(&url, "status").await;
    assert_eq!(code, 0, "{page}");
    for said in [
        "  ✔ ok    router        normal, version ",
        "  ! warn  channels      there is none\n",
        "→ logboom channels create shop\n",
        "0 failed, 1 warned, 3 ok\n",
    ] {
        assert!(page.contains(said), "{said:?}: {page}");
    }
    let token = router.channel("shop").await;
    let sink = HttpSink::start([Reply::status(400)]).await;
    let drain = router.drain("shop", &sink.url(), "").await;
    router.send_tcp(&message(&token, "refused")).await;
    router
        .drain_until("shop", drain, |status| status["lost"]["refused"] != 0)
        .await;
    let (code, page, _) = run(&url, "status").await;
    assert_eq!(code, 0, "{page}");
    assert!(page.contains("channels      1, taking "), "{page}");
    assert!(page.contains("! warn  losses "), "{page}");
    let (_, text, _) = run(&url, "status --json").await;
    let found: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(found["healthy"], true);
    assert_eq!(found["totals"]["drains"], 1, "{found}");
    router.stop().await;
    check_failure(&url, "status", 5, "Is the router running?").await;
}
