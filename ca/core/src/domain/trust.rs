//! The trust bundle: which makers' certificates are believed, and who says so.
//!
//! A bundle counts with the signatures of two officers under the same octets, so that neither one person nor whoever can
//! write to the ledger adds an anchor. An anchor is never dropped from a bundle, only retired: what was once believed stays
//! told.

use std::collections::HashSet;

use aws_lc_rs::digest::{SHA256, digest};
use ca_x509::cms::{self, Checked};
use der::{Decode, Encode};
use jiff::Timestamp;
use x509_cert::Certificate;

use super::attestation::{Anchor, Purpose, Trust};

/// A bundle has at most so many octets.
pub const MAX_BUNDLE_BYTES: usize = 16 * 1024 * 1024;
/// And so many anchors.
pub const MAX_BUNDLE_ANCHORS: usize = 4096;

/// A maker's certificate with what people should know of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedAnchor {
    /// The certificate, and what it may vouch for.
    pub anchor: Anchor,
    /// Where it was got, such as the maker's address.
    pub source: String,
    /// A remark.
    pub note: String,
    /// When it was added.
    pub added_at: Timestamp,
    /// Since when it isn't believed any more.
    pub retired_at: Option<Timestamp>,
}

impl TrustedAnchor {
    /// SHA-256 of its certificate.
    pub fn sha256(&self) -> [u8; 32] {
        sha256(&self.anchor.der)
    }
}

/// A bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    /// Counts from 1.
    pub version: u32,
    /// SHA-256 of the version before, octet for octet; `None` for the first.
    pub previous_sha256: Option<[u8; 32]>,
    /// What was changed and why.
    pub comment: String,
    /// All anchors there ever were.
    pub anchors: Vec<TrustedAnchor>,
}

impl Bundle {
    /// The anchors that are believed.
    pub fn standing(&self) -> Vec<Anchor> {
        let standing = self.anchors.iter().filter(|anchor| anchor.retired_at.is_none());
        standing.map(|anchor| anchor.anchor.clone()).collect()
    }

    /// The anchor with this fingerprint.
    pub fn find(&self, sha256: &[u8; 32]) -> Option<&TrustedAnchor> {
        self.anchors.iter().find(|anchor| anchor.sha256() == *sha256)
    }

    /// That nothing in it is there twice, and it isn't larger than any bundle needs to be.
    ///
    /// # Errors
    /// [`BundleError`].
    pub fn check(&self) -> Result<(), BundleError> {
        if self.anchors.len() > MAX_BUNDLE_ANCHORS {
            return Err(BundleError::TooLarge);
        }
        let mut seen = HashSet::new();
        match self.anchors.iter().map(TrustedAnchor::sha256).find(|sha256| !seen.insert(*sha256)) {
            Some(twice) => Err(BundleError::Twice(hex::encode(twice))),
            None => Ok(()),
        }
    }

    /// That it may follow `previous`, whose document has the hash given with it.
    ///
    /// # Errors
    /// [`BundleError`].
    pub fn follows(&self, previous: Option<(&Self, [u8; 32])>) -> Result<(), BundleError> {
        self.check()?;
        let version = previous.map_or(1, |(previous, _)| previous.version.saturating_add(1));
        if self.version != version || self.previous_sha256 != previous.map(|(_, sha256)| sha256) {
            return Err(BundleError::NotNext { expected: version });
        }
        let known = previous.into_iter().flat_map(|(previous, _)| &previous.anchors);
        let lost = known.map(TrustedAnchor::sha256).find(|sha256| self.find(sha256).is_none());
        lost.map_or(Ok(()), |sha256| Err(BundleError::Dropped(hex::encode(sha256))))
    }
}

/// A bundle that can't be one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// It doesn't parse.
    #[error("it isn't a trust bundle: {0}")]
    Form(String),
    /// More than makers have.
    #[error("it has more than {MAX_BUNDLE_ANCHORS} anchors, or more than {MAX_BUNDLE_BYTES} octets")]
    TooLarge,
    /// The same certificate twice.
    #[error("the anchor {0} is in it twice")]
    Twice(String),
    /// Made from another version than the newest.
    #[error("it doesn't follow the newest version; version {expected} has to be made from that one")]
    NotNext {
        /// The version that comes next.
        expected: u32,
    },
    /// An anchor of the version before is missing.
    #[error("the anchor {0} of the version before is missing: retire it, so that it stays told")]
    Dropped(String),
}

/// Somebody who may sign bundles.
#[derive(Clone, Debug)]
pub struct Officer {
    /// Their certificate's subject, for people.
    pub name: String,
    certificate_sha256: [u8; 32],
    public_key: Vec<u8>,
    not_before: u64,
    not_after: u64,
}

/// All who may, by their certificates.
#[derive(Clone, Debug, Default)]
pub struct Officers(Vec<Officer>);

/// A certificate that can't be an officer's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OfficerError {
    /// It isn't a certificate.
    #[error("officer {0}'s certificate can't be read")]
    Malformed(usize),
    /// Two certificates of one key are one person.
    #[error("{0} has the key of an officer before: four eyes are of two people")]
    SameKey(String),
}

impl Officers {
    /// Reads the officers' certificates, DER.
    ///
    /// # Errors
    /// [`OfficerError`].
    pub fn new<'a>(certificates: impl IntoIterator<Item = &'a [u8]>) -> Result<Self, OfficerError> {
        let mut officers: Vec<Officer> = Vec::new();
        for (index, der) in certificates.into_iter().enumerate() {
            let officer = officer(der).ok_or(OfficerError::Malformed(index + 1))?;
            if officers.iter().any(|known| known.public_key == officer.public_key) {
                return Err(OfficerError::SameKey(officer.name));
            }
            officers.push(officer);
        }
        Ok(Self(officers))
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Whose signature it is.
    ///
    /// # Errors
    /// [`SignatureRefusal`].
    pub fn signer(&self, bundle: &[u8], signature: &[u8]) -> Result<&Officer, SignatureRefusal> {
        let Checked { certificate, subject } =
            cms::check(signature, bundle).map_err(SignatureRefusal::Signature)?;
        let sha256 = sha256(&certificate);
        let found = self.0.iter().find(|officer| officer.certificate_sha256 == sha256);
        found.ok_or_else(|| SignatureRefusal::Stranger { subject, sha256: hex::encode(sha256) })
    }

    /// That two different officers signed the bundle; their names in the order of the signatures.
    ///
    /// # Errors
    /// [`SignatureRefusal`].
    pub fn two(&self, bundle: &[u8], first: &[u8], second: &[u8]) -> Result<[&Officer; 2], SignatureRefusal> {
        let (first, second) = (self.signer(bundle, first)?, self.signer(bundle, second)?);
        if first.public_key == second.public_key {
            return Err(SignatureRefusal::SamePerson(first.name.clone()));
        }
        Ok([first, second])
    }
}

impl Officer {
    /// Whether their certificate is valid now: asked when they sign, not when old signatures are read.
    ///
    /// # Errors
    /// [`SignatureRefusal::NotValid`].
    pub fn may_sign(&self, now: Timestamp) -> Result<(), SignatureRefusal> {
        let now = u64::try_from(now.as_second()).unwrap_or(0);
        if (self.not_before..=self.not_after).contains(&now) {
            return Ok(());
        }
        Err(SignatureRefusal::NotValid(self.name.clone()))
    }
}

/// Why signatures under a bundle don't count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureRefusal {
    /// It isn't a signature of these octets.
    #[error("the signature {0}")]
    Signature(String),
    /// Somebody else signed.
    #[error("{subject} (certificate SHA-256 {sha256}) is none of the officers that trust.officers names")]
    Stranger {
        /// Who.
        subject: String,
        /// Their certificate's fingerprint, hexadecimal.
        sha256: String,
    },
    /// One person alone.
    #[error("both signatures are {0}'s: one stages, another approves")]
    SamePerson(String),
    /// The certificate has expired, or isn't valid yet.
    #[error("the certificate of {0} isn't valid at this time")]
    NotValid(String),
}

fn officer(der: &[u8]) -> Option<Officer> {
    let certificate = Certificate::from_der(der).ok()?;
    let tbs = certificate.tbs_certificate();
    Some(Officer {
        name: ca_x509::name::shown(tbs.subject()),
        certificate_sha256: sha256(der),
        public_key: tbs.subject_public_key_info().to_der().ok()?,
        not_before: tbs.validity().not_before.to_unix_duration().as_secs(),
        not_after: tbs.validity().not_after.to_unix_duration().as_secs(),
    })
}

impl Purpose {
    /// The stable name in bundles.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PivIssuer => "yubikey-piv",
            Self::Link => "yubikey-link",
            Self::TpmMaker => "tpm",
        }
    }

    /// Reads the stable name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::PivIssuer, Self::Link, Self::TpmMaker].into_iter().find(|purpose| purpose.as_str() == text)
    }
}

impl Trust {
    /// The stable name in bundles.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Intermediate => "intermediate",
        }
    }

    /// Reads the stable name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Root, Self::Intermediate].into_iter().find(|trust| trust.as_str() == text)
    }
}

/// SHA-256.
pub fn sha256(octets: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest(&SHA256, octets).as_ref());
    out
}
