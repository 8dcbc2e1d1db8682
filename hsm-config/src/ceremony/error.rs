//! What can stop a ceremony.

use std::io;
use std::path::PathBuf;

use super::mistake::Mistake;
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
    /// It stopped half-way. What was done stays done and is in the transcript.
    #[error(
        "stopped half-way; what was done is recorded in {transcript:?}, and tokens named there must be erased with \
         their vendor's tool before another run"
    )]
    HalfWay {
        /// Folder with the transcript of what was done.
        transcript: PathBuf,
        /// What stopped it.
        #[source]
        cause: Box<Fault>,
    },
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
    /// A person pressed Ctrl-C.
    #[error("interrupted by hand")]
    Interrupted,
}

fn mistakes(mistakes: &[Mistake]) -> String {
    let plural = if mistakes.len() == 1 { "" } else { "s" };
    format!("{} mistake{plural} in the specification", mistakes.len())
}
