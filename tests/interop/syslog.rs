//! rsyslog and syslog-ng with their defaults, over TCP and TLS.

use std::path::Path;

use crate::cases;
use crate::support::Router;
use crate::support::certificates::Certificates;
use crate::support::peers::file_has;
use crate::support::peers::free_port;
use crate::support::peers::rsyslog;
use crate::support::peers::syslog_ng;

/// Sends every case to drains with the defaults and with `preset`, the latter over TCP and TLS, and
/// gives what the receiver made of them, shortened.
async fn received(
    folder: &Path,
    certificates: &Certificates,
    ports: [u16; 3],
    preset: &str,
) -> [Vec<String>; 3] {
    let router = Router::start().await;
    let token = router.channel("app").await;
    let [plain, mended, tls] = ports;
    let preset = format!(r#","preset":"{preset}""#);
    let ca = serde_json::to_string(&certificates.ca_pem()).unwrap();
    router
        .drain("app", &format!("syslog://127.0.0.1:{plain}"), "")
        .await;
    router
        .drain("app", &format!("syslog://127.0.0.1:{mended}"), &preset)
        .await;
    let options = format!(r#"{preset},"ca":{ca}"#);
    router
        .drain("app", &format!("syslog+tls://localhost:{tls}"), &options)
        .await;
    for case in cases::all() {
        case.send(&router, &token).await;
    }
    let end = format!("<134>1 2026-11-20T12:00:00Z host {token} web.1 - - the end");
    router.send_tcp(&end).await;
    let mut read = [Vec::new(), Vec::new(), Vec::new()];
    for (name, read) in ["plain", "mended", "tls"].iter().zip(&mut read) {
        let text = file_has(&folder.join(name), &["the end"]).await;
        let shorten = |line: &str| {
            let (head, text) = line.split_once('|').unwrap_or(("", line));
            format!("{head}|{}", cases::short(text))
        };
        let messages = text.split_terminator("<<\n");
        read.extend(messages.map(shorten));
    }
    router.stop().await;
    read
}

#[tokio::test(flavor = "multi_thread")]
async fn rsyslog_with_the_defaults_and_with_its_preset() {
    let certificates = Certificates::new();
    let folder = tempfile::tempdir().unwrap();
    let ports = [free_port(), free_port(), free_port()];
    let at = |name: &str| folder.path().join(name).display().to_string();
    let config = format!(
        r#"global(workDirectory="{folder}" defaultNetstreamDriverCAFile="{ca}"
  defaultNetstreamDriverCertFile="{certificate}" defaultNetstreamDriverKeyFile="{key}")
module(load="imtcp" StreamDriver.Name="ossl" StreamDriver.Mode="1" StreamDriver.AuthMode="anon")
module(load="imptcp")
template(name="Out" type="string" string="%app-name% %procid% %msgid% %structured-data%|%msg%<<\n")
ruleset(name="plain") {{ action(type="omfile" file="{plain}" template="Out") }}
ruleset(name="mended") {{ action(type="omfile" file="{mended}" template="Out") }}
ruleset(name="tls") {{ action(type="omfile" file="{tls}" template="Out") }}
input(type="imptcp" port="{}" address="127.0.0.1" ruleset="plain")
input(type="imptcp" port="{}" address="127.0.0.1" ruleset="mended")
input(type="imtcp" port="{}" address="127.0.0.1" ruleset="tls")
"#,
        ports[0],
        ports[1],
        ports[2],
        folder = folder.path().display(),
        ca = certificates.ca_file().display(),
        certificate = certificates.certificate_file().display(),
        key = certificates.key_file().display(),
        plain = at("plain"),
        mended = at("mended"),
        tls = at("tls"),
    );
    let _rsyslog = rsyslog(folder.path(), &config);
    let read = received(folder.path(), &certificates, ports, "rsyslog").await;
    let [plain, mended, tls] = &read;
    check(plain, &RSYSLOG_PLAIN);
    check(mended, &RSYSLOG_MENDED);
    check(tls, &RSYSLOG_MENDED);
}

#[tokio::test(flavor = "multi_thread")]
async fn syslog_ng_with_the_defaults_and_with_its_preset() {
    let certificates = Certificates::new();
    let folder = tempfile::tempdir().unwrap();
    let ports = [free_port(), free_port(), free_port()];
    let at = |name: &str| folder.path().join(name).display().to_string();
    let config = format!(
        r#"options {{ keep-hostname(yes); stats-freq(0); }};
source plain {{ syslog(ip("127.0.0.1") port({}) transport("tcp")); }};
source mended {{ syslog(ip("127.0.0.1") port({}) transport("tcp")); }};
source tls {{ syslog(ip("127.0.0.1") port({}) transport("tls")
  tls(key-file("{key}") cert-file("{certificate}") peer-verify(optional-untrusted))); }};
template out {{ template("$PROGRAM $PID $MSGID $SDATA|$MSG<<\n"); }};
log {{ source(plain); destination {{ file("{plain}" template(out)); }}; }};
log {{ source(mended); destination {{ file("{mended}" template(out)); }}; }};
log {{ source(tls); destination {{ file("{tls}" template(out)); }}; }};
"#,
        ports[0],
        ports[1],
        ports[2],
        key = certificates.key_file().display(),
        certificate = certificates.certificate_file().display(),
        plain = at("plain"),
        mended = at("mended"),
        tls = at("tls"),
    );
    let _syslog_ng = syslog_ng(folder.path(), &config);
    let read = received(folder.path(), &certificates, ports, "syslog-ng").await;
    let [plain, mended, tls] = &read;
    check(plain, &SYSLOG_NG_PLAIN);
    check(mended, &SYSLOG_NG_MENDED);
    check(tls, &SYSLOG_NG_MENDED);
}

/// Compares in the order of the cases; `*` is any bytes.
#[track_caller]
fn check(read: &[String], expected: &[&str]) {
    let is_alike = |read: &String, expected: &&str| match expected.split_once('*') {
        None => read == expected,
        Some((start, end)) => read.starts_with(start) && read.ends_with(end),
    };
    let is_right = read.len() == expected.len()
        && read
            .iter()
            .zip(expected)
            .all(|(read, expected)| is_alike(read, expected));
    assert!(is_right, "{read:#?} instead of {expected:#?}");
}

/// No MSGID, no structured data, nothing beyond 8,096 bytes, and a time that is none shifts all.
const RSYSLOG_PLAIN: [&str; 15] = [
    "app web.1 - -|hello",
    "app web.1 - -|hello without",
    "app web.1 - -|hello with",
    "app postgres.7 - -|[DATABASE] [12-1] sql_error_code = 00000",
    "app web.1 - -|[GIN] 2026/11/20 | 200",
    "app web.1 - -|one#012two#015#012three",
    "app web.1 - -|caf\u{fffd} noir",
    "app w\u{fffd}b.1 - -|hello",
    "app web.1 - -|",
    "app web.1 - -|8003 bytes",
    "app web.1 - -|8003 bytes",
    "app web.1 - -|hello",
    "app web.1 - -|hello",
    "* app web.1 - - hello",
    "app web.1 - -|the end",
];

const RSYSLOG_MENDED: [&str; 18] = [
    "app web.1 - -|hello",
    "app web.1 - -|hello without",
    "app web.1 ID [a@1 x=\"y\"]|hello with",
    "app postgres.7 - -|[DATABASE] [12-1] sql_error_code = 00000",
    "app web.1 - -|[GIN] 2026/11/20 | 200",
    "app web.1 - -|one#012two#015#012three",
    "app web.1 - -|caf\u{fffd} noir",
    "app - - -|hello",
    "app web.1 - -|",
    "app web.1 - -|8036 bytes",
    "app web.1 - -|1970 bytes",
    "app web.1 - -|8036 bytes",
    "app web.1 - -|8036 bytes",
    "app web.1 - -|3940 bytes",
    "app web.1 - -|hello",
    "app web.1 - -|hello",
    "app web.1 - -|hello",
    "app web.1 - -|the end",
];

/// No MSGID and no structured data: Logplex's form has neither.
const SYSLOG_NG_PLAIN: [&str; 15] = [
    "app web.1  |hello",
    "app web.1  |hello without",
    "app web.1  |hello with",
    "app postgres.7  |[DATABASE] [12-1] sql_error_code = 00000",
    "app web.1  |[GIN] 2026/11/20 | 200",
    "app web.1  |one\ntwo\r\nthree",
    "app web.1  |caf\u{fffd} noir",
    "app w\u{fffd}b.1  |hello",
    "app web.1  |",
    "app web.1  |10000 bytes",
    "app web.1  |20000 bytes",
    "app web.1  |hello",
    "app web.1  |hello",
    "app web.1  |hello",
    "app web.1  |the end",
];

const SYSLOG_NG_MENDED: [&str; 15] = [
    "app web.1  |hello",
    "app web.1  |hello without",
    "app web.1 ID [a@1 x=\"y\"]|hello with",
    "app postgres.7  |[DATABASE] [12-1] sql_error_code = 00000",
    "app web.1  |[GIN] 2026/11/20 | 200",
    "app web.1  |one\ntwo\r\nthree",
    "app web.1  |caf\u{fffd} noir",
    "app   |hello",
    "app web.1  |",
    "app web.1  |10000 bytes",
    "app web.1  |20000 bytes",
    "app web.1  |hello",
    "app web.1  |hello",
    "app web.1  |hello",
    "app web.1  |the end",
];
