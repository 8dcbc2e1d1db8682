//! A user: who it is, certificates, what can be done, and everything that ever happened, on one page.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    response::Response,
};
use ca_core::{
    app::staff::overview::Dossier,
    domain::{
        audit::AuditRow,
        certificate::CertificateRecord,
        device::{Device, DeviceKind},
        ids::UserId,
        staff::Task,
        standing::standing,
        user::{Role, User, UserState},
    },
    ports::outbox::MailList,
};
use jiff::Timestamp;

use super::{
    Console, Trouble,
    catalogue::{Catalogue, standing_word, user_role},
    customers::MAX_NOTE,
    mails,
    page::{Cell, Field, Form, Page, Section},
    search, see, shown, tokens,
    visitor::Officer,
};

/// A moment in Japan time.
pub(super) fn time(officer: &Officer, at: Timestamp) -> String {
    officer.visitor.language.catalogue().time(at)
}

/// What was just done, told by the page that follows.
pub(super) fn notice(officer: &Officer) -> Option<&'static str> {
    let t = officer.t();
    let done = officer.visitor.query.split('&').find_map(|pair| pair.strip_prefix("done="))?;
    Some(match done {
        "contract" => t.done_contract,
        "user" => t.done_user,
        "token" => t.done_token,
        "released" => t.done_released,
        "unlocked" => t.done_unlocked,
        "suspended" => t.done_suspended,
        "resumed" => t.done_resumed,
        "removed" => t.done_removed,
        "revoked" => t.done_revoked,
        "asked" => t.done_asked,
        "token-state" => t.done_token_state,
        "unblocking-approved" => t.done_unblocking_approved,
        "unblocking-declined" => t.done_unblocking_declined,
        "executed" => t.done_executed,
        "refused" => t.done_refused,
        "withdrawn" => t.done_withdrawn,
        "mail" => t.done_mail,
        "withdrawn-member" => t.done_withdrawn_member,
        _ => return None,
    })
}

/// Rows of the audit trail about somebody.
pub(super) fn history(officer: &Officer, rows: &[AuditRow]) -> Section {
    let t = officer.t();
    let row = |row: &AuditRow| {
        let at = Timestamp::from_millisecond(row.at_ms).map(|at| time(officer, at)).unwrap_or_default();
        vec![
            Cell::Time(at),
            Cell::code(&row.action),
            Cell::text(row.actor.clone()),
            Cell::code(&row.subject),
            Cell::Details(row.details.clone()),
        ]
    };
    let head = [t.when, t.what, t.by_whom, t.about, t.particulars];
    Section::table(t.history, &head, rows.iter().map(row).collect(), t.nothing_yet)
}

/// Certificates, newest first.
pub(super) fn certificates(officer: &Officer, records: &[CertificateRecord], now: Timestamp) -> Section {
    let t = officer.t();
    let row = |record: &CertificateRecord| {
        let now = standing(record, now);
        let state = standing_word(t, now);
        vec![
            Cell::certificate(&record.serial),
            if now.as_str() == "active" { Cell::Good(state.to_owned()) } else { Cell::text(state) },
            Cell::code(&record.device.serial),
            Cell::Time(time(officer, record.not_before)),
            Cell::Time(time(officer, record.not_after)),
        ]
    };
    let head = [t.serial, t.state, t.token, t.valid_from, t.valid_until];
    Section::table(t.certificates, &head, records.iter().map(row).collect(), t.no_certificates)
}

/// Someone followed the language switch on the answer to a form.
pub(super) async fn back_to(_: Officer, Path((id, _)): Path<(String, String)>) -> Response {
    UserId::parse(&id).map_or_else(|_| see("/search"), |id| see(&format!("/users/{id}")))
}

pub(super) async fn show(
    State(console): State<Arc<Console>>,
    officer: Officer,
    Path(id): Path<String>,
) -> Response {
    shown(user_page(&console, &officer, &id).await, &officer, "/search")
}

async fn user_page(console: &Console, officer: &Officer, id: &str) -> Result<Page, Trouble> {
    let t = officer.t();
    let id = UserId::parse(id).map_err(|_| Trouble::NotFound)?;
    let dossier = console.overview.user(officer.acting(), &id).await?.ok_or(Trouble::NotFound)?;
    let number = dossier.user.contract.to_string();
    let mut page = officer
        .page("/search", search::name(t, &dossier.user))
        .crumb(t.customers, "/search")
        .crumb(number.clone(), format!("/contracts/{number}"));
    page.notice = notice(officer);
    page = page
        .section(Section::Facts { title: String::new(), facts: facts(officer, &dossier) })
        .section(certificates(officer, &dossier.certificates, console.clock.now()));
    if officer.may(Task::KeepCustomers) && dossier.user.state != UserState::Removed {
        page = page.forms(t.acts, forms(t, &dossier));
    }
    let logins = dossier.logins.iter().map(|login| {
        vec![
            Cell::Time(time(officer, login.at)),
            Cell::certificate(&login.serial),
            Cell::code(&login.device.serial),
        ]
    });
    let head = [t.when, t.serial, t.token];
    let logins = Section::table(t.last_logins, &head, logins.collect(), t.nothing_yet);
    let mails = console.mail.list(&MailList::OfUser(dossier.user.id.clone()), mails::OF_USER).await?;
    page = page.section(logins).section(mails::table(officer, t.mail, &mails));
    Ok(page.section(history(officer, &dossier.rows)))
}

fn facts(officer: &Officer, dossier: &Dossier) -> Vec<(&'static str, Cell)> {
    let (t, user) = (officer.t(), &dossier.user);
    let contract = dossier.contract.as_ref().map_or("", |contract| contract.name.as_str());
    let number = &user.contract;
    let mut facts = vec![
        (t.user_id, Cell::code(&user.id)),
        (t.contract_name, Cell::Link { href: format!("/contracts/{number}"), label: contract.to_owned() }),
        (t.role, Cell::text(user_role(t, user.role))),
        (t.state, search::standing(t, user)),
        (t.email, Cell::text(user.email.as_ref().map_or_else(|| "–".to_owned(), ToString::to_string))),
        (t.assigned_token, assigned(t, user)),
    ];
    if let Some(code) = &dossier.code {
        facts.push((t.code_out, Cell::Time(time(officer, code.expires_at))));
    }
    facts.push((t.registered, Cell::Time(time(officer, user.registered_at))));
    facts
}

fn assigned(t: &'static Catalogue, user: &User) -> Cell {
    user.assigned_device.as_ref().map_or(Cell::text(t.none), |device| device_cell(t, device))
}

/// A token: its kind in words, and its serial number.
pub(super) fn device_cell(t: &'static Catalogue, device: &Device) -> Cell {
    let label = format!("{} {}", kind(t, device.kind), device.serial);
    Cell::Link { href: tokens::path(device), label }
}

fn kind(t: &'static Catalogue, kind: DeviceKind) -> &'static str {
    match kind {
        DeviceKind::YubiKeyPiv => t.kind_yubikey,
        DeviceKind::Tpm => t.kind_tpm,
        DeviceKind::Piv => t.kind_piv,
        DeviceKind::Pkcs11 => t.kind_pkcs11,
    }
}

/// The kinds of token.
pub(super) fn kinds(t: &'static Catalogue) -> Vec<(&'static str, String)> {
    DeviceKind::ALL.map(|of| (of.as_str(), kind(t, of).to_owned())).to_vec()
}

/// What a clerk can do for this user now.
fn forms(t: &'static Catalogue, dossier: &Dossier) -> Vec<Form> {
    let user = &dossier.user;
    let to = |act: &str| format!("/users/{}/{act}", user.id);
    let mut forms = Vec::new();
    if user.locked_at.is_some() {
        forms.push(Form::post("unlock", to("unlock"), t.unlock_title, t.unlock).text(t.unlock_text));
    }
    if user.state == UserState::Suspended {
        forms.push(Form::post("resume", to("resume"), t.resume_title, t.resume).text(t.resume_text));
    }
    if !dossier.had_certificate() {
        let form = Form::post("token", to("token"), t.token_title, t.assign).text(t.token_text);
        let form = form.with(Field::choice("kind", t.token_kind, "", kinds(t)));
        forms.push(form.with(Field::line("serial", t.token_serial, "", 64)));
        forms.push(Form::post("letter", to("letter"), t.letter_title, t.make_letter).text(t.letter_text));
    } else if dossier.living().is_none() {
        let ways = vec![("code", t.way_code.to_owned()), ("token", t.way_token.to_owned())];
        let mut form = Form::post("reobtain", to("reobtain"), t.reobtain_title, t.ask).text(t.reobtain_text);
        form = form.with(Field::choice("way", t.way, "code", ways));
        form = form.with(Field::choice("kind", t.token_kind, "", kinds(t)));
        form = form.with(Field::line("serial", t.token_serial, "", 64).optional().hint(t.way_token_hint));
        forms.push(form.with(Field::line("reason", t.reason, "", MAX_NOTE).hint(t.reobtain_reason_hint)));
    }
    if user.assigned_device.is_some() {
        forms.push(Form::post("release", to("release"), t.release_title, t.release).warned(t.release_text));
    }
    forms.push(Form::post("password", to("password"), t.password_title, t.make_letter).text(t.password_text));
    if user.role == Role::Master {
        let form = Form::post("confirmation", to("confirmation"), t.confirmation_title, t.make_letter);
        forms.push(form.text(t.confirmation_text));
    }
    if user.state == UserState::Active {
        forms.push(Form::post("suspend", to("suspend"), t.suspend_title, t.suspend).warned(t.suspend_text));
    }
    let sure = Field::tick("sure", t.remove_sure, "yes", false).required();
    forms.push(Form::post("remove", to("remove"), t.remove_title, t.remove).danger(t.remove_text).with(sure));
    forms
}
