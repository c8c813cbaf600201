//! Between what reads a server and the shipper: the lines of one event stay together, and are lost
//! together. Says how far a reader's events have got, so that it can go on there another time.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;
use tokio::sync::mpsc;

use crate::clock::UnixMicros;
use crate::limits::OUTLET_BYTES_MAX;
use crate::limits::OUTLET_EVENTS_MAX;
use crate::shutdown::Shutdown;
use crate::sources::ship::Intake;
use crate::sources::ship::Line;
use crate::sources::ship::Report;
use crate::syslog::message::Pri;

/// Lines that belong together.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Event {
    /// When it happened.
    pub time: UnixMicros,
    /// How grave it is.
    pub pri: Pri,
    /// Whose it is.
    pub procid: Arc<str>,
    /// What is sent, line by line.
    pub lines: Vec<String>,
}

/// Where events are put; cheap to clone. `M` marks a place that a reader has come to.
pub struct Outlet<M> {
    events: mpsc::Sender<Waiting<M>>,
    room: Arc<Semaphore>,
    intake: Intake,
    marks: Arc<Marks<M>>,
}

/// An event on its way to the shipper, and its part of the room.
struct Waiting<M> {
    event: Event,
    mark: Option<M>,
    _room: OwnedSemaphorePermit,
}

/// What was marked, and by how many lines of it the shipper has.
pub struct Marks<M> {
    state: Mutex<State<M>>,
}

struct State<M> {
    /// Lines that were put into the shipper, or counted there as dropped.
    lines: u64,
    marks: VecDeque<(u64, M)>,
    last: Report,
    /// Lost lines behind which others were delivered.
    passed: u64,
}

impl<M> Clone for Outlet<M> {
    fn clone(&self) -> Self {
        Self {
            events: self.events.clone(),
            room: Arc::clone(&self.room),
            intake: self.intake.clone(),
            marks: Arc::clone(&self.marks),
        }
    }
}

impl<M: Clone + Send + 'static> Outlet<M> {
    /// Starts the task that feeds the shipper; it ends when all clones of the outlet are gone.
    #[must_use]
    pub fn start(intake: Intake, shutdown: &Shutdown) -> (Self, Arc<Marks<M>>) {
        let (events, received) = mpsc::channel(OUTLET_EVENTS_MAX);
        let marks = Arc::new(Marks {
            state: Mutex::new(State {
                lines: 0,
                marks: VecDeque::new(),
                last: Report::default(),
                passed: 0,
            }),
        });
        shutdown.spawn(feed(received, intake.clone(), Arc::clone(&marks)));
        let outlet = Self {
            events,
            room: Arc::new(Semaphore::new(OUTLET_BYTES_MAX)),
            intake,
            marks: Arc::clone(&marks),
        };
        (outlet, marks)
    }

    /// Waits for room; `mark` is reached when the event is delivered, or lost for good.
    pub async fn send(&self, event: Event, mark: Option<M>) {
        let lines = event.lines.len();
        let room = Arc::clone(&self.room)
            .acquire_many_owned(bytes(&event))
            .await;
        let sent = match room {
            Ok(room) => {
                let waiting = Waiting {
                    event,
                    mark,
                    _room: room,
                };
                self.events.send(waiting).await.is_ok()
            }
            Err(_) => false,
        };
        if !sent {
            self.drop_lines(lines);
        }
    }

    /// Marks where a reader is, behind all that it has sent.
    pub async fn mark(&self, mark: M) {
        let nothing = Event {
            time: UnixMicros::default(),
            pri: Pri::DEFAULT,
            procid: Arc::from(""),
            lines: Vec::new(),
        };
        self.send(nothing, Some(mark)).await;
    }

    /// Never waits: where there is no room, the whole event is dropped and counted (told as L12).
    pub fn offer(&self, event: Event) {
        let lines = event.lines.len();
        let room = Arc::clone(&self.room).try_acquire_many_owned(bytes(&event));
        let is_sent = room.is_ok_and(|room| {
            let waiting = Waiting {
                event,
                mark: None,
                _room: room,
            };
            self.events.try_send(waiting).is_ok()
        });
        if !is_sent {
            self.drop_lines(lines);
        }
    }

    /// Counts lines that could not be read: they are told like those of a full queue.
    pub fn drop_lines(&self, lines: usize) {
        let lines = u64::try_from(lines).unwrap_or(u64::MAX);
        self.intake.count_dropped(lines);
        self.marks.count(lines, None);
    }
}

/// The room that an event takes; one greater than all of it takes all.
fn bytes(event: &Event) -> u32 {
    let bytes: usize = event.lines.iter().map(String::len).sum();
    u32::try_from(bytes.min(OUTLET_BYTES_MAX)).unwrap_or(u32::MAX)
}

async fn feed<M>(mut events: mpsc::Receiver<Waiting<M>>, intake: Intake, marks: Arc<Marks<M>>) {
    while let Some(waiting) = events.recv().await {
        let Waiting { event, mark, _room } = waiting;
        let lines = u64::try_from(event.lines.len()).unwrap_or(u64::MAX);
        for line in event.lines {
            let line = Line {
                pri: event.pri,
                time: event.time,
                procid: Arc::clone(&event.procid),
                token: None,
                text: Bytes::from(line),
            };
            intake.push(line).await;
        }
        marks.count(lines, mark);
    }
}

impl<M> Marks<M> {
    fn count(&self, lines: u64, mark: Option<M>) {
        let mut state = self.lock();
        state.lines += lines;
        let lines = state.lines;
        state.marks.extend(mark.map(|mark| (lines, mark)));
    }

    /// The last mark in front of which all lines are done with, by what the shipper reports; each
    /// is given once. Lines are delivered in order, so counting them is enough. What was lost is
    /// done with once something behind it was delivered: a router that refuses everything (a wrong
    /// token, say) is better sent it again.
    #[must_use]
    pub fn reached(&self, report: &Report) -> Option<M> {
        self.reached_with(report, report.dropped)
    }

    /// The same at the end: what was dropped since `before` waited for a router that did not answer,
    /// and is better sent again, too.
    #[must_use]
    pub fn reached_at_end(&self, before: &Report, report: &Report) -> Option<M> {
        self.pass(before);
        self.reached_with(report, before.dropped)
    }

    fn reached_with(&self, report: &Report, dropped: u64) -> Option<M> {
        let passed = self.pass(report);
        let lines = report.delivered + report.spooled + dropped + passed;
        let mut state = self.lock();
        let mut reached = None;
        while state.marks.front().is_some_and(|(at, _)| *at <= lines) {
            reached = state.marks.pop_front().map(|(_, mark)| mark);
        }
        reached
    }

    /// How many lines were lost in front of one that was delivered, as far as reports can tell.
    fn pass(&self, report: &Report) -> u64 {
        let mut state = self.lock();
        if state.last.delivered < report.delivered {
            state.passed = state.last.lost;
        }
        state.last = *report;
        state.passed
    }

    fn lock(&self) -> MutexGuard<'_, State<M>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock;
    use crate::registry::DrainUrl;
    use crate::sources::ship;
    use crate::sources::ship::ShipSettings;
    use crate::syslog::split::Split;

    fn settings() -> ShipSettings {
        ShipSettings {
            url: DrainUrl::parse("http://127.0.0.1:1/logs").unwrap(),
            bearer: None,
            app_name: "t.a".to_owned(),
            hostname: "h".to_owned(),
            msgid: "-".to_owned(),
            version: "1".to_owned(),
            is_gzip: false,
            is_insecure: false,
            batch_lines_max: 500,
            wait: Duration::from_millis(1),
            timeout: Duration::from_secs(1),
            attempts_max: None,
            queue_lines_max: 500,
            line_bytes_max: 1_000,
            split: Split::Plain,
            spool: None,
            places: None,
        }
    }

    fn event(lines: usize) -> Event {
        Event {
            time: clock::wall(),
            pri: Pri::DEFAULT,
            procid: Arc::from("a"),
            lines: vec!["x".to_owned(); lines],
        }
    }

    #[tokio::test]
    async fn what_finds_no_room_is_dropped_whole_and_counted() {
        let shutdown = Shutdown::new();
        let (intake, shipment) = ship::start(settings(), &shutdown).unwrap();
        // Nobody takes events out.
        let (events, received) = mpsc::channel(2);
        let (outlet, _) = Outlet::<()>::start(intake, &shutdown);
        let outlet = Outlet { events, ..outlet };
        for lines in [3, 4, 5, 6] {
            outlet.offer(event(lines));
        }
        assert_eq!(shipment.report().dropped, 11);
        drop(received);
        outlet.send(event(7), None).await;
        assert_eq!(shipment.report().dropped, 18);
        shutdown.request();
    }

    fn marks() -> Marks<char> {
        Marks {
            state: Mutex::new(State {
                lines: 0,
                marks: VecDeque::new(),
                last: Report::default(),
                passed: 0,
            }),
        }
    }

    #[test]
    fn marks_are_reached_when_all_in_front_is_done_with() {
        let marks = marks();
        marks.count(2, Some('a'));
        marks.count(1, None);
        marks.count(3, Some('b'));
        let report = |delivered, dropped, lost, spooled| Report {
            delivered,
            dropped,
            lost,
            spooled,
            ..Report::default()
        };
        assert_eq!(marks.reached(&report(1, 0, 0, 0)), None);
        assert_eq!(marks.reached(&report(1, 1, 0, 0)), Some('a'));
        assert_eq!(marks.reached(&report(5, 0, 0, 0)), None);
        let before = report(1, 1, 0, 0);
        assert_eq!(marks.reached_at_end(&before, &report(2, 1, 3, 0)), None);
        assert_eq!(
            marks.reached_at_end(&before, &report(4, 1, 0, 1)),
            Some('b')
        );
    }

    #[test]
    fn what_a_router_refuses_is_done_with_when_it_takes_what_follows() {
        let marks = marks();
        for (lines, mark) in [(2, 'a'), (3, 'b'), (4, 'c')] {
            marks.count(lines, Some(mark));
        }
        let report = |delivered, lost| Report {
            delivered,
            lost,
            ..Report::default()
        };
        assert_eq!(marks.reached(&report(0, 2)), None);
        assert_eq!(marks.reached(&report(0, 2)), None);
        assert_eq!(marks.reached(&report(3, 2)), Some('b'));
        // Refused once more, and then it ends.
        assert_eq!(marks.reached(&report(3, 6)), None);
        assert_eq!(marks.reached_at_end(&report(3, 6), &report(3, 6)), None);
    }
}
