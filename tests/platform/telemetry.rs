//! `heroku telemetry` and its commands, which 11 has.

use crate::heroku::Heroku;
use crate::heroku::key;
use crate::support::Router;
use crate::support::http;
use crate::support::message;
use crate::support::sinks::HttpSink;

#[tokio::test]
async fn telemetry_drains_are_added_shown_changed_and_removed() {
    let router = Router::start().await;
    let token = router.channel("shop").await;
    let sink = HttpSink::start([]).await;
    let key = key(&router, "write").await;
    let heroku = Heroku::new(11, &router, &key);
    let url = sink.url();
    let headers = r#"{"x-api-key":"HeaderSecret"}"#;
    let (all, added) = tokio::join!(
        heroku.run(format!("telemetry:add {url}")),
        heroku.run(format!(
            "telemetry:add {url} --signals logs --headers {headers}"
        )),
    );
    all.check(
        2,
        "",
        r#"signals must be ["logs"] (--signals logs), not ["traces""#,
    );
    added.check(0, &format!("successfully added drain {url}\n"), "");
    router.send_tcp(&message(&token, "to the collector")).await;
    let posts = sink.posts_until(1).await;
    assert_eq!(
        posts[0].header("x-api-key").as_deref(),
        Some("HeaderSecret")
    );
    let authorization = format!("Bearer {key}");
    let list = async || {
        let headers = [("Authorization", authorization.as_str())];
        let path = "/apps/shop/telemetry-drains";
        http::request(router.http, "GET", path, &headers, b"")
            .await
            .json()
    };
    let drains = list().await;
    let id = drains[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(drains[0]["exporter"]["headers"]["x-api-key"], "********");
    let other = "https://127.0.0.1:3/x";
    let (listed, changed, traces) = tokio::join!(
        heroku.run("telemetry"),
        heroku.run_as_typed(format!("telemetry:update {id} --endpoint {other}")),
        heroku.run_as_typed(format!("telemetry:update {id} --signals traces")),
    );
    assert!(listed.stdout.contains(&id), "{listed:?}");
    assert!(
        changed.stdout.contains(&format!("Endpoint:  {other}\n")),
        "{changed:?}"
    );
    traces.check(2, "", r#"Only logs are supported here"#);
    let shown = heroku.run_as_typed(format!("telemetry:info {id}")).await;
    assert_eq!(shown.code, 0);
    for part in ["shop", "logs", other, "HTTP"] {
        assert!(shown.stdout.contains(part), "{part}: {shown:?}");
    }
    // Its key is not for another place.
    assert!(!shown.stdout.contains("x-api-key"), "{shown:?}");
    let removed = heroku.run_as_typed(format!("telemetry:remove {id}")).await;
    removed.check(0, "", "done");
    let gone = heroku.run_as_typed(format!("telemetry:info {id}")).await;
    gone.check(
        2,
        "",
        "Couldn't find that telemetry drain. Error ID: not_found",
    );
    assert_eq!(list().await.as_array().unwrap().len(), 0);
    router.stop().await;
}
