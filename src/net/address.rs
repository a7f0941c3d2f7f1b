//! PURE: whose connection it is, seen through reverse proxies, and what counts as one address.

use std::net::{IpAddr, Ipv6Addr};

use crate::config::AddressList;

/// The client's address: the peer's, or, where the peer is a trusted proxy, the last address of
/// `X-Forwarded-For` that isn't a trusted proxy itself. What a client wrote into the header before
/// the proxies did stands further left and is not believed.
///
/// `None` where a trusted proxy names something that is no address: to take the proxy's own
/// address for the client's would let anybody in whom it lets through.
pub fn client(peer: IpAddr, forwarded: &[&[u8]], trusted: &AddressList) -> Option<IpAddr> {
    let mut client = peer.to_canonical();
    if !trusted.contains(client) {
        return Some(client);
    }
    let hops = forwarded.iter().rev().flat_map(|line| line.rsplit(|b| *b == b','));
    for hop in hops {
        client = parse_hop(hop)?;
        if !trusted.contains(client) {
            break;
        }
    }
    Some(client)
}

/// An address, perhaps with a port, perhaps in brackets.
fn parse_hop(bytes: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(bytes).ok()?.trim().trim_matches('"');
    let address = text
        .parse::<IpAddr>()
        .ok()
        .or_else(|| text.parse::<std::net::SocketAddr>().ok().map(|a| a.ip()))
        .or_else(|| text.strip_prefix('[')?.strip_suffix(']')?.parse().ok())?;
    Some(address.to_canonical())
}

/// What limits count as one: an IPv4 address, or the /64 that one IPv6 host can roam in.
pub fn bucket(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let network = v6.to_bits() & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from_bits(network))
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn trusted() -> AddressList {
        AddressList(vec!["127.0.0.1/32".parse().unwrap(), "10.0.0.0/8".parse().unwrap()])
    }

    fn seen(peer: &str, lines: &[&[u8]], trusted: &AddressList) -> Option<IpAddr> {
        client(ip(peer), lines, trusted)
    }

    #[test]
    fn nobody_but_a_trusted_proxy_is_believed() {
        let (other, nobody) = (Some(ip("203.0.113.9")), AddressList::default());
        let header: &[&[u8]] = &[b"203.0.113.9"];
        assert_eq!(seen("192.0.2.1", header, &trusted()), Some(ip("192.0.2.1")));
        assert_eq!(seen("127.0.0.1", header, &nobody), Some(ip("127.0.0.1")));
        assert_eq!(seen("127.0.0.1", header, &trusted()), other);
        assert_eq!(seen("::ffff:127.0.0.1", header, &trusted()), other);
        assert_eq!(seen("127.0.0.1", &[], &trusted()), Some(ip("127.0.0.1")), "no header at all");
    }

    #[test]
    fn what_the_client_wrote_itself_stands_left_and_is_not_believed() {
        let real = Some(ip("203.0.113.9"));
        for lines in [
            [b"1.2.3.4, 203.0.113.9, 10.0.0.7".as_slice()].as_slice(),
            &[b"1.2.3.4", b"203.0.113.9,10.0.0.7"],
            &[b"\xff, 203.0.113.9"],
            &[b"hello, 203.0.113.9"],
        ] {
            assert_eq!(seen("127.0.0.1", lines, &trusted()), real);
        }
    }

    #[test]
    fn a_proxy_that_names_no_address_names_nobody() {
        for line in [b"hello, 10.0.0.7".as_slice(), b"", b"\xff", b"203.0.113.9, hello"] {
            assert_eq!(seen("127.0.0.1", &[line], &trusted()), None);
        }
        let bracketed = seen("127.0.0.1", &[b"[2001:db8::1]:80"], &trusted());
        assert_eq!(bracketed, Some(ip("2001:db8::1")));
    }

    #[test]
    fn one_ipv6_host_is_one_bucket() {
        assert_eq!(bucket(ip("2001:db8::1")), bucket(ip("2001:db8::ffff:2")));
        assert_ne!(bucket(ip("2001:db8::1")), bucket(ip("2001:db8:0:1::1")));
        assert_eq!(bucket(ip("::ffff:192.0.2.1")), ip("192.0.2.1"));
    }
}
