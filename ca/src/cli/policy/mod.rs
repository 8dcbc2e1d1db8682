//! `inro-ca policy …`: policies for contracts, their versions, and who has which.

mod dry_run;

use std::path::{Path, PathBuf};

use anyhow::Context;
use ca_core::{
    app::manage_policies::{MAX_POLICY_BYTES, PolicyError, Set},
    domain::{
        custody::PukRule,
        ids::{ContractNumber, PolicyName},
        key_kind::key_name,
        policy::{Assignment, PolicyRecord, PolicyRules, WrittenPolicy},
    },
};
use clap::Subcommand;
use jiff::Timestamp;
use serde::Serialize;

use super::{
    exit::{CliError, Exit},
    operator,
    output::{Output, facts, table},
};
use crate::{
    config::Config,
    wiring::{self, PolicyDesk},
};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List the policies that hold, with the contracts that have them.
    List,
    /// Print a policy as it was set.
    Show {
        /// Its name.
        #[arg(value_parser = PolicyName::parse)]
        name: PolicyName,
        /// A version; the newest without it.
        #[arg(long)]
        version: Option<u32>,
    },
    /// Read and validate a policy's file; changes nothing.
    Check {
        /// The file, TOML; see ca/docs/policy.md for its keys.
        file: PathBuf,
    },
    /// Set a policy, or its next version. All contracts that have it follow within seconds.
    Set {
        /// The file, TOML. It says itself which version it is: the newest plus one.
        file: PathBuf,
        /// Why, for the audit trail.
        #[arg(long)]
        reason: String,
    },
    /// Give a contract a policy; "bank" is the bank's own again.
    Assign {
        /// The contract's number.
        #[arg(value_parser = ContractNumber::parse)]
        contract: ContractNumber,
        /// The policy's name.
        #[arg(value_parser = PolicyName::parse)]
        policy: PolicyName,
        /// Why, for the audit trail.
        #[arg(long)]
        reason: String,
    },
    /// Who set which version of a policy, or gave a contract which policy, when and why.
    History {
        /// The policy's name.
        #[arg(value_parser = PolicyName::parse, required_unless_present = "contract", conflicts_with = "contract")]
        name: Option<PolicyName>,
        /// A contract's number.
        #[arg(long, value_parser = ContractNumber::parse)]
        contract: Option<ContractNumber>,
    },
    /// Say which living certificates a policy would have refused, and why. Changes nothing.
    DryRun {
        /// The policy's file.
        file: PathBuf,
        /// Only this contract's certificates.
        #[arg(long, value_parser = ContractNumber::parse)]
        contract: Option<ContractNumber>,
    },
}

/// A policy in the list.
#[derive(Serialize)]
struct ListedView {
    name: String,
    version: u32,
    set_at: Option<Timestamp>,
    set_by: Option<String>,
    contracts: Vec<String>,
}

/// A version of a policy.
#[derive(Serialize)]
struct VersionView {
    name: String,
    version: u32,
    set_at: Timestamp,
    set_by: String,
    reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
}

impl VersionView {
    fn new(record: &PolicyRecord, text: bool) -> Self {
        Self {
            name: record.id.name.to_string(),
            version: record.id.version,
            set_at: record.at,
            set_by: record.by.clone(),
            reason: record.reason.clone(),
            text: text.then(|| record.text.clone()),
        }
    }
}

#[derive(Serialize)]
struct AssignmentView {
    contract: String,
    policy: String,
    assigned_at: Timestamp,
    assigned_by: String,
    reason: String,
}

impl From<&Assignment> for AssignmentView {
    fn from(assignment: &Assignment) -> Self {
        Self {
            contract: assignment.contract.to_string(),
            policy: assignment.policy.clone().unwrap_or_else(PolicyName::bank).to_string(),
            assigned_at: assignment.at,
            assigned_by: assignment.by.clone(),
            reason: assignment.reason.clone(),
        }
    }
}

/// What a policy accepts, in the words of its file.
#[derive(Serialize)]
struct RulesView {
    name: String,
    version: u32,
    devices: Vec<&'static str>,
    lowest_assurance: &'static str,
    algorithms: Vec<String>,
    binding: Vec<&'static str>,
    inventory: &'static str,
    puk: &'static str,
}

impl RulesView {
    fn new(written: &WrittenPolicy) -> Self {
        let PolicyRules { devices, binding, inventory, puk } = &written.rules;
        Self {
            name: written.id.name.to_string(),
            version: written.id.version,
            devices: devices.kinds.iter().map(|kind| kind.as_str()).collect(),
            lowest_assurance: devices.lowest_assurance.as_str(),
            algorithms: devices.algorithms.iter().copied().map(key_name).collect(),
            binding: binding.accepted().iter().map(|binding| binding.as_str()).collect(),
            inventory: inventory.as_str(),
            puk: puk.as_str(),
        }
    }
}

#[derive(Serialize)]
struct SetView {
    name: String,
    version: u32,
    set: bool,
}

pub(super) async fn run(command: Command, config: &Config, output: Output) -> Result<(), CliError> {
    let desk = wiring::policy_desk(config).await.map_err(CliError::configuration)?;
    match command {
        Command::List => list(&desk, config, output).await,
        Command::Show { name, version } => show(&desk, config, &name, version, output).await,
        Command::Check { file } => check(&desk, &file, output),
        Command::Set { file, reason } => {
            let kept = desk.manage.check(&text_of(&file)?)?.rules.puk == PukRule::Kept;
            if kept && config.token_custody.is_none() {
                let remedy =
                    "puk: there is no section [token_custody]; add it with key_file, or leave puk out";
                return Err(CliError::new(Exit::Refused, anyhow::anyhow!(remedy)));
            }
            set(&desk, &file, &reason, output).await
        }
        Command::Assign { contract, policy, reason } => {
            let assigned = desk.manage.assign(operator(), &contract, Some(&policy), &reason).await?;
            let view = AssignmentView::from(&assigned);
            output.result(&view, |out| writeln!(out, "contract {contract} has the policy {}", view.policy))
        }
        Command::History { name: Some(name), .. } => versions(&desk, &name, output).await,
        Command::History { contract: Some(contract), .. } => assignments(&desk, &contract, output).await,
        Command::History { .. } => {
            Err(anyhow::anyhow!("name a policy, or a contract with --contract").into())
        }
        Command::DryRun { file, contract } => {
            let written = desk.manage.check(&text_of(&file)?)?;
            dry_run::run(config, &written, contract, output).await
        }
    }
}

/// A policy's text, unless it is far too long to be one.
fn text_of(file: &Path) -> Result<String, CliError> {
    let shown = file.display();
    let read = || -> anyhow::Result<String> {
        let length = std::fs::metadata(file).with_context(|| format!("can't look at {shown}"))?.len();
        anyhow::ensure!(
            length <= MAX_POLICY_BYTES as u64,
            "{shown} has {length} octets; a policy has at most {MAX_POLICY_BYTES}"
        );
        std::fs::read_to_string(file).with_context(|| format!("can't read {shown}"))
    };
    read().map_err(CliError::configuration)
}

async fn list(desk: &PolicyDesk, config: &Config, output: Output) -> Result<(), CliError> {
    let in_force = desk.manage.in_force().await?;
    let contracts_of = |name: &PolicyName| -> Vec<String> {
        let of_name = in_force.assigned.iter().filter(|(_, policy)| policy == name);
        of_name.map(|(contract, _)| contract.to_string()).collect()
    };
    let bank = ListedView {
        name: config.policy.id.name.to_string(),
        version: config.policy.id.version,
        set_at: None,
        set_by: None,
        contracts: Vec::new(),
    };
    let set = in_force.policies.iter().map(|record| ListedView {
        name: record.id.name.to_string(),
        version: record.id.version,
        set_at: Some(record.at),
        set_by: Some(record.by.clone()),
        contracts: contracts_of(&record.id.name),
    });
    let views: Vec<ListedView> = std::iter::once(bank).chain(set).collect();
    output.result(&views, |out| {
        let mut rows = vec![["POLICY", "VERSION", "SET", "BY", "CONTRACTS"].map(String::from).to_vec()];
        rows.extend(views.iter().map(|view| {
            let contracts = match view.set_at {
                None => "all others".to_owned(),
                Some(_) if view.contracts.is_empty() => "-".to_owned(),
                Some(_) => view.contracts.join(", "),
            };
            let at = view.set_at.map_or_else(|| "by the configuration".to_owned(), |at| at.to_string());
            let by = view.set_by.clone().unwrap_or_else(|| "-".to_owned());
            vec![view.name.clone(), view.version.to_string(), at, by, contracts]
        }));
        table(out, &rows)
    })
}

async fn show(
    desk: &PolicyDesk,
    config: &Config,
    name: &PolicyName,
    version: Option<u32>,
    output: Output,
) -> Result<(), CliError> {
    if *name == PolicyName::bank() {
        let place = config.path.display();
        return Err(CliError::not_found(format_args!(
            "the bank's own policy stands in {place}, section [policy]"
        )));
    }
    let versions = desk.manage.versions(name).await?;
    let wanted = |record: &&PolicyRecord| version.is_none_or(|version| record.id.version == version);
    let record = versions.iter().rfind(wanted).ok_or_else(|| {
        CliError::not_found(format_args!("the policy {name} has no such version; it has {}", versions.len()))
    })?;
    output.result(&VersionView::new(record, true), |out| {
        write!(out, "{}", record.text)?;
        if record.text.ends_with('\n') { Ok(()) } else { writeln!(out) }
    })
}

fn check(desk: &PolicyDesk, file: &Path, output: Output) -> Result<(), CliError> {
    let written = desk.manage.check(&text_of(file)?)?;
    let view = RulesView::new(&written);
    output.result(&view, |out| {
        facts(
            out,
            &[
                ("policy", view.name.clone()),
                ("version", view.version.to_string()),
                ("devices", view.devices.join(", ")),
                ("PUK", view.puk.to_owned()),
                ("lowest assurance", view.lowest_assurance.to_owned()),
                ("algorithms", view.algorithms.join(", ")),
                ("binding", view.binding.join(", ")),
                ("inventory", view.inventory.to_owned()),
            ],
        )?;
        writeln!(out, "It can be set: inro-ca policy set {} --reason …", file.display())
    })
}

async fn set(desk: &PolicyDesk, file: &Path, reason: &str, output: Output) -> Result<(), CliError> {
    let (record, new) = match desk.manage.set(operator(), &text_of(file)?, reason).await? {
        Set::New(record) => (record, true),
        Set::Standing(record) => (record, false),
    };
    let view = SetView { name: record.id.name.to_string(), version: record.id.version, set: new };
    output.result(&view, |out| {
        if new {
            writeln!(out, "policy {} is set; contracts that have it follow within seconds", record.id)
        } else {
            writeln!(out, "policy {} stands already exactly so, since {}", record.id, record.at)
        }
    })
}

async fn versions(desk: &PolicyDesk, name: &PolicyName, output: Output) -> Result<(), CliError> {
    let versions = desk.manage.versions(name).await?;
    let views: Vec<_> = versions.iter().map(|record| VersionView::new(record, false)).collect();
    output.result(&views, |out| {
        let mut rows = vec![["VERSION", "SET", "BY", "REASON"].map(String::from).to_vec()];
        rows.extend(views.iter().map(|view| {
            vec![view.version.to_string(), view.set_at.to_string(), view.set_by.clone(), view.reason.clone()]
        }));
        table(out, &rows)
    })
}

async fn assignments(desk: &PolicyDesk, contract: &ContractNumber, output: Output) -> Result<(), CliError> {
    let assignments = desk.manage.assignments(contract).await?;
    let views: Vec<AssignmentView> = assignments.iter().map(AssignmentView::from).collect();
    output.result(&views, |out| {
        let mut rows = vec![["POLICY", "SINCE", "BY", "REASON"].map(String::from).to_vec()];
        rows.extend(views.iter().map(|view| {
            let (at, by) = (view.assigned_at.to_string(), view.assigned_by.clone());
            vec![view.policy.clone(), at, by, view.reason.clone()]
        }));
        table(out, &rows)
    })
}

impl From<PolicyError> for CliError {
    fn from(error: PolicyError) -> Self {
        let exit = match error {
            PolicyError::UnknownContract | PolicyError::UnknownPolicy(_) => Exit::NotFound,
            PolicyError::Unreadable(_) | PolicyError::TooLong { .. } | PolicyError::BanksOwn => {
                Exit::Configuration
            }
            PolicyError::NotTheNext { .. } | PolicyError::Reason(_) => Exit::Refused,
            PolicyError::Failure(failure) => return failure.into(),
        };
        Self::new(exit, error)
    }
}
