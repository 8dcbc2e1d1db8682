//! The trust store: four eyes, and that the database alone adds nothing.

use softhsm_tests::{openssl::openssl, process::run};

use crate::rig::{House, NEW, NEWEST, sha256};

/// Unknown certificates are shown and not taken; what can't be read stops nothing else.
#[test]
fn makers_certificates_are_imported_by_fingerprint() {
    let house = House::open("trust-import");
    let (draft, files) = (house.draft(), house.maker_files());
    let said = house.refused(5, &["trust", "import", "yubico", "--draft", &draft, &files[0], &files[1]]);
    for der in &house.makers()[..2] {
        assert!(said.contains(&sha256(der)), "{said}");
    }
    assert!(!house.bank.path("trust-draft.json").exists(), "nothing to sign");

    let folder = house.bank.path("vendor");
    std::fs::create_dir_all(folder.join("deep")).expect("a folder");
    std::fs::copy(&files[0], folder.join("deep/root.pem")).expect("a copy");
    std::fs::write(folder.join("broken.cer"), [0x30, 0x03, 0x02, 0x01, 0x05]).expect("a file");
    std::fs::write(folder.join("notes.txt"), "not a certificate").expect("a file");
    let accept = sha256(&house.makers()[0]);
    let folder = folder.to_string_lossy().into_owned();
    let import = ["trust", "import", "yubico", &folder, "--draft", &draft, "--accept", &accept];
    let report = house.operator(&import);
    assert_eq!(report["added"], 1, "{report}");
    let lines = report["lines"].as_array().expect("lines");
    let faults = lines.iter().filter(|line| line["what"] == "fault").count();
    assert_eq!(faults, 2, "the broken one and the text: {report}");
    let again = house.operator(&import);
    assert_eq!(again["added"], 0, "it is there already: {again}");
    let server = house.path("tls/server.pem");
    let said = house.refused(5, &["trust", "import", "tpm", "--draft", &draft, &server]);
    assert!(said.contains("not a CA's"), "{said}");
}

#[test]
fn two_officers_change_whom_the_authority_believes() {
    let house = House::open("trust-officers");
    let before = house.enrol(60_000_001, NEW);
    assert_eq!(house.operator(&["evidence", "show", &before.serial])["trust_version"], 0);
    house.import_makers();
    let draft = house.draft();

    // Nobody but the officers, and not one of them alone.
    let [stranger, strangers_key] = house.officer("stranger");
    let by = |certificate: &str, key: &str| {
        vec!["--certificate".to_owned(), certificate.to_owned(), "--key".to_owned(), key.to_owned()]
    };
    let refused = |status, what: &[&str], more: &[String]| {
        house.refused(status, &[what, &more.iter().map(String::as_str).collect::<Vec<_>>()[..]].concat())
    };
    let stage = ["trust", "stage", "--draft", &draft];
    let said = refused(5, &stage, &by(&stranger, &strangers_key));
    assert!(said.contains("none of the officers"), "{said}");
    let [sato, satos_key] = house.officer("sato");
    let said = refused(3, &stage, &by(&sato, &strangers_key));
    assert!(said.contains("not by the key of its certificate") || said.contains("key"), "{said}");
    house.stage("sato");
    let said = refused(5, &["trust", "approve"], &by(&sato, &satos_key));
    assert!(said.contains("both signatures are"), "{said}");
    let said = refused(5, &["trust", "approve"], &by(&stranger, &strangers_key));
    assert!(said.contains("none of the officers"), "{said}");
    assert!(house.operator(&["trust", "history"]).as_array().expect("a list").is_empty());

    // A genuine signature of the right officer, under another document.
    let [suzuki, suzukis_key] = house.officer("suzuki");
    let (other, forged) = (house.path("other.json"), house.path("other.p7s"));
    std::fs::write(&other, "{}").expect("a file");
    sign(&other, &suzuki, &suzukis_key, &forged);
    let said = house.refused(5, &["trust", "approve", "--signature", &forged]);
    assert!(said.contains("another document"), "{said}");

    // What openssl signs counts like what inro-ca signs: that is how keys on tokens sign.
    let (staged, signature) = (house.path("staged.json"), house.path("staged.p7s"));
    run(&mut house.bank.inro_ca(&["trust", "export", "--staged", "-o", &staged]).expect("inro-ca"))
        .expect("exported");
    sign(&staged, &suzuki, &suzukis_key, &signature);
    house.operator(&["trust", "approve", "--signature", &signature]);
    house.taken_up(1);
    house.refused(4, &["trust", "approve", "--signature", &signature]);

    let after = house.enrol(60_000_002, NEWEST);
    assert_eq!(house.operator(&["evidence", "show", &after.serial])["trust_version"], 1);
    let history = house.operator(&["trust", "history"]);
    assert_eq!(history[0]["trouble"], serde_json::Value::Null, "{history}");
    assert!(history[0]["staged_by"].as_str().expect("a name").contains("sato"));
    assert!(history[0]["approved_by"].as_str().expect("a name").contains("suzuki"));
    for action in ["trust.staged", "trust.approved"] {
        assert_eq!(house.bank.audit_rows(action).expect("rows").len(), 1, "{action}");
    }
    // Another draft of version 1 comes too late.
    let said = refused(5, &stage, &by(&sato, &satos_key));
    assert!(said.contains("doesn't follow the newest version"), "{said}");
}

/// Whoever writes to the database adds nobody, and takes nothing from those who are believed.
#[test]
fn a_row_that_was_edited_by_hand_is_refused_while_the_last_good_version_serves() {
    let mut house = House::with_trust("trust-edited");
    let database = house.path("ca.sqlite3");
    let edit = |sql: &str| {
        run(std::process::Command::new("sqlite3").args([&*database, ".timeout 5000", sql])).expect("sqlite3")
    };
    let refused = softhsm_tests::process::output_of(
        std::process::Command::new("sqlite3")
            .args([&*database, "UPDATE trust_versions SET approved_by = 'me'"]),
        b"",
    );
    assert!(!refused.expect("sqlite3 runs").status.success(), "the schema says no first");
    edit("DROP TRIGGER trust_versions_stand");
    edit(
        "UPDATE trust_versions SET bundle = CAST(replace(CAST(bundle AS TEXT), '\"yubikey-link\"', '\"yubikey-piv\"') AS BLOB)",
    );
    house.bank.logs(&[
        "ALARM: the trust store is refused; this version keeps serving",
        "altered after it was signed",
    ]);
    let issued = house.enrol(61_000_001, NEWEST);
    assert_eq!(house.operator(&["evidence", "show", &issued.serial])["trust_version"], 1);
    let said = house.refused(7, &["trust", "history"]);
    assert!(said.contains("altered after it was signed"), "{said}");
    house.refused(7, &["trust", "list"]);

    // A restart takes nothing that isn't signed, also not the files instead.
    house.bank.authority = None;
    let output = house.bank.try_operator(&["serve"]).expect("inro-ca runs");
    assert_eq!(output.status.code(), Some(3), "{}", crate::rig::text(&output.stderr));
    assert!(crate::rig::text(&output.stderr).contains("trust store is refused"));
}

fn sign(document: &str, certificate: &str, key: &str, out: &str) {
    let arguments = [
        "cms",
        "-sign",
        "-binary",
        "-in",
        document,
        "-signer",
        certificate,
        "-inkey",
        key,
        "-outform",
        "DER",
        "-out",
        out,
    ];
    openssl(&arguments).expect("a signature");
}
