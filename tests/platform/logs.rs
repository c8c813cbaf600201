//! `heroku logs`.

use crate::heroku::Heroku;
use crate::heroku::key;
use crate::proxy::Proxy;
use crate::support::Router;
use crate::support::http;

/// A router whose app `shop` has six messages; with the tokens of the sources `app` and `heroku`.
async fn shop(keys: &[(&str, &str)]) -> (Router, [String; 2]) {
    let router = Router::start_with(keys).await;
    let body = r#"{"tokens":["app","heroku"]}"#;
    let answer = router.call("PUT", "/v3/channels/shop", body).await;
    let tokens = ["app", "heroku"].map(|name| {
        let token = &answer.json()["tokens"][name];
        token.as_str().unwrap().to_owned()
    });
    let [app, heroku] = &tokens;
    for (token, procid, text) in [
        (app, "web.1", "one"),
        (heroku, "router", "two"),
        (app, "web.2", "three"),
        (app, "worker.1", "four"),
        (heroku, "web.1", "five"),
        (app, "web.1", "six"),
    ] {
        send(&router, token, procid, text).await;
    }
    (router, tokens)
}

async fn send(router: &Router, token: &str, procid: &str, text: &str) {
    let time = "2026-11-25T10:20:30.123456+00:00";
    let frame = format!("<134>1 {time} host {token} {procid} - - {text}");
    router.send_tcp(&frame).await;
}

fn line(source_and_process: &str, text: &str) -> String {
    format!("2026-11-25T10:20:30.123456+00:00 {source_and_process}: {text}")
}

/// What of those six is printed, in the same order.
fn lines(wanted: &[&str]) -> String {
    let all = [
        ("app[web.1]", "one"),
        ("heroku[router]", "two"),
        ("app[web.2]", "three"),
        ("app[worker.1]", "four"),
        ("heroku[web.1]", "five"),
        ("app[web.1]", "six"),
    ];
    let wanted = all.iter().filter(|(_, text)| wanted.contains(text));
    wanted
        .map(|(name, text)| format!("{}\n", line(name, text)))
        .collect()
}

async fn check_history(version: u8, words: &str, wanted: &[&str]) {
    let (router, _) = shop(&[]).await;
    let heroku = Heroku::new(version, &router, &key(&router, "read").await);
    let ended = heroku.run(format!("logs{words}")).await;
    ended.check(0, &lines(wanted), "");
    router.stop().await;
}

#[tokio::test]
async fn the_last_lines_are_shown() {
    let all = ["one", "two", "three", "four", "five", "six"];
    tokio::join!(
        check_history(11, "", &all),
        check_history(9, "", &all),
        check_history(8, " --num 2", &["five", "six"]),
    );
}

#[tokio::test]
async fn sources_and_processes_are_chosen() {
    let app = " -n 2 --source app --dyno web.1";
    let web = " -s app --process-type web";
    tokio::join!(
        check_history(11, app, &["one", "six"]),
        check_history(11, web, &["one", "three", "six"]),
        check_history(9, app, &["one", "six"]),
        check_history(8, " --ps web -n 3", &["three", "five", "six"]),
    );
}

#[tokio::test]
async fn what_can_not_be_shown_is_told() {
    let (router, _) = shop(&[]).await;
    let (key, stranger) = (key(&router, "read").await, "key-1:secret");
    let known = Heroku::new(11, &router, &key);
    let unknown = Heroku::new(11, &router, stranger);
    let netrc = Heroku::with_netrc(11, &router, &key);
    let [missing, refused, shown] = {
        let (a, b, c) = tokio::join!(
            known.run_as_typed("logs --app nowhere"),
            unknown.run("logs"),
            netrc.run("logs -n 1"),
        );
        [a, b, c]
    };
    missing.check(2, "", "Error: Couldn't find that app. Error ID: not_found");
    refused.check(1, "", "The token provided to HEROKU_API_KEY is invalid.");
    shown.check(0, &lines(&["six"]), "");
    router.stop().await;
}

/// A tail of `version` whose stream a proxy ends while messages come: comes back with the id of the
/// last event, prints everything once; is kept alive meanwhile; ends when its session has ended.
async fn check_tail(version: u8, complaint: &str) {
    let proxy = Proxy::bind().await;
    let public = format!("http://{}", proxy.address);
    let keys = [("public_url", public.as_str()), ("tail_keepalive", "1s")];
    let (router, [app, _]) = shop(&keys).await;
    let proxy = proxy.serve(router.http);
    let heroku = Heroku::new(version, &router, &key(&router, "read").await);
    let mut tail = heroku.tail();
    assert_eq!(tail.line().await.unwrap(), line("app[web.1]", "six"));
    send(&router, &app, "web.1", "seven").await;
    assert_eq!(tail.line().await.unwrap(), line("app[web.1]", "seven"));
    let visit = proxy
        .visit_until("a sign of life", 0, |visit| {
            visit.passed.ends_with(":\n\n:\n\n")
        })
        .await;
    assert_eq!(
        visit.header("accept"),
        Some("text/event-stream"),
        "{visit:?}"
    );
    assert_eq!(visit.header("authorization"), None, "{visit:?}");
    assert!(visit.target.ends_with("?tail=true"), "{visit:?}");
    assert!(!visit.passed.contains("retry:"), "{visit:?}");
    proxy.cut();
    send(&router, &app, "web.1", "eight").await;
    assert_eq!(tail.line().await.unwrap(), line("app[web.1]", "eight"));
    let back = proxy.visit_until("the reader again", 1, |_| true).await;
    assert_eq!(visit.passed.matches("id: ").count(), 2, "{visit:?}");
    let (_, id) = visit.passed.rsplit_once("id: ").unwrap();
    let (id, _) = id.split_once('\n').unwrap();
    assert_eq!(back.header("last-event-id"), Some(id), "{back:?}");
    assert_eq!(back.target, visit.target);
    // The channel's end is the stream's, and then nobody knows the session.
    let deleted = router.call("DELETE", "/v3/channels/shop", "").await;
    assert_eq!(deleted.status, 204);
    let (code, said) = tail.end().await;
    assert_eq!(code, 1, "{said}");
    assert!(said.contains(complaint), "{said}");
    router.stop().await;
}

#[tokio::test]
async fn a_tail_of_11_comes_back_where_it_was() {
    check_tail(11, "Log stream timed out. Please try again.").await;
}

#[tokio::test]
async fn a_tail_of_9_comes_back_where_it_was() {
    check_tail(9, "").await;
}

#[tokio::test]
async fn a_tail_of_8_comes_back_where_it_was() {
    check_tail(8, "").await;
}

/// Where `logplex_url` had a `srv`, 8 and 9 would read plain lines; who does so here asks for them.
#[tokio::test]
async fn one_url_serves_lines_and_events() {
    let (router, _) = shop(&[]).await;
    let authorization = format!("Bearer {}", key(&router, "read").await);
    let headers = [
        ("Authorization", authorization.as_str()),
        ("Accept", "application/vnd.heroku+json; version=3.sdk"),
        ("Content-Type", "application/json"),
    ];
    let path = "/apps/shop/log-sessions";
    let body = br#"{"lines":1,"tail":false}"#;
    let answer = http::request(router.http, "POST", path, &headers, body).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let url = answer.json()["logplex_url"].as_str().unwrap().to_owned();
    let path = url
        .strip_prefix(&format!("http://{}", router.http))
        .unwrap();
    assert!(
        path.starts_with("/sessions/") && !path.contains('?'),
        "{url}"
    );
    let six = line("app[web.1]", "six");
    let plain = http::request(router.http, "GET", path, &[("Accept", "*/*")], b"").await;
    assert_eq!(
        plain.header("content-type"),
        Some("text/plain; charset=utf-8")
    );
    assert_eq!(plain.text(), format!("{six}\n"));
    let accept = [("Accept", "text/event-stream")];
    let events = http::request(router.http, "GET", path, &accept, b"").await;
    assert_eq!(events.header("content-type"), Some("text/event-stream"));
    let text = events.text();
    assert!(text.starts_with("retry: 10\n\nid: "), "{text}");
    assert!(text.ends_with(&format!("-5\ndata: {six}\n\n")), "{text}");
    router.stop().await;
}
