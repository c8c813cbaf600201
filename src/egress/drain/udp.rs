//! Syslog over UDP (RFC 5426): a datagram for each message, and no word whether it arrived.
//!
//! The one thing a destination's machine may say is that nobody listens there (ICMP); it says so to
//! the next datagram, so the one before it is sent again as well.

use std::io;

use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout};

use crate::clock;
use crate::egress::drain::DrainSettings;
use crate::egress::drain::batch::Batch;
use crate::egress::drain::sink::Around;
use crate::id::FrameId;
use crate::limits::{SYSLOG_DATAGRAM_BYTES_MAX, SYSLOG_DATAGRAM_BYTES_SAFE};
use crate::net::connect::connect_udp;
use crate::net::outcome::{Failure, Outcome};
use crate::syslog::encode;

/// The sink of `syslog+udp://` drains.
#[derive(Default)]
pub(crate) struct UdpSink {
    socket: Option<UdpSocket>,
    /// When the socket is to be made anew: nothing else would tell that the name leads elsewhere.
    ends: Option<Instant>,
    /// The batch that was interrupted, and how many of its frames need not be sent again.
    interrupted: Option<(FrameId, usize)>,
}

impl UdpSink {
    /// Whether there is a socket that may still be used.
    pub(crate) fn is_connected(&self) -> bool {
        self.socket.is_some() && self.ends.is_some_and(|ends| clock::now() < ends)
    }

    /// Resolves the destination and makes a socket towards it.
    pub(crate) async fn connect(&mut self, around: Around<'_>) -> Result<(), Failure> {
        let url = &around.plan.url;
        let settings = around.settings;
        let rules = settings.deny_rules();
        let socket = connect_udp(url.host(), url.port(), rules, settings.connect_timeout).await?;
        self.socket = Some(socket);
        let lifetime = settings.syslog_idle_max.min(settings.connection_age_max);
        self.ends = Some(clock::now() + lifetime);
        Ok(())
    }

    /// Sends each frame of `batch`, or those that are left of it, as one datagram.
    pub(crate) async fn send(&mut self, batch: &Batch, settings: &DrainSettings) -> Outcome {
        let Some(socket) = &self.socket else {
            return Failure::Closed.into();
        };
        let skip_count = match self.interrupted {
            Some((id, sent_count)) if id == batch.id => sent_count,
            _ => 0,
        };
        let mut sent_count = skip_count;
        let write = async {
            for frame in frames(&batch.body).skip(skip_count) {
                send_frame(socket, frame).await?;
                sent_count += 1;
            }
            Ok::<(), io::Error>(())
        };
        let failure = match timeout(settings.write_timeout, write).await {
            Ok(Ok(())) => {
                self.interrupted = None;
                return Outcome::Confirmed { status: None };
            }
            Ok(Err(error)) => Failure::Io(error),
            Err(_) => Failure::TimedOut {
                what: "sending",
                timeout: settings.write_timeout,
            },
        };
        self.interrupted = Some((batch.id, sent_count.saturating_sub(1)));
        // The name may lead elsewhere next time.
        self.close();
        failure.into()
    }

    /// Forgets the socket.
    pub(crate) fn close(&mut self) {
        self.socket = None;
    }
}

async fn send_frame(socket: &UdpSocket, frame: &[u8]) -> io::Result<()> {
    let message = encode::without_framing(frame);
    let message = message.get(..SYSLOG_DATAGRAM_BYTES_MAX).unwrap_or(message);
    match (
        socket.send(message).await,
        message.get(..SYSLOG_DATAGRAM_BYTES_SAFE),
    ) {
        (Ok(_), _) => Ok(()),
        // Some paths refuse long datagrams; a cut message is better than one that blocks the rest.
        (Err(error), Some(start)) if error.kind() != io::ErrorKind::ConnectionRefused => {
            socket.send(start).await.map(drop)
        }
        (Err(error), _) => Err(error),
    }
}

/// The octet-counted frames in `body`, each with its count. They were written here: what follows a
/// count that makes no sense is not looked at.
fn frames(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = body;
    std::iter::from_fn(move || {
        let digits_count = rest.iter().position(|&byte| byte == b' ')?;
        let digits = rest.get(..digits_count)?;
        let length: usize = std::str::from_utf8(digits).ok()?.parse().ok()?;
        let frame;
        (frame, rest) = rest.split_at_checked(digits_count + 1 + length)?;
        Some(frame)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::UnixMicros;
    use crate::egress::drain::DrainSettings;
    use crate::egress::drain::plan::Plan;
    use crate::id::{ChannelId, DrainId, DrainToken};
    use crate::net::trust::Trusts;
    use crate::registry::{DrainEntry, DrainOptions, DrainUrl};
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn the_name_is_resolved_again_after_a_while() {
        let second = Duration::from_secs(1);
        let settings = DrainSettings {
            batch_bytes_max: 1_000,
            connect_timeout: second,
            request_timeout: second,
            write_timeout: second,
            retry_delay_min: second,
            retry_delay_max: second,
            http_idle_max: second,
            syslog_idle_max: 240 * second,
            connection_age_max: 3_600 * second,
            deny_loopback: false,
            deny_link_local: false,
            deny_private: false,
            notice_interval: second,
        };
        let entry = DrainEntry {
            id: DrainId::new(1),
            token: DrainToken::random(),
            channel: ChannelId::new("app").unwrap(),
            url: Some(DrainUrl::parse("syslog+udp://127.0.0.1:9").unwrap()),
            options: DrainOptions::default().shared(),
            created: UnixMicros::default(),
        };
        let plan = Plan::new(&entry).unwrap().unwrap();
        let trusts = Trusts::default();
        let mut sink = UdpSink::default();
        let around = Around {
            plan: &plan,
            settings: &settings,
            trusts: &trusts,
        };
        sink.connect(around).await.unwrap();
        tokio::time::advance(239 * second).await;
        assert!(sink.is_connected());
        tokio::time::advance(second).await;
        assert!(!sink.is_connected());
    }

    #[test]
    fn a_body_falls_into_its_frames() {
        let check = |body: &str, expected: &[&str]| {
            let found: Vec<_> = frames(body.as_bytes())
                .map(|frame| std::str::from_utf8(frame).unwrap())
                .collect();
            assert_eq!(found, expected, "{body:?}");
        };
        check("", &[]);
        check("3 a\nb", &["3 a\nb"]);
        check(
            "3 a b2 c\n10 0123456789",
            &["3 a b", "2 c\n", "10 0123456789"],
        );
        check("9 short", &[]);
    }
}
