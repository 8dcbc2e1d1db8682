//! What the bank's other applications are told of certificates, and the document that describes every API.

mod customers;

use ca_wire::{
    Base64Url,
    machine::{BatchResults, CertificateState, CertificateStatus, EntryResult, StatusQuery},
    problem::{Code, Problem},
};
use customers::House;
use reqwest::{Method, blocking::RequestBuilder};
use serde_json::{Value, json};
use softhsm_tests::{
    bank::{Bank, MachineClient, NewMachine, NewUser, Options, SoftToken},
    soft_pki::{KeyKind, SoftAuthority},
    virtual_yubikey::{Firmware, Profile},
    wait::until,
};

const PORTAL: NewMachine = NewMachine::trusted("other-portal");
const QUERY: &str = "/machine/v1/certificates/query";

fn open(name: &str) -> (House, MachineClient) {
    let house = House::with(name, &Options { machines: vec![PORTAL], ..Options::default() });
    let machine = MachineClient::new(&house.bank, PORTAL.name).expect("a machine");
    (house, machine)
}

/// Sends it and expects a problem with this status and code.
fn refused(what: &str, request: RequestBuilder, status: u16, code: Code) {
    let response = request.send().expect("a response");
    assert_eq!(response.status().as_u16(), status, "{what}");
    assert_eq!(response.headers()["cache-control"], "no-store", "{what}");
    let problem: Problem = response.json().expect("a problem");
    assert_eq!((problem.code, problem.status), (code, status), "{what}");
}

fn of(certificate: &[u8]) -> StatusQuery {
    StatusQuery { certificate: Some(Base64Url(certificate.to_vec())), ..StatusQuery::default() }
}

fn named(serial: &str) -> StatusQuery {
    let text = |text: &str| Some(text.to_owned());
    StatusQuery { issuer: text("customer"), serial: text(serial), certificate: None }
}

fn told(result: &EntryResult<CertificateStatus>) -> &CertificateStatus {
    assert_eq!(result.status, 200);
    result.result.as_ref().unwrap_or_else(|| panic!("{:?}", result.problem))
}

#[test]
fn a_relying_party_hears_who_it_is_and_what_was_proven() {
    let (house, machine) = open("status");
    let customer = house.customer("relying-01", "general", 48_000_001);
    let status = machine.status(&customer.serial).expect("a status");
    assert!(status.usable && status.state == CertificateState::Active);
    assert_eq!((&*status.issuer, &*status.serial), ("customer", &*customer.serial));
    assert_eq!((&*status.user_id, &*status.contract), ("relying-01", customers::CONTRACT));
    assert_eq!((&*status.account.state, status.account.locked), ("active", false));
    assert_eq!((&*status.device.kind, &*status.device.serial), ("yubikey-piv", "48000001"));
    assert_eq!(
        (&*status.assurance.level, &*status.assurance.policy),
        ("attested-pin", "1.3.6.1.4.1.32473.1.1")
    );
    assert!(status.not_before <= status.as_of && status.as_of < status.not_after);
    assert!(status.confirmed_at.is_some() && status.revocation.is_none());

    let results = machine.query(vec![of(&customer.certificate), named(&customer.serial)]).expect("results");
    for result in &results {
        let told = told(result);
        assert_eq!(CertificateStatus { as_of: status.as_of, ..told.clone() }, status);
    }
}

/// Before and after each change of account and certificate; nothing is cached.
#[test]
fn every_state_is_told_at_once() {
    let (house, machine) = open("status-states");
    let customer = house.customer("states-01", "general", 48_000_011);
    let look = || machine.status(&customer.serial).expect("a status");
    assert!(look().usable);

    house.bank.operator(&["user", "suspend", "states-01"]).expect("suspended");
    let status = look();
    assert_eq!(
        (status.usable, &*status.account.state, status.state),
        (false, "suspended", CertificateState::Active)
    );
    house.bank.operator(&["user", "resume", "states-01"]).expect("resumed");
    assert!(look().usable);

    for _ in 0..5 {
        customer.browser.try_login("a-wrong-password-77").expect("an answer");
    }
    let status = look();
    assert_eq!((status.usable, status.account.locked), (false, true));
    house.bank.operator(&["user", "unlock", "states-01"]).expect("unlocked");
    assert!(look().usable);

    house
        .bank
        .operator(&["certificate", "revoke", &customer.serial, "--reason", "keyCompromise"])
        .expect("revoked");
    let status = look();
    assert_eq!((status.usable, status.state), (false, CertificateState::Revoked));
    let revocation = status.revocation.expect("a revocation");
    assert_eq!(revocation.reason, "keyCompromise");
    assert!(revocation.at <= status.as_of);
    let results = machine.query(vec![of(&customer.certificate)]).expect("results");
    assert_eq!(told(&results[0]).state, CertificateState::Revoked);

    let other = house.customer("states-02", "general", 48_000_012);
    house
        .bank
        .operator(&["certificate", "revoke", &other.serial, "--reason", "superseded"])
        .expect("revoked");
    let status = machine.status(&other.serial).expect("a status");
    assert_eq!((status.usable, status.state), (false, CertificateState::Superseded));
}

/// What is only intended may have been signed or not; it is told as what it is, and never as good.
#[test]
fn an_intent_is_never_shown_as_valid() {
    let (mut house, machine) = open("status-intent");
    let user = NewUser {
        id: "intent-01",
        contract: customers::CONTRACT,
        role: "general",
        name: "試験 太郎",
        token: Some(48_000_021),
    };
    house.bank.register_user(&user).expect("a user");
    let token = SoftToken::new(&house.bank, Profile::new(48_000_021, Firmware(5, 7, 2))).expect("a token");
    let key = "status-intent-key-1";
    let opened = machine.open(vec![token.open_entry("intent-01", key)]).expect("results").remove(0);
    let opened = opened.result.expect("an enrolment");
    let entry = token.certify_entry(&opened, key).expect("evidence");
    house.bank.signer.take().expect("running").kill().expect("killed");
    let result = machine.certify(vec![entry.clone()]).expect("results").remove(0);
    assert_eq!(result.problem.expect("a refusal").code, Code::Unavailable);

    let list = house.bank.operator(&["certificate", "list"]).expect("a list");
    let serial = list[0]["serial"].as_str().expect("a serial number").to_owned();
    let status = machine.status(&serial).expect("a status");
    assert_eq!((status.usable, status.state), (false, CertificateState::Intended));

    house.bank.start_signer().expect("a signer");
    until(
        "the certificate",
        || machine.certify(vec![entry.clone()]),
        |answer| answer.as_ref().is_ok_and(|results| results[0].result.is_some()),
    )
    .expect("awaited");
    assert!(machine.status(&serial).expect("a status").usable);
}

#[test]
fn unknown_and_misspelt_is_never_good() {
    let (house, machine) = open("status-unknown");
    let customer = house.customer("unknown-01", "general", 48_000_031);
    let get = |issuer: &str, serial: &str| {
        machine.request(Method::GET, &format!("/machine/v1/certificates/{issuer}/{serial}"))
    };
    let serial = &customer.serial;
    refused("another issuer", get("root", serial), 404, Code::CertificateUnknown);
    refused(
        "no such number",
        get("customer", "4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a4a"),
        404,
        Code::CertificateUnknown,
    );
    for misspelt in [
        serial.to_uppercase(),
        format!("00{serial}"),
        format!("+{serial}"),
        format!("-{serial}"),
        format!("0x{serial}"),
        format!("%20{serial}"),
        "%FF".to_owned(),
        serial[1..].to_owned(),
        "00".to_owned(),
        "ff".to_owned(),
        serial.repeat(9),
    ] {
        refused(&misspelt, get("customer", &misspelt), 400, Code::MalformedRequest);
        let result = machine.query(vec![named(&misspelt)]).expect("results").remove(0);
        assert_eq!(result.problem.expect("a refusal").code, Code::MalformedRequest, "{misspelt}");
    }

    // The same names and number from another authority; the right certificate with a flipped bit; no certificate at all.
    let foreign = SoftAuthority::new("Somebody else's").expect("an authority");
    let foreign =
        foreign.client(&[(rcgen::DnType::CommonName, "unknown-01")], KeyKind::P256).expect("a pair");
    let foreign = der_of(&foreign.certificate);
    let mut flipped = customer.certificate.clone();
    *flipped.last_mut().expect("an octet") ^= 1;
    let both = StatusQuery { certificate: of(&customer.certificate).certificate, ..named(serial) };
    let entries =
        vec![of(&foreign), of(&flipped), of(b"no certificate"), both, StatusQuery::default(), named(serial)];
    let results = machine.query(entries).expect("results");
    let codes: Vec<Option<Code>> =
        results.iter().map(|r| r.problem.as_ref().map(|problem| problem.code)).collect();
    let malformed = Some(Code::MalformedRequest);
    let unknown = Some(Code::CertificateUnknown);
    assert_eq!(codes, [unknown, unknown, malformed, malformed, malformed, None]);

    let full =
        |count| machine.request(Method::POST, QUERY).json(&json!({ "entries": vec![named(serial); count] }));
    let answer: BatchResults<CertificateStatus> =
        full(100).send().expect("a response").json().expect("results");
    assert_eq!((answer.results.len(), told(&answer.results[99]).usable), (100, true));
    refused("101 certificates", full(101), 413, Code::TooLarge);
    let response = get("customer", serial).send().expect("a response");
    assert_eq!(response.headers()["cache-control"], "no-store");
}

fn der_of(pem: &str) -> Vec<u8> {
    use x509_cert::der::DecodePem as _;
    use x509_cert::der::Encode as _;
    x509_cert::Certificate::from_pem(pem).expect("a certificate").to_der().expect("DER")
}

/// A part of the document as a schema by itself.
fn schema(document: &Value, name: &str) -> jsonschema::Validator {
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$ref": format!("#/components/schemas/{name}"),
        "components": document["components"],
    });
    jsonschema::validator_for(&schema).expect("a schema")
}

fn conforms(document: &Value, name: &str, instance: &Value) {
    let validator = schema(document, name);
    let errors: Vec<String> = validator.iter_errors(instance).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{name}: {errors:?} in {instance}");
}

/// The document is served, printed alike, and what the APIs say is what it says of them.
#[test]
fn what_is_answered_is_what_the_document_says() {
    let (house, machine) = open("status-document");
    let customer = house.customer("document-01", "general", 48_000_041);
    let trust = std::fs::read(house.bank.path("tls/ca.pem")).expect("a file");
    let authority = reqwest::Certificate::from_pem(&trust).expect("a certificate");
    let browser = reqwest::blocking::Client::builder().tls_certs_only([authority]).no_proxy().build();
    let browser = browser.expect("a client");
    let public =
        |path: &str| browser.get(format!("{}{path}", house.bank.urls().public)).send().expect("a response");
    let document: Value = public("/openapi.json").json().expect("a document");
    let printed = house.bank.try_operator(&["openapi"]).expect("a document");
    assert_eq!(serde_json::from_slice::<Value>(&printed.stdout).expect("JSON"), document);

    conforms(&document, "AgentVersions", &public("/api/v1/agent").json().expect("JSON"));
    let token = SoftToken::new(&house.bank, Profile::new(48_000_042, Firmware(5, 7, 2))).expect("a token");
    let user = NewUser {
        id: "document-02",
        contract: customers::CONTRACT,
        role: "general",
        name: "試験 太郎",
        token: Some(48_000_042),
    };
    house.bank.register_user(&user).expect("a user");
    let key = "status-document-key";
    let value = |request: RequestBuilder| -> Value {
        let text = request.send().expect("a response").text().expect("text");
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    };
    let post = |path: &str, body: &Value| value(machine.request(Method::POST, path).json(body));

    let entries =
        json!({ "entries": [token.open_entry("document-02", key), token.open_entry("nobody-00", key), 7] });
    conforms(&document, "Batch_OpenEntry", &json!({ "entries": [entries["entries"][0]] }));
    let opened = post("/machine/v1/enrolments", &entries);
    conforms(&document, "BatchResults_Opened", &opened);
    let opened: ca_wire::enrolment::Opened =
        serde_json::from_value(opened["results"][0]["result"].clone()).expect("an enrolment");
    let entries = json!({ "entries": [token.certify_entry(&opened, key).expect("evidence"), {}] });
    conforms(&document, "Batch_CertifyEntry", &json!({ "entries": [entries["entries"][0]] }));
    let certified = post("/machine/v1/enrolments/certificates", &entries);
    conforms(&document, "CertifyResults", &certified);
    let certificate: Base64Url =
        serde_json::from_value(certified["results"][0]["result"]["certificate"].clone())
            .expect("a certificate");
    let entries = json!({ "entries": [SoftToken::confirm_entry(&opened, &certificate.0, key)] });
    conforms(&document, "BatchResults_Confirmed", &post("/machine/v1/enrolments/confirmations", &entries));
    let path = format!("/machine/v1/enrolments/{}", opened.enrolment_id);
    conforms(&document, "EnrolmentStatus", &value(machine.request(Method::GET, &path)));

    let serial = Bank::serial_of(&certificate.0).expect("a serial number");
    let path = format!("/machine/v1/certificates/customer/{serial}");
    conforms(&document, "CertificateStatus", &value(machine.request(Method::GET, &path)));
    house.bank.operator(&["certificate", "revoke", &serial, "--reason", "superseded"]).expect("revoked");
    let entries = json!({ "entries": [of(&customer.certificate), named(&serial), named("zz")] });
    conforms(&document, "BatchResults_CertificateStatus", &post(QUERY, &entries));
    conforms(&document, "Problem", &value(machine.request(Method::GET, "/machine/v1/nothing")));
    // A schema that anything conforms to would show nothing.
    assert!(!schema(&document, "CertificateStatus").is_valid(&json!({ "usable": "yes" })));
    assert!(!schema(&document, "Problem").is_valid(&json!({})));

    let bundle = browser.get(format!("{}/livez", house.bank.urls().ops)).send().expect("a response");
    assert_eq!(bundle.status().as_u16(), 200);
    assert!(document["paths"]["/livez"]["get"].is_object());
}
