//! Servers that misbehave: what is sent again, what is lost, and what is said about it.

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::program::{Ship, free_address, logs_url, ship, texts};
use crate::proxy::Proxy;
use crate::support::Router;
use crate::support::certificates::Certificates;
use crate::support::sinks::{HttpSink, Reply};

fn answer(status: &str, headers: &str, body: &str) -> Reply {
    let length = body.len();
    Reply::Raw(format!(
        "HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
    ))
}

#[tokio::test]
async fn what_may_go_better_later_is_the_same_request_again() {
    let replies = [
        answer("429 Slow", "Retry-After: 1\r\n", ""),
        Reply::status(500),
        Reply::Close,
        Reply::Hang,
    ];
    let tries = replies.len() + 1;
    let sink = HttpSink::start(replies).await;
    let started = std::time::Instant::now();
    let mut ship = Ship::start(&sink.url(), &["--timeout", "300ms", "--gzip"]);
    ship.write("one\ntwo\n").await;
    let posts = sink.posts_until(tries).await;
    assert!(
        1.0 <= started.elapsed().as_secs_f64(),
        "Retry-After is heeded"
    );
    for post in &posts {
        assert_eq!(post.body, posts[0].body);
        assert_eq!(
            post.header("logplex-frame-id"),
            posts[0].header("logplex-frame-id")
        );
    }
    ship.write("three\n").await;
    ship.close();
    let ended = ship.ended().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let told = ended.stderr.matches("trying again").count();
    assert_eq!(told, 1, "a trouble is told once: {ended:?}");
    let posts = sink.posts();
    assert_eq!(posts.len(), tries + 1);
    assert_ne!(
        posts[tries].header("logplex-frame-id"),
        posts[0].header("logplex-frame-id")
    );
}

#[tokio::test]
async fn redirects_and_halves_of_answers_are_no_answers() {
    let replies = [
        Reply::status(302),
        Reply::Raw("HTTP/1.1 2".to_owned()),
        Reply::Raw("nonsense\r\n\r\n".to_owned()),
    ];
    let sink = HttpSink::start(replies).await;
    let mut ship = Ship::start(&sink.url(), &["--timeout", "300ms"]);
    ship.write("one\n").await;
    let posts = sink.posts_until(4).await;
    assert!(posts.iter().all(|post| post.body == posts[0].body));
    ship.close();
    assert_eq!(ship.ended().await.code, Some(0));
    assert_eq!(sink.posts().len(), 4);
}

#[tokio::test]
async fn a_refusal_is_said_counted_and_told() {
    let sink = HttpSink::start([answer("403 No", "", "Not with this token.")]).await;
    let mut ship = Ship::start(&sink.url(), &["--wait", "20ms"]);
    ship.write("one\ntwo\n").await;
    ship.said("the router refused a batch").await;
    ship.write("three\n").await;
    ship.close();
    let ended = ship.ended().await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    for said in [
        "status=403",
        "said=\"Not with this token.\"",
        "lost=2",
        "delivered=1",
    ] {
        assert!(ended.stderr.contains(said), "{said:?} in {ended:?}");
    }
    assert!(
        ended.stderr.ends_with("; the router was told\n"),
        "{ended:?}"
    );
    let posts = sink.posts();
    let last = &posts[1];
    assert_eq!(last.header("logplex-lost-count").unwrap(), "2");
    assert_eq!(last.header("logplex-msg-count").unwrap(), "2");
    let notice = &last.frames()[0];
    let (front, since) = notice
        .split_once(" - - Error L13: 2 messages lost since ")
        .unwrap();
    assert!(front.starts_with("<172>1 "), "{notice}");
    assert!(front.ends_with(" heroku token log-shuttle"), "{notice}");
    assert!(since.ends_with("+00:00\n"), "{notice}");
    assert_eq!(since.len(), "2026-11-20T17:43:47.969198+00:00\n".len());
    assert_eq!(texts(last)[1], "three");
}

#[tokio::test]
async fn a_loss_that_nothing_follows_is_told_at_the_end() {
    let sink = HttpSink::start([Reply::status(401)]).await;
    let mut ship = Ship::start(&sink.url(), &[]);
    ship.write("one\n").await;
    ship.close();
    let ended = ship.ended().await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let posts = sink.posts();
    assert_eq!(posts.len(), 2);
    assert_eq!(posts[1].header("logplex-msg-count").unwrap(), "1");
    assert!(texts(&posts[1])[0].starts_with("Error L13: 1 messages lost since "));
}

#[tokio::test]
async fn tries_can_be_bounded() {
    let sink = HttpSink::start([Reply::status(500), Reply::status(500)]).await;
    let flags = ["--max-attempts", "2", "--wait", "20ms"];
    let mut ship = Ship::start(&sink.url(), &flags);
    ship.write("one\n").await;
    ship.said("a batch was given up").await;
    ship.write("two\n").await;
    ship.close();
    let ended = ship.ended().await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("a batch was given up"), "{ended:?}");
    let posts = sink.posts();
    assert_eq!(posts.len(), 3);
    assert_eq!(posts[2].header("logplex-lost-count").unwrap(), "1");
}

#[tokio::test]
async fn a_full_queue_drops_and_tells_how_many() {
    let permits = Arc::new(Semaphore::new(0));
    let held = || Reply::Held(Arc::clone(&permits));
    let sink = HttpSink::start([held()]).await;
    let flags = ["--batch-size", "10", "--back-buff", "2", "--wait", "10ms"];
    let mut ship = Ship::start(&sink.url(), &flags);
    ship.write("0\n").await;
    sink.posts_until(1).await;
    let lines: String = (1..1_000).map(|n| format!("{n}\n")).collect();
    // The writer is not held up, though nothing is taken.
    ship.write(lines).await;
    ship.close();
    let flowing = async {
        let ended = ship.ended().await;
        assert_eq!(ended.code, Some(1), "{ended:?}");
        ended
    };
    permits.add_permits(1);
    let ended = flowing.await;
    let posts = sink.posts();
    let mut texts: Vec<String> = posts.iter().flat_map(texts).collect();
    let dropped: u64 = posts
        .iter()
        .filter_map(|post| post.header("logplex-drop-count"))
        .map(|count| count.parse::<u64>().unwrap())
        .sum();
    let is_notice = |text: &String| text.starts_with("Error L12: ");
    assert!(texts.iter().any(is_notice));
    texts.retain(|text| !is_notice(text));
    let numbers: Vec<u64> = texts.iter().map(|text| text.parse().unwrap()).collect();
    assert!(numbers.is_sorted(), "{numbers:?}");
    assert_eq!(u64::try_from(numbers.len()).unwrap() + dropped, 1_000);
    assert!(0 < dropped);
    let said = format!("delivered={} dropped={dropped} lost=0", numbers.len());
    assert!(ended.stderr.contains(&said), "{said} in {ended:?}");
}

#[tokio::test]
async fn with_block_the_writer_waits_and_nothing_is_dropped() {
    let sink = HttpSink::start([Reply::status(503), Reply::status(503)]).await;
    let flags = ["--batch-size", "10", "--back-buff", "1", "--block"];
    let lines: String = (0..5_000).map(|n| format!("{n}\n")).collect();
    let mut ship = Ship::start(&sink.url(), &flags);
    ship.write(lines).await;
    ship.close();
    let ended = ship.ended().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let texts: Vec<String> = sink.posts()[2..].iter().flat_map(texts).collect();
    let expected: Vec<String> = (0..5_000).map(|n| n.to_string()).collect();
    assert_eq!(texts, expected);
}

#[tokio::test]
async fn when_the_router_is_away_the_counts_at_the_end_are_exact() {
    // A port at which nobody listens.
    let url = format!("http://{}/logs", free_address());
    let mut ship = Ship::start(
        &url,
        &["--grace", "300ms", "--batch-size", "10", "--back-buff", "3"],
    );
    let lines: String = (0..500).map(|n| format!("{n}\n")).collect();
    ship.write(lines).await;
    ship.close();
    let ended = ship.ended().await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let count = |name: &str| -> u64 {
        let word = ended
            .stderr
            .split_whitespace()
            .find_map(|word| word.strip_prefix(name));
        let digits = word.unwrap_or_else(|| panic!("{name} in {ended:?}"));
        digits.trim_end_matches(':').parse().unwrap()
    };
    assert_eq!(count("delivered="), 0);
    assert_eq!(count("dropped=") + count("lost="), 500);
    assert!(
        ended.stderr.ends_with("; the router was not told of all\n"),
        "{ended:?}"
    );
}

#[tokio::test]
async fn a_signal_flushes_what_waits() {
    for signal in ["TERM", "INT", "HUP"] {
        let sink = HttpSink::start([]).await;
        let mut ship = Ship::start(&sink.url(), &["--wait", "20ms", "--grace", "2s"]);
        ship.write("first\n").await;
        sink.posts_until(1).await;
        sink.answer_next([Reply::status(503)]);
        ship.write("second\n").await;
        sink.posts_until(2).await;
        ship.signal(signal);
        let ended = ship.ended().await;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let posts = sink.posts();
        assert_eq!(texts(posts.last().unwrap()), ["second"]);
    }
}

/// Who writes to the pipe gets the same Ctrl-C, and says good-bye in its own time.
#[tokio::test]
async fn after_a_signal_last_words_are_read() {
    let sink = HttpSink::start([]).await;
    let mut ship = Ship::start(
        &sink.url(),
        &["--wait", "20ms", "--grace", "1m", "--verbose"],
    );
    ship.write("first\n").await;
    sink.posts_until(1).await;
    ship.signal("INT");
    // Longer than a moment of silence: what is written comes, as long as the pipe is open.
    for round in 1..=5 {
        let begun = std::time::Instant::now();
        crate::support::until("a pause", || {
            (std::time::Duration::from_millis(100) <= begun.elapsed()).then_some(())
        })
        .await;
        ship.write(format!("good-bye {round}\n")).await;
    }
    ship.close();
    let ended = ship.ended().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let texts: Vec<String> = sink.posts().iter().flat_map(texts).collect();
    assert_eq!(texts.last().unwrap(), "good-bye 5");
    assert_eq!(texts.len(), 6);
}

#[tokio::test]
async fn an_answer_that_is_cut_delivers_once() {
    let router = Router::start().await;
    let token = router.channel("app").await;
    let proxy = Proxy::start(router.http, 3).await;
    let url = logs_url(&router, &token).replace(&router.http.to_string(), &proxy.to_string());
    let lines: String = (0..100).map(|n| format!("line {n}\n")).collect();
    let mut ship = Ship::start(&url, &["--batch-size", "20"]);
    ship.write(lines).await;
    ship.close();
    let ended = ship.ended().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let history = router.history("app", 1_000).await;
    let texts: Vec<&str> = history
        .iter()
        .filter_map(|line| line.split(": ").nth(1))
        .collect();
    let expected: Vec<String> = (0..100).map(|n| format!("line {n}")).collect();
    assert_eq!(texts, expected);
    assert!(1.0 <= router.metric("logboom_duplicate_requests_total").await);
}

#[tokio::test]
async fn a_router_that_is_slow_to_start_gets_everything() {
    let address = free_address();
    let url = format!("http://{address}/logs");
    let mut ship = Ship::start(&url, &["--wait", "20ms"]);
    ship.write("one\n").await;
    ship.said("trying again").await;
    let sink = HttpSink::start_with(&address.to_string(), None, []).await;
    let posts = sink.posts_until(1).await;
    assert_eq!(texts(&posts[0]), ["one"]);
    ship.close();
    assert_eq!(ship.ended().await.code, Some(0));
}

#[tokio::test]
async fn a_wrong_token_is_told_in_the_routers_words() {
    let router = Router::start().await;
    let url = logs_url(&router, "t.wrong");
    let mut wrong = Ship::start(&url, &["--batch-size", "1"]);
    wrong.write("one\ntwo\nthree\n").await;
    wrong.close();
    let ended = wrong.ended().await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("status=401"), "{ended:?}");
    assert!(
        ended.stderr.contains("the token is not known there"),
        "{ended:?}"
    );
    let refusals = ended.stderr.matches("the router refused a batch").count();
    assert_eq!(refusals, 1, "one line for a trouble: {ended:?}");
    assert!(ended.stderr.contains("lost=3"), "{ended:?}");
    let token = router.channel("app").await;
    ship(&logs_url(&router, &token), &[], "two\n").await;
}

#[tokio::test]
async fn certificates_are_believed_only_when_asked_to() {
    let certificates = Certificates::new();
    let sink = HttpSink::start_with("127.0.0.1:0", Some(certificates.acceptor(false)), []).await;
    let url = format!("https://localhost:{}/logs", sink.address.port());
    let mut wary = Ship::start(&url, &["--grace", "500ms"]);
    wary.write("one\n").await;
    wary.said("certificate validation failed").await;
    wary.close();
    assert_eq!(wary.ended().await.code, Some(1));
    assert_eq!(sink.posts().len(), 0);
    ship(&url, &["--skip-verify"], "two\n").await;
    assert_eq!(texts(&sink.posts()[0]), ["two"]);
}

#[tokio::test]
async fn who_asks_twice_waits_no_longer() {
    let url = format!("http://{}/logs", free_address());
    let mut ship = Ship::start(&url, &["--grace", "1h"]);
    ship.write("one\n").await;
    ship.said("trying again").await;
    ship.signal("TERM");
    // The second one may come with the first, and is then the same: it is sent until it is heard.
    let pid = ship.pid();
    let asking = async {
        let mut ticks = tokio::time::interval(std::time::Duration::from_millis(20));
        loop {
            ticks.tick().await;
            crate::program::signal(pid, "INT");
        }
    };
    let ended = tokio::select! {
        ended = ship.ended() => ended,
        () = asking => unreachable!(),
    };
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(
        ended.stderr.contains("delivered=0 dropped=0 lost=1"),
        "{ended:?}"
    );
}
