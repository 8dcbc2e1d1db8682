//! `/readyz` and `/livez` while a part of the bank is down.

use serde_json::Value;
use softhsm_tests::{bank::fetch, wait::until};

use crate::customers::House;

fn verdict(house: &House) -> (u16, Value) {
    let response = fetch(&format!("{}/readyz", house.bank.urls().ops)).expect("a verdict");
    (response.status, serde_json::from_slice(&response.body).expect("JSON"))
}

fn component<'a>(verdict: &'a Value, name: &str) -> &'a Value {
    let components = verdict["components"].as_array().expect("components");
    components
        .iter()
        .find(|component| component["name"] == name)
        .unwrap_or_else(|| panic!("no {name}: {verdict}"))
}

#[test]
fn readiness_names_the_part_that_fails_and_recovers_with_it() {
    let mut house = House::open("readiness");
    let (status, well) = verdict(&house);
    assert_eq!((status, &well["ready"]), (200, &Value::Bool(true)), "{well}");
    for name in ["serving", "reconciled", "ledger", "schema", "signer", "crl"] {
        assert_eq!(component(&well, name)["ok"], true, "{well}");
    }
    assert_eq!(component(&well, "signer")["issuer"], "customer");

    house.bank.signer.take().expect("a signer").kill().expect("killed");
    let (_, ill) = until("that it isn't ready", || verdict(&house), |(status, _)| *status == 503);
    assert_eq!(component(&ill, "signer")["ok"], false, "{ill}");
    assert!(component(&ill, "signer")["trouble"].is_string(), "{ill}");
    for name in ["serving", "ledger", "schema", "crl"] {
        assert_eq!(component(&ill, name)["ok"], true, "{ill}");
    }
    let alive = fetch(&format!("{}/livez", house.bank.urls().ops)).expect("alive");
    assert_eq!(alive.status, 200, "a dead signer isn't mended by killing the authority");

    house.bank.start_signer().expect("the signer");
    until("that it is ready again", || verdict(&house), |(status, _)| *status == 200);
}
