//! Operators: what they may write, two of them at once, and what remains of everything they did.

use std::{process::Stdio, thread};

use softhsm_tests::bank::{Bank, Options};

use crate::rig::House;

/// Of operators who change the same version at the same time one wins; the others are told whose work is there, and
/// nothing is lost.
#[test]
fn of_operators_who_set_at_once_one_wins_and_none_is_lost() {
    let house = House::open("policy-operators");
    house.set("shared", 1, "algorithms = [\"p256\"]");
    let files: Vec<String> = (0..4)
        .map(|n| {
            let path = house.file("shared", 2, &format!("algorithms = [\"p256\"] # operator {n}"));
            let own = format!("{path}.{n}");
            std::fs::rename(&path, &own).expect("a file");
            own
        })
        .collect();
    let outputs: Vec<_> = thread::scope(|scope| {
        let run = |file: &String| {
            let mut command =
                house.bank.inro_ca(&["policy", "set", file, "--reason", "at once"]).expect("inro-ca");
            command.arg("--json").stdin(Stdio::null()).output().expect("inro-ca runs")
        };
        let workers: Vec<_> = files.iter().map(|file| scope.spawn(move || run(file))).collect();
        workers.into_iter().map(|worker| worker.join().expect("a worker")).collect()
    });
    let (winners, losers): (Vec<_>, Vec<_>) = outputs.iter().partition(|output| output.status.success());
    assert_eq!((winners.len(), losers.len()), (1, 3), "{outputs:?}");
    for loser in losers {
        let said = String::from_utf8_lossy(&loser.stderr);
        assert_eq!(loser.status.code(), Some(5), "{said}");
        assert!(said.contains("version 2 was set") && said.contains("`version` to 3"), "{said}");
    }
    let history = house.bank.operator(&["policy", "history", "shared"]).expect("the history");
    let versions: Vec<_> = history.as_array().expect("a list").iter().map(|v| v["version"].clone()).collect();
    assert_eq!(versions, [1, 2]);
    assert_eq!(house.bank.audit_rows("policy.set").expect("rows").len(), 2);
    assert_eq!(house.bank.audit_rows("policy.refused").expect("rows").len(), 3);
}

/// A bad file is refused by the name of its key and the remedy, and so is everything that names nobody.
#[test]
fn a_bad_policy_is_told_by_its_key_and_nothing_is_set() {
    let scratch = softhsm_tests::scratch::Scratch::new("policy-files").expect("a scratch directory");
    let bank = Bank::prepare(&scratch.join("bank"), &Options::default()).expect("a bank");
    bank.hold_ceremony().expect("a ceremony");
    bank.migrate().expect("a ledger");
    bank.register_contract("1000001", "方針試験").expect("a contract");
    let refused = |arguments: &[&str]| {
        let output = bank.try_operator(arguments).expect("inro-ca runs");
        assert!(!output.status.success(), "{arguments:?} was done");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let file = scratch.join("policy.toml");
    let path = file.to_string_lossy().into_owned();
    for (text, expected) in [
        ("version = 1", "name: it is missing; name the policy"),
        ("name = \"x\"", "version: it is missing"),
        ("name = \"x\"\nversion = 0", "version: 0 is out of bounds"),
        ("name = \"X Y\"\nversion = 1", "name: a policy name must be"),
        ("name = \"bank\"\nversion = 1", "the bank's own policy stands in the configuration"),
        ("name = \"x\"\nversion = 1\ntouch = []", "line 3: unknown field `touch`"),
        ("name = \"x\"\nversion = 1\n[yubikey]\ntouch = []", "yubikey.touch: the list is empty"),
        (
            "name = \"x\"\nversion = 1\n[yubikey]\ntouch = [\"often\"]",
            "yubikey.touch: \\\"often\\\" isn't known",
        ),
        ("name = \"x\"\nversion = 1\n[yubikey]\nslots = [\"9a\", \"9a\"]", "is listed twice"),
        ("name = \"x\"\nversion = 1\n[yubikey]\npin = [\"never\"]", "yubikey.pin: keys that never ask"),
        ("name = \"x\"\nversion = 1\n[yubikey]\nfips_only = true\ncspn_only = true", "yubikey.cspn_only"),
        ("name = \"x\"\nversion = 1\n[yubikey.lowest_firmware]\nec = \"5.7\"", "yubikey.lowest_firmware.ec"),
        ("name = \"x\"\nversion = 1\ndevices = [\"piv\"]", "lowest_assurance = \\\"asserted\\\""),
        (
            "name = \"x\"\nversion = 1\ndevices = [\"tpm\"]\nlowest_assurance = \"attested\"\nalgorithms = [\"p384\"]",
            "algorithms: no device of the kind",
        ),
        ("name = \"x\"\nversion = 1\n[tpm]\nmanufacturers = [\"intel\"]", "tpm.manufacturers"),
        ("name = \"x\"\nversion = 1\nbinding = [\"hope\"]", "binding: \\\"hope\\\" isn't known"),
        ("name = ", "line 1"),
    ] {
        std::fs::write(&file, text).expect("a file");
        for command in [&["policy", "check", &path][..], &["policy", "set", &path, "--reason", "a test"]] {
            let (code, said) = refused(command);
            assert!(said.contains(expected), "{text}: {said}");
            assert_eq!(code, Some(3), "{said}");
        }
    }
    std::fs::write(&file, "name = \"x\"\nversion = 1\n").expect("a file");
    bank.operator(&["policy", "check", &path]).expect("a good one");
    assert_eq!(refused(&["policy", "set", &path, "--reason", " "]).0, Some(5), "without a reason");
    assert_eq!(refused(&["policy", "assign", "1000001", "x", "--reason", "early"]).0, Some(4), "not set yet");
    bank.operator(&["policy", "set", &path, "--reason", "a test"]).expect("set");
    let repeated = bank.operator(&["policy", "set", &path, "--reason", "a test"]).expect("a repeat");
    assert_eq!(repeated["set"], false);
    assert_eq!(refused(&["policy", "assign", "9999999", "x", "--reason", "nobody"]).0, Some(4));
    bank.operator(&["policy", "assign", "1000001", "x", "--reason", "first"]).expect("assigned");
    bank.operator(&["policy", "assign", "1000001", "bank", "--reason", "back"]).expect("assigned");
    let history = bank.operator(&["policy", "history", "--contract", "1000001"]).expect("the history");
    let policies: Vec<_> = history.as_array().expect("a list").iter().map(|v| v["policy"].clone()).collect();
    assert_eq!(policies, ["x", "bank"]);
    let shown = bank.operator(&["policy", "show", "x"]).expect("the policy");
    assert_eq!(shown["text"], "name = \"x\"\nversion = 1\n", "octet by octet");
    bank.operator(&["audit", "verify"]).expect("a whole chain");
}
