//! What operations see of a working bank: metrics, traces, logs, readiness, and an end that cuts nothing off.

#[path = "../customers/mod.rs"]
mod customers;

mod collector;
mod drain;
mod logs;
mod metrics;
mod readiness;
mod traces;

use customers::House;
use rustix::process::Signal;
use softhsm_tests::{process::Process, wait::PATIENCE};

/// Changes the authority's configuration and environment, and starts it anew.
fn restart(house: &mut House, environment: &[(&str, &str)], adjust: impl FnOnce(&mut toml::Table)) {
    stop(house);
    let path = house.bank.path("inro.toml");
    let text = std::fs::read_to_string(&path).expect("inro.toml");
    let mut table: toml::Table = toml::from_str(&text).expect("TOML");
    adjust(&mut table);
    std::fs::write(&path, toml::to_string(&table).expect("TOML")).expect("written");
    let pairs = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    house.bank.authority_extra = pairs.collect();
    house.bank.start_authority().expect("the authority");
}

/// Ends the authority as an operator does, and expects it to end well.
fn stop(house: &mut House) {
    let mut authority = house.bank.authority.take().expect("a running authority");
    ends_well(&mut authority, Some(Signal::TERM));
}

/// Sends a signal, if any, and expects the process to end with status 0.
fn ends_well(process: &mut Process, signal: Option<Signal>) {
    if let Some(signal) = signal {
        process.signal(signal).expect("signalled");
    }
    let status = process.wait(PATIENCE).expect("an end");
    assert!(status.success(), "{status}: {}", process.log());
}

/// A section of the configuration, made if it isn't there.
fn section<'a>(table: &'a mut toml::Table, name: &str) -> &'a mut toml::Table {
    let entry = table.entry(name).or_insert_with(|| toml::Value::Table(toml::Table::new()));
    entry.as_table_mut().expect("a section")
}
