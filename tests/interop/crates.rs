//! Crates that parse syslog, in a program of their own (tests/interop/parsers).

use std::path::Path;
use std::process::Stdio;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::cases;
use crate::support::Router;
use crate::support::peers::INSTALL;
use crate::support::sinks::HttpSink;

/// The body of every case by an HTTP drain with `options`.
async fn sent(options: &str) -> Vec<u8> {
    let router = Router::start().await;
    let token = router.channel("app").await;
    let sink = HttpSink::start([]).await;
    router.drain("app", &sink.url(), options).await;
    let cases = cases::all();
    for case in &cases {
        case.send(&router, &token).await;
    }
    sink.frames_until(cases.len()).await;
    router.stop().await;
    sink.posts()
        .into_iter()
        .flat_map(|post| post.body)
        .collect()
}

/// What `name` makes of every case sent with `options`.
async fn read(name: &str, options: &str) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let program = root.join("target/peers/parsers/debug/parsers");
    assert!(program.exists(), "parsers {INSTALL}");
    let body = sent(options).await;
    let mut child = Command::new(program)
        .arg(name)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    tokio::spawn(async move { stdin.write_all(&body).await.unwrap() });
    let output = child.wait_with_output().await.unwrap();
    assert!(output.status.success());
    let lines = String::from_utf8(output.stdout).unwrap();
    let names = cases::all().into_iter().map(|case| case.name);
    let read: Vec<_> = names
        .zip(lines.lines())
        .map(|(name, line)| format!("{name}: {}", cases::short(line)))
        .collect();
    assert_eq!(read.len(), lines.lines().count());
    read
}

/// With `options` the crate reads every case; with the defaults it does not read those in `lost`,
/// or not rightly.
async fn check(name: &str, options: &str, lost: &[&str]) {
    let (plain, mended) = (read(name, "").await, read(name, options).await);
    let all = cases::all();
    let different = plain.iter().zip(&mended).zip(&all);
    let different: Vec<_> = different
        .filter(|((plain, mended), _)| plain != mended)
        .map(|(_, case)| case.name)
        .collect();
    assert_eq!(different, lost, "{plain:#?} and {mended:#?}");
    for line in [
        r#"plain: web.1 [] "hello""#,
        r#"postgres: postgres.7 [] "[DATABASE] [12-1] sql_error_code = 00000""#,
        r#"gin: web.1 [] "[GIN] 2026/11/20 | 200""#,
        r#"lines: web.1 [] "one\ntwo\r\nthree""#,
        "latin-1: web.1 [] \"caf\u{fffd} noir\"",
        r#"odd procid: w?b.1 [] "hello""#,
        r#"empty: web.1 [] """#,
        r#"bad time: web.1 [] "hello""#,
    ] {
        assert!(
            mended.iter().any(|read| read == line),
            "{line:?} is not in {mended:#?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn syslog_heroku_wants_utf8_and_times() {
    let options = r#","utf8":"replace","timestamp":"normalize""#;
    check(
        "syslog_heroku",
        options,
        &["latin-1", "odd procid", "bad time"],
    )
    .await;
}

/// Both read RFC 5424 alone: the defaults' HTTP frames have no structured data, and where a text
/// begins with a word in brackets, that is taken for it.
#[tokio::test(flavor = "multi_thread")]
async fn syslog_loose_and_syslog_rfc5424_want_rfc_5424() {
    let all: Vec<_> = cases::all().into_iter().map(|case| case.name).collect();
    for name in ["syslog_loose", "syslog_rfc5424"] {
        check(name, r#","format":"rfc5424","utf8":"replace""#, &all).await;
    }
}
