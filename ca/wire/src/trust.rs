//! The trust bundle as a document: what officers sign, octet for octet.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Base64;

/// The value of [`TrustBundle::format`].
pub const TRUST_BUNDLE: &str = "inro-trust-bundle-1";

/// A version of the bank's trust in device makers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustBundle {
    /// [`TRUST_BUNDLE`].
    pub format: String,
    /// Counts from 1.
    pub version: u32,
    /// SHA-256 of the version before, lower-case hexadecimal; missing in the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_sha256: Option<String>,
    /// What was changed and why.
    pub comment: String,
    /// All anchors there ever were.
    pub anchors: Vec<TrustAnchor>,
}

/// A maker's certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustAnchor {
    /// SHA-256 of the certificate, lower-case hexadecimal.
    pub sha256: String,
    /// What it may vouch for.
    pub purpose: String,
    /// `root` or `intermediate`.
    pub trust: String,
    /// Where it was got.
    pub source: String,
    /// A remark.
    pub note: String,
    /// When it was added.
    pub added_at: Timestamp,
    /// Since when it isn't believed any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retired_at: Option<Timestamp>,
    /// The certificate, DER.
    pub certificate: Base64,
}
