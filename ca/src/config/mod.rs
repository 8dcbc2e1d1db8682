//! The configuration file `inro.toml`: one file per section, raw serde in, validated types out.
//!
//! A message about a bad value names the key and the remedy. Paths are relative to the file's own folder. Secrets are
//! never values here, only names of files.

mod enrolment;
mod hours;
mod issuer;
mod listen;
mod login;
mod machine;
mod mail;
mod node;
mod policy;
mod proxy;
mod retention;
mod shutdown;
mod staff;
mod telemetry;
mod token_custody;
mod trust;
mod validation;
mod value;

use std::path::{Path, PathBuf};

use ca_core::domain::{custody::PukRule, policy::WrittenPolicy};
use serde::Deserialize;

pub(crate) use enrolment::Enrolment;
pub(crate) use hours::{Hours, HoursMode};
pub(crate) use issuer::Issuer;
pub(crate) use listen::{Listen, Tls};
pub(crate) use login::{Login, Passwords};
pub(crate) use machine::Machine;
pub(crate) use mail::{Mail, MailTls};
pub(crate) use node::{Database, Node, Postgres};
pub(crate) use policy::TomlPolicies;
pub(crate) use proxy::{AddressHeader, Proxy};
pub(crate) use retention::Retention;
pub(crate) use shutdown::Shutdown;
pub(crate) use staff::{CommandLine, Staff};
pub(crate) use telemetry::{Log, LogFormat, Telemetry};
pub(crate) use token_custody::TokenCustody;
pub(crate) use trust::Trust;
pub(crate) use validation::Validation;

/// The whole configuration, valid in itself. Files that it names are read by [`crate::material`].
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) path: PathBuf,
    pub(crate) node: Node,
    pub(crate) listen: Listen,
    pub(crate) tls: Tls,
    pub(crate) issuers: Vec<Issuer>,
    pub(crate) validation: Validation,
    pub(crate) trust: Trust,
    pub(crate) hours: Hours,
    pub(crate) enrolment: Enrolment,
    pub(crate) login: Login,
    pub(crate) passwords: Passwords,
    pub(crate) retention: Retention,
    /// The bank's own policy.
    pub(crate) policy: WrittenPolicy,
    /// The custody of PUKs, where the bank keeps any.
    pub(crate) token_custody: Option<TokenCustody>,
    /// The console; its listener is `listen.staff`.
    pub(crate) staff: Option<Staff>,
    /// The mail server; without one, users are told on the home page only.
    pub(crate) mail: Option<Mail>,
    pub(crate) machines: Vec<Machine>,
    pub(crate) proxies: Vec<Proxy>,
    pub(crate) log: Log,
    pub(crate) telemetry: Telemetry,
    pub(crate) shutdown: Shutdown,
}

/// Why the configuration can't be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// The file can't be read.
    #[error("can't read the configuration file {path}; check its permissions, or name another with --config")]
    Unreadable {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// It isn't TOML of the known shape; the source names line and key.
    #[error("the configuration file {path} doesn't have the known form")]
    Form {
        path: PathBuf,
        #[source]
        source: Box<toml::de::Error>,
    },
    /// A value can't be used.
    #[error("{key}: {problem}; {remedy}")]
    Value { key: String, problem: String, remedy: String },
}

impl ConfigError {
    pub(crate) fn value(
        key: impl Into<String>,
        problem: impl std::fmt::Display,
        remedy: impl Into<String>,
    ) -> Self {
        Self::Value { key: key.into(), problem: problem.to_string(), remedy: remedy.into() }
    }
}

type ConfigResult<T> = Result<T, ConfigError>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    node: node::Raw,
    listen: listen::Raw,
    tls: listen::RawTls,
    issuer: Vec<issuer::Raw>,
    validation: validation::Raw,
    trust: trust::Raw,
    hours: hours::Raw,
    #[serde(default)]
    enrolment: enrolment::Raw,
    #[serde(default)]
    login: login::Raw,
    #[serde(default)]
    passwords: login::RawPasswords,
    #[serde(default)]
    retention: retention::Raw,
    #[serde(default)]
    policy: policy::Raw,
    #[serde(default)]
    machine: Vec<machine::Raw>,
    #[serde(default)]
    proxy: Vec<proxy::Raw>,
    staff: Option<staff::Raw>,
    mail: Option<mail::Raw>,
    token_custody: Option<token_custody::Raw>,
    #[serde(default)]
    log: telemetry::RawLog,
    #[serde(default)]
    telemetry: telemetry::Raw,
    #[serde(default)]
    shutdown: shutdown::Raw,
}

impl Config {
    /// Reads and validates the file.
    ///
    /// # Errors
    /// [`ConfigError`] names the file, or the key and the remedy.
    pub(crate) fn load(path: &Path) -> ConfigResult<Self> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        Self::parse(&text, path)
    }

    /// Validates the file's text; `path` is where it stands.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub(crate) fn parse(text: &str, path: &Path) -> ConfigResult<Self> {
        let raw: Raw = toml::from_str(text)
            .map_err(|source| ConfigError::Form { path: path.to_owned(), source: Box::new(source) })?;
        let base = path.parent().unwrap_or(Path::new("")).to_owned();
        let listen = raw.listen.validate()?;
        let staff = raw.staff.map(|staff| staff.validate(&base)).transpose()?;
        if listen.staff.is_some() && staff.is_none() {
            return Err(ConfigError::value(
                "listen.staff",
                "there is no section [staff]",
                "add [staff] with issuer_certificate, the staff CA's certificate",
            ));
        }
        let token_custody = raw.token_custody.map(|custody| custody.validate(&base)).transpose()?;
        let policy = raw.policy.validate()?;
        if policy.rules.puk == PukRule::Kept && token_custody.is_none() {
            return Err(ConfigError::value(
                "policy.puk",
                "there is no section [token_custody]",
                "add [token_custody] with key_file, the file of the key that PUKs are kept under",
            ));
        }
        Ok(Self {
            path: path.to_owned(),
            node: raw.node.validate(&base)?,
            listen,
            staff,
            tls: raw.tls.validate(&base)?,
            mail: raw.mail.map(|mail| mail.validate(&base)).transpose()?,
            issuers: issuer::validate(raw.issuer, &base)?,
            validation: raw.validation.validate(&base)?,
            trust: raw.trust.validate(&base)?,
            hours: raw.hours.validate(&base)?,
            enrolment: raw.enrolment.validate(&base)?,
            login: raw.login.validate()?,
            passwords: raw.passwords.validate()?,
            retention: raw.retention.validate()?,
            policy,
            token_custody,
            machines: machine::validate(raw.machine, &base)?,
            proxies: proxy::validate(raw.proxy, &base)?,
            log: raw.log.validate()?,
            telemetry: raw.telemetry.validate()?,
            shutdown: raw.shutdown.validate()?,
        })
    }

    /// The issuer of customers' certificates.
    pub(crate) fn customer_issuer(&self) -> &Issuer {
        // `issuer::validate` refuses a configuration without it.
        self.issuers.iter().find(|i| i.id.as_str() == issuer::CUSTOMER).unwrap_or(&self.issuers[0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = include_str!("../../examples/inro.toml");

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(text, Path::new("/etc/inro/inro.toml")).map_err(|error| {
            let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            format!("{error} {source}")
        })
    }

    #[test]
    fn the_example_is_valid_and_paths_are_relative_to_the_file() {
        let config = parse(EXAMPLE).expect("the example");
        assert_eq!(config.node.name, "ca-1");
        assert_eq!(config.customer_issuer().certificate, Path::new("/etc/inro/customer.pem"));
        assert_eq!(config.hours.mode, HoursMode::Bank);
        assert!(!config.trust.test_anchors);
    }

    #[test]
    fn a_bad_value_is_named_with_its_key_and_a_remedy() {
        for (good, bad, expected) in [
            ("name = \"ca-1\"", "name = \"CA 1\"", "node.name"),
            ("public = \"127.0.0.1:8443\"", "public = \"localhost\"", "listen.public"),
            ("ops = \"127.0.0.1:9090\"", "ops = \"0.0.0.0:9090\"", "listen.ops"),
            ("client = \"127.0.0.1:8444\"", "client = \"127.0.0.1:8443\"", "listen.client"),
            ("crl_interval = \"6h\"", "crl_interval = \"25h\"", "validation.crl_interval"),
            ("crl_validity = \"7d\"", "crl_validity = \"8d\"", "validation.crl_validity"),
            (
                "# responder_validity = \"30d\"",
                "responder_validity = \"1d\"",
                "validation.responder_validity",
            ),
            (
                "# responder_renew_before = \"10d\"",
                "responder_renew_before = \"16d\"",
                "validation.responder_renew_before",
            ),
            ("crl_interval = \"6h\"", "crl_interval = \"soon\"", "validation.crl_interval"),
            (
                "base_url = \"http://pki.bank.example\"",
                "base_url = \"https://x.example\"",
                "validation.base_url",
            ),
            (
                "base_url = \"http://pki.bank.example\"",
                "base_url = \"http://localhost:8080\"",
                "validation.base_url",
            ),
            ("id = \"customer\"", "id = \"corporate\"", "issuer"),
            ("mode = \"bank\"", "mode = \"sometimes\"", "sometimes"),
            ("lock_at = 5", "lock_at = 0", "login.lock_at"),
            ("[staff]", "[staff]\nidle = \"9h\"", "staff.idle"),
            ("[staff]", "[staff]\ncommand_line = \"always\"", "always"),
            ("staff = \"127.0.0.1:8445\"", "staff = \"127.0.0.1:8443\"", "listen.staff"),
            ("[staff]\n", "[stuff]\n", "stuff"),
            ("idle = \"15m\"", "idle = \"9h\"", "login.idle"),
            ("memory_kib = 19456", "memory_kib = 1024", "passwords.memory_kib"),
            ("lock_at = 5", "lock_at = 5\nlock_out = 6", "lock_out"),
            ("level = \"info\"", "level = \"loud\"", "log.level"),
            ("logins = \"400d\"", "logins = \"0d\"", "retention.logins"),
            ("# mail = \"90d\"", "mail = \"59d\"", "retention.mail"),
            ("# enrolments = \"180d\"", "enrolments = \"89d\"", "retention.enrolments"),
            ("# evidence = \"3653d\"", "evidence = \"365d\"", "choose from 366d to 36525d"),
            ("# removed_users = \"400d\"", "removed_users = \"29d\"", "retention.removed_users"),
            ("# removed_users = \"400d\"", "certificates = \"400d\"", "certificates"),
            ("# agent_packages = \"packages\"", "agent_packages = \"\"", "enrolment.agent_packages"),
            (
                "# agent_packages_signer_file = \"release.pem\"",
                "agent_packages_signer_file = \"release.pem\"",
                "enrolment.agent_packages_signer_file",
            ),
            ("lowest_agent = \"0.1.0\"", "lowest_agent = \"0.10.0\"", "enrolment.lowest_agent"),
            ("pause = \"5s\"", "pause = \"1h\"", "shutdown.pause"),
            ("sample = 0.05", "sample = 5", "telemetry.sample"),
            ("endpoint = \"\"", "endpoint = \"https://collector.example\"", "telemetry.endpoint"),
            ("lowest_agent = \"0.1.0\"", "lowest_agent = \"0.1\"", "enrolment.lowest_agent"),
            ("attested_pin = \"1.3.6.1.4.1.32473.1.1\"", "attested_pin = \"1.9.x\"", "policies.attested_pin"),
            (
                "attested_pin = \"1.3.6.1.4.1.32473.1.1\"",
                "attested_pin = \"1.3.6.1.4.1.32473.1.2\"",
                "policies.attested",
            ),
        ] {
            let text = EXAMPLE.replacen(good, bad, 1);
            assert_ne!(text, EXAMPLE, "the example lost {good:?}");
            let message = parse(&text).expect_err(bad);
            assert!(message.contains(expected), "{bad}: {message}");
        }
    }

    const MAIL: &str = r#"
        [mail]
        server = "smtp.bank.example"
        user = "inro"
        password_file = "smtp-password"
        from = "no-reply@bank.example"
        bank = "〇〇銀行"
        contact = "03-0000-0000"
    "#;

    #[test]
    fn a_mail_server_is_named_with_who_writes() {
        let mail = parse(&format!("{EXAMPLE}{MAIL}")).expect("a mail server").mail.expect("the section");
        assert_eq!((mail.port, mail.tls), (465, MailTls::Implicit));
        assert_eq!(mail.login, Some(("inro".to_owned(), PathBuf::from("/etc/inro/smtp-password"))));
        assert!(parse(EXAMPLE).expect("the example").mail.is_none());
        for (good, bad, expected) in [
            ("smtp.bank.example", "smtp.bank.example:25", "mail.server"),
            ("server =", "tls = \"none\"\n server =", "none"),
            ("server =", "timeout = \"1h\"\n server =", "mail.timeout"),
            ("server =", "first_retry = \"2h\"\n server =", "mail.first_retry"),
            ("user = \"inro\"", "", "mail.user"),
            ("password_file = \"smtp-password\"", "", "mail.user"),
            ("no-reply@bank.example", "bank.example", "mail.from"),
            ("no-reply@bank.example", "a@b.jp\\r\\nBcc: c@d.jp", "mail.from"),
            ("〇〇銀行", "https://bank.example", "mail.bank"),
            ("03-0000-0000", "www.bank.example", "mail.contact"),
            ("03-0000-0000", "a@bank.example", "mail.contact"),
            ("03-0000-0000", "", "mail.contact"),
            ("03-0000-0000", "03\\n04", "mail.contact"),
            ("server =", "password = \"x\"\n server =", "unknown field"),
        ] {
            let message = parse(&format!("{EXAMPLE}{}", MAIL.replacen(good, bad, 1))).expect_err(bad);
            assert!(message.contains(expected), "{bad}: {message}");
        }
    }

    const MACHINE: &str = r#"
        [[machine]]
        name = "branch-terminals"
        certificate = "machines/terminals.pem"
        roles = ["registration", "status"]
        contracts = ["1234567"]
    "#;

    #[test]
    fn a_machine_is_named_with_its_certificate_and_roles() {
        let config = parse(&format!("{EXAMPLE}{MACHINE}")).expect("a machine");
        let machine = &config.machines[0];
        assert_eq!(machine.certificate, Path::new("/etc/inro/machines/terminals.pem"));
        assert_eq!((machine.roles.len(), machine.entries_per_second.get()), (2, 5_000));
        for (good, bad, expected) in [
            ("branch-terminals", "Branch", "machine.name"),
            (r#"["registration", "status"]"#, "[]", "machine.branch-terminals.roles"),
            (r#"["registration", "status"]"#, r#"["admin"]"#, "machine.branch-terminals.roles"),
            (r#"["1234567"]"#, "[]", "machine.branch-terminals.contracts"),
            (r#"["1234567"]"#, r#"["a b"]"#, "machine.branch-terminals.contracts"),
            ("machines/terminals.pem", "", "machine.branch-terminals.certificate"),
            (
                "contracts =",
                "entries_per_second = 0\n contracts =",
                "machine.branch-terminals.entries_per_second",
            ),
            ("contracts =", "entries = 1\n contracts =", "unknown field"),
        ] {
            let message = parse(&format!("{EXAMPLE}{}", MACHINE.replace(good, bad))).expect_err(bad);
            assert!(message.contains(expected), "{bad}: {message}");
        }
        assert!(parse(&format!("{EXAMPLE}{MACHINE}{MACHINE}")).expect_err("twice").contains("machine.name"));
    }
}
