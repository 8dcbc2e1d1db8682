//! Contracts: registration, what belongs to one, and its policy.

use std::sync::Arc;

use axum::{
    Form,
    extract::{Path, State},
    http::StatusCode,
    response::Response,
};
use ca_core::{
    app::{
        customers::{NewContract, NewUser},
        staff::desk::DeskError,
    },
    domain::{
        contract::Plan,
        ids::{ContractNumber, PolicyName, UserId},
        staff::Task,
        user::Role,
    },
};

use super::{
    Console, Fields, Trouble,
    catalogue::Catalogue,
    field,
    page::{Cell, Field, Form as Entry, MAX_NAME, Page, Section},
    pieces, see, shown, terms,
    visitor::Officer,
};

/// The registration form with what was typed.
fn form(t: &'static Catalogue, fields: &Fields) -> Entry {
    let plan = Some(field(fields, "general_users")).filter(|typed| !typed.is_empty()).unwrap_or("9");
    Entry::post("contract", "/contracts", "", t.register)
        .with(
            Field::line("number", t.contract_number, field(fields, "number"), 20)
                .hint(t.contract_number_hint),
        )
        .with(Field::line("name", t.contract_name, field(fields, "name"), MAX_NAME).hint(t.name_hint))
        .with(Field::line("general_users", t.general_users, plan, 5).hint(t.general_users_hint))
}

pub(super) async fn new(State(console): State<Arc<Console>>, officer: Officer) -> Response {
    if let Err(denied) = console.guard.permit(officer.acting(), Task::KeepCustomers, "contracts/new").await {
        return Trouble::from(denied).page(&officer, "/home");
    }
    form_page(&officer, &Vec::new(), None)
}

fn form_page(officer: &Officer, fields: &Fields, refused: Option<(StatusCode, String)>) -> Response {
    let t = officer.t();
    let page = officer.page("/search", t.register_contract).crumb(t.customers, "/search");
    page.form(form(t, fields)).respond_unless_refused(refused)
}

pub(super) async fn register(
    State(console): State<Arc<Console>>,
    officer: Officer,
    Form(fields): Form<Fields>,
) -> Response {
    let t = officer.t();
    let (acting, typed, desk) = (officer.acting().clone(), fields.clone(), console.clone());
    let clerk = officer.clone();
    let done = console.act(&officer, &fields, async move {
        desk.first(&clerk, Task::KeepCustomers, "contracts").await?;
        let number = ContractNumber::parse(field(&typed, "number"))
            .map_err(|_| Trouble::Field(t.contract_number_bad))?;
        let plan = field(&typed, "general_users").parse().map_err(|_| Trouble::Field(t.general_users_bad))?;
        let name = field(&typed, "name").to_owned();
        let new = NewContract { number, name, plan: Plan { general_users: plan } };
        let contract = desk.desk.register_contract(&acting, new).await?;
        Ok(see(&format!("/contracts/{}?done=contract", contract.number)))
    });
    match done.await {
        Ok(response) => response,
        Err(trouble) => again(&officer, &trouble, |refused| form_page(&officer, &fields, Some(refused))),
    }
}

/// Shows a form again with what was typed and why it wasn't taken.
fn again(
    officer: &Officer,
    trouble: &Trouble,
    show: impl FnOnce((StatusCode, String)) -> Response,
) -> Response {
    match (trouble, trouble.sentence(officer.t())) {
        (Trouble::Denied(_), Ok(_)) => trouble.page(officer, "/home"),
        (Trouble::Desk(error), Ok(_)) if matches!(**error, DeskError::Denied(_)) => {
            trouble.page(officer, "/home")
        }
        (_, Ok(refused)) => show(refused),
        (_, Err(failure)) => officer.visitor.unavailable(failure),
    }
}

#[expect(clippy::result_large_err, reason = "a refusal goes to a page at once, never up a hot path")]
fn number(text: &str) -> Result<ContractNumber, Trouble> {
    ContractNumber::parse(text).map_err(|_| Trouble::NotFound)
}

/// A contract, its users and its history.
pub(super) async fn show(
    State(console): State<Arc<Console>>,
    officer: Officer,
    Path(id): Path<String>,
) -> Response {
    shown(contract_page(&console, &officer, &id).await, &officer, "/search")
}

async fn contract_page(console: &Console, officer: &Officer, id: &str) -> Result<Page, Trouble> {
    let t = officer.t();
    let number = number(id)?;
    let found = console.overview.contract(officer.acting(), &number).await?;
    let (contract, members, rows) = found.ok_or(Trouble::NotFound)?;
    let policy = terms::policy_of(console, &number).await?;
    let facts = vec![
        (t.contract_number, Cell::code(&contract.number)),
        (t.contract_name, Cell::text(&contract.name)),
        (t.plan, Cell::text(pieces::plan(contract.plan))),
        (t.policy, Cell::code(policy.as_ref().map_or("bank", PolicyName::as_str))),
        (t.registered, Cell::Time(officer.time(contract.registered_at))),
    ];
    let mut page = officer.page("/search", &*contract.name).crumb(t.customers, "/search");
    page.notice = officer.notice();
    page = page
        .section(Section::Facts { title: String::new(), facts })
        .section(pieces::users(t, t.users, &members, None));
    if officer.may(Task::KeepCustomers) {
        let links = vec![(t.register_user.to_owned(), format!("/contracts/{number}/users/new"))];
        page = page.section(Section::Links { title: String::new(), links });
        page = page.forms(t.terms, terms::forms(console, t, &contract, policy.as_ref()).await?);
    }
    Ok(page.section(pieces::history(officer, &rows)))
}

/// The registration form of a user, with what was typed.
pub(super) async fn new_user(
    State(console): State<Arc<Console>>,
    officer: Officer,
    Path(id): Path<String>,
) -> Response {
    let shown = match console.guard.permit(officer.acting(), Task::KeepCustomers, &id).await {
        Ok(()) => number(&id),
        Err(denied) => Err(denied.into()),
    };
    match shown {
        Ok(number) => user_page(&officer, &number, &Vec::new(), None),
        Err(trouble) => trouble.page(&officer, "/search"),
    }
}

fn user_page(
    officer: &Officer,
    contract: &ContractNumber,
    fields: &Fields,
    refused: Option<(StatusCode, String)>,
) -> Response {
    let t = officer.t();
    let roles = vec![("general", t.role_general.to_owned()), ("master", t.role_master.to_owned())];
    let form = Entry::post("user", format!("/contracts/{contract}/users"), "", t.register)
        .with(Field::line("id", t.user_id, field(fields, "id"), 32).hint(t.user_id_hint))
        .with(Field::choice("role", t.role, field(fields, "role"), roles))
        .with(Field::line("name", t.name, field(fields, "name"), MAX_NAME).hint(t.name_hint))
        .with(Field::line("email", t.email, field(fields, "email"), 254).optional());
    let page = officer
        .page("/search", t.register_user)
        .crumb(t.customers, "/search")
        .crumb(contract.to_string(), format!("/contracts/{contract}"));
    page.form(form).respond_unless_refused(refused)
}

pub(super) async fn register_user(
    State(console): State<Arc<Console>>,
    officer: Officer,
    Path(id): Path<String>,
    Form(fields): Form<Fields>,
) -> Response {
    let t = officer.t();
    let Ok(contract) = number(&id) else { return Trouble::NotFound.page(&officer, "/search") };
    let (acting, typed, desk) = (officer.acting().clone(), fields.clone(), console.clone());
    let of = contract.clone();
    let clerk = officer.clone();
    let done = console.act(&officer, &fields, async move {
        desk.first(&clerk, Task::KeepCustomers, of.as_str()).await?;
        let new = NewUser {
            id: UserId::parse(field(&typed, "id")).map_err(|_| Trouble::Field(t.user_id_bad))?,
            contract: of,
            role: Role::parse(field(&typed, "role")).ok_or(Trouble::Field(t.choose_role))?,
            display_name: field(&typed, "name").to_owned(),
            email: Some(field(&typed, "email").to_owned()).filter(|typed| !typed.is_empty()),
        };
        let user = desk.desk.register_user(&acting, new).await?;
        Ok(see(&format!("/users/{}?done=user", user.id)))
    });
    match done.await {
        Ok(response) => response,
        Err(trouble) => {
            again(&officer, &trouble, |refused| user_page(&officer, &contract, &fields, Some(refused)))
        }
    }
}
