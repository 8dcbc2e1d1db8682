//! What a ceremony leaves to those who come later: a log chained by hashes, the transcript that it amounts to, and the
//! signatures of people and keys under it.
//!
//! The log is the one truth. It is written step by step while the ceremony goes on, it is what an interrupted ceremony
//! is resumed from, and the transcript is computed from it and from nothing else.

pub mod event;
pub mod log;
mod text;
pub mod transcript;
pub mod verify;

/// The log's file in the output.
pub const LOG: &str = "transcript.log";
/// The transcript for programs; what is signed.
pub const JSON: &str = "transcript.json";
/// The transcript for people.
pub const TEXT: &str = "transcript.txt";

/// The file of somebody's signature.
pub fn signature_file(signer: &str) -> String {
    format!("transcript.{signer}.p7s")
}
