//! What the benches share: a directory, how long to measure, and things that take a while to make.

use std::{
    cell::OnceCell,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{Context, Result};
use softhsm_tests::bank::{Bank, Options};

use super::{ledger::Ledger, population::Population};

/// The laboratory.
pub(crate) struct Lab {
    directory: PathBuf,
    seconds: f64,
    tokens: usize,
    certificates: usize,
    began: Instant,
    population: OnceCell<Population>,
    bank: OnceCell<Bank>,
}

impl Lab {
    /// An empty one.
    pub(crate) fn new(
        directory: &Path,
        seconds: f64,
        (tokens, certificates): (usize, usize),
    ) -> Result<Self> {
        if directory.exists() {
            fs::remove_dir_all(directory).with_context(|| format!("removing {}", directory.display()))?;
        }
        fs::create_dir_all(directory).with_context(|| format!("making {}", directory.display()))?;
        Ok(Self {
            directory: directory.to_owned(),
            seconds,
            tokens,
            certificates,
            began: Instant::now(),
            population: OnceCell::new(),
            bank: OnceCell::new(),
        })
    }

    /// Where a bench has its files.
    pub(crate) fn directory(&self, bench: &str) -> PathBuf {
        self.directory.join(bench)
    }

    /// Of load, for each turn.
    pub(crate) fn seconds(&self) -> f64 {
        self.seconds
    }

    /// To be in ledger and journal when they are full.
    pub(crate) fn certificates(&self) -> usize {
        self.certificates
    }

    /// Whom to issue to.
    pub(crate) fn population(&self) -> Result<&Population> {
        if self.population.get().is_none() {
            self.say(&format!("making {} tokens with requests and evidence", self.tokens));
            let population = Population::create(self.tokens)?;
            // It was empty a moment ago.
            let _ = self.population.set(population);
        }
        self.population.get().context("no tokens")
    }

    /// A bank that serves, with the population's users, for benches that leave it as it was.
    pub(crate) fn bank(&self) -> Result<&Bank> {
        if self.bank.get().is_none() {
            let population = self.population()?;
            let mut bank = Bank::prepare(&self.directory("bank"), &Options::default())?;
            bank.trust(population.roots.clone())?;
            bank.hold_ceremony()?;
            bank.migrate()?;
            population.register(&Ledger::sqlite(&bank))?;
            bank.start_signer()?;
            bank.start_authority()?;
            let _ = self.bank.set(bank);
        }
        self.bank.get().context("no bank")
    }

    /// Tells whoever waits how far it is.
    pub(crate) fn say(&self, what: &str) {
        let at = self.began.elapsed().as_secs_f64();
        // Nobody is left to tell when standard error is closed.
        let _ = writeln!(std::io::stderr(), "{at:>6.1} s  {what}");
    }
}
