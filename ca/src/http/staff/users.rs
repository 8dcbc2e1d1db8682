//! A user: who it is, certificates, what can be done, and everything that ever happened, on one page.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    response::Response,
};
use ca_core::{
    app::staff::overview::Dossier,
    domain::{
        ids::UserId,
        staff::Task,
        user::{Role, User, UserState},
    },
    ports::outbox::MailList,
};

use super::{
    Console, Trouble,
    catalogue::{Catalogue, user_role},
    mails,
    page::{Cell, Field, Form, MAX_NOTE, Page, Section},
    pieces::{self, kinds},
    see, shown,
    visitor::Officer,
};

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
        .page("/search", pieces::name(t, &dossier.user))
        .crumb(t.customers, "/search")
        .crumb(number.clone(), format!("/contracts/{number}"));
    page.notice = officer.notice();
    page = page
        .section(Section::Facts { title: String::new(), facts: facts(officer, &dossier) })
        .section(pieces::certificates(officer, &dossier.certificates, console.clock.now()));
    if officer.may(Task::KeepCustomers) && dossier.user.state != UserState::Removed {
        page = page.forms(t.acts, forms(t, &dossier));
    }
    let logins = dossier.logins.iter().map(|login| {
        vec![
            Cell::Time(officer.time(login.at)),
            Cell::certificate(&login.serial),
            Cell::code(&login.device.serial),
        ]
    });
    let head = [t.when, t.serial, t.token];
    let logins = Section::table(t.last_logins, &head, logins.collect(), t.nothing_yet);
    let mails = console.mail.list(&MailList::OfUser(dossier.user.id.clone()), mails::OF_USER).await?;
    page = page.section(logins).section(mails::table(officer, t.mail, &mails));
    Ok(page.section(pieces::history(officer, &dossier.rows)))
}

fn facts(officer: &Officer, dossier: &Dossier) -> Vec<(&'static str, Cell)> {
    let (t, user) = (officer.t(), &dossier.user);
    let contract = dossier.contract.as_ref().map_or("", |contract| contract.name.as_str());
    let number = &user.contract;
    let mut facts = vec![
        (t.user_id, Cell::code(&user.id)),
        (t.contract_name, Cell::Link { href: format!("/contracts/{number}"), label: contract.to_owned() }),
        (t.role, Cell::text(user_role(t, user.role))),
        (t.state, pieces::standing(t, user)),
        (t.email, Cell::text(user.email.as_ref().map_or_else(|| "–".to_owned(), ToString::to_string))),
        (t.assigned_token, assigned(t, user)),
    ];
    if let Some(code) = &dossier.code {
        facts.push((t.code_out, Cell::Time(officer.time(code.expires_at))));
    }
    facts.push((t.registered, Cell::Time(officer.time(user.registered_at))));
    facts
}

fn assigned(t: &'static Catalogue, user: &User) -> Cell {
    user.assigned_device.as_ref().map_or(Cell::text(t.none), |device| pieces::device_cell(t, device))
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
