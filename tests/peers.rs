//! Programs that others wrote, as senders and as drain receivers: `logger`, rsyslog, syslog-ng.
//! `tests/peers/install.sh` brings them; without it these tests fail and say so.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests stop at a surprise"
)]

mod support;

use std::path::PathBuf;
use std::process::Command;

use support::Router;
use support::certificates::Certificates;
use support::peers::file_has;
use support::peers::free_port;
use support::peers::rsyslog;
use support::peers::syslog_ng;
use support::until;

fn logger(arguments: &[&str]) {
    let status = Command::new("logger").args(arguments).status().unwrap();
    assert!(status.success(), "logger {arguments:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn logger_sends_in_each_of_its_forms() {
    let router = Router::start().await;
    let token = router.channel("app").await;
    let tcp = router.syslog_tcp.port().to_string();
    let udp = router.syslog_udp.port().to_string();
    let to_tcp = ["--tcp", "-n", "127.0.0.1", "-P", &tcp, "-t", &token];
    let to_udp = ["--udp", "-n", "127.0.0.1", "-P", &udp, "-t", &token];
    let forms: [(&[&str], &[&str], &str); 5] = [
        (
            &to_tcp,
            &["--rfc5424", "--octet-count", "-p", "local7.info", "counted"],
            "app[-]: counted",
        ),
        (
            &to_tcp,
            &["--rfc5424=notq", "--msgid", "web.1", "newline framed"],
            "app[-]: newline framed",
        ),
        (
            &to_tcp,
            &[
                "--rfc5424=notq,notime,nohost",
                "--octet-count",
                "--id=77",
                "no time",
            ],
            "- app[77]: no time",
        ),
        (
            &to_tcp,
            &["--rfc3164", "--octet-count", "old form"],
            "app[-]: old form",
        ),
        (&to_udp, &["--rfc5424", "a datagram"], "app[-]: a datagram"),
    ];
    // Each on a connection of its own: only one that has arrived is before the next.
    for (index, (to, form, wanted)) in forms.into_iter().enumerate() {
        logger(&[to, form].concat());
        let lines = router.history_until("app", index + 1).await;
        assert!(
            lines[index].ends_with(wanted),
            "{:?} lacks {wanted:?}",
            lines[index]
        );
    }
    router.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rsyslog_sends_over_tcp_and_tls() {
    let certificates = Certificates::new();
    let router = Router::start_tls(&certificates).await;
    let token = router.channel("app").await;
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("log.sock");
    let _rsyslog = rsyslog(
        folder.path(),
        &format!(
            r#"global(workDirectory="{folder}" maxMessageSize="10k" defaultNetstreamDriverCAFile="{ca}")
module(load="imuxsock" SysSock.Use="off")
input(type="imuxsock" Socket="{socket}" UseSpecialParser="on")
template(name="Octet" type="string" string="<%PRI%>1 %TIMESTAMP:::date-rfc3339% %HOSTNAME% {token} %APP-NAME%.tcp - - %msg:2:$%")
template(name="Line" type="string" string="<%PRI%>1 %TIMESTAMP:::date-rfc3339% %HOSTNAME% {token} %APP-NAME%.line - - %msg:2:$%\n")
template(name="Tls" type="string" string="<%PRI%>1 %TIMESTAMP:::date-rfc3339% %HOSTNAME% {token} %APP-NAME%.tls - - %msg:2:$%")
action(type="omfwd" target="127.0.0.1" port="{tcp}" protocol="tcp" TCP_Framing="octet-counted" template="Octet")
action(type="omfwd" target="127.0.0.1" port="{tcp}" protocol="tcp" template="Line")
action(type="omfwd" target="127.0.0.1" port="{tls}" protocol="tcp" TCP_Framing="octet-counted" template="Tls"
  StreamDriver="ossl" StreamDriverMode="1" StreamDriverAuthMode="x509/name" StreamDriverPermittedPeers="localhost")
"#,
            folder = folder.path().display(),
            ca = certificates.ca_file().display(),
            socket = socket.display(),
            tcp = router.syslog_tcp.port(),
            tls = router.syslog_tls.unwrap().port(),
        ),
    );
    until("rsyslog's socket", || socket.exists().then_some(())).await;
    logger(&[
        "-u",
        socket.to_str().unwrap(),
        "-t",
        "myprog",
        "hello from rsyslog",
    ]);
    let mut lines = router.history_until("app", 3).await;
    lines.sort_by_key(|line| line.split_once(' ').unwrap().1.to_owned());
    for (line, wanted) in lines.iter().zip([
        "app[myprog.line]: hello from rsyslog",
        "app[myprog.tcp]: hello from rsyslog",
        "app[myprog.tls]: hello from rsyslog",
    ]) {
        assert!(line.ends_with(wanted), "{line:?} lacks {wanted:?}");
    }
    router.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn syslog_ng_sends_over_tcp_and_tls() {
    let certificates = Certificates::new();
    let router = Router::start_tls(&certificates).await;
    let token = router.channel("app").await;
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("in.sock");
    let _syslog_ng = syslog_ng(
        folder.path(),
        &format!(
            r#"options {{ keep-hostname(yes); stats-freq(0); time-reopen(1); }};
source s {{ unix-dgram("{input}"); }};
rewrite r {{ set("$PROGRAM", value("PID")); set("{token}", value("PROGRAM")); }};
destination octet {{ syslog("127.0.0.1" port({tcp}) transport("tcp") frac-digits(6)); }};
destination line {{ network("127.0.0.1" port({tcp}) transport("tcp") flags(syslog-protocol)
  persist-name("line")); }};
destination tls {{ syslog("localhost" port({tls}) transport("tls")
  tls(ca-file("{ca}") peer-verify(required-trusted)) frac-digits(6)); }};
log {{ source(s); rewrite(r); destination(octet); destination(line); destination(tls); }};
"#,
            input = input.display(),
            tcp = router.syslog_tcp.port(),
            tls = router.syslog_tls.unwrap().port(),
            ca = certificates.ca_file().display(),
        ),
    );
    until("syslog-ng's socket", || input.exists().then_some(())).await;
    logger(&[
        "-u",
        input.to_str().unwrap(),
        "-t",
        "myprog",
        "hello via syslog-ng",
    ]);
    let lines = router.history_until("app", 3).await;
    for line in &lines {
        assert!(
            line.ends_with("app[myprog]: hello via syslog-ng"),
            "{line:?}"
        );
    }
    router.stop().await;
}

/// What every receiver gets: structured data, a text that begins with a bracket, UTF-8.
const SENT: [(&str, &str); 3] = [
    ("[meta@1 a=\"b\"]", "with structured data"),
    ("-", "[GIN] 200 | no structured data"),
    ("-", "zażółć 日本"),
];

async fn send_all(router: &Router, token: &str) {
    for (sd, text) in SENT {
        router
            .send_tcp(&format!(
                "<134>1 2026-11-20T12:00:00.123456+00:00 somehost {token} web.1 ID47 {sd} {text}"
            ))
            .await;
    }
}

fn wanted() -> Vec<&'static str> {
    SENT.iter().map(|(_, text)| *text).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn rsyslog_receives_a_drain_over_tcp_and_tls() {
    let certificates = Certificates::new();
    let router = Router::start().await;
    let token = router.channel("app").await;
    let folder = tempfile::tempdir().unwrap();
    let (plain, tls) = (free_port(), free_port());
    let file = |name: &str| -> PathBuf { folder.path().join(name) };
    let _rsyslog = rsyslog(
        folder.path(),
        &format!(
            r#"global(workDirectory="{folder}" parser.escape8BitCharactersOnReceive="off"
  defaultNetstreamDriverCAFile="{ca}" defaultNetstreamDriverCertFile="{certificate}" defaultNetstreamDriverKeyFile="{key}")
module(load="imtcp" StreamDriver.Name="ossl" StreamDriver.Mode="1" StreamDriver.AuthMode="anon")
module(load="imptcp")
template(name="Out" type="string" string="%app-name% %procid% %msgid% %structured-data% |%msg%|\n")
ruleset(name="plain") {{ action(type="omfile" file="{out}" template="Out") }}
ruleset(name="tls") {{ action(type="omfile" file="{out_tls}" template="Out") }}
input(type="imptcp" port="{plain}" address="127.0.0.1" ruleset="plain")
input(type="imtcp" port="{tls}" address="127.0.0.1" ruleset="tls")
"#,
            folder = folder.path().display(),
            ca = certificates.ca_file().display(),
            certificate = certificates.certificate_file().display(),
            key = certificates.key_file().display(),
            out = file("plain.log").display(),
            out_tls = file("tls.log").display(),
        ),
    );
    router
        .drain(
            "app",
            &format!("syslog://127.0.0.1:{plain}"),
            r#","format":"rfc5424""#,
        )
        .await;
    let ca = serde_json::to_string(&certificates.ca_pem()).unwrap();
    let options = format!(r#","format":"rfc5424","ca":{ca}"#);
    router
        .drain("app", &format!("syslog+tls://localhost:{tls}"), &options)
        .await;
    send_all(&router, &token).await;
    for name in ["plain.log", "tls.log"] {
        let text = file_has(&file(name), &wanted()).await;
        assert!(
            text.contains("app web.1 ID47 [meta@1 a=\"b\"] |with structured data"),
            "{text}"
        );
        assert!(
            text.contains("app web.1 ID47 - |[GIN] 200 | no structured data"),
            "{text}"
        );
    }
    router.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn syslog_ng_receives_a_drain_over_tcp_and_tls() {
    let certificates = Certificates::new();
    let router = Router::start().await;
    let token = router.channel("app").await;
    let folder = tempfile::tempdir().unwrap();
    let (plain, tls) = (free_port(), free_port());
    let out = folder.path().join("out.log");
    let _syslog_ng = syslog_ng(
        folder.path(),
        &format!(
            r#"options {{ keep-hostname(yes); stats-freq(0); }};
source plain {{ syslog(ip("127.0.0.1") port({plain}) transport("tcp")); }};
source tls {{ syslog(ip("127.0.0.1") port({tls}) transport("tls")
  tls(key-file("{key}") cert-file("{certificate}") peer-verify(optional-untrusted))); }};
template line {{ template("$(if (\"$SOURCE\" eq \"tls\") tls plain) $PROGRAM $PID $MSGID |$MSG|\n"); }};
destination d {{ file("{out}" template(line)); }};
log {{ source(plain); source(tls); destination(d); }};
"#,
            key = certificates.key_file().display(),
            certificate = certificates.certificate_file().display(),
            out = out.display(),
        ),
    );
    router
        .drain(
            "app",
            &format!("syslog://127.0.0.1:{plain}"),
            r#","format":"rfc5424""#,
        )
        .await;
    let ca = serde_json::to_string(&certificates.ca_pem()).unwrap();
    let options = format!(r#","format":"rfc5424","ca":{ca}"#);
    router
        .drain("app", &format!("syslog+tls://localhost:{tls}"), &options)
        .await;
    send_all(&router, &token).await;
    for (_, text) in SENT {
        for source in ["plain", "tls"] {
            let line = format!("{source} app web.1 ID47 |{text}|");
            let all = file_has(&out, &[&line]).await;
            assert!(!all.contains("Error processing log message"), "{all}");
        }
    }
    router.stop().await;
}
