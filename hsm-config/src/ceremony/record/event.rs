//! What is noted in a ceremony's log.

use std::fmt;
use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::super::attestation::Attested;
use super::super::spec::{Kind, Profile, Spec};
use crate::token::{KeyAlgorithm, TokenDescription};
use crate::worker::protocol::{KeyAttributes, OaepHash};

/// A thing to do that is done wholly or not at all.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// Initialise a token.
    Initialise(String),
    /// Find a key that exists, and prove that it is the one.
    FindKey(String),
    /// Make a key.
    MakeKey(String),
    /// Copy a key to its second token, and prove that it signs there.
    CopyKey(String),
    /// Sign a certification request.
    Request(String),
    /// Sign a certificate.
    Certificate(String),
    /// Sign a CRL.
    Crl(String),
    /// Destroy a key, and prove that it is gone.
    DestroyKey(String),
}

impl Task {
    /// What a specification asks for, in the order in which it is done.
    pub fn all(spec: &Spec) -> Vec<Self> {
        let tokens = spec.tokens.iter().filter(|token| token.initialise.is_some());
        let (new, found): (Vec<_>, Vec<_>) = spec.keys.iter().partition(|key| key.is_new());
        let issued = spec.certificates.iter().filter(|certificate| certificate.issued().is_some());
        let mut tasks: Vec<Self> = tokens.map(|token| Self::Initialise(token.name.clone())).collect();
        tasks.extend(found.iter().map(|key| Self::FindKey(key.name.clone())));
        tasks.extend(new.iter().map(|key| Self::MakeKey(key.name.clone())));
        tasks.extend(spec.requests.iter().map(|request| Self::Request(request.name.clone())));
        tasks.extend(issued.map(|certificate| Self::Certificate(certificate.name.clone())));
        tasks.extend(spec.copies.iter().map(|copy| Self::CopyKey(copy.key.clone())));
        tasks.extend(spec.crls.iter().map(|crl| Self::Crl(crl.issuer.clone())));
        tasks.extend(spec.destructions.iter().map(|destruction| Self::DestroyKey(destruction.key.clone())));
        tasks
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Initialise(token) => write!(f, "initialise token {token:?}"),
            Self::FindKey(key) => write!(f, "find key {key:?} and prove that it is the one"),
            Self::MakeKey(key) => write!(f, "make key {key:?}"),
            Self::CopyKey(key) => write!(f, "copy key {key:?} to its second token and prove it there"),
            Self::Request(name) => write!(f, "sign the certification request {name:?}"),
            Self::Certificate(name) => write!(f, "sign certificate {name:?}"),
            Self::Crl(issuer) => write!(f, "sign the CRL of {issuer:?}"),
            Self::DestroyKey(key) => write!(f, "destroy key {key:?} and prove that it is gone"),
        }
    }
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// The ceremony began. Always the first.
    Began(Box<Header>),
    /// It goes on after an interruption.
    Resumed,
    /// A token was logged in to.
    Opened(TokenRecord),
    /// A task begins. Noted before anything is changed.
    Begun {
        /// The task.
        task: Task,
        /// What will be signed, if something: the same again after an interruption.
        tbs: Option<Octets>,
    },
    /// A task is done.
    Done {
        /// The task.
        task: Task,
        /// What came of it.
        outcome: Box<Outcome>,
    },
    /// A custody set keeps a token's PIN from now on, each custodian's share proven.
    Entrusted {
        /// The set's name.
        set: String,
    },
    /// The ceremony stopped, to be resumed or rolled back.
    Stopped {
        /// Why.
        failure: String,
    },
    /// A task's work was taken back.
    Undone {
        /// The task.
        task: Task,
    },
    /// The ceremony was taken back. Always the last.
    RolledBack,
    /// Everything is done and checked. Always the last.
    Finished {
        /// The files, except the transcript's own.
        files: Vec<FileRecord>,
        /// Whose keys sign the transcript.
        signers: Vec<SignerRecord>,
    },
}

/// What a ceremony is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Version of this format.
    pub format: u32,
    /// A rehearsal's keys and certificates no longer exist.
    pub rehearsal: bool,
    /// What it is for.
    pub purpose: Kind,
    /// Its title.
    pub ceremony: String,
    /// The program and its version.
    pub program: String,
    /// Hash of the specification, hexadecimal.
    pub spec_sha256: String,
    /// Who is present, by the specification.
    pub present: Vec<PersonRecord>,
    /// The files that the specification brings in.
    pub inputs: Vec<FileRecord>,
}

/// Someone who attends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PersonRecord {
    /// Their name.
    pub name: String,
    /// What they are there for.
    pub role: String,
    /// SHA-256 of the certificate whose key signs the transcript, hexadecimal.
    pub certificate_sha256: Option<String>,
}

/// What came of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// A token was initialised.
    Token,
    /// A key was made or found.
    Key(KeyRecord),
    /// A key was copied.
    Copy(CopyRecord),
    /// A request was signed.
    Request(RequestRecord),
    /// A certificate was signed.
    Certificate(CertificateRecord),
    /// A CRL was signed.
    Crl(CrlRecord),
    /// A key was destroyed.
    Destroyed(DestroyedRecord),
}

/// A token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRecord {
    /// Its name in the specification.
    pub name: String,
    /// The module that drove it.
    pub module: PathBuf,
    /// Hash of the module's file, hexadecimal.
    pub module_sha256: Option<String>,
    /// What it says about itself.
    #[serde(flatten)]
    pub token: TokenDescription,
}

/// A key pair.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRecord {
    /// Its name in the specification, also its `CKA_LABEL`.
    pub name: String,
    /// The token.
    pub token: String,
    /// `CKA_ID`, hexadecimal.
    pub id: String,
    /// Its kind.
    pub algorithm: KeyAlgorithm,
    /// Whether the ceremony made it.
    pub made: bool,
    /// DER `SubjectPublicKeyInfo`.
    pub public_key: Octets,
    /// SHA-256 of that, hexadecimal.
    pub public_key_sha256: String,
    /// What the token says about the private key.
    pub attributes: KeyAttributes,
    /// What that means.
    pub whereabouts: String,
    /// A signature that shows the private key at work.
    pub proof: Proof,
}

/// A key on a second token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyRecord {
    /// The key.
    pub key: String,
    /// The token that gave it.
    pub from: String,
    /// The token that received it.
    pub to: String,
    /// The hash within RSA-OAEP.
    pub oaep_hash: OaepHash,
    /// What the receiving token says about the private key.
    pub attributes: KeyAttributes,
    /// What that means.
    pub whereabouts: String,
    /// A signature by the receiving token.
    pub proof: Proof,
}

/// A signature over a text that no certificate, CRL, request or OCSP response can be, made for this log alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// What was signed: [`Proof::PREFIX`], a purpose and 32 random octets in hexadecimal.
    pub text: String,
    /// The signature.
    pub signature: Octets,
}

impl Proof {
    /// What every such text begins with. X.509 structures begin with the octet 0x30.
    pub const PREFIX: &'static str = "inro key proof v1: ";
}

/// A certification request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestRecord {
    /// Its name in the specification.
    pub name: String,
    /// Its subject (RFC 4514).
    pub subject: String,
    /// The key.
    pub key: String,
    /// SHA-256 of its DER, hexadecimal: the fingerprint to read aloud.
    pub sha256: String,
    /// Its DER.
    pub der: Octets,
}

/// A certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateRecord {
    /// Its name in the specification.
    pub name: String,
    /// Its profile.
    pub profile: Profile,
    /// Its subject (RFC 4514).
    pub subject: String,
    /// Its issuer (RFC 4514).
    pub issuer: String,
    /// Its issuer's name in the specification.
    pub issued_by: String,
    /// The key that it certifies, where that is the ceremony's.
    pub key: Option<String>,
    /// The request that it answers, and how its fingerprint was compared.
    pub request: Option<ComparedRequest>,
    /// What was proven of where its key was born.
    pub attested: Option<Attested>,
    /// Serial number, hexadecimal.
    pub serial: String,
    /// notBefore.
    pub not_before: Timestamp,
    /// notAfter.
    pub not_after: Timestamp,
    /// SHA-256 of its DER, hexadecimal: the fingerprint to compare.
    pub sha256: String,
    /// Its DER.
    pub der: Octets,
}

/// A certification request that was answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComparedRequest {
    /// SHA-256 of its DER, hexadecimal.
    pub sha256: String,
    /// How it was made sure that it is the one that was meant.
    pub compared: Compared,
}

/// How a fingerprint was compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Compared {
    /// The specification says it.
    WithSpecification,
    /// A person typed what another read aloud, or gave it on the command line.
    Typed,
    /// It wasn't, in a rehearsal.
    Rehearsed,
}

/// A CRL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrlRecord {
    /// The certificate of its issuer.
    pub issuer: String,
    /// CRLNumber.
    pub number: u64,
    /// How many certificates it lists.
    pub entries: usize,
    /// Serial numbers that the one before didn't list, hexadecimal, each with its reason.
    pub revoked: Vec<String>,
    /// thisUpdate.
    pub this_update: Timestamp,
    /// nextUpdate.
    pub next_update: Timestamp,
    /// SHA-256 of its DER, hexadecimal.
    pub sha256: String,
    /// Its DER.
    pub der: Octets,
}

/// A key that is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DestroyedRecord {
    /// Its name in the specification.
    pub key: String,
    /// The token that held it.
    pub token: String,
    /// `CKA_ID`, hexadecimal.
    pub id: String,
    /// SHA-256 of its `SubjectPublicKeyInfo`, hexadecimal.
    pub public_key_sha256: String,
    /// What the token answers now when it is asked for it.
    pub answer: String,
}

/// A file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// Its name.
    pub name: String,
    /// SHA-256 of its content, hexadecimal.
    pub sha256: String,
}

/// Somebody whose key signs the transcript.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignerRecord {
    /// The file of the signature.
    pub file: String,
    /// Whose it is.
    pub who: String,
    /// SHA-256 of the key's certificate, hexadecimal.
    pub certificate_sha256: String,
}

/// Octets, in hexadecimal in the log.
#[derive(Clone, PartialEq, Eq)]
pub struct Octets(pub Vec<u8>);

impl fmt::Debug for Octets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} octets", self.0.len())
    }
}

impl Serialize for Octets {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Octets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        hex::decode(text).map(Self).map_err(serde::de::Error::custom)
    }
}
