//! What the signer's parent holds of a custody set: at first nothing, then shares, then the PIN, all in locked memory.
//! A worker that dies gets the PIN from here; when this process ends, custodians are needed again.
//!
//! The set's file is read anew whenever somebody asks, so a PIN that is no longer the token's is forgotten before it is
//! tried: a re-split never costs a try.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::{
    document::{Document, Generation},
    locked::Locked,
    set,
    share::Share,
};
use crate::{error_text::chain, token::Pin};

/// Shares that nobody completes are forgotten: those who gave them have gone home.
const PATIENCE: Duration = Duration::from_hours(1);

/// A set's standing at a signer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The set's identifier; empty when its file can't be read.
    pub set: String,
    /// The set's name.
    pub name: String,
    /// The generation in force.
    pub generation: u32,
    /// How many custodians it takes.
    pub needed: u8,
    /// Who gave theirs, while more are needed.
    pub given: Vec<String>,
    /// Whether the signer has the PIN.
    pub open: bool,
    /// Why nobody can give anything now.
    pub obstacle: Option<String>,
}

impl Standing {
    /// In words, such as `waiting for custodians: 1 of 2 (alice)`.
    pub fn words(&self) -> String {
        match &self.obstacle {
            Some(obstacle) => obstacle.clone(),
            None if self.open => format!("open: the PIN of generation {} is here", self.generation),
            None => {
                let (given, needed) = (self.given.len(), self.needed);
                let who = if given == 0 { String::new() } else { format!(" ({})", self.given.join(", ")) };
                format!("waiting for custodians: {given} of {needed}{who}")
            }
        }
    }
}

/// The PIN of a custody set, once its custodians gave their shares. Clones are the same.
#[derive(Clone, Debug)]
pub struct Vault {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    folder: PathBuf,
    holdings: Mutex<Holdings>,
    changes: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Holdings {
    pin: Option<Held>,
    /// Shares of one generation, by custodian.
    shares: Vec<(String, Locked)>,
    of: (String, u32),
    last: Option<Instant>,
}

#[derive(Debug)]
struct Held {
    set: String,
    generation: u32,
    pin: Locked,
}

impl Vault {
    /// For the set in this folder; empty.
    pub fn new(folder: PathBuf) -> Self {
        let (holdings, changes) = (Mutex::default(), watch::Sender::new(0));
        Self { shared: Arc::new(Shared { folder, holdings, changes }) }
    }

    /// The set's folder.
    pub fn folder(&self) -> &Path {
        &self.shared.folder
    }

    /// Follows what is given to it.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changes.subscribe()
    }

    /// The PIN that the token has now, and which one it is, without a trace of it.
    ///
    /// # Errors
    /// What is waited for, in words.
    pub fn pin(&self) -> Result<(Pin, String), String> {
        let document = self.document()?;
        let generation = in_force(&document)?;
        let mut holdings = self.holdings();
        holdings.forget_what_is_over(&document, generation);
        match &holdings.pin {
            Some(held) => {
                let text =
                    std::str::from_utf8(held.pin.expose()).map_err(|_| "the PIN isn't text".to_owned())?;
                let which = format!("custody set {}, generation {}", held.set, held.generation);
                Ok((Pin::new(SecretString::from(text)), which))
            }
            None => Err(holdings.standing(&document, generation).words()),
        }
    }

    /// How it stands.
    pub fn standing(&self) -> Standing {
        let unusable = |obstacle| Standing {
            set: String::new(),
            name: self.shared.folder.display().to_string(),
            generation: 0,
            needed: 0,
            given: Vec::new(),
            open: false,
            obstacle: Some(obstacle),
        };
        let document = match self.document() {
            Ok(document) => document,
            Err(obstacle) => return unusable(obstacle),
        };
        match in_force(&document) {
            Ok(generation) => {
                let mut holdings = self.holdings();
                holdings.forget_what_is_over(&document, generation);
                holdings.standing(&document, generation)
            }
            Err(obstacle) => Standing { set: document.set, name: document.name, ..unusable(obstacle) },
        }
    }

    /// Takes a custodian's share. When it was the last that was needed, the PIN is here.
    ///
    /// # Errors
    /// Why it isn't taken, in words; whose share it is, and of which generation.
    pub fn give(&self, share: &Share) -> Result<Standing, String> {
        let document = self.document()?;
        let generation = in_force(&document)?;
        document.judge(generation, share).map_err(|fault| fault.to_string())?;
        let mut holdings = self.holdings();
        holdings.forget_what_is_over(&document, generation);
        if holdings.pin.is_some() {
            return Ok(holdings.standing(&document, generation));
        }
        holdings.of = (document.set.clone(), generation.number);
        holdings.last = Some(Instant::now());
        if holdings.shares.iter().all(|(name, _)| *name != share.custodian) {
            let octets = Locked::new(share.octets.expose()).map_err(|error| unlocked(&error))?;
            holdings.shares.push((share.custodian.clone(), octets));
        }
        if holdings.shares.len() >= usize::from(generation.threshold) {
            let shares: Vec<_> = std::mem::take(&mut holdings.shares)
                .iter()
                .map(|(custodian, octets)| Share {
                    set: document.set.clone(),
                    generation: generation.number,
                    custodian: custodian.clone(),
                    octets: octets.expose().into(),
                })
                .collect();
            let pin = set::assemble(&document, generation, &shares).map_err(|error| chain(&error))?;
            let pin = Locked::new(pin.expose().as_bytes()).map_err(|error| unlocked(&error))?;
            holdings.pin = Some(Held { set: document.set.clone(), generation: generation.number, pin });
        }
        let standing = holdings.standing(&document, generation);
        drop(holdings);
        self.shared.changes.send_modify(|count| *count += 1);
        Ok(standing)
    }

    fn document(&self) -> Result<Document, String> {
        Document::read(&self.shared.folder).map_err(|error| chain(&error))
    }

    fn holdings(&self) -> MutexGuard<'_, Holdings> {
        self.shared.holdings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Holdings {
    fn forget_what_is_over(&mut self, document: &Document, generation: &Generation) {
        let now = (document.set.clone(), generation.number);
        let held = self.pin.as_ref().map(|held| (held.set.clone(), held.generation));
        if held.is_some_and(|held| held != now) {
            tracing::warn!(
                set = document.name,
                generation = generation.number,
                "the token has another PIN now: custodians are needed again"
            );
            self.pin = None;
        }
        if self.of != now || self.last.is_some_and(|last| last.elapsed() > PATIENCE) {
            self.shares.clear();
        }
    }

    fn standing(&self, document: &Document, generation: &Generation) -> Standing {
        Standing {
            set: document.set.clone(),
            name: document.name.clone(),
            generation: generation.number,
            needed: generation.threshold,
            given: self.shares.iter().map(|(name, _)| name.clone()).collect(),
            open: self.pin.is_some(),
            obstacle: None,
        }
    }
}

fn in_force(document: &Document) -> Result<&Generation, String> {
    if document.switching {
        return Err("the token's PIN is being changed: finish `inro-hsm custody switch`".to_owned());
    }
    document.current.as_ref().ok_or_else(|| {
        "the custody set has no generation in force: have it proven, then `inro-hsm custody switch`"
            .to_owned()
    })
}

fn unlocked(error: &std::io::Error) -> String {
    format!("memory can't be locked ({error}): raise LimitMEMLOCK of the signer's unit, 64 KiB are enough")
}
