//! kill -9 at any moment: every acknowledged change is there afterwards, and the file is readable.
//!
//! The test starts itself again as a child that changes entries through the real door and writes
//! one line for each change it was told is made. The parent kills it at a random moment, opens the
//! store, and compares.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::collections::BTreeMap;
use std::env;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

use logboom::channel::WhenFull;
use logboom::clock;
use logboom::control::{ChannelPatch, Control, ControlError, ControlSettings, Effects};
use logboom::id::{ChannelId, DrainId, Source, Token};
use logboom::registry::{ChannelEntry, DrainEntry, DrainOptions, DrainUrl, TokenEntry};
use logboom::store::Store;

/// Tells the child that it is one, and where its data is.
const CHILD_DIR: &str = "LOGBOOM_TEST_CRASH_DIR";
/// The number of the child's first round: numbers are not used twice.
const CHILD_FIRST: &str = "LOGBOOM_TEST_CRASH_FIRST";

/// How long all children together may take, and how many there are at most.
const TIME_MAX: Duration = Duration::from_secs(15);
const CHILDREN_MAX: usize = 60;

/// A node that does nothing: only the entries matter here.
struct NoNode;

impl Effects for NoNode {
    fn put_channel(&self, _: &ChannelEntry, _: WhenFull) {}
    fn remove_channel(&self, _: &ChannelId) {}
    fn put_token(&self, _: &TokenEntry) {}
    fn remove_token(&self, _: &Token) {}
    fn put_drain(&self, _: &DrainEntry) {}
    fn remove_drain(&self, _: DrainId) {}
}

/// What the parent knows of one channel, from the acknowledgements it read.
#[derive(Default)]
struct Known {
    tokens: Vec<String>,
    drains: Vec<u64>,
    is_deleted: bool,
}

/// The child: not a test of its own; without its directory it has nothing to do.
#[test]
fn child() {
    let Some(dir) = env::var_os(CHILD_DIR) else {
        return;
    };
    let first: u64 = env::var_os(CHILD_FIRST)
        .and_then(|text| text.into_string().ok())
        .and_then(|text| text.parse().ok())
        .unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(change_for_ever(Path::new(&dir), first));
}

/// The child that fills its disk: not a test of its own either.
#[test]
fn child_that_fills() {
    let Some(dir) = env::var_os(CHILD_DIR) else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(change_until_full(Path::new(&dir)));
}

/// Large changes until one is refused, and a few more then: each is made or refused, none ends
/// the thread behind the door.
async fn change_until_full(dir: &Path) {
    let store = Store::open(dir).unwrap();
    let control = Control::start_with(store, NoNode, ControlSettings::default()).unwrap();
    let mut refused = 0;
    for round in 0..1_000 {
        let id = ChannelId::new(&format!("c{round}")).unwrap();
        let sources = (0..500).map(|name| Source::new(&format!("s{name}")).unwrap());
        let put = control.put_channel(id, sources.collect(), ChannelPatch::default());
        match put.await {
            Ok(_) => say(&format!("made {round}")),
            Err(ControlError::Store(error)) => {
                say(&format!("refused {round} {error}"));
                refused += 1;
                if refused == 5 {
                    control.stop().await;
                    return;
                }
            }
            Err(error) => panic!("{error}"),
        }
    }
}

async fn change_for_ever(dir: &Path, first: u64) {
    let store = Store::open(dir).unwrap();
    let control = Control::start_with(store, NoNode, ControlSettings::default()).unwrap();
    for round in first.. {
        let id = ChannelId::new(&format!("c{round}")).unwrap();
        let sources = ["app", "web"].map(|name| Source::new(name).unwrap());
        let (_, tokens) = control
            .put_channel(id.clone(), sources.to_vec(), ChannelPatch::default())
            .await
            .unwrap();
        let tokens: Vec<_> = tokens.iter().map(|token| token.token.expose()).collect();
        say(&format!("channel {round} {}", tokens.join(" ")));
        // Several at once, so that some share a transaction.
        let drains = (0..4).map(|number| {
            let url = DrainUrl::parse(&format!("http://h/{number}")).unwrap();
            let (control, id) = (control.clone(), id.clone());
            async move {
                let drain = control
                    .create_drain(id, Some(url), DrainOptions::default())
                    .await
                    .unwrap();
                say(&format!("drain {round} {}", drain.id));
            }
        });
        let mut numbered = Box::pin(control.create_numbered_channel(None, Vec::new()));
        let mut joined: Vec<_> = drains.map(Box::pin).collect();
        std::future::poll_fn(|context| {
            joined.retain_mut(|drain| drain.as_mut().poll(context).is_pending());
            if joined.is_empty() {
                numbered.as_mut().poll(context).map(|made| {
                    say(&format!("number {round} {}", made.unwrap().0.id));
                })
            } else {
                std::task::Poll::Pending
            }
        })
        .await;
        if round.is_multiple_of(3) {
            control.delete_channel(id).await.unwrap();
            say(&format!("delete {round}"));
        }
    }
}

/// One acknowledgement; the line ends in `.` so that a torn one is known.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line} .").unwrap();
    out.flush().unwrap();
}

#[test]
fn a_full_disk_refuses_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    // A limit of the file's size stands for the disk's end: the write fails in the same way.
    let output = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 6000; exec \"$0\" \"$@\""])
        .arg(env::current_exe().unwrap())
        .args(["--exact", "child_that_fills", "--nocapture", "--quiet"])
        .env(CHILD_DIR, dir.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}");
    let refused = text.lines().filter(|line| line.starts_with("refused"));
    assert_eq!(refused.count(), 5, "{text}");
    assert!(text.contains("is full"), "{text}");
    let entries = Store::open(dir.path()).unwrap().load().unwrap();
    let made: Vec<_> = text
        .lines()
        .filter(|line| line.starts_with("made"))
        .collect();
    assert!(!made.is_empty(), "{text}");
    for line in made {
        let round = line.split(' ').nth(1).unwrap();
        let id = ChannelId::new(&format!("c{round}")).unwrap();
        assert_eq!(entries.tokens_of(&id).count(), 500, "{line}");
    }
}

#[test]
fn every_acknowledged_change_survives_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let started = clock::now();
    let mut known = BTreeMap::new();
    let mut numbered = Vec::new();
    let mut acknowledged = 0;
    let mut children = 0;
    while children < CHILDREN_MAX && started.elapsed() < TIME_MAX {
        let first = known.keys().next_back().map_or(0, |last: &u64| last + 2);
        let lines = run_child(dir.path(), first, pause(children));
        acknowledged += lines.len();
        for line in lines {
            learn(&line, &mut known, &mut numbered);
        }
        compare(dir.path(), &known, &numbered);
        children += 1;
    }
    assert!(
        100 < acknowledged,
        "the children made {acknowledged} changes in {children} lives"
    );
}

/// Lives of very different lengths: the first children die while they make or open the file.
fn pause(child: usize) -> Duration {
    let random = u64::from(Token::random().expose().bytes().map(u32::from).sum::<u32>());
    let micros_max = if child.is_multiple_of(4) {
        20_000
    } else {
        400_000
    };
    Duration::from_micros((random * 7_919) % micros_max)
}

/// Runs a child for about `life` and returns what it was acknowledged.
fn run_child(dir: &Path, first: u64, life: Duration) -> Vec<String> {
    let mut child: Child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture", "--quiet"])
        .env(CHILD_DIR, dir)
        .env(CHILD_FIRST, first.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (sender, lines) = sync_channel(1_000_000);
    let output = BufReader::new(child.stdout.take().unwrap());
    let reader = thread::spawn(move || {
        for line in output.lines().map_while(Result::ok) {
            sender.send(line).unwrap();
        }
    });
    let mut seen = take_for(&lines, life);
    child.kill().unwrap();
    child.wait().unwrap();
    reader.join().unwrap();
    seen.extend(lines.try_iter());
    seen.retain(|line| line.ends_with(" ."));
    seen
}

/// What arrives on `lines` within `life`.
fn take_for(lines: &Receiver<String>, life: Duration) -> Vec<String> {
    let end = clock::now() + life;
    let mut seen = Vec::new();
    loop {
        match lines.recv_timeout(end.saturating_duration_since(clock::now())) {
            Ok(line) => seen.push(line),
            Err(RecvTimeoutError::Timeout) => return seen,
            Err(RecvTimeoutError::Disconnected) => panic!("the child ended by itself: {seen:?}"),
        }
    }
}

fn learn(line: &str, known: &mut BTreeMap<u64, Known>, numbered: &mut Vec<String>) {
    let mut words = line.trim_end_matches(" .").split(' ');
    let what = words.next().unwrap();
    let Some(round) = words.next().and_then(|word| word.parse().ok()) else {
        return; // a line of the test harness
    };
    let channel: &mut Known = known.entry(round).or_default();
    match what {
        "channel" => channel.tokens = words.map(str::to_owned).collect(),
        "drain" => channel.drains.push(words.next().unwrap().parse().unwrap()),
        "number" => numbered.push(words.next().unwrap().to_owned()),
        "delete" => channel.is_deleted = true,
        _ => panic!("{line}"),
    }
}

fn compare(dir: &Path, known: &BTreeMap<u64, Known>, numbered: &[String]) {
    let store = Store::open(dir).unwrap();
    let entries = store.load().unwrap();
    let newest = known.keys().next_back().copied();
    for (&round, channel) in known {
        let id = ChannelId::new(&format!("c{round}")).unwrap();
        let is_there = entries.channel(&id).is_some();
        if channel.is_deleted {
            assert!(!is_there, "{id} was deleted");
            continue;
        }
        // A delete may be made and the child killed before it could say so.
        if !is_there {
            assert!(round.is_multiple_of(3), "{id} is lost (newest: {newest:?})");
            assert_eq!(entries.drains_of(&id).count(), 0);
            continue;
        }
        let tokens: Vec<_> = entries
            .tokens_of(&id)
            .map(|token| token.token.expose().to_owned())
            .collect();
        assert_eq!(tokens, channel.tokens, "{id}");
        for &drain in &channel.drains {
            let entry = entries.drain(DrainId::new(drain)).unwrap();
            assert_eq!(entry.channel, id);
        }
    }
    for id in numbered {
        let id = ChannelId::new(id).unwrap();
        assert!(entries.channel(&id).is_some(), "channel {id} is lost");
    }
    let mut sorted = numbered.to_vec();
    sorted.sort();
    sorted.dedup();
    assert_eq!(sorted.len(), numbered.len(), "a number was given twice");
}
