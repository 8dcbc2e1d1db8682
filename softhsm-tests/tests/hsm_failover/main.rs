//! Several HSMs with the same keys behind one signer: they share the load, and the loss of one costs nobody a request.

mod lanes;
mod rig;

use std::{fs, process::Command, sync::Arc};

use signer_protocol::message::TokenState::{Down, LockedOut, Ready};
use softhsm_tests::{
    bank::{Bank, Options, fetch},
    process::run,
    scratch::Scratch,
    simulated_hsm::{Conduct, Fault, Settings, SimulatedHsm},
    softhsm::SoftHsm,
    wait::{settled, until},
};

use crate::rig::{Load, Rig};

/// Waits until an HSM's worker has signed so many more.
async fn signs_more(rig: &Rig, number: usize, more: u64) {
    let before = rig.signed()[number];
    settled("more signatures", async || rig.signed()[number], |signed| *signed >= before + more).await;
}

/// Loses the first HSM under load in a certain way and gets it back. No request fails, and nothing is signed twice.
async fn survives(lose: impl FnOnce(&SimulatedHsm), mend: impl FnOnce(&SimulatedHsm)) {
    let rig = Rig::start().await;
    let load = Load::start(&rig);
    signs_more(&rig, 0, 10).await;
    signs_more(&rig, 1, 10).await;
    lose(&rig.hsms[0]);
    rig.states([Down, Ready]).await;
    signs_more(&rig, 1, 10).await;
    mend(&rig.hsms[0]);
    rig.states([Ready, Ready]).await;
    signs_more(&rig, 0, 10).await;
    let asked = load.stop().await;
    assert_eq!(rig.journaled(), asked.len() as u64, "one signature for each intent");
    let client = rig.client();
    for asked in asked.iter().step_by(7) {
        asked.is_the_one(&client).await;
    }
    let log = fs::read_to_string(rig.bank.path("logs/signer.log")).expect("a log");
    assert!(log.contains("the token can't be used; trying again token=\"hsm-1\""), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_hsm_that_is_taken_away_is_missed_by_nobody_and_taken_back() {
    let put = |conduct| move |hsm: &SimulatedHsm| hsm.conduct(&conduct).expect("done");
    survives(put(Conduct::ABSENT), put(Conduct::PLAIN)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_hsm_whose_module_crashes_costs_no_request() {
    let crash = |hsm: &SimulatedHsm| hsm.fault(&Fault::segfault("C_Sign")).expect("done");
    survives(crash, |hsm| hsm.clear().expect("done")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_hsm_that_hangs_with_the_signature_made_costs_no_request() {
    let hang = |hsm: &SimulatedHsm| hsm.fault(&Fault::hangs("C_Sign", None).when_done()).expect("done");
    survives(hang, |hsm| hsm.clear().expect("done")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_load_is_shared() {
    let rig = Rig::start().await;
    let client = rig.client();
    let before = rig.signed();
    for _ in 0..40 {
        rig.ask(&client).await.expect("signed");
    }
    let after = rig.signed();
    let shares = [after[0] - before[0], after[1] - before[1]];
    assert!(shares.iter().all(|share| *share >= 15), "{shares:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pin_that_one_refuses_is_latched_for_that_one() {
    let mut rig = Rig::prepare(Settings::AT_ONCE, 2);
    // With the mode of a PIN file.
    fs::copy(rig.bank.secret("online-pin"), rig.bank.secret("other-pin")).expect("copied");
    fs::write(rig.bank.secret("other-pin"), "not-the-pin\n").expect("written");
    rig.bank
        .reconfigure_signer(|table| {
            let tokens = table.get_mut("token").and_then(toml::Value::as_array_mut).expect("tokens");
            let second = tokens[1].as_table_mut().expect("a table");
            second.insert("pin_file".to_owned(), "secrets/other-pin".into());
            Ok(())
        })
        .expect("configured");
    rig.bank.start_signer().expect("the signer");
    let status = rig.states([Ready, LockedOut]).await;
    assert!(status.healthy, "{status:?}");
    assert!(status.tokens[1].trouble.as_ref().is_some_and(|trouble| trouble.contains("latch clear")));
    rig.ask(&rig.client()).await.expect("the other signs");

    let pin = fs::read(rig.bank.secret("online-pin")).expect("the PIN");
    fs::write(rig.bank.secret("other-pin"), pin).expect("written");
    let config = rig.bank.path("signer.toml");
    let latch = |what: &str| {
        let mut command = Command::new(softhsm_tests::binaries::find("inro-hsm").expect("built"));
        run(command.args(["latch", what, "--config"]).arg(&config)).expect("done")
    };
    let shown = latch("show");
    assert!(shown.contains("hsm-1: not set") && shown.contains("hsm-2: set at"), "{shown}");
    latch("clear");
    rig.states([Ready, Ready]).await;
    assert_eq!(rig.hsms[1].logins().expect("kept"), 2, "the wrong PIN once, the right one once");
}

/// Between the look at the PIN and the login a module may load for long.
#[tokio::test(flavor = "multi_thread")]
async fn a_pin_that_was_changed_while_the_module_was_loaded_is_not_given() {
    let mut rig = Rig::prepare(Settings::AT_ONCE, 2);
    let (first, others) = (rig.bank.secret("online-pin"), rig.bank.secret("other-pin"));
    fs::copy(&first, &others).expect("copied");
    rig.bank
        .reconfigure_signer(|table| {
            let tokens = table.get_mut("token").and_then(toml::Value::as_array_mut).expect("tokens");
            let second = tokens[1].as_table_mut().expect("a table");
            second.insert("pin_file".to_owned(), "secrets/other-pin".into());
            Ok(())
        })
        .expect("configured");
    let pin = fs::read(&first).expect("the PIN");
    fs::write(&first, "not-the-pin\n").expect("written");
    rig.hsms[0].fault(&Fault::hangs("C_OpenSession", None).times(1)).expect("done");
    rig.bank.start_signer().expect("the signer, with the other");
    settled("the hanging call", async || rig.hsm(0).calls, |calls| calls.contains_key("C_OpenSession")).await;
    fs::write(&first, pin).expect("written");
    rig.hsms[0].clear().expect("goes on");
    rig.states([Ready, Ready]).await;
    assert_eq!(rig.hsms[0].logins().expect("kept"), 1, "the right one alone");
}

/// A token with the label, PIN and key IDs of the bank's online token, and other keys.
fn impostor(rig: &Rig, name: &str) -> SoftHsm {
    let softhsm = SoftHsm::new(&rig.bank.path(format!("hsm/{name}"))).expect("SoftHSM");
    let pin = fs::read_to_string(rig.bank.secret("online-pin")).expect("the PIN");
    let pin = pin.trim_end();
    softhsm.init_token("inro-online", "12345678", pin).expect("a token");
    for id in ["11", "21"] {
        let mut command = Command::new("pkcs11-tool");
        command.arg("--module").arg(softhsm.module()).args(["--login", "--pin", pin, "--keypairgen"]);
        command.args(["--key-type", "EC:prime256v1", "--id", id]).envs(softhsm.environment());
        run(&mut command).expect("a key");
    }
    softhsm
}

/// Puts another token's files in the place of an HSM's.
fn exchange(rig: &Rig, with: &SoftHsm) {
    let place = rig.bank.path("hsm/second/tokens");
    fs::rename(&place, rig.bank.path("hsm/second/away")).expect("moved away");
    fs::rename(with.token_directory(), place).expect("moved in");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_with_other_keys_is_refused_at_the_start() {
    let mut rig = Rig::prepare(Settings::AT_ONCE, 2);
    exchange(&rig, &impostor(&rig, "impostor"));
    rig.bank.start_signer().expect("the signer");
    let status = rig.states([Ready, Down]).await;
    let trouble = status.tokens[1].trouble.clone().expect("a reason");
    assert!(trouble.contains("is not the one in its certificate"), "{trouble}");
    let log = fs::read_to_string(rig.bank.path("logs/signer.log")).expect("a log");
    assert!(log.contains("token=\"hsm-2\"") && log.contains("is not the one in its certificate"), "{log}");
    for _ in 0..10 {
        rig.ask(&rig.client()).await.expect("the other signs");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_comes_back_with_other_keys_is_not_taken_back() {
    let rig = Rig::start().await;
    rig.hsms[1].conduct(&Conduct::ABSENT).expect("taken out");
    rig.states([Ready, Down]).await;
    exchange(&rig, &impostor(&rig, "impostor"));
    rig.hsms[1].conduct(&Conduct::PLAIN).expect("put in");
    settled(
        "a refusal",
        async || rig.client().status().await.expect("status"),
        |status| {
            let trouble = status.tokens[1].trouble.as_ref();
            trouble.is_some_and(|trouble| trouble.contains("is not the one in its certificate"))
        },
    )
    .await;
    rig.ask(&rig.client()).await.expect("the other signs");
}

/// By its label it is one, by its serial number another, and neither file nor name tells that they are the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_configured_twice_is_logged_in_to_once() {
    let mut rig = Rig::prepare(Settings::AT_ONCE, 2);
    let shown = run(Command::new("pkcs11-tool")
        .arg("--module")
        .arg(softhsm_tests::softhsm::MODULE)
        .arg("--list-token-slots")
        .envs(rig.bank.signer_environment().clone()))
    .expect("listed");
    let online = shown.split("Slot ").find(|slot| slot.contains("inro-online")).expect("the online token");
    let serial = online.lines().find_map(|line| line.trim().strip_prefix("serial num")).expect("a line");
    let serial = serial.trim_start_matches([' ', ':']).trim().to_owned();
    rig.bank
        .reconfigure_signer(|table| {
            let tokens = table.get_mut("token").and_then(toml::Value::as_array_mut).expect("tokens");
            let mut same = tokens[0].clone();
            let second = same.as_table_mut().expect("a table");
            second.insert("name".to_owned(), "hsm-2".into());
            second.remove("label");
            second.insert("serial".to_owned(), serial.into());
            tokens[1] = same;
            Ok(())
        })
        .expect("configured");
    rig.bank.start_signer().expect("the signer");
    settled(
        "that it is told",
        async || rig.client().status().await.expect("status"),
        |status| {
            let trouble = |state| status.tokens.iter().find(|token| token.state == state)?.trouble.clone();
            let ready = status.tokens.iter().any(|token| token.state == Ready);
            ready && trouble(Down).is_some_and(|told| told.contains("the same token"))
        },
    )
    .await;
    assert_eq!(rig.hsms[0].logins().expect("kept"), 1, "a wrong PIN would have cost one try");
}

/// The second HSM hangs as well, but nobody waits any longer when it would be asked.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_whose_caller_was_told_to_ask_again_asks_no_further_token() {
    let rig = Rig::start().await;
    for hsm in &rig.hsms {
        hsm.fault(&Fault::hangs("C_Sign", None).times(1)).expect("done");
    }
    let hurried = rig.client().with_deadline(std::time::Duration::from_millis(600));
    rig.ask(&hurried).await.expect_err("both would hang");
    // The hanging worker is found out after a second; until then it counts as busy.
    let log = rig.bank.path("logs/signer.log");
    settled(
        "the restart of the worker",
        async || fs::read_to_string(&log).expect("a log"),
        |log| log.contains("the worker is restarted"),
    )
    .await;
    // Whoever asks now finds the other HSM's fault: it was not used up by the request that is over.
    let left = rig.hsms.iter().map(|hsm| hsm.status().expect("its status").faults.len()).sum::<usize>();
    assert_eq!(left, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_in_the_configuration_of_tokens_are_told() {
    let rig = Arc::new(Rig::prepare(Settings::AT_ONCE, 2));
    rig.bank
        .reconfigure_signer(|table| {
            let tokens = table.get_mut("token").and_then(toml::Value::as_array_mut).expect("tokens");
            let mut same = tokens[0].clone();
            same.as_table_mut().expect("a table").insert("name".to_owned(), "hsm-1".into());
            let nameless = tokens[1].as_table_mut().expect("a table");
            nameless.remove("name");
            tokens.push(same);
            // The same library by another name.
            let mut linked = tokens[0].clone();
            let module = linked["module"].as_str().expect("a path").to_owned();
            let link = rig.bank.path("signer/linked.so");
            std::os::unix::fs::symlink(module, &link).expect("a link");
            linked["module"] = link.display().to_string().into();
            linked.as_table_mut().expect("a table").insert("name".to_owned(), "hsm-3".into());
            tokens.push(linked);
            Ok(())
        })
        .expect("configured");
    let mut check = Command::new(softhsm_tests::binaries::find("inro-hsm").expect("built"));
    check.args(["signer", "--check", "--config"]).arg(rig.bank.path("signer.toml"));
    let output = softhsm_tests::process::output_of(&mut check, b"").expect("ran");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    for mistake in
        ["each [[token]] needs a name", "is there twice", "are the same token", "token \"hsm-3\" and token"]
    {
        assert!(text.contains(mistake), "{mistake} isn't told: {text}");
    }
}

#[test]
fn the_authority_shows_each_token_in_its_metrics() {
    let scratch = Scratch::new("failover").expect("scratch");
    let mut bank = Bank::prepare(scratch.path(), &Options::default()).expect("a bank");
    bank.hold_ceremony().expect("the ceremony");
    let [first, _second] = SimulatedHsm::two_in_front_of(&bank, Settings::AT_ONCE, 2).expect("two HSMs");
    bank.migrate().expect("a ledger");
    bank.start_signer().expect("a signer");
    bank.start_authority().expect("an authority");
    let ops = bank.urls().ops;
    let shows = |wanted: [u8; 2]| {
        let sample = |number: usize| {
            let labels = format!("issuer=\"customer\",token=\"hsm-{}\"", number + 1);
            format!("inro_signer_token_ready{{{labels}}} {}.0", wanted[number])
        };
        let look = || {
            // Whoever asks for readiness has the signer looked at.
            let ready = fetch(&format!("{ops}/readyz")).expect("an answer").status;
            let metrics = fetch(&format!("{ops}/metrics")).expect("metrics").text();
            let tokens = metrics.lines().filter(|line| line.starts_with("inro_signer_token_ready"));
            (ready, tokens.map(ToOwned::to_owned).collect::<Vec<_>>())
        };
        let as_wanted = |tokens: &[String]| [0, 1].iter().all(|number| tokens.contains(&sample(*number)));
        until(&format!("{wanted:?}"), look, |(_, tokens)| as_wanted(tokens)).0
    };
    assert_eq!(shows([1, 1]), 200);
    first.conduct(&Conduct::ABSENT).expect("taken out");
    first.end_sessions().expect("gone");
    assert_eq!(shows([0, 1]), 200, "one of two is enough");
    first.conduct(&Conduct::PLAIN).expect("put in");
    assert_eq!(shows([1, 1]), 200);
}
