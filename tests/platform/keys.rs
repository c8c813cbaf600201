//! Keys by hand: what each may, what it is told, and its end.

use serde_json::Value;

use crate::heroku::key;
use crate::support::Router;
use crate::support::http;
use crate::support::http::Answer;
use crate::support::http::Stream;

async fn ask(router: &Router, authorization: &str, line: &str, body: &str) -> Answer {
    let (method, path) = line.split_once(' ').unwrap();
    let accept = match path.starts_with("/v3/") {
        true => "application/json",
        false => "application/vnd.heroku+json; version=3.sdk",
    };
    let mut headers = vec![("Accept", accept)];
    if !authorization.is_empty() {
        headers.push(("Authorization", authorization));
    }
    if !body.is_empty() {
        headers.push(("Content-Type", "application/json"));
    }
    http::request(router.http, method, path, &headers, body.as_bytes()).await
}

/// The refusal's id, with its status in front.
fn refusal(answer: &Answer) -> String {
    let text = answer.json();
    let [id, message] = ["id", "message"].map(|name| text[name].as_str().unwrap());
    assert!(!message.is_empty());
    format!("{} {id}: {message}", answer.status)
}

#[tokio::test]
async fn a_key_does_what_its_role_allows() {
    let router = Router::start().await;
    router.channel("shop").await;
    router.channel("other").await;
    let drain = r#"{"url":"https://localhost:1/"}"#;
    let telemetry = r#"{"exporter":{"endpoint":"https://localhost:2"},"owner":{"id":"shop"},"signals":["logs"]}"#;
    let requests = [
        ("GET /apps/shop", "", "read", 200),
        ("POST /apps/shop/log-sessions", "{}", "read", 201),
        ("GET /apps/shop/log-drains", "", "read", 200),
        ("GET /apps/shop/telemetry-drains", "", "read", 200),
        ("POST /apps/shop/log-drains", drain, "write", 201),
        (
            "GET /apps/shop/log-drains/https%3A%2F%2FLOCALHOST%3A1",
            "",
            "read",
            200,
        ),
        (
            "DELETE /apps/shop/log-drains/https%3A%2F%2Flocalhost%3A1%2F",
            "",
            "write",
            200,
        ),
        ("POST /telemetry-drains", telemetry, "write", 201),
        ("PATCH /telemetry-drains/2", "{}", "write", 200),
        ("DELETE /telemetry-drains/2", "", "write", 200),
        ("GET /v3/channels/shop", "", "admin", 200),
        ("GET /v3/channels/shop/tokens", "", "admin", 200),
    ];
    let roles = ["read", "write", "admin"];
    let mut keys = Vec::new();
    for role in roles {
        keys.push(format!("Basic {}", basic(&key(&router, role).await)));
    }
    for (line, body, needed, status) in requests {
        // The weakest first: only the last that may changes something.
        for (role, key) in roles.iter().zip(&keys) {
            let is_allowed =
                roles.iter().position(|r| *r == needed) <= roles.iter().position(|r| r == role);
            let answer = ask(&router, key, line, body).await;
            let refused = if line.contains("/v3/") { 401 } else { 403 };
            let expected = if is_allowed { status } else { refused };
            assert_eq!(answer.status, expected, "{role}: {line}: {answer:?}");
            if expected == 403 {
                let said = refusal(&answer);
                let part =
                    format!("takes a key with the role {needed}, and yours has the role {role}.");
                assert!(
                    said.starts_with("403 forbidden: ") && said.ends_with(&part),
                    "{said}"
                );
            }
            if is_allowed {
                break;
            }
        }
    }
    router.stop().await;
}

fn basic(text: &str) -> String {
    http::basic(text).strip_prefix("Basic ").unwrap().to_owned()
}

#[tokio::test]
async fn an_app_of_others_is_none() {
    let router = Router::start().await;
    router.channel("shop").await;
    router.channel("other").await;
    let id = router
        .drain("other", "https://localhost:1/", r#","format":"otlp""#)
        .await;
    let bearer = format!("Bearer {}", key(&router, "admin").await);
    let app = "404 not_found: Couldn't find that app.";
    let drain = "404 not_found: Couldn't find that telemetry drain.";
    let new = |app: &str| {
        format!(
            r#"{{"exporter":{{"endpoint":"https://localhost:2"}},"owner":{{"id":"{app}","type":"app"}},"signals":["logs"]}}"#
        )
    };
    for (name, number) in [("other", id), ("nowhere", id + 1)] {
        for (line, body, expected) in [
            (format!("GET /apps/{name}"), String::new(), app),
            (
                format!("POST /apps/{name}/log-sessions"),
                "{}".to_owned(),
                app,
            ),
            (format!("GET /apps/{name}/log-drains"), String::new(), app),
            (
                format!("DELETE /apps/{name}/log-drains/1"),
                String::new(),
                app,
            ),
            (
                format!("GET /apps/{name}/telemetry-drains"),
                String::new(),
                app,
            ),
            ("POST /telemetry-drains".to_owned(), new(name), app),
            (
                format!("GET /telemetry-drains/{number}"),
                String::new(),
                drain,
            ),
            (
                format!("DELETE /telemetry-drains/{number}"),
                String::new(),
                drain,
            ),
        ] {
            let answer = ask(&router, &bearer, &line, &body).await;
            assert_eq!(refusal(&answer), expected, "{line}");
        }
        let answer = ask(&router, &bearer, &format!("GET /v3/channels/{name}"), "").await;
        assert_eq!(answer.status, 401);
    }
    let apps = ask(&router, &bearer, "GET /apps", "").await;
    assert_eq!(names(&apps), ["shop"]);
    router.stop().await;
}

fn names(answer: &Answer) -> Vec<String> {
    let apps = answer.json();
    let names = apps.as_array().unwrap().iter();
    names
        .map(|app| app["name"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn nobody_else_is_let_in() {
    let router = Router::start().await;
    router.channel("shop").await;
    let key = key(&router, "read").await;
    let missing = ask(&router, "", "GET /apps/shop", "").await;
    assert!(refusal(&missing).starts_with("401 unauthorized: There were no credentials in your"));
    assert!(missing.header("www-authenticate").is_some());
    let any = |user: &str| http::basic(&format!("{user}:{key}"));
    let (_, secret) = key.split_once(':').unwrap();
    let admin = http::basic(crate::support::CREDENTIAL);
    let table = [
        (format!("Bearer {key}"), 200),
        (format!("bearer {key}"), 200),
        (any("me@example.com"), 200),
        (any(""), 200),
        (http::basic(&key), 200),
        (admin, 200),
        (format!("Bearer {}", crate::support::CREDENTIAL), 200),
        (format!("Bearer {key}x"), 401),
        (format!("Bearer {secret}"), 401),
        (http::basic(&format!("me:{secret}")), 401),
        (format!("Bearer x{key}"), 401),
        ("Bearer".to_owned(), 401),
        ("Basic !".to_owned(), 401),
        (format!("Digest {key}"), 401),
    ];
    for (authorization, status) in table {
        let answer = ask(&router, &authorization, "GET /apps/shop", "").await;
        assert_eq!(answer.status, status, "{authorization}: {answer:?}");
        if status == 401 {
            let expected = "401 unauthorized: Invalid credentials provided.";
            assert_eq!(refusal(&answer), expected, "{authorization}");
        }
    }
    // It opens no other door.
    for (line, body) in [
        ("GET /v3/channels", ""),
        ("GET /v3/keys", ""),
        ("POST /v3/credentials", "{}"),
        ("POST /channels", "{}"),
        ("GET /v3/channels/shop", ""),
        ("PUT /v3/channels/new", "{}"),
    ] {
        let answer = ask(&router, &http::basic(&key), line, body).await;
        assert_eq!(answer.status, 401, "{line}: {answer:?}");
    }
    router.stop().await;
}

#[tokio::test]
async fn a_revoked_key_is_none_at_once_and_for_good() {
    let data = tempfile::tempdir().unwrap();
    let router = Router::start_in(data.path().join("data"), &[], &[]).await;
    router.channel("shop").await;
    router.channel("other").await;
    let made = router
        .call(
            "POST",
            "/v3/keys",
            r#"{"role":"read","apps":["shop"],"id":"deploy"}"#,
        )
        .await
        .json();
    let [kept, revoked] = [
        key(&router, "write").await,
        made["key"].as_str().unwrap().to_owned(),
    ];
    assert!(revoked.starts_with("deploy:"));
    let status = async |router: &Router, key: &str| {
        let answer = ask(router, &format!("Bearer {key}"), "GET /apps/shop", "").await;
        answer.status
    };
    assert_eq!(status(&router, &revoked).await, 200);
    let listed = router.call("GET", "/v3/keys", "").await.json();
    assert!(
        !listed
            .to_string()
            .contains(revoked.split_once(':').unwrap().1)
    );
    let grants = |id: &str| -> Value {
        let keys = listed["keys"].as_array().unwrap().iter();
        let mut found = keys.filter(|key| key["id"] == id).map(|key| &key["grants"]);
        found.next_back().unwrap().clone()
    };
    assert_eq!(
        grants("deploy").to_string(),
        r#"[{"apps":["shop"],"role":"read"}]"#
    );
    assert_eq!(
        grants("local").to_string(),
        r#"[{"apps":null,"role":"admin"}]"#
    );
    // Its sessions end with it: one that is read, and one that is not yet.
    let (bearer, pair) = (format!("Bearer {revoked}"), http::basic(&revoked));
    let mut paths = Vec::new();
    for (who, line, body) in [
        (&bearer, "POST /apps/shop/log-sessions", r#"{"tail":true}"#),
        (
            &pair,
            "POST /v3/sessions",
            r#"{"channel_id":"shop","tail":true}"#,
        ),
    ] {
        let made = ask(&router, who, line, body).await;
        assert_eq!(made.status, 201, "{made:?}");
        let url = ["logplex_url", "url"].map(|name| made.json()[name].clone());
        let url = url.iter().find_map(Value::as_str).unwrap();
        paths.push(
            url.strip_prefix(&format!("http://{}", router.http))
                .unwrap()
                .to_owned(),
        );
    }
    let elsewhere = r#"{"channel_id":"other"}"#;
    let refused = ask(&router, &pair, "POST /v3/sessions", elsewhere).await;
    assert_eq!(refused.status, 422, "{refused:?}");
    let mut stream = Stream::open(router.http, &paths[0], &[]).await;
    stream.until("the head", |_| true).await;
    let deleted = router.call("DELETE", "/v3/keys/deploy", "").await;
    assert_eq!(deleted.status, 204);
    assert_eq!(stream.rest().await, (String::new(), true));
    for path in paths {
        let gone = http::request(router.http, "GET", &path, &[], b"").await;
        assert_eq!(gone.status, 404, "{gone:?}");
    }
    assert_eq!(status(&router, &revoked).await, 401);
    let again = router.call("DELETE", "/v3/keys/deploy", "").await;
    assert_eq!(again.status, 404);
    router.stop().await;
    let router = Router::start_in(data.path().join("data"), &[], &[]).await;
    assert_eq!(status(&router, &revoked).await, 401);
    assert_eq!(status(&router, &kept).await, 200);
    // Another app of the same name is not the one that the key was given.
    router.call("DELETE", "/v3/channels/shop", "").await;
    assert_eq!(status(&router, &kept).await, 404);
    router.channel("shop").await;
    assert_eq!(status(&router, &kept).await, 404);
    router.stop().await;
}

#[tokio::test]
async fn apps_have_ids_and_names_and_come_in_pages() {
    let router = Router::start().await;
    for (id, name) in [("1", "shop"), ("2", "blog"), ("3", "blog"), ("b a", "2")] {
        let id = id.replace(' ', "%20");
        router.channel_with(&id, r#"{"tokens":["app"]}"#).await;
        let body = format!(r#"{{"name":"{name}"}}"#);
        router
            .call("PATCH", &format!("/v3/channels/{id}"), &body)
            .await;
    }
    let body = r#"{"role":"read","apps":["shop","3","b a"]}"#;
    let made = router.call("POST", "/v3/keys", body).await.json();
    let bearer = format!("Bearer {}", made["key"].as_str().unwrap());
    let admin = http::basic(crate::support::CREDENTIAL);
    let table = [
        (&bearer, "shop", "1"),
        (&bearer, "1", "1"),
        (&bearer, "blog", "3"),
        // Its name: the app with this id is not the key's.
        (&bearer, "2", "b a"),
        (&admin, "2", "2"),
        (&admin, "shop", "1"),
    ];
    for (who, name, id) in table {
        let answer = ask(&router, who, &format!("GET /apps/{name}"), "").await;
        assert_eq!(answer.json()["id"], id, "{name}: {answer:?}");
    }
    let answer = ask(&router, &admin, "GET /apps/blog", "").await;
    assert!(refusal(&answer).starts_with("422 invalid_params: Several apps"));
    for who in [&bearer, &admin] {
        let all = names(&ask(&router, who, "GET /apps", "").await);
        let mut paged = Vec::new();
        let mut range = "id ..; max=2".to_owned();
        loop {
            let headers = [("Authorization", who.as_str()), ("Range", range.as_str())];
            let answer = http::request(router.http, "GET", "/apps", &headers, b"").await;
            paged.extend(names(&answer));
            match answer.header("next-range") {
                Some(next) => range = next.to_owned(),
                None => break,
            }
        }
        assert_eq!(paged, all);
        assert!(3 <= all.len(), "{all:?}");
    }
    router.stop().await;
}

#[tokio::test]
async fn bad_requests_are_told_what_would_be_right() {
    let router = Router::start().await;
    router.channel("shop").await;
    for (body, part) in [
        ("{}", "role must be"),
        (r#"{"role":"owner","apps":["shop"]}"#, "role must be"),
        (r#"{"role":"read"}"#, "apps is missing"),
        (r#"{"role":"read","apps":[]}"#, "apps is missing"),
        (
            r#"{"role":"read","apps":["nowhere"]}"#,
            "app \\\"nowhere\\\": Couldn't find that app.",
        ),
        (
            r#"{"role":"read","apps":["shop"],"id":"a:b"}"#,
            "credential id holds",
        ),
        (
            r#"{"role":"read","apps":["shop"],"ttl":5}"#,
            "unknown field",
        ),
    ] {
        let answer = router.call("POST", "/v3/keys", body).await;
        assert_eq!(answer.status, 422, "{body}: {answer:?}");
        assert!(answer.text().contains(part), "{body}: {}", answer.text());
    }
    let bearer = format!("Bearer {}", key(&router, "write").await);
    for (line, body, expected) in [
        (
            "POST /apps/shop/log-drains",
            "{}",
            "422 invalid_params: Url can't be blank",
        ),
        (
            "POST /apps/shop/log-drains",
            r#"{"url":1}"#,
            "422 invalid_params: Url must be a string",
        ),
        (
            "POST /apps/shop/log-drains",
            r#"{"url":"https://localhost","format":"otlp"}"#,
            "422 invalid_params: A drain that speaks OTLP is a telemetry drain",
        ),
        (
            "POST /apps/shop/log-drains",
            r#"{"url":"https://localhost","formt":"x"}"#,
            "422 invalid_params: unknown field `formt`",
        ),
        (
            "POST /apps/shop/log-drains",
            "{",
            "400 bad_request: invalid JSON",
        ),
        (
            "POST /apps/shop/log-sessions",
            r#"{"lines":"x"}"#,
            "422 invalid_params: lines must be a number of lines",
        ),
        (
            "POST /telemetry-drains",
            r#"{"owner":{"id":"shop","type":"app"}}"#,
            "422 invalid_params: exporter.endpoint can't be blank",
        ),
        (
            "POST /telemetry-drains",
            r#"{"owner":{"id":"shop","type":"app"},"exporter":{"endpoint":"syslog://localhost"}}"#,
            "422 invalid_params: exporter.endpoint is invalid: it must begin with",
        ),
        (
            "PUT /apps/shop/log-drains",
            "{}",
            "404 not_found: The requested API endpoint was not found.",
        ),
        (
            "GET /apps/shop/dynos",
            "",
            "404 not_found: The requested API endpoint was not found.",
        ),
        (
            "GET /account",
            "",
            "404 not_found: The requested API endpoint was not found.",
        ),
    ] {
        let answer = ask(&router, &bearer, line, body).await;
        let said = refusal(&answer);
        assert!(said.starts_with(expected), "{line}: {said}");
    }
    router.stop().await;
}
