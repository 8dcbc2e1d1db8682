//! The OCSP responder's certificate: renewed before its end, taken up by every node, and in use for as long as that fails.

mod customers;

use std::{fs, path::Path};

use customers::House;
use serde_json::Value;
use softhsm_tests::{
    bank::{Bank, Options, fetch},
    openssl::{openssl, openssl_with_input},
    postgres::{self, Postgres},
    scratch::Scratch,
    wait::{PATIENCE, until},
};

/// A bank before its first start, whose ceremony leaves a responder's certificate of one day, and whose job renews two days
/// before an end.
fn prepare(directory: &Path) -> Bank {
    let bank = Bank::prepare(directory, &Options::default()).expect("a bank");
    let path = bank.path("ceremony.toml");
    let text = fs::read_to_string(&path).expect("the ceremony");
    fs::write(&path, text.replace("validity = { days = 90 }", "validity = { days = 1 }")).expect("written");
    bank.reconfigure(|table| {
        let section = table["validation"].as_table_mut().expect("a section");
        for (key, value) in [("responder_validity", "4d"), ("responder_renew_before", "2d")] {
            section.insert(key.to_owned(), value.into());
        }
    })
    .expect("its configuration");
    bank.hold_ceremony().expect("a ceremony");
    bank
}

/// What a node answers about a serial number that never was, verified by openssl up to the root; the text has the
/// responder's certificate.
fn answer(bank: &Bank) -> anyhow::Result<String> {
    let (issuer, root) = (file(bank, "ceremony/issuing.pem"), file(bank, "ceremony/root.pem"));
    let url = format!("{}/ocsp", bank.urls().validation);
    let serial = ["-issuer", &issuer, "-serial", "0x4a4a4a4a4a4a4a4a4a", "-url", &url, "-resp_text"];
    openssl(&[&["ocsp", "-CAfile", &root][..], &serial].concat())
}

fn file(bank: &Bank, name: &str) -> String {
    bank.path(name).to_string_lossy().into_owned()
}

/// A serial number as openssl prints it among a certificate's fields.
fn printed(serial: &str) -> String {
    let octets: Vec<&str> =
        serial.as_bytes().chunks(2).filter_map(|pair| str::from_utf8(pair).ok()).collect();
    octets.join(":")
}

/// The serial number of the ceremony's certificate.
fn configured(bank: &Bank) -> String {
    let text = openssl(&["x509", "-noout", "-serial", "-in", &file(bank, "ceremony/ocsp.pem")]);
    text.expect("a certificate").trim().trim_start_matches("serial=").to_lowercase()
}

fn status(bank: &Bank) -> Value {
    bank.operator(&["responder", "status"]).expect("a status")[0].clone()
}

fn serial(bank: &Bank) -> String {
    status(bank)["serial"].as_str().expect("a serial number").to_owned()
}

/// Awaits that a node answers, verified, with the certificate that the ledger has in use.
fn until_answered_with(bank: &Bank, serial: &str) {
    until(
        "an answer with the certificate",
        || answer(bank),
        |answer| answer.as_ref().is_ok_and(|text| text.contains(&printed(serial))),
    )
    .expect("awaited");
}

#[test]
fn it_is_renewed_before_its_end_and_answers_carry_the_new_one() {
    let scratch = Scratch::new("responder").expect("a scratch directory");
    let mut bank = prepare(&scratch.join("bank"));
    bank.migrate().expect("a ledger");
    bank.start_signer().expect("a signer");
    bank.start_authority().expect("an authority");
    until("a renewal", || status(&bank), |status| status["renewed"] == true);
    let renewed = serial(&bank);
    assert_ne!(renewed, configured(&bank));
    until_answered_with(&bank, &renewed);
    for action in ["responder.intended", "responder.issued"] {
        let rows = bank.audit_rows(action).expect("the trail");
        assert_eq!(rows.len(), 1, "{rows:?}");
        assert_eq!((&rows[0]["subject"], &rows[0]["actor"]), (&Value::from(&*renewed), &"system".into()));
    }
    assert_eq!(bank.journal().expect("the journal")["certificates"], 1);

    // Good and revoked are told with it as before.
    let mut house = House::of(bank, scratch);
    let customer = house.customer("answered-01", "general", 43_100_001);
    let leaf = house.bank.path("leaf.pem");
    fs::write(&leaf, openssl_with_input(&["x509", "-inform", "DER"], &customer.certificate).expect("PEM"))
        .expect("a file");
    let ask = |house: &House| {
        let (issuer, root) =
            (file(&house.bank, "ceremony/issuing.pem"), file(&house.bank, "ceremony/root.pem"));
        let url = format!("{}/ocsp", house.bank.urls().validation);
        let leaf = leaf.to_string_lossy();
        openssl(&["ocsp", "-CAfile", &root, "-issuer", &issuer, "-cert", &leaf, "-url", &url])
            .expect("an answer")
    };
    assert!(ask(&house).contains(": good"));

    // Somebody asks for another: taken up without a restart, and known after one.
    let asked = house.bank.operator(&["responder", "renew"]).expect("a renewal");
    let asked = asked["serial"].as_str().expect("a serial number").to_owned();
    assert_ne!(asked, renewed);
    until_answered_with(&house.bank, &asked);
    let authority = house.bank.authority.as_mut().expect("running");
    authority.terminate(PATIENCE).expect("ended");
    house.bank.start_authority().expect("an authority");
    assert!(answer(&house.bank).expect("an answer").contains(&printed(&asked)), "from the first answer on");

    // It can be revoked like any other certificate; then it isn't answered with any more.
    house.bank.operator(&["certificate", "revoke", &asked, "--reason", "superseded"]).expect("revoked");
    until_answered_with(&house.bank, &renewed);
    house
        .bank
        .operator(&["certificate", "revoke", &customer.serial, "--reason", "superseded"])
        .expect("revoked");
    until("the revocation", || ask(&house), |answer| answer.contains(": revoked"));
}

/// The signer's policy allows less than the authority wants: nothing is renewed, somebody hears of it, and the certificate
/// in use goes on.
#[test]
fn a_renewal_that_fails_leaves_the_old_one_in_use_and_is_told() {
    let scratch = Scratch::new("responder-refused").expect("a scratch directory");
    let mut bank = prepare(&scratch.join("bank"));
    let limit = |bank: &Bank, days: i64| {
        let path = bank.path("signer.toml");
        let mut table: toml::Table =
            toml::from_str(&fs::read_to_string(&path).expect("a file")).expect("TOML");
        let keys = table["key"].as_array_mut().expect("keys");
        keys[0]["profile"]
            .as_table_mut()
            .expect("a profile")
            .insert("max_responder_days".into(), days.into());
        fs::write(path, toml::to_string(&table).expect("TOML")).expect("written");
    };
    limit(&bank, 1);
    bank.migrate().expect("a ledger");
    bank.start_signer().expect("a signer");
    bank.start_authority().expect("an authority");
    let failures = |bank: &Bank| {
        let text = fetch(&format!("{}/metrics", bank.urls().ops)).expect("metrics");
        let text = String::from_utf8(text.body).expect("text");
        let mut lines = text.lines().filter(|line| line.starts_with("inro_outcomes_total"));
        let failed = lines.find(|line| line.contains("renew_responder") && line.contains("failed"));
        failed.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).unwrap_or_default()
    };
    until("a failure", || failures(&bank), |failures| *failures >= 1.0);
    assert_eq!((status(&bank)["renewed"].clone(), serial(&bank)), (Value::Bool(false), configured(&bank)));
    assert!(answer(&bank).expect("an answer").contains(&printed(&configured(&bank))));
    assert!(!bank.audit_rows("responder.intent-abandoned").expect("the trail").is_empty());
    assert_eq!(bank.journal().expect("the journal")["certificates"], 0);
    let refused = bank.try_operator(&["responder", "renew"]).expect("a refusal");
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("outside_validity"), "{refused:?}");

    bank.signer.take().expect("running").terminate(PATIENCE).expect("ended");
    limit(&bank, 45);
    bank.start_signer().expect("a signer");
    until("a renewal by hand", || bank.operator(&["responder", "renew"]), Result::is_ok).expect("awaited");
    until_answered_with(&bank, &serial(&bank));
}

/// One node leads and renews; the other, which has its own signer and journal, takes the certificate up from the ledger.
#[test]
fn every_node_takes_up_what_one_renewed() {
    let scratch = Scratch::new("responder-nodes").expect("a scratch directory");
    let postgres = Postgres::start(postgres::Options { fsync: false }).expect("a PostgreSQL");
    let database = postgres.create_database().expect("a database");
    let first = prepare(&scratch.join("one"));
    first.use_postgres(&postgres.url(&database)).expect("its configuration");
    first.migrate().expect("a ledger");
    let second = first.another_node(&scratch.join("two"), 2).expect("another node");
    let mut nodes = [first, second];
    for node in &mut nodes {
        node.start_signer().expect("a signer");
        node.start_authority().expect("an authority");
    }
    until("a renewal", || status(&nodes[0]), |status| status["renewed"] == true);
    let renewed = serial(&nodes[0]);
    for node in &nodes {
        until_answered_with(node, &renewed);
    }
    let rows = nodes[0].audit_rows("responder.issued").expect("the trail");
    assert_eq!(rows.len(), 1, "one node renews for both: {rows:?}");
    let signed: Vec<i64> = nodes
        .iter()
        .map(|node| node.journal().expect("the journal")["certificates"].as_i64().expect("a number"))
        .collect();
    assert_eq!(signed.iter().sum::<i64>(), 1, "{signed:?}");
}
