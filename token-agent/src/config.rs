//! `agent.toml`: what a bank or a company presets. Options on the command line come first; what an administrator has
//! fixed in the policy ([`crate::policy`]) comes before both.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use agent_tpm::Address;
use jiff::SignedDuration;
use serde::Deserialize;

use crate::{messages::Lang, renew::GRACE, secret::PinLength, token::permitted::Permitted};

/// The file's content; every key may be missing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// `https://host[:port]` of the bank's enrolment service.
    pub(crate) server: Option<String>,
    /// PEM of the only authorities that may certify the server; without it, those of the public web.
    pub(crate) ca_file: Option<PathBuf>,
    /// `http://host:port`, or `direct`; without it, what the system's settings say.
    pub(crate) proxy: Option<String>,
    /// Hosts that are reached without the proxy; without it, `NO_PROXY` or the system's list.
    pub(crate) no_proxy: Option<String>,
    /// The user name at the proxy.
    pub(crate) proxy_user: Option<String>,
    /// A file with the password at the proxy.
    pub(crate) proxy_password_file: Option<PathBuf>,
    /// Where enrolments under way are recorded.
    pub(crate) state_dir: Option<PathBuf>,
    /// A vendor's PKCS#11 module, whose tokens are used beside the cards in readers.
    pub(crate) pkcs11_module: Option<PathBuf>,
    /// The TPM's device or TCTI; without it, what `TPM2TOOLS_TCTI` says, or `/dev/tpmrm0`.
    #[serde(default, deserialize_with = "tpm")]
    pub(crate) tpm: Option<Address>,
    /// The fewest characters of a PIN that is to be set, 6 to 8; 6 without it.
    #[serde(default, deserialize_with = "pin_length")]
    pub(crate) pin_min_length: Option<PinLength>,
    /// How many hours a superseded certificate stays on the token; without it 72.
    #[serde(default, deserialize_with = "grace_hours")]
    pub(crate) grace_hours: Option<u16>,
    /// How many seconds an answer of the bank's may take; without it 60.
    #[serde(default, deserialize_with = "timeout_seconds")]
    pub(crate) timeout_seconds: Option<u16>,
    /// After how many idle minutes the window reminds of a token that is still plugged in: 10 without it, 0 for never.
    pub(crate) remind_minutes: Option<u16>,
    /// `ja` or `en`.
    #[serde(default, deserialize_with = "lang")]
    pub(crate) lang: Option<Lang>,
    /// PEM of the company's authorities; of the policy alone.
    #[serde(skip)]
    pub(crate) company_ca_file: Option<PathBuf>,
    /// The kinds of token that may be used; of the policy alone.
    #[serde(skip)]
    pub(crate) permitted: Permitted,
    /// What the policy has fixed.
    #[serde(skip)]
    pub(crate) fixed: Fixed,
}

/// What nobody but the administrator may choose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is about a setting of its own")]
pub(crate) struct Fixed {
    pub(crate) server: bool,
    pub(crate) ca_file: bool,
    pub(crate) proxy: bool,
    pub(crate) pkcs11_module: bool,
    pub(crate) grace_hours: bool,
    pub(crate) lang: bool,
}

/// Why the file can't be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    #[error("{} can't be read", path.display())]
    Unreadable {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} is not right: {reason}", path.display())]
    Invalid { path: PathBuf, reason: String },
    #[cfg_attr(not(unix), expect(dead_code, reason = "Windows' access lists aren't read"))]
    #[error("{} could have been changed by others than the administrator", path.display())]
    Untrusted { path: PathBuf },
}

/// Idle minutes after which the window reminds of a token, unless something else is configured.
#[cfg(feature = "window")]
const REMIND_MINUTES: u16 = 10;

/// A certificate is renewed once a year.
pub(crate) const LONGEST_GRACE: u16 = 365 * 24;

impl Config {
    /// How long a PIN is that is to be set.
    pub(crate) fn pin_length(&self) -> PinLength {
        self.pin_min_length.unwrap_or_default()
    }

    /// How long a superseded certificate stays on the token.
    pub(crate) fn grace(&self) -> SignedDuration {
        self.grace_hours.map_or(GRACE, |hours| SignedDuration::from_hours(hours.into()))
    }

    /// When the window reminds of a token that is still plugged in.
    #[cfg(feature = "window")]
    pub(crate) fn remind_after(&self) -> Option<std::time::Duration> {
        let minutes = self.remind_minutes.unwrap_or(REMIND_MINUTES);
        (minutes > 0).then(|| std::time::Duration::from_secs(u64::from(minutes) * 60))
    }

    /// Reads the file that was named, or the one at `usual`, which may be missing.
    pub(crate) fn load(named: Option<&Path>, usual: Option<PathBuf>) -> Result<Self, ConfigError> {
        let Some(path) = named.map(Path::to_owned).or(usual) else {
            return Ok(Self::default());
        };
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && named.is_none() => {
                return Ok(Self::default());
            }
            other => other.map_err(|source| ConfigError::Unreadable { path: path.clone(), source })?,
        };
        toml::from_str(&text)
            .map_err(|error| ConfigError::Invalid { path, reason: error.message().to_owned() })
    }
}

fn tpm<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Address>, D::Error> {
    String::deserialize(deserializer)?.parse().map(Some).map_err(serde::de::Error::custom)
}

pub(crate) fn pin_length<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<PinLength>, D::Error> {
    let length = PinLength::at_least(u8::deserialize(deserializer)?);
    let wrong =
        || serde::de::Error::custom("pin_min_length must be 6, 7 or 8: a PIV card takes no longer PIN");
    length.map(Some).ok_or_else(wrong)
}

pub(crate) fn grace_hours<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<u16>, D::Error> {
    let hours = u16::deserialize(deserializer)?;
    let wrong = || serde::de::Error::custom("grace_hours must be 0 to 8760, which is a year");
    (hours <= LONGEST_GRACE).then_some(Some(hours)).ok_or_else(wrong)
}

fn timeout_seconds<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<u16>, D::Error> {
    let seconds = u16::deserialize(deserializer)?;
    let wrong = || serde::de::Error::custom("timeout_seconds must be 1 to 600");
    (1..=600).contains(&seconds).then_some(Some(seconds)).ok_or_else(wrong)
}

pub(crate) fn lang<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Lang>, D::Error> {
    match String::deserialize(deserializer)?.as_str() {
        "ja" => Ok(Some(Lang::Ja)),
        "en" => Ok(Some(Lang::En)),
        _ => Err(serde::de::Error::custom("lang must be \"ja\" or \"en\"")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Config, ConfigError> {
        let directory = tempfile::tempdir().expect("a folder");
        let path = directory.path().join("agent.toml");
        fs::write(&path, text).expect("written");
        Config::load(Some(&path), None)
    }

    #[test]
    fn keys_are_read_and_unknown_ones_named() {
        let config = load("server = \"https://bank.example\"\nlang = \"ja\"\n").expect("a configuration");
        assert_eq!(config.server.as_deref(), Some("https://bank.example"));
        assert_eq!(config.lang, Some(Lang::Ja));
        let error = load("sever = \"https://bank.example\"").expect_err("a slip").to_string();
        assert!(error.contains("sever"), "{error}");
        assert!(load("lang = \"fr\"").is_err());
    }

    #[test]
    fn what_has_limits_names_them() {
        let config =
            load("pin_min_length = 8\ngrace_hours = 0\ntimeout_seconds = 300").expect("a configuration");
        assert_eq!((config.pin_length().shortest(), config.grace()), (8, SignedDuration::ZERO));
        let usual = load("").expect("a configuration");
        assert_eq!((usual.pin_length().shortest(), usual.grace()), (6, SignedDuration::from_hours(72)));
        for (slip, said) in [
            ("pin_min_length = 5", "6, 7 or 8"),
            ("pin_min_length = 9", "6, 7 or 8"),
            ("grace_hours = 8761", "0 to 8760"),
            ("timeout_seconds = 0", "1 to 600"),
        ] {
            let error = load(slip).expect_err(slip).to_string();
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn the_example_explains_every_key() {
        const EXAMPLE: &str = include_str!("../packaging/agent.toml");
        let table: toml::Table = toml::from_str(EXAMPLE).expect("TOML");
        assert!(table.is_empty(), "nothing is preset as it comes");
        let lines = EXAMPLE.lines().filter_map(|line| line.strip_prefix("# "));
        let example = lines.filter(|line| line.contains(" = ")).collect::<Vec<_>>().join("\n");
        let Config {
            server: Some(_),
            ca_file: Some(_),
            proxy: Some(_),
            no_proxy: Some(_),
            proxy_user: Some(_),
            proxy_password_file: Some(_),
            state_dir: Some(_),
            pkcs11_module: Some(_),
            tpm: Some(_),
            pin_min_length: Some(_),
            grace_hours: Some(_),
            timeout_seconds: Some(_),
            remind_minutes: Some(_),
            lang: Some(_),
            company_ca_file: None,
            permitted: _,
            fixed: _,
        } = load(&example).expect("a configuration")
        else {
            panic!("a key is missing: {example}");
        };
    }

    #[test]
    fn only_a_named_file_must_be_there() {
        let missing = Path::new("/nonexistent/agent.toml");
        assert_eq!(Config::load(None, Some(missing.to_owned())).expect("defaults"), Config::default());
        assert!(matches!(Config::load(Some(missing), None), Err(ConfigError::Unreadable { .. })));
    }
}
