//! A set from its plan to the token, and what happens when custodians change or the machine dies half-way.

use std::{fs, os::unix::fs::PermissionsExt, process::Command};

use serde_json::Value;
use softhsm_tests::process::{output_of, run};

use crate::rig::{OLD_PIN, OLD_SO_PIN, Rig, files_below, mode, takes};

const THREE: [&str; 3] = ["alice", "bob", "carol"];

#[test]
fn a_pin_is_made_proven_and_put_on_the_token_and_nobody_has_seen_it() {
    let (rig, hsm) = Rig::with_token();
    let plan = rig.plan("vault-pin", "user", &hsm, "vault", &THREE).display().to_string();
    let files = rig.passphrases(&THREE);
    let mut create = vec!["create", "set", "--plan", &plan, "--json"];
    create.extend(files.iter().map(String::as_str));
    let made = rig.custody(&create).needs_more().json();
    assert_eq!(made["next"]["unproven"], serde_json::json!(THREE));
    assert_eq!(made["current"], Value::Null);
    assert_eq!((mode(&rig.path("set")), mode(&rig.path("set/generation-1/alice.pem"))), (0o700, 0o600));

    // Before everybody has proven theirs, the token keeps its PIN.
    rig.with(&["prove", "set"], &["alice", "bob"]).needs_more();
    rig.secret("present", OLD_PIN);
    let switch = ["switch", "set", "--present-pin-file", "present"];
    rig.with(&switch, &["alice", "bob"]).failed("isn't proven: carol must open theirs first");
    assert!(takes(&hsm, "vault", false, OLD_PIN));
    rig.with(&["prove", "set"], &["carol"]).done();
    rig.with(&switch, &["alice", "carol"]).done();
    assert!(!takes(&hsm, "vault", false, OLD_PIN));
    rig.with(&["open-check", "set"], &["bob", "carol"]).done();
    let pin = rig.look_inside("set", &["alice", "bob"]);
    assert_eq!(pin.len(), 20);
    assert!(takes(&hsm, "vault", false, &pin));

    for (path, text) in files_below(&rig.path("set")) {
        assert!(!text.contains(&pin), "{}", path.display());
    }
    rig.custody(&["create", "set", "--plan", &plan]).failed("exists and isn't empty");
}

#[test]
fn fewer_custodians_than_it_takes_are_told_how_many_are_missing() {
    let (rig, hsm) = Rig::with_token();
    let plan = rig.plan("vault-pin", "user", &hsm, "vault", &THREE);
    rig.proven_set("set", &plan, &THREE);
    rig.secret("present", OLD_PIN);
    let switch = ["switch", "set", "--present-pin-file", "present"];
    rig.with(&switch, &["bob"]).failed("1 of 2 custodians opened their shares");
    // One of them mistypes: it is said who, and no login was tried.
    rig.with(&switch, &["alice", "bob"]).done();
    let files = rig.passphrases(&["alice", "bob"]);
    rig.secret("bob.passphrase", "another kettle altogether");
    let mut check = vec!["open-check", "set", "--custodian", "alice", "--custodian", "bob"];
    check.extend(files.iter().map(String::as_str));
    let told = rig.custody(&check).failed("1 of 2 custodians");
    assert!(told.errors.contains("custodian \"bob\" didn't open their share"), "{}", told.errors);
    rig.with(&["open-check", "set"], &["mallory", "alice"])
        .failed("\"mallory\" is no custodian of generation 1");
}

#[test]
fn weak_passphrases_and_open_files_make_no_set() {
    let (rig, hsm) = Rig::with_token();
    let plan = rig.plan("vault-pin", "user", &hsm, "vault", &THREE).display().to_string();
    let files = rig.passphrases(&THREE);
    let mut create = vec!["create", "set", "--plan", &plan];
    create.extend(files.iter().map(String::as_str));
    rig.secret("bob.passphrase", "too short");
    rig.custody(&create).failed("a passphrase has at least 16 characters");
    assert!(!rig.path("set").exists());
    rig.passphrases(&THREE);
    fs::set_permissions(rig.path("bob.passphrase"), fs::Permissions::from_mode(0o644)).expect("mode set");
    rig.custody(&create).failed("chmod 600");
    assert!(!rig.path("set").exists());
}

#[test]
fn when_a_custodian_leaves_their_share_is_worth_nothing() {
    let (rig, hsm) = Rig::with_token();
    let plan = rig.plan("vault-pin", "user", &hsm, "vault", &THREE);
    rig.proven_set("set", &plan, &THREE);
    rig.secret("present", OLD_PIN);
    rig.with(&["switch", "set", "--present-pin-file", "present"], &["alice", "bob"]).done();
    let first_pin = rig.look_inside("set", &["alice", "bob"]);
    // Carol takes a copy of everything with her.
    run(Command::new("cp").arg("-a").arg(rig.path("set")).arg(rig.path("carols"))).expect("copied");

    let four = ["alice", "bob", "dave"];
    let plan = rig.plan("vault-pin", "user", &hsm, "vault", &four).display().to_string();
    let files = rig.passphrases(&four);
    let mut resplit = vec!["resplit", "set", "--plan", &plan];
    resplit.extend(files.iter().map(String::as_str));
    rig.custody(&resplit).needs_more();
    // Until the switch the first generation is in force.
    rig.with(&["open-check", "set"], &["carol", "bob"]).done();
    assert!(takes(&hsm, "vault", false, &first_pin));
    rig.with(&["prove", "set"], &four).done();
    // Alice and Bob open both generations; who only has an old share is named in neither.
    rig.with(&["switch", "set"], &["alice", "bob"]).done();
    assert!(!takes(&hsm, "vault", false, &first_pin));
    assert!(takes(&hsm, "vault", false, &rig.look_inside("set", &["dave", "alice"])));
    assert!(!rig.path("set/generation-1").exists());

    let carols = rig.path("carols/generation-1");
    rig.with(&["open-check", "set"], &["carol", "alice"]).failed("\"carol\" is no custodian of generation 2");
    fs::copy(carols.join("alice.pem"), rig.path("set/generation-2/alice.pem")).expect("copied");
    let told = rig.with(&["open-check", "set"], &["alice", "bob"]).failed("1 of 2");
    assert!(
        told.errors
            .contains("the share of custodian \"alice\" belongs to generation 1, this set is generation 2"),
        "{}",
        told.errors
    );
    // What an old share still means: with enough others of its generation, the PIN that old backups have.
    assert_eq!(rig.look_inside("carols", &["carol", "bob"]), first_pin);
    let shown = rig.custody(&["show", "set", "--json"]).done().json();
    assert_eq!(shown["past"][0]["custodians"], serde_json::json!(THREE));
}

#[test]
fn a_switch_that_was_interrupted_is_finished_wherever_it_was() {
    for done_at_the_token in [false, true] {
        let (rig, hsm) = Rig::with_token();
        let plan = rig.plan("vault-pin", "user", &hsm, "vault", &THREE);
        rig.proven_set("set", &plan, &THREE);
        rig.secret("present", OLD_PIN);
        let switch = ["switch", "set", "--present-pin-file", "present"];
        if done_at_the_token {
            // The machine died after the token changed its PIN, before that was written down.
            run(Command::new("cp").arg("-a").arg(rig.path("set")).arg(rig.path("before"))).expect("copied");
            rig.with(&switch, &["alice", "bob"]).done();
            fs::remove_dir_all(rig.path("set")).expect("removed");
            fs::rename(rig.path("before"), rig.path("set")).expect("renamed");
        }
        let file = rig.path("set/set.json");
        let text = fs::read_to_string(&file).expect("set.json");
        fs::write(&file, text.replace("\"switching\": false", "\"switching\": true")).expect("written");
        let plan = plan.display().to_string();
        rig.custody(&["resplit", "set", "--plan", &plan]).failed("finish that first");
        rig.with(&switch, &["carol", "bob"]).done();
        assert!(takes(&hsm, "vault", false, &rig.look_inside("set", &THREE[..2])), "{done_at_the_token}");
        assert!(!takes(&hsm, "vault", false, OLD_PIN));
    }
}

#[test]
fn a_token_that_refuses_the_present_pin_is_tried_once_and_keeps_it() {
    let (rig, hsm) = Rig::with_token();
    let plan = rig.plan("vault-pin", "user", &hsm, "vault", &THREE);
    rig.proven_set("set", &plan, &THREE);
    rig.secret("present", "not the PIN");
    let switch = ["switch", "set", "--present-pin-file", "present"];
    rig.with(&switch, &["alice", "bob"]).failed("was not changed").failed("CKR_PIN_INCORRECT");
    rig.secret("present", OLD_PIN);
    rig.with(&switch, &["alice", "bob"]).done();
    assert!(!takes(&hsm, "vault", false, OLD_PIN));
}

#[test]
fn the_officers_pin_is_guarded_as_well() {
    let (rig, hsm) = Rig::with_token();
    let plan = rig.plan("vault-so-pin", "so", &hsm, "vault", &THREE);
    rig.proven_set("so", &plan, &THREE);
    rig.secret("present", OLD_SO_PIN);
    rig.with(&["switch", "so", "--present-pin-file", "present"], &["alice", "bob"]).done();
    assert!(takes(&hsm, "vault", true, &rig.look_inside("so", &["bob", "carol"])));
    assert!(!takes(&hsm, "vault", true, OLD_SO_PIN));
    assert!(takes(&hsm, "vault", false, OLD_PIN), "the user's PIN is another set's");
    let user = rig.plan("vault-pin", "user", &hsm, "vault", &THREE).display().to_string();
    rig.custody(&["resplit", "so", "--plan", &user]).failed("a set keeps one PIN of one token for ever");
}

#[test]
fn a_user_pin_that_too_few_can_open_is_set_anew_by_the_officers_custodians() {
    let (rig, hsm) = Rig::with_token();
    rig.secret("present", OLD_PIN);
    rig.secret("so-present", OLD_SO_PIN);
    let officers = ["olga", "otto", "ove"];
    let so_plan = rig.plan("vault-so-pin", "so", &hsm, "vault", &officers);
    rig.proven_set("so", &so_plan, &officers);
    rig.with(&["switch", "so", "--present-pin-file", "so-present"], &["olga", "otto"]).done();
    let plan = rig.plan("vault-pin", "user", &hsm, "vault", &THREE);
    rig.proven_set("set", &plan, &THREE);
    rig.with(&["switch", "set", "--present-pin-file", "present"], &["alice", "bob"]).done();
    let lost = rig.look_inside("set", &["alice", "bob"]);

    // Two of three are gone. New custodians are named; those of the SO PIN put their generation on the token.
    let new = ["carol", "dave", "erin"];
    let plan = rig.plan("vault-pin", "user", &hsm, "vault", &new).display().to_string();
    let files = rig.passphrases(&new);
    let mut resplit = vec!["resplit", "set", "--plan", &plan];
    resplit.extend(files.iter().map(String::as_str));
    rig.custody(&resplit).needs_more();
    rig.with(&["prove", "set"], &new).done();
    rig.with(&["switch", "set"], &["carol", "dave"]).failed("1 of 2 custodians opened their shares");
    let officers_files = rig.passphrases(&["otto", "ove"]);
    let mut switch =
        vec!["switch", "set", "--officer", "so", "--officer-custodian", "otto", "--officer-custodian", "ove"];
    switch.extend(officers_files.iter().map(String::as_str));
    rig.with(&switch, &["carol", "dave"]).done();
    assert!(!takes(&hsm, "vault", false, &lost));
    assert!(takes(&hsm, "vault", false, &rig.look_inside("set", &["erin", "dave"])));
    let not_officers = ["switch", "so", "--officer", "set"];
    rig.with(&not_officers, &["olga", "otto"]).failed("not an SO PIN");
}

/// Writes this in the place of that into the set's `set.json`.
fn tamper(rig: &Rig, from: &str, to: &str) {
    let file = rig.path("set/set.json");
    let text = fs::read_to_string(&file).expect("set.json");
    assert!(text.contains(from), "{from} in {text}");
    fs::write(file, text.replace(from, to)).expect("written");
}

#[test]
fn a_module_that_somebody_wrote_into_the_set_is_never_loaded() {
    let (rig, hsm) = Rig::with_token();
    let plan = rig.plan("vault-pin", "user", &hsm, "vault", &THREE);
    rig.proven_set("set", &plan, &THREE);
    rig.secret("present", OLD_PIN);
    let switch = ["switch", "set", "--present-pin-file", "present"];
    let (module, evil) = (hsm.module().display().to_string(), rig.path("evil.so").display().to_string());
    // Were it loaded, it would say so: it isn't there.
    tamper(&rig, &module, &evil);
    let told = rig.with(&switch, &["alice", "bob"]).failed("was changed after it was made");
    assert!(!told.errors.contains("evil.so"), "{}", told.errors);
    tamper(&rig, &evil, &module);
    rig.with(&switch, &["alice", "bob"]).done();

    // A generation of another module's is put on the token by nobody who only has the set.
    std::os::unix::fs::symlink(hsm.module(), rig.path("updated.so")).expect("linked");
    let text = fs::read_to_string(&plan).expect("the plan");
    let updated = rig.path("updated.so").display().to_string();
    fs::write(&plan, text.replace(&module, &updated)).expect("written");
    let plan = plan.display().to_string();
    let files = rig.passphrases(&THREE);
    let mut resplit = vec!["resplit", "set", "--plan", &plan];
    resplit.extend(files.iter().map(String::as_str));
    rig.custody(&resplit).needs_more();
    rig.with(&["open-check", "set"], &["alice", "bob"]).done();
    rig.with(&["prove", "set"], &THREE).done();
    let told = rig.with(&["switch", "set"], &["alice", "bob"]).failed("the generation in force has");
    assert!(told.errors.contains(&updated) && told.errors.contains("--plan"), "{}", told.errors);
    rig.with(&["switch", "set", "--plan", &plan], &["alice", "bob"]).done();
    assert!(takes(&hsm, "vault", false, &rig.look_inside("set", &["carol", "bob"])));
}

#[test]
fn a_set_that_belongs_to_another_or_is_older_than_its_shares_is_told_and_kept() {
    let (rig, hsm) = Rig::with_token();
    let plan = rig.plan("vault-pin", "user", &hsm, "vault", &THREE);
    rig.proven_set("set", &plan, &THREE);
    rig.secret("present", OLD_PIN);
    rig.with(&["switch", "set", "--present-pin-file", "present"], &["alice", "bob"]).done();
    run(Command::new("chmod").args(["g+w", "set"]).current_dir(rig.scratch.path())).expect("changed");
    rig.with(&["open-check", "set"], &["alice", "bob"]).failed("run `chmod -R go-w set`");
    run(Command::new("chmod").args(["-R", "go-w", "set"]).current_dir(rig.scratch.path())).expect("changed");

    run(Command::new("cp").arg("-a").arg(rig.path("set/set.json")).arg(rig.path("copy"))).expect("copied");
    let plan = plan.display().to_string();
    let files = rig.passphrases(&THREE);
    let mut resplit = vec!["resplit", "set", "--plan", &plan];
    resplit.extend(files.iter().map(String::as_str));
    rig.custody(&resplit).needs_more();
    rig.with(&["prove", "set"], &THREE).done();
    rig.with(&["switch", "set"], &["alice", "bob"]).done();
    fs::rename(rig.path("set/set.json"), rig.path("newest")).expect("moved");
    fs::rename(rig.path("copy"), rig.path("set/set.json")).expect("an old copy");
    rig.with(&["open-check", "set"], &["alice", "bob"]).failed("set/generation-2\" is newer than set.json");
    rig.custody(&resplit).failed("restore the newest copy");
    fs::rename(rig.path("newest"), rig.path("set/set.json")).expect("the newest");
    rig.with(&["open-check", "set"], &["alice", "bob"]).done();
}

#[test]
fn the_so_pin_of_another_token_is_tried_nowhere() {
    let (rig, hsm) = Rig::with_token();
    let plan = rig.plan("vault-pin", "user", &hsm, "vault", &THREE);
    rig.proven_set("set", &plan, &THREE);
    let plan = rig.plan("other-so-pin", "so", &hsm, "other", &THREE);
    hsm.init_token("other", OLD_SO_PIN, OLD_PIN).expect("initialised");
    rig.proven_set("so", &plan, &THREE);
    rig.with(&["switch", "set", "--officer", "so"], &["alice", "bob"])
        .failed("so keeps the SO PIN of the token with label \"other\"");
}

#[test]
fn no_secret_is_an_argument_or_in_the_log() {
    let (rig, hsm) = Rig::with_token();
    let plan = rig.plan("vault-pin", "user", &hsm, "vault", &THREE);
    rig.proven_set("set", &plan, &THREE);
    rig.secret("present", OLD_PIN);
    let files = rig.passphrases(&["alice", "bob"]);
    let mut switch =
        vec!["switch", "set", "--present-pin-file", "present", "--custodian", "alice", "--custodian", "bob"];
    switch.extend(files.iter().map(String::as_str));
    let mut command = Command::new(softhsm_tests::binaries::find("inro-hsm").expect("inro-hsm"));
    command.arg("custody").args(&switch).current_dir(rig.scratch.path()).env("RUST_LOG", "trace");
    let output = output_of(&mut command, b"").expect("ran");
    assert!(output.status.success());
    let told = [output.stdout, output.stderr].concat();
    let told = String::from_utf8_lossy(&told);
    let pin = rig.look_inside("set", &["alice", "bob"]);
    for secret in [pin.as_str(), OLD_PIN, "kettle"] {
        assert!(!told.contains(secret), "{secret} in {told}");
    }
}
