//! A bank's online token after its ceremony, and `inro-hsm` on it.

use std::{fs, path::PathBuf, process::Command, time::Duration};

use serde_json::Value;
use softhsm_tests::{
    bank::{Bank, Options},
    binaries,
    hsm::Kind,
    process::{output_of, run},
    scratch::Scratch,
};

pub(crate) const DEADLINE: Duration = Duration::from_mins(1);

/// Field order is drop order: processes end before their files go.
pub(crate) struct Rig {
    pub(crate) bank: Bank,
    pub(crate) scratch: Scratch,
    kind: Kind,
}

/// What a run of the program left.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Finished {
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}\n{}", self.stdout, self.stderr);
        self
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {}\n{}", self.stdout, self.stderr))
    }
}

/// Runs `inro-hsm` anywhere.
pub(crate) fn inro_hsm(arguments: &[&str], environment: &[(&str, &str)]) -> Finished {
    let mut command = Command::new(binaries::find("inro-hsm").expect("inro-hsm"));
    command.args(arguments).envs(environment.iter().copied());
    let output = output_of(&mut command, b"").expect("ran");
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    Finished { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
}

impl Rig {
    /// After the ceremony; the signer isn't started.
    pub(crate) fn prepare(kind: Kind) -> Self {
        Self::after(kind, "", "")
    }

    /// The same after a ceremony whose specification says something else than the usual one.
    pub(crate) fn after(kind: Kind, from: &str, to: &str) -> Self {
        let scratch = Scratch::new("vendors").expect("scratch");
        let options = Options { token: kind, ..Options::default() };
        let bank = Bank::prepare(scratch.path(), &options).expect("a bank");
        let path = bank.path("ceremony.toml");
        let text = fs::read_to_string(&path).expect("ceremony.toml");
        assert!(text.contains(from), "{from} is not in ceremony.toml: {text}");
        if !from.is_empty() {
            fs::write(path, text.replace(from, to)).expect("ceremony.toml");
        }
        bank.hold_ceremony().expect("the ceremony");
        Self { bank, scratch, kind }
    }

    pub(crate) fn config(&self) -> String {
        self.bank.path("signer.toml").display().to_string()
    }

    /// Changes the signer's configuration.
    pub(crate) fn edit(&self, from: &str, to: &str) -> &Self {
        let path = self.bank.path("signer.toml");
        let text = fs::read_to_string(&path).expect("signer.toml");
        assert!(text.contains(from), "{from} is not in signer.toml: {text}");
        fs::write(path, text.replace(from, to)).expect("signer.toml");
        self
    }

    /// `inro-hsm doctor --config … --json` and its findings.
    #[track_caller]
    pub(crate) fn doctor(&self, code: i32) -> Findings {
        let finished = inro_hsm(&["doctor", "--json", "--config", &self.config()], &[]).expect(code);
        let pin = fs::read_to_string(self.bank.secret("online-pin")).expect("the PIN");
        let all = format!("{}{}", finished.stdout, finished.stderr);
        assert!(!all.contains(pin.trim_end()), "the PIN was printed");
        Findings::of(&finished.json())
    }

    /// OpenSC's tool on the online token, logged in.
    pub(crate) fn tool(&self, arguments: &[&str]) -> String {
        let pin = fs::read_to_string(self.bank.secret("online-pin")).expect("the PIN");
        let mut command = Command::new("pkcs11-tool");
        command.arg("--module").arg(self.module()).args(["--token-label", "inro-online", "--login", "--pin"]);
        command.arg(pin.trim_end()).args(arguments).envs(self.bank.signer_environment().iter().cloned());
        run(&mut command).expect("pkcs11-tool")
    }

    /// The module that the bank's tokens are driven by.
    pub(crate) fn module(&self) -> PathBuf {
        self.kind.module().expect("a module")
    }

    /// `NAME=VALUE` for `--env`.
    pub(crate) fn environment(&self) -> String {
        let (name, value) = &self.bank.signer_environment()[0];
        format!("{name}={value}")
    }
}

/// A doctor's findings.
#[derive(Debug)]
pub(crate) struct Findings(Vec<Value>);

impl Findings {
    #[track_caller]
    pub(crate) fn of(json: &Value) -> Self {
        let reports = json["reports"].as_array().unwrap_or_else(|| panic!("no reports: {json:#}"));
        Self(
            reports
                .iter()
                .flat_map(|report| report["findings"].as_array().expect("findings").clone())
                .collect(),
        )
    }

    /// Those of a check that are this bad.
    pub(crate) fn of_check(&self, check: &str, severity: &str) -> Vec<&Value> {
        self.0.iter().filter(|f| f["check"] == check && f["severity"] == severity).collect()
    }

    /// One of a check that is this bad and says so; with a remedy unless it is no fault.
    #[track_caller]
    pub(crate) fn has(&self, check: &str, severity: &str, text: &str) -> &Self {
        let found = self.of_check(check, severity);
        let one = found.iter().find(|f| f["finding"].as_str().expect("text").contains(text));
        let one = one.unwrap_or_else(|| panic!("no {severity} of {check} with {text:?}: {:#?}", self.0));
        if matches!(severity, "warning" | "error") {
            assert!(!one["remedy"].as_str().unwrap_or_default().is_empty(), "no remedy: {one:#}");
        }
        self
    }

    /// Nothing of these severities but in the checks named.
    #[track_caller]
    pub(crate) fn nothing_but(&self, severities: &[&str], checks: &[&str]) -> &Self {
        let others: Vec<&Value> = self
            .0
            .iter()
            .filter(|f| severities.iter().any(|severity| f["severity"] == *severity))
            .filter(|f| !checks.iter().any(|check| f["check"] == *check))
            .collect();
        assert!(others.is_empty(), "{others:#?}");
        self
    }
}
