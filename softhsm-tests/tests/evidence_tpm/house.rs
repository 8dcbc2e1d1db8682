//! A bank that trusts a maker of TPMs, and computers with such TPMs.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output},
};

use jiff::SignedDuration;
use serde_json::Value;
use softhsm_tests::{
    bank::{Bank, NewUser, Options},
    binaries,
    card_client::CardClient,
    faults::Faults,
    process::{Environment, output_of},
    scratch::Scratch,
    swtpm::{Swtpm, TpmMaker},
};

pub(crate) const CONTRACT: &str = "1234567";
/// The PIN that people here give to new keys, in the bank's `token-pin`.
pub(crate) const PIN: &str = softhsm_tests::bank::TOKEN_PIN;

/// The bank.
pub(crate) struct House {
    pub(crate) bank: Bank,
    pub(crate) maker: TpmMaker,
    clock: Faults,
    scratch: Scratch,
}

/// A computer with a TPM and a home folder.
pub(crate) struct Computer {
    pub(crate) tpm: Swtpm,
    pub(crate) home: PathBuf,
    /// More for the environment of its programs.
    pub(crate) extra: Environment,
}

impl House {
    pub(crate) fn open(name: &str) -> Self {
        let scratch = Scratch::new(name).expect("a scratch directory");
        let maker = TpmMaker::new(&scratch.join("maker")).expect("a maker");
        let options = Options { adjust: Some(trust_the_maker), ..Options::default() };
        let clock = Faults::new(&scratch.join("clock"), &[]).expect("a clock");
        let mut bank = Bank::prepare(&scratch.join("bank"), &options).expect("a bank");
        bank.authority_extra = clock.environment().expect("a clock");
        bank.signer_extra.clone_from(&bank.authority_extra);
        for (pem, name) in [(maker.root(), "tpm-root.pem"), (maker.intermediates(), "tpm-intermediates.pem")]
        {
            fs::copy(pem, bank.path("attestation").join(name)).expect("a copy");
        }
        fs::create_dir(bank.path("maker-crls")).expect("a folder");
        bank.begin().expect("a bank");
        bank.register_contract(CONTRACT, "試験商事").expect("a contract");
        Self { bank, maker, clock, scratch }
    }

    /// So many days after the beginning, at the bank and for programs with its clock. A signer follows no jump of its
    /// clock, so another one begins.
    pub(crate) fn days_later(&mut self, days: i64) {
        self.clock.clock(SignedDuration::from_hours(24 * days)).expect("a clock");
        self.bank.signer = None;
        self.bank.start_signer().expect("a signer");
        self.bank.authority = None;
        self.bank.start_authority().expect("an authority");
    }

    /// What gives a program the bank's clock.
    pub(crate) fn clock(&self) -> Environment {
        self.clock.environment().expect("a clock")
    }

    /// Runs `inro-agent renew --token tpm` to its good end.
    pub(crate) fn renew(&self, computer: &Computer, more: &[&str]) -> Value {
        let file = |path: PathBuf| path.to_string_lossy().into_owned();
        let (trust, login) = (file(self.bank.path("tls/ca.pem")), file(self.bank.secret("login")));
        let (pin, url) = (file(self.bank.secret("token-pin")), self.bank.urls().public);
        let mut arguments = vec!["renew", "--token", "tpm", "--server", &url, "--ca-file", &trust];
        arguments.extend(["--password-file", &login, "--pin-file", &pin]);
        arguments.extend(more);
        json(&computer.agent(&arguments), 0)
    }

    /// A computer with a new TPM of the maker.
    pub(crate) fn computer(&self, name: &str) -> Computer {
        let tpm = self.maker.tpm(&self.scratch.join(format!("{name}-tpm"))).expect("a TPM");
        let home = self.scratch.directory(&format!("{name}-home")).expect("a home");
        Computer { tpm, home, extra: Environment::new() }
    }

    /// A general user who may enrol in this TPM, and in no other.
    pub(crate) fn user(&self, id: &str, computer: &Computer) {
        let user = NewUser { id, contract: CONTRACT, role: "general", name: "試験 太郎", token: None };
        self.bank.register_user(&user).expect("a user");
        let serial = computer.serial();
        let arguments = ["user", "assign-token", id, "--kind", "tpm", "--serial", &serial];
        self.bank.operator(&arguments).expect("the TPM is assigned");
    }

    /// Runs `inro-agent enroll --token tpm`, whatever its end.
    pub(crate) fn try_enroll(&self, computer: &Computer, id: &str, more: &[&str]) -> Output {
        let file = |path: PathBuf| path.to_string_lossy().into_owned();
        let (trust, login) = (file(self.bank.path("tls/ca.pem")), file(self.bank.secret("login")));
        let (pin, url) = (file(self.bank.secret("token-pin")), self.bank.urls().public);
        let mut arguments =
            vec!["enroll", "--token", "tpm", "--server", &url, "--ca-file", &trust, "--user", id];
        arguments.extend(["--pin-file", &pin, "--new-pin-file", &pin]);
        if !more.contains(&"--password-file") {
            arguments.extend(["--password-file", &login]);
        }
        arguments.extend(more);
        computer.agent(&arguments)
    }

    /// The same, to its good end.
    pub(crate) fn enroll(&self, computer: &Computer, id: &str) -> Value {
        json(&self.try_enroll(computer, id, &[]), 0)
    }

    /// A browser's part, played by curl with the key in the TPM.
    pub(crate) fn browser(&self, computer: &Computer, id: &str, pin: &str) -> CardClient {
        let environment = computer.module_environment();
        let folder = computer.home.join(format!("curl-{pin}"));
        let trust = self.bank.path("tls/ca.pem");
        CardClient::of_module(environment, &format!("token={id}"), pin, &trust, &folder).expect("a client")
    }

    /// A file with a secret, for the agent.
    pub(crate) fn secret_file(&self, name: &str, secret: &str) -> String {
        let path = self.scratch.write(name, format!("{secret}\n")).expect("a file");
        path.to_string_lossy().into_owned()
    }
}

impl Computer {
    /// Runs `inro-agent … --json`, whatever its end.
    pub(crate) fn agent(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(binaries::find("inro-agent").expect("inro-agent"));
        command.envs(self.environment()).args(["--lang", "en"]).args(arguments).arg("--json");
        output_of(&mut command, b"").expect("inro-agent runs")
    }

    /// Where this computer's programs find what is the user's. There is no smart-card service.
    pub(crate) fn environment(&self) -> Environment {
        let mut environment = self.tpm.environment();
        let home = self.home.display();
        environment.extend([
            ("HOME".to_owned(), home.to_string()),
            ("XDG_STATE_HOME".to_owned(), format!("{home}/.local/state")),
            ("XDG_CONFIG_HOME".to_owned(), format!("{home}/.config")),
            ("PCSCLITE_CSOCK_NAME".to_owned(), format!("{home}/no-pcscd")),
        ]);
        environment.extend(self.extra.iter().cloned());
        environment
    }

    /// The same for what loads the module.
    pub(crate) fn module_environment(&self) -> Environment {
        let mut environment = self.environment();
        environment.push(("PKCS11_MODULE_PATH".to_owned(), module().display().to_string()));
        environment
    }

    /// As `inro-agent tpm` shows it.
    pub(crate) fn serial(&self) -> String {
        json(&self.agent(&["tpm"]), 0)["serial"].as_str().expect("a serial").to_owned()
    }

    /// What `inro-agent list` shows of the TPM.
    pub(crate) fn list(&self) -> Vec<Value> {
        json(&self.agent(&["list", "--token", "tpm"]), 0)["certificates"].as_array().expect("a list").clone()
    }
}

/// The PKCS#11 module.
pub(crate) fn module() -> PathBuf {
    binaries::find_library("inro_tpm_pkcs11").expect("the module")
}

/// What the agent printed; its exit status must be this one.
pub(crate) fn json(output: &Output, status: i32) -> Value {
    let (out, words) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(status), "{out}{words}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {out}{words}"))
}

fn trust_the_maker(table: &mut toml::Table) {
    let policy = table["policy"].as_table_mut().expect("a section");
    policy.insert("devices".to_owned(), vec!["yubikey-piv", "tpm"].into());
    let trust = table["trust"].as_table_mut().expect("a section");
    trust.insert("maker_crls".to_owned(), "maker-crls".into());
    trust.insert("tpm_roots".to_owned(), vec!["attestation/tpm-root.pem"].into());
    trust.insert("tpm_intermediates".to_owned(), vec!["attestation/tpm-intermediates.pem"].into());
    let policy = table.entry("policy").or_insert_with(|| toml::Table::new().into());
    let policy = policy.as_table_mut().expect("a section");
    policy.insert("devices".to_owned(), vec!["tpm"].into());
    policy.insert("lowest_assurance".to_owned(), "attested".into());
}
