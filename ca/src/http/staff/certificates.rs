//! A certificate with what it was issued on, and its revocation: at once, by one person.

use std::sync::Arc;

use axum::{
    Form,
    extract::{Path, State},
    response::Response,
};
use ca_core::{
    app::staff::{desk::BranchRevocation, overview::AnyCertificate},
    domain::{
        certificate::{CertificateRecord, CertificateState},
        ids::SerialNumber,
        revocation::RevocationReason,
        staff::Task,
        standing::standing,
    },
    ports::store::{Orphan, StoredEvidence},
};

use super::{
    Console, Fields, Trouble,
    catalogue::{Catalogue, assurance, reason, standing_word},
    field,
    page::{Cell, Field, Form as Entry, MAX_NOTE, Page, Section},
    pieces, see, shown,
    visitor::Officer,
};

#[expect(clippy::result_large_err, reason = "a refusal goes to a page at once, never up a hot path")]
fn serial(text: &str) -> Result<SerialNumber, Trouble> {
    SerialNumber::parse(text).map_err(|_| Trouble::NotFound)
}

/// Someone followed the language switch on the answer to the form.
pub(super) async fn back_to(_: Officer, Path(id): Path<String>) -> Response {
    serial(&id).map_or_else(|_| see("/search"), |serial| see(&format!("/certificates/{serial}")))
}

pub(super) async fn show(
    State(console): State<Arc<Console>>,
    officer: Officer,
    Path(id): Path<String>,
) -> Response {
    shown(certificate_page(&console, &officer, &id).await, &officer, "/search")
}

async fn certificate_page(console: &Console, officer: &Officer, id: &str) -> Result<Page, Trouble> {
    let t = officer.t();
    let serial = serial(id)?;
    let found = console.overview.certificate(officer.acting(), &serial).await?.ok_or(Trouble::NotFound)?;
    let mut page = officer.page("/search", t.certificate).crumb(t.customers, "/search");
    page.notice = officer.notice();
    let revocable = match &found {
        AnyCertificate::OfUser(record, evidence) => {
            page = page.crumb(record.user.to_string(), format!("/users/{}", record.user));
            page = page.section(facts(console, officer, record));
            if let Some(evidence) = evidence {
                page = page.section(proof(officer, evidence));
            }
            matches!(record.state, CertificateState::Issued { .. } | CertificateState::Intended)
        }
        AnyCertificate::Orphan(orphan) => {
            page = page.section(orphan_facts(officer, orphan));
            true
        }
    };
    if revocable && officer.may(Task::Revoke) {
        page = page.form(form(t, &serial));
    }
    Ok(page)
}

fn facts(console: &Console, officer: &Officer, record: &CertificateRecord) -> Section {
    let t = officer.t();
    let now = standing(record, console.clock.now());
    let mut facts = vec![
        (t.serial, Cell::code(&record.serial)),
        (t.user_id, Cell::user(&record.user)),
        (t.contract_number, Cell::contract(&record.contract)),
        (t.state, Cell::text(standing_word(t, now))),
    ];
    if let Some((at, why)) = now.revocation() {
        facts.push((t.revoked_at, Cell::Time(officer.time(at))));
        facts.push((t.reason, Cell::text(reason(t, why))));
    }
    facts.extend([
        (t.token, pieces::device_cell(t, &record.device)),
        (t.assurance, Cell::text(assurance(t, record.assurance))),
        (t.valid_from, Cell::Time(officer.time(record.not_before))),
        (t.valid_until, Cell::Time(officer.time(record.not_after))),
    ]);
    if let CertificateState::Issued { confirmed_at, .. } = &record.state {
        let confirmed = confirmed_at.map_or(Cell::text(t.not_yet), |at| Cell::Time(officer.time(at)));
        facts.push((t.confirmed, confirmed));
    }
    Section::Facts { title: String::new(), facts }
}

fn proof(officer: &Officer, evidence: &StoredEvidence) -> Section {
    let t = officer.t();
    Section::Facts {
        title: t.evidence.to_owned(),
        facts: vec![
            (t.verdict, Cell::code(&evidence.verdict)),
            (t.judged_at, Cell::Time(officer.time(evidence.judged_at))),
            (t.decoded, Cell::Details(evidence.decoded.clone())),
        ],
    }
}

fn orphan_facts(officer: &Officer, orphan: &Orphan) -> Section {
    let t = officer.t();
    Section::Facts {
        title: t.orphan.to_owned(),
        facts: vec![
            (t.serial, Cell::code(&orphan.serial)),
            (t.signer, Cell::code(&orphan.signer)),
            (t.valid_until, Cell::Time(officer.time(orphan.not_after))),
        ],
    }
}

fn form(t: &'static Catalogue, serial: &SerialNumber) -> Entry {
    let reasons = RevocationReason::ALL.into_iter().filter(|reason| *reason != RevocationReason::Superseded);
    let reasons = reasons.map(|of| (of.as_str(), reason(t, of).to_owned()));
    Entry::post("revoke", format!("/certificates/{serial}/revoke"), t.revoke_title, t.revoke)
        .text(t.revoke_text)
        .with(Field::choice("reason", t.reason, "", reasons))
        .with(Field::line("identity", t.identity, "", MAX_NOTE).hint(t.identity_hint))
        .danger(t.revoke_final)
}

pub(super) async fn revoke(
    State(console): State<Arc<Console>>,
    officer: Officer,
    Path(id): Path<String>,
    Form(fields): Form<Fields>,
) -> Response {
    let back = serial(&id).map_or("/search".to_owned(), |serial| format!("/certificates/{serial}"));
    let (acting, desk) = (officer.acting().clone(), console.clone());
    let typed = |name| field(&fields, name).to_owned();
    let asked = BranchRevocation { serial: id, reason: typed("reason"), identity: typed("identity") };
    let done = console.act(&officer, &fields, async move {
        let revocation = desk.desk.revoke(&acting, asked).await?;
        desk.revoked.notify_one();
        desk.metrics.outcome("revocation", "revoked");
        Ok(see(&format!("/certificates/{}?done=revoked", revocation.serial)))
    });
    done.await.unwrap_or_else(|trouble| trouble.page(&officer, &back))
}
