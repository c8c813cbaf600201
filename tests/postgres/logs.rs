//! Logs: every format says the same, nothing is torn apart, and what was delivered is remembered.

use std::path::Path;

use regex::Regex;

use crate::cluster;
use crate::cluster::Cluster;
use crate::cluster::HEROKU_PREFIX;
use crate::support::Router;
use crate::support::reporter::Reporter;
use crate::support::until;
use crate::support::until_async;

/// What sessions do: events of one line and of many, long ones, with every label.
const STATEMENTS: &[&str] = &[
    "select 1",
    "select *\n\tfrom nowhere\n\n where x = 'ä'",
    "insert into items values (1), (1)",
    "do $$ begin raise exception 'one\ntwo' using detail = 'd1\nd2', hint = 'h'; end $$",
    "create function f() returns int language plpgsql as $$ begin return (select nothing); end $$",
    "select f()",
    "do $$ begin raise warning 'careful'; end $$",
    "do $$ begin raise log 'Grüße'; end $$",
    "select 'äöü',",
    "set log_error_verbosity = verbose",
    "select 1 / 0",
];

fn long_statements() -> [String; 3] {
    [
        format!("select '{}'", "word and word ".repeat(150)),
        format!("select '{}'", "x".repeat(2_000)),
        format!("select '{}'", "€".repeat(700)),
    ]
}

/// Messages of the process `pid` in a channel: everything behind the number of the event, which is
/// counted anew. `log_line` is not compared: what Postgres writes to syslog and stderr counts the
/// lines with a prefix in the session, what it writes as JSON or CSV counts the events.
async fn messages(router: &Router, channel: &str, pid: i32) -> Vec<String> {
    let line =
        Regex::new(r"^\S+ app\[postgres\.(\d+)\]: \[DATABASE\] \[(\d+)-(\d+)\] (.*)$").unwrap();
    let log_line = Regex::new("log_line=\"[0-9]+\"").unwrap();
    let history = router.history(channel, 10_000).await;
    let mut seqs = Vec::new();
    let mut found = Vec::new();
    for message in &history {
        let Some(parts) = line
            .captures(message)
            .filter(|parts| parts[1] == pid.to_string())
        else {
            continue;
        };
        if seqs.last() != Some(&parts[2].to_owned()) {
            assert_eq!(
                &parts[3], "1",
                "an event begins with its first line: {message}"
            );
            assert!(
                !seqs.contains(&parts[2].to_owned()),
                "an event comes in one piece"
            );
            seqs.push(parts[2].to_owned());
        }
        let text = log_line.replace(&parts[4], "log_line=\"_\"");
        found.push(format!("{}-{} {text}", seqs.len(), &parts[3]));
    }
    found
}

/// The formats of files.
const FORMATS: [&str; 3] = ["jsonlog", "csvlog", "stderr"];

/// A program for each format of files, to a channel of that name.
async fn start_formats(router: &Router, cluster: &Cluster) -> Vec<Reporter> {
    let log = cluster.data().join("log");
    let mut programs = Vec::new();
    for format in FORMATS {
        let token = router.channel(format).await;
        let flags = [
            "--no-metrics",
            "--from-start",
            "--log-directory",
            log.to_str().unwrap(),
            "--log-format",
            format,
            "--log-line-prefix",
            HEROKU_PREFIX,
        ];
        let mut program = Reporter::start("postgres", router, &token, "", &flags);
        program.says("reading another file").await;
        programs.push(program);
    }
    programs
}

/// One session that does it all; gives its process.
async fn session(cluster: &Cluster) -> i32 {
    let client = cluster.client("postgres").await;
    let asked = client.query_one("select pg_backend_pid()", &[]).await;
    let long = long_statements();
    let statements = STATEMENTS.iter().copied();
    for statement in statements.chain(long.iter().map(String::as_str)) {
        // Most fail, and are meant to.
        drop(client.simple_query(statement).await);
    }
    asked.unwrap().get(0)
}

#[tokio::test]
async fn every_format_says_what_the_servers_own_syslog_says() {
    let folder = cluster::folder();
    let socket = folder.path().join("log");
    let router = Router::start().await;
    let token = router.channel("syslog").await;
    let flags = ["--no-metrics", "--syslog-unix", socket.to_str().unwrap()];
    let syslog = Reporter::start("postgres", &router, &token, "", &flags);
    until("the socket", || socket.exists().then_some(())).await;
    let configuration = format!(
        "logging_collector = on\nlog_destination = 'jsonlog, csvlog, stderr, syslog'\n\
         log_min_duration_statement = 0\nlog_connections = on\nlog_disconnections = on\n\
         log_line_prefix = '{HEROKU_PREFIX}'\n"
    );
    let cluster = Cluster::start_with_dev_log(&configuration, &socket).await;
    let others = start_formats(&router, &cluster).await;
    cluster
        .execute("create table items (id int primary key)")
        .await;
    let pid = session(&cluster).await;
    let is_over = |messages: &[String]| messages.iter().any(|m| m.contains("disconnection"));
    until_async("the session's end", async || {
        let mut all_over = true;
        for channel in FORMATS.into_iter().chain(["syslog"]) {
            all_over &= is_over(&messages(&router, channel, pid).await);
        }
        all_over
    })
    .await;
    let expected = messages(&router, "syslog", pid).await;
    assert!(40 < expected.len(), "{expected:#?}");
    for channel in FORMATS {
        let found = messages(&router, channel, pid).await;
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!(found, expected, "{channel}");
        }
        assert_eq!(found.len(), expected.len(), "{channel}");
    }
    for program in others.into_iter().chain([syslog]) {
        program.done().await;
    }
}

/// Counts events whose message is `mark N`; they must be there once each, in order.
pub(crate) async fn marks(router: &Router, channel: &str) -> Vec<u32> {
    let mark = Regex::new(r"LOG:  mark (\d+)$").unwrap();
    let history = router.history(channel, 10_000).await;
    let found = history.iter().filter_map(|line| mark.captures(line));
    found.map(|found| found[1].parse().unwrap()).collect()
}

pub(crate) async fn make_mark(cluster: &Cluster, number: u32) {
    cluster
        .execute(&format!("do $$ begin raise log 'mark {number}'; end $$"))
        .await;
}

pub(crate) async fn marks_until(router: &Router, channel: &str, last: u32) {
    until_async("the marks", async || {
        marks(router, channel).await.last() == Some(&last)
    })
    .await;
    let expected: Vec<u32> = (1..=last).collect();
    assert_eq!(marks(router, channel).await, expected);
}

async fn rotate(cluster: &Cluster) {
    let current = "select pg_current_logfile()";
    let before: String = cluster.ask(current).await.get(0);
    // Files are named by the second.
    until_async("another log file", async || {
        cluster.execute("select pg_rotate_logfile()").await;
        before != cluster.ask(current).await.get::<_, String>(0)
    })
    .await;
}

#[tokio::test]
async fn rotation_and_restarts_lose_and_repeat_nothing() {
    let mut cluster = Cluster::start("logging_collector = on\nlog_destination = jsonlog").await;
    let url = cluster.monitor().await;
    let router = Router::start().await;
    let token = router.channel("shop").await;
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let flags = [
        "--no-metrics",
        "--interval",
        "1s",
        "--state",
        state.to_str().unwrap(),
    ];

    let mut program = Reporter::start("postgres", &router, &token, &url, &flags);
    program.says("reading another file").await;
    make_mark(&cluster, 1).await;
    rotate(&cluster).await;
    make_mark(&cluster, 2).await;
    marks_until(&router, "shop", 2).await;

    // The server is restarted under it.
    cluster.down();
    program.says("not working").await;
    cluster.up().await;
    program.says("working again").await;
    make_mark(&cluster, 3).await;
    marks_until(&router, "shop", 3).await;
    program.done().await;

    // It was away while two files were written.
    make_mark(&cluster, 4).await;
    rotate(&cluster).await;
    make_mark(&cluster, 5).await;
    let program = Reporter::start("postgres", &router, &token, &url, &flags);
    marks_until(&router, "shop", 5).await;

    // A crash: what was remembered is at most a second old.
    let remembered = |size: u64| remembered(&state, size);
    let size = log_bytes(&cluster).await;
    until("the position", || remembered(size)).await;
    program.kill().await;
    make_mark(&cluster, 6).await;
    let program = Reporter::start("postgres", &router, &token, &url, &flags);
    marks_until(&router, "shop", 6).await;
    program.done().await;
}

#[tokio::test]
async fn what_a_router_that_is_away_did_not_get_is_sent_by_the_next_run() {
    let cluster = Cluster::start("logging_collector = on\nlog_destination = csvlog").await;
    let url = cluster.monitor().await;
    let router = Router::start().await;
    let token = router.channel("shop").await;
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let flags = ["--no-metrics", "--state", state.to_str().unwrap()];
    let nobody = format!(
        "http://token:{token}@127.0.0.1:{}/logs",
        cluster::free_port()
    );
    let away = ["--logs-url", &nobody, "--grace", "500ms"];
    let away = [flags.as_slice(), &away].concat();
    let mut reporter = Reporter::start("postgres", &router, &token, &url, &away);
    reporter.says("reading another file").await;
    make_mark(&cluster, 1).await;
    reporter.says("the router did not take a batch").await;
    rotate(&cluster).await;
    make_mark(&cluster, 2).await;
    reporter.says("reading another file").await;
    let (code, said) = reporter.stop().await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("delivered=0 "), "{said}");
    let reporter = Reporter::start("postgres", &router, &token, &url, &flags);
    marks_until(&router, "shop", 2).await;
    reporter.done().await;
}

/// How large the current log file is.
async fn log_bytes(cluster: &Cluster) -> u64 {
    let name: String = cluster
        .ask("select pg_current_logfile('jsonlog')")
        .await
        .get(0);
    std::fs::metadata(cluster.data().join(name)).unwrap().len()
}

fn remembered(state: &Path, size: u64) -> Option<()> {
    let text = std::fs::read_to_string(state).ok()?;
    let state: serde_json::Value = serde_json::from_str(&text).ok()?;
    (state["place"]["offset"].as_u64()? == size).then_some(())
}

#[tokio::test]
async fn what_is_no_event_is_told_and_not_in_the_way() {
    let router = Router::start().await;
    let token = router.channel("shop").await;
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("a.log");
    let at = "2026-11-20 17:46:48.383 UTC";
    std::fs::write(
        &log,
        format!("{at} [7] LOG:  one\ncp: cannot stat 'x'\n{at} [7] LOG:  mark 1\n\tgoes on\n"),
    )
    .unwrap();
    std::fs::write(folder.path().join("a.json"), "{\"torn\n").unwrap();
    let directory = folder.path().to_str().unwrap();
    let plain = Reporter::start(
        "postgres",
        &router,
        &token,
        "",
        &[
            "--no-metrics",
            "--from-start",
            "--log-directory",
            directory,
            "--log-format",
            "stderr",
        ],
    );
    let lines = router.history_until("shop", 4).await;
    let texts: Vec<&str> = lines
        .iter()
        .map(|line| line.split_once(" app[").unwrap().1)
        .collect();
    let prefix = "[DATABASE] [1-1]  time_ms = \"2026-11-20 17:46:48.383 UTC\" pid=\"7\" ";
    assert_eq!(texts[0], format!("postgres.7]: {prefix}LOG:  one"));
    assert_eq!(texts[1], "postgres]: [DATABASE] [2-1] cp: cannot stat 'x'");
    assert_eq!(
        texts[2],
        format!("postgres.7]: {}LOG:  mark 1", prefix.replace("1-1", "3-1"))
    );
    assert_eq!(texts[3], "postgres.7]: [DATABASE] [3-2] \tgoes on");
    plain.done().await;

    let other = router.channel("other").await;
    let flags = ["--no-metrics", "--from-start", "--log-directory", directory];
    let mut json = Reporter::start("postgres", &router, &other, "", &flags);
    json.says("skipped what is no event").await;
    std::fs::write(
        folder.path().join("b.json"),
        "{\"timestamp\":\"t\",\"pid\":1,\"error_severity\":\"LOG\",\"message\":\"m\"}\n",
    )
    .unwrap();
    let lines = router.history_until("other", 2).await;
    assert!(
        lines[0].contains("Error L12: 1 messages dropped since "),
        "{lines:#?}"
    );
    assert!(lines[1].ends_with("LOG:  m"), "{lines:#?}");
    let (code, said) = json.stop().await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("dropped=1 lost=0"), "{said}");
}
