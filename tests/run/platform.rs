//! What the platform says of a process, under a token of its own.

use crate::Ended;
use crate::end_of;
use crate::ended;
use crate::kill;
use crate::lines;
use crate::lines_until;
use crate::logs_url;
use crate::pid;
use crate::quiet;
use crate::shell;
use crate::support::Router;
use crate::support::sinks::HttpSink;

/// A router with a channel `app` that has two tokens, where to ship to, and the platform's token.
async fn with_platform() -> (Router, String, String) {
    let router = Router::start().await;
    let answer = router
        .call("PUT", "/v3/channels/app", r#"{"tokens":["app","heroku"]}"#)
        .await;
    let tokens = answer.json()["tokens"].clone();
    let token = |name: &str| tokens[name].as_str().unwrap().to_owned();
    let url = logs_url(&router, &token("app"));
    (router, url, token("heroku"))
}

/// The lines of one source.
fn of_source(lines: &[String], source: &str) -> Vec<String> {
    let head = format!("{source}[web.1]: ");
    let texts = lines.iter().filter_map(|line| line.strip_prefix(&head));
    texts.map(str::to_owned).collect()
}

#[tokio::test]
async fn a_life_is_told_in_the_platforms_words() {
    let (router, url, platform) = with_platform().await;
    let sink = HttpSink::start([]).await;
    router.drain("app", &sink.url(), "").await;
    let flags = ["--procid", "web.1", "--platform-token", &platform];
    assert_eq!(
        ended(shell(&url, &flags, "echo one; exit 3")).await,
        quiet(3)
    );
    let life = [
        "heroku[web.1]: Starting process with command `sh -c 'echo one; exit 3'`",
        "heroku[web.1]: State changed from starting to up",
        "app[web.1]: one",
        "heroku[web.1]: Process exited with status 3",
        "heroku[web.1]: State changed from up to crashed",
    ];
    assert_eq!(lines(&router).await, life);
    let frames = sink.frames_until(5).await;
    let pris: Vec<&str> = frames.iter().map(|frame| &frame[..7]).collect();
    assert_eq!(
        pris,
        ["<45>1 2", "<45>1 2", "<190>1 ", "<45>1 2", "<45>1 2"]
    );
    router.stop().await;
}

#[tokio::test]
async fn ends_are_told_apart() {
    let end = |status: u8, state: &str| {
        [
            format!("Process exited with status {status}"),
            format!("State changed from {state}"),
        ]
    };
    for (script, expected) in [
        ("exit 0", end(0, "up to complete")),
        ("kill -s KILL $$", end(137, "up to crashed")),
        // Nobody told the program.
        ("kill -s TERM $$", end(143, "up to crashed")),
    ] {
        let (router, url, platform) = with_platform().await;
        let flags = ["--procid", "web.1", "--platform-token", &platform];
        ended(shell(&url, &flags, script)).await;
        let told = of_source(&lines(&router).await, "heroku");
        assert_eq!(told[2..], expected, "{script}");
        router.stop().await;
    }
}

#[tokio::test]
async fn a_stop_is_told_before_the_end() {
    let (router, url, platform) = with_platform().await;
    let flags = ["--procid", "web.1"];
    let mut command = shell(&url, &flags, "echo ready; exec sleep 600");
    command.env("LOGBOOM_PLATFORM_TOKEN", &platform);
    let child = command.spawn().unwrap();
    lines_until(&router, 3).await;
    kill("TERM", &pid(&child));
    assert_eq!(end_of(child).await, quiet(143));
    assert_eq!(
        of_source(&lines(&router).await, "heroku")[2..],
        [
            "State changed from up to down",
            "Stopping all processes with SIGTERM",
            "Process exited with status 143",
        ]
    );
    router.stop().await;
}

#[tokio::test]
async fn what_does_not_start_is_told_too() {
    let (router, url, platform) = with_platform().await;
    let flags = ["--procid", "web.1", "--platform-token", &platform];
    let end = ended(crate::command(&url, &flags, &["no-such-program-anywhere"])).await;
    let expected = Ended {
        err: "logboom: command not found: no-such-program-anywhere\n".to_owned(),
        ..quiet(127)
    };
    assert_eq!(end, expected);
    assert_eq!(
        of_source(&lines(&router).await, "heroku"),
        [
            "Starting process with command `no-such-program-anywhere`",
            "Process exited with status 127",
            "State changed from starting to crashed",
        ]
    );
    router.stop().await;
}
