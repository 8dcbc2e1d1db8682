//! Why a custody set, a share of it or its PIN isn't taken.

use std::{io, path::PathBuf};

use serde::{Deserialize, Serialize};

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
    /// Somebody else could have changed it.
    #[error(
        "{path:?} {fault}, who could have changed the custody set: compare the set with its copy, then run `{remedy}`"
    )]
    Exposed {
        /// The set's folder, or its file.
        path: PathBuf,
        /// To whom it is open.
        fault: String,
        /// The command that mends it.
        remedy: String,
    },
    /// The shares beside it are of a generation that it doesn't know.
    #[error(
        "{path:?} is newer than set.json, which knows no generation after {known}: restore the newest copy of set.json; \
         nothing was removed"
    )]
    Outdated {
        /// The shares' folder.
        path: PathBuf,
        /// The newest generation that the file knows.
        known: u32,
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

/// A set that keeps another PIN than the one that is wanted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("custody set {name:?} keeps {keeps}, not {wanted}")]
pub struct OtherPin {
    /// The set's name.
    pub name: String,
    /// What it keeps.
    pub keeps: String,
    /// What is wanted.
    pub wanted: String,
}
