//! A token, a plan for its PIN, and custodians whose passphrases and PINs are in files.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

use hsm_config::custody::{Desk, Set, Which};
use serde_json::Value;
use softhsm_tests::{
    binaries,
    process::{Environment, output_of},
    scratch::Scratch,
    softhsm::SoftHsm,
};

pub(crate) const DEADLINE: Duration = Duration::from_mins(2);
/// The PINs of a token before there is custody.
pub(crate) const OLD_PIN: &str = "before-custody";
pub(crate) const OLD_SO_PIN: &str = "so-before-custody";

/// Custodians at work in a folder.
pub(crate) struct Rig {
    pub(crate) scratch: Scratch,
    /// For every command, such as where pcscd is.
    pub(crate) environment: Environment,
}

/// What a command printed and how it ended.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) errors: String,
}

impl Ended {
    #[track_caller]
    pub(crate) fn done(self) -> Self {
        assert_eq!(self.code, Some(0), "{}{}", self.out, self.errors);
        self
    }

    /// It failed, and said this.
    #[track_caller]
    pub(crate) fn failed(self, words: &str) -> Self {
        assert_eq!(self.code, Some(1), "{}{}", self.out, self.errors);
        assert!(self.errors.contains(words), "{words:?} isn't in {}", self.errors);
        self
    }

    /// More custodians are needed.
    #[track_caller]
    pub(crate) fn needs_more(self) -> Self {
        assert_eq!(self.code, Some(3), "{}{}", self.out, self.errors);
        self
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).expect("JSON")
    }
}

impl Rig {
    pub(crate) fn new() -> Self {
        Self { scratch: Scratch::new("custody").expect("scratch"), environment: Environment::new() }
    }

    /// With a token of its own, initialised with [`OLD_PIN`] and [`OLD_SO_PIN`].
    pub(crate) fn with_token() -> (Self, SoftHsm) {
        let rig = Self::new();
        let hsm = SoftHsm::new(&rig.scratch.directory("hsm").expect("a folder")).expect("installed");
        hsm.init_token("vault", OLD_SO_PIN, OLD_PIN).expect("initialised");
        (rig, hsm)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.scratch.join(name)
    }

    /// A file that its owner alone can read.
    pub(crate) fn secret(&self, name: &str, text: &str) -> PathBuf {
        let path = self.scratch.write(name, format!("{text}\n")).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("mode set");
        path
    }

    /// A plan: two of these custodians, who are lines of TOML, or names of custodians with passphrases.
    pub(crate) fn plan(
        &self,
        name: &str,
        pin: &str,
        hsm: &SoftHsm,
        label: &str,
        custodians: &[&str],
    ) -> PathBuf {
        let mut text = format!(
            "name = \"{name}\"\nthreshold = 2\npin = \"{pin}\"\n[token]\nmodule = \"{}\"\nlabel = \"{label}\"\n\
             environment = {{ SOFTHSM2_CONF = \"{}\" }}\n",
            hsm.module().display(),
            hsm.configuration().display()
        );
        for custodian in custodians {
            let (name, sealing) = custodian.split_once(' ').unwrap_or((custodian, "passphrase = true"));
            text.extend(["[[custodian]]\nname = \"", name, "\"\n", sealing, "\n"]);
        }
        self.scratch.write(&format!("{name}.toml"), text).expect("written")
    }

    /// `inro-hsm custody …`, in the rig's folder.
    pub(crate) fn custody(&self, arguments: &[&str]) -> Ended {
        let Output { status, stdout, stderr } = self.command(arguments);
        let text = |octets: Vec<u8>| String::from_utf8_lossy(&octets).into_owned();
        Ended { code: status.code(), out: text(stdout), errors: text(stderr) }
    }

    fn command(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(binaries::find("inro-hsm").expect("inro-hsm"));
        command.arg("custody").args(arguments).current_dir(self.scratch.path());
        output_of(command.envs(self.environment.iter().cloned()), b"").expect("ran")
    }

    /// Writes the passphrase files of these custodians and returns the options that name them.
    pub(crate) fn passphrases(&self, custodians: &[&str]) -> Vec<String> {
        let option = |name: &&str| {
            self.secret(&format!("{name}.passphrase"), &format!("the kettle of {name} sings at midnight"));
            ["--passphrase-file".to_owned(), format!("{name}={name}.passphrase")]
        };
        custodians.iter().flat_map(option).collect()
    }

    /// Runs a command at which these custodians are present, with their passphrases.
    pub(crate) fn with(&self, arguments: &[&str], custodians: &[&str]) -> Ended {
        let files = self.passphrases(custodians);
        let mut all: Vec<&str> = arguments.to_vec();
        for name in custodians {
            all.extend(["--custodian", name]);
        }
        all.extend(files.iter().map(String::as_str));
        self.custody(&all)
    }

    /// Makes a set and has everybody prove theirs.
    pub(crate) fn proven_set(&self, set: &str, plan: &Path, custodians: &[&str]) {
        let plan = plan.display().to_string();
        let files = self.passphrases(custodians);
        let mut create = vec!["create", set, "--plan", &plan];
        create.extend(files.iter().map(String::as_str));
        self.custody(&create).needs_more();
        self.with(&["prove", set], custodians).done();
    }

    /// The PIN of the generation in force, which nobody but a test looks at.
    pub(crate) fn look_inside(&self, set: &str, custodians: &[&str]) -> String {
        self.passphrases(custodians);
        let file = |name: &&str| ((*name).to_owned(), self.path(&format!("{name}.passphrase")));
        let mut desk = Desk {
            passphrase_files: custodians.iter().map(file).collect(),
            present: custodians.iter().map(|name| (*name).to_owned()).collect(),
            ..Desk::default()
        };
        let set = Set::open(&self.path(set)).expect("a set");
        set.assemble(Which::Current, &mut desk).expect("a PIN").expose().to_owned()
    }
}

/// Whether the token takes this PIN, asked through somebody else's program. It costs a try when it doesn't.
pub(crate) fn takes(hsm: &SoftHsm, label: &str, officer: bool, pin: &str) -> bool {
    let mut command = Command::new("pkcs11-tool");
    command.arg("--module").arg(hsm.module()).args(["--token-label", label, "--login"]);
    if officer {
        // A login of the officer's wants something to do.
        command.args(["--login-type", "so", "--so-pin", pin, "--init-pin", "--new-pin", OLD_PIN]);
    } else {
        command.args(["--pin", pin, "--list-objects"]);
    }
    let output = output_of(command.envs(hsm.environment()), b"").expect("ran");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() || errors.contains("CKR_PIN_INCORRECT"), "{errors}");
    output.status.success()
}

/// Every regular file below a folder, with its text.
pub(crate) fn files_below(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("readable").flatten() {
        let path = entry.path();
        let kind = entry.file_type().expect("readable");
        if kind.is_dir() {
            files.extend(files_below(&path));
        } else if kind.is_file() {
            files.push((
                path.clone(),
                String::from_utf8_lossy(&fs::read(&path).expect("readable")).into_owned(),
            ));
        }
    }
    files
}

/// Permission bits.
pub(crate) fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("there").mode() & 0o777
}
