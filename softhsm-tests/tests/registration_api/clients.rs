//! Who may do what: every route and every kind of client.

use reqwest::Method;
use serde_json::json;
use softhsm_tests::{
    bank::{MachineClient, NewMachine},
    soft_pki::{KeyKind, SoftAuthority},
};

use crate::{
    customers::CONTRACT,
    rig::{
        Branch, CERTIFY, CONFIRM, OPEN, QUERY, TERMINALS, certifications, code, honest, key, openings,
        refused,
    },
};
use ca_wire::problem::Code;

/// A machine for some contracts reaches nobody of the others, and can't even tell who there is.
#[test]
fn a_restricted_machine_stays_within_its_contracts() {
    let restricted = NewMachine { contracts: &[CONTRACT], ..NewMachine::trusted("one-contract") };
    let branch = Branch::with("registration-contract", vec![TERMINALS, restricted]);
    let users = branch.users(1);
    branch.user("inside-01", CONTRACT, 46_000_001);
    let inside = branch.token(honest(46_000_001));
    let client = branch.client("one-contract");
    let nobody = inside.open_entry("nobody-00", &key("nobody"));
    let entries = vec![openings(&users).remove(0), nobody, inside.open_entry("inside-01", &key("inside"))];
    let results = client.open(entries).expect("results");
    assert_eq!((code(&results[0]), code(&results[1])), (Code::UserUnknown, Code::UserUnknown));
    let text = |n: usize| results[n].problem.as_ref().map(|problem| (&problem.title, &problem.detail));
    assert_eq!(text(0), text(1));
    assert_eq!(results[2].status, 201);
    assert!(branch.whys("enrolment.refused").contains("machine-other-contract"));

    // Another machine's enrolment, handed over with its bearer.
    let opened = branch.opened(openings(&users));
    let results = client.certify(certifications(&users, &opened)).expect("results");
    assert_eq!(code(&results[0]), Code::UserUnknown);
    let path = format!("{OPEN}/{}", opened[0].enrolment_id);
    refused("another's enrolment", client.request(Method::GET, &path), 404, Code::NotFound);
    refused("no name", client.request(Method::GET, &format!("{OPEN}/%FF")), 404, Code::NotFound);
    assert_eq!(branch.journaled(), 0);
}

/// Every route and every client: machines and customers have nothing at each other's doors, strangers nothing at all.
#[test]
fn every_route_knows_its_clients() {
    let expired = NewMachine { years: (2020, 2021), ..NewMachine::trusted("expired") };
    let early = NewMachine { years: (2098, 2099), ..NewMachine::trusted("early") };
    let clerk = NewMachine { roles: &["registration"], ..NewMachine::trusted("registering") };
    let asker = NewMachine { roles: &["status"], ..NewMachine::trusted("asking") };
    let branch = Branch::with("registration-clients", vec![TERMINALS, expired, early, clerk, asker]);
    let customer = branch.house.customer("customer-01", "master", 47_000_001);
    let bank = &branch.house.bank;
    let stranger = SoftAuthority::new("Somebody's authority").expect("an authority");
    let stranger =
        stranger.client(&[(rcgen::DnType::CommonName, "terminals")], KeyKind::P256).expect("a pair");
    let stranger = MachineClient::with(bank, Some(&stranger)).expect("a client");
    let nobody = MachineClient::with(bank, None).expect("a client");

    let enrolment = format!("{OPEN}/7f3a1b9e-3d0c-4d4e-9d5b-0a2b6c8d1e2f");
    let certificate = format!("/machine/v1/certificates/customer/{}", customer.serial);
    let [no_enrolment, no_certificate] =
        ["/machine/v1/enrolments/%FF", "/machine/v1/certificates/customer/%FF"];
    let registration = [
        (Method::POST, OPEN),
        (Method::POST, CERTIFY),
        (Method::POST, CONFIRM),
        (Method::GET, &*enrolment),
        (Method::GET, no_enrolment),
    ];
    let status = [(Method::GET, &*certificate), (Method::GET, no_certificate), (Method::POST, QUERY)];
    let all = || registration.iter().chain(&status);
    let request = |client: &MachineClient, (method, path): &(Method, &str)| {
        let request = client.request(method.clone(), path);
        if *method == Method::POST { request.json(&json!({ "entries": [{}] })) } else { request }
    };
    for (name, client, expected) in [
        ("a stranger", &stranger, Code::MachineUnknown),
        ("nobody", &nobody, Code::MachineUnknown),
        ("an expired machine", &branch.client("expired"), Code::MachineNotValid),
        ("a machine of the future", &branch.client("early"), Code::MachineNotValid),
    ] {
        for route in all() {
            refused(&format!("{name} at {}", route.1), request(client, route), 403, expected);
        }
    }
    for route in all() {
        let (method, path) = route;
        let browser = customer.browser.request(method.as_str(), path).expect("a request");
        let browser =
            if *method == Method::POST { browser.json(&json!({ "entries": [{}] })) } else { browser };
        refused(&format!("a customer at {path}"), browser, 403, Code::MachineUnknown);
    }
    let roles = [("registering", &status[..], &registration[..]), ("asking", &registration[..], &status[..])];
    for (name, forbidden, permitted) in roles {
        let client = branch.client(name);
        for route in forbidden {
            refused(&format!("{name} at {}", route.1), request(&client, route), 403, Code::MachineRole);
        }
        for route in permitted {
            let response = request(&client, route).send().expect("a response");
            assert_ne!(response.status().as_u16(), 403, "{name} at {}", route.1);
        }
    }
    let whys = branch.whys("machine.refused");
    for why in ["machine-no-certificate", "machine-unknown", "machine-not-valid-now", "machine-role"] {
        assert!(whys.contains(why), "{why}: {whys:?}");
    }

    // The portal: the page says that the certificate is nobody's, and no password is asked for.
    for (name, client) in [("a machine", &branch.machine), ("a stranger", &stranger)] {
        for (method, path) in [
            (Method::GET, "/"),
            (Method::GET, "/login"),
            (Method::POST, "/login"),
            (Method::POST, "/logout"),
            (Method::GET, "/logged-out"),
            (Method::GET, "/home"),
            (Method::GET, "/manage"),
            (Method::GET, "/manage/users/revoke"),
            (Method::POST, "/manage/users/revoke"),
            (Method::POST, "/manage/users/revoke/confirm"),
            (Method::GET, "/nothing-here"),
        ] {
            let response = client.request(method, path).send().expect("a response");
            assert_eq!(response.status().as_u16(), 403, "{name} at {path}");
            let page = response.text().expect("a page");
            assert!(
                page.contains("<html") && !page.contains("name=\"password\""),
                "{name} at {path}: {page}"
            );
        }
    }
    assert!(branch.whys("machine.refused").contains("machine-at-portal"));
    customer.browser.login().expect("a customer isn't disturbed");
}
