//! What comes after the first ceremony: the root's CRL, renewed and new authorities, a second root, somebody else's
//! authority, keys that are retired. Each as its example says, each checked by OpenSSL.

use std::fs;
use std::path::Path;
use std::process::Command;

use softhsm_tests::openssl::{certificate_text, openssl, verify};
use softhsm_tests::process::run;

use super::rig::{PINS, Setting, assert_unchanged, verified};

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// A CRL in words, its signature checked.
fn crl(file: &Path, issuer: &Path) -> String {
    let arguments =
        ["crl", "-inform", "DER", "-in", &text(file), "-CAfile", &text(issuer), "-noout", "-text"];
    openssl(&arguments).expect("the CRL verifies")
}

/// SHA-256 of a certificate's `SubjectPublicKeyInfo`, or of a key file's.
fn key_sha256(certificate: &Path) -> String {
    let command = format!(
        "openssl x509 -in '{}' -noout -pubkey | openssl pkey -pubin -outform DER | sha256sum | cut -c1-64",
        certificate.display()
    );
    run(Command::new("sh").args(["-c", &command])).expect("a hash").trim().to_owned()
}

#[test]
fn the_roots_crl_goes_on_from_the_last_with_what_it_revokes() {
    let setting = Setting::established();
    let pki = setting.pki();
    let spec = setting.example("ceremony-root-crl");
    spec.add("\n[[crl.revoke]]\ncertificate = \"/etc/inro/pki/issuing.pem\"\nreason = \"superseded\"\nat = \"2026-11-01T00:00:00Z\"\n");
    let out = spec.holds(&[]);
    let second = crl(&out.join("root.crl"), &pki.join("root.pem"));
    assert!(second.contains("X509v3 CRL Number: \n                2\n"), "{second}");
    let serial =
        openssl(&["x509", "-in", &text(&pki.join("issuing.pem")), "-noout", "-serial"]).expect("a serial");
    let serial = serial.trim().trim_start_matches("serial=");
    assert!(second.contains(&format!("Serial Number: {serial}")), "{second}");
    assert!(second.contains("Superseded") && second.contains("Nov  1 00:00:00 2026 GMT"), "{second}");
    let crls = ["-x509_strict", "-crl_check", "-CRLfile", &text(&out.join("root.crl"))];
    let revoked = verify(&crls, &pki.join("root.pem"), &[], &pki.join("issuing.pem")).expect_err("revoked");
    assert!(format!("{revoked:#}").contains("certificate revoked"), "{revoked:#}");
    verify(&crls, &pki.join("root.pem"), &[], &pki.join("staff-issuing.pem")).expect("not revoked");

    let third = setting.example("ceremony-root-crl");
    fs::copy(out.join("root.crl"), pki.join("root.crl")).expect("published");
    fs::remove_dir_all(third.out()).expect("filed away");
    third.hold(&[]).expect(0);
    let third = crl(&third.out().join("root.crl"), &pki.join("root.pem"));
    assert!(third.contains("X509v3 CRL Number: \n                3\n"), "{third}");
    assert!(third.contains(&format!("Serial Number: {serial}")) && third.contains("Superseded"), "{third}");
}

#[test]
fn a_crl_without_the_one_before_or_with_another_authoritys_is_a_mistake() {
    let setting = Setting::established();
    let before = setting.tree();
    let spec = setting.example("ceremony-root-crl");
    let revoke = "\n[[crl.revoke]]\ncertificate = \"/etc/inro/pki/ocsp.pem\"\nreason = \"bored\"\n";
    spec.edit("pki/root.crl", "pki/issuing.crl").add(revoke).add("[[crl.revoke]]\nserial = \"xyz\"\n");
    let told = spec.does("lint", &[]).expect(3).stderr;
    for needed in [
        "crl.root.previous: names",
        "crl.root.revoke[1].reason: \"bored\" is not understood",
        "crl.root.revoke[1]: names",
        "which another authority issued",
        "crl.root.revoke[2].serial: \"xyz\" is not understood",
        "crl.root.revoke[2].reason: is missing",
    ] {
        assert!(told.contains(needed), "{needed}: {told}");
    }
    let spec = setting.example("ceremony-root-crl");
    let line = "previous = \"/etc/inro/pki/root.crl\""
        .replace("/etc/inro", &setting.scratch.path().display().to_string());
    spec.edit(&line, "");
    let told = spec.does("run", &[]).expect(3).stderr;
    assert!(told.contains("crl.root.previous: is missing"), "{told}");
    spec.edit("kind = \"root-crl\"", "kind = \"renew\"");
    let told = spec.does("lint", &[]).expect(3).stderr;
    assert!(told.contains("a ceremony of kind \"renew\" doesn't fit"), "{told}");
    let mut after = setting.tree();
    after.remove(&spec.path);
    assert_unchanged(&before, &after);
}

#[test]
fn a_renewed_authority_keeps_its_key_and_name() {
    let setting = Setting::established();
    let pki = setting.pki();
    let out = setting.example("ceremony-renew").holds(&[]);
    let (old, new) = (pki.join("issuing.pem"), out.join("issuing.pem"));
    assert_eq!(key_sha256(&old), key_sha256(&new));
    assert_ne!(fs::read(&old).expect("old"), fs::read(&new).expect("new"));
    verify(&["-x509_strict"], &pki.join("root.pem"), &[], &new).expect("by the root");
    verify(&["-x509_strict"], &pki.join("root.pem"), &[&new], &pki.join("ocsp.pem"))
        .expect("what hung on the old hangs on the new");
    let other = setting.example("ceremony-renew");
    other.edit("pki/issuing.pem", "pki/staff-issuing.pem");
    let told = other.does("lint", &[]).expect(3).stderr;
    assert!(told.contains("certificate.issuing.renews") && told.contains("another subject"), "{told}");
}

#[test]
fn a_key_that_is_not_its_certificates_stops_it_with_nothing_changed() {
    let setting = Setting::established();
    let spec = setting.example("ceremony-renew");
    spec.edit("id = \"11\"", "id = \"12\"");
    let told = spec.hold(&[]).expect(1);
    assert!(told.stderr.contains("is not the key of certificate \"issuing.pem\""), "{}", told.stderr);
    assert_eq!(told.json()["result"], "failed");
    assert!(!spec.out().with_extension("unfinished").exists() && !spec.out().exists());
    spec.edit("id = \"12\"", "id = \"77\"");
    let told = spec.hold(&[]).expect(4).stderr;
    assert!(told.contains("it holds no key with ID 77"), "{told}");
}

#[test]
fn a_new_authority_stands_beside_the_old_one() {
    let setting = Setting::established();
    let pki = setting.pki();
    let out = setting.example("ceremony-roll-issuing").holds(&[]);
    let crls = [text(&out.join("root.crl")), text(&out.join("issuing-2.crl"))];
    let options = ["-x509_strict", "-crl_check_all", "-CRLfile", &crls[0], "-CRLfile", &crls[1]];
    verify(&options, &pki.join("root.pem"), &[&out.join("issuing-2.pem")], &out.join("ocsp-2.pem"))
        .expect("the new one");
    let crls = [text(&out.join("root.crl")), text(&pki.join("issuing.crl"))];
    let options = ["-x509_strict", "-crl_check_all", "-CRLfile", &crls[0], "-CRLfile", &crls[1]];
    verify(&options, &pki.join("root.pem"), &[&pki.join("issuing.pem")], &pki.join("ocsp.pem"))
        .expect("the old one, with its CRL kept alive");
    let twin = setting.example("ceremony-roll-issuing");
    twin.edit("Customer CA 2", "Root CA");
    let told = twin.does("lint", &[]).expect(3).stderr;
    assert!(told.contains("certificate.issuing-2.subject: is that of certificate \"root\""), "{told}");
}

#[test]
fn two_roots_lead_to_each_other() {
    let setting = Setting::established();
    let pki = setting.pki();
    let out = setting.example("ceremony-roll-root").holds(&[]);
    let (old, new) = (pki.join("root.pem"), out.join("root-2.pem"));
    assert_ne!(key_sha256(&old), key_sha256(&new));
    verify(&["-x509_strict"], &old, &[], &out.join("new-with-old.pem"))
        .expect("the new key, signed with the old");
    verify(&["-x509_strict"], &new, &[], &out.join("old-with-new.pem"))
        .expect("the old key, signed with the new");
    assert_eq!(key_sha256(&out.join("new-with-old.pem")), key_sha256(&new));
    let path = [out.join("old-with-new.pem"), pki.join("issuing.pem")];
    let path: Vec<&Path> = path.iter().map(std::path::PathBuf::as_path).collect();
    verify(&["-x509_strict"], &new, &path, &pki.join("ocsp.pem"))
        .expect("who trusts the new root knows the old certificates");
    assert!(
        crl(&out.join("root.crl"), &old).contains("CRL Number: \n                2\n"),
        "the old CRL goes on"
    );
    assert!(
        crl(&out.join("root-2.crl"), &new).contains("CRL Number: \n                1\n"),
        "the new one begins"
    );
    let link = certificate_text(&out.join("new-with-old.pem")).expect("a certificate");
    assert!(link.contains("CA:TRUE, pathlen:1"), "{link}");
    let stranger = setting.example("ceremony-roll-root");
    stranger.edit("common_name = \"Inro Example Root CA\"", "common_name = \"Another Root\"");
    let told = stranger.does("lint", &[]).expect(3).stderr;
    assert!(told.contains("certificate.root-2.subject: is not that of the old root"), "{told}");
}

/// A key and request of somebody else's.
fn request(setting: &Setting, name: &str) -> String {
    let (key, request) = (setting.scratch.join(format!("{name}.key")), setting.pki().join("subsidiary.csr"));
    let curve = ["ecparam", "-name", "secp384r1", "-genkey", "-noout", "-out", &text(&key)];
    openssl(&curve).expect("a key");
    let subject = format!("/C=JP/O=Inro Example Leasing/CN={name}");
    openssl(&["req", "-new", "-utf8", "-key", &text(&key), "-subj", &subject, "-out", &text(&request)])
        .expect("a request");
    let command = format!("openssl req -in '{}' -outform DER | sha256sum | cut -c1-64", request.display());
    run(Command::new("sh").args(["-c", &command])).expect("a fingerprint").trim().to_owned()
}

#[test]
fn somebody_elses_authority_is_signed_when_its_fingerprint_was_heard() {
    let setting = Setting::established();
    let fingerprint = request(&setting, "Inro Example Leasing CA");
    let spec = setting.example("ceremony-external-intermediate");
    let before = setting.root.token_directory().to_owned();
    let silent = spec.hold(&[]).expect(1);
    assert!(silent.stderr.contains("nobody compared the fingerprint"), "{}", silent.stderr);
    let misheard = fingerprint.replace(['1', '2', '3'], "0");
    let wrong = spec.hold(&["--confirm", &format!("subsidiary={misheard}")]).expect(1);
    assert!(wrong.stderr.contains("is not the request that its owner made"), "{}", wrong.stderr);
    assert_eq!(wrong.json()["result"], "failed", "nothing was signed");
    assert!(before.exists() && !spec.out().exists());
    let aloud =
        super::rig::inro_hsm(&["fingerprint", &text(&setting.pki().join("subsidiary.csr"))]).expect(0).stdout;
    let groups = aloud.lines().skip(1).collect::<Vec<_>>().join(" ").to_uppercase();
    let out = spec.holds(&["--confirm", &format!("subsidiary={groups}")]);
    let certificate = out.join("subsidiary.pem");
    verify(&["-x509_strict"], &setting.pki().join("root.pem"), &[], &certificate).expect("by the root");
    let said = certificate_text(&certificate).expect("a certificate");
    assert!(said.contains("CA:TRUE, pathlen:0") && said.contains("Inro Example Leasing CA"), "{said}");
    let transcript = fs::read_to_string(out.join("transcript.json")).expect("transcript");
    assert!(transcript.contains("\"compared\": \"typed\"") && transcript.contains(&fingerprint));
}

#[test]
fn a_request_for_another_name_or_without_its_keys_signature_is_a_mistake() {
    let setting = Setting::established();
    request(&setting, "Inro Example Root CA");
    let spec = setting.example("ceremony-external-intermediate");
    let told = spec.does("lint", &[]).expect(3).stderr;
    assert!(
        told.contains("certificate.subsidiary.request") && told.contains("asks for the subject"),
        "{told}"
    );
    request(&setting, "Inro Example Leasing CA");
    let path = setting.pki().join("subsidiary.csr");
    let mut der = Vec::new();
    let command = format!("openssl req -in '{}' -outform DER -out '{0}.der'", path.display());
    run(Command::new("sh").args(["-c", &command])).expect("DER");
    der.extend(fs::read(path.with_extension("csr.der")).expect("DER"));
    let last = der.len() - 1;
    der[last] ^= 1;
    fs::write(&path, der).expect("a broken request");
    let told = spec.does("lint", &[]).expect(3).stderr;
    assert!(told.contains("isn't signed by its own key"), "{told}");
}

/// Somebody who attends and has a key: a certificate of their own in `pki/tanaka.pem`.
fn witness(setting: &Setting) -> (String, String) {
    let (key, certificate) =
        (text(&setting.scratch.join("tanaka.key")), text(&setting.pki().join("tanaka.pem")));
    openssl(&["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", &key]).expect("a key");
    openssl(&["req", "-x509", "-key", &key, "-subj", "/CN=Tanaka Yuki", "-days", "30", "-out", &certificate])
        .expect("a certificate");
    (key, certificate)
}

#[test]
fn a_destroyed_key_is_gone_and_its_witness_signs_elsewhere() {
    let setting = Setting::established();
    let (key, certificate) = witness(&setting);
    let spec = setting.example("ceremony-retire");
    let wrong = spec.hold(&[]).expect(1);
    assert!(wrong.stderr.contains("not the one to be destroyed"), "{}", wrong.stderr);
    assert_eq!(wrong.json()["result"], "failed");
    assert!(listed(&setting).contains("customer-issuing"), "it is still there");

    spec.edit(&"0".repeat(64), &key_sha256(&setting.pki().join("issuing.pem")));
    spec.does("plan", &[]).expect(0);
    let held = spec.hold(&[]).expect(0);
    assert_eq!(held.json()["awaited"][0]["file"], "transcript.present-2.p7s");
    let left = listed(&setting);
    assert!(!left.contains("customer-issuing") && left.contains("staff-issuing"), "{left}");
    let out = spec.out();
    let said = fs::read_to_string(out.join("transcript.txt")).expect("transcript");
    assert!(said.contains("DESTROYED") && said.contains("KEY_NOT_FOUND"), "{said}");
    let unsigned = super::rig::inro_hsm(&["verify", &text(&out)]).expect(1).stdout;
    assert!(unsigned.contains("WRONG  transcript.present-2.p7s"), "{unsigned}");

    let (content, signature) =
        (text(&out.join("transcript.json")), text(&out.join("transcript.present-2.p7s")));
    let mut sign = vec!["cms", "-sign", "-binary", "-in", &content, "-signer", &certificate, "-inkey", &key];
    sign.extend(["-outform", "DER", "-out", &signature]);
    openssl(&sign).expect("signed by openssl");
    super::rig::inro_hsm(&["verify", &text(&out), "--signed-by", &certificate]).expect(0);
    let stranger = text(&setting.pki().join("root.pem"));
    let told = super::rig::inro_hsm(&["verify", &text(&out), "--signed-by", &stranger]).expect(1).stdout;
    assert!(told.contains("its key has not signed this transcript"), "{told}");
}

/// The private keys on the online token, by OpenSC.
fn listed(setting: &Setting) -> String {
    let arguments = [
        "--token-label",
        "inro-online",
        "--login",
        "--pin",
        PINS[3].1,
        "--list-objects",
        "--type",
        "privkey",
    ];
    let mut command = Command::new("pkcs11-tool");
    command.arg("--module").arg(setting.online.module()).args(arguments).envs(setting.online.environment());
    run(&mut command).expect("listed")
}

#[test]
fn a_witness_signs_with_a_token_of_their_own() {
    let setting = Setting::established();
    let (key, certificate) = witness(&setting);
    setting.backup.init_token("tanaka", PINS[4].1, PINS[5].1).expect("a token");
    let der = setting.scratch.join("tanaka.der");
    openssl(&["pkcs8", "-topk8", "-nocrypt", "-in", &key, "-outform", "DER", "-out", &text(&der)])
        .expect("DER");
    let mut import = Command::new("pkcs11-tool");
    import.arg("--module").arg(setting.backup.module()).envs(setting.backup.environment());
    import.args(["--token-label", "tanaka", "--login", "--pin", PINS[5].1, "--write-object", &text(&der)]);
    run(import.args(["--type", "privkey", "--id", "9c", "--label", "signature", "--usage-sign"]))
        .expect("imported");
    let mut import = Command::new("pkcs11-tool");
    let public = setting.scratch.join("tanaka.pub");
    openssl(&["pkey", "-in", &key, "-pubout", "-outform", "DER", "-out", &text(&public)]).expect("DER");
    import.arg("--module").arg(setting.backup.module()).envs(setting.backup.environment());
    import.args(["--token-label", "tanaka", "--login", "--pin", PINS[5].1, "--write-object", &text(&public)]);
    run(import.args(["--type", "pubkey", "--id", "9c", "--label", "signature"])).expect("imported");

    let spec = setting.example("ceremony-root-crl");
    let environment = setting.backup.environment_toml();
    let signs = format!(
        "role = \"witness, internal audit\"\ncertificate = {certificate:?}\nsigns_with = {{ module = {:?}, environment = {environment}, label = \"tanaka\", id = \"9c\", pin_file = {:?} }}\n",
        setting.backup.module().display().to_string(),
        text(&setting.scratch.join("backup/pin")),
    );
    spec.edit("role = \"witness, internal audit\"\n", &signs);
    let out = spec.holds(&[]);
    super::rig::inro_hsm(&["verify", &text(&out), "--signed-by", &certificate]).expect(0);
    verified(&out);
    let (content, signature) =
        (text(&out.join("transcript.json")), text(&out.join("transcript.present-2.p7s")));
    let mut check =
        vec!["cms", "-verify", "-binary", "-inform", "DER", "-in", &signature, "-content", &content];
    check.extend(["-CAfile", &certificate, "-purpose", "any", "-out", "/dev/null"]);
    openssl(&check).expect("openssl agrees");
}
