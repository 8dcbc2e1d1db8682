//! The signer's host is restored from an old copy of its journal, gets another journal, or never comes back.

use std::fs;

use crate::customers::House;

/// A bank whose journal was copied after the first customer; a second came since, and the first was revoked.
fn bank(name: &str) -> (House, String) {
    let house = House::open(name);
    let first = house.customer("first-0001", "general", 44_000_021);
    house.copy_journal(&house.bank.path("old.journal"));
    house.customer("second-001", "general", 44_000_022);
    house.operate(&["certificate", "revoke", &first.serial, "--reason", "keyCompromise"]);
    house.on_the_crl(&[&first.serial]);
    (house, first.serial)
}

#[test]
fn a_journal_from_an_old_copy_is_not_issued_with_until_the_whole_one_is_back() {
    let (mut house, revoked) = bank("old-journal");
    house.copy_journal(&house.bank.path("whole.journal"));
    house.stop_authority();
    house.replace_journal(Some(&house.bank.path("old.journal")));
    let number = house.status();
    assert_eq!(number["agreement"], "journal-behind", "{number}");
    house.start_authority();
    assert!(house.diverged().contains("journal ends with entry"));
    let token = house.applicant("third-0001", 44_000_023);
    house.issues_nothing_to("third-0001", &token);
    assert_eq!(house.ocsp(&revoked), "revoked", "the ledger knows");
    assert!(house.crl().expect("a CRL").1.contains(&revoked.to_uppercase()));
    assert_eq!(house.accept().0, 5, "a journal's loss isn't accepted");

    // The authority runs on, and takes the right journal up by itself.
    house.replace_journal(Some(&house.bank.path("whole.journal")));
    house.bank.becomes_ready();
    house.enrolls("third-0001", &token);
    assert_eq!(house.audit("reconcile.agreed").len(), 1);
    assert_eq!(house.status()["agreement"], "agreed");
}

#[test]
fn another_journal_under_the_same_name_is_refused_and_under_a_new_name_gets_every_revocation_first() {
    let (mut house, revoked) = bank("new-journal");
    house.stop_authority();
    house.replace_journal(None);
    house.start_authority();
    assert!(house.diverged().contains("another journal"));
    let token = house.applicant("third-0001", 44_000_023);
    house.issues_nothing_to("third-0001", &token);
    assert_eq!(
        house.bank.journal().expect("a journal")["revocations"],
        0,
        "the wrong journal is told nothing"
    );
    house.stop_authority();

    // By the runbook: a new name, and the old one is retired.
    for file in ["signer.toml", "inro.toml"] {
        let path = house.bank.path(file);
        let text = fs::read_to_string(&path).expect("a configuration");
        fs::write(&path, text.replace("customer-1\"", "customer-2\"")).expect("a configuration");
    }
    house.stop_signer();
    house.bank.start_signer().expect("a signer");
    house.bank.start_authority().expect("ready");
    assert_eq!(house.bank.journal().expect("a journal")["revocations"], 1);
    assert_eq!(house.ocsp(&revoked), "revoked");
    let (code, retired) = house.operate(&["signer", "retire", "customer-1", "--yes"]);
    assert_eq!((code, retired["revoked"].as_array().map(Vec::len)), (0, Some(0)), "{retired}");
    assert_eq!(house.operate(&["signer", "retire", "customer-1", "--yes"]).0, 5);
    assert_eq!(house.operate(&["signer", "retire", "customer-9", "--yes"]).0, 4);
    assert_eq!(house.operate(&["signer", "retire", "customer-2", "--yes"]).0, 5, "it runs");
    house.enrolls("third-0001", &token);
    let (_, signers) = house.operate(&["signer", "list"]);
    let retired = |index: usize| signers[index]["retired_at"].is_string();
    assert_eq!((retired(0), retired(1)), (true, false), "{signers}");
    let (code, verified) = house.operate(&["audit", "verify"]);
    assert_eq!(code, 0, "{verified}");
}

/// A certificate is in the journal of a signer that never comes back, and not in the ledger: the copy saves it.
#[test]
fn a_copy_of_a_retired_signers_journal_is_taken_over() {
    let mut house = House::open("retired-journal");
    house.customer("first-0001", "general", 44_000_031);
    let backup = house.bank.path("backup.sqlite3");
    house.operate(&["backup", "--to", &backup.to_string_lossy()]);
    let lost = house.customer("second-001", "general", 44_000_032);
    let copy = house.bank.path("copy.journal");
    house.copy_journal(&copy);
    house.stop_authority();
    house.stop_signer();
    fs::copy(&backup, house.ledger()).expect("restored");
    for suffix in ["-wal", "-shm"] {
        let _ = fs::remove_file(format!("{}{suffix}", house.ledger().display()));
    }
    let lines = house.bank.path("journal.jsonl");
    let shown = House::hsm(&["journal", "show", "--json", "--limit", "1000000000", &copy.to_string_lossy()]);
    fs::write(&lines, shown).expect("the copy's entries");

    let file = lines.to_string_lossy();
    let retire = ["signer", "retire", "customer-1", "--journal", &file];
    assert_eq!(house.operate(&retire).0, 5, "nobody can be asked, and nothing is done");
    let (code, retired) = house.operate(&[&retire[..], &["--yes"]].concat());
    assert_eq!(code, 0, "{retired}");
    assert_eq!(retired["orphans"][0], lost.serial.as_str(), "{retired}");
    let outcome = house.operate(&["certificate", "revoke", &lost.serial, "--reason", "superseded"]);
    assert_eq!(outcome.0, 0, "an orphan can be revoked: {outcome:?}");
}
