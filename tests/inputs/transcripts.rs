//! What Logplex answered to `POST /logs`, request by request, and what is answered here; where the
//! two differ, the reason stands beside it.

use std::io::Write;

use crate::framed;
use crate::support::CREDENTIAL;
use crate::support::Router;
use crate::support::http;
use crate::texts;

/// One request, what Logplex made of it and what is to be made of it here.
struct Row {
    name: &'static str,
    method: &'static str,
    path: &'static str,
    authorization: Option<String>,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    was: Option<(u16, Vec<String>)>,
    status: u16,
    reason: Option<&'static str>,
    texts: Vec<String>,
    because: Option<&'static str>,
}

fn row(name: &'static str, body: impl Into<Vec<u8>>) -> Row {
    Row {
        name,
        method: "POST",
        path: "/logs",
        authorization: Some(http::basic(CREDENTIAL)),
        headers: vec![("Content-Type", "application/logplex-1".to_owned())],
        body: body.into(),
        was: None,
        status: 0,
        reason: None,
        texts: Vec::new(),
        because: None,
    }
}

impl Row {
    fn line(mut self, method: &'static str, path: &'static str) -> Self {
        (self.method, self.path) = (method, path);
        self
    }

    fn auth(mut self, value: impl Into<String>) -> Self {
        self.authorization = Some(value.into());
        self
    }

    fn by(self, pair: &str) -> Self {
        self.auth(http::basic(pair))
    }

    fn no_auth(mut self) -> Self {
        self.authorization = None;
        self
    }

    fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.retain(|(old, _)| *old != name);
        self.headers.push((name, value.to_owned()));
        self
    }

    fn without_type(mut self) -> Self {
        self.headers.clear();
        self
    }

    fn count(self, value: &str) -> Self {
        self.header("Logplex-Msg-Count", value)
    }

    /// What Logplex answered and delivered, where it differs; the reason comes with it.
    fn was(mut self, status: u16, texts: &[&str], because: &'static str) -> Self {
        self.was = Some((status, owned(texts)));
        self.because = Some(because);
        self
    }

    fn is(mut self, status: u16, texts: &[&str]) -> Self {
        (self.status, self.texts) = (status, owned(texts));
        self
    }

    fn saying(mut self, reason: &'static str) -> Self {
        self.reason = Some(reason);
        self
    }
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

const MALFORMED: &str = "Malformed log messages";
const MISMATCH: &str = "Message count mismatch";
const TOLD: &str = "what is not delivered is refused, so that the sender knows";

fn who(token: &str) -> Vec<Row> {
    let one = |text: &str| framed(token, text);
    let own = format!("token:{token}");
    vec![
        row("one message, cred", one("a1"))
            .count("1")
            .is(204, &["a1"]),
        row("one message, token auth", one("a2"))
            .by(&own)
            .is(204, &["a2"]),
        row("no auth", one("b1")).no_auth().is(401, &[]),
        row("wrong password", one("b2")).by("local:x").is(401, &[]),
        row("unknown cred", one("b3")).by("zz:x").is(401, &[]),
        row("unknown token", one("b4"))
            .by("token:t.00000000-0000-0000-0000-000000000000")
            .is(401, &[]),
        row("token not t.-prefixed", one("b4"))
            .by("token:abc")
            .is(401, &[]),
        row("cred without any_channel", one("b5"))
            .by("noperm:password")
            .is(403, &[])
            .saying("Credential not permitted to write to any channel."),
        row("cred any_channel only", one("b6"))
            .by("chanonly:password")
            .is(204, &["b6"]),
        row("garbage base64", one("b7"))
            .auth("Basic !!!")
            .was(500, &[], "the sender's fault is not ours")
            .is(401, &[]),
        row("base64 no colon", one("b8")).by("abc").is(401, &[]),
        row("bearer", one("b9")).auth("Bearer x").is(401, &[]),
        row("bearer with a token", one("b10"))
            .auth(format!("Bearer {token}"))
            .was(401, &[], "new: a token alone is easier to send")
            .is(204, &["b10"]),
        row("lowercase basic", one("b9"))
            .auth("basic bG9jYWw6cGFzc3dvcmQ=")
            .was(401, &[], "schemes have no case (RFC 9110, 11.1)")
            .is(204, &["b9"]),
        row("raw auth key", one("b9"))
            .auth("Basic secret")
            .was(500, &[], "the sender's fault is not ours")
            .is(401, &[]),
    ]
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn forms(token: &str) -> Vec<Row> {
    let one = |text: &str| framed(token, text);
    let two = |a: &str, b: &str| framed(token, a) + &framed(token, b);
    let typed = |name, text: &str, value: &str| row(name, one(text)).header("Content-Type", value);
    let says = "Content-Type must be application/logplex-1";
    vec![
        typed("x-logplex-1", "a3", "application/x-logplex-1").is(204, &["a3"]),
        row("two messages no count", two("a4", "a5")).is(204, &["a4", "a5"]),
        row("count 3 for 2", two("a6", "a7"))
            .count("3")
            .is(400, &[])
            .saying(MISMATCH),
        row("count not a number", one("a8"))
            .count("x")
            .is(400, &[])
            .saying(MISMATCH),
        row("count empty", one("a9"))
            .count("")
            .is(400, &[])
            .saying(MISMATCH),
        row("no content-type", one("c1"))
            .without_type()
            .is(415, &[])
            .saying(says),
        typed("text/plain", "c2", "text/plain")
            .is(415, &[])
            .saying(says),
        typed(
            "charset=utf-8",
            "c3",
            "application/logplex-1; charset=utf-8",
        )
        .was(415, &[], "media types have parameters (RFC 9110, 8.3.1)")
        .is(204, &["c3"]),
        typed("upper case", "c3b", "Application/Logplex-1")
            .was(415, &[], "media types have no case (RFC 9110, 8.3.1)")
            .is(204, &["c3b"]),
        typed("form", "c4", "application/x-www-form-urlencoded")
            .is(415, &[])
            .saying(says),
        row("accept json", one("c5"))
            .header("Accept", "application/json")
            .was(406, &[], "an answer without a body suits everyone")
            .is(204, &["c5"]),
        row("accept */*", one("c6"))
            .header("Accept", "*/*")
            .is(204, &["c6"]),
        row("GET", "").line("GET", "/logs").is(405, &[]),
        row("PUT", one("c7")).line("PUT", "/logs").is(405, &[]),
        row("trailing slash", one("c8"))
            .line("POST", "/logs/")
            .is(204, &["c8"]),
        row("query string", one("c9"))
            .line("POST", "/logs?x=y")
            .is(204, &["c9"]),
        row("empty body", "").is(204, &[]),
        row("empty body count 0", "").count("0").is(204, &[]),
        row("frame-id, drain-token headers", one("h2"))
            .header("Logplex-Frame-Id", "ABC")
            .header("Logplex-Drain-Token", "d.x")
            .is(204, &["h2"]),
        row("unknown path", "").line("GET", "/nope").is(404, &[]),
        row("root", "").line("POST", "/").is(404, &[]),
        row("healthcheck no auth", "")
            .line("GET", "/healthcheck")
            .no_auth()
            .is(200, &[]),
    ]
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn frames(token: &str) -> Vec<Row> {
    let own = format!("token:{token}");
    let one = |text: &str| framed(token, text);
    let cut_off = |text: &str| {
        let whole = one(text);
        whole.strip_suffix(text).unwrap().to_owned()
    };
    let of_bytes = |bytes: usize| {
        let head = crate::support::message(token, "");
        "x".repeat(bytes - head.len())
    };
    let (exact, longer) = (of_bytes(10_240), of_bytes(10_241));
    let bare = "<134>1 2012-12-10T03:00:48Z h x y - - z";
    let (bare_short, bare_right) = (format!("38 {bare}"), crate::counted(bare));
    let lf = crate::support::message(token, "lf");
    vec![
        row("LF framed", format!("{lf}\n"))
            .is(400, &[])
            .saying(MALFORMED),
        row("LF without final newline", lf)
            .was(204, &[], TOLD)
            .is(400, &[])
            .saying(MALFORMED),
        row("good then LF", one("d1") + "garbage\n")
            .is(400, &[])
            .saying(MALFORMED),
        row("truncated frame at the end", one("d2") + &cut_off("d3"))
            .was(204, &["d2"], TOLD)
            .is(400, &[])
            .saying(MALFORMED),
        row("truncated frame with count 2", one("d4") + &cut_off("d5"))
            .count("2")
            .is(400, &[])
            .saying(MISMATCH),
        row("frame length too small", format!("10 {}", one("d6")))
            .was(204, &[], TOLD)
            .is(400, &[])
            .saying(MALFORMED),
        row(
            "frame length too large, then message",
            format!("500 abc{}", one("d7")),
        )
        .was(204, &[], TOLD)
        .is(400, &[])
        .saying(MALFORMED),
        row("newline between frames", one("d8") + "\n" + &one("d9"))
            .is(400, &[])
            .saying(MALFORMED),
        row("leading zero length", format!("0{}", one("e1")))
            .was(204, &[], TOLD)
            .is(400, &[])
            .saying(MALFORMED),
        row("length > 10240", one(&longer))
            .was(400, &[], "frames have 64 KiB here")
            .is(204, &[&longer]),
        row("length 10240 exactly", one(&exact)).is(204, &[&exact]),
        row("message without token, cred auth", bare_right.clone()).is(204, &[]),
        row(
            "message without token and short, cred auth",
            bare_short.clone(),
        )
        .was(204, &[], TOLD)
        .is(400, &[]),
        row("message without token, token auth", bare_right)
            .by(&own)
            .is(204, &["z"]),
        row("message without token and short, token auth", bare_short)
            .by(&own)
            .was(204, &[""], TOLD)
            .is(400, &[]),
        row("not syslog at all, token auth", "5 hello")
            .by(&own)
            .was(
                204,
                &[],
                "its channel is known: it gets a header made for it",
            )
            .is(204, &["hello"]),
        row("not syslog at all, cred auth", "5 hello").is(204, &[]),
        row(
            "unknown token in message",
            framed("t.00000000-0000-0000-0000-000000000000", "e2"),
        )
        .is(204, &[]),
        row(
            "token auth, another token",
            framed("t.11111111-0000-0000-0000-000000000000", "e3"),
        )
        .by(&own)
        .is(204, &["e3"]),
    ]
}

fn packed(token: &str) -> Vec<Row> {
    let body = framed(token, "f1") + &framed(token, "f2");
    let packed = gzip(body.as_bytes());
    let as_gzip = |name, body: &[u8]| row(name, body).header("Content-Encoding", "gzip");
    vec![
        as_gzip("gzip", &packed).count("2").is(204, &["f1", "f2"]),
        as_gzip("gzip header but plain", body.as_bytes())
            .was(400, &[], "the reason says what is wrong")
            .is(400, &[])
            .saying("Body does not match its Content-Encoding"),
        row("gzip body without header", packed.clone())
            .was(204, &[], TOLD)
            .is(400, &[])
            .saying(MALFORMED),
        row("deflate header", body)
            .header("Content-Encoding", "deflate")
            .was(
                204,
                &["f1", "f2"],
                "what is packed in an unknown way is not guessed at",
            )
            .is(415, &[])
            .saying("Content-Encoding must be identity, gzip or zstd"),
        row("GZIP upper", packed)
            .header("Content-Encoding", "GZIP")
            .was(204, &[], "codings have no case (RFC 9110, 8.4.1)")
            .is(204, &["f1", "f2"]),
    ]
}

async fn check(router: &Router, channel: &str, row: Row) {
    let mut headers: Vec<(&str, &str)> =
        row.headers.iter().map(|(k, v)| (*k, v.as_str())).collect();
    if let Some(authorization) = &row.authorization {
        headers.push(("Authorization", authorization));
    }
    let answer = http::request(router.http, row.method, row.path, &headers, &row.body).await;
    assert_eq!(answer.status, row.status, "{}: {answer:?}", row.name);
    if let Some(reason) = row.reason {
        assert_eq!(
            (answer.reason.as_str(), answer.text().as_str()),
            (reason, reason),
            "{}",
            row.name
        );
    }
    match answer.status {
        401 => assert_eq!(
            answer.header("www-authenticate"),
            Some("Basic realm=Logplex")
        ),
        405 => assert_eq!(answer.header("allow"), Some("POST")),
        _ => {}
    }
    assert_eq!(texts(router, channel).await, row.texts, "{}", row.name);
    let ours = (row.status, row.texts);
    assert!(
        row.because.is_some() || row.was.is_none_or(|was| was == ours),
        "{}: a difference has its reason",
        row.name
    );
}

#[tokio::test]
async fn each_request_is_answered_as_logplex_did_or_better() {
    let router = Router::start().await;
    for (id, permissions) in [("noperm", ""), ("chanonly", "\"any_channel\"")] {
        let body = format!(r#"{{"id":"{id}","secret":"password","permissions":[{permissions}]}}"#);
        let answer = router.call("POST", "/v3/credentials", &body).await;
        assert!(matches!(answer.status, 200 | 201), "{answer:?}");
    }
    for (group, rows) in [
        ("who", who as fn(&str) -> Vec<Row>),
        ("forms", forms),
        ("frames", frames),
        ("packed", packed),
    ] {
        let count = rows("t.x").len();
        for index in 0..count {
            // A channel of its own: nothing of another row can be taken for this one's.
            let channel = format!("{group}-{index}");
            let token = router.channel(&channel).await;
            let row = rows(&token).into_iter().nth(index).unwrap();
            check(&router, &channel, row).await;
        }
    }
    let lost = |reason: &str| format!("logboom_dropped_messages_total{{reason=\"{reason}\"}}");
    assert_eq!(router.metric(&lost("unknown_token")).await, 1.0);
    assert_eq!(router.metric(&lost("no_token")).await, 2.0);
    router.stop().await;
}

#[tokio::test]
async fn great_bodies_are_taken_up_to_the_limit() {
    let router = Router::start_with(&[("channel_bytes_max", "32MiB")]).await;
    let token = router.channel("app").await;
    let text = "y".repeat(900);
    let frame = framed(&token, &text);
    for (bytes, status) in [(7_900_000, 204), (8_040_000, 413), (9_000_000, 413)] {
        let count = bytes / frame.len();
        let answer = crate::post(&router, &token, &[], frame.repeat(count).as_bytes()).await;
        // Logplex said 500 above 8,000,000 bytes.
        assert_eq!(answer.status, status, "{answer:?}");
    }
    let expected = 7_900_000 / frame.len();
    assert_eq!(texts(&router, "app").await.len(), expected.min(10_000));
    router.stop().await;
}
