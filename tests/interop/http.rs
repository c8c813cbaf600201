//! A receiver of HTTP drains that answers by somebody's rules, and what it makes of each case.

use std::io::Read;
use std::sync::Arc;
use std::sync::Mutex;

use crate::cases;
use crate::cases::Case;
use crate::support::Router;
use crate::support::number;
use crate::support::sinks::HttpSink;
use crate::support::sinks::Post;
use crate::support::sinks::Reply;

/// A message as a receiver has read it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Event {
    pub(crate) time: String,
    pub(crate) procid: String,
    pub(crate) text: String,
}

/// What the rules make of a request: what is kept of it, and whether all of it is taken.
pub(crate) type Verdict = (Vec<Event>, Result<(), String>);

/// The receiver.
pub(crate) struct Receiver {
    sink: HttpSink,
    kept: Arc<Mutex<Vec<(String, Event)>>>,
}

impl Receiver {
    /// Starts one that answers `status`, or 400 to what `rules` refuse.
    pub(crate) async fn start(status: u16, rules: fn(&Post) -> Verdict) -> Self {
        let kept = Arc::new(Mutex::new(Vec::new()));
        let keep = Arc::clone(&kept);
        let judge = move |post: &Post| {
            let (events, verdict) = rules(post);
            let path = post.head.split(' ').nth(1).unwrap().to_owned();
            let events = events.into_iter().map(|event| (path.clone(), event));
            keep.lock().unwrap().extend(events);
            Reply::status(if verdict.is_ok() { status } else { 400 })
        };
        let sink = HttpSink::start_judging("127.0.0.1:0", None, [], judge).await;
        Self { sink, kept }
    }

    /// A URL of it; what comes to it is told by the path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.sink.url())
    }

    /// Refuses the next request, whatever it is.
    pub(crate) fn refuse_next(&self) {
        self.sink.answer_next([Reply::status(400)]);
    }

    /// What was kept of the requests to `path`.
    pub(crate) fn kept(&self, path: &str) -> Vec<Event> {
        let kept = self.kept.lock().unwrap();
        let of_path = kept.iter().filter(|(at, _)| *at == format!("/{path}"));
        of_path.map(|(_, event)| event.clone()).collect()
    }

    /// Sends `case` by a drain of its own with `options`; gives what was kept, and whether it was
    /// taken.
    pub(crate) async fn take(
        &self,
        router: &Router,
        id: &str,
        case: &Case,
        options: &str,
    ) -> (Vec<Event>, bool) {
        let token = router.channel(id).await;
        let drain = router.drain(id, &self.url(id), options).await;
        case.send(router, &token).await;
        let is_over = |status: &serde_json::Value| {
            0 < number(&status["delivered"]) + number(&status["lost"]["refused"])
        };
        let status = router.drain_until(id, drain, is_over).await;
        let is_taken = number(&status["lost"]["refused"]) == 0;
        (self.kept(id), is_taken)
    }
}

/// The body, unpacked.
pub(crate) fn unpacked(post: &Post) -> Vec<u8> {
    match post.header("content-encoding").as_deref() {
        None => post.body.clone(),
        Some("gzip") => {
            let mut plain = Vec::new();
            let mut unpack = flate2::read::GzDecoder::new(post.body.as_slice());
            unpack.read_to_end(&mut plain).unwrap();
            plain
        }
        Some(other) => panic!("unpack {other}"),
    }
}

/// Sends every case with the defaults and with `options`. The defaults are refused for the cases
/// named in `refused` and for no other; with the options all are taken. Gives what came of them.
pub(crate) async fn check(
    receiver: &Receiver,
    options: &str,
    refused: &[&str],
) -> Vec<(&'static str, Vec<Event>)> {
    let router = Router::start().await;
    let (mut seen, mut taken) = (Vec::new(), Vec::new());
    for (index, case) in cases::all().iter().enumerate() {
        let id = format!("default-{index}");
        if !receiver.take(&router, &id, case, "").await.1 {
            seen.push(case.name);
        }
        let id = format!("mended-{index}");
        let (events, is_taken) = receiver.take(&router, &id, case, options).await;
        assert!(is_taken, "{} with {options}", case.name);
        taken.push((case.name, events));
    }
    router.stop().await;
    assert_eq!(seen, refused, "what the defaults cannot bring there");
    taken
}

/// What `name`'s case became: `TIME PROCID TEXT` of each event.
pub(crate) fn shown(taken: &[(&str, Vec<Event>)], name: &str) -> Vec<String> {
    let (_, events) = taken.iter().find(|(case, _)| *case == name).unwrap();
    let show = |e: &Event| format!("{} {} {}", e.time, e.procid, cases::short(&e.text));
    events.iter().map(show).collect()
}
