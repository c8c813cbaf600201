//! `logboom logs` as people use it: several channels, times, outputs, colours, what it says when
//! something is wrong.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests stop at a surprise"
)]

mod support;

use std::time::Duration;

use serde_json::Value;
use tokio::io::AsyncBufReadExt;
use tokio::io::AsyncReadExt;
use tokio::io::BufReader;
use tokio::process::Child;

use support::Router;
use support::message;
use support::program::check_failure;
use support::program::command;
use support::program::good;
use support::program::run;
use support::program::url;

/// The texts of lines that end in `]: TEXT`, with what stands in front of the time.
fn texts(shown: &str) -> Vec<String> {
    shown
        .lines()
        .map(|line| {
            let (front, _) = line.split_once("2012").unwrap();
            let (_, text) = line.split_once("]: ").unwrap();
            format!("{front}{text}")
        })
        .collect()
}

fn interrupt(child: &Child) {
    let pid = child.id().unwrap().to_string();
    let sent = std::process::Command::new("kill")
        .args(["-s", "INT", &pid])
        .status();
    assert!(sent.unwrap().success());
}

#[tokio::test]
async fn several_channels_are_one_history_in_order() {
    let router = Router::start().await;
    let url = url(&router);
    let (shop, billing) = (
        router.channel("shop").await,
        router.channel("billing").await,
    );
    router.channel("quiet").await;
    for index in 0..20 {
        // Runs of different lengths, so that neither is simply every second line.
        let token = if index % 3 == 0 { &billing } else { &shop };
        router
            .send_tcp(&message(token, &format!("line {index}")))
            .await;
        let (id, count) = if index % 3 == 0 {
            ("billing", index / 3 + 1)
        } else {
            ("shop", index - index / 3)
        };
        router.history_until(id, count).await;
    }
    let shown = good(&url, "logs shop quiet billing").await;
    let expected: Vec<String> = (0..20)
        .map(|index| match index % 3 {
            0 => format!("billing | line {index}"),
            _ => format!("shop    | line {index}"),
        })
        .collect();
    assert_eq!(texts(&shown), expected);
    // The same channel twice is one, and one has no name in front.
    let alone = good(&url, "logs billing billing -n 2").await;
    assert_eq!(texts(&alone), ["line 15", "line 18"]);
    router.stop().await;
}

#[tokio::test]
async fn a_channel_that_fails_does_not_end_the_others() {
    let router = Router::start().await;
    let url = url(&router);
    let token = router.channel("shop").await;
    router.channel("billing").await;
    router.send_tcp(&message(&token, "here")).await;
    router.history_until("shop", 1).await;
    let (code, shown, complaint) = run(&url, "logs shop biling").await;
    assert_eq!((code, texts(&shown)), (3, vec!["shop   | here".to_owned()]));
    assert!(
        complaint
            .starts_with("logboom: biling: no channel \"biling\"; did you mean \"billing\"?\n"),
        "{complaint}"
    );
    let (code, shown, complaint) = run(&url, "logs shop biling --json").await;
    assert_eq!((code, shown.lines().count()), (3, 1));
    let complaint: Value = serde_json::from_str(&complaint).unwrap();
    assert_eq!(
        (&complaint["channel"], &complaint["code"]),
        (&"biling".into(), &3.into())
    );

    // The tail of the other goes on.
    let mut child = command(&url, &["logs", "shop", "none", "--tail"])
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut complaints = BufReader::new(child.stderr.take().unwrap()).lines();
    let work = async {
        let told = complaints.next_line().await.unwrap().unwrap();
        assert_eq!(told, "logboom: none: no channel \"none\"");
        for text in ["here", "later"] {
            let line = lines.next_line().await.unwrap().unwrap();
            assert!(
                line.starts_with("shop | ") && line.ends_with(text),
                "{line}"
            );
            if text == "here" {
                router.send_tcp(&message(&token, "later")).await;
            }
        }
        interrupt(&child);
        assert_eq!(child.wait().await.unwrap().code(), Some(130));
        // No half line, and nothing of a stack.
        let mut rest = String::new();
        complaints
            .into_inner()
            .read_to_string(&mut rest)
            .await
            .unwrap();
        assert!(
            rest.lines().count() <= 1 && !rest.contains("panicked"),
            "{rest}"
        );
    };
    tokio::time::timeout(support::PATIENCE, work).await.unwrap();
    router.stop().await;
}

#[tokio::test]
async fn tails_of_several_channels_come_in_order() {
    let router = Router::start().await;
    let url = url(&router);
    let tokens = [router.channel("a").await, router.channel("b").await];
    let mut child = command(&url, &["logs", "a", "b", "--tail", "-n", "0"])
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let are_open = async || router.metric("logboom_tails").await == 2.0;
    support::until_async("two tails", are_open).await;
    let work = async {
        for index in 0..200 {
            let token = &tokens[usize::from(index % 7 < 3)];
            router
                .send_tcp(&message(token, &format!("line {index}")))
                .await;
            if index % 10 == 9 {
                for seen in index - 9..=index {
                    let line = lines.next_line().await.unwrap().unwrap();
                    assert!(line.ends_with(&format!("]: line {seen}")), "{line}");
                }
            }
        }
    };
    tokio::time::timeout(support::PATIENCE, work).await.unwrap();
    router.stop().await;
}

#[tokio::test]
async fn what_came_since_a_moment_is_shown() {
    let router = Router::start().await;
    let url = url(&router);
    let token = router.channel("shop").await;
    for index in 0..150 {
        router
            .send_tcp(&message(&token, &format!("line {index}")))
            .await;
    }
    let all = router.history_until("shop", 150).await;
    assert_eq!(all.len(), 150);
    let json = good(&url, "logs shop -n 150 --json").await;
    let arrivals: Vec<String> = json
        .lines()
        .map(|line| {
            let line: Value = serde_json::from_str(line).unwrap();
            line["arrival"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(arrivals.len(), 150);
    assert!(arrivals.is_sorted());
    for first in [0, 1, 77, 149] {
        let moment = &arrivals[first];
        // Several may have come with one read.
        let expected = arrivals.iter().filter(|arrival| moment <= *arrival).count();
        let shown = good(&url, &format!("logs shop --since {moment}")).await;
        assert_eq!(shown.lines().count(), expected, "{moment}");
        let shown = good(&url, &format!("logs shop --since {moment} --ps web -n 5")).await;
        assert_eq!(shown.lines().count(), expected.min(5), "{moment}");
    }
    assert_eq!(
        good(&url, "logs shop --since 1h").await.lines().count(),
        150
    );
    assert_eq!(good(&url, "logs shop --since 0s").await, "");
    check_failure(&url, "logs shop --since soon", 2, "such as 5m or 2h").await;
    router.stop().await;
}

#[tokio::test]
async fn outputs_hold_all_that_is_known() {
    let router = Router::start().await;
    let url = url(&router);
    let token = router.channel("shop").await;
    let sent = format!(
        "<131>1 2012-12-10T03:00:48.123456Z mach1 {token} web.1 ID47 [a@1 b=\"c\"] say \"x\" = \u{1f600}"
    );
    router.send_tcp(&sent).await;
    router.history_until("shop", 1).await;
    let line: Value = serde_json::from_str(&good(&url, "logs shop --output json").await).unwrap();
    let expected = [
        ("channel", "shop"),
        ("time", "2012-12-10T03:00:48.123456Z"),
        ("source", "app"),
        ("ps", "web.1"),
        ("facility", "local0"),
        ("severity", "err"),
        ("hostname", "mach1"),
        ("msgid", "ID47"),
        ("sd", "[a@1 b=\"c\"]"),
        ("message", "say \"x\" = \u{1f600}"),
    ];
    for (field, value) in expected {
        assert_eq!(line[field], value, "{field}: {line}");
    }
    assert_eq!(line["truncated"], false);
    assert!(line["id"].as_str().unwrap().ends_with("-0"), "{line}");
    assert_eq!(
        good(&url, "logs shop --json").await,
        good(&url, "logs shop -o json").await
    );

    let pairs = good(&url, "logs shop --output logfmt").await;
    let start = "channel=shop time=2012-12-10T03:00:48.123456Z arrival=";
    let end = " source=app ps=web.1 facility=local0 severity=err hostname=mach1 msgid=ID47 \
               sd=\"[a@1 b=\\\"c\\\"]\" message=\"say \\\"x\\\" = \u{1f600}\"\n";
    assert!(pairs.starts_with(start) && pairs.ends_with(end), "{pairs}");
    assert_eq!(
        good(&url, "logs shop -o raw").await,
        "2012-12-10T03:00:48.123456Z app[web.1]: say \"x\" = \u{1f600}\n"
    );
    check_failure(
        &url,
        "logs shop -o xml",
        2,
        "possible values: raw, json, logfmt",
    )
    .await;
    check_failure(&url, "logs shop -o raw --json", 2, "leave one of both out").await;
    router.stop().await;
}

#[tokio::test]
async fn colours_are_only_where_they_are_wanted() {
    let router = Router::start().await;
    let url = url(&router);
    let token = router.channel("shop").await;
    router
        .send_tcp(&message(&token, "well").replace("<13>", "<14>"))
        .await;
    router.history_until("shop", 1).await;
    for line in [
        "logs shop",
        "logs shop --color auto",
        "logs shop --color never",
    ] {
        assert!(!good(&url, line).await.contains('\x1b'), "{line}");
    }
    let shown = good(&url, "logs shop --color always").await;
    assert!(
        shown.contains("\x1b[36mapp[web.1]:\x1b[0m well\n"),
        "{shown:?}"
    );
    assert!(
        !good(&url, "logs shop --color always --json")
            .await
            .contains('\x1b')
    );
    check_failure(
        &url,
        "logs shop --color red",
        2,
        "possible values: auto, always, never",
    )
    .await;
    router.stop().await;
}

#[tokio::test]
async fn what_to_do_next_is_said() {
    let router = Router::start().await;
    let url = url(&router);
    router.channel("shop").await;
    for line in [
        "logs shpo",
        "channels show shpo",
        "drains list shpo",
        "tokens list shpo",
    ] {
        check_failure(&url, line, 3, "no channel \"shpo\"; did you mean \"shop\"?").await;
        check_failure(&url, line, 3, "`logboom channels list` shows all").await;
    }
    check_failure(&url, "logs other", 3, "no channel \"other\"\n").await;
    let said = "--credential ID:SECRET or LOGBOOM_CREDENTIAL";
    check_failure(&url, "logs shop --credential a:b", 4, said).await;
    let many: Vec<String> = (0..65).map(|index| format!("c{index}")).collect();
    check_failure(&url, &format!("logs {}", many.join(" ")), 2, "at most 64").await;
    let (code, shown, _) = run(&url, "logs").await;
    assert_eq!((code, shown.as_str()), (2, ""));
    tokio::time::timeout(Duration::from_secs(30), router.stop())
        .await
        .unwrap();
}
