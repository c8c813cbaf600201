//! Followed files: rotation, emptying, and a place that is remembered.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::Path;

use crate::program::{Ship, history_until, logs_url, texts};
use crate::support::Router;
use crate::support::sinks::{HttpSink, Reply};

/// More than a tick of the clock with which files are stamped.
const TICK: std::time::Duration = std::time::Duration::from_millis(15);

fn append(path: &Path, text: &str) {
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

fn lines(numbers: std::ops::Range<u64>) -> String {
    numbers.map(|n| format!("{n}\n")).collect()
}

fn all(sink: &HttpSink) -> Vec<String> {
    sink.posts().iter().flat_map(texts).collect()
}

async fn until_texts(sink: &HttpSink, expected: &[&str]) {
    crate::support::until(&format!("{expected:?}"), || {
        (expected.len() <= all(sink).len()).then_some(())
    })
    .await;
    assert_eq!(all(sink), expected);
}

#[tokio::test]
async fn a_file_is_followed_through_what_befalls_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("web.1.log");
    append(&path, "before\n");
    let sink = HttpSink::start([]).await;
    let glob = folder.path().join("*.log");
    let flags = [
        "--file",
        glob.to_str().unwrap(),
        "--wait",
        "10ms",
        "--verbose",
    ];
    let mut ship = Ship::start(&sink.url(), &flags);
    ship.said("following a file").await;
    append(&path, "one\ntw");
    until_texts(&sink, &["one"]).await;
    append(&path, "o\n");
    until_texts(&sink, &["one", "two"]).await;
    let frame = &sink.frames()[0];
    assert!(
        frame.contains(" web.1 - - one"),
        "the file names the process: {frame}"
    );

    // Rotation by renaming: the writer goes on in the old file until it is told.
    let rotated = folder.path().join("web.1.log.1");
    fs::rename(&path, &rotated).unwrap();
    append(&rotated, "three\n");
    append(&path, "four\n");
    until_texts(&sink, &["one", "two", "three", "four"]).await;

    // Rotation by copying and emptying.
    let copy = folder.path().join("web.1.log.2");
    fs::copy(&path, &copy).unwrap();
    File::create(&path).unwrap();
    append(&path, "5\n");
    until_texts(&sink, &["one", "two", "three", "four", "5"]).await;

    // A file that comes later is read from its start; an emptied one, too, however long it is.
    append(&folder.path().join("late.log"), "six\n");
    until_texts(&sink, &["one", "two", "three", "four", "5", "six"]).await;
    fs::write(&path, "a line longer than all before\n").unwrap();
    let expected = [
        "one",
        "two",
        "three",
        "four",
        "5",
        "six",
        "a line longer than all before",
    ];
    until_texts(&sink, &expected).await;
    fs::remove_file(&path).unwrap();
    append(&path, "eight\n");
    until_texts(&sink, &[&expected[..], &["eight"]].concat()).await;
    ship.signal("TERM");
    assert_eq!(ship.ended().await.code, Some(0));
}

/// Copied and emptied again and again under load; whether the shipper sees the copy before the file is
/// empty is left to chance.
#[tokio::test]
async fn rotated_by_copying_and_emptying_every_line_arrives_once() {
    for pattern in ["a.log*", "a.log"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.log");
        append(&path, "");
        let spool = folder.path().join("spool");
        let sink = HttpSink::start([]).await;
        let glob = folder.path().join(pattern);
        let flags = [
            "--file",
            glob.to_str().unwrap(),
            "--spool",
            spool.to_str().unwrap(),
            "--wait",
            "10ms",
            "--verbose",
        ];
        let mut ship = Ship::start(&sink.url(), &flags);
        ship.said("following a file").await;
        for round in 0..4 {
            let first = round * 1_000;
            append(&path, &lines(first..first + 700));
            crate::support::until("some of it", || {
                let least = usize::try_from(first).unwrap() + 1;
                (least <= sink.frames().len()).then_some(())
            })
            .await;
            append(&path, &lines(first + 700..first + 1_000));
            fs::copy(&path, folder.path().join(format!("a.log.{round}"))).unwrap();
            File::create(&path).unwrap();
        }
        append(&path, "4000\n");
        crate::support::until("the last line", || {
            all(&sink).iter().any(|text| text == "4000").then_some(())
        })
        .await;
        ship.signal("TERM");
        let ended = ship.ended().await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let found = all(&sink);
        let wrong = (0..4_001).find(|&n| found.get(n) != Some(&n.to_string()));
        let around = wrong.map(|n| &found[n.saturating_sub(3)..(n + 3).min(found.len())]);
        assert_eq!((around, found.len()), (None, 4_001), "{pattern}: {ended:?}");
    }
}

/// What cannot be found any more is not passed over.
#[tokio::test]
async fn an_emptied_file_without_a_copy_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.log");
    append(&path, "one\n");
    let sink = HttpSink::start([]).await;
    let flags = ["--file", path.to_str().unwrap(), "--from-start"];
    let mut ship = Ship::start(&sink.url(), &flags);
    until_texts(&sink, &["one"]).await;
    fs::write(&path, "2\n").unwrap();
    ship.said("a file was emptied, and no copy of it is there")
        .await;
    until_texts(&sink, &["one", "2"]).await;
    ship.signal("TERM");
    assert_eq!(ship.ended().await.code, Some(0));
}

#[tokio::test]
async fn a_name_without_a_file_and_too_many_files_are_said() {
    let folder = tempfile::tempdir().unwrap();
    let sink = HttpSink::start([]).await;
    let glob = folder.path().join("*.log");
    let flags = ["--file", glob.to_str().unwrap()];
    let mut ship = Ship::start(&sink.url(), &flags);
    ship.said("there is no such file yet").await;
    for n in 0..1_025 {
        append(&folder.path().join(format!("{n}.log")), "");
    }
    // Where the process may open fewer, that is said instead.
    ship.said("is not followed").await;
    ship.signal("TERM");
    assert_eq!(ship.ended().await.code, Some(0));
}

/// What is not delivered and stands nowhere any more is lost, and said to be.
#[tokio::test]
async fn lines_whose_file_is_gone_are_lost_and_not_spooled() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let sink = HttpSink::start(vec![Reply::status(503); 1_000]).await;
    let glob = folder.path().join("*.log");
    for name in ["gone.log", "emptied.log", "stays.log"] {
        append(&folder.path().join(name), &lines(0..10));
    }
    let flags = [
        "--file",
        glob.to_str().unwrap(),
        "--from-start",
        "--state",
        state.to_str().unwrap(),
        "--wait",
        "500ms",
        "--grace",
        "100ms",
    ];
    let ship = Ship::start(&sink.url(), &flags);
    let posts = sink.posts_until(1).await;
    assert_eq!(posts[0].header("logplex-msg-count").unwrap(), "30");
    fs::remove_file(folder.path().join("gone.log")).unwrap();
    File::create(folder.path().join("emptied.log")).unwrap();
    ship.signal("TERM");
    let ended = ship.ended().await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let said = "delivered=0 dropped=0 lost=20 spooled=10";
    assert!(ended.stderr.contains(said), "{ended:?}");
}

/// Rotated by copying while no shipper runs: the rest of the copy is still sent, once.
#[tokio::test]
async fn a_copy_made_between_two_shippers_is_read_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.log");
    let state = folder.path().join("state");
    append(&path, &lines(0..100));
    let sink = HttpSink::start([]).await;
    let glob = folder.path().join("a.log*");
    let flags = [
        "--file",
        glob.to_str().unwrap(),
        "--from-start",
        "--state",
        state.to_str().unwrap(),
        "--wait",
        "10ms",
    ];
    let first = Ship::start(&sink.url(), &flags);
    sink.frames_until(100).await;
    first.signal("TERM");
    assert_eq!(first.ended().await.code, Some(0));
    append(&path, &lines(100..110));
    fs::copy(&path, folder.path().join("a.log.1")).unwrap();
    fs::write(&path, lines(110..120)).unwrap();
    let second = Ship::start(&sink.url(), &flags);
    sink.frames_until(120).await;
    second.signal("TERM");
    assert_eq!(second.ended().await.code, Some(0));
    let expected: Vec<String> = (0..120).map(|n| n.to_string()).collect();
    assert_eq!(all(&sink), expected);
}

/// Where nothing remembers the place, nothing that was read is left behind.
#[tokio::test]
async fn without_a_state_a_last_line_without_its_end_is_sent_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.log");
    append(&path, "one\ntwo");
    let sink = HttpSink::start([]).await;
    let flags = [
        "--file",
        path.to_str().unwrap(),
        "--from-start",
        "--wait",
        "10ms",
    ];
    let ship = Ship::start(&sink.url(), &flags);
    until_texts(&sink, &["one"]).await;
    ship.signal("TERM");
    assert_eq!(ship.ended().await.code, Some(0));
    assert_eq!(all(&sink), ["one", "two"]);
}

#[tokio::test]
async fn the_place_is_remembered_for_what_was_delivered_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.log");
    let state = folder.path().join("state");
    append(&path, &lines(0..10));
    let flags = [
        "--file",
        path.to_str().unwrap(),
        "--from-start",
        "--state",
        state.to_str().unwrap(),
        "--wait",
        "10ms",
        "--batch-size",
        "10",
        "--grace",
        "100ms",
    ];
    let sink = HttpSink::start([]).await;
    let first = Ship::start(&sink.url(), &flags);
    sink.frames_until(10).await;
    sink.answer_next(vec![Reply::status(503); 1_000]);
    append(&path, &lines(10..35));
    sink.posts_until(2).await;
    first.signal("TERM");
    let ended = first.ended().await;
    assert_eq!(ended.code, Some(0), "the file has the rest: {ended:?}");

    // Meanwhile the file is rotated, and another takes its name.
    fs::rename(&path, folder.path().join("old")).unwrap();
    append(&folder.path().join("old"), "35\n");
    append(&path, &lines(36..40));
    let sink = HttpSink::start([]).await;
    let second = Ship::start(&sink.url(), &flags);
    let frames = sink.frames_until(30).await;
    assert_eq!(frames.len(), 30);
    let expected: Vec<String> = (10..40).map(|n| n.to_string()).collect();
    assert_eq!(all(&sink), expected);
    second.signal("TERM");
    assert_eq!(second.ended().await.code, Some(0));
}

/// Killed again and again, with a spool, while the file is written and rotated: every line exactly
/// once, in order.
#[tokio::test]
async fn under_load_and_killed_every_line_arrives_once() {
    const COUNT: u64 = 20_000;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.log");
    let spool = folder.path().join("spool");
    let router = Router::start().await;
    let token = router.channel("app").await;
    let glob = folder.path().join("app.log*");
    let flags = [
        "--file",
        glob.to_str().unwrap(),
        "--from-start",
        "--spool",
        spool.to_str().unwrap(),
        "--wait",
        "5ms",
        "--batch-size",
        "50",
        "--gzip",
    ];
    let url = logs_url(&router, &token);
    let mut ship = Ship::start(&url, &flags);
    let mut number = 0;
    let mut rotated = 0;
    let mut kills = 0;
    while number < COUNT {
        append(&path, &lines(number..number + 100));
        number += 100;
        if number % 1_500 == 0 {
            rotated += 1;
            // Files last written in one tick of the clock have no order.
            let begun = std::time::Instant::now();
            crate::support::until("a tick", || (TICK <= begun.elapsed()).then_some(())).await;
            fs::rename(&path, folder.path().join(format!("app.log.{rotated}"))).unwrap();
        }
        if number % 4_000 == 0 {
            // Somewhere in the middle of what it has to do.
            let least = usize::try_from(number / 2).unwrap();
            crate::support::until_async("half of it", async || {
                least <= router.history("app", COUNT).await.len()
            })
            .await;
            ship.signal("KILL");
            assert_eq!(ship.ended().await.code, None);
            kills += 1;
            ship = Ship::start(&url, &flags);
        }
    }
    assert_eq!((kills, rotated), (5, 13));
    let count = usize::try_from(COUNT).unwrap();
    let history = history_until(&router, count).await;
    ship.signal("TERM");
    let ended = ship.ended().await;
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""));
    let numbers: Vec<u64> = history
        .iter()
        .map(|line| line.rsplit(' ').next().unwrap().parse().unwrap())
        .collect();
    let expected = 0..COUNT;
    let wrong = expected.zip(&numbers).find(|(n, found)| n != *found);
    assert_eq!(wrong, None, "of {} lines", numbers.len());
    assert_eq!(numbers.len(), count);
}

/// What is much holds up nobody else.
#[tokio::test]
async fn a_great_file_lets_others_have_their_turn() {
    let folder = tempfile::tempdir().unwrap();
    let line = "x".repeat(999);
    let lines = format!("{line}\n").repeat(20_000);
    fs::write(folder.path().join("great.log"), lines).unwrap();
    append(&folder.path().join("small.log"), "small\n");
    let sink = HttpSink::start([]).await;
    let glob = folder.path().join("*.log");
    let flags = [
        "--file",
        glob.to_str().unwrap(),
        "--from-start",
        "--batch-size",
        "1000",
    ];
    let ship = Ship::start(&sink.url(), &flags);
    crate::support::until("all lines", || {
        let posts = sink.posts();
        let counts = posts.iter().map(|post| {
            let count = post.header("logplex-msg-count").unwrap();
            count.parse::<usize>().unwrap()
        });
        (20_001 <= counts.sum::<usize>()).then_some(())
    })
    .await;
    let frames = sink.frames();
    let is_small = |frame: &String| frame.ends_with(" small - - small\n");
    let at = frames.iter().position(is_small).unwrap();
    assert!(at < 15_000, "it came as number {at}");
    ship.signal("TERM");
    assert_eq!(ship.ended().await.code, Some(0));
}
