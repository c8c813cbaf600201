//! What cannot be sent never holds the process up, and is counted to the line.

use crate::end_of;
use crate::ended;
use crate::lines;
use crate::nowhere;
use crate::router;
use crate::shell;
use crate::support::PATIENCE;
use crate::support::until;
use std::process::Stdio;
use tokio::io::AsyncBufReadExt;
use tokio::io::BufReader;
use tokio::process::Child;
use tokio::time::timeout;

/// The number behind `name=` in a text.
fn number(text: &str, name: &str) -> u64 {
    let behind = text.split(&format!("{name}=")).nth(1);
    let behind = behind.unwrap_or_else(|| panic!("no {name} in {text:?}"));
    let digits = behind.split(|c: char| !c.is_ascii_digit()).next();
    digits.unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_flood_without_a_router_ends_and_is_counted() {
    for flags in [&["--grace", "50ms"][..], &["--grace", "50ms", "--tee"]] {
        let script = "seq 1 300000; echo done >&2; exit 3";
        let end = ended(shell(&nowhere(), flags, script)).await;
        assert_eq!(end.status, 3, "{end:?}");
        let is_passed = flags.contains(&"--tee");
        assert_eq!(end.out.lines().count(), if is_passed { 300_000 } else { 0 });
        let sum: u64 = ["delivered", "dropped", "lost", "spooled"]
            .iter()
            .map(|name| number(&end.err, name))
            .sum();
        assert_eq!(sum, 300_001, "{}", end.err);
        assert_eq!(number(&end.err, "delivered"), 0, "{}", end.err);
        assert!(0 < number(&end.err, "dropped"), "{}", end.err);
    }
}

#[tokio::test]
async fn numbers_are_told_now_and_then() {
    let (router, url) = router().await;
    let flags = ["--stats-interval", "20ms", "--stats-source", "web"];
    let mut command = shell(&url, &flags, "echo one; cat");
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    let told = "source=web at=stats delivered=1 dropped=0 lost=0 queued=0 spooled=0";
    let heard = async { while said.next_line().await.unwrap().expect("it runs on") != told {} };
    timeout(PATIENCE, heard).await.expect("numbers");
    drop(child.stdin.take());
    assert_eq!(end_of(child).await.status, 0);
    router.stop().await;
}

#[tokio::test]
async fn what_does_not_fit_is_told_in_the_channel() {
    let (router, url) = router().await;
    let flags = ["--back-buff", "1", "--batch-size", "10"];
    let end = ended(shell(&url, &flags, "seq 1 100000")).await;
    assert_eq!(end.status, 0, "{end:?}");
    let mut shipped = Vec::new();
    let mut told = 0;
    for line in lines(&router).await {
        if let Some(text) = line.strip_prefix("app[run.1]: ") {
            shipped.push(text.parse::<u64>().unwrap());
        } else {
            let count = line.split("Error L12: ").nth(1).unwrap();
            told += count.split(' ').next().unwrap().parse::<u64>().unwrap();
        }
    }
    assert!(shipped.is_sorted_by(|a, b| a < b));
    assert_eq!(u64::try_from(shipped.len()).unwrap() + told, 100_000);
    if 0 < told {
        assert_eq!(number(&end.err, "dropped"), told, "{end:?}");
    }
    router.stop().await;
}

#[tokio::test]
async fn who_is_to_wait_loses_nothing() {
    let (router, url) = router().await;
    let flags = ["--block", "--back-buff", "1", "--batch-size", "10"];
    let end = ended(shell(&url, &flags, "seq 1 5000")).await;
    assert_eq!((end.status, end.err.as_str()), (0, ""));
    let expected: Vec<String> = (1..=5000).map(|n| format!("app[run.1]: {n}")).collect();
    assert_eq!(lines(&router).await, expected);
    router.stop().await;
}

#[tokio::test]
async fn who_waits_can_still_be_ended() {
    let flags = [
        "--block",
        "--back-buff",
        "1",
        "--batch-size",
        "10",
        "--grace",
        "50ms",
    ];
    let child = shell(
        &nowhere(),
        &[&flags[..], &["--linger", "50ms"]].concat(),
        "exec yes",
    )
    .spawn();
    let child = child.unwrap();
    writes_into_full_pipe(&child).await;
    crate::kill("TERM", &crate::pid(&child));
    let end = end_of(child).await;
    assert_eq!(end.status, 143, "{end:?}");
    assert!(
        0 < number(&end.err, "lost") + number(&end.err, "dropped"),
        "{end:?}"
    );
}

/// Waits until the process below `child` waits in a write to a pipe that nobody reads.
async fn writes_into_full_pipe(child: &Child) {
    let children = format!("/proc/{0}/task/{0}/children", crate::pid(child));
    let process = until("the process", || {
        let text = std::fs::read_to_string(&children).ok()?;
        text.split_whitespace().next().map(str::to_owned)
    })
    .await;
    until("a full pipe", || {
        let name = std::fs::read_to_string(format!("/proc/{process}/wchan")).ok()?;
        let state = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        let is_asleep = state.rsplit(") ").next()?.starts_with('S');
        (name.contains("pipe_write") || (name == "0" && is_asleep)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_waits_for_a_full_spool_is_spooled_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let spool = folder.path().join("spool");
    let mut flags = vec!["--block", "--grace", "50ms", "--spool-bytes-max", "4MiB"];
    flags.extend(["--spool", spool.to_str().unwrap()]);
    let child = shell(&nowhere(), &flags, "exec yes").spawn().unwrap();
    until("a full spool", || {
        let files = std::fs::read_dir(&spool).ok()?.flatten();
        // Whole blocks, and one more, are counted of each.
        let sizes = files.filter_map(|file| Some(file.metadata().ok()?.len() + 8 * 1024));
        (3_900_000 < sizes.sum::<u64>()).then_some(())
    })
    .await;
    writes_into_full_pipe(&child).await;
    crate::kill("TERM", &crate::pid(&child));
    let end = end_of(child).await;
    assert_eq!(end.status, 143, "{end:?}");
    assert!(!end.err.contains("not every line"), "{end:?}");
}
