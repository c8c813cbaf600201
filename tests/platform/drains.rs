//! `heroku drains` and its commands.

use serde_json::Value;

use crate::heroku::Heroku;
use crate::heroku::key;
use crate::support::Router;

const URL: &str = "https://user:password@127.0.0.1:1/in?key=x";
const TLS: &str = "syslog+tls://127.0.0.1:1234";

/// Everything about drains with 11: its words, its codes, and what the router has afterwards.
#[tokio::test]
async fn drains_are_added_listed_and_removed() {
    let router = Router::start().await;
    router.channel("shop").await;
    let heroku = Heroku::new(11, &router, &key(&router, "write").await);
    let added = heroku.run(format!("drains:add {URL}")).await;
    added.check(0, &format!("Successfully added drain {URL}\n"), "");
    let again = heroku.run(format!("drains:add {URL}")).await;
    again.check(
        2,
        "",
        "Error: Url has already been taken Error ID: invalid_params",
    );
    router.drain("shop", TLS, "").await;
    // Neither is shown: a reserved one has no URL, and an OTLP one is a telemetry drain.
    let reserved = router.call("POST", "/v3/channels/shop/drains", "{}").await;
    assert_eq!(reserved.status, 201, "{reserved:?}");
    router
        .drain("shop", "http://127.0.0.1:2", r#","format":"otlp""#)
        .await;
    let (listed, json, wrong) = tokio::join!(
        heroku.run("drains"),
        heroku.run("drains --json"),
        heroku.run("drains:add nowhere"),
    );
    let drains: Value = serde_json::from_str(&json.stdout).unwrap();
    let [http, tls] = drains.as_array().unwrap().as_slice() else {
        panic!("{json:?}");
    };
    assert_eq!([&http["url"], &tls["url"]], [URL, TLS]);
    assert_eq!(http["addon"], Value::Null);
    let token = |drain: &Value| drain["token"].as_str().unwrap().to_owned();
    assert_eq!(token(http), format!("d.{}", http["id"].as_str().unwrap()));
    for part in [URL, TLS, &token(http), &token(tls)] {
        assert!(listed.stdout.contains(part), "{listed:?}");
    }
    wrong.check(2, "", "Error: Url is invalid: the drain URL has no scheme");
    let tls_token = token(tls);
    let (by_url, by_token) = tokio::join!(
        heroku.run(format!("drains:remove {URL}")),
        heroku.run(format!("drains:remove {tls_token}")),
    );
    by_url.check(0, &format!("Successfully removed drain {URL}\n"), "");
    by_token.check(0, &format!("Successfully removed drain {TLS}\n"), "");
    let again = heroku.run(format!("drains:remove {TLS}")).await;
    again.check(
        2,
        "",
        "Error: Couldn't find that log drain. Error ID: not_found",
    );
    let left = router.call("GET", "/v3/channels/shop/drains", "").await;
    assert_eq!(
        left.json()["drains"].as_array().unwrap().len(),
        2,
        "{left:?}"
    );
    router.stop().await;
}

/// The same in fewer calls with an older one, which ends with `code` when it is refused and says
/// `unknown` of a key that is none.
async fn check_older(version: u8, code: i32, unknown: &str) {
    let router = Router::start().await;
    router.channel("shop").await;
    let heroku = Heroku::new(version, &router, &key(&router, "write").await);
    let stranger = Heroku::new(version, &router, "key-1:secret");
    let added = heroku.run(format!("drains:add {TLS}")).await;
    added.check(0, &format!("Successfully added drain {TLS}\n"), "");
    let (again, json, refused) = tokio::join!(
        heroku.run(format!("drains:add {TLS}")),
        heroku.run("drains --json"),
        stranger.run("drains"),
    );
    again.check(code, "", "Url has already been taken");
    let drains: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(drains[0]["url"], TLS, "{json:?}");
    refused.check(1, "", unknown);
    let removed = heroku.run(format!("drains:remove {TLS}")).await;
    removed.check(0, &format!("Successfully removed drain {TLS}\n"), "");
    let again = heroku.run(format!("drains:remove {TLS}")).await;
    again.check(code, "", "Couldn't find that log drain.");
    router.stop().await;
}

#[tokio::test]
async fn older_ones_do_the_same() {
    tokio::join!(
        check_older(9, 2, "The token provided to HEROKU_API_KEY is invalid."),
        check_older(8, 1, "Invalid credentials provided."),
    );
}

#[tokio::test]
async fn a_key_that_only_reads_changes_nothing() {
    let router = Router::start().await;
    router.channel("shop").await;
    router.drain("shop", URL, "").await;
    let heroku = Heroku::new(11, &router, &key(&router, "read").await);
    let (added, removed, json) = tokio::join!(
        heroku.run(format!("drains:add {TLS}")),
        heroku.run(format!("drains:remove {URL}")),
        heroku.run("drains --json"),
    );
    for refused in [added, removed] {
        let said = "it takes a key with the role write, and yours has the role read.";
        refused.check(2, "", said);
    }
    let drains: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(drains[0]["url"], "https://127.0.0.1:1/in", "{json:?}");
    router.stop().await;
}
