//! Every runbook is executed, each on a machine of its own, from an empty host on.

mod documents;
mod units;

use std::{collections::BTreeSet, fs, path::Path};

use softhsm_tests::{
    runbook::{Document, Site},
    scratch::Scratch,
};

/// Where runbooks are.
const FOLDERS: [&str; 2] = ["hsm-config/docs", "ca/docs"];

/// Documents with commands that aren't executed here, and why. This list only shrinks.
const EXEMPT: [(&str, &str); 3] = [
    (
        "ca/docs/backup.md",
        "for SQLite disaster-restore.md is executed; the tests of `reconcile` do both engines",
    ),
    ("ca/docs/evidence-export.md", "an auditor's recipe; the tests of `evidence_rejudge` execute it"),
    ("ca/docs/postgresql.md", "needs a PostgreSQL server; the tests of `cluster` move a ledger there"),
];

/// A runbook begins where others end.
macro_rules! runbooks {
    ($($name:ident: $($file:literal),+;)+) => {
        $(
            #[test]
            fn $name() {
                execute(&[$($file),+]);
            }
        )+

        /// The last of each row.
        const EXECUTED: &[&[&str]] = &[$(&[$($file),+]),+];
    };
}

runbooks! {
    install: "install.md";
    first_ceremony: "install.md", "first-ceremony.md";
    journal: "install.md", "first-ceremony.md", "journal.md";
    day_to_day: "install.md", "first-ceremony.md", "day-to-day.md";
    disaster_restore: "install.md", "first-ceremony.md", "disaster-restore.md";
    key_compromise: "install.md", "first-ceremony.md", "key-compromise.md";
    hsm_down: "install.md", "first-ceremony.md", "hsm-down.md";
    failover: "install.md", "first-ceremony.md", "failover.md";
    hsm_replaced: "install.md", "first-ceremony.md", "hsm-replaced.md";
    ocsp_responder: "install.md", "first-ceremony.md", "ocsp-responder.md";
    vendors: "install.md", "first-ceremony.md", "vendors.md";
    custody: "install.md", "first-ceremony.md", "custody.md";
    sealed_pin: "install.md", "first-ceremony.md", "sealed-pin.md";
    staff: "install.md", "first-ceremony.md", "staff.md";
    root_crl: "install.md", "first-ceremony.md", "root-crl.md";
    roll_over: "install.md", "first-ceremony.md", "roll-over.md";
    roll_root: "install.md", "first-ceremony.md", "roll-root.md";
    external_intermediate: "install.md", "first-ceremony.md", "external-intermediate.md";
    retire_key: "install.md", "first-ceremony.md", "retire-key.md";
    network: "install.md", "first-ceremony.md", "network.md";
    second_hsm: "install.md", "first-ceremony.md", "second-hsm.md";
    offline_root: "install.md", "offline-root.md";
}

/// What a runbook presupposes otherwise than the examples say: runbook, example, and what becomes what.
const PRESUPPOSED: [(&str, &str, &str, &str); 1] =
    [("second-hsm.md", "ceremony.toml", "id = \"11\"\n", "id = \"11\"\nbackup = \"wrap\"\n")];

fn execute(files: &[&str]) {
    let scratch = Scratch::new("runbook").expect("scratch");
    let mut site = Site::new(scratch.path()).expect("a machine");
    for (runbook, file, from, to) in PRESUPPOSED {
        if files.contains(&runbook) {
            site.amend(file, from, to).expect("amended");
        }
    }
    for file in files {
        let runbook = Document::read(&root().join("hsm-config/docs").join(file)).expect("a runbook");
        if let Err(error) = site.execute(&runbook) {
            panic!("{error:#}");
        }
    }
}

/// Pages with commands that aren't executed, and why. This list only shrinks.
const BY_HAND: [(&str, &str); 2] = [
    (
        "ceremony.md",
        "explains what the other pages do; the tests of `ceremony` sign with a witness's YubiKey",
    ),
    ("custody.md", "a custodian's own YubiKey; the tests of `custody` do it with virtual ones"),
];

#[test]
fn commands_that_are_only_shown_are_named() {
    let folder = root().join("hsm-config/docs");
    let mut only_shown = BTreeSet::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let text = fs::read_to_string(&path).expect("a document");
        let executed: String = Document::read(&path)
            .expect("a document")
            .blocks
            .into_iter()
            .map(|block| block.commands)
            .collect();
        let mut fenced = false;
        for line in text.lines().map(str::trim) {
            fenced ^= line.starts_with("```");
            let command =
                ["inro-hsm ", "inro-ca ", "systemctl ", "sudo "].iter().any(|name| line.starts_with(name));
            if fenced && command && !executed.contains(line) {
                only_shown.insert(path.file_name().unwrap_or_default().to_string_lossy().into_owned());
            }
        }
    }
    let named: BTreeSet<String> = BY_HAND.iter().map(|(file, _)| (*file).to_owned()).collect();
    assert_eq!(only_shown, named);
}

#[test]
fn what_differs_from_a_runbook_is_told_with_its_place() {
    let scratch = Scratch::new("runbook").expect("scratch");
    let mut site = Site::new(scratch.path()).expect("a machine");
    for (text, told) in [
        ("```sh\necho one\nfalse\necho two\n```\n", "wrong.md:1 ended with 1"),
        ("\n```sh ends=3\nfalse\n```\n", "wrong.md:2 ended with 1 (it must end with 3)"),
        ("```sh\necho two\n```\n```text\none\n```\n", "wrong.md:1 doesn't show `one`"),
        ("```sh\nsystemctl start inro-nothing\n```\n", "inro-nothing.service not found"),
    ] {
        let path = scratch.write("wrong.md", text).expect("written");
        let error = site.execute(&Document::read(&path).expect("a runbook")).expect_err("it is wrong");
        assert!(format!("{error:#}").contains(told), "{error:#}");
    }
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

#[test]
fn every_document_with_commands_is_executed_or_exempt() {
    let executed: BTreeSet<String> = EXECUTED
        .iter()
        .filter_map(|files| files.last())
        .map(|file| format!("hsm-config/docs/{file}"))
        .collect();
    let mut with_commands = BTreeSet::new();
    for folder in FOLDERS {
        for entry in fs::read_dir(root().join(folder)).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.extension().is_some_and(|extension| extension == "md")
                && !Document::read(&path).expect("a document").blocks.is_empty()
            {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                with_commands.insert(format!("{folder}/{name}"));
            }
        }
    }
    let exempt: BTreeSet<String> = EXEMPT.iter().map(|(file, _)| (*file).to_owned()).collect();
    let told: BTreeSet<String> = executed.union(&exempt).cloned().collect();
    let forgotten: Vec<_> = with_commands.difference(&told).collect();
    assert!(forgotten.is_empty(), "nobody executes {forgotten:?}: add them to `runbooks!`");
    let needless: Vec<_> = told.difference(&with_commands).collect();
    assert!(needless.is_empty(), "{needless:?} has no commands, or isn't there: take it out of the lists");
    assert!(executed.is_disjoint(&exempt), "a runbook is executed and exempt");
}
