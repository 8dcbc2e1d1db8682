//! Every route of the portal × every identity; beside it, those of the public listener and of the staff console. Who
//! isn't in a row's list is turned away, and a route that no row names fails the test: the table is compared with the
//! router's source.

mod customers;
#[path = "access_matrix/listeners.rs"]
mod listeners;
#[path = "access_matrix/public.rs"]
mod public;
#[path = "access_matrix/staff.rs"]
mod staff;
mod staff_house;

use std::collections::BTreeSet;

use customers::{House, token_of};
use jiff::SignedDuration;
use softhsm_tests::{
    bank::{CONFIRMATION_PASSWORD, LOGIN_PASSWORD, MachineClient, NewMachine, Options, SoftBrowser},
    card_client::Response,
};

/// Who comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    /// No certificate at all.
    Nobody,
    /// A good certificate, not logged in.
    NotLoggedIn,
    General,
    Master,
    /// The master of another contract.
    OtherMaster,
    /// Logged in, then revoked.
    Revoked,
    /// A certificate past its notAfter.
    Expired,
    /// Logged in, then suspended.
    Suspended,
}

use Who::{Expired, General, Master, Nobody, NotLoggedIn, OtherMaster, Revoked, Suspended};

const EVERYBODY: [Who; 8] = [Nobody, NotLoggedIn, General, Master, OtherMaster, Revoked, Expired, Suspended];

/// A route, and who is served there; a POST is one with a session's own form, all fields filled in.
struct Row {
    method: &'static str,
    /// As the router spells it.
    route: &'static str,
    /// As it is asked for.
    path: &'static str,
    served: &'static [Who],
}

const fn row(method: &'static str, route: &'static str, path: &'static str, served: &'static [Who]) -> Row {
    Row { method, route, path, served }
}

/// For the language switch alone: it leads to the form, to which it says who may see it.
const NOBODY: &[Who] = &[];
const USERS: &[Who] = &[General, Master, OtherMaster];
const MASTERS: &[Who] = &[Master, OtherMaster];
/// What concerns a user of the first contract.
const OWN_MASTER: &[Who] = &[Master];

/// In this order: what ends a session comes last.
const MATRIX: &[Row] = &[
    row("GET", "/help", "/help", &EVERYBODY),
    row("GET", "/environments", "/environments", &EVERYBODY),
    row("GET", "/logged-out", "/logged-out", &EVERYBODY),
    row("GET", "/stopped", "/stopped", &EVERYBODY),
    row("GET", "/login", "/login", &[NotLoggedIn, General, Master, OtherMaster, Suspended]),
    row("GET", "/home", "/home", USERS),
    row("GET", "/history", "/history", USERS),
    row("GET", "/certificate", "/certificate", USERS),
    row("GET", "/settings", "/settings", USERS),
    row("GET", "/settings/password", "/settings/password", USERS),
    row("GET", "/settings/confirmation-password", "/settings/confirmation-password", MASTERS),
    row("GET", "/settings/email", "/settings/email", USERS),
    row("GET", "/settings/email/code", "/settings/email/code", NOBODY),
    row("GET", "/settings/email/drop", "/settings/email/drop", NOBODY),
    row("GET", "/settings/stop", "/settings/stop", USERS),
    row("GET", "/manage", "/manage", MASTERS),
    row("GET", "/manage/users", "/manage/users", MASTERS),
    row("GET", "/manage/users.csv", "/manage/users.csv", MASTERS),
    row("GET", "/manage/users/register", "/manage/users/register", MASTERS),
    row("GET", "/manage/users/revoke", "/manage/users/revoke", MASTERS),
    row("GET", "/manage/users/revoke/result", "/manage/users/revoke/result?user=target-01", MASTERS),
    row("GET", "/manage/user/{id}", "/manage/user/target-01", OWN_MASTER),
    row("GET", "/manage/user/{id}/{act}", "/manage/user/target-01/suspend", OWN_MASTER),
    row("POST", "/manage/users/revoke/confirm", "/manage/users/revoke/confirm", OWN_MASTER),
    row("POST", "/manage/users/register", "/manage/users/register", MASTERS),
    row("POST", "/manage/user/{id}/{act}", "/manage/user/target-01/assign", OWN_MASTER),
    row("POST", "/manage/user/{id}/{act}", "/manage/user/target-01/release", OWN_MASTER),
    row("POST", "/manage/user/{id}/{act}", "/manage/user/target-01/unlock", OWN_MASTER),
    row("POST", "/manage/user/{id}/{act}", "/manage/user/target-01/password", OWN_MASTER),
    row("POST", "/manage/user/{id}/{act}", "/manage/user/target-01/suspend", OWN_MASTER),
    row("POST", "/manage/user/{id}/{act}", "/manage/user/target-01/resume", OWN_MASTER),
    row("POST", "/manage/users/revoke", "/manage/users/revoke", MASTERS),
    row("POST", "/manage/user/{id}/{act}", "/manage/user/target-01/remove", OWN_MASTER),
    row("POST", "/settings/email", "/settings/email", USERS),
    // The code that is sent is nobody's.
    row("POST", "/settings/email/code", "/settings/email/code", NOBODY),
    row("POST", "/settings/email/drop", "/settings/email/drop", USERS),
    row("POST", "/settings/password", "/settings/password", USERS),
    row("POST", "/settings/confirmation-password", "/settings/confirmation-password", MASTERS),
    row("POST", "/logout", "/logout", USERS),
];

/// Routes that the table can't say it of, each with the test that does. This list only shrinks.
const EXEMPT: &[(&str, &str)] = &[
    ("GET /", "leads to /home for everybody"),
    ("POST /login", "login: its refusals are the subject there"),
    ("GET /renewal", "portal: only while a certificate can be renewed"),
    ("POST /renewal", "portal: the same"),
    ("GET /renewal/steps", "portal: the same"),
    ("POST /settings/stop", "portal: rule 14; it ends what the other rows need"),
    ("GET /manage/users/revoke/confirm", "leads to /manage/users/revoke for everybody"),
];

/// Whether a visitor was served: a page, or, for a form, where it leads after it was done. To be sent to the login is not.
fn served(row: &Row, answer: &Response) -> bool {
    let away = |location: &str| location == "/login";
    match answer.status {
        200 => true,
        303 => row.method == "POST" && !answer.header("location").is_some_and(away),
        _ => false,
    }
}

/// A mail server that nobody reaches: addresses can be changed where one is configured.
fn with_mail(table: &mut toml::Table) {
    let mail = toml::toml! {
        server = "localhost"
        port = 9
        roots = "tls/ca.pem"
        from = "no-reply@bank.example"
        bank = "試験銀行"
        contact = "03-0000-0000"
    };
    table.insert("mail".to_owned(), mail.into());
}

fn ask(browser: &SoftBrowser, who: Who, row: &Row, csrf: Option<&str>) -> Response {
    if row.method == "GET" {
        return browser.get(row.path).expect("an answer");
    }
    let (current, new) = if row.route == "/settings/confirmation-password" {
        (CONFIRMATION_PASSWORD, "to-confirm-it-again")
    } else {
        (LOGIN_PASSWORD, "a-phrase-for-everyone")
    };
    let new_user = format!("new-{}", format!("{who:?}").to_lowercase());
    let fields = [
        ("csrf", csrf.unwrap_or("none")),
        ("confirmation", CONFIRMATION_PASSWORD),
        ("user", "target-01"),
        ("user_id", &*new_user),
        ("name", "試験 花子"),
        ("kind", "yubikey-piv"),
        ("serial", "46000099"),
        ("email", "someone@example.com"),
        ("password", LOGIN_PASSWORD),
        ("code", "no code"),
        ("current", current),
        ("new", new),
        ("again", new),
    ];
    browser.post(row.path, &fields).expect("an answer")
}

/// Everybody, at a bank.
struct Visitors {
    house: House,
    browsers: [(Who, SoftBrowser); EVERYBODY.len()],
    /// Of the sessions' forms.
    tokens: Vec<(Who, String)>,
}

impl Visitors {
    /// A bank to which all of them come.
    fn open(name: &str) -> Self {
        let machines = vec![NewMachine::trusted("terminals")];
        let options = Options { machines, adjust: Some(with_mail), ..Options::default() };
        let (mut house, clock) = House::with_clock(name, &options);
        house.bank.register_contract("7654321", "他社").expect("a contract");
        let expired = house.customer("expired-01", "general", 46_000_007);
        house.later(&clock, SignedDuration::from_hours(24 * 367));
        let general = house.customer("general-01", "general", 46_000_001);
        let master = house.customer("master-01", "master", 46_000_002);
        let other = house.customer_of("7654321", "other-master", "master", 46_000_003);
        let revoked = house.customer("revoked-01", "general", 46_000_004);
        let suspended = house.customer("suspended-01", "general", 46_000_005);
        house.customer("target-01", "general", 46_000_006);
        let browsers = [
            (Nobody, SoftBrowser::with_pem(&house.bank, None).expect("a browser")),
            (NotLoggedIn, house.window(&general)),
            (General, general.browser),
            (Master, master.browser),
            (OtherMaster, other.browser),
            (Revoked, revoked.browser),
            (Expired, expired.browser),
            (Suspended, suspended.browser),
        ];
        let mut tokens = Vec::new();
        for (who, browser) in &browsers {
            if matches!(who, General | Master | OtherMaster | Revoked | Suspended) {
                browser.login().expect("a login");
                tokens.push((*who, token_of(browser, "/home")));
            }
        }
        let arguments = ["certificate", "revoke", &revoked.serial, "--reason", "superseded"];
        house.bank.operator(&arguments).expect("revoked");
        house.bank.operator(&["user", "suspend", "suspended-01"]).expect("suspended");
        Self { house, browsers, tokens }
    }
}

#[test]
fn every_route_serves_whom_it_should_and_nobody_else() {
    let Visitors { house, browsers, tokens } = Visitors::open("access-matrix");
    let machine = MachineClient::new(&house.bank, "terminals").expect("a machine");

    let mut wrong = Vec::new();
    for row in MATRIX {
        for (who, browser) in &browsers {
            let csrf = tokens.iter().find(|(other, _)| other == who).map(|(_, token)| token.as_str());
            let answer = ask(browser, *who, row, csrf);
            if served(row, &answer) != row.served.contains(who) {
                let location = answer.header("location").unwrap_or_default();
                wrong.push(format!("{} {}: {who:?} got {} {location}", row.method, row.path, answer.status));
            }
            assert!(answer.status < 500, "{} {} for {who:?}: {}", row.method, row.path, answer.text());
        }
        let method = row.method.parse().expect("a method");
        let status = machine.request(method, row.path).send().expect("an answer").status().as_u16();
        if status != 403 {
            wrong.push(format!("{} {}: a machine got {status}", row.method, row.path));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The router's source: what it routes, the table or the exemptions name.
#[test]
fn the_table_names_every_route() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../ca/src/http/portal/mod.rs");
    let source = std::fs::read_to_string(path).expect("the router's source");
    let mut routed = BTreeSet::new();
    for part in source.split(".route(").skip(1) {
        let Some(route) = part.split('"').nth(1).filter(|route| route.starts_with('/')) else { continue };
        let handlers = part.split(".route(").next().unwrap_or_default();
        for (word, method) in [("get(", "GET"), ("post(", "POST")] {
            if handlers.contains(word) {
                routed.insert(format!("{method} {route}"));
            }
        }
    }
    assert!(routed.len() > 30, "{routed:?}");
    let known: BTreeSet<String> = MATRIX
        .iter()
        .map(|row| format!("{} {}", row.method, row.route))
        .chain(EXEMPT.iter().map(|(route, _)| (*route).to_owned()))
        .collect();
    let missing: Vec<_> = routed.difference(&known).collect();
    let gone: Vec<_> = known.difference(&routed).collect();
    assert!(missing.is_empty() && gone.is_empty(), "not in the table: {missing:?}; not routed: {gone:?}");
}
