//! What a ceremony is to do: the validated specification. It exists only without mistakes, see [`parse`].
//!
//! One language serves every kind of ceremony: sections describe tokens, keys, certificates, requests, CRLs, copies and
//! destructions, and [`Kind`] says which of them may appear together.

pub mod input;
pub mod kind;
pub mod mistake;
pub mod parse;
pub(super) mod section;

use const_oid::ObjectIdentifier;
use jiff::{Timestamp, tz::TimeZone};
use serde::{Deserialize, Serialize};
use x509_cert::ext::pkix::CrlReason;

pub use input::Input;
pub use kind::Kind;

use crate::token::{KeyAlgorithm, KeyId, ModuleAccess, PinSource, TokenSelection};
use crate::worker::protocol::Leaving;

/// A whole ceremony.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Its title.
    pub name: String,
    /// What it is for.
    pub kind: Kind,
    /// Who attends.
    pub present: Vec<Person>,
    /// The tokens that keys are on.
    pub tokens: Vec<TokenSpec>,
    /// The keys.
    pub keys: Vec<KeySpec>,
    /// The certificates, issuers before what they issue.
    pub certificates: Vec<CertificateSpec>,
    /// Certification requests to make.
    pub requests: Vec<RequestSpec>,
    /// CRLs to sign.
    pub crls: Vec<CrlSpec>,
    /// Keys to copy to a second token.
    pub copies: Vec<CopySpec>,
    /// Keys to destroy, after everything else.
    pub destructions: Vec<DestructionSpec>,
}

/// Someone who attends.
#[derive(Clone, Debug)]
pub struct Person {
    /// Their name.
    pub name: String,
    /// What they are there for.
    pub role: String,
    /// How they sign the transcript, if not on paper alone.
    pub signs: Option<Signs>,
}

/// How someone signs the transcript.
#[derive(Clone, Debug)]
pub struct Signs {
    /// The certificate of their key.
    pub certificate: Input,
    /// Their own token, when it is at hand during the ceremony; else they sign afterwards, elsewhere.
    pub token: Option<WitnessToken>,
}

/// The token of someone who attends.
#[derive(Clone, Debug)]
pub struct WitnessToken {
    /// The module that drives it.
    pub access: ModuleAccess,
    /// Which of the module's tokens.
    pub selection: TokenSelection,
    /// The key's `CKA_ID`.
    pub id: KeyId,
    /// Where its PIN comes from.
    pub pin: PinSource,
}

/// A token.
#[derive(Clone, Debug)]
pub struct TokenSpec {
    /// Its name within the specification.
    pub name: String,
    /// The module that drives it.
    pub access: ModuleAccess,
    /// Which of the module's tokens; one that the ceremony initialises is known by the label that it gets.
    pub selection: TokenSelection,
    /// Whether the ceremony initialises it, and how; `None` when it is ready for use.
    pub initialise: Option<Initialise>,
    /// Where the user's PIN comes from.
    pub pin: PinSource,
    /// Where the security officer's PIN comes from, of a token that is ready for use: to trust the key under which
    /// another leaves it.
    pub so_pin: Option<PinSource>,
}

/// How a token is initialised.
#[derive(Clone, Debug)]
pub struct Initialise {
    /// The label that it gets.
    pub label: String,
    /// Which token is taken.
    pub free: Free,
    /// Where the security officer's PIN comes from.
    pub so_pin: PinSource,
}

/// Which of a module's uninitialised tokens is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Free {
    /// The first.
    First,
    /// The one in this slot.
    InSlot(u64),
    /// The one with this serial number, where tokens have one before they are initialised and keep it.
    WithSerial(String),
}

impl TokenSpec {
    /// By what it may be known: all of these are this one token.
    pub fn selections(&self) -> Vec<TokenSelection> {
        let mut known = vec![self.selection.clone()];
        if let Some(Initialise { free: Free::WithSerial(serial), .. }) = &self.initialise {
            known.push(TokenSelection::Serial(serial.clone()));
        }
        known
    }

    /// Where the security officer's PIN comes from, if the ceremony has it.
    pub fn officer(&self) -> Option<&PinSource> {
        self.initialise.as_ref().map(|initialise| &initialise.so_pin).or(self.so_pin.as_ref())
    }

    /// How a key that is made or comes here to be wrapped again is confined.
    pub(in super::super) fn wrapped(&self) -> Leaving {
        if self.access.vendor.backup.trusted { Leaving::WrappedTrusted } else { Leaving::Wrapped }
    }
}

/// A key pair.
#[derive(Clone, Debug)]
pub struct KeySpec {
    /// Its name within the specification, also its `CKA_LABEL`.
    pub name: String,
    /// The token it is on.
    pub token: String,
    /// Its `CKA_ID`.
    pub id: KeyId,
    /// Its kind.
    pub algorithm: KeyAlgorithm,
    /// Whether the ceremony makes it.
    pub origin: Origin,
}

/// Where a key comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The ceremony makes it.
    New(Leaving),
    /// It is on its token already.
    Existing,
}

impl KeySpec {
    /// Whether the ceremony makes it.
    pub fn is_new(&self) -> bool {
        matches!(self.origin, Origin::New(_))
    }
}

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
    pub(super) fn rank(self) -> u8 {
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
    pub(super) fn on_token(&self) -> Option<&str> {
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

/// A certification request (PKCS #10) to make.
#[derive(Clone, Debug)]
pub struct RequestSpec {
    /// Its name and the stem of its file's name.
    pub name: String,
    /// The key that it is for.
    pub key: String,
    /// Its subject.
    pub subject: Subject,
}

/// A CRL of an authority.
#[derive(Clone, Debug)]
pub struct CrlSpec {
    /// The authority's certificate.
    pub issuer: String,
    /// Days until nextUpdate.
    pub next_update_days: i64,
    /// The CRL that it takes the place of; `None` for an authority's first.
    pub previous: Option<Input>,
    /// What it revokes that the previous one didn't.
    pub revocations: Vec<Revocation>,
}

/// A certificate to revoke.
#[derive(Clone, Debug)]
pub struct Revocation {
    /// The serial number's content octets.
    pub serial: Vec<u8>,
    /// Why.
    pub reason: CrlReason,
    /// Since when; the moment of signing when `None`.
    pub at: Option<Timestamp>,
    /// The certificate, where it was named by its file.
    pub certificate: Option<Input>,
}

/// A key that goes to a second token as well.
#[derive(Clone, Debug)]
pub struct CopySpec {
    /// The key.
    pub key: String,
    /// The token that receives it.
    pub to: String,
}

/// A key to destroy.
#[derive(Clone, Debug)]
pub struct DestructionSpec {
    /// The key.
    pub key: String,
    /// SHA-256 of its `SubjectPublicKeyInfo`, hexadecimal: nobody destroys a key by mistaking a name.
    pub public_key_sha256: String,
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

impl Spec {
    /// The token of this name. The parser has made sure that it exists.
    pub(super) fn token(&self, name: &str) -> Option<&TokenSpec> {
        self.tokens.iter().find(|token| token.name == name)
    }

    /// Says of each key that may leave its token encrypted how that token confines it.
    pub(in super::super) fn confine(&mut self) {
        for key in &mut self.keys {
            let token = self.tokens.iter().find(|token| token.name == key.token);
            if let (Origin::New(leaving), Some(token)) = (&mut key.origin, token)
                && *leaving != Leaving::Never
            {
                *leaving = token.wrapped();
            }
        }
    }

    /// The key of this name.
    pub(super) fn key(&self, name: &str) -> Option<&KeySpec> {
        self.keys.iter().find(|key| key.name == name)
    }

    /// The certificate of this name.
    pub(super) fn certificate(&self, name: &str) -> Option<&CertificateSpec> {
        self.certificates.iter().find(|certificate| certificate.name == name)
    }

    /// Every file that it brings in.
    pub(super) fn inputs(&self) -> Vec<&Input> {
        let mut inputs: Vec<&Input> =
            self.present.iter().filter_map(|person| Some(&person.signs.as_ref()?.certificate)).collect();
        for certificate in &self.certificates {
            match &certificate.source {
                Source::Existing { file, .. } => inputs.push(file),
                Source::Issued(issued) => {
                    if let SubjectKey::Requested { request, .. } = &issued.subject_key {
                        inputs.push(request);
                    }
                    inputs.extend(&issued.renews);
                    if let Some(Attestation { slot, device, makers }) = &issued.attestation {
                        inputs.extend([slot, device].into_iter().chain(makers));
                    }
                }
            }
        }
        for crl in &self.crls {
            inputs.extend(&crl.previous);
            inputs.extend(crl.revocations.iter().filter_map(|revocation| revocation.certificate.as_ref()));
        }
        inputs
    }

    /// The certificate that a key signs with: its own, no link.
    pub(super) fn certificate_of(&self, key: &str) -> Option<&CertificateSpec> {
        let own = |certificate: &&CertificateSpec| {
            certificate.key() == Some(key) && certificate.profile != Profile::Link
        };
        // A renewed certificate is the one to go by.
        let all = self.certificates.iter().filter(own);
        all.max_by_key(|certificate| certificate.issued().is_some())
    }
}
