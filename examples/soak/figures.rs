//! Series of measurements: medians, slopes, and the table that is printed at the end. Pure.

/// What was measured when (seconds since the load began).
#[derive(Debug, Default, Clone)]
pub struct Series(Vec<(f64, f64)>);

impl Series {
    pub fn push(&mut self, at: f64, value: f64) {
        self.0.push((at, value));
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// What was measured from `from` up to `to`.
    pub fn between(&self, from: f64, to: f64) -> Series {
        Series(self.0.iter().copied().filter(|(at, _)| (from..to).contains(at)).collect())
    }

    /// The value that this part (0 to 1) of all stays below.
    pub fn quantile(&self, part: f64) -> Option<f64> {
        let mut values: Vec<f64> = self.0.iter().map(|(_, value)| *value).collect();
        values.sort_by(f64::total_cmp);
        let last = values.len().checked_sub(1)?;
        values.get((last as f64 * part).round() as usize).copied()
    }

    pub fn median(&self) -> Option<f64> {
        self.quantile(0.5)
    }

    /// The slope an hour, by least squares.
    pub fn slope(&self) -> f64 {
        let n = self.0.len() as f64;
        let mean_at = self.0.iter().map(|(at, _)| at).sum::<f64>() / n;
        let mean = self.0.iter().map(|(_, value)| value).sum::<f64>() / n;
        let (mut together, mut square) = (0.0, 0.0);
        for (at, value) in &self.0 {
            together += (at - mean_at) * (value - mean);
            square += (at - mean_at) * (at - mean_at);
        }
        if square > 0.0 { together / square * 3600.0 } else { 0.0 }
    }
}

/// One line of the table, and whether it is as it should be.
pub struct Line {
    pub what: String,
    pub begin: f64,
    pub end: f64,
    /// An hour.
    pub slope: Option<f64>,
    /// How far the end may be above the beginning.
    pub allowed: f64,
}

impl Line {
    pub fn holds(&self) -> bool {
        // Not a number is not as it should be.
        self.end - self.begin <= self.allowed
    }
}

/// Prints the lines; gives how many don't hold.
pub fn print(lines: &[Line]) -> usize {
    println!("{:40}{:>10}{:>10}{:>12}{:>10}", "", "begin", "end", "slope/h", "allowed");
    for line in lines {
        let slope = line.slope.map_or_else(String::new, |slope| format!("{slope:+.2}"));
        let (begin, end, allowed) = (line.begin, line.end, line.allowed);
        let verdict = if line.holds() { "" } else { "  FAILED" };
        println!("{:40}{begin:>10.2}{end:>10.2}{slope:>12}{allowed:>+10.1}{verdict}", line.what);
    }
    lines.iter().filter(|line| !line.holds()).count()
}
