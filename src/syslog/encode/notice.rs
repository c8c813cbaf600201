//! What the router itself has to say to readers, in Logplex's words.

use crate::clock::UnixMicros;
use crate::id::DrainToken;
use crate::syslog::message::Message;
use crate::syslog::message::Pri;
use crate::syslog::timestamp;

/// local5.warning: what Logplex reports losses with.
pub const NOTICE_PRI: Pri = Pri::or_default(172);

/// A message made by the router at `now`, to be stored in a channel or put in front of a batch by
/// any of the frame encoders. An L10 is one of PRI `NOTICE_PRI`, source `heroku`, procid `logplex`.
///
/// `source` and `procid` must be at least one byte and at most `FIELD_BYTES_MAX`, without spaces.
#[must_use]
pub fn notice<'a>(
    pri: Pri,
    now: UnixMicros,
    source: &'a [u8],
    procid: &'a [u8],
    text: &'a [u8],
) -> Message<'a> {
    Message {
        pri,
        is_truncated: false,
        timestamp: timestamp::in_seconds(now),
        hostname: b"-",
        app_name: source,
        procid,
        msgid: b"-",
        sd: b"-",
        text,
    }
}

/// Text of the L10 in front of a drain's batch: `lost` messages were dropped since `since`.
#[must_use]
pub fn l10_text(lost: u64, since: UnixMicros) -> String {
    format!(
        "Error L10 (output buffer overflow): {lost} messages dropped since {}.",
        since.to_seconds_text()
    )
}

/// Text of the L10 in the channel itself, which names the drain and, behind Logplex's words, why.
#[must_use]
pub fn l10_channel_text(drain: &DrainToken, lost: u64, since: UnixMicros, reason: &str) -> String {
    format!(
        "Error L10 (output buffer overflow): drain '{drain}' dropped {lost} messages since {}. \
         reason={reason}",
        since.to_seconds_text()
    )
}

/// Whole line of a tail that was lapped.
#[must_use]
pub fn l11_line(now: UnixMicros, lost: u64, since: UnixMicros) -> String {
    format!(
        "{} logplex[1]: Error L11 (Tail buffer overflow) -> This tail session dropped {lost} \
         messages since {}.\n",
        now.to_seconds_text(),
        since.to_seconds_text()
    )
}

/// Last line of a tail on a channel that allows none. Logplex writes this time, alone of all, with
/// the offset `-00:00`.
#[must_use]
pub fn l20_line(now: UnixMicros) -> String {
    let now = now.to_seconds_text();
    format!(
        "{}-00:00 Logplex: Error L20 (Tail sessions forbidden) Tail sessions for this app are \
         forbidden due to log volume.\n",
        now.strip_suffix("+00:00").unwrap_or(&now)
    )
}

/// Text of a drain's refused certificate. `uri` is shown to the channel's readers: give it without
/// user and password. A quote in either would end the value early and becomes an apostrophe.
#[must_use]
pub fn l14_text(error: &str, uri: &str) -> String {
    format!(
        "Error L14 (certificate validation): error=\"{}\" uri=\"{}\"",
        error.replace('"', "'"),
        uri.replace('"', "'")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syslog::encode::logplex_http;
    use crate::syslog::encode::logplex_syslog;
    use crate::syslog::encode::rfc5424;

    /// 2012-11-16T22:40:48.123456Z
    const NOVEMBER: UnixMicros = UnixMicros::new(1_353_105_648_123_456);

    fn drain() -> DrainToken {
        serde_json::from_str("\"d.f93c3be2-c5c1-45a1-b9d7-fcc1aa3038ce\"").unwrap()
    }

    #[test]
    fn texts_are_logplex_s() {
        let since = NOVEMBER.minus(std::time::Duration::from_secs(48));
        assert_eq!(
            l10_text(24703, since),
            "Error L10 (output buffer overflow): 24703 messages dropped since 2012-11-16T22:40:00+00:00."
        );
        assert_eq!(
            l10_channel_text(&drain(), 2, since, "overflow"),
            "Error L10 (output buffer overflow): drain 'd.f93c3be2-c5c1-45a1-b9d7-fcc1aa3038ce' \
             dropped 2 messages since 2012-11-16T22:40:00+00:00. reason=overflow"
        );
        assert_eq!(
            l11_line(NOVEMBER, 26808, since),
            "2012-11-16T22:40:48+00:00 logplex[1]: Error L11 (Tail buffer overflow) -> This tail \
             session dropped 26808 messages since 2012-11-16T22:40:00+00:00.\n"
        );
        assert_eq!(
            l20_line(NOVEMBER),
            "2012-11-16T22:40:48-00:00 Logplex: Error L20 (Tail sessions forbidden) Tail sessions \
             for this app are forbidden due to log volume.\n"
        );
        assert_eq!(
            l14_text("handshake failure", "syslog+tls://127.0.0.1:9599"),
            "Error L14 (certificate validation): error=\"handshake failure\" \
             uri=\"syslog+tls://127.0.0.1:9599\""
        );
    }

    #[test]
    fn an_l10_in_front_of_a_batch() {
        let text = l10_text(1976, NOVEMBER);
        let l10 = notice(NOTICE_PRI, NOVEMBER, b"heroku", b"logplex", text.as_bytes());
        let tail = "Error L10 (output buffer overflow): 1976 messages dropped since \
                    2012-11-16T22:40:48+00:00.\n";
        for (encoded, expected) in [
            (
                encoded(|out| logplex_http(&l10, out)),
                format!("146 <172>1 2012-11-16T22:40:48+00:00 host heroku logplex - {tail}"),
            ),
            (
                encoded(|out| logplex_syslog(&l10, &drain(), out)),
                format!(
                    "182 <172>1 2012-11-16T22:40:48+00:00 {} heroku logplex - - {tail}",
                    drain()
                ),
            ),
            (
                encoded(|out| rfc5424(&l10, NOVEMBER, out)),
                format!("145 <172>1 2012-11-16T22:40:48+00:00 - heroku logplex - - {tail}"),
            ),
        ] {
            assert_eq!(encoded, expected);
        }
    }

    fn encoded(encode: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        encode(&mut out);
        String::from_utf8(out).unwrap()
    }
}
