//! 承認: what waits for a second member of staff.

use std::sync::Arc;

use axum::{
    Form,
    extract::{Path, State},
    http::StatusCode,
    response::Response,
};
use ca_core::domain::{
    approval::{Approval, Outcome, Proposal, Standing},
    ids::PolicyName,
};
use jiff::Timestamp;

use super::{
    Console, Fields, Trouble,
    catalogue::Catalogue,
    letters,
    page::{Cell, Form as Entry, Page, Section},
    pieces, see, shown,
    visitor::Officer,
};
use crate::http::path;

/// The columns of [`rows`].
pub(super) fn head(t: &'static Catalogue) -> [&'static str; 5] {
    [t.request, t.about, t.asked_by, t.when, t.state]
}

/// Requests as lines of a table.
pub(super) fn rows(officer: &Officer, approvals: &[Approval], now: Timestamp) -> Vec<Vec<Cell>> {
    let t = officer.t();
    let row = |approval: &Approval| {
        let label = kind(t, &approval.proposal).to_owned();
        vec![
            Cell::Link { href: format!("/approvals/{}", approval.id), label },
            Cell::code(approval.proposal.subject()),
            Cell::code(&approval.asked_by),
            Cell::Time(officer.time(approval.asked_at)),
            Cell::text(state(t, approval.standing(now))),
        ]
    };
    approvals.iter().map(row).collect()
}

fn kind(t: &'static Catalogue, proposal: &Proposal) -> &'static str {
    match proposal {
        Proposal::ReobtainByCode { .. } => t.ask_reobtain_code,
        Proposal::ReobtainWithToken { .. } => t.ask_reobtain_token,
        Proposal::AssignPolicy { .. } => t.ask_policy,
        Proposal::ChangePlan { .. } => t.ask_plan,
        Proposal::Admit { .. } => t.ask_admit,
    }
}

fn state(t: &'static Catalogue, standing: Standing) -> &'static str {
    match standing {
        Standing::Open => t.approval_open,
        Standing::Expired => t.approval_expired,
        Standing::Ended(Outcome::Executed) => t.approval_executed,
        Standing::Ended(Outcome::Refused) => t.approval_refused,
        Standing::Ended(Outcome::Withdrawn) => t.approval_withdrawn,
    }
}

pub(super) async fn list(State(console): State<Arc<Console>>, officer: Officer) -> Response {
    let t = officer.t();
    match console.approvals.list(officer.acting()).await {
        Ok((open, recent)) => {
            let (now, head) = (console.clock.now(), head(t));
            officer
                .page("/approvals", t.approvals)
                .section(Section::table(t.waiting, &head, rows(&officer, &open, now), t.nothing_waits))
                .section(Section::table(t.recent, &head, rows(&officer, &recent, now), t.nothing_yet))
                .respond(StatusCode::OK)
        }
        Err(denied) => Trouble::from(denied).page(&officer, "/home"),
    }
}

/// Someone followed the language switch on the answer to a form.
pub(super) async fn back_to(_: Officer, Path((id, _)): Path<(String, String)>) -> Response {
    path::uuid(&id).map_or_else(|| see("/approvals"), |id| see(&format!("/approvals/{id}")))
}

pub(super) async fn show(
    State(console): State<Arc<Console>>,
    officer: Officer,
    Path(id): Path<String>,
) -> Response {
    shown(request_page(&console, &officer, &id).await, &officer, "/approvals")
}

async fn request_page(console: &Console, officer: &Officer, id: &str) -> Result<Page, Trouble> {
    let t = officer.t();
    let id = path::uuid(id).ok_or(Trouble::NotFound)?;
    let approval = console.approvals.show(officer.acting(), id).await?;
    let now = console.clock.now();
    let mut page = officer.page("/approvals", kind(t, &approval.proposal)).crumb(t.approvals, "/approvals");
    page.notice = officer.notice();
    page = page.section(Section::Facts { title: String::new(), facts: facts(officer, &approval, now) });
    let may = officer.may(approval.proposal.task());
    if may && approval.standing(now) == Standing::Open {
        let to = |decision: &str| format!("/approvals/{id}/{decision}");
        if approval.asked_by == *officer.acting().id() {
            let form = Entry::post("withdraw", to("withdraw"), t.withdraw_title, t.withdraw);
            page = page.paragraphs(&[t.own_request]).form(form);
        } else {
            let approve = Entry::post("approve", to("approve"), t.approve_title, t.approve);
            page = page.form(approve.text(t.approve_text));
            page = page
                .form(Entry::post("refuse", to("refuse"), t.refuse_title, t.refuse).danger(t.refuse_text));
        }
    }
    Ok(page)
}

fn facts(officer: &Officer, approval: &Approval, now: Timestamp) -> Vec<(&'static str, Cell)> {
    let t = officer.t();
    let mut facts = particulars(t, &approval.proposal);
    facts.extend([
        (t.reason, Cell::text(&approval.reason)),
        (t.asked_by, Cell::code(&approval.asked_by)),
        (t.when, Cell::Time(officer.time(approval.asked_at))),
        (t.decide_until, Cell::Time(officer.time(approval.expires_at))),
        (t.state, Cell::text(state(t, approval.standing(now)))),
    ]);
    if let Some(end) = &approval.end {
        facts.push((t.decided_by, Cell::code(&end.by)));
        facts.push((t.decided_at, Cell::Time(officer.time(end.at))));
    }
    facts
}

fn particulars(t: &'static Catalogue, proposal: &Proposal) -> Vec<(&'static str, Cell)> {
    match proposal {
        Proposal::ReobtainByCode { user } => {
            vec![(t.user_id, Cell::user(user)), (t.way, Cell::text(t.way_code))]
        }
        Proposal::ReobtainWithToken { user, device } => vec![
            (t.user_id, Cell::user(user)),
            (t.way, Cell::text(t.way_token)),
            (t.token, pieces::device_cell(t, device)),
        ],
        Proposal::AssignPolicy { contract, policy } => vec![
            (t.contract_number, Cell::contract(contract)),
            (t.policy, Cell::code(policy.clone().unwrap_or_else(PolicyName::bank))),
        ],
        Proposal::ChangePlan { contract, plan } => {
            vec![(t.contract_number, Cell::contract(contract)), (t.plan, Cell::text(pieces::plan(*plan)))]
        }
        Proposal::Admit { id, name, roles, certificate } => {
            let mut facts = vec![
                (t.staff_id, Cell::code(id)),
                (t.name, Cell::text(name)),
                (t.roles, Cell::text(pieces::roles(t, roles))),
            ];
            facts.extend(pieces::certificate_facts(t, certificate));
            facts
        }
    }
}

pub(super) async fn decide(
    State(console): State<Arc<Console>>,
    officer: Officer,
    Path((id, decision)): Path<(String, String)>,
    Form(fields): Form<Fields>,
) -> Response {
    let Some(id) = path::uuid(&id) else { return Trouble::NotFound.page(&officer, "/approvals") };
    let back = format!("/approvals/{id}");
    let (second, desk) = (officer.clone(), console.clone());
    let done = console.act(&officer, &fields, async move {
        let acting = second.acting();
        let done = match decision.as_str() {
            "approve" => {
                let executed = desk.approvals.approve(acting, id).await?;
                // The letter is shown this once.
                if let (Proposal::ReobtainByCode { user }, Some(code)) =
                    (&executed.approval.proposal, &executed.code)
                {
                    return letters::code(&desk, &second, user, code).await;
                }
                "executed"
            }
            "refuse" => {
                desk.approvals.end(acting, id, Outcome::Refused).await?;
                "refused"
            }
            "withdraw" => {
                desk.approvals.end(acting, id, Outcome::Withdrawn).await?;
                "withdrawn"
            }
            _ => return Err(Trouble::NotFound),
        };
        Ok(see(&format!("/approvals/{id}?done={done}")))
    });
    done.await.unwrap_or_else(|trouble| trouble.page(&officer, &back))
}
