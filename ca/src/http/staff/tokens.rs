//! Tokens: where each is and what is on it, and the PINs that users ask to be unblocked.

use std::sync::Arc;

use axum::{
    Form,
    extract::{Path, Query, State},
    response::Response,
};
use ca_core::{
    app::staff::tokens::TOKENS,
    domain::{
        custody::Unblocking,
        device::{Device, DeviceKind},
        ids::{ContractNumber, TokenSerial},
        policy::{TokenRecord, TokenState},
        staff::Task,
    },
};

use super::{
    Console, Fields, Trouble,
    catalogue::Catalogue,
    field,
    page::{Cell, Field, Form as Entry, MAX_NOTE, Page, Section},
    pieces::{self, token_path},
    search::address,
    see, shown,
    visitor::Officer,
};
use crate::http::path;

/// The states that a clerk can put a token into, with the forms' names.
const STATES: [&str; 7] = ["handed-out", "lost", "broken", "replaced", "returned", "in-stock", "retired"];

pub(super) fn state_word(t: &'static Catalogue, state: &str) -> &'static str {
    match state {
        "assigned" => t.token_assigned,
        "in-use" => t.token_in_use,
        "handed-out" => t.token_handed_out,
        "lost" => t.token_lost,
        "broken" => t.token_broken,
        "replaced" => t.token_replaced,
        "returned" => t.token_returned,
        "retired" => t.token_retired,
        _ => t.token_in_stock,
    }
}

#[expect(clippy::result_large_err, reason = "a refusal goes to a page at once, never up a hot path")]
fn device(kind: &str, serial: &str) -> Result<Device, Trouble> {
    Ok(Device {
        kind: DeviceKind::parse(kind).ok_or(Trouble::NotFound)?,
        serial: TokenSerial::parse(serial).map_err(|_| Trouble::NotFound)?,
    })
}

/// The list, and what waits for an approval.
pub(super) async fn list(
    State(console): State<Arc<Console>>,
    officer: Officer,
    Query(query): Query<Fields>,
) -> Response {
    shown(list_page(&console, &officer, &query).await, &officer, "/home")
}

async fn list_page(console: &Console, officer: &Officer, query: &Fields) -> Result<Page, Trouble> {
    let (t, acting) = (officer.t(), officer.acting());
    let waiting = console.tokens.waiting(acting).await?;
    let state = STATES.into_iter().find(|state| *state == field(query, "state"));
    // An address that was bent shows the beginning.
    let after = device(field(query, "kind"), field(query, "after")).ok();
    let tokens = console.tokens.list(acting, state, after.as_ref()).await?;
    let mut page = officer.page("/tokens", t.tokens);
    page.notice = officer.notice();
    let rows = waiting.iter().map(|request| {
        vec![
            Cell::CodeLink { href: format!("/unblockings/{}", request.id), label: request.number() },
            Cell::user(&request.user),
            Cell::CodeLink { href: token_path(&request.device), label: request.device.serial.to_string() },
            Cell::Time(officer.time(request.asked_at)),
        ]
    });
    let head = [t.unblock_number, t.user_id, t.token, t.when];
    let filter = Entry::get("filter", "/tokens", t.token_list, t.search).with(Field::choice(
        "state",
        t.state,
        state.unwrap_or_default(),
        states(t, true),
    ));
    let rows_of = tokens.iter().map(|token| row(t, token)).collect();
    let full = tokens.last().filter(|_| tokens.len() == TOKENS as usize);
    let list = Section::Table {
        title: t.tokens.to_owned(),
        head: vec![t.token, t.state, t.contract_number, t.user_id],
        rows: rows_of,
        empty: t.nothing_found,
        more: full.map(|last| (t.more.to_owned(), after_address(state, &last.device))),
    };
    Ok(page
        .section(Section::table(t.unblockings, &head, rows.collect(), t.nothing_waits))
        .form(filter)
        .section(list))
}

/// The list from the token after this one on.
fn after_address(state: Option<&str>, last: &Device) -> String {
    let (kind, serial) = (last.kind.as_str(), last.serial.as_str());
    address("/tokens", &[("state", state.unwrap_or_default()), ("kind", kind), ("after", serial)])
}

fn row(t: &'static Catalogue, token: &TokenRecord) -> Vec<Cell> {
    let contract = match &token.state {
        TokenState::HandedOut { contract } => Cell::contract(contract),
        _ => Cell::text(t.none),
    };
    let state = if token.user.is_some() { "assigned" } else { token.state.as_str() };
    vec![
        Cell::CodeLink { href: token_path(&token.device), label: token.device.serial.to_string() },
        Cell::text(state_word(t, state)),
        contract,
        token.user.as_ref().map_or(Cell::text(t.none), Cell::user),
    ]
}

fn states(t: &'static Catalogue, all: bool) -> Vec<(&'static str, String)> {
    let any = all.then(|| ("", t.token_any.to_owned()));
    any.into_iter().chain(STATES.map(|state| (state, state_word(t, state).to_owned()))).collect()
}

pub(super) async fn show(
    State(console): State<Arc<Console>>,
    officer: Officer,
    Path((kind, serial)): Path<(String, String)>,
) -> Response {
    shown(token_page(&console, &officer, &kind, &serial).await, &officer, "/tokens")
}

/// Someone followed the language switch on the answer to the form.
pub(super) async fn back_to(_: Officer, Path((kind, serial)): Path<(String, String)>) -> Response {
    device(&kind, &serial).map_or_else(|_| see("/tokens"), |device| see(&token_path(&device)))
}

async fn token_page(console: &Console, officer: &Officer, kind: &str, serial: &str) -> Result<Page, Trouble> {
    let t = officer.t();
    let device = device(kind, serial)?;
    let token = console.tokens.show(officer.acting(), &device).await?;
    let mut page = officer.page("/tokens", format!("{kind} {serial}")).crumb(t.tokens, "/tokens");
    page.notice = officer.notice();
    let state = match (&token.record, token.living.is_empty()) {
        (_, false) => "in-use",
        (Some(record), true) if record.user.is_some() => "assigned",
        (Some(record), true) => record.state.as_str(),
        (None, true) => "",
    };
    let mut facts = vec![
        (t.token_serial, Cell::code(&device.serial)),
        (t.state, Cell::text(if state.is_empty() { t.token_unknown } else { state_word(t, state) })),
        (t.puk_kept, Cell::text(if token.keeps_puk { t.yes } else { t.no })),
    ];
    if let Some(record) = &token.record {
        if let TokenState::HandedOut { contract } = &record.state {
            facts.push((t.contract_number, Cell::contract(contract)));
        }
        if let Some(user) = &record.user {
            facts.push((t.assigned_to, Cell::user(user)));
        }
        facts.push((t.registered, Cell::Time(officer.time(record.registered_at))));
    }
    page = page.section(Section::Facts { title: String::new(), facts });
    page = page.section(pieces::certificates(officer, &token.living, console.clock.now()));
    let over = matches!(token.record.as_ref().map(|record| &record.state), Some(TokenState::Retired));
    if officer.may(Task::KeepCustomers) && !over {
        page = page.form(form(t, &device));
    }
    Ok(page.section(pieces::history(officer, &token.rows)))
}

fn form(t: &'static Catalogue, device: &Device) -> Entry {
    Entry::post("state", format!("{}/state", token_path(device)), t.token_state_title, t.token_state)
        .text(t.token_state_text)
        .with(Field::choice("state", t.state, "lost", states(t, false)))
        .with(Field::line("contract", t.contract_number, "", 10).optional().hint(t.token_contract_hint))
        .with(Field::line("note", t.token_note, "", MAX_NOTE).hint(t.token_note_hint))
        .danger(t.token_state_final)
}

/// Puts a token into another state.
pub(super) async fn put(
    State(console): State<Arc<Console>>,
    officer: Officer,
    Path((kind, serial)): Path<(String, String)>,
    Form(fields): Form<Fields>,
) -> Response {
    let Ok(device) = device(&kind, &serial) else { return Trouble::NotFound.page(&officer, "/tokens") };
    let back = token_path(&device);
    let (t, acting, desk, typed) = (officer.t(), officer.acting().clone(), console.clone(), fields.clone());
    let clerk = officer.clone();
    let done = console.act(&officer, &fields, async move {
        desk.first(&clerk, Task::KeepCustomers, device.serial.as_str()).await?;
        let contract = ContractNumber::parse(field(&typed, "contract")).ok();
        let state = field(&typed, "state");
        let contract = contract.filter(|_| state == "handed-out");
        let next = TokenState::parse(state, contract).ok_or(Trouble::Field(t.token_contract_bad))?;
        let moved = desk.tokens.put(&acting, &device, &next, field(&typed, "note")).await?;
        if !moved.revoked.is_empty() {
            desk.revoked.notify_one();
            desk.metrics.outcome("revocation", "revoked");
        }
        Ok(see(&format!("{}?done=token-state", token_path(&device))))
    });
    done.await.unwrap_or_else(|trouble| trouble.page(&officer, &back))
}

/// A request to unblock a PIN.
pub(super) async fn unblocking(
    State(console): State<Arc<Console>>,
    officer: Officer,
    Path(id): Path<String>,
) -> Response {
    shown(unblocking_page(&console, &officer, &id).await, &officer, "/tokens")
}

/// Someone followed the language switch on the answer to the form.
pub(super) async fn unblocking_back(_: Officer, Path((id, _)): Path<(String, String)>) -> Response {
    path::uuid(&id).map_or_else(|| see("/tokens"), |id| see(&format!("/unblockings/{id}")))
}

async fn unblocking_page(console: &Console, officer: &Officer, id: &str) -> Result<Page, Trouble> {
    let t = officer.t();
    let id = path::uuid(id).ok_or(Trouble::NotFound)?;
    let waiting = console.tokens.waiting(officer.acting()).await?;
    let request = waiting.iter().find(|request| request.id == id).ok_or(Trouble::NotFound)?;
    let page = officer.page("/tokens", t.unblocking).crumb(t.tokens, "/tokens");
    let facts = vec![
        (t.unblock_number, Cell::code(request.number())),
        (t.user_id, Cell::user(&request.user)),
        (
            t.token,
            Cell::CodeLink { href: token_path(&request.device), label: request.device.serial.to_string() },
        ),
        (t.when, Cell::Time(officer.time(request.asked_at))),
        (t.decide_until, Cell::Time(officer.time(request.expires_at))),
    ];
    let page = page.section(Section::Facts { title: String::new(), facts });
    if !officer.may(Task::KeepCustomers) {
        return Ok(page);
    }
    Ok(page.forms(t.acts, vec![decision(t, request, true), decision(t, request, false)]))
}

fn decision(t: &'static Catalogue, request: &Unblocking, approved: bool) -> Entry {
    let (id, title, button) = if approved {
        ("approve", t.unblock_approve_title, t.approve)
    } else {
        ("decline", t.unblock_decline_title, t.refuse)
    };
    let form = Entry::post(id, format!("/unblockings/{}/{id}", request.id), title, button);
    let form = form.with(Field::line("identity", t.identity, "", MAX_NOTE).hint(t.identity_hint));
    if approved { form.text(t.unblock_approve_text) } else { form.danger(t.unblock_decline_text) }
}

/// Approves an unblocking, or declines it.
pub(super) async fn decide(
    State(console): State<Arc<Console>>,
    officer: Officer,
    Path((id, decision)): Path<(String, String)>,
    Form(fields): Form<Fields>,
) -> Response {
    let approved = match decision.as_str() {
        "approve" => true,
        "decline" => false,
        _ => return Trouble::NotFound.page(&officer, "/tokens"),
    };
    let Some(id) = path::uuid(&id) else { return Trouble::NotFound.page(&officer, "/tokens") };
    let (acting, desk, typed, clerk) =
        (officer.acting().clone(), console.clone(), fields.clone(), officer.clone());
    let done = console.act(&officer, &fields, async move {
        desk.first(&clerk, Task::KeepCustomers, &id.to_string()).await?;
        desk.tokens.decide(&acting, id, approved, field(&typed, "identity")).await?;
        let word = if approved { "unblocking-approved" } else { "unblocking-declined" };
        Ok(see(&format!("/tokens?done={word}")))
    });
    done.await.unwrap_or_else(|trouble| trouble.page(&officer, "/tokens"))
}
