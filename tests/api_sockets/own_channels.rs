//! Channels that the configuration names, and starts in modes that refuse changes.

use crate::support;
use crate::support::Router;
use crate::support::http;
use crate::support::http::basic;
use crate::support::message;

#[tokio::test]
async fn named_channels_are_made_and_kept() {
    let data = tempfile::tempdir().unwrap();
    let keys = [
        ("metrics_channel", "router-metrics"),
        ("firehose_channels", "hose"),
        ("firehose_tokens", "app"),
    ];
    let router = Router::start_in(data.path().to_owned(), &keys, &[]).await;
    for id in ["router-metrics", "hose"] {
        let answer = router.call("GET", &format!("/v3/channels/{id}"), "").await;
        assert_eq!(answer.text(), format!(r#"{{"channel":"{id}"}}"#));
    }
    // The firehose: what comes by tokens of these names, from every channel, once.
    let one = router.channel("one").await;
    let two = router
        .channel_with("two", r#"{"tokens":["app","heroku"]}"#)
        .await;
    let answer = router.call("GET", "/v3/channels/two", "").await;
    let other = answer.json()["tokens"]["heroku"]
        .as_str()
        .unwrap()
        .to_owned();
    for (token, text) in [(&one, "from one"), (&other, "not this"), (&two, "from two")] {
        router.send_tcp(&message(token, text)).await;
    }
    let lines = router.history_until("hose", 2).await;
    let texts: Vec<&str> = lines
        .iter()
        .map(|line| line.split_once("]: ").unwrap().1)
        .collect();
    assert_eq!(texts, ["from one", "from two"]);
    assert_eq!(router.history("two", 9).await.len(), 2);
    let put = router
        .call("PUT", "/v3/channels/hose", r#"{"tokens":["own"]}"#)
        .await;
    assert_eq!(put.status, 200);
    router.stop().await;
    // The next start leaves it as it is.
    let router = Router::start_in(data.path().to_owned(), &keys, &[]).await;
    let answer = router.call("GET", "/v3/channels/hose", "").await;
    assert!(answer.json()["tokens"]["own"].is_string(), "{answer:?}");
    router.stop().await;
}

#[tokio::test]
async fn a_start_in_a_mode_that_refuses_changes_lets_its_admin_in() {
    for (mode, get, put) in [("read_only", 200, 503), ("disabled", 503, 503)] {
        let keys = [("mode", mode), ("metrics_channel", "m")];
        let router = Router::start_with(&keys).await;
        assert_eq!(
            router.call("GET", "/v3/channels/m", "").await.status,
            get,
            "{mode}"
        );
        let answer = router.call("PUT", "/v3/channels/x", "{}").await;
        assert_eq!(answer.status, put, "{mode}");
        assert!(answer.json()["error"].is_string() && answer.header("retry-after").is_some());
        let open = http::request(router.http, "PUT", "/v3/channels/x", &[], b"").await;
        assert_eq!(
            open.status, 401,
            "who is not known learns nothing of the mode"
        );
        router.stop().await;
    }
    // Without a configured credential it is made and written, in this mode too.
    let data = tempfile::tempdir().unwrap();
    let mut command = support::command(data.path());
    command
        .env_remove("LOGBOOM_ADMIN_CREDENTIAL")
        .env("LOGBOOM_MODE", "read_only");
    let router = Router::start_from(command).await;
    let line = std::fs::read_to_string(data.path().join("admin-credential")).unwrap();
    let auth = basic(line.trim_end());
    let headers = [("Authorization", auth.as_str())];
    let answer = http::request(router.http, "GET", "/v3/credentials", &headers, b"").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    router.stop().await;
}

#[tokio::test]
async fn a_credential_is_made_once_however_many_ask() {
    let router = Router::start().await;
    let ask = async || {
        let body = r#"{"id":"one","permissions":["full_api"]}"#;
        router.call("POST", "/v3/credentials", body).await
    };
    let answers = tokio::join!(ask(), ask(), ask(), ask(), ask(), ask(), ask(), ask());
    let answers: [http::Answer; 8] = answers.into();
    let made: Vec<&http::Answer> = answers
        .iter()
        .filter(|answer| answer.status == 201)
        .collect();
    assert_eq!(made.len(), 1, "{answers:?}");
    assert!(
        answers
            .iter()
            .all(|answer| [201, 409].contains(&answer.status))
    );
    let secret = made[0].json()["secret"].as_str().unwrap().to_owned();
    let auth = basic(&format!("one:{secret}"));
    let headers = [("Authorization", auth.as_str())];
    let answer = http::request(router.http, "GET", "/v3/channels", &headers, b"").await;
    assert_eq!(answer.status, 200);
    router.stop().await;
}
