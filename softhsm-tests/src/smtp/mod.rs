//! A mail server that demands TLS and a login: Debian's aiosmtpd, which is not what the authority uses. What it takes is
//! read by Python's own parser.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{bank::Bank, ports::PortLease, process::Process, soft_pki::SoftAuthority, wait::PATIENCE};

/// Whom it admits.
pub const USER: &str = "inro@bank.example";
/// With this password.
pub const PASSWORD: &str = "p0st äml\\ ünter";

const PYTHON: &str = "/usr/bin/python3";

/// How it encrypts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encryption {
    /// From the first octet on.
    Implicit,
    /// By STARTTLS.
    Starttls,
}

impl Encryption {
    fn as_str(self) -> &'static str {
        match self {
            Self::Implicit => "implicit",
            Self::Starttls => "starttls",
        }
    }
}

/// A mail server. Dropping it ends it.
#[derive(Debug)]
pub struct MailServer {
    directory: PathBuf,
    port: PortLease,
    encryption: Encryption,
    process: Option<Process>,
}

/// A mail as it was taken.
#[derive(Clone, Debug, Deserialize)]
pub struct Taken {
    /// MAIL FROM.
    pub sender: String,
    /// RCPT TO.
    pub recipients: Vec<String>,
    /// Who had logged in.
    pub user: Option<String>,
    /// Whether the connection was encrypted.
    pub encrypted: bool,
    /// Whether it has parts.
    pub multipart: bool,
    /// Names and decoded values.
    pub headers: Vec<(String, String)>,
    /// As it came.
    pub raw: String,
    /// The decoded text.
    pub body: String,
    /// What the parser found wrong.
    pub defects: Vec<String>,
}

impl Taken {
    /// A header's value; with none or several of the name, a failure.
    ///
    /// # Panics
    /// When there isn't exactly one.
    pub fn header(&self, name: &str) -> &str {
        let found: Vec<&str> = self
            .headers
            .iter()
            .filter(|(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
            .collect();
        assert_eq!(found.len(), 1, "{name}: {found:?}");
        found[0]
    }
}

impl MailServer {
    /// One for `localhost`, in a directory of its own.
    ///
    /// # Errors
    /// When it doesn't start.
    pub fn start(directory: &Path, encryption: Encryption) -> Result<Self> {
        Self::named(directory, encryption, "localhost")
    }

    /// One whose certificate bears another name.
    ///
    /// # Errors
    /// When it doesn't start.
    pub fn named(directory: &Path, encryption: Encryption, name: &str) -> Result<Self> {
        fs::create_dir_all(directory).with_context(|| format!("making {}", directory.display()))?;
        let authority = SoftAuthority::new("Example mail authority")?;
        fs::write(directory.join("roots.pem"), authority.certificate()).context("writing an authority")?;
        authority.server(&[name])?.write(directory, "server")?;
        fs::write(directory.join("server.py"), include_str!("server.py")).context("writing the server")?;
        let port = PortLease::one()?;
        let mut server = Self { directory: directory.to_owned(), port, encryption, process: None };
        server.restart()?;
        Ok(server)
    }

    /// Ends it; what it has taken stays.
    pub fn stop(&mut self) {
        self.process = None;
    }

    /// Ends it, if it runs, and starts it again.
    ///
    /// # Errors
    /// When it doesn't start.
    pub fn restart(&mut self) -> Result<()> {
        self.stop();
        let mut command = Command::new(PYTHON);
        command.arg(self.path("server.py")).arg(&self.directory).arg(self.port.port().to_string());
        command.arg(self.encryption.as_str()).arg(self.path("server.pem")).arg(self.path("server.key"));
        command.args([USER, PASSWORD]);
        let already = fs::read_to_string(self.path("mail.log")).unwrap_or_default().len();
        let mut process = Process::spawn("mail", &mut command, &self.directory)?;
        process.wait_until("mail server", PATIENCE, |process| {
            Ok(process.log().get(already..).is_some_and(|log| log.contains("mail server ready")))
        })?;
        self.process = Some(process);
        Ok(())
    }

    /// Puts the section `[mail]` into a bank's configuration. Retries come at once.
    ///
    /// # Errors
    /// When a file can't be written.
    pub fn serve(&self, bank: &Bank) -> Result<()> {
        let password = bank.secret("mail");
        write_secret(&password, PASSWORD)?;
        let mail = toml::toml! {
            server = "localhost"
            user = "inro@bank.example"
            from = "no-reply@bank.example"
            bank = "試験銀行"
            contact = "03-0000-0000"
            timeout = "10s"
            first_retry = "1s"
            longest_retry = "2s"
        };
        bank.reconfigure(|table| {
            let mut mail = mail;
            let text = |path: &Path| path.display().to_string();
            mail.insert("tls".to_owned(), self.encryption.as_str().into());
            mail.insert("port".to_owned(), i64::from(self.port.port()).into());
            mail.insert("roots".to_owned(), text(&self.path("roots.pem")).into());
            mail.insert("password_file".to_owned(), text(&password).into());
            table.insert("mail".to_owned(), mail.into());
        })
    }

    /// All that it has taken, in order.
    ///
    /// # Errors
    /// When a file can't be read.
    pub fn inbox(&self) -> Result<Vec<Taken>> {
        let Ok(entries) = fs::read_dir(self.path("inbox")) else { return Ok(Vec::new()) };
        let mut files = BTreeMap::new();
        for entry in entries {
            let path = entry.context("looking into the inbox")?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                let text = fs::read_to_string(&path).context("reading a mail")?;
                files.insert(path, serde_json::from_str(&text).context("reading a mail")?);
            }
        }
        Ok(files.into_values().collect())
    }

    /// From now on it answers so; `json!({})` is as usual.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn answer(&self, answers: &Value) -> Result<()> {
        let part = self.path("answers.part");
        fs::write(&part, answers.to_string()).context("writing answers")?;
        fs::rename(part, self.path("answers.json")).context("writing answers")
    }

    /// From now on it takes this recipient's mail so.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn answer_to(&self, recipient: &str, answer: &str) -> Result<()> {
        self.answer(&json!({ "rcpt": { recipient: answer } }))
    }

    /// Takes mails from now on without answering, or answers again.
    ///
    /// # Errors
    /// When the file can't be made or removed.
    pub fn hold(&self, held: bool) -> Result<()> {
        let file = self.path("hold");
        if held { fs::write(file, "") } else { fs::remove_file(file) }.context("holding mails")
    }

    /// A file of its directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

fn write_secret(path: &Path, text: &str) -> Result<()> {
    use std::{io::Write as _, os::unix::fs::OpenOptionsExt as _};
    let mut options = fs::File::options();
    options.write(true).create(true).truncate(true).mode(0o600);
    options.open(path).and_then(|mut file| writeln!(file, "{text}")).context("writing a password")
}
