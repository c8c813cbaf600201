//! Events on their way out: entries with a time, a number and the attachment's name.

use std::sync::Arc;

use time::OffsetDateTime;
use time::PrimitiveDateTime;
use time::UtcOffset;
use time::macros::format_description;

use crate::clock::UnixMicros;
use crate::sources::outlet::Event;
use crate::sources::postgres::entry::Entry;
use crate::sources::postgres::entry::Field;
use crate::sources::postgres::entry::Severity;
use crate::sources::postgres::shape;

/// Makes events of what was read, in the name of one attachment.
#[derive(Debug)]
pub struct Namer {
    name: String,
    seq: u64,
}

impl Namer {
    /// For the attachment `name`.
    #[must_use]
    pub const fn new(name: String) -> Self {
        Self { name, seq: 0 }
    }

    /// The attachment's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// An event of the server's. Its number is that in its session, where it has one, else one of
    /// our own; its time is its own, where it says in which zone that is, else `arrival`.
    #[must_use]
    pub fn event(&mut self, entry: &Entry, arrival: UnixMicros) -> Event {
        let line = entry.header.get(Field::Line);
        let seq = line.and_then(|line| line.parse().ok());
        let seq = seq.unwrap_or_else(|| self.next_seq());
        Event {
            time: entry
                .header
                .get(Field::Time)
                .and_then(moment)
                .unwrap_or(arrival),
            pri: entry.severity.pri(),
            procid: procid(entry.header.pid()),
            lines: shape::messages(&self.name, seq, entry),
        }
    }

    /// A line that no server process wrote.
    #[must_use]
    pub fn foreign(&mut self, line: &str, arrival: UnixMicros) -> Event {
        let seq = self.next_seq();
        Event {
            time: arrival,
            pri: Severity::Log.pri(),
            procid: procid(None),
            lines: shape::number(&self.name, seq, line),
        }
    }

    const fn next_seq(&mut self) -> u64 {
        self.seq += 1;
        self.seq
    }
}

/// `postgres.PID`; without a process, nothing is made up.
pub(crate) fn procid(pid: Option<u32>) -> Arc<str> {
    match pid {
        Some(pid) => format!("postgres.{pid}").into(),
        None => "postgres".into(),
    }
}

/// A time as Postgres logs it, `2026-11-20 17:46:48.383 UTC`. Other zones than UTC have names that
/// say little (CST is five places); an offset (`+03`) is understood.
pub(crate) fn moment(text: &str) -> Option<UnixMicros> {
    let (date_time, zone) = text.rsplit_once(' ')?;
    let format = format_description!(
        "[year]-[month]-[day] [hour]:[minute]:[second][optional [.[subsecond]]]"
    );
    let date_time = PrimitiveDateTime::parse(date_time, format).ok()?;
    let moment = date_time.assume_offset(offset(zone)?);
    let micros = (moment - OffsetDateTime::UNIX_EPOCH).whole_microseconds();
    Some(UnixMicros::new(u64::try_from(micros).ok()?))
}

fn offset(zone: &str) -> Option<UtcOffset> {
    if matches!(zone, "UTC" | "GMT") {
        return Some(UtcOffset::UTC);
    }
    let (sign, digits) = match zone.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, zone.strip_prefix('+')?),
    };
    let (hours, minutes) = digits.split_at_checked(2)?;
    let minutes = minutes.trim_start_matches(':');
    let number = |text: &str| text.parse::<i8>().ok();
    let minutes = if minutes.is_empty() {
        0
    } else {
        number(minutes)?
    };
    UtcOffset::from_hms(sign * number(hours)?, sign * minutes, 0).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::postgres::jsonlog;

    #[test]
    fn times_are_read_where_the_zone_is_clear() {
        let check = |text: &str, expected: Option<u64>| {
            assert_eq!(moment(text).map(UnixMicros::value), expected, "{text:?}");
        };
        check("1970-01-01 00:00:01.5 UTC", Some(1_500_000));
        check("1970-01-01 00:00:01 GMT", Some(1_000_000));
        check("1970-01-01 03:00:01.000001 +03", Some(1_000_001));
        check("1970-01-01 05:30:00 +0530", Some(0));
        check("1970-01-01 05:30:00 +05:30", Some(0));
        check("1969-12-31 21:00:00.25 -03", Some(250_000));
        for bad in [
            "",
            "UTC",
            "1970-01-01 00:00:01",
            "1970-01-01 00:00:01 CST",
            "1970-01-01 00:00:01 +ab",
            "1970-01-01 00:00:01 +99",
            "1969-12-31 00:00:01 UTC",
        ] {
            check(bad, None);
        }
    }

    #[test]
    fn events_keep_their_numbers_and_get_one_where_they_have_none() {
        let mut namer = Namer::new("BLUE".to_owned());
        let now = UnixMicros::new(7);
        let line = r#"{"timestamp":"1970-01-01 00:00:01 UTC","pid":5,"line_num":9,"error_severity":"ERROR","message":"m"}"#;
        let mut entry = jsonlog::parse(line.as_bytes()).unwrap();
        let event = namer.event(&entry, now);
        assert_eq!((event.time.value(), event.pri.value()), (1_000_000, 132));
        assert_eq!(&*event.procid, "postgres.5");
        assert!(event.lines[0].starts_with("[BLUE] [9-1]  sql_error_code = 00000 "));
        entry.header.unset(&[Field::Line, Field::Time, Field::Pid]);
        let event = namer.event(&entry, now);
        assert_eq!((event.time, &*event.procid), (now, "postgres"));
        assert!(event.lines[0].starts_with("[BLUE] [1-1] "));
        assert_eq!(namer.foreign("x", now).lines, ["[BLUE] [2-1] x"]);
    }
}
