//! A receiver with the rules of Vector's `heroku_logs` source, which needs too much to be built
//! here. It takes a body apart at its line ends, leaves out lines that are no UTF-8 or empty and
//! messages without a text, and refuses all if what is left is not as many as `Logplex-Msg-Count`.

use std::io::BufRead;

use crate::cases;
use crate::http;
use crate::http::Event;
use crate::http::Receiver;
use crate::http::Verdict;
use crate::support::Router;
use crate::support::number;
use crate::support::sinks::Post;

fn rules(post: &Post) -> Verdict {
    match read(post) {
        Ok(events) => (events, Ok(())),
        Err(why) => (Vec::new(), Err(why)),
    }
}

fn read(post: &Post) -> Result<Vec<Event>, String> {
    let must = |name: &str| post.header(name).ok_or(format!("{name} is missing"));
    let count: usize = must("Logplex-Msg-Count")?.parse().map_err(|_| "no count")?;
    must("Logplex-Frame-Id")?;
    must("Logplex-Drain-Token")?;
    let body = http::unpacked(post);
    let lines = body.lines().map_while(|line| match line {
        Ok(line) => Some(Some(line)),
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => Some(None),
        Err(_) => None,
    });
    let events: Vec<_> = lines
        .flatten()
        .filter(|l| !l.is_empty())
        .filter_map(|l| event(&l))
        .collect();
    if events.len() == count {
        Ok(events)
    } else {
        Err(format!("{} events, {count} told", events.len()))
    }
}

fn event(line: &str) -> Option<Event> {
    let parts: Vec<&str> = line.splitn(8, ' ').collect();
    let [_count, _pri, time, _host, _app, procid, _msgid, text] = parts[..] else {
        return Some(Event {
            time: String::new(),
            procid: String::new(),
            text: line.to_owned(),
        });
    };
    (!text.is_empty()).then(|| Event {
        time: time.to_owned(),
        procid: procid.to_owned(),
        text: text.to_owned(),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_preset_brings_what_the_defaults_do_not() {
    let receiver = Receiver::start(200, rules).await;
    let refused = ["lines", "latin-1", "odd procid", "empty"];
    let taken = http::check(&receiver, r#","preset":"vector""#, &refused).await;
    let time = "2026-11-20T12:00:00.123456+00:00";
    for (name, expected) in [
        ("plain", "web.1 hello"),
        ("no sd", "web.1 hello without"),
        (
            "postgres",
            "postgres.7 [DATABASE] [12-1] sql_error_code = 00000",
        ),
        ("gin", "web.1 [GIN] 2026/11/20 | 200"),
        ("lines", "web.1 one#012two#015#012three"),
        ("latin-1", "web.1 caf\u{fffd} noir"),
        ("odd procid", "w?b.1 hello"),
        ("empty", "web.1  "),
        ("20 KB", "web.1 20000 bytes"),
    ] {
        assert_eq!(http::shown(&taken, name), [format!("{time} {expected}")]);
    }
}

/// One bad message takes the whole request with it, and what tells of that must be taken.
#[tokio::test(flavor = "multi_thread")]
async fn losses_are_told_in_either_way() {
    let receiver = Receiver::start(200, rules).await;
    let router = Router::start().await;
    for (id, options) in [("defaults", ""), ("mended", r#","preset":"vector""#)] {
        let token = router.channel(id).await;
        let drain = router.drain(id, &receiver.url(id), options).await;
        if id == "mended" {
            receiver.refuse_next();
        }
        let cases = cases::all();
        let (plain, lines) = (&cases[0], cases.iter().find(|c| c.name == "lines").unwrap());
        lines.send(&router, &token).await;
        router
            .drain_until(id, drain, |s| number(&s["lost"]["refused"]) == 1)
            .await;
        plain.send(&router, &token).await;
        router
            .drain_until(id, drain, |s| number(&s["delivered"]) == 2)
            .await;
        let texts: Vec<_> = receiver
            .kept(id)
            .into_iter()
            .map(|event| event.text)
            .collect();
        let told = "Error L10 (output buffer overflow): 1 messages dropped since ";
        assert!(texts.iter().any(|text| text.starts_with(told)), "{texts:?}");
        assert_eq!(texts.last().unwrap(), "hello");
        assert!(texts.iter().all(|text| !text.contains("one")), "{texts:?}");
    }
    router.stop().await;
}

/// A message that goes on in further frames is as many events, and the count says so.
#[tokio::test(flavor = "multi_thread")]
async fn parts_of_a_message_are_counted() {
    let receiver = Receiver::start(200, rules).await;
    let router = Router::start().await;
    let options = r#","preset":"vector","frame_bytes_max":2000"#;
    let cases = cases::all();
    let long = cases.iter().find(|case| case.name == "20 KB").unwrap();
    let (events, is_taken) = receiver.take(&router, "long", long, options).await;
    assert!(is_taken);
    let header_bytes = "<134>1 2026-11-20T12:00:00.123456+00:00 host app web.1 - \n".len();
    let texts: Vec<_> = events.iter().map(|event| event.text.as_str()).collect();
    assert_eq!(texts.len(), 11);
    assert!(
        texts[..10]
            .iter()
            .all(|text| text.len() == 2_000 - header_bytes)
    );
    let joined: String = texts.iter().map(|text| text.trim_matches('…')).collect();
    assert_eq!(joined, "x".repeat(20_000));
    router.stop().await;
}
