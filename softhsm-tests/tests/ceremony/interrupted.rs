//! A ceremony that is killed at any step, or can't note what it has just done, is resumed or taken back; nothing half-made
//! stays.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use softhsm_tests::binaries;
use softhsm_tests::faults::{Disk, Faults};
use softhsm_tests::hsm::Hsm;
use softhsm_tests::openssl::verify;
use softhsm_tests::process::{Process, run};

use super::rig::{DEADLINE, PINS, Setting, Spec, inro_hsm, sha256, verified};

/// Every kind of step that changes something, in the order in which they are done.
const STEPS: [&str; 10] = [
    "initialise token \"root\"",
    "initialise token \"online\"",
    "initialise token \"backup\"",
    "make key \"root\"",
    "make key \"issuing\"",
    "sign certificate \"root\"",
    "sign certificate \"issuing\"",
    "copy key \"issuing\"",
    "sign the CRL of \"root\"",
    "sign the CRL of \"issuing\"",
];

/// A small authority, its issuing key on a second token as well.
fn small(setting: &Setting) -> Spec<'_> {
    let mut text = vec!["name = \"small\"\n".to_owned()];
    for person in ["Sato", "Suzuki"] {
        text.push(format!("[[present]]\nname = \"{person}\"\nrole = \"witness\"\n"));
    }
    for token in ["root", "online", "backup"] {
        text.push(format!(
            "[[token]]\nname = \"{token}\"\nmodule = \"/usr/lib/softhsm/libsofthsm2.so\"\nenvironment = {{ SOFTHSM2_CONF = \"/etc/inro/{token}/softhsm2.conf\" }}\nlabel = \"inro-{token}\"\nso_pin_file = \"/etc/inro/{token}/so-pin\"\npin_file = \"/etc/inro/{token}/pin\"\n"
        ));
    }
    text.push("[[key]]\nname = \"root\"\ntoken = \"root\"\nid = \"01\"\nalgorithm = \"p256\"\n".to_owned());
    text.push("[[key]]\nname = \"issuing\"\ntoken = \"online\"\nid = \"11\"\nalgorithm = \"p256\"\nbackup = \"wrap\"\n".to_owned());
    text.push("[[copy]]\nkey = \"issuing\"\nto = \"backup\"\n".to_owned());
    let subject = |name: &str| {
        format!("subject = {{ country = \"JP\", organization = \"Bank\", common_name = \"{name}\" }}\n")
    };
    text.push(format!(
        "[[certificate]]\nname = \"root\"\nprofile = \"root\"\nkey = \"root\"\nvalidity = {{ years = 20 }}\n{}",
        subject("Root")
    ));
    text.push(format!(
        "[[certificate]]\nname = \"issuing\"\nprofile = \"issuing\"\nkey = \"issuing\"\nissuer = \"root\"\nvalidity = {{ years = 10 }}\npolicies = [\"1.3.6.1.4.1.32473.1.1\"]\ncrl_url = \"http://pki.inro.example/root.crl\"\nca_issuers_url = \"http://pki.inro.example/root.cer\"\n{}",
        subject("Issuing")
    ));
    text.push("[[crl]]\nissuer = \"root\"\nnext_update_days = 365\n[[crl]]\nissuer = \"issuing\"\nnext_update_days = 7\n".to_owned());
    setting.write("small", &text.concat())
}

fn unfinished(out: &Path) -> PathBuf {
    PathBuf::from(format!("{}.unfinished", out.display()))
}

/// kill -9 while the leader is asked whether this step may be done; those before it were.
fn killed_before(setting: &Setting, spec: &Spec<'_>, step: usize) {
    let mut command = Command::new(binaries::find("inro-hsm").expect("inro-hsm"));
    command.args(["ceremony", "run", "--step-by-step"]).arg(&spec.path).arg("--out").arg(spec.out());
    let mut running =
        Process::spawn_with_input(&format!("killed-{step}"), &mut command, setting.scratch.path())
            .expect("started");
    for (index, name) in STEPS[..=step].iter().enumerate() {
        running.wait_for_log(&format!("next: {name}"), DEADLINE).expect("asked");
        if index < step {
            running.write_line("").expect("permitted");
        }
    }
    running.kill().expect("killed");
    assert!(!spec.out().exists() && unfinished(&spec.out()).exists());
}

/// How many private keys a token of this label has, by OpenSC; `None` without such a token.
fn private_keys(store: &Hsm, label: &str, pin: &str) -> Option<usize> {
    let mut command = Command::new("pkcs11-tool");
    command.arg("--module").arg(store.module()).envs(store.environment());
    command.args(["--token-label", label, "--login", "--pin", pin, "--list-objects", "--type", "privkey"]);
    run(&mut command).ok().map(|listing| listing.matches("Private Key Object").count())
}

fn everything_is_there_once(setting: &Setting, out: &Path) {
    verified(out);
    verify(&["-x509_strict"], &out.join("root.pem"), &[], &out.join("issuing.pem"))
        .expect("openssl accepts it");
    let stores = [
        (&setting.root, "inro-root", 1),
        (&setting.online, "inro-online", 3),
        (&setting.backup, "inro-backup", 5),
    ];
    for (store, label, pin) in stores {
        assert_eq!(private_keys(store, label, PINS[pin].1), Some(1), "{label}");
    }
    assert!(!unfinished(out).exists());
}

fn nothing_is_left(setting: &Setting, out: &Path) {
    let stores = [
        (&setting.root, "inro-root", 1),
        (&setting.online, "inro-online", 3),
        (&setting.backup, "inro-backup", 5),
    ];
    for (store, label, pin) in stores {
        assert_eq!(private_keys(store, label, PINS[pin].1), None, "{label} is still there");
        assert!(
            private_keys(store, "inro-void", PINS[pin].1).is_none_or(|keys| keys == 0),
            "a key is left in {label}"
        );
    }
    assert!(!out.exists() && !unfinished(out).exists());
}

/// Takes it back, and holds it again from the beginning.
fn rolled_back_and_held_again(setting: &Setting, spec: &Spec<'_>, out: &Path) {
    let folder = out.display().to_string();
    let taken = spec.does("rollback", &["--json", "--out", &folder]).expect(0).json();
    assert_eq!(taken["kind"], "rolled-back");
    nothing_is_left(setting, out);
    let transcript = PathBuf::from(taken["folder"].as_str().expect("a folder")).join("transcript.txt");
    assert!(fs::read_to_string(transcript).expect("transcript").starts_with("KEY CEREMONY, TAKEN BACK"));
    spec.does("run", &["--out", &folder]).expect(0);
    everything_is_there_once(setting, out);
}

#[test]
fn killed_before_any_step_it_is_resumed() {
    for step in 0..STEPS.len() {
        let setting = Setting::new();
        let spec = small(&setting);
        killed_before(&setting, &spec, step);
        let again = spec.hold(&[]).expect(4);
        assert!(again.stderr.contains("--resume"), "{}", again.stderr);
        let planned = spec.does("plan", &["--out", &spec.out().display().to_string()]).expect(0).stdout;
        assert_eq!(planned.matches("[done]").count(), step, "{planned}");
        spec.hold(&["--resume"]).expect(0);
        everything_is_there_once(&setting, &spec.out());
    }
}

#[test]
fn killed_before_any_step_it_is_taken_back() {
    for step in 0..STEPS.len() {
        let setting = Setting::new();
        let spec = small(&setting);
        killed_before(&setting, &spec, step);
        rolled_back_and_held_again(&setting, &spec, &spec.out());
    }
}

/// Runs until its log takes no more than so many octets: what the last step did is done, and not noted.
fn cut_off_at(setting: &Setting, spec: &Spec<'_>, folder: &Path, room: usize) -> i32 {
    let faults = Faults::new(&setting.scratch.join("faults"), &[folder.to_owned()]).expect("faults");
    faults.disk(Disk::Full { room: u32::try_from(room).expect("small") }).expect("a full disk");
    let mut command = Command::new(binaries::find("inro-hsm").expect("inro-hsm"));
    command.args(["ceremony", "run"]).arg(&spec.path).arg("--out").arg(folder.join("out"));
    let output = command.envs(faults.environment().expect("the shim")).output().expect("started");
    output.status.code().unwrap_or(-1)
}

/// Where in the log each of its lines is half written.
fn halves_of_lines(setting: &Setting) -> Vec<usize> {
    let spec = small(setting);
    spec.hold(&[]).expect(0);
    let log = fs::read_to_string(spec.out().join("transcript.log")).expect("log");
    let mut offset = 0;
    let mut halves = Vec::new();
    for line in log.split_inclusive('\n') {
        halves.push(offset + line.len() / 2);
        offset += line.len();
    }
    halves
}

#[test]
fn what_was_done_and_not_noted_is_done_again_or_taken_back() {
    let halves = halves_of_lines(&Setting::new());
    assert!(halves.len() > 2 * STEPS.len());
    for (index, room) in halves.into_iter().enumerate() {
        let setting = Setting::new();
        let spec = small(&setting);
        let folder = setting.scratch.directory("held").expect("folder");
        let out = folder.join("out");
        assert_eq!(cut_off_at(&setting, &spec, &folder, room), 1, "line {}", index + 1);
        assert!(!out.exists());
        let name = out.display().to_string();
        if !unfinished(&out).exists() {
            // Nothing had begun.
            nothing_is_left(&setting, &out);
            spec.does("run", &["--out", &name]).expect(0);
        } else if index % 2 == 0 {
            spec.does("run", &["--resume", "--out", &name]).expect(0);
        } else {
            rolled_back_and_held_again(&setting, &spec, &out);
        }
        everything_is_there_once(&setting, &out);
    }
}

/// Neither the line that couldn't be made durable nor the one that says so is in the way afterwards.
#[test]
fn a_disk_that_fails_in_the_middle_leaves_a_log_to_go_on_from() {
    for (number, step) in [1, 3, 6, 7].into_iter().enumerate() {
        let setting = Setting::new();
        let spec = small(&setting);
        let folder = setting.scratch.directory("held").expect("folder");
        let out = folder.join("out");
        let faults = Faults::new(&setting.scratch.join("faults"), &[folder]).expect("faults");
        let mut command = Command::new(binaries::find("inro-hsm").expect("inro-hsm"));
        command.args(["ceremony", "run", "--step-by-step"]).arg(&spec.path).arg("--out").arg(&out);
        command.envs(faults.environment().expect("the shim"));
        let mut running =
            Process::spawn_with_input("failing", &mut command, setting.scratch.path()).expect("started");
        for (index, name) in STEPS[..=step].iter().enumerate() {
            running.wait_for_log(&format!("next: {name}"), DEADLINE).expect("asked");
            if index == step {
                faults.disk(Disk::SyncFails).expect("a failing disk");
            }
            running.write_line("").expect("permitted");
        }
        assert_eq!(running.wait(DEADLINE).expect("ended").code(), Some(1));
        let name = out.display().to_string();
        if number % 2 == 0 {
            spec.does("run", &["--resume", "--out", &name]).expect(0);
            everything_is_there_once(&setting, &out);
        } else {
            rolled_back_and_held_again(&setting, &spec, &out);
        }
    }
}

#[test]
fn a_resumed_ceremony_signs_what_it_had_settled() {
    let setting = Setting::new();
    let spec = small(&setting);
    killed_before(&setting, &spec, 6);
    let log = unfinished(&spec.out()).join("transcript.log");
    let before = fs::read_to_string(&log).expect("log");
    spec.hold(&["--resume"]).expect(0);
    let after = fs::read_to_string(spec.out().join("transcript.log")).expect("log");
    assert!(after.starts_with(&before), "the log goes on; nothing in it is rewritten");
    assert!(after.contains("goes on after an interruption"));
}

#[test]
fn only_the_same_specification_goes_on() {
    let setting = Setting::new();
    let spec = small(&setting);
    killed_before(&setting, &spec, 4);
    let text = fs::read_to_string(&spec.path).expect("specification");
    spec.edit("name = \"small\"", "name = \"other\"");
    for command in ["run", "rollback"] {
        let mut arguments = vec!["--out"];
        let out = spec.out().display().to_string();
        arguments.push(&out);
        if command == "run" {
            arguments.push("--resume");
        }
        let refused = spec.does(command, &arguments).expect(4).stderr;
        assert!(refused.contains("was of another specification"), "{refused}");
    }
    fs::write(&spec.path, text).expect("specification");
    spec.hold(&["--resume"]).expect(0);
    let nothing = spec.does("rollback", &["--out", &spec.out().display().to_string()]).expect(4).stderr;
    assert!(nothing.contains("there is no interrupted ceremony"), "{nothing}");
}

#[test]
fn killed_after_the_very_last_step_it_is_simply_finished() {
    let setting = Setting::new();
    let spec = small(&setting);
    spec.hold(&[]).expect(0);
    let folder = unfinished(&spec.out());
    fs::create_dir(&folder).expect("folder");
    fs::copy(spec.out().join("transcript.log"), folder.join("transcript.log"))
        .expect("as if it had not been removed");
    let hash = sha256(&spec.out().join("transcript.json"));
    let done = spec.hold(&["--resume"]).expect(0).json();
    assert_eq!(done["transcript"][0]["sha256"], hash);
    everything_is_there_once(&setting, &spec.out());
}

/// Leads a store's configuration to another store, as if other hardware were behind the module.
fn swapped(own: &Hsm, other: &Hsm) {
    fs::copy(other.configuration(), own.configuration()).expect("swapped");
}

#[test]
fn a_token_of_the_same_label_and_other_hardware_is_left_alone() {
    let other = Setting::new();
    let held = small(&other);
    held.hold(&[]).expect(0);
    // With the root's token initialised alone, and with its key made.
    for step in [1, 4, 7] {
        let setting = Setting::new();
        let spec = small(&setting);
        killed_before(&setting, &spec, step);
        let own = fs::read(setting.root.configuration()).expect("configuration");
        swapped(&setting.root, &other.root);
        let out = spec.out().display().to_string();
        for (command, further) in [("plan", None), ("run", Some("--resume")), ("rollback", None)] {
            let mut arguments = vec!["--out", &out];
            arguments.extend(further);
            let refused = spec.does(command, &arguments).expect(1).stderr;
            assert!(refused.contains("with which this ceremony was begun"), "{command}: {refused}");
        }
        assert_eq!(private_keys(&other.root, "inro-root", PINS[1].1), Some(1), "nothing of it is gone");
        fs::write(setting.root.configuration(), own).expect("brought back");
        rolled_back_and_held_again(&setting, &spec, &spec.out());
    }
}

#[test]
fn what_is_not_found_is_not_said_to_be_destroyed() {
    let setting = Setting::new();
    let spec = small(&setting);
    killed_before(&setting, &spec, 5);
    let mut command = Command::new("pkcs11-tool");
    command.arg("--module").arg(setting.root.module()).envs(setting.root.environment());
    command.args(["--token-label", "inro-root", "--login", "--pin", PINS[1].1]);
    run(command.args(["--delete-object", "--type", "privkey", "--id", "01"])).expect("deleted");
    let taken =
        spec.does("rollback", &["--json", "--out", &spec.out().display().to_string()]).expect(0).json();
    let transcript = PathBuf::from(taken["folder"].as_str().expect("a folder")).join("transcript.txt");
    let said = fs::read_to_string(transcript).expect("transcript");
    assert!(said.contains("key \"root\" is not on token \"root\": nothing had to be destroyed"), "{said}");
    assert!(said.contains("destroyed key \"issuing\""), "{said}");
    assert!(!said.contains("destroyed key \"root\""), "{said}");
}

#[test]
fn no_core_file_ever_has_a_pin() {
    let setting = Setting::new();
    let spec = small(&setting);
    // With as large a core file as this system permits.
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -S -c \"$(ulimit -H -c)\" && exec \"$@\"", "sh"]);
    command.arg(binaries::find("inro-hsm").expect("inro-hsm"));
    command.args(["ceremony", "run", "--step-by-step"]).arg(&spec.path).arg("--out").arg(spec.out());
    let mut running =
        Process::spawn_with_input("dumps", &mut command, setting.scratch.path()).expect("started");
    running.wait_for_log(&format!("next: {}", STEPS[0]), DEADLINE).expect("asked");
    let limits = fs::read_to_string(format!("/proc/{}/limits", running.id())).expect("limits");
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).expect("a line");
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
    running.kill().expect("killed");
}

#[test]
fn a_damaged_log_is_not_gone_on_with() {
    let setting = Setting::new();
    let spec = small(&setting);
    killed_before(&setting, &spec, 5);
    let log = unfinished(&spec.out()).join("transcript.log");
    let text = fs::read_to_string(&log).expect("log");
    fs::write(&log, text.replacen("made P-256 key", "made P-999 key", 1)).expect("altered");
    let refused = spec.hold(&["--resume"]).expect(1).stderr;
    assert!(refused.contains("was altered after it was written"), "{refused}");
    fs::write(&log, text).expect("restored");
    spec.hold(&["--resume"]).expect(0);
}

#[test]
fn a_destruction_that_was_interrupted_goes_on_and_is_never_taken_back() {
    let setting = Setting::new();
    let held = small(&setting);
    held.hold(&[]).expect(0);
    fs::rename(held.out(), setting.pki()).expect("filed");
    let certificate = setting.pki().join("issuing.pem").display().to_string();
    fs::copy(&certificate, setting.pki().join("tanaka.pem")).expect("any certificate will do");
    let command = format!(
        "openssl x509 -in {certificate} -noout -pubkey | openssl pkey -pubin -outform DER | sha256sum | cut -c1-64"
    );
    let hash = run(Command::new("sh").args(["-c", &command])).expect("a hash");
    let spec = setting.example("ceremony-retire");
    spec.edit(&"0".repeat(64), hash.trim());
    let refused = spec.hold(&[]).expect(4).stderr;
    assert!(refused.contains("has the label (CKA_LABEL) \"issuing\", not \"customer-issuing\""), "{refused}");
    assert!(!unfinished(&spec.out()).exists(), "nothing has begun");
    spec.edit("\"customer-issuing\"", "\"issuing\"");
    let folder = setting.scratch.directory("held").expect("folder");
    // Began, opened, the key found: 4 lines; then the destruction begins, and its end isn't noted.
    let reference = reference_log(&setting);
    let lines: Vec<usize> = reference.split_inclusive('\n').map(str::len).collect();
    let room = lines[..5].iter().sum::<usize>() + lines[5] / 2;
    assert!(reference.lines().nth(5).expect("a line").contains("destroyed key"), "{reference}");
    assert_eq!(cut_off_at(&setting, &spec, &folder, room), 1);
    let out = folder.join("out").display().to_string();
    let refused = spec.does("rollback", &["--out", &out]).expect(4).stderr;
    assert!(refused.contains("which nothing brings back"), "{refused}");
    spec.does("run", &["--resume", "--out", &out]).expect(0);
    assert_eq!(private_keys(&setting.online, "inro-online", PINS[3].1), Some(0));
    let found = inro_hsm(&["verify", &out]).expect(1).stdout;
    assert_eq!(found.matches("WRONG").count(), 1, "only the witness's signature is still missing: {found}");
}

/// The log of a retirement, for the lengths of its lines, by a rehearsal: its stand-in keys have names as long.
fn reference_log(setting: &Setting) -> String {
    let other = Setting::new();
    let held = small(&other);
    held.hold(&[]).expect(0);
    fs::rename(held.out(), other.pki()).expect("filed");
    fs::copy(other.pki().join("issuing.pem"), other.pki().join("tanaka.pem"))
        .expect("any certificate will do");
    let command = format!(
        "openssl x509 -in {} -noout -pubkey | openssl pkey -pubin -outform DER | sha256sum | cut -c1-64",
        other.pki().join("issuing.pem").display()
    );
    let hash = run(Command::new("sh").args(["-c", &command])).expect("a hash");
    let spec = other.example("ceremony-retire");
    assert_eq!(setting.kind, other.kind);
    spec.edit(&"0".repeat(64), hash.trim()).edit("\"customer-issuing\"", "\"issuing\"");
    spec.hold(&[]).expect(0);
    fs::read_to_string(spec.out().join("transcript.log")).expect("log")
}
