//! What can stop a ceremony.

use std::io;
use std::path::PathBuf;

use super::record::log::OpenError;
use super::spec::mistake::Mistake;
use crate::custody::CustodyError;
use crate::worker::handle::{CallError, StartError};

/// Why a ceremony did not take place, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum CeremonyError {
    /// The specification can't be read.
    #[error("the specification {path:?} can't be read")]
    Unreadable {
        /// Its path.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The specification, or what it needs from this machine, is wrong. Nothing was done.
    #[error("{}", mistakes(.0))]
    Mistakes(Vec<Mistake>),
    /// Something stands in the way that a ceremony never overwrites. Nothing was done.
    #[error("nothing was done: {}", .0.join("; "))]
    Refused(Vec<String>),
    /// It stopped half-way, and can be resumed or taken back.
    #[error(
        "stopped half-way; what was done is noted in {folder:?}: go on with `inro-hsm ceremony run --resume`, or take it \
         back with `inro-hsm ceremony rollback`"
    )]
    HalfWay {
        /// Folder with the log of what was done.
        folder: PathBuf,
        /// What stopped it.
        #[source]
        cause: Box<Fault>,
    },
    /// The log of an interrupted ceremony can't be used.
    #[error("the log {path:?} can't be used")]
    Log {
        /// The log.
        path: PathBuf,
        /// Why.
        #[source]
        cause: OpenError,
    },
    /// A custody set doesn't yield its PIN. Nothing was done.
    #[error("the custody set {folder:?} yields no PIN")]
    Custody {
        /// The set's folder.
        folder: PathBuf,
        /// Why.
        #[source]
        cause: Box<CustodyError>,
    },
    /// Taking a ceremony back failed, and can be tried again.
    #[error("it is not wholly taken back: correct what is wrong and call rollback again")]
    NotRolledBack(#[source] Box<Fault>),
    /// It stopped, and changed nothing before.
    #[error("nothing was done")]
    Failed(#[source] Box<Fault>),
}

/// What went wrong in one step.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// A worker for a token can't be started or logged in.
    #[error("token {token:?}")]
    Start {
        /// The token.
        token: String,
        /// Why.
        #[source]
        cause: StartError,
    },
    /// A token failed.
    #[error("token {token:?} failed to {doing}")]
    Token {
        /// The token.
        token: String,
        /// What it was asked.
        doing: String,
        /// What it said.
        #[source]
        cause: CallError,
    },
    /// A key is not as well protected as it must be.
    #[error("key {key:?} must not be used: {fault}")]
    Unprotected {
        /// The key.
        key: String,
        /// The attributes that are wrong.
        fault: String,
    },
    /// Something that was signed is not what it should be.
    #[error("{what:?} is not as it should be: {fault}")]
    Inconsistent {
        /// The certificate or CRL.
        what: String,
        /// What is wrong.
        fault: String,
    },
    /// Something can't be encoded.
    #[error("{what:?} can't be encoded: {cause}")]
    Encoding {
        /// The certificate or CRL.
        what: String,
        /// Why.
        cause: String,
    },
    /// A file can't be written.
    #[error("{path:?} can't be written")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// A person pressed Ctrl-C, or wouldn't go on.
    #[error("interrupted by hand")]
    Interrupted,
    /// A request isn't the one that its owner made.
    #[error(
        "the fingerprint of {what:?} is not {heard}: it is not the request that its owner made, or was misheard"
    )]
    Fingerprint {
        /// The request's file.
        what: String,
        /// What was read aloud.
        heard: String,
    },
    /// Nobody compared a request's fingerprint.
    #[error(
        "nobody compared the fingerprint of {request:?}: have its owner read it aloud and type it, or give --confirm {certificate}=FINGERPRINT"
    )]
    NotCompared {
        /// The certificate.
        certificate: String,
        /// The request's file.
        request: String,
    },
    /// Custodians have not opened their shares yet.
    #[error(
        "of the custody set {set:?} {} still have to open their shares, with `inro-hsm custody prove`: the ceremony can't end before", .custodians.join(", ")
    )]
    Unproven {
        /// The set's folder.
        set: PathBuf,
        /// Who.
        custodians: Vec<String>,
    },
    /// A custody set can't be put in force.
    #[error("the custody set {set:?} can't be put in force")]
    Custody {
        /// The set's folder.
        set: PathBuf,
        /// Why.
        #[source]
        cause: Box<CustodyError>,
    },
}

fn mistakes(mistakes: &[Mistake]) -> String {
    let plural = if mistakes.len() == 1 { "" } else { "s" };
    format!("{} mistake{plural} in the specification", mistakes.len())
}
