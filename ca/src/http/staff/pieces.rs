//! What several pages show alike: lists of users and certificates, a person's history, a token, roles, a plan.

use ca_core::{
    app::staff::admission::fingerprint,
    domain::{
        audit::AuditRow,
        certificate::CertificateRecord,
        contract::Plan,
        device::{Device, DeviceKind},
        staff::Roles,
        standing::standing as certificate_standing,
        user::{User, UserState},
    },
};
use der::Decode;
use jiff::Timestamp;
use x509_cert::Certificate;

use super::{
    catalogue::{Catalogue, device_kind, in_words, role, standing_word, user_role},
    page::{Cell, Section},
    visitor::Officer,
};

/// What was done, in words where there are any.
pub(super) fn act(officer: &Officer, row: &AuditRow) -> Cell {
    let words = in_words(officer.visitor.language, &row.action);
    words.map_or_else(|| Cell::code(&row.action), |words| Cell::Act { words, name: row.action.clone() })
}

/// Rows of the audit trail about somebody.
pub(super) fn history(officer: &Officer, rows: &[AuditRow]) -> Section {
    let t = officer.t();
    let row = |row: &AuditRow| {
        let at = Timestamp::from_millisecond(row.at_ms).map(|at| officer.time(at)).unwrap_or_default();
        vec![
            Cell::Time(at),
            act(officer, row),
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
        let now = certificate_standing(record, now);
        let state = standing_word(t, now);
        vec![
            Cell::certificate(&record.serial),
            if now.as_str() == "active" { Cell::Good(state.to_owned()) } else { Cell::text(state) },
            Cell::code(&record.device.serial),
            Cell::Time(officer.time(record.not_before)),
            Cell::Time(officer.time(record.not_after)),
        ]
    };
    let head = [t.serial, t.state, t.token, t.valid_from, t.valid_until];
    Section::table(t.certificates, &head, records.iter().map(row).collect(), t.no_certificates)
}

/// A list of users.
pub(super) fn users(
    t: &'static Catalogue,
    title: &str,
    users: &[User],
    more: Option<(String, String)>,
) -> Section {
    let row = |user: &User| {
        vec![
            Cell::user(&user.id),
            Cell::text(name(t, user)),
            Cell::text(user_role(t, user.role)),
            standing(t, user),
            Cell::contract(&user.contract),
        ]
    };
    Section::Table {
        title: title.to_owned(),
        head: vec![t.user_id, t.name, t.role, t.state, t.contract_number],
        rows: users.iter().map(row).collect(),
        empty: t.nothing_found,
        more,
    }
}

/// A user's name, while it is kept.
pub(super) fn name<'a>(t: &'static Catalogue, user: &'a User) -> &'a str {
    if user.display_name.is_empty() { t.erased } else { &user.display_name }
}

/// Whether a user may act, in a word.
pub(super) fn standing(t: &'static Catalogue, user: &User) -> Cell {
    match (user.state, user.locked_at) {
        (UserState::Removed, _) => Cell::text(t.state_removed),
        (UserState::Suspended, _) => Cell::Bad(t.state_suspended.to_owned()),
        (UserState::Active, Some(_)) => Cell::Bad(t.state_locked.to_owned()),
        (UserState::Active, None) => Cell::Good(t.state_active.to_owned()),
    }
}

/// A plan in short: the master, and the general users at the most.
pub(super) fn plan(plan: Plan) -> String {
    format!("1 + {}", plan.general_users)
}

/// Roles of a member of staff in words.
pub(super) fn roles(t: &'static Catalogue, roles: &Roles) -> String {
    let names: Vec<&str> = roles.iter().map(|of| role(t, of)).collect();
    names.join(t.list_separator)
}

/// What a certificate says of itself, for comparing.
pub(super) fn certificate_facts(t: &'static Catalogue, der: &[u8]) -> Vec<(&'static str, Cell)> {
    let parsed = Certificate::from_der(der);
    let (subject, until) = parsed.map_or_else(
        |_| (String::new(), String::new()),
        |certificate| {
            let tbs = certificate.tbs_certificate();
            (tbs.subject().to_string(), tbs.validity().not_after.to_string())
        },
    );
    vec![
        (t.subject, Cell::text(subject)),
        (t.valid_until, Cell::Time(until)),
        (t.fingerprint, Cell::code(fingerprint(der))),
    ]
}

/// A token: its kind in words, and its serial number.
pub(super) fn device_cell(t: &'static Catalogue, device: &Device) -> Cell {
    let label = format!("{} {}", device_kind(t, device.kind), device.serial);
    Cell::Link { href: token_path(device), label }
}

/// The kinds of token.
pub(super) fn kinds(t: &'static Catalogue) -> Vec<(&'static str, String)> {
    DeviceKind::ALL.map(|of| (of.as_str(), device_kind(t, of).to_owned())).to_vec()
}

/// The address of a token's page.
pub(super) fn token_path(device: &Device) -> String {
    format!("/tokens/{}/{}", device.kind.as_str(), device.serial)
}
