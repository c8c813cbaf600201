//! Samples: every key that this machine can know, each with the value that SQL gives.

use std::collections::BTreeMap;

use crate::cluster::Cluster;
use crate::support::Router;
use crate::support::reporter::Reporter;
use crate::support::until_async;

/// The keys that a server on this machine has, in Heroku's order. Those of its disk need one that the
/// kernel counts.
const KEYS: &[&str] = &[
    "current_transaction",
    "db_size",
    "tables",
    "active-connections",
    "waiting-connections",
    "max-connections",
    "connections-percentage-used",
    "index-cache-hit-rate",
    "table-cache-hit-rate",
    "load-avg-1m",
    "load-avg-5m",
    "load-avg-15m",
    "read-iops",
    "write-iops",
    "tmp-disk-used",
    "tmp-disk-available",
    "memory-total",
    "memory-free",
    "memory-percentage-used",
    "memory-cached",
    "memory-postgres",
    "wal-percentage-used",
];

/// The last line of samples in a channel: its keys in order, and the values.
async fn samples(
    router: &Router,
    channel: &str,
) -> Option<(Vec<String>, BTreeMap<String, String>)> {
    let history = router.history(channel, 10_000).await;
    let line = history
        .iter()
        .rfind(|line| line.contains(" app[heroku-postgres]: "))?;
    let (_, text) = line.split_once("]: ").unwrap();
    let mut words = text.split(' ');
    assert_eq!(words.next(), Some("source=DATABASE"));
    assert_eq!(words.next(), Some("addon=postgresql-postgres"));
    let pairs: Vec<(String, String)> = words
        .map(|word| {
            let (key, value) = word
                .strip_prefix("sample#")
                .unwrap()
                .split_once('=')
                .unwrap();
            (key.to_owned(), value.to_owned())
        })
        .collect();
    let keys = pairs.iter().map(|(key, _)| key.clone()).collect();
    Some((keys, pairs.into_iter().collect()))
}

/// Waits until the samples say all that.
async fn samples_until(router: &Router, channel: &str, wanted: &[(&str, &str)]) {
    let mut last = None;
    let seen = async || {
        last = samples(router, channel).await;
        let Some((_, values)) = &last else {
            return false;
        };
        let is_so = |(key, value): &(&str, &str)| values.get(*key).is_some_and(|v| v == value);
        wanted.iter().all(is_so)
    };
    until_async(&format!("{wanted:?}"), seen).await;
}

#[tokio::test]
async fn every_sample_is_what_the_server_and_the_machine_say() {
    let cluster = Cluster::start("").await;
    let url = cluster.monitor().await;
    let router = Router::start().await;
    let token = router.channel("shop").await;
    let client = cluster.client("postgres").await;
    client
        .batch_execute(
            "create table items (id int primary key); create table others (id int);\n\
             insert into items select generate_series(1, 1000); analyze;\n\
             set enable_seqscan = off; select * from items where id = 500; \
             select pg_stat_force_next_flush()",
        )
        .await
        .unwrap();
    let flags = ["--interval", "200ms", "--no-logs"];
    let program = Reporter::start("postgres", &router, &token, &url, &flags);
    check_sessions(&router, &cluster).await;
    check_database(&router, &client).await;
    check_machine(&router).await;
    program.done().await;
}

/// Two sessions wait for a third; `client`'s and the program's own are there, too.
async fn check_sessions(router: &Router, cluster: &Cluster) {
    let lock = "begin; lock table items";
    let holder = cluster.client("postgres").await;
    holder.batch_execute(lock).await.unwrap();
    let waiters = [
        cluster.client("postgres").await,
        cluster.client("postgres").await,
    ];
    let waiting =
        waiters.map(|waiter| tokio::spawn(async move { waiter.batch_execute(lock).await }));
    let expected = [
        ("waiting-connections", "2"),
        ("active-connections", "5"),
        ("connections-percentage-used", "0.25000"),
        ("max-connections", "20"),
        ("tables", "2"),
    ];
    samples_until(router, "shop", &expected).await;
    drop(holder);
    for waiter in waiting {
        // The second waits for the first's session to end.
        waiter.await.unwrap().unwrap();
    }
    let expected = [("waiting-connections", "0"), ("active-connections", "2")];
    samples_until(router, "shop", &expected).await;
}

#[track_caller]
fn check_close(values: &BTreeMap<String, String>, key: &str, expected: f64) {
    let found: f64 = values[key].parse().unwrap();
    let difference = (found - expected).abs();
    assert!(
        difference <= expected.abs() * 1e-4 + 1e-5,
        "{key}: {found} {expected}"
    );
}

async fn check_database(router: &Router, client: &tokio_postgres::Client) {
    let row = client
        .query_one(
            "select pg_database_size('postgres')::text, \
                    pg_snapshot_xmax(pg_current_snapshot())::text, \
                    (select sum(heap_blks_hit) from pg_statio_user_tables)::float8, \
                    (select sum(heap_blks_read) from pg_statio_user_tables)::float8, \
                    (select sum(idx_blks_hit) from pg_statio_user_indexes)::float8, \
                    (select sum(idx_blks_read) from pg_statio_user_indexes)::float8",
            &[],
        )
        .await
        .unwrap();
    let size = format!("{}bytes", row.get::<_, String>(0));
    let transaction: String = row.get(1);
    let expected = [("db_size", &*size), ("current_transaction", &*transaction)];
    samples_until(router, "shop", &expected).await;
    let (_, values) = samples(router, "shop").await.unwrap();
    let rate = |hit: usize, read: usize| {
        let (hit, read): (f64, f64) = (row.get(hit), row.get(read));
        hit / (hit + read)
    };
    check_close(&values, "table-cache-hit-rate", rate(2, 3));
    check_close(&values, "index-cache-hit-rate", rate(4, 5));
}

async fn check_machine(router: &Router) {
    let (keys, values) = samples(router, "shop").await.unwrap();
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap();
    let total = meminfo
        .lines()
        .next()
        .unwrap()
        .split_whitespace()
        .nth(1)
        .unwrap();
    assert_eq!(values["memory-total"], format!("{total}kB"));
    let kib = |key: &str| -> f64 { values[key].strip_suffix("kB").unwrap().parse().unwrap() };
    let used = 1.0 - kib("memory-free") / kib("memory-total");
    check_close(&values, "memory-percentage-used", used);
    assert!((1_000.0..kib("memory-total")).contains(&kib("memory-postgres")));
    for key in [
        "load-avg-1m",
        "load-avg-5m",
        "load-avg-15m",
        "tmp-disk-used",
    ] {
        assert!(0.0 <= values[key].parse::<f64>().unwrap(), "{key}");
    }
    let wal: f64 = values["wal-percentage-used"].parse().unwrap();
    let df = std::process::Command::new("df")
        .arg("-P")
        .arg(std::env::temp_dir())
        .output();
    let df = String::from_utf8(df.unwrap().stdout).unwrap();
    let percent = df
        .lines()
        .nth(1)
        .unwrap()
        .split_whitespace()
        .nth(4)
        .unwrap();
    let percent: f64 = percent.trim_end_matches('%').parse().unwrap();
    assert!((wal * 100.0 - percent).abs() < 3.0, "{wal} {percent}");
    // A folder in memory has no disk.
    let has_disk = keys.iter().any(|key| key == "read-iops");
    let is_expected = |key: &&str| has_disk || !key.ends_with("-iops");
    let expected: Vec<&str> = KEYS.iter().copied().filter(is_expected).collect();
    assert_eq!(keys, expected);
}

#[tokio::test]
async fn a_role_without_rights_is_told_and_gets_what_it_may_see() {
    let cluster = Cluster::start("logging_collector = on\nlog_destination = jsonlog").await;
    cluster
        .execute("create role plain login password 'x'")
        .await;
    let url = cluster.url_of("plain", "x", "postgres");
    let router = Router::start().await;
    let token = router.channel("shop").await;
    let mut program = Reporter::start("postgres", &router, &token, &url, &["--interval", "200ms"]);
    program
        .says("it does not see where the log is; as a superuser: GRANT pg_monitor TO plain")
        .await;
    program.says("some samples are left out").await;
    samples_until(&router, "shop", &[("max-connections", "20")]).await;
    let (keys, _) = samples(&router, "shop").await.unwrap();
    assert!(
        !keys.iter().any(|key| key == "waiting-connections"),
        "{keys:?}"
    );
    cluster.execute("grant pg_monitor to plain").await;
    program.says("reading another file").await;
    samples_until(&router, "shop", &[("waiting-connections", "0")]).await;
    program.done().await;
}

#[tokio::test]
async fn a_standby_says_how_far_it_is_behind() {
    let leader = Cluster::start("").await;
    let standby = Cluster::follow(&leader).await;
    leader.monitor().await;
    until_async("the role on the standby", async || {
        let found = standby
            .ask("select count(*) from pg_roles where rolname = 'logboom'")
            .await;
        found.get::<_, i64>(0) == 1
    })
    .await;
    let url = standby.url_of("logboom", "leise", "postgres");
    let router = Router::start().await;
    let token = router.channel("shop").await;
    let flags = ["--interval", "200ms", "--no-logs"];
    let mut program = Reporter::start("postgres", &router, &token, &url, &flags);
    samples_until(&router, "shop", &[("follower-lag-commits", "0")]).await;
    standby.execute("select pg_wal_replay_pause()").await;
    until_async("the pause", async || {
        let state = standby.ask("select pg_get_wal_replay_pause_state()").await;
        state.get::<_, String>(0) == "paused"
    })
    .await;
    for _ in 0..3 {
        leader.execute("select txid_current()").await;
    }
    samples_until(&router, "shop", &[("follower-lag-commits", "3")]).await;
    standby.execute("select pg_wal_replay_resume()").await;
    samples_until(&router, "shop", &[("follower-lag-commits", "0")]).await;

    // It hangs: what asks it anew gets no answer.
    let last = leader.client("postgres").await;
    leader.signal("STOP");
    let end = "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'logboom'";
    last.batch_execute(end).await.unwrap();
    let place = format!("127.0.0.1:{} does not answer within 2 s", leader.port());
    let said = program.says("follower lag").await;
    let said = if said.contains(&place) {
        said
    } else {
        program.says(&place).await
    };
    assert!(said.contains("what=\"follower lag\""), "{said}");
    let lines = async || router.history("shop", 10_000).await.len();
    let before = lines().await;
    until_async("samples all the same", async || before < lines().await).await;
    leader.signal("CONT");
    program.says("working again\" what=\"follower lag\"").await;
    samples_until(&router, "shop", &[("follower-lag-commits", "0")]).await;
    drop(leader);
    until_async("a line without it", async || {
        let (keys, _) = samples(&router, "shop").await.unwrap();
        !keys.iter().any(|key| key == "follower-lag-commits")
    })
    .await;
    program.done().await;
}
