//! The spool: what outlives the shipper, the router's outage, and a disk's bound.

use std::path::Path;

use crate::program::{Ship, logs_url};
use crate::support::Router;
use crate::support::sinks::{HttpSink, Reply};

fn batches(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|kind| kind == "batch"))
        .collect();
    found.sort();
    found
}

fn numbers(frames: &[String]) -> Vec<u64> {
    let last = |frame: &String| {
        frame
            .trim_end()
            .rsplit(' ')
            .next()
            .unwrap()
            .parse()
            .unwrap()
    };
    frames.iter().map(last).collect()
}

fn lines(numbers: std::ops::Range<u64>) -> String {
    numbers.map(|n| format!("{n}\n")).collect()
}

#[tokio::test]
async fn the_next_shipper_sends_first_what_the_last_one_left() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool");
    let spool = path.to_str().unwrap();
    let sink = HttpSink::start(vec![Reply::status(503); 100]).await;
    let flags = ["--spool", spool, "--batch-size", "10", "--grace", "200ms"];
    let mut first = Ship::start(&sink.url(), &flags);
    first.write(lines(0..25)).await;
    first.close();
    let ended = first.ended().await;
    assert_eq!(ended.code, Some(0), "all is on the disk: {ended:?}");
    let said = "delivered=0 dropped=0 lost=0 spooled=25: the rest is on the disk";
    assert!(ended.stderr.contains(said), "{ended:?}");
    assert_eq!(batches(&path).len(), 3);
    let tried = sink.posts();
    let tried_id = tried[0].header("logplex-frame-id").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(&batches(&path)[0]).unwrap().permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);

    let good = HttpSink::start([]).await;
    let mut second = Ship::start(&good.url(), &flags);
    second.write(lines(25..30)).await;
    second.done().await;
    assert_eq!(numbers(&good.frames()), (0..30).collect::<Vec<u64>>());
    assert_eq!(
        good.posts()[0].header("logplex-frame-id").unwrap(),
        tried_id
    );
    assert_eq!(batches(&path), Vec::<std::path::PathBuf>::new());
}

/// Lines of one channel do not come into another unless somebody says so.
#[tokio::test]
async fn a_spool_of_another_token_is_sent_only_when_it_is_adopted() {
    let folder = tempfile::tempdir().unwrap();
    let spool = folder.path().to_str().unwrap();
    let bad = HttpSink::start(vec![Reply::status(503); 100]).await;
    let url = |sink: &HttpSink, token: &str| format!("http://token:{token}@{}/logs", sink.address);
    let flags = ["--spool", spool, "--grace", "200ms"];
    let mut first = Ship::start(&url(&bad, "t.one"), &flags);
    first.write(lines(0..7)).await;
    first.close();
    assert_eq!(first.ended().await.code, Some(0));

    let good = HttpSink::start([]).await;
    let mut other = Ship::start(&url(&good, "t.two"), &flags);
    other.close();
    let ended = other.ended().await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(
        ended.stderr.contains("holds 7 lines for another"),
        "{ended:?}"
    );
    assert!(!ended.stderr.contains("t.one"), "{ended:?}");
    assert_eq!(good.posts().len(), 0);
    let adopting = [&flags[..], &["--adopt-spool"]].concat();
    Ship::start(&url(&good, "t.two"), &adopting).done().await;
    assert_eq!(numbers(&good.frames()), (0..7).collect::<Vec<u64>>());
    // From now on it is that one's; an empty one is anybody's.
    Ship::start(&url(&good, "t.two"), &flags).done().await;
    Ship::start(&url(&good, "t.one"), &flags).done().await;
}

/// Killed whenever it is: what was spooled arrives, once, in order.
#[tokio::test]
async fn a_killed_shipper_loses_nothing_that_it_had_spooled() {
    let folder = tempfile::tempdir().unwrap();
    let spool = folder.path().to_str().unwrap().to_owned();
    let router = Router::start().await;
    let token = router.channel("app").await;
    let url = logs_url(&router, &token);
    let flags = [
        "--spool",
        &spool,
        "--batch-size",
        "7",
        "--wait",
        "1ms",
        "--gzip",
        "--back-buff",
        "1000",
    ];
    let mut begin = 0;
    for round in 0..5 {
        let mut ship = Ship::start(&url, &flags);
        ship.write(lines(begin..begin + 500)).await;
        begin += 500;
        // All is read, and in batches, when the last line is at the router or on the disk.
        let last = format!(": {}", begin - 1);
        crate::support::until_async("the last line", async || {
            let spooled = batches(folder.path()).len();
            let history = router.history("app", 1).await;
            let is_there = history.last().is_some_and(|line| line.ends_with(&last));
            is_there || (round % 2 == 0 && 60 <= spooled)
        })
        .await;
        ship.signal("KILL");
        assert_eq!(ship.ended().await.code, None);
    }
    Ship::start(&url, &flags).done().await;
    let history = router.history("app", 10_000).await;
    let found = numbers(&history);
    assert!(
        found.is_sorted() && found.windows(2).all(|two| two[0] < two[1]),
        "each once"
    );
    assert_eq!(found.last(), Some(&(begin - 1)));
    // Only lines that were in no batch when it was killed can be missing: in odd rounds none was.
    for round in [1, 3] {
        let range = 500 * round..500 * (round + 1);
        let count = found
            .iter()
            .filter(|&number| range.contains(number))
            .count();
        assert_eq!(count, 500, "round {round}");
    }
}

#[tokio::test]
async fn a_folder_is_one_shippers() {
    let folder = tempfile::tempdir().unwrap();
    let spool = folder.path().to_str().unwrap();
    let sink = HttpSink::start([]).await;
    let mut first = Ship::start(&sink.url(), &["--spool", spool, "--wait", "10ms"]);
    first.write("one\n").await;
    sink.posts_until(1).await;
    let second = Ship::start(&sink.url(), &["--spool", spool]).ended().await;
    assert_eq!(second.code, Some(1), "{second:?}");
    let said = format!("logboom: another shipper uses the spool folder {spool}; ");
    assert!(second.stderr.starts_with(&said), "{second:?}");
    first.done().await;
}

#[tokio::test]
async fn a_torn_file_is_skipped_and_said() {
    let folder = tempfile::tempdir().unwrap();
    let spool = folder.path().to_str().unwrap();
    let bad = HttpSink::start(vec![Reply::status(503); 100]).await;
    let flags = ["--spool", spool, "--batch-size", "10", "--grace", "100ms"];
    let mut first = Ship::start(&bad.url(), &flags);
    first.write(lines(0..30)).await;
    first.close();
    assert_eq!(first.ended().await.code, Some(0));
    let [_, second, third] = &batches(folder.path())[..] else {
        panic!("{:?}", batches(folder.path()))
    };
    let bytes = std::fs::read(second).unwrap();
    std::fs::write(second, &bytes[..bytes.len() - 1]).unwrap();
    std::fs::write(third, b"").unwrap();
    std::fs::write(folder.path().join("00000000000000000099.new"), b"x").unwrap();

    let good = HttpSink::start([]).await;
    let mut next = Ship::start(&good.url(), &flags);
    next.write(lines(30..31)).await;
    next.close();
    let ended = next.ended().await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(
        ended.stderr.contains("was not written whole, it is lost"),
        "{ended:?}"
    );
    assert!(
        ended.stderr.contains("nobody knows how many lines"),
        "{ended:?}"
    );
    let posts = good.posts();
    assert_eq!(numbers(&posts[0].frames()), (0..10).collect::<Vec<u64>>());
    assert_eq!(posts[1].header("logplex-lost-count").unwrap(), "10");
    assert_eq!(numbers(&posts[1].frames()[1..]), [30]);
    assert_eq!(
        std::fs::read_dir(folder.path()).unwrap().count(),
        2,
        "the lock is left, and whose it is"
    );
}

#[tokio::test]
async fn the_oldest_go_when_the_disk_has_its_share() {
    let folder = tempfile::tempdir().unwrap();
    let spool = folder.path().to_str().unwrap();
    let bad = HttpSink::start(vec![Reply::status(503); 100]).await;
    let flags = [
        "--spool",
        spool,
        "--spool-bytes-max",
        "4MiB",
        "--batch-size",
        "100",
        "--grace",
        "2s",
        "--back-buff",
        "1000",
    ];
    let mut first = Ship::start(&bad.url(), &flags);
    let long = "x".repeat(9_000);
    let lines: String = (0..1_000).map(|n| format!("{long} {n}\n")).collect();
    first.write(lines).await;
    first.close();
    let ended = first.ended().await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("the spool is full"), "{ended:?}");
    let bytes: u64 = batches(folder.path())
        .iter()
        .map(|path| path.metadata().unwrap().len())
        .sum();
    assert!(bytes <= 4 * 1024 * 1024, "{bytes}");

    let good = HttpSink::start([]).await;
    Ship::start(&good.url(), &flags[..2]).done().await;
    let frames = good.frames();
    let is_notice = |frame: &&String| frame.contains(" log-shuttle - - Error L13: ");
    assert!(
        0 < frames.iter().filter(is_notice).count(),
        "the next shipper tells it"
    );
    let lost: u64 = good
        .posts()
        .iter()
        .filter_map(|post| post.header("logplex-lost-count"))
        .map(|count| count.parse::<u64>().unwrap())
        .sum();
    let messages: Vec<String> = frames.iter().filter(|f| !is_notice(f)).cloned().collect();
    let found = numbers(&messages);
    assert!(found.is_sorted());
    assert_eq!(found.last(), Some(&999));
    assert_eq!(u64::try_from(found.len()).unwrap() + lost, 1_000);
}

/// The writer waits, and at the end everything is on the disk all the same.
#[tokio::test]
async fn with_block_a_full_spool_holds_the_writer_back() {
    let folder = tempfile::tempdir().unwrap();
    let spool = folder.path().to_str().unwrap();
    let bad = HttpSink::start(vec![Reply::status(503); 100]).await;
    let flags = [
        "--spool",
        spool,
        "--spool-bytes-max",
        "4MiB",
        "--batch-size",
        "100",
        "--back-buff",
        "2",
        "--grace",
        "200ms",
        "--block",
    ];
    let mut first = Ship::start(&bad.url(), &flags);
    let long = "x".repeat(9_000);
    let mut written = 0;
    // Until the pipe is full, too.
    loop {
        let line = format!("{long} {written}\n");
        let wait = std::time::Duration::from_secs(2);
        if tokio::time::timeout(wait, first.write(&line))
            .await
            .is_err()
        {
            break;
        }
        written += 1;
        assert!(written < 10_000, "it does not wait");
    }
    first.signal("TERM");
    let ended = first.ended().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");

    let good = HttpSink::start([]).await;
    Ship::start(&good.url(), &flags[..2]).done().await;
    let found: Vec<u64> = good
        .frames()
        .iter()
        .map(|frame| frame.trim_end().rsplit(' ').next().unwrap().to_owned())
        .filter_map(|number| number.parse().ok())
        .collect();
    assert!(400 < found.len(), "{}", found.len());
    let expected: Vec<u64> = (0..).take(found.len()).collect();
    assert!(found == expected, "in order, from the first on");
}

/// A disk that takes nothing: batches wait in memory, and what is lost at the end is said.
#[tokio::test]
async fn a_spool_that_cannot_be_written_is_said_and_goes_on_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spool");
    let sink = HttpSink::start([]).await;
    let flags = [
        "--spool",
        path.to_str().unwrap(),
        "--wait",
        "10ms",
        "--grace",
        "200ms",
    ];
    let mut ship = Ship::start(&sink.url(), &flags);
    ship.write("1\n").await;
    sink.frames_until(1).await;
    std::fs::remove_dir_all(&path).unwrap();
    ship.write("2\n").await;
    sink.frames_until(2).await;
    ship.said("a batch cannot be spooled, it is in memory only")
        .await;
    sink.answer_next(vec![Reply::status(503); 100]);
    ship.write("3\n").await;
    sink.posts_until(3).await;
    ship.write("4\n").await;
    ship.close();
    let ended = ship.ended().await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(
        ended
            .stderr
            .contains("delivered=2 dropped=0 lost=2 spooled=0"),
        "{ended:?}"
    );
    assert_eq!(numbers(&sink.frames()[..2]), [1, 2]);
}

/// What becomes of its files while a shipper runs does not end it.
#[tokio::test]
async fn a_file_that_is_damaged_meanwhile_is_skipped() {
    let folder = tempfile::tempdir().unwrap();
    let spool = folder.path().to_str().unwrap();
    let permits = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let sink = HttpSink::start([Reply::Held(std::sync::Arc::clone(&permits))]).await;
    let flags = ["--spool", spool, "--batch-size", "10", "--wait", "10ms"];
    let mut ship = Ship::start(&sink.url(), &flags);
    ship.write(lines(0..30)).await;
    crate::support::until("three batches", || {
        (batches(folder.path()).len() == 3).then_some(())
    })
    .await;
    sink.posts_until(1).await;
    let [_, second, third] = &batches(folder.path())[..] else {
        panic!("{:?}", batches(folder.path()))
    };
    std::fs::write(second, "logboom-batch-1 0\n").unwrap();
    std::fs::remove_file(third).unwrap();
    permits.add_permits(1);
    ship.said("number=2").await;
    ship.write(lines(30..31)).await;
    ship.close();
    let ended = ship.ended().await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(
        ended.stderr.contains("delivered=11 dropped=0 lost=20"),
        "{ended:?}"
    );
    let posts = sink.posts();
    assert_eq!(posts.len(), 2);
    assert_eq!(posts[1].header("logplex-lost-count").unwrap(), "20");
    assert_eq!(numbers(&posts[1].frames()[1..]), [30]);
}
