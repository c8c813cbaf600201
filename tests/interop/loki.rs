//! A receiver with the rules of Promtail's and Alloy's Heroku drain, which is heroku/x's scanner of
//! drains: a count and its frame are at most 10,240 bytes, every frame has a time, bodies are not
//! unpacked. What stands in front of a fault is kept and comes again with a retry.

use crate::http;
use crate::http::Event;
use crate::http::Receiver;
use crate::http::Verdict;
use crate::support::sinks::Post;

const SCANNED_BYTES_MAX: usize = 10_240;

fn rules(post: &Post) -> Verdict {
    let (mut events, mut rest) = (Vec::new(), post.body.as_slice());
    while !rest.is_empty() {
        match frame(&mut rest).and_then(event) {
            Ok(event) => events.push(event),
            Err(why) => return (events, Err(why)),
        }
    }
    (events, Ok(()))
}

fn frame<'b>(rest: &mut &'b [u8]) -> Result<&'b [u8], String> {
    let space = rest
        .iter()
        .position(|&byte| byte == b' ')
        .ok_or("no count")?;
    let digits = std::str::from_utf8(&rest[..space]).map_err(|_| "no count")?;
    let end = space + 1 + digits.parse::<usize>().map_err(|_| "no count")?;
    if SCANNED_BYTES_MAX < end {
        return Err("token too long".to_owned());
    }
    let frame = rest.get(space + 1..end).ok_or("the frame ends early")?;
    *rest = &rest[end..];
    Ok(frame)
}

fn event(frame: &[u8]) -> Result<Event, String> {
    // JSON has no other bytes.
    let text = String::from_utf8_lossy(frame);
    let parts: Vec<&str> = text.splitn(7, ' ').collect();
    let [pri, time, _host, _app, procid, _msgid, text] = parts[..] else {
        return Err("a field is missing".to_owned());
    };
    if !pri.starts_with('<') || !pri.contains(">1") {
        return Err("no PRI".to_owned());
    }
    let rfc3339 = &time::format_description::well_known::Rfc3339;
    time::OffsetDateTime::parse(time, rfc3339).map_err(|error| error.to_string())?;
    Ok(Event {
        time: time.to_owned(),
        procid: procid.to_owned(),
        text: text.trim_end_matches('\n').to_owned(),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_preset_brings_what_the_defaults_do_not() {
    let receiver = Receiver::start(204, rules).await;
    let refused = ["20 KB", "no time", "bad time"];
    let taken = http::check(&receiver, r#","preset":"loki""#, &refused).await;
    let time = "2026-11-20T12:00:00.123456+00:00";
    for (name, expected) in [
        (
            "postgres",
            "postgres.7 [DATABASE] [12-1] sql_error_code = 00000",
        ),
        ("lines", "web.1 one\ntwo\r\nthree"),
        ("latin-1", "web.1 caf\u{fffd} noir"),
        ("empty", "web.1 "),
        ("10 KB", "web.1 10000 bytes"),
    ] {
        assert_eq!(http::shown(&taken, name), [format!("{time} {expected}")]);
    }
    assert_eq!(
        http::shown(&taken, "zulu"),
        ["2026-11-20T12:00:00.000000+00:00 web.1 hello"]
    );
    let (_, parts) = taken.iter().find(|(name, _)| *name == "20 KB").unwrap();
    let [first, second] = &parts[..] else {
        panic!("{} parts", parts.len());
    };
    let joined =
        first.text.strip_suffix('…').unwrap().to_owned() + second.text.strip_prefix('…').unwrap();
    assert_eq!(joined, "x".repeat(20_000));
}
