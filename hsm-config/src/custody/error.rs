//! What goes wrong with a custody set, in words that say what to do.

use std::{io, path::PathBuf};

use super::{
    document::{DocumentError, ShareFault},
    envelope::EnvelopeError,
    passphrase::{StretchError, WeakPassphrase},
    people::AskError,
    piv::PivError,
    sharing::SharingError,
};

/// Why a custody set isn't made, changed or opened. Nothing was changed unless it says so.
#[derive(Debug, thiserror::Error)]
pub enum CustodyError {
    /// The set's file.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// Another command works on the set.
    #[error("another command works on the custody set in {0:?}: wait until it has ended")]
    Busy(PathBuf),
    /// The folder is taken.
    #[error("{0:?} exists and isn't empty: choose a new folder for a new set; a set that exists is re-split")]
    Exists(PathBuf),
    /// The plan.
    #[error("the plan has mistakes: {}", .0.join("; "))]
    Plan(Vec<String>),
    /// The plan is for another PIN.
    #[error("the plan is for {theirs}, the set keeps {ours}: a set keeps one PIN of one token for ever")]
    OtherPurpose {
        /// The plan's.
        theirs: String,
        /// The set's.
        ours: String,
    },
    /// A file.
    #[error("{what} {path:?} can't be used")]
    File {
        /// What it is.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Nobody by that name.
    #[error("{name:?} is no custodian of generation {generation}; there are {names}")]
    NoCustodian {
        /// Who was asked for.
        name: String,
        /// The generation.
        generation: u32,
        /// Who there is.
        names: String,
    },
    /// There is nothing to open.
    #[error("the set has no generation that is {0}")]
    NoGeneration(&'static str),
    /// The sealed file was changed.
    #[error(
        "the sealed share of custodian {custodian:?} is not the file that was written: restore it from its copy"
    )]
    Damaged {
        /// Whose.
        custodian: String,
        /// What happened when it was opened.
        #[source]
        source: EnvelopeError,
    },
    /// The sealed file is as it was written, and doesn't open.
    #[error("custodian {custodian:?} didn't open their share: {reason}")]
    Shut {
        /// Whose.
        custodian: String,
        /// Why.
        reason: &'static str,
    },
    /// Opened, and not the right one.
    #[error(transparent)]
    Share(#[from] ShareFault),
    /// It was another custodian's.
    #[error("this is the share of custodian {found:?}, not of {expected:?}")]
    OtherCustodian {
        /// Whose it is.
        found: String,
        /// Whose it should be.
        expected: String,
    },
    /// The custodian's own token.
    #[error("custodian {custodian:?}")]
    Token {
        /// Whose.
        custodian: String,
        /// What happened.
        #[source]
        source: PivError,
    },
    /// Nobody answered.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// Not enough custodians.
    #[error("{opened} of {needed} custodians opened their shares{}", told(.faults))]
    Quorum {
        /// How many did.
        opened: usize,
        /// How many it takes.
        needed: usize,
        /// Why others didn't.
        faults: Vec<String>,
        /// Why it ended.
        #[source]
        source: AskError,
    },
    /// The set's file was changed.
    #[error(
        "the shares are right, but generation {0} in set.json was changed after it was made: restore the file from its copy"
    )]
    Tampered(u32),
    /// Not everybody has proven theirs.
    #[error("generation {generation} isn't proven: {} must open theirs first (`inro-hsm custody prove`)", .names.join(", "))]
    Unproven {
        /// Which.
        generation: u32,
        /// Who must.
        names: Vec<String>,
    },
    /// Nobody vouches for the module.
    #[error(
        "generation {generation} is to be put on the token by {theirs}, but {whose} has {ours}; that module gets both \
         PINs. If it is the right one, give the reviewed plan that names it by --plan; else re-split the set by that plan"
    )]
    OtherModule {
        /// The next generation.
        generation: u32,
        /// Its module.
        theirs: String,
        /// Who says otherwise.
        whose: &'static str,
        /// Their module.
        ours: String,
    },
    /// A change is half done.
    #[error(
        "the token's PIN is being changed and may be either: finish that first with `inro-hsm custody switch`"
    )]
    Switching,
    /// The passphrase is weak.
    #[error("custodian {custodian:?}")]
    Weak {
        /// Whose.
        custodian: String,
        /// Why.
        #[source]
        source: WeakPassphrase,
    },
    /// Passphrases can't be stretched.
    #[error(transparent)]
    Stretch(#[from] StretchError),
    /// Cryptography.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// Shares.
    #[error(transparent)]
    Sharing(#[from] SharingError),
    /// The token.
    #[error("the token's PIN was not changed: {0}")]
    Unchanged(String),
    /// The token, perhaps.
    #[error(
        "whether the token's PIN was changed isn't known: {0}. Run `inro-hsm custody switch` again, which finds out; it \
         spends one try at most"
    )]
    Unclear(String),
}

fn told(faults: &[String]) -> String {
    faults.iter().fold(String::new(), |text, fault| text + "; " + fault)
}
