//! Every listener by those who belong to another one: members of staff and machines at the portal, customers and machines
//! at the console, customers and staff at the machines' API, and everybody where nobody is asked who it is. The tables
//! name every route: they are held against the OpenAPI document that the authority serves.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};
use softhsm_tests::{
    bank::{NewMachine, Options, SoftBrowser},
    card_client::Response,
};

use crate::{
    MATRIX,
    staff::MATRIX as CONSOLE,
    staff_house::{Member, StaffHouse},
};

/// A machine of each kind, and one whose certificate is over.
const MACHINES: [NewMachine; 3] = [
    NewMachine { roles: &["registration"], ..NewMachine::trusted("terminals") },
    NewMachine { roles: &["status"], ..NewMachine::trusted("other-portal") },
    NewMachine { years: (2020, 2021), ..NewMachine::trusted("retired") },
];

/// Method, route as the document spells it, path that is asked for, and the machine that is let in.
type Row = (&'static str, &'static str, &'static str, &'static str);

const ID: &str = "/machine/v1/enrolments/00000000-0000-4000-8000-000000000000";

const MACHINES_API: &[Row] = &[
    ("POST", "/machine/v1/enrolments", "/machine/v1/enrolments", "terminals"),
    ("POST", "/machine/v1/enrolments/certificates", "/machine/v1/enrolments/certificates", "terminals"),
    ("POST", "/machine/v1/enrolments/confirmations", "/machine/v1/enrolments/confirmations", "terminals"),
    ("GET", "/machine/v1/enrolments/{id}", ID, "terminals"),
    (
        "GET",
        "/machine/v1/certificates/{issuer}/{serial}",
        "/machine/v1/certificates/customer/00ff",
        "other-portal",
    ),
    ("POST", "/machine/v1/certificates/query", "/machine/v1/certificates/query", "other-portal"),
];

/// Where nobody is asked who it is; the last column is the status that everybody gets.
const OPEN: &[(&str, &str, &str, &str, u16)] = &[
    ("validation", "GET", "/ocsp", "/ocsp", 400),
    ("validation", "POST", "/ocsp", "/ocsp", 415),
    ("validation", "GET", "/ocsp/", "/ocsp/", 400),
    ("validation", "POST", "/ocsp/", "/ocsp/", 415),
    // Malformed, which an OCSP response says.
    ("validation", "GET", "/ocsp/{request}", "/ocsp/AAAA", 200),
    ("validation", "GET", "/crl/{name}", "/crl/customer-0.crl", 200),
    ("validation", "GET", "/ca/{name}", "/ca/customer.cer", 200),
    ("ops", "GET", "/livez", "/livez", 200),
    ("ops", "GET", "/readyz", "/readyz", 200),
    ("ops", "GET", "/metrics", "/metrics", 200),
];

/// Who comes, with the key and certificate that they bring.
struct Guests {
    house: StaffHouse,
    customers: Vec<(&'static str, String)>,
    staff: Vec<(&'static str, String)>,
    machines: Vec<(&'static str, String)>,
    /// A session of a customer's, and one of a member's.
    sessions: [String; 2],
}

impl Guests {
    fn open(name: &str) -> Self {
        let options = Options { machines: MACHINES.to_vec(), ..Options::default() };
        let (house, members) = StaffHouse::open_with(name, &options);
        let general = house.house.customer("general-01", "general", 46_500_001);
        let master = house.house.customer("master-01", "master", 46_500_002);
        general.browser.login().expect("a login");
        let session = general.browser.cookie("__Host-inro-session").expect("a session");
        let staff_session = members[0].browser.cookie("__Host-inro-staff-session").expect("a session");
        let identity = |member: &Member| member.identity.key.clone() + &member.identity.certificate;
        let of_staff = |id: &'static str| {
            (id, members.iter().find(|member| member.id == id).map(identity).expect("a member"))
        };
        let machine = |machine: &NewMachine| {
            let read = |ending: &str| {
                let path = house.bank().path(format!("machines/{}.{ending}", machine.name));
                std::fs::read_to_string(path).expect("a file")
            };
            (machine.name, read("key") + &read("pem"))
        };
        Self {
            customers: vec![("a general user", general.pem()), ("a master", master.pem())],
            staff: ["clerk-1", "auditor", "operations", "admin-1"].map(of_staff).to_vec(),
            machines: MACHINES.iter().map(machine).collect(),
            sessions: [session, staff_session],
            house,
        }
    }

    /// At the listener for client certificates.
    fn browser(&self, pem: &str) -> SoftBrowser {
        SoftBrowser::with_pem(self.house.bank(), Some(pem)).expect("a browser")
    }

    /// What the authority says it routes below one of `beginnings`.
    fn documented(&self, beginnings: &[&str]) -> BTreeSet<String> {
        let public = SoftBrowser::with_pem(self.house.bank(), None).expect("a browser");
        let document = public.at_public(self.house.bank()).get("/openapi.json").expect("a document");
        let document: Value = serde_json::from_slice(&document.body).expect("JSON");
        let paths = document["paths"].as_object().expect("paths").iter();
        let of = |path: &&String| beginnings.iter().any(|beginning| path.starts_with(beginning));
        let methods = |(path, methods): (&String, &Value)| -> Vec<String> {
            let methods = methods.as_object().expect("methods").keys();
            let methods = methods.filter(|word| ["get", "post", "put", "delete"].contains(&word.as_str()));
            methods.map(|method| format!("{} {path}", method.to_uppercase())).collect()
        };
        paths.filter(|(path, _)| of(path)).flat_map(methods).collect()
    }
}

/// The answer; `None` where there was no connection to be had.
fn ask(browser: &SoftBrowser, method: &str, path: &str, cookie: &str) -> Option<Response> {
    let request = browser.request(method, path).expect("a request").header("cookie", cookie);
    let request = if method == "POST" { request.json(&json!({ "entries": [] })) } else { request };
    SoftBrowser::response(request).ok()
}

#[test]
fn the_machines_api_is_for_machines_each_by_its_role() {
    let guests = Guests::open("access-matrix-machines");
    let named = MACHINES_API.iter().map(|(method, route, ..)| format!("{method} {route}"));
    assert_eq!(guests.documented(&["/machine/"]), named.collect(), "the table and the document differ");
    let session = format!("__Host-inro-session={}", guests.sessions[0]);
    let mut wrong = Vec::new();
    let everybody = guests.customers.iter().chain(&guests.staff).chain(&guests.machines);
    let nobody = SoftBrowser::with_pem(guests.house.bank(), None).expect("a browser");
    let mut browsers = vec![("nobody", nobody)];
    browsers.extend(everybody.map(|(who, pem)| (*who, guests.browser(pem))));
    for (method, _, path, machine) in MACHINES_API {
        for (who, browser) in &browsers {
            let answer = ask(browser, method, path, &session).expect("an answer");
            let let_in = answer.status != 403;
            let problem: Option<Value> = serde_json::from_slice(&answer.body).ok();
            if let_in != (who == machine) || problem.is_none() {
                wrong.push(format!("{method} {path} by {who}: {} {}", answer.status, answer.text()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let refused = guests.house.bank().audit_rows("machine.refused").expect("rows");
    assert!(!refused.is_empty(), "nobody wrote it down");
}

/// Also with the session of somebody who may: it belongs to a customer's certificate.
#[test]
fn the_portal_is_for_customers_alone() {
    let guests = Guests::open("access-matrix-portal-guests");
    let session = format!("__Host-inro-session={}", guests.sessions[0]);
    let mut wrong = Vec::new();
    for (who, pem) in guests.staff.iter().chain(&guests.machines) {
        let browser = guests.browser(pem);
        for row in MATRIX {
            let answer = ask(&browser, row.method, row.path, &session).expect("an answer");
            if answer.status != 403 {
                wrong.push(format!("{} {} by {who}: {}", row.method, row.path, answer.status));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Also with the session of a member: it belongs to that member's key.
#[test]
fn the_console_is_for_staff_alone() {
    let guests = Guests::open("access-matrix-console-guests");
    let session = format!("__Host-inro-staff-session={}", guests.sessions[1]);
    let mut wrong = Vec::new();
    for (who, pem) in guests.customers.iter().chain(&guests.machines) {
        let browser = SoftBrowser::staff(guests.house.bank(), Some(pem)).expect("a browser");
        for (method, _, path, _) in CONSOLE {
            // Most aren't even connected: the certificate isn't of the staff CA.
            if let Some(answer) = ask(&browser, method, path, &session)
                && answer.status != 403
            {
                wrong.push(format!("{method} {path} by {who}: {}", answer.status));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// OCSP, CRLs, health and metrics are everybody's who reaches them, whatever they bring, and are nowhere else: loopback is
/// what protects the last ones.
#[test]
fn where_nobody_is_asked_everybody_gets_the_same_and_nothing_of_the_other_listeners() {
    let guests = Guests::open("access-matrix-open");
    let bank = guests.house.bank();
    let named: BTreeSet<String> =
        OPEN.iter().map(|(_, method, route, ..)| format!("{method} {route}")).collect();
    let beginnings = ["/ocsp", "/crl/", "/ca/", "/livez", "/readyz", "/metrics"];
    assert_eq!(guests.documented(&beginnings), named, "the table and the document differ");
    let urls = bank.urls();
    assert!(urls.ops.contains("//127.0.0.1") || urls.ops.contains("//localhost"), "{}", urls.ops);
    let client = reqwest::blocking::Client::builder().no_proxy().build().expect("a client");
    let [session, staff_session] = &guests.sessions;
    let cookies = format!("__Host-inro-session={session}; __Host-inro-staff-session={staff_session}");
    let mut wrong = Vec::new();
    let mut check = |what: String, got: u16, expected: u16| {
        if got != expected {
            wrong.push(format!("{what}: {got}"));
        }
    };
    let plain = |base: &str, method: &str, path: &str, headers: &[(&str, &str)]| {
        let method: Method = method.parse().expect("a method");
        let request = client.request(method, format!("{base}{path}"));
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        request.send().expect("an answer").status().as_u16()
    };
    for (listener, method, _, path, status) in OPEN {
        let (own, other) = match *listener {
            "ops" => (&urls.ops, &urls.validation),
            _ => (&urls.validation, &urls.ops),
        };
        check(format!("{method} {path}"), plain(own, method, path, &[]), *status);
        let brought =
            [("cookie", &*cookies), ("authorization", "Bearer x"), ("x-forwarded-for", "203.0.113.1")];
        check(format!("{method} {path} with sessions"), plain(own, method, path, &brought), *status);
        check(format!("{method} {path} at the other plain one"), plain(other, method, path, &[]), 404);
        // Not at the listeners of customers and staff either, whoever asks.
        for (who, pem) in guests.customers.iter().chain(&guests.staff) {
            let at_client = guests.browser(pem);
            let at_public = at_client.at_public(bank);
            let at_console = SoftBrowser::staff(bank, Some(pem)).expect("a browser");
            for (where_, browser) in [("client", at_client), ("public", at_public), ("console", at_console)] {
                let Some(answer) = ask(&browser, method, path, &cookies) else { continue };
                if !matches!(answer.status, 403 | 404) {
                    check(format!("{method} {path} at {where_} by {who}"), answer.status, 404);
                }
            }
        }
    }
    for path in ["/home", "/login", "/api/v1/agent", ID, "/staff", "/openapi.json"] {
        for base in [&urls.validation, &urls.ops] {
            check(format!("{base}{path}"), plain(base, "GET", path, &[("cookie", &cookies)]), 404);
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
