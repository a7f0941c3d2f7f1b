//! PURE: whose connection it is, seen through reverse proxies, and what counts as one address.

use std::net::{IpAddr, Ipv6Addr};

use crate::config::AddressList;

/// The client's address: the peer's, or, where the peer is a trusted proxy, the last address of
/// `X-Forwarded-For` that isn't a trusted proxy itself. What a client wrote into the header before
/// the proxies did stands further left and is not believed.
pub fn client(peer: IpAddr, forwarded: &[&str], trusted: &AddressList) -> IpAddr {
    let mut client = peer.to_canonical();
    if !trusted.contains(client) {
        return client;
    }
    let hops = forwarded.iter().rev().flat_map(|line| line.rsplit(','));
    for hop in hops {
        let Some(address) = parse_hop(hop) else { return client };
        client = address;
        if !trusted.contains(client) {
            break;
        }
    }
    client
}

/// An address, perhaps with a port, perhaps in brackets.
fn parse_hop(text: &str) -> Option<IpAddr> {
    let text = text.trim().trim_matches('"');
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

    #[test]
    fn nobody_but_a_trusted_proxy_is_believed() {
        assert_eq!(client(ip("192.0.2.1"), &["203.0.113.9"], &trusted()), ip("192.0.2.1"));
        assert_eq!(
            client(ip("127.0.0.1"), &["203.0.113.9"], &AddressList::default()),
            ip("127.0.0.1")
        );
        assert_eq!(client(ip("127.0.0.1"), &["203.0.113.9"], &trusted()), ip("203.0.113.9"));
        assert_eq!(client(ip("::ffff:127.0.0.1"), &["203.0.113.9"], &trusted()), ip("203.0.113.9"));
    }

    #[test]
    fn what_the_client_wrote_itself_stands_left_and_is_not_believed() {
        let header = ["1.2.3.4, 203.0.113.9, 10.0.0.7"];
        assert_eq!(client(ip("127.0.0.1"), &header, &trusted()), ip("203.0.113.9"));
        let lines = ["1.2.3.4", "203.0.113.9,10.0.0.7"];
        assert_eq!(client(ip("127.0.0.1"), &lines, &trusted()), ip("203.0.113.9"));
    }

    #[test]
    fn nonsense_stops_at_the_last_proxy_that_is_known() {
        assert_eq!(client(ip("127.0.0.1"), &["hello, 10.0.0.7"], &trusted()), ip("10.0.0.7"));
        assert_eq!(client(ip("127.0.0.1"), &[""], &trusted()), ip("127.0.0.1"));
        assert_eq!(client(ip("127.0.0.1"), &["[2001:db8::1]:80"], &trusted()), ip("2001:db8::1"));
    }

    #[test]
    fn one_ipv6_host_is_one_bucket() {
        assert_eq!(bucket(ip("2001:db8::1")), bucket(ip("2001:db8::ffff:2")));
        assert_ne!(bucket(ip("2001:db8::1")), bucket(ip("2001:db8:0:1::1")));
        assert_eq!(bucket(ip("::ffff:192.0.2.1")), ip("192.0.2.1"));
    }
}
