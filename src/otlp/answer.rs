//! What requests are answered: `ExportLogsServiceResponse` and `google.rpc.Status`, written and read.

use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsPartialSuccess, ExportLogsServiceResponse,
};
use prost::Message as _;
use serde::Deserialize;
use serde_json::json;

use crate::otlp::json::Number;
use crate::otlp::request::Encoding;

/// Records that a destination does not take.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Rejected {
    /// How many.
    pub count: u64,
    /// Why, in its words.
    pub message: String,
}

/// `google.rpc.Status`, without details.
#[derive(Clone, PartialEq, prost::Message)]
struct Status {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
}

/// The body of an answer to a request that was taken, but for what was rejected.
#[must_use]
pub fn taken(rejected: &Rejected, encoding: Encoding) -> Vec<u8> {
    let is_whole = *rejected == Rejected::default();
    match encoding {
        Encoding::Protobuf => {
            let partial = ExportLogsPartialSuccess {
                rejected_log_records: i64::try_from(rejected.count).unwrap_or(i64::MAX),
                error_message: rejected.message.clone(),
            };
            let answer = ExportLogsServiceResponse {
                partial_success: (!is_whole).then_some(partial),
            };
            answer.encode_to_vec()
        }
        Encoding::Json if is_whole => b"{}".to_vec(),
        Encoding::Json => json!({
            "partialSuccess": {
                "rejectedLogRecords": rejected.count.to_string(),
                "errorMessage": rejected.message,
            }
        })
        .to_string()
        .into_bytes(),
    }
}

/// The body of an answer to a request that was not taken.
#[must_use]
pub fn refused(message: &str, encoding: Encoding) -> Vec<u8> {
    match encoding {
        Encoding::Protobuf => Status {
            code: 0,
            message: message.to_owned(),
        }
        .encode_to_vec(),
        Encoding::Json => json!({ "message": message }).to_string().into_bytes(),
    }
}

/// What was not taken by the answer of a request that was; nothing when it says so, or says what is
/// not understood: then the status has to do.
#[must_use]
pub fn rejected(body: &[u8], encoding: Encoding) -> Rejected {
    match encoding {
        Encoding::Protobuf => ExportLogsServiceResponse::decode(body)
            .ok()
            .and_then(|answer| answer.partial_success)
            .map(|partial| Rejected {
                count: u64::try_from(partial.rejected_log_records).unwrap_or_default(),
                message: partial.error_message,
            }),
        Encoding::Json => serde_json::from_slice::<AnswerView>(body)
            .ok()
            .and_then(|answer| answer.partial_success)
            .map(|partial| Rejected {
                count: partial
                    .rejected_log_records
                    .and_then(|count| u64::try_from(count.whole()?).ok())
                    .unwrap_or_default(),
                message: partial.error_message.unwrap_or_default(),
            }),
    }
    .unwrap_or_default()
}

/// The message of an answer to a request that was not taken; the body as text when it is none.
#[must_use]
pub fn why(body: &[u8], encoding: Encoding) -> String {
    let message = match encoding {
        Encoding::Protobuf => Status::decode(body).ok().map(|status| status.message),
        Encoding::Json => serde_json::from_slice::<StatusView>(body)
            .ok()
            .and_then(|status| status.message),
    };
    message
        .filter(|message| !message.is_empty())
        .unwrap_or_else(|| String::from_utf8_lossy(body).into_owned())
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct AnswerView {
    partial_success: Option<PartialView>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PartialView {
    rejected_log_records: Option<Number>,
    error_message: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct StatusView {
    message: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_as_they_are_written() {
        let some = Rejected {
            count: 3,
            message: "too many".to_owned(),
        };
        for encoding in [Encoding::Protobuf, Encoding::Json] {
            for given in [&Rejected::default(), &some] {
                assert_eq!(&rejected(&taken(given, encoding), encoding), given);
            }
            assert_eq!(why(&refused("no", encoding), encoding), "no");
            assert_eq!(rejected(b"<html>", encoding), Rejected::default());
            assert_eq!(why(b"<html>", encoding), "<html>");
        }
        assert!(taken(&Rejected::default(), Encoding::Protobuf).is_empty());
    }
}
