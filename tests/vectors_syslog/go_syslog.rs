//! Messages of go-syslog's test suites.

use logboom::syslog::message::Message;
use logboom::syslog::parse::parse_rfc3164;
use logboom::syslog::parse::parse_rfc5424;
use serde_json::Value;

use crate::ARRIVAL;
use crate::bytes_of;
use crate::cases;
use crate::parsed;
use crate::shown;

#[test]
fn valid_messages_are_read_alike() {
    let mut bare_name_count = 0;
    for case in cases("rfc5424_go_syslog.json") {
        let value = &case["value"];
        if !case["valid"].as_bool().unwrap() {
            continue;
        }
        let input = bytes_of(&case, "input");
        let message = parsed(&input);
        assert_eq!(header(value), ours(&message), "{}", shown(&input));
        if message.text == b"[sdid] some_message" {
            // An element without parameters and without `@` is text: it may be a line's first word.
            assert_eq!(message.sd, b"-");
            bare_name_count += 1;
            continue;
        }
        assert_eq!(
            shown(message.text),
            shown(&text(value)),
            "{}",
            shown(&input)
        );
        let has_sd = !value["structured_data"].is_null();
        assert_eq!(message.sd != b"-", has_sd, "{}", shown(&input));
        for id in value["structured_data"]
            .as_object()
            .into_iter()
            .flat_map(|sd| sd.keys())
        {
            let sd = String::from_utf8(message.sd.to_vec()).unwrap();
            assert!(sd.contains(&format!("[{id}")), "{sd} holds {id}");
        }
    }
    assert_eq!(bare_name_count, 1);
}

/// go-syslog refuses most of these; here nothing is lost for its form. Those that name no fourth
/// field are for the router to count.
#[test]
fn invalid_messages_are_carried() {
    let (mut carried_count, mut headless_count) = (0, 0);
    for case in cases("rfc5424_go_syslog.json") {
        if case["valid"].as_bool().unwrap() {
            continue;
        }
        let input = bytes_of(&case, "input");
        match parse_rfc5424(&input) {
            Some(message) => {
                assert!(input.ends_with(message.text), "{}", shown(&input));
                carried_count += 1;
            }
            None => headless_count += 1,
        }
    }
    assert_eq!((carried_count, headless_count), (43, 67));
}

/// go-syslog can refuse texts that are no UTF-8 behind a BOM, or cut them; bytes pass through here.
#[test]
fn texts_pass_through_whatever_their_encoding() {
    for case in cases("rfc5424_go_syslog_msg_not_utf8.json") {
        let input = bytes_of(&case, "input");
        let message = parsed(&input);
        let head = input.strip_suffix(message.text).unwrap();
        assert!(head.ends_with(b" - - - - - - "), "{}", shown(&input));
        assert!(message.text.starts_with(&text(&case["best_effort_value"])));
    }
}

#[test]
fn old_messages_are_read_alike() {
    for case in cases("rfc3164_go_syslog.json") {
        let value = &case["value"];
        let input = bytes_of(&case, "input");
        let message = parse_rfc3164(&input, ARRIVAL).unwrap();
        assert_eq!(header(value), ours(&message), "{}", shown(&input));
        assert_eq!(shown(message.text), shown(&bytes_of(value, "message")));
    }
}

fn text(value: &Value) -> Vec<u8> {
    match value["message"].is_null() && value["message_base64"].is_null() {
        true => Vec::new(),
        false => bytes_of(value, "message"),
    }
}

/// PRI, time without year and fraction, and the words of the header. (go-syslog's RFC 3164 has no
/// year; it writes a time in whole seconds and UTC as `Z`.)
fn header(value: &Value) -> String {
    let word = |key: &str| value[key].as_str().unwrap_or("-").to_owned();
    let time = word("timestamp");
    [
        value["priority"].to_string(),
        time.get(4..19).unwrap_or("-").to_owned(),
        word("hostname"),
        word("appname"),
        word("procid"),
        word("msgid"),
    ]
    .join("|")
}

fn ours(message: &Message<'_>) -> String {
    let word = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let time = word(message.timestamp.text(&mut Default::default()));
    [
        message.pri.value().to_string(),
        time.get(4..19).unwrap_or("-").to_owned(),
        word(message.hostname),
        word(message.app_name),
        word(message.procid),
        word(message.msgid),
    ]
    .join("|")
}
