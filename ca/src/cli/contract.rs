//! `inro-ca contract …`.

use ca_core::{
    app::customers::NewContract,
    domain::{
        contract::{Contract, Plan},
        ids::ContractNumber,
        user::User,
    },
};
use clap::Subcommand;
use serde::Serialize;

use super::{
    exit::CliError,
    operator,
    output::{Output, facts, table},
    staff,
    user::UserView,
};
use crate::{config::Config, wiring};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Register a contract.
    Add {
        /// Its number: 4 to 20 digits or capital letters.
        #[arg(value_parser = ContractNumber::parse)]
        number: ContractNumber,
        /// The customer's name, as it will stand in certificates.
        #[arg(long)]
        name: String,
        /// General users at the most, besides the one master.
        #[arg(long, default_value_t = Plan::default().general_users)]
        general_users: u16,
    },
    /// List all contracts.
    List,
    /// Show a contract and its users.
    Show {
        /// Its number.
        #[arg(value_parser = ContractNumber::parse)]
        number: ContractNumber,
    },
}

/// A contract as it is printed.
#[derive(Serialize)]
struct ContractView {
    number: String,
    name: String,
    general_users: u16,
    registered_at: jiff::Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    users: Option<Vec<UserView>>,
}

impl ContractView {
    fn new(contract: &Contract, users: Option<&[User]>) -> Self {
        Self {
            number: contract.number.to_string(),
            name: contract.name.clone(),
            general_users: contract.plan.general_users,
            registered_at: contract.registered_at,
            users: users.map(|users| users.iter().map(UserView::from).collect()),
        }
    }
}

pub(super) async fn run(command: Command, config: &Config, output: Output) -> Result<(), CliError> {
    let desk = wiring::desk(config).await.map_err(CliError::configuration)?;
    if matches!(command, Command::Add { .. }) {
        staff::may_change(config, &desk).await?;
    }
    let customers = desk.customers;
    match command {
        Command::Add { number, name, general_users } => {
            let new = NewContract { number, name, plan: Plan { general_users } };
            let contract = customers.register_contract(operator(), new).await?;
            output.result(&ContractView::new(&contract, None), |out| {
                writeln!(out, "contract {} is registered: 1 + {general_users} users", contract.number)
            })
        }
        Command::List => {
            let contracts = customers.contracts().await?;
            let views: Vec<_> = contracts.iter().map(|contract| ContractView::new(contract, None)).collect();
            output.result(&views, |out| {
                let mut rows = vec![["NUMBER", "USERS", "NAME"].map(String::from).to_vec()];
                rows.extend(
                    views
                        .iter()
                        .map(|v| vec![v.number.clone(), format!("1+{}", v.general_users), v.name.clone()]),
                );
                table(out, &rows)
            })
        }
        Command::Show { number } => {
            let (contract, users) = customers.contract(&number).await?;
            let view = ContractView::new(&contract, Some(&users));
            output.result(&view, |out| {
                facts(
                    out,
                    &[
                        ("number", view.number.clone()),
                        ("name", view.name.clone()),
                        ("plan", format!("1 master, {} general users", view.general_users)),
                        ("registered", view.registered_at.to_string()),
                    ],
                )?;
                writeln!(out)?;
                table(out, &UserView::rows(view.users.as_deref().unwrap_or_default()))
            })
        }
    }
}
