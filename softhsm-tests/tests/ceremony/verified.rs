//! Checked again years later: what was altered is named, by a program that has nothing but the files.

use std::fs;
use std::path::Path;

use hsm_config::ceremony::record::log::Chain;
use hsm_config::ceremony::record::transcript::Transcript;
use softhsm_tests::scratch::Scratch;

use super::rig::{Setting, inro_hsm, sha256, verified};

/// A copy of a ceremony's output, to be altered.
fn copy(from: &Path, scratch: &Scratch, name: &str) -> std::path::PathBuf {
    let to = scratch.directory(name).expect("folder");
    for entry in fs::read_dir(from).expect("output") {
        let path = entry.expect("entry").path();
        fs::copy(&path, to.join(path.file_name().expect("a name"))).expect("copied");
    }
    to
}

fn edit(path: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).expect("text");
    assert!(text.contains(from), "{from} is not in {}", path.display());
    fs::write(path, text.replacen(from, to, 1)).expect("altered");
}

/// Lines, changed as a whole.
fn lines(path: &Path, change: impl FnOnce(&mut Vec<String>)) {
    let text = fs::read_to_string(path).expect("text");
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    change(&mut lines);
    fs::write(path, lines.join("\n") + "\n").expect("altered");
}

/// What must be named, and what is done to a folder.
type Alteration = (&'static str, fn(&Path));

#[test]
fn every_alteration_is_named() {
    let setting = Setting::established();
    let pki = setting.pki();
    verified(&pki);
    let alterations: [Alteration; 16] = [
        ("transcript.log: line 9 (made P-384 key \"boot\"", |dir| {
            edit(&dir.join("transcript.log"), "\\\"root\\\" on token", "\\\"boot\\\" on token");
        }),
        ("transcript.log: line 3 has number 4", |dir| {
            lines(&dir.join("transcript.log"), |all| drop(all.remove(2)));
        }),
        ("transcript.log: line 4 has number 5", |dir| {
            lines(&dir.join("transcript.log"), |all| all.swap(3, 4));
        }),
        ("transcript.log: the ceremony has no end", |dir| {
            lines(&dir.join("transcript.log"), |all| drop(all.pop()));
        }),
        ("transcript.json: certificates[2]: subject: was altered", |dir| {
            edit(&dir.join("transcript.json"), "CN=Inro Example Customer CA", "CN=Inro Example Customer CB");
        }),
        ("transcript.json: present[3]: name: was altered", |dir| {
            edit(&dir.join("transcript.json"), "Tanaka Yuki", "Nobody");
        }),
        ("transcript.json: present: has 2 items; the log has 3", |dir| {
            let text = fs::read_to_string(dir.join("transcript.json")).expect("JSON");
            let mut json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
            json["present"].as_array_mut().expect("people").remove(0);
            fs::write(dir.join("transcript.json"), json.to_string()).expect("altered");
        }),
        ("transcript.txt line 3: is not what the log says", |dir| {
            lines(&dir.join("transcript.txt"), |all| all[2].push('!'));
        }),
        ("issuing.pem: was altered", |dir| {
            assert!(fs::copy(dir.join("root.pem"), dir.join("issuing.pem")).is_ok());
        }),
        ("root.crl: was altered", |dir| {
            let mut crl = fs::read(dir.join("root.crl")).expect("CRL");
            let last = crl.len() - 1;
            crl[last] ^= 1;
            fs::write(dir.join("root.crl"), crl).expect("altered");
        }),
        ("chain.pem: can't be read", |dir| fs::remove_file(dir.join("chain.pem")).expect("removed")),
        ("extra.pem: is not a file of this ceremony", |dir| {
            assert!(fs::copy(dir.join("root.pem"), dir.join("extra.pem")).is_ok());
        }),
        ("transcript.root.p7s: can't be read", |dir| {
            fs::remove_file(dir.join("transcript.root.p7s")).expect("removed");
        }),
        (
            "transcript.root.p7s: is by C=JP, O=Inro Example Bank, CN=Inro Example Customer CA, not by key \"root\"",
            |dir| {
                fs::copy(dir.join("transcript.issuing.p7s"), dir.join("transcript.root.p7s"))
                    .expect("swapped");
            },
        ),
        ("transcript.ocsp.p7s: the signature of key \"customer-ocsp\"", |dir| {
            let mut signature = fs::read(dir.join("transcript.ocsp.p7s")).expect("CMS");
            let last = signature.len() - 1;
            signature[last] ^= 1;
            fs::write(dir.join("transcript.ocsp.p7s"), signature).expect("altered");
        }),
        ("ceremony.toml: was altered", |dir| edit(&dir.join("ceremony.toml"), "years = 20", "years = 21")),
    ];
    for (index, (named, alter)) in alterations.into_iter().enumerate() {
        let folder = copy(&pki, &setting.scratch, &format!("altered-{index}"));
        alter(&folder);
        let found = inro_hsm(&["verify", &folder.display().to_string()]).expect(1).stdout;
        assert!(found.contains(&format!("WRONG  {named}")), "{named}: {found}");
    }
}

/// A new history, every line of it changed, that agrees with itself.
fn write_anew(folder: &Path, change: impl Fn(String) -> String) {
    let log = fs::read_to_string(folder.join("transcript.log")).expect("log");
    let mut previous = "0".repeat(64);
    let mut text = String::new();
    for line in log.lines() {
        let entry: serde_json::Value = serde_json::from_str(line).expect("a line");
        let line = change(line.replace(entry["previous"].as_str().expect("a hash"), &previous));
        fs::write(folder.join("line"), &line).expect("written");
        previous = sha256(&folder.join("line"));
        text += &line;
        text.push('\n');
    }
    fs::remove_file(folder.join("line")).expect("removed");
    let transcript =
        Transcript::of(&Chain::parse(text.as_bytes()).expect("a sound chain")).expect("a transcript");
    let json = transcript.to_json().expect("JSON");
    fs::write(folder.join("transcript.log"), &text).expect("forged");
    fs::write(folder.join("transcript.json"), &json).expect("forged");
    let hash = sha256(&folder.join("transcript.json"));
    fs::write(folder.join("transcript.txt"), transcript.to_text(&hash)).expect("forged");
}

/// Somebody who knows how it is made writes a new history: only the keys are not theirs.
#[test]
fn a_history_written_anew_is_signed_by_nobody() {
    let setting = Setting::established();
    let folder = copy(&setting.pki(), &setting.scratch, "anew");
    write_anew(&folder, |line| line.replace("Tanaka Yuki", "Yamada Ken"));
    let found = inro_hsm(&["verify", &folder.display().to_string()]).expect(1).stdout;
    assert_eq!(found.matches("was altered after it was signed").count(), 5, "{found}");
    assert!(!found.contains("WRONG  transcript.log") && !found.contains("WRONG  transcript.json"), "{found}");
}

#[test]
fn a_history_without_signers_says_who_is_missing() {
    let setting = Setting::established();
    let folder = copy(&setting.pki(), &setting.scratch, "unsigned");
    write_anew(&folder, |line| match line.find(",\"signers\":[") {
        Some(place) => line[..place].to_owned() + ",\"signers\":[]}}}",
        None => line,
    });
    for entry in fs::read_dir(&folder).expect("output") {
        let path = entry.expect("entry").path();
        if path.extension().is_some_and(|extension| extension == "p7s") {
            fs::remove_file(path).expect("removed");
        }
    }
    let found = inro_hsm(&["verify", &folder.display().to_string()]).expect(1).stdout;
    assert!(found.contains("key \"root\" is not among those that sign the transcript"), "{found}");
    assert_eq!(
        found.matches("WRONG").count(),
        found.matches("is not among those that sign").count(),
        "{found}"
    );
}

#[test]
fn a_folder_that_agrees_with_itself_is_authenticated_by_a_certificate_from_elsewhere() {
    let setting = Setting::established();
    let folder = setting.pki().display().to_string();
    let alone = inro_hsm(&["verify", &folder]).expect(5).stdout;
    assert!(alone.contains("not authenticated") && !alone.contains("nothing was altered"), "{alone}");
    let root = setting.pki().join("root.pem").display().to_string();
    let found = inro_hsm(&["verify", "--json", &folder, "--signed-by", &root]).expect(0).json();
    assert_eq!(found["authenticated"], true);
}

#[test]
fn the_result_is_for_programs_too() {
    let setting = Setting::established();
    let folder = setting.pki().display().to_string();
    let found = inro_hsm(&["verify", "--json", &folder]).expect(5).json();
    assert_eq!(found["kind"], "ceremony");
    assert_eq!(found["authenticated"], false);
    assert_eq!(found["wrong"].as_array().map(Vec::len), Some(0));
    assert!(found["right"].as_array().is_some_and(|right| right.len() >= 9));
    let missing = setting.scratch.join("nowhere").display().to_string();
    let found = inro_hsm(&["verify", "--json", &missing]).expect(1).json();
    assert_eq!(found["wrong"][0]["place"], "transcript.log");
}
