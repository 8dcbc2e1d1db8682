//! A key's life in a TPM, from the enrolment to the end.

use serde_json::json as value;
use softhsm_tests::bank::LOGIN_PASSWORD;

use crate::house::{House, PIN, json};

/// The policy of keys that are proven to be in a device, of which it isn't proven that it asks for a PIN.
const ATTESTED: &str = "1.3.6.1.4.1.32473.1.2";

/// Certificate login over TLS with the key in the TPM; `true` when the home page came.
fn logs_in(house: &House, browser: &softhsm_tests::card_client::CardClient) -> anyhow::Result<bool> {
    let client = house.bank.urls().client;
    browser.forget_cookies()?;
    let form = browser.get(&format!("{client}/login"))?;
    let Some(csrf) = softhsm_tests::bank::hidden(&form, "csrf") else { return Ok(false) };
    let fields = [("csrf", csrf.as_str()), ("password", LOGIN_PASSWORD)];
    let answer = browser.post_form(&format!("{client}/login"), &fields)?;
    Ok(answer.status == 303 && browser.get(&format!("{client}/home"))?.status == 200)
}

#[test]
fn a_key_is_born_logs_in_lives_through_reboots_changes_its_pin_and_ends() {
    let house = House::open("tpm-life");
    let mut computer = house.computer("desk");
    house.user("tpm-user-1", &computer);

    let enrolled = house.enroll(&computer, "tpm-user-1");
    assert_eq!((&enrolled["kind"], &enrolled["key"]), (&"tpm".into(), &1.into()));
    let serial = computer.serial();
    assert_eq!(enrolled["token"], serial.as_str());
    let certificate = &enrolled["certificate"];
    assert_eq!(certificate["policies"], serde_json::json!([ATTESTED]), "{certificate}");
    assert_eq!(certificate["token_serial"], serial.as_str(), "{certificate}");
    assert_eq!(computer.tpm.in_use().expect("a list"), (0, 0), "something was left in the TPM");

    let browser = house.browser(&computer, "tpm-user-1", PIN);
    assert!(logs_in(&house, &browser).expect("an answer"), "no login with the key in the TPM");
    computer.tpm.reboot().expect("a reboot");
    assert!(logs_in(&house, &browser).expect("an answer"), "no login after a reboot");
    let list = computer.list();
    assert_eq!((list.len(), &list[0]["health"], &list[0]["state"]), (1, &"good".into(), &"valid".into()));

    // Nothing remembers the PIN: the new one counts at once, everywhere.
    let (old, new) = (house.secret_file("old", PIN), house.secret_file("new", "yx-27182"));
    let change = ["change-pin", "--token", "tpm", "--pin-file", &old, "--new-pin-file", &new];
    json(&computer.agent(&change), 0);
    assert!(logs_in(&house, &browser).is_err(), "a login with the old PIN");
    let renewed = house.browser(&computer, "tpm-user-1", "yx-27182");
    assert!(logs_in(&house, &renewed).expect("an answer"), "no login with the new PIN");

    let (trust, url) = (house.bank.path("tls/ca.pem").display().to_string(), house.bank.urls().public);
    let erase = ["erase", "--token", "tpm", "--key", "1", "--yes", "--pin-file", &new];
    let erased = json(&computer.agent(&[&erase[..], &["--server", &url, "--ca-file", &trust]].concat()), 0);
    assert_eq!((&erased["erased"], &erased["told"]), (&true.into(), &true.into()), "{erased}");
    let number = certificate["serial"].as_str().expect("a number");
    let shown = house.bank.operator(&["certificate", "show", number]).expect("a certificate");
    assert_eq!(shown["state"], "revoked", "the bank was told by the key itself");
    assert_eq!(erased["certificate"]["serial"], certificate["serial"]);
    assert!(computer.list().is_empty());
    assert!(logs_in(&house, &renewed).is_err(), "a login with an erased key");
    json(&computer.agent(&["erase", "--token", "tpm", "--yes"]), 3);
}

/// A TPM without resource manager has three places for objects and three for sessions: what an attempt leaves there
/// would be missed by the next but two.
#[test]
fn ten_attempts_leave_nothing_in_the_tpm() {
    let house = House::open("tpm-attempts");
    let computer = house.computer("desk");
    house.user("tpm-user-2", &computer);
    let wrong = house.secret_file("wrong", "kiri-no-hana-2027");
    for attempt in 0..10 {
        let refused = house.try_enroll(&computer, "tpm-user-2", &["--password-file", &wrong]);
        let code = json(&refused, 5)["error"]["code"].clone();
        assert!(code.is_string(), "attempt {attempt}: {code}");
        assert_eq!(computer.tpm.in_use().expect("a list"), (0, 0), "after attempt {attempt}");
    }
    let persistent = computer.tpm.tool("tpm2_getcap", &["handles-persistent"]).expect("a list");
    assert!(!persistent.contains("0x810149"), "an attempt left a key: {persistent}");
    assert!(computer.list().is_empty());
}

/// Where RSA is wanted, TLS 1.3 asks for RSASSA-PSS.
#[test]
fn an_rsa_key_logs_in_as_well() {
    let house = House::open("tpm-rsa");
    let computer = house.computer("desk");
    house.user("tpm-user-10", &computer);
    json(&house.try_enroll(&computer, "tpm-user-10", &["--algorithm", "rsa2048"]), 0);
    let browser = house.browser(&computer, "tpm-user-10", PIN);
    assert!(logs_in(&house, &browser).expect("an answer"), "no login with an RSA key in the TPM");
}

/// The signer is away when the evidence is there: the key that was made stays, and the same command ends with it.
#[test]
fn an_interrupted_enrolment_goes_on_with_its_key() {
    let mut house = House::open("tpm-resumed");
    let computer = house.computer("desk");
    house.user("tpm-user-9", &computer);
    house.bank.signer.take().expect("running").kill().expect("killed");
    let interrupted = house.try_enroll(&computer, "tpm-user-9", &[]);
    let failed: serde_json::Value = serde_json::from_slice(&interrupted.stdout).expect("JSON");
    assert_eq!(failed["error"]["resumable"], true, "{failed}");
    let persistent = || computer.tpm.tool("tpm2_getcap", &["handles-persistent"]).expect("a list");
    let before = persistent();
    assert_eq!(before.matches("0x810149").count(), 1, "{before}");
    house.bank.start_signer().expect("a signer");
    let enrolled = house.enroll(&computer, "tpm-user-9");
    assert_eq!(enrolled["resumed"], true, "{enrolled}");
    assert_eq!(persistent(), before, "it took another key");
    assert_eq!(house.bank.journal().expect("a journal")["certificates"], 1);
}

#[test]
fn a_renewal_has_a_key_of_its_own_with_its_predecessors_pin() {
    let mut house = House::open("tpm-renewed");
    let mut computer = house.computer("desk");
    computer.extra = house.clock();
    house.user("tpm-user-11", &computer);
    let first = house.enroll(&computer, "tpm-user-11");
    let early = house.renew(&computer, &[]);
    assert_eq!(
        (&early["renewed"], &early["certificates"][0]["renewal"]),
        (&value!(null), &value!("not-yet"))
    );

    house.days_later(340);
    let renewed = house.renew(&computer, &[]);
    assert_eq!(renewed["renewed"]["key"], 2, "{renewed}");
    assert_eq!(renewed["renewed"]["supersedes"], first["certificate"]["serial"], "{renewed}");
    assert_eq!(renewed["superseded"][0]["state"], "waits", "{renewed}");
    assert_eq!(computer.tpm.in_use().expect("a list"), (0, 0), "something was left in the TPM");
    // Browsers find the new certificate alone, and the PIN is the old one.
    let browser = house.browser(&computer, "tpm-user-11", PIN);
    assert!(logs_in(&house, &browser).expect("an answer"), "no login with the renewed certificate");
    let keys = |computer: &crate::house::Computer| {
        let persistent = computer.tpm.tool("tpm2_getcap", &["handles-persistent"]).expect("a list");
        persistent.matches("0x810149").count()
    };
    assert_eq!(keys(&computer), 2, "the old key stays for its grace");

    let cleared = house.renew(&computer, &["--grace-hours", "0"]);
    assert_eq!((&cleared["renewed"], &cleared["superseded"][0]["state"]), (&value!(null), &value!("erased")));
    assert_eq!(keys(&computer), 1);
    assert!(logs_in(&house, &browser).expect("an answer"), "no login afterwards");
    let list = computer.list();
    assert_eq!(
        (list.len(), &list[0]["certificate"]["serial"]),
        (1, &renewed["renewed"]["certificate"]["serial"])
    );
}

#[test]
fn one_certificate_for_a_user_and_in_their_tpm_alone() {
    let house = House::open("tpm-shared");
    let computer = house.computer("desk");
    house.user("tpm-user-3", &computer);
    house.enroll(&computer, "tpm-user-3");
    // A second certificate for the same user isn't issued, and costs no key.
    let again = house.try_enroll(&computer, "tpm-user-3", &[]);
    assert_eq!(json(&again, 5)["error"]["code"], "already-certified");
    assert_eq!(computer.list().len(), 1);
    // Another computer's TPM isn't the assigned one.
    let other = house.computer("other");
    let elsewhere = house.try_enroll(&other, "tpm-user-3", &[]);
    assert_eq!(elsewhere.status.code(), Some(5));
}

#[test]
fn wrong_pins_lock_the_tpm_and_are_explained() {
    let house = House::open("tpm-pins");
    let computer = house.computer("desk");
    house.user("tpm-user-4", &computer);
    house.enroll(&computer, "tpm-user-4");
    let (wrong, new) = (house.secret_file("wrong", "271829"), house.secret_file("new", "yx-27182"));
    let change = ["change-pin", "--token", "tpm", "--pin-file", &wrong, "--new-pin-file", &new];
    let mut last = String::new();
    for _ in 0..4 {
        let failed = json(&computer.agent(&change), 4);
        last = failed["error"]["next"].as_str().expect("words").to_owned();
    }
    assert!(last.contains("tpm2_dictionarylockout"), "{last}");
    assert_eq!(json(&computer.agent(&["tpm"]), 0)["lockout"]["locked"], true);
    let browser = house.browser(&computer, "tpm-user-4", PIN);
    assert!(logs_in(&house, &browser).is_err(), "a login with a locked TPM");
    computer.tpm.tool("tpm2_dictionarylockout", &["--clear-lockout"]).expect("the administrator helps");
    assert!(logs_in(&house, &browser).expect("an answer"), "the key was lost by the lock");
}

#[test]
fn a_cleared_tpm_is_recognised_and_explained() {
    let house = House::open("tpm-cleared");
    let computer = house.computer("desk");
    house.user("tpm-user-5", &computer);
    let enrolled = house.enroll(&computer, "tpm-user-5");
    let serial = computer.serial();
    computer.tpm.clear().expect("cleared");
    let list = computer.list();
    assert_eq!((list.len(), &list[0]["health"]), (1, &"cleared".into()));
    let pin = house.secret_file("pin", PIN);
    let change = ["change-pin", "--token", "tpm", "--pin-file", &pin, "--new-pin-file", &pin];
    let failed = json(&computer.agent(&change), 3);
    assert!(failed["error"]["message"].as_str().expect("words").contains("cleared"), "{failed}");
    assert!(logs_in(&house, &house.browser(&computer, "tpm-user-5", PIN)).is_err());
    json(&computer.agent(&["erase", "--token", "tpm", "--yes"]), 0);
    assert!(computer.list().is_empty());

    // It is still the same TPM: once the certificate is revoked, its owner begins anew.
    assert_eq!(computer.serial(), serial);
    let number =
        enrolled["certificate"]["serial"].as_str().expect("a number").replace(':', "").to_lowercase();
    let revoke = |number: &str| {
        house
            .bank
            .operator(&["certificate", "revoke", number, "--reason", "keyCompromise"])
            .expect("revoked");
    };
    revoke(&number);
    let second = house.enroll(&computer, "tpm-user-5");
    assert!(logs_in(&house, &house.browser(&computer, "tpm-user-5", PIN)).expect("an answer"));

    // Who doesn't erase what was lost isn't disturbed by it either.
    computer.tpm.clear().expect("cleared");
    revoke(&second["certificate"]["serial"].as_str().expect("a number").replace(':', "").to_lowercase());
    house.enroll(&computer, "tpm-user-5");
    let list = computer.list();
    assert_eq!((list.len(), &list[0]["health"]), (1, &"good".into()));
    assert!(logs_in(&house, &house.browser(&computer, "tpm-user-5", PIN)).expect("an answer"));
}
