//! Every route of the staff console × every role. Who isn't in a row's list is turned away, and a route that no row
//! names fails the test.

use std::collections::BTreeSet;

use rcgen::DnType;
use softhsm_tests::{bank::SoftBrowser, card_client::Response, soft_pki::Identity, wait::until};

use crate::staff_house::{Member, StaffHouse, admit};

const CLERK: &str = "clerk-1";
const AUDITOR: &str = "auditor";
const OPERATIONS: &str = "operations";
const ADMINISTRATOR: &str = "admin-1";

const CUSTOMERS: &[&str] = &[CLERK, AUDITOR];
const CLERKS: &[&str] = &[CLERK];
const ADMINISTRATORS: &[&str] = &[ADMINISTRATOR];
const AUDITORS: &[&str] = &[AUDITOR];
const STAFF_READERS: &[&str] = &[ADMINISTRATOR, AUDITOR];
const APPROVALS: &[&str] = &[CLERK, ADMINISTRATOR, AUDITOR];
const EVERYBODY: &[&str] = &[CLERK, AUDITOR, OPERATIONS, ADMINISTRATOR];

/// Method, route as the router spells it, path that is asked for, and who gets past the question of roles: whether the
/// form then makes sense is not asked here.
pub(crate) type Row = (&'static str, &'static str, &'static str, &'static [&'static str]);

const ID: &str = "00000000-0000-4000-8000-000000000000";

pub(crate) const MATRIX: &[Row] = &[
    ("GET", "/home", "/home", EVERYBODY),
    ("GET", "/search", "/search", CUSTOMERS),
    ("GET", "/search", "/search?by=user&q=target", CUSTOMERS),
    ("GET", "/contracts/new", "/contracts/new", CLERKS),
    ("GET", "/contracts", "/contracts", EVERYBODY),
    ("POST", "/contracts", "/contracts", CLERKS),
    ("GET", "/contracts/{number}", "/contracts/1234567", CUSTOMERS),
    ("GET", "/contracts/{number}/policy", "/contracts/1234567/policy", EVERYBODY),
    ("POST", "/contracts/{number}/policy", "/contracts/1234567/policy", CLERKS),
    ("GET", "/contracts/{number}/plan", "/contracts/1234567/plan", EVERYBODY),
    ("POST", "/contracts/{number}/plan", "/contracts/1234567/plan", CLERKS),
    ("GET", "/contracts/{number}/users/new", "/contracts/1234567/users/new", CLERKS),
    ("POST", "/contracts/{number}/users", "/contracts/1234567/users", CLERKS),
    ("GET", "/users/{id}", "/users/target-01", CUSTOMERS),
    ("GET", "/users/{id}/{act}", "/users/target-01/token", EVERYBODY),
    ("POST", "/users/{id}/{act}", "/users/target-01/token", CLERKS),
    ("POST", "/users/{id}/{act}", "/users/target-01/letter", CLERKS),
    ("POST", "/users/{id}/{act}", "/users/target-01/release", CLERKS),
    ("POST", "/users/{id}/{act}", "/users/target-01/password", CLERKS),
    ("POST", "/users/{id}/{act}", "/users/target-01/confirmation", CLERKS),
    ("POST", "/users/{id}/{act}", "/users/target-01/unlock", CLERKS),
    ("POST", "/users/{id}/{act}", "/users/target-01/suspend", CLERKS),
    ("POST", "/users/{id}/{act}", "/users/target-01/resume", CLERKS),
    ("POST", "/users/{id}/{act}", "/users/target-01/reobtain", CLERKS),
    ("POST", "/users/{id}/{act}", "/users/target-01/remove", CLERKS),
    ("GET", "/certificates/{serial}", "/certificates/00ff", CUSTOMERS),
    ("GET", "/certificates/{serial}/revoke", "/certificates/00ff/revoke", EVERYBODY),
    ("POST", "/certificates/{serial}/revoke", "/certificates/00ff/revoke", CLERKS),
    ("GET", "/approvals", "/approvals", APPROVALS),
    ("GET", "/approvals/{id}", "/approvals/00000000-0000-4000-8000-000000000000", APPROVALS),
    (
        "GET",
        "/approvals/{id}/{decision}",
        "/approvals/00000000-0000-4000-8000-000000000000/approve",
        EVERYBODY,
    ),
    (
        "POST",
        "/approvals/{id}/{decision}",
        "/approvals/00000000-0000-4000-8000-000000000000/approve",
        APPROVALS,
    ),
    ("GET", "/tokens", "/tokens", CUSTOMERS),
    ("GET", "/tokens/{kind}/{serial}", "/tokens/yubikey-piv/51000001", CUSTOMERS),
    ("GET", "/tokens/{kind}/{serial}/state", "/tokens/yubikey-piv/51000001/state", EVERYBODY),
    ("POST", "/tokens/{kind}/{serial}/state", "/tokens/yubikey-piv/51000001/state", CLERKS),
    ("GET", "/unblockings/{id}", "/unblockings/00000000-0000-4000-8000-000000000000", CUSTOMERS),
    (
        "GET",
        "/unblockings/{id}/{decision}",
        "/unblockings/00000000-0000-4000-8000-000000000000/approve",
        EVERYBODY,
    ),
    (
        "POST",
        "/unblockings/{id}/{decision}",
        "/unblockings/00000000-0000-4000-8000-000000000000/approve",
        CLERKS,
    ),
    ("GET", "/staff", "/staff", STAFF_READERS),
    ("GET", "/staff/new", "/staff/new", ADMINISTRATORS),
    ("POST", "/staff", "/staff", ADMINISTRATORS),
    ("GET", "/staff/{id}", "/staff/clerk-2", STAFF_READERS),
    ("GET", "/staff/{id}/withdraw", "/staff/nobody/withdraw", EVERYBODY),
    ("POST", "/staff/{id}/withdraw", "/staff/nobody/withdraw", ADMINISTRATORS),
    ("GET", "/mail", "/mail", CUSTOMERS),
    ("GET", "/mail/retry", "/mail/retry", EVERYBODY),
    ("POST", "/mail/retry", "/mail/retry", CLERKS),
    ("GET", "/health", "/health", EVERYBODY),
    ("GET", "/calendar", "/calendar", EVERYBODY),
    ("GET", "/audit", "/audit", AUDITORS),
    ("GET", "/audit.csv", "/audit.csv", AUDITORS),
    ("GET", "/audit.json", "/audit.json", AUDITORS),
    ("POST", "/logout", "/logout", EVERYBODY),
];

/// Routes that belong to the login. This list only shrinks.
const EXEMPT: &[&str] = &["GET /", "POST /login", "GET /login", "GET /logout", "GET /logged-out"];

fn ask(browser: &SoftBrowser, member: Option<&Member>, row: &Row) -> Response {
    let (method, _, path, _) = row;
    match (*method, member) {
        ("GET", _) => browser.get(path).expect("an answer"),
        (_, Some(member)) => member.post(
            path,
            &[
                ("kind", "yubikey-piv"),
                ("serial", "51000009"),
                ("sure", "yes"),
                ("way", "code"),
                ("reason", "unspecified"),
                ("identity", "x"),
                ("policy", "bank"),
                ("number", "7"),
                ("name", "x"),
            ],
        ),
        (_, None) => browser.post(path, &[("csrf", "none")]).expect("an answer"),
    }
}

/// Whether somebody got past the question of who may.
fn admitted(answer: &Response) -> bool {
    answer.status != 403 && answer.header("location") != Some("/")
}

#[test]
fn every_route_of_the_console_by_every_role() {
    let (house, members) = StaffHouse::open("access-matrix-staff");
    house.house.customer("target-01", "general", 51_000_001);
    let nobody = SoftBrowser::staff(house.bank(), None).expect("a browser");
    let stranger = house.member("stranger", house.identity("stranger"));
    let not_logged_in = {
        let clerk = members.iter().find(|member| member.id == CLERK).expect("a clerk");
        let pem = clerk.identity.key.clone() + &clerk.identity.certificate;
        SoftBrowser::staff(house.bank(), Some(&pem)).expect("a browser")
    };
    // Logged in before, and none of it counts any more: withdrawn, revoked by the staff CA, past the end.
    let [first, second, ..] = &members[..] else { panic!("two administrators") };
    let come_in = |id: &str, identity: Identity| {
        admit(first, second, id, "clerk hsm-operations administrator", &identity);
        let member = house.member(id, identity);
        assert_eq!(member.try_login().status, 303, "{id}");
        member
    };
    let withdrawn = come_in("withdrawn", house.identity("withdrawn"));
    let revoked = come_in("revoked", house.identity("revoked"));
    first.done("/staff/withdrawn/withdraw", &[("reason", "異動")]);
    house.revoke_certificates(2, &[&revoked.identity]);
    let turned_away = || revoked.browser.get("/home").expect("an answer").status;
    until("the staff CA's CRL", turned_away, |status| *status == 403);
    let expired = house.authority.client_between(&[(DnType::CommonName, "expired")], (2024, 2025));
    let expired = expired.expect("a certificate");
    admit(first, second, "expired", "clerk hsm-operations administrator", &expired);
    let expired = house.member("expired", expired);

    let mut wrong = Vec::new();
    for row in MATRIX {
        let (method, _, path, admits) = row;
        for id in EVERYBODY {
            let member = members.iter().find(|member| member.id == *id).expect("a member");
            let answer = ask(&member.browser, Some(member), row);
            if admitted(&answer) != admits.contains(id) {
                wrong.push(format!("{method} {path} by {id}: {}", answer.status));
            }
        }
        for (who, browser) in [
            ("nobody", &nobody),
            ("a stranger", &stranger.browser),
            ("somebody not logged in", &not_logged_in),
            ("a withdrawn member", &withdrawn.browser),
            ("a revoked certificate", &revoked.browser),
            ("an expired certificate", &expired.browser),
        ] {
            let answer = ask(browser, None, row);
            if admitted(&answer) {
                wrong.push(format!("{method} {path} by {who}: {}", answer.status));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(MATRIX.iter().any(|(_, _, path, _)| path.contains(ID)));
}

#[test]
fn the_consoles_table_names_every_route() {
    let source = include_str!("../../../ca/src/http/staff/mod.rs");
    let mut routes = BTreeSet::new();
    for line in source.lines().filter_map(|line| line.trim().strip_prefix(".route(\"")) {
        let (path, handlers) = line.split_once("\", ").expect("a route");
        for (mark, method) in [("get(", "GET"), ("post(", "POST")] {
            if handlers.contains(mark) {
                routes.insert(format!("{method} {path}"));
            }
        }
    }
    assert!(routes.len() > 30, "the router is spelled in another way: {routes:?}");
    let named = MATRIX.iter().map(|(method, route, ..)| format!("{method} {route}"));
    let named: BTreeSet<String> = named.chain(EXEMPT.iter().map(|text| (*text).to_owned())).collect();
    assert_eq!(routes, named);
}
