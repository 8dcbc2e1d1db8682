//! The first ceremony: a new root with all that stands below it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use softhsm_tests::{
    binaries,
    hsm::Kind,
    openssl::{certificate_text, openssl, verify},
    process::{Process, Signal, run},
    softhsm::MODULE,
};

use super::rig::{DEADLINE, PINS, Setting, assert_unchanged, sha256, strings};

/// A whole ceremony with these algorithms, checked by everything at hand.
fn holds_for(root: &str, issuers: &str) {
    let setting = Setting::new();
    setting.edit("\"p256\"\n", &format!("\"{issuers}\"\n")).edit("\"p384\"\n", &format!("\"{root}\"\n"));
    setting.ceremony(&["lint"]).expect(0);
    let finished = setting.run().expect(0);
    assert!(finished.stderr.contains("making"), "progress is told: {}", finished.stderr);
    let out = setting.out();
    openssl_accepts(&out);
    extensions_are_right(&out);
    transcript_is_true(&out, &finished.json());
    signatures_verify_by_openssl(&out);
    super::rig::verified(&out);
    keys_stay_on_their_tokens(&setting);
    for path in setting.tree().into_keys().filter(|path| path.starts_with(&out)) {
        let content = fs::read(&path).expect("a file");
        let leaked = |pin: &str| content.windows(pin.len()).any(|window| window == pin.as_bytes());
        assert!(PINS.iter().all(|(_, pin)| !leaked(pin)), "a PIN in {}", path.display());
    }
}

/// As docs/ceremony.md says.
fn signatures_verify_by_openssl(out: &Path) {
    for name in ["root", "issuing", "staff-issuing", "ocsp", "staff-ocsp"] {
        let file = |name: &str| out.join(name).display().to_string();
        let (signature, content) = (file(&format!("transcript.{name}.p7s")), file("transcript.json"));
        let anchor = file("root.pem");
        let mut arguments = vec!["cms", "-verify", "-binary", "-inform", "DER", "-in", &signature];
        arguments.extend(["-content", &content, "-CAfile", &anchor, "-purpose", "any", "-out", "/dev/null"]);
        openssl(&arguments).unwrap_or_else(|e| panic!("{name}: {e:#}"));
    }
}

fn openssl_accepts(out: &Path) {
    let file = |name: &str| out.join(name);
    let crls = |names: &[&str]| -> Vec<String> {
        names.iter().flat_map(|name| ["-CRLfile".to_owned(), file(name).display().to_string()]).collect()
    };
    let check = |crl_names: &[&str], untrusted: &[&Path], leaf: &str| {
        let crl_options = crls(crl_names);
        let mut options = vec!["-x509_strict", "-crl_check_all", "-policy_check"];
        options.extend(crl_options.iter().map(String::as_str));
        verify(&options, &file("root.pem"), untrusted, &file(leaf)).expect("openssl accepts it");
    };
    check(&["root.crl"], &[], "root.pem");
    check(&["root.crl"], &[], "issuing.pem");
    check(&["root.crl"], &[], "staff-issuing.pem");
    check(&["root.crl", "issuing.crl"], &[&file("issuing.pem")], "ocsp.pem");
    check(&["root.crl", "staff-issuing.crl"], &[&file("chain.pem")], "staff-ocsp.pem");
    for issuer in ["root", "issuing", "staff-issuing"] {
        let crl = file(&format!("{issuer}.crl")).display().to_string();
        let certificate = file(&format!("{issuer}.pem")).display().to_string();
        let arguments = ["crl", "-inform", "DER", "-in", &crl, "-CAfile", &certificate, "-noout", "-text"];
        let text = openssl(&arguments).expect("the CRL verifies");
        assert!(text.contains("X509v3 CRL Number: \n                1\n"), "{text}");
        assert!(text.contains("No Revoked Certificates"), "{text}");
    }
}

fn extensions_are_right(out: &Path) {
    let text = |name: &str| certificate_text(&out.join(name)).expect("a certificate");
    let root = text("root.pem");
    assert!(root.contains("CA:TRUE, pathlen:1") && root.contains("Certificate Sign, CRL Sign"), "{root}");
    for name in ["issuing.pem", "staff-issuing.pem"] {
        let issuing = text(name);
        for needed in [
            "X509v3 Basic Constraints: critical\n                CA:TRUE, pathlen:0",
            "X509v3 Key Usage: critical\n                Certificate Sign, CRL Sign",
            "Policy: 1.3.6.1.4.1.32473.1.1",
            "URI:http://pki.inro.example/root.crl",
            "CA Issuers - URI:http://pki.inro.example/root.cer",
        ] {
            assert!(issuing.contains(needed), "{name} lacks {needed}: {issuing}");
        }
    }
    let customers = text("issuing.pem");
    assert!(customers.contains("32473.1.2") && customers.contains("32473.1.3"), "{customers}");
    for name in ["ocsp.pem", "staff-ocsp.pem"] {
        let responder = text(name);
        for needed in
            ["OCSP Signing", "OCSP No Check", "Key Usage: critical\n                Digital Signature"]
        {
            assert!(responder.contains(needed), "{name} lacks {needed}: {responder}");
        }
        assert!(!responder.contains("CA:TRUE"), "{responder}");
    }
}

fn transcript_is_true(out: &Path, summary: &Value) {
    let json: Value =
        serde_json::from_slice(&fs::read(out.join("transcript.json")).expect("transcript")).expect("JSON");
    let text = fs::read_to_string(out.join("transcript.txt")).expect("transcript");
    assert_eq!(json["kind"], "ceremony");
    assert!(text.starts_with("KEY CEREMONY\n"), "{text}");
    for file in summary["transcript"].as_array().expect("files") {
        let name = file["name"].as_str().expect("a name");
        assert_eq!(file["sha256"], sha256(&out.join(name)), "the printed hash of {name}");
    }
    assert!(text.contains(&sha256(&out.join("transcript.json"))), "the text names the hash of the JSON");
    let mut listed: Vec<&str> = strings(&json["files"], "name");
    for file in json["files"].as_array().expect("files") {
        let name = file["name"].as_str().expect("a name");
        let hash = sha256(&out.join(name));
        assert_eq!(file["sha256"], hash, "{name}");
        assert!(text.contains(&format!("{hash}  {name}")), "{name} in {text}");
    }
    let signatures: Vec<&str> = strings(&json["signers"], "file");
    assert_eq!(signatures.len(), 5, "every new key signs");
    listed.extend(signatures);
    listed.extend(["transcript.json", "transcript.txt", "transcript.log"]);
    listed.sort_unstable();
    let mut found: Vec<String> = fs::read_dir(out)
        .expect("output")
        .map(|entry| entry.expect("entry").file_name().to_string_lossy().into_owned())
        .collect();
    found.sort_unstable();
    assert_eq!(listed, found, "every file is listed, and no other exists");
    assert_eq!(json["spec_sha256"], sha256(&out.join("ceremony.toml")));
    for certificate in json["certificates"].as_array().expect("certificates") {
        let path = out.join(format!("{}.pem", certificate["name"].as_str().expect("a name")));
        let arguments = ["x509", "-noout", "-fingerprint", "-sha256", "-in", &path.display().to_string()];
        let fingerprint = openssl(&arguments).expect("a fingerprint").replace(':', "").to_lowercase();
        assert!(fingerprint.contains(certificate["sha256"].as_str().expect("a hash")), "{fingerprint}");
    }
    assert_eq!(strings(&json["present"], "name"), ["Sato Hanako", "Suzuki Ichiro", "Tanaka Yuki"]);
    assert!(strings(&json["tokens"], "serial").iter().all(|serial| serial.len() == 16));
    assert_eq!(mode(&out.join("transcript.json")), 0o640);
    assert_eq!(mode(&out.join("root.pem")), 0o644);
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("a file").permissions().mode() & 0o7777
}

/// OpenSC's own words about every private key.
fn keys_stay_on_their_tokens(setting: &Setting) {
    for (store, pin, label, keys) in
        [(&setting.root, PINS[1].1, "inro-root", 1), (&setting.online, PINS[3].1, "inro-online", 4)]
    {
        let arguments =
            ["--token-label", label, "--login", "--pin", pin, "--list-objects", "--type", "privkey"];
        let mut command = Command::new("pkcs11-tool");
        command.arg("--module").arg(store.module()).args(arguments).envs(store.environment());
        let listing = run(&mut command).expect("listed");
        let protected =
            listing.matches("Access:     sensitive, always sensitive, never extractable, local").count();
        let signing_only = listing.lines().filter(|line| line.trim() == "Usage:      sign").count();
        assert_eq!((protected, signing_only), (keys, keys), "{listing}");
    }
}

#[test]
fn a_ceremony_with_p256_throughout() {
    holds_for("p256", "p256");
}

#[test]
fn a_ceremony_with_p384_throughout() {
    holds_for("p384", "p384");
}

#[test]
fn a_ceremony_as_in_the_example() {
    holds_for("p384", "p256");
}

#[test]
fn a_ceremony_with_rsa_3072_below_a_root_of_4096() {
    holds_for("rsa4096", "rsa3072");
}

#[test]
fn a_rehearsal_leaves_only_its_transcript() {
    let setting = Setting::new();
    let before = setting.tree();
    let finished = setting.rehearse().expect(0);
    let mut after = setting.tree();
    let folder = setting.scratch.join("ceremony-rehearsal");
    let text = fs::read_to_string(folder.join("rehearsal.txt")).expect("transcript");
    assert!(text.starts_with("REHEARSAL"), "{text}");
    assert!(finished.stdout.contains(&sha256(&folder.join("rehearsal.json"))), "{}", finished.stdout);
    let json: Value =
        serde_json::from_slice(&fs::read(folder.join("rehearsal.json")).expect("transcript")).expect("JSON");
    assert_eq!(json["kind"], "rehearsal");
    assert_eq!(strings(&json["certificates"], "name").len(), 5, "everything was done");
    for file in ["rehearsal.txt", "rehearsal.json"] {
        after.remove(&folder.join(file));
    }
    assert_unchanged(&before, &after);
    setting.rehearse().expect(0);
    setting.run().expect(0);
}

#[test]
fn a_rehearsal_needs_neither_the_vendors_module_nor_the_pins() {
    let setting = Setting::new();
    setting.edit(&setting.module(), "/opt/vendor/libvendor.so");
    for (name, _) in PINS {
        fs::remove_file(setting.scratch.join(name)).expect("removed");
    }
    let refused = setting.ceremony(&["rehearse"]).expect(3);
    assert!(refused.stderr.contains("--stand-in"), "{}", refused.stderr);
    setting.ceremony(&["rehearse", "--stand-in", MODULE]).expect(0);
    assert_eq!(setting.tokens(), 0);
}

#[test]
fn a_second_run_is_refused_and_changes_nothing() {
    let setting = Setting::new();
    setting.run().expect(0);
    let before = setting.tree();
    let same_folder = setting.run().expect(4);
    assert!(same_folder.json()["message"].as_str().expect("text").contains("is not empty"));
    let other = setting.scratch.join("other");
    let refused = setting.ceremony(&["run", "--out", &other.display().to_string()]).expect(4);
    for told in ["\"inro-root\" exists", "\"inro-online\" exists", "nothing was done"] {
        assert!(refused.stderr.contains(told), "{told}: {}", refused.stderr);
    }
    assert_unchanged(&before, &setting.tree());
}

#[test]
fn files_in_the_way_stop_it_before_any_token_is_touched() {
    let setting = Setting::new();
    fs::create_dir(setting.out()).expect("folder");
    fs::write(setting.out().join("keep"), "me").expect("file");
    setting.run().expect(4);
    assert_eq!(setting.tokens(), 0);
    fs::remove_file(setting.out().join("keep")).expect("removed");
    setting.run().expect(0);
}

#[test]
fn pin_files_that_others_can_read_are_refused() {
    for mode in [0o640, 0o604, 0o660, 0o644] {
        let setting = Setting::new();
        let path = setting.scratch.join("online/so-pin");
        fs::set_permissions(&path, Permissions::from_mode(mode)).expect("mode");
        for action in ["lint", "run"] {
            let refused = setting.ceremony(&[action]).expect(3);
            for told in ["token.online.so_pin_file", &format!("{mode:04o}"), "chmod 600"] {
                assert!(refused.stderr.contains(told), "{told}: {}", refused.stderr);
            }
        }
        setting.ceremony(&["lint", "--spec-only"]).expect(0);
        assert_eq!(setting.tokens(), 0);
    }
}

#[test]
fn lint_tells_every_mistake_at_once_with_its_place_and_remedy() {
    let setting = Setting::new();
    setting
        .edit("[[present]]\nname = \"Tanaka Yuki\"\nrole =", "[[present]]\nname = \"\"\njob =")
        .edit("algorithm = \"p384\"", "algorithm = \"p521\"")
        .edit("id = \"12\"", "id = \"11\"")
        .edit("token = \"root\"", "token = \"online\"")
        .edit("validity = { years = 20 }", "validity = { years = 5 }")
        .edit(
            "country = \"JP\", organization = \"Inro Example Bank\", common_name = \"Inro Example Staff CA\"",
            "country = \"Japan\", organization = \"Inro Example Bank\", common_name = \"Staff\\u202e CA\"",
        )
        .edit("\"1.3.6.1.4.1.32473.1.3\",", "\"1.3.six\",")
        .edit(
            "crl_url = \"http://pki.inro.example/root.crl\"",
            "crl_url = \"https://pki.inro.example/root.crl\"",
        )
        .edit("issuer = \"staff-issuing\"\nsubject", "issuer = \"nobody\"\nsubject")
        .edit("issuer = \"root\"\n# Up to 366", "issuer = \"ocsp\"\n# Up to 366")
        .edit("label = \"inro-online\"", "label = \"inro-online\"\nbackup = true\nslot = \"first\"")
        .edit("profile = \"root\"\n", "profile = \"root\"\npath_length = 3\n");
    let finished = setting.ceremony(&["lint", "--json"]).expect(3);
    let json = finished.json();
    let mistakes = json["mistakes"].as_array().expect("mistakes");
    let at = |key: &str| {
        let found: Vec<&Value> = mistakes.iter().filter(|mistake| mistake["key"] == key).collect();
        assert!(!found.is_empty(), "nothing is told about {key}: {mistakes:#?}");
        assert!(found.iter().all(|mistake| !mistake["remedy"].as_str().unwrap_or_default().is_empty()));
    };
    for key in [
        "present[3].name",
        "present[3].role",
        "present[3].job",
        "key.root.algorithm",
        "key.root.token",
        "key.staff-issuing.id",
        "token.root",
        "token.online.backup",
        "token.online.slot",
        "certificate.root.path_length",
        "certificate.issuing.validity",
        "certificate.issuing.policies",
        "certificate.issuing.crl_url",
        "certificate.staff-issuing.subject.country",
        "certificate.staff-issuing.subject.common_name",
        "certificate.staff-ocsp.issuer",
        "certificate.root",
        "crl.ocsp.issuer",
    ] {
        at(key);
    }
    for line in finished.stderr.lines().filter(|line| line.starts_with("token.online.backup")) {
        assert!(line.contains("is not a known key") && line.contains("pin_file"), "{line}");
    }
    setting.run().expect(3);
    assert_eq!(setting.tokens(), 0);
}

#[test]
fn a_specification_that_is_no_toml_is_told_where() {
    let setting = Setting::new();
    fs::write(&setting.spec, "name = \"x\"\n[[token\n").expect("written");
    let refused = setting.ceremony(&["lint"]).expect(3);
    assert!(refused.stderr.contains("line 2"), "{}", refused.stderr);
    let missing = Setting::new();
    fs::remove_file(&missing.spec).expect("removed");
    missing.ceremony(&["lint"]).expect(1);
}

#[test]
fn stopped_half_way_it_keeps_its_log_and_no_other_file() {
    let setting = Setting::new();
    let why = match setting.kind {
        Kind::SoftHsm => {
            let pin = setting.scratch.write("online/pin", "123\n").expect("a PIN too short for the token");
            fs::set_permissions(pin, Permissions::from_mode(0o600)).expect("mode");
            "CKR_PIN_LEN_RANGE"
        }
        // It takes any PIN, and shows its mechanisms only when it is initialised.
        Kind::Kryoptic => {
            let denied = "mechanisms = [\"DENY\", \"CKM_EC_KEY_PAIR_GEN\"]\ndbtype =";
            let configuration = setting.online.configuration();
            let text = fs::read_to_string(configuration).expect("kryoptic.conf");
            fs::write(configuration, text.replace("dbtype =", denied)).expect("kryoptic.conf");
            "KEY_UNSUPPORTED"
        }
    };
    let stopped = setting.run().expect(1);
    assert_eq!(stopped.json()["result"], "incomplete");
    assert!(stopped.stderr.contains(why), "{}", stopped.stderr);
    assert!(stopped.stderr.contains("--resume") && stopped.stderr.contains("rollback"), "{}", stopped.stderr);
    assert!(!setting.out().exists());
    let kept = setting.scratch.join("out.unfinished");
    assert_eq!(fs::read_dir(&kept).expect("folder").count(), 1);
    let log = fs::read_to_string(kept.join("transcript.log")).expect("log");
    assert!(log.contains("initialised token \\\"root\\\"") && log.contains(why), "{log}");
    let again = setting.run().expect(4);
    assert!(again.stderr.contains("--resume"), "{}", again.stderr);
}

#[test]
fn a_token_that_is_ready_is_used_as_it_is_and_its_keys_are_never_replaced() {
    let setting = Setting::new();
    setting.online.init_token("inro-online", PINS[2].1, PINS[3].1).expect("initialised");
    let so_pin = format!("so_pin_file = \"{}\"", setting.scratch.join("online/so-pin").display());
    setting.edit(&so_pin, "initialise = false");
    setting.run().expect(0);
    openssl_accepts(&setting.out());

    fs::remove_dir_all(setting.root.token_directory()).expect("the root's token is lost");
    fs::create_dir(setting.root.token_directory()).expect("folder");
    // SoftHSM rewrites the token's own object at each login; kryoptic makes an empty file for a slot that it looks at.
    let keys = || {
        let mut tree = setting.tree();
        let holds = |path: &Path| fs::metadata(path).is_ok_and(|file| file.len() > 0);
        tree.retain(|path, _| {
            !path.ends_with("token.object") && (path.extension() != Some("sql".as_ref()) || holds(path))
        });
        tree
    };
    let before = keys();
    let other = setting.scratch.join("other").display().to_string();
    let refused = setting.ceremony(&["run", "--out", &other]).expect(4);
    assert!(refused.stderr.contains("it holds a key with ID 11 already"), "{}", refused.stderr);
    assert_unchanged(&before, &keys());
}

#[test]
fn ctrl_c_ends_it_with_a_transcript_of_what_was_done() {
    let setting = Setting::new();
    setting.edit("\"p256\"\n", "\"rsa4096\"\n");
    let mut command = Command::new(binaries::find("inro-hsm").expect("inro-hsm"));
    command.args(["ceremony", "run"]).arg(&setting.spec).arg("--out").arg(setting.out());
    let mut running = Process::spawn("ceremony", &mut command, setting.scratch.path()).expect("started");
    running.wait_for_log("making RSA-4096 key", DEADLINE).expect("making keys");
    running.signal(Signal::INT).expect("signalled");
    let status = running.wait(DEADLINE).expect("ended");
    assert_eq!(status.code(), Some(1), "{}", running.log());
    let log = fs::read_to_string(setting.scratch.join("out.unfinished/transcript.log")).expect("log");
    assert!(log.contains("interrupted by hand"), "{log}");
    assert!(log.contains("made P-384 key \\\"root\\\""), "{log}");
    assert!(!setting.out().exists());
    setting.ceremony(&["rollback", "--out", &setting.out().display().to_string()]).expect(0);
    setting.edit("\"rsa4096\"\n", "\"p256\"\n").run().expect(0);
}

#[test]
fn a_configuration_that_a_module_lacks_is_named() {
    let setting = Setting::new();
    setting.edit(
        &setting.online.configuration().display().to_string(),
        &setting.scratch.join("online/none.conf").display().to_string(),
    );
    let refused = setting.ceremony(&["lint"]).expect(3);
    assert!(
        refused.stderr.contains("token.online") && refused.stderr.contains("none.conf"),
        "{}",
        refused.stderr
    );
}

#[test]
fn a_wrong_pin_is_tried_once() {
    let setting = Setting::new();
    setting.online.init_token("inro-online", PINS[2].1, "another-pin").expect("initialised");
    let so_pin = format!("so_pin_file = \"{}\"", setting.scratch.join("online/so-pin").display());
    setting.edit(&so_pin, "initialise = false");
    let failed = setting.run().expect(1);
    assert_eq!(failed.json()["result"], "failed");
    assert_eq!(failed.stderr.matches("CKR_PIN_INCORRECT").count(), 1, "{}", failed.stderr);
    assert_eq!(setting.tokens(), 1, "the root's token was not made");
}
