//! `policy.toml`: what the administrator of a fleet fixes. Neither a user's configuration nor an option overrides it.
//!
//! The file, and the certificates that it names, count only where nobody else can write them: otherwise a program of the
//! user's could name a proxy that reads along, and the authority that certifies it.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::Deserialize;

use crate::{
    config::{self, Config, ConfigError, Fixed},
    messages::Lang,
    secret::PinLength,
    token::permitted::{Permitted, PermittedKind},
};

/// The file's content; every key may be missing.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Policy {
    /// `https://host[:port]` of the bank's enrolment service.
    server: Option<String>,
    /// PEM of the only authorities that may certify the server.
    ca_file: Option<PathBuf>,
    /// PEM of the company's own authorities, whose proxy looks into TLS.
    company_ca_file: Option<PathBuf>,
    /// `http://host:port`, or `direct`.
    proxy: Option<String>,
    /// Hosts that are reached without it.
    no_proxy: Option<String>,
    proxy_user: Option<String>,
    proxy_password_file: Option<PathBuf>,
    /// The kinds of token that may be used.
    tokens: Option<Vec<PermittedKind>>,
    /// A vendor's PKCS#11 module.
    pkcs11_module: Option<PathBuf>,
    /// The fewest characters of a PIN that is to be set.
    #[serde(default, deserialize_with = "config::pin_length")]
    pin_min_length: Option<PinLength>,
    /// How many hours a superseded certificate stays on the token.
    #[serde(default, deserialize_with = "config::grace_hours")]
    grace_hours: Option<u16>,
    #[serde(default, deserialize_with = "config::lang")]
    lang: Option<Lang>,
}

impl Policy {
    /// Reads the file, which may be missing.
    ///
    /// # Errors
    /// When it can't be read, isn't right, or could have been written by anybody.
    pub(crate) fn load(path: Option<PathBuf>) -> Result<Self, ConfigError> {
        let Some(path) = path else { return Ok(Self::default()) };
        let text = match fs::read_to_string(&path) {
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(Self::default());
            }
            other => other.map_err(|source| ConfigError::Unreadable { path: path.clone(), source })?,
        };
        only_the_administrator_writes(&path)?;
        let policy: Self = toml::from_str(&text)
            .map_err(|error| ConfigError::Invalid { path, reason: error.message().to_owned() })?;
        for file in [&policy.ca_file, &policy.company_ca_file, &policy.pkcs11_module].into_iter().flatten() {
            only_the_administrator_writes(file)?;
        }
        Ok(policy)
    }

    /// Puts what is fixed into the configuration.
    pub(crate) fn fix(self, config: &mut Config) {
        config.fixed = Fixed {
            server: self.server.is_some(),
            ca_file: self.ca_file.is_some(),
            proxy: self.proxy.is_some(),
            pkcs11_module: self.pkcs11_module.is_some(),
            grace_hours: self.grace_hours.is_some(),
            lang: self.lang.is_some(),
        };
        if self.proxy.is_some() {
            // Neither the user's list nor their account at another proxy belongs to this one.
            config.no_proxy = Some(String::new());
            if self.proxy_user.is_some() {
                config.proxy_password_file = None;
            }
        }
        overrule(&mut config.server, self.server);
        overrule(&mut config.ca_file, self.ca_file);
        overrule(&mut config.proxy, self.proxy);
        overrule(&mut config.no_proxy, self.no_proxy);
        overrule(&mut config.proxy_user, self.proxy_user);
        overrule(&mut config.proxy_password_file, self.proxy_password_file);
        overrule(&mut config.pkcs11_module, self.pkcs11_module);
        overrule(&mut config.grace_hours, self.grace_hours);
        overrule(&mut config.lang, self.lang);
        // A user may be stricter with their own token.
        config.pin_min_length = config.pin_min_length.max(self.pin_min_length);
        config.company_ca_file = self.company_ca_file;
        config.permitted = Permitted::only(self.tokens);
    }
}

fn overrule<T>(present: &mut Option<T>, fixed: Option<T>) {
    if fixed.is_some() {
        *present = fixed;
    }
}

/// The file and its folder belong to root, and nobody else may write to them.
#[cfg(unix)]
fn only_the_administrator_writes(path: &Path) -> Result<(), ConfigError> {
    use std::os::unix::fs::MetadataExt;

    const OTHERS_WRITE: u32 = 0o022;
    for place in [Some(path), path.parent()].into_iter().flatten() {
        let metadata = fs::metadata(place)
            .map_err(|source| ConfigError::Unreadable { path: place.to_owned(), source })?;
        if metadata.uid() != 0 || metadata.mode() & OTHERS_WRITE != 0 {
            return Err(ConfigError::Untrusted { path: place.to_owned() });
        }
    }
    Ok(())
}

/// On Windows it is the folder's access list that says so; the installer sets it.
#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "the same on every system")]
fn only_the_administrator_writes(_: &Path) -> Result<(), ConfigError> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::Kind;

    fn policy(text: &str) -> Policy {
        toml::from_str(text).expect("a policy")
    }

    fn user() -> Config {
        toml::from_str(
            "server = \"https://mine.example\"\nproxy = \"direct\"\nproxy_user = \"me\"\nlang = \"en\"\n\
             proxy_password_file = \"/home/me/proxy\"\nca_file = \"/home/me/ca.pem\"\nno_proxy = \"*\"",
        )
        .expect("a configuration")
    }

    #[test]
    fn what_is_fixed_comes_before_the_user_s_own() {
        let mut config = user();
        let text = "server = \"https://bank.example\"\nproxy = \"http://proxy:3128\"\nlang = \"ja\"\n\
                    ca_file = \"/etc/inro/bank.pem\"\ncompany_ca_file = \"/etc/inro/company.pem\"";
        policy(text).fix(&mut config);
        assert_eq!(config.server.as_deref(), Some("https://bank.example"));
        assert_eq!(config.proxy.as_deref(), Some("http://proxy:3128"));
        assert_eq!(config.no_proxy.as_deref(), Some(""), "the user's exceptions don't count");
        assert_eq!(config.proxy_user.as_deref(), Some("me"), "an account is a person's own");
        assert_eq!(config.lang, Some(Lang::Ja));
        assert_eq!(config.ca_file, Some("/etc/inro/bank.pem".into()));
        assert_eq!(config.company_ca_file, Some("/etc/inro/company.pem".into()));
        assert!(config.fixed.server && config.fixed.ca_file && config.fixed.proxy && config.fixed.lang);
        assert!(!config.fixed.pkcs11_module);
    }

    #[test]
    fn what_isn_t_named_stays_the_user_s() {
        let mut config = user();
        policy("").fix(&mut config);
        assert_eq!(config, user());
        assert!(config.permitted.covers(Kind::Piv) && config.permitted.covers_tpm());
        policy("tokens = [\"yubikey-piv\"]").fix(&mut config);
        assert!(config.permitted.covers(Kind::YubiKeyPiv));
        assert!(!config.permitted.covers(Kind::Pkcs11) && !config.permitted.covers_tpm());
    }

    #[test]
    fn the_example_explains_every_key() {
        const EXAMPLE: &str = include_str!("../packaging/policy.toml");
        assert!(
            toml::from_str::<toml::Table>(EXAMPLE).expect("TOML").is_empty(),
            "nothing is fixed as it comes"
        );
        let lines = EXAMPLE.lines().filter_map(|line| line.strip_prefix("# "));
        let example = lines.filter(|line| line.contains(" = ")).collect::<Vec<_>>().join("\n");
        let Policy {
            server: Some(_),
            ca_file: Some(_),
            company_ca_file: Some(_),
            proxy: Some(_),
            no_proxy: Some(_),
            proxy_user: Some(_),
            proxy_password_file: Some(_),
            tokens: Some(_),
            pkcs11_module: Some(_),
            pin_min_length: Some(_),
            grace_hours: Some(_),
            lang: Some(_),
        } = policy(&example)
        else {
            panic!("a key is missing: {example}");
        };
    }

    #[test]
    fn the_longer_pin_counts_and_the_grace_is_the_administrator_s() {
        let fixed = |own: &str, text: &str| {
            let mut config: Config = toml::from_str(own).expect("a configuration");
            policy(text).fix(&mut config);
            (config.pin_length().shortest(), config.grace_hours, config.fixed.grace_hours)
        };
        assert_eq!(fixed("", ""), (6, None, false));
        assert_eq!(fixed("grace_hours = 1", "pin_min_length = 8"), (8, Some(1), false));
        assert_eq!(
            fixed("pin_min_length = 8\ngrace_hours = 1", "pin_min_length = 7\ngrace_hours = 0"),
            (8, Some(0), true)
        );
    }

    #[test]
    fn slips_are_named() {
        let error = toml::from_str::<Policy>("tokens = [\"yubikey\"]").expect_err("no such kind").to_string();
        assert!(error.contains("yubikey-piv"), "{error}");
        let error = toml::from_str::<Policy>("sever = \"x\"").expect_err("a slip").to_string();
        assert!(error.contains("sever"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_others_can_write_is_no_policy() {
        use std::os::unix::fs::PermissionsExt;

        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("policy.toml");
        assert!(Policy::load(Some(path.clone())).is_ok(), "there needn't be one");
        fs::write(&path, "lang = \"ja\"").expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).expect("set");
        let error = Policy::load(Some(path)).expect_err("writable by all");
        assert!(matches!(error, ConfigError::Untrusted { .. }), "{error}");
    }
}
