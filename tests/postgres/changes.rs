//! What changes while the program runs, or before the server is there: nothing is lost, nothing that
//! was sent comes again.

use crate::cluster::Cluster;
use crate::logs::make_mark;
use crate::logs::marks_until;
use crate::support::Router;
use crate::support::reporter::Reporter;

const OFTEN: &[&str] = &["--no-metrics", "--interval", "200ms"];

async fn set(cluster: &Cluster, setting: &str) {
    cluster
        .execute(&format!("alter system set {setting}"))
        .await;
    cluster.execute("select pg_reload_conf()").await;
}

#[tokio::test]
async fn other_files_are_read_from_where_the_ones_before_ended() {
    let logs = "logging_collector = on\nlog_destination = 'stderr,csvlog,jsonlog'";
    let cluster = Cluster::start(logs).await;
    let url = cluster.monitor().await;
    let router = Router::start().await;
    let token = router.channel("shop").await;
    make_mark(&cluster, 99).await;
    let mut program = Reporter::start("postgres", &router, &token, &url, OFTEN);
    program.says("reading another file").await;
    make_mark(&cluster, 1).await;
    make_mark(&cluster, 2).await;
    marks_until(&router, "shop", 2).await;
    // What was read is also in the files of the other format, and more that is older.
    set(&cluster, "log_destination = 'stderr,csvlog'").await;
    make_mark(&cluster, 3).await;
    program.says("reading another file").await;
    make_mark(&cluster, 4).await;
    marks_until(&router, "shop", 4).await;
    // What is written there before anybody looks is new.
    set(&cluster, "log_directory = 'other'").await;
    make_mark(&cluster, 5).await;
    make_mark(&cluster, 6).await;
    marks_until(&router, "shop", 6).await;
    set(&cluster, "log_destination = 'stderr'").await;
    make_mark(&cluster, 7).await;
    make_mark(&cluster, 8).await;
    marks_until(&router, "shop", 8).await;
    program.done().await;
}

#[tokio::test]
async fn what_a_server_says_before_it_can_be_asked_is_read() {
    let logs = "logging_collector = on\nlog_destination = jsonlog";
    let mut cluster = Cluster::start(logs).await;
    let url = cluster.monitor().await;
    make_mark(&cluster, 99).await;
    cluster.down();
    let router = Router::start().await;
    let token = router.channel("shop").await;
    let mut program = Reporter::start("postgres", &router, &token, &url, OFTEN);
    program.says("not working").await;
    cluster.up().await;
    make_mark(&cluster, 1).await;
    make_mark(&cluster, 2).await;
    marks_until(&router, "shop", 2).await;
    let history = router.history("shop", 10_000).await;
    let starts = history
        .iter()
        .filter(|line| line.contains("starting PostgreSQL"));
    assert_eq!(starts.count(), 1, "{history:#?}");
    program.done().await;
}

#[tokio::test]
async fn an_event_that_is_too_long_is_one_loss() {
    let router = Router::start().await;
    let folder = tempfile::tempdir().unwrap();
    let at = "2026-11-20 17:46:48.383 UTC";
    let many = "\tinsert into items values (1, 2, 3), (4, 5, 6)\n".repeat(100_000);
    let record = |message: &str| {
        format!("{at},,,7,,1.7,1,,{at},,0,LOG,00000,\"{message}\",,,,,,,,,\"\",\"x\",,0\n")
    };
    let csv = [record("mark 1"), record(&many), record("mark 2")].concat();
    let line = |message: &str| format!("{at} [7] LOG:  {message}\n");
    let plain = [line("mark 1"), line(&many), line("mark 2")].concat();
    for (format, extension, text) in [("csvlog", "csv", csv), ("stderr", "log", plain)] {
        std::fs::write(folder.path().join(format!("a.{extension}")), text).unwrap();
        let token = router.channel(format).await;
        let directory = folder.path().to_str().unwrap();
        let flags = ["--no-metrics", "--from-start", "--log-format", format];
        let flags = [&flags, ["--log-directory", directory].as_slice()].concat();
        let mut program = Reporter::start("postgres", &router, &token, "", &flags);
        program.says("skipped an event that is too long").await;
        marks_until(&router, format, 2).await;
        let (_, said) = program.stop().await;
        assert!(said.contains("dropped=1 lost=0"), "{format}: {said}");
    }
}

#[tokio::test]
async fn what_a_wrong_token_kept_from_the_router_is_sent_with_the_right_one() {
    let router = Router::start().await;
    let token = router.channel("shop").await;
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let event = |number: u32| {
        format!(
            "{{\"timestamp\":\"t\",\"pid\":1,\"error_severity\":\"LOG\",\"message\":\"mark {number}\"}}\n"
        )
    };
    std::fs::write(folder.path().join("a.json"), event(1) + &event(2)).unwrap();
    let directory = folder.path().to_str().unwrap();
    let flags = ["--no-metrics", "--from-start", "--log-directory", directory];
    let flags = [&flags, ["--state", state.to_str().unwrap()].as_slice()].concat();
    let mut program = Reporter::start("postgres", &router, "t.wrong", "", &flags);
    program.says("the router refused a batch").await;
    let (code, said) = program.stop().await;
    assert_eq!(code, Some(1), "{said}");
    let program = Reporter::start("postgres", &router, &token, "", &flags);
    marks_until(&router, "shop", 2).await;
    program.done().await;
}
