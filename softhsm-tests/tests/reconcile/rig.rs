//! A bank whose ledger and journal are taken away and put back.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;
use softhsm_tests::{
    bank::{Answer, NewUser, SoftToken, fetch},
    binaries,
    openssl::{openssl, openssl_with_input},
    process::{Process, run},
    virtual_yubikey::{Firmware, Profile},
    wait::{PATIENCE, until},
};

use crate::customers::{CONTRACT, House};

impl House {
    /// The SQLite ledger, as `inro.toml` names it.
    pub(crate) fn ledger(&self) -> PathBuf {
        let text = fs::read_to_string(self.bank.path("inro.toml")).expect("inro.toml");
        let table: toml::Table = toml::from_str(&text).expect("a configuration");
        self.bank.path(table["node"]["database"].as_str().expect("a SQLite ledger"))
    }

    pub(crate) fn journal_file(&self) -> PathBuf {
        self.bank.path("signer/journal")
    }

    /// Starts the authority and waits until it answers at all.
    pub(crate) fn start_authority(&mut self) {
        let mut command = self.bank.inro_ca(&["serve"]).expect("inro-ca");
        let mut authority =
            Process::spawn("authority", &mut command, &self.bank.path("logs")).expect("a process");
        let alive = format!("{}/livez", self.bank.urls().ops);
        let is_alive = |_: &Process| Ok(fetch(&alive).is_ok_and(|response| response.status == 200));
        authority.wait_until("answer", PATIENCE, is_alive).expect("it answers");
        self.bank.authority = Some(authority);
    }

    pub(crate) fn stop_authority(&mut self) {
        let mut authority = self.bank.authority.take().expect("it runs");
        authority.terminate(PATIENCE).expect("it ends");
    }

    pub(crate) fn stop_signer(&mut self) {
        let mut signer = self.bank.signer.take().expect("it runs");
        signer.terminate(PATIENCE).expect("it ends");
    }

    /// What `/readyz` says of the reconciliation; `None` when all is well there.
    pub(crate) fn divergence(&self) -> Option<String> {
        let verdict = fetch(&format!("{}/readyz", self.bank.urls().ops)).expect("an answer");
        let verdict: Value = serde_json::from_slice(&verdict.body).expect("JSON");
        let components = verdict["components"].as_array().expect("components");
        let found = components.iter().find(|component| component["name"] == "reconciled");
        found.expect("it is looked at")["trouble"].as_str().map(str::to_owned)
    }

    /// The status of `/readyz`.
    fn readiness(&self) -> Option<u16> {
        fetch(&format!("{}/readyz", self.bank.urls().ops)).ok().map(|response| response.status)
    }

    /// Waits until ledger and journal were compared and don't agree; returns why.
    pub(crate) fn diverged(&self) -> String {
        let unlike = |trouble: &Option<String>| {
            trouble.as_ref().is_some_and(|trouble| !trouble.contains("haven't been held"))
        };
        let found = until("the divergence", || self.divergence(), unlike);
        assert_eq!(self.readiness(), Some(503));
        found.expect("awaited")
    }

    /// `inro-ca … --json` with its exit code.
    pub(crate) fn operate(&self, arguments: &[&str]) -> (i32, Value) {
        let output = self.bank.try_operator(arguments).expect("inro-ca runs");
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        // The error stands after what was logged.
        let text = if out.is_empty() { err.lines().last().unwrap_or_default() } else { &out };
        let json = serde_json::from_str(text).unwrap_or_else(|_| panic!("{arguments:?}: {out}{err}"));
        (output.status.code().expect("an exit code"), json)
    }

    /// `inro-ca reconcile status` of the one issuer.
    pub(crate) fn status(&self) -> Value {
        let (code, status) = self.operate(&["reconcile", "status"]);
        let agreed = status["agreed"].as_bool().expect("a verdict");
        let expected = match status["issuers"][0]["agreement"].as_str() {
            Some("agreed") => 0,
            Some("unknown") => 6,
            _ => 7,
        };
        assert_eq!((code, agreed), (expected, expected == 0), "{status}");
        status["issuers"][0].clone()
    }

    pub(crate) fn accept(&self) -> (i32, Value) {
        self.operate(&[
            "reconcile",
            "accept",
            "--issuer",
            "customer",
            "--signer",
            "customer-1",
            "--reason",
            "disk failed; restored last night's backup",
        ])
    }

    /// A user without a certificate, and a token for one.
    pub(crate) fn applicant(&self, id: &str, token: u32) -> SoftToken {
        let user =
            NewUser { id, contract: CONTRACT, role: "general", name: "試験 花子", token: Some(token) };
        self.bank.register_user(&user).expect("a user");
        SoftToken::new(&self.bank, Profile::new(token, Firmware(5, 7, 2))).expect("a token")
    }

    /// An enrolment is refused because nothing is issued.
    pub(crate) fn issues_nothing_to(&self, id: &str, token: &SoftToken) {
        let answer: Answer<_> = self.client.enroll(id, token, "while-halted-0001").expect("an answer");
        let problem = answer.expect_err("refused");
        assert_eq!((problem.code.as_str(), problem.status), ("issuing-halted", 503), "{problem:?}");
    }

    pub(crate) fn enrolls(&self, id: &str, token: &SoftToken) {
        let key = format!("{id}-afterwards");
        self.client.enroll(id, token, &key).expect("an answer").expect("a certificate");
    }

    /// The current CRL's number and serial numbers; `None` while none is shown.
    pub(crate) fn crl(&self) -> Option<(u64, String)> {
        let response = fetch(&format!("{}/crl/customer-0.crl", self.bank.urls().validation)).ok()?;
        if response.status != 200 {
            assert_eq!(response.status, 503);
            return None;
        }
        let show = ["crl", "-inform", "DER", "-noout", "-text", "-crlnumber"];
        let text = openssl_with_input(&show, &response.body).expect("a CRL");
        let text = String::from_utf8_lossy(&text).into_owned();
        let number = text.lines().find_map(|line| line.strip_prefix("crlNumber=")).expect("a number");
        let number = u64::from_str_radix(number.trim().trim_start_matches("0x"), 16).expect("a number");
        Some((number, text))
    }

    /// Waits until these serial numbers are on the CRL; returns its number.
    pub(crate) fn on_the_crl(&self, serials: &[&str]) -> u64 {
        let lines: Vec<_> =
            serials.iter().map(|serial| format!("Serial Number: {}", serial.to_uppercase())).collect();
        let shows = |crl: &Option<(u64, String)>| {
            crl.as_ref().is_some_and(|(_, text)| lines.iter().all(|line| text.contains(line)))
        };
        until("the CRL", || self.crl(), shows).expect("awaited").0
    }

    /// What OCSP says of a serial number: the word after the colon, or why there is no answer.
    pub(crate) fn ocsp(&self, serial: &str) -> String {
        let url = format!("{}/ocsp", self.bank.urls().validation);
        let file = |name: &str| self.bank.path(name).to_string_lossy().into_owned();
        let (issuer, root) = (file("ceremony/issuing.pem"), file("ceremony/root.pem"));
        let number = format!("0x{serial}");
        let asked = ["ocsp", "-CAfile", &root, "-issuer", &issuer, "-serial", &number, "-url", &url];
        match openssl(&asked) {
            Ok(text) => {
                let line = text.lines().find_map(|line| line.strip_prefix(&format!("{number}: ")));
                line.unwrap_or(&text).to_owned()
            }
            Err(error) => format!("{error:#}"),
        }
    }

    /// `inro-hsm …` on the signer's host.
    pub(crate) fn hsm(arguments: &[&str]) -> String {
        let mut command = Command::new(binaries::find("inro-hsm").expect("inro-hsm"));
        run(command.args(arguments)).expect("inro-hsm does it")
    }

    /// Copies the journal off the host, beside the running signer.
    pub(crate) fn copy_journal(&self, to: &Path) {
        let journal = self.journal_file();
        Self::hsm(&["journal", "copy", &journal.to_string_lossy(), "--to", &to.to_string_lossy()]);
    }

    /// The signer's host is made anew, with this copy of the journal or none.
    pub(crate) fn replace_journal(&mut self, copy: Option<&Path>) {
        self.stop_signer();
        let journal = self.journal_file();
        for suffix in ["", ".acknowledged", ".checkpoint"] {
            let mut name = journal.clone().into_os_string();
            name.push(suffix);
            let _ = fs::remove_file(name);
        }
        if let Some(copy) = copy {
            Self::hsm(&["journal", "restore", &copy.to_string_lossy(), "--to", &journal.to_string_lossy()]);
        }
        self.bank.start_signer().expect("a signer");
    }
}
