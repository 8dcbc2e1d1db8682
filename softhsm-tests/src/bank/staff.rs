//! The bank's first members of staff, as the runbook `hsm-config/docs/staff.md` has it: keys made on their own tokens, a
//! ceremony of kind `staff` for the certificates, two administrators entered at the node, everybody else admitted by those
//! two at the console.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context, Result, ensure};
use toml::{Table, Value};

use super::{Bank, Desk, Portal, TOKEN_PIN, hidden};
use crate::{
    binaries, card_client::opensc_environment, openssl::openssl, process::run, yubikey::PluggedYubiKey,
};

/// Where the first ceremony's certificates are.
const CERTIFICATES: &str = "staff";
/// The PIN of a new YubiKey.
const FIRST_PIN: &str = "123456";

/// A member of staff, whose token is at the desk.
#[derive(Clone, Copy, Debug)]
pub struct Officer {
    /// The name in the audit trail.
    pub id: &'static str,
    /// The person's name, as the certificate has it.
    pub name: &'static str,
    /// `administrator`, `clerk`, `auditor` or `hsm-operations`.
    pub role: &'static str,
    /// The token's serial. Debian's yubico-piv-tool doesn't know AES management keys: firmware below 5.7.
    pub token: u32,
}

impl Bank {
    /// Makes each one's key on the token, holds the ceremony, and puts the certificates onto the tokens.
    ///
    /// # Errors
    /// When a tool or the ceremony refuses.
    pub fn certify_staff(&self, desk: &Desk, officers: &[Officer]) -> Result<()> {
        self.certify_staff_into(desk, officers, CERTIFICATES)
    }

    /// The same into another folder of the bank's: a later ceremony of the same kind.
    ///
    /// # Errors
    /// When a tool or the ceremony refuses.
    pub fn certify_staff_into(&self, desk: &Desk, officers: &[Officer], out: &str) -> Result<()> {
        let folder = self.path("staff-requests");
        fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        let mut confirmations = Vec::new();
        for officer in officers {
            self.request(desk, officer)?;
            let mut fingerprint = Command::new(binaries::find("inro-hsm")?);
            fingerprint.args(["ceremony", "fingerprint"]).arg(self.request_file(officer, "csr"));
            let printed = run(&mut fingerprint)?;
            // The file's name, then what is read aloud, in groups.
            let groups: String = printed.lines().skip(1).flat_map(str::split_whitespace).collect();
            confirmations.push(format!("{}={groups}", officer.id));
        }
        let specification = self.path("ceremony-staff.toml");
        fs::write(&specification, self.staff_ceremony(officers)?)
            .with_context(|| format!("writing {}", specification.display()))?;
        let mut ceremony = Command::new(binaries::find("inro-hsm")?);
        ceremony.args(["ceremony", "run"]).arg(&specification).arg("--out").arg(self.path(out));
        for confirmation in &confirmations {
            ceremony.args(["--confirm", confirmation]);
        }
        run(&mut ceremony).context("holding the ceremony for staff")?;
        for officer in officers {
            let certificate = self.path(format!("{out}/{}.pem", officer.id)).display().to_string();
            let verified = ["-a", "verify-pin", "-P", TOKEN_PIN];
            tool(
                desk,
                officer,
                &[&verified[..], &["-a", "import-certificate", "-s", "9a", "-i", &certificate]].concat(),
            )?;
        }
        Ok(())
    }

    /// Enters the administrators at the node; two of them admit the others at the console.
    ///
    /// # Errors
    /// When one is refused, or there aren't two administrators.
    pub fn admit_staff(&self, desk: &Desk, officers: &[Officer]) -> Result<()> {
        let (administrators, others): (Vec<_>, Vec<_>) =
            officers.iter().partition(|officer| officer.role == "administrator");
        for officer in &administrators {
            let certificate = self.staff_certificate(officer).display().to_string();
            let arguments =
                ["staff", "import", officer.id, "--name", officer.name, "--certificate", &certificate];
            self.operator(&arguments)?;
        }
        let [first, second, ..] = administrators[..] else {
            anyhow::bail!("it takes two administrators");
        };
        let first = Portal::console(self, desk, first.token)?;
        let second = Portal::console(self, desk, second.token)?;
        for officer in &others {
            let certificate =
                fs::read_to_string(self.staff_certificate(officer)).context("reading a certificate")?;
            let fields = [
                ("id", officer.id),
                ("name", officer.name),
                ("role", officer.role),
                ("certificate", certificate.as_str()),
                ("reason", "着任"),
            ];
            let asked = send(&first, "/staff", &fields)?;
            let request = asked.split('?').next().unwrap_or_default();
            send(&second, &format!("{request}/approve"), &[])?;
        }
        Ok(())
    }

    fn request_file(&self, officer: &Officer, ending: &str) -> PathBuf {
        self.path(format!("staff-requests/{}.{ending}", officer.id))
    }

    fn staff_certificate(&self, officer: &Officer) -> PathBuf {
        self.path(format!("{CERTIFICATES}/{}.pem", officer.id))
    }

    /// At the token: the key, the request that the token signs, and the maker's word about both. Debian's yubico-piv-tool
    /// can't sign requests (it is older than its OpenSSL), so OpenSC lets it sign, which looks for keys by certificates: for
    /// the moment the slot gets one of nobody's making.
    fn request(&self, desk: &Desk, officer: &Officer) -> Result<()> {
        let file = |ending: &str| self.request_file(officer, ending).display().to_string();
        let (public, slot, device) = (file("pub"), file("slot.pem"), file("device.pem"));
        let key = ["-a", "generate", "-s", "9a", "-A", "ECCP256", "--pin-policy", "once"];
        tool(desk, officer, &["-a", "change-pin", "-P", FIRST_PIN, "-N", TOKEN_PIN])?;
        tool(desk, officer, &[&key[..], &["--touch-policy", "never", "-o", &public]].concat())?;
        tool(desk, officer, &["-a", "attest", "-s", "9a", "-o", &slot])?;
        tool(desk, officer, &["-a", "read-certificate", "-s", "f9", "-o", &device])?;
        let (throwaway, made, pin) = (file("throwaway.key"), file("made.pem"), file("pin"));
        openssl(&["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", &throwaway])?;
        let new = ["x509", "-new", "-force_pubkey", &public, "-subj", "/CN=nobody", "-days", "1"];
        openssl(&[&new[..], &["-key", &throwaway, "-out", &made]].concat())?;
        tool(desk, officer, &["-a", "import-certificate", "-s", "9a", "-i", &made, "-a", "set-chuid"])?;
        fs::write(&pin, TOKEN_PIN).with_context(|| format!("writing {pin}"))?;
        let folder = self.path(format!("staff-requests/{}", officer.id));
        fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        let environment = opensc_environment(&desk.pcscd, token(desk, officer)?.reader(), &folder)?;
        let key = format!("pkcs11:id=%01;type=private;pin-source=file:{pin}");
        let subject = format!("/C=JP/O=Example Bank/UID={}/CN={}", officer.id, officer.name);
        let mut request = Command::new("openssl");
        request.args(["req", "-new", "-utf8", "-engine", "pkcs11", "-keyform", "engine", "-key", &key]);
        request.args(["-subj", &subject, "-out", &file("csr")]).envs(environment);
        run(&mut request).map(drop).context("having the token sign a request")
    }

    /// The specification: the online token of the first ceremony signs, and nothing on it is made anew.
    fn staff_ceremony(&self, officers: &[Officer]) -> Result<String> {
        let first = fs::read_to_string(self.path("ceremony.toml")).context("reading the first ceremony")?;
        let first: Table = toml::from_str(&first).context("reading the first ceremony")?;
        let named = |section: &str, name: &str| -> Result<Table> {
            let entries = first.get(section).and_then(Value::as_array).into_iter().flatten();
            let mut tables = entries.filter_map(Value::as_table);
            let found = tables.find(|table| table.get("name").and_then(Value::as_str) == Some(name));
            found.cloned().with_context(|| format!("the first ceremony has no [[{section}]] {name:?}"))
        };
        let mut token = named("token", "online")?;
        token.remove("so_pin_file");
        token.insert("initialise".to_owned(), false.into());
        let mut key = named("key", "staff-issuing")?;
        key.insert("existing".to_owned(), true.into());
        let issuer = toml::toml! {
            name = "staff-issuing"
            profile = "staff-issuing"
            existing = "ceremony/staff-issuing.pem"
            key = "staff-issuing"
        };
        let policies = named("certificate", "staff-issuing")?.remove("policies").context("no policies")?;
        let mut certificates = vec![Value::Table(issuer)];
        certificates
            .extend(officers.iter().map(|officer| self.certificate_of(officer, policies.clone()).into()));
        let mut specification = Table::new();
        specification.insert("name".to_owned(), "First members of staff".into());
        specification.insert("kind".to_owned(), "staff".into());
        specification
            .insert("present".to_owned(), first.get("present").context("nobody is present")?.clone());
        specification.insert("token".to_owned(), vec![Value::Table(token)].into());
        specification.insert("key".to_owned(), vec![Value::Table(key)].into());
        specification.insert("certificate".to_owned(), certificates.into());
        toml::to_string(&specification).context("composing the ceremony for staff")
    }

    fn certificate_of(&self, officer: &Officer, policies: Value) -> Table {
        let Officer { id, name, .. } = *officer;
        let validation = self.urls().validation;
        let mut certificate = Table::new();
        for (key, value) in [
            ("name", id.to_owned()),
            ("profile", "administrator".to_owned()),
            ("issuer", "staff-issuing".to_owned()),
            ("request", format!("staff-requests/{id}.csr")),
            ("crl_url", format!("{validation}/crl/staff.crl")),
            ("ca_issuers_url", format!("{validation}/ca/staff.cer")),
        ] {
            certificate.insert(key.to_owned(), value.into());
        }
        let subject =
            [("country", "JP"), ("organization", "Example Bank"), ("user_id", id), ("common_name", name)];
        let subject = subject.map(|(key, value)| (key.to_owned(), Value::from(value)));
        certificate.insert("subject".to_owned(), Table::from_iter(subject).into());
        let validity = Table::from_iter([("days".to_owned(), Value::from(366))]);
        certificate.insert("validity".to_owned(), validity.into());
        certificate.insert("policies".to_owned(), policies);
        let makers = ["first-root", "second-root", "intermediates"];
        let makers: Vec<Value> = makers.iter().map(|name| format!("attestation/{name}.pem").into()).collect();
        let attestation = Table::from_iter([
            ("slot".to_owned(), Value::from(format!("staff-requests/{id}.slot.pem"))),
            ("device".to_owned(), Value::from(format!("staff-requests/{id}.device.pem"))),
            ("makers".to_owned(), Value::from(makers)),
        ]);
        certificate.insert("attestation".to_owned(), attestation.into());
        certificate
    }
}

fn token<'a>(desk: &'a Desk, officer: &Officer) -> Result<&'a PluggedYubiKey> {
    let key = desk.keys.iter().find(|key| key.serial() == officer.token);
    key.with_context(|| format!("no token {} at this desk", officer.token))
}

/// Runs the maker's own tool on a token.
fn tool(desk: &Desk, officer: &Officer, arguments: &[&str]) -> Result<()> {
    let key = token(desk, officer)?;
    let mut command = Command::new("yubico-piv-tool");
    command.args(["-r", &key.reader().name]).args(arguments).envs(desk.pcscd.environment().iter().cloned());
    run(&mut command).map(drop)
}

/// Sends a form of the console; where it leads.
fn send(console: &Portal, path: &str, fields: &[(&str, &str)]) -> Result<String> {
    let home = console.get("/home")?;
    let csrf = hidden(&home, "csrf").with_context(|| format!("no session: {}", home.text()))?;
    let answer = console.post(path, &[&[("csrf", csrf.as_str())][..], fields].concat())?;
    ensure!(answer.status == 303, "{path} was refused ({}): {}", answer.status, answer.text());
    Ok(answer.header("location").context("it leads nowhere")?.to_owned())
}
