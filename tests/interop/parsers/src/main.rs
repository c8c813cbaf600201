//! Reads octet-counted frames on stdin with the crate that is named; prints a line for each: PROCID,
//! the names of structured data, and the text, or that it was refused.

use std::io::Read;

fn main() {
    let read = match std::env::args().nth(1).as_deref() {
        Some("syslog_heroku") => heroku,
        Some("syslog_loose") => loose,
        Some("syslog_rfc5424") => strict,
        _ => panic!("name a crate"),
    };
    let mut body = Vec::new();
    std::io::stdin().read_to_end(&mut body).expect("stdin");
    let mut rest = body.as_slice();
    while let Some(space) = rest.iter().position(|&byte| byte == b' ') {
        let count = std::str::from_utf8(&rest[..space]).expect("a count");
        let end = space + 1 + count.parse::<usize>().expect("a count");
        match std::str::from_utf8(&rest[space + 1..end]).map(read) {
            Ok(Some((procid, sd, text))) => {
                println!(
                    "{procid} [{sd}] {:?}",
                    text.strip_suffix('\n').unwrap_or(&text)
                );
            }
            Ok(None) => println!("refused"),
            Err(_) => println!("refused: no UTF-8"),
        }
        rest = &rest[end..];
    }
}

/// PROCID, the names of structured data, text.
type Message = (String, String, String);

fn heroku(frame: &str) -> Option<Message> {
    let message: syslog_heroku::Message = frame.parse().ok()?;
    Some((
        message.procid.unwrap_or_default(),
        String::new(),
        message.msg,
    ))
}

fn loose(frame: &str) -> Option<Message> {
    let message = syslog_loose::parse_message(frame, syslog_loose::Variant::RFC5424);
    let procid = message.procid.map(|procid| procid.to_string());
    let sd: Vec<&str> = message.structured_data.iter().map(|sd| sd.id).collect();
    Some((
        procid.unwrap_or_default(),
        sd.join(" "),
        message.msg.to_owned(),
    ))
}

fn strict(frame: &str) -> Option<Message> {
    let message = syslog_rfc5424::parse_message(frame).ok()?;
    let procid = message.procid.map(|procid| match procid {
        syslog_rfc5424::message::ProcId::PID(pid) => pid.to_string(),
        syslog_rfc5424::message::ProcId::Name(name) => name,
    });
    let sd: Vec<&str> = message.sd.keys().map(String::as_str).collect();
    Some((procid.unwrap_or_default(), sd.join(" "), message.msg))
}
