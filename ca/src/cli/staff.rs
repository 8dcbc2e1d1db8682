//! `inro-ca staff …`: the first administrators, and those of an emergency. Everybody else is admitted at the console by two
//! of them. And when the command line may change customers' data at all.

use std::path::PathBuf;

use anyhow::anyhow;
use ca_core::{
    app::staff::{
        admission::NewMember,
        members::{MemberError, any},
    },
    domain::{
        ids::StaffId,
        staff::{Member, Roles},
    },
};
use clap::Subcommand;
use serde::Serialize;

use super::{
    exit::{CliError, Exit},
    operator,
    output::{Output, facts, table},
};
use crate::{
    config::{CommandLine, Config},
    material,
    wiring::{self, Desk},
};

/// Said in the help of what the command line may change only for a while.
pub(super) const ONLY_BOOTSTRAP: &str = "\
Changes customers' data only until there is a member of staff (see `inro-ca staff`): from then on the staff console does. \
With `command_line = \"demo\"` in the configuration's section [staff] it always may.";

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Enter an administrator with a certificate of the staff CA from a key ceremony: bootstrap and break-glass.
    Import {
        /// The name in the audit trail: 2 to 32 of a-z, 0-9, '-', '_', '.'.
        #[arg(value_parser = StaffId::parse)]
        id: StaffId,
        /// The person's name.
        #[arg(long)]
        name: String,
        /// The certificate, PEM.
        #[arg(long, value_name = "FILE")]
        certificate: PathBuf,
        /// What the member may do: administrator, and clerk or hsm-operations besides.
        #[arg(long, value_parser = roles, default_value = "administrator", value_name = "ROLES")]
        roles: Roles,
        /// With two active administrators: why they can't do it at the console. It stands in the audit trail.
        #[arg(long, value_name = "REASON")]
        break_glass: Option<String>,
    },
    /// List the members of staff.
    List,
}

fn roles(text: &str) -> Result<Roles, String> {
    Roles::parse(&text.replace(',', " "))
        .map_err(|error| format!("{error}; write for example \"administrator\" or \"administrator,clerk\""))
}

/// A member as printed.
#[derive(Serialize)]
struct MemberView {
    id: String,
    name: String,
    roles: Vec<&'static str>,
    state: &'static str,
    key_sha256: String,
    admitted_at: jiff::Timestamp,
}

impl From<&Member> for MemberView {
    fn from(member: &Member) -> Self {
        Self {
            id: member.id.to_string(),
            name: member.name.clone(),
            roles: member.roles.iter().map(ca_core::domain::staff::StaffRole::as_str).collect(),
            state: member.state.as_str(),
            key_sha256: hex::encode(member.key_sha256),
            admitted_at: member.admitted_at,
        }
    }
}

pub(super) async fn run(command: Command, config: &Config, output: Output) -> Result<(), CliError> {
    let desk = wiring::staff_desk(config).await.map_err(CliError::configuration)?;
    match command {
        Command::Import { id, name, certificate, roles, break_glass } => {
            let certificate =
                material::certificate("--certificate", &certificate).map_err(CliError::configuration)?;
            let new = NewMember { id, name, roles, certificate };
            let member = desk.members.import(operator(), new, break_glass.as_deref()).await?;
            let view = MemberView::from(&member);
            output.result(&view, |out| {
                facts(
                    out,
                    &[
                        ("member", view.id.clone()),
                        ("name", view.name.clone()),
                        ("roles", view.roles.join(", ")),
                        ("key (SHA-256)", view.key_sha256.clone()),
                    ],
                )
            })
        }
        Command::List => {
            let members = desk.members.staff.members().await.map_err(ca_core::app::failure::Failure::from)?;
            let views: Vec<MemberView> = members.iter().map(MemberView::from).collect();
            output.result(&views, |out| {
                let mut rows = vec![["MEMBER", "STATE", "ROLES", "NAME"].map(String::from).to_vec()];
                rows.extend(views.iter().map(|view| {
                    vec![view.id.clone(), view.state.to_owned(), view.roles.join(","), view.name.clone()]
                }));
                table(out, &rows)
            })
        }
    }
}

impl From<MemberError> for CliError {
    fn from(error: MemberError) -> Self {
        match error {
            MemberError::Failure(failure) => failure.into(),
            error => Self::new(Exit::Refused, error),
        }
    }
}

/// Whether the command line may change customers' data.
///
/// # Errors
/// `Refused` from the first member of staff on.
pub(super) async fn may_change(config: &Config, desk: &Desk) -> Result<(), CliError> {
    let demo = config.staff.as_ref().is_some_and(|staff| staff.command_line == CommandLine::Demo);
    if demo || !any(&*desk.staff).await? {
        return Ok(());
    }
    Err(CliError::new(
        Exit::Refused,
        anyhow!(
            "the command line changes customers' data only until there is a member of staff; do it at the staff \
             console (a demonstration may set command_line = \"demo\" in the section [staff])"
        ),
    ))
}
