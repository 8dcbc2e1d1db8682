//! What makers publish, imported in one command: Microsoft's cabinet by its form, and genuine bundles where they are at hand.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

use softhsm_tests::{openssl::openssl, process::run};

use crate::rig::{House, sha256};

/// The folder of genuine evidence; says so and returns `None` when there is none.
fn genuine() -> Option<PathBuf> {
    let folder = std::env::var_os("INRO_EVIDENCE_DIR").map(PathBuf::from);
    if folder.is_none() {
        let _ = writeln!(
            std::io::stderr().lock(),
            "skipped: INRO_EVIDENCE_DIR names no folder of genuine evidence"
        );
    }
    folder
}

/// A root and an issuing certificate below it, DER, by these names in a folder.
fn hierarchy(folder: &Path, name: &str) -> [PathBuf; 2] {
    let at = |kind: &str| folder.join(format!("{name}-{kind}")).display().to_string();
    let (root, root_key, request, issuing) =
        (at("root.cer"), at("root.key"), at("issuing.csr"), at("issuing.crt"));
    let subject = |kind: &str| format!("/O=Maker {name}/CN=Maker {name} {kind}");
    let new = ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384", "-nodes", "-subj"];
    let (root_subject, issuing_subject) = (subject("TPM Root"), subject("TPM CA"));
    let root_of = [
        &new[..],
        &[&root_subject, "-x509", "-days", "30", "-outform", "DER", "-keyout", &root_key, "-out", &root],
    ];
    openssl(&root_of.concat()).expect("a root");
    let key = at("issuing.key");
    openssl(&[&new[..], &[&issuing_subject, "-keyout", &key, "-out", &request]].concat()).expect("a request");
    let extensions = at("ext");
    std::fs::write(&extensions, "basicConstraints = critical, CA:TRUE\nkeyUsage = keyCertSign\n")
        .expect("a file");
    let sign =
        ["x509", "-req", "-in", &request, "-CAform", "DER", "-CA", &root, "-CAkey", &root_key, "-days", "30"];
    let more = ["-set_serial", "2", "-extfile", &extensions, "-outform", "DER", "-out", &issuing];
    openssl(&[&sign[..], &more[..]].concat()).expect("an issuing certificate");
    [root, issuing].map(PathBuf::from)
}

/// As `TrustedTpm.cab` is: folders of makers with their roots and issuing certificates, scripts, compressed.
#[test]
fn a_cabinet_is_imported_as_it_comes() {
    let house = House::open("trust-cabinet");
    let folder = house.bank.path("cabinet");
    let makers = ["Alpha", "Beta"].map(|name| {
        let (roots, issuing) = (folder.join(name).join("RootCA"), folder.join(name).join("IntermediateCA"));
        std::fs::create_dir_all(&roots).expect("a folder");
        std::fs::create_dir_all(&issuing).expect("a folder");
        let work = house.bank.path(format!("made-{name}"));
        std::fs::create_dir_all(&work).expect("a folder");
        let [root, below] = hierarchy(&work, name);
        std::fs::copy(&root, roots.join("root.cer")).expect("a copy");
        std::fs::copy(&below, issuing.join("issuing.crt")).expect("a copy");
        std::fs::read(root).expect("a root")
    });
    std::fs::write(folder.join("setup.ps1"), "Write-Host no certificate").expect("a file");
    std::fs::write(folder.join("version.txt"), "1.0").expect("a file");
    std::fs::write(folder.join("Alpha/RootCA/broken.cer"), [0x30, 0x03, 0x02, 0x01, 0x05]).expect("a file");
    let draft = house.draft();
    for (name, compression) in [("packed.cab", &["--zip"][..]), ("plain.cab", &[][..])] {
        let cabinet = house.path(name);
        let mut gcab = Command::new("gcab");
        gcab.current_dir(&folder).arg("--create").args(compression).arg(&cabinet);
        let files = [
            "setup.ps1",
            "version.txt",
            "Alpha/RootCA/root.cer",
            "Alpha/RootCA/broken.cer",
            "Alpha/IntermediateCA/issuing.crt",
            "Beta/RootCA/root.cer",
            "Beta/IntermediateCA/issuing.crt",
        ];
        run(gcab.args(files)).expect("gcab makes a cabinet");
        let mut arguments = vec!["trust", "import", "tpm", &cabinet, "--draft", &draft];
        let accepted = makers.each_ref().map(|der| sha256(der));
        for fingerprint in &accepted {
            arguments.extend(["--accept", fingerprint]);
        }
        let report = house.operator(&arguments);
        let lines = report["lines"].as_array().expect("lines");
        let count = |what: &str| lines.iter().filter(|line| line["what"] == what).count();
        let (new, known) = if compression.is_empty() { (0, 4) } else { (4, 0) };
        assert_eq!((count("added"), count("known"), count("fault")), (new, known, 1), "{name}: {report:#}");
        let from_cabinet = |line: &&serde_json::Value| {
            line["from"]
                .as_str()
                .is_some_and(|from| from.contains("packed.cab") && from.contains("issuing.crt"))
        };
        assert!(compression.is_empty() || lines.iter().any(|line| from_cabinet(&line)), "{report:#}");
    }
    std::fs::write(house.bank.path("cut.cab"), b"MSCF\0\0\0\0rubbish").expect("a file");
    let cut = house.path("cut.cab");
    house.refused(5, &["trust", "import", "tpm", &cut, "--draft", &draft]);
}

/// Yubico's published files, and a makers' pool of TPM certificates: known roots by their fingerprints, what stands below
/// them by signatures, and nothing of the FIDO and `OpenPGP` hierarchies in the same files.
#[test]
fn genuine_bundles_are_imported_in_one_command() {
    let Some(evidence) = genuine() else { return };
    let house = House::open("trust-genuine");
    let (draft, at) = (house.draft(), |name: &str| evidence.join("roots").join(name).display().to_string());
    let files = ["yubico-ca-certs.txt", "yubico-ca-1.pem", "yubico-intermediate.pem"]
        .map(|name| at(&format!("yubikey/{name}")));
    let yubico = ["trust", "import", "yubico", "--draft", &draft, &files[0], &files[1], &files[2]];
    let report = house.operator(&yubico);
    assert_eq!(report["added"], 7, "{report:#}");
    let lines = report["lines"].as_array().expect("lines");
    let added: Vec<&str> = lines
        .iter()
        .filter(|line| line["what"] == "added")
        .map(|line| line["subject"].as_str().expect("a subject"))
        .collect();
    assert!(added.iter().all(|subject| !subject.contains("FIDO") && !subject.contains("U2F")), "{added:?}");
    assert_eq!(added.iter().filter(|subject| subject.contains("PIV")).count(), 4, "{added:?}");

    let pool = ["tpm/pool.roots.pem", "tpm/pool.intermediates.pem"].map(at);
    let report = house.operator(&["trust", "import", "tpm", "--draft", &draft, &pool[0], &pool[1]]);
    let lines = report["lines"].as_array().expect("lines");
    let count = |what: &str| lines.iter().filter(|line| line["what"] == what).count();
    assert!(
        report["added"].as_u64().expect("a count") > 400,
        "{} added, {} faults",
        report["added"],
        count("fault")
    );
    // What isn't taken is told for one of these reasons, and for no other.
    for line in lines.iter().filter(|line| line["what"] == "fault") {
        let why = line["why"].as_str().expect("a reason");
        let known = ["isn't valid at this time", "SHA-1", "not a CA's", "can't be read"];
        assert!(known.iter().any(|reason| why.contains(reason)), "{line}");
    }
    let of_p521 = |line: &&serde_json::Value| {
        line["what"] == "added"
            && line["subject"]
                .as_str()
                .is_some_and(|s| s.contains("ECC Root CA 2") || s.contains("TPM 2.0 ECC CA 0"))
    };
    assert!(lines.iter().filter(of_p521).count() > 5, "Infineon's hierarchy on P-521");
    house.stage("sato");
    house.approve("suzuki");
    house.taken_up(1);
}
