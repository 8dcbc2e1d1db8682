//! `inro-agent browser`: what it registers, and that browsers log in with it.

use std::{path::Path, process::Command};

use serde_json::Value;
use softhsm_tests::{bank::LOGIN_PASSWORD, binaries, browser::Browser, process::run};

use crate::house::{Computer, House, json, module};

/// Whom the browser trusts is the person's own business.
fn trust_the_server(house: &House, computer: &Computer) {
    let mut certutil = Command::new("certutil");
    certutil.arg("-d").arg(format!("sql:{}/.pki/nssdb", computer.home.display()));
    certutil.args(["-A", "-n", "server authority", "-t", "C,,", "-i"]).arg(house.bank.path("tls/ca.pem"));
    run(certutil.envs(computer.environment())).expect("trusted");
}

fn set_up(computer: &Computer, library: &Path) -> Vec<Value> {
    let library = library.display().to_string();
    let done = json(&computer.agent(&["browser", "setup", "--module", &library]), 0);
    done["changes"].as_array().expect("a list").clone()
}

fn outcomes(changes: &[Value], module: &str) -> Vec<String> {
    let of_module = changes.iter().filter(|change| change["module"] == module);
    of_module.map(|change| change["outcome"].as_str().expect("an outcome").to_owned()).collect()
}

const TPM: &str = "Inro TPM keys";

#[test]
fn setting_up_twice_changes_nothing_and_removing_leaves_nothing() {
    let house = House::open("tpm-setup");
    let computer = house.computer("desk");
    house.user("tpm-user-6", &computer);
    assert_eq!(json(&computer.agent(&["browser", "doctor"]), 0)["healthy"], false);
    house.enroll(&computer, "tpm-user-6");

    // The shared database and p11-kit's list.
    let first = set_up(&computer, &module());
    assert_eq!(outcomes(&first, TPM), ["added", "added"], "{first:?}");
    let second = set_up(&computer, &module());
    assert!(second.iter().all(|change| change["outcome"] == "already"), "{second:?}");
    let examined = json(&computer.agent(&["browser", "doctor"]), 0);
    assert_eq!(examined["healthy"], true, "{examined}");
    let mut list = Command::new("certutil");
    list.arg("-d").arg(format!("sql:{}/.pki/nssdb", computer.home.display())).args(["-L", "-h", "all"]);
    let listed = run(list.envs(computer.environment())).expect("a list");
    assert!(listed.contains("tpm-user-6"), "NSS doesn't see the certificate: {listed}");

    // Another library, as after a move of the installation.
    let other = computer.home.join("libinro_tpm_pkcs11.so");
    std::fs::copy(module(), &other).expect("a copy");
    assert_eq!(outcomes(&set_up(&computer, &other), TPM), ["replaced", "replaced"]);
    let examined = json(&computer.agent(&["browser", "doctor"]), 0);
    assert_eq!(examined["healthy"], false, "the other library isn't noticed: {examined}");

    let removed = json(&computer.agent(&["browser", "setup", "--remove"]), 0);
    let removed = removed["changes"].as_array().expect("a list");
    assert_eq!(outcomes(removed, TPM), ["removed", "removed"]);
    let again = json(&computer.agent(&["browser", "setup", "--remove"]), 0);
    let again = again["changes"].as_array().expect("a list");
    assert!(again.iter().all(|change| change["outcome"] == "absent"), "{again:?}");
}

/// NSS' own TLS client, which is asked for the PIN as browsers are.
#[test]
fn nss_logs_in_with_the_pin_alone() {
    let house = House::open("tpm-nss");
    let computer = house.computer("desk");
    house.user("tpm-user-7", &computer);
    house.enroll(&computer, "tpm-user-7");
    set_up(&computer, &module());
    trust_the_server(&house, &computer);
    let port = house.bank.urls().client.rsplit(':').next().expect("a port").to_owned();
    let request = computer.home.join("request");
    std::fs::write(&request, "GET /login HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .expect("written");
    let ask = |pin: &str| {
        let mut client = Command::new("tstclnt");
        client.args([
            "-4",
            "-h",
            "localhost",
            "-p",
            &port,
            "-V",
            "tls1.3:tls1.3",
            "-n",
            "tpm-user-7:tpm-user-7",
        ]);
        client.args(["-w", pin, "-A"]).arg(&request);
        client.arg("-d").arg(format!("sql:{}/.pki/nssdb", computer.home.display()));
        let output = softhsm_tests::process::output_of(client.envs(computer.environment()), b"");
        let output = output.expect("tstclnt runs");
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    };
    let page = ask(crate::house::PIN);
    assert!(page.contains("200 OK") && page.contains("tpm-user-7"), "{page}");
    let refused = ask("271829");
    assert!(!refused.contains("tpm-user-7"), "{refused}");
    assert_eq!(computer.tpm.in_use().expect("a list"), (0, 0), "something was left in the TPM");
}

/// Chromium without a screen; only the typing of the PIN is done by a module in between.
#[test]
fn chromium_logs_in_with_the_key_in_the_tpm() {
    let house = House::open("tpm-chromium");
    let mut computer = house.computer("desk");
    house.user("tpm-user-8", &computer);
    house.enroll(&computer, "tpm-user-8");
    computer.extra.push(("P11_LOGIN_MODULE".to_owned(), module().display().to_string()));
    let pin = house.bank.secret("token-pin").display().to_string();
    computer.extra.push(("P11_LOGIN_PIN_FILE".to_owned(), pin));
    set_up(&computer, &binaries::find_library("p11_login").expect("the module in between"));
    trust_the_server(&house, &computer);
    let browser = Browser::at_home(computer.environment(), &computer.home, "evidence-tpm");
    let browser = browser.expect("a browser");
    browser.goto(&format!("{}/login?lang=en", house.bank.urls().client)).expect("a page");
    assert!(browser.text().expect("text").contains("tpm-user-8"), "{}", browser.text().expect("text"));
    browser.fill("#password", LOGIN_PASSWORD).expect("typed");
    browser.follow("Log in").expect("a click");
    assert!(browser.url().expect("an address").contains("/home"), "{}", browser.text().expect("text"));
    browser.close().expect("closed");
}
