//! Outgoing sockets: resolve a name, refuse forbidden addresses, connect under a deadline.
//!
//! The rules look at the address that is connected to, not at the name, so that no name service
//! can lead round them.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::time::timeout_at;

use crate::clock;
use crate::limits::LOOKUPS_MAX;

/// Which kinds of address nobody may be connected to.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct DenyRules {
    /// This machine: 127.0.0.0/8, ::1, and 0.0.0.0/8 and ::, which reach it too.
    pub denies_loopback: bool,
    /// This network: 169.254.0.0/16, fe80::/10, multicast and broadcast.
    pub denies_link_local: bool,
    /// Private networks: RFC 1918, RFC 6598 (100.64.0.0/10), fc00::/7, fec0::/10.
    pub denies_private: bool,
}

/// The rule that an address falls under.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DenyRule {
    /// The address is this machine's own.
    Loopback,
    /// The address never leaves this network.
    LinkLocal,
    /// The address belongs to a private network.
    Private,
}

impl fmt::Display for DenyRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Loopback => "loopback",
            Self::LinkLocal => "link-local",
            Self::Private => "private",
        })
    }
}

impl DenyRules {
    /// The rule that forbids `address`, if one does.
    #[must_use]
    pub fn denied_by(&self, address: IpAddr) -> Option<DenyRule> {
        let rule = kind(address)?;
        let is_denied = match rule {
            DenyRule::Loopback => self.denies_loopback,
            DenyRule::LinkLocal => self.denies_link_local,
            DenyRule::Private => self.denies_private,
        };
        is_denied.then_some(rule)
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The name service failed.
    #[error("cannot resolve {host}: {error}")]
    Resolve {
        /// The name asked for.
        host: String,
        /// What the name service said.
        error: io::Error,
    },
    /// The name has no address.
    #[error("{host} has no address")]
    NoAddress {
        /// The name asked for.
        host: String,
    },
    /// Every address that was left falls under a rule.
    #[error("address {address} is denied by the rule against {rule} addresses")]
    Denied {
        /// The last address refused.
        address: IpAddr,
        /// The rule it falls under.
        rule: DenyRule,
    },
    /// The peer or the network said no.
    #[error("cannot connect to {address}: {error}")]
    Io {
        /// The last address tried.
        address: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
    /// Nobody answered in time.
    #[error("no connection to {host} within {}", Seconds(*.timeout))]
    TimedOut {
        /// The name asked for.
        host: String,
        /// The time that was given.
        timeout: Duration,
    },
}

/// A duration as people read it in an error.
struct Seconds(Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} s", self.0.as_secs_f64())
    }
}

/// Connects to the first address of `host` that is allowed and answers, all within `timeout`.
/// The socket sends at once (no Nagle delay) and keeps itself alive.
///
/// # Errors
/// `ConnectError`: of the last address that was tried.
pub async fn connect_tcp(
    host: &str,
    port: u16,
    rules: DenyRules,
    timeout: Duration,
) -> Result<TcpStream, ConnectError> {
    let deadline = clock::now() + timeout;
    let timed_out = || ConnectError::TimedOut {
        host: host.to_owned(),
        timeout,
    };
    let addresses = timeout_at(deadline, resolve(host, port, rules))
        .await
        .map_err(|_| timed_out())??;
    let mut last_error = timed_out();
    let mut left_count = u32::try_from(addresses.len()).unwrap_or(u32::MAX);
    for address in addresses {
        // A silent address may use up its share of the time, not the others'.
        let now = clock::now();
        let share = deadline.saturating_duration_since(now) / left_count.max(1);
        left_count = left_count.saturating_sub(1);
        match timeout_at(now + share, TcpStream::connect(address)).await {
            Ok(Ok(socket)) => {
                return prepare(&socket)
                    .map(|()| socket)
                    .map_err(|error| ConnectError::Io { address, error });
            }
            Ok(Err(error)) => last_error = ConnectError::Io { address, error },
            Err(_) => last_error = timed_out(),
        }
    }
    Err(last_error)
}

/// A UDP socket that sends to the first allowed address of `host`.
///
/// # Errors
/// `ConnectError`: of the last address that was tried.
pub async fn connect_udp(
    host: &str,
    port: u16,
    rules: DenyRules,
    timeout: Duration,
) -> Result<UdpSocket, ConnectError> {
    let timed_out = || ConnectError::TimedOut {
        host: host.to_owned(),
        timeout,
    };
    let addresses = tokio::time::timeout(timeout, resolve(host, port, rules))
        .await
        .map_err(|_| timed_out())??;
    let mut last_error = timed_out();
    for address in addresses {
        match bind_towards(address).await {
            Ok(socket) => return Ok(socket),
            Err(error) => last_error = ConnectError::Io { address, error },
        }
    }
    Err(last_error)
}

/// The allowed addresses of `host`, in the name service's order; at least one.
async fn resolve(host: &str, port: u16, rules: DenyRules) -> Result<Vec<SocketAddr>, ConnectError> {
    let found = look_up(host, port)
        .await
        .map_err(|error| ConnectError::Resolve {
            host: host.to_owned(),
            error,
        })?;
    let mut denied = None;
    let mut allowed = Vec::new();
    for address in found.into_iter().take(ADDRESSES_MAX) {
        match rules.denied_by(address.ip()) {
            Some(rule) => denied = Some((address.ip(), rule)),
            None => allowed.push(address),
        }
    }
    match denied {
        _ if !allowed.is_empty() => Ok(allowed),
        Some((address, rule)) => Err(ConnectError::Denied { address, rule }),
        None => Err(ConnectError::NoAddress {
            host: host.to_owned(),
        }),
    }
}

/// Asks the name service, unless `host` is an address.
///
/// A question that nobody waits for any more still holds its thread until the system gives up. So
/// the questions at once are bounded: names that are never answered must not take every thread
/// that memory upkeep and compression need.
async fn look_up(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let asking = LOOKUPS.acquire().await.map_err(io::Error::other)?;
    let host = host.to_owned();
    tokio::task::spawn_blocking(move || {
        let found = (host, port).to_socket_addrs().map(Iterator::collect);
        drop(asking);
        found
    })
    .await
    .map_err(io::Error::other)?
}

/// Room for questions to the name service.
static LOOKUPS: Semaphore = Semaphore::const_new(LOOKUPS_MAX);

async fn bind_towards(address: SocketAddr) -> io::Result<UdpSocket> {
    let any: IpAddr = match address {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(address).await?;
    Ok(socket)
}

fn prepare(socket: &TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_TIME)
        .with_interval(KEEPALIVE_INTERVAL);
    SockRef::from(socket).set_tcp_keepalive(&keepalive)
}

/// The rule that covers `address`. An IPv6 address that stands for an IPv4 one (mapped,
/// compatible, or behind NAT64) is judged as that one.
fn kind(address: IpAddr) -> Option<DenyRule> {
    match address {
        IpAddr::V4(address) => kind_v4(address),
        IpAddr::V6(address) => match embedded_v4(address) {
            Some(inner) => kind_v4(inner),
            None => kind_v6(address),
        },
    }
}

fn kind_v4(address: Ipv4Addr) -> Option<DenyRule> {
    let [first, second, ..] = address.octets();
    if address.is_loopback() || first == 0 {
        Some(DenyRule::Loopback)
    } else if address.is_link_local() || address.is_multicast() || address.is_broadcast() {
        Some(DenyRule::LinkLocal)
    } else if address.is_private() || (first == 100 && second & 0b1100_0000 == 64) {
        Some(DenyRule::Private)
    } else {
        None
    }
}

fn kind_v6(address: Ipv6Addr) -> Option<DenyRule> {
    let [first, ..] = address.segments();
    if address.is_loopback() || address.is_unspecified() {
        Some(DenyRule::Loopback)
    } else if address.is_unicast_link_local() || address.is_multicast() {
        Some(DenyRule::LinkLocal)
    } else if address.is_unique_local() || first & 0xffc0 == 0xfec0 {
        Some(DenyRule::Private)
    } else {
        None
    }
}

fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let low = || {
        let [.., a, b, c, d] = address.octets();
        Ipv4Addr::new(a, b, c, d)
    };
    match address.segments() {
        [0, 0, 0, 0, 0, 0xffff, _, _] | [0x64, 0xff9b, 0, 0, 0, 0, _, _] => Some(low()),
        // ::1 and :: are IPv6's own; the rest of ::/96 is the old "compatible" form.
        [0, 0, 0, 0, 0, 0, high, low_half] if high != 0 || 1 < low_half => Some(low()),
        _ => None,
    }
}

/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 16;

/// Silence after which the system asks whether the peer is still there.
const KEEPALIVE_TIME: Duration = Duration::from_secs(60);

/// Time between two such questions.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: DenyRules = DenyRules {
        denies_loopback: true,
        denies_link_local: true,
        denies_private: true,
    };

    #[tokio::test]
    async fn names_are_asked_for_and_addresses_are_not() {
        let found = look_up("localhost", 7).await.unwrap();
        assert!(found.iter().any(|address| address.ip().is_loopback()));
        let all_count = u32::try_from(LOOKUPS_MAX).unwrap();
        let all = LOOKUPS.acquire_many(all_count).await.unwrap();
        let found = look_up("192.0.2.1", 7).await.unwrap();
        assert_eq!(found, ["192.0.2.1:7".parse().unwrap()]);
        let asked = tokio::time::timeout(Duration::from_millis(20), look_up("localhost", 7));
        assert!(asked.await.is_err(), "no more at once than are allowed");
        drop(all);
        assert!(look_up("localhost", 7).await.is_ok());
    }

    #[test]
    fn addresses_fall_under_their_rules() {
        let check = |address: &str, expected: Option<DenyRule>| {
            let address: IpAddr = address.parse().unwrap();
            assert_eq!(ALL.denied_by(address), expected, "{address}");
            assert_eq!(DenyRules::default().denied_by(address), None, "{address}");
        };
        for address in [
            "127.0.0.1",
            "127.255.0.9",
            "0.0.0.0",
            "0.1.2.3",
            "::1",
            "::",
            "::ffff:127.0.0.1",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
        ] {
            check(address, Some(DenyRule::Loopback));
        }
        for address in [
            "169.254.169.254",
            "fe80::1",
            "febf::1",
            "224.0.0.1",
            "239.1.1.1",
            "255.255.255.255",
            "ff02::1",
            "::ffff:169.254.169.254",
        ] {
            check(address, Some(DenyRule::LinkLocal));
        }
        for address in [
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "100.64.0.1",
            "100.127.255.255",
            "fc00::1",
            "fdff::1",
            "fec0::1",
            "::ffff:10.1.2.3",
        ] {
            check(address, Some(DenyRule::Private));
        }
        for address in [
            "1.1.1.1",
            "100.63.255.255",
            "100.128.0.0",
            "172.32.0.1",
            "126.255.255.255",
            "128.0.0.1",
            "2606:4700::1111",
            "::ffff:1.1.1.1",
        ] {
            check(address, None);
        }
    }

    #[test]
    fn each_rule_stands_alone() {
        let rules = DenyRules {
            denies_private: true,
            ..DenyRules::default()
        };
        assert_eq!(rules.denied_by([127, 0, 0, 1].into()), None);
        assert_eq!(
            rules.denied_by([10, 0, 0, 1].into()),
            Some(DenyRule::Private)
        );
    }

    #[tokio::test]
    async fn a_denied_address_is_not_connected_to_and_the_rule_is_named() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let within = Duration::from_secs(5);
        let error = connect_tcp("127.0.0.1", port, ALL, within)
            .await
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "address 127.0.0.1 is denied by the rule against loopback addresses"
        );
        let error = connect_udp("127.0.0.1", port, ALL, within)
            .await
            .unwrap_err();
        assert!(matches!(error, ConnectError::Denied { .. }), "{error}");
        let open = DenyRules::default();
        assert!(connect_tcp("127.0.0.1", port, open, within).await.is_ok());
    }
}
