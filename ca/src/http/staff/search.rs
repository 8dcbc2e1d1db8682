//! 検索: by number, beginning of a name, ID or serial number; page by page.

use std::sync::Arc;

use axum::{
    extract::{Query as Parameters, State},
    http::StatusCode,
    response::Response,
};
use ca_core::{
    app::staff::overview::{Found, PAGE, Query},
    domain::{
        contract::Contract,
        ids::{ContractNumber, SerialNumber, TokenSerial, UserId},
    },
};
use serde::Deserialize;

use super::{
    Console, Trouble,
    catalogue::Catalogue,
    page::{Cell, Field, Form, Section},
    pieces,
    visitor::Officer,
};

/// Characters of a query at the most.
const MAX_CHARS: usize = 64;

/// What the address asks for.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Asked {
    by: String,
    q: String,
    /// The last result's number or ID on the page before, and its name.
    after: String,
    after_name: String,
}

/// The search form.
pub(super) fn form(t: &'static Catalogue, by: &str, q: &str) -> Form {
    let choices = [
        ("user", t.by_user),
        ("user-name", t.by_user_name),
        ("contract", t.by_contract),
        ("contract-name", t.by_contract_name),
        ("token", t.by_token),
        ("certificate", t.by_certificate),
    ];
    let choices = choices.map(|(value, label)| (value, label.to_owned())).to_vec();
    Form::get("search", "/search", t.search, t.search)
        .with(Field::choice("by", t.search_by, by, choices))
        .with(Field::line("q", t.search_for, q, MAX_CHARS).hint(t.search_hint))
}

pub(super) async fn search(
    State(console): State<Arc<Console>>,
    officer: Officer,
    Parameters(asked): Parameters<Asked>,
) -> Response {
    let t = officer.t();
    let (by, q) = (asked.by.as_str(), asked.q.trim());
    let mut page = officer.page("/search", t.customers).form(form(t, by, q));
    // Who may not is told so before anything is typed.
    let query = if q.is_empty() { Ok(None) } else { query(&asked, q).map(Some) };
    let found = match query {
        Ok(None) => console
            .guard
            .permit(officer.acting(), ca_core::domain::staff::Task::ReadCustomers, "search")
            .await
            .map(|()| None),
        Ok(Some(query)) => console.overview.find(officer.acting(), &query).await.map(Some),
        Err(()) => {
            page.alert = Some(t.search_malformed.to_owned());
            return page.respond(StatusCode::BAD_REQUEST);
        }
    };
    match found {
        Ok(None) => {}
        Ok(Some(found)) => page = results(page, t, &asked, q, &found),
        Err(denied) => return Trouble::from(denied).page(&officer, "/home"),
    }
    page.respond(StatusCode::OK)
}

fn query(asked: &Asked, q: &str) -> Result<Query, ()> {
    if q.chars().count() > MAX_CHARS || q.chars().any(char::is_control) {
        return Err(());
    }
    let after = |name: &str| (!asked.after.is_empty() && !name.is_empty()).then(|| name.to_owned());
    Ok(match asked.by.as_str() {
        "contract" => Query::Contract(ContractNumber::parse(q).map_err(drop)?),
        "contract-name" => {
            let number = ContractNumber::parse(&asked.after).ok();
            Query::ContractName(q.to_owned(), after(&asked.after_name).zip(number))
        }
        "user-name" => {
            let id = UserId::parse(&asked.after).ok();
            Query::UserName(q.to_owned(), after(&asked.after_name).zip(id))
        }
        "user" => Query::User(q.to_owned(), UserId::parse(&asked.after).ok()),
        "token" => Query::Token(TokenSerial::parse(q).map_err(drop)?),
        "certificate" => Query::Certificate(SerialNumber::parse(&q.to_ascii_lowercase()).map_err(drop)?),
        _ => return Err(()),
    })
}

fn results(
    page: super::page::Page,
    t: &'static Catalogue,
    asked: &Asked,
    q: &str,
    found: &Found,
) -> super::page::Page {
    let next = |after: String, name: &str| {
        let parameters = [("by", &*asked.by), ("q", q), ("after", &after), ("after_name", name)];
        Some((t.more.to_owned(), address("/search", &parameters)))
    };
    match asked.by.as_str() {
        "contract" | "contract-name" => {
            let full = found.contracts.len() == PAGE as usize;
            let last = found.contracts.last().filter(|_| full);
            let more = last.and_then(|last| next(last.number.to_string(), &last.name));
            page.section(contracts(t, &found.contracts, more))
        }
        "certificate" => {
            let rows = found.certificates.iter().map(|record| {
                vec![
                    Cell::certificate(&record.serial),
                    Cell::user(&record.user),
                    Cell::contract(&record.contract),
                ]
            });
            let head = [t.serial, t.user_id, t.contract_number];
            page.section(Section::table(t.results, &head, rows.collect(), t.nothing_found))
        }
        by => {
            let full = found.users.len() == PAGE as usize && by != "token";
            let last = found.users.last().filter(|_| full);
            let more = last.and_then(|last| next(last.id.to_string(), &last.display_name));
            page.section(pieces::users(t, t.results, &found.users, more))
        }
    }
}

/// An address of the console with these parameters.
pub(super) fn address(path: &str, parameters: &[(&str, &str)]) -> String {
    // Writing to a String doesn't fail.
    let encoded =
        |text: &str| askama::filters::urlencode_strict(text).map(|safe| safe.to_string()).unwrap_or_default();
    let pairs: Vec<String> =
        parameters.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
    format!("{path}?{}", pairs.join("&"))
}

fn contracts(t: &'static Catalogue, contracts: &[Contract], more: Option<(String, String)>) -> Section {
    let row = |contract: &Contract| {
        vec![
            Cell::contract(&contract.number),
            Cell::text(&contract.name),
            Cell::text(pieces::plan(contract.plan)),
        ]
    };
    Section::Table {
        title: t.results.to_owned(),
        head: vec![t.contract_number, t.contract_name, t.plan],
        rows: contracts.iter().map(row).collect(),
        empty: t.nothing_found,
        more,
    }
}
