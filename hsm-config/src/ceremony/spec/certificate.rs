//! A certificate of a specification: what it is for, where it comes from, and whose it is.

use const_oid::ObjectIdentifier;
use jiff::{Timestamp, tz::TimeZone};
use serde::{Deserialize, Serialize};

use super::Input;

/// What a certificate is for; decides its extensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// The self-signed root authority.
    Root,
    /// An authority for customers' certificates.
    Issuing,
    /// An authority for staff and registered machines.
    StaffIssuing,
    /// An authority that somebody else operates, below the root.
    Intermediate,
    /// One root's key certified by another's, with the same name: RFC 4210, 4.4, `NewWithOld` and `OldWithNew`.
    Link,
    /// A delegated OCSP responder (RFC 6960, 4.2.2.2).
    OcspResponder,
    /// A member of staff, the key on a token of theirs.
    Administrator,
}

impl Profile {
    /// All of them, by their names in a specification.
    pub const ALL: [(&'static str, Self); 7] = [
        ("root", Self::Root),
        ("issuing", Self::Issuing),
        ("staff-issuing", Self::StaffIssuing),
        ("intermediate", Self::Intermediate),
        ("link", Self::Link),
        ("ocsp-responder", Self::OcspResponder),
        ("administrator", Self::Administrator),
    ];

    /// Its name in a specification.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, profile)| *profile == self).map_or("", |(name, _)| name)
    }

    /// Whether such a certificate may sign others and CRLs.
    pub fn is_authority(self) -> bool {
        !matches!(self, Self::OcspResponder | Self::Administrator)
    }

    /// Whether it is an authority right below the root.
    pub fn is_below_root(self) -> bool {
        matches!(self, Self::Issuing | Self::StaffIssuing | Self::Intermediate)
    }

    /// Authorities that may stand between it and an end entity; `None` for end entities.
    pub fn path_length(self) -> Option<u8> {
        match self {
            Self::Root | Self::Link => Some(1),
            Self::Issuing | Self::StaffIssuing | Self::Intermediate => Some(0),
            Self::OcspResponder | Self::Administrator => None,
        }
    }

    /// Its place in the order of signing.
    pub(in crate::ceremony) fn rank(self) -> u8 {
        match self {
            Self::Root => 0,
            Self::Link => 1,
            Self::Issuing | Self::StaffIssuing | Self::Intermediate => 2,
            Self::OcspResponder | Self::Administrator => 3,
        }
    }
}

/// A certificate.
#[derive(Clone, Debug)]
pub struct CertificateSpec {
    /// Its name within the specification and the stem of its file's name.
    pub name: String,
    /// What it is for.
    pub profile: Profile,
    /// Whether it exists, or what the ceremony signs.
    pub source: Source,
}

/// Where a certificate comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// It exists.
    Existing {
        /// The certificate.
        file: Input,
        /// Its key, where that is on a token of the ceremony.
        key: Option<String>,
    },
    /// The ceremony signs it.
    Issued(Box<Issued>),
}

/// A certificate that the ceremony signs.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The key it certifies.
    pub subject_key: SubjectKey,
    /// The certificate whose key signs it; for the root its own name.
    pub issuer: String,
    /// Its subject. Links have that of the root they certify.
    pub subject: Option<Subject>,
    /// How long it is valid. Links end with the earlier of the two roots.
    pub lifetime: Option<Lifetime>,
    /// The policies that hold below it, or of an administrator.
    pub policies: Vec<ObjectIdentifier>,
    /// Where its issuer's CRL is.
    pub crl_url: Option<String>,
    /// Where its issuer's certificate is.
    pub ca_issuers_url: Option<String>,
    /// Where its issuer's OCSP responder is.
    pub ocsp_url: Option<String>,
    /// The certificate that it takes the place of, with the same key and subject.
    pub renews: Option<Input>,
    /// What its key's maker says of where the key was born.
    pub attestation: Option<Attestation>,
}

/// The key that a certificate certifies.
#[derive(Clone, Debug)]
pub enum SubjectKey {
    /// A key of this specification.
    OnToken(String),
    /// The key of a certification request.
    Requested {
        /// The request.
        request: Input,
        /// Its fingerprint, where the specification says it: SHA-256 of its DER.
        sha256: Option<String>,
    },
    /// The key of another certificate, for links.
    Of(String),
}

impl SubjectKey {
    /// The key of this specification, if it is one.
    pub(in crate::ceremony) fn on_token(&self) -> Option<&str> {
        match self {
            Self::OnToken(key) => Some(key),
            Self::Requested { .. } | Self::Of(_) => None,
        }
    }
}

/// Evidence of a `YubiKey` that a key was made in it.
#[derive(Clone, Debug)]
pub struct Attestation {
    /// The attestation of the key.
    pub slot: Input,
    /// The device's own attestation certificate (slot f9).
    pub device: Input,
    /// The makers' certificates that lead from there to a root, roots included.
    pub makers: Vec<Input>,
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
    /// User ID, if any: what a member of staff logs in as.
    pub user_id: Option<String>,
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

impl CertificateSpec {
    /// What the ceremony signs, if it signs this one.
    pub fn issued(&self) -> Option<&Issued> {
        match &self.source {
            Source::Issued(issued) => Some(issued),
            Source::Existing { .. } => None,
        }
    }

    /// The certificate, when it exists.
    pub fn existing(&self) -> Option<&Input> {
        match &self.source {
            Source::Existing { file, .. } => Some(file),
            Source::Issued(_) => None,
        }
    }

    /// The key of the ceremony that it certifies, if that is one.
    pub fn key(&self) -> Option<&str> {
        match &self.source {
            Source::Existing { key, .. } => key.as_deref(),
            Source::Issued(issued) => issued.subject_key.on_token(),
        }
    }
}
