//! 行員: who may work here. Two administrators admit; one withdraws.

use std::sync::Arc;

use axum::{
    Form,
    extract::{Path, Query as Parameters, State},
    http::StatusCode,
    response::Response,
};
use ca_core::{
    app::staff::{admission::NewMember, members::MemberError},
    domain::{
        ids::StaffId,
        staff::{Member, MemberState, Roles, StaffRole, Task},
    },
};
use der::pem::LineEnding;
use rustls_pki_types::{CertificateDer, pem::PemObject};
use serde::Deserialize;

use super::{
    Console, Fields, Trouble,
    catalogue::{Catalogue, role},
    field,
    page::{Cell, Field, Form as Entry, MAX_NAME, MAX_NOTE, Page, Section},
    pieces, see, shown,
    visitor::Officer,
};

pub(super) async fn list(State(console): State<Arc<Console>>, officer: Officer) -> Response {
    let t = officer.t();
    let members = match console.members.list(officer.acting()).await {
        Ok(members) => members,
        Err(denied) => return Trouble::from(denied).page(&officer, "/home"),
    };
    let row = |member: &Member| {
        vec![
            Cell::CodeLink { href: format!("/staff/{}", member.id), label: member.id.to_string() },
            Cell::text(&member.name),
            Cell::text(pieces::roles(t, &member.roles)),
            state(t, member),
            Cell::Time(officer.time(member.admitted_at)),
        ]
    };
    let head = [t.staff_id, t.name, t.roles, t.state, t.admitted];
    let rows = members.iter().map(row).collect();
    let mut page = officer.page("/staff", t.staff).section(Section::table("", &head, rows, t.nothing_found));
    page.notice = officer.notice();
    if officer.may(Task::KeepStaff) {
        let links = vec![(t.admit_title.to_owned(), "/staff/new".to_owned())];
        page = page.section(Section::Links { title: String::new(), links });
    }
    page.respond(StatusCode::OK)
}

fn state(t: &'static Catalogue, member: &Member) -> Cell {
    match member.state {
        MemberState::Active => Cell::Good(t.member_active.to_owned()),
        MemberState::Withdrawn => Cell::Bad(t.member_withdrawn.to_owned()),
    }
}

pub(super) async fn show(
    State(console): State<Arc<Console>>,
    officer: Officer,
    Path(id): Path<String>,
) -> Response {
    shown(member_page(&console, &officer, &id).await, &officer, "/staff")
}

async fn member(console: &Console, officer: &Officer, id: &str) -> Result<Option<Member>, Trouble> {
    let members = console.members.list(officer.acting()).await?;
    Ok(members.into_iter().find(|member| member.id.as_str() == id))
}

async fn member_page(console: &Console, officer: &Officer, id: &str) -> Result<Page, Trouble> {
    let t = officer.t();
    let member = member(console, officer, id).await?.ok_or(Trouble::NotFound)?;
    let mut facts = vec![
        (t.staff_id, Cell::code(&member.id)),
        (t.name, Cell::text(&member.name)),
        (t.roles, Cell::text(pieces::roles(t, &member.roles))),
        (t.state, state(t, &member)),
        (t.admitted, Cell::Time(officer.time(member.admitted_at))),
    ];
    facts.extend(pieces::certificate_facts(t, &member.certificate));
    let mut page = officer
        .page("/staff", &*member.name)
        .crumb(t.staff, "/staff")
        .section(Section::Facts { title: String::new(), facts });
    page.notice = officer.notice();
    if officer.may(Task::KeepStaff) {
        let links = vec![(t.change_member.to_owned(), format!("/staff/new?id={}", member.id))];
        page = page.section(Section::Links { title: String::new(), links });
        if member.state == MemberState::Active {
            let form = Entry::post(
                "withdraw",
                format!("/staff/{}/withdraw", member.id),
                t.withdraw_member,
                t.withdraw_button,
            );
            page = page.form(
                form.danger(t.withdraw_member_text).with(Field::line("reason", t.reason, "", MAX_NOTE)),
            );
        }
    }
    Ok(page)
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct About {
    id: String,
}

/// The form for a new member, or for another token or other roles of one that there is.
pub(super) async fn new(
    State(console): State<Arc<Console>>,
    officer: Officer,
    Parameters(about): Parameters<About>,
) -> Response {
    if let Err(denied) = console.guard.permit(officer.acting(), Task::KeepStaff, "staff/new").await {
        return Trouble::from(denied).page(&officer, "/home");
    }
    let known = match member(&console, &officer, &about.id).await {
        Ok(known) => known,
        Err(trouble) => return trouble.page(&officer, "/staff"),
    };
    let fields = known.map(|member| typed_as(&member)).unwrap_or_default();
    form_page(&officer, &fields, None)
}

/// A member as the form would have it.
fn typed_as(member: &Member) -> Fields {
    let pem = der::pem::encode_string("CERTIFICATE", LineEnding::LF, &member.certificate).unwrap_or_default();
    let texts = [("id", member.id.to_string()), ("name", member.name.clone()), ("certificate", pem)];
    let roles = member.roles.iter().map(|role| ("role", role.as_str().to_owned()));
    texts.into_iter().chain(roles).map(|(name, value)| (name.to_owned(), value)).collect()
}

fn form_page(officer: &Officer, fields: &Fields, refused: Option<(StatusCode, String)>) -> Response {
    let t = officer.t();
    let mut form = Entry::post("member", "/staff", "", t.ask)
        .text(t.admit_text)
        .with(Field::line("id", t.staff_id, field(fields, "id"), 32).hint(t.staff_id_hint))
        .with(Field::line("name", t.name, field(fields, "name"), MAX_NAME));
    for of in StaffRole::ALL {
        let ticked = fields.iter().any(|(name, value)| name == "role" && value == of.as_str());
        form = form.with(Field::tick("role", role(t, of), of.as_str(), ticked));
    }
    form = form
        .with(
            Field::long("certificate", t.certificate_pem, field(fields, "certificate"))
                .hint(t.certificate_pem_hint),
        )
        .with(Field::line("reason", t.reason, field(fields, "reason"), MAX_NOTE));
    let page = officer.page("/staff", t.admit_title).crumb(t.staff, "/staff");
    page.form(form).respond_unless_refused(refused)
}

pub(super) async fn propose(
    State(console): State<Arc<Console>>,
    officer: Officer,
    Form(fields): Form<Fields>,
) -> Response {
    let t = officer.t();
    let (acting, typed, desk) = (officer.acting().clone(), fields.clone(), console.clone());
    let administrator = officer.clone();
    let done = console.act(&officer, &fields, async move {
        desk.first(&administrator, Task::KeepStaff, "staff").await?;
        let roles: Option<Vec<StaffRole>> = typed
            .iter()
            .filter(|(name, _)| name == "role")
            .map(|(_, value)| StaffRole::parse(value))
            .collect();
        let pem = CertificateDer::from_pem_slice(field(&typed, "certificate").as_bytes());
        let new = NewMember {
            id: StaffId::parse(field(&typed, "id")).map_err(|_| Trouble::Field(t.staff_id_bad))?,
            name: field(&typed, "name").to_owned(),
            roles: Roles::new(roles.ok_or(Trouble::Field(t.choose_role))?)?,
            certificate: pem.map_err(|_| Trouble::Field(t.certificate_unfit))?.to_vec(),
        };
        let asked = desk.members.propose(&desk.approvals, &acting, new, field(&typed, "reason")).await?;
        Ok(see(&format!("/approvals/{}?done=asked", asked.id)))
    });
    match done.await {
        Ok(response) => response,
        Err(trouble @ (Trouble::Forged | Trouble::Denied(_) | Trouble::Member(MemberError::Denied(_)))) => {
            trouble.page(&officer, "/staff")
        }
        Err(trouble) => match trouble.sentence(t) {
            Ok(refused) => form_page(&officer, &fields, Some(refused)),
            Err(failure) => officer.visitor.unavailable(failure),
        },
    }
}

/// Someone followed the language switch on the answer to the form.
pub(super) async fn back_to(_: Officer, Path(id): Path<String>) -> Response {
    StaffId::parse(&id).map_or_else(|_| see("/staff"), |id| see(&format!("/staff/{id}")))
}

pub(super) async fn withdraw(
    State(console): State<Arc<Console>>,
    officer: Officer,
    Path(id): Path<String>,
    Form(fields): Form<Fields>,
) -> Response {
    let Ok(id) = StaffId::parse(&id) else { return Trouble::NotFound.page(&officer, "/staff") };
    let back = format!("/staff/{id}");
    let (acting, typed, desk) = (officer.acting().clone(), fields.clone(), console.clone());
    let done = console.act(&officer, &fields, async move {
        desk.members.withdraw(&acting, &id, field(&typed, "reason")).await?;
        Ok(see(&format!("/staff/{id}?done=withdrawn-member")))
    });
    done.await.unwrap_or_else(|trouble| trouble.page(&officer, &back))
}
