//! What a flood cannot pass: how many connections, in all and for one address, and how many failed
//! logins for one address and minute.
//!
//! Promises: bounded memory whatever addresses come; loopback is not limited by address, so a
//! reverse proxy or an Asterisk on the same machine can't be locked out.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use prometheus_client::metrics::gauge::Gauge;

use super::address::bucket;

/// Addresses that a tally remembers; beyond it the oldest half is forgotten.
const TALLY_ADDRESSES: usize = 10_000;

/// Open connections.
#[derive(Debug, Default)]
pub struct Connections(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    total: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// One open connection; dropping it makes room. A WebSocket's task keeps it beyond the HTTP that
/// it began with.
#[derive(Debug)]
pub struct Place {
    connections: Arc<Connections>,
    address: Option<IpAddr>,
    /// The gauge that shows it; absent where the connection itself has a place of its own.
    gauge: Option<Gauge>,
}

/// Why there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    Total,
    Address,
}

impl Full {
    /// The name in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Full::Total => "too_many_connections",
            Full::Address => "too_many_connections_of_address",
        }
    }
}

impl Connections {
    /// A place for a connection of this address, if there is room.
    pub fn enter(
        self: &Arc<Self>,
        address: IpAddr,
        total_limit: usize,
        address_limit: usize,
        gauge: Gauge,
    ) -> Result<Place, Full> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.total >= total_limit {
            return Err(Full::Total);
        }
        let address = counts.enter_address(address, address_limit)?;
        counts.total += 1;
        gauge.inc();
        Ok(Place { connections: self.clone(), address, gauge: Some(gauge) })
    }

    /// A place for a client behind a proxy, whose connection itself is counted already.
    pub fn enter_behind_proxy(
        self: &Arc<Self>,
        address: IpAddr,
        address_limit: usize,
    ) -> Result<Place, Full> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let address = counts.enter_address(address, address_limit)?;
        Ok(Place { connections: self.clone(), address, gauge: None })
    }
}

impl Counts {
    fn enter_address(&mut self, address: IpAddr, limit: usize) -> Result<Option<IpAddr>, Full> {
        if address.to_canonical().is_loopback() {
            return Ok(None);
        }
        let address = bucket(address);
        let count = self.by_address.entry(address).or_default();
        if *count >= limit {
            return Err(Full::Address);
        }
        *count += 1;
        Ok(Some(address))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.connections.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(gauge) = &self.gauge {
            counts.total -= 1;
            gauge.dec();
        }
        if let Some(address) = self.address
            && let Some(count) = counts.by_address.get_mut(&address)
        {
            *count -= 1;
            if *count == 0 {
                counts.by_address.remove(&address);
            }
        }
    }
}

/// How often something happened in the last while, by address.
#[derive(Debug)]
pub struct Tally {
    window: Duration,
    counts: Mutex<HashMap<IpAddr, (Instant, u32)>>,
}

impl Tally {
    /// Counts of windows this long.
    pub fn new(window: Duration) -> Self {
        Self { window, counts: Mutex::default() }
    }

    /// How often it has happened in this address's window.
    pub fn of(&self, address: IpAddr, now: Instant) -> u32 {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        match counts.get(&bucket(address)) {
            Some((since, count)) if !self.is_old(*since, now) => *count,
            _ => 0,
        }
    }

    /// Counts once more; gives the count.
    pub fn count(&self, address: IpAddr, now: Instant) -> u32 {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.len() >= TALLY_ADDRESSES {
            counts.retain(|_, (since, _)| !self.is_old(*since, now));
        }
        if counts.len() >= TALLY_ADDRESSES {
            let mut times: Vec<Instant> = counts.values().map(|(since, _)| *since).collect();
            times.sort_unstable();
            let middle = times[times.len() / 2];
            counts.retain(|_, (since, _)| *since > middle);
        }
        let (since, count) = counts.entry(bucket(address)).or_insert((now, 0));
        if self.is_old(*since, now) {
            (*since, *count) = (now, 0);
        }
        *count = count.saturating_add(1);
        *count
    }

    fn is_old(&self, since: Instant, now: Instant) -> bool {
        now.saturating_duration_since(since) >= self.window
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_place_is_free_again_when_its_connection_ends() {
        let connections = Arc::new(Connections::default());
        let a = connections.enter(ip("192.0.2.1"), 10, 2, Gauge::default()).unwrap();
        let _b = connections.enter(ip("192.0.2.1"), 10, 2, Gauge::default()).unwrap();
        assert_eq!(
            connections.enter(ip("192.0.2.1"), 10, 2, Gauge::default()).unwrap_err(),
            Full::Address
        );
        assert!(connections.enter(ip("192.0.2.2"), 10, 2, Gauge::default()).is_ok());
        drop(a);
        assert!(connections.enter(ip("192.0.2.1"), 10, 2, Gauge::default()).is_ok());
    }

    #[test]
    fn loopback_is_limited_in_all_only() {
        let connections = Arc::new(Connections::default());
        let places: Vec<_> = (0..5)
            .map(|_| connections.enter(ip("127.0.0.1"), 5, 1, Gauge::default()).unwrap())
            .collect();
        assert_eq!(connections.enter(ip("::1"), 5, 1, Gauge::default()).unwrap_err(), Full::Total);
        drop(places);
        assert_eq!(connections.0.lock().unwrap().total, 0);
        assert!(connections.0.lock().unwrap().by_address.is_empty());
    }

    const WINDOW: Duration = Duration::from_secs(60);

    #[test]
    fn a_tally_is_an_addresss_own_and_forgotten_after_its_window() {
        let tally = Tally::new(WINDOW);
        let now = Instant::now();
        for n in 1..=3 {
            assert_eq!(tally.count(ip("192.0.2.1"), now), n);
        }
        assert_eq!(tally.of(ip("192.0.2.1"), now), 3);
        assert_eq!(tally.of(ip("192.0.2.2"), now), 0);
        assert_eq!(tally.of(ip("192.0.2.1"), now + WINDOW), 0);
        assert_eq!(tally.count(ip("192.0.2.1"), now + WINDOW), 1);
    }

    #[test]
    fn any_number_of_addresses_is_remembered_in_bounded_memory() {
        let tally = Tally::new(WINDOW);
        let now = Instant::now();
        for n in 0..3 * TALLY_ADDRESSES as u32 {
            tally.count(IpAddr::from(n.to_be_bytes()), now + Duration::from_millis(n.into()));
        }
        assert!(tally.counts.lock().unwrap().len() <= TALLY_ADDRESSES);
    }
}
