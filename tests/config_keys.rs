//! The configuration's keys: reference file and table agree, values are read from every origin,
//! and what is wrong is said so that it can be mended.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use logboom::config::Config;
use logboom::config::Effect;
use logboom::config::Environment;
use logboom::config::Fallback;
use logboom::config::Flags;
use logboom::config::KEYS;
use logboom::config::Protocol;
use logboom::config::reference;

/// Loads `toml` as the file, `variables` as the environment and `flags`.
fn load(
    toml: &str,
    variables: &[(&str, &str)],
    flags: &[(&'static str, &'static str, &str)],
) -> Result<Config, String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("logboom.toml");
    fs::write(&file, toml).unwrap();
    let flags = Flags {
        file: Some(file.clone()),
        values: flags
            .iter()
            .map(|&(flag, key, value)| (flag, key, value.to_owned()))
            .collect(),
    };
    Config::load(&environment(variables), &flags).map_err(|error| {
        error
            .to_string()
            .replace(&file.display().to_string(), "FILE")
    })
}

fn environment(variables: &[(&str, &str)]) -> Environment {
    let owned = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
    Environment::new(variables.iter().map(owned))
}

fn check_error(
    toml: &str,
    variables: &[(&str, &str)],
    flags: &[(&'static str, &'static str, &str)],
    expected: &str,
) {
    match load(toml, variables, flags) {
        Ok(_) => panic!("taken: {toml} {variables:?} {flags:?}"),
        Err(text) => assert_eq!(text, expected),
    }
}

fn file_of_the_repository() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/logboom.toml");
    fs::read_to_string(path).unwrap()
}

/// The keys of the reference file with their values, commented or not.
fn keys_of_the_file() -> BTreeMap<String, String> {
    let text = file_of_the_repository();
    let keys = text.split("\n# A listener is best").next().unwrap();
    let mut found = BTreeMap::new();
    for line in keys.lines() {
        let line = line.strip_prefix('#').unwrap_or(line);
        let Some((key, value)) = line.split_once(" = ") else {
            continue;
        };
        if key
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        {
            let twice = found.insert(key.to_owned(), value.to_owned());
            assert_eq!(twice, None, "{key} stands twice");
        }
    }
    found
}

#[test]
fn the_file_is_what_the_program_prints() {
    assert_eq!(
        file_of_the_repository(),
        reference(),
        "write it anew: logboom config > config/logboom.toml"
    );
}

#[test]
fn the_file_has_every_key_with_its_default() {
    let in_file = keys_of_the_file();
    for key in KEYS {
        let Some(value) = in_file.get(key.name) else {
            panic!("the file lacks {}", key.name);
        };
        let (Fallback::Given(toml) | Fallback::Unset(toml)) = key.fallback;
        assert_eq!(value, toml, "{}", key.name);
    }
    for key in in_file.keys() {
        assert!(
            KEYS.iter().any(|known| known.name == key),
            "no such key: {key}"
        );
    }
}

#[test]
fn the_files_defaults_change_nothing() {
    let defaults = Config::defaults();
    for key in KEYS {
        if let Fallback::Given(toml) = key.fallback {
            let config = load(&format!("{} = {toml}\n", key.name), &[], &[]).unwrap();
            assert!(config.changes(&defaults).is_empty(), "{}", key.name);
        }
    }
}

#[test]
fn the_files_examples_are_taken() {
    let pairs =
        "tls_certificate = 'c'\ntls_key = 'k'\nhttp_tls_certificate = 'c'\nhttp_tls_key = 'k'\n";
    for key in KEYS {
        let Fallback::Unset(toml) = key.fallback else {
            continue;
        };
        let line = format!("{} = {toml}\n", key.name);
        let given = if pairs.contains(&format!("{} =", key.name)) {
            pairs.to_owned()
        } else {
            format!("{line}{pairs}")
        };
        let config = load(&given, &[], &[]);
        let config = config
            .map_err(|text| format!("{}: {text}", key.name))
            .unwrap();
        let changed = Config::defaults().changes(&config);
        assert!(
            changed.iter().any(|changed| changed.name == key.name),
            "{}",
            key.name
        );
    }
}

#[test]
fn defaults_are_those_of_the_contract() {
    let config = Config::defaults();
    assert_eq!(config.data_dir, PathBuf::from("./logboom-data"));
    assert_eq!(config.http.to_string(), "127.0.0.1:8601");
    assert_eq!(config.syslog_tcp.unwrap().to_string(), "127.0.0.1:6001");
    assert_eq!(config.syslog_udp.unwrap().to_string(), "127.0.0.1:6001");
    assert_eq!(config.syslog_tls, None);
    assert_eq!(config.frame_bytes_max, 64 * 1024);
    assert_eq!(config.channel_bytes_max, 16 << 20);
    assert_eq!(config.batch_bytes_max, 100 * 1024);
    assert_eq!(config.history_age_max, Duration::from_secs(7 * 86_400));
    assert_eq!(config.shutdown_grace, Duration::from_secs(10));
    assert_eq!(config.wait_max, Duration::from_secs(30));
    assert_eq!(config.retry_delay_min, Duration::from_millis(100));
    assert!((1..=4 << 30).contains(&config.node_bytes()));
}

#[test]
fn the_later_origin_wins() {
    let file = "http = '127.0.0.1:1'\nframe_bytes_max = 2048\nlog = 'warn'";
    let variables = [
        ("LOGBOOM_HTTP", "127.0.0.1:2"),
        ("LOGBOOM_FRAME_BYTES_MAX", "4KiB"),
    ];
    let flags = [("--http", "http", "127.0.0.1:3")];
    let config = load(file, &variables, &flags).unwrap();
    assert_eq!(config.http.port(), 3);
    assert_eq!(config.frame_bytes_max, 4_096);
    assert_eq!(config.log, "warn");
    let config = load(file, &variables, &[]).unwrap();
    assert_eq!(config.http.port(), 2);
    let config = load(file, &[], &[]).unwrap();
    assert_eq!(config.http.port(), 1);
}

#[test]
fn the_environment_may_name_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("other.toml");
    fs::write(&file, "worker_threads = 3").unwrap();
    let named = environment(&[("LOGBOOM_CONFIG", file.to_str().unwrap())]);
    let config = Config::load(&named, &Flags::default()).unwrap();
    assert_eq!(config.worker_threads, 3);
}

#[test]
fn every_kind_of_value_is_read_from_file_and_environment() {
    for (key, toml, text) in [
        ("wait_max", "5", "5s"),
        ("wait_max", "'90s'", "90"),
        ("channel_bytes_max", "1048576", "1MiB"),
        ("deny_logs_ingress", "true", "true"),
        ("when_full", "'wait'", "wait"),
        ("mode", "'read_only'", "read_only"),
        ("firehose_channels", "['a', 'b c']", "a, b c"),
        ("firehose_tokens", "['heroku']", "heroku"),
        ("metrics_channel", "'m'", "m"),
        ("syslog_udp", "'off'", "off"),
        ("http", "'localhost:0'", "127.0.0.1:0"),
        ("public_url", "'https://a.example'", "https://a.example"),
        ("admin_credential", "'a:b:c'", "a:b:c"),
        ("worker_threads", "2", "2"),
    ] {
        let from_file = load(&format!("{key} = {toml}"), &[], &[]).unwrap();
        let variable = format!("LOGBOOM_{}", key.to_uppercase());
        let from_environment = load("", &[(&variable, text)], &[]).unwrap();
        assert!(from_file.changes(&from_environment).is_empty(), "{key}");
        let changed = Config::defaults().changes(&from_file);
        let names: Vec<&str> = changed.iter().map(|key| key.name).collect();
        assert!(
            names == [key] || (key, names.len()) == ("wait_max", 1),
            "{key}: {names:?}"
        );
    }
}

#[test]
fn listeners_are_tables_or_json() {
    let file = "[[listener]]\nprotocol = 'udp'\naddress = '127.0.0.1:5140'\ntoken = 't.1'\n";
    let json = r#"[{"protocol":"udp","address":"127.0.0.1:5140","token":"t.1"}]"#;
    let from_file = load(file, &[], &[]).unwrap();
    let from_environment = load("", &[("LOGBOOM_LISTENER", json)], &[]).unwrap();
    assert!(from_file.changes(&from_environment).is_empty());
    let [listener] = &from_file.listener[..] else {
        panic!("one listener");
    };
    assert_eq!(listener.protocol, Protocol::Udp);
    assert_eq!(listener.address.port(), 5140);
    assert_eq!(listener.token.expose(), "t.1");
}

#[test]
fn syslog_tls_is_on_once_a_certificate_is_named() {
    let certificate = "tls_certificate = 'c'\ntls_key = 'k'\n";
    let config = load(certificate, &[], &[]).unwrap();
    assert_eq!(config.syslog_tls.unwrap().to_string(), "127.0.0.1:6514");
    let config = load(&format!("{certificate}syslog_tls = 'off'"), &[], &[]).unwrap();
    assert_eq!(config.syslog_tls, None);
    let flags = [("--syslog-tls", "syslog_tls", "127.0.0.1:0")];
    let config = load(certificate, &[], &flags).unwrap();
    assert_eq!(config.syslog_tls.unwrap().port(), 0);
}

#[test]
fn faults_name_key_origin_value_and_what_would_be_right() {
    check_error(
        "frame_bytes = 1",
        &[],
        &[],
        "unknown key `frame_bytes` (file FILE); did you mean `frame_bytes_max`?",
    );
    check_error("zzz = 1", &[], &[], "unknown key `zzz` (file FILE)");
    check_error(
        "",
        &[("LOGBOOM_WAITMAX", "1s")],
        &[],
        "unknown key `waitmax` (environment variable LOGBOOM_WAITMAX); did you mean `wait_max`?",
    );
    check_error(
        "frame_bytes_max = '12 parsecs'",
        &[],
        &[],
        "frame_bytes_max = \"12 parsecs\" (file FILE): `parsecs` is no unit; it must be a size \
         from 480B to 128KiB, in bytes or such as \"16MiB\"",
    );
    check_error(
        "",
        &[("LOGBOOM_FRAME_BYTES_MAX", "1GiB")],
        &[],
        "frame_bytes_max = \"1GiB\" (environment variable LOGBOOM_FRAME_BYTES_MAX): it is above \
         128KiB; it must be a size from 480B to 128KiB, in bytes or such as \"16MiB\"",
    );
    check_error(
        "",
        &[],
        &[("--http", "http", "8601")],
        "http = \"8601\" (flag --http): it is no address with a port; it must be an IP address \
         with a port, such as \"127.0.0.1:8601\", \"0.0.0.0:8601\" or \"[::]:8601\"",
    );
    check_error(
        "when_full = 'block'",
        &[],
        &[],
        "when_full = \"block\" (file FILE): it is none of the allowed words; it must be \"lose\" \
         or \"wait\"",
    );
    check_error(
        "deny_logs_ingress = [1]",
        &[],
        &[],
        "deny_logs_ingress = [1] (file FILE): it is a list; it must be true or false",
    );
    check_error(
        "connections_max = -1",
        &[],
        &[],
        "connections_max = -1 (file FILE): it is no number; it must be a whole number from 1 to \
         1000000",
    );
}

#[test]
fn several_faults_are_reported_together() {
    let text = load("a_b_c = 1\nkeepalive = 'x'\nmode = 'off'", &[], &[])
        .err()
        .unwrap();
    assert_eq!(text.lines().count(), 3, "{text}");
}

#[test]
fn secrets_are_not_repeated() {
    for (key, value) in [
        ("LOGBOOM_ADMIN_CREDENTIAL", "hunter2"),
        (
            "LOGBOOM_LISTENER",
            r#"[{"protocol":"no","address":"1","token":"t.hunter2"}]"#,
        ),
    ] {
        let text = load("", &[(key, value)], &[]).err().unwrap();
        assert!(
            text.contains("(hidden)") && !text.contains("hunter2"),
            "{text}"
        );
    }
}

#[test]
fn keys_that_need_each_other_are_checked() {
    check_error(
        "tls_key = 'k'",
        &[],
        &[],
        "`tls_key` needs `tls_certificate`, which is not given",
    );
    check_error(
        "syslog_tls = '127.0.0.1:0'",
        &[],
        &[],
        "`syslog_tls` needs `tls_certificate`, which is not given",
    );
    check_error(
        "retry_delay_min = '2m'",
        &[],
        &[],
        "retry_delay_min = 2m is above retry_delay_max = 1m; it must not be",
    );
    check_error(
        "node_bytes_max = '1MiB'",
        &[],
        &[],
        "channel_bytes_max = 16MiB is above node_bytes_max = 1MiB; it must not be",
    );
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let flags = Flags {
        file: Some(PathBuf::from("/nonexistent/logboom.toml")),
        values: Vec::new(),
    };
    let text = Config::load(&Environment::default(), &flags)
        .err()
        .unwrap()
        .to_string();
    assert!(
        text.starts_with("cannot read the configuration file /nonexistent/logboom.toml: "),
        "{text}"
    );
    let text = load("http = \n", &[], &[]).err().unwrap();
    assert!(
        text.starts_with("the configuration file FILE is no TOML: "),
        "{text}"
    );
    assert!(text.contains("line 1"), "{text}");
}

#[test]
fn addresses_need_a_new_start_and_limits_do_not() {
    let effect = |name| KEYS.iter().find(|key| key.name == name).unwrap().effect;
    assert_eq!(effect("http"), Effect::Start);
    assert_eq!(effect("data_dir"), Effect::Start);
    assert_eq!(effect("channel_bytes_max"), Effect::Running);
    assert_eq!(effect("tls_certificate"), Effect::Start);
}

#[test]
fn a_file_that_is_no_toml_shows_no_secret() {
    for toml in [
        "log = \"info\"\nauth_key = hunter2\n",
        "log = \"info\"\nadmin_credential = \"admin:hunter2\n",
    ] {
        let text = load(toml, &[], &[]).err().unwrap();
        assert!(text.contains("no TOML: line 2: "), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
}
