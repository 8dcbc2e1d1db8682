//! From single times to a rate and percentiles.

use std::time::Duration;

use serde::Serialize;

/// What was measured in one place with one number of lanes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figure {
    /// `raw`, between worker and token, or `signer`, through the running signer.
    pub path: &'static str,
    /// The key.
    pub key: String,
    /// Sessions that signed at once; through the signer, requests at once.
    pub lanes: u16,
    /// Signatures made.
    pub signatures: usize,
    /// Requests without a signature.
    pub failures: usize,
    /// Signatures per second.
    pub per_second: f64,
    /// Half took no longer, milliseconds.
    pub p50_ms: f64,
    /// 95 of 100 took no longer.
    pub p95_ms: f64,
    /// 99 of 100 took no longer.
    pub p99_ms: f64,
    /// The slowest.
    pub max_ms: f64,
}

/// Times of single signatures.
#[derive(Debug, Default)]
pub struct Times {
    /// One per signature.
    pub taken: Vec<Duration>,
    /// Requests without a signature.
    pub failures: usize,
}

impl Times {
    /// Takes in another's.
    pub fn add(&mut self, other: Self) {
        self.taken.extend(other.taken);
        self.failures += other.failures;
    }

    /// The figure for signatures that were made within `elapsed`.
    pub fn figure(mut self, path: &'static str, key: &str, lanes: u16, elapsed: Duration) -> Figure {
        self.taken.sort_unstable();
        let signatures = self.taken.len();
        let at = |percent: usize| {
            // Nearest rank.
            let rank = (signatures * percent).div_ceil(100).max(1) - 1;
            self.taken.get(rank).map_or(0.0, |taken| taken.as_secs_f64() * 1000.0)
        };
        #[expect(clippy::cast_precision_loss, reason = "nobody makes 2^52 signatures in a benchmark")]
        let per_second = signatures as f64 / elapsed.as_secs_f64().max(f64::EPSILON);
        Figure {
            path,
            key: key.to_owned(),
            lanes,
            signatures,
            failures: self.failures,
            per_second,
            p50_ms: at(50),
            p95_ms: at(95),
            p99_ms: at(99),
            max_ms: at(100),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_by_nearest_rank() {
        let times = Times { taken: (1..=200).rev().map(Duration::from_millis).collect(), failures: 3 };
        let figure = times.figure("raw", "key", 4, Duration::from_secs(2));
        assert!((figure.per_second - 100.0).abs() < 1e-9);
        let told = [figure.p50_ms, figure.p95_ms, figure.p99_ms, figure.max_ms];
        assert_eq!(told.map(|time| format!("{time:.0}")), ["100", "190", "198", "200"]);
        assert_eq!((figure.signatures, figure.failures), (200, 3));
        let nothing = Times::default().figure("raw", "key", 1, Duration::ZERO);
        assert_eq!((nothing.signatures, format!("{:.0}", nothing.max_ms)), (0, "0".to_owned()));
    }
}
