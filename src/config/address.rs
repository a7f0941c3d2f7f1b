//! Addresses: where to listen, and who is admitted.
//!
//! [`ListenAddr`] reads what the reference's files hold; [`AddressList`] compares addresses after
//! taking IPv4 out of IPv6 (`::ffff:127.0.0.1` is `127.0.0.1`), as a listener for both reports them.

use std::{
    fmt,
    net::{IpAddr, SocketAddr, ToSocketAddrs},
    str::FromStr,
};

use ipnet::{IpNet, Ipv4Net};

use super::{AddressList, ListenAddr};

impl ListenAddr {
    pub fn port(&self) -> u16 {
        match self {
            Self::AnyPort(port) => *port,
            Self::Socket(addr) => addr.port(),
        }
    }

    /// Whether only this machine can reach it.
    pub fn is_loopback(&self) -> bool {
        match self {
            Self::AnyPort(_) => false,
            Self::Socket(addr) => addr.ip().to_canonical().is_loopback(),
        }
    }

    /// Whether two listeners can't both have their address.
    pub(super) fn clashes(&self, other: &Self) -> bool {
        let any = |addr: &Self| match addr {
            Self::AnyPort(_) => true,
            Self::Socket(addr) => addr.ip().is_unspecified(),
        };
        self.port() != 0
            && self.port() == other.port()
            && (any(self) || any(other) || self == other)
    }
}

impl fmt::Display for ListenAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AnyPort(port) => write!(f, ":{port}"),
            Self::Socket(addr) => addr.fmt(f),
        }
    }
}

/// Why a text isn't an address to listen on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ListenAddrError {
    #[error("is empty")]
    Empty,
    #[error("has no port")]
    NoPort,
    #[error("\"{0}\" isn't a port from 0 to 65535")]
    Port(String),
    #[error("is an IPv6 address without brackets")]
    Brackets,
    #[error("the name \"{0}\" isn't known on this machine ({1})")]
    Unknown(String, String),
}

impl FromStr for ListenAddr {
    type Err = ListenAddrError;

    /// `":8765"`, `"8765"`, `"host:port"`, `"[::1]:8765"`. A host name is looked up, and IPv4
    /// preferred, as Go does.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        use ListenAddrError as E;
        let text = text.trim();
        if text.is_empty() {
            return Err(E::Empty);
        }
        let parse_port = |port: &str| match port.bytes().all(|b| b.is_ascii_digit()) {
            true => port.parse::<u16>().map_err(|_| E::Port(port.to_owned())),
            false => Err(E::Port(port.to_owned())),
        };
        if let Ok(addr) = text.parse::<SocketAddr>() {
            return Ok(Self::Socket(addr));
        }
        if text.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() {
            return Err(if text.contains(':') && !text.starts_with('[') {
                E::Brackets
            } else {
                E::NoPort
            });
        }
        let Some((host, port)) = text.rsplit_once(':') else {
            return match text.bytes().all(|b| b.is_ascii_digit()) {
                true => parse_port(text).map(Self::AnyPort),
                false => Err(E::NoPort),
            };
        };
        let port = parse_port(port)?;
        if host.is_empty() {
            return Ok(Self::AnyPort(port));
        }
        if host.contains(':') {
            return Err(E::Brackets);
        }
        let unknown = |why: String| E::Unknown(host.to_owned(), why);
        let found: Vec<SocketAddr> =
            (host, port).to_socket_addrs().map_err(|error| unknown(error.to_string()))?.collect();
        let v4 = found.iter().find(|addr| addr.is_ipv4());
        v4.or(found.first())
            .map(|addr| Self::Socket(*addr))
            .ok_or_else(|| unknown("no address".to_owned()))
    }
}

impl AddressList {
    /// Who may come in: the empty list is no restriction.
    pub fn admits(&self, ip: IpAddr) -> bool {
        self.0.is_empty() || self.contains(ip)
    }

    /// Who is believed: the empty list is nobody.
    pub fn contains(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.0.iter().any(|net| net.contains(&ip))
    }
}

/// An address (`192.168.1.5`) or a network (`192.168.0.0/16`), IPv4 taken out of IPv6.
pub(super) fn parse_net(text: &str) -> Option<IpNet> {
    let text = text.trim();
    if let Ok(ip) = text.trim_matches(['[', ']']).parse::<IpAddr>() {
        return Some(IpNet::from(ip.to_canonical()));
    }
    let net = text.parse::<IpNet>().ok()?;
    if let IpNet::V6(v6) = net
        && let Some(v4) = v6.addr().to_ipv4_mapped()
        && let Some(bits) = v6.prefix_len().checked_sub(96)
    {
        return Ipv4Net::new(v4, bits).ok().map(IpNet::V4);
    }
    Some(net)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(nets: &[&str]) -> AddressList {
        AddressList(nets.iter().map(|net| parse_net(net).expect(net)).collect())
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn every_form_of_the_reference_is_an_address_to_listen_on() {
        let socket = |text: &str| ListenAddr::Socket(text.parse().expect("a socket address"));
        let good = [
            (":8765", ListenAddr::AnyPort(8765)),
            ("8765", ListenAddr::AnyPort(8765)),
            (" :8765 ", ListenAddr::AnyPort(8765)),
            ("127.0.0.1:8765", socket("127.0.0.1:8765")),
            ("0.0.0.0:8765", socket("0.0.0.0:8765")),
            ("[::1]:8765", socket("[::1]:8765")),
            ("[::]:8765", socket("[::]:8765")),
            ("localhost:8765", socket("127.0.0.1:8765")),
        ];
        for (text, addr) in good {
            assert_eq!(text.parse(), Ok(addr), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_to_listen_on_says_why() {
        use ListenAddrError as E;
        let bad = [
            ("", E::Empty),
            ("127.0.0.1", E::NoPort),
            ("[::1]", E::NoPort),
            ("localhost", E::NoPort),
            ("::1", E::Brackets),
            ("fe80::1:2:8765", E::Brackets),
            (":65536", E::Port("65536".into())),
            (":http", E::Port("http".into())),
            ("+80", E::NoPort),
            ("localhost:+80", E::Port("+80".into())),
        ];
        for (text, error) in bad {
            assert_eq!(text.parse::<ListenAddr>(), Err(error), "{text}");
        }
        let unknown = "no-such-host.invalid:80".parse::<ListenAddr>();
        assert!(matches!(unknown, Err(E::Unknown(..))), "{unknown:?}");
    }

    #[test]
    fn addresses_and_networks_of_both_kinds_admit_whom_they_name() {
        let nets = list(&["127.0.0.1", "192.168.0.5/16", "fd00::/8", "::ffff:10.0.0.0/104"]);
        for inside in ["127.0.0.1", "::ffff:127.0.0.1", "192.168.255.1", "fd12::1", "10.9.8.7"] {
            assert!(nets.admits(ip(inside)) && nets.contains(ip(inside)), "{inside}");
        }
        for outside in ["127.0.0.2", "192.169.0.1", "::1", "fe80::1", "::ffff:11.0.0.1"] {
            assert!(!nets.admits(ip(outside)) && !nets.contains(ip(outside)), "{outside}");
        }
    }

    #[test]
    fn the_empty_list_admits_everyone_and_trusts_nobody() {
        let nets = AddressList::default();
        assert!(nets.admits(ip("203.0.113.9")));
        assert!(!nets.contains(ip("203.0.113.9")));
    }

    #[test]
    fn what_is_no_network_is_none() {
        for text in ["", "localhost", "10.0.0.0/33", "10.0.0", "10.0.0.0/", "::/129", "*"] {
            assert_eq!(parse_net(text), None, "{text}");
        }
    }
}
