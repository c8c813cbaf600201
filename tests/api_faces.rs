//! Logplex's three APIs against the transcripts of the real one, with the mends; then what is new.
//!
//! Where a status or a body differs from Logplex's, the row says why.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::too_many_lines,
    reason = "a test may stop at the first surprise, and a table is as long as it is"
)]

mod api_support;

use api_support::Rig;
use api_support::without_uuids;
use axum::http::StatusCode;
use logboom::api::HealthState;
use logboom::control::Mode;

/// Asks the rows in order, as the admin, and compares status and body (UUIDs as `*`; a body that
/// ends in `…` is compared up to there).
async fn check(rig: &Rig, rows: &[(&str, &str, u16, &str)]) {
    for &(request, body, status, expected) in rows {
        let (method, path) = request.split_once(' ').unwrap();
        let ask = rig.ask(method, path);
        let ask = if body.is_empty() { ask } else { ask.json(body) };
        let answer = ask.answer().await;
        let found = without_uuids(&answer.body);
        assert_eq!(answer.status, status, "{request} {body}: {found}");
        match expected.strip_suffix('…') {
            Some(start) => assert!(found.starts_with(start), "{request} {body}: {found}"),
            None => assert_eq!(found, expected, "{request} {body}"),
        }
    }
}

#[tokio::test]
async fn legacy_channels_and_tokens() {
    let rig = Rig::new().await;
    check(
        &rig,
        &[
            ("GET /healthcheck", "", 200, r#"{"status":"normal"}"#),
            ("GET /nope", "", 404, "Not found"),
            ("GET /", "", 404, "Not found"),
            ("POST /channels", r#"{"tokens":["app"]}"#, 201, r#"{"channel_id":1,"tokens":{"app":"t.*"}}"#),
            (
                "POST /channels",
                r#"{"name":"my-app","tokens":["app","heroku"]}"#,
                201,
                r#"{"channel_id":2,"tokens":{"app":"t.*","heroku":"t.*"}}"#,
            ),
            ("POST /channels", "{}", 201, r#"{"channel_id":3,"tokens":[]}"#),
            ("POST /channels", r#"{"tokens":[]}"#, 201, r#"{"channel_id":4,"tokens":[]}"#),
            // Logplex: 500 and an empty body for all that cannot be read.
            ("POST /channels", "", 400, r#"{"error":"the body is empty…"#),
            ("POST /channels", r#"{"tokens":"#, 400, r#"{"error":"invalid JSON: …"#),
            ("POST /channels", "[1]", 400, r#"{"error":"invalid payload"}"#),
            ("POST /channels", r#"{"name":1}"#, 400, "Channel name must be a string."),
            // Logplex took the first for no tokens and failed over the second.
            ("POST /channels", r#"{"tokens":"app"}"#, 422, r#"{"error":"tokens must be a list of strings, not a string"}"#),
            ("POST /channels", r#"{"tokens":[1]}"#, 422, r#"{"error":"tokens must be a list of strings, not a number"}"#),
            // Logplex wrote the key twice; v2 shows both.
            ("POST /channels", r#"{"tokens":["a","a"]}"#, 201, r#"{"channel_id":5,"tokens":{"a":"t.*"}}"#),
            (
                "GET /v2/channels/5",
                "",
                200,
                r#"{"channel_id":5,"tokens":[{"name":"a","token":"t.*"},{"name":"a","token":"t.*"}],"drains":[]}"#,
            ),
            (
                "GET /v2/channels/2",
                "",
                200,
                r#"{"channel_id":2,"tokens":[{"name":"app","token":"t.*"},{"name":"heroku","token":"t.*"}],"drains":[]}"#,
            ),
            ("GET /v2/channels/999999", "", 404, r#"{"error":"Not Found"}"#),
            // One kind of id now: what is no number is just unknown.
            ("GET /v2/channels/abc", "", 404, r#"{"error":"Not Found"}"#),
            ("GET /channels/2/info", "", 200, r#"{"channel_id":2,"tokens":{"app":"t.*","heroku":"t.*"},"drains":[]}"#),
            // Logplex: 500.
            ("GET /channels/999999/info", "", 404, "Not found"),
            ("POST /channels/1/token", r#"{"name":"second"}"#, 201, "t.*"),
            ("POST /channels/1/token", "{}", 400, "'name' post param missing"),
            ("POST /channels/1/token", "{", 400, r#"{"error":"invalid JSON: …"#),
            ("POST /channels/1/token", r#"{"name":5}"#, 422, r#"{"error":"name must be a string, not a number"}"#),
            // Logplex made tokens of channels that are not there.
            ("POST /channels/999999/token", r#"{"name":"x"}"#, 404, "Not found"),
            ("POST /v2/channels/1/tokens", r#"{"name":"third"}"#, 201, r#"{"name":"third","token":"t.*"}"#),
            ("POST /v2/channels/1/tokens", "{}", 422, r#"{"error":"NAME is a required field"}"#),
            ("POST /v2/channels/999999/tokens", r#"{"name":"x"}"#, 404, r#"{"error":"No such channel"}"#),
            ("POST /v2/channels/1/tokens", r#"{"name":"third"}"#, 201, r#"{"name":"third","token":"t.*"}"#),
            (
                "GET /v2/channels/1",
                "",
                200,
                r#"{"channel_id":1,"tokens":[{"name":"app","token":"t.*"},{"name":"second","token":"t.*"},{"name":"third","token":"t.*"},{"name":"third","token":"t.*"}],"drains":[]}"#,
            ),
            ("DELETE /channels/1", "", 200, "OK"),
            ("DELETE /channels/1", "", 404, "Not found"),
            ("DELETE /v2/channels/2", "", 200, ""),
            ("DELETE /v2/channels/2", "", 404, r#"{"error":"Not Found"}"#),
            ("GET /v2/channels/1", "", 404, r#"{"error":"Not Found"}"#),
        ],
    )
    .await;
}

#[tokio::test]
async fn legacy_drains() {
    let rig = Rig::new().await;
    check(
        &rig,
        &[
            ("POST /channels", "{}", 201, r#"{"channel_id":1,"tokens":[]}"#),
            ("POST /channels", "{}", 201, r#"{"channel_id":2,"tokens":[]}"#),
            ("POST /channels/1/drains", r#"{"url":"http://h/"}"#, 501, "V1 Drain Creation API deprecated."),
            ("GET /channels/1/drains", "", 501, "V1 Drain API Deprecated."),
            ("DELETE /channels/1/drains?host=a&port=1", "", 501, "V1 Drain API Deprecated."),
            ("POST /channels/1/drains/1", "{}", 501, "V1 Drain Creation API deprecated."),
            ("POST /channels/1/drains/tokens", "", 201, r#"{"id":1,"token":"d.*","msg":"Successfully reserved drain token"}"#),
            ("POST /v2/channels/1/drains/1", r#"{"url":"http://127.0.0.1:9/x"}"#, 201, r#"{"id":1,"token":"d.*","url":"http://127.0.0.1:9/x"}"#),
            ("POST /v2/channels/1/drains/1", r#"{"url":"http://127.0.0.1:9/x"}"#, 409, r#"{"error":"Already exists"}"#),
            ("POST /v2/channels/1/drains/1", r#"{"url":"http://127.0.0.1:9/y"}"#, 201, r#"{"id":1,"token":"d.*","url":"http://127.0.0.1:9/y"}"#),
            ("POST /v2/channels/1/drains/888888", r#"{"url":"http://127.0.0.1:9/z"}"#, 404, r#"{"error":"Unknown drain."}"#),
            // A drain belongs to its channel.
            ("POST /v2/channels/2/drains/1", r#"{"url":"http://127.0.0.1:9/z"}"#, 404, r#"{"error":"Unknown drain."}"#),
            ("POST /channels/1/drains/tokens", "", 201, r#"{"id":2,"token":"d.*","msg":"Successfully reserved drain token"}"#),
            ("POST /v2/channels/1/drains/2", r#"{"url":"ftp://h/"}"#, 422, r#"{"error":"Invalid drain destination: …"#),
            // Logplex forgot the reservation over that.
            ("POST /v2/channels/1/drains/2", r#"{"url":"http://127.0.0.1:9/w"}"#, 201, r#"{"id":2,"token":"d.*","url":"http://127.0.0.1:9/w"}"#),
            ("POST /channels/999999/drains/tokens", "", 404, "Not found"),
            ("POST /v2/channels/2/drains", r#"{"url":"http://user:pass@127.0.0.1:9/b?x=1&y=2"}"#, 201, r#"{"id":3,"token":"d.*","url":"http://user:pass@127.0.0.1:9/b?x=1&y=2"}"#),
            ("POST /v2/channels/2/drains", r#"{"url":"syslog://127.0.0.1"}"#, 201, r#"{"id":4,"token":"d.*","url":"syslog://127.0.0.1:601"}"#),
            ("POST /v2/channels/2/drains", r#"{"url":"syslog://127.0.0.1:601"}"#, 409, r#"{"error":"Already exists"}"#),
            ("POST /v2/channels/2/drains", r#"{"host":"127.0.0.1","port":9}"#, 201, r#"{"id":5,"token":"d.*","url":"syslog://127.0.0.1:9"}"#),
            ("POST /v2/channels/2/drains", r#"{"host":"127.0.0.1"}"#, 201, r#"{"id":6,"token":"d.*","url":"syslog://127.0.0.1:514"}"#),
            ("POST /v2/channels/2/drains", r#"{"host":"127.0.0.1","port":"x"}"#, 422, r#"{"error":"port must be a number from 1 to 65535"}"#),
            ("POST /v2/channels/2/drains", "{}", 422, r#"{"error":"Invalid drain destination: missing_host_param"}"#),
            ("POST /v2/channels/2/drains", r#"{"url":""}"#, 422, r#"{"error":"Invalid drain destination: …"#),
            ("POST /v2/channels/2/drains", r#"{"url":"127.0.0.1:9"}"#, 422, r#"{"error":"Invalid drain destination: …"#),
            ("POST /v2/channels/2/drains", r#"{"url":"http:///x"}"#, 422, r#"{"error":"Invalid drain destination: …"#),
            ("POST /v2/channels/2/drains", r#"{"url":"syslog://h:0"}"#, 422, r#"{"error":"Invalid drain destination: …"#),
            ("POST /v2/channels/2/drains", r#"{"url":"syslog://h:70000"}"#, 422, r#"{"error":"Invalid drain destination: …"#),
            ("POST /v2/channels/2/drains", r#"{"url":5}"#, 422, r#"{"error":"url must be a string, not a number"}"#),
            ("POST /v2/channels/999999/drains", r#"{"url":"http://127.0.0.1:9/q"}"#, 404, r#"{"error":"No such channel"}"#),
            ("GET /channels/1/info", "", 200, r#"{"channel_id":1,"tokens":[],"drains":["http://127.0.0.1:9/w","http://127.0.0.1:9/y"]}"#),
            ("POST /v2/channels/2/drains", r#"{"url":"http://127.0.0.1:9/5"}"#, 201, r#"{"id":7,…"#),
            ("POST /v2/channels/2/drains", r#"{"url":"http://127.0.0.1:9/6"}"#, 201, r#"{"id":8,…"#),
            ("POST /v2/channels/2/drains", r#"{"url":"http://127.0.0.1:9/7"}"#, 422, r#"{"error":"You have already added the maximum number of drains allowed"}"#),
            ("DELETE /v2/channels/1/drains/3", "", 404, r#"{"error":"Not found"}"#),
            ("DELETE /v2/channels/2/drains/3", "", 200, ""),
            ("DELETE /v2/channels/2/drains/3", "", 404, r#"{"error":"Not found"}"#),
            ("DELETE /v2/channels/2/drains/x", "", 404, r#"{"error":"Not found"}"#),
        ],
    )
    .await;
}

#[tokio::test]
async fn v3_channels_and_tokens() {
    let rig = Rig::new().await;
    check(
        &rig,
        &[
            ("GET /v3/channels/app-1", "", 404, r#"{"error":"channel not found"}"#),
            ("DELETE /v3/channels/app-1", "", 404, r#"{"error":"channel not found"}"#),
            ("PUT /v3/channels/app-1", "{", 400, r#"{"error":"invalid JSON: …"#),
            // Logplex: 500 for both.
            ("PUT /v3/channels/app-1", r#"{"tokens":"a"}"#, 422, r#"{"error":"tokens must be a list of strings, not a string"}"#),
            ("PUT /v3/channels/app-1", r#"{"tokens":[1]}"#, 422, r#"{"error":"tokens must be a list of strings, not a number"}"#),
            ("PUT /v3/channels/app-1", "[]", 400, r#"{"error":"invalid payload"}"#),
            ("PUT /v3/channels/app-1", r#""x""#, 400, r#"{"error":"invalid payload"}"#),
            ("PUT /v3/channels/app-e2", "", 415, r#"{"error":"Content-Type must be application/json"}"#),
            ("PUT /v3/channels/app-1", r#"{"tokens":["app","heroku"]}"#, 201, r#"{"channel":"app-1","tokens":{"app":"t.*","heroku":"t.*"}}"#),
            ("GET /v3/channels/app-1", "", 200, r#"{"channel":"app-1","tokens":{"app":"t.*","heroku":"t.*"}}"#),
            ("PUT /v3/channels/app-1", r#"{"tokens":["heroku","app"]}"#, 200, r#"{"channel":"app-1","tokens":{"app":"t.*","heroku":"t.*"}}"#),
            ("PUT /v3/channels/app-1", r#"{"tokens":["app","web"]}"#, 200, r#"{"channel":"app-1","tokens":{"app":"t.*","web":"t.*"}}"#),
            ("PUT /v3/channels/app-1", "{}", 200, r#"{"channel":"app-1"}"#),
            ("PUT /v3/channels/app-1", r#"{"tokens":["app","app"]}"#, 200, r#"{"channel":"app-1","tokens":{"app":"t.*"}}"#),
            ("POST /v3/channels/app-1", "{}", 405, r#"{"error":"method not allowed"}"#),
            ("OPTIONS /v3/channels/app-1", "", 405, r#"{"error":"method not allowed"}"#),
            // Logplex made it and never found it again.
            ("PUT /v3/channels/a%20b:c", r#"{"tokens":["app"]}"#, 201, r#"{"channel":"a b:c","tokens":{"app":"t.*"}}"#),
            ("GET /v3/channels/a%20b:c", "", 200, r#"{"channel":"a b:c","tokens":{"app":"t.*"}}"#),
            ("POST /v3/channels/app-1/tokens", r#"{"name":"worker"}"#, 200, r#"{"token":"t.*","name":"worker"}"#),
            ("POST /v3/channels/app-1/tokens", r#"{"name":"worker"}"#, 200, r#"{"token":"t.*","name":"worker"}"#),
            ("POST /v3/channels/app-1/tokens", "{}", 400, r#"{"error":"name is missing"}"#),
            ("POST /v3/channels/app-1/tokens", r#"{"name":1}"#, 400, r#"{"error":"name must be a string"}"#),
            ("POST /v3/channels/nope/tokens", r#"{"name":"x"}"#, 404, r#"{"error":"channel not found"}"#),
            ("GET /v3/channels/app-1/tokens", "", 200, r#"{"tokens":[{"token":"t.*","name":"app"},{"token":"t.*","name":"worker"},{"token":"t.*","name":"worker"}]}"#),
            ("DELETE /v3/channels/app-1/tokens/worker", "", 409, r#"{"error":"several tokens have this name…"#),
            ("DELETE /v3/channels/app-1/tokens/app", "", 204, ""),
            ("DELETE /v3/channels/app-1/tokens/app", "", 404, r#"{"error":"token not found"}"#),
            ("PATCH /v3/channels/app-1", r#"{"no_tail":true,"when_full":"wait"}"#, 200, r#"{"channel":"app-1","tokens":{"worker":"t.*"},"flags":{"no_tail":true,"no_redis":false},"when_full":"wait"}"#),
            // PUT keeps the flags, as Logplex's own tests ask.
            ("PUT /v3/channels/app-1", "{}", 200, r#"{"channel":"app-1","flags":{"no_tail":true,"no_redis":false},"when_full":"wait"}"#),
            ("PATCH /v3/channels/app-1", r#"{"no_tial":true}"#, 422, r#"{"error":"unknown field \"no_tial\"; allowed are …"#),
            ("PATCH /v3/channels/app-1", r#"{"when_full":"x"}"#, 422, r#"{"error":"when_full must be …"#),
            ("PATCH /v3/channels/app-1", r#"{"no_tail":false,"when_full":"default"}"#, 200, r#"{"channel":"app-1"}"#),
            ("GET /v3/channels?limit=1", "", 200, r#"{"channels":[{"channel":"a b:c"}],"next":"a b:c"}"#),
            ("GET /v3/channels?limit=1&after=a%20b:c", "", 200, r#"{"channels":[{"channel":"app-1"}],"next":null}"#),
            ("GET /v3/channels?limit=0", "", 400, r#"{"error":"limit must be …"#),
            ("GET /v3/channels?limit=1&limit=2", "", 400, r#"{"error":"Failed to deserialize query string: duplicate field `limit`"}"#),
            ("GET /v3/channels/%ff", "", 400, r#"{"error":"Invalid URL: Invalid UTF-8 in `id`"}"#),
            ("PUT /v3/channels/%C3%A9%F0%9F%98%80", "{}", 201, r#"{"channel":"é😀"}"#),
            ("PUT /v3/channels/a%2Fb", "{}", 422, r#"{"error":"channel id holds the character '/'…"#),
            ("PUT /v3/channels/a%00b", "{}", 422, r#"{"error":"channel id holds the character '\\0'…"#),
            ("GET /v3/channels/a%2Fb", "", 404, r#"{"error":"channel not found"}"#),
            ("GET /v3/nope", "", 404, r#"{"error":"no such resource"}"#),
            ("DELETE /v3/channels/app-1", "", 204, ""),
            ("DELETE /v3/channels/app-1", "", 404, r#"{"error":"channel not found"}"#),
            ("GET /v3/channels/app-1", "", 404, r#"{"error":"channel not found"}"#),
        ],
    )
    .await;
}

#[tokio::test]
async fn v3_drains() {
    let rig = Rig::new().await;
    let at = "/v3/channels/app-1/drains";
    rig.ask("PUT", "/v3/channels/app-1")
        .json("{}")
        .expect(StatusCode::CREATED)
        .await;
    rig.ask("PUT", "/v3/channels/app-k")
        .json("{}")
        .expect(StatusCode::CREATED)
        .await;
    let first = rig
        .ask("POST", &format!("{at}/"))
        .json(r#"{"url":"http://127.0.0.1:9/a"}"#);
    let first = first.answer().await;
    assert_eq!(
        without_uuids(&first.body),
        r#"{"id":1,"token":"d.*","url":"http://127.0.0.1:9/a"}"#
    );
    let location = Some("http://localhost:8601/v3/channels/app-1/drains/1");
    assert_eq!(first.header("location"), location);
    check(
        &rig,
        &[
            ("POST /v3/channels/app-1/drains", r#"{"url":"http://127.0.0.1:9/a"}"#, 409, r#"{"error":"already exists"}"#),
            ("POST /v3/channels/app-1/drains", "{}", 201, r#"{"id":2,"token":"d.*"}"#),
            // A reserved one is not shown with its channel.
            ("GET /v3/channels/app-1", "", 200, r#"{"channel":"app-1","drains":[{"id":1,"token":"d.*","url":"http://127.0.0.1:9/a"}]}"#),
            ("PUT /v3/channels/app-1/drains/2", r#"{"url":"http://127.0.0.1:9/b"}"#, 200, r#"{"id":2,"token":"d.*","url":"http://127.0.0.1:9/b"}"#),
            // Logplex: 409; PUT is idempotent.
            ("PUT /v3/channels/app-1/drains/2", r#"{"url":"http://127.0.0.1:9/b"}"#, 200, r#"{"id":2,"token":"d.*","url":"http://127.0.0.1:9/b"}"#),
            ("PUT /v3/channels/app-1/drains/2", r#"{"url":"http://127.0.0.1:9/a"}"#, 409, r#"{"error":"already exists"}"#),
            ("PUT /v3/channels/app-1/drains/2", "{}", 200, r#"{"id":2,"token":"d.*","url":"http://127.0.0.1:9/b"}"#),
            ("PUT /v3/channels/app-1/drains/777777", r#"{"url":"http://127.0.0.1:9/z"}"#, 404, r#"{"error":"drain not found"}"#),
            // Logplex moved the drain to the other channel.
            ("PUT /v3/channels/app-k/drains/2", r#"{"url":"http://127.0.0.1:9/steal"}"#, 404, r#"{"error":"drain not found"}"#),
            ("GET /v3/channels/app-k/drains/2", "", 404, r#"{"error":"drain not found"}"#),
            ("POST /v3/channels/app-1/drains", "{", 400, r#"{"error":"invalid JSON: …"#),
            ("POST /v3/channels/app-1/drains", r#"{"url":"nope"}"#, 400, r#"{"error":"invalid url: …"#),
            ("POST /v3/channels/app-1/drains", r#"{"url":""}"#, 400, r#"{"error":"invalid url: …"#),
            ("POST /v3/channels/app-1/drains", r#"{"url":5}"#, 422, r#"{"error":"url must be a string, not a number"}"#),
            // Logplex took it and never sent a thing.
            ("POST /v3/channels/app-1/drains", r#"{"url":"ftp://h/x"}"#, 422, r#"{"error":"invalid url: …"#),
            ("POST /v3/channels/nope/drains", r#"{"url":"http://h/"}"#, 404, r#"{"error":"channel not found"}"#),
            ("PUT /v3/channels/app-1/drains/abc", "{}", 404, r#"{"error":"drain not found"}"#),
            ("POST /v3/channels/app-1/drains/1", "{}", 405, r#"{"error":"method not allowed"}"#),
            ("POST /v3/channels/app-1/drains", r#"{"url":"http://127.0.0.1:9/c","compresion":"gzip"}"#, 422, r#"{"error":"unknown field `compresion`, expected one of `format`…"#),
            ("POST /v3/channels/app-1/drains", r#"{"url":"http://127.0.0.1:9/3","compression":"gzip","headers":{"X-Key":"hidden"}}"#, 201, r#"{"id":3,…"#),
            ("POST /v3/channels/app-1/drains", r#"{"url":"http://127.0.0.1:9/4"}"#, 201, r#"{"id":4,…"#),
            ("POST /v3/channels/app-1/drains", r#"{"url":"http://127.0.0.1:9/5"}"#, 201, r#"{"id":5,…"#),
            ("POST /v3/channels/app-1/drains", r#"{"url":"http://127.0.0.1:9/6"}"#, 201, r#"{"id":6,…"#),
            ("POST /v3/channels/app-1/drains", r#"{"url":"http://127.0.0.1:9/7"}"#, 422, r#"{"error":"maximum number of drains reached"}"#),
            ("DELETE /v3/channels/app-k/drains/1", "", 404, r#"{"error":"drain not found"}"#),
            ("DELETE /v3/channels/app-1/drains/1", "", 204, ""),
            ("DELETE /v3/channels/app-1/drains/1", "", 404, r#"{"error":"drain not found"}"#),
            ("DELETE /v3/channels/nope/drains/4", "", 404, r#"{"error":"channel not found"}"#),
        ],
    )
    .await;
    let shown = rig.ask("GET", &format!("{at}/3")).answer().await;
    assert!(!shown.body.contains("hidden"), "{}", shown.body);
    let shown = shown.json();
    assert_eq!(shown["options"]["compression"], "gzip");
    assert_eq!(shown["channel"], "app-1");
    assert_eq!(shown["status"]["state"], "idle");
    let listed = rig.ask("GET", "/v3/drains?limit=2").answer().await.json();
    assert_eq!(listed["drains"].as_array().unwrap().len(), 2);
    assert_eq!(listed["next"], "3");
    let rest = rig.ask("GET", "/v3/drains?after=3").answer().await.json();
    assert_eq!(rest["drains"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn credentials() {
    let rig = Rig::new().await;
    let made = rig
        .ask("POST", "/v3/credentials")
        .json(r#"{"id":"ops","permissions":["full_api","channel:app-1"]}"#)
        .answer()
        .await;
    assert_eq!(made.status, 201, "{made:?}");
    let secret = made.json()["secret"].as_str().unwrap().to_owned();
    check(
        &rig,
        &[
            ("GET /v3/credentials/ops", "", 200, r#"{"id":"ops","permissions":["full_api","channel:app-1"]}"#),
            ("POST /v3/credentials", r#"{"id":"ops","permissions":[]}"#, 409, r#"{"error":"already exists"}"#),
            ("POST /v3/credentials", r#"{"permissions":[]}"#, 422, r#"{"error":"id is missing"}"#),
            ("POST /v3/credentials", r#"{"id":"x"}"#, 422, r#"{"error":"permissions is missing…"#),
            ("POST /v3/credentials", r#"{"id":"x","permissions":["root"]}"#, 422, r#"{"error":"unknown permission \"root\"…"#),
            ("POST /v3/credentials", r#"{"id":"x","permissions":[],"secret":"s"}"#, 201, r#"{"id":"x","permissions":[],"secret":"s"}"#),
            ("GET /v3/credentials?limit=2", "", 200, r#"{"credentials":[{"id":"chanonly","permissions":["any_channel"]},{"id":"local","permissions":["full_api","any_channel"]}],"next":"local"}"#),
            ("DELETE /v3/credentials/local", "", 409, r#"{"error":"this credential is the one in use…"#),
            ("GET /v3/credentials/nobody", "", 404, r#"{"error":"credential not found"}"#),
        ],
    )
    .await;
    let basic = format!("ops:{secret}");
    let answer = rig
        .ask_openly("GET", "/v3/channels")
        .basic(&basic)
        .answer()
        .await;
    assert_eq!(answer.status, 200);
    rig.ask("DELETE", "/v3/credentials/ops")
        .expect(StatusCode::NO_CONTENT)
        .await;
    let answer = rig
        .ask_openly("GET", "/v3/channels")
        .basic(&basic)
        .answer()
        .await;
    assert_eq!(answer.status, 401);
}

#[tokio::test]
async fn nothing_is_looked_at_before_the_credential() {
    let rig = Rig::new().await;
    for path in [
        "/channels",
        "/v2/channels/1/tokens",
        "/sessions",
        "/v2/canary-sessions",
    ] {
        for (auth, status) in [
            (None, 401),
            (Some("Basic !!!"), 401),
            (Some("Basic bG9jYWw6bm9wZQ=="), 401),
            (Some("Basic bm9wZXJtOnBhc3N3b3Jk"), 401),
            (Some("Bearer abc"), 401),
            // The auth key is accepted verbatim.
            (Some("Basic secret"), 400),
        ] {
            let ask = rig.ask_openly("POST", path).body("{");
            let ask = auth
                .into_iter()
                .fold(ask, |ask, auth| ask.header("authorization", auth));
            let answer = ask.answer().await;
            assert_eq!(answer.status, status, "{path} {auth:?}");
            if status == 401 {
                assert_eq!(answer.body, "Not Authorized");
            }
        }
    }
    for (method, path) in [
        ("PUT", "/v3/channels/app-1"),
        ("POST", "/v3/channels/app-1/tokens"),
        ("POST", "/v3/sessions"),
        ("GET", "/v3/channels/app-1/logs"),
        ("GET", "/v3/credentials"),
        // What is not allowed at all is told to who is known only.
        ("POST", "/v3/channels/app-1"),
        ("GET", "/v3/sessions"),
    ] {
        for basic in [
            "local:x",
            "noperm:password",
            "chanonly:password",
            "nobody:x",
        ] {
            let answer = rig
                .ask_openly(method, path)
                .basic(basic)
                .body("{")
                .answer()
                .await;
            assert_eq!(answer.status, 401, "{path} {basic}");
            assert_eq!(answer.body, "");
            assert_eq!(
                answer.header("www-authenticate"),
                Some("Basic realm=Logplex")
            );
        }
    }
}

#[tokio::test]
async fn headers_of_v3() {
    let rig = Rig::new().await;
    let put = |kind: &str| {
        rig.ask("PUT", "/v3/channels/app-1")
            .json("{}")
            .header("content-type", kind)
    };
    assert_eq!(put("text/plain").answer().await.status, 415);
    assert_eq!(
        put("application/json; charset=utf-8").answer().await.status,
        201
    );
    let bare = rig
        .ask("PUT", "/v3/channels/app-1")
        .body("{}")
        .answer()
        .await;
    assert_eq!(bare.status, 415);
    let get = || rig.ask("GET", "/v3/channels/app-1");
    assert_eq!(
        get().header("accept", "text/plain").answer().await.status,
        406
    );
    let answer = get().answer().await;
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert!(answer.header("request-id").is_some_and(|id| id.len() == 36));
    let answer = get().header("request-id", "my-req-1").answer().await;
    assert_eq!(answer.header("request-id"), None);
    let answer = rig
        .ask("POST", "/v3/channels/app-1")
        .json("{}")
        .answer()
        .await;
    let allowed = answer.header("allow").unwrap();
    for method in ["GET", "PUT", "PATCH", "DELETE"] {
        assert!(allowed.contains(method), "{allowed}");
    }
    let huge = format!("{{\"x\":\"{}\"}}", "x".repeat(2 * 1024 * 1024));
    let answer = rig
        .ask("PUT", "/v3/channels/app-1")
        .json(&huge)
        .answer()
        .await;
    assert_eq!(answer.status, 413);
}

#[tokio::test]
async fn modes_and_health() {
    let rig = Rig::new().await;
    rig.ask("PUT", "/v3/channels/9")
        .json("{}")
        .expect(StatusCode::CREATED)
        .await;
    let read_only = "Logplex API temporarily in read-only mode";
    rig.state.control.set_mode(Mode::ReadOnly);
    check(
        &rig,
        &[
            ("GET /healthcheck", "", 200, r#"{"status":"read_only"}"#),
            ("GET /v3/healthcheck", "", 200, "OK"),
            ("POST /channels", "{}", 503, read_only),
            (
                "GET /v2/channels/9",
                "",
                200,
                r#"{"channel_id":9,"tokens":[],"drains":[]}"#,
            ),
            ("POST /channels/9/token", r#"{"name":"x"}"#, 503, read_only),
            ("POST /sessions", "{}", 503, read_only),
            (
                "POST /v2/canary-sessions",
                r#"{"channel_id":"9"}"#,
                201,
                r#"{"url":"/v2/canary-fetch/*"}"#,
            ),
            (
                "POST /channels/9/drains",
                "{}",
                501,
                "V1 Drain Creation API deprecated.",
            ),
            ("POST /channels/9/drains/tokens", "", 503, read_only),
            ("DELETE /v2/channels/9", "", 503, read_only),
            (
                "PUT /v3/channels/9",
                "{}",
                503,
                r#"{"error":"Logplex API temporarily in read-only mode"}"#,
            ),
            ("GET /v3/channels/9", "", 200, r#"{"channel":"9"}"#),
            ("GET /v3/channels/9/logs", "", 200, ""),
            ("GET /nope", "", 404, "Not found"),
        ],
    )
    .await;
    // Who is not known learns nothing of the mode (Logplex told).
    assert_eq!(
        rig.ask_openly("POST", "/channels").answer().await.status,
        401
    );
    rig.state.control.set_mode(Mode::Disabled);
    let disabled = "Service Temporarily Disabled";
    check(
        &rig,
        &[
            (
                "GET /healthcheck",
                "",
                503,
                r#"{"status":"Service Temporarily Disabled"}"#,
            ),
            ("POST /channels", "{}", 503, disabled),
            ("GET /v2/channels/9", "", 503, disabled),
            ("POST /v2/canary-sessions", "{}", 503, disabled),
            ("POST /channels/9/drains", "{}", 503, disabled),
            (
                "GET /sessions/403b11f5-857c-4f09-b95b-7926ff65e764",
                "",
                503,
                disabled,
            ),
            (
                "GET /v3/channels/9",
                "",
                503,
                r#"{"error":"Service Temporarily Disabled"}"#,
            ),
            (
                "GET /v3/channels/9/logs",
                "",
                503,
                r#"{"error":"Service Temporarily Disabled"}"#,
            ),
        ],
    )
    .await;
    rig.state.control.set_mode(Mode::Normal);
    for (state, word) in [
        (HealthState::Starting, "SYSTEM BOOTING"),
        (HealthState::Stopping, "the router is stopping"),
    ] {
        rig.state.health.set(state);
        let body = rig.ask_openly("GET", "/v3/healthcheck");
        assert_eq!(body.expect(StatusCode::SERVICE_UNAVAILABLE).await, word);
        assert_eq!(rig.ask("GET", "/v3/channels").answer().await.status, 503);
    }
    rig.state.health.set(HealthState::Serving);
    assert_eq!(
        rig.ask_openly("GET", "/healthcheck").answer().await.status,
        200
    );
}

#[tokio::test]
async fn changes_of_a_drain_at_once_are_all_made() {
    let rig = Rig::new().await;
    let put = rig.ask("PUT", "/v3/channels/app").json("{}");
    put.expect(StatusCode::CREATED).await;
    let made = rig
        .ask("POST", "/v3/channels/app/drains")
        .json(r#"{"url":"http://127.0.0.1:9/"}"#);
    made.expect(StatusCode::CREATED).await;
    let path = "/v3/channels/app/drains/1";
    let put = |body| rig.ask("PUT", path).json(body).answer();
    let (source, ps, compression) = tokio::join!(
        put(r#"{"source":"app"}"#),
        put(r#"{"ps":"web"}"#),
        put(r#"{"compression":"gzip"}"#),
    );
    assert_eq!([source.status, ps.status, compression.status], [200; 3]);
    let shown = rig.ask("GET", path).expect(StatusCode::OK).await;
    for field in [
        r#""source":"app""#,
        r#""ps":"web""#,
        r#""compression":"gzip""#,
    ] {
        assert!(shown.contains(field), "{field} is lost: {shown}");
    }
}

#[tokio::test]
async fn metrics_are_open_and_name_nobody() {
    let rig = Rig::new().await;
    let answer = rig
        .ask("PUT", "/v3/channels/my-app")
        .json(r#"{"tokens":["app"]}"#);
    answer.expect(StatusCode::CREATED).await;
    let answer = rig.ask_openly("GET", "/metrics").answer().await;
    assert_eq!(answer.status, 200);
    assert!(
        answer
            .header("content-type")
            .unwrap()
            .starts_with("text/plain; version=0.0.4")
    );
    assert!(
        answer.body.contains("logboom_channels 1"),
        "{}",
        answer.body
    );
    assert!(!answer.body.contains("my-app"));
}
