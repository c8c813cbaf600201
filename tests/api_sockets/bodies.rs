//! Bodies that nobody should send: each is refused with its reason, and the router goes on.

use crate::support::Router;

#[tokio::test]
async fn bad_bodies_are_refused_with_their_reason() {
    let router = Router::start().await;
    let nested =
        |depth: usize| format!(r#"{{"tokens":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
    let names = |count: usize| format!(r#"{{"tokens":["{}"]}}"#, vec!["a"; count].join(r#"",""#));
    let long = format!(r#"{{"name":"{}"}}"#, "x".repeat(1024 * 1024));
    let rows = [
        (
            String::new(),
            400,
            "the body is empty, a JSON object is wanted",
        ),
        ("{".to_owned(), 400, "invalid JSON: "),
        ("[]".to_owned(), 400, "invalid payload"),
        (
            nested(100),
            422,
            "tokens must be a list of strings, not a list",
        ),
        (nested(200), 400, "invalid JSON: recursion limit exceeded"),
        (
            nested(400_000),
            400,
            "invalid JSON: recursion limit exceeded",
        ),
        (long, 413, "the body is longer than 1048576 bytes"),
        (
            names(1_001),
            422,
            "tokens holds 1001 names, at most 1000 are allowed",
        ),
        (
            r#"{"tokens":["a b"]}"#.to_owned(),
            422,
            "token name holds the character ' '",
        ),
        (r#"{"tokens":[""]}"#.to_owned(), 422, "token name is empty"),
        ("{\"name\":\"\\ud800\"}".to_owned(), 400, "invalid JSON: "),
    ];
    for (body, status, reason) in rows {
        let shown: String = body.chars().take(40).collect();
        let answer = router.call("PUT", "/v3/channels/x", &body).await;
        assert_eq!(answer.status, status, "{shown}: {answer:?}");
        assert_eq!(answer.header("content-type"), Some("application/json"));
        let error = answer.json()["error"].as_str().unwrap().to_owned();
        assert!(error.starts_with(reason), "{shown}: {error}");
    }
    // Nothing of it was made.
    assert_eq!(router.call("GET", "/v3/channels/x", "").await.status, 404);
    router.stop().await;
}
