//! What a channel's readers are told about messages that were dropped over a rate limit.

use tokio::time::Instant;

use crate::clock::UnixMicros;
use crate::route::Target;
use crate::route::limit::Loss;
use crate::syslog::message::Message;
use crate::syslog::message::Pri;
use crate::syslog::timestamp;

/// Writes the notice that is due for `target` into its channel, if one is.
pub fn tell(target: &Target, now: Instant, wall: UnixMicros) {
    let loss = target.limiter().loss_to_tell(now);
    if let Some(loss) = loss {
        let text = text(loss, target.source().as_str());
        let message = message(&text, wall);
        target.channel().append(std::iter::once(message), wall);
    }
}

/// `Rate limit: N messages dropped since T. reason=rate_limited source=NAME`.
fn text(loss: Loss, source: &str) -> String {
    format!(
        "Rate limit: {} messages dropped since {}. reason=rate_limited source={source}",
        loss.messages,
        loss.since.to_seconds_text(),
    )
}

/// A message of the router's own, from `heroku[logplex]` as Logplex's were.
fn message(text: &str, wall: UnixMicros) -> Message<'_> {
    Message {
        pri: Pri::or_default(PRI_LOCAL5_WARNING),
        is_truncated: false,
        timestamp: timestamp::in_micros(wall),
        hostname: b"host",
        app_name: b"heroku",
        procid: b"logplex",
        msgid: b"-",
        sd: b"-",
        text: text.as_bytes(),
    }
}

/// PRI of Logplex's own error messages.
const PRI_LOCAL5_WARNING: u32 = 172;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_notice_says_how_many_since_when_and_whose() {
        let loss = Loss {
            messages: 12,
            since: UnixMicros::new(1_353_105_648_123_456),
        };
        let text = text(loss, "app");
        assert_eq!(
            text,
            "Rate limit: 12 messages dropped since 2012-11-16T22:40:48+00:00. \
             reason=rate_limited source=app"
        );
        let message = message(&text, loss.since);
        assert_eq!(
            message.timestamp.text(&mut Default::default()),
            b"2012-11-16T22:40:48.123456+00:00"
        );
        assert_eq!(message.pri.value(), 172);
    }
}
