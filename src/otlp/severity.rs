//! Syslog's severities as OpenTelemetry's severity numbers, by the table of its logs data
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
