//! 稼働状況 at a glance: what the node depends on, CRLs, OCSP responders, and what is unfinished.

use std::sync::Arc;

use axum::{extract::State, http::StatusCode, response::Response};
use ca_core::{app::failure::Failure, domain::staff::Task, ports::census::CrlHead};
use jiff::{SignedDuration, Timestamp};

use super::{
    Console, Trouble,
    catalogue::{Catalogue, component},
    page::{Cell, Page, Section},
    visitor::Officer,
};
use crate::readiness::Component;

/// A responder's certificate that ends so soon needs a look: the job should have renewed it.
const SOON: SignedDuration = SignedDuration::from_hours(7 * 24);

pub(super) async fn show(State(console): State<Arc<Console>>, officer: Officer) -> Response {
    if let Err(denied) = console.guard.permit(officer.acting(), Task::ReadHealth, "health").await {
        return Trouble::from(denied).page(&officer, "/home");
    }
    match health(&console, &officer).await {
        Ok(page) => page.respond(StatusCode::OK),
        Err(failure) => officer.visitor.unavailable(&failure),
    }
}

async fn health(console: &Console, officer: &Officer) -> Result<Page, Failure> {
    let t = officer.t();
    let now = console.clock.now();
    let verdict = console.readiness.look().await;
    let components = verdict.components.iter().map(|part| component_row(t, part));
    let overall =
        if verdict.ready { Cell::Good(t.all_well.to_owned()) } else { Cell::Bad(t.not_well.to_owned()) };
    let mut crls = Vec::new();
    let mut unfinished = Vec::new();
    for issuer in &console.issuers {
        let crl = console.census.crl(issuer).await?;
        crls.push(crl_row(officer, issuer.as_str(), crl, now));
        let open = console.census.unfinished(issuer).await?;
        let count = |number: u64| if number == 0 { Cell::text("0") } else { Cell::Bad(number.to_string()) };
        unfinished.push(vec![
            Cell::code(issuer),
            Cell::text(open.open_intents.to_string()),
            count(open.orphans),
            count(open.unjournaled_revocations),
        ]);
    }
    let responders = console.responders.in_use().await?;
    let responders = console.issuers.iter().zip(&responders).map(|(issuer, responder)| {
        let until = officer.time(responder.not_after());
        let soon = responder.not_after().duration_since(now) < SOON;
        vec![Cell::code(issuer), if soon { Cell::Bad(until) } else { Cell::Time(until) }]
    });
    let mut facts = vec![(t.overall, overall), (t.as_of, Cell::Time(officer.time(now)))];
    if let Some(trouble) = console.calendar.source().trouble {
        facts.push((t.calendar_trouble, Cell::Bad(trouble)));
    }
    Ok(officer
        .page("/health", t.health)
        .section(Section::Facts { title: String::new(), facts })
        .section(Section::table(
            t.components,
            &[t.part, t.issuer, t.state, t.trouble],
            components.collect(),
            "",
        ))
        .section(Section::table(
            t.crls,
            &[t.issuer, t.number, t.this_update, t.next_update, t.entries],
            crls,
            "",
        ))
        .section(Section::table(t.responders, &[t.issuer, t.valid_until], responders.collect(), ""))
        .section(Section::table(
            t.unfinished,
            &[t.issuer, t.open_intents, t.orphans, t.unjournaled],
            unfinished,
            "",
        )))
}

fn component_row(t: &'static Catalogue, part: &Component) -> Vec<Cell> {
    let state = if part.ok { Cell::Good(t.well.to_owned()) } else { Cell::Bad(t.ill.to_owned()) };
    let issuer = part.issuer.clone().unwrap_or_else(|| "–".to_owned());
    vec![
        Cell::text(component(t, part.name)),
        Cell::code(issuer),
        state,
        Cell::text(part.trouble.clone().unwrap_or_default()),
    ]
}

fn crl_row(officer: &Officer, issuer: &str, crl: Option<CrlHead>, now: Timestamp) -> Vec<Cell> {
    let t = officer.t();
    let Some(crl) = crl else {
        return vec![
            Cell::code(issuer),
            Cell::Bad(t.none.to_owned()),
            Cell::text(""),
            Cell::text(""),
            Cell::text(""),
        ];
    };
    let until = officer.time(crl.next_update);
    vec![
        Cell::code(issuer),
        Cell::code(crl.number),
        Cell::Time(officer.time(crl.this_update)),
        if crl.next_update <= now { Cell::Bad(until) } else { Cell::Time(until) },
        Cell::text(crl.entries.to_string()),
    ]
}
