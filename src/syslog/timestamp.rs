//! TIMESTAMPs: which bytes are one (RFC 5424, 6.2.3; RFC 3164, 4.1.2), and making one.

use time::Date;
use time::Month;
use time::OffsetDateTime;
use time::PrimitiveDateTime;
use time::Time;
use time::UtcOffset;

use crate::clock::UnixMicros;
use crate::syslog::message::{TimeText, Timestamp};

/// The moment in whole seconds, `YYYY-MM-DDTHH:MM:SS+00:00`: how Logplex writes its notices.
#[must_use]
pub fn in_seconds(time: UnixMicros) -> Timestamp<'static> {
    Timestamp::Made(MadeTime::new(time.date_time(), Precision::Seconds))
}

/// The moment in microseconds, `YYYY-MM-DDTHH:MM:SS.ffffff+00:00`.
#[must_use]
pub fn in_micros(time: UnixMicros) -> Timestamp<'static> {
    Timestamp::Made(MadeTime::new(time.date_time(), Precision::Micros))
}

/// A moment that is to be written as a TIMESTAMP, in UTC. As small as a word, since it travels
/// with each message.
#[derive(Clone, Copy, Debug)]
pub struct MadeTime {
    /// Microseconds since 1970, doubled; the lowest bit is set when they are to be written.
    bits: i64,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Precision {
    Seconds,
    Micros,
}

impl MadeTime {
    /// The longest text: in microseconds.
    pub const BYTES_MAX: usize = "YYYY-MM-DDTHH:MM:SS.ffffff+00:00".len();

    const BYTES_MIN: usize = "YYYY-MM-DDTHH:MM:SS+00:00".len();

    fn new(moment: OffsetDateTime, precision: Precision) -> Self {
        // Years have four digits, so the doubled microseconds are far from the type's end.
        let micros = i64::try_from(moment.unix_timestamp_nanos() / 1_000).unwrap_or_default();
        Self {
            bits: micros << 1 | i64::from(precision == Precision::Micros),
        }
    }

    fn precision(self) -> Precision {
        match self.bits & 1 {
            0 => Precision::Seconds,
            _ => Precision::Micros,
        }
    }

    /// Length of the text.
    pub(crate) fn bytes(self) -> usize {
        match self.precision() {
            Precision::Seconds => Self::BYTES_MIN,
            Precision::Micros => Self::BYTES_MAX,
        }
    }

    /// Writes the text to the front of `room`; gives it.
    pub(crate) fn write(self, room: &mut TimeText) -> &[u8] {
        let nanos = i128::from(self.bits >> 1) * 1_000;
        let moment =
            OffsetDateTime::from_unix_timestamp_nanos(nanos).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let mut writer = Writer::new(moment, room);
        if self.precision() == Precision::Micros {
            writer.put(b".");
            writer.put_number(moment.microsecond(), 100_000);
        }
        writer.put(b"+00:00");
        room.get(..self.bytes()).unwrap_or_default()
    }
}

/// `bytes` as a TIMESTAMP that RFC 5424 allows, in two slices, the second the offset: digits of a
/// fraction beyond microseconds, which it does not allow, are left out between them. `None` when
/// it is no time or the date does not exist. NILVALUE is none either.
#[must_use]
pub fn strict(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (text, behind) = bytes.split_at_checked("YYYY-MM-DDTHH:MM:SS".len())?;
    date_time(text)?;
    let fraction_bytes = match behind.strip_prefix(b".") {
        None => 0,
        Some(digits) => 1 + digits.iter().take_while(|b| b.is_ascii_digit()).count(),
    };
    let offset = behind.get(fraction_bytes..)?;
    if fraction_bytes == 1 || offset_of(offset).is_none() {
        return None;
    }
    let kept = text.len() + fraction_bytes.min(".ffffff".len());
    Some((bytes.get(..kept)?, offset))
}

/// The moment that `bytes` name, in microseconds and in UTC; `None` where `strict` finds no time, or
/// UTC's year has not four digits.
#[must_use]
pub fn normal(bytes: &[u8]) -> Option<Timestamp<'static>> {
    let (time, offset) = strict(bytes)?;
    let (text, fraction) = time.split_at_checked("YYYY-MM-DDTHH:MM:SS".len())?;
    let digits = fraction.get(1..).unwrap_or_default();
    let micros = (0..6).fold(0, |micros, index| {
        let digit = digits.get(index).map_or(0, |digit| digit - b'0');
        micros * 10 + u32::from(digit)
    });
    let moment = date_time(text)?
        .replace_microsecond(micros)
        .ok()?
        .assume_offset(offset_of(offset)?)
        .checked_to_offset(UtcOffset::UTC)?;
    (0..=9_999)
        .contains(&moment.year())
        .then(|| Timestamp::Made(MadeTime::new(moment, Precision::Micros)))
}

/// `Mmm dd hh:mm:ss` (a day below 10 behind a space or a zero) at the front of `bytes`, as a
/// TIMESTAMP in UTC, and the bytes behind it. The year is the one that brings it nearest to
/// `arrival`.
#[must_use]
pub fn rfc3164(bytes: &[u8], arrival: UnixMicros) -> Option<(Timestamp<'static>, &[u8])> {
    let (text, behind) = bytes.split_at_checked("Mmm dd hh:mm:ss".len())?;
    let &[
        m,
        o,
        n,
        b' ',
        d1,
        d2,
        b' ',
        h1,
        h2,
        b':',
        m1,
        m2,
        b':',
        s1,
        s2,
    ] = text
    else {
        return None;
    };
    let month = month(&[m, o, n])?;
    let day = match d1 {
        b' ' => pair(b'0', d2)?,
        _ => pair(d1, d2)?,
    };
    let time = Time::from_hms(pair(h1, h2)?, pair(m1, m2)?, pair(s1, s2)?).ok()?;
    let arrival = arrival.date_time();
    let moment = [-1, 0, 1]
        .into_iter()
        .filter_map(|years| Date::from_calendar_date(arrival.year() + years, month, day).ok())
        .map(|date| date.with_time(time).assume_utc())
        .min_by_key(|moment| (*moment - arrival).abs())?;
    let time = MadeTime::new(moment, Precision::Seconds);
    Some((Timestamp::Made(time), behind))
}

/// Writes into the room of a TIMESTAMP; what does not fit is left out, and nothing here is longer.
struct Writer<'r> {
    room: std::slice::IterMut<'r, u8>,
}

impl<'r> Writer<'r> {
    /// Begins with `YYYY-MM-DDTHH:MM:SS`.
    fn new(moment: OffsetDateTime, room: &'r mut TimeText) -> Self {
        let mut writer = Self {
            room: room.iter_mut(),
        };
        let year = u32::try_from(moment.year()).unwrap_or(0);
        writer.put_number(year, 1000);
        for (separator, number) in [
            (b"-", u8::from(moment.month())),
            (b"-", moment.day()),
            (b"T", moment.hour()),
            (b":", moment.minute()),
            (b":", moment.second()),
        ] {
            writer.put(separator);
            writer.put_number(u32::from(number), 10);
        }
        writer
    }

    fn put(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if let Some(slot) = self.room.next() {
                *slot = *byte;
            }
        }
    }

    /// `number` in decimal, its first digit worth `unit`.
    fn put_number(&mut self, number: u32, unit: u32) {
        let mut unit = unit;
        while 0 < unit {
            let digit = u8::try_from(number / unit % 10).unwrap_or(0);
            self.put(&[b'0' + digit]);
            unit /= 10;
        }
    }
}

/// `YYYY-MM-DDTHH:MM:SS` of a day that exists; no leap seconds (6.2.3).
fn date_time(text: &[u8]) -> Option<PrimitiveDateTime> {
    let &[
        y1,
        y2,
        y3,
        y4,
        b'-',
        m1,
        m2,
        b'-',
        d1,
        d2,
        b'T',
        h1,
        h2,
        b':',
        n1,
        n2,
        b':',
        s1,
        s2,
    ] = text
    else {
        return None;
    };
    let year = i32::from(pair(y1, y2)?) * 100 + i32::from(pair(y3, y4)?);
    let month = Month::try_from(pair(m1, m2)?).ok()?;
    let date = Date::from_calendar_date(year, month, pair(d1, d2)?).ok()?;
    let time = Time::from_hms(pair(h1, h2)?, pair(n1, n2)?, pair(s1, s2)?).ok()?;
    Some(date.with_time(time))
}

/// `Z`, or `+` or `-` and a time of day.
fn offset_of(text: &[u8]) -> Option<UtcOffset> {
    let &[sign, h1, h2, b':', m1, m2] = text else {
        return (text == b"Z").then_some(UtcOffset::UTC);
    };
    let (hours, minutes) = (pair(h1, h2)?, pair(m1, m2)?);
    if 24 <= hours || 60 <= minutes {
        return None;
    }
    let seconds = i32::from(hours) * 3_600 + i32::from(minutes) * 60;
    match sign {
        b'+' => UtcOffset::from_whole_seconds(seconds).ok(),
        b'-' => UtcOffset::from_whole_seconds(-seconds).ok(),
        _ => None,
    }
}

/// Two digits as a number.
const fn pair(tens: u8, ones: u8) -> Option<u8> {
    if tens.is_ascii_digit() && ones.is_ascii_digit() {
        Some((tens - b'0') * 10 + (ones - b'0'))
    } else {
        None
    }
}

const fn month(name: &[u8; 3]) -> Option<Month> {
    Some(match name {
        b"Jan" => Month::January,
        b"Feb" => Month::February,
        b"Mar" => Month::March,
        b"Apr" => Month::April,
        b"May" => Month::May,
        b"Jun" => Month::June,
        b"Jul" => Month::July,
        b"Aug" => Month::August,
        b"Sep" => Month::September,
        b"Oct" => Month::October,
        b"Nov" => Month::November,
        b"Dec" => Month::December,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syslog::message::NO_TIME_TEXT;

    /// 2012-11-16T22:40:48.123456Z
    const NOVEMBER: UnixMicros = UnixMicros::new(1_353_105_648_123_456);

    #[test]
    fn made_times_are_those_of_the_clock() {
        for time in [NOVEMBER, UnixMicros::new(0), UnixMicros::new(u64::MAX)] {
            let text = |made: Timestamp<'_>| {
                let mut room = NO_TIME_TEXT;
                assert_eq!(made.text(&mut room).len(), made.bytes());
                String::from_utf8(made.text(&mut room).to_vec()).unwrap()
            };
            assert_eq!(text(in_seconds(time)), time.to_seconds_text());
            assert_eq!(text(in_micros(time)), time.to_micros_text());
        }
    }

    #[test]
    fn strict_times() {
        for (text, expected) in [
            ("2012-12-10T03:00:48Z", Some("2012-12-10T03:00:48Z")),
            ("2012-12-10T03:00:48.1Z", Some("2012-12-10T03:00:48.1Z")),
            (
                "2012-12-10T03:00:48.123456-08:00",
                Some("2012-12-10T03:00:48.123456-08:00"),
            ),
            (
                "2012-12-10T03:00:48.123456789-08:00",
                Some("2012-12-10T03:00:48.123456-08:00"),
            ),
            (
                "2012-02-29T23:59:59+23:59",
                Some("2012-02-29T23:59:59+23:59"),
            ),
            ("2013-02-29T23:59:59Z", None),
            ("2012-12-10T03:00:60Z", None),
            ("2012-12-10T24:00:00Z", None),
            ("2012-13-10T03:00:48Z", None),
            ("2012-12-10T03:00:48.Z", None),
            ("2012-12-10T03:00:48", None),
            ("2012-12-10T03:00:48z", None),
            ("2012-12-10 03:00:48Z", None),
            ("2012-12-10T03:00:48+24:00", None),
            ("2012-12-10T03:00:48+00:60", None),
            ("2012-12-10T03:00:48+0000", None),
            ("garbage", None),
            ("-", None),
            ("", None),
        ] {
            let found = strict(text.as_bytes()).map(|(time, offset)| [time, offset].concat());
            assert_eq!(found.as_deref(), expected.map(str::as_bytes), "{text}");
        }
    }

    #[test]
    fn normal_times_are_in_utc_and_microseconds() {
        for (text, expected) in [
            (
                "2012-12-10T03:00:48Z",
                Some("2012-12-10T03:00:48.000000+00:00"),
            ),
            (
                "2012-12-10T03:00:48.1-08:00",
                Some("2012-12-10T11:00:48.100000+00:00"),
            ),
            (
                "2012-12-31T23:59:59.123456789-00:30",
                Some("2013-01-01T00:29:59.123456+00:00"),
            ),
            (
                "2012-03-01T00:00:00.000001+23:59",
                Some("2012-02-29T00:01:00.000001+00:00"),
            ),
            (
                "0000-01-01T00:00:00Z",
                Some("0000-01-01T00:00:00.000000+00:00"),
            ),
            ("0000-01-01T00:00:00+00:01", None),
            (
                "9999-12-31T23:59:59.999999Z",
                Some("9999-12-31T23:59:59.999999+00:00"),
            ),
            ("9999-12-31T23:59:59-00:01", None),
            ("2012-12-10T03:00:48", None),
            ("-", None),
        ] {
            let mut room = NO_TIME_TEXT;
            let made = normal(text.as_bytes());
            let made = made.as_ref().map(|made| made.text(&mut room));
            assert_eq!(made, expected.map(str::as_bytes), "{text}");
            if let Some(again) = made.map(<[u8]>::to_vec) {
                let made = normal(&again).unwrap();
                assert_eq!(made.text(&mut room), again, "as it is");
            }
        }
    }

    #[test]
    fn old_times_take_the_nearest_year() {
        let january = UnixMicros::new(1_357_000_000_000_000); // 2013-01-01T00:26:40Z
        for (text, arrival, expected) in [
            (
                "Nov 16 22:40:49 x",
                NOVEMBER,
                Some("2012-11-16T22:40:49+00:00"),
            ),
            (
                "Nov  6 22:40:49 x",
                NOVEMBER,
                Some("2012-11-06T22:40:49+00:00"),
            ),
            (
                "Nov 06 22:40:49 x",
                NOVEMBER,
                Some("2012-11-06T22:40:49+00:00"),
            ),
            (
                "Jan 24 15:50:41 x",
                NOVEMBER,
                Some("2013-01-24T15:50:41+00:00"),
            ),
            (
                "Dec 31 23:59:59 x",
                january,
                Some("2012-12-31T23:59:59+00:00"),
            ),
            (
                "Feb 29 00:00:00 x",
                NOVEMBER,
                Some("2012-02-29T00:00:00+00:00"),
            ),
            ("Feb 30 00:00:00 x", NOVEMBER, None),
            ("Nov 16 22:40:60 x", NOVEMBER, None),
            ("Nov 16 24:40:00 x", NOVEMBER, None),
            ("nov 16 22:40:49 x", NOVEMBER, None),
            ("Nov 6 22:40:49 x", NOVEMBER, None),
            ("Nov 16 22:40:4", NOVEMBER, None),
        ] {
            let found = rfc3164(text.as_bytes(), arrival);
            let mut room = NO_TIME_TEXT;
            let time = found.as_ref().map(|(time, _)| time.text(&mut room));
            assert_eq!(time, expected.map(str::as_bytes), "{text}");
            assert!(found.is_none_or(|(_, behind)| behind == b" x"));
        }
    }
}
