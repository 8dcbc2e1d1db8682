//! The parts of a profile. Each key is one that the code acts on, or that `inro-hsm doctor` compares with the token.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::token::{KeyAlgorithm, Pin};

/// What is known about one vendor's HSM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// What `vendor` in a configuration says; also the stem of its file's name.
    pub name: String,
    /// The product, for people.
    pub product: String,
    /// Whether what is said here was seen or read.
    pub evidence: Evidence,
    /// The documents it was read in.
    #[serde(default)]
    pub sources: Vec<String>,
    /// The library.
    pub module: ModuleRules,
    /// What it needs in its environment.
    #[serde(default)]
    pub environment: EnvironmentRules,
    /// Its sessions.
    #[serde(default)]
    pub sessions: SessionRules,
    /// Its users' PINs.
    #[serde(default)]
    pub pin: PinRules,
    /// Its tokens.
    #[serde(default)]
    pub token: TokenRules,
    /// Its keys.
    #[serde(default)]
    pub keys: KeyRules,
    /// Its mechanisms.
    #[serde(default)]
    pub mechanisms: MechanismRules,
    /// How a key gets to a second HSM.
    #[serde(default)]
    pub backup: BackupRules,
    /// How a rehearsal makes tokens of it that vanish.
    pub throw_away: Option<ThrowAway>,
    /// What to do about a mechanism that a token lacks, by the mechanism's name.
    #[serde(default)]
    pub remedies: BTreeMap<String, String>,
}

impl Profile {
    /// What PKCS#11 itself promises, for a module that no profile lists.
    pub fn unknown() -> Self {
        Self {
            name: "unknown".to_owned(),
            product: "a module that no profile describes".to_owned(),
            evidence: Evidence::Documents,
            sources: Vec::new(),
            module: ModuleRules::default(),
            environment: EnvironmentRules::default(),
            sessions: SessionRules::default(),
            pin: PinRules::default(),
            token: TokenRules::default(),
            keys: KeyRules::default(),
            mechanisms: MechanismRules::default(),
            backup: BackupRules::default(),
            throw_away: None,
            remedies: BTreeMap::new(),
        }
    }

    /// What a worker has to know of it.
    pub fn behaviour(&self) -> Behaviour {
        Behaviour {
            threads: self.module.threads,
            read_only: self.sessions.read_only,
            hash: self.mechanisms.hash,
            call_every: self.sessions.call_every(),
        }
    }

    /// True for [`unknown`](Self::unknown).
    pub fn is_unknown(&self) -> bool {
        self.name == "unknown"
    }
}

/// The part of a profile that crosses to the worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Behaviour {
    /// What `C_Initialize` is told.
    pub threads: Threads,
    /// Whether sessions that only sign are read-only.
    pub read_only: bool,
    /// Where messages are hashed.
    pub hash: HashPlace,
    /// How often a token that has nothing to do is called.
    pub call_every: Option<Duration>,
}

/// What a profile rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Evidence {
    /// This project's tests run on it.
    Tested,
    /// From the vendor's documents, untested here.
    Documents,
}

/// `[module]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModuleRules {
    /// Where the library usually is; also tells the vendor by the file's name.
    pub paths: Vec<PathBuf>,
    /// What `C_GetInfo` says as manufacturer; empty when that isn't known.
    #[serde(default)]
    pub manufacturer: String,
    /// How it is told about threads.
    #[serde(default)]
    pub threads: Threads,
}

impl ModuleRules {
    /// Whether a library has the name of one of these.
    pub fn has(&self, module: &Path) -> bool {
        let name = module.file_name();
        name.is_some() && self.paths.iter().any(|path| path.file_name() == name)
    }
}

/// What `C_Initialize` is told (PKCS#11 3.0, 5.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Threads {
    /// `CKF_OS_LOCKING_OK`: many threads call at once.
    #[default]
    Os,
    /// No flag, and one lane only: for a library that answers `CKR_CANT_LOCK`.
    Single,
}

/// `[environment]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnvironmentRules {
    /// Variables without which the library finds no token.
    #[serde(default)]
    pub required: Vec<String>,
    /// Those that must name a file, where they are given.
    #[serde(default)]
    pub files: Vec<String>,
}

/// `[sessions]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SessionRules {
    /// Whether a session may be read-only; else even those that only sign are opened for writing.
    pub read_only: bool,
    /// How many there can be at once, over all programs, where the token itself doesn't tell.
    pub most: Option<u64>,
    /// Seconds after which a session that isn't used ends. A worker calls the token after half of them.
    pub idle_seconds: Option<u64>,
    /// What brings one back.
    pub recovery: Recovery,
}

impl Default for SessionRules {
    fn default() -> Self {
        Self { read_only: true, most: None, idle_seconds: None, recovery: Recovery::Session }
    }
}

impl SessionRules {
    /// How often a token that has nothing to do must be called, so that it doesn't end what isn't used.
    pub fn call_every(&self) -> Option<Duration> {
        self.idle_seconds.map(|seconds| Duration::from_secs(seconds) / 2)
    }
}

/// What brings a lost session back. The signer always starts another worker, which does all of them; a person with
/// another program has to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Recovery {
    /// Opening another.
    Session,
    /// Logging in again.
    Login,
    /// `C_Finalize` and beginning anew.
    Finalize,
}

impl std::fmt::Display for Recovery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Session => "another session brings it back",
            Self::Login => "another login brings it back",
            Self::Finalize => "only C_Finalize and a new login bring it back",
        })
    }
}

/// `[pin]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PinRules {
    /// Bytes at least.
    pub shortest: usize,
    /// Bytes at most.
    pub longest: usize,
    /// It begins with so many hexadecimal digits.
    pub hex_prefix: usize,
    /// It has this inside, with something before and after.
    pub separator: Option<String>,
    /// Wrong ones in a row until it is locked.
    pub tries: Option<u32>,
    /// Whether it may be entered on the vendor's own device instead.
    pub protected_path: ProtectedPath,
}

impl Default for PinRules {
    fn default() -> Self {
        Self {
            shortest: 1,
            longest: 255,
            hex_prefix: 0,
            separator: None,
            tries: None,
            protected_path: ProtectedPath::Possible,
        }
    }
}

impl PinRules {
    /// Why the token would refuse this PIN, told without showing it; giving it would only cost a try.
    pub fn fault(&self, pin: &Pin) -> Option<String> {
        let text = pin.expose();
        if !(self.shortest..=self.longest).contains(&text.len()) {
            return Some(format!("has not {} to {} bytes", self.shortest, self.longest));
        }
        let digits = text.bytes().take_while(u8::is_ascii_hexdigit).count();
        if digits < self.hex_prefix {
            return Some(format!("doesn't begin with {} hexadecimal digits", self.hex_prefix));
        }
        if let Some(separator) = &self.separator {
            let both = text.split_once(separator.as_str());
            if both.is_none_or(|(before, after)| before.is_empty() || after.is_empty()) {
                return Some(format!("has no {separator:?} with something before and after it"));
            }
        }
        None
    }
}

/// `CKF_PROTECTED_AUTHENTICATION_PATH`: a PED, a card reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProtectedPath {
    /// The product has none.
    Never,
    /// It depends on how it was bought or set up.
    Possible,
}

/// `[token]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TokenRules {
    /// Whether `C_InitToken` and `C_InitPIN` make a token, which a ceremony then may do.
    pub initialise: bool,
    /// What makes one otherwise.
    pub initialise_with: Option<String>,
}

impl Default for TokenRules {
    fn default() -> Self {
        Self { initialise: true, initialise_with: None }
    }
}

/// `[keys]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KeyRules {
    /// The kinds that it can make and use.
    pub algorithms: Vec<KeyAlgorithm>,
    /// Bytes of `CKA_ID` at most.
    pub longest_id: usize,
    /// How it gives `CKA_EC_POINT`, where that is known. Both are understood; this is compared.
    pub ec_point: Option<PointEncoding>,
    /// Attributes of private keys that it has no answer for.
    pub silent: Vec<String>,
}

impl Default for KeyRules {
    fn default() -> Self {
        use KeyAlgorithm::{P256, P384, Rsa3072, Rsa4096};
        Self {
            algorithms: vec![P256, P384, Rsa3072, Rsa4096],
            longest_id: 32,
            ec_point: None,
            silent: Vec::new(),
        }
    }
}

/// How `CKA_EC_POINT` comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PointEncoding {
    /// In a DER OCTET STRING, as PKCS#11 since 2.20 wants.
    Wrapped,
    /// The bare point.
    Raw,
}

impl std::fmt::Display for PointEncoding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Wrapped => "wrapped",
            Self::Raw => "raw",
        })
    }
}

/// `[mechanisms]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MechanismRules {
    /// Where messages are hashed, when the token can do both.
    pub hash: HashPlace,
    /// Those that a token of this vendor shows, as far as they matter here.
    pub shown: Vec<String>,
}

/// Where a message is hashed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HashPlace {
    /// By the worker: `CKM_ECDSA`, `CKM_RSA_PKCS`. A large CRL need not travel.
    #[default]
    Here,
    /// By the token: `CKM_ECDSA_SHA256`, `CKM_SHA256_RSA_PKCS`, for a token that must not sign bare digests.
    Token,
}

/// `[backup]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BackupRules {
    /// Mechanisms that wrap a private key which was made extractable for it.
    pub wrap: Vec<String>,
    /// Whether a security officer who logs in by PKCS#11 can make a wrapping key `CKA_TRUSTED`, nobody else can, and a key
    /// with `CKA_WRAP_WITH_TRUSTED` is wrapped under such a key alone. Then ceremonies set that.
    pub trusted: bool,
    /// The vendor's own way for keys that aren't extractable, in a few words.
    pub clone: Option<String>,
}

/// `[throw_away]`: software tokens only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ThrowAway {
    /// The variable that names the module's configuration.
    pub variable: String,
    /// What stands in a configuration that leads to uninitialised tokens; `{folder}` is an empty folder for their files.
    pub configuration: String,
}
