//! One figure: ours beside a baseline, round by round, and where the time went.

use std::time::Duration;

use serde::Serialize;

/// Which way is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Better {
    /// Rates.
    Higher,
    /// Times.
    Lower,
}

/// One entry of `results.json`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figure {
    /// Its name.
    pub(crate) bench: String,
    /// Of `ours` and `baseline`.
    pub(crate) unit: &'static str,
    pub(crate) ours: f64,
    pub(crate) baseline: f64,
    pub(crate) baseline_name: String,
    /// `ours / baseline`.
    pub(crate) ratio: f64,
    pub(crate) better: Better,
    /// The ratio to reach, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reach: Option<f64>,
    /// Ours and the baseline by turns: how much the machine wavered.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) rounds: Vec<Round>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) latency: Option<Latency>,
    /// Processor time by what used it, in microseconds for each thing done.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) parts: Vec<Part>,
    /// What one should know when reading it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) notes: Vec<String>,
}

/// One turn each.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Round {
    pub(crate) ours: f64,
    pub(crate) baseline: f64,
}

/// How long one thing took, in milliseconds.
#[expect(clippy::struct_field_names, reason = "results.json names the unit")]
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Latency {
    pub(crate) p50_ms: f64,
    pub(crate) p90_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) most_ms: f64,
}

/// A share of the processor time.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Part {
    pub(crate) name: String,
    pub(crate) us: f64,
}

impl Figure {
    /// From the means of the rounds.
    pub(crate) fn of(
        bench: impl Into<String>,
        (unit, better): (&'static str, Better),
        rounds: Vec<Round>,
        baseline_name: impl Into<String>,
    ) -> Self {
        let mean = |of: fn(&Round) -> f64| rounds.iter().map(of).sum::<f64>() / count(rounds.len());
        let (ours, baseline) = (mean(|round| round.ours), mean(|round| round.baseline));
        Self {
            bench: bench.into(),
            unit,
            ours,
            baseline,
            baseline_name: baseline_name.into(),
            ratio: ours / baseline,
            better,
            reach: None,
            rounds,
            latency: None,
            parts: Vec::new(),
            notes: Vec::new(),
        }
    }

    pub(crate) fn reaching(mut self, ratio: f64) -> Self {
        self.reach = Some(ratio);
        self
    }

    pub(crate) fn with_note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// `None` when there is nothing to reach.
    pub(crate) fn is_reached(&self) -> Option<bool> {
        self.reach.map(|reach| match self.better {
            Better::Higher => self.ratio >= reach,
            Better::Lower => self.ratio <= reach,
        })
    }
}

impl Latency {
    /// `None` when there were none.
    pub(crate) fn of(mut took: Vec<Duration>) -> Option<Self> {
        took.sort_unstable();
        let at = |percent: usize| {
            let index = (took.len() * percent / 100).min(took.len().saturating_sub(1));
            took.get(index).map(|took| took.as_secs_f64() * 1e3)
        };
        Some(Self { p50_ms: at(50)?, p90_ms: at(90)?, p99_ms: at(99)?, most_ms: at(100)? })
    }
}

/// A count as a number to divide by.
pub(crate) fn count(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::INFINITY, f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_the_mean_of_its_rounds_and_knows_which_way_is_better() {
        let rounds = || vec![Round { ours: 1.0, baseline: 4.0 }, Round { ours: 3.0, baseline: 4.0 }];
        let rate = Figure::of("rate", ("1/s", Better::Higher), rounds(), "theirs");
        assert!((rate.ratio - 0.5).abs() < 1e-9 && rate.is_reached().is_none());
        assert_eq!(rate.clone().reaching(0.5).is_reached(), Some(true));
        assert_eq!(rate.reaching(0.6).is_reached(), Some(false));
        let time = Figure::of("time", ("ms", Better::Lower), rounds(), "theirs");
        assert_eq!(time.reaching(0.6).is_reached(), Some(true));
    }

    #[test]
    fn percentiles_are_of_what_was_measured() {
        let latency = Latency::of((1..=100).rev().map(Duration::from_millis).collect()).expect("some");
        assert_eq!((latency.p50_ms, latency.p99_ms, latency.most_ms), (51.0, 100.0, 100.0));
        assert!(Latency::of(Vec::new()).is_none());
    }
}
