//! The octets of an entry of the journal. Its hash is SHA-256 over the hash of the entry before and these octets, so that
//! whoever has both can say for a single entry what its hash stands for.

use jiff::Timestamp;
use serde::Serialize;

use crate::message::EntryBody;

#[derive(Serialize)]
struct Raw<'a> {
    /// Microseconds since 1970.
    at: i64,
    body: &'a EntryBody,
}

/// An entry that can't be encoded.
#[derive(Debug, thiserror::Error)]
#[error("the entry can't be encoded: {0}")]
pub struct RecordError(String);

/// CBOR of when and what.
///
/// # Errors
/// Only when memory runs out.
pub fn encode(at: Timestamp, body: &EntryBody) -> Result<Vec<u8>, RecordError> {
    let mut out = Vec::new();
    ciborium::into_writer(&Raw { at: at.as_microsecond(), body }, &mut out)
        .map_err(|error| RecordError(error.to_string()))?;
    Ok(out)
}
