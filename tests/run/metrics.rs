//! Runtime metrics against what `/proc` says to the test.

use crate::command;
use crate::logs_url;
use crate::pid;
use crate::support::PATIENCE;
use crate::support::Router;
use tokio::process::Child;
use tokio::time::Instant;

/// A process under `logboom run` with metrics, its router, and what it is to be ended with.
struct Measured {
    router: Router,
    child: Child,
}

impl Measured {
    async fn start(script: &str) -> Self {
        let router = Router::start().await;
        let answer = router
            .call("PUT", "/v3/channels/app", r#"{"tokens":["app","heroku"]}"#)
            .await;
        let tokens = answer.json()["tokens"].clone();
        let url = logs_url(&router, tokens["app"].as_str().unwrap());
        let flags = ["--procid", "web.1", "--metrics-interval", "200ms"];
        let mut command = command(&url, &flags, &["sh", "-c", script]);
        command.env("LOGBOOM_PLATFORM_TOKEN", tokens["heroku"].as_str().unwrap());
        let child = command.spawn().unwrap();
        Self { router, child }
    }

    /// Waits until the newest line about `key` satisfies `is_so`; gives that line.
    async fn line_until(&self, key: &str, is_so: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let lines = self.router.history("app", 100).await;
            let newest = lines.iter().rev().find(|line| line.contains(key));
            if let Some(line) = newest.filter(|line| is_so(line)) {
                return line.clone();
            }
            assert!(Instant::now() < deadline, "{key}: {newest:?}");
        }
    }

    /// All descendants of the program.
    fn descendants(&self) -> Vec<String> {
        let mut found = vec![pid(&self.child)];
        let mut index = 0;
        while index < found.len() {
            let path = format!("/proc/{0}/task/{0}/children", found[index]);
            let children = std::fs::read_to_string(path).unwrap_or_default();
            found.extend(children.split_whitespace().map(str::to_owned));
            index += 1;
        }
        found.remove(0);
        found
    }

    /// Their proportional sizes together, in MB.
    fn resident_megabytes(&self) -> f64 {
        let size = |pid: &String| {
            let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
            let line = text.lines().find(|line| line.starts_with("Pss:"))?;
            line.split_whitespace().nth(1)?.parse::<f64>().ok()
        };
        let kilobytes: f64 = self.descendants().iter().filter_map(size).sum();
        kilobytes / 1024.0
    }

    async fn end(self) {
        let processes = self.descendants();
        crate::kill("KILL", &pid(&self.child));
        for process in processes {
            // One of them may have ended with another.
            let ended = std::process::Command::new("kill")
                .args(["-s", "KILL", &process])
                .stderr(std::process::Stdio::null())
                .status();
            assert!(ended.is_ok(), "kill is missing");
        }
        self.router.stop().await;
    }
}

/// The number of a sample, without its unit.
fn sample(line: &str, name: &str) -> f64 {
    let value = line.split(&format!(" sample#{name}=")).nth(1);
    let value = value.unwrap_or_else(|| panic!("no {name} in {line:?}"));
    let end = value.find(|c: char| !c.is_ascii_digit() && c != '.');
    value[..end.unwrap_or(value.len())].parse().unwrap()
}

#[tokio::test]
async fn memory_is_that_of_the_whole_tree() {
    // `tail` keeps 40 MiB, since they are one line; what feeds it rests. Both are grandchildren.
    let script = "(head -c 41943040 /dev/zero; echo fed >&2; exec sleep 600) | tail; exit 0";
    let measured = Measured::start(script).await;
    measured.line_until("]: fed", |_| true).await;
    let is_near = |line: &str| {
        let told = sample(line, "memory_rss");
        let read = measured.resident_megabytes();
        40.0 < read && (told - read).abs() < 2.0
    };
    let line = measured.line_until("sample#memory_total=", is_near).await;
    let (head, samples) = line.split_once("]: ").unwrap();
    assert!(head.ends_with(" heroku[web.1"), "{line}");
    assert!(samples.starts_with("source=web.1 dyno=heroku.0."), "{line}");
    // The group of the tests is not the process's own: what only a group counts is not there.
    assert!(!samples.contains("memory_cache"), "{line}");
    assert!(!samples.contains("memory_pgpgin"), "{line}");
    let swap = sample(&line, "memory_swap");
    let sum = sample(&line, "memory_rss") + swap;
    assert!((sample(&line, "memory_total") - sum).abs() < 0.02, "{line}");
    measured.end().await;
}

#[tokio::test]
async fn load_is_that_of_the_whole_tree() {
    // Two that never rest, below one that does.
    let spin = "while :; do :; done";
    let script = format!("({spin}) & ({spin}) & wait");
    let measured = Measured::start(&script).await;
    let value = |line: &str| sample(line, "load_avg_1m");
    let first = measured
        .line_until("sample#load_avg_1m=", |line| 0.02 < value(line))
        .await;
    // A second of two threads is 2 * (1 - e^(-1/60)).
    let later = measured
        .line_until("sample#load_avg_1m=", |line| {
            value(&first) + 0.03 < value(line)
        })
        .await;
    assert!(value(&later) < 2.0, "{later}");
    // It is young.
    assert!(!later.contains("load_avg_5m"), "{later}");
    measured.end().await;
}

#[tokio::test]
async fn who_rests_has_no_load() {
    let measured = Measured::start("exec sleep 600").await;
    let lines = async |count| {
        let lines = measured.router.history("app", 10_000).await;
        let loads = lines
            .iter()
            .filter(|line| line.contains("sample#load_avg_1m="));
        let loads: Vec<f64> = loads.map(|line| sample(line, "load_avg_1m")).collect();
        (count <= loads.len()).then_some(loads)
    };
    let deadline = Instant::now() + PATIENCE;
    let loads = loop {
        if let Some(loads) = lines(5).await {
            break loads;
        }
        assert!(Instant::now() < deadline, "no metrics");
    };
    assert!(loads.iter().all(|load| *load < 0.1), "{loads:?}");
    measured.end().await;
}

#[tokio::test]
async fn metrics_can_be_off() {
    let router = Router::start().await;
    let token = router.channel_with("app", r#"{"tokens":["app"]}"#).await;
    let url = logs_url(&router, &token);
    // The same token twice: everything is of source `app`.
    let flags = ["--platform-token", &token, "--metrics-interval", "0"];
    let script = "read x; exit 0";
    let mut command = command(&url, &flags, &["sh", "-c", script]);
    let mut child = command.stdin(std::process::Stdio::piped()).spawn().unwrap();
    crate::lines_until(&router, 2).await;
    drop(child.stdin.take());
    assert_eq!(crate::end_of(child).await.status, 0);
    assert_eq!(crate::lines(&router).await.len(), 4);
    router.stop().await;
}
