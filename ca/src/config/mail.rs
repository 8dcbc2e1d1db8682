//! `[mail]`: the mail server that takes what users are told. Without the section they are told on the home page only.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use ca_core::domain::mail::EmailAddress;
use serde::Deserialize;

use super::{ConfigError, ConfigResult, value};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    server: String,
    #[serde(default)]
    tls: MailTls,
    port: Option<u16>,
    #[serde(default = "default_roots")]
    roots: String,
    user: Option<String>,
    password_file: Option<String>,
    from: String,
    bank: String,
    contact: String,
    #[serde(default = "default_timeout")]
    timeout: String,
    #[serde(default = "default_first_retry")]
    first_retry: String,
    #[serde(default = "default_longest_retry")]
    longest_retry: String,
    #[serde(default = "default_give_up")]
    give_up: String,
}

fn default_roots() -> String {
    "/etc/ssl/certs/ca-certificates.crt".to_owned()
}

fn default_timeout() -> String {
    "60s".to_owned()
}

fn default_first_retry() -> String {
    "1m".to_owned()
}

fn default_longest_retry() -> String {
    "1h".to_owned()
}

fn default_give_up() -> String {
    "3d".to_owned()
}

/// How the connection is encrypted; it always is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum MailTls {
    /// From the first octet on (RFC 8314, 3.3).
    #[default]
    Implicit,
    /// By STARTTLS (RFC 3207); without it, nothing is sent.
    Starttls,
}

/// The mail server, and who writes.
#[derive(Debug)]
pub(crate) struct Mail {
    /// Its name, which its certificate must bear.
    pub(crate) server: String,
    pub(crate) tls: MailTls,
    pub(crate) port: u16,
    /// Authorities that its certificate may come from, PEM.
    pub(crate) roots: PathBuf,
    /// Whom it admits, with the file of the password; `None` when it asks for nobody.
    pub(crate) login: Option<(String, PathBuf)>,
    pub(crate) from: EmailAddress,
    /// The bank as the sender and in the texts.
    pub(crate) bank: String,
    /// Whom to call, in the texts.
    pub(crate) contact: String,
    /// A mail is handed over within so long.
    pub(crate) timeout: Duration,
    /// The second attempt is so much later, each further one twice as much …
    pub(crate) first_retry: Duration,
    /// … but not more than this.
    pub(crate) longest_retry: Duration,
    /// What couldn't be delivered for so long bounces.
    pub(crate) give_up: Duration,
}

impl Raw {
    pub(super) fn validate(self, base: &Path) -> ConfigResult<Mail> {
        let login = match (self.user, self.password_file) {
            (None, None) => None,
            (Some(user), Some(file)) if !user.is_empty() => {
                Some((user, value::path("mail.password_file", &file, base)?))
            }
            _ => {
                return Err(ConfigError::value(
                    "mail.user",
                    "a user and a file with the password belong together",
                    "set both user and password_file, or neither where the server asks for nobody",
                ));
            }
        };
        let from = EmailAddress::parse(&self.from).map_err(|problem| {
            ConfigError::value("mail.from", problem, "write an address such as \"no-reply@bank.example\"")
        })?;
        let longest_retry =
            value::duration("mail.longest_retry", &self.longest_retry, value::seconds(1)..=value::hours(6))?;
        let first_retry =
            value::duration("mail.first_retry", &self.first_retry, value::seconds(1)..=longest_retry)?;
        Ok(Mail {
            server: host(self.server)?,
            tls: self.tls,
            port: self.port.unwrap_or(match self.tls {
                MailTls::Implicit => 465,
                MailTls::Starttls => 587,
            }),
            roots: value::path("mail.roots", &self.roots, base)?,
            login,
            from,
            bank: words("mail.bank", self.bank)?,
            contact: words("mail.contact", self.contact)?,
            timeout: value::duration("mail.timeout", &self.timeout, value::seconds(1)..=value::minutes(10))?,
            first_retry,
            longest_retry,
            give_up: value::duration("mail.give_up", &self.give_up, value::seconds(1)..=value::days(14))?,
        })
    }
}

fn host(text: String) -> ConfigResult<String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
    if text.is_empty() || text.len() > 253 || !text.bytes().all(plain) {
        return Err(ConfigError::value(
            "mail.server",
            format_args!("{text:?} isn't a host name"),
            "write the name that the server's certificate bears, such as \"smtp.bank.example\"; the port goes into mail.port",
        ));
    }
    Ok(text)
}

/// A line of words that stands in every mail. Rule 9: no link, so nothing that a mail program would make one of.
fn words(key: &str, text: String) -> ConfigResult<String> {
    let problem = if text.trim().is_empty() {
        "it is empty"
    } else if text.chars().any(char::is_control) || text.chars().count() > 100 {
        "it isn't one line of at most 100 characters"
    } else if crate::mail::has_link(&text) {
        "mail programs would make a link of it, and mail has none (rule 9)"
    } else {
        return Ok(text);
    };
    Err(ConfigError::value(key, problem, "write a name or a telephone number in plain words"))
}
