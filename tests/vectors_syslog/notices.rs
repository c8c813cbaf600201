//! The router's own notices, word for word as Logplex has them.

use logboom::id::DrainToken;
use logboom::syslog::encode::l10_channel_text;
use logboom::syslog::encode::l10_text;
use logboom::syslog::encode::l11_line;
use logboom::syslog::encode::l14_text;
use logboom::syslog::encode::l20_line;

use crate::ARRIVAL;
use crate::cases;

const TIME: &str = "2012-11-16T22:40:48+00:00";

#[test]
fn notices_are_logplex_s() {
    let l10 = template("L10", "text_in_code");
    assert_eq!(l10_text(7, ARRIVAL), l10);
    let drain: DrainToken = serde_json::from_str("\"d.<uuid>\"").unwrap();
    let newer = template("L10", "newer_text");
    // The reason is our own addition, behind the text that others look for.
    let ours = l10_channel_text(&drain, 7, ARRIVAL, "overflow");
    assert_eq!(ours, format!("{newer} reason=overflow"));
    let l11 = template("L11", "text_in_code");
    assert_eq!(
        l11_line(ARRIVAL, 7, ARRIVAL),
        format!("{TIME} logplex[1]: {l11}\n")
    );
    let l14 = template("L14", "text_in_code");
    assert_eq!(l14_text("bad certificate", "syslog+tls://h:6514/"), l14);
    let l20 = template("L20", "text_in_code");
    assert_eq!(
        l20_line(ARRIVAL),
        format!("2012-11-16T22:40:48-00:00 Logplex: {l20}\n")
    );
}

/// The text under `key` of `code`, its places filled.
fn template(code: &str, key: &str) -> String {
    let case = cases("l_codes.json")
        .into_iter()
        .find(|case| case["code"] == code);
    case.unwrap()[key]
        .as_str()
        .unwrap()
        .replace("{n}", "7")
        .replace("{ts}", TIME)
        .replace("{alert}", "bad certificate")
        .replace("{uri}", "syslog+tls://h:6514/")
}
