//! What a custody set is to be: `custody.toml`, reviewed like code. It names custodians and their certificates; it holds
//! no secret.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};

use der::{Decode, DecodePem};
use serde::{Deserialize, Serialize};
use x509_cert::Certificate;

use super::{
    envelope::Curve,
    sharing::{FEWEST, MOST},
};
use crate::{
    error_text::bullets,
    token::{ModuleAccess, PinKind, TokenSelection},
    vendor::Profile,
};

/// Random characters that a PIN has when the plan says nothing: about 117 bits.
const USUAL_LENGTH: u64 = 20;
/// Fewer could be guessed, whatever the token counts.
const LEAST_LENGTH: u64 = 8;

/// What a PIN is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Characters {
    /// Letters and digits that nobody mistakes for each other.
    #[default]
    Alphanumeric,
    /// For tokens that take nothing else.
    Digits,
}

impl Characters {
    /// All of them.
    pub(super) fn alphabet(self) -> &'static [u8] {
        match self {
            Self::Alphanumeric => b"23456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz",
            Self::Digits => b"0123456789",
        }
    }
}

/// The lengths that a token takes, in octets, as `C_GetTokenInfo` tells them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PinLengths {
    /// The shortest.
    pub min: u64,
    /// The longest.
    pub max: u64,
}

/// How a PIN is made: never seen by anybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipe {
    /// What it is made of.
    pub characters: Characters,
    /// How many; `None` for the usual length within what the token takes.
    pub length: Option<u64>,
}

impl Recipe {
    /// How many characters, for a token with these limits.
    ///
    /// # Errors
    /// A sentence, when the two don't agree.
    pub fn length_for(&self, lengths: PinLengths) -> Result<u64, String> {
        // A token that tells no limit tells zero.
        let max = if lengths.max == 0 { u64::MAX } else { lengths.max };
        let length = self.length.unwrap_or_else(|| USUAL_LENGTH.clamp(lengths.min, max));
        if length < lengths.min || length > max {
            return Err(format!(
                "length = {length}: this token takes PINs of {} to {} characters",
                lengths.min, lengths.max
            ));
        }
        if length < LEAST_LENGTH {
            return Err(format!("a PIN of {length} characters could be guessed: {LEAST_LENGTH} at least"));
        }
        Ok(length)
    }
}

/// To whom a share is sealed.
#[derive(Clone, Debug)]
pub enum Sealing {
    /// The holder of the key in this certificate: key management (slot 9d) of a PIV token.
    Certificate(Box<Certificate>),
    /// Whoever knows a passphrase, which is asked for when the share is made.
    Passphrase,
}

/// Who keeps a share.
#[derive(Clone, Debug)]
pub struct Custodian {
    /// 1 to 64 of a-z, 0-9, '.' and '-'.
    pub name: String,
    /// How theirs is sealed.
    pub sealing: Sealing,
}

/// What a custody set is to be.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The set's name.
    pub name: String,
    /// How many custodians open it together.
    pub threshold: u8,
    /// Which PIN.
    pub pin: PinKind,
    /// How it is made.
    pub recipe: Recipe,
    /// The token's module.
    pub access: ModuleAccess,
    /// What the plan calls its vendor's profile.
    pub vendor: Option<String>,
    /// The token.
    pub token: TokenSelection,
    /// Everybody who keeps a share.
    pub custodians: Vec<Custodian>,
}

/// Why a plan isn't taken.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// It can't be read.
    #[error("{path:?} can't be read")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It isn't TOML of this form.
    #[error("{path:?}: {detail}")]
    Form {
        /// The file.
        path: PathBuf,
        /// What is wrong, with line and key.
        detail: String,
    },
    /// Its content is wrong; each mistake with its key and remedy.
    #[error("the plan has {} mistake(s):{}", .0.len(), bullets(.0))]
    Mistakes(Vec<String>),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPlan {
    name: String,
    threshold: u8,
    #[serde(default = "user")]
    pin: PinKind,
    #[serde(default)]
    characters: Characters,
    length: Option<u64>,
    token: RawToken,
    #[serde(default, rename = "custodian")]
    custodians: Vec<RawCustodian>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawToken {
    module: PathBuf,
    vendor: Option<String>,
    label: Option<String>,
    serial: Option<String>,
    #[serde(default)]
    environment: BTreeMap<String, String>,
}

/// A custodian as specifications write it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawCustodian {
    /// Their name.
    pub name: String,
    /// The file of their certificate.
    pub certificate: Option<PathBuf>,
    /// Whether theirs is sealed to a passphrase.
    #[serde(default)]
    pub passphrase: bool,
}

fn user() -> PinKind {
    PinKind::User
}

impl Plan {
    /// Reads and checks `custody.toml`. Relative paths are taken from its folder. The token isn't touched.
    ///
    /// # Errors
    /// [`PlanError`], with all mistakes at once.
    pub fn load(path: &Path) -> Result<Self, PlanError> {
        let text = fs::read_to_string(path)
            .map_err(|source| PlanError::Unreadable { path: path.to_owned(), source })?;
        let raw: RawPlan = toml::from_str(&text)
            .map_err(|error| PlanError::Form { path: path.to_owned(), detail: error.to_string() })?;
        let mut mistakes = Vec::new();
        let mut access = ModuleAccess::new(raw.token.module, raw.token.environment);
        match Profile::choose(raw.token.vendor.as_deref(), &access.module) {
            Ok(vendor) => access.vendor = vendor,
            Err(error) => mistakes.push(format!("token: vendor: {error}")),
        }
        mistakes.extend(
            access.mistakes().into_iter().map(|(problem, remedy)| format!("token: {problem}: {remedy}")),
        );
        let token = match (raw.token.label, raw.token.serial) {
            (Some(label), None) => TokenSelection::Label(label),
            (None, Some(serial)) => TokenSelection::Serial(serial),
            _ => {
                mistakes.push("token: give either label or serial, to name exactly one token".to_owned());
                TokenSelection::Label(String::new())
            }
        };
        let folder = path.parent().unwrap_or(Path::new(""));
        let (custodians, more) = custodians(&raw.custodians, folder);
        let recipe = Recipe { characters: raw.characters, length: raw.length };
        let plan = Self {
            name: raw.name,
            threshold: raw.threshold,
            pin: raw.pin,
            recipe,
            access,
            vendor: raw.token.vendor,
            token,
            custodians,
        };
        mistakes.extend(plan.mistakes());
        mistakes.extend(more);
        if mistakes.is_empty() { Ok(plan) } else { Err(PlanError::Mistakes(mistakes)) }
    }

    /// Every mistake in it, each with its key and remedy; empty when there is none.
    pub fn mistakes(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        if !is_name(&self.name) {
            mistakes.push(format!("name = {:?}: write 1 to 64 of a-z, 0-9, '.' and '-'", self.name));
        }
        let count = self.custodians.len();
        if self.threshold < FEWEST {
            mistakes.push(format!(
                "threshold = {}: at least {FEWEST}, or one custodian alone could open it",
                self.threshold
            ));
        }
        if usize::from(self.threshold) > count {
            let threshold = self.threshold;
            mistakes.push(format!(
                "threshold = {threshold}, but there are {count} custodians: name more, one more than the threshold at least"
            ));
        }
        if usize::from(self.threshold) == count {
            mistakes.push(format!(
                "threshold = {count} of {count} custodians: one lost token would lose the PIN; name one more"
            ));
        }
        if count > usize::from(MOST) {
            mistakes.push(format!("{count} custodians: {MOST} at most"));
        }
        let mut names = BTreeSet::new();
        let mut keys = BTreeMap::new();
        for Custodian { name, sealing } in &self.custodians {
            if !is_name(name) {
                mistakes.push(format!("custodian {name:?}: write 1 to 64 of a-z, 0-9, '.' and '-' as name"));
            }
            if !names.insert(name) {
                mistakes.push(format!("custodian {name:?} is named twice"));
            }
            let Sealing::Certificate(certificate) = sealing else { continue };
            let key = certificate.tbs_certificate().subject_public_key_info();
            if let Err(error) = Curve::of(key) {
                mistakes.push(format!(
                    "custodian {name:?}: {error}: generate a P-256 key in slot 9d of their token"
                ));
            }
            if let Some(other) = keys.insert(key.subject_public_key.raw_bytes().to_vec(), name) {
                mistakes.push(format!(
                    "custodians {other:?} and {name:?} have the same key: each needs their own"
                ));
            }
        }
        mistakes
    }

    /// The same with passphrases for everybody: for a rehearsal, where nobody's token is asked for.
    #[must_use]
    pub fn rehearsal(&self) -> Self {
        let custodian =
            |custodian: &Custodian| Custodian { name: custodian.name.clone(), sealing: Sealing::Passphrase };
        Self { custodians: self.custodians.iter().map(custodian).collect(), ..self.clone() }
    }
}

/// Reads the custodians' certificates, from paths relative to `folder`; mistakes come with their key and remedy.
pub fn custodians(raw: &[RawCustodian], folder: &Path) -> (Vec<Custodian>, Vec<String>) {
    let (mut custodians, mut mistakes) = (Vec::new(), Vec::new());
    for RawCustodian { name, certificate, passphrase } in raw {
        let sealing = match (certificate, passphrase) {
            (None, true) => Sealing::Passphrase,
            (Some(path), false) => match certificate_in(&folder.join(path)) {
                Ok(certificate) => Sealing::Certificate(Box::new(certificate)),
                Err(problem) => {
                    mistakes.push(format!("custodian {name:?}: {problem}"));
                    Sealing::Passphrase
                }
            },
            _ => {
                mistakes.push(format!(
                    "custodian {name:?}: give either certificate = \"FILE\" (slot 9d of their token) or passphrase = true"
                ));
                Sealing::Passphrase
            }
        };
        custodians.push(Custodian { name: name.clone(), sealing });
    }
    (custodians, mistakes)
}

fn certificate_in(path: &Path) -> Result<Certificate, String> {
    let content =
        fs::read(path).map_err(|error| format!("certificate {} can't be read: {error}", path.display()))?;
    let read = Certificate::from_pem(&content).or_else(|_| Certificate::from_der(&content));
    read.map_err(|_| {
        format!(
            "{} is no certificate: `inro-hsm custody card --out FILE` reads it from the token",
            path.display()
        )
    })
}

fn is_name(name: &str) -> bool {
    let plain = |octet: u8| octet.is_ascii_lowercase() || octet.is_ascii_digit() || b".-".contains(&octet);
    (1..=64).contains(&name.len()) && name.bytes().all(plain) && !name.starts_with('.')
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Two of three, all with passphrases.
    pub(in crate::custody) fn plan() -> Plan {
        let custodian = |name: &str| Custodian { name: name.to_owned(), sealing: Sealing::Passphrase };
        Plan {
            name: "root-pin".to_owned(),
            threshold: 2,
            pin: PinKind::User,
            recipe: Recipe { characters: Characters::Alphanumeric, length: None },
            access: ModuleAccess::new("/usr/lib/softhsm/libsofthsm2.so".into(), BTreeMap::new()),
            vendor: None,
            token: TokenSelection::Label("root".to_owned()),
            custodians: ["alice", "bob", "carol"].map(custodian).to_vec(),
        }
    }

    #[test]
    fn every_mistake_is_told() {
        assert_eq!(plan().mistakes(), Vec::<String>::new());
        let mut bad = plan();
        bad.name = "Root PIN".to_owned();
        bad.threshold = 1;
        bad.custodians[1].name = "alice".to_owned();
        bad.custodians[2].name = "../carol".to_owned();
        let mistakes = bad.mistakes();
        assert_eq!(mistakes.len(), 4, "{mistakes:?}");
        for (threshold, word) in [(3, "one more"), (4, "name more")] {
            let mistakes = Plan { threshold, ..plan() }.mistakes();
            assert!(mistakes.len() == 1 && mistakes[0].contains(word), "{mistakes:?}");
        }
    }

    #[test]
    fn a_pin_fits_the_token_or_the_plan_is_told_why() {
        let usual = plan().recipe;
        assert_eq!(usual.length_for(PinLengths { min: 4, max: 255 }), Ok(20));
        assert_eq!(usual.length_for(PinLengths { min: 6, max: 12 }), Ok(12));
        assert_eq!(usual.length_for(PinLengths { min: 0, max: 0 }), Ok(20));
        assert_eq!(usual.length_for(PinLengths { min: 32, max: 64 }), Ok(32));
        assert!(usual.length_for(PinLengths { min: 4, max: 6 }).is_err());
        let long = Recipe { length: Some(40), ..usual };
        assert!(long.length_for(PinLengths { min: 4, max: 32 }).expect_err("too long").contains("4 to 32"));
    }

    #[test]
    fn the_example_says_what_is_wrong_with_it_by_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("custody.toml");
        fs::write(&path, include_str!("../../examples/custody.toml")).expect("written");
        let Err(PlanError::Mistakes(mistakes)) = Plan::load(&path) else {
            panic!("certificates are missing")
        };
        assert!(
            mistakes.iter().all(|mistake| mistake.contains(".pem")
                || mistake.contains("SOFTHSM2_CONF")
                || mistake.contains("module")),
            "{mistakes:?}"
        );
        fs::write(&path, "name = \"x\"\nshares = 3\n").expect("written");
        assert!(Plan::load(&path).expect_err("unknown key").to_string().contains("shares"));
    }
}
