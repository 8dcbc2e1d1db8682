//! `[[machine]]`: the bank's own systems, each known by its client certificate.

use std::{
    collections::BTreeSet,
    num::NonZeroU32,
    path::{Path, PathBuf},
};

use ca_core::domain::{
    ids::{ContractNumber, MachineId},
    machine::MachineRole,
};
use serde::Deserialize;

use super::{ConfigError, ConfigResult, value};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    name: String,
    certificate: String,
    roles: Vec<String>,
    contracts: Option<Vec<String>>,
    #[serde(default = "default_requests")]
    requests_at_a_time: usize,
    #[serde(default = "default_entries")]
    entries_at_a_time: usize,
    #[serde(default = "default_rate")]
    entries_per_second: u32,
}

fn default_requests() -> usize {
    128
}

fn default_entries() -> usize {
    256
}

fn default_rate() -> u32 {
    5_000
}

/// A machine.
#[derive(Debug)]
pub(crate) struct Machine {
    /// Its name in the trail.
    pub(crate) id: MachineId,
    /// Its certificate, PEM.
    pub(crate) certificate: PathBuf,
    /// What it may do.
    pub(crate) roles: BTreeSet<MachineRole>,
    /// The contracts whose users it may register; `None`: all.
    pub(crate) contracts: Option<BTreeSet<ContractNumber>>,
    /// Requests under way at a time; further ones are told to come again.
    pub(crate) requests_at_a_time: usize,
    /// Entries being worked on at a time; others wait.
    pub(crate) entries_at_a_time: usize,
    /// Entries a second on average; for a moment as many at once.
    pub(crate) entries_per_second: NonZeroU32,
}

pub(super) fn validate(raw: Vec<Raw>, base: &Path) -> ConfigResult<Vec<Machine>> {
    let mut machines: Vec<Machine> = Vec::with_capacity(raw.len());
    for entry in raw {
        let machine = entry.validate(base)?;
        if machines.iter().any(|other| other.id == machine.id) {
            return Err(ConfigError::value(
                "machine.name",
                format_args!("{:?} stands there twice", machine.id.as_str()),
                "give each [[machine]] its own name",
            ));
        }
        machines.push(machine);
    }
    Ok(machines)
}

impl Raw {
    fn validate(self, base: &Path) -> ConfigResult<Machine> {
        let id = MachineId::parse(&self.name)
            .map_err(|error| ConfigError::value("machine.name", error, "for example \"branch-terminals\""))?;
        let key = |name: &str| format!("machine.{id}.{name}");
        let roles: Option<BTreeSet<MachineRole>> =
            self.roles.iter().map(|role| MachineRole::parse(role)).collect();
        let roles = roles.filter(|roles| !roles.is_empty()).ok_or_else(|| {
            ConfigError::value(
                key("roles"),
                format_args!("{:?} can't be read", self.roles),
                "list \"registration\", \"status\" or both",
            )
        })?;
        let contracts = self.contracts.map(|numbers| contracts(&key("contracts"), &numbers)).transpose()?;
        let entries_per_second =
            value::within(&key("entries_per_second"), self.entries_per_second, 1..=1_000_000)?;
        Ok(Machine {
            certificate: value::path(&key("certificate"), &self.certificate, base)?,
            roles,
            contracts,
            requests_at_a_time: value::within(
                &key("requests_at_a_time"),
                self.requests_at_a_time,
                1..=4_096,
            )?,
            entries_at_a_time: value::within(&key("entries_at_a_time"), self.entries_at_a_time, 1..=4_096)?,
            entries_per_second: NonZeroU32::new(entries_per_second).unwrap_or(NonZeroU32::MIN),
            id,
        })
    }
}

fn contracts(key: &str, numbers: &[String]) -> ConfigResult<BTreeSet<ContractNumber>> {
    if numbers.is_empty() {
        return Err(ConfigError::value(
            key,
            "it is empty, so the machine could register nobody",
            "list contract numbers, or leave it out for all contracts",
        ));
    }
    let parse = |number: &String| {
        ContractNumber::parse(number).map_err(|error| {
            ConfigError::value(key, error, "write each as it is registered, such as \"1234567\"")
        })
    };
    numbers.iter().map(parse).collect()
}
