//! What the demo says at its top: commands that work as they are typed. Pure.

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::net::SocketAddr;
use std::path::Path;

/// What the commands need to know.
pub(crate) struct Guide<'a> {
    pub(crate) channel: &'a str,
    pub(crate) credential: &'a str,
    pub(crate) token: &'a str,
    /// Where HTTP was asked for, and where it is.
    pub(crate) http: (SocketAddr, SocketAddr),
    /// Where syslog was asked for, and where it is.
    pub(crate) syslog: (SocketAddr, SocketAddr),
    /// The folder of this program, unless the shell finds it without.
    pub(crate) program: Option<&'a Path>,
}

impl Guide<'_> {
    /// The commands to try, with how to end the demo.
    pub(crate) fn text(&self) -> String {
        let Self {
            channel,
            credential,
            token,
            ..
        } = self;
        let http = reachable(self.http.1);
        let syslog = reachable(self.syslog.1);
        let (host, port) = (syslog.ip(), syslog.port());
        let path = self.program.map_or_else(String::new, |folder| {
            format!("  export PATH=\"{}:$PATH\"\n", folder.display())
        });
        format!(
            "\
Logboom demo: a router, a channel `{channel}` that simulated apps write to, a drain, a tail.
Try in a second terminal:

{path}  export LOGBOOM_URL=http://{http}
  export LOGBOOM_CREDENTIAL={credential}
  export TOKEN={token}

  logboom logs {channel} --tail --ps web
  logboom drains status
  logboom channels show {channel}
  logger -n {host} -P {port} --tcp --octet-count --rfc5424=notq -t $TOKEN hello
  MESSAGE=\"<190>1 $(date -u +%FT%TZ) host $TOKEN me.1 - - hello from curl\"
  curl http://{http}/logs -u token:$TOKEN -H 'Content-Type: application/logplex-1' -d \"${{#MESSAGE}} $MESSAGE\"

In a browser: http://{http}/metrics http://{http}/healthcheck
{}{}Ctrl-C ends the demo and nothing is kept; Ctrl-\\ shows this again.

",
            moved(self.http),
            moved(self.syslog),
        )
    }
}

/// What to say when another port had to do.
fn moved((asked, got): (SocketAddr, SocketAddr)) -> String {
    if asked.port() == 0 || asked.port() == got.port() {
        return String::new();
    }
    format!(
        "Port {} is taken; {} does instead.\n",
        asked.port(),
        got.port()
    )
}

/// An address that listens everywhere, as one to connect to.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        other => other,
    };
    SocketAddr::new(ip, address.port())
}

/// A line between those of the tail, when the commands have long scrolled away.
pub(crate) const REMINDER: &str =
    "-- logboom demo: Ctrl-\\ shows again what to try, Ctrl-C ends it --";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taken_ports_and_open_addresses_are_told_as_they_are() {
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        let guide = Guide {
            channel: "demo",
            credential: "demo:s",
            token: "t.1",
            http: (at("0.0.0.0:8601"), at("0.0.0.0:9000")),
            syslog: (at("[::]:0"), at("[::]:7000")),
            program: Some(Path::new("/opt/x")),
        };
        let text = guide.text();
        for part in [
            "  export PATH=\"/opt/x:$PATH\"\n",
            "LOGBOOM_URL=http://127.0.0.1:9000\n",
            "logger -n ::1 -P 7000 ",
            "\nPort 8601 is taken; 9000 does instead.\nCtrl-C ",
        ] {
            assert!(text.contains(part), "{part:?} is missing in:\n{text}");
        }
    }
}
