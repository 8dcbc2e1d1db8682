//! What an entry adds to what is remembered, worked out before anything changes.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use signer_protocol::message::{AuditPosition, EntryBody, KeyLabel};
use uuid::Uuid;

use super::serial::{self, Serial};

/// The last CRL of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrlState {
    /// `cRLNumber`.
    pub number: u64,
    /// thisUpdate.
    pub this_update: Timestamp,
}

/// What an entry adds to the index; worked out before anything changes.
#[derive(Debug)]
pub(super) enum Change {
    Certificate {
        key: KeyLabel,
        intent: Uuid,
        serial: Serial,
        audit: AuditPosition,
    },
    Crl {
        key: KeyLabel,
        crl: CrlState,
        audit: AuditPosition,
    },
    Revocation {
        key: KeyLabel,
        serial: Serial,
        revoked_at: Timestamp,
        not_after: Timestamp,
        audit: AuditPosition,
    },
    Ocsp {
        key: KeyLabel,
        count: u64,
    },
    Clock {
        /// What the last entry's time was.
        before: Timestamp,
    },
}

impl Change {
    /// Reads what matters out of an entry.
    pub(super) fn of(body: &EntryBody) -> Result<Self, String> {
        Ok(match body {
            EntryBody::Certificate { key, intent, tbs, audit_head, .. } => {
                let serial = serial::of_certificate(tbs)
                    .map_err(|error| format!("its certificate has no readable serial number: {error}"))?;
                Self::Certificate { key: key.clone(), intent: *intent, serial, audit: *audit_head }
            }
            EntryBody::Crl { key, tbs, audit_head, .. } => {
                let (number, this_update) = serial::of_crl(tbs)
                    .map_err(|error| format!("its CRL has no readable number: {error}"))?;
                Self::Crl { key: key.clone(), crl: CrlState { number, this_update }, audit: *audit_head }
            }
            EntryBody::Revocation { key, revocation, audit_head } => Self::Revocation {
                key: key.clone(),
                serial: Serial::from_content(&revocation.serial).map_err(|error| error.to_string())?,
                revoked_at: revocation.revoked_at,
                not_after: revocation.not_after,
                audit: *audit_head,
            },
            EntryBody::OcspCount { key, count } => Self::Ocsp { key: key.clone(), count: *count },
            EntryBody::ClockAccepted { before } => Self::Clock { before: *before },
            EntryBody::CrlDigest { .. } => return Err("a CRL is journaled whole".to_owned()),
        })
    }

    /// The key whose past it is.
    pub(super) fn key(&self) -> Option<&KeyLabel> {
        match self {
            Self::Certificate { key, .. }
            | Self::Crl { key, .. }
            | Self::Revocation { key, .. }
            | Self::Ocsp { key, .. } => Some(key),
            Self::Clock { .. } => None,
        }
    }

    /// What the entry is anchored to.
    pub(super) fn audit(&self) -> Option<AuditPosition> {
        match self {
            Self::Certificate { audit, .. } | Self::Crl { audit, .. } | Self::Revocation { audit, .. } => {
                Some(*audit)
            }
            Self::Ocsp { .. } | Self::Clock { .. } => None,
        }
    }
}
