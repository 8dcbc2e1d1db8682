//! A private folder with specifications, stores of tokens and PIN files, and the program run on them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;
use sha2::{Digest, Sha256};
use softhsm_tests::{
    binaries,
    hsm::{Hsm, Kind},
    scratch::Scratch,
    softhsm::MODULE,
};

pub(crate) const DEADLINE: Duration = Duration::from_mins(1);
pub(crate) const PINS: [(&str, &str); 6] = [
    ("root/so-pin", "officer-of-the-root"),
    ("root/pin", "user-of-the-root"),
    ("online/so-pin", "officer-of-the-online"),
    ("online/pin", "user-of-the-online"),
    ("backup/so-pin", "officer-of-the-backup"),
    ("backup/pin", "user-of-the-backup"),
];

/// The example specifications, their paths led to a private folder with three stores of tokens and their PIN files.
pub(crate) struct Setting {
    pub(crate) scratch: Scratch,
    pub(crate) kind: Kind,
    pub(crate) root: Hsm,
    pub(crate) online: Hsm,
    pub(crate) backup: Hsm,
    pub(crate) spec: PathBuf,
}

impl Setting {
    pub(crate) fn new() -> Self {
        let scratch = Scratch::new("ceremony").expect("scratch");
        let kind = Kind::of_target(env!("CARGO_CRATE_NAME"));
        let store = |name: &str| Hsm::new(kind, &scratch.directory(name).expect("folder")).expect("a store");
        let (root, online, backup) = (store("root"), store("online"), store("backup"));
        for (name, pin) in PINS {
            let path = scratch.write(name, format!("{pin}\n")).expect("PIN file");
            fs::set_permissions(path, Permissions::from_mode(0o600)).expect("mode");
        }
        let spec = scratch.join("ceremony.toml");
        let setting = Self { scratch, kind, root, online, backup, spec };
        setting.example("ceremony");
        setting
    }

    /// An example of the documentation, written beside the others and returned with its path.
    pub(crate) fn example(&self, name: &str) -> Spec<'_> {
        let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/../hsm-config/examples");
        let text = fs::read_to_string(format!("{examples}/{name}.toml")).expect("the example");
        self.write(name, &text)
    }

    /// A specification that names SoftHSM and `/etc/inro`, led to these stores.
    pub(crate) fn write(&self, name: &str, text: &str) -> Spec<'_> {
        let mut text = text.replace("/etc/inro", &self.scratch.path().display().to_string());
        if self.kind == Kind::Kryoptic {
            text = text.replace(MODULE, &self.module()).replace("SOFTHSM2_CONF", "KRYOPTIC_CONF");
            text = text.replace("softhsm2.conf", "kryoptic.conf");
        }
        let path = self.scratch.write(&format!("{name}.toml"), text).expect("specification");
        Spec { setting: self, name: name.to_owned(), path }
    }

    /// The first ceremony held, its output in `pki`, where the other examples look for it.
    pub(crate) fn established() -> Self {
        let setting = Self::new();
        setting.hold_into_pki();
        setting
    }

    /// Holds the first ceremony as its specification says by now, into `pki`.
    pub(crate) fn hold_into_pki(&self) {
        let pki = self.pki().display().to_string();
        self.ceremony(&["run", "--out", &pki]).expect(0);
    }

    pub(crate) fn pki(&self) -> PathBuf {
        self.scratch.join("pki")
    }

    /// Changes the specification.
    pub(crate) fn edit(&self, from: &str, to: &str) -> &Self {
        let text = fs::read_to_string(&self.spec).expect("specification");
        assert!(text.contains(from), "{from} is not in the specification");
        fs::write(&self.spec, text.replace(from, to)).expect("specification");
        self
    }

    pub(crate) fn ceremony(&self, arguments: &[&str]) -> Finished {
        let mut all = vec![arguments[0], self.spec.to_str().expect("a path")];
        all.extend(&arguments[1..]);
        inro_hsm(&all)
    }

    pub(crate) fn out(&self) -> PathBuf {
        self.scratch.join("out")
    }

    pub(crate) fn run(&self) -> Finished {
        self.ceremony(&["run", "--json", "--out", &self.out().display().to_string()])
    }

    /// On throw-away tokens of the very module.
    pub(crate) fn rehearse(&self) -> Finished {
        self.ceremony(&["rehearse"])
    }

    pub(crate) fn module(&self) -> String {
        self.root.module().display().to_string()
    }

    /// Every file below the folder and its hash.
    pub(crate) fn tree(&self) -> BTreeMap<PathBuf, String> {
        let mut files = BTreeMap::new();
        let mut folders = vec![self.scratch.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).expect("folder") {
                let path = entry.expect("entry").path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    files.insert(path.clone(), sha256(&path));
                }
            }
        }
        files
    }

    pub(crate) fn tokens(&self) -> usize {
        [&self.root, &self.online, &self.backup].iter().map(|store| store.tokens().expect("a store")).sum()
    }
}

/// One specification of a setting.
pub(crate) struct Spec<'a> {
    setting: &'a Setting,
    name: String,
    pub(crate) path: PathBuf,
}

impl Spec<'_> {
    /// Changes it.
    pub(crate) fn edit(&self, from: &str, to: &str) -> &Self {
        let text = fs::read_to_string(&self.path).expect("specification");
        assert!(text.contains(from), "{from} is not in the specification");
        fs::write(&self.path, text.replace(from, to)).expect("specification");
        self
    }

    /// Adds to it.
    pub(crate) fn add(&self, text: &str) -> &Self {
        let mut whole = fs::read_to_string(&self.path).expect("specification");
        whole.push_str(&text.replace("/etc/inro", &self.setting.scratch.path().display().to_string()));
        fs::write(&self.path, whole).expect("specification");
        self
    }

    /// A command on it.
    pub(crate) fn does(&self, command: &str, further: &[&str]) -> Finished {
        let mut all = vec![command, self.path.to_str().expect("a path")];
        all.extend(further);
        inro_hsm(&all)
    }

    pub(crate) fn out(&self) -> PathBuf {
        self.setting.scratch.join(format!("out-{}", self.name))
    }

    /// Holds it.
    pub(crate) fn hold(&self, further: &[&str]) -> Finished {
        let out = self.out().display().to_string();
        let mut all = vec!["--json", "--out", &out];
        all.extend(further);
        self.does("run", &all)
    }

    /// Planned, rehearsed and held as it should be, and checked again; the output.
    pub(crate) fn holds(&self, further: &[&str]) -> PathBuf {
        self.does("lint", &[]).expect(0);
        let plan = self.does("plan", &[]).expect(0);
        assert!(plan.stdout.contains("nothing stands in the way"), "{}", plan.stdout);
        self.does("rehearse", &[]).expect(0);
        self.hold(further).expect(0);
        verified(&self.out());
        self.out()
    }
}

/// Runs `inro-hsm ceremony`.
pub(crate) fn inro_hsm(arguments: &[&str]) -> Finished {
    let program = binaries::find("inro-hsm").expect("inro-hsm");
    let mut command = Command::new(program);
    command.arg("ceremony").args(arguments).stdin(std::process::Stdio::null());
    Finished::new(&command.output().expect("started"))
}

/// A folder that nobody altered, by the certificates of the keys that signed it.
pub(crate) fn verified(folder: &Path) {
    let mut signers = Vec::new();
    for entry in fs::read_dir(folder).expect("output") {
        let name = entry.expect("entry").file_name().into_string().expect("text");
        let signer = name.strip_prefix("transcript.").and_then(|name| name.strip_suffix(".p7s"));
        let certificate = signer.map(|signer| folder.join(format!("{signer}.pem")));
        signers.extend(certificate.filter(|path| path.exists()).map(|path| path.display().to_string()));
    }
    let folder = folder.display().to_string();
    let mut arguments = vec!["verify", &folder];
    arguments.extend(signers.iter().flat_map(|signer| ["--signed-by", signer]));
    let (code, said) = if signers.is_empty() {
        (5, "name with --signed-by a certificate that you have from elsewhere\n")
    } else {
        (0, "nothing was altered\n")
    };
    let found = inro_hsm(&arguments).expect(code);
    assert!(found.stdout.ends_with(said), "{}", found.stdout);
}

/// A run of the program.
pub(crate) struct Finished {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Finished {
    pub(crate) fn new(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let finished = Self {
            code: output.status.code().unwrap_or(-1),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        };
        for (_, pin) in PINS {
            assert!(!finished.stdout.contains(pin) && !finished.stderr.contains(pin), "a PIN was printed");
        }
        finished
    }

    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}\n{}", self.stdout, self.stderr);
        self
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {}", self.stdout))
    }
}

/// Says which files differ, not what all of them are.
pub(crate) fn assert_unchanged(before: &BTreeMap<PathBuf, String>, after: &BTreeMap<PathBuf, String>) {
    let paths: BTreeSet<&PathBuf> = before.keys().chain(after.keys()).collect();
    let changed: Vec<&PathBuf> =
        paths.into_iter().filter(|path| before.get(*path) != after.get(*path)).collect();
    assert!(changed.is_empty(), "changed: {changed:#?}");
}

pub(crate) fn sha256(path: &Path) -> String {
    hex::encode(Sha256::digest(fs::read(path).expect("a file")))
}

pub(crate) fn strings<'a>(value: &'a Value, key: &str) -> Vec<&'a str> {
    let list = value.as_array().expect("a list");
    list.iter().map(|item| item[key].as_str().expect("a string")).collect()
}
