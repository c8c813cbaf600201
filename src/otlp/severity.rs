//! Syslog's severities as OpenTelemetry's severity numbers and back, by the table of its logs data
//! model (appendix B).

use opentelemetry_proto::tonic::logs::v1::SeverityNumber;

/// The number of a syslog severity of 0 to 7.
pub(crate) const fn number(severity: u8) -> SeverityNumber {
    match severity {
        0 => SeverityNumber::Fatal,
        1 => SeverityNumber::Error3,
        2 => SeverityNumber::Error2,
        3 => SeverityNumber::Error,
        4 => SeverityNumber::Warn,
        5 => SeverityNumber::Info2,
        6 => SeverityNumber::Info,
        _ => SeverityNumber::Debug,
    }
}

/// The syslog severity of a number: the table read backwards, where a number that is not in it is as
/// the next one below it. `None` where there is no number.
pub(crate) const fn severity(number: i32) -> Option<u8> {
    Some(match number {
        1..=8 => 7,
        9 => 6,
        10..=12 => 5,
        13..=16 => 4,
        17 => 3,
        18 => 2,
        19..=20 => 1,
        21..=24 => 0,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn severities_come_back() {
        for value in 0..8 {
            assert_eq!(severity(number(value) as i32), Some(value));
        }
        assert_eq!(number(5) as i32, 10);
        assert_eq!(severity(1), Some(7), "trace");
        assert_eq!(severity(12), Some(5));
        assert_eq!(severity(24), Some(0));
        assert_eq!(
            (severity(0), severity(25), severity(-1)),
            (None, None, None)
        );
    }
}
