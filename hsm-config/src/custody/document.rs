//! `set.json`: what everybody may know of a custody set. It holds no secret in clear: shares and PIN are sealed.
//!
//! What it says of a generation is bound to the sealed PIN by a digest: a file in which a custodian, a fingerprint or
//! the threshold was changed opens nothing. It is replaced whole, durably, or not at all.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use aws_lc_rs::digest;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{plan::Recipe, share::Share, sharing};
use crate::{
    ceremony::chain,
    token::{ModuleAccess, PinKind, TokenSelection},
    vendor::Profile,
};

/// The version of the file's form.
const FORMAT: u32 = 1;
const NAME: &str = "set.json";
/// Sixteen custodians need a fraction of it.
const MAX_BYTES: u64 = 1024 * 1024;

/// A custody set, as everybody may know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// The version of this form.
    pub format: u32,
    /// The set's identifier, for ever.
    pub set: String,
    /// Its name.
    pub name: String,
    /// Which PIN it keeps.
    pub pin: PinKind,
    /// Of which token.
    pub token: TokenSelection,
    /// The token's module.
    pub module: PathBuf,
    /// Variables that the module reads.
    pub environment: BTreeMap<String, String>,
    /// What the plan calls its vendor's profile.
    pub vendor: Option<String>,
    /// The generation whose PIN the token has.
    pub current: Option<Generation>,
    /// The generation that is being made: its PIN is on no token yet.
    pub next: Option<Generation>,
    /// The token's PIN is being changed from the current to the next; nobody knows which of the two it has.
    pub switching: bool,
    /// Generations that are over.
    pub past: Vec<Past>,
}

/// One PIN, and the shares that open it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Generation {
    /// Counted from 1.
    pub number: u32,
    /// When it was made.
    pub created: Timestamp,
    /// When the token got its PIN.
    pub in_force: Option<Timestamp>,
    /// How many custodians open it.
    pub threshold: u8,
    /// How its PIN was made.
    pub recipe: Recipe,
    /// Everybody who keeps a share.
    pub custodians: Vec<Keeper>,
    /// The PIN, sealed with the key that was split: CMS, PEM.
    pub sealed_pin: String,
}

/// A custodian's share, as everybody may know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keeper {
    /// Who.
    pub name: String,
    /// What tells their share from any other.
    pub fingerprint: String,
    /// SHA-256 of the sealed file.
    pub sealed_sha256: String,
    /// To what it is sealed.
    pub sealed_to: SealedTo,
    /// When they last opened it.
    pub proven: Option<Timestamp>,
}

/// To what a share is sealed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum SealedTo {
    /// A passphrase.
    Passphrase,
    /// The key management key of a PIV token.
    Key {
        /// The certificate's subject.
        subject: String,
        /// The public key as an uncompressed point, hexadecimal.
        point: String,
    },
}

/// A generation that is over: enough to recognise its shares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Past {
    /// Its number.
    pub number: u32,
    /// When its PIN was taken off the token.
    pub over: Timestamp,
    /// Who kept a share.
    pub custodians: Vec<String>,
}

/// Why a set's file isn't taken.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// It can't be read or written.
    #[error("{path:?} can't be used: is this the folder of a custody set?")]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It isn't a set's file of a form that this program knows.
    #[error("{path:?} is damaged, or was written by another version: {detail}; restore it from its copy")]
    Form {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
}

/// Why a share isn't taken, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum ShareFault {
    /// Another set's.
    #[error(
        "the share of custodian {custodian:?} belongs to another set ({theirs}), this is {name:?} ({ours})"
    )]
    OtherSet {
        /// Whose.
        custodian: String,
        /// The share's set.
        theirs: String,
        /// This set.
        ours: String,
        /// This set's name.
        name: String,
    },
    /// Of another generation.
    #[error(
        "the share of custodian {custodian:?} belongs to generation {theirs}, this set is generation {ours}"
    )]
    OtherGeneration {
        /// Whose.
        custodian: String,
        /// The share's.
        theirs: u32,
        /// The set's.
        ours: u32,
    },
    /// Of nobody here.
    #[error("{custodian:?} is no custodian of generation {generation}")]
    NoCustodian {
        /// Whose.
        custodian: String,
        /// The set's.
        generation: u32,
    },
    /// Not what was given to that custodian.
    #[error("what custodian {custodian:?} opened is not the share that generation {generation} gave them")]
    Wrong {
        /// Whose.
        custodian: String,
        /// The set's.
        generation: u32,
    },
}

impl Document {
    /// A set without a generation.
    pub(super) fn new(set: String, plan: &super::Plan) -> Self {
        Self {
            format: FORMAT,
            set,
            name: plan.name.clone(),
            pin: plan.pin,
            token: plan.token.clone(),
            module: plan.access.module.clone(),
            environment: plan.access.environment.clone(),
            vendor: plan.vendor.clone(),
            current: None,
            next: None,
            switching: false,
            past: Vec::new(),
        }
    }

    /// Reads the set in a folder.
    ///
    /// # Errors
    /// [`DocumentError`].
    pub fn read(folder: &Path) -> Result<Self, DocumentError> {
        let path = folder.join(NAME);
        let unusable = |source| DocumentError::Unusable { path: path.clone(), source };
        let mut text = String::new();
        File::open(&path).map_err(unusable)?.take(MAX_BYTES).read_to_string(&mut text).map_err(unusable)?;
        let form = |detail: String| DocumentError::Form { path: path.clone(), detail };
        let document: Self = serde_json::from_str(&text).map_err(|error| form(error.to_string()))?;
        if document.format != FORMAT {
            return Err(form(format!("its form is {}, this program knows {FORMAT}", document.format)));
        }
        Ok(document)
    }

    /// Replaces the set's file, durably.
    pub(super) fn write(&self, folder: &Path) -> Result<(), DocumentError> {
        let path = folder.join(NAME);
        let write = || {
            let new = folder.join(".set.json.new");
            let mut file =
                OpenOptions::new().write(true).create(true).truncate(true).mode(0o640).open(&new)?;
            file.write_all(&serde_json::to_vec_pretty(self)?)?;
            file.write_all(b"\n")?;
            file.sync_all()?;
            fs::rename(&new, &path)?;
            File::open(folder)?.sync_all()
        };
        write().map_err(|source| DocumentError::Unusable { path: path.clone(), source })
    }

    /// The token's module, as the set knows it.
    ///
    /// # Errors
    /// In words, when its vendor's profile isn't there.
    pub fn access(&self) -> Result<ModuleAccess, String> {
        let mut access = ModuleAccess::new(self.module.clone(), self.environment.clone());
        access.vendor =
            Profile::choose(self.vendor.as_deref(), &access.module).map_err(|error| chain(&error))?;
        Ok(access)
    }

    /// The number of a generation made now.
    pub(super) fn next_number(&self) -> u32 {
        let past = self.past.iter().map(|past| past.number).max().unwrap_or(0);
        let current = self.current.as_ref().map_or(0, |generation| generation.number);
        let next = self.next.as_ref().map_or(0, |generation| generation.number);
        past.max(current).max(next) + 1
    }

    /// Judges a share for a generation: it is the one that this custodian was given, or the fault names whose it is.
    ///
    /// # Errors
    /// [`ShareFault`].
    pub fn judge(&self, generation: &Generation, share: &Share) -> Result<(), ShareFault> {
        let custodian = share.custodian.clone();
        if share.set != self.set {
            let (theirs, ours, name) = (share.set.clone(), self.set.clone(), self.name.clone());
            return Err(ShareFault::OtherSet { custodian, theirs, ours, name });
        }
        if share.generation != generation.number {
            return Err(ShareFault::OtherGeneration {
                custodian,
                theirs: share.generation,
                ours: generation.number,
            });
        }
        let Some(keeper) = generation.keeper(&share.custodian) else {
            return Err(ShareFault::NoCustodian { custodian, generation: generation.number });
        };
        let fingerprint = sharing::fingerprint(&share.set, share.generation, &share.custodian, &share.octets);
        if fingerprint != keeper.fingerprint {
            return Err(ShareFault::Wrong { custodian, generation: generation.number });
        }
        Ok(())
    }

    /// What is bound to a generation's sealed PIN: everything that decides who opens it and what for.
    pub(super) fn digest(&self, generation: &Generation) -> String {
        #[derive(Serialize)]
        struct Bound<'a> {
            format: u32,
            set: &'a str,
            name: &'a str,
            pin: PinKind,
            token: &'a TokenSelection,
            generation: u32,
            threshold: u8,
            custodians: Vec<(&'a str, &'a str, &'a SealedTo)>,
        }
        let bound = Bound {
            format: self.format,
            set: &self.set,
            name: &self.name,
            pin: self.pin,
            token: &self.token,
            generation: generation.number,
            threshold: generation.threshold,
            custodians: generation
                .custodians
                .iter()
                .map(|k| (&*k.name, &*k.fingerprint, &k.sealed_to))
                .collect(),
        };
        // Strings and numbers always have a JSON form.
        let json = serde_json::to_vec(&bound).unwrap_or_default();
        hex::encode(digest::digest(&digest::SHA256, &json))
    }
}

impl Generation {
    /// A custodian's entry.
    pub fn keeper(&self, name: &str) -> Option<&Keeper> {
        self.custodians.iter().find(|keeper| keeper.name == name)
    }

    /// Who has not opened their share yet.
    pub fn unproven(&self) -> Vec<String> {
        let unproven = self.custodians.iter().filter(|keeper| keeper.proven.is_none());
        unproven.map(|keeper| keeper.name.clone()).collect()
    }

    /// Everybody.
    pub fn names(&self) -> Vec<String> {
        self.custodians.iter().map(|keeper| keeper.name.clone()).collect()
    }

    /// The folder of its sealed shares.
    pub(super) fn folder(&self, set: &Path) -> PathBuf {
        folder_of(set, self.number)
    }
}

/// The folder of a generation's sealed shares.
pub(super) fn folder_of(set: &Path, generation: u32) -> PathBuf {
    set.join(format!("generation-{generation}"))
}

/// A folder that its owner alone enters.
pub(super) fn make_folder(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().mode(0o700).create(path)
}

/// A new file, durable with its content.
pub(super) fn write_new(path: &Path, content: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content.as_bytes())?;
    file.sync_all()
}
