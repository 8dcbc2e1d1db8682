//! The faults that Inro must survive, each a scenario that runs small in the test `crash` and at full size in
//! `make soak`. A scenario does its worst to a real bank and says what it found; only the sizes differ.

mod bend;
mod books;
mod clock;
mod cuts;
mod disk;
mod hostile;
mod hsm;
mod inserts;
mod kills;
mod mutations;
mod overload;
mod published;
mod repeats;
mod restored;
mod serials;
mod town;

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Result;
use serde::Serialize;
use serde_json::{Map, Value};

/// How much of everything.
#[derive(Clone, Debug)]
pub struct Size {
    /// R1: processes killed.
    pub kills: usize,
    /// R2: final inserts that fail.
    pub failed_inserts: u32,
    /// R3: faults of the disk.
    pub disk_faults: usize,
    /// R4: power cuts.
    pub power_cuts: usize,
    /// R5: times that each error comes at some step.
    pub module_errors: usize,
    /// R6: spells in which the token is idle.
    pub idle_spells: usize,
    /// R6: how long each lasts.
    pub idle: Duration,
    /// R7: hangs and crashes of the module.
    pub module_hangs: usize,
    /// R8: starts with a wrong PIN.
    pub wrong_pins: usize,
    /// R9: wrong signatures.
    pub wrong_signatures: u64,
    /// R10: idempotency keys that are used fifty times in parallel.
    pub repeated_keys: u32,
    /// R12: serial numbers drawn.
    pub serials: usize,
    /// R16: jumps of the clock.
    pub clock_jumps: usize,
    /// R17: changes to ledger and journal.
    pub mutations: usize,
    /// R18: ledgers restored from a backup.
    pub restores: usize,
    /// R20: how long the overload lasts.
    pub overload: Duration,
    /// FUZZ: hostile inputs for the readers of evidence.
    pub hostile_inputs: u64,
    /// Whether to wait for what happens every minute, rather than to restart for it.
    pub patient: bool,
    /// Where all that is random begins.
    pub seed: u64,
}

impl Size {
    /// For `make test`.
    pub fn small() -> Self {
        Self {
            kills: 6,
            failed_inserts: 8,
            disk_faults: 6,
            power_cuts: 4,
            module_errors: 1,
            idle_spells: 4,
            idle: Duration::from_millis(300),
            module_hangs: 4,
            wrong_pins: 2,
            wrong_signatures: 24,
            repeated_keys: 2,
            serials: 20_000,
            clock_jumps: 6,
            mutations: 40,
            restores: 1,
            overload: Duration::from_secs(8),
            hostile_inputs: 20_000,
            patient: false,
            seed: 1,
        }
    }

    /// As in the list of faults that must be survived.
    pub fn full() -> Self {
        Self {
            kills: 200,
            failed_inserts: 1000,
            disk_faults: 20,
            power_cuts: 100,
            module_errors: 20,
            idle_spells: 10,
            idle: Duration::from_secs(45),
            module_hangs: 20,
            wrong_pins: 5,
            wrong_signatures: 1000,
            repeated_keys: 100,
            serials: 1_000_000,
            clock_jumps: 12,
            mutations: 1000,
            restores: 10,
            overload: Duration::from_hours(1),
            hostile_inputs: 5_000_000,
            patient: true,
            seed: 1,
        }
    }
}

/// What a scenario found.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// The fault's number, such as `R1`.
    pub fault: &'static str,
    /// What was done and what must hold.
    pub invariant: &'static str,
    /// What was counted and measured.
    pub figures: Map<String, Value>,
    /// What did not hold. Empty is good.
    pub violations: Vec<String>,
    /// How long it took.
    pub seconds: u64,
    #[serde(skip)]
    began: Instant,
}

impl Outcome {
    fn new(fault: &'static str, invariant: &'static str) -> Self {
        let (figures, violations) = (Map::new(), Vec::new());
        Self { fault, invariant, figures, violations, seconds: 0, began: Instant::now() }
    }

    fn figure(&mut self, name: &str, value: impl Into<Value>) {
        self.figures.insert(name.to_owned(), value.into());
    }

    /// Notes a violation unless `holds`.
    fn check(&mut self, holds: bool, violation: impl FnOnce() -> String) {
        if !holds {
            self.violations.push(violation());
        }
    }

    /// The shortest, the middle, and the longest of these times, in milliseconds.
    fn times(&mut self, name: &str, times: &[Duration]) {
        let mut sorted: Vec<u64> =
            times.iter().map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)).collect();
        sorted.sort_unstable();
        let middle = sorted.get(sorted.len() / 2).copied();
        let mut value = Map::new();
        for (which, time) in
            [("least", sorted.first().copied()), ("median", middle), ("most", sorted.last().copied())]
        {
            value.insert(which.to_owned(), time.into());
        }
        self.figures.insert(format!("{name}_ms"), Value::Object(value));
    }

    fn ended(mut self) -> Self {
        self.seconds = self.began.elapsed().as_secs();
        self
    }

    /// For a test: nothing was violated.
    ///
    /// # Panics
    /// With all violations and figures.
    pub fn assert_sound(&self) {
        assert!(self.violations.is_empty(), "{}: {}\n{self:#?}", self.fault, self.violations.join("\n"));
    }
}

/// A scenario: it works in a directory of its own, which must not exist yet.
pub type Scenario = fn(&Path, &Size) -> Result<Outcome>;

/// All of them, in the order of their numbers.
pub const SCENARIOS: &[(&str, Scenario)] = &[
    ("R1", kills::run),
    ("R2", inserts::run),
    ("R3", disk::run),
    ("R4", cuts::run),
    ("R5", hsm::errors::run),
    ("R6", hsm::idle::run),
    ("R7", hsm::hangs::run),
    ("R8", hsm::pins::run),
    ("R9", hsm::lies::run),
    ("R10", repeats::run),
    ("R12", serials::run),
    ("R16", clock::run),
    ("R17", mutations::run),
    ("R18", restored::run),
    ("R20", overload::run),
    ("FUZZ", hostile::run),
];

/// The scenario of this number.
pub fn scenario(fault: &str) -> Option<Scenario> {
    SCENARIOS.iter().find(|(number, _)| *number == fault).map(|(_, scenario)| *scenario)
}

/// R4 where syncs do nothing: its outcome has violations, or the scenario is blind.
///
/// # Errors
/// When it couldn't be run to its end.
pub fn power_cuts_on_a_lying_disk(directory: &Path, size: &Size) -> Result<Outcome> {
    cuts::on_a_lying_disk(directory, size)
}
