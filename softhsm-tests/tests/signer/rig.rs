//! A bank's ceremony and signer without its authority: the tests take the authority's place at the socket.

use std::{fs, path::PathBuf, process::Command, time::Duration};

use ca_x509::{certificate::CertificateTemplate, ocsp::CertStatus};
use serde_json::Value;
use signer_protocol::{
    client::{Client, ClientError},
    message::{AuditPosition, KeyLabel, RefusalCode, RevocationEntry},
};
use softhsm_tests::{
    bank::{AUDIT_HEAD, Bank, Options, Orders},
    binaries,
    hsm::Kind,
    process::{Process, output_of},
    scratch::Scratch,
};

pub(crate) const DEADLINE: Duration = Duration::from_mins(1);
pub(crate) const HEAD: AuditPosition = AUDIT_HEAD;

/// Field order is drop order: processes end before their files go.
pub(crate) struct Rig {
    pub(crate) bank: Bank,
    pub(crate) kind: Kind,
    pub(crate) orders: Orders,
    pub(crate) scratch: Scratch,
}

pub(crate) fn issuing() -> KeyLabel {
    Orders::issuing()
}

pub(crate) fn ocsp() -> KeyLabel {
    Orders::ocsp()
}

impl Rig {
    /// After the ceremony; the signer isn't started.
    pub(crate) fn prepare() -> Self {
        let scratch = Scratch::new("signer").expect("scratch");
        let kind = Kind::of_target(env!("CARGO_CRATE_NAME"));
        let options = Options { token: kind, ..Options::default() };
        let bank = Bank::prepare(scratch.path(), &options).expect("a bank");
        bank.hold_ceremony().expect("the ceremony");
        let orders = Orders::of(&bank).expect("certificates");
        Self { bank, kind, orders, scratch }
    }

    /// With the signer ready.
    pub(crate) fn start() -> Self {
        let mut rig = Self::prepare();
        rig.bank.start_signer().expect("the signer");
        rig
    }

    /// A client with a connection of its own.
    pub(crate) fn client(&self) -> Client {
        Client::new(self.bank.path("signer/socket")).with_deadline(DEADLINE)
    }

    /// Changes the signer's configuration.
    pub(crate) fn edit(&self, from: &str, to: &str) {
        let path = self.bank.path("signer.toml");
        let text = fs::read_to_string(&path).expect("signer.toml");
        assert!(text.contains(from), "{from} is not in signer.toml");
        fs::write(path, text.replace(from, to)).expect("signer.toml");
    }

    /// Starts the signer without waiting for it to be ready.
    pub(crate) fn spawn(&self, name: &str) -> Process {
        let mut command = Command::new(binaries::find("inro-hsm").expect("inro-hsm"));
        command.arg("signer").arg("--config").arg(self.bank.path("signer.toml"));
        Process::spawn(name, &mut command, &self.bank.path("logs")).expect("started")
    }

    pub(crate) fn inro_hsm(&self, arguments: &[&str]) -> std::process::Output {
        let mut command = Command::new(binaries::find("inro-hsm").expect("inro-hsm"));
        output_of(command.args(arguments).current_dir(self.scratch.path()), b"").expect("ran")
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.bank.path("signer/journal")
    }

    /// `inro-hsm journal verify`, which must find the journal sound.
    pub(crate) fn verify_journal(&self) -> Value {
        let path = self.journal().display().to_string();
        let output = self.inro_hsm(&["journal", "verify", &path, "--json"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("JSON")
    }

    /// Whether the issuing key made this signature.
    pub(crate) fn is_issuers(&self, tbs: &[u8], signature: &[u8]) -> bool {
        self.orders.is_issuers(tbs, signature)
    }

    /// A customer's certificate with a new key and serial number.
    pub(crate) fn certificate(&self) -> CertificateTemplate {
        self.orders.certificate().expect("a certificate")
    }

    pub(crate) fn certificate_with(&self, serial: &[u8]) -> CertificateTemplate {
        self.orders.certificate_with(serial).expect("a certificate")
    }

    pub(crate) fn crl(&self, number: u64, revoked: &[RevocationEntry]) -> Vec<u8> {
        self.orders.crl(number, revoked).expect("a CRL")
    }

    pub(crate) fn response(&self, serial: &[u8], status: CertStatus) -> Vec<u8> {
        self.orders.response(serial, status).expect("a response")
    }
}

pub(crate) fn tbs(template: &CertificateTemplate) -> Vec<u8> {
    template.to_tbs_der().expect("DER")
}

/// The code of a refusal; anything else fails the test.
#[track_caller]
pub(crate) fn refusal<T: std::fmt::Debug>(result: Result<T, ClientError>) -> RefusalCode {
    match result {
        Err(ClientError::Refused(refusal)) => refusal.code,
        other => panic!("not a refusal: {other:?}"),
    }
}
