//! OTLP over HTTP as a drain speaks it: where requests go, and what answers mean.

use crate::limits::ANSWER_BYTES_MAX;
use crate::net::outcome::{Answer, Judge, Outcome, judge};
use crate::otlp::answer;
use crate::otlp::request::Encoding;
use crate::registry::DrainUrl;

/// Answers by OTLP's rules: of a request that was taken, records may have been rejected; one that was
/// not is sent again only after 429, 502, 503 and 504. What else is no answer to a request (a
/// redirect, say) is tried again as with other drains.
pub(crate) const OTLP: Judge = Judge {
    // Cut short, a list of rejected records could not be read.
    said_bytes_max: ANSWER_BYTES_MAX,
    // It says how many records were rejected.
    is_body_needed: true,
    judge: judge_otlp,
};

fn judge_otlp(answer: &Answer) -> Outcome {
    let encoding = match answer.is_json {
        true => Encoding::Json,
        false => Encoding::Protobuf,
    };
    let status = answer.status;
    match status {
        200..300 => {
            let rejected = answer::rejected(&answer.said, encoding);
            match rejected.count {
                // Words without a count are a warning: nothing is lost.
                0 => judge(answer),
                refused => Outcome::Partly {
                    status,
                    refused,
                    said: rejected.message,
                },
            }
        }
        429 | 502..=504 => judge(answer),
        400..600 => Outcome::Refused {
            status,
            said: answer::why(&answer.said, encoding),
        },
        _ => judge(answer),
    }
}

/// Path and query of the requests to `url`. It is a base, as the endpoint of a telemetry drain and
/// `OTEL_EXPORTER_OTLP_ENDPOINT` are: what is for logs is below it, at `v1/logs`, unless that is
/// where it leads already.
pub(crate) fn path_and_query(url: &DrainUrl) -> String {
    let given = url.path_and_query();
    let (path, query) = match given.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (given, None),
    };
    let base = path.trim_end_matches('/');
    let path = match base.ends_with(LOGS_PATH) {
        true => path.to_owned(),
        false => format!("{base}{LOGS_PATH}"),
    };
    match query {
        Some(query) => format!("{path}?{query}"),
        None => path,
    }
}

const LOGS_PATH: &str = "/v1/logs";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_base_unless_it_leads_to_logs() {
        for (url, expected) in [
            ("http://h:4318", "/v1/logs"),
            ("http://h:4318/", "/v1/logs"),
            ("https://h/otlp", "/otlp/v1/logs"),
            ("https://h/otlp/", "/otlp/v1/logs"),
            ("https://h/v1/logs", "/v1/logs"),
            ("https://h/a/v1/logs/", "/a/v1/logs/"),
            ("https://h/v1/logs2", "/v1/logs2/v1/logs"),
            (
                "https://h/otlp?key=v/v1/logs",
                "/otlp/v1/logs?key=v/v1/logs",
            ),
            ("https://h?k=v#insecure", "/v1/logs?k=v"),
        ] {
            let url = DrainUrl::parse(url).unwrap();
            assert_eq!(path_and_query(&url), expected);
        }
    }

    #[test]
    fn answers_mean_what_the_specification_says() {
        let check = |status: u16, is_json: bool, said: &[u8], expected: &str| {
            let outcome = judge_otlp(&Answer {
                status,
                is_json,
                said: said.to_vec(),
                ..Answer::default()
            });
            let seen = format!("{outcome:?}");
            assert!(seen.starts_with(expected), "{status} {seen}");
        };
        // partial_success with a count of 2 and the message "x".
        let partial = b"\x0a\x05\x08\x02\x12\x01x";
        check(200, false, b"", "Confirmed");
        check(
            200,
            false,
            partial,
            "Partly { status: 200, refused: 2, said: \"x\"",
        );
        check(200, false, b"\x0a\x03\x12\x01x", "Confirmed");
        check(200, false, b"garbage", "Confirmed");
        check(200, true, b"{}", "Confirmed");
        let json = br#"{"partialSuccess":{"rejectedLogRecords":"4","errorMessage":"y"}}"#;
        check(
            200,
            true,
            json,
            "Partly { status: 200, refused: 4, said: \"y\"",
        );
        check(204, false, b"", "Confirmed");
        for status in [429, 502, 503, 504, 301, 100] {
            check(status, false, b"", "Retry");
        }
        for status in [400, 401, 404, 408, 413, 500, 501, 505, 599] {
            check(status, false, b"\x12\x02no", "Refused");
        }
        check(
            400,
            false,
            b"\x12\x02no",
            "Refused { status: 400, said: \"no\"",
        );
        check(
            400,
            true,
            br#"{"message":"no"}"#,
            "Refused { status: 400, said: \"no\"",
        );
    }
}
