//! Faults whose scenarios are tests of other targets: cargo builds and runs them here, larger than in `make test`, and how
//! they ended stands in the report like any other.

use std::{
    env,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::Result;
use serde_json::Map;
use softhsm_tests::process::{Process, run};

use crate::report::Found;

/// Nothing here takes so long, unless it hangs.
const LONGEST: Duration = Duration::from_hours(6);

/// A fault that is tested elsewhere.
pub(crate) struct Elsewhere {
    pub(crate) fault: &'static str,
    invariant: &'static str,
    /// The tests, for `cargo test`.
    tests: &'static [&'static str],
    /// For the tests themselves.
    how: &'static [&'static str],
    /// The variable that says how much of what.
    variable: &'static str,
    of: &'static str,
    small: u32,
    full: u32,
}

/// All of them.
pub(crate) const ELSEWHERE: &[Elsewhere] = &[
    Elsewhere {
        fault: "R11",
        invariant: "two nodes on one PostgreSQL, one killed, then the database, then all replaced one by one: no serial \
                    twice, CRL numbers rise, jobs are taken over within 30 s, nobody is refused for good",
        tests: &["-p", "softhsm-tests", "--test", "cluster"],
        // Times count.
        how: &["--test-threads=1"],
        variable: "INRO_CLUSTER_CERTIFICATES",
        of: "certificates_in_each_load",
        small: 90,
        full: 10_000,
    },
    Elsewhere {
        fault: "FUZZ-AGENT",
        invariant: "every parser of the agent's answers within 100 ms and never panics",
        tests: &["-p", "token-agent", "hostile_"],
        how: &[],
        variable: "INRO_HOSTILE_INPUTS",
        of: "inputs_for_each_parser",
        small: 20_000,
        full: 1_000_000,
    },
];

impl Elsewhere {
    /// Builds the tests as this program was built, and runs them. Their log is in `directory`.
    pub(crate) fn run(&self, directory: &Path, small: bool) -> Result<Found> {
        run(self.cargo().arg("--no-run"))?;
        let size = if small { self.small } else { self.full };
        let mut command = self.cargo();
        command.arg("--").args(self.how).env(self.variable, size.to_string());
        let began = Instant::now();
        let mut tests = Process::spawn("tests", &mut command, directory)?;
        let status = tests.wait(LONGEST)?;
        let log = tests.log();
        let mut violations = with_ending(&log, "FAILED");
        if !status.success() && violations.is_empty() {
            violations.push(format!("cargo ended with {status}, see tests.log"));
        }
        let mut figures = Map::new();
        figures.insert(self.of.to_owned(), size.into());
        figures.insert("tests_passed".to_owned(), with_ending(&log, "ok").len().into());
        Ok(Found {
            invariant: self.invariant.to_owned(),
            figures,
            violations,
            seconds: began.elapsed().as_secs(),
        })
    }

    fn cargo(&self) -> Command {
        let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.current_dir(env!("CARGO_MANIFEST_DIR")).args(["test", "--locked"]).args(self.tests);
        if !cfg!(debug_assertions) {
            command.arg("--release");
        }
        command
    }
}

/// The lines that tell of one test, by how it ended.
fn with_ending(log: &str, ending: &str) -> Vec<String> {
    let ended = |line: &&str| line.starts_with("test ") && line.ends_with(&format!(" ... {ending}"));
    log.lines().filter(ended).map(str::to_owned).collect()
}
