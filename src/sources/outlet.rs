//! Between what reads a server and the shipper: the lines of one event stay together, and are lost
//! together. Says how far a reader's events have got, so that it can go on there another time.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::clock::UnixMicros;
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
    events: mpsc::Sender<(Event, Option<M>)>,
    intake: Intake,
    marks: Arc<Marks<M>>,
}

/// What was marked, and by how many lines of it the shipper has.
pub struct Marks<M> {
    state: Mutex<State<M>>,
}

struct State<M> {
    /// Lines that were put into the shipper, or counted there as dropped.
    lines: u64,
    marks: VecDeque<(u64, M)>,
}

impl<M> Clone for Outlet<M> {
    fn clone(&self) -> Self {
        Self {
            events: self.events.clone(),
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
            }),
        });
        shutdown.spawn(feed(received, intake.clone(), Arc::clone(&marks)));
        let outlet = Self {
            events,
            intake,
            marks: Arc::clone(&marks),
        };
        (outlet, marks)
    }

    /// Waits for room; `mark` is reached when the event is delivered, or lost for good.
    pub async fn send(&self, event: Event, mark: Option<M>) {
        if let Err(refused) = self.events.send((event, mark)).await {
            self.drop_lines(refused.0.0.lines.len());
        }
    }

    /// Never waits: where there is no room, the whole event is dropped and counted (told as L12).
    pub fn offer(&self, event: Event) {
        let lines = event.lines.len();
        if self.events.try_send((event, None)).is_err() {
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

async fn feed<M>(
    mut events: mpsc::Receiver<(Event, Option<M>)>,
    intake: Intake,
    marks: Arc<Marks<M>>,
) {
    while let Some((event, mark)) = events.recv().await {
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
    /// is given once. Lines are delivered in order, so counting them is enough.
    #[must_use]
    pub fn reached(&self, report: &Report) -> Option<M> {
        self.reached_by(report.delivered + report.spooled + report.dropped + report.lost)
    }

    /// The same at the end: what was lost since `before` waited for a router that did not answer,
    /// and is better sent again.
    #[must_use]
    pub fn reached_at_end(&self, before: &Report, report: &Report) -> Option<M> {
        self.reached_by(report.delivered + report.spooled + before.dropped + before.lost)
    }

    fn reached_by(&self, lines: u64) -> Option<M> {
        let mut state = self.lock();
        let mut reached = None;
        while state.marks.front().is_some_and(|(at, _)| *at <= lines) {
            reached = state.marks.pop_front().map(|(_, mark)| mark);
        }
        reached
    }

    fn lock(&self) -> MutexGuard<'_, State<M>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_reached_when_all_in_front_is_done_with() {
        let marks = Marks {
            state: Mutex::new(State {
                lines: 0,
                marks: VecDeque::new(),
            }),
        };
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
            marks.reached_at_end(&before, &report(4, 1, 1, 1)),
            Some('b')
        );
        assert_eq!(marks.reached(&report(9, 9, 9, 9)), None);
    }
}
