//! A bank with two officers, whose trust store has the virtual YubiKeys' makers.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use jiff::SignedDuration;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use softhsm_tests::{
    bank::{Bank, EnrolmentClient, Options, SoftToken},
    binaries,
    faults::Faults,
    openssl::openssl,
    process::output_of,
    scratch::Scratch,
    virtual_yubikey::{Firmware, Profile},
};

/// Below the first root; its keys are RSA-2048 by the default policy.
pub(crate) const OLD: Firmware = Firmware(5, 4, 3);
/// Below the first root.
pub(crate) const NEW: Firmware = Firmware(5, 7, 2);
/// Below the second root.
pub(crate) const NEWEST: Firmware = Firmware(5, 7, 4);

/// A certificate and who has it.
pub(crate) struct Issued {
    pub(crate) serial: String,
    pub(crate) user: String,
    pub(crate) certificate: Vec<u8>,
    pub(crate) token: SoftToken,
}

impl Issued {
    /// Where the user's mail goes.
    pub(crate) fn email(&self) -> String {
        email_of(&self.user)
    }
}

pub(crate) struct House {
    pub(crate) client: EnrolmentClient,
    pub(crate) bank: Bank,
    clock: Faults,
    _scratch: Scratch,
}

impl House {
    /// With the makers' files of the configuration, and nothing in the trust store yet.
    pub(crate) fn open(name: &str) -> Self {
        let scratch = Scratch::new(name).expect("a scratch directory");
        let options = Options { adjust: Some(with_officers), ..Options::default() };
        let clock = Faults::new(&scratch.join("clock"), &[]).expect("a clock");
        let mut bank = Bank::prepare(&scratch.join("bank"), &options).expect("a bank");
        bank.keep_time_by(&clock).expect("the clock");
        std::fs::create_dir_all(bank.path("officers")).expect("a folder");
        for officer in ["sato", "suzuki", "stranger"] {
            new_officer(&bank, officer);
        }
        bank.begin().expect("a bank");
        bank.register_contract("7654321", "証拠商事").expect("a contract");
        Self { client: EnrolmentClient::new(&bank).expect("a client"), bank, clock, _scratch: scratch }
    }

    /// It is so much later, and signer and authority are started anew: a signer follows no jump of its clock.
    pub(crate) fn later(&mut self, by: SignedDuration) {
        self.clock.clock(by).expect("a clock");
        (self.bank.authority, self.bank.signer) = (None, None);
        self.bank.start_signer().expect("a signer");
        self.bank.start_authority().expect("an authority");
    }

    /// Whose first trust version two officers have signed, and the authority taken up.
    pub(crate) fn with_trust(name: &str) -> Self {
        let house = Self::open(name);
        house.import_makers();
        house.stage("sato");
        house.approve("suzuki");
        house.taken_up(1);
        house
    }

    pub(crate) fn path(&self, name: impl AsRef<Path>) -> String {
        self.bank.path(name).to_string_lossy().into_owned()
    }

    /// `inro-ca … --json`, which must succeed.
    pub(crate) fn operator(&self, arguments: &[&str]) -> Value {
        self.bank.operator(arguments).expect("an answer")
    }

    /// `inro-ca … --json`, which must be refused with this status; what it said.
    pub(crate) fn refused(&self, status: i32, arguments: &[&str]) -> String {
        let output = self.bank.try_operator(arguments).expect("inro-ca runs");
        let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(status), "inro-ca {}: {said}", arguments.join(" "));
        said
    }

    pub(crate) fn draft(&self) -> String {
        self.path("trust-draft.json")
    }

    pub(crate) fn import_makers(&self) {
        let fingerprints: Vec<String> = self.makers().iter().map(|der| sha256(der)).collect();
        let (draft, files) = (self.draft(), self.maker_files());
        let mut arguments = vec!["trust", "import", "yubico", "--draft", &draft];
        arguments.extend(files.iter().map(String::as_str));
        for fingerprint in &fingerprints {
            arguments.extend(["--accept", fingerprint]);
        }
        let report = self.operator(&arguments);
        assert_eq!(report["added"], fingerprints.len(), "{report}");
    }

    pub(crate) fn maker_files(&self) -> Vec<String> {
        ["first-root", "second-root", "intermediates"]
            .map(|name| self.path(format!("attestation/{name}.pem")))
            .to_vec()
    }

    /// The makers' certificates, DER: both roots first.
    pub(crate) fn makers(&self) -> Vec<Vec<u8>> {
        let of_file = |path: &String| -> Vec<Vec<u8>> {
            let text = std::fs::read(path).expect("a file");
            let certificates = x509_cert::Certificate::load_pem_chain(&text).expect("certificates");
            certificates.iter().map(|one| der::Encode::to_der(one).expect("DER")).collect()
        };
        self.maker_files().iter().flat_map(of_file).collect()
    }

    pub(crate) fn officer(&self, name: &str) -> [String; 2] {
        [self.path(format!("officers/{name}.pem")), self.path(format!("officers/{name}.key"))]
    }

    pub(crate) fn stage(&self, officer: &str) {
        let ([certificate, key], draft) = (self.officer(officer), self.draft());
        self.operator(&["trust", "stage", "--draft", &draft, "--certificate", &certificate, "--key", &key]);
    }

    pub(crate) fn approve(&self, officer: &str) {
        let [certificate, key] = self.officer(officer);
        self.operator(&["trust", "approve", "--certificate", &certificate, "--key", &key]);
        std::fs::remove_file(self.bank.path("trust-draft.json")).expect("the draft");
    }

    /// Waits until the authority believes this version.
    pub(crate) fn taken_up(&self, version: u32) {
        self.bank.logs(&["a new trust version was taken up", &format!("\"version\":{version}")]);
    }

    /// A user with a certificate on a token of this firmware.
    pub(crate) fn enrol(&self, number: u32, firmware: Firmware) -> Issued {
        let user = format!("user-{number}");
        let (email, serial) = (email_of(&user), number.to_string());
        let password = self.bank.secret("login").display().to_string();
        let general = ["--contract", "7654321", "--role", "general", "--name", "証拠", "--email", &email];
        self.operator(&[&["user", "add", &user], &general[..]].concat());
        self.operator(&["user", "set-password", &user, "--kind", "login", "--password-file", &password]);
        self.operator(&["user", "assign-token", &user, "--serial", &serial]);
        let token = SoftToken::new(&self.bank, Profile::new(number, firmware)).expect("a token");
        let certified =
            self.client.enroll(&user, &token, &format!("rejudge-key-{number}")).expect("an answer");
        let certificate = certified.unwrap_or_else(|problem| panic!("{problem:?}")).certificate.0;
        Issued { serial: Bank::serial_of(&certificate).expect("a serial number"), user, certificate, token }
    }
}

/// `inro-agent … --json`.
pub(crate) fn agent(arguments: &[&str]) -> Output {
    let mut command = Command::new(binaries::find("inro-agent").expect("inro-agent"));
    command.arg("--json").args(arguments).env("LANG", "C.UTF-8");
    output_of(&mut command, b"").expect("inro-agent runs")
}

fn with_officers(config: &mut toml::Table) {
    let trust = config["trust"].as_table_mut().expect("[trust]");
    let officers = ["officers/sato.pem", "officers/suzuki.pem"].map(toml::Value::from).to_vec();
    trust.insert("officers".to_owned(), officers.into());
}

fn new_officer(bank: &Bank, name: &str) {
    let [certificate, key] = ["pem", "key"]
        .map(|kind| bank.path(format!("officers/{name}.{kind}")).to_string_lossy().into_owned());
    let subject = format!("/O=Example Bank/CN={name}");
    openssl(&[
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "30",
        "-subj",
        &subject,
        "-keyout",
        &key,
        "-out",
        &certificate,
    ])
    .expect("an officer");
}

fn email_of(user: &str) -> String {
    format!("{user}@fleet.example")
}

pub(crate) fn sha256(octets: &[u8]) -> String {
    hex::encode(Sha256::digest(octets))
}

pub(crate) fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

/// A PEM file of several certificates.
pub(crate) fn write_pem(path: &Path, certificates: &[Vec<u8>]) -> PathBuf {
    let all: String = certificates
        .iter()
        .map(|der| der::pem::encode_string("CERTIFICATE", der::pem::LineEnding::LF, der).expect("PEM"))
        .collect();
    std::fs::write(path, all).expect("a file");
    path.to_owned()
}
