//! What is sent to every receiver: messages that some of them do not take.

use crate::support::Router;

/// A message as a sender writes it.
pub(crate) struct Case {
    /// What it is about.
    pub(crate) name: &'static str,
    time: &'static str,
    /// What stands behind APP-NAME.
    tail: Vec<u8>,
}

impl Case {
    /// Sends it to the channel of `token`.
    pub(crate) async fn send(&self, router: &Router, token: &str) {
        let head = format!("<134>1 {} host {token} ", self.time);
        router
            .send_tcp([head.as_bytes(), &self.tail].concat())
            .await;
    }
}

const TIME: &str = "2026-11-20T12:00:00.123456+00:00";

/// All of them.
pub(crate) fn all() -> Vec<Case> {
    let text = |name, tail: &[u8]| Case {
        name,
        time: TIME,
        tail: tail.to_vec(),
    };
    let time = |name, time| Case {
        name,
        time,
        tail: b"web.1 - - hello".to_vec(),
    };
    let long = |name, bytes| {
        text(
            name,
            &[b"web.1 - - ", "x".repeat(bytes).as_bytes()].concat(),
        )
    };
    vec![
        text("plain", b"web.1 - - hello"),
        text("no sd", b"web.1 - hello without"),
        text("sd", b"web.1 ID [a@1 x=\"y\"] hello with"),
        text(
            "postgres",
            b"postgres.7 - [DATABASE] [12-1] sql_error_code = 00000",
        ),
        text("gin", b"web.1 - - [GIN] 2026/11/20 | 200"),
        text("lines", b"web.1 - - one\ntwo\r\nthree"),
        text("latin-1", b"web.1 - - caf\xe9 noir"),
        text("odd procid", b"w\xffb.1 - - hello"),
        text("empty", b"web.1 - - "),
        long("10 KB", 10_000),
        long("20 KB", 20_000),
        time("zulu", "2026-11-20T12:00:00Z"),
        time("no time", "-"),
        time("bad time", "2026-11-20T12:00:61+00:00"),
    ]
}

/// The text of a case's message as it is in the channel, shortened to be shown.
pub(crate) fn short(text: &str) -> String {
    match text.len() {
        0..=100 => text.to_owned(),
        bytes => format!("{bytes} bytes"),
    }
}
