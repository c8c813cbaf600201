//! When a server's log goes on in other files, those may hold what was sent already: the server may
//! have written several formats side by side. Here such events are known again. Where in doubt an
//! event is new: it is better sent twice than lost.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::collections::VecDeque;
use std::hash::DefaultHasher;
use std::hash::Hash;
use std::hash::Hasher;

use crate::clock::UnixMicros;
use crate::limits::POSTGRES_EVENTS_KNOWN_MAX;
use crate::sources::postgres::entry::Entry;
use crate::sources::postgres::entry::Field;
use crate::sources::postgres::event::moment;

/// The events that were sent last.
#[derive(Debug, Default)]
pub struct Sent {
    /// Each with its time, oldest first.
    events: VecDeque<(Identity, Box<str>)>,
}

/// What every format says alike of an event.
type Identity = u64;

impl Sent {
    /// Adds one. One without a time cannot be told from others.
    pub fn add(&mut self, entry: &Entry) {
        let Some(time) = entry.header.get(Field::Time) else {
            return;
        };
        if POSTGRES_EVENTS_KNOWN_MAX <= self.events.len() {
            self.events.pop_front();
        }
        self.events.push_back((identity(time, entry), time.into()));
    }
}

/// What is old in the files that are read now.
#[derive(Debug, Default)]
pub struct Overlap {
    known: HashMap<Identity, usize>,
    /// What happened before is old, as long as nothing new has come.
    before: Option<Before>,
    /// Whether the last event was old.
    was_old: bool,
}

#[derive(Debug)]
enum Before {
    /// As the server writes it.
    Event(Box<str>),
    Moment(UnixMicros),
}

impl Overlap {
    /// Of files that hold what was `sent`, or if nothing was, what happened before `since`.
    #[must_use]
    pub fn new(sent: &Sent, since: UnixMicros) -> Self {
        let mut known = HashMap::new();
        for (identity, _) in &sent.events {
            *known.entry(*identity).or_default() += 1;
        }
        let oldest = sent.events.front().map(|(_, time)| time.clone());
        Self {
            known,
            before: Some(oldest.map_or(Before::Moment(since), Before::Event)),
            was_old: false,
        }
    }

    /// Whether the event is old; each that was sent is old once.
    pub fn is_old(&mut self, entry: &Entry) -> bool {
        let time = entry.header.get(Field::Time).unwrap_or_default();
        let is_known = !self.known.is_empty() && self.take(identity(time, entry));
        self.was_old = is_known || self.before.as_ref().is_some_and(|b| b.is_after(time));
        if !self.was_old {
            // What follows is not older, unless the server's clock is set back.
            self.before = None;
        }
        self.was_old
    }

    /// Whether what stands behind the last event, and is none, is old: as that was.
    #[must_use]
    pub const fn goes_on(&self) -> bool {
        self.was_old
    }

    fn take(&mut self, identity: Identity) -> bool {
        let Some(count) = self.known.get_mut(&identity) else {
            return false;
        };
        *count -= 1;
        if *count == 0 {
            self.known.remove(&identity);
        }
        true
    }
}

impl Before {
    fn is_after(&self, time: &str) -> bool {
        match self {
            Self::Event(oldest) => compare(time, oldest) == Some(Ordering::Less),
            Self::Moment(since) => moment(time).is_some_and(|moment| moment < *since),
        }
    }
}

/// Times as the server writes them; `None` where their zones have different names that say little.
fn compare(one: &str, other: &str) -> Option<Ordering> {
    if let Some((one, other)) = moment(one).zip(moment(other)) {
        return Some(one.cmp(&other));
    }
    let zone = |time: &str| time.rsplit_once(' ').map(|(_, zone)| zone.to_owned());
    (zone(one) == zone(other)).then(|| one.cmp(other))
}

fn identity(time: &str, entry: &Entry) -> Identity {
    let mut hasher = DefaultHasher::new();
    (time, entry.header.get(Field::Pid)).hash(&mut hasher);
    (entry.severity.word(), &entry.message).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::postgres::entry::Header;
    use crate::sources::postgres::entry::Severity;

    fn entry(time: &str, message: &str) -> Entry {
        let mut header = Header::default();
        header.set(Field::Time, time);
        Entry {
            header,
            severity: Severity::Log,
            message: message.to_owned(),
            parts: Vec::new(),
        }
    }

    fn sent(events: &[(&str, &str)]) -> Sent {
        let mut sent = Sent::default();
        for (time, message) in events {
            sent.add(&entry(time, message));
        }
        sent
    }

    #[track_caller]
    fn check(overlap: &mut Overlap, time: &str, message: &str, expected: bool) {
        let is_old = overlap.is_old(&entry(time, message));
        assert_eq!(is_old, expected, "{time} {message}");
        assert_eq!(overlap.goes_on(), expected);
    }

    #[test]
    fn what_was_sent_is_old_once_and_so_is_what_was_before() {
        for zone in ["UTC", "CET"] {
            let at = |time: &str| format!("2026-11-20 17:46:{time} {zone}");
            let sent = sent(&[
                (&at("10.001"), "a"),
                (&at("10.002"), "b"),
                (&at("10.002"), "b"),
            ]);
            let mut overlap = Overlap::new(&sent, UnixMicros::default());
            check(&mut overlap, &at("09.999"), "a", true);
            check(&mut overlap, &at("10.001"), "a", true);
            check(&mut overlap, &at("10.002"), "b", true);
            // It came late: the clock says less than for the last one that was sent.
            check(&mut overlap, &at("10.001"), "c", false);
            check(&mut overlap, &at("10.002"), "b", true);
            check(&mut overlap, &at("10.002"), "b", false);
            check(&mut overlap, &at("09.000"), "the clock was set back", false);
        }
    }

    #[test]
    fn where_nothing_was_sent_a_moment_decides() {
        let since = moment("2026-11-20 17:46:10 UTC").unwrap();
        let overlap = || Overlap::new(&Sent::default(), since);
        check(&mut overlap(), "2026-11-20 17:46:09.9 UTC", "a", true);
        check(&mut overlap(), "2026-11-20 20:46:09.9 +03", "a", true);
        check(&mut overlap(), "2026-11-20 17:46:10 UTC", "a", false);
        check(&mut overlap(), "2026-11-20 17:46:09 CET", "a", false);
        check(&mut overlap(), "", "a", false);
        check(
            &mut Overlap::default(),
            "2026-11-20 17:46:09 UTC",
            "a",
            false,
        );
    }

    #[test]
    fn zones_that_say_little_are_compared_with_themselves_only() {
        let sent = sent(&[("2026-10-25 02:30:00 CET", "a")]);
        let mut overlap = Overlap::new(&sent, UnixMicros::default());
        check(&mut overlap, "2026-10-25 02:10:00 CEST", "b", false);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut sent = Sent::default();
        for number in 0..=POSTGRES_EVENTS_KNOWN_MAX {
            sent.add(&entry(&number.to_string(), "x"));
        }
        assert_eq!(sent.events.len(), POSTGRES_EVENTS_KNOWN_MAX);
        assert_eq!(&*sent.events[0].1, "1");
    }
}
