//! What a contract is granted, its plan and its policy. Each is changed by two members of staff.

use std::{collections::BTreeSet, sync::Arc};

use axum::{
    Form,
    extract::{Path, State},
    response::Response,
};
use ca_core::{
    app::staff::desk::DeskError,
    domain::{
        approval::Proposal,
        contract::{Contract, Plan},
        ids::{ContractNumber, PolicyName},
        staff::Task,
    },
};

use super::{
    Console, Fields, Trouble,
    catalogue::Catalogue,
    field,
    page::{Field, Form as Entry, MAX_NOTE},
    see,
    visitor::Officer,
};

/// The policy of a contract; `None` for the bank's own.
pub(super) async fn policy_of(
    console: &Console,
    contract: &ContractNumber,
) -> Result<Option<PolicyName>, Trouble> {
    let assignments = console.policies.policy_assignments(contract).await;
    let assignments = assignments.map_err(|error| Trouble::from(DeskError::from(error)))?;
    Ok(assignments.last().and_then(|assignment| assignment.policy.clone()))
}

/// The forms that ask for another plan and another policy.
pub(super) async fn forms(
    console: &Console,
    t: &'static Catalogue,
    contract: &Contract,
    current: Option<&PolicyName>,
) -> Result<Vec<Entry>, Trouble> {
    let number = &contract.number;
    let general_users = contract.plan.general_users.to_string();
    let plan = Entry::post("plan", format!("/contracts/{number}/plan"), t.ask_plan, t.ask)
        .text(t.ask_plan_text)
        .with(Field::line("general_users", t.general_users, &general_users, 5).hint(t.general_users_hint))
        .with(Field::line("reason", t.reason, "", MAX_NOTE));
    let force =
        console.policies.policies_in_force().await.map_err(|error| Trouble::from(DeskError::from(error)))?;
    let current = current.cloned().unwrap_or_else(PolicyName::bank);
    let names = force.policies.into_iter().map(|policy| policy.id.name);
    let policy = Entry::post("policy", format!("/contracts/{number}/policy"), t.ask_policy, t.ask)
        .text(t.ask_policy_text)
        .with(Field::choice("policy", t.policy, current.as_str(), policies(t, names, &current)))
        .with(Field::line("reason", t.reason, "", MAX_NOTE));
    Ok(vec![plan, policy])
}

/// The bank's own policy first, then the others; each with its name as what is shown.
fn policies(
    t: &'static Catalogue,
    in_force: impl Iterator<Item = PolicyName>,
    current: &PolicyName,
) -> Vec<(String, String)> {
    let bank = PolicyName::bank();
    // The one that the contract has is there even if nothing says what it holds: leaving the form as it is changes nothing.
    let others: BTreeSet<PolicyName> =
        in_force.chain([current.clone()]).filter(|name| *name != bank).collect();
    let shown_bank = t.bank_policy.replace("{}", bank.as_str());
    let others = others.into_iter().map(|name| (name.to_string(), name.to_string()));
    std::iter::once((bank.to_string(), shown_bank)).chain(others).collect()
}

/// Someone followed the language switch on the answer to a form.
pub(super) async fn back_to(_: Officer, Path(id): Path<String>) -> Response {
    ContractNumber::parse(&id).map_or_else(|_| see("/search"), |number| see(&format!("/contracts/{number}")))
}

#[expect(clippy::result_large_err, reason = "a refusal goes to a page at once, never up a hot path")]
pub(super) async fn ask_plan(
    State(console): State<Arc<Console>>,
    officer: Officer,
    Path(id): Path<String>,
    Form(fields): Form<Fields>,
) -> Response {
    let bad = Trouble::Field(officer.t().general_users_bad);
    let typed = field(&fields, "general_users").parse();
    let plan = typed.map(|general_users| Plan { general_users }).map_err(|_| bad);
    let proposal = |contract| Ok(Proposal::ChangePlan { contract, plan: plan? });
    ask(&console, &officer, &id, &fields, proposal).await
}

#[expect(clippy::result_large_err, reason = "a refusal goes to a page at once, never up a hot path")]
pub(super) async fn ask_policy(
    State(console): State<Arc<Console>>,
    officer: Officer,
    Path(id): Path<String>,
    Form(fields): Form<Fields>,
) -> Response {
    let bad = Trouble::Field(officer.t().unknown_policy);
    let policy = PolicyName::parse(field(&fields, "policy")).map_err(|_| bad);
    let proposal = |contract| {
        let policy = policy?;
        Ok(Proposal::AssignPolicy { contract, policy: (policy != PolicyName::bank()).then_some(policy) })
    };
    ask(&console, &officer, &id, &fields, proposal).await
}

/// Asks for what is proposed about a contract.
async fn ask(
    console: &Arc<Console>,
    officer: &Officer,
    id: &str,
    fields: &Fields,
    proposal: impl FnOnce(ContractNumber) -> Result<Proposal, Trouble> + Send + 'static,
) -> Response {
    let back = format!("/contracts/{id}");
    let (clerk, desk, of) = (officer.clone(), console.clone(), id.to_owned());
    let reason = field(fields, "reason").to_owned();
    let done = console.act(officer, fields, async move {
        desk.first(&clerk, Task::KeepCustomers, &of).await?;
        let contract = ContractNumber::parse(&of).map_err(|_| Trouble::NotFound)?;
        let asked = desk.approvals.ask(clerk.acting(), proposal(contract)?, &reason).await?;
        Ok(see(&format!("/approvals/{}?done=asked", asked.id)))
    });
    done.await.unwrap_or_else(|trouble| trouble.page(officer, &back))
}
