//! The registration API for the bank's own systems: batches with a result for each entry, clients that aren't machines,
//! limits, and connections that break.

mod customers;

use std::{collections::HashSet, io::Read, sync::mpsc, thread, time::Duration};

use ca_wire::{
    Base64Url,
    enrolment::{DeviceClaim, Opened},
    machine::{Batch, CertifyEntry, EntryResult, Issued, OpenEntry, Stage},
    problem::{Code, Problem},
};
use customers::{CONTRACT, House, until};
use reqwest::{
    Method,
    blocking::{Body, RequestBuilder},
};
use rustix::process::Signal;
use serde_json::{Value, json};
use softhsm_tests::{
    bank::{Answer, MachineClient, NewMachine, NewUser, Options, SoftToken},
    soft_pki::{KeyKind, SoftAuthority},
    virtual_yubikey::{Firmware, Misbehaviour, Profile},
};

const TERMINALS: NewMachine = NewMachine::trusted("terminals");
const OPEN: &str = "/machine/v1/enrolments";
const CERTIFY: &str = "/machine/v1/enrolments/certificates";
const CONFIRM: &str = "/machine/v1/enrolments/confirmations";
const QUERY: &str = "/machine/v1/certificates/query";

/// A bank with machines, and one of them.
struct Branch {
    house: House,
    machine: MachineClient,
}

impl Branch {
    fn open(name: &str) -> Self {
        Self::with(name, vec![TERMINALS])
    }

    fn with(name: &str, machines: Vec<NewMachine>) -> Self {
        let house = House::with(name, &Options { machines, ..Options::default() });
        let machine = MachineClient::new(&house.bank, TERMINALS.name).expect("a machine");
        Self { house, machine }
    }

    fn client(&self, name: &str) -> MachineClient {
        MachineClient::new(&self.house.bank, name).expect("a machine")
    }

    fn token(&self, profile: Profile) -> SoftToken {
        SoftToken::new(&self.house.bank, profile).expect("a token")
    }

    /// General users of as many contracts as it takes, with their tokens.
    fn users(&self, count: u32) -> Vec<(String, SoftToken)> {
        let user = |number: u32| {
            let contract = format!("88{:05}", number / 9);
            if number.is_multiple_of(9) {
                self.house.bank.register_contract(&contract, "試験商事").expect("a contract");
            }
            let (id, token) = (format!("branch-{number}"), 44_000_000 + number);
            self.user(&id, &contract, token);
            (id, self.token(honest(token)))
        };
        (0..count).map(user).collect()
    }

    fn user(&self, id: &str, contract: &str, token: u32) {
        let user = NewUser { id, contract, role: "general", name: "試験 太郎", token: Some(token) };
        self.house.bank.register_user(&user).expect("a user");
    }

    fn opened(&self, entries: Vec<OpenEntry>) -> Vec<Opened> {
        self.machine.open(entries).expect("results").into_iter().map(done).collect()
    }

    fn journaled(&self) -> u64 {
        let journal = self.house.bank.journal().expect("a sound journal");
        journal["certificates"].as_u64().expect("a number")
    }

    fn whys(&self, action: &str) -> HashSet<String> {
        let rows = self.house.audit(action);
        rows.iter().filter_map(|row| row["details"]["why"].as_str().map(str::to_owned)).collect()
    }
}

fn honest(serial: u32) -> Profile {
    Profile::new(serial, Firmware(5, 7, 2))
}

fn openings(users: &[(String, SoftToken)]) -> Vec<OpenEntry> {
    users.iter().map(|(user, token)| token.open_entry(user, &key(user))).collect()
}

fn certifications(users: &[(String, SoftToken)], opened: &[Opened]) -> Vec<CertifyEntry> {
    let entry = |((user, token), opened): (&(String, SoftToken), &Opened)| {
        token.certify_entry(opened, &key(user)).expect("evidence")
    };
    users.iter().zip(opened).map(entry).collect()
}

fn done<T>(result: EntryResult<T>) -> T {
    result.result.unwrap_or_else(|| panic!("{} {:?}", result.status, result.problem))
}

/// The refusal of an entry, told in the way of RFC 9457.
fn code<T>(result: &EntryResult<T>) -> Code {
    let problem = result.problem.as_ref().expect("a refusal");
    assert_eq!(problem.status, result.status);
    assert_eq!(problem.kind, format!("urn:inro:problem:{}", problem.code.as_str()));
    assert!(result.result.is_none());
    problem.code
}

/// Sends it and expects the whole request to be refused; returns when to come again.
fn refused(what: &str, request: RequestBuilder, status: u16, code: Code) -> Option<String> {
    let response = request.send().expect("a response");
    assert_eq!(response.status().as_u16(), status, "{what}");
    assert_eq!(response.headers()["content-type"], "application/problem+json", "{what}");
    assert_eq!(response.headers()["cache-control"], "no-store", "{what}");
    let retry = response.headers().get("retry-after").map(|retry| retry.to_str().expect("text").to_owned());
    let problem: Problem = response.json().expect("a problem");
    assert_eq!((problem.code, problem.status), (code, status), "{what}");
    retry
}

fn key(name: &str) -> String {
    format!("registration-{name}")
}

#[test]
fn a_batch_of_users_gets_certificates_and_repeats_get_the_same() {
    let branch = Branch::open("registration");
    let users = branch.users(20);
    let opened = branch.opened(openings(&users));
    let certify = certifications(&users, &opened);
    let results = branch.machine.certify(certify.clone()).expect("results");
    assert!(results.iter().all(|result| result.status == 201), "{results:?}");
    let issued: Vec<Issued> = results.into_iter().map(done).collect();
    let distinct: HashSet<&Vec<u8>> = issued.iter().map(|issued| &issued.certificate.0).collect();
    assert_eq!((distinct.len(), branch.journaled()), (20, 20));
    assert_eq!(branch.machine.enrolment(opened[0].enrolment_id).expect("a status").stage, Stage::Issued);

    let again = branch.machine.certify(certify).expect("results");
    assert!(again.iter().all(|result| result.status == 200));
    assert_eq!(again.into_iter().map(done).collect::<Vec<_>>(), issued);
    for (reopened, issued) in branch.machine.open(openings(&users)).expect("results").into_iter().zip(&issued)
    {
        assert_eq!(reopened.status, 200);
        assert_eq!(done(reopened).certified.expect("the certificate").certificate, issued.certificate);
    }
    assert_eq!(branch.journaled(), 20);

    let confirm = users.iter().zip(opened.iter().zip(&issued));
    let confirm = confirm.map(|((user, _), (opened, issued))| {
        SoftToken::confirm_entry(opened, &issued.certificate.0, &key(user))
    });
    let confirmed = branch.machine.confirm(confirm.collect()).expect("results");
    assert!(confirmed.results.iter().all(|result| result.status == 200), "{confirmed:?}");
    let status = branch.machine.enrolment(opened[0].enrolment_id).expect("a status");
    assert_eq!(
        (status.stage, &*status.user_id, &*status.contract),
        (Stage::Confirmed, "branch-0", "8800000")
    );
    assert_eq!(status.certified.expect("the certificate").certificate, issued[0].certificate);

    // The trail says who it was.
    for action in ["enrolment.opened", "certificate.intended", "certificate.issued", "certificate.confirmed"]
    {
        let rows = branch.house.audit(action);
        assert_eq!(rows.len(), 20, "{action}");
        assert!(rows.iter().all(|row| row["actor"] == "machine:terminals"), "{rows:?}");
    }
    branch.house.bank.operator(&["audit", "verify"]).expect("a sound trail");
}

/// One bad entry never fails the others; whom a machine vouches for must be there, bound to the token, and within rules.
#[test]
fn every_opening_of_a_mixed_batch_is_judged_by_itself() {
    let branch = Branch::open("registration-mixed");
    let users = branch.users(5);
    let strange = branch.token(honest(44_999_999));
    branch.house.bank.operator(&["user", "suspend", &users[4].0]).expect("suspended");
    let opening = |n: usize, name: &str| users[n].1.open_entry(&users[n].0, &key(name));
    let floppy = DeviceClaim { kind: "floppy".to_owned(), ..opening(2, "floppy").device };
    let entries: Vec<Value> = [
        opening(0, "good"),
        strange.open_entry(&users[1].0, &key("wrong-device")),
        users[1].1.open_entry("nobody-00", &key("nobody")),
        users[1].1.open_entry("NOT AN ID", &key("no-id")),
        opening(2, "good").clone(),
        OpenEntry { device: floppy, ..opening(2, "floppy") },
        opening(3, "good-too"),
        opening(3, "good-too"),
        opening(4, "suspended"),
        OpenEntry { idempotency_key: "short".to_owned(), ..opening(2, "x") },
    ]
    .into_iter()
    .map(|entry| serde_json::to_value(entry).expect("JSON"))
    .chain([json!(7), json!({"user_id": 5}), json!({"user_id": "x", "password": "hunter2-hunter2"})])
    .collect();
    let response = branch.machine.request(Method::POST, OPEN).json(&json!({ "entries": entries })).send();
    let text = response.expect("a response").text().expect("text");
    assert!(!text.contains("hunter2"), "{text}");
    let results: ca_wire::machine::OpenResults = serde_json::from_str(&text).expect("results");
    let results = results.results;
    let codes: Vec<Option<Code>> = results.iter().map(|r| r.problem.as_ref().map(|_| code(r))).collect();
    // One of the two with the same key for different users came first; the other lost its key.
    assert!(matches!(
        (codes[0], codes[4]),
        (None, Some(Code::IdempotencyKey)) | (Some(Code::IdempotencyKey), None)
    ));
    let expected = [Some(Code::WrongDevice), Some(Code::UserUnknown), Some(Code::UserUnknown)];
    assert_eq!(codes[1..4], expected);
    let expected = [
        Some(Code::MalformedRequest),
        None,
        None,
        Some(Code::NotPermitted),
        Some(Code::IdempotencyKey),
        Some(Code::MalformedRequest),
        Some(Code::MalformedRequest),
        Some(Code::MalformedRequest),
    ];
    assert_eq!(codes[5..], expected);
    let twice: Vec<_> = results[6..8].iter().map(|r| r.result.as_ref().expect("open").enrolment_id).collect();
    assert_eq!(twice[0], twice[1], "one enrolment for the same entry twice");
    let whys = branch.whys("enrolment.refused");
    for why in
        ["binding-other-device-assigned", "no-such-user", "policy-user-suspended", "idempotency-key-reused"]
    {
        assert!(whys.contains(why), "{why}: {whys:?}");
    }
    assert!(branch.house.audit("enrolment.refused").iter().all(|row| row["actor"] == "machine:terminals"));
    assert_eq!(branch.journaled(), 0);
}

/// The same evidence path as everybody's: a machine's word replaces the password, never the proof.
#[test]
fn every_certification_of_a_mixed_batch_is_judged_by_itself() {
    let branch = Branch::open("registration-evidence");
    let mut users = branch.users(7);
    for (user, lie) in [(1, Misbehaviour::AttestationKeyReplaced), (2, Misbehaviour::PinPolicyNever)] {
        users[user].1 =
            branch.token(honest(44_000_000 + u32::try_from(user).expect("small")).misbehaving(lie));
    }
    let opened = branch.opened(openings(&users));
    let mut entries = certifications(&users, &opened);
    // Evidence and answer of another enrolment; a key born elsewhere, without evidence of its own; a forged bearer.
    let (evidence, answer) = (entries[0].evidence.clone(), entries[0].challenge_signature.clone());
    (entries[3].evidence, entries[3].challenge_signature) = (evidence, answer);
    let imported = branch.token(honest(44_000_004));
    entries[4].csr = Base64Url(imported.request(|_| {}).expect("a request"));
    entries[5].bearer = "A".repeat(43);
    branch.house.bank.operator(&["user", "assign-token", &users[6].0, "--remove"]).expect("taken away");
    let mut broken = serde_json::to_value(&entries[0]).expect("JSON");
    broken["csr"] = json!("not base64!");
    let mut unknown = serde_json::to_value(&entries[0]).expect("JSON");
    unknown["evidence"]["format"] = json!("a-promise");
    let entries: Vec<Value> = entries
        .iter()
        .map(|entry| serde_json::to_value(entry).expect("JSON"))
        .chain([broken, unknown])
        .collect();
    let response = branch.machine.request(Method::POST, CERTIFY).json(&json!({ "entries": entries })).send();
    let results: ca_wire::machine::CertifyResults = response.expect("a response").json().expect("results");
    let results = results.results;
    assert_eq!(results[0].status, 201, "{:?}", results[0]);
    let codes: Vec<Code> = results[1..].iter().map(code).collect();
    let expected = [
        Code::EvidenceRefused,
        Code::EvidenceRefused,
        Code::EvidenceRefused,
        Code::EvidenceRefused,
        Code::BearerInvalid,
        Code::WrongDevice,
        Code::MalformedRequest,
        Code::MalformedRequest,
    ];
    assert_eq!(codes, expected);
    assert_eq!(branch.journaled(), 1, "something else was signed");
    let whys = branch.whys("certification.refused");
    for why in ["evidence-pin-policy", "evidence-key-mismatch", "bearer-invalid", "policy-token-not-assigned"]
    {
        assert!(whys.contains(why), "{why}: {whys:?}");
    }
    let refused = branch.machine.enrolment(opened[2].enrolment_id).expect("a status");
    assert_eq!(
        (refused.stage, refused.problem.expect("a refusal").code),
        (Stage::Refused, Code::EvidenceRefused)
    );
    assert!(refused.certified.is_none());
}

/// Rule 1 under one batch: one certificate per user, and never more than the plan has.
#[test]
fn rule_1_holds_within_a_batch() {
    let branch = Branch::open("registration-quota");
    branch.house.bank.register_contract("9900000", "満員商事").expect("a contract");
    let users: Vec<(String, SoftToken)> = (0..9)
        .map(|number| {
            let (id, token) = (format!("full-{number}"), 45_000_000 + number);
            branch.user(&id, "9900000", token);
            (id, branch.token(honest(token)))
        })
        .collect();
    let opened = branch.opened(openings(&users));
    // The same user once more, with another key and enrolment.
    let (user, token) = &users[0];
    let second = branch.opened(vec![token.open_entry(user, &key("second"))]).remove(0);
    let mut entries = certifications(&users, &opened);
    entries.push(token.certify_entry(&second, &key("second")).expect("evidence"));
    let results = branch.machine.certify(entries).expect("results");
    assert_eq!(results.iter().filter(|result| result.status == 201).count(), 9);
    let refused: Vec<Code> = results.iter().filter(|r| r.problem.is_some()).map(code).collect();
    assert_eq!(refused, [Code::AlreadyCertified]);
    let late = branch.machine.open(vec![token.open_entry(user, &key("third"))]).expect("results");
    assert_eq!(code(&late[0]), Code::AlreadyCertified);
    assert_eq!(branch.journaled(), 9);
}

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
    let registration =
        [(Method::POST, OPEN), (Method::POST, CERTIFY), (Method::POST, CONFIRM), (Method::GET, &*enrolment)];
    let status = [(Method::GET, &*certificate), (Method::POST, QUERY)];
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

#[test]
fn what_cannot_be_read_is_refused_as_a_whole() {
    let branch = Branch::open("registration-malformed");
    let machine = &branch.machine;
    for path in [OPEN, CERTIFY, CONFIRM, QUERY] {
        let post = || machine.request(Method::POST, path);
        let text = |body: String| post().header("content-type", "application/json").body(body);
        refused(path, post().body("{}"), 415, Code::MalformedRequest);
        refused(path, text("{".to_owned()), 400, Code::MalformedRequest);
        refused(path, text("{}".to_owned()), 400, Code::MalformedRequest);
        refused(path, text("[".repeat(5_000)), 400, Code::MalformedRequest);
        refused(path, text(r#"{"entries": []}"#.to_owned()), 400, Code::MalformedRequest);
        refused(path, text(r#"{"entries": [], "more": 1}"#.to_owned()), 400, Code::MalformedRequest);
        refused(path, post().json(&json!({ "entries": vec![json!({}); 101] })), 413, Code::TooLarge);
        refused(path, text(" ".repeat(4 << 20)), 413, Code::TooLarge);
        refused(path, machine.request(Method::DELETE, path), 405, Code::MalformedRequest);
    }
    for path in
        ["/machine", "/machine/", "/machine/v1", "/machine/v2/enrolments", "/machine/v1/enrolments/x/y"]
    {
        refused(path, machine.request(Method::GET, path), 404, Code::NotFound);
    }
    for id in ["x", "%7B7f3a1b9e-3d0c-4d4e-9d5b-0a2b6c8d1e2f%7D", "7F3A1B9E-3D0C-4D4E-9D5B-0A2B6C8D1E2F"] {
        refused(id, machine.request(Method::GET, &format!("{OPEN}/{id}")), 404, Code::NotFound);
    }
}

/// A body that doesn't end until it is told to.
struct Unending(mpsc::Receiver<()>);

impl Read for Unending {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        // The other end went away: the body ends.
        self.0.recv().map_or(Ok(0), |()| Ok(0))
    }
}

#[test]
fn a_machine_that_asks_too_much_is_told_when_to_come_again() {
    let slow = NewMachine { more: "entries_per_second = 1", ..NewMachine::trusted("slow") };
    let single = NewMachine { more: "requests_at_a_time = 1", ..NewMachine::trusted("single") };
    let branch = Branch::with("registration-limits", vec![TERMINALS, slow, single]);
    let client = branch.client("slow");
    let batch = || client.request(Method::POST, OPEN).json(&json!({ "entries": vec![json!({}); 100] }));
    assert_eq!(batch().send().expect("a response").status().as_u16(), 200);
    let told = refused("too fast", batch(), 429, Code::RateLimited);
    let seconds: u32 = told.expect("when").parse().expect("seconds");
    assert!((1..=100).contains(&seconds), "{seconds}");

    let client = branch.client("single");
    let (end, ended) = mpsc::channel();
    let hanging = client.request(Method::POST, OPEN).header("content-type", "application/json");
    let hanging = hanging.body(Body::new(Unending(ended)));
    let hanging = thread::spawn(move || hanging.send());
    let other = || client.request(Method::GET, &format!("{OPEN}/x"));
    until("the place to be taken", || other().send().is_ok_and(|response| response.status() == 503));
    let told = refused("a second request", other(), 503, Code::Unavailable);
    assert_eq!(told.as_deref(), Some("1"));
    drop(end);
    let _ = hanging.join().expect("no panic");
    until("the place to be free", || other().send().is_ok_and(|response| response.status() == 404));
    // None of it is another machine's concern.
    refused(
        "an empty batch",
        branch.machine.request(Method::POST, OPEN).json(&json!({ "entries": [] })),
        400,
        Code::MalformedRequest,
    );
    assert!(branch.whys("machine.refused").contains("machine-throttled"));
}

/// A connection that breaks cancels nothing: what was begun is finished, and a repeat fetches it.
#[test]
fn a_dropped_connection_cancels_nothing() {
    let branch = Branch::open("registration-dropped");
    let users = branch.users(10);
    let opened = branch.opened(openings(&users));
    let entries = certifications(&users, &opened);
    let signer = branch.house.bank.signer.as_ref().expect("running");
    signer.signal(Signal::STOP).expect("stopped");
    let request = branch.machine.request(Method::POST, CERTIFY).json(&Batch { entries: entries.clone() });
    let impatient = request.timeout(Duration::from_millis(500)).send();
    assert!(impatient.is_err_and(|error| error.is_timeout()));
    signer.signal(Signal::CONT).expect("going on");
    let stage = |opened: &Opened| branch.machine.enrolment(opened.enrolment_id).expect("a status").stage;
    until("every certificate", || opened.iter().all(|opened| stage(opened) == Stage::Issued));
    let results = branch.machine.certify(entries).expect("results");
    assert!(results.iter().all(|result| result.status == 200), "{results:?}");
    assert_eq!(branch.journaled(), 10);
}

/// 64 requests at once on one HTTP/2 connection; each certificate once.
#[test]
fn sixty_four_requests_in_flight_get_a_certificate_each() {
    let branch = Branch::open("registration-in-flight");
    let users = branch.users(64);
    let opened = branch.opened(openings(&users));
    let entries = certifications(&users, &opened);
    let certificates: HashSet<Vec<u8>> = thread::scope(|scope| {
        let ask = |entry: &CertifyEntry| {
            let (machine, entry) = (branch.machine.clone(), entry.clone());
            scope.spawn(move || done(machine.certify(vec![entry]).expect("results").remove(0)))
        };
        let asked: Vec<_> = entries.iter().map(ask).collect();
        asked.into_iter().map(|one| one.join().expect("no panic").certificate.0).collect()
    });
    assert_eq!((certificates.len(), branch.journaled()), (64, 64));
    branch.house.bank.operator(&["audit", "verify"]).expect("a sound trail");
}

/// An agent and a machine are two ways to one enrolment: neither gets a second certificate beside the other's.
#[test]
fn agent_and_machine_meet_in_one_enrolment() {
    let branch = Branch::open("registration-agent");
    let users = branch.users(1);
    let (user, token) = &users[0];
    let by_machine = branch.opened(openings(&users)).remove(0);
    let by_agent = branch.house.client.open(user, token, &key(user)).expect("an answer").expect("the same");
    assert_eq!((by_agent.enrolment_id, &by_agent.bearer), (by_machine.enrolment_id, &by_machine.bearer));
    let certify = token.certify(&by_agent).expect("evidence");
    let agents: Answer<_> = branch.house.client.certify(&by_agent, &certify, &key(user)).expect("an answer");
    let results = branch.machine.certify(certifications(&users, &[by_machine])).expect("results");
    assert_eq!(results[0].status, 200);
    assert_eq!(
        done(results.into_iter().next().expect("one")).certificate,
        agents.expect("a certificate").certificate
    );
    assert_eq!(branch.journaled(), 1);
}
