//! `set.json`: what everybody may know of a custody set. It holds no secret in clear: shares and PIN are sealed.
//!
//! What it says of a generation is bound to the sealed PIN by a digest: a file in which a custodian, a fingerprint, the
//! threshold or the token's module was changed opens nothing. It is replaced whole, durably, or not at all; and it isn't
//! read where somebody else could have written it, or when it is older than the shares beside it.

mod error;
mod folder;

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown},
    path::{Path, PathBuf},
};

use aws_lc_rs::digest;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    plan::{Plan, Recipe},
    share::Share,
    sharing,
};
use crate::{
    error_text::chain,
    token::{ModuleAccess, PinKind, TokenSelection},
    vendor::Profile,
};

pub use error::{DocumentError, OtherPin, ShareFault};
use folder::newest_folder;
pub(super) use folder::{folder_of, is_safe, make_folder, making_of, write_new};

/// The version of the file's form.
const FORMAT: u32 = 2;
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
    /// The module that put its PIN on the token, as the plan had it.
    pub library: Library,
    /// Everybody who keeps a share.
    pub custodians: Vec<Keeper>,
    /// The PIN, sealed with the key that was split: CMS, PEM.
    pub sealed_pin: String,
}

/// A token's module. It is given the token's old and new PIN, so it is bound to a generation like its custodians.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Library {
    /// The module.
    pub module: PathBuf,
    /// Variables that it reads.
    pub environment: BTreeMap<String, String>,
    /// What the plan calls its vendor's profile.
    pub vendor: Option<String>,
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
    /// That they opened it. Who asks [`proven_at`](Self::proven_at) gets no forged one.
    pub proven: Option<Proven>,
}

/// That a custodian opened their share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proven {
    /// When they last did.
    pub at: Timestamp,
    /// What nobody can tell who hasn't.
    pub proof: String,
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

impl Document {
    /// A set without a generation.
    pub(super) fn new(set: String, plan: &Plan) -> Self {
        Self {
            format: FORMAT,
            set,
            name: plan.name.clone(),
            pin: plan.pin,
            token: plan.token.clone(),
            current: None,
            next: None,
            switching: false,
            past: Vec::new(),
        }
    }

    /// Reads the set in a folder, which belongs to this user or root and to which nobody else can write.
    ///
    /// # Errors
    /// [`DocumentError`].
    pub fn read(folder: &Path) -> Result<Self, DocumentError> {
        let path = folder.join(NAME);
        let unusable = |source| DocumentError::Unusable { path: path.clone(), source };
        is_safe(folder, folder, &fs::metadata(folder).map_err(unusable)?)?;
        // Before the file: whoever makes a generation names it there first.
        let newest = newest_folder(folder).map_err(unusable)?;
        let file = File::open(&path).map_err(unusable)?;
        is_safe(folder, &path, &file.metadata().map_err(unusable)?)?;
        let mut text = String::new();
        file.take(MAX_BYTES).read_to_string(&mut text).map_err(unusable)?;
        let form = |detail: String| DocumentError::Form { path: path.clone(), detail };
        let document: Self = serde_json::from_str(&text).map_err(|error| form(error.to_string()))?;
        if document.format != FORMAT {
            return Err(form(format!("its form is {}, this program knows {FORMAT}", document.format)));
        }
        let known = document.next_number() - 1;
        match newest {
            Some(newest) if newest > known => {
                Err(DocumentError::Outdated { path: folder_of(folder, newest), known })
            }
            _ => Ok(document),
        }
    }

    /// Replaces the set's file, durably.
    pub(super) fn write(&self, folder: &Path) -> Result<(), DocumentError> {
        let path = folder.join(NAME);
        let write = || {
            let new = folder.join(".set.json.new");
            let before = fs::metadata(&path).ok();
            let mut file =
                OpenOptions::new().write(true).create(true).truncate(true).mode(0o640).open(&new)?;
            file.write_all(&serde_json::to_vec_pretty(self)?)?;
            file.write_all(b"\n")?;
            // Whoever could read it still can: a signer, by its group.
            if let Some(before) = before {
                if before.gid() != file.metadata()?.gid() {
                    fchown(&file, None, Some(before.gid()))?;
                }
                file.set_permissions(fs::Permissions::from_mode(before.mode() & 0o640))?;
            }
            file.sync_all()?;
            fs::rename(&new, &path)?;
            File::open(folder)?.sync_all()
        };
        write().map_err(|source| DocumentError::Unusable { path: path.clone(), source })
    }

    /// Which PIN of which token it keeps, in words.
    pub fn purpose(&self) -> String {
        purpose(&self.token, self.pin)
    }

    /// Whether it keeps this PIN of this token, which is to be named as the set names it: by label or by serial number.
    /// Ask before custodians open anything: another token's PIN costs a try.
    ///
    /// # Errors
    /// [`OtherPin`].
    pub fn is_for(&self, token: &TokenSelection, kind: PinKind) -> Result<(), OtherPin> {
        if self.token == *token && self.pin == kind {
            return Ok(());
        }
        Err(OtherPin { name: self.name.clone(), keeps: self.purpose(), wanted: purpose(token, kind) })
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
            library: &'a Library,
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
            library: &generation.library,
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
        let unproven = self.custodians.iter().filter(|keeper| keeper.proven_at().is_none());
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

impl Keeper {
    /// When they last opened their share. What somebody wrote there who hasn't opened it doesn't count.
    pub fn proven_at(&self) -> Option<Timestamp> {
        let proven = self.proven.as_ref()?;
        (sharing::fingerprint_of(&proven.proof) == self.fingerprint).then_some(proven.at)
    }
}

impl Library {
    /// What a plan names.
    pub fn of(plan: &Plan) -> Self {
        let ModuleAccess { module, environment, .. } = plan.access.clone();
        Self { module, environment, vendor: plan.vendor.clone() }
    }

    /// For whoever loads it.
    ///
    /// # Errors
    /// In words, when its vendor's profile isn't there.
    pub fn access(&self) -> Result<ModuleAccess, String> {
        let mut access = ModuleAccess::new(self.module.clone(), self.environment.clone());
        access.vendor =
            Profile::choose(self.vendor.as_deref(), &access.module).map_err(|error| chain(&error))?;
        Ok(access)
    }
}

impl std::fmt::Display for Library {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.module.display())?;
        self.environment.iter().try_for_each(|(name, value)| write!(f, ", {name}={value}"))?;
        self.vendor.iter().try_for_each(|vendor| write!(f, ", vendor {vendor:?}"))
    }
}

fn purpose(token: &TokenSelection, kind: PinKind) -> String {
    format!("the {kind} of the {token}")
}
