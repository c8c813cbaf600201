//! What goes wrong is said in one clear line, and it goes on by itself when it is mended.

use std::process::Command;
use std::process::Output;

use crate::cluster;
use crate::cluster::Cluster;
use crate::support::Router;
use crate::support::certificates::Certificates;
use crate::support::reporter::Reporter;
use crate::support::until_async;

async fn has_samples(router: &Router, channel: &str) {
    until_async("samples", async || {
        let history = router.history(channel, 100).await;
        history.iter().any(|line| line.contains(" sample#db_size="))
    })
    .await;
}

#[tokio::test]
async fn a_wrong_password_and_a_missing_database_are_told_and_mended() {
    let cluster = Cluster::start("").await;
    cluster.monitor().await;
    let router = Router::start().await;
    let token = router.channel("shop").await;
    let url = cluster.url_of("logboom", "wrong", "shop");
    let flags = ["--interval", "200ms", "--no-logs"];
    let mut program = Reporter::start("postgres", &router, &token, &url, &flags);
    let said = program.says("not working").await;
    let place = format!("127.0.0.1:{}", cluster.port());
    let expected =
        format!("{place} does not take the password of \\\"logboom\\\"; give the right one");
    assert!(said.contains(&expected), "{said}");
    assert!(!said.contains("wrong"), "{said}");
    cluster.execute("alter role logboom password 'wrong'").await;
    let said = program.says("not working").await;
    assert!(
        said.contains("there is no database \\\"shop\\\" on "),
        "{said}"
    );
    cluster.execute("create database shop").await;
    program.says("working again").await;
    has_samples(&router, "shop").await;
    program.done().await;
}

#[tokio::test]
async fn a_server_that_is_not_there_is_waited_for() {
    let mut cluster = Cluster::start("").await;
    let url = cluster.monitor().await;
    cluster.down();
    let router = Router::start().await;
    let token = router.channel("shop").await;
    let flags = ["--interval", "200ms"];
    let mut program = Reporter::start("postgres", &router, &token, &url, &flags);
    let said = program.says("not working").await;
    assert!(
        said.contains("is the server running, and does it listen there?"),
        "{said}"
    );
    cluster.up().await;
    let said = program.says("postgres log").await;
    assert!(
        said.contains("logging_collector is off; `logboom postgres setup` says how"),
        "{said}"
    );
    has_samples(&router, "shop").await;
    program.done().await;
}

#[tokio::test]
async fn tls_is_used_and_certificates_are_verified_where_it_is_asked() {
    let cluster = Cluster::start("").await;
    let certificates = Certificates::new();
    let files = [certificates.certificate_file(), certificates.key_file()];
    for (name, from) in ["server.crt", "server.key"].iter().zip(&files) {
        let path = cluster.data().join(name);
        std::fs::copy(from, &path).unwrap();
        cluster.own(&path);
    }
    let url = cluster.monitor().await;
    cluster.execute("alter system set ssl = on").await;
    cluster.execute("select pg_reload_conf()").await;
    let router = Router::start().await;
    let flags = ["--interval", "200ms", "--no-logs"];
    let token = router.channel("verified").await;
    let url = url.replace("127.0.0.1", "localhost");
    let ca = certificates.ca_file();
    let verified = format!("{url}?sslmode=verify-full&sslrootcert={}", ca.display());
    let program = Reporter::start("postgres", &router, &token, &verified, &flags);
    has_samples(&router, "verified").await;
    let count = "select count(*) from pg_stat_ssl join pg_stat_activity using (pid) \
                 where ssl and usename = 'logboom'";
    assert_eq!(cluster.ask(count).await.get::<_, i64>(0), 1);
    program.done().await;

    let token = router.channel("trusting").await;
    let program = Reporter::start(
        "postgres",
        &router,
        &token,
        &format!("{url}?sslmode=require"),
        &flags,
    );
    has_samples(&router, "trusting").await;
    program.done().await;

    // A Unix socket has no TLS, whatever is asked.
    let token = router.channel("local").await;
    let local = format!("{}?sslmode=require", cluster.socket_url("logboom", "leise"));
    let program = Reporter::start("postgres", &router, &token, &local, &flags);
    has_samples(&router, "local").await;
    program.done().await;

    let token = router.channel("strict").await;
    let strict = format!("{url}?sslmode=verify-full");
    let mut program = Reporter::start("postgres", &router, &token, &strict, &flags);
    let said = program.says("not working").await;
    assert!(said.contains("no TLS with localhost:"), "{said}");
    program.done().await;
}

/// The program's answer to a command line.
fn logboom(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_logboom"));
    command
        .arg("postgres")
        .args(arguments)
        .env_clear()
        .output()
        .unwrap()
}

#[test]
fn wrong_command_lines_say_what_would_be_right() {
    let to = ["--logs-url", "http://token:t.a@127.0.0.1:1/logs"];
    let check = |arguments: &[&str], part: &str| {
        let output = logboom(&[&to, arguments].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(part), "{said}");
    };
    check(&[], "no server: give --database-url postgres://USER");
    let url = ["--database-url", "postgres://a:secret@h:x/d"];
    check(&url, "the URL from --database-url names no server: ");
    check(&["--no-metrics", "--no-logs"], "leave nothing to do");
    check(
        &["--name", "a-b"],
        "it must be letters, digits and underscores",
    );
    let prefix = [
        "--no-metrics",
        "--log-directory",
        "/",
        "--log-format",
        "stderr",
    ];
    let prefix = [prefix.as_slice(), &["--log-line-prefix", "%m "]].concat();
    check(&prefix, "it has neither %p nor %c");
    let output = logboom(&["--no-metrics", "--log-directory", "/"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("no router to ship to"), "{said}");
}

#[tokio::test]
async fn setup_makes_what_is_missing_once() {
    let mut cluster = Cluster::start("").await;
    let setup = |url: &str| {
        let output = logboom(&["setup", "--apply", "--database-url", url]);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let complained = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), said, complained)
    };
    let (code, said, complained) = setup(&cluster.url("postgres"));
    assert_eq!(code, Some(0), "{complained}");
    for part in [
        "logging_collector = on  (made; waits for a restart of the server)",
        "log_destination = stderr,jsonlog  (made)",
        "log_timezone = UTC  (was right)",
        "log_file_mode = 0640  (made)",
        "Restart the server: until then it writes no log files.",
    ] {
        assert!(said.contains(part), "{part} is missing in:\n{said}");
    }
    let url = said
        .split("export DATABASE_URL=")
        .nth(1)
        .unwrap()
        .split_whitespace()
        .next()
        .unwrap();
    let (code, again, _) = setup(&cluster.url("postgres"));
    assert_eq!(code, Some(0));
    assert!(
        !again.contains("(made)") && again.contains("waits for a restart"),
        "{again}"
    );
    cluster.down();
    cluster.up().await;
    let (_, again, _) = setup(&cluster.url("postgres"));
    assert!(!again.contains("made"), "{again}");

    let router = Router::start().await;
    let token = router.channel("shop").await;
    let mut program = Reporter::start("postgres", &router, &token, url, &["--interval", "200ms"]);
    program.says("reading another file").await;
    cluster
        .execute("do $$ begin raise log 'it works'; end $$")
        .await;
    until_async("the log", async || {
        let history = router.history("shop", 100).await;
        history.iter().any(|line| line.ends_with("LOG:  it works"))
    })
    .await;
    program.done().await;

    let (code, _, complained) = setup(url);
    assert_eq!(code, Some(1));
    assert!(
        complained.contains("\"logboom\" is no superuser on 127.0.0.1:"),
        "{complained}"
    );
}

#[tokio::test]
async fn the_printed_setup_is_understood_by_the_server() {
    let cluster = Cluster::start("").await;
    cluster
        .execute("alter system set log_destination = 'syslog'")
        .await;
    cluster.execute("select pg_reload_conf()").await;
    let setting = "select current_setting('log_destination')";
    until_async("the setting", async || {
        cluster.ask(setting).await.get::<_, String>(0) == "syslog"
    })
    .await;
    let folder = cluster::folder();
    let mut url = String::new();
    for number in 0..2 {
        let output = logboom(&["setup", "--role", "watcher"]);
        let script = String::from_utf8(output.stdout).unwrap();
        let path = folder.path().join(format!("{number}.sql"));
        std::fs::write(&path, &script).unwrap();
        let done = cluster::command("psql")
            .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-f"])
            .arg(&path)
            .arg(cluster.url("postgres"))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(done.status.success(), "{said}");
        let (_, printed) = script.split_once("DATABASE_URL=").unwrap();
        let place = format!("127.0.0.1:{}/postgres", cluster.port());
        let printed = printed.lines().next().unwrap();
        url = printed.replace("HOST:5432/DATABASE", &place);
    }
    let written = "select count(*) from pg_file_settings where sourcefile like '%auto.conf'";
    assert_eq!(cluster.ask(written).await.get::<_, i64>(0), 5);
    let destination = "select setting from pg_file_settings where name = 'log_destination'";
    let destination: String = cluster.ask(destination).await.get(0);
    assert_eq!(destination, "syslog, jsonlog");
    let role = "select pg_has_role('watcher', 'pg_monitor', 'MEMBER')";
    assert!(cluster.ask(role).await.get::<_, bool>(0));
    // The last password that was printed is the one that holds.
    let connected = tokio_postgres::connect(&url, tokio_postgres::NoTls).await;
    assert!(connected.is_ok(), "{:?}", connected.err());
}
