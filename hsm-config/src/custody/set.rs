//! A custody set in its folder: made, proven, opened, split again.
//!
//! ```text
//! SET/set.json               what everybody may know
//!     generation-2/alice.pem each custodian's share, sealed to them
//!     making-3/              the same, while it is being made
//! ```
//!
//! A generation is one PIN with the shares that open it. It is made beside the one in force, proven by every custodian,
//! and only then put in force; whenever the machine dies, the set still opens the PIN that the token has.

mod folders;
mod sealing;

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use rustix::fs::{FlockOperation, flock};
use uuid::Uuid;

use super::{
    document::{self, Document, Generation, Library, OtherPin, Past, Proven},
    envelope,
    error::CustodyError,
    opening,
    people::People,
    plan::{PinLengths, Plan},
    share::{SealedPin, Share, random_pin, to_json},
    sharing,
};
use crate::error_text::chain;
use crate::token::{Pin, PinKind, TokenSelection};

pub use sealing::key_fingerprint;
use sealing::{check, seal};

/// The name under which the split key is known.
const KEY_NAME: &[u8] = b"inro custody";

/// Which generation is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The one whose PIN the token has.
    Current,
    /// The one that is being made.
    Next,
}

/// A custody set that this command works on, and no other does.
#[derive(Debug)]
pub struct Set {
    folder: PathBuf,
    document: Document,
    _lock: File,
}

impl Set {
    /// Makes a new set: its folder, a random PIN that nobody sees, and each custodian's sealed share. Passphrases are
    /// asked for; tokens aren't needed. The PIN is returned for a token that is being initialised with it; where a token
    /// has another PIN, [`switch`](super::switch) brings it there.
    ///
    /// The set is good for nothing before every share was [proven](Self::prove) and the generation
    /// [put in force](Self::put_in_force).
    ///
    /// # Errors
    /// [`CustodyError`]; no folder is left then.
    pub fn create(
        folder: &Path,
        plan: &Plan,
        lengths: PinLengths,
        people: &mut dyn People,
    ) -> Result<(Self, Pin), CustodyError> {
        check(plan, lengths)?;
        let failed = |source| CustodyError::File { what: "folder", path: folder.to_owned(), source };
        match document::make_folder(folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if fs::read_dir(folder).map_err(failed)?.next().is_some() {
                    return Err(CustodyError::Exists(folder.to_owned()));
                }
            }
            other => other.map_err(failed)?,
        }
        document::is_safe(folder, folder, &fs::metadata(folder).map_err(failed)?)?;
        let lock = lock(folder)?;
        let document = Document::new(Uuid::new_v4().to_string(), plan);
        let mut set = Self { folder: folder.to_owned(), document, _lock: lock };
        match set.split(plan, lengths, people) {
            Ok(pin) => Ok((set, pin)),
            Err(error) => {
                // It held nothing but what was made just now.
                let _ = fs::remove_dir_all(folder);
                Err(error)
            }
        }
    }

    /// Opens a set to work on it.
    ///
    /// # Errors
    /// [`CustodyError::Document`], or [`CustodyError::Busy`] while another command does.
    pub fn open(folder: &Path) -> Result<Self, CustodyError> {
        Document::read(folder)?;
        let lock = lock(folder)?;
        let set = Self { folder: folder.to_owned(), document: Document::read(folder)?, _lock: lock };
        set.settle()?;
        set.tidy();
        Ok(set)
    }

    /// What everybody may know of it.
    pub fn document(&self) -> &Document {
        &self.document
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Makes the next generation, by a plan with other custodians: a new random PIN, new shares. One that was being made
    /// is thrown away. The current one stays in force until the next is proven and [`switch`](super::switch) changes the
    /// token's PIN.
    ///
    /// # Errors
    /// [`CustodyError`]; the set is as it was.
    pub fn resplit(
        &mut self,
        plan: &Plan,
        lengths: PinLengths,
        people: &mut dyn People,
    ) -> Result<(), CustodyError> {
        check(plan, lengths)?;
        if self.document.switching {
            return Err(CustodyError::Switching);
        }
        let (theirs, ours) = (format!("the {} of the {}", plan.pin, plan.token), self.purpose());
        if theirs != ours || plan.name != self.document.name {
            let theirs = format!("{:?}, {theirs}", plan.name);
            return Err(CustodyError::OtherPurpose {
                theirs,
                ours: format!("{:?}, {ours}", self.document.name),
            });
        }
        self.split(plan, lengths, people).map(drop)
    }

    /// Which PIN of which token it keeps, in words.
    pub fn purpose(&self) -> String {
        self.document.purpose()
    }

    /// [`Document::is_for`].
    ///
    /// # Errors
    /// [`OtherPin`].
    pub fn is_for(&self, token: &TokenSelection, kind: PinKind) -> Result<(), OtherPin> {
        self.document.is_for(token, kind)
    }

    fn split(
        &mut self,
        plan: &Plan,
        lengths: PinLengths,
        people: &mut dyn People,
    ) -> Result<Pin, CustodyError> {
        let number = self.document.next_number();
        let length = plan.recipe.length_for(lengths).map_err(|mistake| CustodyError::Plan(vec![mistake]))?;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let alphabet = plan.recipe.characters.alphabet();
        let pin = random_pin(alphabet, length).ok_or(envelope::EnvelopeError::Crypto)?;
        let key = envelope::random_key()?;
        // No more custodians than fit into an octet: the plan was checked.
        let count = u8::try_from(plan.custodians.len()).unwrap_or(u8::MAX);
        let shares = sharing::split(&key, plan.threshold, count)?;
        // What an interrupted making left would be in the way.
        self.discard_unfinished(number);
        let folder = document::making_of(&self.folder, number);
        document::make_folder(&folder).map_err(|error| failed("folder", &folder, error))?;
        let mut custodians = Vec::new();
        for (custodian, octets) in plan.custodians.iter().zip(shares) {
            let name = custodian.name.clone();
            let share = Share { set: self.document.set.clone(), generation: number, custodian: name, octets };
            custodians.push(seal(custodian, &share, &folder, people)?);
        }
        let mut generation = Generation {
            number,
            created: Timestamp::now(),
            in_force: None,
            threshold: plan.threshold,
            recipe: plan.recipe,
            library: Library::of(plan),
            custodians,
            sealed_pin: String::new(),
        };
        let digest = self.document.digest(&generation);
        let content = SealedPin { set: self.document.set.clone(), generation: number, digest, pin };
        let json = to_json(&content).ok_or(envelope::EnvelopeError::Crypto)?;
        generation.sealed_pin = envelope::seal_with(&key, KEY_NAME, &json)?;
        let synced = File::open(&folder).and_then(|folder| folder.sync_all());
        synced.map_err(|error| failed("folder", &folder, error))?;
        // Named before they are where shares are kept: shares there that set.json doesn't know say that it is outdated.
        self.change(|document| document.next = Some(generation))?;
        self.settle()?;
        self.discard_unfinished(number);
        Ok(content.pin)
    }

    /// A custodian opens their share, for the generation that is being made or, when there is none, for the one in force;
    /// that they could is written down.
    ///
    /// # Errors
    /// [`CustodyError`]; nothing is written down then.
    pub fn prove(&mut self, custodian: &str, people: &mut dyn People) -> Result<(), CustodyError> {
        let which = if self.document.next.is_some() { Which::Next } else { Which::Current };
        let share = self.open_share(which, custodian, None, people)?;
        let proof = sharing::proof(&share.set, share.generation, custodian, &share.octets);
        let proven = Proven { at: Timestamp::now(), proof };
        self.change(|document| {
            let generation = match which {
                Which::Next => document.next.as_mut(),
                Which::Current => document.current.as_mut(),
            };
            let keepers = generation.into_iter().flat_map(|generation| &mut generation.custodians);
            for keeper in keepers.filter(|keeper| keeper.name == custodian) {
                keeper.proven = Some(proven.clone());
            }
        })
    }

    /// Who must still prove theirs: of the generation that is being made or, when there is none, of the one in force.
    pub fn unproven(&self) -> Vec<String> {
        let generation = self.document.next.as_ref().or(self.document.current.as_ref());
        generation.map(Generation::unproven).unwrap_or_default()
    }

    /// Whether every custodian has opened their share.
    pub fn is_proven(&self) -> bool {
        self.unproven().is_empty()
    }

    /// The generation meant.
    ///
    /// # Errors
    /// [`CustodyError::NoGeneration`].
    pub fn generation(&self, which: Which) -> Result<&Generation, CustodyError> {
        match which {
            Which::Current => self.document.current.as_ref().ok_or(CustodyError::NoGeneration("in force")),
            Which::Next => self.document.next.as_ref().ok_or(CustodyError::NoGeneration("being made")),
        }
    }

    /// A custodian opens their share, from `file` or where the set keeps it.
    ///
    /// # Errors
    /// [`CustodyError`], naming whose share it is and why it isn't taken.
    pub fn open_share(
        &self,
        which: Which,
        custodian: &str,
        file: Option<&Path>,
        people: &mut dyn People,
    ) -> Result<Share, CustodyError> {
        opening::open(&self.folder, &self.document, self.generation(which)?, custodian, file, people)
    }

    /// As many custodians as it takes open their shares. Whose doesn't open is told, and another may come.
    ///
    /// # Errors
    /// [`CustodyError::Quorum`] when nobody is left.
    pub fn gather(&self, which: Which, people: &mut dyn People) -> Result<Vec<Share>, CustodyError> {
        let generation = self.generation(which)?;
        let needed = usize::from(generation.threshold);
        let (mut shares, mut faults) = (Vec::<Share>::new(), Vec::new());
        people.begin(&format!(
            "{needed} of {}: generation {} of {:?}, {}",
            generation.custodians.len(),
            generation.number,
            self.document.name,
            self.purpose()
        ));
        while shares.len() < needed {
            let names = generation.names().into_iter();
            let absent = names.filter(|name| shares.iter().all(|share| share.custodian != *name));
            let name = match people.next(&absent.collect::<Vec<_>>(), needed - shares.len()) {
                Ok(name) => name,
                Err(source) => {
                    return Err(CustodyError::Quorum { opened: shares.len(), needed, faults, source });
                }
            };
            if shares.iter().any(|share| share.custodian == name) {
                people.tell(&format!("{name} has opened theirs already"));
                continue;
            }
            match self.open_share(which, &name, None, people) {
                Ok(share) => {
                    shares.push(share);
                    people.tell(&format!("{name}: {} of {needed}", shares.len()));
                }
                Err(error) => {
                    let fault = chain(&error);
                    people.tell(&fault);
                    faults.push(fault);
                }
            }
        }
        Ok(shares)
    }

    /// [`gather`](Self::gather), and the PIN that the shares open.
    ///
    /// # Errors
    /// As [`gather`](Self::gather), or [`CustodyError::Tampered`].
    pub fn assemble(&self, which: Which, people: &mut dyn People) -> Result<Pin, CustodyError> {
        let shares = self.gather(which, people)?;
        assemble(&self.document, self.generation(which)?, &shares)
    }

    /// The generation that is being made becomes the one in force: the token has its PIN now. The one before is over, and
    /// its sealed shares are removed.
    ///
    /// # Errors
    /// [`CustodyError::Unproven`] before every custodian has opened theirs.
    pub fn put_in_force(&mut self) -> Result<(), CustodyError> {
        self.must_be_proven()?;
        let now = Timestamp::now();
        self.change(|document| {
            let Some(mut next) = document.next.take() else { return };
            next.in_force = Some(now);
            if let Some(over) = document.current.replace(next) {
                let custodians = over.names();
                document.past.push(Past { number: over.number, over: now, custodians });
            }
            document.switching = false;
        })?;
        self.tidy();
        Ok(())
    }

    /// The next generation, provided that every custodian has proven theirs.
    pub(super) fn must_be_proven(&self) -> Result<(), CustodyError> {
        let next = self.generation(Which::Next)?;
        let names = next.unproven();
        if names.is_empty() { Ok(()) } else { Err(CustodyError::Unproven { generation: next.number, names }) }
    }

    /// Notes that the token's PIN is being changed, or that it wasn't.
    pub(super) fn set_switching(&mut self, switching: bool) -> Result<(), CustodyError> {
        self.change(|document| document.switching = switching)
    }

    fn change(&mut self, change: impl FnOnce(&mut Document)) -> Result<(), CustodyError> {
        let mut changed = self.document.clone();
        change(&mut changed);
        changed.write(&self.folder)?;
        self.document = changed;
        Ok(())
    }
}

/// A custodian opens their share of the generation in force, without holding the set: several may be at it.
///
/// # Errors
/// As [`Set::open_share`].
pub fn open_share(
    folder: &Path,
    document: &Document,
    custodian: &str,
    file: Option<&Path>,
    people: &mut dyn People,
) -> Result<Share, CustodyError> {
    let current = document.current.as_ref().ok_or(CustodyError::NoGeneration("in force"))?;
    opening::open(folder, document, current, custodian, file, people)
}

/// The PIN of a generation, from as many of its shares as it takes. They have been judged.
pub(super) fn assemble(
    document: &Document,
    generation: &Generation,
    shares: &[Share],
) -> Result<Pin, CustodyError> {
    for share in shares {
        document.judge(generation, share)?;
    }
    let tampered = |_| CustodyError::Tampered(generation.number);
    let key = sharing::combine(shares.iter().map(|share| &share.octets))?;
    let sealed = envelope::Sealed::read(&generation.sealed_pin).map_err(tampered)?;
    let content = sealed.open_with(&key).map_err(tampered)?;
    let content: SealedPin =
        serde_json::from_slice(&content).map_err(|_| CustodyError::Tampered(generation.number))?;
    let whole = content.set == document.set
        && content.generation == generation.number
        && content.digest == document.digest(generation);
    if whole { Ok(content.pin) } else { Err(CustodyError::Tampered(generation.number)) }
}

fn lock(folder: &Path) -> Result<File, CustodyError> {
    let file = File::open(folder).map_err(|error| failed("folder", folder, error))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(CustodyError::Busy(folder.to_owned())),
        Err(error) => Err(failed("folder", folder, error.into())),
    }
}

fn failed(what: &'static str, path: &Path, source: io::Error) -> CustodyError {
    CustodyError::File { what, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests;
