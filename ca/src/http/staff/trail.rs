//! 監査証跡 for auditors: filtered, page by page, and its export as CSV and JSON. Reading changes nothing; an export
//! leaves a row.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Query as Parameters, State},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use ca_core::{
    app::staff::trail::Page as Piece,
    domain::{audit::AuditRow, validity::at_japan},
    ports::search::AuditFilter,
};
use futures::stream;
use jiff::{Timestamp, civil::Date};
use serde::{Deserialize, Serialize};

use super::{
    Console, Trouble,
    page::{Cell, Field, Form, Section},
    pieces,
    visitor::Officer,
};

/// What the address asks for.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Asked {
    actor: String,
    action: String,
    subject: String,
    from: String,
    until: String,
    before: Option<u64>,
}

impl Asked {
    /// The filter; the name of a field that can't be read.
    fn filter(&self) -> Result<AuditFilter, ()> {
        let text = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        let day = |text: &str| -> Result<Option<Date>, ()> {
            if text.is_empty() { Ok(None) } else { text.parse().map(Some).map_err(drop) }
        };
        let midnight = |day: Date| at_japan(day, jiff::civil::Time::midnight()).map_err(drop);
        let until = day(&self.until)?.map(Date::tomorrow).transpose().map_err(drop)?;
        Ok(AuditFilter {
            actor: text(&self.actor),
            action: text(&self.action),
            subject: text(&self.subject),
            from: day(&self.from)?.map(midnight).transpose()?,
            until: until.map(midnight).transpose()?,
        })
    }

    fn query(&self) -> String {
        let pairs = [
            ("actor", &self.actor),
            ("action", &self.action),
            ("subject", &self.subject),
            ("from", &self.from),
            ("until", &self.until),
        ];
        let encoded = |text: &str| {
            askama::filters::urlencode_strict(text).map(|safe| safe.to_string()).unwrap_or_default()
        };
        let pairs = pairs.iter().filter(|(_, value)| !value.is_empty());
        pairs.map(|(name, value)| format!("{name}={}&", encoded(value))).collect::<Vec<_>>().concat()
    }
}

pub(super) async fn show(
    State(console): State<Arc<Console>>,
    officer: Officer,
    Parameters(asked): Parameters<Asked>,
) -> Response {
    let t = officer.t();
    let form = Form::get("filter", "/audit", t.filter, t.show)
        .with(Field::line("actor", t.by_whom, &asked.actor, 64).optional().hint(t.actor_hint))
        .with(Field::line("action", t.what, &asked.action, 64).optional().hint(t.action_hint))
        .with(Field::line("subject", t.about, &asked.subject, 64).optional())
        .with(Field::day("from", t.from_day, &asked.from))
        .with(Field::day("until", t.until_day, &asked.until));
    let mut page = officer.page("/audit", t.audit).form(form);
    let Ok(filter) = asked.filter() else {
        page.alert = Some(t.day_bad.to_owned());
        return page.respond(StatusCode::BAD_REQUEST);
    };
    let piece = match console.trail.page(officer.acting(), &filter, asked.before).await {
        Ok(piece) => piece,
        Err(denied) => return Trouble::from(denied).page(&officer, "/home"),
    };
    let query = asked.query();
    let links = vec![
        (t.export_csv.to_owned(), format!("/audit.csv?{query}")),
        (t.export_json.to_owned(), format!("/audit.json?{query}")),
    ];
    page.section(Section::Links { title: String::new(), links })
        .section(table(&officer, &piece, &query))
        .respond(StatusCode::OK)
}

fn table(officer: &Officer, piece: &Piece, query: &str) -> Section {
    let t = officer.t();
    let row = |row: &AuditRow| {
        vec![
            Cell::code(row.sequence),
            Cell::Time(moment(row).map(|at| officer.time(at)).unwrap_or_default()),
            pieces::act(officer, row),
            Cell::text(row.actor.clone()),
            Cell::code(&row.subject),
            Cell::Details(row.details.clone()),
        ]
    };
    Section::Table {
        title: t.rows.to_owned(),
        head: vec![t.number, t.when, t.what, t.by_whom, t.about, t.particulars],
        rows: piece.rows.iter().map(row).collect(),
        empty: t.nothing_here,
        more: piece.next.map(|before| (t.older.to_owned(), format!("/audit?{query}before={before}"))),
    }
}

fn moment(row: &AuditRow) -> Option<Timestamp> {
    Timestamp::from_millisecond(row.at_ms).ok()
}

pub(super) async fn csv(
    State(console): State<Arc<Console>>,
    officer: Officer,
    Parameters(asked): Parameters<Asked>,
) -> Response {
    // A byte order mark: spreadsheets take UTF-8 for something else without it.
    let head = "\u{feff}sequence,at,actor,action,subject,details,sha256\r\n";
    export(console, officer, &asked, ("text/csv; charset=utf-8", "audit.csv"), head, csv_line).await
}

pub(super) async fn json(
    State(console): State<Arc<Console>>,
    officer: Officer,
    Parameters(asked): Parameters<Asked>,
) -> Response {
    export(console, officer, &asked, ("application/x-ndjson", "audit.json"), "", json_line).await
}

/// Sends the rows piece by piece, newest first, as they are read.
async fn export(
    console: Arc<Console>,
    officer: Officer,
    asked: &Asked,
    (kind, name): (&'static str, &'static str),
    head: &'static str,
    line: fn(&AuditRow) -> String,
) -> Response {
    let t = officer.t();
    let Ok(filter) = asked.filter() else { return Trouble::Field(t.day_bad).page(&officer, "/audit") };
    let before = match console.trail.begin_export(officer.acting(), &filter).await {
        Ok(before) => before,
        Err(denied) => return Trouble::from(denied).page(&officer, "/home"),
    };
    let pieces = stream::unfold(Some(before), move |next| {
        let (console, filter) = (console.clone(), filter.clone());
        async move {
            let piece = match console.trail.next_piece(&filter, next?).await {
                Ok(piece) => piece,
                Err(error) => {
                    let error = crate::logging::chain(&error);
                    tracing::error!(error, "an export of the audit trail broke off");
                    // A body that ends without its end is seen to be cut off.
                    return Some((Err(std::io::Error::other("the ledger failed")), None));
                }
            };
            let text: String = piece.rows.iter().map(line).collect();
            Some((Ok(Bytes::from(text)), piece.next))
        }
    });
    let head = stream::iter([Ok(Bytes::from_static(head.as_bytes()))]);
    let body = Body::from_stream(futures::StreamExt::chain(head, pieces));
    let mut response = body.into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    if let Ok(disposition) = HeaderValue::try_from(format!("attachment; filename=\"{name}\"")) {
        response.headers_mut().insert(header::CONTENT_DISPOSITION, disposition);
    }
    response
}

fn csv_line(row: &AuditRow) -> String {
    let at = moment(row).map(|at| at.to_string()).unwrap_or_default();
    let cells = [
        row.sequence.to_string(),
        at,
        row.actor.clone(),
        row.action.clone(),
        row.subject.clone(),
        row.details.clone(),
        hex::encode(row.hash),
    ];
    let cells: Vec<String> = cells.iter().map(|cell| csv_cell(cell)).collect();
    cells.join(",") + "\r\n"
}

/// A cell that no spreadsheet takes for a formula: what begins like one gets an apostrophe before it.
fn csv_cell(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠']);
    format!("\"{}{}\"", if formula { "'" } else { "" }, text.replace('"', "\"\""))
}

#[derive(Serialize)]
struct JsonRow<'a> {
    sequence: u64,
    at: Option<Timestamp>,
    actor: &'a str,
    action: &'a str,
    subject: &'a str,
    details: Vec<&'a str>,
    sha256: String,
}

/// A line each, so that a long trail is read as it comes.
fn json_line(row: &AuditRow) -> String {
    let line = JsonRow {
        sequence: row.sequence,
        at: moment(row),
        actor: &row.actor,
        action: &row.action,
        subject: &row.subject,
        details: row.details.lines().collect(),
        sha256: hex::encode(row.hash),
    };
    serde_json::to_string(&line).unwrap_or_default() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula() {
        for text in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "＝1"] {
            assert_eq!(csv_cell(text), format!("\"'{text}\""));
        }
        assert_eq!(csv_cell("a\"b,c\nd"), "\"a\"\"b,c\nd\"");
        assert_eq!(csv_cell("1-1"), "\"1-1\"");
    }

    #[test]
    fn days_are_japans_and_the_last_one_is_included() {
        let asked =
            Asked { from: "2026-11-22".to_owned(), until: "2026-11-22".to_owned(), ..Asked::default() };
        let filter = asked.filter().expect("a filter");
        let at = |text: &str| Some(text.parse::<Timestamp>().expect("a time"));
        assert_eq!(filter.from, at("2026-11-22T00:00:00+09:00"));
        assert_eq!(filter.until, at("2026-11-23T00:00:00+09:00"));
        assert!(Asked { from: "yesterday".to_owned(), ..Asked::default() }.filter().is_err());
    }
}
