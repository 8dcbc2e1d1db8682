//! A refused PIN costs one try, whatever is restarted, until a human clears the latch (R8). The tries are counted
//! between signer and token, by OpenSC's spy module.

use std::{fs, path::Path};

use signer_protocol::client::ClientError;
use uuid::Uuid;

use crate::rig::{DEADLINE, HEAD, Rig, issuing, tbs};

const SPY: &str = "/usr/lib/x86_64-linux-gnu/pkcs11/pkcs11-spy.so";

/// Puts the spy between worker and token.
fn spied(rig: &Rig) -> impl Fn() -> usize + use<> {
    assert!(fs::exists(SPY).expect("readable"), "{SPY} is missing: install the package opensc-pkcs11");
    let calls = rig.scratch.join("calls");
    let module = rig.kind.module().expect("a module").display().to_string();
    rig.edit(&format!("module = \"{module}\""), &format!("module = \"{SPY}\""));
    rig.edit(
        "environment = {",
        &format!("environment = {{ PKCS11SPY = \"{module}\", PKCS11SPY_OUTPUT = \"{}\",", calls.display()),
    );
    move || fs::read_to_string(&calls).unwrap_or_default().matches(": C_Login\n").count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_pin_is_tried_once_until_somebody_clears_the_latch() {
    let rig = Rig::prepare();
    let logins = spied(&rig);
    let pin_file = rig.bank.secret("online-pin");
    let pin = fs::read_to_string(&pin_file).expect("the PIN");
    fs::write(&pin_file, "not-the-pin\n").expect("written");
    for round in 0..5 {
        let mut signer = rig.spawn(&format!("locked-out-{round}"));
        signer.wait_for_log("signer locked out", DEADLINE).expect("locked out");
        let client = rig.client();
        let refused =
            client.sign_certificate(&issuing(), Uuid::new_v4(), HEAD, tbs(&rig.certificate())).await;
        assert!(
            matches!(&refused, Err(ClientError::LockedOut { remedy }) if remedy.contains("latch clear")),
            "{refused:?}"
        );
        assert!(!client.status().await.expect("answers").healthy);
        if round % 2 == 0 {
            signer.kill().expect("killed");
        } else {
            assert!(signer.terminate(DEADLINE).expect("ended").success());
        }
        assert_eq!(logins(), 1, "round {round}");
        assert!(!signer.log().contains("not-the-pin"), "no PIN in a log");
    }

    // The right PIN alone opens nothing: somebody must look.
    fs::write(&pin_file, pin).expect("written");
    let mut last = rig.spawn("cleared");
    last.wait_for_log("signer locked out", DEADLINE).expect("still locked out");
    assert_eq!(logins(), 1);
    let shown = rig.inro_hsm(&["latch", "show", "--config", "signer.toml"]);
    assert!(String::from_utf8_lossy(&shown.stdout).contains("set at"), "{shown:?}");
    let cleared = rig.inro_hsm(&["latch", "clear", "--config", "signer.toml"]);
    assert!(cleared.status.success(), "{cleared:?}");
    last.wait_for_log("signer ready", DEADLINE).expect("ready, without a restart");
    assert_eq!(logins(), 2);
    let octets = tbs(&rig.certificate());
    let signed = rig
        .client()
        .sign_certificate(&issuing(), Uuid::new_v4(), HEAD, octets.clone())
        .await
        .expect("signed");
    assert!(rig.is_issuers(&octets, &signed.signature));
}

/// A PIN as a credential has it: another file at each start, and for a signer that goes on running the old one.
fn unpack(pin_file: &Path, pin: &str) {
    let new = pin_file.with_extension("new");
    fs::copy(pin_file, &new).expect("copied, with its mode");
    fs::write(&new, pin).expect("written");
    fs::rename(new, pin_file).expect("put there");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_pin_costs_no_second_try_when_the_latch_is_cleared_before_it_is_corrected() {
    let rig = Rig::prepare();
    let logins = spied(&rig);
    let pin_file = rig.bank.secret("online-pin");
    let pin = fs::read_to_string(&pin_file).expect("the PIN");
    unpack(&pin_file, "not-the-pin\n");
    let mut signer = rig.spawn("refused");
    signer.wait_for_log("signer locked out", DEADLINE).expect("locked out");
    assert!(rig.inro_hsm(&["latch", "clear", "--config", "signer.toml"]).status.success());
    signer.wait_for_log("this is the same PIN as the one that was refused", DEADLINE).expect("it says so");
    assert!(!rig.client().status().await.expect("answers").healthy);
    signer.kill().expect("killed");
    unpack(&pin_file, "not-the-pin\n");
    let mut again = rig.spawn("the same once more");
    again.wait_for_log("this is the same PIN as the one that was refused", DEADLINE).expect("it says so");
    assert_eq!(logins(), 1);
    let shown = rig.inro_hsm(&["latch", "show", "--config", "signer.toml"]);
    assert!(String::from_utf8_lossy(&shown.stdout).contains("isn't given again"), "{shown:?}");

    unpack(&pin_file, &pin);
    again.wait_for_log("signer ready", DEADLINE).expect("ready: the latch was cleared already");
    assert_eq!(logins(), 2);
    again.kill().expect("killed");

    // A person may know better.
    unpack(&pin_file, "not-the-pin\n");
    let mut last = rig.spawn("insisting");
    last.wait_for_log("this is the same PIN as the one that was refused", DEADLINE).expect("it says so");
    assert!(rig.inro_hsm(&["latch", "clear", "--same-pin", "--config", "signer.toml"]).status.success());
    last.wait_for_log("the PIN was refused: locked out", DEADLINE).expect("tried");
    assert_eq!(logins(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signer_killed_before_it_could_latch_a_refusal_does_not_try_again() {
    let rig = Rig::prepare();
    let logins = spied(&rig);
    let pin_file = rig.bank.secret("online-pin");
    let pin = fs::read_to_string(&pin_file).expect("the PIN");
    fs::write(&pin_file, "not-the-pin\n").expect("written");
    // A link that leads nowhere: the latch can't be written, as when the signer is killed just before.
    let latch = rig.bank.path("signer/pin-latch");
    std::os::unix::fs::symlink("nowhere/else", &latch).expect("a link");
    let mut signer = rig.spawn("refused");
    signer.wait_for_log("the latch can't be written", DEADLINE).expect("refused");
    signer.wait_for_log("signer locked out", DEADLINE).expect("locked out without the latch");
    signer.kill().expect("killed");
    fs::remove_file(&latch).expect("removed");
    for round in 0..2 {
        let mut again = rig.spawn(&format!("again-{round}"));
        again.wait_for_log("signer locked out", DEADLINE).expect("locked out");
        again.kill().expect("killed");
        assert_eq!(logins(), 1, "round {round}");
    }
    fs::write(&pin_file, pin).expect("written");
    let shown = rig.inro_hsm(&["latch", "show", "--config", "signer.toml"]);
    assert!(String::from_utf8_lossy(&shown.stdout).contains("whose end isn't known"), "{shown:?}");
    assert!(rig.inro_hsm(&["latch", "clear", "--config", "signer.toml"]).status.success());
    let mut last = rig.spawn("cleared");
    last.wait_for_log("signer ready", DEADLINE).expect("ready");
    assert_eq!(logins(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signer_killed_while_it_logs_in_with_a_good_pin_needs_no_hand() {
    let rig = Rig::prepare();
    let logins = spied(&rig);
    let pin_file = rig.bank.secret("online-pin");
    let pin = fs::read_to_string(&pin_file).expect("the PIN");
    for round in 1..=6 {
        unpack(&pin_file, &pin);
        let mut signer = rig.spawn(&format!("killed-{round}"));
        if round == 1 {
            signer.wait_for_log("signer ready", DEADLINE).expect("ready");
        } else {
            let before = logins();
            signer.wait_until("a login", DEADLINE, |_| Ok(logins() > before)).expect("logs in");
        }
        signer.kill().expect("killed");
    }
    rig.spawn("last").wait_for_log("signer ready", DEADLINE).expect("ready");
}
