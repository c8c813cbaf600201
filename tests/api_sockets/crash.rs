//! kill -9 of the real router while changes are made through its API: what was acknowledged is
//! there after the next start.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::support;
use crate::support::Router;
use crate::support::http;

/// How long all rounds together may take to begin.
const TIME_MAX: Duration = Duration::from_secs(8);

/// One call on a connection that may be cut at any moment; `None` without a whole answer.
async fn call(router: &Router, method: &str, path: &str, body: &str) -> Option<(u16, Value)> {
    let mut socket = TcpStream::connect(router.http).await.ok()?;
    let auth = http::basic(support::CREDENTIAL);
    let text = format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: {auth}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    socket.write_all(text.as_bytes()).await.ok()?;
    let mut bytes = Vec::new();
    socket.read_to_end(&mut bytes).await.ok()?;
    if bytes.is_empty() {
        return None;
    }
    let answer = http::parse(&bytes);
    let length: usize = answer
        .header("content-length")
        .unwrap_or("0")
        .parse()
        .unwrap();
    (answer.body.len() == length).then(|| {
        (
            answer.status,
            serde_json::from_slice(&answer.body).unwrap_or_default(),
        )
    })
}

/// Makes changes until the router is gone; notes what each channel must look like: `None` when it
/// is deleted, or when a change of it was not answered.
async fn change(router: &Router, round: usize, known: &mut BTreeMap<String, Option<Value>>) {
    for number in 0.. {
        let id = format!("r{round}-{number}");
        let path = format!("/v3/channels/{id}");
        let Some((201, mut shown)) = call(router, "PUT", &path, r#"{"tokens":["app"]}"#).await
        else {
            return;
        };
        known.insert(id.clone(), Some(shown.clone()));
        let entry = known.get_mut(&id).unwrap();
        let before = entry.take();
        let url = format!(r#"{{"url":"syslog://127.0.0.1:{}"}}"#, 1 + number % 9);
        let Some((201, drain)) = call(router, "POST", &format!("{path}/drains"), &url).await else {
            return;
        };
        shown["drains"] = Value::Array(vec![drain]);
        assert!(before.is_some());
        *entry = Some(shown);
        if number % 3 == 0 {
            *entry = None;
            let Some((204, _)) = call(router, "DELETE", &path, "").await else {
                return;
            };
            known.insert(id, Some(Value::Null));
        }
    }
}

#[tokio::test]
async fn what_was_acknowledged_survives_kill_9() {
    let data = tempfile::tempdir().unwrap();
    let mut known = BTreeMap::new();
    let begun = Instant::now();
    let mut rounds = 0;
    while rounds < 3 || begun.elapsed() < TIME_MAX {
        let router = Router::start_in(data.path().to_owned(), &[], &[]).await;
        // No two rounds die at the same point.
        let life = Duration::from_millis(50 + u64::try_from(rounds).unwrap() * 37 % 400);
        let pid = router.pid().to_string();
        let killing = async {
            // Nothing is waited for here: the moment itself is what the test is about.
            let moment = tokio::time::timeout(life, std::future::pending::<()>());
            assert!(moment.await.is_err());
            let kill = std::process::Command::new("kill")
                .args(["-9", &pid])
                .status();
            assert!(kill.unwrap().success());
        };
        tokio::join!(change(&router, rounds, &mut known), killing);
        router.kill().await;
        rounds += 1;
    }
    let router = Router::start_in(data.path().to_owned(), &[], &[]).await;
    let (mut kept, mut deleted) = (0, 0);
    for (id, expected) in &known {
        let Some(expected) = expected else {
            continue;
        };
        let answer = router.call("GET", &format!("/v3/channels/{id}"), "").await;
        if expected.is_null() {
            assert_eq!(answer.status, 404, "{id} was deleted: {answer:?}");
            deleted += 1;
        } else {
            assert_eq!(&answer.json(), expected, "{id}");
            kept += 1;
        }
    }
    assert!(
        0 < kept && 0 < deleted,
        "{rounds} rounds: {kept} kept, {deleted} deleted"
    );
    router.stop().await;
}
