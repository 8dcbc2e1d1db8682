//! A token whose PIN nobody knows: custodians give it, and no ceremony ends before each has opened their share.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use softhsm_tests::binaries;

use super::rig::{Setting, verified};

const CUSTODIANS: [&str; 3] = ["sato", "suzuki", "tanaka"];

fn custody(arguments: &[&str]) -> i32 {
    let mut command = Command::new(binaries::find("inro-hsm").expect("inro-hsm"));
    let output = command.arg("custody").args(arguments).stdin(Stdio::null()).output().expect("started");
    output.status.code().unwrap_or(-1)
}

/// Each custodian's passphrase in a file, as options.
fn passphrases(setting: &Setting) -> Vec<String> {
    let mut options = Vec::new();
    for name in CUSTODIANS {
        let path = setting
            .scratch
            .write(&format!("{name}.txt"), format!("the long passphrase of {name}\n"))
            .expect("written");
        fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("mode");
        options.extend(["--passphrase-file".to_owned(), format!("{name}={}", path.display())]);
    }
    options
}

#[test]
fn custodians_give_the_pin_and_each_share_is_proven_before_the_end() {
    let setting = Setting::new();
    let set = setting.scratch.join("custody-root").display().to_string();
    let plan = format!(
        "name = \"root-user\"\nthreshold = 2\npin = \"user\"\n[token]\nmodule = {:?}\nlabel = \"inro-root\"\nenvironment = {}\n",
        setting.root.module().display().to_string(),
        setting.root.environment_toml(),
    );
    let custodians = CUSTODIANS.map(|name| format!("[[custodian]]\nname = \"{name}\"\npassphrase = true\n"));
    let plan = plan + &custodians.concat();
    let plan = setting.scratch.write("custody-root.toml", plan).expect("plan").display().to_string();
    let passphrases = passphrases(&setting);
    let passphrases: Vec<&str> = passphrases.iter().map(String::as_str).collect();
    let with = |first: &[&'static str], set: &str, more: &[&str]| {
        let mut all: Vec<String> = first.iter().map(|text| (*text).to_owned()).collect();
        all.push(set.to_owned());
        all.extend(more.iter().chain(&passphrases).map(|text| (*text).to_owned()));
        all
    };
    let run = |all: Vec<String>| custody(&all.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(
        run(with(&["create"], &set, &["--plan", &plan])),
        3,
        "made; every share is still to be proven"
    );

    let pin = format!("pin_file = \"{}\"", setting.scratch.join("root/pin").display());
    setting.edit(&pin, &format!("pin_custody = {set:?}"));
    let out = setting.out().display().to_string();
    let mut hold = vec!["run", "--out", &out, "--custodian", "tanaka", "--custodian", "sato"];
    hold.extend(&passphrases);
    let unproven = setting.ceremony(&hold).expect(1);
    assert!(
        unproven.stderr.contains("sato, suzuki, tanaka still have to open their shares"),
        "{}",
        unproven.stderr
    );
    assert!(!setting.out().exists());

    for name in CUSTODIANS {
        run(with(&["prove"], &set, &["--custodian", name]));
    }
    hold.push("--resume");
    setting.ceremony(&hold).expect(0);
    verified(&setting.out());
    let said = fs::read_to_string(setting.out().join("transcript.txt")).expect("transcript");
    assert!(
        said.contains("each of its 3 custodians has opened their share; any 2 of them give the PIN"),
        "{said}"
    );
    a_resplit_meanwhile_changes_nothing(&setting, &set, |set| {
        run(with(&["resplit"], set, &["--plan", &plan]))
    });
}

/// A set that names its token by serial number is one for a ceremony that does so too.
#[test]
fn a_token_and_its_custodians_go_by_the_serial_number() {
    let setting = Setting::established();
    let serial = setting.root.serial("inro-root").expect("a serial number");
    let set = setting.scratch.join("custody-root").display().to_string();
    let plan = format!(
        "name = \"root-user\"\nthreshold = 2\npin = \"user\"\n[token]\nmodule = {:?}\nserial = {serial:?}\nenvironment = {}\n",
        setting.root.module().display().to_string(),
        setting.root.environment_toml(),
    );
    let custodians = CUSTODIANS.map(|name| format!("[[custodian]]\nname = \"{name}\"\npassphrase = true\n"));
    let plan = setting.scratch.write("custody-root.toml", plan + &custodians.concat()).expect("plan");
    let passphrases = passphrases(&setting);
    let run = |arguments: &[&str]| {
        let all: Vec<&str> =
            arguments.iter().copied().chain(passphrases.iter().map(String::as_str)).collect();
        custody(&all)
    };
    assert_eq!(run(&["create", &set, "--plan", &plan.display().to_string()]), 3, "made");
    for name in CUSTODIANS {
        run(&["prove", &set, "--custodian", name]);
    }
    let present = setting.scratch.join("root/pin").display().to_string();
    let switch =
        ["switch", &set, "--present-pin-file", &present, "--custodian", "sato", "--custodian", "suzuki"];
    assert_eq!(run(&switch), 0, "on the token");

    let spec = setting.example("ceremony-root-crl");
    spec.edit(&format!("pin_file = \"{present}\""), &format!("pin_custody = {set:?}"));
    let told = spec.does("lint", &[]).expect(3).stderr;
    assert!(told.contains("name the token as that set does, by label or by serial number"), "{told}");
    spec.edit("label = \"inro-root\"", &format!("serial = {serial:?}"));
    let mut further = vec!["--custodian", "tanaka", "--custodian", "sato"];
    further.extend(passphrases.iter().map(String::as_str));
    spec.does("rehearse", &[]).expect(0);
    spec.hold(&further).expect(0);
    verified(&spec.out());

    // Another token's serial number leads to no other token.
    let other = setting.example("ceremony-root-crl");
    other.edit("label = \"inro-root\"", "serial = \"0000000000000000\"");
    let out = setting.scratch.join("other").display().to_string();
    let told = other.does("run", &["--out", &out]).expect(1).stderr;
    assert!(told.contains("shows no token with serial number"), "{told}");
}

/// The generation that is being made is not the token's PIN yet, and doesn't become it in a ceremony that finds the token
/// as it is.
fn a_resplit_meanwhile_changes_nothing(setting: &Setting, set: &str, resplit: impl Fn(&str) -> i32) {
    fs::rename(setting.out(), setting.pki()).expect("filed");
    assert_eq!(resplit(set), 3, "made; every share is still to be proven");
    let spec = setting.example("ceremony-root-crl");
    let pin = format!("pin_file = \"{}\"", setting.scratch.join("root/pin").display());
    spec.edit(&pin, &format!("pin_custody = {set:?}"));
    let passphrases = passphrases(setting);
    let mut further = vec!["--custodian", "tanaka", "--custodian", "sato"];
    further.extend(passphrases.iter().map(String::as_str));
    spec.hold(&further).expect(0);
    let document = fs::read_to_string(format!("{set}/set.json")).expect("set");
    let document: serde_json::Value = serde_json::from_str(&document).expect("JSON");
    assert_eq!((&document["current"]["number"], &document["next"]["number"]), (&1.into(), &2.into()));
}
