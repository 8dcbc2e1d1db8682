//! What a ceremony is to do: the validated specification. It exists only without mistakes, see
//! [`parse`](super::parse::parse).

use std::path::PathBuf;

use const_oid::ObjectIdentifier;
use jiff::{Timestamp, tz::TimeZone};
use serde::Serialize;

use crate::token::{KeyAlgorithm, KeyId, ModuleAccess};

/// A whole ceremony.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Its title.
    pub name: String,
    /// Who attends.
    pub present: Vec<Person>,
    /// The tokens that keys are made on.
    pub tokens: Vec<TokenSpec>,
    /// The keys.
    pub keys: Vec<KeySpec>,
    /// The certificates, issuers before what they issue.
    pub certificates: Vec<CertificateSpec>,
    /// The first CRL of each authority.
    pub crls: Vec<CrlSpec>,
}

/// Someone who attends.
#[derive(Clone, Debug, Serialize)]
pub struct Person {
    /// Their name.
    pub name: String,
    /// What they are there for.
    pub role: String,
}

/// A token.
#[derive(Clone, Debug)]
pub struct TokenSpec {
    /// Its name within the specification.
    pub name: String,
    /// The module that drives it.
    pub access: ModuleAccess,
    /// Its label.
    pub label: String,
    /// Whether the ceremony initialises it, and how; `None` when it is ready for use and empty.
    pub initialise: Option<Initialise>,
    /// File with the user's PIN.
    pub pin_file: PathBuf,
}

/// How a token is initialised.
#[derive(Clone, Debug)]
pub struct Initialise {
    /// The slot; `None` takes the first uninitialised token.
    pub slot: Option<u64>,
    /// File with the security officer's PIN.
    pub so_pin_file: PathBuf,
}

/// A key pair.
#[derive(Clone, Debug)]
pub struct KeySpec {
    /// Its name within the specification, also its `CKA_LABEL`.
    pub name: String,
    /// The token it is made on.
    pub token: String,
    /// Its `CKA_ID`.
    pub id: KeyId,
    /// Its kind.
    pub algorithm: KeyAlgorithm,
}

/// What a certificate is for; decides its extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// The self-signed root authority.
    Root,
    /// An authority for customers' certificates.
    Issuing,
    /// An authority for staff and registered machines.
    StaffIssuing,
    /// A delegated OCSP responder (RFC 6960, 4.2.2.2).
    OcspResponder,
}

impl Profile {
    /// Whether such a certificate may sign others and CRLs.
    pub fn is_authority(self) -> bool {
        self != Self::OcspResponder
    }

    /// Whether it is issued by the root.
    pub fn is_issuing(self) -> bool {
        matches!(self, Self::Issuing | Self::StaffIssuing)
    }
}

/// A certificate.
#[derive(Clone, Debug)]
pub struct CertificateSpec {
    /// Its name within the specification and the stem of its file's name.
    pub name: String,
    /// What it is for.
    pub profile: Profile,
    /// The key it certifies.
    pub key: String,
    /// The certificate whose key signs it; for the root its own name.
    pub issuer: String,
    /// Its subject.
    pub subject: Subject,
    /// How long it is valid.
    pub lifetime: Lifetime,
    /// Authorities below it that may stand between it and an end entity. `None` for responders.
    pub path_length: Option<u8>,
    /// The policies that hold below it.
    pub policies: Vec<ObjectIdentifier>,
    /// Where its issuer's CRL is.
    pub crl_url: Option<String>,
    /// Where its issuer's certificate is.
    pub ca_issuers_url: Option<String>,
    /// Where its issuer's OCSP responder is.
    pub ocsp_url: Option<String>,
}

/// A subject name, in this order in the certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// Two capital letters.
    pub country: String,
    /// Organisation.
    pub organization: String,
    /// Unit, if any.
    pub organizational_unit: Option<String>,
    /// Common name.
    pub common_name: String,
}

/// A certificate's lifetime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// Calendar years in UTC.
    Years(i64),
    /// Days of 24 hours.
    Days(i64),
}

impl Lifetime {
    /// The last second of the lifetime that starts at `not_before`: both ends count (RFC 5280, 4.1.2.5).
    ///
    /// # Errors
    /// When it is beyond the calendar.
    pub fn not_after(self, not_before: Timestamp) -> Result<Timestamp, jiff::Error> {
        let start = not_before.to_zoned(TimeZone::UTC);
        let span = match self {
            Self::Years(years) => jiff::Span::new().try_years(years)?,
            Self::Days(days) => jiff::Span::new().try_days(days)?,
        };
        start.checked_add(span)?.timestamp().checked_sub(jiff::SignedDuration::from_secs(1))
    }
}

/// The first CRL of an authority.
#[derive(Clone, Debug)]
pub struct CrlSpec {
    /// The authority's certificate.
    pub issuer: String,
    /// Days until nextUpdate.
    pub next_update_days: i64,
}

impl Spec {
    /// The token of this name. The parser has made sure that it exists.
    pub(super) fn token(&self, name: &str) -> Option<&TokenSpec> {
        self.tokens.iter().find(|token| token.name == name)
    }

    /// The key of this name.
    pub(super) fn key(&self, name: &str) -> Option<&KeySpec> {
        self.keys.iter().find(|key| key.name == name)
    }

    /// The certificate of this name.
    pub(super) fn certificate(&self, name: &str) -> Option<&CertificateSpec> {
        self.certificates.iter().find(|certificate| certificate.name == name)
    }
}
