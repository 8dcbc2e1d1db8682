//! Keys on a second token: copied, proven there, and brought back after the first was lost.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use softhsm_tests::hsm::Kind;

use super::rig::{Setting, verified};

fn wrappable(algorithm: &str) -> Setting {
    let setting = Setting::new();
    let from = "id = \"11\"\nalgorithm = \"p256\"";
    setting.edit(from, &format!("id = \"11\"\nalgorithm = \"{algorithm}\"\nbackup = \"wrap\""));
    setting.hold_into_pki();
    setting
}

/// Whether this module's officers can trust keys, as its profile says.
fn confines(setting: &Setting) -> bool {
    setting.kind == Kind::SoftHsm
}

fn copied_and_back(algorithm: &str) {
    let setting = wrappable(algorithm);
    let (there, back) = (setting.example("ceremony-backup"), setting.example("ceremony-restore"));
    let line = format!("algorithm = \"{algorithm}\"");
    for spec in [&there, &back] {
        spec.edit("algorithm = \"p256\"", &line);
    }
    let out = there.holds(&[]);
    let said = fs::read_to_string(out.join("transcript.txt")).expect("transcript");
    assert!(said.contains("proven by a signature of the key on token backup"), "{said}");
    assert!(
        said.contains("came to this token encrypted") && said.contains("C_WrapKey"),
        "what it means is said: {said}"
    );
    let unconfined = "CKA_WRAP_WITH_TRUSTED is not set";
    assert_eq!(said.contains(unconfined), !confines(&setting), "{said}");
    assert_eq!(
        said.contains("for keys alone that the security officer trusts"),
        confines(&setting),
        "{said}"
    );

    // The first token is lost.
    for entry in fs::read_dir(setting.online.token_directory()).expect("store") {
        let path = entry.expect("entry").path();
        let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.expect("lost");
    }
    let out = back.holds(&[]);
    let said = fs::read_to_string(out.join("transcript.txt")).expect("transcript");
    assert!(said.contains("proven by a signature of the key on token online"), "{said}");
    verified(&out);
}

#[test]
fn an_elliptic_key_is_copied_and_comes_back() {
    copied_and_back("p256");
}

#[test]
fn an_rsa_key_is_copied_and_comes_back() {
    copied_and_back("rsa3072");
}

#[test]
fn without_the_security_officer_a_confined_key_stays() {
    let setting = wrappable("p256");
    let spec = setting.example("ceremony-backup");
    let officer = format!("so_pin_file = \"{}\"\n", setting.scratch.join("online/so-pin").display());
    spec.edit(&officer, "");
    let planned = spec.does("plan", &[]);
    if !confines(&setting) {
        planned.expect(0);
        spec.holds(&[]);
        return;
    }
    let told = planned.expect(4);
    assert!(told.stdout.contains("give the token's so_pin_file"), "{}\n{}", told.stdout, told.stderr);
    spec.hold(&[]).expect(4);
    assert!(!spec.out().exists(), "nothing was begun");
    // Another PIN than the officer's: one try, nothing left behind, and it goes on with the right one.
    let wrong = setting.scratch.write("wrong-so-pin", "not-the-officers\n").expect("written");
    fs::set_permissions(&wrong, Permissions::from_mode(0o600)).expect("mode");
    let line = "initialise = false\n";
    spec.edit(line, &format!("{line}so_pin_file = \"{}\"\n", wrong.display()));
    let stopped = spec.hold(&[]).expect(1);
    assert!(stopped.stderr.contains("the security officer's PIN: C_Login failed"), "{}", stopped.stderr);
    fs::write(&wrong, "officer-of-the-online\n").expect("written");
    let out = spec.out().display().to_string();
    spec.does("run", &["--resume", "--out", &out]).expect(0);
    verified(&spec.out());
}

#[test]
fn an_officers_pin_that_nothing_needs_is_a_mistake() {
    let setting = Setting::established();
    let spec = setting.example("ceremony-root-crl");
    let line = "initialise = false\n";
    spec.edit(line, &format!("{line}so_pin_file = \"root/so-pin\"\n"));
    let told = spec.does("lint", &[]).expect(3).stderr;
    assert!(told.contains("so_pin_file: has no use on a token that isn't initialised"), "{told}");
}

#[test]
fn a_key_that_can_never_leave_is_refused_and_leaves_nothing_behind() {
    let setting = Setting::established();
    let spec = setting.example("ceremony-backup");
    let stopped = spec.hold(&[]).expect(1);
    assert!(stopped.stderr.contains("it can never leave its token"), "{}", stopped.stderr);
    assert_eq!(stopped.json()["result"], "incomplete");
    let out = spec.out().display().to_string();
    spec.does("rollback", &["--out", &out]).expect(0);
    assert!(!spec.out().exists());
    let again = spec.hold(&[]).expect(1);
    assert!(
        again.stderr.contains("it can never leave its token"),
        "the emptied token was taken: {}",
        again.stderr
    );
}

#[test]
fn a_key_that_is_made_never_to_leave_is_not_copied_by_a_specification() {
    let setting = Setting::new();
    let text = fs::read_to_string(&setting.spec).expect("specification");
    let backup = "\n[[token]]\nname = \"backup\"\nmodule = \"/usr/lib/softhsm/libsofthsm2.so\"\nenvironment = { SOFTHSM2_CONF = \"/etc/inro/backup/softhsm2.conf\" }\nlabel = \"inro-backup\"\npin_file = \"/etc/inro/backup/pin\"\nso_pin_file = \"/etc/inro/backup/so-pin\"\n\n[[copy]]\nkey = \"customer-issuing\"\nto = \"backup\"\n";
    let spec = setting.write("copying", &format!("{text}{backup}"));
    let told = spec.does("lint", &[]).expect(3).stderr;
    assert!(told.contains("copy[1].key: names a key that can never leave its token"), "{told}");
    spec.edit("id = \"11\"\n", "id = \"11\"\nbackup = \"wrap\"\n");
    spec.holds(&[]);
}
