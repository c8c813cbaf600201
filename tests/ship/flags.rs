//! Flags, formats, and what is said about wrong ones.

use crate::program::{Ship, ship, texts};
use crate::support::sinks::HttpSink;

async fn shipped(flags: &[&str], text: &str) -> Vec<String> {
    let sink = HttpSink::start([]).await;
    ship(&sink.url(), flags, text).await;
    sink.posts().iter().flat_map(texts).collect()
}

#[tokio::test]
async fn lines_are_joined() {
    let trace = "a\n  at x\n\tat y\nb\n";
    let indent = ["--join-indent"];
    assert_eq!(shipped(&indent, trace).await, ["a\n  at x\n\tat y", "b"]);
    let dated = "2026-1 a\nmore\n2026-2 b\n";
    let pattern = ["--join-pattern", r"^\d{4}-"];
    assert_eq!(
        shipped(&pattern, dated).await,
        ["2026-1 a\nmore", "2026-2 b"]
    );
    assert_eq!(shipped(&[], trace).await.len(), 4);
}

#[tokio::test]
async fn a_joined_message_waits_for_its_time_only() {
    let sink = HttpSink::start([]).await;
    let flags = ["--join-indent", "--join-time", "50ms", "--wait", "10ms"];
    let mut ship = Ship::start(&sink.url(), &flags);
    ship.write("a\n b\n").await;
    let posts = sink.posts_until(1).await;
    assert_eq!(texts(&posts[0]), ["a\n b"]);
    ship.write(" c\n").await;
    let posts = sink.posts_until(2).await;
    assert_eq!(texts(&posts[1]), [" c"]);
    ship.done().await;
}

#[tokio::test]
async fn whole_messages_keep_their_headers() {
    let one = "<13>1 2013-09-25T01:16:49.371356+00:00 h t.x web.1 - - one";
    let two = "<14>1 2013-09-25T01:16:49.402923+00:00 h t.x web.2 - - two";
    for (format, text) in [
        ("rfc5424", format!("{one}\n{two}\n")),
        (
            "lprfc5424",
            format!("{} {one}\n{} {two}", one.len() + 1, two.len()),
        ),
    ] {
        let sink = HttpSink::start([]).await;
        ship(&sink.url(), &["--input-format", format], text).await;
        assert_eq!(sink.frames(), [format!("{one}\n"), format!("{two}\n")]);
    }
}

#[tokio::test]
async fn what_is_no_frame_is_counted_and_told() {
    let sink = HttpSink::start([]).await;
    let mut ship = Ship::start(&sink.url(), &["--input-format", "lprfc5424"]);
    ship.write("5 <1>1 \n9999 <13>1 half").await;
    ship.close();
    let ended = ship.ended().await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(
        ended.stderr.contains("delivered=1 dropped=1 lost=0"),
        "{ended:?}"
    );
}

#[tokio::test]
async fn long_lines_are_sent_in_parts_that_can_be_told() {
    let line = "é".repeat(100);
    let parts = shipped(&["--max-line-length", "100"], &format!("{line}\nshort\n")).await;
    assert_eq!(parts.len(), 4);
    assert!(parts.iter().all(|part| part.len() <= 100), "{parts:?}");
    let joined = parts[..3].concat().replace("……", "");
    assert_eq!(joined, line);
    assert_eq!(parts[3], "short");

    let sink = HttpSink::start([]).await;
    let flags = ["--max-line-length", "100", "--split", "plain"];
    ship(&sink.url(), &flags, format!("{line}\n")).await;
    let frames = sink.frames();
    let text = |frame: &String| frame.split(" - - ").nth(1).unwrap().to_owned();
    let joined: String = frames.iter().map(text).collect();
    assert_eq!(joined, format!("{line}\n"));
    assert!(!frames[0].ends_with('\n'));
}

#[tokio::test]
async fn header_fields_and_credentials_are_what_the_flags_say() {
    let sink = HttpSink::start([]).await;
    let flags = [
        "--prival",
        "13",
        "--syslog-version",
        "2",
        "--hostname",
        "h",
        "--appname",
        "a",
        "--procid",
        "p",
        "--msgid",
        "ID47",
        "--bearer-token",
        "t.secret",
    ];
    ship(
        &format!("http://user:password@{}/x?y=1", sink.address),
        &flags,
        "text\n",
    )
    .await;
    let post = &sink.posts()[0];
    assert!(
        post.head.starts_with("POST /x?y=1 HTTP/1.1\r\n"),
        "{}",
        post.head
    );
    assert_eq!(post.header("authorization").unwrap(), "Bearer t.secret");
    let frame = &post.frames()[0];
    assert!(
        frame.starts_with("<13>2 ") && frame.ends_with(" h a p ID47 text\n"),
        "{frame}"
    );
    for (userinfo, expected) in [("u:p@", "u:p"), ("", "token:a")] {
        let sink = HttpSink::start([]).await;
        let url = format!("http://{userinfo}{}", sink.address);
        ship(&url, &["--appname", "a"], "text\n").await;
        let post = &sink.posts()[0];
        assert!(post.head.starts_with("POST /logs "), "{}", post.head);
        let expected = crate::support::http::basic(expected);
        assert_eq!(post.header("authorization").unwrap(), expected);
    }
}

#[tokio::test]
async fn the_url_is_the_flags_or_the_environments() {
    let (newer, older, given) = (
        HttpSink::start([]).await,
        HttpSink::start([]).await,
        HttpSink::start([]).await,
    );
    let (newer_url, older_url, given_url) = (newer.url(), older.url(), given.url());
    let both = [("LOGS_URL", &*newer_url), ("LOGPLEX_URL", &*older_url)];
    Ship::start_in(&both[1..], &[], "older\n").await;
    Ship::start_in(&both, &[], "newer\n").await;
    Ship::start_in(&both, &["--logs-url", &given_url], "given\n").await;
    for (sink, expected) in [(older, "older"), (newer, "newer"), (given, "given")] {
        let found: Vec<String> = sink.posts().iter().flat_map(texts).collect();
        assert_eq!(found, [expected]);
    }
}

#[tokio::test]
async fn a_queue_that_drops_can_be_refused_in_log_shuttles_words() {
    let sink = HttpSink::start([]).await;
    let lines: String = (0..3_000).map(|n| format!("{n}\n")).collect();
    let flags = ["--drop=false", "--batch-size", "10", "--back-buff", "1"];
    ship(&sink.url(), &flags, lines).await;
    assert_eq!(sink.frames().len(), 3_000);
}

#[tokio::test]
async fn a_batch_has_as_many_lines_as_it_may() {
    let sink = HttpSink::start([]).await;
    let lines: String = (0..25).map(|n| format!("{n}\n")).collect();
    ship(&sink.url(), &["--batch-size", "10", "--wait", "1s"], lines).await;
    let counts: Vec<usize> = sink.posts().iter().map(|post| texts(post).len()).collect();
    assert_eq!(counts, [10, 10, 5]);
}

#[tokio::test]
async fn numbers_are_told_now_and_then() {
    let sink = HttpSink::start([]).await;
    let flags = [
        "--stats-interval",
        "20ms",
        "--stats-source",
        "web",
        "--wait",
        "10ms",
    ];
    let mut ship = Ship::start(&sink.url(), &flags);
    ship.write("one\n").await;
    ship.said("source=web at=stats delivered=1 dropped=0 lost=0 queued=0 spooled=0\n")
        .await;
    ship.close();
    assert_eq!(ship.ended().await.code, Some(0));
}

#[tokio::test]
async fn wrong_flags_say_what_would_be_right() {
    for (url, flags, said) in WRONG {
        let mut ship = Ship::start(url, flags);
        ship.close();
        let ended = ship.ended().await;
        assert_eq!(ended.code, Some(2), "{flags:?}: {ended:?}");
        assert!(ended.stderr.contains(said), "{flags:?}: {ended:?}");
    }
}

#[tokio::test]
async fn no_secret_is_shown() {
    let url = "http://token:t.secret@127.0.0.1:1/logs";
    for flags in [
        &["--grace", "50ms", "--verbose"][..],
        &["--spool", "/proc/no"],
    ] {
        let mut ship = Ship::start(url, flags);
        ship.write("one\n").await;
        ship.close();
        let ended = ship.ended().await;
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(!ended.stderr.contains("t.secret"), "{ended:?}");
    }
    let bad = Ship::start("http://token:t.secret@/logs", &[])
        .ended()
        .await;
    assert_eq!(bad.code, Some(2));
    assert!(!bad.stderr.contains("t.secret"), "{bad:?}");
}

const URL: &str = "http://127.0.0.1:1/logs";

/// URL, flags, and what is said about them.
const WRONG: &[(&str, &[&str], &str)] = &[
    (
        "",
        &[],
        "give --logs-url http://token:t.…@HOST:8601/logs, or the same as LOGS_URL",
    ),
    (
        "h:1",
        &[],
        "the URL from LOGS_URL cannot be shipped to: it must begin with http",
    ),
    (
        URL,
        &["--num-outlets", "4"],
        "only 1 is possible: lines arrive in order because",
    ),
    (
        URL,
        &["--logplex-token", "a b"],
        "visible ASCII characters, without spaces",
    ),
    (URL, &["--msgid", " a"], "words of visible ASCII characters"),
    (
        URL,
        &["--syslog-version", "x"],
        "it must be one or two digits",
    ),
    (URL, &["--prival", "192"], "192 is not in 0..=191"),
    (
        URL,
        &["--wait", "soon"],
        "it is no number; a time is such as 250ms",
    ),
    (URL, &["--wait", "0"], "it must be above 0"),
    (URL, &["--wait", "250"], "a time is such as 250ms or 250s"),
    (URL, &["--stats-source", "web"], "--stats-interval <TIME>"),
    (URL, &["--batch-size", "0"], "0 is not in 1..=10000"),
    (URL, &["--max-line-length", "10"], "10 is not in 64..="),
    (URL, &["--drop", "--block"], "cannot be used with"),
    (URL, &["--spool-bytes-max", "1GiB"], "--spool <DIR>"),
    (
        URL,
        &["--spool", "x", "--spool-bytes-max", "1"],
        "it must be at least 4MiB",
    ),
    (
        URL,
        &["--spool", "x", "--max-attempts", "2"],
        "cannot be used with",
    ),
    (URL, &["--state", "x"], "--file <GLOB>"),
    (URL, &["--file", "***"], "wildcards"),
    (URL, &["--join-pattern", "("], "regex parse error"),
    (
        URL,
        &["--join-indent", "--input-format", "rfc5424"],
        "only lines of text can be joined",
    ),
];
