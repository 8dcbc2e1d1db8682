//! The body of a frame: when, and what.

use jiff::Timestamp;
use serde::Deserialize;
use signer_protocol::{codec, message::EntryBody};

/// What a frame's body says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// Whole microseconds.
    pub(super) at: Timestamp,
    pub(super) body: EntryBody,
}

#[derive(Deserialize)]
struct Raw<B> {
    /// Microseconds since 1970.
    at: i64,
    body: B,
}

/// A body that isn't a record.
#[derive(Clone, Debug, thiserror::Error)]
#[error("its content can't be read: {0}")]
pub(super) struct RecordError(String);

pub(super) fn encode(at: Timestamp, body: &EntryBody) -> Result<Vec<u8>, RecordError> {
    signer_protocol::record::encode(at, body).map_err(|error| RecordError(error.to_string()))
}

pub(super) fn decode(bytes: &[u8]) -> Result<Record, RecordError> {
    let raw: Raw<EntryBody> = codec::decode(bytes).map_err(|error| RecordError(error.to_string()))?;
    let at = Timestamp::from_microsecond(raw.at).map_err(|error| RecordError(error.to_string()))?;
    Ok(Record { at, body: raw.body })
}
