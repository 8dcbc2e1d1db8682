//! Vendor profiles as an operator meets them, and a vendor that nobody here has heard of.

use std::{fs, process::Command};

use softhsm_tests::{binaries, hsm::Kind, process::Process, scratch::Scratch};

use crate::rig::{DEADLINE, Findings, Rig, inro_hsm};

/// A vendor that sells SoftHSM under another name.
const ACME: &str = r#"
name = "acme"
product = "Acme Vault 3000"
evidence = "documents"
sources = ["https://acme.example/manual.pdf"]

[module]
paths = ["/opt/acme/lib/libacme.so"]

[sessions]
read_only = false
most = 3
idle_seconds = 45
recovery = "finalize"

[pin]
shortest = 20
tries = 5

[token]
initialise = false
initialise_with = "acmectl init"

[keys]
algorithms = ["p256"]
longest_id = 1

[mechanisms]
hash = "token"
shown = ["CKM_ECDSA", "CKM_ACME_SPECIAL"]

[remedies]
CKM_ACME_SPECIAL = "switch it on with acmectl"
"#;

#[test]
fn what_comes_with_the_program_is_listed_and_shown_with_its_sources() {
    let listed = inro_hsm(&["vendors", "list", "--json"], &[]).expect(0).json();
    let names: Vec<&str> =
        listed.as_array().expect("a list").iter().map(|p| p["name"].as_str().expect("a name")).collect();
    assert_eq!(names, ["aws-cloudhsm", "entrust-nshield", "kryoptic", "softhsm2", "thales-luna", "yubihsm2"]);
    let shown = inro_hsm(&["vendors", "show", "yubihsm2"], &[]).expect(0);
    for told in
        ["untested here", "16", "ends after 30 s", "4 hexadecimal digits", "yubihsm-shell", "https://"]
    {
        assert!(shown.stdout.contains(told), "{told}: {}", shown.stdout);
    }
    let json = inro_hsm(&["vendors", "show", "aws-cloudhsm", "--json"], &[]).expect(0).json();
    assert_eq!(json["sessions"]["read_only"], false);
    let unknown = inro_hsm(&["vendors", "show", "nobody"], &[]).expect(1);
    assert!(
        unknown.stderr.contains("softhsm2") && unknown.stderr.contains("INRO_HSM_VENDORS"),
        "{}",
        unknown.stderr
    );
}

#[test]
fn a_profile_with_mistakes_is_told_all_of_them() {
    let scratch = Scratch::new("profile").expect("scratch");
    let wrong = ACME
        .replace("most = 3", "most = 1")
        .replace("\"CKM_ECDSA\"", "\"ECDSA\"")
        .replace("sources = [\"https://acme.example/manual.pdf\"]", "")
        .replace("initialise_with = \"acmectl init\"", "");
    let file = scratch.write("acme.toml", wrong).expect("written").display().to_string();
    let checked = inro_hsm(&["vendors", "check", &file], &[]).expect(1);
    for told in ["4 mistake(s)", "sessions.most", "mechanisms.shown", "sources", "token.initialise_with"] {
        assert!(checked.stderr.contains(told), "{told}: {}", checked.stderr);
    }
    let file = scratch.write("acme.toml", ACME.replace("tries = 5", "attempts = 5")).expect("written");
    let checked = inro_hsm(&["vendors", "check", &file.display().to_string()], &[]).expect(1);
    assert!(checked.stderr.contains("attempts") && checked.stderr.contains("tries"), "{}", checked.stderr);
    let file = scratch.write("acme.toml", ACME).expect("written").display().to_string();
    assert!(inro_hsm(&["vendors", "check", &file], &[]).expect(0).stdout.contains("no mistakes"));
}

/// From doctor to a signer that signs, with a file and without a line of Rust.
#[test]
fn an_operators_own_vendor_works_from_the_doctor_to_the_signer() {
    let mut rig = Rig::prepare(Kind::SoftHsm);
    fs::create_dir(rig.bank.path("profiles")).expect("folder");
    let own =
        ACME.replace("shortest = 20", "shortest = 4").replace("\"CKM_ACME_SPECIAL\"", "\"CKM_RSA_PKCS\"");
    fs::write(rig.bank.path("profiles/acme.toml"), own).expect("written");
    let folder = rig.bank.path("profiles").display().to_string();
    let listed = inro_hsm(&["vendors", "list"], &[("INRO_HSM_VENDORS", &folder)]).expect(0);
    assert!(listed.stdout.contains("Acme Vault 3000"), "{}", listed.stdout);

    // Before there is a configuration.
    let (module, environment) = (rig.module().display().to_string(), rig.environment());
    let pin_file = rig.bank.secret("online-pin").display().to_string();
    let arguments = ["doctor", "--json", "--module", &module, "--vendor", "acme", "--env", &environment];
    let with_token = [&arguments[..], &["--label", "inro-online", "--pin-file", &pin_file]].concat();
    let finished = inro_hsm(&with_token, &[("INRO_HSM_VENDORS", &folder)]);
    let findings = Findings::of(&finished.json());
    findings.has("vendor", "note", "Acme Vault 3000").has("idle", "note", "45 s").has(
        "login",
        "fine",
        "took the PIN",
    );
    // Four lanes and the login are more than this vendor's three sessions, SoftHSM itself telling none.
    findings.has("sessions", "error", "allows 3 sessions");

    // The ceremony knows that this vendor's tokens aren't initialised through PKCS#11, and what they take.
    let spec = fs::read_to_string(rig.bank.path("ceremony.toml")).expect("the specification");
    let spec = spec.replace("vendor = \"softhsm2\"", "vendor = \"acme\"").replace("\"p384\"", "\"rsa3072\"");
    let spec_file = rig
        .scratch
        .write("acme-ceremony.toml", spec.replace("id = \"11\"", "id = \"1111\""))
        .expect("written");
    let lint = ["ceremony", "lint", &spec_file.display().to_string()];
    let lint = inro_hsm(&lint, &[("INRO_HSM_VENDORS", &folder)]).expect(3);
    for told in ["acmectl init", "key.root.algorithm", "key.customer-issuing.id"] {
        assert!(lint.stderr.contains(told), "{told}: {}", lint.stderr);
    }

    // The signer takes the profile by its path, opens sessions for writing, and signs.
    let path = rig.bank.path("profiles/acme.toml").display().to_string();
    rig.edit("vendor = \"softhsm2\"", &format!("vendor = {path:?}\nlanes = 2"));
    rig.bank.start_signer().expect("the signer");
    let measured = inro_hsm(
        &["bench", "--config", &rig.config(), "--signer-only", "--seconds", "0.1", "--lanes", "1", "--json"],
        &[],
    )
    .expect(0)
    .json();
    assert!(measured["figures"][0]["signatures"].as_u64().expect("a number") > 0, "{measured:#}");
    let ended = rig.bank.signer.as_mut().expect("runs").terminate(DEADLINE).expect("ended");
    assert!(ended.success(), "{ended}");

    rig.edit(&path, "/nowhere/acme.toml");
    let refused = inro_hsm(&["signer", "--check", "--config", &rig.config()], &[]).expect(1);
    assert!(refused.stderr.contains("/nowhere/acme.toml"), "{}", refused.stderr);
}

#[test]
fn a_pin_that_the_vendor_would_refuse_is_never_given() {
    let rig = Rig::prepare(Kind::SoftHsm);
    let profile = ACME.replace("CKM_ACME_SPECIAL\"]", "CKM_RSA_PKCS\"]");
    let path = rig.scratch.write("acme.toml", profile).expect("written").display().to_string();
    rig.edit("vendor = \"softhsm2\"", &format!("vendor = {path:?}\nlanes = 2"));
    // The PIN has 16 bytes, this vendor's have 20 at least.
    let findings = rig.doctor(2);
    findings.has("pin", "error", "has not 20 to 255 bytes").nothing_but(&["error"], &["pin"]);
    assert!(findings.of_check("login", "fine").is_empty());
    let mut command = Command::new(binaries::find("inro-hsm").expect("inro-hsm"));
    command.arg("signer").arg("--config").arg(rig.config());
    let mut signer = Process::spawn("signer", &mut command, &rig.bank.path("logs")).expect("started");
    signer.wait_for_log("so it wasn't given", DEADLINE).expect("told");
    let shown = inro_hsm(&["latch", "show", "--config", &rig.config()], &[]).expect(0);
    assert!(shown.stdout.contains("not set"), "{}", shown.stdout);
}
