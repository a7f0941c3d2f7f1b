//! What is measured: delays, and what a process has used.

use std::{fs, io::Read, io::Write, net::TcpStream};

use serde_json::{Map, Value, json};

/// How late the load may be at its p99 before a run counts as disturbed, in milliseconds: a tenth
/// of a frame.
pub const LATE: f64 = 2.0;

/// Times in microseconds, exact to one below 100 ms.
pub struct Times {
    fine: Vec<u32>,
    coarse: Vec<u64>,
    count: u64,
}

const FINE: u64 = 100_000;

impl Default for Times {
    fn default() -> Self {
        Self { fine: vec![0; FINE as usize], coarse: Vec::new(), count: 0 }
    }
}

impl Times {
    pub fn add(&mut self, ns: u64) {
        let us = ns / 1000;
        self.count += 1;
        match self.fine.get_mut(us as usize) {
            Some(count) => *count += 1,
            None => self.coarse.push(us),
        }
    }

    pub fn clear(&mut self) {
        *self = Self::default();
    }

    fn absorb(&mut self, other: Self) {
        self.count += other.count;
        self.coarse.extend(other.coarse);
        for (count, more) in self.fine.iter_mut().zip(other.fine) {
            *count += more;
        }
    }

    /// The time in milliseconds that this share of all doesn't exceed.
    pub fn at(&mut self, share: f64) -> f64 {
        let rank = ((self.count as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        for (us, count) in self.fine.iter().enumerate() {
            seen += u64::from(*count);
            if seen >= rank {
                return us as f64 / 1000.0;
            }
        }
        self.coarse.sort_unstable();
        self.coarse.get((rank - seen - 1) as usize).map_or(0.0, |us| *us as f64 / 1000.0)
    }

    pub fn put(&mut self, name: &str, to: &mut Map<String, Value>) {
        for (what, share) in [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)] {
            to.insert(format!("{name} {what} ms"), json!(self.at(share)));
        }
    }
}

/// Times of a run, and of each of its seconds: a machine that stalls now and then spoils a few seconds
/// and with them the run's p99, but not the middle one of all seconds'.
#[derive(Default)]
pub struct BySecond {
    all: Times,
    p99: Vec<f64>,
    p999: Vec<f64>,
}

impl BySecond {
    /// A second is over, with these times, which begin anew.
    pub fn end(&mut self, second: &mut Times) {
        self.p99.push(second.at(0.99));
        self.p999.push(second.at(0.999));
        self.all.absorb(std::mem::take(second));
    }

    pub fn put(&mut self, name: &str, to: &mut Map<String, Value>) {
        self.all.put(name, to);
        for (what, of_seconds) in [("p99", &mut self.p99), ("p99.9", &mut self.p999)] {
            of_seconds.sort_unstable_by(f64::total_cmp);
            let middle = of_seconds.get(of_seconds.len() / 2);
            to.insert(format!("{name} {what} of the middle second ms"), json!(middle));
        }
    }
}

/// What a process has used so far, and holds.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    pub cpu_us: f64,
    pub user_us: f64,
    pub rss_kib: f64,
}

/// Reads `/proc`. CPU to the nanosecond from each thread's account where the kernel keeps one,
/// else in ticks of 10 ms.
pub fn usage(pid: u32) -> Usage {
    let read = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let stat = read("stat");
    let fields: Vec<f64> = stat
        .rsplit_once(") ")
        .map(|(_, rest)| rest.split(' ').map(|f| f.parse().unwrap_or(0.0)).collect())
        .unwrap_or_default();
    let ticks = |n: usize| fields.get(n).copied().unwrap_or(0.0) * 10_000.0;
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let exact: f64 = threads
        .filter_map(|thread| {
            let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
            text.split(' ').next()?.parse::<f64>().ok()
        })
        .sum();
    let rss = read("status").lines().find_map(|line| {
        line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.trim().parse().ok()
    });
    Usage {
        cpu_us: if exact > 0.0 { exact / 1000.0 } else { ticks(11) + ticks(12) },
        user_us: ticks(11),
        rss_kib: rss.unwrap_or(0.0),
    }
}

/// What the gateway itself has counted, if it counts.
pub fn metrics(address: Option<&str>) -> Vec<(String, f64)> {
    let fetch = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(address.unwrap_or_default())?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    };
    let text = if address.is_some() { fetch().unwrap_or_default() } else { String::new() };
    text.lines()
        .filter_map(|line| {
            let (name, value) = line.strip_prefix("goastgateway_")?.rsplit_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        })
        .collect()
}

/// The sum of all counters whose name begins so.
pub fn sum(metrics: &[(String, f64)], name: &str) -> f64 {
    metrics.iter().filter(|(n, _)| n.starts_with(name)).map(|(_, v)| v).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn a_second_that_was_spoilt_shows_in_the_run_and_not_in_the_middle_second() {
        let (mut seconds, mut second) = (BySecond::default(), Times::default());
        for delay in [2, 300, 1] {
            (0..100).for_each(|_| second.add(delay * MS));
            seconds.end(&mut second);
        }
        let mut report = Map::new();
        seconds.put("delay", &mut report);
        let ms = |name| report[name].as_f64().unwrap();
        assert_eq!(ms("delay p99 of the middle second ms"), 2.0);
        assert_eq!(ms("delay p99.9 of the middle second ms"), 2.0);
        assert_eq!(
            [ms("delay p50 ms"), ms("delay p99 ms"), ms("delay max ms")],
            [2.0, 300.0, 300.0]
        );
        assert_eq!(second.at(1.0), 0.0, "the next second begins anew");
    }
}
