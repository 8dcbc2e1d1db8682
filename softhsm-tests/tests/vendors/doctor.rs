//! The doctor on good and on broken set-ups. It finds, it remedies in words, and it spends no try of a PIN.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, SubjectPublicKeyInfo,
};
use softhsm_tests::hsm::Kind;

use crate::rig::{DEADLINE, Findings, Rig, inro_hsm};

/// What depends on the machine that the test runs on.
const MACHINE: [&str; 2] = ["clock", "disk"];

fn on_a_good_token(kind: Kind) {
    let mut rig = Rig::prepare(kind);
    let run = |rig: &Rig| {
        let finished = inro_hsm(&["doctor", "--json", "--config", &rig.config()], &[]);
        assert!(matches!(finished.code, Some(0 | 1)), "{}\n{}", finished.stdout, finished.stderr);
        (finished.json(), Findings::of(&finished.json()))
    };
    let (json, findings) = run(&rig);
    findings.nothing_but(&["warning", "error"], &MACHINE);
    let report = &json["reports"][0];
    assert_eq!(report["vendor"], kind.vendor());
    assert_eq!(report["token"]["label"], "inro-online");
    for label in ["customer-issuing", "customer-ocsp"] {
        for check in ["key", "protection", "certificate", "signature", "latency"] {
            let found = findings.of_check(check, "fine");
            assert!(found.iter().any(|finding| finding["about"] == label), "{check} of {label}: {found:#?}");
        }
    }
    findings
        .has("vendor", "fine", "tested with Inro")
        .has("module", "fine", "PKCS#11")
        .has("random", "fine", "look random")
        .has("latch", "fine", "not set")
        .has("backup", "note", "to a second HSM");
    // The profile of a tested vendor says what its token says.
    let differs: Vec<_> = findings.of_check("key", "note");
    assert!(differs.is_empty(), "{differs:#?}");

    // Beside the running signer, whose login and journal it leaves alone.
    rig.bank.start_signer().expect("the signer");
    let journal = fs::read(rig.bank.path("signer/journal")).expect("the journal");
    let (_, findings) = run(&rig);
    findings.nothing_but(&["warning", "error"], &MACHINE).has("files", "fine", "the socket's mode");
    assert_eq!(fs::read(rig.bank.path("signer/journal")).expect("the journal"), journal);
    let ended = rig.bank.signer.as_mut().expect("runs").terminate(DEADLINE).expect("ended");
    assert!(ended.success(), "{ended}");
}

#[test]
fn nothing_is_wrong_with_softhsm_after_a_ceremony() {
    on_a_good_token(Kind::SoftHsm);
}

#[test]
fn nothing_is_wrong_with_kryoptic_after_a_ceremony() {
    on_a_good_token(Kind::Kryoptic);
}

#[test]
fn people_read_the_same_findings_and_remedies() {
    let rig = Rig::prepare(Kind::SoftHsm);
    rig.edit("id = \"21\"", "id = \"22\"");
    let finished = inro_hsm(&["doctor", "--config", &rig.config()], &[]).expect(2);
    for told in [
        "ERROR",
        "customer-ocsp",
        "is not the one in its certificate",
        "-> correct id or certificate",
        "1 error(s)",
    ] {
        assert!(finished.stdout.contains(told), "{told}: {}", finished.stdout);
    }
}

#[test]
fn a_key_that_is_anothers_or_not_there_is_told() {
    let rig = Rig::prepare(Kind::SoftHsm);
    rig.edit("id = \"11\"", "id = \"12\"").edit("id = \"21\"", "id = \"99\"");
    let findings = rig.doctor(2);
    findings
        .has("key", "error", "is not the one in its certificate")
        .has("key", "error", "no key pair with CKA_ID 99")
        .nothing_but(&["error"], &["key"]);
}

#[test]
fn a_key_that_can_leave_its_token_is_told() {
    let rig = Rig::prepare(Kind::SoftHsm);
    rig.tool(&[
        "--keypairgen",
        "--key-type",
        "EC:prime256v1",
        "--id",
        "31",
        "--label",
        "loose",
        "--extractable",
    ]);
    let file = rig.scratch.join("loose.der").display().to_string();
    rig.tool(&["--read-object", "--type", "pubkey", "--id", "31", "--output-file", &file]);
    let public =
        SubjectPublicKeyInfo::from_der(&fs::read(&file).expect("a public key")).expect("a public key");
    rig.scratch.write("loose.pem", issuing_certificate(&public)).expect("written");
    let text = fs::read_to_string(rig.config()).expect("signer.toml");
    let (before, _) = text.split_once("[[key]]").expect("keys");
    let key = "[[key]]\nrole = \"issuing\"\nlabel = \"customer-issuing\"\nid = \"31\"\ncertificate = \"loose.pem\"\n";
    fs::write(rig.config(), format!("{before}{key}")).expect("signer.toml");
    let findings = rig.doctor(1);
    findings
        .has("protection", "warning", "CKA_EXTRACTABLE is true")
        .has("wrapping", "warning", "whoever has the user's PIN can wrap it for a key of their own")
        .has("key", "fine", "is its certificate's key");
}

#[test]
fn for_whom_a_key_can_be_wrapped_is_told() {
    let ways = [
        (Kind::SoftHsm, "note", "under keys alone that the security officer trusts"),
        (Kind::Kryoptic, "warning", "whoever has the user's PIN can wrap it for a key of their own"),
    ];
    for (kind, severity, told) in ways {
        let rig = Rig::after(kind, "id = \"11\"\n", "id = \"11\"\nbackup = \"wrap\"\n");
        let findings = rig.doctor(1);
        findings.has("wrapping", severity, told).nothing_but(&["error"], &[]);
        let about = findings.of_check("wrapping", severity).into_iter().map(|finding| &finding["about"]);
        assert!(about.into_iter().all(|key| key == "customer-issuing"), "the others never leave");
    }
}

/// By an authority that lives as long as this test.
fn issuing_certificate(public: &SubjectPublicKeyInfo) -> String {
    let named = |name: &str| {
        let mut parameters = CertificateParams::default();
        parameters.distinguished_name.push(DnType::CommonName, name);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        parameters
    };
    let root = Issuer::new(named("Root"), KeyPair::generate().expect("a key"));
    named("Loose CA").signed_by(public, &root).expect("a certificate").pem()
}

#[test]
fn mechanisms_that_a_token_lacks_are_told_with_what_to_do() {
    let rig = Rig::prepare(Kind::Kryoptic);
    let configuration = rig.bank.path("hsm/online/kryoptic.conf");
    let text = fs::read_to_string(&configuration).expect("kryoptic.conf");
    let deny = |mechanisms: &str| {
        let denied = text.replace("dbtype =", &format!("mechanisms = [\"DENY\", {mechanisms}]\ndbtype ="));
        fs::write(&configuration, denied).expect("kryoptic.conf");
    };
    deny("\"CKM_ECDSA\", \"CKM_ECDSA_SHA256\", \"CKM_ECDSA_SHA384\", \"CKM_EC_KEY_PAIR_GEN\"");
    let findings = rig.doctor(2);
    findings
        .has("mechanisms", "error", "neither CKM_ECDSA nor CKM_ECDSA_SHA256")
        .has("mechanisms", "warning", "lacks CKM_EC_KEY_PAIR_GEN")
        .has("mechanisms", "warning", "which tokens of profile \"kryoptic\" show")
        .has("signature", "error", "KEY_UNSUPPORTED");
    // One that hashes for itself will do.
    deny("\"CKM_ECDSA\"");
    let findings = rig.doctor(1);
    findings.has("mechanisms", "warning", "lacks CKM_ECDSA").has("signature", "fine", "verify");
    findings.nothing_but(&["error"], &[]);
}

#[test]
fn a_wrong_pin_is_latched_and_a_counted_one_is_not_followed_by_another() {
    let rig = Rig::prepare(Kind::SoftHsm);
    let pin_file = rig.bank.secret("online-pin");
    let pin = fs::read_to_string(&pin_file).expect("the PIN");
    fs::write(&pin_file, "not-the-pin\n").expect("written");
    let refused = inro_hsm(&["doctor", "--json", "--config", &rig.config()], &[]).expect(2);
    assert!(!refused.stdout.contains("not-the-pin") && !refused.stderr.contains("not-the-pin"));
    Findings::of(&refused.json()).has("login", "error", "CKR_PIN_INCORRECT");
    let shown = inro_hsm(&["latch", "show", "--config", &rig.config()], &[]).expect(0);
    assert!(shown.stdout.contains("set at"), "{}", shown.stdout);

    // The token counts it, and the latch is set: either keeps the doctor from logging in, with the right PIN as well.
    fs::write(&pin_file, pin).expect("written");
    let findings = rig.doctor(2);
    findings.has("pin-tries", "warning", "CKF_USER_PIN_COUNT_LOW").has("login", "note", "not logged in");
    rig.tool(&["--list-objects"]);
    let findings = rig.doctor(2);
    findings.has("pin-tries", "fine", "no wrong PIN").has("latch", "error", "nothing logs in");
    assert!(findings.of_check("login", "fine").is_empty());

    inro_hsm(&["latch", "clear", "--config", &rig.config()], &[]).expect(0);
    let finished = inro_hsm(&["doctor", "--json", "--config", &rig.config()], &[]);
    Findings::of(&finished.json()).has("login", "fine", "took the PIN").nothing_but(&["error"], &[]);
}

#[test]
fn files_that_others_can_reach_are_told() {
    let rig = Rig::prepare(Kind::SoftHsm);
    let mode = |path: &str, mode| {
        fs::set_permissions(rig.bank.path(path), Permissions::from_mode(mode)).expect("mode");
    };
    fs::write(rig.bank.path("signer/journal"), b"").expect("written");
    mode("signer/journal", 0o640);
    mode("signer.toml", 0o664);
    let findings = rig.doctor(2);
    findings
        .has("files", "error", "group or others may write to it (mode 0664)")
        .has("files", "error", "group or others have access (mode 0640)")
        .nothing_but(&["error"], &["files"]);
}

#[test]
fn a_module_or_token_that_is_not_there_is_told() {
    let rig = Rig::prepare(Kind::SoftHsm);
    rig.edit("label = \"inro-online\"", "label = \"inro-offline\"");
    rig.doctor(2).has("token", "error", "shows no token with label \"inro-offline\"");
    // Before there is a configuration: a library that is none.
    let finished = inro_hsm(&["doctor", "--json", "--module", "/etc/hostname"], &[]).expect(2);
    Findings::of(&finished.json()).has("vendor", "warning", "no vendor profile").has(
        "module",
        "error",
        "can't be loaded",
    );
    let finished = inro_hsm(&["doctor", "--module", "/nowhere/lib.so", "--vendor", "nobody"], &[]).expect(2);
    assert!(finished.stderr.contains("no vendor profile is called \"nobody\""), "{}", finished.stderr);
    // A token of another vendor's, by its profile.
    let (module, environment) = (rig.module().display().to_string(), rig.environment());
    let arguments = ["doctor", "--json", "--module", &module, "--vendor", "kryoptic", "--env", &environment];
    let findings = Findings::of(&inro_hsm(&arguments, &[]).json());
    findings.has("module", "warning", "expects it by \"Kryoptic\"").has(
        "module",
        "error",
        "KRYOPTIC_CONF is missing",
    );
}
