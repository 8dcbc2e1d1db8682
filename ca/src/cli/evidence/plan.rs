//! `inro-ca evidence plan …`.

use ca_core::{
    app::rejudge::RejudgeError,
    ports::rejudgements::{PlanEnd, Rejudgement},
};
use clap::Subcommand;
use jiff::Timestamp;
use serde::Serialize;

use crate::{
    cli::{
        exit::{CliError, Exit},
        operator,
        output::{Output, table},
    },
    wiring::EvidenceDesk,
};

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Command {
    /// List all plans, ended ones too.
    List,
    /// List the certificates of a plan, and why they fell out.
    Show {
        /// The plan's number.
        plan: u64,
    },
    /// Call a plan off: nothing is revoked by it from then on, and nothing that was is undone.
    Cancel {
        /// The plan's number.
        plan: u64,
    },
}

#[derive(Serialize)]
struct PlanView {
    plan: u64,
    planned_by: String,
    planned_at: Timestamp,
    basis: String,
    judged: u64,
    fallen: u64,
    revoke_at: Timestamp,
    reason: &'static str,
    /// `planned`, `done` or `cancelled`.
    state: &'static str,
    ended_at: Option<Timestamp>,
}

impl From<&Rejudgement> for PlanView {
    fn from(plan: &Rejudgement) -> Self {
        Self {
            plan: plan.id,
            planned_by: plan.by.clone(),
            planned_at: plan.at,
            basis: plan.basis.clone(),
            judged: plan.judged,
            fallen: plan.fallen,
            revoke_at: plan.revoke_at,
            reason: plan.reason.as_str(),
            state: plan.ended.map_or("planned", |(end, _)| PlanEnd::as_str(end)),
            ended_at: plan.ended.map(|(_, at)| at),
        }
    }
}

#[derive(Serialize)]
pub(super) struct FallenView {
    pub(super) serial: String,
    pub(super) user: String,
    pub(super) code: String,
    pub(super) detail: String,
}

/// Who fell out, in lines.
pub(super) fn rows(fallen: &[FallenView]) -> Vec<Vec<String>> {
    let mut rows = vec![["SERIAL", "USER", "CODE", "WHY"].map(String::from).to_vec()];
    rows.extend(
        fallen.iter().map(|f| vec![f.serial.clone(), f.user.clone(), f.code.clone(), f.detail.clone()]),
    );
    rows
}

pub(super) async fn run(desk: &EvidenceDesk, command: Command, output: Output) -> Result<(), CliError> {
    match command {
        Command::List => {
            let plans: Vec<PlanView> = desk.rejudge.all().await?.iter().map(PlanView::from).collect();
            output.result(&plans, |out| {
                let heading = ["PLAN", "STATE", "REVOKES AT", "FALLEN", "JUDGED", "REASON", "BY", "BASIS"];
                let mut rows = vec![heading.map(String::from).to_vec()];
                rows.extend(plans.iter().map(|plan| {
                    vec![
                        plan.plan.to_string(),
                        plan.state.to_owned(),
                        plan.revoke_at.to_string(),
                        plan.fallen.to_string(),
                        plan.judged.to_string(),
                        plan.reason.to_owned(),
                        plan.planned_by.clone(),
                        plan.basis.clone(),
                    ]
                }));
                table(out, &rows)
            })
        }
        Command::Show { plan } => {
            if !desk.rejudge.all().await?.iter().any(|known| known.id == plan) {
                return Err(CliError::not_found(format_args!("there is no plan {plan}")));
            }
            let fallen = desk.rejudge.fallen(plan).await?.into_iter().map(|fallen| FallenView {
                serial: fallen.serial.to_string(),
                user: fallen.user.to_string(),
                code: fallen.code,
                detail: fallen.detail,
            });
            let fallen: Vec<FallenView> = fallen.collect();
            output.result(&fallen, |out| table(out, &rows(&fallen)))
        }
        Command::Cancel { plan } => {
            desk.rejudge.cancel(operator(), plan).await?;
            output.result(&serde_json::json!({ "cancelled": plan }), |out| {
                writeln!(
                    out,
                    "plan {plan} is called off: it revokes nothing from now on; what it had revoked stays revoked"
                )
            })
        }
    }
}

impl From<RejudgeError> for CliError {
    fn from(error: RejudgeError) -> Self {
        let exit = match error {
            RejudgeError::NoPlan(_) => Exit::NotFound,
            RejudgeError::NothingFell | RejudgeError::Past(_) | RejudgeError::Reason => Exit::Refused,
            RejudgeError::Failure(failure) => return failure.into(),
        };
        Self::new(exit, error)
    }
}
