//! In: `POST /v1/logs`.

use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use flate2::write::GzEncoder;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceResponse;
use opentelemetry_proto::tonic::common::v1::AnyValue;
use opentelemetry_proto::tonic::common::v1::ArrayValue;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::logs::v1::ResourceLogs;
use opentelemetry_proto::tonic::logs::v1::ScopeLogs;
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message;
use serde_json::json;

use crate::collector;
use crate::collector::Status;
use crate::collector::records;
use crate::support::Router;
use crate::support::http;
use crate::support::http::Answer;
use crate::support::http::Stream;
use crate::support::number;
use crate::support::sinks::HttpSink;

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

async fn post(router: &Router, token: &str, media_type: &str, body: &[u8]) -> Answer {
    let authorization = format!("Bearer {token}");
    let headers = [
        ("Authorization", authorization.as_str()),
        ("Content-Type", media_type),
    ];
    http::request(router.http, "POST", "/v1/logs", &headers, body).await
}

/// Runs the Python program beside this file, which sends to `router`.
async fn python(router: &Router, token: &str, compression: &str, words: &[&str]) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let packages = root.join("target/peers/otel");
    assert!(
        packages.join("opentelemetry/sdk").exists(),
        "OpenTelemetry's SDK is missing: run tests/peers/install.sh"
    );
    let output = tokio::process::Command::new("python3")
        .arg(root.join("tests/otlp/sender.py"))
        .args(words)
        .env("PYTHONPATH", packages)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env(
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            format!("http://{}", router.http),
        )
        .env(
            "OTEL_EXPORTER_OTLP_HEADERS",
            format!("authorization=Bearer%20{token}"),
        )
        .env("OTEL_EXPORTER_OTLP_COMPRESSION", compression)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[tokio::test]
async fn what_python_logs_reaches_tails_and_drains() {
    let router = Router::start().await;
    let token = router.channel("shop").await;
    let plain = HttpSink::start([]).await;
    router.drain("shop", &plain.url(), "").await;
    let otlp = collector::start([]).await;
    let id = router
        .drain("shop", &otlp.url(), r#","format":"otlp""#)
        .await;
    let path = router.session(r#"{"channel_id":"shop","tail":true}"#).await;
    let mut tail = Stream::open(router.http, &path, &[]).await;

    let said = python(&router, &token, "gzip", &["kinds"]).await;
    assert!(!said.contains("rror") && !said.contains("ailed"), "{said}");
    let seen = tail
        .until("the last line", |body| body.contains("cents=500"))
        .await;
    let lines: Vec<&str> = seen.lines().collect();
    let line = |text: &str| {
        let found = lines.iter().find(|line| line.contains(text));
        *found.unwrap_or_else(|| panic!("{text:?} is missing in:\n{seen}"))
    };
    assert!(line("a debug line").contains("+00:00 app[web.1]: a debug line "));
    assert!(line("grüße").contains("]: grüße, 世界 "));
    assert!(
        line("lines ").contains(" order=17 who=\"a b\" ok=true"),
        "{seen}"
    );
    assert!(
        line("caught").contains("exception.type=ValueError exception.message=broken"),
        "{seen}"
    );
    let event = "2026-11-20T17:43:01.851056+00:00 app[web.1]: \
                 {\"at\":\"event\",\"n\":[1,2.5,null]} cents=500";
    assert_eq!(line("cents"), event);

    let status = router
        .drain_until("shop", id, |status| status["delivered"] == 7)
        .await;
    assert_eq!(number(&status["lag_messages"]), 0);
    let frames = plain.frames_until(7).await;
    assert!(
        frames[2].contains(" - two\nlines order="),
        "one message: {frames:?}"
    );
    let pris: Vec<&str> = frames
        .iter()
        .map(|frame| frame.split('>').next().unwrap())
        .collect();
    assert_eq!(
        pris,
        ["<191", "<190", "<188", "<187", "<184", "<187", "<189"]
    );
    let records: Vec<_> = otlp.posts().iter().flat_map(records).collect();
    assert_eq!(records.len(), 7);
    let numbers: Vec<i32> = records
        .iter()
        .map(|record| record.record.severity_number)
        .collect();
    assert_eq!(numbers, [5, 9, 13, 17, 21, 17, 10]);
    assert_eq!(records[6].attribute("syslog.msgid"), Some("order.paid"));
    assert_eq!(records[6].resource("host.name"), Some("box"));
}

#[tokio::test]
async fn all_of_python_s_records_are_counted() {
    let router = Router::start().await;
    let token = router.channel("shop").await;
    let otlp = collector::start([collector::refused(503, "later")]).await;
    let id = router
        .drain("shop", &otlp.url(), r#","format":"otlp""#)
        .await;
    python(&router, &token, "none", &["many", "1500"]).await;
    router
        .drain_until("shop", id, |status| status["delivered"] == 1_500)
        .await;
    let taken: Vec<String> = otlp
        .posts()
        .iter()
        .filter(|post| post.status == 200)
        .flat_map(records)
        .map(|record| record.body().split(' ').next().unwrap().to_owned())
        .collect();
    let expected: Vec<String> = (0..1_500).map(|number| format!("n{number}")).collect();
    assert_eq!(taken, expected);
    let name = "logboom_received_frames_total{input=\"http\"}";
    assert_eq!(router.metric(name).await as u64, 1_500);
}

fn string(text: &str) -> AnyValue {
    AnyValue {
        value: Some(Value::StringValue(text.to_owned())),
    }
}

fn pair(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

fn request(resource: Vec<KeyValue>, log_records: Vec<LogRecord>) -> ExportLogsServiceRequest {
    let resource = Resource {
        attributes: resource,
        ..Resource::default()
    };
    ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            resource: Some(resource),
            scope_logs: vec![ScopeLogs {
                log_records,
                ..ScopeLogs::default()
            }],
            ..ResourceLogs::default()
        }],
    }
}

fn record(text: &str) -> LogRecord {
    LogRecord {
        body: Some(string(text)),
        ..LogRecord::default()
    }
}

#[tokio::test]
async fn protobuf_records_become_messages() {
    let router = Router::start().await;
    let token = router.channel("shop").await;
    let full = LogRecord {
        time_unix_nano: 1_795_196_581_851_056_789,
        observed_time_unix_nano: 1,
        severity_number: 17,
        body: Some(string("[x] went wrong")),
        attributes: vec![
            pair("a b=\"c", Value::IntValue(-1)),
            pair("", Value::DoubleValue(0.5)),
            pair("bytes", Value::BytesValue(b"\0\xff".to_vec())),
            pair(
                "list",
                Value::ArrayValue(ArrayValue {
                    values: vec![string("x"), AnyValue::default()],
                }),
            ),
            KeyValue {
                key: "none".to_owned(),
                ..KeyValue::default()
            },
            pair("nan", Value::DoubleValue(f64::NAN)),
        ],
        dropped_attributes_count: 2,
        trace_id: (1..=16).collect(),
        span_id: (1..=8).collect(),
        ..LogRecord::default()
    };
    let bare = LogRecord {
        severity_text: "Warning".to_owned(),
        observed_time_unix_nano: 1_795_196_581_000_000_000,
        trace_id: vec![0; 16],
        ..record("bare")
    };
    let wordy = LogRecord {
        attributes: (0..130)
            .map(|n| pair(&format!("k{n}"), Value::BoolValue(true)))
            .collect(),
        ..LogRecord::default()
    };
    let resource = vec![
        pair("process.pid", Value::IntValue(42)),
        pair(
            "service.name",
            Value::StringValue("unknown_service:x".to_owned()),
        ),
        pair("host.name", Value::StringValue("my höst".to_owned())),
    ];
    let body = request(resource, vec![full, bare, wordy]).encode_to_vec();
    let answer = post(&router, &token, PROTOBUF, &body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some(PROTOBUF));
    let said = ExportLogsServiceResponse::decode(&answer.body[..]).unwrap();
    assert_eq!(said, ExportLogsServiceResponse::default());

    let lines = router.history_until("shop", 3).await;
    let expected = "2026-11-20T17:43:01.851056+00:00 app[42]: [x] went wrong \
         trace_id=0102030405060708090a0b0c0d0e0f10 span_id=0102030405060708 a_b__c=-1 _=0.5 \
         bytes=\"AP8=\" list=\"[\\\"x\\\",null]\" none= nan=NaN otel.dropped_attributes_count=2";
    assert_eq!(lines[0], expected);
    assert_eq!(lines[1], "2026-11-20T17:43:01.000000+00:00 app[42]: bare");
    assert!(lines[2].contains("]: k0=true k1=true "), "{}", lines[2]);
    assert!(
        lines[2].ends_with(" k127=true otel.dropped_attributes_count=2"),
        "{}",
        lines[2]
    );

    let sink = HttpSink::start([]).await;
    router
        .drain("shop", &sink.url(), r#","format":"rfc5424""#)
        .await;
    let more = request(
        vec![
            pair("heroku.dyno", Value::StringValue("web.7".to_owned())),
            pair("host.name", Value::StringValue("my höst".to_owned())),
        ],
        vec![LogRecord {
            severity_text: "Warning".to_owned(),
            time_unix_nano: 1_795_196_581_000_000_000,
            event_name: "a b".to_owned(),
            ..record("x")
        }],
    );
    assert_eq!(
        post(&router, &token, PROTOBUF, &more.encode_to_vec())
            .await
            .status,
        200
    );
    let frames = sink.frames_until(1).await;
    assert_eq!(
        frames[0],
        "<188>1 2026-11-20T17:43:01.000000+00:00 my_h_st app web.7 a_b - x\n"
    );
}

#[tokio::test]
async fn json_is_read_as_the_mapping_says() {
    let router = Router::start().await;
    let token = router.channel("shop").await;
    let body = json!({
        "someday": {"new": [1]},
        "resourceLogs": [{
            "scopeLogs": [{
                "scope": {"name": "s", "attributes": [{"key": "k", "value": {"boolValue": true}}]},
                "logRecords": [
                    {
                        "timeUnixNano": "1795196581851056789",
                        "observedTimeUnixNano": 1_795_196_581_851_056_789_u64,
                        "severityNumber": 10,
                        "severityText": null,
                        "body": {"stringValue": "one\ntwo"},
                        "attributes": [
                            {"key": "int", "value": {"intValue": "9007199254740993"}},
                            {"key": "small", "value": {"intValue": 5}},
                            {"key": "float", "value": {"doubleValue": "NaN"}},
                            {"key": "bytes", "value": {"bytesValue": "AP8="}},
                            {"key": "map", "value": {"kvlistValue": {"values": [
                                {"key": "a", "value": {"arrayValue": {"values": [
                                    {"doubleValue": 0.5}, {"boolValue": false}, {}
                                ]}}}
                            ]}}},
                            {"key": "future", "value": {"newValue": 1}}
                        ],
                        "droppedAttributesCount": 1,
                        "flags": 257,
                        "traceId": "5B8EFFF798038103D269B633813FC60C",
                        "spanId": "eee19b7ec3c1b173"
                    },
                    {"body": {"kvlistValue": {"values": [{"key": "k", "value": {"intValue": 1}}]}}},
                    {}
                ]
            }],
            "resource": {"attributes": [
                {"key": "service.instance.id", "value": {"stringValue": "web.2"}}
            ]}
        }, {"scopeLogs": null, "resource": null}, {}]
    });
    let mut gzip = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(body.to_string().as_bytes()).unwrap();
    let authorization = http::basic(&format!("token:{token}"));
    let headers = [
        ("Authorization", authorization.as_str()),
        ("Content-Type", "application/json; charset=utf-8"),
        ("Content-Encoding", "gzip"),
    ];
    let body = gzip.finish().unwrap();
    let answer = http::request(router.http, "POST", "/v1/logs", &headers, &body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some(JSON));
    assert_eq!(answer.text(), "{}");
    let lines = router.history_until("shop", 4).await;
    assert_eq!(lines[0], "2026-11-20T17:43:01.851056+00:00 app[web.2]: one");
    assert_eq!(
        lines[1],
        "two trace_id=5b8efff798038103d269b633813fc60c span_id=eee19b7ec3c1b173 \
         int=9007199254740993 small=5 float=NaN bytes=\"AP8=\" map=\"{\\\"a\\\":[0.5,false,null]}\" \
         future= otel.dropped_attributes_count=1"
    );
    assert!(lines[2].ends_with("app[web.2]: {\"k\":1}"), "{lines:?}");
    assert!(lines[3].ends_with("app[web.2]: "), "{lines:?}");
    assert!(post(&router, &token, JSON, b"{}").await.text() == "{}");
    assert!(post(&router, &token, PROTOBUF, b"").await.body.is_empty());
}

#[tokio::test]
async fn what_is_wrong_is_said_in_the_request_s_encoding() {
    let router = Router::start_with(&[("logs_body_bytes_max", "100000")]).await;
    let token = router.channel("shop").await;
    let long = vec![b'['; 100_001];
    let bad = "t.00000000-0000-0000-0000-000000000000";
    let token = token.as_str();
    let cases: [(&str, &str, &[u8], u16, &str); 12] = [
        (token, PROTOBUF, b"\x0a\x7f", 400, "behind its message"),
        (
            token,
            PROTOBUF,
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
            400,
            "not a protobuf",
        ),
        // A record whose body is no UTF-8.
        (
            token,
            PROTOBUF,
            b"\x0a\x09\x12\x07\x12\x05\x2a\x03\x0a\x01\xff",
            400,
            "UTF-8",
        ),
        (token, JSON, b"", 400, "not a JSON"),
        (token, JSON, b"[]", 400, "must be an object"),
        (token, JSON, br#"{"resourceLogs":{}}"#, 400, "invalid type"),
        (
            token,
            JSON,
            br#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"traceId":"xyz"}]}]}]}"#,
            400,
            "traceId",
        ),
        (token, JSON, &long, 413, "too large"),
        (bad, PROTOBUF, b"", 401, "token"),
        (bad, JSON, b"{}", 401, "token"),
        (token, "text/plain", b"", 415, "application/x-protobuf"),
        ("local:password", PROTOBUF, b"", 403, "token"),
    ];
    for (sender, media_type, body, status, words) in cases {
        let answer = post(&router, sender, media_type, body).await;
        assert_eq!(answer.status, status, "{media_type} {words}: {answer:?}");
        let message = if media_type == PROTOBUF {
            assert_eq!(answer.header("content-type"), Some(PROTOBUF));
            Status::decode(&answer.body[..]).unwrap().message
        } else {
            assert_eq!(answer.header("content-type"), Some(JSON));
            answer.json()["message"].as_str().unwrap().to_owned()
        };
        assert!(message.contains(words), "{message:?} lacks {words:?}");
    }
    let answer = http::request(router.http, "GET", "/v1/logs", &[], b"").await;
    assert_eq!((answer.status, answer.header("allow")), (405, Some("POST")));
    let headers = [("Content-Encoding", "br"), ("Content-Type", JSON)];
    let authorization = format!("Bearer {token}");
    let headers = [
        headers[0],
        headers[1],
        ("Authorization", authorization.as_str()),
    ];
    let answer = http::request(router.http, "POST", "/v1/logs", &headers, b"{}").await;
    assert_eq!(answer.status, 415);
    assert_eq!(router.history("shop", 10).await, Vec::<String>::new());

    // Far more comes out than goes in: a token's worth for each two bytes.
    let empty = request(Vec::new(), vec![LogRecord::default(); 40_000]).encode_to_vec();
    assert!(empty.len() < 100_000);
    let answer = post(&router, token, PROTOBUF, &empty).await;
    assert_eq!(answer.status, 413);
}

#[tokio::test]
async fn a_record_too_great_is_rejected_alone() {
    let router = Router::start().await;
    let token = router.channel("shop").await;
    let records = vec![
        record("before"),
        record(&"x".repeat(1024 * 1024)),
        record(&"y".repeat(100_000)),
    ];
    let body = request(Vec::new(), records).encode_to_vec();
    let answer = post(&router, &token, PROTOBUF, &body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let said = ExportLogsServiceResponse::decode(&answer.body[..]).unwrap();
    let partial = said.partial_success.unwrap();
    assert_eq!(partial.rejected_log_records, 1);
    assert!(
        partial.error_message.contains("1048576 bytes"),
        "{partial:?}"
    );
    let json = json!({"resourceLogs": [{"scopeLogs": [{"logRecords": [
        {"body": {"stringValue": "x".repeat(1024 * 1024)}},
        {"body": {"stringValue": "after"}}
    ]}]}]});
    let answer = post(&router, &token, JSON, json.to_string().as_bytes()).await;
    let partial = &answer.json()["partialSuccess"];
    assert_eq!(partial["rejectedLogRecords"], "1", "{answer:?}");
    let lines = router.history_until("shop", 3).await;
    assert!(lines[0].ends_with("]: before") && lines[2].ends_with("]: after"));
    assert!(lines[1].len() < 66_000, "cut at frame_bytes_max");
    let name = "logboom_dropped_messages_total{reason=\"malformed\"}";
    assert_eq!(router.metric(name).await as u64, 2);
    let name = "logboom_received_frames_total{input=\"http\"}";
    assert_eq!(router.metric(name).await as u64, 5);
    assert_eq!(
        router.metric("logboom_truncated_messages_total").await as u64,
        1
    );
}

/// Nothing is taken that the channel cannot keep for its drains, and the sender hears when to come
/// again.
#[tokio::test]
async fn a_channel_that_waits_makes_senders_wait() {
    let router =
        Router::start_with(&[("channel_bytes_max", "512KiB"), ("when_full", "wait")]).await;
    let token = router.channel("shop").await;
    let hold = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let sink = HttpSink::start([crate::support::sinks::Reply::Held(hold.clone())]).await;
    let id = router.drain("shop", &sink.url(), "").await;
    let body = request(Vec::new(), vec![record(&"x".repeat(10_000)); 10]).encode_to_vec();
    let mut taken = 0;
    let refusal = loop {
        let answer = post(&router, &token, PROTOBUF, &body).await;
        if answer.status != 200 {
            break answer;
        }
        taken += 10;
        assert!(taken < 1_000, "it takes everything");
    };
    assert_eq!(refusal.status, 429, "{refusal:?}");
    assert!(refusal.header("retry-after").is_some());
    let said = Status::decode(&refusal.body[..]).unwrap();
    assert!(said.message.contains("full"), "{said:?}");
    let great = request(Vec::new(), vec![record(&"x".repeat(10_000)); 200]).encode_to_vec();
    hold.add_permits(1);
    let status = router
        .drain_until("shop", id, |status| status["delivered"] == taken)
        .await;
    assert_eq!(number(&status["lag_messages"]), 0);
    assert_eq!(post(&router, &token, PROTOBUF, &great).await.status, 413);
    assert_eq!(post(&router, &token, PROTOBUF, &body).await.status, 200);
}

/// From one router to another: what the drain says of a message, the input understands.
#[tokio::test]
async fn messages_pass_through_two_routers_unchanged() {
    let (first, second) = (Router::start().await, Router::start().await);
    let token = first.channel("shop").await;
    let other = second.channel("mirror").await;
    let url = format!("http://{}", second.http);
    let options = format!(r#","format":"otlp","headers":{{"Authorization":"Bearer {other}"}}"#);
    first.drain("shop", &url, &options).await;
    let frame = format!("<27>1 2026-11-20T17:43:01.851056+00:00 box {token} web.1 ID7 - k=v it is");
    first.send_tcp(&frame).await;
    second.history_until("mirror", 1).await;
    let sink = HttpSink::start([]).await;
    second
        .drain("mirror", &sink.url(), r#","format":"rfc5424""#)
        .await;
    first.send_tcp(&frame).await;
    let frames = sink.frames_until(1).await;
    let expected = "<27>1 2026-11-20T17:43:01.851056+00:00 box app web.1 ID7 - k=v it is\n";
    assert_eq!(frames[0], expected);
    let nil = "<14>1 2026-11-20T17:43:01.000000+00:00 -";
    first.send_tcp(&format!("{nil} {token} - - - x")).await;
    let frames = sink.frames_until(2).await;
    assert_eq!(frames[1], format!("{nil} app - - - x\n"));
}

/// A drain that leads back to its channel is refused, as it is at `POST /logs`.
#[tokio::test]
async fn a_circle_is_noticed() {
    let router = Router::start().await;
    let token = router.channel("shop").await;
    let url = format!("http://{}", router.http);
    let options = format!(r#","format":"otlp","headers":{{"Authorization":"Bearer {token}"}}"#);
    let id = router.drain("shop", &url, &options).await;
    router
        .send_tcp(&crate::support::message(&token, "round"))
        .await;
    let status = router
        .drain_until("shop", id, |status| status["lost"]["refused"] != 0)
        .await;
    let why = status["last_error"].as_str().unwrap();
    assert!(
        why.contains("409: These messages come from a drain"),
        "{status}"
    );
    assert!(!why.contains(&token));
}
