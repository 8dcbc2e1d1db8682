//! What a ceremony is to do: the validated specification. It exists only without mistakes, see [`parse`].
//!
//! One language serves every kind of ceremony: sections describe tokens, keys, certificates, requests, CRLs, copies and
//! destructions, and [`Kind`] says which of them may appear together.

mod certificate;
pub mod input;
pub mod kind;
pub mod mistake;
pub mod parse;
pub(super) mod section;

use jiff::Timestamp;
use x509_cert::ext::pkix::CrlReason;

pub use certificate::{Attestation, CertificateSpec, Issued, Lifetime, Profile, Source, Subject, SubjectKey};
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
