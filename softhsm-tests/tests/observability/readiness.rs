//! `/readyz` and `/livez` while a part of the bank is down.

use serde_json::Value;
use softhsm_tests::{bank::fetch, openssl::openssl, wait::until};

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

/// By OCSP, of a serial number that nobody asked for before; HTTP answers 200 whatever becomes of it.
fn ask_for_a_status(house: &House) {
    let (issuing, request) = (house.bank.path("ceremony/issuing.pem"), house.bank.path("asked.der"));
    let (issuing, asked) = (issuing.to_string_lossy(), request.to_string_lossy());
    openssl(&["ocsp", "-no_nonce", "-issuer", &issuing, "-serial", "0x4001", "-reqout", &asked])
        .expect("a request");
    let client = reqwest::blocking::Client::builder().no_proxy().build().expect("a client");
    let post = client.post(format!("{}/ocsp", house.bank.urls().validation));
    let post = post.header("content-type", "application/ocsp-request");
    let response = post.body(std::fs::read(&request).expect("a request")).send().expect("a response");
    assert_eq!(response.status(), 200);
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
    ask_for_a_status(&house);
    let metrics = fetch(&format!("{}/metrics", house.bank.urls().ops)).expect("metrics");
    let metrics = String::from_utf8(metrics.body).expect("text");
    for series in [
        r#"inro_outcomes_total{what="ocsp",outcome="try-later"} 1"#,
        // A refusal that comes alone shows only beside the zero before it.
        r#"inro_signer_failures_total{issuer="customer",what="certificate",kind="refused"} 0"#,
    ] {
        assert!(metrics.contains(series), "{series} isn't in\n{metrics}");
    }
    let alive = fetch(&format!("{}/livez", house.bank.urls().ops)).expect("alive");
    assert_eq!(alive.status, 200, "a dead signer isn't mended by killing the authority");

    house.bank.start_signer().expect("the signer");
    until("that it is ready again", || verdict(&house), |(status, _)| *status == 200);
}
